"""Small names that everything above shares: roles, options, positions in the log, and the two size units.

Source: etcd raft.go, types.go, util.go.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import mypyc_attr

from raftpb.enums import NamedInt
from raftpb.integers import MAX_INTEGER, u64
from raftpb.message import NONE_ID, Entry

__all__ = [
    "CANDIDATE",
    "FOLLOWER",
    "LEADER",
    "LEASE_BASED",
    "MAX_INTEGER",
    "NONE_ID",
    "NO_LIMIT",
    "PRE_CANDIDATE",
    "SAFE",
    "EntryId",
    "ReadOnlyOption",
    "Role",
    "SnapshotStatus",
    "encoded_size",
    "limit_size",
    "payload_size",
    "u64",
]

NO_LIMIT: Final = 2**62 - 1
"""A size or count that never binds; small enough that adding to it cannot overflow."""


class Role(NamedInt):
    """What a node is at the moment (etcd StateType). Learner is not a role but a place in the configuration."""

    StateFollower = 0
    StateCandidate = 1
    StateLeader = 2
    StatePreCandidate = 3


FOLLOWER: Final = Role.StateFollower
CANDIDATE: Final = Role.StateCandidate
LEADER: Final = Role.StateLeader
PRE_CANDIDATE: Final = Role.StatePreCandidate


class ReadOnlyOption(NamedInt):
    """How a leader makes sure that a read is not stale: by asking a quorum, or by trusting its lease and the clocks."""

    ReadOnlySafe = 0
    ReadOnlyLeaseBased = 1


SAFE: Final = ReadOnlyOption.ReadOnlySafe
LEASE_BASED: Final = ReadOnlyOption.ReadOnlyLeaseBased


class SnapshotStatus(NamedInt):
    """What became of a snapshot that the application sent (etcd SnapshotStatus)."""

    SnapshotFinish = 1
    SnapshotFailure = 2


@final
@mypyc_attr(acyclic=True)
class EntryId:
    """A position in the log: an index and the term of the entry there (etcd entryID)."""

    __slots__ = ("index", "term")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, term: u64, index: u64) -> None:
        self.term = term
        self.index = index

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EntryId):
            return NotImplemented
        return self.term == other.term and self.index == other.index

    def __repr__(self) -> str:
        return f"EntryId(term={self.term}, index={self.index})"

    def __reduce__(self) -> tuple[type[EntryId], tuple[int, int]]:
        return (EntryId, (self.term, self.index))


def encoded_size(entries: list[Entry]) -> u64:
    """Sum of the entries' own encoded bytes: the unit of limits per message, per Ready and of Storage.entries."""
    size: u64 = 0
    for entry in entries:
        size += entry.encoded_size()
    return size


def payload_size(entries: list[Entry]) -> u64:
    """Sum of the entries' data bytes: the unit of the uncommitted and the in-flight limit."""
    size: u64 = 0
    for entry in entries:
        size += len(entry.data)
    return size


def limit_size(entries: list[Entry], max_size: u64) -> list[Entry]:
    """The longest prefix of at most `max_size` encoded bytes, but always at least one entry (etcd util.go limitSize).

    Returns the given list itself when all of it fits.
    """
    if max_size >= NO_LIMIT:
        return entries
    size: u64 = 0
    count: u64 = 0
    for entry in entries:
        size += entry.encoded_size()
        if size > max_size and count != 0:
            return entries[:count]
        count += 1
    return entries
