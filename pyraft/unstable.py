"""Unstable: the tail of the log that is in memory.

    base            offset           offset_in_progress        last
     |  on disk, not  |  being written     |  not handed out     |
     |  applied yet   |  by the app        |  for writing yet    |

Entries below `offset` are on disk and stay here only until they have been handed out for applying, so that the steady
state reads nothing back; `KEPT_BYTES` bounds them. A snapshot received from a leader waits here too; while it does,
nothing but it describes the log below `base`.

Invariants: last + 1 = base + len(entries); base <= offset <= offset_in_progress <= last + 1; no list handed out shares
storage with this one.

Source: etcd log_unstable.go.
"""

from __future__ import annotations

from typing import Final, final

from pyraft.log_reader import UNKNOWN
from pyraft.types import u64
from raftpb.message import NO_ENTRIES, Entry, Snapshot

KEPT_BYTES: Final = 1 << 20
"""Payload bytes of durable entries kept for applying; beyond it they are read back from the Storage."""


@final
class Unstable:
    """The in-memory tail, and the snapshot before it if that is not durable yet."""

    def __init__(self, next_index: u64) -> None:
        self.entries: list[Entry] = []
        self.last: u64 = next_index - 1
        """Index of the last entry of the whole log."""
        self.base: u64 = next_index
        self.base_term: u64 = UNKNOWN
        """Term of the entry at base - 1, once somebody has asked."""
        self.offset: u64 = next_index
        self.offset_in_progress: u64 = next_index
        self.snapshot: Snapshot | None = None
        self.snapshot_in_progress = False
        self.kept_bytes: u64 = 0

    def term_or_unknown(self, index: u64) -> u64:
        """Term at `index` if it is known without asking the Storage."""
        position: u64 = index - self.base
        if position < 0:
            return self.base_term if position == -1 else UNKNOWN
        if index > self.last:
            return UNKNOWN
        return self.entries[position].term

    def has_entries(self) -> bool:
        """True if an entry is not known to be durable."""
        return self.offset <= self.last

    def next_entries(self) -> list[Entry]:
        """The entries to be written that have not been handed out for it."""
        if self.offset_in_progress > self.last:
            return NO_ENTRIES
        return self.entries[self.offset_in_progress - self.base :]

    def next_snapshot(self) -> Snapshot | None:
        """The snapshot to be written, unless it has been handed out for it."""
        return None if self.snapshot_in_progress else self.snapshot

    def accept_in_progress(self) -> None:
        """Note that everything here has been handed out for writing."""
        self.offset_in_progress = self.last + 1
        self.snapshot_in_progress = self.snapshot is not None

    def stable_to(self, term: u64, index: u64) -> None:
        """Everything up to (`term`, `index`) is durable.

        Ignored if that entry is not here, or was replaced since: a late answer about an overwritten entry must not
        vouch for its successor.
        """
        if index < self.offset or self.term_or_unknown(index) != term:
            return
        position: u64 = self.offset - self.base
        while position <= index - self.base:
            self.kept_bytes += len(self.entries[position].data)
            position += 1
        self.offset = index + 1
        if self.offset_in_progress < self.offset:
            self.offset_in_progress = self.offset
        if self.kept_bytes > KEPT_BYTES:
            self.release(index)

    def stable_snapshot_to(self, index: u64) -> None:
        """The snapshot at `index` is durable."""
        if self.snapshot is not None and self.snapshot.metadata.index == index:
            self.snapshot = None
            self.snapshot_in_progress = False

    def release(self, index: u64) -> None:
        """Forget entries up to `index` that are durable; they have been handed out for applying."""
        if index >= self.offset:
            index = self.offset - 1
        if index < self.base:
            return
        count: u64 = index - self.base + 1
        self.base_term = self.entries[count - 1].term
        if index == self.offset - 1:
            self.kept_bytes = 0
        else:
            for position in range(count):
                self.kept_bytes -= len(self.entries[position].data)
        if count == len(self.entries):
            self.entries.clear()
        else:
            del self.entries[:count]
        self.base = index + 1

    def restore(self, snapshot: Snapshot) -> None:
        """The log is now `snapshot` and nothing else."""
        self.entries = []
        self.last = snapshot.metadata.index
        self.base = self.last + 1
        self.base_term = snapshot.metadata.term
        self.offset = self.base
        self.offset_in_progress = self.base
        self.snapshot = snapshot
        self.snapshot_in_progress = False
        self.kept_bytes = 0

    def truncate_and_append(self, entries: list[Entry]) -> None:
        """Write `entries` in place of whatever was at or above the first one's index, which is at most one above the
        last. What is replaced has to be written again, even where it is being written now.
        """
        first: u64 = entries[0].index
        follows = first == self.last + 1
        self.last = first + len(entries) - 1
        if follows:
            if len(entries) == 1:
                self.entries.append(entries[0])
            else:
                self.entries.extend(entries)
            return
        if first <= self.base:
            if first < self.base:
                self.base_term = UNKNOWN
            self.base = first
            self.entries = entries[:]
            self.kept_bytes = 0
        else:
            for position in range(first - self.base, self.offset - self.base):
                self.kept_bytes -= len(self.entries[position].data)
            del self.entries[first - self.base :]
            self.entries.extend(entries)
        if first < self.offset:
            self.offset = first
        if first < self.offset_in_progress:
            self.offset_in_progress = first
