"""RaftLog, which is half on disk and half in memory, against a plain list."""

from __future__ import annotations

from collections import Counter
from typing import Any, SupportsIndex, overload

import pytest

from pyraft.errors import InvariantError
from pyraft.log import RaftLog
from pyraft.log_reader import UNKNOWN, reader_of
from pyraft.memory_storage import MemoryStorage
from pyraft.types import NO_LIMIT, limited_slice
from pyraft.unstable import KEPT_BYTES
from raftpb.enums import ENTRY_NORMAL
from raftpb.message import NO_ENTRIES, ConfState, Entry, HardState, Snapshot, SnapshotMetadata


class CountingStorage:
    """A Storage that counts how often it is asked."""

    def __init__(self, memory: MemoryStorage) -> None:
        self.memory = memory
        self.calls: Counter[str] = Counter()

    def initial_state(self) -> tuple[HardState, ConfState]:
        return self.memory.initial_state()

    def entries(self, lo: int, hi: int, max_size: int, /) -> list[Entry]:
        self.calls["entries"] += 1
        return self.memory.entries(lo, hi, max_size)

    def term(self, index: int, /) -> int:
        self.calls["term"] += 1
        return self.memory.term(index)

    def first_index(self) -> int:
        self.calls["first_index"] += 1
        return self.memory.first_index()

    def last_index(self) -> int:
        self.calls["last_index"] += 1
        return self.memory.last_index()

    def snapshot(self) -> Snapshot:
        self.calls["snapshot"] += 1
        return self.memory.snapshot()


def run(first: int, *terms: int, data: bytes = b"") -> list[Entry]:
    return [Entry(ENTRY_NORMAL, term, index, data) for index, term in enumerate(terms, first)]


def snapshot(index: int, term: int) -> Snapshot:
    return Snapshot(b"", SnapshotMetadata(ConfState((1,)), index, term))


def stored(*terms: int, below: int = 0, compacted: int = 0) -> MemoryStorage:
    """A Storage with a snapshot of term 1 at `below` and entries of `terms` after it, compacted up to `compacted`."""
    memory = MemoryStorage()
    if below:
        memory.apply_snapshot(snapshot(below, 1))
    memory.append(run(below + 1, *terms))
    if compacted:
        memory.compact(compacted)
    return memory


def log_of(storage: MemoryStorage, *unstable: int, committed: int = 0, limit: int = NO_LIMIT) -> RaftLog:
    """A log on `storage` with entries of terms `unstable` in memory."""
    log = RaftLog(storage, limit)
    if unstable:
        log.append(run(log.last_index() + 1, *unstable))
    log.commit_to(committed)
    return log


def acknowledge(log: RaftLog, index: int) -> None:
    """The application has applied the batch that ends at `index`; the answer may come late, or twice."""
    log.acknowledge_applied(index)
    log.applied_to(max(index, log.applied))


# -- where it begins


def test_it_begins_where_the_storage_does() -> None:
    log = log_of(stored(1, 1, 2, below=4, compacted=5))
    assert (log.first_index(), log.last_index(), log.last_term()) == (6, 7, 2)
    assert (log.committed, log.applying, log.applied) == (5, 5, 5)


def test_an_empty_log_ends_at_zero() -> None:
    log = log_of(MemoryStorage())
    assert (log.first_index(), log.last_index(), log.last_term()) == (1, 0, 0)
    assert log.matches(0, 0)
    assert not log.matches(0, 1)
    assert log.slice(1, 1, NO_LIMIT) == []


def test_what_the_storage_holds_beyond_the_end_is_none_of_the_log() -> None:
    """Entries that somebody else put there, or that were replaced and not deleted yet."""
    storage = stored(1, 1)
    log = log_of(storage)
    storage.append(run(3, 1, 1))
    assert (log.last_index(), log.term_or_unknown(3), log.term_or_unknown(4)) == (2, UNKNOWN, UNKNOWN)


def test_a_storage_that_has_lost_its_last_term_is_an_error() -> None:
    storage = stored(1, 1)
    log = log_of(storage)
    storage.apply_snapshot(snapshot(9, 4))
    with pytest.raises(InvariantError, match=r"does not know the term of its last index 2"):
        log.last_term()


