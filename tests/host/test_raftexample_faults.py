"""raftexample on a disk that fails, fills up, hangs, or comes back with damage: real processes, real system calls."""

import asyncio
import re
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path

import pytest
from faulty_disk import HERE, FaultyDisk, compile_library

from examples.raftexample.client import Client, RefusedError, UnknownOutcomeError
from examples.raftexample.cluster_processes import ClusterProcesses

EXIT_REFUSED = 1
EXIT_DISK = 74
KEYS = range(20)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_library(tmp_path_factory.mktemp("faulty") / "faulty_disk.so")


@pytest.fixture
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ClusterProcesses]:
    """One node, or as many as the test asks for."""
    with ClusterProcesses(tmp_path, getattr(request, "param", 1), ["--tick-ms", "40"]) as processes:
        yield processes


def complete(work: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(work, timeout=60))


def start_on(cluster: ClusterProcesses, id: int, disk: FaultyDisk) -> None:
    """Start a node whose system calls can be made to fail."""
    node = cluster.nodes[id]
    with node.log.open("ab") as log:
        node.process = subprocess.Popen(
            cluster.command(id), cwd=HERE.parent, env=disk.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )


def value(key: int) -> bytes:
    return b"value of %d." % key * 5


async def is_acknowledged(write: Awaitable[None]) -> bool:
    try:
        await write
    except (RefusedError, UnknownOutcomeError):
        return False
    return True


async def put_all(client: Client, node: int = 1) -> None:
    await asyncio.gather(*(client.put(node, f"key-{key}", value(key)) for key in KEYS))


async def check_all(client: Client, node: int = 1) -> None:
    """All that was acknowledged is there, and the node takes more."""
    for key in KEYS:
        assert await client.get(node, f"key-{key}") == value(key)
    await client.put(node, "one more", b"?")


# -- the disk fails while the node runs

FAILURES = {
    "fails every sync": ("sync", 0, "SQLITE_IOERR_FSYNC"),
    "fails the next call only": ("once", 0, "I/O error|Input/output error"),
    "fails a later call only": ("once", 20, "I/O error|Input/output error"),
    "is full": ("full", 0, "SQLITE_FULL"),
}


@pytest.mark.parametrize(("mode", "number", "problem"), FAILURES.values(), ids=FAILURES)
def test_a_node_stops_at_the_first_error_and_acknowledges_nothing_after_it(
    library: Path, cluster: ClusterProcesses, mode: str, number: int, problem: str
) -> None:
    disk = FaultyDisk(library, cluster.directory, cluster.nodes[1].data)

    async def run() -> None:
        async with Client(cluster.urls) as client:
            start_on(cluster, 1, disk)
            await cluster.wait_for_leader(client)
            await put_all(client)
            disk.begin(mode, number)
            acknowledged = 0
            while acknowledged < 50 and await is_acknowledged(client.put(1, f"late-{acknowledged}", b"late")):
                acknowledged += 1
            others = [client.put(1, f"later-{attempt}", b"later") for attempt in range(10)]
            assert not any(await asyncio.gather(*(is_acknowledged(write) for write in others)))
            assert cluster.wait(1) == EXIT_DISK
            assert acknowledged == 0 or number > 0
            line = cluster.tail(1, 1)
            assert f"raftexample: {cluster.nodes[1].data / 'raft.db'}: " in line
            assert re.search(problem, line)

            disk.heal()
            cluster.start(1)
            await cluster.wait_for_leader(client)
            await check_all(client)
            for attempt in range(acknowledged):
                assert await client.get(1, f"late-{attempt}") == b"late"
            assert cluster.stop(1) == 0

    complete(run())


@pytest.mark.parametrize("cluster", [3], indirect=True)
def test_the_others_go_on_when_the_leaders_disk_fails(library: Path, cluster: ClusterProcesses) -> None:
    disks = {
        id: FaultyDisk(library, cluster.directory / f"faults-{id}", node.data) for id, node in cluster.nodes.items()
    }

    async def run() -> None:
        async with Client(cluster.urls) as client:
            for id, disk in disks.items():
                disk.trigger.parent.mkdir()
                start_on(cluster, id, disk)
            leader = await cluster.wait_for_leader(client)
            await put_all(client, leader)
            disks[leader].begin("sync")
            acknowledged = await is_acknowledged(client.put(leader, "late", b"late"))
            assert cluster.wait(leader) == EXIT_DISK
            await check_all(client, await cluster.wait_for_leader(client))
            if acknowledged:  # by the two others, before the leader's own disk had its say
                assert await client.get(cluster.running()[0], "late") == b"late"
            disks[leader].heal()
            cluster.start(leader)
            await cluster.wait_until_equal(client)
            await check_all(client, leader)

    complete(run())


