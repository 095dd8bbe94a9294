"""`python -m rafttest sim`: simulate seeds, check everything, count what was reached.

Exit code: 0 if nothing was violated, 1 if something was; then the seed, the law and the command that repeats it are
printed. Without --seed, --runs seeds follow one another from 1 on; with --minutes, as many as there is time for.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import count, islice
from typing import Final

from rafttest.progress import ProgressBar
from rafttest.sim.run import Result, run

_BATCH: Final = 64
_SHOWN: Final = ("crashes", "membership changes applied", "snapshots installed", "elections", "reads checked")
_DEFAULT_RUNS: Final = 100


def add_parser(parent: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to a command line."""
    parser = parent.add_parser("sim", help="simulate clusters under faults and check every step", description=__doc__)
    parser.add_argument("--seed", type=int, help="the first seed; alone: only this one, with its last events")
    parser.add_argument("--runs", type=_positive, help=f"how many seeds (default: {_DEFAULT_RUNS})")
    parser.add_argument("--minutes", type=float, help="go on for so long")
    parser.add_argument("--jobs", type=_positive, default=1, help="processes (default: 1)")
    parser.set_defaults(run=run_command)


def run_command(options: argparse.Namespace) -> int:
    """Simulate what the command line asks for; return the exit code."""
    minutes: float | None = options.minutes
    runs: int | None = options.runs
    seed: int | None = options.seed
    if seed is not None and runs is None and minutes is None:
        runs = 1
    elif runs is None and minutes is None:
        runs = _DEFAULT_RUNS
    seeds: Iterator[int] = count(seed if seed is not None else 1)
    return _Session(minutes, runs).go(islice(seeds, runs), options.jobs)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


class _Session:
    """All seeds of one call."""

    def __init__(self, minutes: float | None, runs: int | None) -> None:
        self.begin = time.monotonic()
        self.end = self.begin + 60 * minutes if minutes is not None else None
        self.runs = runs
        self.bar = ProgressBar(runs if runs is not None else max(1, int(60 * (minutes or 1))), sys.stderr)
        self.counts: dict[str, int] = {}
        self.events = 0
        self.seeds = 0
        self.violations = 0
        self.last_hash = ""

    def go(self, seeds: Iterable[int], jobs: int) -> int:
        if jobs == 1:
            self._take_all(run(seed) for seed in seeds)
        else:
            with ProcessPoolExecutor(jobs) as pool:
                self._take_all(_spread(pool, iter(seeds)))
        self.bar.clear()
        self._summarise()
        return 1 if self.violations else 0

    def _take_all(self, results: Iterable[Result]) -> None:
        for result in results:
            self._take(result)
            if self.end is not None and time.monotonic() >= self.end:
                return

    def _take(self, result: Result) -> None:
        self.seeds += 1
        self.events += result.events
        self.last_hash = result.trace_hash
        for name, number in result.counts.items():
            self.counts[name] = self.counts.get(name, 0) + number
        if result.violation is not None:
            self.violations += 1
            self._show(result)
        self.bar.done = self.seeds if self.runs is not None else int(time.monotonic() - self.begin)
        self.bar.done = min(self.bar.done, self.bar.total)
        self.bar.show(f"{self.seeds} seeds, {self.events} events, {self.violations} violations")

    def _show(self, result: Result) -> None:
        self.bar.clear()
        if self.runs == 1:
            print("".join(result.last_events), end="")
        print(f"seed {result.options.seed} violates {result.violation}")
        print(f"  {result.options}")
        print(f"  again: python -m rafttest sim --seed {result.options.seed}")

    def _summarise(self) -> None:
        for name, number in sorted(self.counts.items()):
            print(f"{number:>10}  {name}")
        if self.runs == 1:
            print(f"trace {self.last_hash}")
        seconds = max(time.monotonic() - self.begin, 1e-9)
        told = ", ".join(f"{self.counts.get(name, 0)} {name}" for name in _SHOWN)
        print(
            f"{self.seeds} seeds, {self.events} events, {told}; {self.violations} violations; "
            f"{self.events / seconds:.0f} events/s"
        )


def _spread(pool: ProcessPoolExecutor, seeds: Iterator[int]) -> Iterator[Result]:
    """Results in the order of the seeds; few are begun ahead of those that are asked for."""
    while batch := list(islice(seeds, _BATCH)):
        yield from pool.map(run, batch)
