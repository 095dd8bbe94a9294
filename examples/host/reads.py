"""Reads: waiting until this node's state is at least as new as anything acknowledged before the question.

    readers ─> round ─> read_index ─> ReadState(index) ─> wait until applied >= index ─> readers

One question answers everybody who came before it was asked; who comes later waits for the next. A question can be lost
without a word, so one that is not answered is asked again, each time under a new context: an old answer must not pass
for a new one.

Source: thesis §6.4.
"""

from __future__ import annotations

import asyncio
import heapq
import struct

from examples.host.machine import NotServedError
from pyraft import AbortedRead, NodeLike, ReadDroppedError, ReadState

_CONTEXT = struct.Struct(">QQQ")

Waiters = list[asyncio.Future[None]]


class Reads:
    """The readers of one group on this node."""

    def __init__(self, node: int, nonce: int, max_count: int) -> None:
        self.why_waiting = "no quorum answers"
        """Why the last question could not be asked, for people."""
        self._node = node
        self._nonce = nonce
        self._max_count = max_count
        self._count = 0
        self._waiting: Waiters = []
        self._asked: Waiters = []
        self._context = b""
        """Of the round under way; empty: none is."""
        self._rounds = 0
        self._age = 0
        self._known: list[tuple[int, int, Waiters]] = []
        """A heap of (index to be applied, round, who waits for it)."""

    def __len__(self) -> int:
        return self._count

    def add(self) -> asyncio.Future[None]:
        """Take a reader; done once it may read. Raises NotServedError if there is no room."""
        if self._count >= self._max_count:
            raise NotServedError("too many reads are waiting here", may_still_happen=False)
        self._count += 1
        reader: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        reader.add_done_callback(self._forget)
        self._waiting.append(reader)
        return reader

    def ask(self, node: NodeLike) -> None:
        """Begin a round for all who wait, unless one is under way."""
        if self._context or not self._waiting:
            return
        self._waiting = [reader for reader in self._waiting if not reader.done()]
        if not self._waiting:
            return
        self._rounds += 1
        context = _CONTEXT.pack(self._node, self._nonce, self._rounds)
        try:
            node.read_index(context)
        except ReadDroppedError as error:
            self.why_waiting = error.reason.value
            return
        self._context = context
        self._age = 0
        self._asked, self._waiting = self._waiting, []

    def take_answers(self, states: tuple[ReadState, ...], aborted: tuple[AbortedRead, ...], applied: int) -> None:
        """What a Ready says about the round under way."""
        for state in states:
            if self._context and state.context == self._context:
                heapq.heappush(self._known, (state.index, self._rounds, self._asked))
                self._asked = []
                self._context = b""
        if any(read.context == self._context for read in aborted):
            self.give_up_round()
        self.release(applied)

    def give_up_round(self) -> None:
        """Whatever was asked is not going to be answered; those who wait for it join the next round."""
        self._waiting = self._asked + self._waiting
        self._asked = []
        self._context = b""

    def on_ticks(self, ticks: int, limit: int) -> None:
        """Time passed: a round of `limit` ticks ago is lost."""
        self._age += ticks
        if self._context and self._age >= limit:
            self.why_waiting = "the leader does not answer"
            self.give_up_round()

    def release(self, applied: int) -> None:
        """The state is as of index `applied`: who waited for that may read."""
        while self._known and self._known[0][0] <= applied:
            for reader in heapq.heappop(self._known)[2]:
                if not reader.done():
                    reader.set_result(None)

    def fail_all(self, reason: str) -> None:
        """Nobody who waits will read."""
        waiting = self._waiting + self._asked
        for _, _, readers in self._known:
            waiting += readers
        self._waiting, self._asked, self._known, self._context = [], [], [], b""
        for reader in waiting:
            if not reader.done():
                reader.set_exception(NotServedError(reason, may_still_happen=False))

    def _forget(self, _: asyncio.Future[None]) -> None:
        self._count -= 1
