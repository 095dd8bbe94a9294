"""Rounds: every engine prepares a row, then they are timed in turn, A B A B, in the opposite order every other round.

Before that, each engine runs the row once with checksums: what was applied, and how many messages that took, must be
the same for ours and for the reference, or the row is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median, quantiles

from benchmarks.engines import OURS, REFERENCE, Answer, Engine, EngineClient, EngineError, UnsupportedError
from benchmarks.plan import Row

_CALIBRATION_NS = 20_000_000
_TOO_MANY = 1 << 32
_MIN_ROUNDS_FOR_SPREAD = 4


@dataclass(frozen=True)
class Effort:
    """How much time a row may take: `seconds` for each measurement, of which there are `rounds` for each engine.

    `clock`: "nanoseconds" of wall time, or "cpu_nanoseconds" of all threads.
    """

    seconds: float
    rounds: int
    clock: str = "nanoseconds"


@dataclass
class Timing:
    """What one engine did in one row. Times are nanoseconds an operation."""

    samples: list[float] = field(default_factory=list)
    operations: int = 0
    messages: int = 0
    readies: int = 0
    wire_bytes: int = 0
    resident_bytes: int = 0
    failure: str = ""

    @property
    def median(self) -> float:
        """The figure."""
        return median(self.samples)

    @property
    def spread(self) -> float:
        """Inter-quartile range over the median; of few samples the whole range."""
        if len(self.samples) < _MIN_ROUNDS_FOR_SPREAD:
            return (max(self.samples) - min(self.samples)) / self.median
        low, _, high = quantiles(self.samples, n=4, method="inclusive")
        return (high - low) / self.median

    def messages_per_operation(self) -> float:
        """How many messages an operation took."""
        return self.messages / self.operations


@dataclass
class RowResult:
    """A row, measured. `refusal` says why it does not count, if it does not; `notes` are differences of other peers."""

    row: Row
    timings: dict[str, Timing] = field(default_factory=dict)
    refusal: str = ""
    notes: list[str] = field(default_factory=list)

    def ratio(self, name: str, peer: str) -> float | None:
        """The time of `name` as a multiple of `peer`'s, or None if either is missing."""
        one, other = self.timings.get(name), self.timings.get(peer)
        if self.refusal or one is None or other is None or not one.samples or not other.samples:
            return None
        return one.median / other.median


def measure(row: Row, engines: Sequence[Engine], effort: Effort, step: Callable[[str], None]) -> RowResult:
    """Measure one row. `step` is told after every request for progress."""
    result = RowResult(row)
    with ExitStack() as stack:
        clients: dict[str, EngineClient] = {}
        checks: dict[str, Answer] = {}
        for engine in engines:
            if engine.only not in {"", row.workload}:
                continue
            timing = result.timings[engine.name] = Timing()
            client = stack.enter_context(EngineClient(engine))
            try:
                if row.checked:
                    checks[engine.name] = _checked(client, row)
                _prepare(client, row, timing, effort)
                clients[engine.name] = client
            except UnsupportedError:
                del result.timings[engine.name]
            except EngineError as error:
                timing.failure = str(error)
            step(engine.name)
        _compare(result, checks)
        for turn in range(effort.rounds):
            for name in list(clients) if turn % 2 == 0 else list(reversed(clients)):
                try:
                    _take(clients[name], result.timings[name], effort.clock)
                except EngineError as error:
                    result.timings[name].failure = str(error)
                    del clients[name]
                step(name)
    _compare_rates(result)
    return result


def name_of(row: Row) -> str:
    """The workload as the engines know it."""
    return row.workload.partition(",")[0]


def _number(answer: Answer, key: str) -> int:
    value = answer.get(key)
    if not isinstance(value, int):
        raise EngineError(f"{key} is {value!r} in an answer; expected a number")
    return value


def _checked(client: EngineClient, row: Row) -> Answer:
    """Run with checksums on."""
    client.ask({"do": "prepare", "workload": name_of(row), "shape": {**row.shape, "check": 1}})
    answer = client.ask({"do": "run", "operations": row.checked})
    client.ask({"do": "drop"})
    return answer


def _prepare(client: EngineClient, row: Row, timing: Timing, effort: Effort) -> None:
    """Build the workload, warm up, and find out how many operations fill the time of one measurement."""
    answer = client.ask({"do": "prepare", "workload": name_of(row), "shape": dict(row.shape)})
    timing.resident_bytes = _number(answer, "resident_bytes")
    granularity = _number(answer, "granularity")
    operations = granularity
    while True:
        elapsed = _number(client.ask({"do": "run", "operations": operations}), effort.clock)
        if elapsed >= _CALIBRATION_NS:
            break
        if operations > _TOO_MANY:
            raise EngineError(f"{client.engine.title} does {operations} operations in no time")
        operations *= 2 if elapsed * 8 > _CALIBRATION_NS else 4
    wanted = int(operations * effort.seconds * 1e9 / elapsed)
    timing.operations = max(granularity, wanted - wanted % granularity)


def _take(client: EngineClient, timing: Timing, clock: str) -> None:
    answer = client.ask({"do": "run", "operations": timing.operations})
    timing.samples.append(_number(answer, clock) / timing.operations)
    timing.messages = _number(answer, "messages")
    timing.readies = _number(answer, "readies")
    timing.wire_bytes = _number(answer, "wire_bytes")


def _compare(result: RowResult, checks: dict[str, Answer]) -> None:
    """Ours and the reference must have applied the same with as many messages."""
    names = [name for name in (REFERENCE, *OURS) if name in checks]
    for key in ("digest", "messages", "wire_bytes") if result.row.counted else ("digest",):
        seen = {name: checks[name].get(key) for name in names}
        if len(set(seen.values())) > 1:
            result.refusal = f"{key} differ: {seen}"
    for name, answer in checks.items():
        if not names or name in names:
            continue
        due = checks[names[0]]
        if answer.get("digest") != due.get("digest") and not result.row.same_bytes:
            result.refusal = f"{name} applied something else"
        if answer.get("messages") != due.get("messages") and result.row.counted:
            result.notes.append(f"{name} took {answer.get('messages')} messages, {names[0]} {due.get('messages')}")


def _compare_rates(result: RowResult) -> None:
    """The same for the timed runs, whose numbers of operations differ."""
    if not result.row.counted:
        return
    timed = {name: timing for name, timing in result.timings.items() if timing.samples}
    names = [name for name in (REFERENCE, *OURS) if name in timed]
    for name in names[1:]:
        one, other = timed[name], timed[names[0]]
        if one.messages * other.operations != other.messages * one.operations:
            result.refusal = (
                f"messages an operation differ: {name} {one.messages_per_operation():.4f}, "
                f"{names[0]} {other.messages_per_operation():.4f}"
            )
