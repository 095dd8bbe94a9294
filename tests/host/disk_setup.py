"""What the tests of Disk have in common: small logs, and what is found of them."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from examples.host.disk import Disk, Write
from pyraft import MemoryStorage
from raftpb.enums import EntryType
from raftpb.message import ConfState, Entry, HardState, Snapshot, SnapshotMetadata

T = TypeVar("T")

CONF = ConfState([1, 2, 3], [4])


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory in memory where there is one: how long a sync takes is not what is tested here."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as home:
        yield Path(home)


def complete(work: Coroutine[None, None, T]) -> T:
    """Run to the end; a write that never returns fails the test instead of holding it up."""
    return asyncio.run(asyncio.wait_for(work, timeout=60))


def entries(first: int, last: int, term: int = 1, size: int = 10) -> list[Entry]:
    return [Entry(EntryType.EntryNormal, term, index, b"%d." % index * size) for index in range(first, last + 1)]


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


LOG = Write(1, entries(1, 10, term=2), HardState(3, 2, 5))
