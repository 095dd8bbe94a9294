"""Replicas in one process, with a disk and a network that do as they are told, for use in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from random import Random

from examples.host.disk import DiskError, Write
from examples.host.replica import Replica
from examples.host.settings import Settings
from pyraft import CompactedError, MemoryStorage, StepError, UnavailableError
from raftpb import HardState, Message, MessageType, Snapshot, SnapshotMetadata, decode_message, encode_message

TICK_SECONDS = 0.1
GROUP = 7


class Notebook:
    """A state machine that writes down all that it is told, and answers with the number of the line."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def apply(self, index: int, data: bytes) -> int:
        self.lines.append(data)
        return len(self.lines)

    def snapshot(self) -> Callable[[], bytes]:
        lines = list(self.lines)
        return lambda: json.dumps([line.hex() for line in lines]).encode()

    def restore(self, data: bytes) -> None:
        self.lines = [bytes.fromhex(line) for line in json.loads(data)]


class FakeDisk:
    """Takes its time, or fails; `stored` is what a restart would find."""

    def __init__(self) -> None:
        self.stored = MemoryStorage()
        self.writes: list[Write] = []
        self.seconds = 0.001
        self.is_stuck = False
        self.is_broken = False
        self._order = asyncio.Lock()

    async def write(self, write: Write, is_wanted: Callable[[], bool] = lambda: True) -> None:
        async with self._order:
            await asyncio.sleep(self.seconds)
            while self.is_stuck and is_wanted():
                await asyncio.sleep(TICK_SECONDS)
            if self.is_broken:
                raise DiskError(Path("disk"), "it is broken")
            if not is_wanted():
                raise asyncio.CancelledError
            self.writes.append(write)
            self._store(write)

    def _store(self, write: Write) -> None:
        stored = self.stored
        if write.snapshot is not None:
            metadata = write.snapshot.metadata
            term = 0
            with suppress(CompactedError, UnavailableError):
                term = stored.term(metadata.index)
            if term == metadata.term:
                stored.create_snapshot(metadata.index, metadata.conf_state, write.snapshot.data)
            else:
                stored.apply_snapshot(write.snapshot)
            state, _ = stored.initial_state()  # what a snapshot covers is committed
            stored.set_hard_state(HardState(state.term, state.vote, max(state.commit, metadata.index)))
        stored.append(write.entries)
        if write.hard_state is not None:
            stored.set_hard_state(write.hard_state)
        if write.compact_to > 0:
            stored.compact(write.compact_to)


class FakeNetwork:
    """One node's way to the others."""

    def __init__(self, cluster: Cluster, id: int) -> None:
        self.peers: dict[int, str] = {}
        self.forgotten: set[int] = set()
        self._cluster = cluster
        self._id = id

    def send(self, group: int, message: Message) -> None:
        assert group == GROUP
        self._cluster.carry(self._id, message)

    def set_peer(self, group: int, id: int, url: str) -> None:
        self.peers[id] = url

    def forget_peer(self, group: int, id: int) -> None:
        self.peers.pop(id, None)
        self.forgotten.add(id)


class Node:
    """A replica that runs, and its collaborators. The disk survives a crash; nothing else does."""

    def __init__(
        self, cluster: Cluster, id: int, disk: FakeDisk, founders: Mapping[int, str] | None, settings: Settings
    ) -> None:
        self.id = id
        self.disk = disk
        self.is_alive = True
        self.notebook = Notebook()
        self.network = FakeNetwork(cluster, id)
        self.replica = Replica(
            GROUP,
            id,
            cluster.rng.randrange(2**62),
            storage=copy_of(disk.stored),
            machine=self.notebook,
            disk=self,
            network=self.network,
            settings=settings,
            founders=founders,
            random=Random(cluster.rng.randrange(2**32)),
        )
        self.run = asyncio.create_task(self.replica.driver.run())
        self._clock = asyncio.create_task(self._tick())

    async def write(self, write: Write) -> None:
        """To the disk, unless the node is dead by then."""
        await self.disk.write(write, lambda: self.is_alive)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.replica.driver.tick(1)

    async def end(self) -> None:
        """Nothing moves it any more."""
        self.is_alive = False
        for task in (self.run, self._clock):
            task.cancel()
        await asyncio.gather(self.run, self._clock, return_exceptions=True)


