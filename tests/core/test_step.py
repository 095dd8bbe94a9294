"""The term gate, the three role tables, and time."""

from __future__ import annotations

from typing import Any

import pytest
from harness import (
    Host,
    acked,
    append,
    beat_back,
    config_of,
    elect,
    follow,
    heartbeat,
    host,
    leader,
    log_of,
    of_type,
    only,
    snapshot_message,
    storage_of,
    vote_for,
    voted,
)

from pyraft import Config, MemoryStorage, Role, StorageError
from raftpb.enums import (
    MSG_APP,
    MSG_APP_RESP,
    MSG_HEARTBEAT,
    MSG_HEARTBEAT_RESP,
    MSG_PRE_VOTE,
    MSG_PRE_VOTE_RESP,
    MSG_READ_INDEX_RESP,
    MSG_TIMEOUT_NOW,
    MSG_TRANSFER_LEADER,
    MSG_VOTE_RESP,
)
from raftpb.message import ConfState, Entry, Message, Snapshot, SnapshotMetadata

FOLLOWER, CANDIDATE, LEADER, PRE_CANDIDATE = (
    Role.StateFollower,
    Role.StateCandidate,
    Role.StateLeader,
    Role.StatePreCandidate,
)
MEMBERS = ConfState((1, 2, 3))
SNAPSHOT = Snapshot(b"state", SnapshotMetadata(MEMBERS, 9, 2))


def in_role(role: Role) -> Host:
    """Node 1 in term 3 with entries of terms 1 1; leases are off."""
    knobs: dict[str, Any] = {"check_quorum": False}
    if role is FOLLOWER:
        node = host((1, 1), term=3, vote=3, **knobs)
    elif role is PRE_CANDIDATE:
        node = host((1, 1), term=3, **knobs)
        node.raw.campaign()
    else:
        node = host((1, 1), term=2, pre_vote=False, **knobs)
        node.raw.campaign()
        if role is LEADER:
            node.step(voted(3))
    node.settle()
    assert (node.role, node.term) == (role, 3)
    return node


ROLES = pytest.mark.parametrize("role", [FOLLOWER, PRE_CANDIDATE, CANDIDATE, LEADER], ids=str)


# Higher terms


@ROLES
@pytest.mark.parametrize(
    ("m", "leading", "answer"),
    [
        pytest.param(append(5), 2, MSG_APP_RESP, id="append"),
        pytest.param(heartbeat(5), 2, MSG_HEARTBEAT_RESP, id="heartbeat"),
        pytest.param(snapshot_message(5, SNAPSHOT), 2, MSG_APP_RESP, id="snapshot"),
        pytest.param(acked(1, 5), 0, None, id="acknowledgement"),
        pytest.param(beat_back(5), 0, None, id="heartbeat answer"),
        pytest.param(voted(5), 0, None, id="vote answer"),
        pytest.param(voted(5, True, pre=True), 0, None, id="refused pre-vote"),
        pytest.param(vote_for(5, (9, 9)), 0, MSG_VOTE_RESP, id="vote"),
        pytest.param(Message(MSG_TRANSFER_LEADER, 1, 2, 5), 0, None, id="transfer"),
        pytest.param(Message(MSG_READ_INDEX_RESP, 1, 2, 5, entries=[Entry()]), 0, None, id="read answer"),
    ],
)
def test_news_of_a_higher_term_makes_a_follower(m: Message, leading: int, answer: object, role: Role) -> None:
    node = in_role(role)
    sent = node.step(m)
    assert (node.role, node.term, node.leader) == (FOLLOWER, 5, leading)
    assert node.vote == (2 if answer is MSG_VOTE_RESP else 0)
    assert [one.type for one in sent] == ([] if answer is None else [answer])
    assert {one.term for one in sent} <= {5}


@ROLES
@pytest.mark.parametrize("granted", [False, True], ids=["asked", "granted"])
def test_a_pre_vote_raises_nobody_s_term(granted: bool, role: Role) -> None:
    node = in_role(role)
    before = (node.role, node.vote, node.leader)
    if granted:
        node.step(voted(5, pre=True))
    else:
        answer = only(node.step(vote_for(5, (9, 9), pre=True)))
        assert answer == voted(5, from_=1, to=2, pre=True)
    assert (node.term, (node.role, node.vote, node.leader)) == (3, before)


def test_an_invitation_of_a_higher_term_leads_to_a_campaign_after_it() -> None:
    node = in_role(FOLLOWER)
    node.step(Message(MSG_TIMEOUT_NOW, 1, 2, 5))
    assert (node.role, node.term) == (CANDIDATE, 6)


@ROLES
def test_the_term_is_durable_before_anything_is_said_in_it(role: Role) -> None:
    node = in_role(role)
    node.raw.step(heartbeat(5))
    ready = node.raw.ready()
    assert ready.hard_state is not None
    assert (ready.hard_state.term, ready.hard_state.vote, ready.must_sync) == (5, 0, True)


# Lower terms: see test_hostile_messages


def test_a_deposed_leader_learns_of_the_new_term_from_the_answer() -> None:
    old = leader(voters=(1, 2))
    new = host((1,), id=2, term=4, voters=(1, 2))
    m = only(of_type(old.tick(), MSG_HEARTBEAT))
    answer = only(new.step(m))
    assert answer == Message(MSG_APP_RESP, 1, 2, 4)
    old.step(answer)
    assert (old.role, old.term) == (FOLLOWER, 4)


def test_a_pre_candidate_learns_of_the_present_term_from_the_refusal() -> None:
    lagging = host((1,), voters=(1, 2), term=1)
    current = host((1, 1), id=2, voters=(1, 2), term=4)
    lagging.raw.campaign()
    answer = only(current.step(only(of_type(lagging.settle(), MSG_PRE_VOTE))))
    assert answer == Message(MSG_PRE_VOTE_RESP, 1, 2, 4, reject=True)
    lagging.step(answer)
    assert (lagging.role, lagging.term) == (FOLLOWER, 4)


