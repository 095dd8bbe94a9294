"""The tail of the log that is in memory, against a plain list of the whole log."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pyraft.log_reader import UNKNOWN
from pyraft.unstable import KEPT_BYTES, Unstable
from raftpb.enums import ENTRY_NORMAL
from raftpb.message import NO_ENTRIES, ConfState, Entry, Snapshot, SnapshotMetadata

DATA = {"empty": b"", "short": b"x", "large": bytes(KEPT_BYTES // 3 + 1)}
"""Of the large ones two are kept, three are too many."""


def run(first: int, *terms: int, data: bytes = b"x") -> list[Entry]:
    return [Entry(ENTRY_NORMAL, term, index, data) for index, term in enumerate(terms, first)]


def snapshot(index: int, term: int) -> Snapshot:
    return Snapshot(b"", SnapshotMetadata(ConfState((1,)), index, term))


def tail(first: int, *terms: int, durable: int = 0, taken: int = 0) -> Unstable:
    """A tail that begins at `first`, durable up to `durable`, handed out for writing up to `taken`."""
    unstable = Unstable(first)
    entries = run(first, *terms)
    if taken:
        unstable.truncate_and_append(entries[: taken - first + 1])
        unstable.accept_in_progress()
        unstable.stable_to(unstable.term_or_unknown(durable), durable)
    if len(entries) > taken - first + 1:
        unstable.truncate_and_append(entries[max(taken - first + 1, 0) :])
    return unstable


def positions(unstable: Unstable) -> tuple[int, int, int, int]:
    return (unstable.base, unstable.offset, unstable.offset_in_progress, unstable.last)


@pytest.mark.parametrize(
    ("first", "terms", "expected"),
    [
        pytest.param(9, (3,), (5, 7, 8, 9), id="one more"),
        pytest.param(8, (3, 3), (5, 7, 8, 9), id="over what nobody was told of"),
        pytest.param(7, (3, 3), (5, 7, 7, 8), id="over what is being written"),
        pytest.param(6, (3, 3), (5, 6, 6, 7), id="over what is durable"),
        pytest.param(5, (3,), (5, 5, 5, 5), id="over everything that is here"),
        pytest.param(4, (3, 3), (4, 4, 4, 5), id="over what is no longer here"),
    ],
)
def test_what_is_replaced_has_to_be_written_again(
    first: int, terms: tuple[int, ...], expected: tuple[int, int, int, int]
) -> None:
    unstable = tail(4, 1, 1, 1, 1, 1, durable=6, taken=7)
    unstable.release(4)
    assert positions(unstable) == (5, 7, 8, 8)
    whole = run(4, 1, 1, 1, 1, 1)[: first - 4] + run(first, *terms)
    unstable.truncate_and_append(whole[first - 4 :])
    assert positions(unstable) == expected
    assert unstable.next_entries() == whole[expected[2] - 4 :]
    assert [unstable.term_or_unknown(first + at) for at in range(len(terms))] == list(terms)
    assert unstable.kept_bytes == expected[1] - expected[0]
    assert unstable.term_or_unknown(expected[0] - 1) == (1 if first > 4 else UNKNOWN)


@pytest.mark.parametrize(
    ("term", "index", "offset"),
    [
        pytest.param(1, 5, 6, id="a part of what is being written"),
        pytest.param(2, 7, 8, id="all of it"),
        pytest.param(2, 5, 4, id="an entry that was replaced since"),
        pytest.param(1, 3, 4, id="durable before"),
        pytest.param(2, 8, 4, id="beyond the end"),
    ],
)
def test_only_the_very_entry_vouches_for_what_is_durable(term: int, index: int, offset: int) -> None:
    unstable = tail(4, 1, 1, 2, 2, taken=7)
    unstable.stable_to(term, index)
    assert unstable.offset == offset
    assert unstable.has_entries() is (offset < 8)


def test_an_entry_may_become_durable_before_it_was_handed_out() -> None:
    unstable = tail(4, 1, 1)
    unstable.stable_to(1, 4)
    assert positions(unstable) == (4, 5, 5, 5)


def test_nothing_waits_in_an_empty_tail() -> None:
    unstable = Unstable(4)
    assert positions(unstable) == (4, 4, 4, 3)
    assert not unstable.has_entries()
    assert unstable.next_entries() == []
    assert unstable.next_entries() is NO_ENTRIES
    assert unstable.next_snapshot() is None
    assert unstable.term_or_unknown(3) == UNKNOWN


def test_what_is_released_leaves_its_term() -> None:
    unstable = tail(4, 1, 2, 3, durable=6, taken=6)
    unstable.release(5)
    assert [unstable.term_or_unknown(index) for index in range(3, 8)] == [UNKNOWN, UNKNOWN, 2, 3, UNKNOWN]
    unstable.release(6)
    assert unstable.term_or_unknown(6) == 3
    assert unstable.last == 6


def test_what_is_not_durable_is_not_released() -> None:
    unstable = tail(4, 1, 1, 1, durable=4, taken=6)
    unstable.release(6)
    assert positions(unstable) == (5, 5, 7, 6)


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [
        pytest.param((KEPT_BYTES,), 1, id="exactly as much as may be kept"),
        pytest.param((KEPT_BYTES + 1,), 0, id="one large entry"),
        pytest.param((KEPT_BYTES // 2,) * 2, 2, id="two that fit"),
        pytest.param((KEPT_BYTES // 2, KEPT_BYTES // 2, 1), 0, id="one byte too many"),
        pytest.param((0,) * 5000, 5000, id="entries without data cost nothing"),
    ],
)
def test_durable_entries_are_kept_up_to_a_number_of_bytes(sizes: tuple[int, ...], kept: int) -> None:
    unstable = Unstable(1)
    unstable.truncate_and_append([Entry(ENTRY_NORMAL, 1, i, bytes(size)) for i, size in enumerate(sizes, 1)])
    unstable.stable_to(1, len(sizes))
    assert len(unstable.entries) == kept
    assert unstable.offset == len(sizes) + 1


def test_a_snapshot_is_all_there_is() -> None:
    unstable = tail(4, 1, 1, 1, durable=5, taken=6)
    unstable.restore(snapshot(20, 3))
    assert positions(unstable) == (21, 21, 21, 20)
    assert unstable.term_or_unknown(20) == 3
    assert unstable.term_or_unknown(19) == UNKNOWN
    assert unstable.kept_bytes == 0


def test_a_snapshot_is_handed_out_once_and_stays_until_it_is_durable() -> None:
    unstable = Unstable(4)
    unstable.restore(snapshot(20, 3))
    assert unstable.next_snapshot() == snapshot(20, 3)
    unstable.accept_in_progress()
    assert unstable.next_snapshot() is None
    unstable.stable_snapshot_to(19)
    assert unstable.snapshot == snapshot(20, 3)
    unstable.restore(snapshot(30, 4))
    unstable.stable_snapshot_to(20)
    assert unstable.next_snapshot() == snapshot(30, 4)
    unstable.accept_in_progress()
    unstable.stable_snapshot_to(30)
    assert unstable.snapshot is None
    assert not unstable.snapshot_in_progress
    unstable.stable_snapshot_to(30)
    assert unstable.term_or_unknown(30) == 4


class UnstableMachine(RuleBasedStateMachine):
    """`entries[i]` is the entry of index start + 1 + i, of which those above `forgotten` are in memory."""

    @initialize(start=st.integers(0, 3))
    def begin(self, start: int) -> None:
        self.unstable = Unstable(start + 1)
        self.begin_at(start, UNKNOWN)
        self.term = 1
        self.snapshot: Snapshot | None = None
        self.snapshot_taken = False

    def begin_at(self, index: int, term: int) -> None:
        self.start = self.durable = self.taken = self.forgotten = index
        self.term_below = term
        self.entries: list[Entry] = []

    def last(self) -> int:
        return self.start + len(self.entries)

    def among(self, lo: int, hi: int) -> list[Entry]:
        """Of index (lo, hi]."""
        return self.entries[lo - self.start : hi - self.start]

    def term_at(self, index: int) -> int:
        if index == self.forgotten:
            return self.term_below
        return self.entries[index - self.start - 1].term if self.forgotten < index <= self.last() else UNKNOWN

    def write(self, first: int, count: int, data: str) -> None:
        given = run(first, *[self.term] * count, data=DATA[data])
        del self.entries[first - self.start - 1 :]
        self.entries += given
        if first <= self.forgotten:
            self.forgotten = first - 1
            self.term_below = UNKNOWN
        self.durable = min(self.durable, first - 1)
        self.taken = min(self.taken, first - 1)
        self.unstable.truncate_and_append(given)
        given.clear()

    @rule(count=st.integers(1, 3), data=st.sampled_from(sorted(DATA)))
    def append(self, count: int, data: str) -> None:
        self.write(self.last() + 1, count, data)

    @rule(data=st.sampled_from(["short", "large"]), back=st.integers(0, 1))
    def append_and_write(self, data: str, back: int) -> None:
        self.append(2, data)
        self.take()
        self.become_durable(back)

    @precondition(lambda self: self.entries)
    @rule(back=st.integers(0, 9), count=st.integers(1, 3), data=st.sampled_from(sorted(DATA)))
    def replace(self, back: int, count: int, data: str) -> None:
        self.term += 1
        self.write(max(self.last() - back, self.start + 1), count, data)

    @rule()
    def take(self) -> None:
        handed = self.unstable.next_entries()
        assert handed == self.among(self.taken, self.last())
        if handed:
            handed.clear()
        assert self.unstable.next_snapshot() == (None if self.snapshot_taken else self.snapshot)
        self.unstable.accept_in_progress()
        self.taken = self.last()
        self.snapshot_taken = self.snapshot is not None

    @precondition(lambda self: self.last() > self.durable)
    @rule(back=st.integers(0, 9))
    def become_durable(self, back: int) -> None:
        index = max(self.last() - back, self.durable + 1)
        self.unstable.stable_to(self.term_at(index), index)
        self.durable = index
        self.taken = max(self.taken, index)
        if sum(len(entry.data) for entry in self.among(self.forgotten, self.durable)) > KEPT_BYTES:
            self.forget(index)

    @rule(index=st.integers(0, 40), wrong_by=st.sampled_from([-1, 1]))
    def be_told_of_another_entry(self, index: int, wrong_by: int) -> None:
        self.unstable.stable_to(max(self.term_at(index), 1) + wrong_by, index)

    @rule(index=st.integers(0, 40))
    def release(self, index: int) -> None:
        self.unstable.release(index)
        if min(index, self.durable) > self.forgotten:
            self.forget(min(index, self.durable))

    def forget(self, index: int) -> None:
        self.term_below = self.entries[index - self.start - 1].term
        self.forgotten = index

    @precondition(lambda self: len(self.entries) > 3)
    @rule(ahead=st.integers(0, 3))
    def restore(self, ahead: int) -> None:
        self.term += 1
        self.snapshot = snapshot(self.last() + ahead, self.term)
        self.snapshot_taken = False
        self.unstable.restore(self.snapshot)
        self.begin_at(self.last() + ahead, self.term)

    @precondition(lambda self: self.snapshot is not None)
    @rule(wrong_by=st.sampled_from([0, 0, -1, 1]))
    def snapshot_becomes_durable(self, wrong_by: int) -> None:
        assert self.snapshot is not None
        self.unstable.stable_snapshot_to(self.snapshot.metadata.index + wrong_by)
        if wrong_by == 0:
            self.snapshot = None
            self.snapshot_taken = False

    @invariant()
    def holds_the_tail_of_the_list(self) -> None:
        unstable = self.unstable
        assert positions(unstable) == (self.forgotten + 1, self.durable + 1, self.taken + 1, self.last())
        assert unstable.entries == self.among(self.forgotten, self.last())
        assert unstable.has_entries() is (self.durable < self.last())
        assert bool(unstable.next_entries()) is (self.taken < self.last())
        assert unstable.snapshot == self.snapshot
        for index in range(self.last() + 3):
            assert unstable.term_or_unknown(index) == self.term_at(index)

    @invariant()
    def keeps_its_laws(self) -> None:
        unstable = self.unstable
        bounds = (unstable.base, unstable.offset, unstable.offset_in_progress, unstable.last + 1)
        assert all(one <= other for one, other in pairwise(bounds))
        kept = sum(len(entry.data) for entry in unstable.entries[: unstable.offset - unstable.base])
        assert unstable.kept_bytes == kept <= KEPT_BYTES


TestUnstableMachine = UnstableMachine.TestCase
TestUnstableMachine.settings = settings(max_examples=3 * settings().max_examples)