@pytest.mark.parametrize("cluster", [3], indirect=True)
def test_a_leader_whose_disk_hangs_goes_on_thinking_and_is_replaced(library: Path, cluster: ClusterProcesses) -> None:
    disks = {
        id: FaultyDisk(library, cluster.directory / f"faults-{id}", node.data) for id, node in cluster.nodes.items()
    }

    async def run() -> None:
        async with Client(cluster.urls) as client:
            for id, disk in disks.items():
                disk.trigger.parent.mkdir()
                start_on(cluster, id, disk)
            slow = await cluster.wait_for_leader(client)
            other = next(id for id in cluster.nodes if id != slow)
            disks[slow].begin("slow", 4000)
            hanging = asyncio.create_task(is_acknowledged(client.put(slow, "slow", b"slow")))
            began = time.monotonic()
            while (await client.status(other)).leader in (0, slow):
                asked = time.monotonic()
                await client.status(slow)
                assert time.monotonic() - asked < 1, "the event loop waits for the disk"
                assert time.monotonic() - began < 3.5, "nobody else leads, though the leader's disk hangs"
                await asyncio.sleep(0.05)
            await put_all(client, other)
            disks[slow].heal()
            await hanging
            await cluster.wait_until_equal(client)
            await check_all(client, slow)

    complete(run())


@pytest.mark.parametrize(("mode", "number"), [("sync", 0), ("full", 0), ("full", 20)])
def test_a_node_that_cannot_create_its_directory_says_so_and_can_be_started_later(
    library: Path, cluster: ClusterProcesses, mode: str, number: int
) -> None:
    disk = FaultyDisk(library, cluster.directory, cluster.nodes[1].data)

    async def run() -> None:
        disk.begin(mode, number)
        start_on(cluster, 1, disk)
        assert cluster.wait(1) == EXIT_REFUSED
        assert f"raftexample: {cluster.nodes[1].data}" in cluster.tail(1, 1)
        disk.heal()
        async with Client(cluster.urls) as client:
            cluster.start(1)
            await cluster.wait_for_leader(client)
            await put_all(client)
            await check_all(client)

    complete(run())


# -- the disk comes back with damage


def flip(name: str, marker: bytes) -> Callable[[Path], None]:
    """Turn one bit of the last place in a file where `marker` is."""

    def run(directory: Path) -> None:
        data = bytearray((directory / name).read_bytes())
        data[data.rindex(marker) + len(marker) // 2] ^= 4
        (directory / name).write_bytes(data)

    return run


def cut(name: str, part: float) -> Callable[[Path], None]:
    def run(directory: Path) -> None:
        with (directory / name).open("r+b") as file:
            file.truncate(int((directory / name).stat().st_size * part))

    return run


def remove(name: str) -> Callable[[Path], None]:
    return lambda directory: (directory / name).unlink()


def tear(directory: Path) -> None:
    """What a write leaves that was torn by a crash before anybody was told of it."""
    with (directory / "raft.db-wal").open("ab") as file:
        file.write(b"half a frame" * 100)


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """Two directories with all values: of a node that was stopped (True), and of one that was killed (False)."""
    home = tmp_path_factory.mktemp("left")

    async def run() -> None:
        with ClusterProcesses(home, 1, ["--tick-ms", "40"]) as cluster:
            async with Client(cluster.urls) as client:
                cluster.start(1)
                await cluster.wait_for_leader(client)
                await put_all(client)
                cluster.kill(1)
                shutil.copytree(cluster.nodes[1].data, home / "killed")
                cluster.start(1)
                await cluster.wait_for_leader(client)
                assert cluster.stop(1) == 0
                shutil.copytree(cluster.nodes[1].data, home / "stopped")

    complete(run())
    return {True: home / "stopped", False: home / "killed"}


DAMAGES: dict[str, tuple[bool, str, Callable[[Path], None]]] = {
    "a bit of a row flipped": (True, "has a wrong checksum", flip("raft.db", value(3))),
    "a bit of the tables' description flipped": (True, "is damaged", flip("raft.db", b"CREATE TABLE entries")),
    "the database cut short": (True, "is damaged", cut("raft.db", 0.6)),
    "the database emptied": (True, "is missing or empty", cut("raft.db", 0)),
    "the database gone": (True, "is missing or empty", remove("raft.db")),
    "a bit of the write-ahead log flipped": (False, "were acknowledged", flip("raft.db-wal", value(3))),
    "the write-ahead log cut short": (False, "were acknowledged", cut("raft.db-wal", 0.7)),
    "the write-ahead log gone": (False, "were acknowledged", remove("raft.db-wal")),
}


@pytest.mark.parametrize(("stopped", "problem", "damage"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_disk_is_refused_with_the_files_name_and_the_way_out(
    cluster: ClusterProcesses,
    left_behind: dict[bool, Path],
    stopped: bool,
    problem: str,
    damage: Callable[[Path], None],
) -> None:
    data = cluster.nodes[1].data
    shutil.copytree(left_behind[stopped], data)
    damage(data)
    cluster.start(1)
    assert cluster.wait(1) == EXIT_REFUSED
    line = cluster.tail(1, 1).strip()
    assert line.startswith(f"raftexample: {data / 'raft.db'}: ")
    assert problem in line
    assert "remove this member from its cluster and add it again under a new id" in line


@pytest.mark.parametrize("torn", [False, True], ids=["whole", "with a torn write at its end"])
def test_what_a_killed_node_acknowledged_is_there_again(
    cluster: ClusterProcesses, left_behind: dict[bool, Path], torn: bool
) -> None:
    shutil.copytree(left_behind[False], cluster.nodes[1].data)
    if torn:
        tear(cluster.nodes[1].data)

    async def run() -> None:
        async with Client(cluster.urls) as client:
            cluster.start(1)
            await cluster.wait_for_leader(client)
            await check_all(client)

    complete(run())
