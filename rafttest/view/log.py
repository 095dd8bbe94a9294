"""Log: the entries of a node at some moment, which share memory with those of the moments before.

    shared list    [ 1/1  1/2  1/3  2/4  2/5 ]
    one moment       ^--------------^             first 1, last 4
    a later one           ^--------------^        first 2, last 5: one entry was added, one was compacted

Invariants: the shared list only grows, at its end, so that what a Log shows never changes. Adding an entry costs the
same in a long log as in a short one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import final

from raftpb.message import Entry


@final
class SharedLog:
    """Entries `first` to `last`; empty if `last` is one below."""

    __slots__ = ("_shared", "_shared_first", "first", "last")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, first: int, entries: Iterable[Entry] = ()) -> None:
        self._shared = list(entries)
        self._shared_first = first
        self.first = first
        self.last = first + len(self._shared) - 1

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries_from(self.first))

    def __repr__(self) -> str:
        return f"Log({self.first}, {list(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SharedLog):
            return NotImplemented
        if self.first != other.first or self.last != other.last:
            return False
        return self._shared is other._shared or all(mine == its for mine, its in zip(self, other, strict=True))

    def entry(self, index: int) -> Entry | None:
        """The entry at `index`; None outside."""
        return self._shared[index - self._shared_first] if self.first <= index <= self.last else None

    def entries_from(self, index: int) -> list[Entry]:
        """Entries `index` to `last`."""
        return self._shared[max(index, self.first) - self._shared_first : self.last - self._shared_first + 1]

    def then(self, index: int, entries: Sequence[Entry]) -> SharedLog:
        """Build the log that is this one below `index`, which is at most one above `last`, and then `entries`."""
        if not self.first <= index <= self.last + 1:
            raise ValueError(f"expected an index from {self.first} to {self.last + 1}, got {index}")
        same = 0
        at = index - self._shared_first
        while same < len(entries) and at + same < len(self._shared) and self._shared[at + same] == entries[same]:
            same += 1
        if same < len(entries) and at + same < len(self._shared):
            return SharedLog(self.first, [*self._shared[self.first - self._shared_first : at], *entries])
        self._shared.extend(entries[same:])
        return self._window(self.first, index + len(entries) - 1)

    def compacted(self, first: int) -> SharedLog:
        """Build the log without what lies below `first`."""
        return self if first == self.first else self._window(first, max(self.last, first - 1))

    def _window(self, first: int, last: int) -> SharedLog:
        made = SharedLog(self._shared_first)
        made._shared = self._shared
        made.first, made.last = first, last
        return made

    def common(self, before: SharedLog) -> int:
        """The highest index up to which `before` has the same entries, from this log's first on; 0 if none."""
        end = min(before.last, self.last)
        if before.first > self.first or end < self.first:
            return 0
        if self._shared is before._shared:
            return end
        index = self.first
        while index <= end and self.entry(index) == before.entry(index):
            index += 1
        return index - 1 if index > self.first else 0
