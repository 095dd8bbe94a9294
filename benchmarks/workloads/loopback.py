"""`loopback`: a whole cluster of three, in one process and one thread, whose messages go over TCP on 127.0.0.1.

Shape: batch, bytes, check. An operation is one command applied on all three; a batch is proposed at once, and the next
one when every node has applied it. Logs are in memory. A frame is the length of the message in four bytes, and it.
"""

from __future__ import annotations

import selectors
import socket
from zlib import crc32

from benchmarks.workloads.bench import FIRST_INDEX, Bench, Shape, WrongResultError, payloads
from benchmarks.workloads.nodes import Member, Nodes, new_nodes
from raftpb import decode_message, encode_message

_NODES = 3
_HEADER_BYTES = 4
_READ_BYTES = 1 << 18
_SILENCE_SECONDS = 10.0


class Connection:
    """One end of a connection: what it holds back, and what has come in part."""

    def __init__(self, owner: Member, sock: socket.socket) -> None:
        self.owner = owner
        self.sock = sock
        self.outgoing = bytearray()
        self.incoming = bytearray()

    def send(self, data: bytes) -> None:
        """Put a frame in line."""
        self.outgoing += len(data).to_bytes(_HEADER_BYTES, "big")
        self.outgoing += data

    def flush(self) -> None:
        """Give the socket what it takes."""
        if self.outgoing:
            try:
                sent = self.sock.send(self.outgoing)
            except BlockingIOError:
                return
            del self.outgoing[:sent]

    def receive(self) -> int:
        """Step what has arrived; how many messages that were."""
        data = self.sock.recv(_READ_BYTES)
        if not data:
            raise WrongResultError("a connection was closed")
        buffer = self.incoming
        buffer += data
        start = 0
        count = 0
        node = self.owner.node
        while len(buffer) - start >= _HEADER_BYTES:
            end = start + _HEADER_BYTES + int.from_bytes(buffer[start : start + _HEADER_BYTES], "big")
            if end > len(buffer):
                break
            node.step(decode_message(bytes(buffer[start + _HEADER_BYTES : end])))
            start = end
            count += 1
        del buffer[:start]
        return count


class Loopback(Bench):
    """Three nodes, each connected to both others."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.batch = shape["batch"]
        self.payloads: list[bytearray] = payloads(self.batch, shape["bytes"])
        self.nodes: Nodes = new_nodes(_NODES, check=shape.get("check", 0) == 1)
        self.nodes.elect()
        self.last_index: int = FIRST_INDEX + 1
        self.selector = selectors.DefaultSelector()
        self.connections: list[Connection] = []
        self.routes: list[dict[int, Connection]] = [{} for _ in self.nodes.members]
        for one in range(1, _NODES + 1):
            for other in range(one + 1, _NODES + 1):
                self._connect(one, other)

    def _connect(self, one: int, other: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            caller = socket.create_connection(listener.getsockname())
            callee, _ = listener.accept()
        for source, target, sock in ((one, other, caller), (other, one, callee)):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self.nodes.members[source - 1], sock)
            self.routes[source - 1][target] = connection
            self.connections.append(connection)
            self.selector.register(sock, selectors.EVENT_READ, connection)

    def granularity(self) -> int:
        return self.batch

    def run(self, operations: int) -> None:
        node = self.nodes.leader.node
        for _ in range(operations // self.batch):
            for payload in self.payloads:
                node.propose(bytes(payload))
            self.last_index += self.batch
            self._pump()
            self.nodes.compact()
        self.readies = self.nodes.readies
        self.digest = self.nodes.leader.digest

    def _pump(self) -> None:
        """Serve, send and receive until every node has applied everything."""
        members = self.nodes.members
        while True:
            for position, member in enumerate(members):
                if member.node.has_ready():
                    self._serve(member, self.routes[position])
            if all(member.applied >= self.last_index for member in members):
                return
            for connection in self.connections:
                connection.flush()
            blocked = any(connection.outgoing for connection in self.connections)
            ready = self.selector.select(0.0 if blocked else _SILENCE_SECONDS)
            if not ready and not blocked:
                raise WrongResultError("nothing arrives any more")
            for key, _ in ready:
                self.messages += key.data.receive()

    def _serve(self, member: Member, routes: dict[int, Connection]) -> None:
        node = member.node
        storage = member.storage
        while node.has_ready():
            ready = node.ready()
            self.nodes.readies += 1
            storage.append(ready.entries)
            if ready.hard_state is not None:
                storage.set_hard_state(ready.hard_state)
            for m in ready.messages:
                routes[m.to].send(encode_message(m))
            for entry in ready.committed_entries:
                member.applied += 1
                if entry.index != member.applied:
                    raise WrongResultError(f"entry {entry.index} was handed out where {member.applied} was due")
                if self.nodes.check:
                    member.digest = crc32(entry.data, member.digest)
            node.advance()

    def close(self) -> None:
        self.selector.close()
        for connection in self.connections:
            connection.sock.close()

    def verify(self) -> None:
        for member in self.nodes.members:
            if member.applied != self.last_index or member.digest != self.nodes.leader.digest:
                raise WrongResultError(
                    f"a node applied up to {member.applied}, not {self.last_index}, or other entries"
                )
