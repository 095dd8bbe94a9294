"""Network: loses, copies, delays, reorders, cuts and clogs, as the seed says; it never changes a message.

A link is a pair (sender, receiver). Cut links lose everything; clogged ones hold it until they are released in a burst.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Final

from raftpb.message import Message
from rafttest.sim.faults import Options
from rafttest.sim.schedule import TICK, Schedule

Link = tuple[int, int]

_REMEMBERED: Final = 64
"""Messages that may come back long after they were sent."""


class Network:
    """All links. `arrive` takes a message that reaches its node, `lost` one that does not."""

    def __init__(
        self,
        schedule: Schedule,
        random: Random,
        options: Options,
        arrive: Callable[[Message], None],
        lost: Callable[[Message], None],
    ) -> None:
        self.schedule = schedule
        self.random = random
        self.options = options
        self.is_calm = False
        """No faults any more, and every message takes a fraction of a tick."""
        self.cut: set[Link] = set()
        self.clogged: dict[Link, list[Message]] = {}
        self.past: deque[Message] = deque(maxlen=_REMEMBERED)
        self.copies = 0
        self._arrive = arrive
        self._lost = lost
        self._last_arrival: dict[Link, int] = {}

    def send(self, m: Message) -> None:
        """A message leaves its node."""
        options, random, link = self.options, self.random, (m.from_, m.to)
        self.past.append(m)
        if link in self.cut or (not self.is_calm and random.random() < options.drop):
            self.schedule.after(random.randrange(1, TICK), lambda: self._lost(m))
        elif link in self.clogged:
            self.clogged[link].append(m)
        else:
            self._carry(m, self._delay())
            if not self.is_calm and random.random() < options.duplicate:
                self.copies += 1
                self._carry(m, self._delay() * random.choice((1, 1, 5, 20)))

    def repeat_one_of_old(self, about: int) -> bool:
        """Let a message from or to node `about` arrive once more; False if none is remembered."""
        known = [m for m in self.past if about in {m.from_, m.to}]
        if known:
            self._carry(known[self.random.randrange(len(known))], self._delay())
        return bool(known)

    def release(self, links: list[Link]) -> None:
        """What the clogged `links` held arrives at about the same time."""
        for link in links:
            for m in self.clogged.pop(link, []):
                self._carry(m, self.random.randrange(1, TICK))

    def calm(self) -> None:
        """All faults end."""
        self.is_calm = True
        self.cut.clear()
        self.past.clear()
        self._last_arrival.clear()
        self.release(list(self.clogged))

    def _carry(self, m: Message, moments: int) -> None:
        if self.options.is_fifo:
            link = (m.from_, m.to)
            time = max(self._last_arrival.get(link, 0), self.schedule.now + moments)
            self._last_arrival[link] = time
            moments = time - self.schedule.now
        self.schedule.after(moments, lambda: self._arrive(m))

    def _delay(self) -> int:
        random, options = self.random, self.options
        if self.is_calm:
            return random.randrange(1, TICK // 2)
        if random.random() < options.late:
            return random.randrange(1, 3 * options.election_tick * TICK)
        return random.randrange(1, options.delay)
