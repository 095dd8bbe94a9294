import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from raftpb_strategies import messages

from examples.host.transport import Transport
from examples.host.wire import (
    NOT_TAKEN,
    TAKEN,
    Hello,
    Lane,
    PeerRefusedError,
    WireLimits,
    check_peer_url,
    decode_frame,
    decode_snapshot,
    encode_frame,
    encode_snapshot,
)
from raftpb import (
    ConfState,
    DecodeError,
    EncodeError,
    Entry,
    Message,
    MessageType,
    Snapshot,
    SnapshotMetadata,
    StepError,
)

ANYWHERE = "http://127.0.0.1:0"
NOBODY = "http://127.0.0.1:9"  # the discard port: nobody listens
QUICK = WireLimits(
    message_bytes=64 * 1024,
    snapshot_bytes=4 * 2**20,
    queued_messages=50,
    queued_bytes=1024 * 1024,
    handshake_seconds=1.0,
    write_seconds=0.5,
    ping_seconds=1.0,
    first_retry_seconds=0.02,
    last_retry_seconds=0.1,
    snapshot_grace_seconds=1.0,
)


class Host:
    """A transport, and what it told its host."""

    def __init__(self, node: int, cluster: str = "c", limits: WireLimits = QUICK) -> None:
        self.received: list[tuple[int, Message]] = []
        self.unreachable: list[tuple[int, int]] = []
        self.snapshots: list[tuple[int, int, bool]] = []
        self.raises: Exception | None = None
        self.transport = Transport(
            cluster,
            node,
            receive=self._receive,
            unreachable=lambda group, peer: self.unreachable.append((group, peer)),
            snapshot_done=lambda group, peer, ok: self.snapshots.append((group, peer, ok)),
            limits=limits,
        )

    def _receive(self, group: int, message: Message) -> None:
        self.received.append((group, message))
        if self.raises is not None:
            raise self.raises

    def connected(self, peer: int) -> bool:
        status = self.transport.peers().get(peer)
        return status is not None and status.connected

    def problem(self, peer: int) -> str:
        return self.transport.peers()[peer].problem or ""


@asynccontextmanager
async def hosts(*ids: int, limits: WireLimits = QUICK) -> AsyncIterator[list[Host]]:
    """Hosts that know each other and are connected."""
    made = [Host(id, limits=limits) for id in ids]
    try:
        for host in made:
            await host.transport.start(ANYWHERE)
        for host in made:
            for id, other in zip(ids, made, strict=True):
                host.transport.set_peer(id, other.transport.url)
        for host in made:
            for status in host.transport.peers():
                await until(lambda host=host, status=status: host.connected(status))  # type: ignore[misc]
        yield made
    finally:
        await asyncio.gather(*(host.transport.close() for host in made))


