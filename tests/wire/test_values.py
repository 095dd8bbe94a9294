"""What the library hands out: equal by content, printable, copied and pickled without loss, and nobody's key."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import fields

import pytest
from random_cluster import RandomCluster

from pyraft import (
    AbortedRead,
    Anomalies,
    BasicStatus,
    Config,
    InvalidMessageError,
    MemoryStorage,
    NullLogger,
    Peer,
    ProgressState,
    RawNode,
    ReadDropReason,
    ReadState,
    Ready,
    RefusedConfChange,
    Role,
    SoftState,
    Status,
)
from raftpb.enums import ENTRY_NORMAL, MSG_APP, MSG_HEARTBEAT
from raftpb.message import ConfState, Entry, HardState, Message, Snapshot, SnapshotMetadata

VALUES: list[tuple[object, str, list[object]]] = [
    (
        SoftState(3, Role.StateLeader),
        "SoftState(leader=3, role=StateLeader)",
        [SoftState(2, Role.StateLeader), SoftState(3, Role.StateFollower)],
    ),
    (ReadState(7, b"ctx"), "ReadState(index=7, context=b'ctx')", [ReadState(8, b"ctx"), ReadState(7, b"other")]),
    (
        AbortedRead(b"ctx", ReadDropReason.ROLE_CHANGED),
        "AbortedRead(b'ctx', ReadDropReason.ROLE_CHANGED)",
        [AbortedRead(b"other", ReadDropReason.ROLE_CHANGED), AbortedRead(b"ctx", ReadDropReason.NO_LEADER)],
    ),
    (
        RefusedConfChange(9, "joint"),
        "RefusedConfChange(index=9, reason='joint')",
        [RefusedConfChange(8, "joint"), RefusedConfChange(9, "pending")],
    ),
    (Peer(4, b"there"), "Peer(4, b'there')", [Peer(5, b"there"), Peer(4, b""), Peer(4)]),
]


@pytest.mark.parametrize(("value", "text", "others"), VALUES, ids=[type(value).__name__ for value, _, _ in VALUES])
def test_small_values(value: object, text: str, others: list[object]) -> None:
    assert repr(value) == text
    check_value(value, others)


def check_value(value: object, others: list[object]) -> None:
    for copied in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert copied == value
        assert type(copied) is type(value)
    for other in others:
        assert other != value
    assert value != text_of(value)
    with pytest.raises(TypeError, match="unhashable"):
        hash(value)


def text_of(value: object) -> object:
    """Something of another type that looks alike."""
    return repr(value)


# -- Ready

FULL = {
    "soft_state": SoftState(1, Role.StateLeader),
    "hard_state": HardState(2, 1, 3),
    "entries": [Entry(ENTRY_NORMAL, 2, 4, b"x")],
    "snapshot": Snapshot(b"s", SnapshotMetadata(ConfState((1,)), 3, 1)),
    "committed_entries": [Entry(ENTRY_NORMAL, 2, 3)],
    "messages": [Message(MSG_APP, 2, 1, 2)],
    "must_sync": True,
    "read_states": (ReadState(3, b"r"),),
    "aborted_reads": (AbortedRead(b"a", ReadDropReason.ROLE_CHANGED),),
    "refused_conf_changes": (RefusedConfChange(4, "joint"),),
}

WORK = [name for name in FULL if name not in {"must_sync", "aborted_reads", "refused_conf_changes"}]


def ready(*names: str) -> Ready:
    """A Ready with these fields of `FULL`."""
    return Ready(**{name: FULL[name] for name in names})  # type: ignore[arg-type]


def test_a_ready_is_a_value() -> None:
    check_value(ready(*FULL), [ready(*(FULL.keys() - {name})) for name in FULL])
    check_value(Ready(), [ready(name) for name in FULL])


def test_a_ready_shows_what_is_in_it() -> None:
    assert repr(Ready()) == "Ready()"
    assert repr(ready("must_sync", "hard_state")) == (
        "Ready(hard_state=HardState(term=2, vote=1, commit=3), must_sync=True)"
    )
    shown = repr(ready(*FULL))
    assert [shown.index(f"{name}={FULL[name]!r}") for name in FULL] == sorted(
        shown.index(f"{name}={FULL[name]!r}") for name in FULL
    )


@pytest.mark.parametrize("name", FULL)
def test_a_ready_is_empty_if_there_is_nothing_to_do(name: str) -> None:
    assert ready(name).is_empty() is (name not in WORK)
    assert Ready().is_empty()


def test_an_empty_ready_refuses_to_be_filled() -> None:
    """All of them share their empty lists."""
    with pytest.raises(TypeError, match="messages are values"):
        Ready().entries.append(Entry())
    with pytest.raises(TypeError, match="messages are values"):
        Ready().messages.append(Message(MSG_APP))
    assert Ready().is_empty()


# -- Status


def led() -> RandomCluster:
    cluster = RandomCluster("safe", 1)
    cluster.play([("lead", 0, 11), ("propose", 0, 3), ("settle", 0, 11)])
    return cluster


def test_the_status_of_a_leader() -> None:
    status = led().members[0].raw.status()
    assert (status.id, status.term, status.commit) == (1, status.hard_state.term, status.hard_state.commit)
    assert status.soft_state == SoftState(1, Role.StateLeader)
    assert (status.applied, status.last_index) == (4, 4)
    assert (status.is_member, status.is_learner) == (True, False)
    assert status.committed_in_term
    assert status.quorum_recently_active
    assert status.lead_transferee == 0
    assert (status.pending_reads, status.uncommitted_size) == (0, 0)
    assert 4 <= status.randomized_election_timeout < 8
    assert status.anomalies == Anomalies()
    assert (status.log_loss_suspected, status.term_jump) == ("", False)
    assert str(status.config) == "voters=(1 2 3)"
    assert [(one.id, one.match, one.state) for one in status.progress.values()] == [
        (member, 4, ProgressState.StateReplicate) for member in (1, 2, 3)
    ]


def test_the_status_of_a_follower_has_no_progress() -> None:
    status = led().members[1].raw.status()
    assert status.soft_state == SoftState(1, Role.StateFollower)
    assert (status.progress, status.quorum_recently_active) == ({}, False)
    assert str(status.config) == "voters=(1 2 3)"


def test_only_a_leader_counts_who_is_active() -> None:
    """New members count as active, which says nothing on a node that hears from nobody."""
    node = RawNode(Config(id=1, storage=MemoryStorage(), logger=NullLogger()))
    node.bootstrap([Peer(1)])
    assert not node.status().quorum_recently_active


def test_the_status_of_a_stranger() -> None:
    status = led().members[4].raw.status()
    assert (status.is_member, status.is_learner, status.last_index) == (False, False, 0)


def test_the_status_shows_what_waits() -> None:
    cluster = led()
    leader = cluster.members[0].raw
    leader.propose(b"12345")
    leader.read_index(b"r")
    leader.transfer_leader(2)
    status = leader.basic_status()
    assert (status.pending_reads, status.uncommitted_size, status.lead_transferee) == (1, 5, 2)


def test_a_leader_without_a_commit_in_its_term_is_told_apart() -> None:
    cluster = RandomCluster("reference", 1)
    cluster.play([("lead", 0, 11), ("lead", 1, 1)])
    leader = cluster.members[1].raw
    assert leader.status().soft_state.role is Role.StateLeader
    assert not leader.status().committed_in_term
    leader.read_index(b"waits for that commit")
    assert leader.status().pending_reads == 1
    cluster.play([("settle", 0, 11)])
    assert leader.status().committed_in_term


def test_suspicions_are_in_the_status() -> None:
    node = led().members[1].raw
    with pytest.raises(InvalidMessageError):
        node.step(Message(MSG_HEARTBEAT, 2, 1, node.basic_status().term + 2**33))
    node.step(Message(MSG_HEARTBEAT, 2, 1, node.basic_status().term, commit=99))
    status = node.basic_status()
    assert status.term_jump
    assert status.log_loss_suspected.startswith("leader 1 of term ")
    assert status.anomalies == Anomalies(
        refused_messages=1, term_jump=True, log_loss_suspected=status.log_loss_suspected
    )


def test_a_status_is_a_copy() -> None:
    cluster = led()
    leader = cluster.members[0].raw
    before = leader.status()
    changed = leader.status()
    changed.progress[2].become_probe()
    changed.progress.clear()
    changed.anomalies.dropped_reads = 9
    assert leader.status() == before
    leader.propose(b"x")
    leader.tick()
    assert before == led().members[0].raw.status()
    assert leader.status() != before


def test_a_status_travels() -> None:
    node = led().members[0].raw
    status, basic = node.status(), node.basic_status()
    for value in (status, basic):
        for copied in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
            assert copied == value
            assert type(copied) is type(value)
        assert repr(value).startswith(f"{type(value).__name__}(id=1, hard_state=HardState(term=")
    assert status != basic
    assert {field.name for field in fields(BasicStatus)} < {field.name for field in fields(Status)}


def test_the_json_form_is_the_references() -> None:
    storage = MemoryStorage()
    storage.apply_snapshot(Snapshot(b"", SnapshotMetadata(ConfState((10,), (11,)), 300, 20)))
    storage.set_hard_state(HardState(20, 0, 300))
    node = RawNode(Config(id=10, storage=storage, logger=NullLogger(), pre_vote=False))
    assert node.status().to_json() == (
        '{"id":"a","term":20,"vote":"0","commit":300,"lead":"0","raftState":"StateFollower","applied":300,'
        '"progress":{},"leadtransferee":"0"}'
    )
    node.campaign()
    for _ in range(2):
        storage.append(node.ready().entries)
        node.advance()
    assert node.status().to_json() == (
        '{"id":"a","term":21,"vote":"a","commit":301,"lead":"a","raftState":"StateLeader","applied":300,'
        '"progress":{"a":{"match":301,"next":302,"state":"StateReplicate"},'
        '"b":{"match":0,"next":301,"state":"StateProbe"}},"leadtransferee":"0"}'
    )
    assert list(json.loads(node.status().to_json())["progress"]) == ["a", "b"]
