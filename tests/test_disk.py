"""Disk: what was written is there after any end, and what is not what was written is refused."""

import asyncio
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.host.disk import DataDirectoryError, Disk, DiskError, Write
from examples.host.disk_database import checksum
from pyraft import MemoryStorage
from raftpb.enums import EntryType
from raftpb.message import ConfState, Entry, HardState, Snapshot, SnapshotMetadata

T = TypeVar("T")

NORMAL = EntryType.EntryNormal
CONF = ConfState([1, 2, 3], [4])


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory in memory where there is one: how long a sync takes is not what is tested here."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as home:
        yield Path(home)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with scratch() as home:
        yield home


def complete(work: Coroutine[None, None, T]) -> T:
    """Run to the end; a write that never returns fails the test instead of holding it up."""
    return asyncio.run(asyncio.wait_for(work, timeout=60))


def entries(first: int, last: int, term: int = 1, size: int = 10) -> list[Entry]:
    return [Entry(NORMAL, term, index, b"%d." % index * size) for index in range(first, last + 1)]


def snapshot(index: int, term: int = 1, data: bytes = b"state") -> Snapshot:
    return Snapshot(data, SnapshotMetadata(CONF, index, term))


def view(storage: MemoryStorage) -> tuple[object, ...]:
    """All that a MemoryStorage shows."""
    first, last = storage.first_index(), storage.last_index()
    held = storage.entries(first, last + 1, 1 << 60) if first <= last else []
    return first, last, storage.term(first - 1), held, storage.initial_state(), storage.snapshot()


async def write_all(directory: Path, writes: list[Write]) -> Disk:
    disk = Disk.open(directory, "cluster", 1)
    for write in writes:
        await disk.write(write)
    return disk


async def write_and_close(directory: Path, writes: list[Write]) -> None:
    await (await write_all(directory, writes)).close()


def reopened(directory: Path) -> dict[int, tuple[object, ...]]:
    """What each group's log holds, read as a new process would."""

    async def read() -> dict[int, tuple[object, ...]]:
        disk = Disk.open(directory, "cluster", 1)
        try:
            return {group: view(disk.load(group)) for group in disk.groups()}
        finally:
            await disk.close()

    return complete(read())


def killed(directory: Path, target: Path) -> Path:
    """The files as a process leaves them that is killed now."""
    shutil.copytree(directory, target)
    return target


def sequence(directory: Path) -> int:
    with closing(sqlite3.connect(directory / "raft.db")) as connection:
        return int(connection.execute("SELECT sequence FROM identity").fetchone()[0])


# -- what was written is there


@dataclass
class Model:
    """A group as a host keeps it: each move changes the log in memory and says what to write."""

    group: int
    storage: MemoryStorage
    term: int = 1
    commit: int = 0

    def move(self, kind: str, amount: int) -> Write:
        storage = self.storage
        if kind == "append":
            first = max(self.commit + 1, storage.last_index() + 1 - amount)
            self.term += first <= storage.last_index()
            batch = entries(first, storage.last_index() + amount, self.term)
            storage.append(batch)
            return Write(self.group, batch, self._hard_state())
        if kind == "commit":
            self.commit = min(storage.last_index(), self.commit + amount)
            return Write(self.group, hard_state=self._hard_state(), sync=False)
        made = storage.snapshot().metadata.index
        if kind == "snapshot" and made < self.commit:
            made = min(self.commit, made + amount)
            compact_to = max(0, made - 2)
            taken = storage.create_snapshot(made, CONF, b"state at %d" % made)
            if compact_to >= storage.first_index():
                storage.compact(compact_to)
            return Write(self.group, snapshot=taken, compact_to=compact_to)
        index = storage.last_index() + amount
        received = snapshot(index, self.term, b"received")
        storage.apply_snapshot(received)
        self.commit = index
        return Write(self.group, snapshot=received, hard_state=self._hard_state())

    def _hard_state(self) -> HardState:
        state = HardState(self.term, 0, self.commit)
        self.storage.set_hard_state(state)
        return state


MOVES = st.tuples(
    st.sampled_from([1, 2, 2**63 - 1]), st.sampled_from(["append", "append", "commit", "snapshot", "receive"]),
    st.integers(1, 5),
)  # fmt: skip


