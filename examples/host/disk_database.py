"""The logs of a node's Raft groups in one SQLite file: how a row looks, how it is checked, how a write changes it.

Laws that hold between transactions, for each group:

    offset <= snapshot index <= commit <= last;  entries offset+1 .. last are there, their terms do not fall

A write that would break one is refused before anything of it is durable. Every row carries a checksum of its table and
its values: SQLite's own check sees a broken tree, but not a changed value. A file that fails either check, or lacks a
transaction that the mark counts, is never repaired and never used.

Errors of SQLite and of the file system pass through as they are; `examples.host.disk` decides what they mean.
"""

from __future__ import annotations

import sqlite3
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from examples.host.disk_directory import MEMBER_IS_LOST, DataDirectory, DataDirectoryError, in_use
from pyraft import MemoryStorage
from raftpb import DecodeError, EntryType, decode_conf_state, encode_conf_state
from raftpb.message import Entry, HardState, Snapshot, SnapshotMetadata

FORMAT: Final = 1
WAL_LIMIT_BYTES: Final = 4 << 20

_TABLES: Final = {
    "entries": (
        "CREATE TABLE entries (group_id INTEGER NOT NULL, idx INTEGER NOT NULL, term INTEGER NOT NULL, "
        "type INTEGER NOT NULL, data BLOB NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (group_id, idx)) WITHOUT ROWID"
    ),
    "identity": (
        "CREATE TABLE identity (id INTEGER PRIMARY KEY, format INTEGER NOT NULL, cluster TEXT NOT NULL, "
        "node INTEGER NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL)"
    ),
    "logs": (
        "CREATE TABLE logs (group_id INTEGER PRIMARY KEY, term INTEGER NOT NULL, vote INTEGER NOT NULL, "
        '"commit" INTEGER NOT NULL, "offset" INTEGER NOT NULL, offset_term INTEGER NOT NULL, last INTEGER NOT NULL, '
        "crc INTEGER NOT NULL)"
    ),
    "snapshots": (
        "CREATE TABLE snapshots (group_id INTEGER PRIMARY KEY, idx INTEGER NOT NULL, term INTEGER NOT NULL, "
        "conf_state BLOB NOT NULL, data BLOB NOT NULL, crc INTEGER NOT NULL)"
    ),
}

_SETTINGS: Final = (
    "locking_mode=EXCLUSIVE",  # no other process, and no memory map shared with one
    "journal_mode=WAL",
    "fullfsync=ON",  # on macOS a plain fsync stops at the drive's cache
    "checkpoint_fullfsync=ON",
    "synchronous=FULL",
    "wal_autocheckpoint=0",  # SQLite's own does not report errors
    "secure_delete=OFF",
    "temp_store=MEMORY",
    "trusted_schema=OFF",
    "cell_size_check=ON",
)


@dataclass(frozen=True, slots=True)
class Write:
    """What one Ready asks to be written, or one snapshot with the compaction that follows: all of it or nothing.

    In this order: `snapshot` (if the log does not contain its index and term, it replaces the whole log), `entries`
    (from the first one's index on they replace what is there), `hard_state`, and then the entries up to and with
    `compact_to` are forgotten. A snapshot alone removes nothing that it covers. `sync`: Ready.must_sync; without it a
    power failure, though not the end of the process, may undo the write.
    """

    group: int
    entries: list[Entry] = field(default_factory=list)
    hard_state: HardState | None = None
    snapshot: Snapshot | None = None
    compact_to: int = 0
    sync: bool = True


@dataclass(slots=True)
class Log:
    """What is known of one group's log without reading it."""

    group: int
    term: int = 0
    vote: int = 0
    commit: int = 0
    offset: int = 0
    offset_term: int = 0
    last: int = 0
    snapshot: int = 0


