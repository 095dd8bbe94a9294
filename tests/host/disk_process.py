"""A process with a Disk, for tests that make its system calls fail.

python disk_process.py serve DIRECTORY     writes the numbers that it reads and says what became of each; -N is the
                                           commit of what is there, unsynced; 0 asks for the turns of the event loop
                                           during the write before
python disk_process.py sweep HOME          fails each write and each sync of a short life, one life after the other
"""

import asyncio
import ctypes
import os
import shutil
import sys
from pathlib import Path

from examples.host.disk import DataDirectoryError, Disk, DiskError, Write
from pyraft import MemoryStorage
from raftpb.enums import EntryType
from raftpb.message import ConfState, Entry, HardState, Snapshot, SnapshotMetadata


def numbered(number: int) -> Write:
    """Write `number` >= 1 of a life: one entry with its vote."""
    return Write(1, [Entry(EntryType.EntryNormal, 1, number, b"%d" % number * 100)], HardState(1, 1, number - 1))


def last_of(storage: MemoryStorage) -> int:
    """The last number in a log; raises if one before it is missing or is not what was written."""
    last = int(storage.last_index())
    first = int(storage.first_index())
    if first <= last:
        found = storage.entries(first, last + 1, 1 << 60)
        assert found == [numbered(number).entries[0] for number in range(first, last + 1)]
    assert storage.initial_state()[0].commit <= last
    return last


async def serve(directory: Path) -> None:
    """Write the numbers that are read."""
    disk = Disk.open(directory, "cluster", 1)
    print("open", last_of(disk.load(1)), flush=True)
    turns = 0
    for line in iter(sys.stdin.readline, ""):
        number = int(line)
        if number == 0:
            print("turns", turns, flush=True)
            continue
        commit = Write(1, hard_state=HardState(1, 1, -number), sync=False)
        writing = asyncio.create_task(disk.write(numbered(number) if number > 0 else commit))
        turns = 0
        while not writing.done():
            await asyncio.wait({writing}, timeout=0.01)
            turns += 1
        failure = writing.exception()
        print(f"written {number}" if failure is None else f"error {failure}", flush=True)
    await disk.close()


async def live(directory: Path, acknowledged: list[int]) -> tuple[Disk, bool]:
    """A life from the first start on, and whether all went well; each number is in `acknowledged` once written."""
    disk = Disk.open(directory, "cluster", 1)
    try:
        for number in range(1, 6):
            await disk.write(numbered(number))
            acknowledged.append(number)
        snapshot = Snapshot(b"state", SnapshotMetadata(ConfState([1]), 4, 1))
        await disk.write(Write(1, snapshot=snapshot, compact_to=3))
    except DiskError:
        for number in range(10):  # whatever is asked now is refused
            try:
                await disk.write(numbered(number))
            except DiskError:
                continue
            raise AssertionError("a write succeeded after one had failed") from None
        return disk, False
    return disk, True


async def check(directory: Path, acknowledged: list[int]) -> None:
    """Start again on a healthy disk, and go on."""
    disk = Disk.open(directory, "cluster", 1)
    last = last_of(disk.load(1))
    assert last >= max(acknowledged, default=0), (directory, last, acknowledged)
    await disk.write(numbered(last + 1))
    await disk.close()
    disk = Disk.open(directory, "cluster", 1)
    assert last_of(disk.load(1)) == last + 1
    await disk.close()


async def sweep(home: Path) -> None:
    """Let call 0, 1, 2, ... of a life fail, each in a life of its own."""
    directory = home / "node"
    trigger = Path(os.environ["FAULTY_TRIGGER"])
    calls = ctypes.c_long.in_dll(ctypes.CDLL(None), "faulty_calls")
    unnoticed = call = 0
    enough = 1
    while call < enough:
        acknowledged: list[int] = []
        trigger.write_text(f"{call} once {call}")
        try:
            disk, well = await live(directory, acknowledged)
            shutil.copytree(directory, home / "killed")
            await disk.close()
        except (DataDirectoryError, DiskError):
            well = False
        if well:
            enough = calls.value
            unnoticed += call < enough
        else:
            enough = max(enough, call + 2)
        trigger.unlink()
        await check(directory, acknowledged)
        if (home / "killed").exists():
            await check(home / "killed", acknowledged)
            shutil.rmtree(home / "killed")
        shutil.rmtree(directory)
        call += 1
    print(f"{call} calls failed, {unnoticed} of them unnoticed", flush=True)


if __name__ == "__main__":
    asyncio.run({"serve": serve, "sweep": sweep}[sys.argv[1]](Path(sys.argv[2])))
