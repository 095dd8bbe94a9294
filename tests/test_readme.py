"""The loop in README.md is a program: three nodes run it as it stands."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path
from typing import Any

import pytest

import pyraft
import raftpb
from pyraft import Config, MemoryStorage, NullLogger, Peer, ReadState
from raftpb import ConfState, decode_message
from raftpb.confchange import ConfChange
from raftpb.enums import ADD_LEARNER_NODE
from raftpb.message import Entry, Snapshot

README = Path(__file__).parents[1] / "README.md"

pytestmark = pytest.mark.skipif(not README.is_file(), reason="needs the source checkout")

IDS = (1, 2, 3)


def loop_text() -> str:
    """The code of the section "The loop"."""
    section = README.read_text().partition("## The loop")[2]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found[1]


class World:
    """Three nodes, each in a loop of its own that is run for one round at a time."""

    def __init__(self) -> None:
        self.wire: dict[int, deque[bytes]] = {id: deque() for id in IDS}
        self.applied: dict[int, list[bytes]] = {id: [] for id in IDS}
        self.confs: dict[int, ConfState] = {}
        self.served: list[ReadState] = []
        self.synced = 0
        self.failed: list[object] = []
        self.nodes: dict[int, pyraft.RawNode] = {}
        self.loops = {id: self.loop(id) for id in IDS}

    def loop(self, id: int) -> dict[str, Any]:
        log = MemoryStorage()
        rounds = iter([True])
        config = Config(id=1, storage=log)

        def make(_: Config) -> pyraft.RawNode:
            self.nodes[id] = pyraft.RawNode(Config(id=id, storage=log, logger=NullLogger()))
            return self.nodes[id]

        def send(to: int, data: bytes) -> bool:
            if to in self.wire:
                self.wire[to].append(data)
            return to in self.wire

        def apply(entry: Entry) -> None:
            if entry.data:
                self.applied[id].append(entry.data)

        def sync() -> None:
            self.synced += 1

        scope: dict[str, Any] = {
            **{name: getattr(pyraft, name) for name in pyraft.__all__},
            **{name: getattr(raftpb, name) for name in raftpb.__all__},
            "log": log,
            "Config": lambda **_: config,
            "RawNode": make,
            "Peer": Peer,
            "running": lambda: next(rounds, False),
            "feed": lambda node: None,
            "sync": sync,
            "send": send,
            "restore": lambda snapshot: self.restored(id, snapshot),
            "apply": apply,
            "serve": self.served.append,
            "fail": lambda *asked: self.failed.extend(one for some in asked for one in some),
            "keep": lambda conf: self.confs.__setitem__(id, conf),
        }
        text = loop_text()
        start, _, rest = text.partition("\nwhile running():")
        body, _, functions = rest.partition("\n\ndef ")
        exec(compile(f"def {functions}", "README.md", "exec"), scope)
        exec(compile(start, "README.md", "exec"), scope)
        scope["round"] = compile(f"while running():{body}", "README.md", "exec")
        return scope

    def restored(self, id: int, snapshot: Snapshot) -> None:
        raise AssertionError(f"nobody here needs the snapshot {snapshot} of {id}")

    def round(self) -> None:
        for id, scope in self.loops.items():
            rounds = iter([True])
            scope["running"] = lambda rounds=rounds: next(rounds, False)

            def feed(node: pyraft.RawNode, id: int = id) -> None:
                node.tick()
                while self.wire[id]:
                    node.step(decode_message(self.wire[id].popleft()))

            scope["feed"] = feed
            exec(scope["round"], scope)

    def leader(self) -> pyraft.RawNode | None:
        leading = [
            node for node in self.nodes.values() if node.basic_status().soft_state.role == pyraft.Role.StateLeader
        ]
        return leading[0] if leading else None


def test_three_nodes_in_the_loop_of_the_readme_replicate() -> None:
    world = World()
    while world.leader() is None or not world.confs:
        world.round()
    leader = world.leader()
    assert leader is not None
    for _ in range(5):
        world.round()
    leader.propose(b"written")
    leader.propose_conf_change(ConfChange(ADD_LEARNER_NODE, 4))
    for _ in range(5):
        world.round()
    leader.read_index(b"read")
    for _ in range(5):
        world.round()
    assert world.applied == {id: [b"written"] for id in IDS}
    assert {conf.learners for conf in world.confs.values()} == {(4,)}
    assert [read.context for read in world.served] == [b"read"]
    assert world.synced > 0
    assert world.failed == []


def test_an_impossible_change_of_an_older_leader_is_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    """It was committed by a leader that did not check; the loop goes on, also after a restart."""
    world = World()
    node = world.nodes[1]
    change = raftpb.encode_conf_change(ConfChange(raftpb.ConfChangeType.ConfChangeRemoveNode, 1))
    for _ in range(2):
        world.loops[1]["change_members"](node, Entry(raftpb.EntryType.EntryConfChange, 1, 9, change))
    assert "entry 9 is skipped" not in capsys.readouterr().out, "three voters: possible"
    lone = pyraft.RawNode(Config(id=1, storage=_lone(), logger=NullLogger()))
    world.loops[1]["change_members"](lone, Entry(raftpb.EntryType.EntryConfChange, 1, 9, change))
    assert "entry 9 is skipped: removed all voters" in capsys.readouterr().out


def _lone() -> MemoryStorage:
    storage = MemoryStorage()
    storage.apply_snapshot(Snapshot(b"", raftpb.SnapshotMetadata(ConfState((1,)), 1, 1)))
    return storage
