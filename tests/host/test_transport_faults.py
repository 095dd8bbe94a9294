"""The transport under faults: what is lost, cut, slow, damaged or sent by a stranger."""

import asyncio
import logging
import socket
from contextlib import suppress

import aiohttp
import pytest
from aiohttp import web
from test_transport import (
    ANYWHERE,
    BARE,
    QUICK,
    Host,
    append,
    heartbeat,
    hosts,
    intruder,
    listening,
    run,
    snap,
    stand_in,
    until,
)

from examples.host.wire import (
    Hello,
    Lane,
    WireLimits,
    encode_frame,
)
from raftpb import (
    StepError,
)


class TestReconnecting:
    def test_a_peer_that_comes_back_is_found_again(self) -> None:
        async def test() -> None:
            one, two = Host(1), Host(2)
            await one.transport.start(ANYWHERE)
            await two.transport.start(ANYWHERE)
            url = two.transport.url
            one.transport.set_peer(2, url)
            await until(lambda: one.connected(2))
            one.transport.send(5, heartbeat(1, 2))
            await until(lambda: len(two.received) == 1)
            await two.transport.close()
            await until(lambda: not one.connected(2))
            assert (5, 2) in one.unreachable, "what was sent last may be lost"
            again = Host(2)
            await again.transport.start(url)
            await until(lambda: one.connected(2))
            one.transport.send(0, heartbeat(1, 2, 3))
            await until(lambda: again.received == [(0, heartbeat(1, 2, 3))])
            await one.transport.close()
            await again.transport.close()

        run(test())

    def test_a_peer_that_calls_is_called_back_at_once(self) -> None:
        async def test() -> None:
            patient = WireLimits(first_retry_seconds=60, last_retry_seconds=60)
            one, two = Host(1, limits=patient), Host(2)
            with socket.create_server(("127.0.0.1", 0)) as reserved:
                url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
            await one.transport.start(ANYWHERE)
            one.transport.set_peer(2, url)
            await until(lambda: "Cannot connect" in one.problem(2))
            await two.transport.start(url)
            two.transport.set_peer(1, one.transport.url)
            await until(lambda: one.connected(2), seconds=5)
            assert one.transport.peers()[2].heard
            await one.transport.close()
            await two.transport.close()

        run(test())

    def test_a_peer_that_answers_no_ping_is_given_up(self) -> None:
        async def test() -> None:
            async def serve(ws: web.WebSocketResponse, _: Hello) -> None:
                await asyncio.sleep(20)  # a stopped process: its system accepts, it does not answer

            one = Host(1)
            async with stand_in(serve) as url:
                await one.transport.start(ANYWHERE)
                one.transport.set_peer(2, url)
                await until(lambda: one.connected(2))
                await until(lambda: not one.connected(2), seconds=5)
                await one.transport.close()

        run(test())

    def test_a_new_url_replaces_the_old(self) -> None:
        async def test() -> None:
            async with hosts(1, 2) as (one, two):
                moved = Host(2)
                await moved.transport.start(ANYWHERE)
                one.transport.set_peer(2, moved.transport.url)
                await until(lambda: one.connected(2))
                one.transport.send(0, heartbeat(1, 2))
                await until(lambda: moved.received == [(0, heartbeat(1, 2))])
                assert two.received == []
                await moved.transport.close()

        run(test())

    def test_the_same_url_keeps_the_connection(self) -> None:
        async def test() -> None:
            async with hosts(1, 2) as (one, two):
                one.transport.set_peer(2, two.transport.url)
                one.transport.send(0, heartbeat(1, 2))
                await until(lambda: two.received == [(0, heartbeat(1, 2))])

        run(test())

    def test_a_peer_that_redirects_is_not_followed(self) -> None:
        async def test() -> None:
            async with hosts(1, 2) as (one, two):

                async def handle(_: web.Request) -> web.StreamResponse:
                    raise web.HTTPTemporaryRedirect(two.transport.url + "/raft")

                async with listening(handle) as url:
                    one.transport.set_peer(3, url)
                    await until(lambda: "redirect" in one.problem(3))
                    assert not one.connected(3)

        run(test())


