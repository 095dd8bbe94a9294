"""RaftLog: what this node knows of the log, in the Storage and in memory.

    first ........................ applied .... applying .... committed ............ last
           in the Storage             | handed out |  known to be   |  may be replaced
                                      | for apply  |  final         |

Invariants: first - 1 <= applied <= applying <= committed <= last; an entry at or below `committed` is never replaced;
the three only grow. An unknown term is `UNKNOWN` in here, never an exception.

Source: thesis §3.5, §3.6, §5.1; etcd log.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from pyraft.errors import InvariantError
from pyraft.log_reader import UNKNOWN, LogReader
from pyraft.types import NO_LIMIT, encoded_size, limited_slice, u64
from pyraft.unstable import Unstable
from raftpb.message import NO_ENTRIES, Entry, Snapshot


@final
class RaftLog:
    """The Storage and the in-memory tail as one log, with the indices that Raft keeps about it."""

    def __init__(self, reader: LogReader, max_applying_size: u64) -> None:
        first: u64 = reader.first_index()
        last: u64 = reader.last_index()
        self.reader = reader
        self.unstable = Unstable(last + 1)
        self.committed: u64 = first - 1
        """Highest index known to be committed."""
        self.applying: u64 = first - 1
        """Highest index handed out for applying."""
        self.applied: u64 = first - 1
        """Highest index that the application has applied."""
        self.max_applying_size: u64 = max_applying_size
        self.applying_size: u64 = 0
        """Encoded bytes handed out for applying and not acknowledged: the sum over `handed_out()`."""
        self._out_index: u64 = 0
        """Last index of the oldest batch that was handed out for applying and is not acknowledged; 0: there is none."""
        self._out_size: u64 = 0
        """Its encoded bytes."""
        self._out_later: dict[int, int] = {}
        """The same of every other batch: more than one is out only with asynchronous writes."""
        self.applying_paused = False
        """True while nothing more may be handed out: too much is out, or the last batch was cut."""

    # -- positions

    def first_index(self) -> u64:
        """Index of the first entry that can be read."""
        if self.unstable.snapshot is not None:
            return self.unstable.snapshot.metadata.index + 1
        return self.reader.first_index()

    def last_index(self) -> u64:
        """Index of the last entry, or of the snapshot if there is none after it."""
        return self.unstable.last

    def term_or_unknown(self, index: u64) -> u64:
        """Term at `index` in [first_index() - 1, last_index()], `UNKNOWN` outside."""
        unstable = self.unstable
        if index >= unstable.base or unstable.snapshot is not None:
            return unstable.term_or_unknown(index)
        if index == unstable.base - 1 and unstable.base_term != UNKNOWN:
            return unstable.base_term
        term: u64 = self.reader.term_or_unknown(index)
        if index == unstable.base - 1:
            unstable.base_term = term
        return term

    def last_term(self) -> u64:
        """Term of the last entry.

        Raises InvariantError if the Storage cannot tell.
        """
        term: u64 = self.term_or_unknown(self.last_index())
        if term == UNKNOWN:
            raise InvariantError(f"the Storage does not know the term of its last index {self.last_index()}")
        return term

    def matches(self, term: u64, index: u64) -> bool:
        """True if the entry at `index` is here and has that term."""
        return self.term_or_unknown(index) == term

    def is_up_to_date(self, term: u64, index: u64) -> bool:
        """True if a log ending in (`term`, `index`) is at least as complete as this one. Thesis §3.6.1."""
        last_term: u64 = self.last_term()
        return term > last_term or (term == last_term and index >= self.last_index())

    # -- reading

    def slice(self, lo: u64, hi: u64, max_size: u64) -> list[Entry] | None:
        """Entries of index [lo, hi), cut before the first that would exceed `max_size` encoded bytes, but at least one;
        None if `lo` was compacted. The list is the caller's.
        """
        unstable = self.unstable
        if lo >= unstable.base:
            return limited_slice(unstable.entries, lo - unstable.base, hi - unstable.base, max_size)
        if unstable.snapshot is not None:
            return None
        stored_hi: u64 = hi if hi < unstable.base else unstable.base
        stored = self.reader.entries_or_none(lo, stored_hi, max_size)
        if stored is None or hi == stored_hi or len(stored) < stored_hi - lo:
            return stored
        room: u64 = NO_LIMIT
        if max_size < NO_LIMIT:
            room = max_size - encoded_size(stored)
            if room < unstable.entries[0].encoded_size():
                return stored
        return stored + limited_slice(unstable.entries, 0, hi - unstable.base, room)

    def snapshot(self) -> Snapshot | None:
        """The snapshot to send to a follower that is too far behind; None while one is being made."""
        if self.unstable.snapshot is not None:
            return self.unstable.snapshot
        return self.reader.snapshot_or_none()

    def find_conflict_by_term(self, index: u64, term: u64) -> tuple[u64, u64]:
        """The highest position at or below `index` whose term is at most `term`, as (index, its term).

        A position whose own term is unknown counts as one, with term 0; (0, 0) if there is none. Leader and follower
        both search with it, so that one round trip skips a whole term (etcd log.go findConflictByTerm).
        """
        if index > self.last_index():
            return index, 0
        floor: u64 = self.first_index() - 1
        lo: u64 = floor if floor > 1 else 1
        if index < lo or self.term_or_unknown(lo) > term:
            index = lo - 1 if index >= lo else index
            return index if index > 0 else 0, 0
        while lo < index:  # terms never fall along a log, so halving finds the last that is low enough
            middle: u64 = (lo + index + 1) // 2
            if self.term_or_unknown(middle) <= term:
                lo = middle
            else:
                index = middle - 1
        found: u64 = self.term_or_unknown(lo)
        return lo, found if found != UNKNOWN else 0

    # -- writing

    def maybe_append(self, prev_term: u64, prev_index: u64, entries: list[Entry]) -> bool:
        """Append what a leader sent after (`prev_term`, `prev_index`); False, and nothing happens, if that entry is not
        here. Entries that are here already are left alone, so that an old message cannot undo a newer one. Thesis §3.5.
        """
        if not self.matches(prev_term, prev_index):
            return False
        if prev_index == self.unstable.last:
            if entries:
                self.append(entries)
            return True
        for position, entry in enumerate(entries):
            if not self.matches(entry.term, entry.index):
                self.append(entries[position:])
                break
        return True

    def append(self, entries: list[Entry]) -> None:
        """Write `entries` in place of whatever was at or above the first one's index.

        Raises InvariantError if that would replace a committed entry.
        """
        if entries[0].index <= self.committed:
            raise InvariantError(f"entry {entries[0].index} would replace one that is committed up to {self.committed}")
        self.unstable.truncate_and_append(entries)

    def commit_to(self, index: u64) -> None:
        """Everything up to `index`, which is in the log, is committed. Never goes back.

        Raises InvariantError if `index` lies beyond the log.
        """
        if index <= self.committed:
            return
        if index > self.unstable.last:
            raise InvariantError(f"commit index {index} lies beyond the last index {self.last_index()}")
        self.committed = index

    def restore(self, snapshot: Snapshot) -> None:
        """The log is now `snapshot`; everything it covers is committed, everything else is forgotten."""
        self.committed = snapshot.metadata.index
        self.unstable.restore(snapshot)

    # -- applying

    def max_appliable_index(self, allow_unstable: bool) -> u64:
        """Highest index that may be handed out: committed, and durable unless `allow_unstable`."""
        if allow_unstable or self.committed < self.unstable.offset:
            return self.committed
        return self.unstable.offset - 1

    def has_next_committed(self, allow_unstable: bool) -> bool:
        """True if `next_committed` would give anything."""
        if self.applying >= self.committed or self.applying_paused or self.unstable.snapshot is not None:
            return False
        return allow_unstable or self.applying < self.max_appliable_index(False)

    def next_committed(self, allow_unstable: bool) -> list[Entry]:
        """The next entries to apply, within what `max_applying_size` leaves, but at least one."""
        if not self.has_next_committed(allow_unstable):
            return NO_ENTRIES
        hi: u64 = self.max_appliable_index(allow_unstable) + 1
        entries = self.slice(self.applying + 1, hi, self.max_applying_size - self.applying_size)
        if entries is None:
            raise InvariantError(f"entry {self.applying + 1} was compacted before it was handed out for applying")
        return entries

    def accept_applying(self, index: u64, size: u64, allow_unstable: bool) -> None:
        """Entries up to `index`, of `size` encoded bytes, have been handed out for applying."""
        self.applying = index
        if self._out_index == 0:
            self._out_index = index
            self._out_size = size
        else:
            self._out_later[index] = size
        self.applying_size += size
        self.applying_paused = self.applying_size >= self.max_applying_size or index < self.max_appliable_index(
            allow_unstable
        )
        self.unstable.release(index)

    def acknowledge_applied(self, index: u64) -> bool:
        """The batch that ends at `index` is acknowledged; False, and nothing happens, if that is old news or a snapshot
        has overtaken it.
        """
        if index == self._out_index:
            self._out_index = 0
            self.applying_size -= self._out_size
            return True
        size = self._out_later.pop(index, None)
        if size is None:
            return False
        self.applying_size -= size
        return True

    def acknowledge_applied_up_to(self, index: u64) -> None:
        """A snapshot at `index` has overtaken every batch that ends there or before."""
        for last, _ in self.handed_out():
            if last <= index:
                self.acknowledge_applied(last)

    def has_handed_out(self) -> bool:
        """True if a batch is out: handed out for applying, and not acknowledged."""
        return self._out_index != 0 or len(self._out_later) != 0

    def handed_out(self) -> list[tuple[int, int]]:
        """Each batch that is out, ascending: its last index and its encoded bytes."""
        out = list(self._out_later.items())
        if self._out_index != 0:
            out.append((self._out_index, self._out_size))
        return sorted(out)

    def put_out(self, batches: Iterable[tuple[int, int]]) -> None:
        """Take over what `handed_out` gave."""
        self.applying_size = 0
        for index, size in batches:
            self.applying_size += size
            if self._out_index == 0:
                self._out_index = index
                self._out_size = size
            else:
                self._out_later[index] = size

    def applied_to(self, index: u64) -> None:
        """The application has applied up to `index`.

        Raises InvariantError unless applied <= index <= committed.
        """
        if not self.applied <= index <= self.committed:
            raise InvariantError(f"applied index {index} is not in [{self.applied}, committed {self.committed}]")
        self.applied = index
        if self.applying < index:
            self.applying = index
        self.applying_paused = self.applying_size >= self.max_applying_size

    def stable_to(self, term: u64, index: u64) -> None:
        """Everything up to (`term`, `index`) is durable; see `Unstable.stable_to`."""
        self.unstable.stable_to(term, index)
        self.unstable.release(self.applying)
