"""Changes: membership changes that somebody on this node asked for, until each comes by in the log.

A leader may refuse one, because another is under way, by putting an empty entry in its place; and whoever forwarded it
hears nothing of that. So it is proposed again until it comes by, which is safe: a change names the one that it follows,
and of two copies the second is refused (`examples.host.membership`).
"""

from __future__ import annotations

import asyncio

from examples.host.machine import ChangeRefusedError, NotServedError
from examples.host.membership import Change, entry_of
from examples.host.state import ConfChangeResult
from raftpb import ConfChangeV2


class PendingChange:
    """One change that is waited for; `sent` once it may be in somebody's log."""

    __slots__ = ("done", "entry", "number", "sent")

    def __init__(self, number: int, entry: ConfChangeV2, done: asyncio.Future[None]) -> None:
        self.number = number
        self.entry = entry
        self.done = done
        self.sent = False


class Changes:
    """The changes asked for on this node."""

    def __init__(self, node: int, nonce: int) -> None:
        self._node = node
        self._nonce = nonce
        self._next = 1
        self._waiting: dict[int, PendingChange] = {}

    def add(self, change: Change, after: int) -> PendingChange:
        """Take a change that follows the one at index `after`."""
        asked_by = (self._node, self._nonce, self._next)
        asked = PendingChange(self._next, entry_of(change, after, asked_by), asyncio.get_running_loop().create_future())
        self._next += 1
        self._waiting[asked.number] = asked
        return asked

    def forget(self, asked: PendingChange) -> None:
        """Nobody waits for it any more."""
        self._waiting.pop(asked.number, None)

    def take_outcome(self, changed: ConfChangeResult) -> None:
        """A change came by; it may be one of these."""
        node, nonce, number = changed.asked_by
        if (node, nonce) != (self._node, self._nonce):
            return
        asked = self._waiting.pop(number, None)
        if asked is None or asked.done.done():
            return
        if changed.refusal is None:
            asked.done.set_result(None)
        else:
            asked.done.set_exception(ChangeRefusedError(changed.refusal))

    def fail_all(self, reason: str) -> None:
        """Nothing that waits will be answered."""
        for asked in self._waiting.values():
            if not asked.done.done():
                asked.done.set_exception(NotServedError(reason, may_still_happen=asked.sent))
        self._waiting.clear()
