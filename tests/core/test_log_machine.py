"""The log against a model: random sequences of what a node does with it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from test_log import CountingStorage, acknowledge, log_of, run, snapshot, stored

from pyraft.errors import CompactedError, InvariantError
from pyraft.log import RaftLog
from pyraft.log_reader import UNKNOWN, reader_of
from pyraft.memory_storage import MemoryStorage
from pyraft.types import NO_LIMIT
from pyraft.unstable import KEPT_BYTES
from raftpb.message import NO_ENTRIES, Entry, Snapshot


def test_a_hand_out_of_all_there_is_does_not_pause() -> None:
    log = log_of(MemoryStorage(), 1, 1, 1, committed=2, limit=9)
    log.accept_applying(2, 8, True)
    log.commit_to(3)
    assert log.next_committed(True) == run(3, 1), "at least one, though only a byte is left"


def test_what_is_still_out_pauses_after_an_acknowledgement() -> None:
    log = log_of(MemoryStorage(), 1, 1, 1, committed=3, limit=4)
    log.accept_applying(1, 4, True)
    log.accept_applying(2, 4, True)
    acknowledge(log, 1)
    assert log.applying_paused, "as much is out as may be"
    acknowledge(log, 2)
    assert not log.applying_paused


@pytest.mark.parametrize("handed_first", [True, False], ids=["handed out first", "durable first"])
def test_what_is_durable_and_handed_out_is_not_kept(handed_first: bool) -> None:
    log = log_of(MemoryStorage(), 1, 1, committed=2)
    log.unstable.accept_in_progress()
    if handed_first:
        log.accept_applying(2, 8, True)
    log.stable_to(1, 2)
    if not handed_first:
        assert len(log.unstable.entries) == 2
        log.accept_applying(2, 8, True)
    assert log.unstable.entries == []
    assert log.term_or_unknown(2) == 1


def test_the_same_may_be_applied_again() -> None:
    log = log_of(MemoryStorage(), 1, 1, committed=2)
    log.applied_to(2)
    log.applied_to(2)
    assert log.applied == 2


def test_what_was_not_handed_out_can_be_applied() -> None:
    """After a snapshot the application is further than it was told."""
    log = log_of(MemoryStorage(), 1, 1, 1, committed=3)
    log.applied_to(2)
    assert (log.applied, log.applying) == (2, 2)
    assert log.next_committed(True) == run(3, 1)


@pytest.mark.parametrize("index", [0, 3], ids=["back", "beyond the commit index"])
def test_the_applied_index_moves_forward_up_to_the_commit_index(index: int) -> None:
    log = log_of(MemoryStorage(), 1, 1, 1, committed=2)
    log.applied_to(1)
    with pytest.raises(InvariantError, match=rf"^applied index {index} is not in \[1, committed 2\]$"):
        log.applied_to(index)
    assert log.applied == 1


@pytest.mark.parametrize(
    ("allow_unstable", "durable", "expected"),
    [
        pytest.param(True, 0, 3, id="also what is not durable"),
        pytest.param(False, 0, 0, id="nothing is durable"),
        pytest.param(False, 2, 2, id="a part is durable"),
        pytest.param(False, 4, 3, id="more is durable than committed"),
    ],
)
def test_max_appliable_index(allow_unstable: bool, durable: int, expected: int) -> None:
    log = log_of(MemoryStorage(), 1, 1, 1, 1, committed=3)
    log.unstable.accept_in_progress()
    log.stable_to(1, durable)
    assert log.max_appliable_index(allow_unstable) == expected
    assert log.has_next_committed(allow_unstable) is (expected > 0)


def test_a_snapshot_that_waits_comes_before_what_follows_it() -> None:
    log = log_of(MemoryStorage(), 1, committed=1)
    log.restore(snapshot(5, 2))
    log.append(run(6, 2))
    log.commit_to(6)
    assert log.next_committed(True) is NO_ENTRIES
    log.unstable.stable_snapshot_to(5)
    log.applied_to(5)
    assert log.next_committed(True) == run(6, 2)


def test_an_entry_that_was_compacted_too_early_is_an_error() -> None:
    storage = stored(1, 1, 1)
    log = log_of(storage, committed=3)
    storage.compact(2)
    with pytest.raises(InvariantError, match=r"^entry 1 was compacted before it was handed out for applying$"):
        log.next_committed(True)


def test_compaction_is_told_by_an_error_of_its_own() -> None:
    """The adapter reads it as None, whatever the Storage."""
    storage = CountingStorage(stored(1, 1, 1))
    log = RaftLog(reader_of(storage), NO_LIMIT)
    storage.memory.compact(2)
    with pytest.raises(CompactedError):
        storage.entries(2, 4, NO_LIMIT)
    assert log.slice(2, 4, NO_LIMIT) is None


# -- all of it


def limited(entries: list[Entry], limit: int) -> list[Entry]:
    """The longest beginning of at most `limit` encoded bytes, and at least one entry."""
    taken: list[Entry] = []
    size = 0
    for entry in entries:
        size += entry.encoded_size()
        if taken and size > limit:
            break
        taken.append(entry)
    return taken


LIMITS = st.sampled_from([0, 3, 4, 9, 13, 25, KEPT_BYTES, NO_LIMIT])
DATA = {"empty": b"", "short": b"x", "long": b"0123456789", "large": bytes(KEPT_BYTES // 3 + 1)}


class LogMachine(RuleBasedStateMachine):
    """`entries[i]` is the entry of index start + 1 + i; the Storage lags behind and has forgotten what was applied.

    What is handed out for writing waits in `writes`, in order: the term of that time, a snapshot, entries, and the end
    of the log with its term.
    """

    @initialize(
        asynchronous=st.booleans(),
        adapted=st.booleans(),
        limit=st.sampled_from([1, 9, 13, 40, NO_LIMIT]),
        below=st.integers(0, 3),
    )
    def begin(self, asynchronous: bool, adapted: bool, limit: int, below: int) -> None:
        self.storage = stored(below=below)
        self.log = RaftLog(reader_of(CountingStorage(self.storage)) if adapted else self.storage, limit)
        self.allow_unstable = not asynchronous
        self.limit = limit
        self.term = 1
        self.committed = self.applying = self.applied = 0
        self.paused = False
        self.outstanding: deque[tuple[int, int]] = deque()
        self.writes: deque[tuple[int, Snapshot | None, list[Entry], int, int]] = deque()
        self.snapshot: Snapshot | None = None
        self.snapshot_taken = False
        self.begin_at(below, 1 if below else 0)
        self.applying = self.applied = below

    def begin_at(self, index: int, term: int) -> None:
        self.start = self.durable = self.taken = self.committed = index
        self.start_term = term
        self.entries: list[Entry] = []

    def last(self) -> int:
        return self.start + len(self.entries)

    def among(self, lo: int, hi: int) -> list[Entry]:
        """Of index (lo, hi]."""
        return self.entries[lo - self.start : hi - self.start]

    def first(self) -> int:
        return self.start + 1 if self.snapshot is not None else self.storage.first_index()

    def term_at(self, index: int) -> int:
        if not self.first() - 1 <= index <= self.last():
            return UNKNOWN
        return self.start_term if index == self.start else self.entries[index - self.start - 1].term

    def outstanding_size(self) -> int:
        return sum(size for _, size in self.outstanding)

    def max_appliable(self) -> int:
        return self.committed if self.allow_unstable else min(self.committed, self.durable)

    def write(self, first: int, given: list[Entry]) -> None:
        del self.entries[first - self.start - 1 :]
        self.entries += given
        self.durable = min(self.durable, first - 1)
        self.taken = min(self.taken, first - 1)

    # -- a leader's and a follower's writes

    @rule(count=st.integers(1, 3), data=st.sampled_from(sorted(DATA)))
    def append(self, count: int, data: str) -> None:
        given = run(self.last() + 1, *[self.term] * count, data=DATA[data])
        self.write(self.last() + 1, given)
        self.log.append(given)
        given.clear()

    @rule()
    def begin_a_term(self) -> None:
        self.term += 1

    @rule(
        data=st.sampled_from(sorted(DATA)), overlap=st.integers(0, 4), count=st.integers(0, 3), back=st.integers(0, 5)
    )
    def follow(self, data: str, overlap: int, count: int, back: int) -> None:
        """A leader of this term brings some of what is here, and then something else of its own."""
        fork = max(self.last() - back, self.committed)
        if fork < self.last() and self.term_at(self.last()) == self.term:
            return  # it has one log, and this node has a part of it already
        prev = max(fork - overlap, self.committed)
        given = [*self.among(prev, fork), *run(fork + 1, *[self.term] * count, data=DATA[data])]
        if count:
            self.write(fork + 1, given[fork - prev :])
        assert self.log.maybe_append(self.term_at(prev), prev, given)
        given.clear()

    @rule(index=st.integers(0, 60), wrong_by=st.sampled_from([-1, 1]))
    def follow_in_vain(self, index: int, wrong_by: int) -> None:
        prev_term = max(self.term_at(index), 0) + wrong_by
        if self.log.term_or_unknown(index) != prev_term:
            assert not self.log.maybe_append(prev_term, index, run(index + 1, self.term + 1))

    @precondition(lambda self: self.committed > 0)
    @rule(back=st.integers(0, 3))
    def replace_what_is_committed(self, back: int) -> None:
        with pytest.raises(InvariantError):
            self.log.append(run(max(self.committed - back, 1), self.term + 1))

    @rule(ahead=st.integers(-2, 6))
    def commit(self, ahead: int) -> None:
        if self.committed + ahead > self.last():
            with pytest.raises(InvariantError):
                self.log.commit_to(self.committed + ahead)
        else:
            self.log.commit_to(self.committed + ahead)
            self.committed = max(self.committed, self.committed + ahead)

    @precondition(lambda self: len(self.entries) > 4)
    @rule(ahead=st.integers(1, 9))
    def restore(self, ahead: int) -> None:
        """A snapshot of a new leader, over a log that does not agree with it."""
        self.term += 1
        index = self.committed + ahead
        self.snapshot = snapshot(index, self.term)
        self.snapshot_taken = False
        self.log.restore(self.snapshot)
        self.begin_at(index, self.term)

    @rule(data=st.sampled_from(sorted(DATA)), stops=st.integers(1, 6))
    def make_progress(self, data: str, stops: int) -> None:
        """What usually follows a write, up to some point."""
        self.append(2, data)
        steps: list[Callable[[], None]] = [
            self.take,
            self.finish_a_write,
            lambda: self.commit(self.last() - self.committed),
            self.give_batch,
            lambda: self.apply() if self.outstanding else None,
            lambda: self.compact(1),
        ]
        for step in steps[:stops]:
            step()

    # -- the disk

    @rule()
    def take(self) -> None:
        handed = self.log.unstable.next_entries()
        assert handed == self.among(self.taken, self.last())
        given = self.log.unstable.next_snapshot()
        assert given == (None if self.snapshot_taken else self.snapshot)
        self.writes.append((self.term, given, list(handed), self.last(), self.term_at(self.last())))
        if handed:
            handed.clear()
        self.log.unstable.accept_in_progress()
        self.taken = self.last()
        self.snapshot_taken = self.snapshot is not None

    @precondition(lambda self: self.writes)
    @rule()
    def finish_a_write(self) -> None:
        term, given, entries, end, end_term = self.writes.popleft()
        if given is not None:
            self.storage.apply_snapshot(given)
        self.storage.append(entries)
        if term == self.term and self.durable < end <= self.last() and self.term_at(end) == end_term:
            self.durable = end
            self.taken = max(self.taken, end)
        if term == self.term:
            self.log.stable_to(end_term, end)
        if given is not None:
            index = given.metadata.index
            if given == self.snapshot:
                self.snapshot = None
                self.snapshot_taken = False
            self.log.unstable.stable_snapshot_to(index)
            self.apply_up_to(max(index, self.applied))

    @rule(index=st.integers(0, 60), wrong_by=st.sampled_from([-1, 1]))
    def be_told_of_another_entry(self, index: int, wrong_by: int) -> None:
        self.log.stable_to(max(self.term_at(index), 1) + wrong_by, index)

    @rule(behind=st.integers(0, 3))
    def compact(self, behind: int) -> None:
        index = min(self.applied, self.durable) - behind
        if self.snapshot is None and self.storage.first_index() <= index:
            self.storage.compact(index)

    # -- the application

    @rule()
    def give_batch(self) -> None:
        expected: list[Entry] = []
        if not self.paused and self.snapshot is None:
            expected = limited(self.among(self.applying, self.max_appliable()), self.limit - self.outstanding_size())
        assert self.log.has_next_committed(self.allow_unstable) is bool(expected)
        handed = self.log.next_committed(self.allow_unstable)
        assert handed == expected
        if handed:
            end, size = handed[-1].index, sum(entry.encoded_size() for entry in handed)
            handed.clear()
            self.log.accept_applying(end, size, self.allow_unstable)
            self.applying = end
            self.outstanding.append((end, size))
            self.paused = self.outstanding_size() >= self.limit or end < self.max_appliable()

    @precondition(lambda self: self.outstanding)
    @rule()
    def apply(self) -> None:
        end, _ = self.outstanding.popleft()
        self.log.acknowledge_applied(end)
        self.apply_up_to(max(end, self.applied))

    def apply_up_to(self, index: int) -> None:
        self.log.applied_to(index)
        self.applied = index
        self.applying = max(self.applying, index)
        self.paused = self.outstanding_size() >= self.limit

    # -- questions

    @rule(lo=st.integers(1, 60), count=st.integers(0, 12), limit=LIMITS)
    def read(self, lo: int, count: int, limit: int) -> None:
        lo = min(lo, self.last() + 1)
        hi = min(lo + count, self.last() + 1)
        if lo == hi:
            return
        found = self.log.slice(lo, hi, limit)
        if lo < self.first():
            assert found is None
        else:
            assert found == limited(self.among(lo - 1, hi - 1), limit)
            found.clear()

    @rule(index=st.integers(0, 60), term=st.integers(0, 12))
    def look_for_where_logs_part(self, index: int, term: int) -> None:
        assert self.log.find_conflict_by_term(index, term) == self.walk_down(index, term)

    def walk_down(self, index: int, term: int) -> tuple[int, int]:
        while index > 0:
            own = self.term_at(index)
            if own == UNKNOWN:
                return index, 0
            if own <= term:
                return index, own
            index -= 1
        return 0, 0

    @invariant()
    def is_the_list(self) -> None:
        log = self.log
        assert (log.first_index(), log.last_index()) == (self.first(), self.last())
        for index in range(self.last() + 3):
            assert log.term_or_unknown(index) == self.term_at(index), index
        assert log.last_term() == self.term_at(self.last())

    @invariant()
    def keeps_its_laws(self) -> None:
        log = self.log
        assert (log.committed, log.applying, log.applied) == (self.committed, self.applying, self.applied)
        assert log.first_index() - 1 <= log.committed <= log.last_index()
        assert log.applied <= log.applying <= log.committed
        assert (log.applying_size, log.applying_paused) == (self.outstanding_size(), self.paused)
        assert log.unstable.offset == self.durable + 1
        assert log.unstable.base > min(log.applying, self.durable), "what was handed out and is durable is not kept"
        assert (
            sum(len(entry.data) for entry in log.unstable.entries[: log.unstable.offset - log.unstable.base])
            <= KEPT_BYTES
        )


TestLogMachine = LogMachine.TestCase
TestLogMachine.settings = settings(max_examples=5 * settings().max_examples)
