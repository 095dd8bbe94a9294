"""The way to one peer: what waits for it, and the connections that carry it there.

Nothing here waits for anybody else: each peer has its own queues, its own tasks and its own time-outs. What does not
fit, and what is on its way when a connection breaks, is dropped and reported; Raft sends again what matters.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import aiohttp

from examples.host.wire import (
    CHUNK_BYTES,
    PATH,
    REFUSAL_HEADER,
    TAKEN,
    Hello,
    Lane,
    PeerRefusedError,
    WireLimits,
    check_peer_url,
    encode_snapshot,
    printable,
)
from raftpb import Message

logger = logging.getLogger(__name__)

FAILURES: Final = (aiohttp.ClientError, OSError, TimeoutError, ValueError, PeerRefusedError)
"""What becomes of a connection to a peer that is dead, elsewhere, or unwilling."""

_GOODBYE_SECONDS: Final = 1.0


class Reports:
    """Tells the host what became of its messages: on the loop's next turn, so never from within a call of its own."""

    def __init__(
        self, unreachable: Callable[[int, int], None], snapshot_done: Callable[[int, int, bool], None]
    ) -> None:
        self._tell_unreachable = unreachable
        self._tell_snapshot_done = snapshot_done
        self._unreachable: dict[tuple[int, int], None] = {}
        self._snapshots: list[tuple[int, int, bool]] = []
        self._scheduled = False

    def unreachable(self, group: int, peer: int) -> None:
        """A message was lost. Many losses in one turn of the loop make one report."""
        self._unreachable[group, peer] = None
        self._schedule()

    def snapshot_done(self, group: int, peer: int, ok: bool) -> None:
        """A snapshot arrived, or did not."""
        self._snapshots.append((group, peer, ok))
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._scheduled = False
        unreachable, self._unreachable = self._unreachable, {}
        snapshots, self._snapshots = self._snapshots, []
        for group, peer, ok in snapshots:
            self._tell_snapshot_done(group, peer, ok)
        for group, peer in unreachable:
            self._tell_unreachable(group, peer)


@dataclass(frozen=True)
class Dialer:
    """Opens connections to one peer."""

    session: aiohttp.ClientSession
    url: str
    hello: Hello
    limits: WireLimits

    async def dial(self, lane: Lane) -> aiohttp.ClientWebSocketResponse:
        """Connect and shake hands. Raises RefusedError if the peer is not willing, another of FAILURES if it cannot be
        reached in time.
        """
        check_peer_url(self.url)
        hello = Hello(self.hello.cluster, self.hello.node, self.hello.to, lane)
        try:
            async with asyncio.timeout(self.limits.handshake_seconds):
                return await self.session.ws_connect(
                    self.url.rstrip("/") + PATH,
                    headers=hello.headers(),
                    heartbeat=self.limits.ping_seconds if lane is Lane.MESSAGES else None,
                    timeout=aiohttp.ClientWSTimeout(ws_close=_GOODBYE_SECONDS),
                    max_msg_size=1024,
                )
        except aiohttp.WSServerHandshakeError as error:
            reason = error.headers.get(REFUSAL_HEADER) if error.headers is not None else None
            raise PeerRefusedError(
                error.status, printable(reason) if reason else f"HTTP status {error.status}"
            ) from error


