"""A disk that fails its sync, fills up, or is slow: nothing is acknowledged after it, and what was is there again.

`faulty_disk.c`, preloaded into real processes, makes their system calls fail.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
MEMORY = Path("/dev/shm")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled shim."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs Linux and a C compiler: system calls are made to fail by a preloaded library")
    target = tmp_path_factory.mktemp("faulty") / "faulty_disk.so"
    source = HERE / "faulty_disk.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", target, source, "-ldl", "-lpthread"], check=True)
    return target


class Faults:
    """What the disk below one directory is to do."""

    def __init__(self, library: Path, home: Path) -> None:
        self.directory = home / "node"
        self.trigger = home / "trigger"
        self.log = home / "syncs"
        self.generation = 0
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(HERE.parent),
            "LD_PRELOAD": str(library),
            "FAULTY_DIRECTORY": str(self.directory),
            "FAULTY_TRIGGER": str(self.trigger),
            "FAULTY_LOG": str(self.log),
        }

    def begin(self, mode: str, number: int = 0) -> None:
        self.generation += 1
        fresh = self.trigger.with_suffix(".new")
        fresh.write_text(f"{self.generation} {mode} {number}")
        fresh.rename(self.trigger)

    def heal(self) -> None:
        self.trigger.unlink()

    def synced(self) -> list[str]:
        """The files whose syncs were asked for since the last call."""
        if not self.log.exists():
            return []
        names = [Path(line).name for line in self.log.read_text().splitlines()]
        self.log.unlink()
        return names


@pytest.fixture
def faults(library: Path, tmp_path: Path) -> Faults:
    return Faults(library, tmp_path)


class Server:
    """A process with a Disk that writes what it is told."""

    def __init__(self, faults: Faults) -> None:
        command = [sys.executable, str(HERE / "disk_process.py"), "serve", str(faults.directory)]
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


def start(servers: list[Server], faults: Faults) -> Server:
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
    faults: Faults, servers: list[Server], mode: str, number: int, problem: str
) -> None:
    server = start(servers, faults)
    for written in range(1, 6):
        assert server.write(written) == f"written {written}"
    faults.begin(mode, number)
    first = server.write(6)
    assert first.startswith(f"error {faults.directory / 'raft.db'}: ")
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
        faults = Faults(library, Path(home))
        command = [sys.executable, str(HERE / "disk_process.py"), "sweep", home]
        run = subprocess.run(command, env=faults.environment, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    found = re.fullmatch(r"(\d+) calls failed, (\d+) of them unnoticed\n", run.stdout)
    assert found is not None
    assert int(found[1]) > 50
    assert int(found[2]) <= 2, "only the names of files that SQLite syncs, and that are synced again afterwards"


def test_every_acknowledged_write_was_synced(faults: Faults, servers: list[Server]) -> None:
    server = start(servers, faults)
    assert {"raft.mark", "raft.db", "node"} <= set(faults.synced())
    for number in range(1, 6):
        assert server.write(number) == f"written {number}"
        assert "raft.db-wal" in faults.synced()


def test_a_write_that_need_not_be_synced_is_not(faults: Faults, servers: list[Server]) -> None:
    server = start(servers, faults)
    server.write(1)
    faults.synced()
    assert server.write(-1) == "written -1"
    assert faults.synced() == []
    assert server.write(2) == "written 2"
    assert faults.synced() == ["raft.db-wal"]


def test_the_loop_goes_on_while_a_sync_hangs(faults: Faults, servers: list[Server]) -> None:
    server = start(servers, faults)
    faults.begin("slow", 400)
    began = time.monotonic()
    assert server.write(1) == "written 1"
    assert time.monotonic() - began >= 0.4
    turns = server.write(0)
    assert int(turns.removeprefix("turns ")) >= 10
