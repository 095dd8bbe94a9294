"""The face of the store: HTTP for clients.

    PUT    /key                      204 once the write is committed and applied here
    GET    /key[?consistency=stale]  200 and the value, or 404; linearizable, unless it asks for what is known here
    DELETE /key                      204 once it is gone
    GET    /-/members                who takes part
    POST   /-/members                {"id": 4, "url": "http://host:port"} joins
    DELETE /-/members/4[?force=true] leaves for ever
    GET    /-/status                 what this node knows of itself

A key is the path, percent-decoded, without its first slash; keys that begin with `-/` are written `%2D/...`. What goes
wrong is JSON: `{"error": reason}`; 503 adds `may_still_happen`, which tells whether a write may yet take effect.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, unquote_to_bytes

from aiohttp import web

from examples.host.host import Host
from examples.host.machine import ChangeRefusedError, NotServedError, RemovedError
from examples.host.membership import Change, Members, removing
from examples.host.replica import Replica
from examples.raftexample import kv

logger = logging.getLogger(__name__)

MAX_VALUE_BYTES: Final = 1 << 20
MAX_KEY_BYTES: Final = 4096
MAX_LINE_BYTES: Final = 4 * MAX_KEY_BYTES
"""The longest request line: every byte of a key may be percent-encoded."""
MAX_UPLOADS: Final = 64
"""Bodies that may be arriving at a time; each may take as much memory as the largest value."""

_BODY_SECONDS: Final = 10.0
_ADMIN: Final = "/-/"
_TEXT_HEADERS: Final = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


class ProblemError(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: HTTPStatus, reason: str, **more: object) -> None:
        super().__init__(reason)
        self.status = status
        self.answer: dict[str, object] = {"error": reason, **more}
        self.headers: dict[str, str] = {}


class HttpApi:
    """Answers clients, from one replica of the store."""

    def __init__(self, host: Host, replica: Replica, store: kv.KeyValueStore, *, cluster: str, go_compat: bool) -> None:
        self.is_closing = False
        """Requests are turned away."""
        self._host = host
        self._replica = replica
        self._store = store
        self._cluster = cluster
        self._go_compat = go_compat
        self._uploads = 0

    def application(self) -> web.Application:
        """What aiohttp serves."""
        application = web.Application(client_max_size=MAX_VALUE_BYTES)
        application.router.add_route("*", "/{path:.*}", self._handle)
        return application

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        """Answer, whatever happens."""
        try:
            if self.is_closing:
                raise NotServedError("this node is shutting down", may_still_happen=False)
            return await self._dispatch(request)
        except ProblemError as problem:
            return _problem(problem)
        except web.HTTPRequestEntityTooLarge:
            return _problem(_too_large())
        except ChangeRefusedError as error:
            return _problem(ProblemError(HTTPStatus.CONFLICT, str(error)))
        except RemovedError as error:
            return _problem(ProblemError(HTTPStatus.GONE, str(error)))
        except NotServedError as error:
            status = HTTPStatus.SERVICE_UNAVAILABLE
            later = ProblemError(status, error.reason, may_still_happen=error.may_still_happen)
            later.headers["Retry-After"] = "1"
            return _problem(later)

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        if not path.startswith("/"):
            raise ProblemError(HTTPStatus.BAD_REQUEST, "a path begins with a slash")
        if path.startswith(_ADMIN):
            return await self._administer(request, path.removeprefix(_ADMIN), query)
        number = path[1:]
        if self._go_compat and number.isascii() and number.isdigit():
            methods = {"POST": self._go_join, "DELETE": self._go_leave}
            if request.method in methods:
                return await methods[request.method](request, int(number))
        key = unquote_to_bytes(path[1:])
        if not key:
            raise ProblemError(HTTPStatus.BAD_REQUEST, "the key is empty")
        if len(key) > MAX_KEY_BYTES:
            reason = f"the key has {len(key)} bytes; the limit is {MAX_KEY_BYTES}"
            raise ProblemError(HTTPStatus.REQUEST_URI_TOO_LONG, reason)
        if request.method in ("GET", "HEAD"):
            return await self._get(key, query)
        if request.method == "PUT":
            return await self._write(kv.put(key, await self._body(request, MAX_VALUE_BYTES)))
        if request.method == "DELETE":
            return await self._write(kv.delete(key))
        raise _not_allowed("GET, HEAD, PUT, DELETE")

    # -- keys

    async def _get(self, key: bytes, query: str) -> web.Response:
        consistency = parse_qs(query).get("consistency", ["linearizable"])[-1]
        if consistency == "linearizable":
            await self._replica.read_barrier()
        elif consistency != "stale":
            raise ProblemError(HTTPStatus.BAD_REQUEST, "consistency is linearizable or stale")
        elif self._replica.is_removed:
            raise RemovedError("this node has been removed from the cluster")
        value = self._store.get(key)
        if value is None:
            raise ProblemError(HTTPStatus.NOT_FOUND, "there is no such key")
        return web.Response(body=value, content_type="application/octet-stream", headers=_TEXT_HEADERS)

    async def _write(self, command: bytes) -> web.Response:
        outcome = await self._replica.propose(command)
        if outcome is kv.PutOutcome.FULL:
            raise ProblemError(HTTPStatus.INSUFFICIENT_STORAGE, kv.PutOutcome.FULL.value)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    # -- members and status

    async def _administer(self, request: web.Request, what: str, query: str) -> web.StreamResponse:
        method = request.method
        if what == "status":
            if method not in ("GET", "HEAD"):
                raise _not_allowed("GET, HEAD")
            return _json(self._status())
        if what == "members":
            if method in ("GET", "HEAD"):
                return _json({"leader": self._replica.leader, "members": self._members()})
            if method != "POST":
                raise _not_allowed("GET, HEAD, POST")
            id, url, stay_learner = _member_in(await self._body(request, MAX_KEY_BYTES))
            return await self._join(id, url, stay_learner=stay_learner)
        id_text = what.removeprefix("members/")
        if id_text != what and id_text.isascii() and id_text.isdigit() and len(id_text) < 20:
            if method != "DELETE":
                raise _not_allowed("DELETE")
            return await self._leave(int(id_text), force=parse_qs(query).get("force") == ["true"])
        raise ProblemError(HTTPStatus.NOT_FOUND, "there is /-/status, /-/members and /-/members/ID")

    async def _join(self, id: int, url: str, *, stay_learner: bool = False) -> web.Response:
        await self._replica.change_members(lambda members: members.joining(id, url, stay_learner=stay_learner))
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _leave(self, id: int, *, force: bool) -> web.Response:
        def plan(members: Members) -> Change:
            return removing(id) if force else members.leaving(id, self._host.reachable())

        await self._replica.change_members(plan)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _go_join(self, request: web.Request, id: int) -> web.Response:
        url = (await self._body(request, MAX_KEY_BYTES)).decode(errors="replace").strip()
        return await self._join(id, url)

    async def _go_leave(self, _: web.Request, id: int) -> web.Response:
        return await self._leave(id, force=False)

    def _members(self) -> list[dict[str, object]]:
        members = self._replica.members
        return [
            {
                "id": id,
                "url": members.urls.get(id, ""),
                "role": "voter" if members.is_voter(id) else "learner",
                "becomes_voter": id in members.promote,
            }
            for id in sorted(members.ids())
        ]

    def _status(self) -> dict[str, object]:
        status = self._replica.status()
        return {
            "id": status.id,
            "cluster": self._cluster,
            "role": "Removed" if self._replica.is_removed else str(status.soft_state.role).removeprefix("State"),
            "leader": status.soft_state.leader,
            "term": status.term,
            "commit": status.commit,
            "last_index": status.last_index,
            **self._replica.figures(),
            "keys": len(self._store),
            "digest": self._store.digest(),
            "members": self._members(),
            "peers": {str(id): asdict(peer) for id, peer in self._host.peers().items()},
            "anomalies": asdict(status.anomalies),
        }

    # -- what comes in

    async def _body(self, request: web.Request, limit: int) -> bytes:
        """All of the body. Raises ProblemError if it is too long, or takes too long."""
        if request.content_length is not None and request.content_length > limit:
            raise _too_large()
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a body is taken as it is, not encoded")
        if self._uploads >= MAX_UPLOADS:
            raise NotServedError("too many bodies are arriving here", may_still_happen=False)
        self._uploads += 1
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                body = await request.read()
        except TimeoutError:
            raise ProblemError(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time") from None
        finally:
            self._uploads -= 1
        if len(body) > limit:
            raise _too_large()
        return body


def _member_in(body: bytes) -> tuple[int, str, bool]:
    """The member that somebody describes. Raises ProblemError."""
    try:
        described = json.loads(body)
        id, url, stay_learner = described["id"], described["url"], described.get("learner", False)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        id = url = stay_learner = None
    if type(id) is not int or not isinstance(url, str) or not isinstance(stay_learner, bool):
        raise ProblemError(HTTPStatus.BAD_REQUEST, 'a member is {"id": NUMBER, "url": "http://HOST:PORT"}')
    return id, url, stay_learner


def _too_large() -> ProblemError:
    return ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too large")


def _not_allowed(methods: str) -> ProblemError:
    problem = ProblemError(HTTPStatus.METHOD_NOT_ALLOWED, f"here there is {methods}")
    problem.headers["Allow"] = methods
    return problem


def _problem(problem: ProblemError) -> web.Response:
    return _json(problem.answer, problem.status, problem.headers)


def _json(
    answer: Mapping[str, object], status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.Response(
        text=json.dumps(answer) + "\n",
        status=status,
        content_type="application/json",
        headers={**_TEXT_HEADERS, **(headers or {})},
    )
