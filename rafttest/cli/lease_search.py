"""`python -m rafttest lease-search`: look for a broken lease in every order of a few events.

Each search begins from one start, under one setting of knobs, with one budget of rare events, and goes as deep as the
number of states allows; a line tells how deep, how many states there were, and that nothing was found, or the shortest
schedule that breaks the law. Exit code: 0 if no search found any, 1 if one did, 2 for a bad command line.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import Final, NamedTuple

from rafttest.lease_search.group import Budget
from rafttest.lease_search.search import Found, search
from rafttest.lease_search.starts import STARTS, VARIANTS, setting_of, start

BUDGETS: Final[Mapping[str, Budget]] = {
    "time and messages": Budget(campaigns=0, restarts=0, transfers=0, forgets=0, copies=0, reads=0),
    "two campaigns": Budget(campaigns=2, restarts=0, transfers=0, forgets=0, copies=0, reads=0),
    "a restart": Budget(campaigns=1, restarts=1, transfers=0, forgets=0, copies=0, reads=0),
    "a transfer": Budget(campaigns=1, restarts=0, transfers=1, forgets=0, copies=0, reads=1),
    "a copy": Budget(campaigns=1, restarts=0, transfers=0, forgets=0, copies=1, reads=0),
    "a forgotten leader": Budget(campaigns=1, restarts=0, transfers=0, forgets=1, copies=0, reads=0),
}
_DEEPEST: Final = 60


class Task(NamedTuple):
    """One search."""

    variant: str
    start: str
    budget: str
    election_tick: int
    messages: int
    states: int
    depth: int
    off: tuple[str, ...]

    def __str__(self) -> str:
        return f"n={self.election_tick} {self.variant:12} {self.start:15} {self.budget:18}"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `lease-search` to the command line."""
    parser = commands.add_parser("lease-search", help="search for broken leases", description=__doc__)
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("--states", type=int, default=20_000, help="of each search, at most (default: 20000, a minute in all)")
    add("--depth", type=int, default=_DEEPEST, help="events of each search, at most")
    add("--election-tick", type=int, choices=(3, 4), action="append", help="only this one (default: 3 and 4)")
    add("--start", choices=tuple(STARTS), action="append", help="only this start")
    add("--variant", choices=tuple(VARIANTS), action="append", help="only these knobs")
    add("--budget", choices=tuple(BUDGETS), action="append", help="only this budget")
    add("--messages", type=int, default=6, help="under way at a time; what is sent beyond that is lost (default: 6)")
    add("--off", action="append", default=[], metavar="KNOB", help="switch this knob of Config off, to see it found")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="processes")


def tasks(options: argparse.Namespace) -> Iterator[Task]:
    """What the command line asks for. Budgets that a variant cannot spend are left out."""
    for election_tick in options.election_tick or (3, 4):
        for variant in options.variant or VARIANTS:
            for name in options.start or STARTS:
                for budget in options.budget or BUDGETS:
                    if budget != "a forgotten leader" or variant == "node by node":
                        yield Task(
                            variant,
                            name,
                            budget,
                            election_tick,
                            options.messages,
                            options.states,
                            options.depth,
                            tuple(options.off),
                        )


def run(options: argparse.Namespace) -> int:
    """Carry the searches out, and tell what came of each as it ends."""
    todo = list(tasks(options))
    began, states, failed = time.monotonic(), 0, 0
    with ProcessPoolExecutor(options.jobs) as pool:
        waiting: dict[Future[tuple[Found, float]], Task] = {pool.submit(carry_out, task): task for task in todo}
        for done, future in enumerate(as_completed(waiting), start=1):
            found, seconds = future.result()
            states += found.states
            failed += bool(found.schedule)
            end = "BROKEN" if found.schedule else "all of it" if found.is_complete else "holds"
            print(
                f"[{done}/{len(todo)}] {waiting[future]} {found.states:8} states  depth {found.depth:2}  "
                f"{seconds:6.1f} s  {end}",
                flush=True,
            )
            for step in found.schedule:
                print(f"        {step}")
    print(f"{len(todo)} searches, {states} states in {time.monotonic() - began:.0f} s; {failed} found a broken lease")
    return 1 if failed else 0


def carry_out(task: Task) -> tuple[Found, float]:
    """One search, and the seconds that it took."""
    began = time.monotonic()
    setting = setting_of(task.variant, task.election_tick, task.messages, **dict.fromkeys(task.off, False))
    first = start(task.start, setting, BUDGETS[task.budget])
    return search(setting, first, task.depth, task.states), time.monotonic() - began
