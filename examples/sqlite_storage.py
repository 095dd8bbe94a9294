"""A Storage on disk: the log of one node in an SQLite file, which survives the process.

python -m examples.sqlite_storage
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pyraft import CompactedError, Config, Peer, RawNode, Ready, UnavailableError
from raftpb import EntryType, decode_change
from raftpb.codec import decode_hard_state, decode_snapshot, encode_hard_state, encode_snapshot
from raftpb.message import ConfState, Entry, HardState, Snapshot, SnapshotMetadata

_TABLES = """
CREATE TABLE IF NOT EXISTS entry (idx INTEGER PRIMARY KEY, term INTEGER NOT NULL, type INTEGER NOT NULL, data BLOB);
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value BLOB NOT NULL);
"""


class SqliteStorage:
    """What the core reads (`pyraft.Storage`), and `save`, which writes what a Ready says.

    Nothing is kept in memory but the position of the last entry that is gone, so that a restart is the usual case.
    """

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")  # a commit is on the disk when it returns
        self._db.executescript(_TABLES)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # -- written by the application

    def save(self, ready: Ready) -> None:
        """Write the snapshot, the entries and the hard state of a Ready in one transaction: all of it or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            if ready.snapshot is not None:
                self._replace_log(ready.snapshot)
            self._append(ready.entries)
            if ready.hard_state is not None:
                self._put("hard state", encode_hard_state(ready.hard_state))
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def keep_snapshot(self, index: int, conf_state: ConfState, data: bytes) -> None:
        """Keep the application's state at the applied `index`, and forget the entries up to there.

        `conf_state` is what the last `apply_conf_change` up to `index` returned.
        """
        snapshot = Snapshot(data, SnapshotMetadata(conf_state, index, self.term(index)))
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("DELETE FROM entry WHERE idx <= ?", (index,))
        self._put("snapshot", encode_snapshot(snapshot))
        self._db.execute("COMMIT")

    def _replace_log(self, snapshot: Snapshot) -> None:
        self._db.execute("DELETE FROM entry")
        self._put("snapshot", encode_snapshot(snapshot))

    def _append(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        # What is at or above the first new index belonged to another leader.
        self._db.execute("DELETE FROM entry WHERE idx >= ?", (entries[0].index,))
        rows = [(entry.index, entry.term, int(entry.type), entry.data) for entry in entries]
        self._db.executemany("INSERT INTO entry VALUES (?, ?, ?, ?)", rows)

    # -- read by the core

    def initial_state(self) -> tuple[HardState, ConfState]:
        """The hard state last written, and the configuration of the snapshot."""
        saved = self._get("hard state")
        hard_state = HardState() if saved is None else decode_hard_state(saved)
        return hard_state, self.snapshot().metadata.conf_state

    def entries(self, lo: int, hi: int, max_size: int, /) -> list[Entry]:
        """Entries [lo, hi), at least one, cut before `max_size` encoded bytes are exceeded."""
        if lo < self.first_index():
            raise CompactedError
        if hi > self.last_index() + 1:
            raise UnavailableError
        found: list[Entry] = []
        size = 0
        query = "SELECT type, term, idx, data FROM entry WHERE idx >= ? AND idx < ? ORDER BY idx"
        rows = self._db.execute(query, (lo, hi))
        for type, term, index, data in rows:
            entry = Entry(EntryType(type), term, index, data)
            size += entry.encoded_size()
            if found and size > max_size:
                break
            found.append(entry)
        return found

    def term(self, index: int, /) -> int:
        """Term of the entry at `index`; also of the one that the snapshot ends with."""
        base = self.snapshot().metadata
        if index == base.index:
            return base.term
        row = self._db.execute("SELECT term FROM entry WHERE idx = ?", (index,)).fetchone()
        if row is None:
            raise CompactedError if index < base.index else UnavailableError
        return int(row[0])

    def first_index(self) -> int:
        """Index of the first entry that there is."""
        return self.snapshot().metadata.index + 1

    def last_index(self) -> int:
        """Index of the last entry, or of the snapshot."""
        (last,) = self._db.execute("SELECT MAX(idx) FROM entry").fetchone()
        return self.snapshot().metadata.index if last is None else int(last)

    def snapshot(self) -> Snapshot:
        """The most recent snapshot; an empty one at index 0 if there is none."""
        saved = self._get("snapshot")
        return Snapshot() if saved is None else decode_snapshot(saved)

    def _get(self, name: str) -> bytes | None:
        row = self._db.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def _put(self, name: str, value: bytes) -> None:
        self._db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, value))


def run(path: Path, *commands: bytes) -> list[str]:
    """One life of a process: start from the file, propose `commands`, return all that has been applied."""
    log = SqliteStorage(path)
    is_new = log.last_index() == 0
    node = RawNode(Config(id=1, storage=log))
    if is_new:
        node.bootstrap([Peer(1)])
    applied: list[str] = []
    waiting = list(commands)
    while waiting or node.has_ready() or not node.basic_status().soft_state.leader:
        node.tick()
        while node.basic_status().soft_state.leader and waiting:
            node.propose(waiting.pop(0))
        while node.has_ready():
            ready = node.ready()
            log.save(ready)
            applied += [text for entry in ready.committed_entries if (text := apply(node, entry))]
            node.advance()
    log.close()
    return applied


def apply(node: RawNode, entry: Entry) -> str:
    """Act on a committed entry; the text that it holds, if it is not a membership change."""
    if entry.type is EntryType.EntryNormal:
        return entry.data.decode()
    node.apply_conf_change(decode_change(entry))
    return ""


def main() -> None:
    """Two lives of a node on one file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "node-1.db")
        print("first life: ", *run(path, b"the", b"log"))
        print("second life:", *run(path, b"survives"))


if __name__ == "__main__":
    main()
