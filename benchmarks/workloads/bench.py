"""What every workload is to the worker that runs it: built once, run for a number of operations, checked each time.

Shapes are named integers (flags are 0 and 1), so that every peer's harness reads them without a schema. Payloads come
from one generator that all harnesses share: what they apply can then be compared by its checksum.

Source of the generator: Steele, Lea, Flood, Fast Splittable Pseudorandom Number Generators (2014).
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final

from pyraft import Config, ConfigError, MemoryStorage, NullLogger
from raftpb import ConfState, HardState, Snapshot, SnapshotMetadata

Shape = Mapping[str, int]

ELECTION_TICK: Final = 10
HEARTBEAT_TICK: Final = 1
MAX_SIZE_PER_MSG: Final = 1 << 20
MAX_INFLIGHT: Final = 256
COMPACTION_INTERVAL: Final = 4096
FIRST_INDEX: Final = 1
"""Where the snapshot lies that every node starts from: it holds the configuration, and entries follow it."""

_MASK: Final = (1 << 64) - 1
_RANDOM: Final = Random(1)
"""For all nodes, as the Go library and the Rust one have it."""


class WrongResultError(Exception):
    """A run did not do what it is measured for."""


class Bench:
    """A workload of one shape, ready to run.

    `messages`, `readies`, `wire_bytes`: counted from the beginning; zero where the workload has none. `digest`: the
    checksum of what was applied, the same in every implementation; only where the shape asks for a `check`.
    `paused_ns`, `paused_cpu_ns`: how much of the time of all runs was housekeeping that does not count.
    """

    def __init__(self) -> None:
        self.messages: int = 0
        self.readies: int = 0
        self.wire_bytes: int = 0
        self.digest: int = 0
        self.paused_ns: int = 0
        self.paused_cpu_ns: int = 0

    def run(self, operations: int) -> None:
        """Do so many operations; this is what is timed. `operations` is a multiple of `granularity`."""
        raise NotImplementedError

    def verify(self) -> None:
        """Raise WrongResultError unless everything asked for so far has come about."""
        raise NotImplementedError

    def granularity(self) -> int:
        """Operations that belong together."""
        return 1

    def settle(self) -> None:
        """Called between runs, outside the time measured."""

    def close(self) -> None:
        """Give back what the operating system lent."""


def payloads(count: int, size: int) -> list[bytearray]:
    """`count` payloads of `size` random bytes, the same in every implementation."""
    state = 0x9E3779B97F4A7C15
    made = []
    for _ in range(count):
        words = bytearray()
        while len(words) < size:
            state = (state + 0x9E3779B97F4A7C15) & _MASK
            mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
            mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
            words += (mixed ^ (mixed >> 31)).to_bytes(8, "little")
        made.append(words[:size])
    return made


def storage_of(voters: list[int]) -> MemoryStorage:
    """An empty log of a group whose members are known: how the reference suggests to found one."""
    storage = MemoryStorage()
    storage.apply_snapshot(Snapshot(b"", SnapshotMetadata(ConfState(voters), FIRST_INDEX, 1)))
    storage.set_hard_state(HardState(1, 0, FIRST_INDEX))
    return storage


def config_of(id: int, storage: MemoryStorage, *, applied: int = 0, batch_append: bool = False) -> Config:
    """What all harnesses tell their nodes; everything not named is as an application gets it by default.

    Raises ConfigError if `batch_append` is asked of a core that has no such knob.
    """
    made = Config(
        id=id,
        storage=storage,
        applied=applied,
        election_tick=ELECTION_TICK,
        heartbeat_tick=HEARTBEAT_TICK,
        max_size_per_msg=MAX_SIZE_PER_MSG,
        max_inflight_msgs=MAX_INFLIGHT,
        check_quorum=False,
        pre_vote=False,
        random=_RANDOM,
        logger=NullLogger(),
    )
    if not batch_append:
        return made
    if not has_batch_append():
        raise ConfigError("batch_append", "this core has no such knob")
    # Named through the fields, because the knob may be absent from the core that this is type-checked against.
    fields = {name: getattr(made, name) for name in Config.__dataclass_fields__}
    fields["batch_append"] = True
    return Config(**fields)


def has_batch_append() -> bool:
    """True if this core can add to an append that still waits to be sent."""
    return "batch_append" in Config.__dataclass_fields__