# What a role has no line for


@pytest.mark.parametrize(
    ("role", "m"),
    [
        pytest.param(LEADER, voted(3), id="leader: vote"),
        pytest.param(LEADER, voted(3, True, pre=True), id="leader: refused pre-vote"),
        pytest.param(LEADER, Message(MSG_TIMEOUT_NOW, 1, 2, 3), id="leader: invitation"),
        pytest.param(LEADER, Message(MSG_READ_INDEX_RESP, 1, 2, 3, entries=[Entry()]), id="leader: read answer"),
        pytest.param(FOLLOWER, acked(1, 3), id="follower: acknowledgement"),
        pytest.param(FOLLOWER, beat_back(3), id="follower: heartbeat answer"),
        pytest.param(FOLLOWER, voted(3), id="follower: vote"),
        pytest.param(CANDIDATE, acked(1, 3), id="candidate: acknowledgement"),
        pytest.param(CANDIDATE, beat_back(3), id="candidate: heartbeat answer"),
        pytest.param(CANDIDATE, Message(MSG_READ_INDEX_RESP, 1, 2, 3, entries=[Entry()]), id="candidate: read answer"),
        pytest.param(PRE_CANDIDATE, voted(3), id="pre-candidate: vote"),
        pytest.param(PRE_CANDIDATE, acked(1, 3), id="pre-candidate: acknowledgement"),
    ],
)
def test_what_is_not_for_this_role_is_ignored(role: Role, m: Message) -> None:
    node = in_role(role)
    before = node.raw.export_state()
    node.raw.step(m)
    assert node.raw.export_state() == before


def test_a_transfer_to_one_that_just_left_is_no_error() -> None:
    """It names a stranger; the leader counts it."""
    node = in_role(LEADER)
    node.raw.step(Message(MSG_TRANSFER_LEADER, 1, 9, 3))
    assert node.raw.status().anomalies.dropped_transfers == 1


# Time


@pytest.mark.parametrize(("count", "beats"), [(0, 0), (1, 0), (2, 1), (7, 3), (10, 5), (1000, 5)])
def test_ticks_may_be_given_at_once(count: int, beats: int) -> None:
    """A long pause counts as one election timeout, so that it does not bring several elections."""
    node = leader(voters=(1, 2), heartbeat_tick=2, check_quorum=False)
    node.settle()
    node.raw.tick(count)
    assert len(of_type(node.settle(), MSG_HEARTBEAT)) == beats


def test_a_long_pause_is_at_most_one_election() -> None:
    node = host(pre_vote=False)
    node.raw.tick(10**6)
    node.raw.tick(10**6)
    assert (node.role, node.term) == (CANDIDATE, 1)


def test_a_learner_s_clock_runs_on() -> None:
    """It campaigns as soon as it becomes a voter, if it has heard of nobody for long."""
    node = host(voters=(2, 3), learners=(1,))
    node.raw.tick(10)
    node.raw.tick(10)
    assert node.role is FOLLOWER
    node.step(append(1, (0, 0), log_of([1])))
    assert node.raw.export_state().election_elapsed == 0


def test_a_leader_that_steps_down_at_a_tick_sends_no_more_heartbeats() -> None:
    node = leader(heartbeat_tick=2)
    node.tick(9)
    assert of_type(node.tick(), MSG_HEARTBEAT) == []
    assert node.role is FOLLOWER


def test_answers_do_not_stop_the_leader_s_clock() -> None:
    node = leader(heartbeat_tick=2, check_quorum=False)
    follow(node, 2, 3)
    sent = []
    for _ in range(6):
        sent += node.tick()
        node.step(beat_back(1))
    assert len(of_type(sent, MSG_HEARTBEAT)) == 6


# The start


def test_a_node_starts_as_a_follower_of_nobody() -> None:
    node = host((1, 2), term=5, vote=2, commit=1)
    status = node.raw.status()
    assert (node.role, node.leader, node.term, node.vote) == (FOLLOWER, 0, 5, 2)
    assert (status.commit, status.applied, status.last_index) == (1, 0, 2)
    assert str(status.config) == "voters=(1 2 3)"
    assert not node.raw.export_state().msgs


def test_a_new_node_knows_nothing() -> None:
    node = Host(config_of(1, MemoryStorage()))
    assert (node.term, node.vote, node.commit, node.last) == (0, 0, 0, 0)
    assert not node.raw.has_ready()
    assert not node.raw.status().is_member


def test_a_joint_configuration_is_restored() -> None:
    conf_state = ConfState((1, 2), (4,), (1, 3), (3,), True)
    node = host(conf_state=conf_state)
    assert node.raw.status().config.conf_state() == conf_state


def test_no_two_nodes_share_their_chance() -> None:
    """Unless a source is given, each is seeded by the operating system."""
    drawn = {Config(id=1, storage=storage_of(MEMBERS)).random.randrange(2**60) for _ in range(4)}
    assert len(drawn) == 4


def test_a_storage_that_contradicts_itself_makes_no_node() -> None:
    storage = storage_of(MEMBERS, (1, 1))
    conf_state = ConfState((1,), (1,))
    storage.create_snapshot(1, conf_state, b"")
    with pytest.raises(StorageError, match="1 is in learners and in voters"):
        Host(config_of(1, storage))


def test_an_elected_node_whose_storage_starts_late_leads() -> None:
    node = host(snapshot=(3, 7), term=4)
    sent = elect(node)
    assert [(m.log_term, m.index) for m in of_type(sent, MSG_APP)] == [(3, 7)] * 2
