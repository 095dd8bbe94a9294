"""Requests: from the application into the log, and from the log back to whoever waits, each carried out once.

A request is forwarded to the leader by a message that nobody acknowledges, so a node that waits in vain asks again, and
the log may hold a request several times. Each carries the name of its session (a node, and a number drawn when its
process started) and its own number in it; the node that took it recognises it by both when it comes by as committed,
and every node recognises what it has carried out before. `low` lets the others forget: it is the least number that its
session still waits for.

    entry:  version | node | nonce | low | number, data | number, data | ...

Requests that arrive while an entry is being written go into the next one together.

Source: thesis §6.3.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Iterable
from typing import Final

from examples.host.machine import NotServedError
from examples.host.settings import Settings

_HEADER: Final = struct.Struct(">BQQQ")
_REQUEST: Final = struct.Struct(">QI")
_VERSION: Final = 1

MAX_SESSIONS: Final = 256
"""Sessions remembered; the one that was silent longest is forgotten first. Part of the replicated state."""


class Request:
    """One request that waits: `sent` once a copy of it may be in somebody's log, `age` in ticks since then."""

    __slots__ = ("age", "data", "done", "number", "sent")

    def __init__(self, number: int, data: bytes, done: asyncio.Future[object]) -> None:
        self.number = number
        self.data = data
        self.done = done
        self.sent = False
        self.age = 0


class Batch:
    """The requests of one entry."""

    __slots__ = ("low", "node", "nonce", "requests")

    def __init__(self, node: int, nonce: int, low: int, requests: list[tuple[int, bytes]]) -> None:
        self.node = node
        self.nonce = nonce
        self.low = low
        self.requests = requests

    def encode(self) -> bytes:
        """As the data of an entry."""
        parts = [_HEADER.pack(_VERSION, self.node, self.nonce, self.low)]
        for number, data in self.requests:
            parts.append(_REQUEST.pack(number, len(data)))
            parts.append(data)
        return b"".join(parts)

    @staticmethod
    def decode(entry: bytes) -> Batch | None:
        """From the data of an entry; None if it is none of ours."""
        if len(entry) < _HEADER.size or entry[0] != _VERSION:
            return None
        _, node, nonce, low = _HEADER.unpack_from(entry)
        requests: list[tuple[int, bytes]] = []
        position = _HEADER.size
        while position < len(entry):
            start = position + _REQUEST.size
            if start > len(entry):
                return None
            number, length = _REQUEST.unpack_from(entry, position)
            position = start + length
            if position > len(entry):
                return None
            requests.append((number, entry[start:position]))
        return Batch(node, nonce, low, requests)


