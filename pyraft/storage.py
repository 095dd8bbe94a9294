"""Storage: the application's log, as the core reads it.

The application writes (each Ready says what); the core only reads, and only below what it still holds in memory: in the
steady state it asks nothing. Any class with these methods will do.

Source: etcd storage.go Storage.
"""

from typing import Protocol

from raftpb.message import ConfState, Entry, HardState, Snapshot


class Storage(Protocol):
    """The stable part of the log: a snapshot up to some index, and the entries after it.

    A call that raises anything but the errors named here stops the node for good (`NodeFailedError`): a disk that
    cannot be read is not to be guessed about.
    """

    def initial_state(self) -> tuple[HardState, ConfState]:
        """The hard state last written and the configuration of the snapshot; asked once, at the start. The node takes
        `Config.conf_state` instead of that configuration where it is given.
        """
        ...

    def entries(self, lo: int, hi: int, max_size: int, /) -> list[Entry]:
        """Entries of index [lo, hi), cut before the first that would exceed `max_size` encoded bytes, but at least one.

        Raises CompactedError if `lo` is below `first_index()`, UnavailableError if an entry is missing.
        """
        ...

    def term(self, index: int, /) -> int:
        """Term of the entry at `index` in [first_index() - 1, last_index()].

        Raises CompactedError below that range, UnavailableError above it.
        """
        ...

    def first_index(self) -> int:
        """Index of the first entry that `entries` can give: one above the snapshot, or above what was compacted."""
        ...

    def last_index(self) -> int:
        """Index of the last entry, or of the snapshot if there is none after it."""
        ...

    def snapshot(self) -> Snapshot:
        """The most recent snapshot.

        Raises SnapshotUnavailableError while one is being made; the core asks again.
        """
        ...
