"""Disk: what a node has written, and how much of it a crash leaves.

    cache      everything written; what the core reads
    durable    what a crash leaves: everything up to the last sync, and perhaps some of what came after

A write is a list of records: the snapshot, the entries, the hard state. A crash may keep the first few of those that
were not synced, down to single entries, or a part in some other order (`crash_recovery`); a snapshot that was received
and the state that goes with it are one record.

A disk may fail: at a write (a part of it may be done), a sync (nothing more is certain), or a read. It does nothing
more then, until the next start.
"""

from __future__ import annotations

from random import Random
from typing import Final

from pyraft import NO_LIMIT, CompactedError, MemoryStorage, StorageError, UnavailableError
from raftpb.codec import (
    encode_entry,
    encode_hard_state,
    encode_snapshot,
)
from raftpb.message import ConfState, Entry, HardState, Snapshot, SnapshotMetadata
from rafttest.sim.cluster import log_file
from rafttest.sim.cluster.crash_recovery import BYTES, ORDERED, Files, readable, torn
from rafttest.sim.cluster.frame import flip
from rafttest.sim.cluster.record import DiskRecord

NOTHING: Final = "none"
EVERYTHING: Final = "all"
SOME: Final = "some"


WRITE: Final = "write"
SYNC: Final = "sync"
READ: Final = "read"


class SimDiskError(StorageError):
    """The disk of node `id` has failed, at `access`."""

    def __init__(self, id: int, access: str) -> None:
        super().__init__(f"the disk of node {id} fails at a {access}")
        self.id = id
        self.access = access


