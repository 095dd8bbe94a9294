"""ReadQueue: reads that wait until a quorum has confirmed that this node still leads.

Reads are numbered in the order of their arrival. A heartbeat carries the latest number; an answer to it confirms that
number and all before it. A number that a quorum has reached releases every read up to it. A round of heartbeats that
renews the leader's lease takes a number too. The application's own bytes never serve as the number, so that a repeated
context is simply another read.

Source: thesis §6.4; etcd read_only.go.
"""

from __future__ import annotations

from typing import Final, final

from librt.strings import read_i64_le
from mypy_extensions import mypyc_attr

from pyraft.types import u64

CONTEXT_BYTES: Final = 8
"""Length of a number in a heartbeat and in its answer."""


def context_of(position: u64) -> bytes:
    """Return the bytes that a heartbeat carries for read number `position`."""
    return int(position).to_bytes(CONTEXT_BYTES, "little")


def position_of(context: bytes) -> u64:
    """The number in the `CONTEXT_BYTES` bytes of a heartbeat's answer; negative if no heartbeat carries such a one."""
    return read_i64_le(context, 0)


@final
@mypyc_attr(acyclic=True)
class PendingRead:
    """A read: who asked (this node's own id for a local one), its context, the commit index that it may be served at,
    and its number in the queue (0: none yet).
    """

    __slots__ = ("context", "from_", "index", "number")

    def __init__(self, from_: u64, context: bytes, index: u64) -> None:
        self.from_ = from_
        self.context = context
        self.index = index
        self.number: u64 = 0


@final
class ReadQueue:
    """The reads of one leadership."""

    def __init__(self) -> None:
        self.confirmed: u64 = 0
        """Highest number that a quorum has confirmed."""
        self.last: u64 = 0
        """Highest number that was given."""
        self.pending: list[PendingRead] = []
        self.acked: dict[int, int] = {}
        """Highest number that each node has confirmed."""

    def __len__(self) -> int:
        return len(self.pending)

    def next_number(self) -> u64:
        """A number of its own, for something that is confirmed together with the reads."""
        self.last += 1
        return self.last

    def add(self, read: PendingRead) -> u64:
        """Queue a read; its number is returned."""
        read.number = self.next_number()
        self.pending.append(read)
        return read.number

    def acknowledge(self, id: u64, position: u64) -> None:
        """Node `id` has confirmed reads up to number `position`."""
        if position > self.acked.get(id, 0):
            self.acked[id] = position

    def release(self, number: u64) -> list[PendingRead]:
        """The reads up to `number`, which a quorum has reached, in order of arrival."""
        if number > self.last:
            number = self.last
        if number > self.confirmed:
            self.confirmed = number
        count: u64 = 0
        while count < len(self.pending) and self.pending[count].number <= number:
            count += 1
        if count == 0:
            return []
        released = self.pending[:count]
        del self.pending[:count]
        return released
