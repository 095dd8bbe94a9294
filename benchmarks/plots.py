"""The run as pictures: ratios of every row, means of every workload, and time against the length of the log."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks.measure import RowResult
from benchmarks.table import geometric_mean

_COLOURS: Final = {
    "C": "#1b6ca8",
    "I": "#e08a1e",
    "P": "#9b9b9b",
    "go37": "#2a9d5c",
    "go36": "#8fce9f",
    "rs": "#b5462f",
}
_LINE_INCHES: Final = 0.2
_HOT: Final = ("rawnode", "cluster")


def write(folder: Path, results: Sequence[RowResult]) -> None:
    """Draw what there is to be drawn."""
    mpl.rcParams["svg.hashsalt"] = "pyraft"  # the same run gives the same file
    hot = [result for result in results if result.row.workload in _HOT]
    if hot:
        labels = [f"{result.row.workload} {result.row.label}" for result in hot]
        values = {name: [result.ratio(name, "go37") for result in hot] for name in ("C", "I")}
        _ratios(folder / "replication.svg", "time over etcd raft v3.7.0's, row by row", labels, values)
    names, means = _means(results)
    if names:
        _ratios(folder / "workloads.svg", "time over etcd raft v3.7.0's, geometric means", names, means)
    growth = [result for result in results if result.row.workload == "growth"]
    if growth:
        _growth(folder / "growth.svg", growth)


def _means(results: Sequence[RowResult]) -> tuple[list[str], dict[str, list[float | None]]]:
    names: list[str] = []
    values: dict[str, list[float | None]] = {"C": [], "I": [], "P": []}
    for workload, group in groupby(results, key=lambda result: result.row.workload):
        members = list(group)
        found = {
            name: geometric_mean(ratio for one in members if (ratio := one.ratio(name, "go37")) is not None)
            for name in values
        }
        if any(mean is not None for mean in found.values()):
            names.append(workload)
            for name, mean in found.items():
                values[name].append(mean)
    return names, values


def _ratios(path: Path, title: str, labels: Sequence[str], values: dict[str, list[float | None]]) -> None:
    """A dot for each ratio, and a line from there to 1, where both take as long."""
    figure = Figure(figsize=(8, 1.2 + _LINE_INCHES * len(labels) * len(values)), layout="constrained")
    axes = figure.add_subplot()
    height = 0.8 / len(values)
    for offset, (name, ratios) in enumerate(values.items()):
        colour = _COLOURS[name]
        drawn = [(line + offset * height, ratio) for line, ratio in enumerate(ratios) if ratio is not None]
        places = [place for place, _ in drawn]
        axes.hlines(places, 1.0, [ratio for _, ratio in drawn], color=colour, linewidth=1)
        axes.plot([ratio for _, ratio in drawn], places, "o", color=colour, label=name, markersize=4)
        for place, ratio in drawn:
            side = "right" if ratio < 1 else "left"
            axes.text(ratio, place, f"  {ratio:.2f}  ", va="center", ha=side, fontsize=7, color=colour)
    axes.set_yticks([line + 0.4 - height / 2 for line in range(len(labels))], labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    _plain_numbers(axes.xaxis)
    axes.margins(x=0.12, y=0.03)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xlabel("below 1: ours is faster")
    axes.set_title(title, fontsize=10)
    axes.legend(fontsize=8)
    figure.savefig(path, format="svg", metadata={"Date": None})


def _plain_numbers(axis: Axis) -> None:
    """On a logarithmic axis: powers of ten with 2 and 5 between them."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def _growth(path: Path, results: Sequence[RowResult]) -> None:
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, colour in _COLOURS.items():
        drawn = [
            (result.row.shape["entries"], timing.median)
            for result in results
            if (timing := result.timings.get(name)) is not None and timing.samples
        ]
        if drawn:
            axes.plot(
                [entries for entries, _ in drawn], [time for _, time in drawn], marker="o", color=colour, label=name
            )
    axes.set_xscale("log")
    axes.set_yscale("log")
    _plain_numbers(axes.yaxis)
    axes.set_xlabel("entries in the log")
    axes.set_ylabel("ns per entry applied on three nodes")
    axes.set_title("does a long log cost more?", fontsize=10)
    axes.legend()
    figure.savefig(path, format="svg", metadata={"Date": None})
