"""Handing leadership to a chosen voter: how it is started, what ends it, and what rests meanwhile."""

from __future__ import annotations

import pytest
from harness import (
    Cluster,
    Host,
    acked,
    beat_back,
    change,
    follow,
    heartbeat,
    host,
    leader,
    of_type,
    only,
    vote_for,
)

from pyraft import DropReason, ProposalDroppedError, Role, TransferRefusal
from raftpb.enums import MSG_APP, MSG_TIMEOUT_NOW, MSG_TRANSFER_LEADER
from raftpb.message import ConfState, Message

FOLLOWER, LEADER = Role.StateFollower, Role.StateLeader


def ready_leader(*voters: int, learners: tuple[int, ...] = ()) -> Host:
    node = leader(voters=voters or (1, 2, 3), learners=learners)
    follow(node, 2, 3)
    return node


def transferring(node: Host) -> int:
    return node.raw.status().lead_transferee


# How it starts


def test_one_that_has_the_whole_log_is_invited_at_once() -> None:
    node = ready_leader()
    assert node.raw.transfer_leader(2) is None
    assert node.settle() == [Message(MSG_TIMEOUT_NOW, 2, 1, 1)]
    assert transferring(node) == 2


def test_one_that_lags_is_brought_up_to_date_first() -> None:
    node = leader((1,) * 3)
    node.step(acked(4, 2, from_=3))
    assert node.raw.transfer_leader(2) is None
    assert node.settle() == []  # the probe is under way already
    sent = node.step(acked(2, 2))
    assert only(of_type(sent, MSG_APP)).index == 2
    assert of_type(sent, MSG_TIMEOUT_NOW) == []
    sent = node.step(acked(4, 2))
    assert only(of_type(sent, MSG_TIMEOUT_NOW)).to == 2


def test_one_that_has_been_sent_everything_is_asked_by_an_empty_append() -> None:
    node = ready_leader()
    node.raw.propose(b"x")
    node.settle()
    node.step(acked(2, 1, from_=3))
    node.raw.transfer_leader(2)
    assert [(m.type, m.index, len(m.entries)) for m in node.settle()] == [(MSG_APP, 2, 0)]


def test_each_acknowledgement_of_the_whole_log_invites_anew() -> None:
    """An invitation may get lost."""
    node = ready_leader()
    node.raw.transfer_leader(2)
    node.settle()
    node.raw.report_unreachable(2)
    assert [m.type for m in node.step(acked(1, 1))] == [MSG_TIMEOUT_NOW]


def test_the_clock_of_the_transfer_starts_with_it() -> None:
    node = ready_leader()
    node.tick(9)
    node.step(beat_back(1), beat_back(1, from_=3))
    node.raw.transfer_leader(2)
    node.tick(9)
    assert transferring(node) == 2
    node.step(beat_back(1))
    node.tick(1)
    assert transferring(node) == 0
    assert node.role is LEADER


# What is refused


def _follower(leading: int = 0) -> Host:
    node = host(term=1)
    if leading:
        node.step(heartbeat(1, from_=leading))
    return node


def _campaigning(pre_vote: bool) -> Host:
    node = host(pre_vote=pre_vote)
    node.raw.campaign()
    node.settle()
    return node


@pytest.mark.parametrize(
    ("node", "target", "refusal"),
    [
        pytest.param(ready_leader(), 9, TransferRefusal.UNKNOWN, id="stranger"),
        pytest.param(ready_leader(), 0, TransferRefusal.UNKNOWN, id="nobody"),
        pytest.param(ready_leader(), -1, TransferRefusal.UNKNOWN, id="negative"),
        pytest.param(ready_leader(), 2**63, TransferRefusal.UNKNOWN, id="too large"),
        pytest.param(ready_leader(1, 2, 3, learners=(4,)), 4, TransferRefusal.LEARNER, id="learner"),
        pytest.param(ready_leader(), 1, TransferRefusal.SELF, id="itself"),
        pytest.param(_follower(), 2, TransferRefusal.NO_LEADER, id="without a leader"),
        pytest.param(_campaigning(True), 2, TransferRefusal.CAMPAIGNING, id="pre-candidate"),
        pytest.param(_campaigning(False), 2, TransferRefusal.CAMPAIGNING, id="candidate"),
    ],
)
def test_what_cannot_be_started(node: Host, target: int, refusal: TransferRefusal) -> None:
    before = node.raw.export_state()
    assert node.raw.transfer_leader(target) is refusal
    assert node.raw.export_state() == before


def test_the_same_target_again_changes_nothing() -> None:
    node = ready_leader()
    node.raw.transfer_leader(2)
    node.settle()
    node.tick(5)
    assert node.raw.transfer_leader(2) is TransferRefusal.IN_PROGRESS
    assert node.settle() == []
    node.step(beat_back(1))
    node.tick(5)
    assert transferring(node) == 0


@pytest.mark.parametrize(
    ("target", "left"),
    [
        pytest.param(3, 3, id="another target takes over"),
        pytest.param(1, 0, id="to itself: given up"),
        pytest.param(4, 2, id="a learner: goes on"),
        pytest.param(9, 2, id="a stranger: goes on"),
    ],
)
def test_another_target_while_one_is_under_way(target: int, left: int) -> None:
    node = ready_leader(1, 2, 3, learners=(4,))
    node.raw.transfer_leader(2)
    node.raw.transfer_leader(target)
    assert transferring(node) == left


