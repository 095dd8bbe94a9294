"""Transitions: how a node becomes follower, pre-candidate, candidate and leader, and what each forgets.

    follower -> pre-candidate -> candidate -> leader
        ^------------+---------------+-----------'      on news of a higher term, or of the leader of this one

Source: thesis §3.3, §3.4, §9.6; etcd raft.go reset, becomeFollower, becomePreCandidate, becomeCandidate, becomeLeader.
"""

from __future__ import annotations

from pyraft.core import replication
from pyraft.core.raft import Raft
from pyraft.errors import InvariantError, ReadDropReason
from pyraft.read_queue import ReadQueue
from pyraft.ready import AbortedRead
from pyraft.types import CANDIDATE, FOLLOWER, LEADER, NONE_ID, PRE_CANDIDATE, u64
from raftpb.message import Entry


def reset(r: Raft, term: u64) -> None:
    """Enter `term`, which may be the present one, knowing nothing of the others.

    The vote stays unless the term changes: stepping down must not let a node vote twice.
    """
    if r.term != term:
        r.term = term
        r.vote = NONE_ID
    r.leader = NONE_ID
    r.election_elapsed = 0
    r.heartbeat_elapsed = 0
    r.randomized_election_timeout = r.election_timeout + r.random.randrange(r.election_timeout)
    r.lead_transferee = NONE_ID
    r.lease.end()
    r.tracker.reset_votes()
    last_index: u64 = r.log.last_index()
    for progress in r.tracker.peers:
        progress.restart(last_index + 1)
        if progress.id == r.id:
            progress.match = last_index
    r.pending_conf_index = 0
    r.quota.reset()
    _abort_reads(r)


def _abort_reads(r: Raft) -> None:
    """Forget the reads that wait for confirmation, and tell those who asked here."""
    abandoned = list(r.reads.pending)
    if abandoned or r.reads.confirmed != 0:
        r.reads = ReadQueue()
    if r.abort_reads_on_step_down and r.postponed_reads:
        abandoned.extend(r.postponed_reads)
        r.postponed_reads = []
    for read in abandoned:
        if read.from_ == r.id:
            r.aborted_reads.append(AbortedRead(read.context, ReadDropReason.ROLE_CHANGED))


def become_follower(r: Raft, term: u64, leader: u64) -> None:
    """Follow `leader` (0: whoever it will be) in `term`."""
    reset(r, term)
    r.leader = leader
    r.role = FOLLOWER
    r.logger.info("%x: follower at term %d", r.id, term)
    if r.tracer is not None:
        r.tracer.become_follower(r)


def become_pre_candidate(r: Raft) -> None:
    """Ask whether an election could be won; term, vote and clocks stay as they are. Thesis §9.6."""
    if r.role is LEADER:
        raise InvariantError("a leader cannot become pre-candidate")
    r.tracker.reset_votes()
    r.leader = NONE_ID
    r.role = PRE_CANDIDATE
    r.logger.info("%x: pre-candidate at term %d", r.id, r.term)


def become_candidate(r: Raft) -> None:
    """Enter the next term and vote for oneself."""
    if r.role is LEADER:
        raise InvariantError("a leader cannot become candidate")
    reset(r, r.term + 1)
    r.vote = r.id
    r.role = CANDIDATE
    r.logger.info("%x: candidate at term %d", r.id, r.term)
    if r.tracer is not None:
        r.tracer.become_candidate(r)


def become_leader(r: Raft) -> None:
    """Lead the present term, beginning with an empty entry whose commit brings everything before it along.

    No membership change until what came before is applied: it may hold one. Thesis §3.6.2, §6.4 (step 1).
    """
    if r.role is FOLLOWER:
        raise InvariantError("a follower cannot become leader without an election")
    reset(r, r.term)
    r.leader = r.id
    r.role = LEADER
    own = r.tracker.find(r.id)
    if own is None:
        raise InvariantError("a node outside its configuration cannot become leader")
    own.become_replicate()
    own.recent_active = True
    r.pending_conf_index = r.log.last_index()
    if r.tracer is not None:
        r.tracer.become_leader(r)
    replication.append_entries(r, [Entry()])
    r.logger.info("%x: leader at term %d", r.id, r.term)
