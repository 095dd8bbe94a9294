"""MemoryStorage, against a dict of entries; and each way to ask it for what it cannot do."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pyraft import (
    CompactedError,
    MemoryStorage,
    SnapshotOutOfDateError,
    StorageError,
    UnavailableError,
)
from pyraft.log_reader import UNKNOWN
from pyraft.types import NO_LIMIT
from raftpb.enums import ENTRY_NORMAL
from raftpb.message import ConfState, Entry, HardState, Snapshot, SnapshotMetadata

MEMBERS = ConfState((1, 2, 3))


def run(first: int, *terms: int, data: bytes = b"") -> list[Entry]:
    return [Entry(ENTRY_NORMAL, term, index, data) for index, term in enumerate(terms, first)]


def snapshot(index: int, term: int) -> Snapshot:
    return Snapshot(b"state", SnapshotMetadata(MEMBERS, index, term))


def example() -> MemoryStorage:
    """A snapshot at 4; entries 4 to 9 of terms 1 1 2 2 2 3, of which 5 and below are compacted."""
    storage = MemoryStorage()
    storage.append(run(1, 1, 1, 1, 1, 1, 2, 2, 2, 3))
    storage.create_snapshot(4, MEMBERS, b"state")
    storage.compact(5)
    return storage


def contents(storage: MemoryStorage) -> tuple[object, ...]:
    first, last = storage.first_index(), storage.last_index()
    terms = [storage.term(index) for index in range(first - 1, last + 1)]
    return (first, last, terms, storage.snapshot(), storage.initial_state())


def test_a_new_one_is_empty() -> None:
    storage = MemoryStorage()
    assert storage.initial_state() == (HardState(), ConfState())
    assert (storage.first_index(), storage.last_index(), storage.term(0)) == (1, 0, 0)
    assert storage.snapshot() == Snapshot()


def test_it_remembers_the_hard_state() -> None:
    storage = MemoryStorage()
    storage.set_hard_state(HardState(3, 2, 1))
    assert storage.initial_state() == (HardState(3, 2, 1), ConfState())


def test_the_example_is_what_it_says() -> None:
    assert contents(example()) == (
        6,
        9,
        [1, 2, 2, 2, 3],
        snapshot(4, 1),
        (HardState(), MEMBERS),
    )


# -- each thing that it refuses, and leaves alone


REFUSED: dict[str, tuple[Callable[[MemoryStorage], object], type[Exception], str]] = {
    "append: gap": (lambda s: s.append(run(11, 3)), StorageError, "leave a gap after the last index 9"),
    "append: gap inside": (
        lambda s: s.append([*run(10, 3), *run(12, 3)]),
        StorageError,
        r"^entry 12 of term 3 cannot follow entry 10 of term 3$",
    ),
    "append: one index twice": (
        lambda s: s.append([*run(10, 3), *run(10, 3)]),
        StorageError,
        r"^entry 10 of term 3 cannot follow entry 10 of term 3$",
    ),
    "append: terms fall": (
        lambda s: s.append(run(10, 3, 2)),
        StorageError,
        r"^entry 11 of term 2 cannot follow entry 10 of term 3$",
    ),
    "append: falls behind the log": (
        lambda s: s.append(run(10, 2)),
        StorageError,
        r"^entry 10 has a lower term \(2\) than the entry before it$",
    ),
    "append: falls behind what is compacted": (
        lambda s: s.append(run(4, 0, 0, 0)),
        StorageError,
        r"^entry 6 has a lower term \(0\)",
    ),
    "entries: nothing asked for": (lambda s: s.entries(7, 7, 9), ValueError, r"^\[7, 7\) holds no index$"),
    "entries: backwards": (lambda s: s.entries(8, 7, 9), ValueError, r"^\[8, 7\) holds no index$"),
    "entries: compacted": (lambda s: s.entries(5, 7, 9), CompactedError, "below the first index"),
    "entries: too far": (lambda s: s.entries(7, 11, 9), UnavailableError, "beyond the last index"),
    "entries: all too far": (lambda s: s.entries(10, 11, 9), UnavailableError, "beyond the last index"),
    "term: compacted": (lambda s: s.term(4), CompactedError, "below the first index"),
    "term: too far": (lambda s: s.term(10), UnavailableError, "beyond the last index"),
    "compact: again": (lambda s: s.compact(5), CompactedError, "the log is compacted up to 5 already"),
    "compact: nothing": (lambda s: s.compact(0), CompactedError, "the log is compacted up to 5 already"),
    "compact: too far": (lambda s: s.compact(10), UnavailableError, "cannot compact up to 10: the last index is 9"),
    "create_snapshot: again": (
        lambda s: s.create_snapshot(4, MEMBERS, b""),
        SnapshotOutOfDateError,
        r"^a snapshot at 4 is already there$",
    ),
    "create_snapshot: older": (
        lambda s: s.create_snapshot(3, MEMBERS, b""),
        SnapshotOutOfDateError,
        r"^a snapshot at 4 is already there$",
    ),
    "create_snapshot: too far": (
        lambda s: s.create_snapshot(10, MEMBERS, b""),
        UnavailableError,
        r"^a snapshot at 10 would lie beyond the last index 9$",
    ),
    "create_snapshot: no conf_state": (
        lambda s: s.create_snapshot(6, cast(ConfState, None), b""),
        TypeError,
        "ConfState",
    ),
    "apply_snapshot: the same": (
        lambda s: s.apply_snapshot(snapshot(4, 1)),
        SnapshotOutOfDateError,
        r"^a snapshot at 4 is already there; one at 4 is not newer$",
    ),
    "apply_snapshot: older": (
        lambda s: s.apply_snapshot(snapshot(3, 1)),
        SnapshotOutOfDateError,
        "one at 3 is not newer",
    ),
    "apply_snapshot: empty": (lambda s: s.apply_snapshot(Snapshot()), SnapshotOutOfDateError, "one at 0 is not newer"),
}


@pytest.mark.parametrize(("call", "error", "text"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_done_changes_nothing(
    call: Callable[[MemoryStorage], object], error: type[Exception], text: str
) -> None:
    storage = example()
    before = contents(storage)
    with pytest.raises(error, match=text):
        call(storage)
    assert contents(storage) == before


def compacted_without_snapshot() -> MemoryStorage:
    storage = MemoryStorage()
    storage.append(run(1, 1, 1, 1))
    storage.compact(2)
    return storage


def test_a_snapshot_needs_a_term_that_is_still_known() -> None:
    storage = compacted_without_snapshot()
    with pytest.raises(CompactedError, match=r"^the term of entry 1 is gone: the log is compacted up to 2$"):
        storage.create_snapshot(1, MEMBERS, b"")
    assert storage.create_snapshot(2, MEMBERS, b"") == Snapshot(b"", SnapshotMetadata(MEMBERS, 2, 1))


@pytest.mark.parametrize("index", [0, 1])
def test_a_snapshot_does_not_bring_back_what_was_compacted(index: int) -> None:
    storage = compacted_without_snapshot()
    before = contents(storage)
    with pytest.raises(SnapshotOutOfDateError, match=rf"compacted up to 2 and ends at 3; a snapshot at {index} would"):
        storage.apply_snapshot(snapshot(index, 1))
    assert contents(storage) == before


def test_a_snapshot_of_nothing_does_not_wipe_a_log() -> None:
    storage = MemoryStorage()
    storage.append(run(1, 1))
    with pytest.raises(SnapshotOutOfDateError, match="ends at 1; a snapshot at 0 would"):
        storage.apply_snapshot(Snapshot())
    assert storage.entries(1, 2, NO_LIMIT) == run(1, 1)


# -- what it does


def test_a_snapshot_of_nothing_configures_an_empty_log() -> None:
    storage = MemoryStorage()
    storage.apply_snapshot(Snapshot(b"", SnapshotMetadata(MEMBERS)))
    assert storage.initial_state() == (HardState(), MEMBERS)
    storage.apply_snapshot(snapshot(3, 1))
    assert storage.first_index() == 4


@pytest.mark.parametrize(
    ("given", "terms"),
    [
        pytest.param([], [1, 2, 2, 2, 3], id="nothing"),
        pytest.param(run(10, 3, 4), [1, 2, 2, 2, 3, 3, 4], id="at the end"),
        pytest.param(run(8, 4), [1, 2, 2, 4], id="over the end"),
        pytest.param(run(6, 1), [1, 1], id="over everything"),
        pytest.param(run(4, 1, 1, 2), [1, 2], id="what is compacted is skipped"),
        pytest.param(run(2, 1, 1, 1), [1, 2, 2, 2, 3], id="nothing but what is compacted"),
        pytest.param(run(5, 1), [1, 2, 2, 2, 3], id="the last compacted entry"),
    ],
)
def test_append(given: list[Entry], terms: list[int]) -> None:
    storage = example()
    storage.append(given)
    assert [storage.term(index) for index in range(5, storage.last_index() + 1)] == terms


@pytest.mark.parametrize(
    ("limit", "count"),
    [
        pytest.param(0, 1, id="at least one"),
        pytest.param(4, 1, id="exactly one"),
        pytest.param(7, 1, id="not quite two"),
        pytest.param(8, 2, id="exactly two"),
        pytest.param(12, 3, id="all, exactly"),
        pytest.param(NO_LIMIT - 1, 3, id="all, with a limit"),
        pytest.param(NO_LIMIT, 3, id="all, without"),
    ],
)
def test_entries_are_cut_before_the_first_that_does_not_fit(limit: int, count: int) -> None:
    assert example().entries(6, 9, limit) == run(6, 2, 2, 2)[:count]


def test_a_list_handed_out_is_the_callers() -> None:
    storage = example()
    before = contents(storage)
    storage.entries(6, 10, NO_LIMIT).clear()
    given = run(10, 3)
    storage.append(given)
    given.clear()
    assert contents(storage)[1] == 10
    storage.append(run(10, 4))
    assert contents(storage)[2] == [1, 2, 2, 2, 3, 4]
    assert before[1] == 9


def test_the_core_reads_without_errors() -> None:
    storage = example()
    assert [storage.term_or_unknown(index) for index in (4, 5, 6, 9, 10)] == [UNKNOWN, 1, 2, 3, UNKNOWN]
    assert storage.entries_or_none(5, 7, NO_LIMIT) is None
    assert storage.entries_or_none(6, 7, NO_LIMIT) == run(6, 2)
    assert storage.snapshot_or_none() is storage.snapshot()


def test_a_snapshot_replaces_the_log() -> None:
    storage = example()
    storage.apply_snapshot(snapshot(7, 9))
    assert contents(storage) == (8, 7, [9], snapshot(7, 9), (HardState(), MEMBERS))


class MemoryStorageMachine(RuleBasedStateMachine):
    """`log`: what is there, by index. `floor`: what is compacted, whose term is still known."""

    @initialize()
    def begin(self) -> None:
        self.storage = MemoryStorage()
        self.log: dict[int, Entry] = {}
        self.floor = (0, 0)
        self.snapshot_index = 0

    def last(self) -> int:
        return self.floor[0] + len(self.log)

    def term_at(self, index: int) -> int:
        return self.floor[1] if index == self.floor[0] else self.log[index].term

    @rule(back=st.integers(0, 6), rises=st.lists(st.integers(0, 1), min_size=1, max_size=5))
    def append(self, back: int, rises: list[int]) -> None:
        """From anywhere in the log, also from below what is compacted."""
        first = max(self.last() + 1 - back, 1)
        term = self.term_at(first - 1) if first > self.floor[0] else 0
        given = []
        for index, rise in enumerate(rises, first):
            term = max(term + rise, self.floor[1] if index > self.floor[0] else 0)
            given.append(Entry(ENTRY_NORMAL, term, index, b"x"))
        self.storage.append(given)
        if first + len(given) - 1 > self.floor[0]:
            self.log = {index: entry for index, entry in self.log.items() if index < first}
            self.log.update({entry.index: entry for entry in given if entry.index > self.floor[0]})

    @precondition(lambda self: self.log)
    @rule(back=st.integers(0, 4))
    def compact(self, back: int) -> None:
        index = max(self.last() - back, self.floor[0] + 1)
        self.storage.compact(index)
        self.floor = (index, self.log[index].term)
        self.log = {at: entry for at, entry in self.log.items() if at > index}

    @precondition(lambda self: self.last() > self.snapshot_index)
    @rule(back=st.integers(0, 3))
    def create_snapshot(self, back: int) -> None:
        index = max(self.last() - back, self.snapshot_index + 1, self.floor[0])
        made = self.storage.create_snapshot(index, MEMBERS, b"state")
        assert made == snapshot(index, self.term_at(index))
        self.snapshot_index = index

    @rule(ahead=st.integers(1, 4), term=st.integers(1, 9))
    def apply_snapshot(self, ahead: int, term: int) -> None:
        index = max(self.snapshot_index, self.floor[0]) + ahead
        self.storage.apply_snapshot(snapshot(index, term))
        self.log = {}
        self.floor = (index, term)
        self.snapshot_index = index

    @rule(lo=st.integers(0, 30), count=st.integers(1, 9), limit=st.sampled_from([0, 7, 8, 21, NO_LIMIT]))
    def read(self, lo: int, count: int, limit: int) -> None:
        hi = lo + count
        if lo <= self.floor[0]:
            with pytest.raises(CompactedError):
                self.storage.entries(lo, hi, limit)
        elif hi > self.last() + 1:
            with pytest.raises(UnavailableError):
                self.storage.entries(lo, hi, limit)
        else:
            found = self.storage.entries(lo, hi, limit)
            assert found == [self.log[index] for index in range(lo, lo + len(found))]
            size = sum(entry.encoded_size() for entry in found)
            assert len(found) == 1 or size <= limit
            assert len(found) == count or size + self.log[lo + len(found)].encoded_size() > limit

    @invariant()
    def is_the_dict(self) -> None:
        storage = self.storage
        assert (storage.first_index(), storage.last_index()) == (self.floor[0] + 1, self.last())
        assert storage.snapshot().metadata.index == self.snapshot_index
        for index in range(self.last() + 3):
            if index < self.floor[0] or index > self.last():
                assert storage.term_or_unknown(index) == UNKNOWN
            else:
                assert storage.term(index) == storage.term_or_unknown(index) == self.term_at(index)


TestMemoryStorageMachine = MemoryStorageMachine.TestCase
