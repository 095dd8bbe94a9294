"""Run: one seed from beginning to end. The same seed gives the same result, in any process."""

from __future__ import annotations

from dataclasses import dataclass

from rafttest.sim.disk import Disk
from rafttest.sim.faults import Options, draw
from rafttest.sim.healing import Healing
from rafttest.sim.node import Node
from rafttest.sim.schedule import TICK
from rafttest.sim.violation import Violation
from rafttest.sim.workload import Workload
from rafttest.sim.world import World


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a seed. `counts`: how often each thing was reached, by name."""

    options: Options
    events: int
    trace_hash: str
    counts: dict[str, int]
    violation: Violation | None
    last_events: tuple[str, ...]


def run(seed: int, keeps_all: bool = False) -> Result:
    """Faults first, then healing; stops at the first violation. `keeps_all`: `last_events` holds the whole trace."""
    world = World(draw(seed))
    world.keeps_all = keeps_all
    violation: Violation | None = None
    try:
        _play(world)
    except Violation as error:
        violation = error
    except Exception as error:
        violation = Violation("S24", f"{type(error).__name__} escaped: {error}")
        violation.__cause__ = error
    counts = {name: count for name, count in sorted(world.counts.items()) if count}
    counts["reads checked"] = world.checker.reads_checked
    return Result(world.options, world.events, world.trace_hash(), counts, violation, tuple(world.recent))


def _play(world: World) -> None:
    options = world.options
    for id in range(1, options.voters + options.spares + 1):
        world.nodes[id] = Node(world, id, Disk(world.start if id <= options.voters else None))
    workload = Workload(world)
    workload.begin()
    while world.schedule.step(options.ticks * TICK):
        pass
    Healing(world, workload).run()
