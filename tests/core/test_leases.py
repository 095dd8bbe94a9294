"""Lease-based reads with clocks that agree: what a leader may rely on, and what a follower has promised."""

from __future__ import annotations

from typing import Any

import pytest
from harness import (
    Cluster,
    Host,
    acked,
    append,
    beat_back,
    change,
    heartbeat,
    host,
    leader,
    of_type,
    snapshot_message,
    vote_for,
)

from pyraft import CampaignRefusal, MisuseError, ReadDroppedError, ReadOnlyOption, ReadState, Role
from pyraft.lease import LeaderLease, LeasePromise
from raftpb.enums import MSG_APP_RESP, MSG_HEARTBEAT, MSG_TIMEOUT_NOW, MSG_VOTE_RESP
from raftpb.message import ConfState, Message, Snapshot, SnapshotMetadata

LEASES = ReadOnlyOption.ReadOnlyLeaseBased
LEADER = Role.StateLeader


def _lessor(**knobs: Any) -> Host:
    """A lone leader of three with leases, whose followers have its log."""
    node = leader(read_only_option=LEASES, lease_survives_restart=False, **knobs)
    node.step(acked(node.last, node.term, from_=2), acked(node.last, node.term, from_=3))
    return node


def _read(node: Host) -> list[ReadState]:
    """Ask, and give what is answered at once."""
    before = len(node.read_states)
    node.raw.read_index(b"read")
    node.settle()
    return node.read_states[before:]


def _beat(node: Host) -> bytes:
    """Let a tick pass, and give the context of the heartbeat that it brings."""
    return of_type(node.tick(), MSG_HEARTBEAT)[0].context


def test_before_a_quorum_has_answered_a_heartbeat_there_is_no_lease() -> None:
    assert _read(_lessor()) == []


def test_a_lease_runs_from_the_sending_of_the_heartbeat_that_was_answered() -> None:
    node = _lessor()
    first = _beat(node)
    for _ in range(6):
        _beat(node)
    node.step(beat_back(node.term, first))  # late: six ticks of the lease have passed
    assert [state.context for state in _read(node)] == [b"read"]
    node.raw.tick()
    assert [state.context for state in _read(node)] == [b"read"]
    node.raw.tick()
    assert _read(node) == []


def test_answers_renew_the_lease() -> None:
    node = _lessor()
    for _ in range(30):
        node.step(beat_back(node.term, _beat(node)))
        assert [state.index for state in _read(node)] == [node.commit]
    assert node.role is LEADER
    assert node.raw.basic_status().pending_reads == 0


def test_without_a_lease_a_read_asks_a_quorum() -> None:
    node = _lessor()
    node.raw.read_index(b"asked")
    context = of_type(node.settle(), MSG_HEARTBEAT)[0].context
    assert node.read_states == []
    node.step(beat_back(node.term, context))
    assert node.read_states == [ReadState(node.commit, b"asked")]


def test_the_reference_reads_at_once_as_long_as_check_quorum_has_not_failed() -> None:
    node = _lessor(bounded_lease=False)
    assert [state.context for state in _read(node)] == [b"read"]


@pytest.mark.parametrize("transfers", [False, True], ids=["left alone", "with transfers that fail"])
def test_a_leader_that_was_cut_off_answers_nothing_after_another_was_elected(transfers: bool) -> None:
    """Check-quorum looks but once in an election timeout, and each transfer begins another; the lease just ends."""
    cluster = Cluster(read_only_option=LEASES, lease_survives_restart=False)
    old = cluster[1]
    old.raw.campaign()
    cluster.settle()
    cluster.tick(3)
    assert [state.index for state in _read(old)] == [old.commit]
    cluster.isolate(1)
    for round_ in range(60):
        if transfers and round_ % 9 == 0:
            old.raw.transfer_leader(2)
        cluster.tick(1)
        elected = any(cluster[other].role is LEADER for other in (2, 3))
        if elected and old.role is LEADER:
            assert _read(old) == []
    assert any(cluster[other].role is LEADER for other in (2, 3))


def test_a_heartbeat_that_renews_the_lease_takes_no_read_s_place() -> None:
    """Found by the simulator: with `max_pending_reads=1`, every read between a heartbeat and its answer was dropped."""
    node = _lessor(max_pending_reads=1)
    node.raw.tick()
    node.settle()
    assert node.raw.basic_status().pending_reads == 0
    node.raw.read_index(b"read")
    assert node.raw.basic_status().pending_reads == 1
    with pytest.raises(ReadDroppedError):
        node.raw.read_index(b"one too many")


# What a follower has promised


def _follower(**knobs: Any) -> Host:
    """A follower of node 2 in term 1 that keeps promises but has none to keep yet."""
    return host((1, 1), read_only_option=LEASES, **{"lease_survives_restart": False, **knobs})


def _later_term(node: Host) -> None:
    """Let the node learn of the next term, from a message that asks for no vote."""
    term = node.term + 1
    node.step(Message(MSG_APP_RESP, 1, 3, term, reject=True))
    assert (node.term, node.leader) == (term, 0)


def _votes(node: Host) -> bool:
    """Ask for a vote of the next term; True if it is granted, False if it is not answered."""
    answers = of_type(node.step(vote_for(node.term + 1, (9, 99), from_=3)), MSG_VOTE_RESP)
    assert all(not answer.reject for answer in answers)
    return bool(answers)


