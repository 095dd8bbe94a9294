"""Small names that everything above shares: roles, options, and the two size units.

Source: etcd raft.go, types.go, util.go.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from raftpb.enums import NamedInt
from raftpb.integers import MAX_INTEGER, u64
from raftpb.message import NONE_ID, Entry

__all__ = [
    "CANDIDATE",
    "FOLLOWER",
    "LEADER",
    "LEASE_BASED",
    "MAX_CONTEXT_BYTES",
    "MAX_ENTRY_OVERHEAD",
    "MAX_INTEGER",
    "NONE_ID",
    "NO_LIMIT",
    "PRE_CANDIDATE",
    "SAFE",
    "CampaignRefusal",
    "ReadOnlyOption",
    "Role",
    "SnapshotStatus",
    "TransferRefusal",
    "encoded_size",
    "limited_slice",
    "payload_size",
    "u64",
]

NO_LIMIT: Final = 2**62 - 1
"""A size or count that never binds; small enough that adding to it cannot overflow."""


MAX_CONTEXT_BYTES: Final = 256
"""The longest context of a read; it travels with every message about it."""


MAX_ENTRY_OVERHEAD: Final = 30
"""Most bytes of an entry's encoding beside its data: type, term, index and length with their tags."""


class Role(NamedInt):
    """Roles of a node (etcd StateType). Learner is not a role but a place in the configuration."""

    StateFollower = 0
    StateCandidate = 1
    StateLeader = 2
    StatePreCandidate = 3


FOLLOWER: Final = Role.StateFollower
CANDIDATE: Final = Role.StateCandidate
LEADER: Final = Role.StateLeader
PRE_CANDIDATE: Final = Role.StatePreCandidate


class ReadOnlyOption(NamedInt):
    """Ways in which a leader makes sure that a read is not stale: it asks a quorum, or trusts its lease and the
    clocks.
    """

    ReadOnlySafe = 0
    ReadOnlyLeaseBased = 1


SAFE: Final = ReadOnlyOption.ReadOnlySafe
LEASE_BASED: Final = ReadOnlyOption.ReadOnlyLeaseBased


class SnapshotStatus(NamedInt):
    """Fates of a snapshot that the application sent (etcd SnapshotStatus)."""

    SnapshotFinish = 1
    SnapshotFailure = 2


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


def limited_slice(entries: list[Entry], start: u64, stop: u64, max_size: u64) -> list[Entry]:
    """A copy of entries[start:stop], cut before the first entry that would exceed `max_size` encoded bytes, but at
    least one if the range holds any (etcd util.go limitSize). The work is bounded by what is returned.
    """
    if max_size >= NO_LIMIT or stop - start == 1:
        return entries[start:stop]
    size: u64 = 0
    position: u64 = start
    while position < stop:
        size += entries[position].encoded_size()
        if size > max_size and position != start:
            return entries[start:position]
        position += 1
    return entries[start:stop]


class CampaignRefusal(Enum):
    """Reasons why a node did not campaign."""

    ALREADY_LEADER = "this node leads already"
    NOT_A_VOTER = "this node is not a voter of its configuration"
    SNAPSHOT_PENDING = "a received snapshot is not durable yet"
    UNAPPLIED_CONF_CHANGE = "a committed membership change is not applied yet"
    LEASE_MAY_RUN = "a lease granted before the restart may still run; wait one election timeout"
    LEASE_PROMISED = "the leader may rely on a lease of this node; let it transfer, or wait one election timeout"


class TransferRefusal(Enum):
    """Reasons why a leadership transfer was not started."""

    NO_LEADER = "no leader is known to pass the request to"
    CAMPAIGNING = "this node is campaigning"
    UNKNOWN = "the target is not a member"
    LEARNER = "the target is a learner"
    IN_PROGRESS = "a transfer to that target is under way"
    SELF = "the target leads already"
