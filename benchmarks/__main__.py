"""`python -m benchmarks`: measure pyraft beside its peers. README.md here says what the columns mean."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from benchmarks import plan, table
from benchmarks.builds import HERE, NotBuiltError
from benchmarks.engines import BEFORE, KINDS, Engine, EngineError, EngineKind, of_checkout
from benchmarks.measure import Effort, RowResult, measure, name_of
from benchmarks.plan import Row
from benchmarks.results import verdict_cells, write
from benchmarks.targets import verdicts
from benchmarks.workloads.bench import has_batch_append

RESULTS: Final = HERE / "results"
WIDE_COLUMNS: Final = 150
"""From here on there is room for times beside the ratios."""
FULL: Final = Effort(seconds=0.35, rounds=5)
BEFORE_OF: Final = {name: ours for ours, name in BEFORE.items()}
QUICK: Final = Effort(seconds=0.12, rounds=3)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the command line names.

    Returns 1 if a row was refused, an engine failed or, without --look, a target was missed; 2 if no row matches.
    """
    options = parse(arguments)
    console = Console(stderr=False, width=None if sys.stdout.isatty() else 200)
    kinds = [kind for kind in KINDS if not options.engines or kind.name in options.engines]
    if options.before is not None:
        kinds += [kind for kind in of_checkout(options.before) if BEFORE_OF[kind.name] in {one.name for one in kinds}]
    engines = build(console, kinds)
    rows = [
        row
        for row in all_rows()
        if (not options.only or name_of(row) in options.only)
        and (options.all or not options.quick or row.quick)
        and options.match in row.label
    ]
    if not rows:
        console.print("no row matches")
        return 2
    effort = QUICK if options.quick else FULL
    clock = "cpu_nanoseconds" if options.cpu else "nanoseconds"
    effort = Effort(options.seconds or effort.seconds, options.rounds or effort.rounds, clock)
    results = run(console, rows, engines, effort)
    for one in table.terminal_tables(results, wide=console.width >= WIDE_COLUMNS):
        console.print(one)
    missed = report_targets(console, results)
    failed = report_failures(console, results)
    is_published = is_full(options) and len(engines) == len(KINDS) and not failed
    folder = options.output or (RESULTS if is_published else None)
    if folder is not None:
        write(folder, results, engines, effort)
        console.print(f"written to {folder}")
    else:
        console.print(f"not written: only a whole run without failures replaces {RESULTS.name}/; see --output")
    return 1 if failed or (missed and not options.look) else 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    workloads = list(dict.fromkeys(name_of(row) for row in all_rows()))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--only", type=_names(workloads), default=(), metavar="A,B", help=f"workloads: {', '.join(workloads)}")
    names = [kind.name for kind in KINDS]
    add("--engines", type=_names(names), default=(), metavar="A,B", help=f"engines: {', '.join(names)}")
    add("--before", type=Path, metavar="CHECKOUT", help="measure our engines of that checkout as well, as C0, I0, P0")
    add("--match", default="", metavar="TEXT", help="only rows whose label contains this")
    add("--quick", action="store_true", help="fewer rows, rounds and seconds: one look")
    add("--all", action="store_true", help="with --quick: all rows nevertheless")
    add("--rounds", type=int, default=0, help="measurements of each engine in each row")
    add("--seconds", type=float, default=0.0, help="length of one measurement")
    add("--look", action="store_true", help="exit with 0 though a target is missed")
    add("--cpu", action="store_true", help="processor time of all threads, not wall time: for a busy machine")
    add("--output", type=Path, metavar="FOLDER", help=f"where to write; a whole run writes to {RESULTS.name}/ here")
    return parser.parse_args(arguments)


def all_rows() -> list[Row]:
    """Every row that the core in the source tree can run."""
    return plan.rows(batch_append=has_batch_append())


def is_full(options: argparse.Namespace) -> bool:
    """True if nothing was left out on the command line, and no measurement made shorter."""
    return not (
        options.before
        or options.only
        or options.engines
        or options.match
        or options.quick
        or options.cpu
        or options.rounds
        or options.seconds
    )


def _names(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def read(text: str) -> tuple[str, ...]:
        asked = tuple(text.split(","))
        for name in asked:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return asked

    return read


def build(console: Console, kinds: Sequence[EngineKind]) -> list[Engine]:
    """Build what is to be measured; say what is left out, and why."""
    engines = []
    with console.status("") as status, ThreadPoolExecutor(2) as pool:
        waiting = {kind.name: pool.submit(kind.build) for kind in kinds}
        for kind in kinds:
            left = [other.title for other in kinds if not waiting[other.name].done()]
            status.update(f"building (minutes, the first time): {', '.join(left)}")
            try:
                engines.append(waiting[kind.name].result())
            except (NotBuiltError, EngineError) as error:
                console.print(f"left out: {kind.title}: {error}", style="yellow")
    return engines


def run(console: Console, rows: Sequence[Row], engines: Sequence[Engine], effort: Effort) -> list[RowResult]:
    """Measure `rows`, with a bar that tells how far it is."""
    columns = (
        TextColumn("{task.description:<44}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    results = []
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(rows) * len(engines) * (effort.rounds + 1))
        for position, row in enumerate(rows):
            results.append(measure(row, engines, effort, _ticking(progress, task, f"{row.workload} {row.label}")))
            progress.update(task, completed=(position + 1) * len(engines) * (effort.rounds + 1))
    return results


def _ticking(progress: Progress, task: TaskID, name: str) -> Callable[[str], None]:
    return lambda who: progress.update(task, advance=1, description=f"{name} {who}")


def report_targets(console: Console, results: Sequence[RowResult]) -> bool:
    """Print what the project promises, and whether this run keeps it; True if it misses anything."""
    judged = verdicts(results)
    if not judged:
        return False
    made = Table(title="targets", title_justify="left")
    for name in ("target", "measured", "limit", ""):
        made.add_column(name, justify="left" if name == "target" else "right")
    for one in judged:
        made.add_row(*verdict_cells(one), style=None if one.is_kept else "red")
    console.print(made)
    return not all(one.is_kept for one in judged)


def report_failures(console: Console, results: Sequence[RowResult]) -> bool:
    """Print what went wrong; True if anything did."""
    failed = False
    for result in results:
        where = f"{result.row.workload} {result.row.label}"
        if result.refusal:
            failed = True
            console.print(f"refused: {where}: {result.refusal}", style="red")
        for name, timing in result.timings.items():
            if timing.failure:
                failed = True
                console.print(f"failed: {where}: {name}: {timing.failure}", style="red")
        for note in result.notes:
            console.print(f"note: {where}: {note}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
