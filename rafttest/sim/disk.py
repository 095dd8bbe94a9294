"""Disk: what a node has written, and how much of it a crash leaves.

    cache      everything written; what the core reads
    durable    what a crash leaves: everything up to the last sync, and perhaps some of what came after, in order

A write is a list of records: the snapshot, the entries, the hard state. A crash may keep the first few of those that
were not synced, down to single entries; a snapshot that was received and the state that goes with it are one record.
"""

from __future__ import annotations

from random import Random
from typing import Final

from pyraft import NO_LIMIT, CompactedError, MemoryStorage, UnavailableError
from raftpb.message import ConfState, Entry, HardState, Snapshot, SnapshotMetadata

NOTHING: Final = "none"
EVERYTHING: Final = "all"
SOME: Final = "some"


class Record:
    """One thing on the disk, whole or not there at all."""

    def __init__(
        self,
        snapshot: Snapshot | None = None,
        entry: Entry | None = None,
        hard_state: HardState | None = None,
        made: tuple[int, ConfState, bytes] | None = None,
        compact_to: int = 0,
    ) -> None:
        self.snapshot = snapshot
        self.entry = entry
        self.hard_state = hard_state
        self.made = made
        self.compact_to = compact_to

    def put(self, image: MemoryStorage) -> None:
        """Write it."""
        if self.snapshot is not None:
            image.apply_snapshot(self.snapshot)
        if self.entry is not None:
            image.append([self.entry])
        if self.hard_state is not None:
            image.set_hard_state(self.hard_state)
        if self.made is not None:
            image.create_snapshot(*self.made)
        if self.compact_to:
            image.compact(self.compact_to)


class Disk:
    """One node's."""

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        self.durable = MemoryStorage()
        if snapshot is not None:
            self.durable.apply_snapshot(snapshot)
            self.durable.set_hard_state(HardState(snapshot.metadata.term, 0, snapshot.metadata.index))
        self.cache = copy_of(self.durable)
        self._unsynced: list[Record] = []

    def write(self, snapshot: Snapshot | None, entries: list[Entry], hard_state: HardState | None) -> None:
        """Write what a Ready asks for, without syncing."""
        if snapshot is not None:
            known = hard_state if hard_state is not None else self.cache.initial_state()[0]
            least = HardState(known.term, known.vote, snapshot.metadata.index)
            self._put(Record(snapshot=snapshot, hard_state=least))
        for entry in entries:
            self._put(Record(entry=entry))
        if hard_state is not None:
            self._put(Record(hard_state=hard_state))

    def keep_snapshot(self, index: int, conf_state: ConfState, data: bytes, compact_to: int) -> None:
        """Write a snapshot of the application, and forget the log up to `compact_to` if that is there."""
        self._put(Record(made=(index, conf_state, data)))
        if compact_to >= self.cache.first_index():
            self._put(Record(compact_to=compact_to))

    def sync(self) -> None:
        """All that was written will survive."""
        for record in self._unsynced:
            record.put(self.durable)
        self._unsynced = []

    def crash(self, kept: str, random: Random) -> int:
        """Lose what was not synced, but for what `kept` says; how many records were lost."""
        count = len(self._unsynced)
        keep = {NOTHING: 0, EVERYTHING: count}.get(kept, random.randrange(count + 1))
        for record in self._unsynced[:keep]:
            record.put(self.durable)
        self._unsynced = []
        self.cache = copy_of(self.durable)
        return count - keep

    def _put(self, record: Record) -> None:
        record.put(self.cache)
        self._unsynced.append(record)


def term_on(image: MemoryStorage, index: int) -> int | None:
    """Term of the entry at `index`; 0 if it is compacted, None if it is not there."""
    try:
        return image.term(index)
    except CompactedError:
        return 0
    except UnavailableError:
        return None


def copy_of(image: MemoryStorage) -> MemoryStorage:
    """What a new process reads: the same values in a storage of its own."""
    copy = MemoryStorage()
    first, last, snapshot = image.first_index(), image.last_index(), image.snapshot()
    entries = image.entries(first, last + 1, NO_LIMIT) if last >= first else []
    if first > 1:
        base = SnapshotMetadata(snapshot.metadata.conf_state, first - 1, image.term(first - 1))
        copy.apply_snapshot(snapshot if snapshot.metadata.index == first - 1 else Snapshot(b"", base))
    copy.append(entries)
    if snapshot.metadata.index > first - 1:
        copy.create_snapshot(snapshot.metadata.index, snapshot.metadata.conf_state, snapshot.data)
    copy.set_hard_state(image.initial_state()[0])
    return copy
