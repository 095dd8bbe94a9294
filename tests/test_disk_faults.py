"""A disk that fails its sync, fills up, or is slow: nothing is acknowledged after it, and what was is there again.

`faulty_disk.c`, preloaded into real processes, makes the system calls fail.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from examples.host.disk import DataDirectoryError, Disk, DiskError, Write
from raftpb.enums import EntryType
from raftpb.message import ConfState, Entry, HardState, Snapshot, SnapshotMetadata

ROOT = Path(__file__).resolve().parent.parent
DISK_PROCESS = """
import asyncio, sys
from pathlib import Path
from examples.host.disk import Disk, DiskError, Write
from tests.test_disk_faults import numbered

async def run():
    disk = Disk.open(Path(sys.argv[1]), "cluster", 1)
    for line in sys.stdin:
        try:
            await disk.write(numbered(int(line)))
            print("ok", flush=True)
        except DiskError as error:
            print("error", error, flush=True)

asyncio.run(run())
"""


def numbered(number: int) -> Write:
    """An entry, and for every third number only the commit of what is there."""
    state = HardState(1, 1, number // 3 * 3)
    if number % 3 == 0:
        return Write(1, hard_state=state, sync=False)
    return Write(1, [Entry(EntryType.EntryNormal, 1, number - number // 3, b"%d" % number * 100)], state)


@dataclass
class FaultyDisk:
    """The preloaded library, and the directory that it watches."""

    library: Path
    home: Path
    generation: int = 0
    directory: Path = field(init=False)
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.directory = self.home / "node"
        self.log = self.home / "syncs"

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "LD_PRELOAD": str(self.library),
            "FAULTY_DIRECTORY": str(self.directory),
            "FAULTY_TRIGGER": str(self.home / "trigger"),
            "FAULTY_LOG": str(self.log),
        }