class Database:
    """The open file. Not safe for use by two threads at a time."""

    def __init__(self, directory: DataDirectory, cluster: str, node: int) -> None:
        """Open, or create, and check everything. Raises DataDirectoryError."""
        self.path = directory.database
        self.logs: dict[int, Log] = {}
        self.recovered: dict[int, MemoryStorage] = {}
        self._directory = directory
        self._cluster = cluster
        self._node = node
        self._sequence = 0
        self._synced = True
        mark = directory.open_mark()
        try:
            self._connection = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise _cannot_open(self.path, error) from error
        try:
            self._connection.text_factory = bytes
            self._recover(mark)
        except DataDirectoryError:
            self._connection.close()
            raise
        except Exception as error:  # a damaged file makes SQLite and its binding fail in many ways
            self._connection.close()
            raise _cannot_open(self.path, error) from error

    # -- opening

    def _recover(self, mark: int) -> None:
        run = self._connection.execute
        for setting in _SETTINGS:
            run(f"PRAGMA {setting}")
        tables = run("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        if not tables and mark == 0:
            self._create()
        else:
            found = run("PRAGMA integrity_check(1)").fetchone()[0]
            if found != b"ok":
                raise damaged(self.path, f"the integrity check found: {found.decode(errors='replace')}")
            self._check_identity({name.decode(errors="replace"): sql for name, sql in tables})
            if self._sequence < mark:
                raise damaged(
                    self.path,
                    f"it ends with transaction {self._sequence}, but {mark} were acknowledged: it, or "
                    f"{self.path.name}-wal, was cut short, changed, or replaced by an older copy",
                )
            self._read_logs()
        # After a failed sync the system may show data that the disk does not have. Writing and syncing all that the
        # write-ahead log holds once more, in another place, makes it true before anything is built on it.
        self.checkpoint()
        self._directory.set_mark(self._sequence)
        self._directory.sync()  # SQLite syncs the names too, but does not say when that fails

    def _create(self) -> None:
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        for statement in _TABLES.values():
            run(statement)
        self._sequence = 1
        row = (1, FORMAT, self._cluster, self._node, 1)
        run("INSERT INTO identity VALUES (?, ?, ?, ?, ?, ?)", (*row, self._identity_checksum()))
        run("COMMIT")

    def _check_identity(self, tables: dict[str, bytes]) -> None:
        if "identity" not in tables:
            raise DataDirectoryError(self.path, "is not a database of this program", "Choose another directory")
        rows = self._connection.execute("SELECT format, cluster, node, sequence, crc FROM identity").fetchall()
        if len(rows) != 1:
            raise damaged(self.path, "it does not say whose it is")
        format, cluster, node, self._sequence, crc = rows[0]
        if checksum("identity", (format, node, self._sequence), cluster) != crc:
            raise damaged(self.path, "the row that says whose it is has a wrong checksum")
        if format > FORMAT:
            raise DataDirectoryError(
                self.path,
                f"has format {format}; this version reads {FORMAT}",
                "Use the version that wrote it, or newer",
            )
        if tables != {name: statement.encode() for name, statement in _TABLES.items()}:
            raise damaged(self.path, "its tables are not those of its format")
        if (cluster, node) != (self._cluster.encode(), self._node):
            raise DataDirectoryError(
                self.path,
                f"belongs to node {node} of cluster {cluster.decode(errors='replace')!r}, not to node {self._node} of "
                f"cluster {self._cluster!r}",
                "Start that node with it, or choose another directory for this one",
            )

    def _read_logs(self) -> None:
        run = self._connection.execute
        entries = snapshots = 0
        for *numbers, crc in run('SELECT group_id, term, vote, "commit", "offset", offset_term, last, crc FROM logs'):
            if checksum("logs", numbers) != crc:
                raise damaged(self.path, "a row of the table logs has a wrong checksum")
            log = Log(*numbers)
            self.logs[log.group] = log
            self.recovered[log.group] = self._read_log(log)
            entries += log.last - log.offset
            snapshots += log.snapshot > 0
        for table, expected in (("entries", entries), ("snapshots", snapshots)):
            if run(f"SELECT COUNT(*) FROM {table}").fetchone()[0] != expected:
                raise damaged(self.path, f"the table {table} has rows that belong to no log")

    def _read_log(self, log: Log) -> MemoryStorage:
        snapshot = self._read_snapshot(log)
        entries = self._read_entries(log)
        log.snapshot = snapshot.metadata.index
        if not log.offset <= log.snapshot <= log.commit <= log.last:
            raise damaged(self.path, f"the log of group {log.group} contradicts itself: {log}")
        covered = log.snapshot - log.offset
        if snapshot.metadata.term != (entries[covered - 1].term if covered > 0 else log.offset_term):
            raise damaged(self.path, f"the snapshot of group {log.group} does not belong to its log")
        storage = MemoryStorage()
        if log.offset > 0:
            conf_state = snapshot.metadata.conf_state
            base = Snapshot(b"", SnapshotMetadata(conf_state, log.offset, log.offset_term))
            storage.apply_snapshot(base if covered > 0 else snapshot)
        storage.append(entries)
        if covered > 0:
            storage.create_snapshot(log.snapshot, snapshot.metadata.conf_state, snapshot.data)
        storage.set_hard_state(HardState(log.term, log.vote, log.commit))
        return storage

    def _read_snapshot(self, log: Log) -> Snapshot:
        query = "SELECT idx, term, conf_state, data, crc FROM snapshots WHERE group_id = ?"
        row = self._connection.execute(query, (log.group,)).fetchone()
        if row is None:
            return Snapshot()
        index, term, conf_state, data, crc = row
        if checksum("snapshots", (log.group, index, term), conf_state, data) != crc:
            raise damaged(self.path, f"the snapshot of group {log.group} has a wrong checksum")
        try:
            return Snapshot(data, SnapshotMetadata(decode_conf_state(conf_state), index, term))
        except DecodeError as error:
            raise damaged(self.path, f"the snapshot of group {log.group} cannot be read: {error}") from error

    def _read_entries(self, log: Log) -> list[Entry]:
        query = "SELECT idx, term, type, data, crc FROM entries WHERE group_id = ? ORDER BY idx"
        entries: list[Entry] = []
        last_term = log.offset_term
        for index, term, type, data, crc in self._connection.execute(query, (log.group,)):
            if checksum("entries", (log.group, index, term, type), data) != crc:
                raise damaged(self.path, f"entry {index} of group {log.group} has a wrong checksum")
            if index != log.offset + 1 + len(entries) or term < last_term:
                raise damaged(self.path, f"entry {index} of group {log.group} does not follow the one before it")
            last_term = term
            entries.append(Entry(EntryType(type), term, index, data))
        if log.offset + len(entries) != log.last:
            raise damaged(self.path, f"the log of group {log.group} does not end with entry {log.last}")
        return entries

    # -- writing

    def commit(self, writes: list[Write]) -> bool:
        """Make `writes` one transaction, durable on return if any of them asks for it.

        Returns whether the write-ahead log has grown so large that `checkpoint` is due.
        """
        run = self._connection.execute
        sync = any(write.sync for write in writes)
        if sync != self._synced:
            run(f"PRAGMA synchronous={'FULL' if sync else 'NORMAL'}")
            self._synced = sync
        changed: dict[int, Log] = {}
        run("BEGIN IMMEDIATE")
        for write in writes:
            log = changed.get(write.group) or replace(self.logs.get(write.group) or Log(write.group))
            changed[write.group] = log
            self._write(write, log)
        for log in changed.values():
            numbers = (log.group, log.term, log.vote, log.commit, log.offset, log.offset_term, log.last)
            run("REPLACE INTO logs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*numbers, checksum("logs", numbers)))
        self._sequence += 1
        run("UPDATE identity SET sequence = ?, crc = ?", (self._sequence, self._identity_checksum()))
        run("COMMIT")
        if sync:
            self._directory.set_mark(self._sequence)
        self.logs.update(changed)
        return self.path.with_name(f"{self.path.name}-wal").stat().st_size >= WAL_LIMIT_BYTES

    def checkpoint(self) -> None:
        """Bring what the write-ahead log holds into the database file, both synced, and empty it."""
        busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise sqlite3.OperationalError("the write-ahead log cannot be emptied: the file is in use")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _write(self, write: Write, log: Log) -> None:
        if write.snapshot is not None:
            self._write_snapshot(write.snapshot, log)
        if write.entries:
            self._write_entries(write.entries, log)
        if write.hard_state is not None:
            state = write.hard_state
            revoted = state.term == log.term and log.vote not in (0, state.vote)
            if state.term < log.term or state.commit < log.commit or revoted:
                raise ValueError(f"group {log.group}: {state} would take back what {log} promises")
            log.term, log.vote, log.commit = state.term, state.vote, state.commit
        if write.compact_to > log.offset:
            if write.compact_to > log.snapshot:
                raise ValueError(f"group {log.group}: no snapshot covers what lies below {write.compact_to}")
            term = self._term(write.compact_to, log)
            self._delete("idx <= ?", log, write.compact_to)
            log.offset, log.offset_term = write.compact_to, term
        if log.commit > log.last:
            raise ValueError(f"group {log.group}: the commit index {log.commit} lies beyond the last entry {log.last}")

    def _write_snapshot(self, snapshot: Snapshot, log: Log) -> None:
        index, term = snapshot.metadata.index, snapshot.metadata.term
        if index <= log.snapshot:
            raise ValueError(f"group {log.group}: a snapshot at {index} is not newer than the one at {log.snapshot}")
        if self._term(index, log) != term:
            if index <= log.commit:
                raise ValueError(f"group {log.group}: a snapshot at {index} contradicts the committed log")
            self._delete("idx > ?", log, 0)
            log.offset, log.offset_term, log.last = index, term, index
        log.snapshot = index
        log.commit = max(log.commit, index)
        conf_state = encode_conf_state(snapshot.metadata.conf_state)
        crc = checksum("snapshots", (log.group, index, term), conf_state, snapshot.data)
        self._connection.execute(
            "REPLACE INTO snapshots VALUES (?, ?, ?, ?, ?, ?)", (log.group, index, term, conf_state, snapshot.data, crc)
        )

    def _write_entries(self, entries: list[Entry], log: Log) -> None:
        first = entries[0].index
        if not log.commit < first <= log.last + 1:
            raise ValueError(f"group {log.group}: entries from {first} on do not fit into {log}")
        term = self._term(first - 1, log)
        for index, entry in enumerate(entries, first):
            if entry.index != index or entry.term < term:
                raise ValueError(f"group {log.group}: entry {entry.index} does not follow the one before it")
            term = entry.term
        if first <= log.last:
            self._delete("idx >= ?", log, first)
        rows = (
            (log.group, e.index, e.term, int(e.type), e.data, checksum("entries", _entry_numbers(log.group, e), e.data))
            for e in entries
        )
        self._connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", rows)
        log.last = entries[-1].index

    def _term(self, index: int, log: Log) -> int:
        """Term of the entry at `index`, or -1 if the log does not show it."""
        if index == log.offset:
            return log.offset_term
        query = "SELECT term FROM entries WHERE group_id = ? AND idx = ?"
        row = self._connection.execute(query, (log.group, index)).fetchone()
        return -1 if row is None else int(row[0])

    def _delete(self, which: str, log: Log, index: int) -> None:
        self._connection.execute(f"DELETE FROM entries WHERE group_id = ? AND {which}", (log.group, index))

    def _identity_checksum(self) -> int:
        return checksum("identity", (FORMAT, self._node, self._sequence), self._cluster.encode())


def checksum(table: str, numbers: Iterable[object], *contents: object) -> int:
    """CRC-32 over a row; -1 for values that no row of ours has."""
    try:
        crc = zlib.crc32(table.encode())
        for number in numbers:
            crc = zlib.crc32(struct.pack(">q", number), crc)
        for content in contents:
            if not isinstance(content, bytes):
                return -1
            crc = zlib.crc32(content, zlib.crc32(struct.pack(">q", len(content)), crc))
    except struct.error:
        return -1
    return crc


def damaged(path: Path, problem: str) -> DataDirectoryError:
    """The error for a file that is not what was written."""
    return DataDirectoryError(path, f"is damaged: {problem}", MEMBER_IS_LOST)


def _entry_numbers(group: int, entry: Entry) -> tuple[int, ...]:
    return (group, entry.index, entry.term, int(entry.type))


def _cannot_open(path: Path, error: Exception) -> DataDirectoryError:
    kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if kind == sqlite3.SQLITE_BUSY:
        return in_use(path, "another process")
    if kind in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or isinstance(error, UnicodeDecodeError):
        return damaged(path, str(error))
    return DataDirectoryError(
        path,
        f"cannot be opened: {error}",
        f"Check the disk, its space and the permissions; if the file is damaged: {MEMBER_IS_LOST}",
    )
