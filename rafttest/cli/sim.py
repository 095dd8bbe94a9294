"""`python -m rafttest sim`: simulate seeds, check everything, tell what was reached.

Exit code: 0 if nothing was violated, 1 if something was, or if a run of --minutes, of 500 seeds or more, has not been
through everything that it should have been (the coverage points). A seed that fails is shrunk: what can be left out is,
and the command that repeats the rest is printed. Without --seed, --runs seeds follow one another from 1 on; with
--minutes, first all seeds that ever failed, then as many as there is time for.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Final

from rafttest.cli.progress_bar import ProgressBar
from rafttest.sim.checker.coverage_points import COVERAGE_POINTS, unseen
from rafttest.sim.corpus import CORPUS
from rafttest.sim.run import SimResult, run
from rafttest.sim.shrink import Run, Shrinker

_BATCH: Final = 64
_SHOWN: Final = ("crashes", "membership changes applied", "snapshots installed", "elections", "reads checked")
_DEFAULT_RUNS: Final = 100
_ENOUGH: Final = 500
"""Seeds of a run of --minutes from which on every coverage point must have been seen: the rarest comes once in a
hundred.
"""
_MOST_SHRUNK: Final = 3
"""Failing seeds that are shrunk in one call."""
_MOST_RUNS: Final = 80
"""Runs that shrinking one of them takes at most."""


def add_parser(parent: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to a command line."""
    parser = parent.add_parser("sim", help="simulate clusters under faults and check every step", description=__doc__)
    parser.add_argument("--seed", type=int, help="the first seed; alone: only this one, with its last events")
    parser.add_argument("--runs", type=_positive, help=f"how many seeds (default: {_DEFAULT_RUNS})")
    parser.add_argument("--minutes", type=float, help="go on for so long; 500 seeds must see every coverage point")
    parser.add_argument("--jobs", type=_positive, default=1, help="processes (default: 1)")
    parser.add_argument("--without", type=_names, default=(), metavar="NAMES", help="what to leave out: crash,clog,...")
    parser.add_argument("--spares", type=int, help="at most so many nodes that are no members at first")
    parser.add_argument("--until", type=_positive, metavar="TICK", help="end faults at this tick at the latest")
    parser.add_argument("--trace", action="store_true", help="print every event of every seed")
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
    pattern = Run(0, options.without, options.spares, options.until)
    wanted = (replace(pattern, seed=one) for one in count(seed if seed is not None else 1))
    session = _SimSession(minutes, runs, options.trace)
    if minutes is not None:
        session.repeat_corpus()
    return session.go(islice(wanted, runs), options.jobs)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name for name in text.split(",") if name)
    try:
        Run(1, names).options()
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return names


def _simulate(one: Run) -> SimResult:
    return run(one.seed, options=one.options())


def _simulate_all(one: Run) -> SimResult:
    return run(one.seed, keeps_all=True, options=one.options())


def _law_of(one: Run) -> str:
    violation = _simulate(one).violation
    return violation.law if violation is not None else ""