async def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def stand_in(
    serve: Callable[[web.WebSocketResponse, Hello], Awaitable[None]],
) -> AsyncIterator[str]:
    """A peer that shakes hands and then does as `serve` does; its URL."""

    async def handle(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(timeout=0.1, max_msg_size=2**30)
        await ws.prepare(request)
        await serve(ws, Hello.parse(request.headers))
        return ws

    async with listening(handle) as url:
        yield url


@asynccontextmanager
async def listening(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/raft", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def intruder(
    url: str, lane: Lane = Lane.MESSAGES, changes: dict[str, str] | None = None
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A connection to node 1 as that of node 2, with headers of the test's choosing."""
    headers = Hello("c", 2, 1, lane).headers() | (changes or {})
    async with aiohttp.ClientSession() as session, session.ws_connect(url + "/raft", headers=headers) as ws:
        yield ws


def heartbeat(sender: int, to: int, term: int = 1) -> Message:
    return Message(MessageType.MsgHeartbeat, to=to, from_=sender, term=term)


def append(sender: int, to: int, size: int) -> Message:
    return Message(MessageType.MsgApp, to=to, from_=sender, term=1, entries=[Entry(term=1, index=1, data=bytes(size))])


def snap(sender: int, to: int, size: int = 10) -> Message:
    metadata = SnapshotMetadata(ConfState(voters=[1, 2]), index=5, term=1)
    return Message(MessageType.MsgSnap, to=to, from_=sender, term=1, snapshot=Snapshot(bytes(size), metadata))


BARE = encode_frame(0, snap(2, 1, 0))


def run(test: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 30))


class TestFrames:
    @given(st.integers(0, 2**63 - 1), messages)
    def test_decoding_gives_back_what_was_encoded(self, group: int, message: Message) -> None:
        assert decode_frame(encode_frame(group, message), message.from_, message.to) == (group, message)

    @given(st.binary(max_size=40))
    def test_arbitrary_bytes_decode_or_raise_decode_error(self, data: bytes) -> None:
        try:
            group, message = decode_frame(data, 2, 0)
        except DecodeError:
            return
        assert decode_frame(encode_frame(group, message), 2, 0) == (group, message)

    @pytest.mark.parametrize("kind", [MessageType.MsgProp, MessageType.MsgReadIndex, MessageType.MsgTransferLeader])
    def test_what_is_passed_on_keeps_its_sender(self, kind: MessageType) -> None:
        message = Message(kind, to=1, from_=3)
        assert decode_frame(encode_frame(7, message), 2, 1) == (7, message)

    @pytest.mark.parametrize(
        "message",
        [
            pytest.param(heartbeat(3, 1), id="another's sender"),
            pytest.param(heartbeat(2, 3), id="another's address"),
            pytest.param(Message(MessageType.MsgProp, to=3, from_=2), id="a proposal for another"),
        ],
    )
    def test_addresses_are_those_of_the_connection(self, message: Message) -> None:
        with pytest.raises(DecodeError):
            decode_frame(encode_frame(0, message), 2, 1)

    @given(st.integers(0, 2**63 - 1), st.binary())
    def test_a_snapshot_is_split_into_head_and_data(self, group: int, data: bytes) -> None:
        message = snap(1, 2)
        message.snapshot = Snapshot(data, SnapshotMetadata(ConfState(voters=[1]), index=5, term=1))
        head, rest = encode_snapshot(group, message)
        size, group_read, bare = decode_snapshot(head, 1, 2)
        assert (size, group_read, rest) == (len(data), group, data)
        assert message.snapshot.data == data, "the message itself stays as it was"
        assert bare.snapshot is not None
        bare.snapshot.data = data
        assert bare == message

    @pytest.mark.parametrize("message", [heartbeat(1, 2), snap(1, 2)], ids=["no snapshot", "one with data"])
    def test_what_cannot_be_the_head_of_a_snapshot(self, message: Message) -> None:
        with pytest.raises(DecodeError):
            decode_snapshot(bytes(8) + encode_frame(0, message), 1, 2)

    def test_a_message_without_snapshot_is_none_to_send(self) -> None:
        with pytest.raises(EncodeError):
            encode_snapshot(0, heartbeat(1, 2))

    def test_a_group_out_of_range_is_refused(self) -> None:
        with pytest.raises(DecodeError):
            decode_frame(b"\x80" + bytes(7) + encode_frame(0, heartbeat(2, 1))[8:], 2, 1)


class TestHello:
    @given(st.text(max_size=30), st.integers(1, 2**63 - 1), st.integers(1, 2**63 - 1), st.sampled_from(Lane))
    def test_parsing_gives_back_what_was_said(self, cluster: str, node: int, to: int, lane: Lane) -> None:
        hello = Hello(cluster, node, to, lane)
        assert Hello.parse(hello.headers()) == hello

    @pytest.mark.parametrize(
        "change",
        [
            {"Raft-Protocol": "0"},
            {"Raft-From": "0"},
            {"Raft-From": str(2**63)},
            {"Raft-From": "two"},
            {"Raft-To": ""},
            {"Raft-Lane": "fast"},
        ],
        ids=str,
    )
    def test_nonsense_is_refused_with_412(self, change: dict[str, str]) -> None:
        with pytest.raises(PeerRefusedError) as refusal:
            Hello.parse(Hello("c", 1, 2, Lane.MESSAGES).headers() | change)
        assert refusal.value.status == 412

    @pytest.mark.parametrize("missing", list(Hello("c", 1, 2, Lane.MESSAGES).headers()))
    def test_every_header_is_needed(self, missing: str) -> None:
        headers = Hello("c", 1, 2, Lane.MESSAGES).headers()
        del headers[missing]
        with pytest.raises(PeerRefusedError):
            Hello.parse(headers)


class TestPeerUrl:
    @pytest.mark.parametrize("url", ["http://127.0.0.1:9021", "http://node-1.example:80/", "http://[::1]:9021"])
    def test_host_and_port(self, url: str) -> None:
        check_peer_url(url)

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "127.0.0.1:9021",
            "https://127.0.0.1:9021",
            "http://127.0.0.1",
            "http://:9021",
            "http://127.0.0.1:99999",
            "http://user@127.0.0.1:9021",
            "http://127.0.0.1:9021/raft",
            "http://127.0.0.1:9021?x",
            "http://127.0.0.1:9021#x",
        ],
    )
    def test_anything_else_is_refused(self, url: str) -> None:
        with pytest.raises(ValueError, match=r"URL|[Pp]ort"):
            check_peer_url(url)


