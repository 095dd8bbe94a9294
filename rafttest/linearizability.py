"""Linearizability: whether what the clients saw could have happened one operation at a time.

A history is a list of operations that overlap. It is linearizable if each operation can be given one moment between
its beginning and its end at which it happened as a whole, so that all results are those of a `Model` to which the
operations are put one after the other.

    from rafttest.linearizability import Get, KeyValue, Operation, Put, check

    history = [
        Operation(Put("a", 1), None, begin=0, end=3),
        Operation(Get("a"), 1, begin=2, end=4),
        Operation(Put("a", 2), None, begin=5),        # no answer: it may have happened, now or later, or never
        Operation(Get("a"), 1, begin=6, end=7),
    ]
    assert check(KeyValue(), history).verdict is Verdict.LEGAL

An operation without an answer has no `end`. It may be given any moment after its beginning, or none at all. A read that
failed says nothing, and is to be left out; so is a write of which it is certain that it was refused.

Operations on different keys do not meet, so each key is searched by itself: linearizability is local. The search tries
what may come next, deepest first, and never looks twice at the same set of operations done in the same state. The
problem is NP-complete: `budget` bounds the work, and what is not decided within it is told as such.

Source: Wing and Gong, "Testing and Verifying Concurrent Objects" (1993); Lowe, "Testing for Linearizability" (2016).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Generic, Protocol, TypeVar

C = TypeVar("C")
"""What is asked."""
R = TypeVar("R")
"""What is answered."""
S = TypeVar("S", bound=Hashable)
"""A state of the model."""
C_contra = TypeVar("C_contra", contravariant=True)
R_contra = TypeVar("R_contra", contravariant=True)

BUDGET: Final = 1_000_000
"""Steps of the model that one key may cost, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Operation(Generic[C, R]):
    """One operation of one client. `begin` and `end` are moments of a clock that all clients share, in any unit; two
    that touch (`end` of one is `begin` of the other) count as overlapping. `end` is infinite if no answer came; then
    `result` means nothing.
    """

    call: C
    result: R | None
    begin: float
    end: float = math.inf

    def __post_init__(self) -> None:
        if not self.begin <= self.end:
            raise ValueError(f"{self.call!r} ends at {self.end}, before it begins at {self.begin}")

    def is_open(self) -> bool:
        """True if no answer came."""
        return self.end == math.inf


class Model(Protocol[C_contra, R_contra, S]):
    """What one key does when nothing overlaps."""

    def init(self) -> S:
        """The state before the first operation."""
        ...

    def step(self, state: S, call: C_contra, result: R_contra | None, is_open: bool) -> tuple[bool, S]:
        """Whether `call` may give `result` in `state`, and the state after it. `is_open`: the answer is not known."""
        ...

    def key(self, call: C_contra) -> Hashable:
        """What `call` is about; calls with different keys do not meet."""
        ...


class Verdict(Enum):
    """What a check has found."""

    LEGAL = "legal"
    ILLEGAL = "illegal"
    UNDECIDED = "undecided"
    """The budget was spent."""


@dataclass(frozen=True, slots=True)
class Finding(Generic[C, R]):
    """The verdict about a history. If it is not legal: for which key, the longest order that was found of operations
    that could have happened one after the other (`done`), and those of which one had to come next (`stuck`).
    """

    verdict: Verdict
    key: Hashable = None
    done: tuple[Operation[C, R], ...] = ()
    stuck: tuple[Operation[C, R], ...] = ()


def check(model: Model[C, R, S], history: Iterable[Operation[C, R]], budget: int = BUDGET) -> Finding[C, R]:
    """Judge `history`, each key by itself; the first that is illegal, else the first that is undecided, is told."""
    parts: dict[Hashable, list[Operation[C, R]]] = {}
    for operation in history:
        parts.setdefault(model.key(operation.call), []).append(operation)
    doubt: Finding[C, R] = Finding(Verdict.LEGAL)
    for key, operations in parts.items():
        finding = _Search(model, operations, budget).run(key)
        if finding.verdict is Verdict.ILLEGAL:
            return finding
        if finding.verdict is Verdict.UNDECIDED and doubt.verdict is Verdict.LEGAL:
            doubt = finding
    return doubt


class _Search(Generic[C, R, S]):
    """The search over the orders of one key's operations. A set of them is a bit mask, in the order of beginnings."""

    def __init__(self, model: Model[C, R, S], operations: Sequence[Operation[C, R]], budget: int) -> None:
        self.model = model
        self.operations = sorted(operations, key=lambda one: (one.begin, one.end))
        self.budget = budget
        self.owed = sum(1 << at for at, one in enumerate(self.operations) if not one.is_open())
        """Those that must have happened."""

    def run(self, key: Hashable) -> Finding[C, R]:
        seen: set[tuple[int, S]] = set()
        path: list[int] = []
        longest: list[int] = []
        state, mask = self.model.init(), 0
        stack = [(mask, state, iter(self._next(mask)))]
        while stack:
            mask, state, ways = stack[-1]
            if self.owed & ~mask == 0:
                return Finding(Verdict.LEGAL)
            for at in ways:
                one = self.operations[at]
                self.budget -= 1
                if self.budget < 0:
                    return self._fail(Verdict.UNDECIDED, key, longest)
                is_legal, after = self.model.step(state, one.call, one.result, one.is_open())
                known = (mask | 1 << at, after)
                if is_legal and known not in seen:
                    seen.add(known)
                    path.append(at)
                    stack.append((*known, iter(self._next(known[0]))))
                    break
            else:
                if len(path) > len(longest):
                    longest = path.copy()
                stack.pop()
                if path:
                    path.pop()
        return self._fail(Verdict.ILLEGAL, key, longest)

    def _next(self, mask: int) -> list[int]:
        """What may happen next: whatever began before the first end among those that have not happened. Those with an
        answer come first, the soonest end first: it is usually right, and the open ones are never owed.
        """
        found: list[int] = []
        bound = math.inf
        at = (~mask & (mask + 1)).bit_length() - 1
        while at < len(self.operations) and self.operations[at].begin <= bound:
            if not mask >> at & 1:
                found.append(at)
                bound = min(bound, self.operations[at].end)
            at += 1
        found.sort(key=lambda at: self.operations[at].end)
        return found

    def _fail(self, verdict: Verdict, key: Hashable, order: list[int]) -> Finding[C, R]:
        mask = sum(1 << at for at in order)
        done = tuple(self.operations[at] for at in order)
        return Finding(verdict, key, done, tuple(self.operations[at] for at in self._next(mask)))


@dataclass(frozen=True, slots=True)
class Put:
    """Give `key` the value `value`; answered by None."""

    key: Hashable
    value: Hashable


@dataclass(frozen=True, slots=True)
class Get:
    """Read `key`; answered by its value, None before the first Put."""

    key: Hashable


class KeyValue:
    """The model of a map: each key is a register that holds what was put there last."""

    def init(self) -> Hashable:
        """Nothing was put yet."""
        return None

    def step(self, state: Hashable, call: Put | Get, result: Hashable, is_open: bool) -> tuple[bool, Hashable]:
        """A Put always succeeds; a Get gives what is there."""
        if isinstance(call, Put):
            return True, call.value
        return is_open or state == result, state

    def key(self, call: Put | Get) -> Hashable:
        """The key of either."""
        return call.key
