"""The loop in README.md is a program: nodes run it as it stands, one round after the other."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path
from random import Random
from types import CodeType
from typing import Any

import pytest

import pyraft
import raftpb
from pyraft import Config, MemoryStorage, NullLogger, Progress, ProgressState, RawNode, ReadDropReason, Role
from raftpb import ConfChange, ConfChangeType, ConfState, Entry, EntryType, Snapshot, SnapshotMetadata, decode_message

README = Path(__file__).parents[2] / "README.md"
NAMES = {name: getattr(package, name) for package in (pyraft, raftpb) for name in package.__all__}


def loop_text() -> str:
    """The code of the section "The loop"."""
    section = README.read_text(encoding="utf-8").partition("## The loop")[2]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found[1]


def loop_parts() -> tuple[CodeType, CodeType, CodeType]:
    """What comes before `while running()`, that statement, and the functions after it: all there is."""
    start, loop, rest = re.split(r"^(?=while running\(\)|def )", loop_text(), flags=re.MULTILINE)
    return compile(start, "start", "exec"), compile(loop, "loop", "exec"), compile(rest, "functions", "exec")


START, LOOP, FUNCTIONS = loop_parts()


class Member:
    """A node in the loop of the README, and what the loop calls."""

    def __init__(self, group: Group, id: int, *, founds: bool = True) -> None:
        self.group = group
        self.id = id
        self.log = MemoryStorage()
        self.inbox: deque[bytes] = deque()
        self.applied: list[bytes] = []
        self.applied_index = 0
        self.conf = ConfState()
        self.served: list[bytes] = []
        self.failed: list[object] = []
        self.syncs = 0
        self.left = 0
        self.scope: dict[str, Any] = {**NAMES, "log": self.log, "Config": self.config, "running": self.running}
        for name in ("feed", "sync", "send", "restore", "apply", "serve", "fail", "keep"):
            self.scope[name] = getattr(self, name)
        exec(FUNCTIONS, self.scope)
        if founds:
            exec(START, self.scope)
        else:
            self.scope["node"] = RawNode(self.config())

    @property
    def node(self) -> RawNode:
        node = self.scope["node"]
        assert isinstance(node, RawNode)
        return node

    def config(self, **_: object) -> Config:
        return Config(id=self.id, storage=self.log, random=Random(self.id), logger=NullLogger())

    def round(self) -> None:
        self.left = 1
        exec(LOOP, self.scope)

    def running(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def feed(self, node: RawNode) -> None:
        node.tick()
        while self.inbox:
            node.step(decode_message(self.inbox.popleft()))

    def sync(self) -> None:
        self.syncs += 1

    def send(self, to: int, data: bytes) -> bool:
        if to not in self.group.members or {self.id, to} & self.group.cut:
            return False
        self.group.members[to].inbox.append(data)
        return True

    def restore(self, snapshot: Snapshot) -> None:
        self.applied = snapshot.data.split()
        self.applied_index, self.conf = snapshot.metadata.index, snapshot.metadata.conf_state

    def apply(self, entry: Entry) -> None:
        self.applied += [entry.data] if entry.data else []
        self.applied_index = entry.index

    def keep(self, conf: ConfState) -> None:
        self.conf = conf

    def serve(self, read: pyraft.ReadState) -> None:
        self.served.append(read.context)

    def fail(self, *asked: tuple[object, ...]) -> None:
        self.failed += [one for some in asked for one in some]


class Group:
    """Three members, and a leader among them."""

    def __init__(self) -> None:
        self.members: dict[int, Member] = {}
        self.cut: set[int] = set()
        for id in (1, 2, 3):
            self.members[id] = Member(self, id)
        self.rounds(60)
        (self.leader,) = (one for one in self.members.values() if self.role(one) is Role.StateLeader)

    @staticmethod
    def role(member: Member) -> Role:
        return member.node.basic_status().soft_state.role

    def rounds(self, count: int) -> None:
        for _ in range(count):
            for member in self.members.values():
                member.round()

    def progress(self, follower: Member) -> Progress:
        """How far the leader believes a follower to be."""
        return self.leader.node.status().progress[follower.id]

    @property
    def applied(self) -> dict[int, list[bytes]]:
        return {id: member.applied for id, member in self.members.items()}


def test_members_replicate_and_answer_reads() -> None:
    group = Group()
    group.leader.node.propose(b"written")
    group.leader.node.read_index(b"read")
    group.rounds(5)
    assert group.applied == {id: [b"written"] for id in (1, 2, 3)}
    assert group.leader.served == [b"read"]
    assert all(member.conf == ConfState((1, 2, 3)) for member in group.members.values())
    assert all(member.syncs for member in group.members.values())
    assert {member.log.initial_state()[0].commit for member in group.members.values()} == {group.leader.applied_index}


def test_a_new_member_is_brought_up_to_date_by_a_snapshot() -> None:
    """While it cannot be reached, and when the snapshot does not leave, the leader hears of it and tries again."""
    group = Group()
    leader = group.leader
    leader.node.propose(b"one")
    leader.node.propose_conf_change(ConfChange(ConfChangeType.ConfChangeAddLearnerNode, 4))
    group.rounds(5)
    leader.log.create_snapshot(leader.node.basic_status().applied, leader.conf, b" ".join(leader.applied))
    leader.log.compact(leader.node.basic_status().applied)
    group.members[4] = Member(group, 4, founds=False)
    group.cut = {4}
    group.rounds(30)
    assert group.members[4].applied == []
    group.cut = set()
    leader.node.propose(b"two")
    group.rounds(30)
    assert group.applied == {id: [b"one", b"two"] for id in (1, 2, 3, 4)}
    assert group.members[4].conf == ConfState((1, 2, 3), (4,))


def test_a_snapshot_that_does_not_leave_is_sent_again() -> None:
    group = Group()
    leader = group.leader
    follower = next(member for member in group.members.values() if member is not leader)
    group.cut = {follower.id}
    leader.node.propose(b"one")
    group.rounds(3)
    assert group.progress(follower).state is ProgressState.StateProbe, "it was told that the follower is unreachable"
    leader.log.create_snapshot(leader.node.basic_status().applied, leader.conf, b" ".join(leader.applied))
    leader.log.compact(leader.node.basic_status().applied)
    lost: list[raftpb.MessageType] = []
    send = leader.scope["send"]

    def lose_one_snapshot(to: int, data: bytes) -> bool:
        kind = decode_message(data).type
        if kind is raftpb.MessageType.MsgSnap and not lost:
            lost.append(kind)
            return False
        return bool(send(to, data))

    leader.scope["send"] = lose_one_snapshot
    group.cut = set()
    while not lost:
        group.rounds(1)
    assert group.progress(follower).next == group.progress(follower).match + 1, "it was told that the snapshot is lost"
    group.rounds(30)
    assert group.applied == {id: [b"one"] for id in (1, 2, 3)}


def test_who_asked_is_told_that_nothing_comes_of_it() -> None:
    """A membership change while another one waits, and a read of a leader that steps down."""
    group = Group()
    leader = group.leader
    for id in (4, 5):
        leader.node.propose_conf_change(ConfChange(ConfChangeType.ConfChangeAddLearnerNode, id))
    group.rounds(5)
    (refused,) = leader.failed
    assert isinstance(refused, pyraft.RefusedConfChange)
    group.cut = {leader.id}
    leader.node.read_index(b"read")
    group.rounds(60)
    assert leader.failed[1:] == [pyraft.AbortedRead(b"read", ReadDropReason.ROLE_CHANGED)]
    assert leader.served == []


def test_an_impossible_change_of_an_older_leader_is_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    """It was committed by a leader that did not check."""
    log = MemoryStorage()
    log.apply_snapshot(Snapshot(b"", SnapshotMetadata(ConfState((1,)), 1, 1)))
    change = raftpb.encode_conf_change(ConfChange(ConfChangeType.ConfChangeRemoveNode, 1))
    log.append([Entry(EntryType.EntryConfChange, 1, 2, change), Entry(EntryType.EntryNormal, 1, 3, b"next")])
    log.set_hard_state(raftpb.HardState(1, 0, 3))
    group = Group()
    member = Member(group, 1, founds=False)
    member.scope["node"] = RawNode(Config(id=1, storage=log, logger=NullLogger()))
    member.scope["log"] = log
    member.round()
    assert capsys.readouterr().out == "entry 2 is skipped: removed all voters\n"
    assert member.applied == [b"next"]
