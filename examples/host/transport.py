"""Messages between hosts: bytes over persistent connections, never waiting for anybody.

One port serves every group of a process. `send` queues or drops; what is dropped is reported, because Raft wants to
know; nothing that a peer sends, or does not send, is an error here. Peers are trusted to be who they say they are: bind
to loopback or to a network of your own.

Source: etcd server/etcdserver/api/rafthttp.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from examples.host.link import Dialer, Link, Reports
from examples.host.wire import (
    NOT_TAKEN,
    PATH,
    REFUSAL_HEADER,
    TAKEN,
    Hello,
    Lane,
    PeerRefusedError,
    WireLimits,
    check_peer_url,
    decode_frame,
    decode_snapshot,
    encode_frame,
    printable,
)
from raftpb import DecodeError, EncodeError, Message, MessageType, Snapshot, StepError

logger = logging.getLogger(__name__)

_FRAMES_A_TURN = 64
"""After so many frames of one peer the loop's other work comes first."""


@dataclass(frozen=True)
class PeerStatus:
    """One peer as the transport sees it.

    `connected`: this node can send to it. `heard`: it can send to this node. `dropped` counts messages that were not
    sent, `refused` those of its own that made no sense. `problem`: why it is not connected, for people.
    """

    url: str
    connected: bool
    heard: bool
    queued_messages: int
    queued_bytes: int
    queued_snapshots: int
    dropped: int
    refused: int
    problem: str | None