class _SimSession:
    """All seeds of one call."""

    def __init__(self, minutes: float | None, runs: int | None, traces: bool) -> None:
        self.begin = time.monotonic()
        self.end = self.begin + 60 * minutes if minutes is not None else None
        self.runs = runs
        self.simulate = _simulate_all if traces else _simulate
        self.traces = traces
        self.bar = ProgressBar(runs if runs is not None else max(1, int(60 * (minutes or 1))), sys.stderr)
        self.counts: dict[str, int] = {}
        self.events = 0
        self.seeds = 0
        self.violations = 0
        self.shrunk = 0
        self.traces_hash = hashlib.blake2b(digest_size=16)
        self.last_hash = ""

    def repeat_corpus(self) -> None:
        """All that ever failed."""
        for case in CORPUS:
            result = _simulate(case.run)
            if result.violation is not None:
                self.violations += 1
                print(f"this has failed before, with {case.law}: {case.scenario}")
                self._show(case.run, result)

    def go(self, wanted: Iterable[Run], jobs: int) -> int:
        """Simulate what is `wanted`; return the exit code."""
        if jobs == 1:
            self._take_all((one, self.simulate(one)) for one in wanted)
        else:
            with ProcessPoolExecutor(jobs) as pool:
                self._take_all(self._spread(pool, iter(wanted)))
        self.bar.clear()
        return self._summarise()

    def _spread(self, pool: ProcessPoolExecutor, wanted: Iterator[Run]) -> Iterator[tuple[Run, SimResult]]:
        """Results in the order of the seeds; few are begun ahead of those that are asked for."""
        while batch := list(islice(wanted, _BATCH)):
            yield from zip(batch, pool.map(self.simulate, batch), strict=True)

    def _take_all(self, results: Iterable[tuple[Run, SimResult]]) -> None:
        for one, result in results:
            self._take(one, result)
            if self.end is not None and time.monotonic() >= self.end:
                return

    def _take(self, one: Run, result: SimResult) -> None:
        self.seeds += 1
        self.events += result.events
        self.last_hash = result.trace_hash
        self.traces_hash.update(result.trace_hash.encode())
        for name, number in result.counts.items():
            self.counts[name] = self.counts.get(name, 0) + number
        if self.traces:
            self.bar.clear()
            print("".join(result.last_events), end="")
        if result.violation is not None:
            self.violations += 1
            self._show(one, result)
        self.bar.done = self.seeds if self.runs is not None else int(time.monotonic() - self.begin)
        self.bar.done = min(self.bar.done, self.bar.total)
        self.bar.show(f"{self.seeds} seeds, {self.events} events, {self.violations} violations")

    # -- what is told

    def _show(self, one: Run, result: SimResult) -> None:
        violation = result.violation
        if violation is None:
            return
        self.bar.clear()
        if self.runs == 1 and not self.traces:
            print("".join(result.last_events), end="")
        print(f"seed {one.seed} violates {violation}")
        print(f"  commit {_commit()}; {result.options}")
        print(f"  again: python -m rafttest sim {one.arguments()}")
        if self.shrunk < _MOST_SHRUNK:
            self.shrunk += 1
            smaller = Shrinker(_law_of, _MOST_RUNS).shrink(one, violation.law)
            ends = _simulate(smaller)
            print(f"  shrunk to {ends.events} events from {result.events}: {ends.violation}")
            print(f"  again: python -m rafttest sim {smaller.arguments()} --trace")

    def _summarise(self) -> int:
        for name, number in sorted(self.counts.items()):
            if name not in COVERAGE_POINTS:
                print(f"{number:>10}  {name}")
        print("coverage points:")
        for name, meaning in COVERAGE_POINTS.items():
            print(f"{self.counts.get(name, 0):>10}  {name}: {meaning}")
        missing = unseen(self.counts)
        if missing:
            print(f"not seen: {', '.join(missing)}")
        trace = self.last_hash if self.runs == 1 else self.traces_hash.hexdigest()
        print(f"trace {trace}")
        if self.violations == 0 and self.seeds:
            print(
                f"0 of {self.seeds} seeds: with 95 % confidence fewer than {3 / self.seeds:.2g} of the schedules that "
                "this generator draws fail"
            )
        seconds = max(time.monotonic() - self.begin, 1e-9)
        told = ", ".join(f"{self.counts.get(name, 0)} {name}" for name in _SHOWN)
        print(
            f"{self.seeds} seeds, {self.events} events, {told}; {self.violations} violations; "
            f"{self.events / seconds:.0f} events/s"
        )
        owes_markers = self.end is not None and self.seeds >= _ENOUGH
        return 1 if self.violations or (missing and owes_markers) else 0


def _commit() -> str:
    """Which sources these are, if git knows."""
    try:
        asked = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return asked.stdout.strip()
