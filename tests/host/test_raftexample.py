"""The example as a user meets it: real processes on loopback, from their command lines to their exit codes."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from examples.raftexample.client import Client, ProtocolError, RefusedError, UnknownOutcomeError
from examples.raftexample.cluster_processes import ClusterProcesses

QUICK = ("--tick-ms", "50")


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(90):
            await scenario

    asyncio.run(bounded())


class Scenario:
    """A cluster whose nodes run, and a client of it."""

    def __init__(self, cluster: ClusterProcesses, client: Client) -> None:
        self.cluster = cluster
        self.client = client
        self.leader = 0

    async def ask(self, method: str, id: int, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """A request just as it is spelt."""
        async with aiohttp.request(method, self.cluster.urls[id] + path, data=body) as response:
            return response.status, await response.read()

    async def status(self, id: int) -> dict[str, Any]:
        """All that a node tells of itself."""
        told: dict[str, Any] = json.loads((await self.ask("GET", id, "/-/status"))[1])
        return told

    async def voters(self, id: int) -> list[int]:
        """Whom a node takes for voters."""
        return [one["id"] for one in (await self.status(id))["members"] if one["role"] == "voter"]

    async def restart(self, id: int) -> None:
        """Start a node again, and wait until it serves."""
        self.cluster.start(id)
        await self.cluster.wait_for_leader(self.client)


@asynccontextmanager
async def running(directory: Path, size: int = 3, *options: str) -> AsyncIterator[Scenario]:
    """A cluster that has a leader."""
    with ClusterProcesses(directory, size, [*QUICK, *options]) as cluster:
        async with Client(cluster.urls) as client:
            cluster.start_all()
            scenario = Scenario(cluster, client)
            scenario.leader = await cluster.wait_for_leader(client)
            yield scenario


def test_any_node_takes_any_request_and_nothing_is_lost_when_all_are_killed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as at:
            for number in range(30):
                await at.client.put(1 + number % 3, f"key{number}", b"value %d" % number)
                assert await at.client.get(1 + (number + 1) % 3, f"key{number}") == b"value %d" % number
            await at.client.delete(2, "key0")
            assert await at.client.get(3, "key0") is None
            before = await at.cluster.wait_until_equal(at.client)
            for id in at.cluster.nodes:
                at.cluster.kill(id)
            at.cluster.start_all()
            await at.cluster.wait_for_leader(at.client)
            after = await at.cluster.wait_until_equal(at.client)
            assert after.digest == before.digest
            assert await at.client.get(1, "key29") == b"value 29"

    run(scenario())


def test_a_fourth_node_joins_and_another_leaves(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as at:
            await at.client.put(1, "key", b"value")
            node = at.cluster.add(4)
            at.cluster.start(4)
            gone = 1 + at.leader % 3
            asked = 1 + gone % 3
            await at.client.add_member(asked, 4, node.peer_url)
            while await at.voters(asked) != [1, 2, 3, 4]:
                await asyncio.sleep(0.05)
            assert await at.client.get(4, "key") == b"value"
            await at.client.remove_member(asked, gone)
            while (await at.status(gone))["role"] != "Removed":
                await asyncio.sleep(0.05)
            for method, path in (("GET", "/key"), ("GET", "/key?consistency=stale"), ("PUT", "/key")):
                assert (await at.ask(method, gone, path, b""))[0] == 410
            await at.client.put(4, "key", b"another")
            assert await at.voters(4) == sorted({1, 2, 3, 4} - {gone})
            with pytest.raises(ProtocolError, match=r"409.*an id stands for one log for ever"):
                await at.client.add_member(asked, gone, at.cluster.nodes[gone].peer_url)
            assert at.cluster.stop(gone) == 0
            at.cluster.kill(4)
            at.cluster.start(4)  # what it was told about the cluster is on its disk
            await at.client.put(asked, "key", b"a third")
            while at.cluster.running() != [id for id in (1, 2, 3, 4) if id != gone]:
                await asyncio.sleep(0.05)
            await at.cluster.wait_until_equal(at.client)

    run(scenario())


def test_members_as_in_the_go_app(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path, 3, "--go-compat") as at:
            node = at.cluster.add(4)
            at.cluster.start(4)
            assert (await at.ask("POST", 1, "/4", node.peer_url.encode()))[0] == 204
            while await at.voters(1) != [1, 2, 3, 4]:
                await asyncio.sleep(0.05)
            assert (await at.ask("DELETE", 2, "/4"))[0] == 204
            assert await at.voters(2) == [1, 2, 3]

    run(scenario())


def test_without_a_quorum_requests_end_with_what_is_known(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as at:
            for id in at.cluster.nodes:
                if id != at.leader:
                    at.cluster.kill(id)
            writing = asyncio.create_task(at.client.put(at.leader, "key", b"value"))
            reading = asyncio.create_task(at.ask("GET", at.leader, "/key"))
            while (await at.status(at.leader))["leader"] != 0:
                await asyncio.sleep(0.05)
            with pytest.raises(RefusedError):  # it knows that nobody leads
                await at.client.put(at.leader, "key", b"another value")
            with pytest.raises(UnknownOutcomeError):
                await writing
            status, body = await reading
            assert (status, json.loads(body)["may_still_happen"]) == (503, False)
            assert await at.client.get(at.leader, "key", stale=True) is None

    run(scenario())


def test_endless_writes_to_few_keys_need_little_room(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path, 3, "--snapshot-count", "100") as at:
            behind = 1 + at.leader % 3
            at.cluster.kill(behind)
            others = at.cluster.running()

            async def write(key: str) -> None:
                for number in range(150):
                    await at.client.put(others[number % 2], key, b"%06d" % number * 3000)

            await asyncio.gather(*(write(key) for key in "abcd"))
            for id in others:
                status = await at.status(id)
                assert status["last_index"] - status["first_index"] < 300
                assert sum(file.stat().st_size for file in at.cluster.nodes[id].data.iterdir()) < 24 << 20
            applied = (await at.status(others[0]))["applied"]
            await at.restart(behind)
            equal = await at.cluster.wait_until_equal(at.client)
            assert equal.applied >= applied
            status = await at.status(behind)
            assert status["first_index"] > 100
            assert "took over a snapshot" in at.cluster.nodes[behind].log.read_text()

    run(scenario())


async def put_at_last(client: Client, node: int, key: str, value: bytes) -> None:
    """Write, and try again as long as the outcome is unknown: a busy machine may take its time."""
    while True:
        try:
            await client.put(node, key, value)
            return
        except UnknownOutcomeError:
            await asyncio.sleep(0.1)


def test_a_leader_that_is_asked_to_stop_hands_over(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path, 3, "--tick-ms", "500") as at:  # an election would take 5 to 10 s
            others = [id for id in at.cluster.nodes if id != at.leader]
            assert await asyncio.to_thread(at.cluster.stop, at.leader) == 0
            assert "did not take over in time" not in at.cluster.nodes[at.leader].log.read_text()
            await put_at_last(at.client, others[0], "key", b"value")
            assert at.cluster.stop(others[0]) == 0

    run(scenario())


def refused(directory: Path, *arguments: str) -> str:
    """What a node that does not start says; a node that starts is an error."""
    with ClusterProcesses(directory, 1) as cluster:
        command = [*cluster.command(1), *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_a_directory_that_is_not_this_nodes_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path, 1) as at:
            data = str(at.cluster.nodes[1].data)
            told = refused(tmp_path, "--data-dir", data)
            assert f"{data}/raft.lock" in told or data in told
            assert "is locked by process" in told
            assert at.cluster.stop(1) == 0
            told = refused(tmp_path, "--data-dir", data, "--cluster-name", "another")
            assert "belongs to node 1 of cluster 'raftexample', not to node 1 of cluster 'another'" in told

    run(scenario())


@pytest.mark.parametrize("option", ["--port", "--listen"])
def test_a_port_that_is_taken_is_told(tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = refused(tmp_path, option, str(port) if option == "--port" else f"http://127.0.0.1:{port}")
    assert "cannot listen" in told
    assert str(port) in told
