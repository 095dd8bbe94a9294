"""One table of ratios: for the terminal, and as Markdown.

A ratio is a median time over another's: below 1 ours is faster. Means over a workload are geometric, over the rows in
which both took part and that were not refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from math import exp, log

from rich.table import Table

from benchmarks.measure import Result, Timing

RATIOS = (("C", "go37"), ("I", "go37"), ("P", "go37"), ("C", "go36"), ("I", "go36"), ("C", "rs"), ("I", "rs"))
TIMES = ("C", "I", "P", "go37", "go36", "rs")


def geometric_mean(values: Iterable[float]) -> float | None:
    """The geometric mean, or None of nothing."""
    logs = [log(value) for value in values]
    return exp(sum(logs) / len(logs)) if logs else None


def means(results: Sequence[Result]) -> dict[tuple[str, str], float]:
    """Geometric mean of each ratio over `results`."""
    found: dict[tuple[str, str], float] = {}
    for name, peer in RATIOS:
        ratios = [ratio for result in results if (ratio := result.ratio(name, peer)) is not None]
        mean = geometric_mean(ratios)
        if mean is not None:
            found[name, peer] = mean
    return found


def lines(results: Sequence[Result]) -> list[list[str]]:
    """The cells of the table, a line a row, and one with the means after each workload."""
    made = []
    for workload, group in groupby(results, key=lambda result: result.row.workload):
        members = list(group)
        for result in members:
            made.append([f"{workload} {result.row.label}", *_times(result), *_ratios(result), _spread(result)])
        found = means(members)
        if found:
            cells = [f"{found[pair]:.2f}" if pair in found else "" for pair in RATIOS]
            made.append([f"{workload} geometric mean", *[""] * len(TIMES), *cells, ""])
    return made


def header() -> list[str]:
    """The columns."""
    times = [f"{name} ns" for name in TIMES]
    return ["row", *times, *(f"{name}/{peer}" for name, peer in RATIOS), "spread"]


def terminal_table(results: Sequence[Result]) -> Table:
    """For people at a terminal."""
    table = Table(title="time per operation, and ratios of medians (below 1: ours is faster)", title_justify="left")
    for position, name in enumerate(header()):
        table.add_column(name, justify="left" if position == 0 else "right", no_wrap=True)
    for cells in lines(results):
        is_mean = cells[0].endswith("geometric mean")
        table.add_row(*cells, style="bold" if is_mean else None, end_section=is_mean)
    return table


def markdown(results: Sequence[Result]) -> str:
    """The same for a file."""
    columns = header()
    rule = ["---", *["---:"] * (len(columns) - 1)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [columns, rule, *lines(results)])


def _times(result: Result) -> list[str]:
    return [_time(result.timings.get(name)) for name in TIMES]


def _time(timing: Timing | None) -> str:
    if timing is None:
        return ""
    if not timing.samples:
        return "failed"
    return f"{timing.median:,.0f}"


def _ratios(result: Result) -> list[str]:
    if result.refusal:
        return ["refused", *[""] * (len(RATIOS) - 1)]
    cells = []
    for name, peer in RATIOS:
        ratio = result.ratio(name, peer)
        cells.append("" if ratio is None else f"{ratio:.2f}")
    return cells


def _spread(result: Result) -> str:
    """The largest spread among the engines: what a difference has to exceed to mean anything."""
    spreads = [timing.spread for timing in result.timings.values() if timing.samples]
    return f"{max(spreads):.0%}" if spreads else ""