class Cluster:
    """Nodes by id, and what is between them."""

    def __init__(self, size: int = 3, settings: Settings | None = None) -> None:
        self.settings = settings if settings is not None else Settings()
        self.rng = Random(size)
        self.urls = {id: f"http://node-{id}:1" for id in range(1, size + 1)}
        self.nodes: dict[int, Node] = {}
        self.disks: dict[int, FakeDisk] = {}
        self.seconds = 0.002
        """How long a message takes."""
        self.cut: set[int] = set()
        """Nodes that nothing reaches and that reach nobody."""
        self.lose: Callable[[Message], bool] = lambda _: False
        self.sent: list[Message] = []
        for id in self.urls:
            self.start(id, self.urls)

    def start(self, id: int, founders: Mapping[int, str] | None = None) -> Node:
        """Start a node, or start it again from its disk."""
        disk = self.disks.setdefault(id, FakeDisk())
        self.nodes[id] = Node(self, id, disk, founders, self.settings)
        return self.nodes[id]

    async def crash(self, id: int) -> None:
        """Let a node vanish in the midst of whatever it does."""
        await self.nodes.pop(id).end()

    async def end(self) -> None:
        """Let all of them vanish."""
        for id in list(self.nodes):
            await self.crash(id)

    def carry(self, sender: int, message: Message) -> None:
        """A message leaves; encoded, as over a real network."""
        is_lost = self.lose(message)
        if not is_lost:
            self.sent.append(message)
        data = encode_message(message)
        asyncio.get_running_loop().call_later(self.seconds, self._arrive, sender, message, data, is_lost)

    def _arrive(self, sender: int, message: Message, data: bytes, is_lost: bool) -> None:
        target, source = self.nodes.get(message.to), self.nodes.get(sender)
        if is_lost:  # most are without a word; but what became of a snapshot is always told
            target = None
            if message.type is not MessageType.MsgSnap:
                return
        arrived = target is not None and sender not in self.cut and message.to not in self.cut
        if target is not None and arrived and sender not in target.network.forgotten:
            self.arrive(target, decode_message(data))
        if source is not None and message.type is MessageType.MsgSnap:
            source.replica.driver.report_snapshot(message.to, arrived)
        if source is not None and not arrived:
            source.replica.driver.report_unreachable(message.to)

    def arrive(self, node: Node, message: Message) -> None:
        """A message reaches a node, whether it wants it or not."""
        with suppress(StepError):
            node.replica.driver.step(message)

    async def leader(self) -> Node:
        """Who leads, once the reachable nodes agree."""
        async with asyncio.timeout(60):
            while True:
                reachable = [node for id, node in self.nodes.items() if id not in self.cut]
                told = {node.replica.leader for node in reachable if not node.replica.is_removed}
                if len(told) == 1 and (leader := told.pop()) in self.nodes and leader not in self.cut:
                    return self.nodes[leader]
                await asyncio.sleep(TICK_SECONDS)

    async def follower(self) -> Node:
        """One that does not lead."""
        leader = await self.leader()
        return next(node for id, node in self.nodes.items() if id != leader.id and id not in self.cut)

    async def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until something holds. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(TICK_SECONDS / 100)

    async def until_equal(self) -> list[bytes]:
        """Wait until all notebooks are the same, and return the lines."""
        notebooks = [node.notebook for node in self.nodes.values()]
        await self.until(lambda: all(one.lines == notebooks[0].lines for one in notebooks))
        return notebooks[0].lines


def copy_of(stored: MemoryStorage) -> MemoryStorage:
    """What a new process reads from the disk: values of its own."""
    copy = MemoryStorage()
    hard_state, _ = stored.initial_state()
    first, last = stored.first_index(), stored.last_index()
    snapshot = stored.snapshot()
    entries = stored.entries(first, last + 1, 2**62 - 1) if last >= first else []
    if first > 1:
        metadata = SnapshotMetadata(snapshot.metadata.conf_state, first - 1, stored.term(first - 1))
        copy.apply_snapshot(snapshot if metadata.index == snapshot.metadata.index else Snapshot(b"", metadata))
    copy.append(entries)
    if snapshot.metadata.index > max(0, first - 1):
        copy.create_snapshot(snapshot.metadata.index, snapshot.metadata.conf_state, snapshot.data)
    copy.set_hard_state(hard_state)
    return copy
