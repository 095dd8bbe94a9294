"""A transport: messages as frames over TCP, between three nodes that each have their own tasks and connections.

python -m examples.tcp_transport
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from pyraft import Config, MemoryStorage, Peer, RawNode, Role, SnapshotStatus, StepError
from raftpb import EntryType, MessageType, decode_change
from raftpb.codec import decode_message, encode_message
from raftpb.errors import DecodeError
from raftpb.message import Message

MAX_FRAME_BYTES = 16 << 20
_QUEUED = 1024
_RETRY_SECONDS = 0.1
_TICK_SECONDS = 0.02


class Transport:
    """Sends to each peer over a connection of its own, and listens for what the peers send.

    A frame is four bytes of length, big end first, and an encoded message. What cannot be sent is dropped: Raft asks
    again. `received` is called with each message that arrives, `sent` with each one that left, `failed` with each one
    that was dropped.
    """

    def __init__(
        self,
        received: Callable[[Message], None],
        sent: Callable[[Message], None],
        failed: Callable[[Message], None],
    ) -> None:
        self._received = received
        self._sent = sent
        self._failed = failed
        self._queues: dict[int, asyncio.Queue[Message]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._server: asyncio.Server | None = None

    async def listen(self, host: str) -> int:
        """Accept connections; return the port."""
        self._server = await asyncio.start_server(self._serve, host, 0)
        return int(self._server.sockets[0].getsockname()[1])

    def connect(self, peers: Mapping[int, tuple[str, int]]) -> None:
        """Keep a connection to each of `peers`, by id."""
        for id, (host, port) in peers.items():
            self._queues[id] = asyncio.Queue(_QUEUED)
            self._tasks.append(asyncio.create_task(self._send_all(self._queues[id], host, port)))

    def send(self, m: Message) -> None:
        """Send `m` when its turn comes; dropped if its receiver is unknown or too far behind."""
        queue = self._queues.get(m.to)
        if queue is None or queue.full():
            self._failed(m)
        else:
            queue.put_nowait(m)

    async def close(self) -> None:
        """End everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()

    async def _send_all(self, queue: asyncio.Queue[Message], host: str, port: int) -> None:
        while True:
            try:
                _, writer = await asyncio.open_connection(host, port)
            except OSError:
                while not queue.empty():
                    self._failed(queue.get_nowait())
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            m: Message | None = None
            try:
                while True:
                    m = await queue.get()
                    data = encode_message(m)
                    writer.write(len(data).to_bytes(4, "big") + data)
                    await writer.drain()
                    self._sent(m)
            except OSError:
                if m is not None:
                    self._failed(m)
            finally:
                writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read frames until the peer closes the connection or sends what is none."""
        with suppress(asyncio.IncompleteReadError, OSError, DecodeError):
            while (size := int.from_bytes(await reader.readexactly(4), "big")) <= MAX_FRAME_BYTES:
                self._received(decode_message(await reader.readexactly(size)))
        writer.close()


class Server:
    """A node, its log in memory, and its transport. Everything runs in one event loop, so that no lock is needed."""

    def __init__(self, id: int, founders: list[int]) -> None:
        self.log = MemoryStorage()
        self.node = RawNode(Config(id=id, storage=self.log))
        self.node.bootstrap([Peer(one) for one in founders])
        self.transport = Transport(self._step, self._sent, self._dropped)
        self.applied: list[str] = []
        self._wake = asyncio.Event()

    def propose(self, text: str) -> None:
        """Ask for `text` to be replicated."""
        self.node.propose(text.encode())
        self._wake.set()

    def leads(self) -> bool:
        """True if this node takes itself for the leader."""
        return self.node.basic_status().soft_state.role is Role.StateLeader

    async def run(self) -> None:
        """Pass time, and do what the node asks for."""
        clock = asyncio.create_task(self._tick())
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self.node.has_ready():
                    self._handle_ready()
        finally:
            clock.cancel()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self.node.tick()
            self._wake.set()

    def _handle_ready(self) -> None:
        ready = self.node.ready()
        if ready.snapshot is not None:
            self.log.apply_snapshot(ready.snapshot)
        self.log.append(ready.entries)
        if ready.hard_state is not None:
            self.log.set_hard_state(ready.hard_state)
        for m in ready.messages:
            self.transport.send(m)
        for entry in ready.committed_entries:
            if entry.type is not EntryType.EntryNormal:
                self.node.apply_conf_change(decode_change(entry))
            elif entry.data:
                self.applied.append(entry.data.decode())
        self.node.advance()

    def _step(self, m: Message) -> None:
        with suppress(StepError):  # not a message that a node of this group could have sent
            self.node.step(m)
            self._wake.set()

    def _sent(self, m: Message) -> None:
        if m.type is MessageType.MsgSnap:
            self.node.report_snapshot(m.to, SnapshotStatus.SnapshotFinish)
            self._wake.set()

    def _dropped(self, m: Message) -> None:
        self.node.report_unreachable(m.to)
        if m.type is MessageType.MsgSnap:
            self.node.report_snapshot(m.to, SnapshotStatus.SnapshotFailure)
        self._wake.set()


async def run() -> dict[int, list[str]]:
    """Three servers elect a leader and replicate two texts; what each has applied."""
    servers = {id: Server(id, [1, 2, 3]) for id in (1, 2, 3)}
    ports = {id: await server.transport.listen("127.0.0.1") for id, server in servers.items()}
    for id, server in servers.items():
        server.transport.connect({other: ("127.0.0.1", port) for other, port in ports.items() if other != id})
    tasks = [asyncio.create_task(server.run()) for server in servers.values()]
    leader = None
    while leader is None:
        await asyncio.sleep(_TICK_SECONDS)
        leader = next(
            (s for s in servers.values() if s.node.basic_status().soft_state.role.name == "StateLeader"), None
        )
    leader.propose("hello")
    leader.propose("over TCP")
    while any(len(server.applied) < 2 for server in servers.values()):
        await asyncio.sleep(_TICK_SECONDS)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for server in servers.values():
        await server.transport.close()
    return {id: server.applied for id, server in servers.items()}


def main() -> None:
    """Show that all three have applied the same."""
    for id, applied in asyncio.run(run()).items():
        print(f"node {id} applied: {', '.join(applied)}")


if __name__ == "__main__":
    main()
