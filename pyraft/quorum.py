"""Quorums: majorities of one set of voters, and of both sets of a joint configuration.

Pure arithmetic on ids. A majority of n voters is n // 2 + 1 of them; a joint configuration agrees when both of its
halves do. Invariants: any two majorities of one set share a voter; an empty set agrees to everything, so that a joint
configuration with an empty half decides as the other half alone. These functions say what is meant; the tracker counts
the same results faster on its own data.

Source: thesis §3.4, §4.3; etcd quorum/majority.go, quorum/joint.go.
"""

from __future__ import annotations

from typing import Final

from pyraft.types import NO_LIMIT, u64
from raftpb.enums import NamedInt


class VoteResult(NamedInt):
    """Results of an election (etcd quorum VoteResult)."""

    VotePending = 1
    VoteLost = 2
    VoteWon = 3


VOTE_PENDING: Final = VoteResult.VotePending
VOTE_LOST: Final = VoteResult.VoteLost
VOTE_WON: Final = VoteResult.VoteWon


def majority(count: u64) -> u64:
    """The fewest of `count` voters that are more than half of them."""
    return count // 2 + 1


def committed_index(voters: tuple[int, ...], acked: dict[int, int]) -> u64:
    """The highest index that a majority of `voters` has acknowledged; a voter missing in `acked` acknowledged nothing.

    NO_LIMIT if there are no voters. `voters` must not name a node twice.
    """
    count: u64 = len(voters)
    if count == 0:
        return NO_LIMIT
    indexes = [acked.get(voter, 0) for voter in voters]
    indexes.sort()
    return indexes[count - majority(count)]


def joint_committed_index(incoming: tuple[int, ...], outgoing: tuple[int, ...], acked: dict[int, int]) -> u64:
    """The highest index that majorities of both halves have acknowledged."""
    first = committed_index(incoming, acked)
    second = committed_index(outgoing, acked)
    return first if first < second else second


def vote_result(voters: tuple[int, ...], votes: dict[int, bool]) -> VoteResult:
    """Return whether a majority of `voters` granted its vote, still may, or no longer can.

    `votes` maps a node to what it answered; nodes that are not in `voters` do not count. Won if there are no voters.
    """
    count: u64 = len(voters)
    if count == 0:
        return VOTE_WON
    granted: u64 = 0
    missing: u64 = 0
    for voter in voters:
        vote = votes.get(voter)
        if vote is None:
            missing += 1
        elif vote:
            granted += 1
    needed = majority(count)
    if granted >= needed:
        return VOTE_WON
    if granted + missing >= needed:
        return VOTE_PENDING
    return VOTE_LOST


def joint_vote_result(incoming: tuple[int, ...], outgoing: tuple[int, ...], votes: dict[int, bool]) -> VoteResult:
    """The same for both halves: lost as soon as one has lost, won once both have won."""
    first = vote_result(incoming, votes)
    second = vote_result(outgoing, votes)
    if first is second:
        return first
    if first is VOTE_LOST or second is VOTE_LOST:
        return VOTE_LOST
    return VOTE_PENDING
