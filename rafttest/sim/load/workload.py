"""Workload: what clients and operators ask for, and what nemesis does to the cluster, each at random intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pyraft import MisuseError, ProposalDroppedError, Role, SnapshotStatus
from raftpb.confchange import AnyConfChange, ConfChange, ConfChangeSingle, ConfChangeV2
from raftpb.enums import (
    ADD_LEARNER_NODE,
    ADD_NODE,
    REMOVE_NODE,
    TRANSITION_AUTO,
    TRANSITION_JOINT_EXPLICIT,
    TRANSITION_JOINT_IMPLICIT,
)
from rafttest.sim.cluster.node import SimNode
from rafttest.sim.load.clients import ask, offer
from rafttest.sim.options import MAX_PROPOSAL_BYTES
from rafttest.sim.schedule import TICK
from rafttest.sim.simulation import Simulation

_STEPS: Final = (ADD_NODE, ADD_NODE, ADD_LEARNER_NODE, REMOVE_NODE)
_TRANSITIONS: Final = (TRANSITION_AUTO, TRANSITION_JOINT_IMPLICIT, TRANSITION_JOINT_EXPLICIT)


class Workload:
    """What happens to a simulation by itself, as its options say."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.sent = 0

    def begin(self) -> None:
        """Let everything happen that this seed has."""
        for name in self.sim.options.intervals:
            if name in _HAPPENINGS:
                self._arrange(name)

    def _arrange(self, name: str) -> None:
        interval = self.sim.options.intervals[name] * TICK

        def happen() -> None:
            if not self.sim.is_calm:
                self._arrange(name)
                _HAPPENINGS[name](self)

        self.sim.schedule.after(self.sim.random.randrange(1, 2 * interval), happen)

    def _pick(self) -> SimNode | None:
        """A node that runs, a leader rather often."""
        random, awake = self.sim.random, [node for node in self.sim.up() if not node.is_paused()]
        leaders = [node for node in awake if self.sim.checker.lives[node.id].role is Role.StateLeader]
        if leaders and random.random() < 0.6:
            return random.choice(leaders)
        return random.choice(awake) if awake else None

    # -- clients

    def propose(self) -> None:
        """Somebody writes, or several at once."""
        for _ in range(self.sim.random.choice((1, 1, 3, 8))):
            if (node := self._pick()) is not None:
                self.propose_to(node)

    def propose_to(self, node: SimNode) -> bytes | None:
        """A write that is unlike any other; None if it was dropped."""
        sim = self.sim
        self.sent += 1
        data = (b"%d " % self.sent).ljust(sim.random.choice((1, 10, 40, MAX_PROPOSAL_BYTES)), b".")
        sim.note(f"propose {node.id} {self.sent}")
        if not offer(sim, node, data):
            return None
        node.settle()
        return data

    def client(self) -> None:
        """A client of the map does something."""
        if (node := self._pick()) is not None:
            self.sim.clients.act(node)

    def read(self) -> None:
        """Somebody asks for a read index."""
        if (node := self._pick()) is not None:
            self.read_from(node)

    def read_from(self, node: SimNode) -> bytes | None:
        """A read that is unlike any other; None if it was dropped."""
        sim = self.sim
        self.sent += 1
        context = b"read %d" % self.sent
        sim.note(f"read {node.id} {self.sent}")
        if not ask(sim, node, context):
            return None
        node.settle()
        return context

    # -- operators

    def change(self) -> None:
        """Somebody asks for a membership change, or to leave a joint configuration."""
        if (node := self._pick()) is not None:
            joint = bool(node.conf.voters_outgoing)
            leave = self.sim.random.random() < (0.7 if joint else 0.03)
            self.change_at(node, None if leave else self._any_change())

    def change_at(self, node: SimNode, asked: AnyConfChange | None) -> None:
        """Propose it there."""
        self.sim.note(f"change {node.id} {asked!r}")
        try:
            node.raw.propose_conf_change(asked)
        except ProposalDroppedError:
            self.sim.count("membership changes dropped")
            return
        self.sim.count("membership changes proposed")
        node.settle()

    def _any_change(self) -> AnyConfChange:
        random, ids = self.sim.random, self.sim.candidates()
        if random.random() < 0.4:
            return ConfChange(random.choice(_STEPS), random.choice(ids))
        chosen = random.sample(ids, min(len(ids), random.choice((1, 1, 2, 2, 3))))
        return ConfChangeV2([ConfChangeSingle(random.choice(_STEPS), id) for id in chosen], random.choice(_TRANSITIONS))

    def compact(self) -> None:
        """A node makes a snapshot and forgets its log."""
        if (node := self._pick()) is not None:
            node.keep_snapshot(self.sim.random.choice((0, 0, 2, 10)))

    def transfer(self) -> None:
        """Somebody asks for another leader."""
        if (node := self._pick()) is not None:
            target = self.sim.random.choice(list(self.sim.nodes))
            self.sim.note(f"transfer {node.id} {target}")
            refusal = node.raw.transfer_leader(target)
            self.sim.count(f"transfers refused: {refusal.name}" if refusal else "transfers")
            node.settle()

    def campaign(self) -> None:
        """Somebody lets a node stand for election."""
        if (node := self._pick()) is not None:
            self.sim.note(f"campaign {node.id}")
            refusal = node.raw.campaign()
            self.sim.count(f"campaigns refused: {refusal.name}" if refusal else "campaigns")
            node.settle()

    def forget(self) -> None:
        """Somebody tells a node that its leader is dead."""
        if (node := self._pick()) is not None:
            self.sim.note(f"forget {node.id}")
            try:
                node.raw.forget_leader()
            except MisuseError:
                return
            self.sim.count("leaders forgotten")
            node.settle()

    def report(self) -> None:
        """The transport of a node is wrong about another one."""
        if (node := self._pick()) is not None:
            random = self.sim.random
            other = random.choice(list(self.sim.nodes))
            self.sim.note(f"report {node.id} {other}")
            if random.random() < 0.5:
                node.raw.report_unreachable(other)
            else:
                node.raw.report_snapshot(other, SnapshotStatus.SnapshotFailure)
            node.settle()

    # -- nemesis

    def crash(self) -> None:
        """A node crashes. What it said before may arrive once it runs again."""
        if (node := self._pick()) is not None:
            node.crash()
            for _ in range(self.sim.random.randrange(3)):
                self.sim.network.repeat_one_of_old(node.id)

    def power(self) -> None:
        """All nodes crash in the same moment."""
        for node in self.sim.up():
            node.crash()
        self.sim.count("power cuts")

    def pause(self) -> None:
        """A node stands still for a while, and does not know it."""
        if (node := self._pick()) is not None:
            sim = self.sim
            ticks = sim.random.randrange(1, 4 * sim.options.election_tick)
            sim.note(f"pause {node.id} {ticks}")
            node.paused_until = sim.schedule.now + ticks * TICK
            sim.count("pauses")

    def partition(self) -> None:
        """Nodes of two groups do not reach each other."""
        self._cut(both_ways=True)

    def partition_one_way(self) -> None:
        """One group does not reach the other."""
        self._cut(both_ways=False)

    def _cut(self, both_ways: bool) -> None:
        sim, random = self.sim, self.sim.random
        ids = random.sample(list(sim.nodes), len(sim.nodes))
        size = random.choice((1, len(ids) // 2))
        links = [(a, b) for a in ids[:size] for b in ids[size:]]
        if random.random() < 0.2:
            links = links[:1]
        if both_ways:
            links += [(b, a) for a, b in links]
        ticks = random.randrange(5, 12 * sim.options.election_tick)
        sim.note(f"cut {links} {ticks}")
        sim.count("partitions" if both_ways else "partitions one way")
        sim.network.cut.update(links)
        sim.schedule.after(ticks * TICK, lambda: sim.network.cut.difference_update(links))

    def clog(self) -> None:
        """Some links hold what they carry, one after the other, and let it go in another order."""
        sim, random = self.sim, self.sim.random
        ids = list(sim.nodes)
        for _ in range(random.choice((1, 1, len(ids)))):
            link = (random.choice(ids), random.choice(ids))
            sim.note(f"clog {link}")
            sim.network.clogged.setdefault(link, [])
            moments = random.randrange(1, 4 * sim.options.election_tick * TICK)
            sim.schedule.after(moments, lambda link=link: sim.network.release([link]))  # type: ignore[misc]
        sim.count("clogs")

    def repeat(self) -> None:
        """A message of the past arrives again."""
        id = self.sim.random.choice(list(self.sim.nodes))
        self.sim.count("old messages repeated", int(self.sim.network.repeat_one_of_old(id)))


_HAPPENINGS: Final[dict[str, Callable[[Workload], None]]] = {
    "propose": Workload.propose,
    "client": Workload.client,
    "read": Workload.read,
    "change": Workload.change,
    "compact": Workload.compact,
    "transfer": Workload.transfer,
    "campaign": Workload.campaign,
    "forget": Workload.forget,
    "crash": Workload.crash,
    "power": Workload.power,
    "pause": Workload.pause,
    "partition": Workload.partition,
    "partition_one_way": Workload.partition_one_way,
    "clog": Workload.clog,
    "repeat": Workload.repeat,
    "report": Workload.report,
}
