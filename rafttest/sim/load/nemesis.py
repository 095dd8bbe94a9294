"""Nemesis: what goes wrong beyond crashes, pauses and partitions, each at random intervals and by a chance of its own.

A node is lost for ever only while the others can go on without it: `Simulation.may_lose`.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from pyraft import DropReason, ProposalDroppedError, Role
from raftpb.confchange import ConfChange, ConfChangeSingle, ConfChangeV2
from raftpb.enums import ADD_LEARNER_NODE, ADD_NODE, REMOVE_NODE, TRANSITION_AUTO
from rafttest.sim.checker import oracle
from rafttest.sim.checker.violation import Violation
from rafttest.sim.cluster.disk import READ, SYNC, WRITE, SimDisk
from rafttest.sim.cluster.frame import DamagedError
from rafttest.sim.cluster.node import SimNode
from rafttest.sim.load.clients import offer
from rafttest.sim.load.workload import Workload
from rafttest.sim.options import MAX_PROPOSAL_BYTES
from rafttest.sim.schedule import TICK
from rafttest.sim.simulation import Simulation

_MOST_NEW: Final = 2
"""Nodes that join under a new id in one run."""


class Nemesis:
    """What happens to a simulation by itself, as its options say."""

    def __init__(self, sim: Simulation, workload: Workload) -> None:
        self.sim = sim
        self.workload = workload
        self.random = Random()
        self.founded = len(sim.nodes)

    def begin(self) -> None:
        """Let everything happen that this seed has."""
        for name, interval in self.sim.options.intervals.items():
            if name in NEMESIS:
                self._arrange(NEMESIS[name], interval * TICK, Random(f"{self.sim.options.seed} {name}"))
        if self.sim.absent:
            self._arrange(Nemesis._invite_absent, 60 * TICK, Random(f"{self.sim.options.seed} absent"))

    def _arrange(self, happening: Callable[[Nemesis], None], interval: int, random: Random) -> None:
        def happen() -> None:
            if not self.sim.is_calm:
                self._arrange(happening, interval, random)
                self.random = random
                happening(self)

        self.sim.schedule.after(random.randrange(1, 2 * interval), happen)

    def _pick(self) -> SimNode | None:
        awake = [node for node in self.sim.up() if not node.is_paused()]
        return self.random.choice(awake) if awake else None

    def _leader(self) -> SimNode | None:
        lives = self.sim.checker.lives
        leaders = [node for node in self.sim.up() if lives[node.id].role is Role.StateLeader]
        return max(leaders, key=lambda node: lives[node.id].term) if leaders else None

    # -- clients and operators

    def retry(self) -> None:
        """A client that has not heard of its write asks for it again, of anybody."""
        waiting = sorted(data for node in self.sim.up() for data in node.waiting)
        node = self._pick()
        if node is None or not waiting:
            return
        data = self.random.choice(waiting)
        self.sim.note(f"retry {node.id} {data[:12]!r}")
        if offer(self.sim, node, data):
            self.sim.count("proposals made again")
        node.settle()

    def oversized(self) -> None:
        """A client asks for more than is allowed, and a moment later for just as much."""
        if (node := self._pick()) is None:
            return
        self.sim.note(f"oversized {node.id}")
        try:
            node.raw.propose(bytes(MAX_PROPOSAL_BYTES + 1))
        except ProposalDroppedError as error:
            if error.reason is DropReason.TOO_LARGE:
                self.sim.count("proposals dropped: TOO_LARGE")
                return
        raise Violation("S23", f"node {node.id} takes a proposal of {MAX_PROPOSAL_BYTES + 1} bytes")

    def hasty(self) -> None:
        """An operator does two things at once: asks for a membership change and for another leader, or lets a node
        stand for election that has not applied a change that is committed.
        """
        sim, lives = self.sim, self.sim.checker.lives
        late = [node for node in sim.up() if any(at <= lives[node.id].commit for at in lives[node.id].conf_entries)]
        late = [node for node in late if not node.is_paused()]
        if late:
            node = self.random.choice(late)
            sim.note(f"campaign {node.id}")
            refusal = node.raw.campaign()
            sim.count(f"campaigns refused: {refusal.name}" if refusal else "campaigns")
            node.settle()
        leader = self._leader()
        if leader is not None and not leader.is_paused():
            step = self.random.choice((ADD_NODE, ADD_NODE, ADD_LEARNER_NODE))
            self.workload.change_at(leader, ConfChange(step, self.random.choice(sim.healthy())))
            self._hand_over(leader, self.random.choice(oracle.members_of(leader.conf) or [leader.id]))

    def _hand_over(self, leader: SimNode, target: int) -> None:
        sim = self.sim
        sim.note(f"transfer {leader.id} {target}")
        if leader.raw.transfer_leader(target) is None:
            sim.count("transfers")
        leader.settle()
        if sim.nodes[target].is_up and self.random.random() < 0.2:
            other = self.random.choice((leader, sim.nodes[target]))
            sim.schedule.after(self.random.randrange(TICK), lambda: other.crash() if other.is_up else None)

    def evict(self) -> None:
        """A node is cut off, removed from the cluster, and comes back without knowing it."""
        sim, leader = self.sim, self._leader()
        others = [id for id in oracle.members_of(sim.checker.conf) if leader is not None and id != leader.id]
        if leader is None or leader.is_paused() or len(others) < 2:
            return
        id = self.random.choice(others)
        sim.count("nodes removed while cut off")
        self._part(id, self.random.randrange(2, 8) * sim.options.election_tick, lambda: None)
        self.workload.change_at(leader, ConfChange(REMOVE_NODE, id))

    def strand(self) -> None:
        """A leader is cut off while clients still write to it; the others elect a new one, go on, and forget their logs
        before the old one returns.
        """
        sim, leader = self.sim, self._leader()
        if leader is None or leader.is_paused() or len(sim.checker.conf.voters) < 3:
            return
        self._part(leader.id, self.random.randrange(2, 5) * sim.options.election_tick, self._forget_logs)
        for _ in range(self.random.randrange(1, 12)):
            if leader.is_up:
                self.workload.propose_to(leader)

    def lag(self) -> None:
        """A follower is cut off and slow, and the others forget what it lacks; it needs a snapshot, and then more."""
        sim, leader = self.sim, self._leader()
        others = [node for node in sim.up() if node is not leader and not node.is_paused()]
        if leader is None or leader.is_paused() or not others:
            return
        node = self.random.choice(others)
        if self.random.random() < 0.6:
            self._choke(leader, node)
            return
        self._part(node.id, self.random.randrange(2, sim.options.election_tick), self._forget_logs)
        if not sim.options.lease_reads or self.random.random() < 0.5:
            self._slow_down(node.id, self.random.randrange(2, 30), 4 * sim.options.election_tick)
        for _ in range(self.random.randrange(1, 6)):
            if leader.is_up:
                self.workload.propose_to(leader)

    def _choke(self, leader: SimNode, node: SimNode) -> None:
        """`node` writes and answers slowly; its leader does not reach it for a while, is told so, and forgets what
        it lacks. So it is sent a snapshot, and entries after that, before it has written what it had before.
        """
        sim, timeout = self.sim, self.sim.options.election_tick
        link = (leader.id, node.id)
        self._slow_down(node.id, self.random.randrange(10, 60), 6 * timeout)

        def write() -> None:
            if leader.is_up and not leader.is_paused() and not sim.is_calm:
                self.workload.propose_to(leader)

        def forget() -> None:
            if leader.is_up and not leader.is_paused() and not sim.is_calm:
                leader.keep_snapshot(0)
                leader.raw.report_unreachable(node.id)
                leader.settle()

        for at in range(0, 5 * timeout * TICK, TICK // 2):
            sim.schedule.after(at, write)
        sim.schedule.after(2 * TICK, lambda: None if sim.is_calm else sim.network.cut.add(link))
        sim.schedule.after((timeout - 1) * TICK, lambda: sim.network.cut.discard(link))
        for at in range((timeout - 1) * TICK, 5 * timeout * TICK, timeout * TICK // 2):
            sim.schedule.after(at, forget)

    def _part(self, id: int, ticks: int, meanwhile: Callable[[], None]) -> None:
        """Cut node `id` off for so long; `meanwhile` happens just before its return."""
        sim = self.sim
        links = [link for other in sim.nodes if other != id for link in ((id, other), (other, id))]
        sim.note(f"part {id} {ticks}")
        sim.network.cut.update(links)
        sim.schedule.after(ticks * TICK - 1, meanwhile)
        sim.schedule.after(ticks * TICK, lambda: sim.network.cut.difference_update(links))

    def _forget_logs(self) -> None:
        if not self.sim.is_calm:
            for node in self.sim.up():
                if not node.is_paused():
                    node.keep_snapshot(0)

    def rejoin(self) -> None:
        """A machine is given up; another one takes its place, under an id that was never used."""
        sim, leader = self.sim, self._leader()
        voters = [id for id in sim.checker.conf.voters if not sim.nodes[id].is_lost and sim.may_lose(id)]
        voters = [id for id in voters if leader is not None and id != leader.id]
        if leader is None or leader.is_paused() or not voters or len(sim.nodes) >= self.founded + _MOST_NEW:
            return
        old = self.random.choice(voters)
        sim.nodes[old].lose("given up")
        node = add_node(sim, max(sim.nodes) + 1)
        steps = [ConfChangeSingle(REMOVE_NODE, old), ConfChangeSingle(ADD_NODE, node.id)]
        self.workload.change_at(leader, ConfChangeV2(steps, TRANSITION_AUTO))
        sim.count("nodes that took a place under a new id")

    def _invite_absent(self) -> None:
        """Somebody who never comes is made a member."""
        leader, random = self._leader(), self.random
        absent = [id for id in self.sim.absent if id in self.sim.candidates()]
        if leader is not None and not leader.is_paused() and absent:
            self.workload.change_at(leader, ConfChange(random.choice((ADD_NODE, ADD_LEARNER_NODE)), absent[0]))

    # -- machines

    def slow(self) -> None:
        """A node does everything much more slowly for a while: what it sends, and what it writes."""
        if (node := self._pick()) is not None:
            ticks = self.random.randrange(5, 15 * self.sim.options.election_tick)
            self._slow_down(node.id, self.random.randrange(5, 101), ticks)

    def _slow_down(self, id: int, factor: int, ticks: int) -> None:
        sim, slow = self.sim, self.sim.network.slow
        sim.note(f"slow {id} {factor} {ticks}")
        sim.count("nodes slowed down")
        slow[id] = factor

        def end() -> None:
            slow.pop(id, None)

        sim.schedule.after(ticks * TICK, end)

    def _break(self, access: str) -> None:
        if (node := self._pick()) is not None:
            self.sim.note(f"break {node.id} {access}")
            node.disk.broken = access

    def sync_fails(self) -> None:
        """The next sync of a node fails."""
        self._break(SYNC)

    def write_fails(self) -> None:
        """The next write of a node fails: no space."""
        self._break(WRITE)

    def read_fails(self) -> None:
        """The core's next read of a node's disk fails."""
        self._break(READ)

    def interrupt(self) -> None:
        """A node crashes that is receiving a snapshot."""
        receiving = [self.sim.nodes[id] for id in self.sim.network.streams.receivers()]
        receiving = [node for node in receiving if node.is_up and not node.is_paused()]
        if receiving:
            self.random.choice(receiving).crash()

    def rot(self) -> None:
        """Bits change in the middle of a node's log. It must not start with that, and is lost."""
        node = self._pick()
        if node is None or not self.sim.may_lose(node.id):
            return
        node.lose("damaged log")
        try:
            node.disk.rot(self.random)
        except DamagedError:
            self.sim.count("damaged logs refused")
            return
        raise Violation("D5", f"node {node.id} would start with a log that was damaged")


def add_node(sim: Simulation, id: int) -> SimNode:
    """A node with an empty disk, or that of a founding member."""
    options = sim.options
    start = sim.start if id <= options.voters else None
    fail_at = options.fail_io[1] if options.fail_io[0] == id else 0
    sim.nodes[id] = node = SimNode(sim, id, SimDisk(start, id, options.flush, fail_at))
    sim.network.ids = list(sim.nodes)
    return node


NEMESIS: Final[dict[str, Callable[[Nemesis], None]]] = {
    "retry": Nemesis.retry,
    "oversized": Nemesis.oversized,
    "hasty": Nemesis.hasty,
    "evict": Nemesis.evict,
    "strand": Nemesis.strand,
    "lag": Nemesis.lag,
    "slow": Nemesis.slow,
    "interrupt": Nemesis.interrupt,
    "sync_fails": Nemesis.sync_fails,
    "write_fails": Nemesis.write_fails,
    "read_fails": Nemesis.read_fails,
    "rot": Nemesis.rot,
    "rejoin": Nemesis.rejoin,
}
