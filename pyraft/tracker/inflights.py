"""The window of messages on their way to one follower.

A queue of (index of the last entry, payload bytes), one for each MsgApp that carried entries and is not acknowledged
yet. Invariants: indexes ascend; `count() <= capacity`; `size_bytes()` is the sum over the queue. The byte limit is
soft: the window is full once it is reached, so one message may overshoot it and no message is too large to be sent.

    slots   [ 17 | 21 |  .  |  .  |  .  | 9 | 12 | 15 ]     a ring of 8, which holds 9 12 15 17 21
                                          ^ start

Source: thesis §10.2.1; etcd tracker/inflights.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from mypy_extensions import mypyc_attr

from pyraft.errors import InvariantError
from pyraft.types import NO_LIMIT, u64


@final
@mypyc_attr(acyclic=True)
class _Slot:
    """One message in the ring; reused for later ones, since creating an object costs more than filling one."""

    __slots__ = ("index", "size_bytes")

    def __init__(self) -> None:
        self.index: u64 = 0
        self.size_bytes: u64 = 0


@final
@mypyc_attr(acyclic=True)
class Inflights:
    """The window itself: at most `capacity` messages, and none more once `max_bytes` are under way.

    `entries`, oldest first, is what the window holds to begin with.
    """

    __slots__ = ("_count", "_size_bytes", "_slots", "_start", "capacity", "max_bytes")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, capacity: u64, max_bytes: u64 = NO_LIMIT, entries: Iterable[tuple[int, int]] = ()) -> None:
        self.capacity = capacity
        self.max_bytes = max_bytes
        self._slots: list[_Slot] = []
        self._start: u64 = 0
        self._count: u64 = 0
        self._size_bytes: u64 = 0
        for index, size_bytes in entries:
            self.add(index, size_bytes)

    def count(self) -> u64:
        """Messages under way."""
        return self._count

    def size_bytes(self) -> u64:
        """Payload bytes under way."""
        return self._size_bytes

    def is_full(self) -> bool:
        """True if nothing may be added before something is freed."""
        return self._count >= self.capacity or self._size_bytes >= self.max_bytes

    def add(self, index: u64, size_bytes: u64) -> None:
        """Note that a message went out whose last entry is `index` and whose entries carry `size_bytes` of data.

        Raises InvariantError if the window is full.
        """
        if self.is_full():
            raise InvariantError(
                f"entry {index} was sent into a full window of {self._count} messages and {self._size_bytes} bytes"
            )
        if self._count == len(self._slots):
            self._grow()
        slots = self._slots
        ring: u64 = len(slots)
        at = self._start + self._count
        if at >= ring:
            at -= ring
        slot = slots[at]
        slot.index = index
        slot.size_bytes = size_bytes
        self._count += 1
        self._size_bytes += size_bytes

    def newest_index(self) -> u64:
        """Index of the last entry of the message added last; 0 if nothing is under way."""
        return 0 if self._count == 0 else self._newest().index

    def newest_bytes(self) -> u64:
        """Payload bytes of the message added last; 0 if nothing is under way."""
        return 0 if self._count == 0 else self._newest().size_bytes

    def extend_newest(self, index: u64, size_bytes: u64) -> None:
        """The message added last, which has not left yet, now ends with `index` and carries `size_bytes` more.

        Raises InvariantError if nothing is under way.
        """
        if self._count == 0:
            raise InvariantError(f"entry {index} would extend a message that is not in the window")
        newest = self._newest()
        newest.index = index
        newest.size_bytes += size_bytes
        self._size_bytes += size_bytes

    def _newest(self) -> _Slot:
        ring: u64 = len(self._slots)
        return self._slots[(self._start + self._count - 1) % ring]

    def free_le(self, index: u64) -> None:
        """Forget the messages that an acknowledgement of `index` covers."""
        slots = self._slots
        ring: u64 = len(slots)
        while self._count != 0:
            slot = slots[self._start]
            if slot.index > index:
                return
            self._size_bytes -= slot.size_bytes
            self._count -= 1
            self._start += 1
            if self._start == ring:
                self._start = 0

    def reset(self) -> None:
        """Forget everything; the ring keeps its size."""
        self._count = 0
        self._size_bytes = 0

    def entries(self) -> list[tuple[int, int]]:
        """The messages under way, oldest first, each as (index of its last entry, payload bytes)."""
        ring: u64 = len(self._slots)
        held: list[tuple[int, int]] = []
        at = self._start
        for _ in range(self._count):
            slot = self._slots[at]
            held.append((slot.index, slot.size_bytes))
            at += 1
            if at == ring:
                at = 0
        return held

    def clone(self) -> Inflights:
        """An equal window of its own."""
        return Inflights(self.capacity, self.max_bytes, self.entries())

    def _grow(self) -> None:
        """Double the full ring, up to the capacity, and let it start at 0 again.

        By doubling, because a window may be allowed to be huge and yet hold a handful of messages for all its life.
        """
        size: u64 = len(self._slots)
        wanted: u64 = 1 if size == 0 else size * 2
        if wanted > self.capacity:
            wanted = self.capacity
        self._slots = self._slots[self._start :] + self._slots[: self._start]
        self._start = 0
        for _ in range(wanted - size):
            self._slots.append(_Slot())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Inflights):
            return NotImplemented
        return (
            self.capacity == other.capacity and self.max_bytes == other.max_bytes and self.entries() == other.entries()
        )

    def __repr__(self) -> str:
        return f"Inflights({self.capacity}, {self.max_bytes}, {self.entries()})"

    def __reduce__(self) -> tuple[type[Inflights], tuple[int, int, list[tuple[int, int]]]]:
        return (Inflights, (self.capacity, self.max_bytes, self.entries()))