class Transport:
    """One node's end of all connections.

    The callbacks run on the loop, never from within a call to this object. `receive(group, message)`: a message came; a
    StepError that it raises is counted, anything else goes to the loop's exception handler. `unreachable(group, peer)`:
    messages were lost. `snapshot_done(group, peer, ok)`: exactly once for each MsgSnap given to `send`.
    """

    def __init__(
        self,
        cluster: str,
        node: int,
        *,
        receive: Callable[[int, Message], None],
        unreachable: Callable[[int, int], None],
        snapshot_done: Callable[[int, int, bool], None],
        limits: WireLimits = WireLimits(),  # noqa: B008 (a frozen value)
    ) -> None:
        self.url = ""
        self._cluster = cluster
        self._node = node
        self._receive = receive
        self._limits = limits
        self._reports = Reports(unreachable, snapshot_done)
        self._links: dict[int, Link] = {}
        self._removed: set[int] = set()
        self._refused: dict[int, int] = {}
        self._incoming: dict[tuple[int, Lane], web.WebSocketResponse] = {}
        self._farewells: set[asyncio.Task[None]] = set()
        self._log = _QuietLog()
        self._closing = False
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    async def start(self, url: str) -> None:
        """Listen at `url` (http://host:port) and begin to connect. `self.url` is where it listens: with the port that
        the system chose if 0 was asked for.

        Raises ValueError if it is no such URL, OSError if it cannot be bound.
        """
        check_peer_url(url)
        parts = urlsplit(url)
        app = web.Application()
        app.router.add_get(PATH, self._serve)
        runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=self._limits.handshake_seconds,  # aiohttp counts it from the connection's first moment
            shutdown_timeout=1.0,
        )
        await runner.setup()
        site = web.TCPSite(runner, parts.hostname, parts.port)
        try:
            await site.start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        port = runner.addresses[0][1]
        host = f"[{parts.hostname}]" if parts.hostname is not None and ":" in parts.hostname else parts.hostname
        self.url = f"http://{host}:{port}"
        trace = aiohttp.TraceConfig()
        trace.on_request_redirect.append(_refuse_redirect)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),  # each use sets its own
            trace_configs=[trace],
        )
        for link in self._links.values():
            link.start(self._dialer(link, self._session))

    async def close(self) -> None:
        """Hang up and stop listening. Snapshots that are still on their way are reported as failed."""
        self._closing = True
        for site in self._runner.sites if self._runner is not None else ():
            await site.stop()  # peers that are hung up on call again at once
        links = list(self._links.values())
        self._links.clear()
        incoming = [_close_incoming(socket) for socket in self._incoming.values()]
        await asyncio.gather(*(link.close() for link in links), *incoming, *self._farewells)
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()
        await asyncio.sleep(0)  # the last reports

    def set_peer(self, id: int, url: str) -> None:
        """`id` is reached at `url` from now on. A new URL makes a new connection; a removed member is one again."""
        self._removed.discard(id)
        link = self._links.get(id)
        if id == self._node or (link is not None and link.url == url):
            return
        if link is not None:
            self._dismiss(link)
        link = Link(url, id, self._reports, self._limits, self._log.warn)
        self._links[id] = link
        if self._session is not None:
            link.start(self._dialer(link, self._session))

    def forget_peer(self, id: int) -> None:
        """`id` has been removed from the cluster: hang up, and refuse its connections from now on."""
        self._removed.add(id)
        link = self._links.pop(id, None)
        if link is not None:
            self._dismiss(link)
        for (node, _), socket in list(self._incoming.items()):
            if node == id:
                self._later(socket)

    def send(self, group: int, message: Message) -> None:
        """Queue `message` for the node in its `to`, or drop it and report that. Never waits."""
        link = self._links.get(message.to)
        if message.type is MessageType.MsgSnap:
            if link is not None:
                link.snapshots.offer(group, message)
            else:
                self._reports.snapshot_done(group, message.to, False)
                self._reports.unreachable(group, message.to)
            return
        if link is None:
            self._reports.unreachable(group, message.to)
            return
        if not link.messages.connected:
            link.messages.drop(group)
            return
        try:
            frame = encode_frame(group, message)
        except EncodeError as error:
            self._log.warn(message.to, f"a {message.type} cannot be encoded: {error}")
            link.messages.drop(group)
            return
        if len(frame) > self._limits.message_bytes:
            self._log.warn(
                message.to, f"a {message.type} of {len(frame)} bytes; the limit is {self._limits.message_bytes}"
            )
            link.messages.drop(group)
            return
        link.messages.offer(group, frame)

    def peers(self) -> dict[int, PeerStatus]:
        """Every peer, by id."""
        return {
            id: PeerStatus(
                link.url,
                link.messages.connected,
                (id, Lane.MESSAGES) in self._incoming,
                link.messages.queued,
                link.messages.queued_bytes,
                link.snapshots.queued,
                link.messages.dropped,
                self._refused.get(id, 0),
                link.problem,
            )
            for id, link in sorted(self._links.items())
        }

    def _dialer(self, link: Link, session: aiohttp.ClientSession) -> Dialer:
        return Dialer(session, link.url, Hello(self._cluster, self._node, link.peer, Lane.MESSAGES), self._limits)

    def _dismiss(self, link: Link) -> None:
        task = asyncio.create_task(link.close())
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)

    def _later(self, socket: web.WebSocketResponse) -> None:
        task = asyncio.create_task(_close_incoming(socket))
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)

    # -- what comes in

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        """A peer connects: shake hands, then read until it goes."""
        try:
            hello = Hello.parse(request.headers)
            self._admit(hello)
        except PeerRefusedError as refusal:
            self._log.warn(0, f"refused a connection from {request.remote}: {refusal.reason}")
            headers = {REFUSAL_HEADER: refusal.reason}
            response = web.Response(status=refusal.status, text=refusal.reason + "\n", headers=headers)
            response.force_close()
            return response
        socket = web.WebSocketResponse(
            timeout=1.0,
            receive_timeout=3 * self._limits.ping_seconds,
            compress=False,
            max_msg_size=self._limits.longest_message(hello.lane) + 1,
        )
        key = (hello.node, hello.lane)
        older = self._incoming.get(key)
        if older is not None:
            self._later(older)
        self._incoming[key] = socket
        try:
            await socket.prepare(request)
            link = self._links.get(hello.node)
            if link is not None:
                link.messages.nudge()
            if hello.lane is Lane.SNAPSHOTS:
                await self._read_snapshot(socket, hello)
            else:
                await self._read_messages(socket, hello)
        except (OSError, TimeoutError) as error:
            logger.info("node %d fell silent (%s)", hello.node, type(error).__name__)
        finally:
            if self._incoming.get(key) is socket:
                del self._incoming[key]
            await _close_incoming(socket)
        return socket

    def _admit(self, hello: Hello) -> None:
        """Raises RefusedError unless the connection is one of this cluster, for this node, and there is room."""
        if hello.cluster != self._cluster:
            reason = f"this is a node of cluster {printable(self._cluster)}, not of {printable(hello.cluster)}"
            raise PeerRefusedError(412, reason)
        if hello.to != self._node:
            raise PeerRefusedError(412, f"this is node {self._node}, not {hello.to}; check the URLs of the members")
        if hello.node == self._node:
            raise PeerRefusedError(412, f"this is node {self._node} itself; two processes must not have the same id")
        if hello.node in self._removed:
            raise PeerRefusedError(403, f"node {hello.node} has been removed from the cluster")
        if self._closing:
            raise PeerRefusedError(503, "this node is stopping")
        others = [key for key in self._incoming if key != (hello.node, hello.lane)]
        if len(others) >= self._limits.connections:
            raise PeerRefusedError(503, f"{self._limits.connections} connections are open already")
        if hello.lane is Lane.SNAPSHOTS:
            snapshots = sum(lane is Lane.SNAPSHOTS for _, lane in others)
            if snapshots >= self._limits.incoming_snapshots:
                raise PeerRefusedError(503, f"{snapshots} snapshots are arriving already")

    async def _read_messages(self, socket: web.WebSocketResponse, hello: Hello) -> None:
        frames = 0
        while (frame := await self._next(socket, hello)) is not None:
            self._take(hello, frame)
            frames += 1
            if frames % _FRAMES_A_TURN == 0:
                await asyncio.sleep(0)

    async def _read_snapshot(self, socket: web.WebSocketResponse, hello: Hello) -> None:
        """Put one snapshot together, hand it over, and say whether it was taken."""
        async with asyncio.timeout(self._limits.snapshot_seconds(self._limits.snapshot_bytes)):
            head = await self._next(socket, hello)
            if head is None:
                return
            try:
                size, group, message = decode_snapshot(head, hello.node, self._node)
            except DecodeError as error:
                self._refuse(hello, str(error))
                return
            if size > self._limits.snapshot_bytes:
                self._refuse(hello, f"a snapshot of {size} bytes; the limit is {self._limits.snapshot_bytes}")
                return
            chunks: list[bytes] = []
            while size > 0:
                chunk = await self._next(socket, hello)
                if not chunk or len(chunk) > size:
                    return
                size -= len(chunk)
                chunks.append(chunk)
            metadata = message.snapshot.metadata if message.snapshot is not None else None
            message.snapshot = Snapshot(b"".join(chunks), metadata)
            await socket.send_bytes(TAKEN if self._hand_over(hello, group, message) else NOT_TAKEN)

    async def _next(self, socket: web.WebSocketResponse, hello: Hello) -> bytes | None:
        """The next binary message; None when the connection has ended, for whatever reason."""
        while True:
            arrived = await socket.receive()
            if arrived.type is aiohttp.WSMsgType.BINARY:
                return bytes(arrived.data)
            if arrived.type is not aiohttp.WSMsgType.TEXT:
                if isinstance(arrived.data, aiohttp.WebSocketError):
                    self._refuse(hello, f"no frame: {arrived.data}")
                return None
            self._refuse(hello, "text, where frames are due")

    def _take(self, hello: Hello, frame: bytes) -> None:
        try:
            group, message = decode_frame(frame, hello.node, self._node)
        except DecodeError as error:
            self._refuse(hello, str(error))
        else:
            self._hand_over(hello, group, message)

    def _hand_over(self, hello: Hello, group: int, message: Message) -> bool:
        """Give the host a message; False if it was refused."""
        if hello.node in self._removed:
            return False
        try:
            self._receive(group, message)
        except StepError as error:
            self._refuse(hello, str(error))
            return False
        except Exception as error:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "the host could not take a message", "exception": error}
            )
            return False
        return True

    def _refuse(self, hello: Hello, why: str) -> None:
        known = hello.node if hello.node in self._links else 0  # strangers must not fill the tables
        self._refused[known] = self._refused.get(known, 0) + 1
        self._log.warn(known, f"refused what node {hello.node} sent: {why}")


class _QuietLog:
    """Warnings that a peer can cause: at most one a second for each peer (0: strangers); the others are counted."""

    def __init__(self) -> None:
        self._last: dict[int, float] = {}
        self._kept_back: dict[int, int] = {}

    def warn(self, peer: int, text: str) -> None:
        now = time.monotonic()
        if now - self._last.get(peer, now - 1.0) < 1.0:
            self._kept_back[peer] = self._kept_back.get(peer, 0) + 1
            return
        self._last[peer] = now
        kept_back = self._kept_back.pop(peer, 0)
        logger.warning("%s%s", text, f" (and {kept_back} more)" if kept_back else "")


async def _close_incoming(socket: web.WebSocketResponse) -> None:
    if socket.prepared:
        await socket.close(code=aiohttp.WSCloseCode.GOING_AWAY)


async def _refuse_redirect(
    _: aiohttp.ClientSession, __: SimpleNamespace, redirect: aiohttp.TraceRequestRedirectParams
) -> None:
    raise aiohttp.ClientError(f"a peer does not redirect, as {redirect.url} does")
