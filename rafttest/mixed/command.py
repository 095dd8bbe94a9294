"""`python -m rafttest mixed`: groups of pyraft and of Go's library, by seed.

Each seed is a group of nodes of both libraries under faults; every law is judged at each event, and at the end the
group owes a leader and equal states. Exit code: 0 if every law held, or Go is missing; 1 if one fell; 2 if the Go
program does not build or fails.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Final

from rafttest.compare import NoReferenceError
from rafttest.mixed.go_process import RELEASES, GoProcess, GoProcessError, build
from rafttest.mixed.run import Result, run

_PORTION: Final = 10


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `mixed` to the command line."""
    parser = commands.add_parser("mixed", help="groups of this library and Go's", description=__doc__)
    parser.set_defaults(run=run_command)
    add = parser.add_argument
    add("--seed", type=int, default=1, help="the first seed (default: 1)")
    add("--runs", type=int, default=50, help="how many seeds of each release (default: 50)")
    add("--library", choices=tuple(RELEASES), action="append", help="only this release (default: all)")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="processes")


def run_command(options: argparse.Namespace) -> int:
    """Play the seeds, and tell what was reached."""
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for release in options.library or RELEASES:
            try:
                program = build(folder, release)
                failed += _play(program, release, options)
            except NoReferenceError as error:
                print(error)
                return error.exit_code
            except GoProcessError as error:
                print(error)
                return 2
    return 1 if failed else 0


def _play(program: str, release: str, options: argparse.Namespace) -> int:
    seeds = range(options.seed, options.seed + options.runs)
    portions = [seeds[at : at + _PORTION] for at in range(0, len(seeds), _PORTION)]
    began, counts, done, events, failed = time.monotonic(), Counter[str](), 0, 0, 0
    with ProcessPoolExecutor(options.jobs) as pool:
        for results in pool.map(play, [program] * len(portions), [release] * len(portions), portions):
            for result in results:
                done += 1
                events += result.events
                counts.update(result.counts)
                if result.broken:
                    failed += 1
                    _tell(release, result)
            print(f"{release}: {done} of {options.runs} groups, {events} events, {failed} failures", flush=True)
    for name, count in sorted(counts.items()):
        print(f"{count:10}  {name}")
    print(
        f"{release}: {options.runs} groups, {events} events in {time.monotonic() - began:.0f} s; "
        f"{failed} failures; last trace {results[-1].trace_hash}"
    )
    return failed


def play(program: str, release: str, seeds: Sequence[int]) -> list[Result]:
    """The results of some seeds, one process for all."""
    with GoProcess(program, release) as process:
        return [run(process, seed) for seed in seeds]


def _tell(release: str, result: Result) -> None:
    for line in result.recent:
        print(f"    {line}")
    print(f"{release}: seed {result.seed} breaks a law: {result.broken}")
    print(f"    again: python -m rafttest mixed --library {release} --seed {result.seed} --runs 1")
