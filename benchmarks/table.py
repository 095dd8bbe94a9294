"""One table of ratios: for the terminal, and as Markdown.

A ratio is a median time over another's: below 1 ours is faster. Means over a workload are geometric, over the rows in
which both took part and that were not refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby, zip_longest
from math import exp, floor, log, log10
from typing import Final

from rich.table import Table

from benchmarks.engines import BEFORE, OTHERS
from benchmarks.measure import RowResult, Timing

TIMES: Final = ("C", "I", "P", *BEFORE.values(), "go37", "go36", "rs", "other")
"""`other` is the peer that only this workload has: `raft_pb2` in codec, PySyncObj in loopback."""
RATIOS: Final = (
    *BEFORE.items(),
    *(("C", "go37"), ("I", "go37"), ("P", "go37"), ("C", "go36"), ("I", "go36")),
    *(("C", "rs"), ("I", "rs"), ("C", "other"), ("I", "other")),
)
_MEMORY_FROM: Final = 1 << 20
"""Bytes of growth below which a process says nothing about its contents."""


def geometric_mean(values: Iterable[float]) -> float | None:
    """The geometric mean, or None of nothing."""
    logs = [log(value) for value in values]
    return exp(sum(logs) / len(logs)) if logs else None


def ratio(result: RowResult, name: str, peer: str) -> float | None:
    """`Result.ratio`, where `other` stands for the peer that only this workload has."""
    if peer != "other":
        return result.ratio(name, peer)
    found = [other for other in OTHERS if other in result.timings]
    return result.ratio(name, found[0]) if found else None


def means(results: Sequence[RowResult]) -> dict[tuple[str, str], float]:
    """Geometric mean of each ratio over `results`."""
    found: dict[tuple[str, str], float] = {}
    for name, peer in RATIOS:
        mean = geometric_mean(one for result in results if (one := ratio(result, name, peer)) is not None)
        if mean is not None:
            found[name, peer] = mean
    return found


def header(results: Sequence[RowResult], *, times: bool = True) -> list[str]:
    """The columns: those in which anything was measured."""
    shown, pairs = _shown(results)
    return ["microseconds" if times else "ratio", *(shown if times else ()), *(f"{a}/{b}" for a, b in pairs), "spread"]


def lines(results: Sequence[RowResult], *, times: bool = True) -> list[list[str]]:
    """The cells of the table, a line a row, and one with the means after each workload."""
    shown, pairs = _shown(results)
    made = []
    for workload, group in groupby(results, key=lambda result: result.row.workload):
        members = list(group)
        for result in members:
            cells = [_time(result, name) for name in shown] if times else []
            made.append([f"{workload} {result.row.label}", *cells, *_ratios(result, pairs), _spread(result)])
        found = means(members)
        if found and len(members) > 1:
            cells = [f"{found[pair]:.2f}" if pair in found else "" for pair in pairs]
            made.append([f"{workload} geometric mean", *([""] * len(shown) if times else ()), *cells, ""])
    return made


def _shown(results: Sequence[RowResult]) -> tuple[list[str], list[tuple[str, str]]]:
    """The engines, and the pairs of them, that took part anywhere."""
    names = [name for name in TIMES if any(_timing(result, name) is not None for result in results)]
    return names, [(one, other) for one, other in RATIOS if one in names and other in names]


def _timing(result: RowResult, name: str) -> Timing | None:
    if name != "other":
        return result.timings.get(name)
    found = [result.timings[other] for other in OTHERS if other in result.timings]
    return found[0] if found else None


def memory_lines(results: Sequence[RowResult]) -> list[list[str]]:
    """Bytes per group, or per entry in one log, where a process grew enough to tell."""
    made = []
    for result in results:
        per = result.row.memory_per
        if not per:
            continue
        cells = []
        for name in TIMES[:-1]:
            timing = result.timings.get(name)
            tells = timing is not None and timing.resident_bytes >= _MEMORY_FROM
            cells.append(f"{timing.resident_bytes / per:,.0f}" if timing is not None and tells else "")
        if any(cells):
            made.append([f"{result.row.workload} {result.row.label}", *cells])
    return made


def terminal_tables(results: Sequence[RowResult], *, wide: bool) -> list[Table]:
    """For people at a terminal: ratios, times if there is room, and memory if anything tells it."""
    title = "time an operation, and ratios of medians (below 1: ours is faster)"
    made = [_terminal_table(title, header(results, times=wide), lines(results, times=wide))]
    memory = memory_lines(results)
    if memory:
        made.append(_terminal_table("memory", memory_header(), memory))
    return made


def _terminal_table(title: str, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left")
    for position, name in enumerate(columns):
        table.add_column(name, justify="left" if position == 0 else "right", no_wrap=True)
    for line, after in zip_longest(cells, cells[1:], fillvalue=("",)):
        is_mean = line[0].endswith("geometric mean")
        ends = after[0].partition(" ")[0] != line[0].partition(" ")[0]
        table.add_row(*line, style="bold" if is_mean else None, end_section=is_mean or ends)
    return table


def memory_header() -> list[str]:
    """The columns of the second table."""
    return ["bytes per group, or per entry in a log", *TIMES[:-1]]


def markdown(columns: Sequence[str], cells: Iterable[Sequence[str]]) -> str:
    """A table for a file."""
    rule = ["---", *["---:"] * (len(columns) - 1)]
    return "".join(f"| {' | '.join(line)} |\n" for line in [columns, rule, *cells])


def _time(result: RowResult, name: str) -> str:
    """Microseconds, three digits of them."""
    timing = _timing(result, name)
    if timing is None:
        return ""
    if not timing.samples:
        return "failed"
    microseconds = timing.median / 1000
    digits = max(0, 2 - floor(log10(microseconds)))
    return f"{microseconds:,.{digits}f}"


def _ratios(result: RowResult, pairs: Sequence[tuple[str, str]]) -> list[str]:
    if result.refusal:
        return ["refused", *[""] * (len(pairs) - 1)]
    found = [ratio(result, name, peer) for name, peer in pairs]
    return ["" if one is None else f"{one:.2f}" for one in found]


def _spread(result: RowResult) -> str:
    """The largest spread among the engines: what a difference has to exceed to mean anything."""
    spreads = [timing.spread for timing in result.timings.values() if timing.samples]
    return f"{max(spreads):.0%}" if spreads else ""