async def hang_up(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Close, without waiting long for the other side."""
    with suppress(*FAILURES):
        async with asyncio.timeout(_GOODBYE_SECONDS):
            await socket.close()


class MessageLane:
    """Messages to one peer, in order, over a connection that is opened again whenever it breaks."""

    def __init__(self, peer: int, reports: Reports, limits: WireLimits) -> None:
        self.connected = False
        self.queued_bytes = 0
        self.dropped = 0
        self._peer = peer
        self._reports = reports
        self._limits = limits
        self._queue: deque[tuple[int, bytes]] = deque()
        self._groups: set[int] = set()  # those whose messages this connection has carried
        self._work = asyncio.Event()
        self._nudged = asyncio.Event()

    @property
    def queued(self) -> int:
        """Messages that wait."""
        return len(self._queue)

    def offer(self, group: int, frame: bytes) -> None:
        """Queue a frame, or drop and report it: while not connected a message would only grow old."""
        limits = self._limits
        if (
            not self.connected
            or len(self._queue) >= limits.queued_messages
            or self.queued_bytes + len(frame) > limits.queued_bytes
        ):
            self.drop(group)
            return
        self._queue.append((group, frame))
        self.queued_bytes += len(frame)
        self._work.set()

    def drop(self, group: int) -> None:
        """Count and report a message that is not sent."""
        self.dropped += 1
        self._reports.unreachable(group, self._peer)

    def nudge(self) -> None:
        """The peer has been heard: do not wait to try again."""
        self._nudged.set()

    async def run(self, dialer: Dialer, note: Callable[[Exception | None], None]) -> None:
        """Connect, send, and start again, for ever; `note` is told of each success (None) and failure."""
        limits = self._limits
        delay = limits.first_retry_seconds
        while True:
            self._nudged.clear()
            began = time.monotonic()
            try:
                socket = await dialer.dial(Lane.MESSAGES)
                note(None)
                await self._send_over(socket)
            except FAILURES as error:
                note(error)
            # Only a connection that lasted is a success: one that is closed at once must not be retried at full speed.
            if time.monotonic() - began > limits.last_retry_seconds + limits.handshake_seconds:
                delay = limits.first_retry_seconds
            with suppress(TimeoutError):
                async with asyncio.timeout(delay * random.uniform(0.5, 1.0)):
                    await self._nudged.wait()
            delay = min(2 * delay, limits.last_retry_seconds)

    async def _send_over(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Send what comes until the connection breaks, which raises one of FAILURES."""
        self.connected = True
        # Nothing is expected from the peer: whatever arrives, the end of the connection first of all, ends this.
        ended = asyncio.create_task(socket.receive())
        ended.add_done_callback(lambda _: self._work.set())
        try:
            while not ended.done():
                await self._send_queued(socket)
                self._work.clear()
                if not self._queue and not ended.done():
                    await self._work.wait()
            raise ConnectionResetError(f"the connection was closed (code {socket.close_code})")
        finally:
            self.connected = False
            ended.cancel()
            self._lose_all()
            await hang_up(socket)

    async def _send_queued(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while self._queue:
            group, frame = self._queue.popleft()
            self.queued_bytes -= len(frame)
            self._groups.add(group)
            async with asyncio.timeout(self._limits.write_seconds):
                await socket.send_bytes(frame)

    def _lose_all(self) -> None:
        """The connection broke: what waits is lost, and what was sent last may be."""
        self.dropped += len(self._queue)
        self._groups.update(group for group, _ in self._queue)
        self._queue.clear()
        self.queued_bytes = 0
        for group in self._groups:
            self._reports.unreachable(group, self._peer)
        self._groups.clear()


class SnapshotLane:
    """Snapshots to one peer, one after the other, each over a connection of its own; each is reported exactly once."""

    def __init__(self, peer: int, reports: Reports, limits: WireLimits) -> None:
        self._peer = peer
        self._reports = reports
        self._limits = limits
        self._queue: deque[tuple[int, Message]] = deque()
        self._work = asyncio.Event()
        self._closed = False

    @property
    def queued(self) -> int:
        """Snapshots that wait, without the one on its way."""
        return len(self._queue)

    def offer(self, group: int, message: Message) -> None:
        """Queue a MsgSnap, or report that it is not sent."""
        if self._closed or len(self._queue) >= self._limits.queued_snapshots:
            self._report(group, False)
            return
        self._queue.append((group, message))
        self._work.set()

    async def run(self, dialer: Dialer, note: Callable[[Exception], None]) -> None:
        """Send what comes, for ever; `note` is told of each failure."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self._queue:
                group, message = self._queue.popleft()
                taken = False
                try:
                    taken = await self._deliver(dialer, group, message)
                except FAILURES as error:
                    note(error)
                finally:
                    self._report(group, taken)

    async def _deliver(self, dialer: Dialer, group: int, message: Message) -> bool:
        head, data = encode_snapshot(group, message)
        if len(data) > self._limits.snapshot_bytes:
            raise ValueError(f"its {len(data)} bytes exceed the limit of {self._limits.snapshot_bytes}")
        socket = await dialer.dial(Lane.SNAPSHOTS)
        try:
            async with asyncio.timeout(self._limits.snapshot_seconds(len(data))):
                await socket.send_bytes(head)
                for start in range(0, len(data), CHUNK_BYTES):
                    await socket.send_bytes(data[start : start + CHUNK_BYTES])
                    await asyncio.sleep(0)  # sending waits only for a full buffer; others have a turn in any case
                answer = await socket.receive()
            return answer.type is aiohttp.WSMsgType.BINARY and answer.data == TAKEN
        finally:
            await hang_up(socket)

    def close(self) -> None:
        """Give up what waits."""
        self._closed = True
        while self._queue:
            self._report(self._queue.popleft()[0], False)

    def _report(self, group: int, taken: bool) -> None:
        self._reports.snapshot_done(group, self._peer, taken)
        if not taken:
            self._reports.unreachable(group, self._peer)


class Link:
    """One peer: its two lanes, and what was last wrong with it."""

    def __init__(
        self, url: str, peer: int, reports: Reports, limits: WireLimits, warn: Callable[[int, str], None]
    ) -> None:
        self.url = url
        self.peer = peer
        self.problem: str | None = "not tried yet"
        self.messages = MessageLane(peer, reports, limits)
        self.snapshots = SnapshotLane(peer, reports, limits)
        self._warn = warn
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, dialer: Dialer) -> None:
        """Begin to connect."""
        self._spawn(self.messages.run(dialer, self._note_connection))
        self._spawn(self.snapshots.run(dialer, self._note_snapshot))

    async def close(self) -> None:
        """Give up what waits, and hang up."""
        self.snapshots.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        task.add_done_callback(_report_crash)
        self._tasks.append(task)

    def _note_connection(self, error: Exception | None) -> None:
        problem = _describe(error) if error is not None else None
        if problem == self.problem:
            return  # a peer that stays away is not logged at every attempt
        self.problem = problem
        if problem is None:
            logger.info("connected to node %d at %s", self.peer, self.url)
        else:
            logger.warning("node %d at %s is out of reach: %s", self.peer, printable(self.url), problem)

    def _note_snapshot(self, error: Exception) -> None:
        self._warn(self.peer, f"a snapshot for node {self.peer} did not arrive: {_describe(error)}")


def _describe(error: Exception) -> str:
    if isinstance(error, PeerRefusedError):
        return f"refused with {error.status}: {error.reason}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return f"{type(error).__name__}: {error}"


def _report_crash(task: asyncio.Task[None]) -> None:
    """A link never ends by itself: an exception is a bug, for the loop's exception handler to deal with."""
    if not task.cancelled() and (error := task.exception()) is not None:
        task.get_loop().call_exception_handler(
            {"message": "a link of the transport has crashed", "exception": error, "task": task}
        )
