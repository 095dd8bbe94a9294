"""Disk loss: a node comes back under its old id with an empty disk, or with an old backup of it. No node may: what it
had acknowledged and voted for is gone, and no algorithm can make up for that. Runs of their own show what comes of it.

A run with disk loss ends in one of these ways, and says in which:

    noticed      some node suspects it (`log_loss_suspected`) before anything else is broken
    harmless     all laws held to the end, and everything acknowledged is kept
    unnoticed    a law of safety or liveness was broken and nobody could know: the node had promised what it lost, and
                 the same seed without disk loss breaks no law

Anything else is a violation, as is an exception that escapes.
"""

from __future__ import annotations

from random import Random
from typing import Final

from pyraft import MemoryStorage, Role
from rafttest.sim.checker.violation import Violation
from rafttest.sim.cluster.disk import copy_of
from rafttest.sim.options import OLD_BACKUP
from rafttest.sim.schedule import TICK
from rafttest.sim.simulation import Simulation

NOTICED: Final = "nodes that lost their disk and were noticed"
HARMLESS: Final = "nodes that lost their disk without harm"
UNNOTICED: Final = "nodes that lost their disk and broke a law unnoticed"


class DiskLoss:
    """What one node of a simulation loses, and what is to be thought of the end."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.random = Random(f"{sim.options.seed} amnesia")
        self.has_struck = False
        self.has_lost_promises = False
        self._backups: dict[int, MemoryStorage] = {}

    def begin(self) -> None:
        """Let it happen, if this seed has it."""
        options, random = self.sim.options, self.random
        if options.disk_loss:
            early = random.randrange(20, options.ticks // 2)
            late = random.randrange(early + 20, options.ticks - 20)
            self.sim.schedule.after(early * TICK, self._back_up)
            self.sim.schedule.after(late * TICK, self._strike)

    def _back_up(self) -> None:
        if self.sim.options.disk_loss == OLD_BACKUP:
            self._backups = {id: copy_of(node.disk.durable) for id, node in self.sim.nodes.items()}

    def _strike(self) -> None:
        """A follower whose log a leader relies on comes back soon, with the wrong disk; if there is none for long, or
        in some seeds, any voter.
        """
        sim, random = self.sim, self.random
        voters = list(sim.checker.conf.voters)
        relied_on = [id for id in voters if self._is_relied_on(id)]
        if not relied_on and sim.schedule.now < (sim.options.ticks - 10) * TICK and random.random() < 0.99:
            sim.schedule.after(TICK, self._strike)
            return
        id = random.choice(relied_on or voters)
        node = sim.nodes[id]
        if node.is_up:
            node.crash()
        before, after = node.disk.durable, self._backup(id)
        self.has_struck = True
        self.has_lost_promises = (before.last_index(), before.initial_state()[0].term) != (
            after.last_index(),
            after.initial_state()[0].term,
        )
        sim.note(f"forget {id} {sim.options.disk_loss} {before.last_index()} {after.last_index()}")
        node.disk.replace(after)
        sim.schedule.after(random.randrange(1, 3 * TICK), node.restart)
        checker = sim.checker
        checker.lost.add(id)
        checker.last_promise.pop(id, None)
        for known in [known for known in checker.messages.votes if known[0] == id]:
            del checker.messages.votes[known]

    def _is_relied_on(self, id: int) -> bool:
        """A leader knows that node `id` has more than it will have."""
        for leader in self.sim.up():
            if leader.id != id and self.sim.checker.lives[leader.id].role is Role.StateLeader:
                one = leader.raw.status().progress.get(id)
                if one is not None and one.match > self._backup(id).last_index():
                    return True
        return False

    def _backup(self, id: int) -> MemoryStorage:
        return self._backups.get(id, MemoryStorage())

    def judge(self, violation: Violation | None) -> str:
        """How a run in which it struck ended; empty if `violation` stands."""
        if self.sim.has_suspicion and (violation is None or violation.law != "S24"):
            return NOTICED
        if violation is None:
            return HARMLESS
        return UNNOTICED if self.has_lost_promises and violation.law != "S24" else ""
