"""Shrink: from a seed that fails to the least that still fails in the same way.

A schedule cannot be edited, for whatever changes changes everything after it. What can be left out is what the seed has
drawn: faults one by one, spare nodes, clients, and the end. A smaller run that breaks the same law is the better
scenario; it is told as a seed and what is left out of it, so that one command replays it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rafttest.sim.draw import draw
from rafttest.sim.options import Options, faults_of, without

_CLIENTS: Final = ("propose", "client", "read", "retry", "oversized")
_LEAST_TICKS: Final = 5


@dataclass(frozen=True, slots=True)
class Run:
    """A seed, and what is left out of it."""

    seed: int
    without: tuple[str, ...] = ()
    spares: int | None = None
    """At most so many nodes that are no members at first; None: as drawn."""
    until: int | None = None
    """Faults end at this tick at the latest; None: as drawn."""

    def options(self) -> Options:
        """What happens. Raises ValueError if a name of what is left out means nothing."""
        options = without(draw(self.seed), self.without)
        if self.spares is not None:
            spares = min(options.spares, self.spares)
            options = replace(options, spares=spares, never_started=min(options.never_started, spares))
        if self.until is not None:
            options = replace(options, ticks=min(options.ticks, self.until))
        return options

    def arguments(self) -> str:
        """As on a command line."""
        parts = [f"--seed {self.seed}"]
        if self.without:
            parts.append(f"--without {','.join(self.without)}")
        if self.spares is not None:
            parts.append(f"--spares {self.spares}")
        if self.until is not None:
            parts.append(f"--until {self.until}")
        return " ".join(parts)


class Shrinker:
    """`law_of` runs something and says which law it breaks, none being "". At most `most_runs` are tried."""

    def __init__(self, law_of: Callable[[Run], str], most_runs: int) -> None:
        self._law_of = law_of
        self._left = most_runs

    def shrink(self, run: Run, law: str) -> Run:
        """The smallest run found that breaks `law` as `run` does."""
        present = [name for name in faults_of(run.options()) if name not in _CLIENTS]
        run = self._drop(run, law, present)
        for spares in range(run.options().spares):
            if (fewer := self._try(replace(run, spares=spares), law)) is not None:
                run = fewer
                break
        run = self._drop(run, law, [name for name in _CLIENTS if name in run.options().intervals])
        return self._shorten(run, law)

    def _try(self, run: Run, law: str) -> Run | None:
        if self._left == 0:
            return None
        self._left -= 1
        return run if self._law_of(run) == law else None

    def _drop(self, run: Run, law: str, names: Sequence[str]) -> Run:
        """Leave out as many of `names` as can be: halves first, single ones at last."""
        size = max(1, len(names) // 2)
        while names:
            kept: list[str] = []
            for start in range(0, len(names), size):
                part = names[start : start + size]
                fewer = self._try(replace(run, without=(*run.without, *part)), law)
                if fewer is None:
                    kept.extend(part)
                else:
                    run = fewer
            names = kept
            if size == 1:
                break
            size = max(1, size // 2)
        return run

    def _shorten(self, run: Run, law: str) -> Run:
        low, high = _LEAST_TICKS, run.options().ticks
        while low < high:
            middle = (low + high) // 2
            shorter = self._try(replace(run, until=middle), law)
            if shorter is None:
                low = middle + 1
            else:
                run, high = shorter, middle
        return run
