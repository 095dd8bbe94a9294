"""MemoryStorage: a log in memory, for tests, examples, and as the read side of a log that is written elsewhere.

An application that keeps its log on disk can write each Ready there, mirror it here, and give this object to the core.
It is not safe to use from several threads. Compiled, it cannot be derived from: wrap it.

    first_index() - 1          first_index()                last_index()
    [index, term known]   |    entry    |    entry    | ... |   entry    |
     the snapshot's, or where the log was compacted

Source: etcd storage.go MemoryStorage.
"""

from __future__ import annotations

from typing import final

from pyraft.errors import CompactedError, SnapshotOutOfDateError, StorageError, UnavailableError
from pyraft.log_reader import UNKNOWN, LogReader
from pyraft.types import limited_slice, u64
from raftpb.message import ConfState, Entry, HardState, Snapshot, SnapshotMetadata


@final
class MemoryStorage(LogReader):
    """A Storage whose entries, hard state and snapshot are plain values."""

    def __init__(self) -> None:
        self._hard_state = HardState()
        self._snapshot = Snapshot()
        self._offset: u64 = 0
        self._offset_term: u64 = 0
        self._entries: list[Entry] = []

    # -- what the core reads

    def initial_state(self) -> tuple[HardState, ConfState]:
        """The hard state last set, and the configuration of the snapshot."""
        return self._hard_state, self._snapshot.metadata.conf_state

    def first_index(self) -> u64:
        """Index of the first entry, whether it is there already or not."""
        return self._offset + 1

    def last_index(self) -> u64:
        """Index of the last entry, or of the snapshot if there is none after it."""
        return self._offset + len(self._entries)

    def term(self, index: u64) -> u64:
        """Term at `index` in [first_index() - 1, last_index()].

        Raises CompactedError below that range, UnavailableError above it.
        """
        if index < self._offset:
            raise CompactedError
        if index > self.last_index():
            raise UnavailableError
        return self.term_or_unknown(index)

    def entries(self, lo: u64, hi: u64, max_size: u64) -> list[Entry]:
        """Entries of index [lo, hi) within `max_size` encoded bytes, at least one.

        Raises CompactedError if `lo` is gone, UnavailableError if an entry is not there yet, ValueError if lo >= hi.
        """
        if lo >= hi:
            raise ValueError(f"[{lo}, {hi}) holds no index")
        if lo <= self._offset:
            raise CompactedError
        if hi > self.last_index() + 1:
            raise UnavailableError
        return limited_slice(self._entries, lo - self._offset - 1, hi - self._offset - 1, max_size)

    def snapshot(self) -> Snapshot:
        """The snapshot last created or applied; an empty one at first."""
        return self._snapshot

    def term_or_unknown(self, index: u64) -> u64:
        """As `term`, with UNKNOWN where that raises."""
        position: u64 = index - self._offset
        if position == 0:
            return self._offset_term
        if position < 0 or position > len(self._entries):
            return UNKNOWN
        return self._entries[position - 1].term

    def entries_or_none(self, lo: u64, hi: u64, max_size: u64) -> list[Entry] | None:
        """As `entries`, with None where the entries were compacted."""
        if lo <= self._offset:
            return None
        return self.entries(lo, hi, max_size)

    def snapshot_or_none(self) -> Snapshot | None:
        """The snapshot; it is never on its way."""
        return self._snapshot

    # -- what the application writes

    def set_hard_state(self, hard_state: HardState) -> None:
        """Keep `hard_state` in place of the previous one."""
        self._hard_state = hard_state

    def append(self, entries: list[Entry]) -> None:
        """Write `entries`, deleting whatever was at or above the first one's index.

        What lies below `first_index()` is skipped. Raises StorageError, and writes nothing, if the entries would leave
        a gap, do not follow each other, or go back in term.
        """
        if not entries:
            return
        if len(entries) > 1:
            self._check_consecutive(entries)
        first: u64 = entries[0].index
        if first + len(entries) - 1 <= self._offset:
            return
        if first <= self._offset:
            entries = entries[self._offset + 1 - first :]
            first = self._offset + 1
        keep: u64 = first - self._offset - 1
        if keep > len(self._entries):
            raise StorageError(f"entry {first} would leave a gap after the last index {self.last_index()}")
        if entries[0].term < self.term_or_unknown(first - 1):
            raise StorageError(f"entry {first} has a lower term ({entries[0].term}) than the entry before it")
        if keep < len(self._entries):
            del self._entries[keep:]
        if len(entries) == 1:
            self._entries.append(entries[0])
        else:
            self._entries.extend(entries)

    def _check_consecutive(self, entries: list[Entry]) -> None:
        previous = entries[0]
        for position in range(1, len(entries)):
            entry = entries[position]
            if entry.index != previous.index + 1 or entry.term < previous.term:
                raise StorageError(
                    f"entry {entry.index} of term {entry.term} cannot follow entry {previous.index} of term "
                    f"{previous.term}"
                )
            previous = entry

    def apply_snapshot(self, snapshot: Snapshot) -> None:
        """Replace the log by `snapshot`, as received from a leader or made for a new cluster.

        Raises SnapshotOutOfDateError unless it is newer than the one there is, and covers what was compacted; a
        snapshot of index 0 only sets the configuration of an empty log.
        """
        index: u64 = snapshot.metadata.index
        current: u64 = self._snapshot.metadata.index
        if current != 0 and current >= index:
            raise SnapshotOutOfDateError(f"a snapshot at {current} is already there; one at {index} is not newer")
        if index < self._offset or (index == 0 and self._entries):
            raise SnapshotOutOfDateError(
                f"the log is compacted up to {self._offset} and ends at {self.last_index()}; a snapshot at {index} "
                "would lose entries that nothing replaces"
            )
        self._snapshot = snapshot
        self._offset = index
        self._offset_term = snapshot.metadata.term
        self._entries = []

    def create_snapshot(self, index: u64, conf_state: ConfState, data: bytes) -> Snapshot:
        """Keep and return a snapshot at `index`, which the application has applied.

        `conf_state` is the configuration at that index: what the last `apply_conf_change` up to it returned, or that of
        the snapshot before. It is never guessed, because a stale one loses members. Raises SnapshotOutOfDateError if
        there is a snapshot at or above `index`, UnavailableError if `index` is beyond the log.
        """
        if not isinstance(conf_state, ConfState):
            raise TypeError(f"conf_state is {conf_state!r}; give the ConfState at index {index}")
        if index <= self._snapshot.metadata.index:
            raise SnapshotOutOfDateError(f"a snapshot at {self._snapshot.metadata.index} is already there")
        if index > self.last_index():
            raise UnavailableError(f"a snapshot at {index} would lie beyond the last index {self.last_index()}")
        if index < self._offset:
            raise CompactedError(f"the term of entry {index} is gone: the log is compacted up to {self._offset}")
        self._snapshot = Snapshot(data, SnapshotMetadata(conf_state, index, self.term_or_unknown(index)))
        return self._snapshot

    def compact(self, index: u64) -> None:
        """Forget the entries up to and with `index`.

        The newest snapshot, `status().applied` and a durable commit index must have reached it, and so must what will
        be given as `Config.applied`; docs/questions.md says why.
        Raises CompactedError if they are gone already, UnavailableError if `index` is beyond the log.
        """
        if index <= self._offset:
            raise CompactedError(f"the log is compacted up to {self._offset} already")
        if index > self.last_index():
            raise UnavailableError(f"cannot compact up to {index}: the last index is {self.last_index()}")
        self._offset_term = self.term_or_unknown(index)
        del self._entries[: index - self._offset]
        self._offset = index
