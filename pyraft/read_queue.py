"""ReadQueue: reads that wait until a quorum has confirmed that this node still leads.

Reads are numbered in the order of their arrival. A heartbeat carries the number of the latest; an answer to it confirms
that read and all before it. A position that a quorum has reached releases every read up to it. The application's own
bytes never serve as the number, so that a repeated context is simply another read.

Source: thesis §6.4; etcd read_only.go.
"""

from __future__ import annotations

from typing import Final, final

from librt.strings import read_i64_le
from mypy_extensions import mypyc_attr

from pyraft.types import NONE_ID, u64

CONTEXT_BYTES: Final = 8
"""Length of a number in a heartbeat and in its answer."""


def context_of(position: u64) -> bytes:
    """What a heartbeat carries for read number `position`."""
    return int(position).to_bytes(CONTEXT_BYTES, "little")


def position_of(context: bytes) -> u64:
    """The number in the `CONTEXT_BYTES` bytes of a heartbeat's answer; negative if no heartbeat carries such a one."""
    return read_i64_le(context, 0)


@final
@mypyc_attr(acyclic=True)
class PendingRead:
    """A read: who asked (this node's own id for a local one), its context, and the commit index it may be served at.

    Or a heartbeat that renews the leader's lease: nobody in place of who asked, its tick in place of the index.
    """

    __slots__ = ("context", "from_", "index")

    def __init__(self, from_: u64, context: bytes, index: u64) -> None:
        self.from_ = from_
        self.context = context
        self.index = index


@final
class ReadQueue:
    """The reads of one leadership."""

    def __init__(self) -> None:
        self.confirmed: u64 = 0
        """Number of the last read that was released."""
        self.pending: list[PendingRead] = []
        self.acked: dict[int, int] = {}
        """Highest number that each node has confirmed."""
        self._waiting: u64 = 0

    def __len__(self) -> int:
        return len(self.pending)

    def count(self) -> u64:
        """Reads that somebody waits for; a heartbeat that renews the lease waits on nobody's behalf."""
        return self._waiting

    def last_position(self) -> u64:
        """Number of the latest read."""
        return self.confirmed + len(self.pending)

    def add(self, read: PendingRead) -> u64:
        """Queue a read; its number is returned."""
        self.pending.append(read)
        if read.from_ != NONE_ID:
            self._waiting += 1
        return self.last_position()

    def acknowledge(self, id: u64, position: u64) -> None:
        """Node `id` has confirmed reads up to number `position`."""
        if position > self.acked.get(id, 0):
            self.acked[id] = position

    def release(self, position: u64) -> list[PendingRead]:
        """The reads up to number `position`, which a quorum has reached, in order of arrival."""
        count: u64 = position - self.confirmed
        if count > len(self.pending):
            count = len(self.pending)
        if count <= 0:
            return []
        released = self.pending[:count]
        del self.pending[:count]
        self.confirmed += count
        for read in released:
            if read.from_ != NONE_ID:
                self._waiting -= 1
        return released