@given(st.lists(st.lists(MOVES, min_size=1, max_size=3), max_size=12), st.booleans())
def test_a_log_comes_back_as_it_was_written(batches: list[list[tuple[int, str, int]]], kill: bool) -> None:
    models: dict[int, Model] = {}

    async def run(home: Path) -> Path:
        disk = Disk.open(home / "a", "cluster", 1)
        for batch in batches:
            writes = [
                models.setdefault(group, Model(group, MemoryStorage())).move(kind, amount)
                for group, kind, amount in batch
            ]
            await asyncio.gather(*(disk.write(write) for write in writes))
        directory = killed(home / "a", home / "b") if kill else home / "a"
        await disk.close()
        return directory

    with scratch() as home:
        directory = complete(run(home))
        for _ in range(2):  # reading changes nothing
            assert reopened(directory) == {group: view(model.storage) for group, model in models.items()}


def test_a_new_directory_is_private_and_empty(tmp_path: Path) -> None:
    async def run() -> None:
        disk = Disk.open(tmp_path / "deep" / "node", "cluster", 1)
        assert disk.groups() == []
        assert disk.is_new(1)
        assert view(disk.load(1)) == view(MemoryStorage())
        await disk.close()

    complete(run())
    assert (tmp_path / "deep" / "node").stat().st_mode & 0o777 == 0o700
    assert reopened(tmp_path / "deep" / "node") == {}


def test_a_group_is_new_until_it_is_written_to_and_loaded_once(tmp_path: Path) -> None:
    async def run() -> None:
        disk = await write_all(tmp_path, [Write(7, entries(1, 2))])
        assert not disk.is_new(7)
        assert disk.groups() == [7]
        with pytest.raises(ValueError, match="group 7 was given away already, or created since"):
            disk.load(7)
        await disk.close()
        disk = Disk.open(tmp_path, "cluster", 1)
        assert disk.load(7).last_index() == 2
        with pytest.raises(ValueError, match="given away"):
            disk.load(7)
        await disk.close()
        await disk.close()
        with pytest.raises(RuntimeError, match="closed"):
            await disk.write(Write(7, entries(3, 3)))

    complete(run())


def test_writes_that_wait_together_share_a_transaction(tmp_path: Path) -> None:
    async def run() -> None:
        disk = Disk.open(tmp_path, "cluster", 1)
        await asyncio.gather(*(disk.write(Write(group, entries(1, 3))) for group in range(50)))
        await disk.close()

    complete(run())
    assert sequence(tmp_path) == 2, "the first transaction made the file"
    assert len(reopened(tmp_path)) == 50


def test_a_write_is_made_though_nobody_waits_for_it_any_more(tmp_path: Path) -> None:
    async def run() -> None:
        disk = Disk.open(tmp_path, "cluster", 1)
        waiter = asyncio.create_task(disk.write(Write(1, entries(1, 3))))
        await asyncio.sleep(0)
        waiter.cancel()
        await disk.write(Write(1, entries(4, 4)))
        assert waiter.cancelled()
        await disk.close()

    complete(run())
    assert reopened(tmp_path)[1][1] == 4


def test_closing_finishes_what_is_being_written(tmp_path: Path) -> None:
    async def run() -> None:
        disk = Disk.open(tmp_path, "cluster", 1)
        writing = [asyncio.create_task(disk.write(Write(1, entries(index, index)))) for index in (1, 2)]
        await asyncio.sleep(0)
        await disk.close()
        await asyncio.gather(*writing)

    complete(run())
    assert reopened(tmp_path)[1][1] == 2


def test_the_loop_goes_on_while_the_disk_writes(tmp_path: Path) -> None:
    async def run() -> int:
        disk = Disk.open(tmp_path, "cluster", 1)
        writing = asyncio.create_task(disk.write(Write(1, snapshot=snapshot(1, data=bytes(64 << 20)))))
        turns = 0
        while not writing.done():
            await asyncio.sleep(0.001)
            turns += 1
        await disk.close()
        return turns

    assert complete(run()) > 5


def test_a_snapshot_keeps_the_entries_that_it_covers_until_they_are_compacted(tmp_path: Path) -> None:
    log = [Write(1, entries(1, 10), HardState(1, 0, 10))]
    complete(write_and_close(tmp_path, [*log, Write(1, snapshot=snapshot(8), compact_to=5)]))
    storage = reopened(tmp_path)[1]
    assert storage[:3] == (6, 10, 1)
    assert storage[5] == snapshot(8)