class Outbox:
    """The requests of this process that are not answered yet."""

    def __init__(self, node: int, nonce: int, settings: Settings) -> None:
        self.session = (node, nonce)
        self.why_waiting = "no quorum answers"
        """Why the last requests could not be sent, for people."""
        self._settings = settings
        self._waiting: dict[int, Request] = {}
        """All of them by number, ascending."""
        self._unsent: deque[Request] = deque()
        self._bytes = 0
        self._next = 1

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, data: bytes) -> Request:
        """Take a request. Raises NotServedError if there is no room."""
        limits = self._settings
        if len(self._waiting) >= limits.max_requests or self._bytes + len(data) > limits.max_waiting_bytes:
            raise NotServedError("too many requests are waiting here", may_still_happen=False)
        request = Request(self._next, data, asyncio.get_running_loop().create_future())
        self._next += 1
        self._waiting[request.number] = request
        self._unsent.append(request)
        self._bytes += len(data)
        return request

    def forget(self, request: Request) -> None:
        """Nobody waits for `request` any more."""
        if self._waiting.pop(request.number, None) is not None:
            self._bytes -= len(request.data)

    def take(self) -> list[Request]:
        """The oldest requests that are to be sent, as many as one entry should hold; empty if there are none."""
        taken: list[Request] = []
        size = 0
        while self._unsent:
            request = self._unsent[0]
            if request.number in self._waiting:
                size += _REQUEST.size + len(request.data)
                if taken and size > self._settings.batch_bytes:
                    break
                taken.append(request)
            self._unsent.popleft()
        return taken

    def batch(self, requests: list[Request]) -> Batch:
        """The entry that holds `requests`."""
        low = next(iter(self._waiting), self._next)
        return Batch(*self.session, low, [(request.number, request.data) for request in requests])

    def put_back(self, requests: list[Request], why: str) -> None:
        """They did not leave; they are the next to be sent."""
        self.why_waiting = why
        self._unsent.extendleft(reversed(requests))

    def note_sent(self, requests: list[Request]) -> None:
        """A copy of each is on its way."""
        for request in requests:
            request.sent = True
            request.age = 0

    def on_ticks(self, ticks: int, limit: int) -> None:
        """Time passed: what was sent `limit` ticks ago and has not come by is sent again."""
        for request in self._waiting.values():
            if request.sent:
                request.age += ticks
        self._send_again(request for request in self._waiting.values() if request.sent and request.age >= limit)

    def send_all_again(self) -> None:
        """There is a new leader; whatever was on the way to the old one may be lost."""
        self._send_again(request for request in self._waiting.values() if request.sent)

    def _send_again(self, requests: Iterable[Request]) -> None:
        queued = {request.number for request in self._unsent}
        again = [request for request in requests if request.number not in queued]
        for request in again:
            request.age = 0
        self._unsent.extendleft(reversed(again))

    def take_results(self, results: list[tuple[int, object]]) -> None:
        """Requests of this process were carried out."""
        for number, result in results:
            request = self._waiting.get(number)
            if request is not None:
                self.forget(request)
                if not request.done.done():
                    request.done.set_result(result)

    def lose_answers(self, sessions: Sessions) -> None:
        """The state was replaced; what was carried out unseen will not come by."""
        reason = "it was carried out while this node was catching up; with what result is not known here"
        for request in list(self._waiting.values()):
            if sessions.has_done(*self.session, request.number):
                self._fail(request, NotServedError(reason, may_still_happen=True))

    def fail_all(self, reason: str) -> None:
        """Nothing that waits will be answered."""
        for request in list(self._waiting.values()):
            self._fail(request, NotServedError(reason, may_still_happen=request.sent))

    def _fail(self, request: Request, error: NotServedError) -> None:
        self.forget(request)
        if not request.done.done():
            request.done.set_exception(error)


class Sessions:
    """What has been carried out, of every session: part of the replicated state, the same on all nodes."""

    def __init__(self, saved: list[tuple[int, int, int, list[int]]] | None = None) -> None:
        self._sessions: dict[tuple[int, int], tuple[int, set[int]]] = {}
        """By node and nonce, the silent ones first: `low`, and the numbers from there on that are done."""
        for node, nonce, low, done in saved or []:
            self._sessions[node, nonce] = (low, set(done))

    def begin(self, batch: Batch) -> list[tuple[int, bytes]]:
        """Note that `batch` is carried out; which of its requests have not been before."""
        key = (batch.node, batch.nonce)
        low, done = self._sessions.pop(key, (0, set()))
        if batch.low - low > len(done):
            done = {number for number in done if number >= batch.low}
        else:
            done.difference_update(range(low, batch.low))
        low = max(low, batch.low)
        fresh: list[tuple[int, bytes]] = []
        for number, data in batch.requests:
            if number >= low and number not in done:
                done.add(number)
                fresh.append((number, data))
        self._sessions[key] = (low, done)
        if len(self._sessions) > MAX_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        return fresh

    def has_done(self, node: int, nonce: int, number: int) -> bool:
        """Whether a request is known to have been carried out."""
        return number in self._sessions.get((node, nonce), (0, set()))[1]

    def save(self) -> list[tuple[int, int, int, list[int]]]:
        """For a snapshot."""
        return [(node, nonce, low, sorted(done)) for (node, nonce), (low, done) in self._sessions.items()]
