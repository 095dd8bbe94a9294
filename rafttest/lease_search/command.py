"""`python -m rafttest lease-search`: look for a broken lease in every order of a few events.

Each search begins from one start, under one setting of knobs, with one budget of rare events, and goes on until it has
seen everything that can follow, or as many states as it may. A line tells how many there were and that the law holds: for
good, or for so many events; or the shortest schedule that breaks it is printed. `--replay` carries such a schedule out by
nodes that are never taken apart, and shows each step. Exit code: 0 if no search found any, 1 if one did, 2 for a bad command line.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Final, NamedTuple

from rafttest.lease_search.group import Budget
from rafttest.lease_search.replay import Live, replayed, written
from rafttest.lease_search.search import Found, search
from rafttest.lease_search.starts import MEMBERSHIP, STARTS, VARIANTS, history, setting_of, start
from rafttest.lease_search.table import Table

BUDGETS: Final[Mapping[str, Budget]] = {
    "time alone": Budget(),
    "a campaign": Budget(campaigns=1),
    "two campaigns": Budget(campaigns=2),
    "a restart": Budget(campaigns=1, restarts=1),
    "a transfer": Budget(campaigns=1, transfers=1, reads=1),
    "a forgotten leader": Budget(campaigns=1, forgets=1),
    "entries": Budget(campaigns=1, reads=1),
    "a demotion": Budget(campaigns=1, demotions=1),
    "a removal": Budget(campaigns=1, removals=1),
}
WITH_ENTRIES: Final = frozenset({"entries", "a demotion", "a removal"})
"""Budgets under which appends arrive; under the others each is lost."""
_SECONDS_BETWEEN: Final = 20.0


class Task(NamedTuple):
    """One search."""

    election_tick: int
    variant: str
    start: str
    budget: str
    states: int
    off: tuple[str, ...]

    def __str__(self) -> str:
        return f"n={self.election_tick} {self.variant:12} {self.start:14} {self.budget:18}"

    def appends(self) -> bool:
        """True if entries are sent."""
        return self.budget in WITH_ENTRIES or self.start in MEMBERSHIP

    def begin(self) -> dict[str, object]:
        """What a schedule's first line tells."""
        return {
            "election_tick": self.election_tick,
            "variant": self.variant,
            "start": self.start,
            "appends": self.appends(),
            "off": list(self.off),
        }


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `lease-search` to the command line."""
    parser = commands.add_parser("lease-search", help="search for broken leases", description=__doc__)
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("--states", type=int, default=20_000, help="of each search, at most (default: 20000, minutes in all)")
    add("--election-tick", type=int, choices=(3, 4), action="append", help="only this one (default: 3 and 4)")
    add("--start", choices=tuple(STARTS), action="append", help="only this start")
    add("--variant", choices=tuple(VARIANTS), action="append", help="only these knobs")
    add("--budget", choices=tuple(BUDGETS), action="append", help="only this budget of rare events")
    add("--off", action="append", default=[], metavar="KNOB", help="switch this knob of Config off, to see it found")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    add("--replay", type=Path, metavar="FILE", help="carry out the schedule in this file, as printed before, instead")


def tasks(options: argparse.Namespace) -> Iterator[Task]:
    """What the command line asks for. Budgets that a variant cannot spend are left out."""
    for election_tick in options.election_tick or (3, 4):
        for variant in options.variant or VARIANTS:
            for name in options.start or STARTS:
                for budget in options.budget or BUDGETS:
                    if budget != "a forgotten leader" or variant == "node by node":
                        yield Task(
                            election_tick, variant, name, budget, options.states, tuple(options.off)
                        )


def run(options: argparse.Namespace) -> int:
    """Carry the searches out, and tell what came of each as it ends."""
    if options.replay is not None:
        return replay(options.replay)
    todo = list(tasks(options))
    began, states, failed, complete = time.monotonic(), 0, 0, 0
    with ProcessPoolExecutor(options.jobs) as pool:
        waiting: dict[Future[tuple[Found, list[str], float]], Task] = {
            pool.submit(carry_out, task): task for task in todo
        }
        for done, future in enumerate(as_completed(waiting), start=1):
            found, lines, seconds = future.result()
            states += found.states
            failed += bool(found.schedule)
            complete += found.is_complete
            print(f"[{done}/{len(todo)}] {waiting[future]} {found.states:9} states {seconds:6.1f} s  {_end(found)}")
            for line in lines:
                print(line)
            sys.stdout.flush()
    print(
        f"{len(todo)} searches, {complete} of them to the end, {states} states in {time.monotonic() - began:.0f} s; "
        f"{failed} found a broken lease"
    )
    return 1 if failed else 0


def _end(found: Found) -> str:
    if found.schedule:
        return f"BROKEN after {len(found.schedule)} events"
    return "holds for good" if found.is_complete else f"holds for {found.depth} events"


@functools.lru_cache(maxsize=1)
def _table(election_tick: int, variant: str, off: tuple[str, ...]) -> Table:
    """What single nodes do does not depend on the search."""
    return Table(setting_of(variant, election_tick, **dict.fromkeys(off, False)))


def carry_out(task: Task) -> tuple[Found, list[str], float]:
    """One search: what it found, the schedule as lines, and the seconds that it took."""
    began = told = time.monotonic()

    def tell(how_far: str, states: int) -> None:
        nonlocal told
        if time.monotonic() - told > _SECONDS_BETWEEN:
            told = time.monotonic()
            sys.stderr.write(f"... {task} {states:9} states  {how_far}\n")

    table = _table(task.election_tick, task.variant, task.off)
    group, first = start(task.start, table, BUDGETS[task.budget], task.appends())
    found = search(group, first, task.states, tell)
    lines = written(task.begin(), group, found.schedule) if found.schedule else []
    return found, lines, time.monotonic() - began


def replay(file: Path) -> int:
    """Carry out a schedule, and show each step."""
    try:
        first, *lines = [line for line in file.read_text().splitlines() if line.strip()]
        begin = json.loads(first)
        table = _table(begin["election_tick"], begin["variant"], tuple(begin["off"]))
        group, state = start(begin["start"], table, Budget(), begin["appends"])
        live = Live(group)
        live.begin(history(begin["start"], table), state)
        is_broken = False
        for line in replayed(live, lines):
            print(line)
            is_broken |= line.startswith("BROKEN")
    except (OSError, ValueError, KeyError) as error:
        print(f"error: {file} holds no schedule of this search: {error}", file=sys.stderr)
        return 2
    return 1 if is_broken else 0
