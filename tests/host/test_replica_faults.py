"""Replicas under everything at once, many times over, in virtual time: crashes, cuts, lost, late and repeated messages.

Whatever happens: what was acknowledged is there, once; what was said never to happen is not; a read shows everything
that was acknowledged before it began; and when it is over all replicas are equal.
"""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from host_cluster import Cluster, Node
from virtual_time import VirtualLoop, run

from examples.host.machine import NotServedError
from examples.host.settings import Settings
from raftpb import Message, decode_message, encode_message

SEEDS = range(12)
SETTINGS = Settings(snapshot_entries=15, catch_up_entries=4, request_seconds=4.0)


class Scenario:
    """A cluster, who uses it, and who spoils it."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.cluster = Cluster(self.rng.choice([3, 3, 5]), SETTINGS)
        self.acknowledged: set[bytes] = set()
        self.never: set[bytes] = set()
        self.cluster.lose = self._lose
        self._loss = self.rng.choice([0.0, 0.02, 0.1])
        self._repeats = self.rng.choice([0.0, 0.1])
        self._delay = self.rng.choice([0.001, 0.02, 0.15])
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.thread_seconds = self.rng.choice([0.0, 0.5])

    def _lose(self, message: Message) -> bool:
        self.cluster.seconds = self._delay * self.rng.random()  # so that messages overtake each other
        if self.rng.random() < self._repeats:
            loop = asyncio.get_running_loop()
            loop.call_later(self.rng.random(), self._deliver_again, encode_message(message))
        return self.rng.random() < self._loss

    def _deliver_again(self, data: bytes) -> None:
        message = decode_message(data)
        node = self.cluster.nodes.get(message.to)
        if node is not None and message.to not in self.cluster.cut:
            self.cluster.arrive(node, message)

    def any_node(self) -> Node:
        return self.rng.choice(list(self.cluster.nodes.values()))

    async def write(self, client: int) -> None:
        """Write line after line, each its own."""
        number = 0
        while True:
            number += 1
            line = b"%d %d" % (client, number)
            try:
                await asyncio.shield(self._propose(self.any_node(), line))
            except NotServedError as error:
                if not error.may_still_happen:
                    self.never.add(line)
            await asyncio.sleep(0.05 * self.rng.random())

    async def _propose(self, node: Node, line: bytes) -> None:
        await node.replica.propose(line)
        self.acknowledged.add(line)

    async def read(self) -> None:
        """Read, and look whether anything is missing."""
        while True:
            node = self.any_node()
            before = set(self.acknowledged)
            try:
                await node.replica.read_barrier()
            except NotServedError:
                continue
            missing = before - set(node.notebook.lines)
            assert not missing, f"node {node.id} shows nothing of {missing}"
            await asyncio.sleep(0.1 * self.rng.random())

    async def spoil(self) -> None:
        """Cut, mend, crash and start again for a while; then let everything be well."""
        cluster, rng = self.cluster, self.rng
        ids = list(cluster.urls)
        for _ in range(25):
            await asyncio.sleep(2 * rng.random())
            what = rng.choice(["crash", "crash", "cut", "mend", "stick"])
            id = rng.choice(ids)
            if what == "crash" and id in cluster.nodes:
                await cluster.crash(id)
                await asyncio.sleep(rng.choice([0.0, 3.0]) * rng.random())
                cluster.start(id)
            elif what == "cut":
                cluster.cut = set(rng.sample(ids, rng.randrange(len(ids))))
            elif what == "stick":
                cluster.disks[id].is_stuck = not cluster.disks[id].is_stuck
            else:
                cluster.cut = set()
        cluster.cut = set()
        cluster.lose = lambda _: False
        for disk in cluster.disks.values():
            disk.is_stuck = False

    async def run(self) -> None:
        users = [asyncio.create_task(self.write(client)) for client in range(4)]
        users += [asyncio.create_task(self.read()) for _ in range(4)]
        spoiling = asyncio.create_task(self.spoil())
        driving = [spoiling, *users]
        await asyncio.wait(driving, return_when=asyncio.FIRST_COMPLETED)
        for task in driving:
            if task.done():
                task.result()
        await asyncio.sleep(5)
        for task in users:
            task.cancel()
        outcomes = await asyncio.gather(*users, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes), outcomes
        for node in self.cluster.nodes.values():
            assert not node.run.done(), node.run
            await node.replica.read_barrier()
        await asyncio.sleep(5)
        lines = await self.cluster.until_equal()
        assert len(lines) == len(set(lines))
        assert self.acknowledged <= set(lines)
        assert not self.never & set(lines)
        assert len(self.acknowledged) > 20
        await self.cluster.end()


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens(seed: int) -> None:
    async def scenario() -> None:
        await Scenario(seed).run()

    run(scenario())
