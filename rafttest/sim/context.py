"""Context: what the parts of a simulation share: time, random numbers, the checker, the trace and the counts.

Nodes, threads, clients and coverage know the context; only `simulation` knows them all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from random import Random
from typing import Final, Protocol

from raftpb.enums import ENTRY_NORMAL
from raftpb.message import ConfState, Message, Snapshot, SnapshotMetadata
from rafttest.sim.checker import history, oracle
from rafttest.sim.checker.history import Limits
from rafttest.sim.checker.safety import Checker
from rafttest.sim.cluster.network import SimNetwork
from rafttest.sim.cluster.state_machine import Machines
from rafttest.sim.node_view import NodeView
from rafttest.sim.observer import Observer
from rafttest.sim.options import MAX_PROPOSAL_BYTES, Options
from rafttest.sim.schedule import Schedule


class ClientCalls(Protocol):
    """What a node tells the clients."""

    def confirm(self, node: NodeView, context: bytes, index: int) -> None:
        """`node` may answer the read `context` once it has applied everything up to `index`."""
        ...

    def serve(self, node: NodeView) -> None:
        """`node` has applied something."""
        ...

    def acknowledge(self, data: bytes) -> None:
        """A node that was given `data` has applied it."""
        ...


class Context:
    """The shared part of one simulation. Whoever derives from it has the nodes, and sets `clients` and `network`."""

    clients: ClientCalls
    network: SimNetwork

    def __init__(self, options: Options) -> None:
        founders = ConfState(tuple(range(1, options.voters + 1)))
        state = history.digest_after(b"", 0, 0, ENTRY_NORMAL, b"")
        self.start: Final = Snapshot(state, SnapshotMetadata(founders, 2, 1))
        self.options = options
        self.random = Random(options.seed + (1 << 64))
        self.schedule = Schedule()
        limits = Limits(
            options.max_size_per_msg,
            options.max_uncommitted_entries_size + MAX_PROPOSAL_BYTES,
            options.max_pending_reads,
            options.max_inflight_msgs,
            options.election_tick,
        )
        self.checker = Checker(self.start, limits, options.lease_reads)
        self.machines = Machines()
        self.is_calm = False
        """Faults are over."""
        self.healed = 0
        """The moment when faults ended."""
        self.is_led = False
        """Faults are over and all members follow one leader."""
        self.has_suspicion = False
        """Some node suspects that a log has lost entries."""
        self.counts: dict[str, int] = {}
        self.events = 0
        self._hash = hashlib.blake2b(digest_size=16)
        self.recent: list[str] = []
        self.keeps_all = False
        self.observer: Observer | None = None

    @property
    def nodes(self) -> Mapping[int, NodeView]:
        """All nodes, ascending by id."""
        raise NotImplementedError

    def up(self) -> Sequence[NodeView]:
        """The nodes that run, ascending."""
        raise NotImplementedError

    def count(self, what: str, many: int = 1) -> None:
        """Count a coverage point."""
        self.counts[what] = self.counts.get(what, 0) + many

    def note(self, text: str, m: Message | None = None) -> None:
        """An event, perhaps about a message; the trace is all of them, in order."""
        if self.observer is not None:
            self.observer.noted(text, m)
        self.events += 1
        line = f"{self.schedule.now} {text}\n"
        self._hash.update(line.encode())
        self.recent.append(line)
        if len(self.recent) > 400 and not self.keeps_all:
            del self.recent[:200]

    def trace_hash(self) -> str:
        """Of everything noted so far."""
        return self._hash.hexdigest()

    def members(self) -> list[int]:
        """Who takes part by the last committed configuration."""
        return oracle.members_of(self.checker.conf)

    def send(self, m: Message) -> None:
        """A message leaves its node."""
        if self.observer is not None:
            self.observer.sent(m)
        self.network.send(m)


def describe(m: Message) -> str:
    """A message as one word of the trace."""
    snapshot = "" if m.snapshot is None else f" snapshot={m.snapshot.metadata.index}"
    return (
        f"{m.type.name} {m.from_}->{m.to} term={m.term} at=({m.log_term},{m.index}) entries={len(m.entries)} "
        f"commit={m.commit} reject={int(m.reject)} hint={m.reject_hint} context={m.context.hex()}{snapshot}"
    )
