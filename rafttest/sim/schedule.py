"""Schedule: virtual time, and what is to happen when. No clock of the machine is read.

Law: things happen in the order of their times, and those of one time in the order in which they were asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sortedcontainers import SortedList

TICK: Final = 100
"""Moments in a tick of a node's clock."""

Action = Callable[[], None]


class Schedule:
    """The queue of what is to happen; `now` is the moment at which it is."""

    def __init__(self) -> None:
        self.now = 0
        self._asked = 0
        self._queue: SortedList[tuple[int, int, Action]] = SortedList()

    def after(self, moments: int, action: Action) -> None:
        """Let `action` happen so much later; at least one moment passes."""
        self._asked += 1
        self._queue.add((self.now + max(1, moments), self._asked, action))

    def step(self, until: int) -> bool:
        """Go to the next thing and do it; False, and the time is `until`, if nothing is left before that."""
        if not self._queue or self._queue[0][0] >= until:
            self.now = until
            return False
        self.now, _, action = self._queue.pop(0)
        action()
        return True
