"""`python -m rafttest mixed`: groups of pyraft and of Go's library, by seed.

Each seed is a group of nodes of both libraries under faults; every law is judged at each event, and at the end the
group owes a leader, a write, answers to reads and equal states. Exit code: 0 if every law held, or Go is missing; 1 if
one fell, or if 50 groups or more of a release have not been through everything that they should have been; 2 if the Go
program does not build or fails.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Final

from rafttest.mixed.coverage import ENOUGH, unseen
from rafttest.mixed.go_process import RELEASES, GoProcess, GoProcessError, build, library_of
from rafttest.mixed.python_node import PythonNode
from rafttest.mixed.run import MixedResult, run
from rafttest.reference.compare import NoReferenceError

_PORTION: Final = 10


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `mixed` to the command line."""
    parser = commands.add_parser("mixed", help="groups of this library and Go's", description=__doc__)
    parser.set_defaults(run=run_command)
    add = parser.add_argument
    add("--seed", type=int, default=1, help="the first seed (default: 1)")
    add("--runs", type=_positive, default=50, help="how many seeds of each release (default: 50)")
    add("--library", choices=tuple(RELEASES), action="append", help="only this release (default: all)")
    add("--jobs", type=_positive, default=os.cpu_count() or 1, help="processes")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {number}")
    return number


def run_command(options: argparse.Namespace) -> int:
    """Play the seeds, and tell what was reached."""
    is_good = True
    with tempfile.TemporaryDirectory() as folder:
        for release in options.library or RELEASES:
            try:
                program = build(folder, release)
                is_good = _play(program, release, options) and is_good
            except NoReferenceError as error:
                print(error)
                return error.exit_code
            except GoProcessError as error:
                print(error)
                return 2
    return 0 if is_good else 1


def _play(program: str, release: str, options: argparse.Namespace) -> bool:
    """Play the seeds of one release; True if nothing is wrong."""
    seeds = range(options.seed, options.seed + options.runs)
    portions = [seeds[at : at + _PORTION] for at in range(0, len(seeds), _PORTION)]
    began, counts, done, events, failed = time.monotonic(), Counter[str](), 0, 0, 0
    traces = hashlib.blake2b(digest_size=16)
    with ProcessPoolExecutor(options.jobs) as pool:
        for results in pool.map(play, [program] * len(portions), [release] * len(portions), portions):
            for result in results:
                done += 1
                events += result.events
                counts.update(result.counts)
                traces.update(result.trace_hash.encode())
                if result.broken:
                    failed += 1
                    _tell(release, result)
            print(f"{release}: {done} of {options.runs} groups, {events} events, {failed} failures", flush=True)
    for name, count in sorted(counts.items()):
        print(f"{count:10}  {name}")
    print(
        f"{release}: {options.runs} groups, {events} events in {time.monotonic() - began:.0f} s; "
        f"{failed} failures; traces {traces.hexdigest()}"
    )
    missing = unseen(counts, (PythonNode.library, library_of(release))) if options.runs >= ENOUGH else []
    if missing:
        print(f"{release}: not reached: {', '.join(missing)}")
    return not failed and not missing


def play(program: str, release: str, seeds: Sequence[int]) -> list[MixedResult]:
    """The results of some seeds, one process for all."""
    with GoProcess(program, release) as process:
        return [run(process, seed) for seed in seeds]


def _tell(release: str, result: MixedResult) -> None:
    for line in result.recent:
        print(f"    {line}")
    print(f"{release}: seed {result.seed} breaks a law: {result.broken}")
    print(f"    again: python -m rafttest mixed --library {release} --seed {result.seed} --runs 1")
