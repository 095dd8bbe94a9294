"""Source: how the log reads a Storage.

A Storage belongs to the user and answers with exceptions; the log wants integers and plain calls, since an unknown term
is an everyday answer on its way. `MemoryStorage` is a LogReader by itself; any other Storage is read through
`StorageAdapter`. An exception that the protocol does not name passes through and stops the node.
"""

from __future__ import annotations

from typing import Any, Final, final

from pyraft.errors import CompactedError, SnapshotUnavailableError, StorageError, UnavailableError
from pyraft.storage import Storage
from pyraft.types import MAX_INTEGER, u64
from raftpb.message import ConfState, Entry, HardState, Snapshot

UNKNOWN: Final = -1
"""In place of a term: the log has no entry there, or no longer."""


class LogReader:
    """The stable part of the log. `UNKNOWN` and None stand where a Storage raises."""

    def initial_state(self) -> tuple[HardState, ConfState]:
        """The hard state last written and the configuration of the snapshot."""
        raise NotImplementedError

    def first_index(self) -> u64:
        """Index of the first entry that is still there."""
        raise NotImplementedError

    def last_index(self) -> u64:
        """Index of the last entry, or of the snapshot if there is none after it."""
        raise NotImplementedError

    def term_or_unknown(self, index: u64) -> u64:
        """Term of the entry at `index`, or `UNKNOWN` if it was compacted or is not there yet."""
        raise NotImplementedError

    def entries_or_none(self, lo: u64, hi: u64, max_size: u64) -> list[Entry] | None:
        """Entries of index [lo, hi) within `max_size` encoded bytes, at least one; None if `lo` was compacted."""
        raise NotImplementedError

    def snapshot_or_none(self) -> Snapshot | None:
        """The most recent snapshot, or None while one is being made."""
        raise NotImplementedError


@final
class StorageAdapter(LogReader):
    """Reads a user's Storage, and checks what it answers: a lie here would be replicated."""

    def __init__(self, storage: Storage) -> None:
        self._storage: Any = storage  # its answers are checked here, not by the compiler with a text of its own

    def initial_state(self) -> tuple[HardState, ConfState]:
        answer: object = self._storage.initial_state()
        if isinstance(answer, tuple) and len(answer) == 2:
            hard_state: object = answer[0]
            conf_state: object = answer[1]
            if isinstance(hard_state, HardState) and isinstance(conf_state, ConfState):
                return hard_state, conf_state
        raise StorageError(
            f"Storage.initial_state() gave {answer!r}; expected a HardState and a ConfState, empty ones for a new node"
        )

    def first_index(self) -> u64:
        return _checked("first_index()", self._storage.first_index())

    def last_index(self) -> u64:
        return _checked("last_index()", self._storage.last_index())

    def term_or_unknown(self, index: u64) -> u64:
        try:
            term: object = self._storage.term(index)
        except (CompactedError, UnavailableError):
            return UNKNOWN
        return _checked(f"term({index})", term)

    def entries_or_none(self, lo: u64, hi: u64, max_size: u64) -> list[Entry] | None:
        try:
            answer: object = self._storage.entries(lo, hi, max_size)
        except CompactedError:
            return None
        if not isinstance(answer, (list, tuple)):
            raise StorageError(f"Storage.entries({lo}, {hi}, {max_size}) gave {answer!r}; expected a list of entries")
        entries: list[Entry] = []
        for entry in answer:
            if not isinstance(entry, Entry):
                raise StorageError(
                    f"Storage.entries({lo}, {hi}, {max_size}) gave {entry!r} in its list; expected Entry"
                )
            entries.append(entry)
        count: u64 = len(entries)
        if count == 0 or count > hi - lo or entries[0].index != lo or entries[count - 1].index != lo + count - 1:
            raise StorageError(f"Storage.entries({lo}, {hi}, {max_size}) did not give one or more entries from {lo} on")
        return entries  # a list of its own: it goes into messages, and the Storage may keep the other

    def snapshot_or_none(self) -> Snapshot | None:
        try:
            snapshot: object = self._storage.snapshot()
        except SnapshotUnavailableError:
            return None
        if not isinstance(snapshot, Snapshot):
            raise StorageError(f"Storage.snapshot() gave {snapshot!r}; expected a Snapshot, an empty one at first")
        return snapshot


def _checked(call: str, value: object) -> u64:
    if not isinstance(value, int) or not 0 <= value <= MAX_INTEGER:
        raise StorageError(f"Storage.{call} gave {value!r}; expected an integer in [0, 2^63)")
    return value


def reader_of(storage: Storage) -> LogReader:
    """The LogReader that reads `storage`: itself if it is one, an adapter around it otherwise."""
    if isinstance(storage, LogReader):
        return storage
    return StorageAdapter(storage)