@pytest.mark.parametrize(
    ("term", "index", "up_to_date"),
    [
        pytest.param(3, 1, True, id="shorter, but of a later term"),
        pytest.param(2, 6, True, id="longer"),
        pytest.param(2, 5, True, id="the same"),
        pytest.param(2, 4, False, id="shorter"),
        pytest.param(1, 99, False, id="longer, but of an earlier term"),
    ],
)
@pytest.mark.parametrize("in_memory", [True, False], ids=["in memory", "on disk"])
def test_is_up_to_date(term: int, index: int, up_to_date: bool, in_memory: bool) -> None:
    log = log_of(stored(1, 1, 1), 2, 2) if in_memory else log_of(stored(1, 1, 1, 2, 2))
    assert log.is_up_to_date(term, index) is up_to_date


# -- following a leader


@pytest.mark.parametrize(
    ("prev_term", "prev_index", "terms", "ends"),
    [
        pytest.param(3, 5, (), [1, 1, 2, 2, 3], id="nothing, at the end"),
        pytest.param(3, 5, (3, 4), [1, 1, 2, 2, 3, 3, 4], id="at the end"),
        pytest.param(2, 3, (), [1, 1, 2, 2, 3], id="nothing, in the middle"),
        pytest.param(2, 3, (2, 3), [1, 1, 2, 2, 3], id="what is here already"),
        pytest.param(1, 2, (2,), [1, 1, 2, 2, 3], id="a part of what is here"),
        pytest.param(2, 3, (2, 3, 3), [1, 1, 2, 2, 3, 3], id="what is here and one more"),
        pytest.param(2, 3, (4,), [1, 1, 2, 4], id="another term"),
        pytest.param(2, 4, (4, 4), [1, 1, 2, 2, 4, 4], id="another term at the end"),
        pytest.param(1, 2, (2, 2, 2), [1, 1, 2, 2, 2], id="an earlier term than there is"),
        pytest.param(2, 5, (4,), None, id="after an entry of another term"),
        pytest.param(3, 6, (4,), None, id="after an entry that is not here"),
        pytest.param(4, 3, (), None, id="nothing, after an entry of another term"),
    ],
)
@pytest.mark.parametrize("in_memory", [0, 2, 3], ids=["on disk", "half in memory", "mostly in memory"])
def test_maybe_append(
    prev_term: int, prev_index: int, terms: tuple[int, ...], ends: list[int] | None, in_memory: int
) -> None:
    here = [1, 1, 2, 2, 3]
    log = log_of(stored(*here[: 5 - in_memory]), *here[5 - in_memory :], committed=2)
    given = run(prev_index + 1, *terms)
    assert log.maybe_append(prev_term, prev_index, given) is (ends is not None)
    expected = here if ends is None else ends
    assert [log.term_or_unknown(index) for index in range(1, log.last_index() + 1)] == expected


def test_what_is_here_already_is_not_written_again() -> None:
    log = log_of(stored(1, 1, 1))
    log.maybe_append(1, 1, run(2, 1, 1, 2))
    assert log.unstable.next_entries() == run(4, 2)


@pytest.mark.parametrize("index", [1, 2], ids=["below the commit index", "at the commit index"])
def test_a_committed_entry_is_never_replaced(index: int) -> None:
    log = log_of(stored(1, 1), 1, committed=2)
    with pytest.raises(InvariantError, match=rf"^entry {index} would replace one that is committed up to 2$"):
        log.maybe_append(1 if index > 1 else 0, index - 1, run(index, 9))
    assert [log.term_or_unknown(at) for at in (1, 2, 3)] == [1, 1, 1]


def test_the_commit_index_stays_within_the_log_and_never_falls() -> None:
    log = log_of(stored(1, 1), 1)
    log.commit_to(3)
    log.commit_to(1)
    assert log.committed == 3
    with pytest.raises(InvariantError, match=r"^commit index 4 lies beyond the last index 3$"):
        log.commit_to(4)
    assert log.committed == 3


# -- where two logs part


