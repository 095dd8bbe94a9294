"""The linearizability checker: what it accepts, what it refuses and why, and that it agrees with trying every order."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from itertools import combinations, permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rafttest.linearizability import Finding, Get, KeyValue, Operation, Put, Verdict, check

Op = Operation[Put | Get, Hashable]


def put(value: int, begin: float, end: float = math.inf, key: str = "k") -> Op:
    return Operation(Put(key, value), None, begin, end)


def get(value: int | None, begin: float, end: float = math.inf, key: str = "k") -> Op:
    return Operation(Get(key), value, begin, end)


def judge(history: Sequence[Op], budget: int = 100_000) -> Finding[Put | Get, Hashable]:
    return check(KeyValue(), history, budget)


LEGAL: dict[str, list[Op]] = {
    "nothing happened": [],
    "nothing is read before the first write": [get(None, 0, 1), put(1, 2, 3)],
    "one after the other": [put(1, 0, 1), get(1, 2, 3), put(2, 4, 5), get(2, 6, 7)],
    "a read during a write sees the old value": [put(1, 0, 1), put(2, 2, 9), get(1, 3, 4)],
    "or the new one": [put(1, 0, 1), put(2, 2, 9), get(2, 3, 4)],
    "two writes at once, either order": [put(1, 0, 9), put(2, 0, 9), get(1, 10, 11)],
    "an end and a beginning at one moment overlap": [put(1, 0, 5), get(None, 5, 6)],
    "a write without answer never happened": [put(1, 0, 1), put(2, 2), get(1, 3, 4), get(1, 90, 91)],
    "a write without answer happened": [put(1, 0, 1), put(2, 2), get(2, 3, 4)],
    "a write without answer happened late": [put(1, 0, 1), put(2, 2), get(1, 3, 4), get(2, 5, 6)],
    "a read without answer says nothing": [put(1, 0, 1), get(7, 2)],
    "keys do not meet": [put(1, 0, 1, "a"), get(None, 2, 3, "b"), get(1, 4, 5, "a")],
    "a later beginning may happen first": [put(1, 0, 10), put(2, 1, 4), get(2, 5, 6), get(1, 7, 8)],
}

ILLEGAL: dict[str, list[Op]] = {
    "a value that nobody wrote": [put(1, 0, 1), get(9, 2, 3)],
    "a stale read": [put(1, 0, 1), put(2, 2, 3), get(1, 4, 5)],
    "an acknowledged write is lost": [put(1, 0, 1), get(None, 2, 3)],
    "a value before it was written": [get(1, 0, 1), put(1, 2, 3)],
    "back to the old value": [put(1, 0, 1), put(2, 2, 9), get(2, 3, 4), get(1, 5, 6)],
    "two readers see two orders": [put(1, 0, 9), put(2, 0, 9), get(1, 10, 11), get(2, 12, 13)],
    "a write without answer happened, and did not": [put(1, 0, 1), put(2, 2), get(2, 3, 4), get(1, 5, 6)],
    "a write without answer before it began": [put(1, 0, 1), get(2, 2, 3), put(2, 4)],
    "one key of several": [put(1, 0, 1, "a"), get(1, 2, 3, "a"), put(1, 0, 1, "b"), get(None, 2, 3, "b")],
}


@pytest.mark.parametrize("history", LEGAL.values(), ids=LEGAL)
def test_legal(history: list[Op]) -> None:
    assert judge(history).verdict is Verdict.LEGAL


@pytest.mark.parametrize("history", ILLEGAL.values(), ids=ILLEGAL)
def test_illegal(history: list[Op]) -> None:
    assert judge(history).verdict is Verdict.ILLEGAL


def test_what_is_told_about_an_illegal_history() -> None:
    first, second, stale = put(1, 0, 1, "b"), put(2, 2, 3, "b"), get(1, 4, 5, "b")
    finding = judge([put(7, 0, 1, "a"), stale, second, first])
    assert finding.key == "b"
    assert finding.done == (first, second)
    assert finding.stuck == (stale,)


def test_an_operation_ends_after_it_begins() -> None:
    with pytest.raises(ValueError, match="ends at 1, before it begins at 2"):
        put(1, 2, 1)


def test_what_costs_too_much_is_undecided() -> None:
    """Ten writes without answer may come in any order, and no order explains the read."""
    history = [*(put(value, 0) for value in range(10)), get(99, 1, 2)]
    assert judge(history, budget=100).verdict is Verdict.UNDECIDED
    assert judge(history).verdict is Verdict.ILLEGAL


def test_an_illegal_key_is_told_before_an_undecided_one() -> None:
    history = [*(put(value, 0, key="a") for value in range(10)), get(99, 1, 2, "a"), get(1, 0, 1, "b")]
    finding = judge(history, budget=100)
    assert (finding.verdict, finding.key) == (Verdict.ILLEGAL, "b")


def a_run(random: Random, count: int, clients: int, fails: float) -> list[Op]:
    """What clients see of a real map, each doing one thing at a time; it happens somewhere within its span."""
    values: dict[str, int] = {}
    moments: list[tuple[float, int, Op]] = []
    free = [0.0] * clients
    for number in range(count):
        client = random.randrange(clients)
        begin = free[client] + random.random()
        at = begin + random.random() * 3
        free[client] = at + random.random() * 3
        key = random.choice("abcd")
        call = Put(key, number) if random.random() < 0.5 else Get(key)
        moments.append((at, number, Operation(call, None, begin, free[client])))
    history: list[Op] = []
    for _, number, one in sorted(moments, key=lambda moment: moment[:2]):
        is_lost = random.random() < fails
        if isinstance(one.call, Put):
            if not is_lost or random.random() < 0.5:
                values[str(one.call.key)] = number
            history.append(Operation(one.call, None, one.begin, math.inf if is_lost else one.end))
        elif not is_lost:
            history.append(Operation(one.call, values.get(str(one.call.key)), one.begin, one.end))
    return history


@pytest.mark.parametrize("seed", range(10))
def test_two_hundred_operations_on_four_keys_are_cheap(seed: int) -> None:
    """Cheap by count: at most some dozens of steps for each operation."""
    history = a_run(Random(seed), 200, 6, fails=0.15)
    assert judge(history, budget=10_000).verdict is Verdict.LEGAL


@pytest.mark.parametrize("seed", range(10))
def test_one_wrong_result_among_two_hundred_is_found(seed: int) -> None:
    random = Random(seed)
    history = a_run(random, 200, 6, fails=0.05)
    reads = [at for at, one in enumerate(history) if isinstance(one.call, Get)]
    at = random.choice(reads)
    history[at] = Operation(history[at].call, -1, history[at].begin, history[at].end)
    assert judge(history, budget=1_000_000).verdict is Verdict.ILLEGAL


def orders(history: list[Op]) -> Iterator[tuple[Op, ...]]:
    """Every order that respects time, of all operations with an answer and any of those without."""
    closed = [one for one in history if not one.is_open()]
    opened = [one for one in history if one.is_open()]
    for many in range(len(opened) + 1):
        for some in combinations(opened, many):
            for order in permutations([*closed, *some]):
                if not any(later.end < earlier.begin for earlier, later in combinations(order, 2)):
                    yield order


def is_linearizable(history: list[Op]) -> bool:
    """By definition."""
    return any(is_sequential(order) for order in orders(history))


def is_sequential(order: Sequence[Op]) -> bool:
    state: Hashable = None
    for one in order:
        if isinstance(one.call, Put):
            state = one.call.value
        elif not one.is_open() and one.result != state:
            return False
    return True


@st.composite
def operations(draw: st.DrawFn) -> Op:
    begin = draw(st.integers(0, 6))
    end = draw(st.one_of(st.just(math.inf), st.integers(begin, 8)))
    value = draw(st.integers(1, 3))
    return put(value, begin, end) if draw(st.booleans()) else get(draw(st.sampled_from([None, 1, 2, 3])), begin, end)


@given(st.lists(operations(), max_size=5))
def test_it_agrees_with_trying_every_order(history: list[Op]) -> None:
    assert (judge(history).verdict is Verdict.LEGAL) == is_linearizable(history)
