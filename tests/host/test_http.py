"""The face of the store: what each request is answered with, by a node of a cluster of one."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from examples.host.disk import DiskError
from examples.raftexample.__main__ import Node, parse
from examples.raftexample.http import MAX_KEY_BYTES, MAX_UPLOADS, MAX_VALUE_BYTES
from examples.raftexample.kv import MAX_BYTES


class Client:
    """Sends requests exactly as they are spelt."""

    def __init__(self, session: aiohttp.ClientSession, node: Node) -> None:
        self.node = node
        self.base = f"http://127.0.0.1:{node.client_port}"
        self.session = session

    async def __call__(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, dict[str, str]]:
        url = URL(self.base + path, encoded=True)
        async with self.session.request(method, url, data=body, headers=headers) as response:
            return response.status, await response.read(), dict(response.headers)


@asynccontextmanager
async def serving(directory: Path, *options: str) -> AsyncIterator[Client]:
    """A cluster of one."""
    arguments = [
        "--cluster",
        "http://127.0.0.1:0",
        "--port",
        "0",
        "--data-dir",
        str(directory / "d"),
        "--tick-ms",
        "10",
    ]
    node = Node(parse([*arguments, *options]))
    await node.start()
    try:
        async with aiohttp.ClientSession() as session:
            ask = Client(session, node)
            assert (await ask("GET", "/nothing"))[0] == 404  # there is a leader
            yield ask
    finally:
        await node.stop()


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await scenario

    asyncio.run(bounded())


def test_keys_come_and_go(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as ask:
            assert (await ask("GET", "/key"))[0] == 404
            assert (await ask("PUT", "/key", b"value"))[:2] == (204, b"")
            for path in ("/key", "/key?consistency=stale", "/key?consistency=linearizable", "/key?other=ignored"):
                status, body, headers = await ask("GET", path)
                assert (status, body) == (200, b"value")
                assert headers["Content-Type"] == "application/octet-stream"
                assert headers["X-Content-Type-Options"] == "nosniff"
            assert (await ask("HEAD", "/key"))[:2] == (200, b"")
            assert (await ask("PUT", "/key", b""))[0] == 204
            assert (await ask("GET", "/key"))[:2] == (200, b"")
            assert (await ask("DELETE", "/key"))[0] == 204
            assert (await ask("DELETE", "/key"))[0] == 204
            assert (await ask("GET", "/key"))[0] == 404
            assert (await ask("GET", "/key?consistency=stale"))[0] == 404

    run(scenario())


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("/a", "/%61", True),
        ("/a/b", "/a%2Fb", True),
        ("/a?x=1", "/a?x=2", True),
        ("/%2D/status", "/-%2Fstatus", True),
        ("/a", "/a/", False),
        ("/a/../b", "/b", False),
        ("/a//b", "/a/b", False),
        ("/%00%FF", "/%00", False),
        ("/a+b", "/a%20b", False),
    ],
)
def test_a_key_is_the_path_byte_for_byte(tmp_path: Path, one: str, other: str, same: bool) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as ask:
            assert (await ask("PUT", one, b"value"))[0] == 204
            assert (await ask("GET", one))[:2] == (200, b"value")
            assert (await ask("GET", other))[0] == (200 if same else 404)

    run(scenario())


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/", 400, "the key is empty"),
        ("PUT", "/" + "k" * (MAX_KEY_BYTES + 1), 414, "the key has 4097 bytes"),
        ("GET", "/k?consistency=strong", 400, "consistency is linearizable or stale"),
        ("POST", "/k", 405, "here there is GET, HEAD, PUT, DELETE"),
        ("PATCH", "/4", 405, "here there is GET, HEAD, PUT, DELETE"),
        ("PUT", "/-/status", 405, "here there is GET, HEAD"),
        ("DELETE", "/-/members", 405, "here there is GET, HEAD, POST"),
        ("GET", "/-/members/1", 405, "here there is DELETE"),
        ("GET", "/-/", 404, "there is /-/status"),
        ("DELETE", "/-/members/x", 404, "there is /-/status"),
        ("DELETE", "/-/members/" + "9" * 30, 404, "there is /-/status"),
        ("DELETE", "/-/members/4", 409, "4 is not a member"),
        ("DELETE", "/-/members/1?force=true", 409, "removed all voters"),
        ("DELETE", "/-/members/1", 409, "no quorum"),
        ("POST", "/-/members", 400, "a member is"),
    ],
)
def test_what_makes_no_sense_is_told_so(tmp_path: Path, method: str, path: str, status: int, words: str) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as ask:
            told, body, headers = await ask(method, path)
            answer = json.loads(body)
            assert (told, list(answer)) == (status, ["error"])
            assert words in answer["error"]
            assert headers["Content-Type"].startswith("application/json")
            assert (status == 405) == ("Allow" in headers)

    run(scenario())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"4",
        b'{"id": 4}',
        b'{"id": "4", "url": "http://a:1"}',
        b'{"id": 4, "url": "http://a:1", "learner": 1}',
    ],
    ids=repr,
)
def test_a_member_that_is_none_is_refused(tmp_path: Path, body: bytes) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as ask:
            assert (await ask("POST", "/-/members", body))[0] == 400
            members = json.loads((await ask("GET", "/-/members"))[1])
            assert [member["id"] for member in members["members"]] == [1]

    run(scenario())


def test_members_and_status_tell_what_there_is(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as ask:
            for number in range(2):
                member = {"id": 4, "url": f"http://127.0.0.1:{number + 1}", "learner": True}
                assert (await ask("POST", "/-/members", json.dumps(member).encode()))[0] == 204
                assert (await ask("POST", "/-/members", json.dumps(member).encode()))[0] == 204  # it is one already
            told = json.loads((await ask("GET", "/-/members"))[1])
            assert told["leader"] == 1
            assert told["members"][1] == {
                "id": 4,
                "url": "http://127.0.0.1:2",
                "role": "learner",
                "becomes_voter": False,
            }
            assert (await ask("PUT", "/key", b"value"))[0] == 204
            status = json.loads((await ask("GET", "/-/status"))[1])
            assert (status["id"], status["role"], status["leader"], status["keys"]) == (1, "Leader", 1, 1)
            assert status["applied"] == status["commit"] == status["last_index"]
            assert status["peers"]["4"]["connected"] is False
            assert status["anomalies"]["log_loss_suspected"] == ""
            assert (await ask("DELETE", "/-/members/4"))[0] == 204
            assert (await ask("POST", "/-/members", json.dumps(member).encode()))[0] == 409

    run(scenario())


def test_bare_numbers_are_members_if_so_asked(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, "--go-compat") as ask:
            assert (await ask("POST", "/4", b"http://127.0.0.1:9\n"))[0] == 204
            told = json.loads((await ask("GET", "/-/members"))[1])
            assert [(member["id"], member["url"]) for member in told["members"][1:]] == [(4, "http://127.0.0.1:9")]
            assert (await ask("PUT", "/4", b"value"))[0] == 204  # a key
            assert (await ask("DELETE", "/4"))[0] == 204  # the member
            assert (await ask("GET", "/4"))[:2] == (200, b"value")
            assert (await ask("DELETE", "/four"))[0] == 204
            assert (await ask("POST", "/four", b"x"))[0] == 405

    run(scenario())


async def chunks(size: int, piece: int = 1 << 16) -> AsyncIterator[bytes]:
    """A body whose length is not said beforehand."""
    for _ in range(0, size, piece):
        yield b"x" * piece


def test_bodies_have_a_limit(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as ask:
            assert (await ask("PUT", "/largest", b"x" * MAX_VALUE_BYTES))[0] == 204
            assert len((await ask("GET", "/largest"))[1]) == MAX_VALUE_BYTES
            for body in (io.BytesIO(b"x" * (MAX_VALUE_BYTES + 1)), chunks(MAX_VALUE_BYTES + (1 << 16))):
                async with ask.session.put(ask.base + "/larger", data=body) as response:
                    assert response.status == 413
            assert (await ask("POST", "/-/members", b"x" * 5000))[0] == 413
            async with ask.session.post(ask.base + "/-/members", data=chunks(1 << 17)) as response:
                assert response.status == 413
            assert (await ask("PUT", "/zipped", gzip.compress(b"x"), {"Content-Encoding": "gzip"}))[0] == 415
            assert (await ask("GET", "/larger"))[0] == 404
            assert (await ask("PUT", "/" + "%00" * (MAX_KEY_BYTES + 1), b"x"))[0] == 414
            assert (await ask("PUT", "/" + "%00" * MAX_KEY_BYTES, b"x"))[0] == 204

    run(scenario())


def test_a_full_store_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as ask:
            value = b"x" * MAX_VALUE_BYTES
            told = [(await ask("PUT", f"/{number}", value))[0] for number in range(MAX_BYTES // MAX_VALUE_BYTES)]
            assert set(told[:-1]) == {204}
            assert told[-1] == 507
            assert (await ask("DELETE", "/0"))[0] == 204
            assert (await ask("PUT", "/another", value))[0] == 204

    run(scenario())


def test_bodies_that_dawdle_do_not_keep_others_out(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as ask:
            port = ask.node.client_port
            slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(MAX_UPLOADS)]
            for one in slow:
                one.sendall(b"PUT /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1")
            while True:
                status, body, _ = await ask("PUT", "/key", b"x")
                if status == 503:
                    break
            assert json.loads(body) == {"error": "too many bodies are arriving here", "may_still_happen": False}
            assert (await ask("GET", "/key"))[0] in (200, 404)
            for one in slow:
                one.close()
            while (await ask("PUT", "/key", b"x"))[0] != 204:
                await asyncio.sleep(0.01)

    run(scenario())


def test_while_closing_requests_are_turned_away(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as ask:
            ask.node.api.is_closing = True
            status, body, headers = await ask("PUT", "/key", b"x")
            assert status == 503
            assert json.loads(body) == {"error": "this node is shutting down", "may_still_happen": False}
            assert headers["Retry-After"] == "1"

    run(scenario())


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        pytest.param(
            ZeroDivisionError("oops"), 70, ["ZeroDivisionError: oops", "node 1 at that time: Status("], id="a bug"
        ),
        pytest.param(
            DiskError(Path("d/raft.db"), "no space left"),
            74,
            ["d/raft.db: no space left", "acknowledges nothing"],
            id="disk",
        ),
    ],
)
def test_what_goes_wrong_inside_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: Exception, code: int, words: list[str]
) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as ask:
            assert ask.node.die(error) == code
            told = capsys.readouterr().err
            assert all(word in told for word in words)
            assert (told.count("\n") == 1) == (code == 74)

    run(scenario())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--id", "4", "--cluster", "http://a:1,http://b:1"], "--id 4 is no place in --cluster, which names 2 nodes"),
        (["--id", "0"], "--id 0 is no place"),
        (["--cluster", "http://a:1,http://a:1"], "names a URL twice"),
        (["--cluster", "a:1"], "http://host:port"),
        (["--listen", "http://a"], "http://host:port"),
        (["--port", "65536"], "--port 65536 is none"),
        (["--snapshot-count", "0"], "at least 1"),
        (["--tick-ms", "0"], "at least 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_line_that_makes_no_sense(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as told:
        parse(arguments)
    assert told.value.code == 2
    assert words in capsys.readouterr().err
