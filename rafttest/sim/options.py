"""Options: what a run is like: the cluster, its knobs, which faults exist, and how often they come.

`draw` makes them from a seed; `without` leaves something out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final

from pyraft import Config, NullLogger, Storage
from pyraft.types import LEASE_BASED, SAFE
from rafttest.sim.cluster.crash_recovery import ORDERED

MAX_PROPOSAL_BYTES: Final = 80

FEWEST_TICKS: Final = 250
"""For how long faults go on at least."""

FEWEST_EVENTS: Final = 1000
"""And until so much has happened."""

KNOBS_OFF: Final[dict[str, tuple[str, ...]]] = {
    "persist_before_vote_request": ("S2", "S3"),
    "single_voter_reads_need_commit": ("S16", "S17", "S18"),
    "retry_lost_acks_at_heartbeat": (),
    "recheck_reads": ("L6",),
    "retry_auto_leave": ("L3",),
}
"""The knobs of safety that a seed may switch off, and the laws that may fall then: the run ends there, and counts as
none that failed."""

LEASE_KNOBS_OFF: Final[dict[str, tuple[str, ...]]] = {
    "lease_survives_restart": ("S17", "S18"),
    "lease_outlives_term": ("S17", "S18"),
    "lease_ends_with_transfer": ("S17", "S18"),
    "bounded_lease": ("S17", "S18"),
}

FIGURE_8: Final = "figure 8"
SNAPSHOT_AND_ENTRIES: Final = "snapshot and entries"

WIPED: Final = "wiped"
OLD_BACKUP: Final = "old backup"

HAPPENINGS: Final[dict[str, tuple[int, float]]] = {
    "propose": (4, 1.0),
    "client": (2, 0.9),
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
    "retry": (30, 0.5),
    "oversized": (60, 0.3),
    "hasty": (50, 0.5),
    "strand": (120, 0.35),
    "lag": (60, 0.5),
    "interrupt": (8, 0.3),
    "evict": (150, 0.3),
    "slow": (80, 0.3),
    "sync_fails": (120, 0.25),
    "write_fails": (150, 0.2),
    "read_fails": (80, 0.25),
    "rot": (250, 0.12),
    "rejoin": (200, 0.15),
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
    has_wire: bool
    """Messages travel as bytes."""
    corrupt: float
    """How many messages are damaged on the way; nothing without a wire."""
    misdirect: float
    """How many messages come to somebody else."""
    piece_bytes: int
    """Snapshots travel in pieces of so many bytes; 0: whole."""
    flush: str
    """In which order what was not synced reaches the disk: see `crash_recovery`."""
    repeat_answers: float
    """How many answers of the storage threads come twice."""
    tick_rates: tuple[float, ...]
    """How fast each node's clock runs, by id; empty: all alike."""
    own_knobs: tuple[tuple[bool, bool], ...]
    """Pre-vote and check-quorum of each node until faults end, by id; empty: all alike."""
    never_started: int
    """How many of the spares are no process at all, though they may become members."""
    scenario: str
    """What is told first: see `scenarios`; empty: nothing."""
    disk_loss: str
    """What one node loses, which no node may: see `disk_loss`; empty: nothing."""
    fail_io: tuple[int, int]
    """The node whose disk fails, and at the how-manieth access; (0, 0): none."""
    intervals: dict[str, int]
    """Mean ticks between two happenings of a kind; a kind that is not there does not happen."""
    election_tick: int
    heartbeat_tick: int
    lease_reads: bool
    """Reads are answered by lease: clocks are kept within its bound, and nothing happens that breaks its premises."""
    check_quorum: bool
    pre_vote: bool
    step_down_on_removal: bool
    disable_proposal_forwarding: bool
    strict_pre_votes: bool
    abort_reads_on_step_down: bool
    max_size_per_msg: int
    max_committed_size_per_ready: int
    max_uncommitted_entries_size: int
    max_inflight_msgs: int
    max_inflight_bytes: int | None
    max_pending_reads: int
    batch_append: bool
    promise_lease: bool
    """Nodes whose reads ask a quorum keep the promises of leases all the same."""
    ask_quorum: tuple[int, ...]
    """In a seed that reads by lease: nodes whose reads ask a quorum, since the group changes node by node."""
    knob_off: str
    """A knob of safety that is off, see `KNOBS_OFF`; empty: none."""


