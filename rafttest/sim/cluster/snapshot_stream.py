"""Chunks: how a snapshot travels where a seed sends it in pieces: resumed where it broke off, or begun again, and given
to the receiver whole or not at all.

    sender     piece (stream, offset, bytes) ─────────> receiver   keeps it if it is the next one of its stream
               goes on from there            <───────── receipt (stream, how much is there)

Pieces and receipts are lost, copied, delayed, damaged and reordered as messages are. A receiver keeps one stream of
each sender, the latest; it loses that in a crash, and asks for all of it again. A sender that hears nothing repeats,
and gives up after a while, which its node is told.

Invariants: a piece of another stream, or of another place in it, is not taken; what is handed over is what was sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from zlib import crc32

from raftpb.message import Message
from rafttest.sim.checker.violation import Violation
from rafttest.sim.cluster.frame import DamagedError, decode_frame, encode_frame
from rafttest.sim.schedule import TICK, Schedule

_PATIENCE: Final = 2 * TICK
_MOST_REPEATS: Final = 12


class Piece:
    """A part of a stream, or with `data` None the receipt for one: `offset` bytes are there."""

    __slots__ = ("at", "checksum", "data", "from_", "offset", "stream", "total")

    def __init__(self, stream: int, from_: int, at: int, offset: int, total: int, data: bytes | None) -> None:
        self.stream = stream
        self.from_ = from_
        self.at = at
        self.offset = offset
        self.total = total
        self.data = data
        self.checksum = 0 if data is None else crc32(data)

    def damaged(self, data: bytes) -> Piece:
        """The same with other bytes, and the old checksum."""
        copy = Piece(self.stream, self.from_, self.at, self.offset, self.total, data)
        copy.checksum = self.checksum
        return copy


class _Outgoing:
    def __init__(self, m: Message, frame: bytes) -> None:
        self.message = m
        self.frame = frame
        self.offset = 0
        self.repeats = 0


class _Incoming:
    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.data = b""


class Streams:
    """All snapshots on their way. `transmit` carries a piece, `arrived` takes a whole message, `failed` one that was
    given up, `count` notes what was reached.
    """

    def __init__(
        self,
        schedule: Schedule,
        size: int,
        transmit: Callable[[Piece], None],
        arrived: Callable[[Message], None],
        failed: Callable[[Message], None],
        count: Callable[[str], None],
    ) -> None:
        self.schedule = schedule
        self.size = size
        self._transmit = transmit
        self._arrived = arrived
        self._failed = failed
        self._count = count
        self._number = 0
        self._outgoing: dict[int, _Outgoing] = {}
        self._incoming: dict[tuple[int, int], _Incoming] = {}
        self._sent: dict[int, bytes] = {}

    def begin(self, m: Message) -> None:
        """Send a MsgSnap."""
        self._number += 1
        self._outgoing[self._number] = _Outgoing(m, encode_frame(m))
        self._sent[self._number] = self._outgoing[self._number].frame
        self._send(self._number)

    def forget(self, id: int) -> None:
        """Node `id` has crashed: what it was sending or receiving is gone."""
        for number in [number for number, one in self._outgoing.items() if one.message.from_ == id]:
            del self._outgoing[number]
        for link in [link for link in self._incoming if link[1] == id]:
            del self._incoming[link]

    def receivers(self) -> list[int]:
        """The nodes to which something is on its way that has not arrived, ascending."""
        return sorted({one.message.to for one in self._outgoing.values()})

    def take(self, piece: Piece) -> None:
        """A piece or a receipt reaches its node, which runs."""
        if piece.data is None:
            self._take_receipt(piece)
        elif crc32(piece.data) != piece.checksum:
            self._count("damaged pieces caught")
        else:
            self._take_piece(piece, piece.data)

    # -- the sender

    def _send(self, number: int) -> None:
        one = self._outgoing[number]
        m, data = one.message, one.frame[one.offset : one.offset + self.size]
        self._transmit(Piece(number, m.from_, m.to, one.offset, len(one.frame), data))
        offset = one.offset
        self.schedule.after(_PATIENCE, lambda: self._repeat(number, offset))

    def _repeat(self, number: int, offset: int) -> None:
        one = self._outgoing.get(number)
        if one is None or one.offset != offset:
            return
        one.repeats += 1
        if one.repeats > _MOST_REPEATS:
            del self._outgoing[number]
            self._count("snapshots given up on the way")
            self._failed(one.message)
        else:
            self._send(number)

    def _take_receipt(self, receipt: Piece) -> None:
        one = self._outgoing.get(receipt.stream)
        if one is None or receipt.offset == one.offset:
            return
        if receipt.offset == len(one.frame):
            del self._outgoing[receipt.stream]
            return
        if receipt.offset < one.offset:
            if receipt.offset:
                return  # an old one
            one.repeats += 1
        one.offset = receipt.offset
        self._send(receipt.stream)

    # -- the receiver

    def _take_piece(self, piece: Piece, data: bytes) -> None:
        link = (piece.from_, piece.at)
        one = self._incoming.get(link)
        if one is None or one.stream < piece.stream:
            if one is not None:
                self._count("snapshots overtaken by another on the way")
            one = self._incoming[link] = _Incoming(piece.stream)
            if piece.offset:
                self._count("snapshots begun again in the middle")
        if one.stream > piece.stream:
            self._count("pieces of another snapshot refused")
            return
        if piece.offset == len(one.data):
            one.data += data
        else:
            self._count("pieces out of order or repeated refused")
        self._transmit(Piece(piece.stream, piece.at, piece.from_, len(one.data), piece.total, None))
        if len(one.data) == piece.total and piece.offset + len(data) == piece.total:
            self._finish(link, one)

    def _finish(self, link: tuple[int, int], one: _Incoming) -> None:
        if one.stream in self._sent:  # else it was handed over before, and this is the last piece once more
            sent = self._sent.pop(one.stream)
            try:
                m = decode_frame(one.data)
            except DamagedError:
                m = None
            if m is None or one.data != sent:
                raise Violation("N11", f"the snapshot in pieces from {link[0]} to {link[1]} arrived as another one")
            self._count("snapshots put together from pieces")
            self._arrived(m)
