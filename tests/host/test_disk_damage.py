"""Disk: a directory that is somebody else's, or not what was written, is refused; a torn write is not damage."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from disk_setup import LOG, complete, entries, killed, reopened, scratch, snapshot, write_all, write_and_close

from examples.host.disk import DataDirectoryError, Disk, Write
from examples.host.disk_database import checksum
from raftpb.message import HardState


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with scratch() as home:
        yield home


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
