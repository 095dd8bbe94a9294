"""A disk that fails its sync, fills up, or is slow: nothing is acknowledged after it, and what was is there again.

`faulty_disk.c`, preloaded into real processes, makes their system calls fail.
"""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_disk import HERE, FaultyDisk, compile_library

MEMORY = Path("/dev/shm")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_library(tmp_path_factory.mktemp("faulty") / "faulty_disk.so")


@pytest.fixture
def faults(library: Path, tmp_path: Path) -> FaultyDisk:
    return FaultyDisk(library, tmp_path, tmp_path / "disk")


class Server:
    """A process with a Disk that writes what it is told."""

    def __init__(self, faults: FaultyDisk) -> None:
        command = [sys.executable, str(HERE / "disk_process.py"), "serve", str(faults.directory / "node")]
        self.process = subprocess.Popen(
            command, env=faults.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        opened, last = self.process.stdout.readline().split()
        assert opened == "open"
        self.last = int(last)

    def write(self, number: int) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().rstrip("\n")

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    started: list[Server] = []
    yield started
    for server in started:
        server.kill()


def start(servers: list[Server], faults: FaultyDisk) -> Server:
    servers.append(Server(faults))
    return servers[-1]


FAILURES = {
    "fails every sync": ("sync", 0, "SQLITE_IOERR_FSYNC"),
    "fails one sync only": ("once", 6, "SQLITE_IOERR"),
    "fails a write in the middle of a transaction": ("once", 3, "SQLITE_IOERR"),
    "is full": ("full", 0, "SQLITE_FULL"),
    "fills up in the middle of a transaction": ("full", 3, "SQLITE_FULL"),
}


@pytest.mark.parametrize(("mode", "number", "problem"), FAILURES.values(), ids=FAILURES)
def test_after_a_failure_nothing_is_acknowledged(
    faults: FaultyDisk, servers: list[Server], mode: str, number: int, problem: str
) -> None:
    server = start(servers, faults)
    for written in range(1, 6):
        assert server.write(written) == f"written {written}"
    faults.begin(mode, number)
    first = server.write(6)
    assert first.startswith(f"error {faults.directory / 'node' / 'raft.db'}: ")
    assert problem in first
    faults.heal()
    for later in (6, 7):
        assert "stopped at an earlier error" in server.write(later)
    server.kill()
    again = start(servers, faults)
    assert again.last >= 5
    assert again.write(again.last + 1) == f"written {again.last + 1}"


def test_no_single_failed_call_loses_anything(library: Path, tmp_path: Path) -> None:
    """Each write and each sync of a short life fails in turn, from the first start to the close."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else tmp_path) as home:
        faults = FaultyDisk(library, Path(home), Path(home) / "node")
        command = [sys.executable, str(HERE / "disk_process.py"), "sweep", home]
        run = subprocess.run(command, env=faults.environment, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    found = re.fullmatch(r"(\d+) calls failed, (\d+) of them unnoticed\n", run.stdout)
    assert found is not None
    assert int(found[1]) > 50
    assert int(found[2]) <= 2, "only the names of files that SQLite syncs, and that are synced again afterwards"


def test_every_acknowledged_write_was_synced(faults: FaultyDisk, servers: list[Server]) -> None:
    server = start(servers, faults)
    assert {"raft.new", "raft.mark", "raft.db", "raft.db-wal", "node", "disk"} <= set(faults.synced())
    for number in range(1, 6):
        assert server.write(number) == f"written {number}"
        assert "raft.db-wal" in faults.synced()


def test_a_write_that_need_not_be_synced_is_not(faults: FaultyDisk, servers: list[Server]) -> None:
    server = start(servers, faults)
    server.write(1)
    faults.synced()
    assert server.write(-1) == "written -1"
    assert faults.synced() == []
    assert server.write(2) == "written 2"
    assert faults.synced() == ["raft.db-wal"]


def test_the_loop_goes_on_while_a_sync_hangs(faults: FaultyDisk, servers: list[Server]) -> None:
    server = start(servers, faults)
    faults.begin("slow", 400)
    began = time.monotonic()
    assert server.write(1) == "written 1"
    assert time.monotonic() - began >= 0.4
    turns = server.write(0)
    assert int(turns.removeprefix("turns ")) >= 10