class SimDisk:
    """Node `id`'s. `flush`: what happens in a crash to what was not synced, see `crash_recovery`."""

    def __init__(self, snapshot: Snapshot | None = None, id: int = 0, flush: str = ORDERED, fail_at: int = 0) -> None:
        self.id = id
        self.flush = flush
        self.fail_at = fail_at
        """Fail at the access of this number; 0: at none."""
        self.accesses = 0
        self.broken = ""
        """Fail at the next access of this kind."""
        self.has_failed = False
        self.is_repaired = False
        """The last crash left a tail that had to be cut off."""
        self._old = b""
        self._salt = 0
        self.durable = MemoryStorage()
        if snapshot is not None:
            self.durable.apply_snapshot(snapshot)
            self.durable.set_hard_state(HardState(snapshot.metadata.term, 0, snapshot.metadata.index))
        self.cache = copy_of(self.durable)
        self._unsynced: list[DiskRecord] = []

    def write(self, snapshot: Snapshot | None, entries: list[Entry], hard_state: HardState | None) -> None:
        """Write what a Ready asks for, without syncing. Raises DiskError; then the first half of it may be written."""
        records = self._records(snapshot, entries, hard_state)
        if self.fails(WRITE):
            self.has_failed = True
            for record in records[: len(records) // 2]:
                self._put(record)
            raise SimDiskError(self.id, WRITE)
        for record in records:
            self._put(record)

    def _records(
        self, snapshot: Snapshot | None, entries: list[Entry], hard_state: HardState | None
    ) -> list[DiskRecord]:
        """What a Ready asks for, in the order of writing."""
        records: list[DiskRecord] = []
        if snapshot is not None:
            known = hard_state if hard_state is not None else self.cache.initial_state()[0]
            least = HardState(known.term, known.vote, snapshot.metadata.index)
            records.append(DiskRecord(snapshot=snapshot, hard_state=least))
        records += [DiskRecord(entry=entry) for entry in entries]
        if hard_state is not None:
            records.append(DiskRecord(hard_state=hard_state))
        return records

    def keep_snapshot(self, index: int, conf_state: ConfState, data: bytes, compact_to: int) -> None:
        """Write a snapshot of the application, and forget the log up to `compact_to` if that is there.

        Raises DiskError.
        """
        if self.fails(WRITE):
            self.has_failed = True
            raise SimDiskError(self.id, WRITE)
        self._put(DiskRecord(made=(index, conf_state, data)))
        if compact_to >= self.cache.first_index():
            self._put(DiskRecord(compact_to=compact_to))

    def sync(self) -> None:
        """All that was written will survive. Raises DiskError; then nobody knows what did."""
        if self.fails(SYNC):
            self.has_failed = True
            raise SimDiskError(self.id, SYNC)
        for record in self._unsynced:
            record.put(self.durable)
        self._unsynced = []

    def fails(self, access: str) -> bool:
        """Count an access; True if it fails, as does every later one."""
        self.accesses += 1
        if self.broken == access or self.accesses == self.fail_at:
            self.broken = ""
            return True
        return self.has_failed

    def crash(self, kept: str, random: Random) -> int:
        """Lose what was not synced, but for what `kept` and `flush` say; how many records were lost."""
        count, self.has_failed, self.is_repaired = len(self._unsynced), False, False
        if kept != SOME or self.flush == ORDERED:
            keep = {NOTHING: 0, EVERYTHING: count}.get(kept, random.randrange(count + 1))
            self._keep(self._unsynced[:keep])
            return count - keep
        if self.flush == BYTES:
            self._salt += 1
            file = torn([record.encode() for record in self._unsynced], self._salt, self._old, random)
            self._old = file
            whole, left_over = readable(file, self._salt)
            found = [DiskRecord.decode(data) for data in whole]
            self.is_repaired = left_over > 0
            self._keep(found)
            return count - len(found)
        self.durable = Files(copy_of(self.durable), copy_of(self.durable), self._unsynced, random).log
        self._keep([])
        return count

    def _keep(self, records: list[DiskRecord]) -> None:
        for record in records:
            record.put(self.durable)
        self._unsynced = []
        self.cache = copy_of(self.durable)

    def rot(self, random: Random) -> None:
        """Bits change in the middle of what is durable, and the next start reads it: it raises DamagedError.

        Not in the last record: there, damage looks like the work of a crash.
        """
        self._unsynced = []
        file = bytearray()
        log_file.add(file, 0, encode_snapshot(self.durable.snapshot()), 0)
        first, last = self.durable.first_index(), self.durable.last_index()
        for entry in self.durable.entries(first, last + 1, NO_LIMIT) if last >= first else []:
            log_file.add(file, 0, encode_entry(entry), len(file))
        end = len(file)
        log_file.add(file, 0, encode_hard_state(self.durable.initial_state()[0]), len(file))
        log_file.read(flip(bytes(file[:end]), random) + bytes(file[end:]), 0)

    def replace(self, durable: MemoryStorage) -> None:
        """Somebody puts other contents in place of everything."""
        self._unsynced = []
        self.durable = durable
        self.cache = copy_of(durable)

    def _put(self, record: DiskRecord) -> None:
        record.put(self.cache)
        self._unsynced.append(record)


class CheckedReads:
    """What the core is given to read where reads may fail: whatever `disk` holds at that moment."""

    def __init__(self, disk: SimDisk) -> None:
        self._disk = disk

    def _checked(self) -> MemoryStorage:
        if self._disk.fails(READ):
            self._disk.has_failed = True
            raise SimDiskError(self._disk.id, READ)
        return self._disk.cache

    def initial_state(self) -> tuple[HardState, ConfState]:
        """As a Storage's."""
        return self._checked().initial_state()

    def entries(self, lo: int, hi: int, max_size: int, /) -> list[Entry]:
        """As a Storage's."""
        return self._checked().entries(lo, hi, max_size)

    def term(self, index: int, /) -> int:
        """As a Storage's."""
        return self._checked().term(index)

    def first_index(self) -> int:
        """As a Storage's."""
        return self._checked().first_index()

    def last_index(self) -> int:
        """As a Storage's."""
        return self._checked().last_index()

    def snapshot(self) -> Snapshot:
        """As a Storage's."""
        return self._checked().snapshot()


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
