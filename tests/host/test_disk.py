"""Disk: what was written is there after any end, and a write that breaks a law is refused."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from disk_setup import (
    CONF,
    LOG,
    complete,
    entries,
    killed,
    reopened,
    scratch,
    snapshot,
    view,
    write_all,
    write_and_close,
)
from hypothesis import given
from hypothesis import strategies as st

from examples.host.disk import Disk, DiskError, Write
from pyraft import COMPILED, MemoryStorage
from raftpb.message import HardState


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with scratch() as home:
        yield home


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
    "a group id that is too large": Write(2**63, entries(1, 1)),
}
if not COMPILED:  # compiled, such a value cannot be made
    REFUSED["a number that is too large"] = Write(1, hard_state=HardState(2**63, 0, 5))


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
