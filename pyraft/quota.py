"""UncommittedQuota: how much a leader has taken on and not yet seen applied.

Law: the first proposal is admitted whatever its size, and so is one without payload, so that the limit can slow a
leader down but never wedge it.

Source: etcd raft.go increaseUncommittedSize, reduceUncommittedSize.
"""

from __future__ import annotations

from typing import final

from pyraft.types import u64


@final
class UncommittedQuota:
    """Payload bytes of the entries appended in this leadership that are not applied yet."""

    def __init__(self, limit: u64) -> None:
        self.limit: u64 = limit
        self.size: u64 = 0

    def admit(self, size: u64) -> bool:
        """Count `size` more payload bytes; False, and nothing is counted, if that exceeds the limit."""
        if self.size > 0 and size > 0 and self.size + size > self.limit:
            return False
        self.size += size
        return True

    def release(self, size: u64) -> None:
        """`size` payload bytes have been applied; they may stem from an earlier leadership."""
        self.size = self.size - size if self.size > size else 0

    def reset(self) -> None:
        """A new role counts from nothing."""
        self.size = 0