@pytest.mark.parametrize(
    ("index", "term", "found"),
    [
        pytest.param(9, 2, (9, 0), id="beyond the log"),
        pytest.param(8, 5, (8, 5), id="at the end"),
        pytest.param(8, 4, (6, 3), id="a term that is not here"),
        pytest.param(8, 3, (6, 3), id="a term that is"),
        pytest.param(5, 3, (5, 3), id="from the middle"),
        pytest.param(8, 2, (4, 2), id="further down"),
        pytest.param(4, 1, (3, 1), id="the position that the snapshot stands for"),
        pytest.param(3, 1, (3, 1), id="from the position that the snapshot stands for"),
        pytest.param(8, 0, (2, 0), id="too low for all that is here"),
        pytest.param(2, 9, (2, 0), id="below all that is here"),
        pytest.param(0, 9, (0, 0), id="nothing to look at"),
    ],
)
def test_find_conflict_by_term(index: int, term: int, found: tuple[int, int]) -> None:
    log = log_of(stored(2, 3, 3, below=3), 5, 5)
    assert log.find_conflict_by_term(index, term) == found


@pytest.mark.parametrize(
    ("index", "term", "found"),
    [
        pytest.param(3, 0, (0, 0), id="nothing agrees"),
        pytest.param(1, 0, (0, 0), id="nothing below the first"),
        pytest.param(1, 1, (1, 1), id="the first"),
        pytest.param(3, 1, (2, 1), id="something agrees"),
    ],
)
def test_find_conflict_by_term_in_a_log_that_has_its_beginning(index: int, term: int, found: tuple[int, int]) -> None:
    assert log_of(stored(1, 1), 2).find_conflict_by_term(index, term) == found


def test_the_search_for_the_place_where_logs_part_does_not_walk() -> None:
    storage = CountingStorage(stored(*range(1, 2001)))
    log = RaftLog(reader_of(storage), NO_LIMIT)
    storage.calls.clear()
    assert log.find_conflict_by_term(1999, 700) == (700, 700)
    assert storage.calls["term"] < 20


class CompactingStorage(CountingStorage):
    """A Storage that another thread compacts between two questions."""

    def first_index(self) -> int:
        first = super().first_index()
        if self.calls["first_index"] > 1 and first < 4:
            self.memory.compact(3)
        return first


def test_a_term_that_vanishes_during_the_search_counts_as_unknown() -> None:
    log = RaftLog(reader_of(CompactingStorage(stored(1, 1, 1, 4, 4))), NO_LIMIT)
    assert log.find_conflict_by_term(5, 0) == (2, 0)


# -- reading


@pytest.mark.parametrize(
    ("lo", "hi", "limit", "expected"),
    [
        pytest.param(6, 7, NO_LIMIT, None, id="compacted"),
        pytest.param(7, 9, NO_LIMIT, [7, 8], id="on disk"),
        pytest.param(7, 11, NO_LIMIT, [7, 8, 9, 10], id="across"),
        pytest.param(7, 10, NO_LIMIT, [7, 8, 9], id="across, but not to the end"),
        pytest.param(9, 11, NO_LIMIT, [9, 10], id="in memory"),
        pytest.param(11, 11, NO_LIMIT, [], id="no entry at the end"),
        pytest.param(7, 11, 0, [7], id="at least one"),
        pytest.param(7, 11, 8, [7, 8], id="as much as fits on disk exactly"),
        pytest.param(7, 11, 11, [7, 8], id="no room for one from memory"),
        pytest.param(7, 11, 12, [7, 8, 9], id="room for one from memory"),
        pytest.param(9, 11, 7, [9], id="cut in memory"),
        pytest.param(9, 11, 0, [9], id="at least one from memory"),
    ],
)
def test_slice(lo: int, hi: int, limit: int, expected: list[int] | None) -> None:
    log = log_of(stored(1, 1, 1, 1, below=4, compacted=6), 1, 1)
    found = log.slice(lo, hi, limit)
    assert (None if found is None else [entry.index for entry in found]) == expected


def test_entries_under_a_snapshot_that_waits_are_gone() -> None:
    log = log_of(stored(1, 1, 1), committed=1)
    log.restore(snapshot(3, 2))
    log.append(run(4, 2))
    assert (log.first_index(), log.last_index(), log.committed) == (4, 4, 3)
    assert log.slice(3, 5, NO_LIMIT) is None
    assert log.slice(4, 5, NO_LIMIT) == run(4, 2)
    assert [log.term_or_unknown(index) for index in (2, 3, 4, 5)] == [UNKNOWN, 2, 2, UNKNOWN]


