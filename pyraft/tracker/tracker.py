"""All followers together: what a quorum of them has, who is alive, how an election stands.

The configuration and the Progress of every member, replaced together by `install` and never apart. The lists beside
them hold the same Progress objects in the order of their ids: whatever visits followers does so in that order, and no
order of a dict or set gets into a message.

Invariants: the ids in `progress` are exactly the members of `config`; `is_learner` is set on exactly its `learners`.
Counting here gives what `pyraft.quorum` says, without allocating in groups of the usual size.

Source: thesis §3.5.3, §4.3; etcd tracker/tracker.go.
"""

from __future__ import annotations

from typing import Final, final

from sortedcontainers import SortedDict

from pyraft.quorum import VoteResult, joint_vote_result, majority
from pyraft.tracker.configuration import Configuration
from pyraft.tracker.inflights import Inflights
from pyraft.tracker.progress import Progress
from pyraft.types import NO_LIMIT, u64

_FEW: Final = 7
"""Up to this many peers, walking a list is faster than a dict, and comparing all pairs faster than sorting."""


@final
class ProgressTracker:
    """The followers of this node, should it lead; every node keeps them, since any may become the leader.

    `max_inflight`, `max_inflight_bytes`: limits of each follower's window, in messages and payload bytes. `config`:
    who takes part. `progress`: id -> Progress, for every member. `peers`: all of them; `incoming`, `outgoing`: the
    voters of each half, `outgoing` empty unless joint. All of these ascend by id. `votes`: who answered in this
    election, and whether it granted its vote.
    """

    def __init__(self, max_inflight: u64, max_inflight_bytes: u64) -> None:
        self.max_inflight = max_inflight
        self.max_inflight_bytes = max_inflight_bytes
        self.config: Configuration = Configuration()
        self.progress: dict[int, Progress] = {}
        self.peers: list[Progress] = []
        self.incoming: list[Progress] = []
        self.outgoing: list[Progress] = []
        self.votes: dict[int, bool] = {}
        self._voter_ids: tuple[int, ...] = ()

    def install(self, config: Configuration, progress: SortedDict[int, Progress]) -> None:
        """Take over a configuration and the Progress of each of its members, as `pyraft.confchange` makes them.

        Votes stay: an answer counts as soon as, and as long as, its sender is a voter.
        """
        self.config = config
        self.progress = dict(progress)
        self.peers = list(self.progress.values())
        self.incoming = [self.progress[voter] for voter in config.voters]
        self.outgoing = [self.progress[voter] for voter in config.voters_outgoing]
        self._voter_ids = config.voter_ids()

    def find(self, id: u64) -> Progress | None:
        """The Progress of a member; None for anybody else."""
        if len(self.peers) > _FEW:
            return self.progress.get(id)
        for peer in self.peers:
            if peer.id == id:
                return peer
        return None

    def new_inflights(self) -> Inflights:
        """An empty window with this tracker's limits."""
        return Inflights(self.max_inflight, self.max_inflight_bytes)

    def is_singleton(self) -> bool:
        """True if one voter decides alone."""
        return len(self.incoming) == 1 and not self.outgoing

    def voter_ids(self) -> tuple[int, ...]:
        """The voters of both halves, ascending."""
        return self._voter_ids

    def committed_index(self) -> u64:
        """The highest index that majorities of both halves have; NO_LIMIT if there are no voters."""
        index = _majority_match(self.incoming)
        if self.outgoing:
            other = _majority_match(self.outgoing)
            if other < index:
                return other
        return index

    def quorum_reaches(self, index: u64) -> bool:
        """True if majorities of both halves have `index`: whether `committed_index` would be at least that, but quicker
        where the answer is no, as it mostly is.
        """
        return _majority_reaches(self.incoming, index) and _majority_reaches(self.outgoing, index)

    def quorum_active(self) -> bool:
        """True if majorities of both halves answered lately."""
        return _majority_active(self.incoming) and _majority_active(self.outgoing)

    def reset_votes(self) -> None:
        """Begin an election."""
        self.votes = {}

    def record_vote(self, id: u64, granted: bool) -> None:
        """Take an answer in this election; only the first of each node counts."""
        self.votes.setdefault(id, granted)

    def tally_votes(self) -> VoteResult:
        """Return the result of the election so far."""
        return joint_vote_result(self.config.voters, self.config.voters_outgoing, self.votes)

    def count_votes(self) -> tuple[int, int]:
        """Count the voters that granted and that rejected: for people; in a joint configuration it decides nothing."""
        granted = 0
        rejected = 0
        for voter in self._voter_ids:
            vote = self.votes.get(voter)
            if vote is None:
                continue
            if vote:
                granted += 1
            else:
                rejected += 1
        return (granted, rejected)


def _majority_match(voters: list[Progress]) -> u64:
    """The highest `match` that a majority reaches: the reference's committed index of one half."""
    count: u64 = len(voters)
    if count == 0:
        return NO_LIMIT
    needed = majority(count)
    if count > _FEW:
        ascending = sorted([voter.match for voter in voters])
        return ascending[count - needed]
    best: u64 = 0
    for candidate in voters:
        match = candidate.match
        if match <= best:
            continue
        reached: u64 = 0
        for voter in voters:
            if voter.match >= match:
                reached += 1
        if reached >= needed:
            best = match
    return best


def _majority_reaches(voters: list[Progress], index: u64) -> bool:
    count: u64 = len(voters)
    missing: u64 = 0
    for voter in voters:
        if voter.match < index:
            missing += 1
    return missing <= count - majority(count) or count == 0


def _majority_active(voters: list[Progress]) -> bool:
    count: u64 = len(voters)
    if count == 0:
        return True
    active: u64 = 0
    for voter in voters:
        if voter.recent_active:
            active += 1
    return active >= majority(count)
