"""Run: one seed from beginning to end. The same seed gives the same result, in any process."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from rafttest.sim.checker.oracle import members_of
from rafttest.sim.checker.violation import Violation
from rafttest.sim.draw import draw
from rafttest.sim.load.disk_loss import UNNOTICED, DiskLoss
from rafttest.sim.load.liveness_phase import LivenessPhase
from rafttest.sim.load.nemesis import Nemesis, add_node
from rafttest.sim.load.scenarios import tell
from rafttest.sim.load.workload import Workload
from rafttest.sim.observer import Observer
from rafttest.sim.options import FEWEST_EVENTS, FEWEST_TICKS, Options, laws_off
from rafttest.sim.schedule import TICK
from rafttest.sim.simulation import Simulation

_MOST_ROUNDS: Final = 20
"""A cluster whose nodes are all lost comes to no more events however long one waits."""


@dataclass(frozen=True, slots=True)
class SimResult:
    """What came of a seed. `counts`: how often each thing was reached, by name."""

    options: Options
    events: int
    trace_hash: str
    counts: dict[str, int]
    violation: Violation | None
    last_events: tuple[str, ...]


def run(
    seed: int, keeps_all: bool = False, observer: Observer | None = None, options: Options | None = None
) -> SimResult:
    """Faults first, then the liveness phase; stops at the first violation. `keeps_all`: `last_events` holds the whole
    trace. `observer` sees all of it. `options`: what the seed stands for, if some of it is to be left out.
    """
    sim = Simulation(draw(seed) if options is None else options)
    sim.keeps_all = keeps_all
    sim.observer = observer
    if observer is not None:
        observer.begins(sim)
    violation: Violation | None = None
    disk_loss = DiskLoss(sim)
    try:
        _play(sim, disk_loss)
    except Violation as error:
        violation = error
    except Exception as error:
        violation = Violation("S24", f"{type(error).__name__} escaped: {error}")
        violation.__cause__ = error
    if violation is not None and violation.law in laws_off(sim.options):
        sim.count(f"{violation.law} broken with {sim.options.knob_off} off")
        violation = None
    if disk_loss.has_struck:
        violation = _judge(sim, disk_loss, violation)
    counts = {name: count for name, count in sorted(sim.counts.items()) if count}
    counts["reads checked"] = sim.checker.reads_checked
    return SimResult(sim.options, sim.events, sim.trace_hash(), counts, violation, tuple(sim.recent))


def _judge(sim: Simulation, disk_loss: DiskLoss, violation: Violation | None) -> Violation | None:
    end = disk_loss.judge(violation)
    if end == UNNOTICED:
        without_it = run(sim.options.seed, options=replace(sim.options, disk_loss=""))
        if without_it.violation is not None:
            return violation
    if end:
        sim.count(end)
        return None
    return violation


def _is_short(sim: Simulation) -> bool:
    """A quiet cluster goes on until enough has happened; one whose faults were cut short on purpose does not."""
    return sim.events < FEWEST_EVENTS and sim.options.ticks >= FEWEST_TICKS


def _play(sim: Simulation, disk_loss: DiskLoss) -> None:
    options = sim.options
    size = options.voters + options.spares
    for id in range(1, size + 1):
        add_node(sim, id)
        if id in sim.absent:
            sim.nodes[id].lose("never started")
    workload = Workload(sim)
    tell(sim, workload)
    workload.begin()
    Nemesis(sim, workload).begin()
    disk_loss.begin()
    sim.count("nodes with settings of their own", len(options.own_knobs))
    sim.count("clocks of different speed", len(options.tick_rates))
    sim.count("knobs of safety switched off", int(bool(options.knob_off)))
    sim.count("ways of reading that differ", int(options.lease_reads and bool(options.ask_quorum)))
    sim.count("heartbeats at every second tick", int(options.heartbeat_tick > 1))
    for _ in range(_MOST_ROUNDS):
        end = sim.schedule.now + options.ticks * TICK
        while sim.step(end):
            pass
        if not _is_short(sim):
            break
    absent_members = [id for conf in sim.checker.confs.values() for id in sim.absent if id in members_of(conf)]
    sim.count("members that never started", len(absent_members))
    LivenessPhase(sim, workload).run()
    if sim.has_suspicion and not disk_loss.has_struck:
        raise Violation("S25", "a node suspects that a log has lost entries, and none has")