def test_the_snapshot_to_send_is_the_newest() -> None:
    storage = stored(1, 1)
    storage.create_snapshot(2, ConfState((1,)), b"")
    log = log_of(storage)
    assert log.snapshot() is storage.snapshot()
    received = snapshot(9, 3)
    log.restore(received)
    assert log.snapshot() is received


def test_reading_examines_no_more_than_it_returns() -> None:
    entries = CountingList(run(1, *[1] * 1000))
    assert len(limited_slice(entries, 10, 1000, 13)) == 3
    assert entries.looked_at <= 4


class CountingList(list[Entry]):
    """A list that counts how many of its items are looked at one by one; compiled code may not even do that."""

    looked_at = 0

    @overload
    def __getitem__(self, at: SupportsIndex, /) -> Entry: ...
    @overload
    def __getitem__(self, at: slice[Any, Any, Any], /) -> list[Entry]: ...
    def __getitem__(self, at: Any, /) -> Any:
        if not isinstance(at, slice):
            self.looked_at += 1
        return super().__getitem__(at)


def test_the_steady_state_asks_the_storage_nothing() -> None:
    """Append, write, commit, apply, and answer for the entry before: all from memory."""
    storage = CountingStorage(stored(1))
    log = RaftLog(reader_of(storage), NO_LIMIT)
    log.commit_to(1)
    log.accept_applying(1, 4, True)
    acknowledge(log, 1)
    assert log.last_term() == 1
    storage.calls.clear()
    for index in range(2, 50):
        assert log.maybe_append(1, index - 1, run(index, 1))
        storage.memory.append(log.unstable.next_entries())
        log.unstable.accept_in_progress()
        log.commit_to(index)
        log.stable_to(1, index)
        handed = log.next_committed(False)
        assert [entry.index for entry in handed] == [index]
        log.accept_applying(index, 4, False)
        acknowledge(log, index)
    assert not storage.calls


def test_a_lone_term_below_memory_is_asked_for_once() -> None:
    storage = CountingStorage(stored(1, 2, 3))
    log = RaftLog(reader_of(storage), NO_LIMIT)
    storage.calls.clear()
    assert [log.last_term() for _ in range(5)] == [3] * 5
    assert storage.calls == {"term": 1}


def test_more_durable_entries_than_are_kept_are_read_back() -> None:
    storage = CountingStorage(MemoryStorage())
    log = RaftLog(reader_of(storage), NO_LIMIT)
    entries = run(1, 1, 1, 1, data=bytes(KEPT_BYTES // 2))
    for entry in entries:
        log.append([entry])
        storage.memory.append([entry])
    log.unstable.accept_in_progress()
    log.stable_to(1, 3)
    assert log.unstable.entries == []
    log.commit_to(3)
    assert log.next_committed(False) == entries
    assert storage.calls["entries"] == 1


# -- applying


def test_entries_are_handed_out_within_what_the_limit_leaves() -> None:
    log = log_of(MemoryStorage(), 1, 1, 1, 1, committed=4, limit=10)
    first = log.next_committed(True)
    assert first == run(1, 1, 1)
    log.accept_applying(1, 4, True)
    log.accept_applying(2, 4, True)
    assert log.applying_paused, "the slice was cut"
    assert log.next_committed(True) is NO_ENTRIES
    acknowledge(log, 1)
    assert not log.applying_paused
    assert log.next_committed(True) == run(3, 1), "6 bytes are left, one entry fits"
    log.accept_applying(3, 4, True)
    acknowledge(log, 3)
    assert (log.applying_size, log.applied, log.applying) == (4, 3, 3), "the second batch is not answered yet"
    acknowledge(log, 2)
    acknowledge(log, 2)
    assert (log.applying_size, log.applied, log.applying) == (0, 3, 3)


def test_a_hand_out_that_reaches_the_limit_pauses() -> None:
    log = log_of(MemoryStorage(), 1, 1, committed=2, limit=8)
    log.accept_applying(2, 8, True)
    assert log.applying_paused
    log.commit_to(2)
    log.append(run(3, 1))
    log.commit_to(3)
    assert not log.has_next_committed(True)
    acknowledge(log, 2)
    assert log.next_committed(True) == run(3, 1)