class TestDelivery:
    def test_messages_arrive_in_order_with_their_groups(self) -> None:
        async def test() -> None:
            async with hosts(1, 2, 3) as (one, two, three):
                for term in range(1, 21):
                    one.transport.send(term % 3, heartbeat(1, 2, term))
                    two.transport.send(2**63 - 1, heartbeat(2, 3, term))
                await until(lambda: len(two.received) == len(three.received) == 20)
                assert two.received == [(term % 3, heartbeat(1, 2, term)) for term in range(1, 21)]
                assert three.received == [(2**63 - 1, heartbeat(2, 3, term)) for term in range(1, 21)]
                assert one.received == []
                assert one.unreachable == []

        run(test())

    def test_a_snapshot_arrives_and_is_reported_once(self) -> None:
        async def test() -> None:
            async with hosts(1, 2) as (one, two):
                one.transport.send(7, snap(1, 2, 3 * 2**20))
                one.transport.send(8, snap(1, 2, 0))
                await until(lambda: len(one.snapshots) == 2)
                assert two.received == [(7, snap(1, 2, 3 * 2**20)), (8, snap(1, 2, 0))]
                assert one.snapshots == [(7, 2, True), (8, 2, True)]
                assert one.unreachable == []

        run(test())

    def test_a_snapshot_on_its_way_holds_nothing_up(self) -> None:
        async def test() -> None:
            heard: list[Message] = []

            async def serve(ws: web.WebSocketResponse, hello: Hello) -> None:
                if hello.lane is Lane.SNAPSHOTS:
                    await asyncio.sleep(20)  # never answers
                async for frame in ws:
                    heard.append(decode_frame(frame.data, 1, 2)[1])

            one = Host(1)
            async with stand_in(serve) as url:
                await one.transport.start(ANYWHERE)
                one.transport.set_peer(2, url)
                await until(lambda: one.connected(2))
                one.transport.send(0, snap(1, 2, 2**20))
                for term in range(1, 11):
                    one.transport.send(0, heartbeat(1, 2, term))
                    await asyncio.sleep(0.01)
                await until(lambda: len(heard) == 10)
                assert one.snapshots == []
                await until(lambda: one.snapshots == [(0, 2, False)])  # no answer in time
                assert one.connected(2)
                await one.transport.close()

        run(test())

    @pytest.mark.parametrize(
        ("answer", "ok"),
        [pytest.param(TAKEN, True, id="taken"), pytest.param(NOT_TAKEN, False, id="not taken"), (b"\x01\x01", False)],
    )
    def test_the_answer_to_a_snapshot_decides(self, answer: bytes, ok: bool) -> None:
        async def test() -> None:
            async def serve(ws: web.WebSocketResponse, hello: Hello) -> None:
                await ws.receive()
                if hello.lane is Lane.SNAPSHOTS:
                    await ws.send_bytes(answer)

            one = Host(1)
            async with stand_in(serve) as url:
                await one.transport.start(ANYWHERE)
                one.transport.set_peer(2, url)
                one.transport.send(0, snap(1, 2))
                await until(lambda: one.snapshots == [(0, 2, ok)])
                await one.transport.close()

        run(test())

    def test_a_snapshot_that_the_node_refuses_has_failed(self) -> None:
        async def test() -> None:
            async with hosts(1, 2) as (one, two):
                two.raises = StepError("no")
                one.transport.send(0, snap(1, 2))
                await until(lambda: one.snapshots == [(0, 2, False)])
                assert one.unreachable == [(0, 2)]

        run(test())


