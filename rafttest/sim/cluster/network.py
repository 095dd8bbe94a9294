"""Network: loses, copies, delays, reorders, cuts, clogs, damages and misdirects, as the seed says.

A link is a pair (sender, receiver). Cut links lose everything; clogged ones hold it until they are released in a burst.
Where a seed has a wire, messages travel as bytes (`frame`), and snapshots may travel in pieces (`snapshot_stream`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Final

from raftpb.enums import MSG_SNAP
from raftpb.message import Message
from rafttest.sim.cluster.frame import encode_frame, flip
from rafttest.sim.cluster.snapshot_stream import Piece, Streams
from rafttest.sim.options import Options
from rafttest.sim.schedule import TICK, Schedule

Link = tuple[int, int]

_REMEMBERED: Final = 64
"""Messages that may come back long after they were sent."""


class Envelope:
    """A message on its way to node `at`, which is not always the one it is for. `sent`: the moment when it left.
    `frame`: its bytes, perhaps damaged, where there is a wire.
    """

    __slots__ = ("at", "frame", "message", "sent")

    def __init__(self, message: Message, at: int, sent: int, frame: bytes | None = None) -> None:
        self.message = message
        self.at = at
        self.sent = sent
        self.frame = frame

    @property
    def from_(self) -> int:
        """Who sent it."""
        return self.message.from_


Packet = Envelope | Piece


class SimNetwork:
    """All links. `arrive` takes what reaches its node, `lost` what does not."""

    def __init__(
        self,
        schedule: Schedule,
        random: Random,
        options: Options,
        arrive: Callable[[Packet], None],
        lost: Callable[[Message], None],
        count: Callable[[str], None] | None = None,
    ) -> None:
        self.schedule = schedule
        self.random = random
        self.options = options
        self.is_calm = False
        """No faults any more, and every message takes a fraction of a tick."""
        self.cut: set[Link] = set()
        self.clogged: dict[Link, list[Packet]] = {}
        self.past: deque[Packet] = deque(maxlen=_REMEMBERED)
        self.slow: dict[int, int] = {}
        """By how much nodes are slower than they should be."""
        self.ids: list[int] = []
        """Everybody who may get what is not for him."""
        self.copies = 0
        self._arrive = arrive
        self._lost = lost
        self._count = count if count is not None else _nothing
        self._last_arrival: dict[Link, int] = {}
        self._bad = Random(f"{options.seed} damage")
        self.streams = Streams(schedule, options.piece_bytes, self._transmit, self._whole, lost, self._count)

    def send(self, m: Message) -> None:
        """A message leaves its node."""
        options = self.options
        if options.piece_bytes and m.type is MSG_SNAP:
            self.streams.begin(m)
            return
        envelope = Envelope(m, m.to, self.schedule.now, encode_frame(m) if options.has_wire else None)
        if not self.is_calm and options.misdirect and self._bad.random() < options.misdirect and self.ids:
            envelope.at = self._bad.choice(self.ids)
        self._transmit(envelope)

    def _transmit(self, packet: Packet) -> None:
        options, random, link = self.options, self.random, (packet.from_, packet.at)
        self.past.append(packet)
        if link in self.cut or (not self.is_calm and random.random() < options.drop):
            if isinstance(packet, Envelope):
                m = packet.message
                self.schedule.after(random.randrange(1, TICK), lambda: self._lost(m))
        elif link in self.clogged:
            self.clogged[link].append(packet)
        else:
            self._carry(packet, self._delay(packet.from_))
            if not self.is_calm and random.random() < options.duplicate:
                self.copies += 1
                self._bring(packet, self._delay(packet.from_) * random.choice((1, 1, 5, 20)))

    def _whole(self, m: Message) -> None:
        self._arrive(Envelope(m, m.to, self.schedule.now))

    def repeat_one_of_old(self, about: int) -> bool:
        """Let something from or to node `about` arrive once more; False if nothing is remembered."""
        known = [one for one in self.past if about in {one.from_, one.at}]
        if known:
            packet = known[self.random.randrange(len(known))]
            self._bring(packet, self._delay(packet.from_))
        return bool(known)

    def release(self, links: list[Link]) -> None:
        """What the clogged `links` held arrives at about the same time."""
        for link in links:
            for packet in self.clogged.pop(link, []):
                self._carry(packet, self.random.randrange(1, TICK))

    def release_first(self, link: Link) -> None:
        """The first of what the clogged `link` holds arrives."""
        if held := self.clogged.get(link):
            self._carry(held.pop(0), self.random.randrange(1, TICK))

    def calm(self) -> None:
        """All faults end."""
        self.is_calm = True
        self.cut.clear()
        self.past.clear()
        self.slow.clear()
        self._last_arrival.clear()
        self.release(list(self.clogged))

    def _carry(self, packet: Packet, moments: int) -> None:
        """Let it arrive, on a link that keeps the order not before what was sent earlier. Copies hold nobody up."""
        if self.options.is_fifo:
            link = (packet.from_, packet.at)
            time = max(self._last_arrival.get(link, 0), self.schedule.now + moments)
            self._last_arrival[link] = time
            moments = time - self.schedule.now
        self._bring(packet, moments)

    def _bring(self, packet: Packet, moments: int) -> None:
        if not self.is_calm and self.options.corrupt and self._bad.random() < self.options.corrupt:
            packet = self._damaged(packet)
        self.schedule.after(moments, lambda: self._arrive(packet))

    def _damaged(self, packet: Packet) -> Packet:
        if isinstance(packet, Piece):
            return packet.damaged(flip(packet.data, self._bad)) if packet.data else packet
        frame = flip(packet.frame, self._bad) if packet.frame is not None else None
        return Envelope(packet.message, packet.at, packet.sent, frame)

    def _delay(self, sender: int) -> int:
        random, options = self.random, self.options
        if self.is_calm:
            return random.randrange(1, TICK // 2)
        if random.random() < options.late:
            moments = random.randrange(1, 3 * options.election_tick * TICK)
        else:
            moments = random.randrange(1, options.delay)
        return moments * self.slow.get(sender, 1) if self.slow else moments


def _nothing(what: str) -> None:
    """Nobody counts."""
