"""Draw: the options that a seed stands for.

Each seed turns each fault on or off by itself: a fault that is always there hides what happens without it.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Final

from rafttest.sim.cluster.crash_recovery import BYTES, FILES, ORDERED
from rafttest.sim.cluster.disk import EVERYTHING, NOTHING, SOME
from rafttest.sim.lease_options import with_leases
from rafttest.sim.options import (
    FEWEST_TICKS,
    FIGURE_8,
    HAPPENINGS,
    KNOBS_OFF,
    LEASE_KNOBS_OFF,
    OLD_BACKUP,
    SNAPSHOT_AND_ENTRIES,
    WIPED,
    Options,
    without_happenings,
)
from rafttest.sim.schedule import TICK

_SCENARIOS: Final = 0.08
"""How many seeds begin with a scenario."""

_LEASES: Final = 0.15
"""How many seeds read by lease."""

_KNOB_OFF: Final = 0.08
"""How many seeds switch a knob of safety off."""

_LEASE_KNOB_OFF: Final = 0.2
"""And of those that read by lease, one of the lease."""


def draw(seed: int) -> Options:
    """Make the options of `seed`. The order of the draws is the meaning of a seed."""
    more, knobs = Random(f"{seed} more"), Random(f"{seed} knobs")
    options = _without_leases(seed, more, knobs)
    if more.random() < _SCENARIOS:
        options = _with_scenario(options, more)
    if more.random() >= _LEASES:
        return replace(options, ask_quorum=())
    if knobs.random() < _LEASE_KNOB_OFF:
        options = replace(options, knob_off=knobs.choice(tuple(LEASE_KNOBS_OFF)))
    return with_leases(options, more)


def _without_leases(seed: int, more: Random, knobs: Random) -> Options:
    """All but the reads by lease and the scenario, which are drawn last."""
    random = Random(seed)
    usual = random.random() < 0.6
    tiny = random.random() < 0.4
    max_size = random.choice((0, 1, 64, 1 << 20)) if tiny else 1 << 20

    def knob(likely: float = 0.6) -> bool:
        return usual or random.random() < likely

    def rate(likely: float, most: float) -> float:
        return random.uniform(0, most) if random.random() < likely else 0.0

    intervals = {
        name: max(1, int(mean * random.uniform(0.4, 2.5)))
        for name, (mean, likely) in HAPPENINGS.items()
        if random.random() < likely
    }
    voters, spares = random.choice((1, 2, 3, 3, 3, 4, 5)), random.randrange(4)
    has_wire = more.random() < 0.25
    is_forgetful = voters >= 3 and more.random() < 0.1
    if is_forgetful:
        intervals = without_happenings(intervals, ("rot", "rejoin"))
    nodes = range(voters + spares)
    return Options(
        seed=seed,
        voters=voters,
        spares=spares,
        ticks=random.randrange(FEWEST_TICKS, 2 * FEWEST_TICKS),
        is_asynchronous=random.random() < 0.5,
        is_fifo=random.random() < 0.5,
        drop=rate(0.6, 0.3),
        duplicate=rate(0.5, 0.5),
        delay=random.choice((20, TICK, 3 * TICK)),
        late=rate(0.4, 0.2),
        disk_delay=random.choice((2, 30, 2 * TICK)),
        apply_delay=random.choice((2, 30, 2 * TICK)),
        kept=random.choice((NOTHING, EVERYTHING, SOME)),
        crash_between=rate(0.6, 0.01),
        ticks_come_late=random.random() < 0.5,
        intervals=intervals,
        has_wire=has_wire,
        corrupt=more.uniform(0, 0.1) if has_wire and more.random() < 0.6 else 0.0,
        misdirect=more.uniform(0, 0.05) if more.random() < 0.15 else 0.0,
        piece_bytes=more.choice((8, 16, 40, 200)) if more.random() < 0.5 else 0,
        flush=more.choice((ORDERED, BYTES, FILES)),
        repeat_answers=more.uniform(0, 0.3) if more.random() < 0.4 else 0.0,
        tick_rates=tuple(more.uniform(0.5, 2.0) for _ in nodes) if more.random() < 0.25 else (),
        own_knobs=tuple((more.random() < 0.5, more.random() < 0.5) for _ in nodes) if more.random() < 0.15 else (),
        never_started=min(spares, 1) if more.random() < 0.15 and not is_forgetful else 0,
        scenario="",
        disk_loss=more.choice((WIPED, OLD_BACKUP)) if is_forgetful else "",
        fail_io=(0, 0),
        election_tick=random.randrange(5, 13),
        heartbeat_tick=random.choice((1, 1, 2)),
        check_quorum=knob(),
        pre_vote=knob(),
        step_down_on_removal=knob(),
        disable_proposal_forwarding=not knob(0.7),
        strict_pre_votes=knob(),
        abort_reads_on_step_down=knob(),
        max_size_per_msg=max_size,
        max_committed_size_per_ready=random.choice((1, 64, 1 << 20)) if tiny else 1 << 20,
        max_uncommitted_entries_size=random.choice((1, 100, 1 << 20)) if tiny else 1 << 26,
        max_inflight_msgs=random.choice((1, 2, 256)) if tiny else 256,
        max_inflight_bytes=random.choice((0, max(max_size, 1))) if tiny else None,
        max_pending_reads=random.choice((1, 4, 65536)) if tiny else 65536,
        lease_reads=False,
        batch_append=knobs.random() < 0.3,
        promise_lease=knobs.random() < 0.1,
        ask_quorum=tuple(id + 1 for id in nodes if knobs.random() < 0.3) if knobs.random() < 0.3 else (),
        knob_off=knobs.choice(tuple(KNOBS_OFF)) if knobs.random() < _KNOB_OFF else "",
    )


def _with_scenario(options: Options, random: Random) -> Options:
    """The same seed, in a cluster of the size that the scenario is about, which sends entries one by one; while it is
    told nothing is lost, since its faults are its own.
    """
    name = random.choice((FIGURE_8, SNAPSHOT_AND_ENTRIES))
    scenario = replace(
        options,
        scenario=name,
        voters=3,
        batch_append=False,
        max_size_per_msg=0,
        max_inflight_bytes=0,
        max_inflight_msgs=256,
    )
    if name == SNAPSHOT_AND_ENTRIES:
        scenario = replace(scenario, is_asynchronous=False, disk_delay=2 * TICK, delay=20, piece_bytes=0)
    scenario = replace(scenario, max_committed_size_per_ready=1 << 20, max_uncommitted_entries_size=1 << 20)
    scenario = replace(scenario, drop=0.0, late=0.0, corrupt=0.0, misdirect=0.0, crash_between=0.0)
    return replace(scenario, own_knobs=(), never_started=0, tick_rates=scenario.tick_rates[: 3 + scenario.spares])
