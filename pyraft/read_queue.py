"""ReadQueue: reads that wait until a quorum has confirmed that this node still leads.

Reads are numbered in the order of their arrival. A heartbeat carries the number of the latest; an answer to it confirms
that read and all before it. A position that a quorum has reached releases every read up to it. The application's own
bytes never serve as the number, so that a repeated context is simply another read.

Source: thesis §6.4; etcd read_only.go.
"""

from __future__ import annotations

from collections import deque
from typing import final

from pyraft.types import NONE_ID, u64


@final
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
        self.pending: deque[PendingRead] = deque()
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
        released: list[PendingRead] = []
        while self.confirmed < position and self.pending:
            read = self.pending.popleft()
            released.append(read)
            self.confirmed += 1
            if read.from_ != NONE_ID:
                self._waiting -= 1
        return released