def test_a_snapshot_of_another_log_replaces_it_and_is_a_commit(tmp_path: Path) -> None:
    log = [Write(1, entries(1, 10), HardState(2, 0, 4))]
    complete(write_and_close(tmp_path, [*log, Write(1, snapshot=snapshot(8, term=2))]))
    state = HardState(2, 0, 8)
    assert reopened(tmp_path)[1] == (9, 8, 2, [], (state, CONF), snapshot(8, term=2))


def test_files_stay_small_under_endless_writes(tmp_path: Path) -> None:
    sizes: list[int] = []

    async def run() -> None:
        disk = Disk.open(tmp_path, "cluster", 1)
        for round in range(60):
            first = round * 100 + 1
            last = first + 99
            await disk.write(Write(1, entries(first, last, size=400), HardState(1, 0, last), sync=False))
            await disk.write(Write(1, snapshot=snapshot(last, data=bytes(200_000)), compact_to=last - 50))
            sizes.append(sum(file.stat().st_size for file in tmp_path.iterdir()))
        await disk.close()

    complete(run())
    assert max(sizes[30:]) <= max(sizes[:30]) < 8 << 20
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 2 << 20


# -- a write that breaks a law is refused, and is the last

LOG = Write(1, entries(1, 10, term=2), HardState(3, 2, 5))
REFUSED = {
    "a gap after the last entry": Write(1, entries(12, 12, term=3)),
    "an entry that is committed already": Write(1, entries(5, 6, term=3)),
    "a gap among the entries": Write(1, [*entries(11, 11, term=3), *entries(13, 13, term=3)]),
    "a term that falls": Write(1, entries(11, 11, term=1)),
    "a term that falls among the entries": Write(1, [*entries(11, 11, term=3), *entries(12, 12, term=2)]),
    "a hard state of an earlier term": Write(1, hard_state=HardState(2, 2, 5)),
    "a second vote in a term": Write(1, hard_state=HardState(3, 1, 5)),
    "a commit index that falls": Write(1, hard_state=HardState(3, 2, 4)),
    "a commit index beyond the log": Write(1, hard_state=HardState(3, 2, 11)),
    "a committed snapshot of another log": Write(1, snapshot=snapshot(5, term=1)),
    "a snapshot without an index": Write(1, snapshot=snapshot(0)),
    "a compaction that no snapshot covers": Write(1, compact_to=3),
    "a compaction above the snapshot": Write(1, snapshot=snapshot(4, term=2), compact_to=5),
    "a number that is too large": Write(1, hard_state=HardState(2**63, 0, 5)),
    "a group id that is too large": Write(2**63, entries(1, 1)),
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_a_write_that_breaks_a_law_stops_the_disk(tmp_path: Path, refused: Write) -> None:
    async def run() -> None:
        disk = await write_all(tmp_path, [LOG])
        with pytest.raises(DiskError, match=r"raft\.db: ") as first:
            await asyncio.gather(disk.write(Write(2, entries(1, 1))), disk.write(refused))
        assert first.value.path == tmp_path / "raft.db"
        with pytest.raises(DiskError, match="stopped at an earlier error"):
            await disk.write(Write(3, entries(1, 1)))
        await disk.close()

    complete(run())
    found = reopened(tmp_path)
    assert list(found) == [1], "nothing of the transaction is there"
    assert found[1][:2] == (1, 10)


def test_those_who_wait_behind_an_error_learn_of_it(tmp_path: Path) -> None:
    async def run() -> list[BaseException | None]:
        disk = Disk.open(tmp_path, "cluster", 1)
        bad = asyncio.create_task(disk.write(Write(1, compact_to=3)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # the transaction is under way
        behind = asyncio.create_task(disk.write(Write(1, entries(1, 1))))
        results = await asyncio.gather(bad, behind, return_exceptions=True)
        await disk.close()
        return list(results)

    assert [type(result) for result in complete(run())] == [DiskError, DiskError]
    assert reopened(tmp_path) == {}


# -- whose directory it is


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    source = (
        "import sys\nfrom pathlib import Path\nfrom examples.host.disk import Disk\n"
        "disk = Disk.open(Path(sys.argv[1]), 'cluster', 1)\nprint('open', flush=True)\nsys.stdin.read()\n"
    )
    command = [sys.executable, "-c", source, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(DataDirectoryError, match=f"raft.lock: is locked by process {process.pid}. Stop") as refused:
            Disk.open(tmp_path, "cluster", 1)
        assert refused.value.path == tmp_path / "raft.lock"
        (tmp_path / "raft.lock").unlink()
        with pytest.raises(DataDirectoryError, match=r"raft.db: is locked by another process\."):
            Disk.open(tmp_path, "cluster", 1)
        process.kill()
    assert reopened(tmp_path) == {}


@pytest.mark.parametrize(
    ("cluster", "node", "problem"),
    [
        ("cluster", 2, "belongs to node 1 of cluster 'cluster', not to node 2 of cluster 'cluster'"),
        ("other", 1, "belongs to node 1 of cluster 'cluster', not to node 1 of cluster 'other'"),
    ],
    ids=["another node's", "another cluster's"],
)
def test_somebody_elses_directory_is_refused(tmp_path: Path, cluster: str, node: int, problem: str) -> None:
    complete(write_and_close(tmp_path, [LOG]))
    with pytest.raises(DataDirectoryError) as refused:
        Disk.open(tmp_path, cluster, node)
    assert refused.value.path == tmp_path / "raft.db"
    assert refused.value.problem == problem
    assert "choose another directory" in refused.value.way_out
    assert list(reopened(tmp_path)) == [1], "the refusal took nothing"


def test_a_directory_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DataDirectoryError, match=f"{path}: cannot be used"):
            Disk.open(path, "cluster", 1)


# -- what is not what was written


WRITES = [LOG, Write(2, entries(1, 4), HardState(1, 0, 4)), Write(2, snapshot=snapshot(3), compact_to=2)]
Damage = Callable[[Path], None]


def sql(statement: str, *values: object) -> Damage:
    """A change that leaves a sound database."""

    def run(directory: Path) -> None:
        with closing(sqlite3.connect(directory / "raft.db", isolation_level=None)) as connection:
            connection.execute(statement, values)

    return run


def log_row(group: int, *rest: int) -> Damage:
    row = (group, *rest)
    return sql("REPLACE INTO logs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", *row, checksum("logs", row))


def snapshot_row(index: int, term: int, conf_state: bytes) -> Damage:
    crc = checksum("snapshots", (2, index, term), conf_state, b"")
    return sql("REPLACE INTO snapshots VALUES (2, ?, ?, ?, ?, ?)", index, term, conf_state, b"", crc)


def identity_row(format: int) -> Damage:
    crc = checksum("identity", (format, 1, 4), b"cluster")
    return sql("UPDATE identity SET format = ?, crc = ?", format, crc)


def cut(size: int) -> Damage:
    def run(directory: Path) -> None:
        with (directory / "raft.db").open("r+b") as file:
            file.truncate(size)

    return run


def overwrite(position: int, data: bytes) -> Damage:
    def run(directory: Path) -> None:
        with (directory / "raft.db").open("r+b") as file:
            file.seek(position)
            file.write(data)

    return run


def put(name: str, data: bytes) -> Damage:
    def run(directory: Path) -> None:
        (directory / name).write_bytes(data)

    return run


def remove(name: str) -> Damage:
    return lambda directory: (directory / name).unlink()


DAMAGES: dict[str, tuple[str, str, Damage]] = {
    "an entry's data": ("raft.db", "entry 3 of group 1", sql("UPDATE entries SET data = x'00' WHERE idx = 3")),
    "an entry's term": ("raft.db", "entry 1 of group 1", sql("UPDATE entries SET term = 1")),
    "an entry's type": ("raft.db", "entry 1 of group 1", sql("UPDATE entries SET type = 'x'")),
    "an entry's data is no blob": ("raft.db", "entry 1 of group 1", sql("UPDATE entries SET data = 5")),
    "an entry in another group": (
        "raft.db",
        "entry 11 of group 1 has a wrong checksum",
        sql("UPDATE entries SET group_id = 1, idx = 11 WHERE group_id = 2 AND idx = 4"),
    ),
    "an entry is gone": ("raft.db", "entry 4 of group 1 does not follow", sql("DELETE FROM entries WHERE idx = 3")),
    "the last entry is gone": ("raft.db", "does not end with entry 10", sql("DELETE FROM entries WHERE idx = 10")),
    "a vote": ("raft.db", "logs has a wrong checksum", sql("UPDATE logs SET vote = 1 WHERE group_id = 1")),
    "a log is gone": ("raft.db", "entries has rows that belong to no log", sql("DELETE FROM logs WHERE group_id = 1")),
    "a log contradicts itself": ("raft.db", "contradicts itself", log_row(1, 3, 2, 11, 0, 0, 10)),
    "a snapshot beyond the commit index": ("raft.db", "contradicts itself", log_row(2, 1, 0, 2, 2, 1, 4)),
    "a snapshot's data": ("raft.db", "snapshot of group 2 has a wrong", sql("UPDATE snapshots SET data = x''")),
    "a snapshot's configuration": ("raft.db", "snapshot of group 2 cannot be read", snapshot_row(3, 1, b"?")),
    "a snapshot of another log": ("raft.db", "does not belong to its log", snapshot_row(3, 9, b"")),
    "a snapshot is gone": ("raft.db", "group 2 contradicts itself", sql("DELETE FROM snapshots")),
    "a snapshot too many": (
        "raft.db",
        "snapshots has rows that belong to no log",
        sql("INSERT INTO snapshots SELECT 1 + group_id, idx, term, conf_state, data, crc FROM snapshots"),
    ),
    "the owner": ("raft.db", "whose it is has a wrong checksum", sql("UPDATE identity SET node = 2")),
    "the owner is gone": ("raft.db", "does not say whose it is", sql("DELETE FROM identity")),
    "a newer format": ("raft.db", "has format 2; this version reads 1", identity_row(2)),
    "another database": ("raft.db", "not a database of this program", sql("DROP TABLE identity")),
    "a table is gone": ("raft.db", "its tables are not those of its format", sql("DROP TABLE snapshots")),
    "the count of free pages": ("raft.db", "integrity check found: ", overwrite(36, b"\0\0\0\7")),
    "no database at all": ("raft.db", "is damaged: file is not a database", put("raft.db", b"text" * 2000)),
    "cut to nothing": ("raft.db", "is missing or empty, after 4 transactions", cut(0)),
    "cut to half a page": ("raft.db", "is damaged: ", cut(2048)),
    "cut to two pages": ("raft.db", "is damaged: ", cut(8192)),
    "the database is gone": ("raft.db", "is missing or empty, after 4 transactions", remove("raft.db")),
    "the mark is gone": ("raft.mark", "is missing, so nothing shows", remove("raft.mark")),
    "the mark is empty": ("raft.mark", "is damaged, so nothing shows", put("raft.mark", b"")),
    "the mark is garbage": ("raft.mark", "is damaged, so nothing shows", put("raft.mark", b"?" * 600)),
}


@pytest.mark.parametrize(("file", "problem", "damage"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_directory_is_refused(tmp_path: Path, file: str, problem: str, damage: Damage) -> None:
    complete(write_and_close(tmp_path, WRITES))
    damage(tmp_path)
    for _ in range(2):
        with pytest.raises(DataDirectoryError) as refused:
            Disk.open(tmp_path, "cluster", 1)
        assert refused.value.path == tmp_path / file
        assert problem in refused.value.problem
        assert refused.value.way_out
        assert str(refused.value) == f"{refused.value.path}: {refused.value.problem}. {refused.value.way_out}."


@pytest.mark.parametrize("torn", [0, 512])
def test_one_half_of_the_mark_suffices(tmp_path: Path, crashed: Path, torn: int) -> None:
    """Both to read what is there, and to see what is missing."""
    whole = killed(crashed, tmp_path / "whole")
    cut_short = killed(crashed, tmp_path / "cut")
    (cut_short / "raft.db-wal").unlink()
    for directory in (whole, cut_short):
        with (directory / "raft.mark").open("r+b") as file:
            file.seek(torn)
            file.write(b"?" * 12)
    assert outcome(whole) is not None
    assert outcome(cut_short) is None


def test_a_first_start_that_was_cut_short_is_begun_again(tmp_path: Path) -> None:
    complete(write_and_close(tmp_path / "whole", []))
    unmarked = (12).to_bytes(8, "big")
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "raft.mark.new").write_bytes(unmarked)
    assert reopened(tmp_path / "cut") == {}
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "raft.db").touch()
    assert reopened(tmp_path / "empty") == {}


def test_an_older_copy_of_the_database_is_refused(tmp_path: Path) -> None:
    complete(write_and_close(tmp_path, WRITES[:1]))
    copy = (tmp_path / "raft.db").read_bytes()
    complete(write_and_close(tmp_path, WRITES[1:]))
    (tmp_path / "raft.db").write_bytes(copy)
    with pytest.raises(DataDirectoryError, match="ends with transaction 2, but 4 were acknowledged"):
        Disk.open(tmp_path, "cluster", 1)


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose process was killed with all of its writes in the write-ahead log."""
    home = tmp_path_factory.mktemp("crashed")

    async def run() -> None:
        disk = await write_all(home / "live", WRITES)
        killed(home / "live", home / "dead")
        await disk.close()

    complete(run())
    assert (home / "dead" / "raft.db-wal").stat().st_size > 20_000
    return home / "dead"


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that was closed, with all of its writes in the database file."""
    home = tmp_path_factory.mktemp("closed")
    complete(write_and_close(home, WRITES))
    return home


def outcome(directory: Path) -> dict[int, tuple[object, ...]] | None:
    """What is found, or None if the directory is refused."""
    try:
        return reopened(directory)
    except DataDirectoryError:
        return None


def test_a_killed_process_leaves_all_that_it_acknowledged(tmp_path: Path, crashed: Path, closed: Path) -> None:
    assert reopened(killed(crashed, tmp_path / "a")) == reopened(killed(closed, tmp_path / "b"))


def test_a_write_ahead_log_cut_short_is_refused(tmp_path: Path, crashed: Path) -> None:
    size = (crashed / "raft.db-wal").stat().st_size
    for kept in [0, 1, 32, 33, *range(32 + 4120, size, 4120), size - 1]:
        directory = killed(crashed, tmp_path / str(kept))
        with (directory / "raft.db-wal").open("r+b") as file:
            file.truncate(kept)
        assert outcome(directory) is None, kept
        assert outcome(directory) is None, kept


def test_a_write_ahead_log_that_is_gone_is_refused(tmp_path: Path, crashed: Path) -> None:
    directory = killed(crashed, tmp_path / "node")
    (directory / "raft.db-wal").unlink()
    with pytest.raises(DataDirectoryError, match=r"raft\.db-wal, was cut short, changed, or replaced"):
        Disk.open(directory, "cluster", 1)


@pytest.mark.parametrize("tail", [b"\0" * 4120, b"?" * 100, b"half a frame" * 200], ids=["zeros", "short", "garbage"])
def test_a_torn_write_after_the_last_acknowledged_one_is_dropped(tmp_path: Path, crashed: Path, tail: bytes) -> None:
    directory = killed(crashed, tmp_path / "node")
    with (directory / "raft.db-wal").open("ab") as file:
        file.write(tail)
    assert reopened(directory) == reopened(killed(crashed, tmp_path / "whole"))


def test_a_transaction_torn_before_it_was_acknowledged_is_dropped_whole(tmp_path: Path) -> None:
    """A crash in the middle of a write: any part of its frames may be there, and nobody was told of it."""

    async def run() -> None:
        disk = await write_all(tmp_path / "live", WRITES)
        killed(tmp_path / "live", tmp_path / "before")
        await disk.write(Write(1, entries(11, 60, term=3, size=50)))
        killed(tmp_path / "live", tmp_path / "after")
        await disk.close()

    complete(run())
    wal = (tmp_path / "after" / "raft.db-wal").read_bytes()
    acknowledged = (tmp_path / "before" / "raft.db-wal").stat().st_size
    before = reopened(killed(tmp_path / "before", tmp_path / "whole"))
    for kept in range(acknowledged, len(wal), 2060):
        directory = killed(tmp_path / "before", tmp_path / str(kept))
        (directory / "raft.db-wal").write_bytes(wal[:kept])
        assert reopened(directory) == before, kept


@pytest.mark.parametrize(("state", "file"), [("crashed", "raft.db-wal"), ("crashed", "raft.db"), ("closed", "raft.db")])
def test_no_flipped_bit_changes_what_is_read(
    tmp_path: Path, request: pytest.FixtureRequest, state: str, file: str
) -> None:
    """It is refused, or it hit a place that does not matter: all that was written is there."""
    source: Path = request.getfixturevalue(state)
    whole = reopened(killed(source, tmp_path / "whole"))
    data = (source / file).read_bytes()
    random = Random(1)
    refused = 0
    used = [position for position, byte in enumerate(data) if byte or position < 100]
    for number, position in enumerate([*range(100), *random.sample(used, 100)]):
        directory = killed(source, tmp_path / str(number))
        flipped = data[position] ^ 1 << random.randrange(8)
        (directory / file).write_bytes(data[:position] + bytes([flipped]) + data[position + 1 :])
        found = outcome(directory)
        assert found in (None, whole), (file, position)
        refused += found is None
        shutil.rmtree(directory)
    assert refused > 30