def test_a_voter_that_is_to_become_a_learner_is_still_a_voter() -> None:
    node = leader(conf_state=ConfState((1, 2), (), (1, 2, 3), (3,)))
    follow(node, 2, 3)
    assert node.raw.transfer_leader(3) is None


# What rests, and what ends it


def test_nothing_is_proposed_meanwhile() -> None:
    node = ready_leader()
    node.raw.transfer_leader(2)
    with pytest.raises(ProposalDroppedError) as caught:
        node.raw.propose(b"x")
    assert caught.value.reason is DropReason.TRANSFERRING
    node.raw.transfer_leader(1)
    node.raw.propose(b"x")


def test_reads_go_on_meanwhile() -> None:
    node = ready_leader()
    node.raw.transfer_leader(2)
    node.raw.read_index(b"r")
    node.settle()
    node.step(beat_back(1, b"\x01" + bytes(7)))
    assert len(node.read_states) == 1


def test_it_ends_with_the_leadership() -> None:
    node = ready_leader()
    node.raw.transfer_leader(2)
    node.step(heartbeat(2))
    assert transferring(node) == 0


def test_it_ends_when_no_quorum_answers() -> None:
    node = ready_leader()
    node.tick(10)
    node.raw.transfer_leader(2)
    node.tick(10)
    assert (node.role, transferring(node)) == (FOLLOWER, 0)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        pytest.param("r2", 0, id="removed"),
        pytest.param("l2", 0, id="made a learner"),
        pytest.param("r3", 2, id="another removed"),
    ],
)
def test_it_ends_when_the_target_stops_being_a_voter(text: str, left: int) -> None:
    node = ready_leader()
    node.raw.propose_conf_change(change(text))
    node.settle()
    node.raw.transfer_leader(2)
    node.step(acked(2, 1, from_=3))
    assert node.commit == 2
    assert transferring(node) == left


def test_one_that_stays_in_the_outgoing_half_may_still_take_over() -> None:
    node = ready_leader()
    node.raw.propose_conf_change(change("r2 v4"))
    node.settle()
    node.raw.transfer_leader(2)
    node.step(acked(2, 1, from_=3))
    assert node.raw.status().config.voters_outgoing == (1, 2, 3)
    assert transferring(node) == 2


# Through a follower


def test_a_follower_passes_the_request_on() -> None:
    node = _follower(2)
    assert node.raw.transfer_leader(3) is None
    assert node.settle() == [Message(MSG_TRANSFER_LEADER, 2, 3, 1)]


def test_a_follower_asks_for_itself() -> None:
    """The message then comes from the one it names."""
    cluster = Cluster()
    cluster.elect(1)
    assert cluster[3].raw.transfer_leader(3) is None
    cluster.settle()
    assert cluster.leader() is cluster[3]
    assert cluster.refused == []


# Scenarios


@pytest.mark.parametrize("async_storage_writes", [False, True], ids=["sync", "async"])
def test_leadership_moves(async_storage_writes: bool) -> None:
    cluster = Cluster(async_storage_writes=async_storage_writes)
    cluster.elect(1)
    cluster.propose(1, b"a")
    assert cluster[1].raw.transfer_leader(3) is None
    cluster.settle()
    assert [each.role for each in cluster.hosts.values()] == [FOLLOWER, FOLLOWER, LEADER]
    assert {each.leader for each in cluster.hosts.values()} == {3}
    cluster.propose(2, b"b")
    assert all(each.data() == [b"a", b"b"] for each in cluster.hosts.values())


def test_a_target_that_lags_takes_over_once_it_has_everything() -> None:
    cluster = Cluster()
    cluster.elect(1)
    cluster.isolate(3)
    cluster.propose(1, b"a", b"b")
    cluster[1].raw.transfer_leader(3)
    cluster.heal()
    cluster.tick(2)
    assert cluster.leader() is cluster[3]
    assert cluster[3].data() == [b"a", b"b"]


def test_a_target_that_needs_a_snapshot_takes_over_after_it() -> None:
    cluster = Cluster()
    cluster.elect(1)
    cluster.isolate(3)
    cluster.propose(1, b"a", b"b")
    cluster[1].storage.create_snapshot(3, ConfState((1, 2, 3)), b"state")
    cluster[1].storage.compact(3)
    cluster[1].raw.transfer_leader(3)
    cluster.heal()
    cluster.tick(2)
    assert cluster.leader() is cluster[3]


def test_a_target_that_is_gone_is_given_up() -> None:
    cluster = Cluster()
    cluster.elect(1)
    cluster.isolate(3)
    cluster[1].raw.transfer_leader(3)
    cluster.tick(10, 1)
    assert cluster.leader() is cluster[1]
    cluster.propose(1, b"x")
    assert cluster[2].data() == [b"x"]


def test_an_invitation_that_arrives_late_starts_no_second_election() -> None:
    """Its term is over."""
    cluster = Cluster()
    cluster.elect(1)
    cluster[1].raw.transfer_leader(3)
    cluster.work()
    late = [m for m in cluster.wire if m.type is MSG_TIMEOUT_NOW]
    cluster.settle()
    term = cluster[3].term
    cluster.wire.extend(late)
    cluster.settle()
    assert cluster[3].term == term
    assert cluster.leader() is cluster[3]


def test_the_old_leader_votes_for_the_target() -> None:
    """Its own lease does not keep it from that."""
    node = ready_leader()
    node.raw.transfer_leader(2)
    node.settle()
    answer = only(node.step(vote_for(2, (1, 1), b"CampaignTransfer")))
    assert (node.role, node.vote, answer.reject) == (FOLLOWER, 2, False)
