"""Determinism, S22: the same seed gives the same trace, event by event."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rafttest.sim.checker.violation import Violation


def check_repeats(seed: int, trace_of: Callable[[int], Sequence[str]]) -> None:
    """Take the trace of `seed` twice, and compare. Raises Violation that names the first event that differs."""
    first, second = trace_of(seed), trace_of(seed)
    for number, (one, other) in enumerate(zip(first, second, strict=False), 1):
        if one != other:
            raise Violation("S22", f"event {number} of seed {seed} is {one.strip()!r}, and then {other.strip()!r}")
    if len(first) != len(second):
        raise Violation("S22", f"seed {seed} has {len(first)} events, and then {len(second)}")