SNAPSHOT = Snapshot(b"", SnapshotMetadata(ConfState((1, 2, 3)), 9, 1))


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(heartbeat(1), id="heartbeat"),
        pytest.param(append(1, (1, 2), []), id="append"),
        pytest.param(append(1, (1, 7), []), id="append that is refused"),
        pytest.param(snapshot_message(1, SNAPSHOT), id="snapshot"),
    ],
)
def test_a_message_of_the_leader_begins_a_promise(message: Message) -> None:
    node = _follower()
    assert node.raw.export_state().promise_ticks_left == 0
    node.step(message)
    for _ in range(9):
        node.raw.tick()
    _later_term(node)
    assert not _votes(node)
    node.raw.tick()
    assert _votes(node)


def test_a_message_of_an_earlier_term_begins_none() -> None:
    node = _follower()
    _later_term(node)
    node.step(heartbeat(1))
    assert node.raw.export_state().promise_ticks_left == 0


@pytest.mark.parametrize("pre_vote", [False, True])
def test_a_candidate_that_hears_from_the_leader_promises(pre_vote: bool) -> None:
    """Following again is not enough: the next message of a later term makes it forget whom it follows."""
    node = _follower(pre_vote=pre_vote)
    node.time_out()
    node.step(heartbeat(node.term))
    assert node.role is Role.StateFollower
    _later_term(node)
    assert not _votes(node)


def test_a_promise_is_renewed() -> None:
    node = _follower()
    for _ in range(5):
        node.step(heartbeat(1))
        for _ in range(6):
            node.raw.tick()
    _later_term(node)
    assert not _votes(node)


@pytest.mark.parametrize("kind", ["learner", "removed"])
def test_a_promise_does_not_end_with_membership(kind: str) -> None:
    node = _follower()
    node.step(heartbeat(1))
    node.raw.apply_conf_change(change("l1" if kind == "learner" else "r1"))
    _later_term(node)
    assert not _votes(node)


def test_a_transfer_that_the_leader_orders_passes() -> None:
    node = _follower()
    node.step(heartbeat(1))
    node.step(Message(MSG_TIMEOUT_NOW, 1, 2, 1))
    assert node.role is Role.StateCandidate
    node = _follower()
    node.step(heartbeat(1))
    assert len(of_type(node.step(vote_for(2, (9, 99), b"CampaignTransfer", from_=3)), MSG_VOTE_RESP)) == 1


def test_a_pre_candidate_of_an_earlier_term_is_answered_during_a_promise() -> None:
    """Nothing is granted by that, and it learns of the term."""
    node = _follower()
    node.step(heartbeat(1))
    _later_term(node)
    (answer,) = node.step(vote_for(1, (9, 99), from_=3, pre=True))
    assert (answer.reject, answer.term) == (True, node.term)


def test_campaign_is_refused_while_the_promise_runs_and_says_why() -> None:
    node = _follower()
    assert node.raw.campaign() is None
    node = _follower()
    node.step(heartbeat(1))
    assert node.raw.campaign() is CampaignRefusal.LEASE_PROMISED
    for _ in range(10):
        node.raw.tick()
    assert node.raw.campaign() is None


@pytest.mark.parametrize("keeps", [False, True])
def test_a_group_changes_to_leases_node_by_node(keeps: bool) -> None:
    """A node whose own reads ask a quorum keeps promises if it is told to; it may forget its leader, and still does."""
    node = host((1, 1), promise_lease=keeps, lease_survives_restart=keeps)
    assert node.raw.campaign() is (CampaignRefusal.LEASE_MAY_RUN if keeps else None)
    node = host((1, 1), promise_lease=keeps, lease_survives_restart=False)
    node.step(heartbeat(1))
    node.raw.forget_leader()
    assert _votes(node) is not keeps


def test_without_lease_based_reads_nothing_is_promised() -> None:
    node = host((1, 1))
    node.step(heartbeat(1))
    assert node.raw.export_state().promise_ticks_left == 0
    assert node.raw.campaign() is None


def test_forget_leader_is_refused_where_reads_are_answered_by_lease() -> None:
    with pytest.raises(MisuseError):
        _follower().raw.forget_leader()


# The two parts by themselves


def test_a_promise_runs_for_its_length() -> None:
    promise = LeasePromise(3, False)
    assert not promise.is_running()
    promise.begin(2)
    assert (promise.ticks_left, promise.leader, promise.is_running()) == (3, 2, True)


def test_a_node_that_starts_has_promised_to_nobody_it_knows() -> None:
    promise = LeasePromise(3, True)
    assert (promise.ticks_left, promise.leader) == (3, 0)


def test_a_lease_runs_from_the_oldest_tick_of_the_round_that_was_confirmed() -> None:
    lease = LeaderLease(10, True, True, True)
    lease.add_round(1, 100)
    lease.add_round(4, 103)
    assert not lease.is_running(100)
    lease.confirm(3)
    assert [lease.is_running(now) for now in (100, 107, 108)] == [True, True, False]
    lease.confirm(4)
    assert [lease.is_running(now) for now in (108, 110, 111)] == [True, True, False]


def test_one_round_a_tick_and_none_that_could_renew_nothing_are_kept() -> None:
    lease = LeaderLease(4, True, True, True)
    for now in range(100):
        assert lease.needs_round(now)
        lease.add_round(now + 1, now)
        assert not lease.needs_round(now)
        assert len(lease.rounds) <= 2


def test_a_lease_of_two_ticks_or_less_never_runs() -> None:
    lease = LeaderLease(2, True, True, True)
    lease.add_round(1, 5)
    lease.confirm(1)
    assert not lease.is_running(5)


@pytest.mark.parametrize(("ends", "runs"), [(True, False), (False, True)])
def test_msg_timeout_now_ends_the_lease_for_the_term(ends: bool, runs: bool) -> None:
    lease = LeaderLease(10, True, True, ends)
    lease.add_round(1, 5)
    lease.confirm(1)
    lease.is_transferred = True
    assert lease.is_running(5) is runs
    lease.end()
    assert not lease.is_transferred
    assert not lease.is_running(5)
