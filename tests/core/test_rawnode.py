"""The contract of Ready and advance: what is told when, what has to be synced, and what a restart finds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from harness import (
    Cluster,
    Host,
    acked,
    append,
    beat_back,
    change,
    config_of,
    elect,
    follow,
    heartbeat,
    host,
    leader,
    log_of,
    of_type,
    snapshot_message,
    vote_for,
    voted,
)

from pyraft import MemoryStorage, MisuseError, Peer, RawNode, Ready, Role, SoftState, Status
from raftpb.codec import encode_conf_change
from raftpb.confchange import ConfChange
from raftpb.enums import (
    ADD_NODE,
    ENTRY_CONF_CHANGE,
    ENTRY_NORMAL,
    MSG_APP,
    MSG_APP_RESP,
    MSG_HEARTBEAT_RESP,
    MSG_PRE_VOTE,
    MSG_VOTE,
)
from raftpb.message import ConfState, Entry, HardState, Snapshot, SnapshotMetadata

FOLLOWER, LEADER, PRE_CANDIDATE = Role.StateFollower, Role.StateLeader, Role.StatePreCandidate
SNAPSHOT = Snapshot(b"state", SnapshotMetadata(ConfState((1, 2, 3)), 9, 1))


def follower() -> Host:
    """Of node 2 in term 1, with two entries and nothing to do."""
    node = host((1, 1))
    node.step(heartbeat(1))
    assert not node.raw.has_ready()
    return node


# Is there anything, and what


@pytest.mark.parametrize(
    ("move", "field"),
    [
        pytest.param(lambda node: node.step(heartbeat(1)), "messages", id="message"),
        pytest.param(lambda node: node.step(append(1, (1, 2))), "messages", id="message after the write"),
        pytest.param(lambda node: node.step(append(1, (1, 2), log_of([1], 3))), "entries", id="entries"),
        pytest.param(lambda node: node.step(heartbeat(1, 1)), "hard_state", id="commit index"),
        pytest.param(lambda node: node.step(heartbeat(2)), "hard_state", id="term"),
        pytest.param(lambda node: node.step(vote_for(2, (1, 2), b"CampaignTransfer")), "hard_state", id="vote"),
        pytest.param(lambda node: node.forget_leader(), "soft_state", id="leader"),
        pytest.param(lambda node: node.campaign(), "soft_state", id="role"),
        pytest.param(lambda node: node.step(heartbeat(1, 2)), "committed_entries", id="committed entries"),
        pytest.param(lambda node: node.step(snapshot_message(1, SNAPSHOT)), "snapshot", id="snapshot"),
    ],
)
def test_what_makes_a_ready(move: Callable[[RawNode], object], field: str) -> None:
    node = follower()
    move(node.raw)
    assert node.raw.has_ready()
    ready = node.take()
    assert getattr(ready, field)
    assert not ready.is_empty()
    assert not node.raw.has_ready()
    assert node.raw.ready().is_empty()


def test_read_states_make_a_ready() -> None:
    node = leader(voters=(1,))
    node.settle()
    node.raw.read_index(b"r")
    assert node.raw.has_ready()
    assert len(node.take().read_states) == 1
    assert not node.raw.has_ready()


@pytest.mark.parametrize(
    "move",
    [
        pytest.param(lambda node: node.tick(3), id="time"),
        pytest.param(lambda node: node.step(acked(1, 1)), id="a message that is ignored"),
        pytest.param(lambda node: node.apply_conf_change(change("v4")), id="a membership change"),
        pytest.param(lambda node: node.report_unreachable(2), id="a report"),
        pytest.param(lambda node: node.status(), id="a look at it"),
    ],
)
def test_what_makes_none(move: Callable[[RawNode], object]) -> None:
    node = follower()
    move(node.raw)
    assert not node.raw.has_ready()


@pytest.mark.parametrize(
    ("move", "must_sync", "hard_state"),
    [
        pytest.param(lambda node: node.step(append(1, (1, 2), log_of([1], 3))), True, None, id="entries"),
        pytest.param(lambda node: node.step(heartbeat(2)), True, HardState(2, 0, 0), id="term"),
        pytest.param(
            lambda node: node.step(vote_for(2, (1, 2), b"CampaignTransfer")), True, HardState(2, 2, 0), id="vote"
        ),
        pytest.param(lambda node: node.step(heartbeat(1, 1)), False, HardState(1, 0, 1), id="commit index"),
        pytest.param(lambda node: node.step(snapshot_message(1, SNAPSHOT)), True, HardState(1, 0, 9), id="snapshot"),
        pytest.param(lambda node: node.step(heartbeat(1)), False, None, id="message"),
        pytest.param(lambda node: node.forget_leader(), False, None, id="leader"),
        pytest.param(lambda node: None, False, None, id="nothing"),
    ],
)
def test_what_must_be_synced(move: Callable[[RawNode], object], must_sync: bool, hard_state: HardState | None) -> None:
    node = follower()
    move(node.raw)
    ready = node.raw.ready()
    assert ready.must_sync is must_sync
    assert ready.hard_state == hard_state


def test_a_vote_in_the_present_term_must_be_synced() -> None:
    node = host(term=1)
    node.raw.step(vote_for(1, (0, 0)))
    ready = node.raw.ready()
    assert (ready.hard_state, ready.must_sync) == (HardState(1, 2, 0), True)


def test_states_are_told_when_they_change() -> None:
    node = host()
    told: list[SoftState | None] = []
    node.raw.campaign()
    told.append(node.take().soft_state)
    node.raw.step(voted(1, pre=True))
    told.append(node.take().soft_state)
    node.raw.step(voted(1))
    told.append(node.take().soft_state)
    node.raw.propose(b"x")
    told.append(node.take().soft_state)
    node.raw.step(heartbeat(2))
    told.append(node.take().soft_state)
    assert told == [
        SoftState(0, PRE_CANDIDATE),
        SoftState(0, Role.StateCandidate),
        SoftState(1, LEADER),
        None,
        SoftState(2, FOLLOWER),
    ]


def test_a_state_that_changed_and_changed_back_is_not_told() -> None:
    node = follower()
    node.raw.forget_leader()
    node.raw.step(heartbeat(1))
    assert node.raw.ready().soft_state is None


def test_all_messages_of_a_ready_leave_after_its_write() -> None:
    """First those that promise nothing, then those that do, each in the order in which they arose."""
    node = follower()
    node.raw.step(append(1, (1, 2), log_of([1], 3)))
    node.raw.step(heartbeat(1))
    node.raw.step(append(1, (1, 3), log_of([1], 4)))
    node.raw.step(heartbeat(1))
    messages = node.raw.ready().messages
    assert [(m.type, m.index) for m in messages] == [
        (MSG_HEARTBEAT_RESP, 0),
        (MSG_HEARTBEAT_RESP, 0),
        (MSG_APP_RESP, 3),
        (MSG_APP_RESP, 4),
    ]


def test_messages_to_itself_are_not_the_application_s() -> None:
    node = host(pre_vote=False)
    node.raw.campaign()
    assert [m.to for m in node.raw.ready().messages] == [2, 3]


def test_a_ready_is_not_changed_by_what_comes_after_it() -> None:
    node = follower()
    node.raw.step(append(1, (1, 2), log_of([1, 1], 3), 4))
    ready = node.raw.ready()
    shown = repr(ready)
    node.raw.step(append(2, (1, 2), log_of([2], 3)))
    node.raw.step(heartbeat(2))
    node.raw.tick(3)
    assert repr(ready) == shown


def test_the_node_goes_on_between_ready_and_advance() -> None:
    node = leader()
    follow(node, 2, 3)
    node.raw.propose(b"a")
    node.begin()
    node.raw.propose(b"b")
    node.raw.tick()
    node.raw.step(beat_back(1))
    node.raw.step(acked(2, 1))
    assert node.raw.has_ready()
    with pytest.raises(MisuseError, match="advance"):
        node.raw.ready()
    node.finish()
    ready = node.take()
    assert [entry.index for entry in ready.entries] == [3]
    assert [entry.index for entry in ready.committed_entries] == [2]


def test_advance_may_make_the_next_ready() -> None:
    node = leader(voters=(1,))
    node.settle()
    node.raw.propose(b"x")
    ready = node.take()
    assert (len(ready.entries), ready.committed_entries) == (1, [])
    assert node.raw.has_ready()
    assert [entry.data for entry in node.take().committed_entries] == [b"x"]


def test_asynchronously_a_ready_waits_for_no_other() -> None:
    node = leader(async_storage_writes=True)
    for _ in range(3):
        node.raw.propose(b"x")
        assert node.begin().entries
    assert len(node.append_work) == 3
    follow(node, 2, 3)
    assert node.data() == [b"x"] * 3


def test_an_unneeded_ready_brings_nothing_and_is_advanced_like_any() -> None:
    node = follower()
    assert node.raw.ready() == Ready()
    node.raw.advance()
    assert not node.raw.has_ready()


# Beginnings


def test_a_cluster_is_founded() -> None:
    """Every founding member finds the others in its log, and acts on them before they are applied."""
    node = Host(config_of(1, MemoryStorage()))
    node.raw.bootstrap([Peer(1, b"at one"), Peer(2), Peer(3)])
    assert str(node.raw.status().config) == "voters=(1 2 3)"
    assert (node.term, node.commit, node.raw.basic_status().applied) == (1, 3, 0)
    ready = node.raw.ready()
    assert ready.hard_state == HardState(1, 0, 3)
    assert ready.must_sync
    assert ready.entries == ready.committed_entries
    assert ready.entries == [
        Entry(ENTRY_CONF_CHANGE, 1, 1, encode_conf_change(ConfChange(ADD_NODE, 1, b"at one"))),
        Entry(ENTRY_CONF_CHANGE, 1, 2, encode_conf_change(ConfChange(ADD_NODE, 2))),
        Entry(ENTRY_CONF_CHANGE, 1, 3, encode_conf_change(ConfChange(ADD_NODE, 3))),
    ]
    assert node.raw.campaign() is not None


@pytest.mark.parametrize("async_storage_writes", [False, True], ids=["sync", "async"])
def test_founding_members_elect_a_leader(async_storage_writes: bool) -> None:
    cluster = Cluster(async_storage_writes=async_storage_writes)
    for id in (1, 2, 3):
        cluster.hosts[id] = Host(config_of(id, MemoryStorage(), **cluster.knobs))
        cluster[id].raw.bootstrap([Peer(1), Peer(2), Peer(3)])
    cluster.settle()
    cluster.elect(2)
    cluster.propose(1, b"x")
    assert all(each.data() == [b"x"] for each in cluster.hosts.values())
    assert cluster[2].term == 2


def test_the_first_leader_of_a_founded_cluster_may_change_it_at_once() -> None:
    """What came before it is applied already."""
    cluster = Cluster()
    for id in (1, 2, 3):
        cluster.hosts[id] = Host(config_of(id, MemoryStorage()))
        cluster[id].raw.bootstrap([Peer(1), Peer(2), Peer(3)])
    cluster.elect(1)
    cluster.change(1, change("v4"))
    assert cluster[1].refused == []
    assert str(cluster[2].raw.status().config) == "voters=(1 2 3 4)"


# Restarts


def test_a_restart_tells_nothing_that_is_on_disk() -> None:
    node = host((1, 2), term=3, vote=2, commit=0)
    assert not node.raw.has_ready()
    assert node.raw.ready() == Ready()


def test_a_restart_hands_committed_entries_out_again() -> None:
    node = host((1, 1, 2), commit=2)
    ready = node.raw.ready()
    assert [entry.index for entry in ready.committed_entries] == [1, 2]
    assert (ready.hard_state, ready.entries, ready.must_sync) == (None, [], False)


def test_a_restart_leaves_out_what_is_applied_durably() -> None:
    node = host((1, 1, 2), commit=3, applied=2)
    assert [entry.index for entry in node.raw.ready().committed_entries] == [3]


@pytest.mark.parametrize("commit", [2, 3, 4], ids=["commit index behind it", "at it", "after it"])
def test_a_restart_begins_after_the_snapshot_although_the_log_reaches_further_back(commit: int) -> None:
    """The configuration is that of the snapshot: changes before it must not be made once more."""
    node = host((1,) * 5, voters=(1,), commit=commit)
    node.storage.create_snapshot(3, ConfState((1, 2)), b"state")
    node.storage.compact(1)
    node = node.restart()
    assert (node.raw.basic_status().applied, node.commit) == (3, max(commit, 3))
    assert str(node.raw.status().config) == "voters=(1 2)"
    assert [entry.index for entry in node.raw.ready().committed_entries] == list(range(4, commit + 1))


def test_a_restart_remembers_what_was_written_and_nothing_else() -> None:
    cluster = Cluster()
    cluster.elect(1)
    cluster.propose(1, b"a")
    cluster[1].raw.propose(b"never written")
    before = cluster[1].raw.status()
    node = cluster.restart(1)
    after = node.raw.status()
    assert (after.hard_state, after.soft_state) == (before.hard_state, SoftState(0, FOLLOWER))
    assert after.last_index == before.last_index - 1
    cluster.tick(30)
    cluster.propose(cluster.leader().id, b"b")
    assert node.data() == [b"a", b"b"]


def test_everybody_restarts() -> None:
    cluster = Cluster()
    cluster.elect(1)
    cluster.propose(1, b"a", b"b")
    for id in (1, 2, 3):
        cluster.restart(id)
    cluster.tick(40)
    cluster.propose(cluster.leader().id, b"c")
    assert all(each.data() == [b"a", b"b", b"c"] for each in cluster.hosts.values())


def test_a_commit_index_that_was_not_written_is_learned_again() -> None:
    node = leader(voters=(1, 2))
    node.raw.propose(b"x")
    node.settle()
    node.storage.set_hard_state(HardState(1, 1, 0))
    node = node.restart()
    assert node.commit == 0
    elect(node)
    follow(node, 2)
    assert node.data() == [b"x"]


# A look from outside


def test_the_status_of_a_leader_shows_everybody() -> None:
    node = leader(learners=(4,))
    follow(node, 2)
    node.tick()
    node.raw.propose(b"four")
    node.raw.read_index(b"r")
    node.raw.transfer_leader(3)
    status = node.raw.status()
    assert isinstance(status, Status)
    assert list(status.progress) == [1, 2, 3, 4]
    assert status.hard_state == HardState(1, 1, 1)
    assert (status.id, status.term, status.commit, status.applied, status.last_index) == (1, 1, 1, 1, 2)
    assert status.soft_state == SoftState(1, LEADER)
    assert (status.lead_transferee, status.pending_reads, status.uncommitted_size) == (3, 1, 4)
    assert (status.is_member, status.is_learner, status.committed_in_term) == (True, False, True)
    assert status.quorum_recently_active
    assert (status.log_loss_suspected, status.term_jump) == ("", False)
    assert status.to_json() == (
        '{"id":"1","term":1,"vote":"1","commit":1,"lead":"1","raftState":"StateLeader","applied":1,"progress":{'
        '"1":{"match":1,"next":2,"state":"StateReplicate"},"2":{"match":1,"next":3,"state":"StateReplicate"},'
        '"3":{"match":0,"next":1,"state":"StateProbe"},"4":{"match":0,"next":1,"state":"StateProbe"}},'
        '"leadtransferee":"3"}'
    )


def test_the_status_of_a_follower_shows_itself() -> None:
    node = follower()
    status = node.raw.status()
    assert (status.progress, status.quorum_recently_active, status.committed_in_term) == ({}, False, False)
    assert str(status.config) == "voters=(1 2 3)"
    assert status.to_json().endswith('"progress":{},"leadtransferee":"0"}')


def test_a_status_does_not_change_with_its_node() -> None:
    node = leader()
    status = node.raw.status()
    shown = repr(status)
    follow(node, 2, 3)
    node.raw.propose(b"x")
    node.raw.step(heartbeat(9))
    assert repr(status) == shown


# All together


@pytest.mark.parametrize("async_storage_writes", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 9])
def test_a_cluster_agrees(size: int, async_storage_writes: bool) -> None:
    cluster = Cluster(tuple(range(1, size + 1)), async_storage_writes=async_storage_writes, max_inflight_msgs=2)
    cluster.tick(30)
    lead = cluster.leader()
    for number in range(30):
        lead.raw.propose(b"%d" % number)
    cluster.settle()
    assert all(each.data() == [b"%d" % number for number in range(30)] for each in cluster.hosts.values())
    assert {each.commit for each in cluster.hosts.values()} == {31}
    assert cluster.refused == []
    assert all(entry.type is ENTRY_NORMAL for entry in lead.applied)


@pytest.mark.parametrize("pre_vote", [False, True], ids=["vote", "pre-vote"])
def test_an_idle_cluster_only_beats(pre_vote: bool) -> None:
    cluster = Cluster(pre_vote=pre_vote)
    cluster.tick(40)
    cluster.delivered.clear()
    cluster.tick(50)
    assert not of_type(cluster.delivered, MSG_APP, MSG_APP_RESP, MSG_VOTE, MSG_PRE_VOTE)
    assert len(cluster.delivered) == 50 * 2 * 2
