"""A client that knows what became of each request.

A write has three ends: done, certain never to happen (RefusedError), and unknown (UnknownOutcomeError): it may have
happened, or may yet. Nothing is sent twice behind the caller's back.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import quote

import aiohttp

REQUEST_SECONDS = 10.0
"""Longer than a node keeps a request waiting, so that the node's own answer comes first."""


class RefusedError(Exception):
    """The request was not served, and never will be: nobody was there, or the node says so."""


class UnknownOutcomeError(Exception):
    """The write may have happened, or may yet; a read has merely failed."""


class ProtocolError(Exception):
    """An answer that a node must not give."""


@dataclass(frozen=True)
class NodeStatus:
    """What a node says about itself."""

    id: int
    role: str
    term: int
    leader: int
    commit: int
    applied: int
    first_index: int
    digest: str
    members: tuple[int, ...]


class Client:
    """Speaks to the nodes whose URLs, by id, are in `urls`, a mapping that its owner may go on changing."""

    def __init__(self, urls: dict[int, str], *, seconds: float = REQUEST_SECONDS) -> None:
        self._urls = urls
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=seconds),
            middlewares=(_send_once,),
        )

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def put(self, node: int, key: str, value: bytes) -> None:
        """Write by way of `node`; returning means that it is committed and applied there."""
        status, body = await self._ask("PUT", node, "/" + quote(key, safe=""), value)
        if status != 204:
            raise _unexpected(f"PUT /{key}", status, body)

    async def delete(self, node: int, key: str) -> None:
        """Delete by way of `node`."""
        status, body = await self._ask("DELETE", node, "/" + quote(key, safe=""))
        if status != 204:
            raise _unexpected(f"DELETE /{key}", status, body)

    async def get(self, node: int, key: str, *, stale: bool = False) -> bytes | None:
        """Read by way of `node`: linearizable, unless `stale` asks for what it has at hand. None: there is no value."""
        query = "?consistency=stale" if stale else ""
        status, body = await self._ask("GET", node, "/" + quote(key, safe="") + query)
        if status == 404:
            return None
        if status != 200:
            raise _unexpected(f"GET /{key}", status, body)
        return body

    async def status(self, node: int) -> NodeStatus:
        """What the node says about itself; it answers whether or not there is a leader."""
        status, body = await self._ask("GET", node, "/-/status")
        if status != 200:
            raise _unexpected("GET /-/status", status, body)
        told = json.loads(body)
        return NodeStatus(
            told["id"],
            told["role"],
            told["term"],
            told["leader"],
            told["commit"],
            told["applied"],
            told["first_index"],
            told["digest"],
            tuple(member["id"] for member in told["members"]),
        )

    async def add_member(self, node: int, id: int, peer_url: str) -> None:
        """Add a member by way of `node`; returning means that it is one."""
        body = json.dumps({"id": id, "url": peer_url}).encode()
        status, answer = await self._ask("POST", node, "/-/members", body, "application/json")
        if status != 204:
            raise _unexpected("POST /-/members", status, answer)

    async def remove_member(self, node: int, id: int) -> None:
        """Remove a member by way of `node`."""
        status, answer = await self._ask("DELETE", node, f"/-/members/{id}")
        if status != 204:
            raise _unexpected(f"DELETE /-/members/{id}", status, answer)

    async def _ask(
        self, method: str, node: int, path: str, body: bytes | None = None, kind: str = "application/octet-stream"
    ) -> tuple[int, bytes]:
        """Status and body of the answer, other than 503, which raises what it stands for."""
        try:
            async with self._session.request(
                method,
                self._urls[node] + path,
                data=body,
                headers={"Content-Type": kind} if body is not None else None,
                allow_redirects=False,
            ) as response:
                status, answer = response.status, await response.read()
        except aiohttp.ClientConnectorError as error:
            raise RefusedError(f"node {node} cannot be reached: {error.os_error}") from error
        except (aiohttp.ClientError, OSError, TimeoutError, _CutOffError) as error:
            raise UnknownOutcomeError(f"node {node} did not answer: {error!r}") from error
        if status == 503:
            raise _unavailable(node, answer)
        return status, answer


class _CutOffError(Exception):
    """The connection broke after the request had been sent, or part of it."""


async def _send_once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a PUT again, by itself, when the connection broke: the first may have been done."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _CutOffError(repr(error)) from error


def _unavailable(node: int, answer: bytes) -> Exception:
    try:
        told = json.loads(answer)
        reason, open_ended = str(told["error"]), bool(told["may_still_happen"])
    except (ValueError, KeyError, TypeError):
        return ProtocolError(f"node {node} answers 503 without a reason: {answer[:200]!r}")
    return UnknownOutcomeError(reason) if open_ended else RefusedError(reason)


def _unexpected(request: str, status: int, body: bytes) -> ProtocolError:
    return ProtocolError(f"{request} was answered with {status}: {body[:200]!r}")
