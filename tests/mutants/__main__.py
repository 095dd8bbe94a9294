"""`python -m tests.mutants`, from the project's root: plant each bug, and see that something fails.

First of all, everything that the rows name must pass without a bug, and a canary must die. Then each bug gets a copy of
the source of its own. Exit code: 0 if all bugs were killed, 1 if one survived, 2 if a row does not apply or the tests
fail without any bug.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Final

from rafttest.cli.progress_bar import ProgressBar

from .killing import Killer, Outcome, Verdict, fallback_killers, kill, named_killers, shoot
from .planting import CopyError, check_imports, copy_source, plant
from .rows import CANARY, Row, all_rows

_ALL_AT_ONCE_SECONDS: Final = 900.0
_SLOWEST: Final = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--stars", action="store_true", help="only the rows with a star")
    parser.add_argument("--only", metavar="IDS", help="only these rows: 12,13,84b; a number alone brings its letters")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time (default: 1)")
    parser.add_argument("--seconds", type=float, default=60.0, help="time limit of one killer (default: 60)")
    parser.add_argument("--list", action="store_true", help="show the rows and plant nothing")
    parser.add_argument("--plant", metavar="DIR", help="leave a copy of the source with the one bug of --only in DIR")
    options = parser.parse_args(arguments)
    rows = _chosen(all_rows(), options.stars, options.only)
    if not rows:
        parser.error("there is no such row")
    if options.list:
        for row in rows:
            print(f"{row.id:>5} {row.marks} {row.bug}")
        return 0
    try:
        if options.plant is not None:
            return _leave(rows, Path(options.plant))
        with tempfile.TemporaryDirectory(prefix="mutants-") as home:
            outcomes = _Session(Path(home), options.seconds).run(rows, options.jobs)
    except CopyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return _report(outcomes)


def _leave(rows: list[Row], target: Path) -> int:
    """Plant one row and keep the copy, to see with one's own eyes what the bug does."""
    if len(rows) != 1:
        print(f"error: --plant takes one row, and --only names {len(rows)}", file=sys.stderr)
        return 2
    if target.exists():
        print(f"error: {target} is there already", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="mutants-") as home:
        copy_source(Path(home, "sound"))
        plant(Path(home, "sound"), target, rows[0])
    print(f"{rows[0].bug}\n{rows[0].breaks}\ngo there: cd {target} && python -m rafttest sim --runs 200")
    return 0


def _chosen(rows: list[Row], stars: bool, only: str | None) -> list[Row]:
    if only is not None:
        wanted = set(only.split(","))
        rows = [row for row in rows if row.id in wanted or str(row.number) in wanted]
    return [row for row in rows if row.star or not stars]


class _Session:
    """One run: a sound copy, and from it one copy a row, gone when the row is done."""

    def __init__(self, home: Path, limit_seconds: float) -> None:
        self.home = home
        self.sound = home / "sound"
        self.limit_seconds = limit_seconds

    def run(self, rows: list[Row], jobs: int) -> list[Outcome]:
        planted = [row for row in rows if row.edits]
        bar = ProgressBar(len(planted) + 2, sys.stderr)
        bar.show("everything without a bug")
        copy_source(self.sound)
        check_imports(self.sound)
        self._check_sound(named_killers(planted))
        bar.advance()
        bar.show("the canary")
        if self._try(CANARY).verdict is not Verdict.KILLED:
            raise CopyError("the canary lives: the copy is not what is tested")
        bar.advance()
        fallback_is_needed = False
        outcomes = {row.id: Outcome(row, Verdict.NOT_PLANTED) for row in rows}
        with ThreadPoolExecutor(jobs) as pool:
            waiting = [pool.submit(self._try, row) for row in planted]
            try:
                for future in as_completed(waiting):
                    outcome = future.result()
                    outcomes[outcome.row.id] = outcome
                    fallback_is_needed = fallback_is_needed or outcome.is_fallback
                    bar.clear()
                    print(_line(outcome), flush=True)
                    bar.advance()
                    bar.show(f"row {outcome.row.id}")
            finally:
                _cancel(waiting)
        if fallback_is_needed:
            bar.show("the fallback without a bug")
            self._check_sound(fallback_killers())
        bar.clear()
        return list(outcomes.values())

    def _check_sound(self, killers: Iterable[Killer]) -> None:
        """Raise CopyError if any of them fails without a bug, or does not exist."""
        for killer in killers:
            shot = shoot(killer, self.sound, _ALL_AT_ONCE_SECONDS)
            if shot.code != 0:
                raise CopyError(f"without any bug {shot.failed} fails or does not exist:\n{shot.output[-2000:]}")

    def _try(self, row: Row) -> Outcome:
        with tempfile.TemporaryDirectory(dir=self.home) as folder:
            copy = Path(folder, "copy")
            plant(self.sound, copy, row)
            return kill(row, copy, self.limit_seconds, with_fallback=row is not CANARY)


def _cancel(waiting: list[Future[Outcome]]) -> None:
    for future in waiting:
        future.cancel()


def _line(outcome: Outcome) -> str:
    how = "" if outcome.verdict is Verdict.KILLED else f"{outcome.verdict.value} "
    by_chance = " (named nowhere)" if outcome.is_fallback else ""
    return (
        f"{outcome.row.id:>5} {outcome.row.marks} {outcome.seconds:6.1f} s  {how}{outcome.killer}{by_chance}".rstrip()
    )


def _report(outcomes: list[Outcome]) -> int:
    """Print what was not planted, the survivors and the sums; return the exit code."""
    for outcome in outcomes:
        if outcome.verdict is Verdict.NOT_PLANTED:
            print(f"{outcome.row.id:>5} not planted: {outcome.row.bug} {outcome.row.reason}")
    survivors = [outcome for outcome in outcomes if outcome.verdict is Verdict.SURVIVED]
    for outcome in survivors:
        print(f"{outcome.row.id:>5} SURVIVED: {outcome.row.bug} {outcome.row.breaks}")
    planted = [outcome for outcome in outcomes if outcome.verdict is not Verdict.NOT_PLANTED]
    slowest = sorted(planted, key=lambda outcome: -outcome.seconds)[:_SLOWEST]
    print(
        f"{len(planted)} planted, {len(planted) - len(survivors)} killed "
        f"({sum(outcome.verdict is Verdict.TIMED_OUT for outcome in planted)} by time-out), {len(survivors)} survived; "
        f"slowest: {', '.join(f'{outcome.row.id} {outcome.seconds:.1f} s' for outcome in slowest)}"
    )
    return 1 if survivors else 0


if __name__ == "__main__":
    _BEGAN = time.monotonic()
    _CODE = main()
    print(f"{time.monotonic() - _BEGAN:.0f} s", file=sys.stderr)
    sys.exit(_CODE)
