"""What the project promises of its speed, and whether a run keeps it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.engines import BEFORE
from benchmarks.measure import RowResult
from benchmarks.table import geometric_mean


@dataclass(frozen=True)
class TargetResult:
    """A promise, the figure that was measured for it, and the limit: at most, or at least if `least`."""

    promise: str
    figure: float
    limit: float
    where: str = ""
    least: bool = False

    @property
    def is_kept(self) -> bool:
        """True if the figure is within the limit."""
        return self.figure >= self.limit if self.least else self.figure <= self.limit


def verdicts(results: Sequence[RowResult]) -> list[TargetResult]:
    """Every promise that these results say anything about."""
    made: list[TargetResult] = []
    hot = [result for result in results if result.row.workload in {"cluster", "rawnode"}]
    several = [result for result in hot if result.row.shape.get("nodes", 1) >= 3]
    made += _mean("C against v3.7.0, geometric mean", hot, "C", "go37", 0.35)
    made += _worst("C against v3.7.0, worst row", hot, "C", "go37", 0.5)
    made += _mean("I against v3.7.0, geometric mean", hot, "I", "go37", 0.6)
    made += _worst("I against v3.7.0, worst row of n >= 3", several, "I", "go37", 1.0)
    made += _mean("P against v3.7.0, geometric mean", hot, "P", "go37", 8.0)
    made += _worst("P against v3.7.0, worst row", hot, "P", "go37", 8.0)
    made += _worst("C against v3.6.0, worst row", hot, "C", "go36", 0.9)
    for name in ("C", "I"):
        made += _mean(f"{name} against before, geometric mean", hot, name, BEFORE[name], 1.03)
    made += _growth(results)
    many = [result for result in _of(results, "groups") if result.row.shape["groups"] == 10_000]
    for name in ("C", "I"):
        made += _worst(f"{name}: 10,000 idle groups against v3.7.0", many, name, "go37", 1.0)
        made += _worst(f"{name}: idle groups against v3.7.0", _of(results, "groups"), name, "go37", 1.0)
        made += _codec(results, name)
    return made


def _of(results: Iterable[RowResult], workload: str) -> list[RowResult]:
    return [result for result in results if result.row.workload == workload]


def _ratios(results: Iterable[RowResult], name: str, peer: str) -> list[tuple[float, str]]:
    found = []
    for result in results:
        ratio = result.ratio(name, peer)
        if ratio is not None:
            found.append((ratio, f"{result.row.workload} {result.row.label}"))
    return found


def _mean(promise: str, results: Iterable[RowResult], name: str, peer: str, limit: float) -> list[TargetResult]:
    mean = geometric_mean(ratio for ratio, _ in _ratios(results, name, peer))
    return [] if mean is None else [TargetResult(promise, mean, limit)]


def _worst(promise: str, results: Iterable[RowResult], name: str, peer: str, limit: float) -> list[TargetResult]:
    return _extreme(promise, _ratios(results, name, peer), limit, max)


def _extreme(
    promise: str,
    ratios: list[tuple[float, str]],
    limit: float,
    choose: Callable[[list[tuple[float, str]]], tuple[float, str]],
) -> list[TargetResult]:
    if not ratios:
        return []
    figure, where = choose(ratios)
    return [TargetResult(promise, figure, limit, where, choose is min)]


def _codec(results: Iterable[RowResult], name: str) -> list[TargetResult]:
    gains = [(1 / ratio, where) for ratio, where in _ratios(_of(results, "codec"), name, "pb2")]
    return _extreme(f"{name}: times as fast as raft_pb2, at least", gains, 5.0, min)


def _growth(results: Iterable[RowResult]) -> list[TargetResult]:
    rows = [result for result in _of(results, "growth") if not result.refusal]
    made = []
    for name in ("C", "I", "P"):
        times = [timing.median for row in rows if (timing := row.timings.get(name)) is not None and timing.samples]
        if len(times) > 1:
            made.append(TargetResult(f"{name}: slowest log length over the fastest", max(times) / min(times), 1.2))
    return made
