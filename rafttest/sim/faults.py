"""Faults: what one seed draws: the cluster, its knobs, which faults exist, and how often they come.

Each seed turns each fault on or off by itself: a fault that is always there hides what happens without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from pyraft import Config, MemoryStorage, NullLogger
from rafttest.sim.disk import EVERYTHING, NOTHING, SOME
from rafttest.sim.schedule import TICK

MAX_PROPOSAL_BYTES: Final = 80

HAPPENINGS: Final[dict[str, tuple[int, float]]] = {
    "propose": (3, 1.0),
    "read": (5, 0.9),
    "change": (40, 0.75),
    "compact": (20, 0.8),
    "transfer": (60, 0.5),
    "campaign": (80, 0.5),
    "forget": (60, 0.3),
    "crash": (50, 0.7),
    "power": (250, 0.4),
    "pause": (80, 0.4),
    "partition": (100, 0.6),
    "partition_one_way": (120, 0.4),
    "clog": (60, 0.4),
    "repeat": (10, 0.5),
    "report": (50, 0.3),
}
"""What comes by chance: mean ticks between two of it, and how likely a seed has it at all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Everything that a seed decides beforehand."""

    seed: int
    voters: int
    spares: int
    """Nodes that are no members at first."""
    ticks: int
    """How long faults go on."""
    is_asynchronous: bool
    is_fifo: bool
    drop: float
    duplicate: float
    delay: int
    """Moments that most messages take at most."""
    late: float
    """How many messages take up to three election timeouts."""
    disk_delay: int
    apply_delay: int
    kept: str
    """What a crash leaves of what was not synced."""
    crash_between: float
    """How likely a node crashes between two steps of handling a Ready."""
    ticks_come_late: bool
    """The ticks that a pause held up come in a burst; otherwise they are lost."""
    intervals: dict[str, int]
    """Mean ticks between two happenings of a kind; a kind that is not there does not happen."""
    election_tick: int
    heartbeat_tick: int
    check_quorum: bool
    pre_vote: bool
    step_down_on_removal: bool
    disable_proposal_forwarding: bool
    strict_pre_votes: bool
    abort_postponed_reads: bool
    max_size_per_msg: int
    max_committed_size_per_ready: int
    max_uncommitted_entries_size: int
    max_inflight_msgs: int
    max_inflight_bytes: int
    max_pending_reads: int


def draw(seed: int) -> Options:
    """What `seed` stands for."""
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
    return Options(
        seed=seed,
        voters=random.choice((1, 2, 3, 3, 3, 4, 5)),
        spares=random.randrange(4),
        ticks=random.randrange(250, 500),
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
        election_tick=random.randrange(5, 13),
        heartbeat_tick=random.choice((1, 1, 2)),
        check_quorum=knob(),
        pre_vote=knob(),
        step_down_on_removal=knob(),
        disable_proposal_forwarding=not knob(0.7),
        strict_pre_votes=knob(),
        abort_postponed_reads=knob(),
        max_size_per_msg=max_size,
        max_committed_size_per_ready=random.choice((1, 64, 1 << 20)) if tiny else 1 << 20,
        max_uncommitted_entries_size=random.choice((1, 100, 1 << 20)) if tiny else 1 << 26,
        max_inflight_msgs=random.choice((1, 2, 256)) if tiny else 256,
        max_inflight_bytes=random.choice((0, max(max_size, 1))) if tiny else 0,
        max_pending_reads=random.choice((1, 4, 65536)) if tiny else 65536,
    )


def config_of(o: Options, id: int, storage: MemoryStorage, random: Random) -> Config:
    """What node `id` is told, in each of its lives."""
    return Config(
        id=id,
        storage=storage,
        election_tick=o.election_tick,
        heartbeat_tick=o.heartbeat_tick,
        async_storage_writes=o.is_asynchronous,
        max_size_per_msg=o.max_size_per_msg,
        max_committed_size_per_ready=o.max_committed_size_per_ready,
        max_uncommitted_entries_size=o.max_uncommitted_entries_size,
        max_inflight_msgs=o.max_inflight_msgs,
        max_inflight_bytes=o.max_inflight_bytes,
        max_entry_size=MAX_PROPOSAL_BYTES,
        max_pending_reads=o.max_pending_reads,
        check_quorum=o.check_quorum,
        pre_vote=o.pre_vote,
        disable_proposal_forwarding=o.disable_proposal_forwarding,
        step_down_on_removal=o.step_down_on_removal,
        strict_pre_votes=o.strict_pre_votes,
        abort_postponed_reads=o.abort_postponed_reads,
        random=random,
        logger=NullLogger(),
    )
