"""Hosts in one process, with real disks and real connections, and with several groups each."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from host_cluster import Notebook
from virtual_time import VirtualLoop
from virtual_time import run as run_in_virtual_time

from examples.host.disk import DataDirectoryError
from examples.host.host import Host
from examples.host.machine import RemovedError
from examples.host.membership import removing
from examples.host.replica import Replica
from examples.host.settings import Settings

GROUPS = (1, 2, 40)
TICK = 0.02
QUICK = Settings(request_seconds=10.0, snapshot_entries=50, catch_up_entries=10)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await scenario

    asyncio.run(bounded())


class Member:
    """A host and the groups on it."""

    def __init__(
        self,
        id: int,
        directory: Path,
        urls: dict[int, str],
        groups: tuple[int, ...] = GROUPS,
        settings: Settings = QUICK,
    ) -> None:
        self.host = Host("test", id, directory / str(id), tick_seconds=TICK)
        self.notebooks = {group: Notebook() for group in groups}
        self.replicas: dict[int, Replica] = {
            group: self.host.add_group(group, notebook, founders=urls, settings=settings)
            for group, notebook in self.notebooks.items()
        }


@asynccontextmanager
async def members(
    directory: Path,
    size: int = 3,
    groups: dict[int, tuple[int, ...]] | None = None,
    settings: Settings = QUICK,
) -> AsyncIterator[dict[int, Member]]:
    """Hosts that are up, with all groups unless told otherwise."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(size)]
    urls = {id: f"http://127.0.0.1:{one.getsockname()[1]}" for id, one in enumerate(sockets, 1)}
    for one in sockets:
        one.close()
    started = {id: Member(id, directory, urls, (groups or {}).get(id, GROUPS), settings) for id in urls}
    try:
        for id, member in started.items():
            await member.host.start(urls[id])
        yield started
    finally:
        for member in started.values():
            await member.host.close()


def test_groups_share_a_host_and_nothing_else(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with members(tmp_path) as hosts:
            for group in GROUPS:
                answers = [
                    await hosts[id].replicas[group].propose(b"%d to %d" % (number, group))
                    for number, id in enumerate((1, 2, 3))
                ]
                assert answers == [1, 2, 3]
            for member in hosts.values():
                for group, notebook in member.notebooks.items():
                    await member.replicas[group].read_barrier()
                    assert notebook.lines == [b"%d to %d" % (number, group) for number in range(3)]
                assert not member.host.failure.done()
        again = Member(1, tmp_path, {1: "http://127.0.0.1:1"})  # the disk decides, not the founders
        assert not any(again.host.is_new(group) for group in GROUPS)
        assert again.replicas[40].status().last_index >= 6
        await again.host.start("http://127.0.0.1:0")
        assert again.notebooks[2].lines == [b"%d to 2" % number for number in range(3)]
        assert again.replicas[2].members.ids() == {1, 2, 3}
        await again.host.close()

    run(scenario())


def test_a_node_removed_from_one_group_stays_in_the_others(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with members(tmp_path) as hosts:
            await hosts[1].replicas[1].change_members(lambda _: removing(3))
            while not hosts[3].replicas[1].is_removed:
                await asyncio.sleep(TICK)
            with pytest.raises(RemovedError):
                await hosts[3].replicas[1].read_barrier()
            assert await hosts[3].replicas[2].propose(b"x") == 1
            assert hosts[1].host.reachable() == {1, 2, 3}
            assert set(hosts[1].host.peers()) == {2, 3}

    run(scenario())


def test_snapshots_go_through_disk_and_network(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with members(tmp_path) as hosts:
            leader = hosts[1].replicas[1]
            await leader.read_barrier()
            await hosts[3].host.close()
            for number in range(150):
                await leader.propose(b"%d" % number)
            urls = {id: leader.members.urls[id] for id in (1, 2, 3)}
            hosts[3] = Member(3, tmp_path, urls)
            await hosts[3].host.start(urls[3])
            await hosts[3].replicas[1].read_barrier()
            assert hosts[3].notebooks[1].lines == hosts[1].notebooks[1].lines
            assert hosts[3].replicas[1].figures()["first_index"] > 50

    run(scenario())


def test_an_exception_nobody_expected_is_the_end_of_all_groups(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with members(tmp_path) as hosts:
            failed, others = hosts[1], (hosts[2], hosts[3])
            for replica in failed.replicas.values():
                await replica.read_barrier()

            def explode(index: int, data: bytes) -> int:
                raise ZeroDivisionError

            failed.notebooks[2].apply = explode  # type: ignore[method-assign]
            waiting = [asyncio.create_task(replica.propose(b"x")) for replica in failed.replicas.values()]
            assert isinstance(await failed.host.failure, ZeroDivisionError)
            terms = [replica.status().term for replica in failed.replicas.values()]
            answered = sum(task.done() for task in waiting)
            while others[0].replicas[2].leader not in (2, 3):
                await asyncio.sleep(TICK)
            await others[0].replicas[2].propose(b"y")
            assert [replica.status().term for replica in failed.replicas.values()] == terms
            assert sum(task.done() for task in waiting) == answered < len(waiting)
            for task in waiting:
                task.cancel()

    run(scenario())


def test_messages_for_a_group_that_is_not_here_are_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with members(tmp_path, groups={1: GROUPS, 2: (1,), 3: (1,)}) as hosts:
            assert await hosts[2].replicas[1].propose(b"x") == 1
            while hosts[2].host.peers()[1].refused == 0:  # node 1 stands for election in the others
                await asyncio.sleep(TICK)
            assert not hosts[2].host.failure.done()

    run(scenario())


def test_a_directory_has_one_host_at_a_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with members(tmp_path, size=1):
            with pytest.raises(DataDirectoryError, match=f"is locked by process {os.getpid()}"):
                Host("test", 1, tmp_path / "1")
        with pytest.raises(DataDirectoryError, match="belongs to node 1 of cluster 'test'"):
            Host("another", 1, tmp_path / "1")

    run(scenario())


def test_a_loop_that_was_held_up_takes_messages_before_it_concludes_anything(tmp_path: Path) -> None:
    """Groups enough, and time-outs short enough, that some follower would campaign at once if time passed first."""
    groups = tuple(range(1, 13))
    hasty = Settings(request_seconds=10.0, election_ticks=2)

    async def scenario() -> None:
        async with members(tmp_path, groups=dict.fromkeys((1, 2, 3), groups), settings=hasty) as hosts:
            for group in groups:
                await hosts[1].replicas[group].propose(b"x")

            def terms() -> list[int]:
                return [replica.status().term for member in hosts.values() for replica in member.replicas.values()]

            before = terms()
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            for _ in range(3):
                loop.hold_up(hasty.election_ticks * TICK * 3)  # all of them, for longer than any election timeout
                await asyncio.sleep(20 * TICK)
            assert terms() == before

    run_in_virtual_time(scenario())
