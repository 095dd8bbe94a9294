"""The run as pictures: ratios of every row, means of every workload, and time against the length of the log."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.measure import Result
from benchmarks.table import geometric_mean

_COLOURS: Final = {
    "C": "#1b6ca8",
    "I": "#e08a1e",
    "P": "#9b9b9b",
    "go37": "#2a9d5c",
    "go36": "#8fce9f",
    "rs": "#b5462f",
}
_BAR_INCHES: Final = 0.24
_HOT: Final = ("rawnode", "cluster")


def write(folder: Path, results: Sequence[Result]) -> None:
    """Draw what there is to be drawn."""
    mpl.rcParams["svg.hashsalt"] = "pyraft"  # the same run gives the same file
    hot = [result for result in results if result.row.workload in _HOT]
    if hot:
        labels = [f"{result.row.workload} {result.row.label}" for result in hot]
        values = {name: [result.ratio(name, "go37") for result in hot] for name in ("C", "I")}
        _bars(folder / "replication.svg", "time over etcd raft v3.7.0's, row by row", labels, values)
    names, means = _means(results)
    if names:
        _bars(folder / "workloads.svg", "time over etcd raft v3.7.0's, geometric means", names, means)
    growth = [result for result in results if result.row.workload == "growth"]
    if growth:
        _growth(folder / "growth.svg", growth)


def _means(results: Sequence[Result]) -> tuple[list[str], dict[str, list[float | None]]]:
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


def _bars(path: Path, title: str, labels: Sequence[str], values: dict[str, list[float | None]]) -> None:
    figure = Figure(figsize=(8, 1.2 + _BAR_INCHES * len(labels) * len(values)), layout="constrained")
    axes = figure.add_subplot()
    height = 0.8 / len(values)
    for offset, (name, ratios) in enumerate(values.items()):
        places = [position + offset * height for position in range(len(labels))]
        drawn = [(place, ratio) for place, ratio in zip(places, ratios, strict=True) if ratio is not None]
        axes.barh(
            [place for place, _ in drawn], [ratio for _, ratio in drawn], height, color=_COLOURS[name], label=name
        )
        for place, ratio in drawn:
            axes.text(ratio, place, f" {ratio:.2f}", va="center", fontsize=7)
    axes.set_yticks([position + 0.4 - height / 2 for position in range(len(labels))], labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xlabel("below 1: ours is faster (logarithmic)")
    axes.set_title(title, fontsize=10)
    axes.legend()
    figure.savefig(path, format="svg", metadata={"Date": None})


def _growth(path: Path, results: Sequence[Result]) -> None:
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
    axes.set_xlabel("entries in the log")
    axes.set_ylabel("ns per entry applied on three nodes")
    axes.set_title("does a long log cost more?", fontsize=10)
    axes.legend()
    figure.savefig(path, format="svg", metadata={"Date": None})
