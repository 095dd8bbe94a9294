"""World: what everybody in a simulation shares: time, chance, the network, the checker, and the record of the run."""

from __future__ import annotations

import hashlib
from random import Random
from typing import TYPE_CHECKING, Final

from pyraft import Ready
from raftpb.enums import ENTRY_NORMAL, MSG_SNAP
from raftpb.message import ConfState, Message, Snapshot, SnapshotMetadata
from rafttest.sim import history, oracle
from rafttest.sim.faults import MAX_PROPOSAL_BYTES, Options
from rafttest.sim.invariants import Checker, Limits
from rafttest.sim.network import Network
from rafttest.sim.schedule import Schedule

if TYPE_CHECKING:
    from rafttest.sim.node import Node


class World:
    """One simulation's surroundings. `nodes` ascends by id."""

    def __init__(self, options: Options) -> None:
        founders = ConfState(tuple(range(1, options.voters + 1)))
        state = history.digest_after(b"", 0, 0, ENTRY_NORMAL, b"")
        self.start: Final = Snapshot(state, SnapshotMetadata(founders, 2, 1))
        self.options = options
        self.random = Random(options.seed + (1 << 64))
        self.schedule = Schedule()
        self.network = Network(self.schedule, self.random, options, self._arrive, self._lost)
        limits = Limits(
            options.max_size_per_msg,
            options.max_uncommitted_entries_size + MAX_PROPOSAL_BYTES,
            options.max_pending_reads,
            options.max_inflight_msgs,
        )
        self.checker = Checker(self.start, limits)
        self.nodes: dict[int, Node] = {}
        self.is_calm = False
        self.is_led = False
        """Faults are over and all members follow one leader."""
        self.counts: dict[str, int] = {}
        self.events = 0
        self._hash = hashlib.blake2b(digest_size=16)
        self.recent: list[str] = []
        self.keeps_all = False

    def count(self, what: str, many: int = 1) -> None:
        """Something was reached."""
        self.counts[what] = self.counts.get(what, 0) + many

    def note(self, text: str) -> None:
        """An event; the trace is all of them, in order."""
        self.events += 1
        line = f"{self.schedule.now} {text}\n"
        self._hash.update(line.encode())
        self.recent.append(line)
        if len(self.recent) > 400 and not self.keeps_all:
            del self.recent[:200]

    def trace_hash(self) -> str:
        """Of everything noted so far."""
        return self._hash.hexdigest()

    def up(self) -> list[Node]:
        """The nodes that run, ascending."""
        return [node for node in self.nodes.values() if node.is_up]

    def members(self) -> list[int]:
        """Who takes part by the last committed configuration."""
        return oracle.members_of(self.checker.conf)

    def send(self, m: Message) -> None:
        """A message leaves its node."""
        self.network.send(m)

    def _arrive(self, m: Message) -> None:
        node = self.nodes[m.to]
        if not node.is_up:
            self._lost(m)
        elif node.is_paused():
            node.wait_for_end_of_pause(lambda: self._arrive(m))
        else:
            node.receive(m)
            if m.type is MSG_SNAP:
                self.nodes[m.from_].hear_of_snapshot(m.to, True)

    def _lost(self, m: Message) -> None:
        self.note(f"lost {describe(m)}")
        self.count("messages lost")
        sender = self.nodes[m.from_]
        if m.type is MSG_SNAP:
            sender.hear_of_snapshot(m.to, False)
        elif self.random.random() < 0.1:
            sender.hear_unreachable(m.to)


def describe(m: Message) -> str:
    """A message as one word of the trace."""
    snapshot = "" if m.snapshot is None else f" snapshot={m.snapshot.metadata.index}"
    return (
        f"{m.type.name} {m.from_}->{m.to} term={m.term} at=({m.log_term},{m.index}) entries={len(m.entries)} "
        f"commit={m.commit} reject={int(m.reject)} hint={m.reject_hint} context={m.context.hex()}{snapshot}"
    )


def count_ready(world: World, n: int, ready: Ready) -> None:
    """What is worth counting about a Ready, before its entries become part of what is known of node `n`."""
    mirror = world.checker.lives[n].mirror
    if ready.entries:
        cut = mirror.last() + 1 - ready.entries[0].index
        world.count("tails replaced", int(cut > 0 and ready.snapshot is None))
        world.count("tails of three or more replaced", int(cut > 2 and ready.snapshot is None))
    if ready.snapshot is not None:
        world.count("snapshots received")
        world.count("snapshots together with entries", int(bool(ready.entries)))
        world.count(
            "snapshots over a longer log",
            int(mirror.last() > ready.snapshot.metadata.index),
        )
    world.count("membership changes refused by a leader", len(ready.refused_conf_changes))
