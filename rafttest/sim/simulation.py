"""Simulation: what everybody in a simulation shares: time, chance, the network, the checker, and the record of the
run.
"""

from __future__ import annotations

import hashlib
from random import Random
from typing import TYPE_CHECKING, Final

from raftpb.enums import ENTRY_NORMAL, MSG_PROP, MSG_SNAP
from raftpb.message import ConfState, Message, Snapshot, SnapshotMetadata
from rafttest.sim.checker import history, oracle
from rafttest.sim.checker.safety import Checker, Limits
from rafttest.sim.checker.violation import Violation
from rafttest.sim.cluster.disk import SimDiskError
from rafttest.sim.cluster.frame import DamagedError, decode_frame
from rafttest.sim.cluster.network import Envelope, Packet, SimNetwork
from rafttest.sim.cluster.snapshot_stream import Piece
from rafttest.sim.cluster.state_machine import Machines
from rafttest.sim.load.clients import Clients
from rafttest.sim.options import MAX_PROPOSAL_BYTES, Options
from rafttest.sim.schedule import TICK, Schedule

if TYPE_CHECKING:
    from rafttest.sim.cluster.node import SimNode
    from rafttest.sim.observer import Observer


class Simulation:
    """One simulation's surroundings. `nodes` ascends by id."""

    def __init__(self, options: Options) -> None:
        founders = ConfState(tuple(range(1, options.voters + 1)))
        state = history.digest_after(b"", 0, 0, ENTRY_NORMAL, b"")
        self.start: Final = Snapshot(state, SnapshotMetadata(founders, 2, 1))
        self.options = options
        self.random = Random(options.seed + (1 << 64))
        self.schedule = Schedule()
        chance = Random(f"{options.seed} network")
        self.network = SimNetwork(self.schedule, chance, options, self._arrive, self._lost, self.count)
        limits = Limits(
            options.max_size_per_msg,
            options.max_uncommitted_entries_size + MAX_PROPOSAL_BYTES,
            options.max_pending_reads,
            options.max_inflight_msgs,
            options.election_tick,
        )
        self.checker = Checker(self.start, limits, options.lease_reads)
        self.machines = Machines()
        self.clients = Clients(self)
        self.nodes: dict[int, SimNode] = {}
        size = options.voters + options.spares
        self.absent: Final = range(size - options.never_started + 1, size + 1)
        """The nodes that never start."""
        self.is_calm = False
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

    def count(self, what: str, many: int = 1) -> None:
        """Something was reached."""
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

    def up(self) -> list[SimNode]:
        """The nodes that run, ascending."""
        return [node for node in self.nodes.values() if node.is_up]

    def members(self) -> list[int]:
        """Who takes part by the last committed configuration."""
        return oracle.members_of(self.checker.conf)

    def send(self, m: Message) -> None:
        """A message leaves its node."""
        if self.observer is not None:
            self.observer.sent(m)
        self.network.send(m)

    def step(self, until: int) -> bool:
        """Go to the next thing and do it; False if nothing is left before `until`."""
        try:
            return self.schedule.step(until)
        except SimDiskError as error:
            self.nodes[error.id].fail(error)
            return True

    def healthy(self) -> list[int]:
        """Who is not lost for ever, ascending."""
        return [node.id for node in self.nodes.values() if not node.is_lost]

    def candidates(self) -> list[int]:
        """Who may be made a member, ascending: nobody who is lost, but with enough others also who never started."""
        has_room = len(self.checker.conf.voters) >= 3
        return [id for id, node in self.nodes.items() if not node.is_lost or (has_room and id in self.absent)]

    def may_lose(self, id: int) -> bool:
        """True if the others can go on without node `id` in every configuration that somebody may be in."""
        left = [one for one in self.healthy() if one != id]
        confs = [self.checker.conf, *(node.conf for node in self.nodes.values() if not node.is_lost)]
        return all(oracle.is_quorum(conf, left) for conf in confs if conf.voters)

    def _arrive(self, packet: Packet) -> None:
        node = self.nodes[packet.at]
        if isinstance(packet, Envelope) and self._is_stray(packet):
            self._lost(packet.message)
            return
        if not node.is_up:
            if isinstance(packet, Envelope):
                self._lost(packet.message)
        elif node.is_paused():
            node.wait_for_end_of_pause(lambda: self._arrive(packet))
        elif isinstance(packet, Piece):
            self.network.streams.take(packet)
        else:
            self._deliver(node, packet)

    def _is_stray(self, envelope: Envelope) -> bool:
        """True for what is still under way an election timeout after the last fault, and was sent before that."""
        end = self.healed + self.options.election_tick * TICK
        return self.is_calm and envelope.sent < self.healed and self.schedule.now > end

    def _deliver(self, node: SimNode, envelope: Envelope) -> None:
        m, arrived = envelope.message, False
        if envelope.frame is not None:
            try:
                received = decode_frame(envelope.frame)
            except DamagedError:
                self.count("damaged messages caught")
                self._lost(m)
                return
            if received != m:
                raise Violation("N11", f"sent {m!r}, received {received!r}")
            m = received
        if self.observer is not None:
            self.observer.arrives(node.id, envelope.message, m)
        try:
            node.receive(m, envelope.sent)
            arrived = m.to == node.id
        finally:
            if m.type is MSG_SNAP:
                self.nodes[m.from_].hear_of_snapshot(m.to, arrived)

    def _lost(self, m: Message) -> None:
        self.note(f"lost {describe(m)}", m)
        self.count("messages lost")
        self.count("forwarded proposals lost", int(m.type is MSG_PROP))
        sender = self.nodes[m.from_]
        if m.type is MSG_SNAP:
            sender.hear_of_snapshot(m.to, False)
        elif not self.is_calm and self.network.random.random() < 0.1:
            sender.hear_unreachable(m.to)


def describe(m: Message) -> str:
    """A message as one word of the trace."""
    snapshot = "" if m.snapshot is None else f" snapshot={m.snapshot.metadata.index}"
    return (
        f"{m.type.name} {m.from_}->{m.to} term={m.term} at=({m.log_term},{m.index}) entries={len(m.entries)} "
        f"commit={m.commit} reject={int(m.reject)} hint={m.reject_hint} context={m.context.hex()}{snapshot}"
    )
