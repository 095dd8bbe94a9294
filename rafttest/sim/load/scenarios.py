"""Scenarios: schedules that chance hardly ever finds, told step by step at the beginning of some seeds; everything else
that the seed has begins afterwards. Whatever gets in the way ends a scenario early.

Figure 8 of the Raft paper, with three voters A, R and S; x2 is an entry of term 2, all at one index:

    A  x2         A leads, appends, and reaches nobody
    R  x3         R leads with the vote of S, appends, and reaches nobody
    S  x2         A leads term 4 with the vote of S, which takes x2 and not yet what A has appended in term 4:
                  a majority holds x2, which must not count as committed
    S  x3         R leads again, with the vote of S, and overwrites it

Snapshot and entries: a follower that is busy with a long write is sent a snapshot, and entries after it, because
answers that it gave before are still on their way. Its next Ready brings both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pyraft import Role
from rafttest.sim.cluster.disk import term_on
from rafttest.sim.load.workload import Workload
from rafttest.sim.options import FIGURE_8
from rafttest.sim.schedule import TICK
from rafttest.sim.simulation import Simulation

Condition = Callable[[], bool]


def tell(sim: Simulation, workload: Workload) -> None:
    """Whatever scenario this seed has, until it is over."""
    if sim.options.scenario:
        sim.note(f"scenario {sim.options.scenario}")
        patience = 10 * sim.options.election_tick * TICK
        scenario = _Figure8(sim, workload) if sim.options.scenario == FIGURE_8 else _SnapshotAndEntries(sim, workload)
        for reached in scenario.steps():
            end = sim.schedule.now + patience
            while not reached() and sim.schedule.now < end:
                sim.step(sim.schedule.now + 1)
            if not reached():
                break
        else:
            sim.count("scenarios played")
        sim.network.cut.clear()
        sim.network.slow.clear()
        sim.network.release(list(sim.network.clogged))


class _Scenario:
    def __init__(self, sim: Simulation, workload: Workload) -> None:
        self.sim = sim
        self.workload = workload

    def _leaders(self) -> list[int]:
        return [id for id, life in self.sim.checker.lives.items() if life.role is Role.StateLeader]

    def _all_applied(self) -> bool:
        checker = self.sim.checker
        lives, highest = [checker.lives[id] for id in checker.conf.voters], checker.highest
        return highest > checker.base and all(life.last == life.app_applied == highest for life in lives)

    def _has(self, id: int, place: int) -> bool:
        return term_on(self.sim.checker.lives[id].durable, place) is not None


class _Figure8(_Scenario):
    def steps(self) -> Iterator[Condition]:
        """What must be so before the scenario goes on."""
        yield lambda: len(self._leaders()) == 1 and self._all_applied()
        [a] = self._leaders()
        others = [id for id in self.sim.checker.conf.voters if id != a]
        self._connect()
        self.workload.propose_to(self.sim.nodes[a])
        place = self.sim.nodes[a].raw.basic_status().last_index
        yield lambda: self._has(a, place)
        self._connect(*others)
        yield lambda: bool({*others} & {*self._leaders()})
        [r] = {*others} & {*self._leaders()}
        [s] = {*others} - {r}
        self._connect()
        yield lambda: self._has(r, place)
        old = term_on(self.sim.checker.lives[a].durable, place)
        self._connect(a, s)
        yield lambda: term_on(self.sim.checker.lives[s].durable, place) == old
        self._connect()
        yield lambda: self._has(a, place + 1)
        self._connect(r, s)
        yield lambda: term_on(self.sim.checker.lives[s].durable, place) not in {old, None}

    def _connect(self, *ids: int) -> None:
        """Only these reach each other."""
        everybody = list(self.sim.nodes)
        links = {(one, other) for one in everybody for other in everybody if one != other}
        self.sim.network.cut.clear()
        self.sim.network.cut.update(link for link in links if not {*link} <= {*ids})


class _SnapshotAndEntries(_Scenario):
    def steps(self) -> Iterator[Condition]:
        """What must be so before the scenario goes on."""
        yield lambda: len(self._leaders()) == 1 and self._all_applied()
        sim, network = self.sim, self.sim.network
        [a] = self._leaders()
        f = next(id for id in sim.checker.conf.voters if id != a)
        leader, follower = sim.nodes[a], sim.nodes[f]
        held = network.clogged.setdefault((f, a), [])
        yield lambda: len(held) >= 3
        network.slow[f] = 50
        self.workload.propose_to(leader)
        place = leader.raw.basic_status().last_index
        yield lambda: follower.disk.cache.last_index() == place and not self._has(f, place)
        network.cut.update((id, f) for id in sim.nodes)
        self.workload.propose_to(leader)
        place = leader.raw.basic_status().last_index
        yield (
            lambda: leader.disk.cache.initial_state()[0].commit >= place and leader.raw.basic_status().applied >= place
        )
        leader.keep_snapshot(0)
        leader.raw.report_unreachable(f)
        leader.settle()
        network.cut.clear()
        network.release_first((f, a))
        yield lambda: follower.raw.export_state().snapshot is not None
        self.workload.propose_to(leader)
        network.release([(f, a)])
        yield lambda: sim.counts.get("snapshots together with entries", 0) > 0