class TestLoss:
    def test_a_dead_peer_is_reported_and_holds_nobody_up(self) -> None:
        async def test() -> None:
            async with hosts(1, 2) as (one, two):
                one.transport.set_peer(3, NOBODY)
                for term in range(1, 201):
                    one.transport.send(4, heartbeat(1, 3, term))
                    one.transport.send(4, snap(1, 3))
                    one.transport.send(4, heartbeat(1, 2, term))
                    if term % 20 == 0:
                        await asyncio.sleep(0)
                await until(lambda: len(two.received) == 200)
                await until(lambda: len(one.snapshots) == 200)
                assert one.snapshots == [(4, 3, False)] * 200
                assert set(one.unreachable) == {(4, 3)}
                assert one.transport.peers()[3].dropped == 200
                assert "Cannot connect" in one.problem(3)

        run(test())

    def test_nothing_is_told_from_within_send(self) -> None:
        async def test() -> None:
            one = Host(1)
            await one.transport.start(ANYWHERE)
            one.transport.send(0, heartbeat(1, 9))
            one.transport.send(0, heartbeat(1, 9))
            one.transport.send(0, snap(1, 9))
            assert one.unreachable == []
            assert one.snapshots == []
            await asyncio.sleep(0)
            assert one.unreachable == [(0, 9)], "losses of one turn make one report"
            assert one.snapshots == [(0, 9, False)]
            await one.transport.close()

        run(test())

    @pytest.mark.parametrize(("size", "fits"), [pytest.param(10, 50, id="count"), pytest.param(60_000, 17, id="bytes")])
    def test_a_slow_peer_fills_its_own_queue_only(self, size: int, fits: int) -> None:
        async def test() -> None:
            async def serve(ws: web.WebSocketResponse, _: Hello) -> None:
                await asyncio.sleep(20)  # reads nothing

            async with hosts(1, 2) as (one, two), stand_in(serve) as url:
                one.transport.set_peer(3, url)
                await until(lambda: one.connected(3))
                for _ in range(200):  # until the system's own buffers are full
                    one.transport.send(0, append(1, 3, 60_000))
                    await asyncio.sleep(0)
                for _ in range(200):
                    one.transport.send(0, append(1, 3, size))
                    one.transport.send(0, append(1, 2, 10))
                    await asyncio.sleep(0)
                await until(lambda: len(two.received) == 200)
                status = one.transport.peers()[3]
                assert status.connected
                assert status.queued_bytes <= QUICK.queued_bytes
                assert fits - 1 <= status.queued_messages <= 50
                assert status.dropped > 0
                await until(lambda: one.transport.peers()[3].queued_messages == 0)  # given up: too slow
                assert (0, 3) in one.unreachable

        run(test())

    def test_more_snapshots_than_the_queue_takes_have_failed(self) -> None:
        async def test() -> None:
            async def serve(ws: web.WebSocketResponse, _: Hello) -> None:
                await asyncio.sleep(20)

            one = Host(1, limits=WireLimits(queued_snapshots=2))
            async with stand_in(serve) as url:
                await one.transport.start(ANYWHERE)
                one.transport.set_peer(2, url)
                one.transport.send(0, snap(1, 2))
                await until(lambda: one.transport.peers()[2].queued_snapshots == 0)
                for group in range(1, 5):
                    one.transport.send(group, snap(1, 2))
                await asyncio.sleep(0)
                assert one.snapshots == [(3, 2, False), (4, 2, False)]
                await one.transport.close()
                assert sorted(one.snapshots) == [(group, 2, False) for group in range(5)]

        run(test())

    @pytest.mark.parametrize("message", [append(1, 2, 70_000), Message(MessageType.MsgApp, to=2, from_=1, index=-1)])
    def test_what_cannot_travel_is_dropped_and_reported(self, message: Message) -> None:
        async def test() -> None:
            async with hosts(1, 2) as (one, two):
                one.transport.send(0, message)
                one.transport.send(0, heartbeat(1, 2))
                await until(lambda: two.received == [(0, heartbeat(1, 2))])
                assert one.unreachable == [(0, 2)]
                assert one.transport.peers()[2].dropped == 1

        run(test())

    def test_a_snapshot_over_the_limit_has_failed(self) -> None:
        async def test() -> None:
            async with hosts(1, 2) as (one, two):
                one.transport.send(0, snap(1, 2, QUICK.snapshot_bytes + 1))
                await until(lambda: one.snapshots == [(0, 2, False)])
                assert two.received == []

        run(test())