def laws_off(options: Options) -> tuple[str, ...]:
    """The laws that may fall since a knob of safety is off."""
    return {**KNOBS_OFF, **LEASE_KNOBS_OFF}.get(options.knob_off, ())


_OFF: Final[dict[str, Callable[[Options], Options]]] = {
    "drop": lambda o: replace(o, drop=0.0),
    "duplicate": lambda o: replace(o, duplicate=0.0),
    "late": lambda o: replace(o, late=0.0),
    "corrupt": lambda o: replace(o, corrupt=0.0),
    "misdirect": lambda o: replace(o, misdirect=0.0),
    "wire": lambda o: replace(o, has_wire=False, corrupt=0.0),
    "pieces": lambda o: replace(o, piece_bytes=0),
    "crash_between": lambda o: replace(o, crash_between=0.0),
    "flush": lambda o: replace(o, flush=ORDERED),
    "repeat_answers": lambda o: replace(o, repeat_answers=0.0),
    "asynchronous": lambda o: replace(o, is_asynchronous=False),
    "drift": lambda o: replace(o, tick_rates=()),
    "own_knobs": lambda o: replace(o, own_knobs=()),
    "never_started": lambda o: replace(o, never_started=0),
    "scenario": lambda o: replace(o, scenario=""),
    "disk_loss": lambda o: replace(o, disk_loss=""),
    "leases": lambda o: replace(o, lease_reads=False, ask_quorum=()),
    "batch_append": lambda o: replace(o, batch_append=False),
    "promise_lease": lambda o: replace(o, promise_lease=False),
    "ask_quorum": lambda o: replace(o, ask_quorum=()),
    "knob_off": lambda o: replace(o, knob_off=""),
}
"""How what is no happening is left out of a seed."""


def faults_of(options: Options) -> list[str]:
    """The names of all that is in a seed and may be left out of it."""
    return [name for name, off in _OFF.items() if off(options) != options] + list(options.intervals)


def without(options: Options, names: Iterable[str]) -> Options:
    """The same seed with some of it left out. Raises ValueError for a name that means nothing."""
    for name in names:
        if name in HAPPENINGS:
            options = replace(options, intervals=without_happenings(options.intervals, (name,)))
        elif name in _OFF:
            options = _OFF[name](options)
        else:
            known = ", ".join((*_OFF, *HAPPENINGS))
            raise ValueError(f"{name} is nothing that could be left out; these are: {known}")
    return options


def without_happenings(intervals: dict[str, int], names: Iterable[str]) -> dict[str, int]:
    return {name: interval for name, interval in intervals.items() if name not in names}


def config_of(o: Options, id: int, storage: Storage, random: Random, knobs: tuple[bool, bool]) -> Config:
    """What node `id` is told, in each of its lives. `knobs`: its pre-vote and check-quorum."""
    config = Config(
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
        read_only_option=LEASE_BASED if o.lease_reads and id not in o.ask_quorum else SAFE,
        promise_lease=o.promise_lease or id in o.ask_quorum,
        batch_append=o.batch_append,
        check_quorum=knobs[1],
        pre_vote=knobs[0],
        disable_proposal_forwarding=o.disable_proposal_forwarding,
        step_down_on_removal=o.step_down_on_removal,
        strict_pre_votes=o.strict_pre_votes,
        abort_reads_on_step_down=o.abort_reads_on_step_down,
        random=random,
        logger=NullLogger(),
    )
    off: dict[str, Any] = {o.knob_off: False} if o.knob_off else {}
    return replace(config, **off) if off else config
