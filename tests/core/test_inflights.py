"""The window of one follower, against a plain list."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pyraft.errors import InvariantError
from pyraft.tracker.inflights import Inflights
from pyraft.types import NO_LIMIT


def filled(capacity: int, *indexes: int) -> Inflights:
    return Inflights(capacity, NO_LIMIT, [(index, index * 10) for index in indexes])


@pytest.mark.parametrize(
    ("acked", "left"),
    [
        pytest.param(0, [1, 2, 3, 4], id="below all"),
        pytest.param(1, [2, 3, 4], id="the oldest"),
        pytest.param(3, [4], id="several at once"),
        pytest.param(4, [], id="all"),
        pytest.param(9, [], id="beyond all"),
    ],
)
def test_free_le_forgets_what_the_index_covers(acked: int, left: list[int]) -> None:
    window = filled(4, 1, 2, 3, 4)
    window.free_le(acked)
    assert window.entries() == [(index, index * 10) for index in left]
    assert window.count() == len(left)
    assert window.size_bytes() == 10 * sum(left)


def test_free_le_takes_messages_whole() -> None:
    window = filled(4, 5, 10)
    window.free_le(9)
    assert window.entries() == [(10, 100)]


@pytest.mark.parametrize(
    ("capacity", "max_bytes", "sizes", "full"),
    [
        pytest.param(2, NO_LIMIT, [9], False, id="room for one more message"),
        pytest.param(2, NO_LIMIT, [9, 9], True, id="all messages used"),
        pytest.param(9, 10, [9], False, id="one byte left"),
        pytest.param(9, 10, [9, 1], True, id="the byte limit reached"),
        pytest.param(9, 10, [9, 99], True, id="the byte limit overshot by one message"),
        pytest.param(9, 10, [0, 0, 0], False, id="messages without data cost no bytes"),
    ],
)
def test_is_full(capacity: int, max_bytes: int, sizes: list[int], full: bool) -> None:
    window = Inflights(capacity, max_bytes)
    for index, size in enumerate(sizes, start=1):
        window.add(index, size)
    assert window.is_full() is full


def test_nothing_is_added_to_a_full_window() -> None:
    window = filled(2, 1, 2)
    with pytest.raises(InvariantError, match=r"^entry 3 was sent into a full window of 2 messages and 30 bytes$"):
        window.add(3, 1)
    assert window == filled(2, 1, 2)


def test_a_window_of_any_capacity_starts_small() -> None:
    window = Inflights(NO_LIMIT)
    window.add(1, 1)
    assert window.entries() == [(1, 1)]


def test_order_survives_growing_while_the_ring_is_wrapped() -> None:
    window = filled(16, 1, 2, 3, 4)
    window.free_le(2)
    for index in (5, 6, 7, 8, 9):
        window.add(index, index * 10)
    assert window.entries() == [(index, index * 10) for index in (3, 4, 5, 6, 7, 8, 9)]


def test_reset_forgets_everything() -> None:
    window = filled(2, 1, 2)
    window.reset()
    assert window.entries() == []
    assert window.size_bytes() == 0
    window.add(7, 1)
    assert window.entries() == [(7, 1)]


def test_a_clone_is_equal_and_apart() -> None:
    window = filled(3, 1, 2)
    twin = window.clone()
    assert twin == window
    twin.free_le(1)
    twin.add(3, 30)
    twin.add(4, 40)
    assert window == filled(3, 1, 2)
    assert twin == filled(3, 2, 3, 4)


def test_equality_is_about_contents_and_limits() -> None:
    wrapped = filled(4, 1, 2, 3)
    wrapped.free_le(1)
    assert wrapped == filled(4, 2, 3)
    assert wrapped != filled(5, 2, 3)
    assert wrapped != filled(4, 2, 3, 4)
    assert wrapped != Inflights(4, 1000, [(2, 20), (3, 30)])
    assert wrapped != [(2, 20), (3, 30)]
    with pytest.raises(TypeError):
        hash(wrapped)


def test_it_prints_and_travels() -> None:
    window = Inflights(4, 100, [(2, 20), (3, 30)])
    assert repr(window) == "Inflights(4, 100, [(2, 20), (3, 30)])"
    assert pickle.loads(pickle.dumps(window)) == window
    assert copy.deepcopy(window) == window


class InflightsMachine(RuleBasedStateMachine):
    """Any sequence of calls leaves the window and a list with the same contents."""

    @initialize(capacity=st.integers(1, 9), max_bytes=st.sampled_from([5, 20, NO_LIMIT]))
    def begin(self, capacity: int, max_bytes: int) -> None:
        self.capacity = capacity
        self.max_bytes = max_bytes
        self.window = Inflights(capacity, max_bytes)
        self.model: list[tuple[int, int]] = []
        self.last = 0

    def model_is_full(self) -> bool:
        return len(self.model) == self.capacity or sum(size for _, size in self.model) >= self.max_bytes

    @precondition(lambda self: not self.model_is_full())
    @rule(step=st.integers(1, 3), size=st.integers(0, 9))
    def add(self, step: int, size: int) -> None:
        self.last += step
        self.window.add(self.last, size)
        self.model.append((self.last, size))

    @precondition(lambda self: self.model_is_full())
    @rule()
    def add_too_much(self) -> None:
        with pytest.raises(InvariantError):
            self.window.add(self.last + 1, 1)

    @rule(back=st.integers(-1, 9))
    def free(self, back: int) -> None:
        index = max(self.last - back, 0)
        self.window.free_le(index)
        self.model = [held for held in self.model if held[0] > index]

    @rule()
    def reset(self) -> None:
        self.window.reset()
        self.model = []

    @rule()
    def continue_with_a_clone(self) -> None:
        original = self.window
        self.window = original.clone()
        original.reset()

    @invariant()
    def same_as_the_list(self) -> None:
        assert self.window.entries() == self.model
        assert self.window.count() == len(self.model)
        assert self.window.size_bytes() == sum(size for _, size in self.model)
        assert self.window.is_full() is self.model_is_full()


TestInflightsMachine = InflightsMachine.TestCase


def test_what_is_not_in_the_window_cannot_be_extended() -> None:
    window = Inflights(4)
    assert (window.newest_index(), window.newest_bytes()) == (0, 0)
    with pytest.raises(InvariantError, match="is not in the window"):
        window.extend_newest(5, 1)
    window.add(4, 10)
    window.extend_newest(5, 1)
    assert (window.newest_index(), window.newest_bytes()) == (5, 11)
