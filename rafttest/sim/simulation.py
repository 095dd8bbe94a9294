"""Simulation: the nodes, the network between them, and what becomes of each message."""

from __future__ import annotations

from random import Random
from typing import Final

from raftpb.enums import MSG_PROP, MSG_SNAP
from raftpb.message import Message
from rafttest.sim.checker import oracle
from rafttest.sim.checker.violation import Violation
from rafttest.sim.cluster.disk import SimDiskError
from rafttest.sim.cluster.frame import DamagedError, decode_frame
from rafttest.sim.cluster.network import Envelope, Packet, SimNetwork
from rafttest.sim.cluster.node import SimNode
from rafttest.sim.cluster.snapshot_stream import Piece
from rafttest.sim.context import Context, describe
from rafttest.sim.load.clients import Clients
from rafttest.sim.options import Options
from rafttest.sim.schedule import TICK


class Simulation(Context):
    """One cluster under one seed."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        rng = Random(f"{options.seed} network")
        self.network = SimNetwork(self.schedule, rng, options, self._arrive, self._lost, self.count)
        self.clients: Clients = Clients(self)
        self._nodes: dict[int, SimNode] = {}
        size = options.voters + options.spares
        self.absent: Final = range(size - options.never_started + 1, size + 1)
        """The nodes that never start."""

    @property
    def nodes(self) -> dict[int, SimNode]:
        """All nodes, ascending by id."""
        return self._nodes

    def up(self) -> list[SimNode]:
        """The nodes that run, ascending."""
        return [node for node in self._nodes.values() if node.is_up]

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