class TestRefusing:
    @pytest.mark.parametrize(
        ("headers", "status", "reason"),
        [
            pytest.param({"Raft-Cluster": "other"}, 412, "cluster 'c'", id="another cluster"),
            pytest.param({"Raft-To": "3"}, 412, "node 1, not 3", id="another node"),
            pytest.param({"Raft-From": "1"}, 412, "same id", id="itself"),
            pytest.param({"Raft-Protocol": "2"}, 412, "protocol 1", id="another version"),
            pytest.param({"Raft-From": "9"}, 403, "node 9 has been removed", id="a removed member"),
        ],
    )
    def test_a_handshake_that_does_not_fit(
        self, headers: dict[str, str], status: int, reason: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def test() -> None:
            one = Host(1)
            await one.transport.start(ANYWHERE)
            one.transport.forget_peer(9)
            with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
                async with intruder(one.transport.url, changes=headers):
                    pass
            assert refusal.value.status == status
            await one.transport.close()

        run(test())
        assert reason in caplog.text

    def test_the_one_who_calls_learns_why(self, caplog: pytest.LogCaptureFixture) -> None:
        async def test() -> None:
            one, other = Host(1), Host(2, cluster="other\n")
            await one.transport.start(ANYWHERE)
            await other.transport.start(ANYWHERE)
            one.transport.set_peer(2, other.transport.url)
            await until(lambda: "refused with 412" in one.problem(2))
            assert "other" in one.problem(2)
            await asyncio.sleep(0.2)  # several attempts
            await one.transport.close()
            await other.transport.close()

        run(test())
        assert sum("out of reach" in record.getMessage() for record in caplog.records) == 1

    def test_too_many_connections(self) -> None:
        async def test() -> None:
            one = Host(1, limits=WireLimits(connections=1))
            await one.transport.start(ANYWHERE)
            async with intruder(one.transport.url):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
                    async with intruder(one.transport.url, changes={"Raft-From": "3"}):
                        pass
                assert refusal.value.status == 503
            await one.transport.close()

        run(test())

    def test_a_newer_connection_takes_the_place_of_the_older(self) -> None:
        async def test() -> None:
            one = Host(1, limits=WireLimits(connections=1))
            await one.transport.start(ANYWHERE)
            async with intruder(one.transport.url) as older, intruder(one.transport.url) as newer:
                assert (await older.receive()).type is aiohttp.WSMsgType.CLOSE
                await newer.send_bytes(encode_frame(0, heartbeat(2, 1)))
                await until(lambda: len(one.received) == 1)
            await one.transport.close()

        run(test())

    def test_nonsense_is_counted_and_the_next_message_arrives(self, caplog: pytest.LogCaptureFixture) -> None:
        async def test() -> None:
            async with hosts(1, 2) as (one, _), intruder(one.transport.url) as ws:
                await ws.send_str("hello")
                for garbage in (b"", bytes(7), bytes(8) + b"\xff" * 50, encode_frame(0, heartbeat(3, 1))):
                    await ws.send_bytes(garbage)
                await ws.send_bytes(encode_frame(0, heartbeat(2, 1)))
                await until(lambda: one.received == [(0, heartbeat(2, 1))])
                assert one.transport.peers()[2].refused == 5

        run(test())
        assert sum("refused what node 2 sent" in record.getMessage() for record in caplog.records) == 1

    def test_a_flood_of_nonsense_leaves_the_loop_to_others(self) -> None:
        async def test() -> None:
            async with hosts(1, 2, 3, limits=WireLimits()) as (one, _, three), intruder(one.transport.url) as ws:

                async def flood() -> None:
                    while True:
                        for _ in range(100):
                            await ws.send_bytes(b"nonsense")
                        await asyncio.sleep(0)

                flooding = asyncio.create_task(flood())
                for term in range(1, 21):
                    three.transport.send(0, heartbeat(3, 1, term))
                    await asyncio.sleep(0.01)
                await until(lambda: len(one.received) == 20)
                assert one.transport.peers()[2].refused > 100
                flooding.cancel()

        run(test())

    def test_what_the_node_refuses_is_counted(self) -> None:
        async def test() -> None:
            async with hosts(1, 2) as (one, two):
                two.raises = StepError("no")
                one.transport.send(0, heartbeat(1, 2))
                one.transport.send(0, heartbeat(1, 2))
                await until(lambda: two.transport.peers()[1].refused == 2)
                assert one.connected(2)

        run(test())

    @pytest.mark.parametrize("lane", Lane)
    def test_a_frame_over_the_limit_ends_the_connection(self, lane: Lane) -> None:
        async def test() -> None:
            async with hosts(1, 2) as (one, _), intruder(one.transport.url, lane) as ws:
                with suppress(ConnectionError):  # it may be cut off before it has sent everything
                    await ws.send_bytes(bytes(QUICK.longest_message(lane) + 1))
                await until(lambda: one.transport.peers()[2].refused == 1)
                await ws.receive()
                assert ws.closed
                assert one.received == []

        run(test())

    @pytest.mark.parametrize(
        ("sent", "refused"),
        [
            pytest.param([(QUICK.snapshot_bytes + 1).to_bytes(8, "big") + BARE], 1, id="too large"),
            pytest.param([bytes(8) + encode_frame(0, heartbeat(2, 1))], 1, id="no snapshot"),
            pytest.param([b""], 1, id="no size"),
            pytest.param([(10).to_bytes(8, "big") + BARE, bytes(11)], 0, id="more than announced"),
            pytest.param([(10).to_bytes(8, "big") + BARE, bytes(9), b""], 0, id="an empty chunk"),
        ],
    )
    def test_a_snapshot_that_does_not_hold_what_it_says(self, sent: list[bytes], refused: int) -> None:
        async def test() -> None:
            async with hosts(1, 2) as (one, _), intruder(one.transport.url, Lane.SNAPSHOTS) as ws:
                for part in sent:
                    await ws.send_bytes(part)
                assert (await ws.receive()).type is aiohttp.WSMsgType.CLOSE
                assert one.received == []
                assert one.transport.peers()[2].refused == refused

        run(test())

    def test_a_snapshot_that_breaks_off_is_none(self) -> None:
        async def test() -> None:
            async with hosts(1, 2) as (one, two):
                for parts in ([], [(10).to_bytes(8, "big") + BARE, bytes(9)]):
                    async with intruder(one.transport.url, Lane.SNAPSHOTS) as ws:
                        for part in parts:
                            await ws.send_bytes(part)
                two.transport.send(0, snap(2, 1))
                await until(lambda: two.snapshots == [(0, 1, True)])
                assert one.received == [(0, snap(2, 1))]

        run(test())

    def test_too_many_snapshots_at_a_time(self) -> None:
        async def test() -> None:
            async with hosts(1, 2, limits=WireLimits(incoming_snapshots=1)) as (one, two):
                async with intruder(one.transport.url, Lane.SNAPSHOTS, {"Raft-From": "3"}):
                    two.transport.send(0, snap(2, 1))
                    await until(lambda: two.snapshots == [(0, 1, False)])
                two.transport.send(1, snap(2, 1))
                await until(lambda: len(two.snapshots) == 2)
                assert two.snapshots[1] == (1, 1, True)

        run(test())

    def test_the_longest_frame_arrives(self) -> None:
        async def test() -> None:
            overhead = len(encode_frame(0, append(2, 1, 60_000))) - 60_000
            longest = append(2, 1, QUICK.message_bytes - overhead)
            async with hosts(1, 2) as (one, two):
                two.transport.send(0, longest)
                await until(lambda: one.received == [(0, longest)])

        run(test())

    def test_one_who_connects_and_says_nothing_is_put_out(self) -> None:
        async def test() -> None:
            one = Host(1)
            await one.transport.start(ANYWHERE)
            reader, writer = await asyncio.open_connection("127.0.0.1", int(one.transport.url.rpartition(":")[2]))
            writer.write(b"GET /raft HTTP/1.1\r\nX: ")
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
            await one.transport.close()

        run(test())

    def test_one_who_shakes_hands_and_says_nothing_is_put_out(self) -> None:
        async def test() -> None:
            one = Host(1, limits=WireLimits(ping_seconds=0.1))
            await one.transport.start(ANYWHERE)
            async with intruder(one.transport.url) as ws:
                assert (await ws.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE
            await one.transport.close()

        run(test())

    def test_a_crash_of_the_host_reaches_the_loop(self) -> None:
        async def test() -> None:
            crashes: list[object] = []
            asyncio.get_running_loop().set_exception_handler(lambda _, context: crashes.append(context["exception"]))
            async with hosts(1, 2) as (one, two):
                two.raises = RuntimeError("a bug")
                one.transport.send(0, heartbeat(1, 2))
                await until(lambda: crashes == [two.raises])

        run(test())


class TestMembers:
    def test_a_removed_member_is_cut_off_until_it_is_one_again(self) -> None:
        async def test() -> None:
            async with hosts(1, 2) as (one, two):
                one.transport.forget_peer(2)
                assert one.transport.peers() == {}
                await until(lambda: "refused with 403" in two.problem(1))
                one.transport.send(0, heartbeat(1, 2))
                one.transport.send(0, snap(1, 2))
                await until(lambda: one.snapshots == [(0, 2, False)])
                assert one.unreachable == [(0, 2)]
                one.transport.set_peer(2, two.transport.url)
                await until(lambda: one.connected(2) and two.connected(1))
                assert one.received == two.received == []

        run(test())

    def test_a_node_is_no_peer_of_its_own(self) -> None:
        async def test() -> None:
            async with hosts(1, 2) as (one, _):
                one.transport.set_peer(1, one.transport.url)
                assert list(one.transport.peers()) == [2]

        run(test())

    def test_peers_may_be_set_before_the_start(self) -> None:
        async def test() -> None:
            async with hosts(2) as (two,):
                one = Host(1)
                one.transport.set_peer(2, two.transport.url)
                await one.transport.start(ANYWHERE)
                await until(lambda: one.connected(2))
                await one.transport.close()

        run(test())

    def test_a_bad_url_from_the_log_is_a_problem_and_no_error(self) -> None:
        async def test() -> None:
            async with hosts(1, 2) as (one, two):
                one.transport.set_peer(3, "http://user@127.0.0.1:1\n/../x")
                await until(lambda: "URL" in one.problem(3))
                one.transport.send(0, heartbeat(1, 2))
                await until(lambda: len(two.received) == 1)

        run(test())


class TestStarting:
    @pytest.mark.parametrize("url", ["127.0.0.1:9021", "https://127.0.0.1:9021"])
    def test_what_is_no_url_is_refused(self, url: str) -> None:
        with pytest.raises(ValueError, match="http://host:port"):
            asyncio.run(Host(1).transport.start(url))

    def test_a_port_in_use_is_an_error(self) -> None:
        async def test() -> None:
            async with hosts(1) as (one,):
                with pytest.raises(OSError, match="address already in use"):
                    await Host(2).transport.start(one.transport.url)

        run(test())


@pytest.fixture(autouse=True)
def _log_everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "examples.host")
