"""Election: deciding to campaign, asking for votes, counting them, and giving one's own.

Source: thesis §3.4, §3.6.1, §4.2.3, §9.6; etcd raft.go hup, campaign, poll, Step (MsgVote, MsgPreVote).
"""

from __future__ import annotations

from typing import Final

from pyraft.core import replication, transitions
from pyraft.core.raft import Raft
from pyraft.quorum import VOTE_LOST, VOTE_WON
from pyraft.types import LEADER, NONE_ID, PRE_CANDIDATE, CampaignRefusal, u64
from raftpb.enums import ENTRY_NORMAL, MSG_PRE_VOTE, MSG_PRE_VOTE_RESP, MSG_VOTE, MSG_VOTE_RESP
from raftpb.message import NO_ENTRIES, Message

FORCED: Final = b"CampaignTransfer"
"""Context of a vote request that the leader itself has called for: leases do not hold it up."""


def hup(r: Raft, invited: bool) -> CampaignRefusal | None:
    """Campaign, unless that would be useless or unsafe. `invited`: by the leader, to take over from it.

    A committed membership change that is not applied yet forbids it: this node might count the wrong votes.
    """
    if r.role is LEADER:
        return CampaignRefusal.ALREADY_LEADER
    if not r.is_voter:
        return CampaignRefusal.NOT_A_VOTER
    if not r.is_promotable():
        return CampaignRefusal.SNAPSHOT_PENDING
    if r.promise.is_running() and not invited:
        return CampaignRefusal.LEASE_MAY_RUN if r.promise.leader == NONE_ID else CampaignRefusal.LEASE_PROMISED
    if _has_unapplied_conf_change(r):
        r.logger.warning("%x: cannot campaign at term %d: a membership change is not applied", r.id, r.term)
        return CampaignRefusal.UNAPPLIED_CONF_CHANGE
    if invited:
        _campaign(r, FORCED)
    elif r.pre_vote:
        _pre_campaign(r)
    else:
        _campaign(r, b"")
    return None


def _has_unapplied_conf_change(r: Raft) -> bool:
    """True if there is one, or may be."""
    log = r.log
    lo: u64 = log.applied + 1
    while lo <= log.committed:
        entries = log.slice(lo, log.committed + 1, log.max_applying_size)
        if entries is None:
            # The application has applied and compacted them already, and its word of it is still on the way.
            return True
        for entry in entries:
            if entry.type is not ENTRY_NORMAL:
                return True
        lo += len(entries)
    return False


def _pre_campaign(r: Raft) -> None:
    transitions.become_pre_candidate(r)
    last_index: u64 = r.log.last_index()
    last_term: u64 = r.log.last_term()
    for voter in r.tracker.voter_ids():
        if voter == r.id:
            r.send(Message(MSG_PRE_VOTE_RESP, voter, voter, r.term + 1))
        else:
            r.send(Message(MSG_PRE_VOTE, voter, r.id, r.term + 1, log_term=last_term, index=last_index))


def _campaign(r: Raft, context: bytes) -> None:
    """Ask the voters of both halves. The own vote is a message to oneself: it counts once it is durable."""
    transitions.become_candidate(r)
    last_index: u64 = r.log.last_index()
    last_term: u64 = r.log.last_term()
    for voter in r.tracker.voter_ids():
        if voter == r.id:
            r.send(Message(MSG_VOTE_RESP, voter, voter, r.term))
        else:
            r.send(Message(MSG_VOTE, voter, r.id, r.term, log_term=last_term, index=last_index, context=context))


def handle_vote(r: Raft, m: Message) -> None:
    """Count an answer to this candidate's or pre-candidate's request, and act once the election is decided."""
    r.tracker.record_vote(m.from_, not m.reject)
    result = r.tracker.tally_votes()
    granted, rejected = r.tracker.count_votes()
    r.logger.info("%x: %s from %x; %d granted, %d rejected", r.id, m.type, m.from_, granted, rejected)
    if result is VOTE_WON:
        if r.role is PRE_CANDIDATE:
            _campaign(r, b"")
        else:
            transitions.become_leader(r)
            replication.broadcast_append(r)
    elif result is VOTE_LOST:
        transitions.become_follower(r, r.term, NONE_ID)


def refuses_by_lease(r: Raft, m: Message) -> bool:
    """True if a vote request is to be ignored, without an answer: this node keeps a promise (`pyraft.lease`), or, with
    check-quorum, a leader is alive: it counts as alive for an election timeout after word from it. The time-out is not
    the randomised one. Thesis §4.2.3. A request of an earlier term is never granted, and may be answered.
    """
    if m.term < r.term or m.context == FORCED:
        return False
    if r.promise.is_running():
        return True
    if m.term == r.term or not r.check_quorum:
        return False
    return r.leader != NONE_ID and r.election_elapsed < r.election_timeout


def handle_vote_request(r: Raft, m: Message) -> None:
    """Grant a vote or a pre-vote if this node has not promised its own to another and the candidate's log is at least
    as complete. Learners grant votes too: one may have become a voter without knowing it yet.
    """
    is_vote = m.type is MSG_VOTE
    answer = MSG_VOTE_RESP if is_vote else MSG_PRE_VOTE_RESP
    may_grant = r.vote == m.from_ or (r.vote == NONE_ID and r.leader == NONE_ID) or (not is_vote and m.term > r.term)
    if may_grant and r.log.is_up_to_date(m.log_term, m.index):
        # A pre-vote is granted for the term asked about, which this node has not entered.
        r.send(Message(answer, m.from_, 0, m.term))
        if is_vote:
            r.election_elapsed = 0
            r.vote = m.from_
    elif r.term != 0:  # before its first term a node has none to refuse in; its silence does
        r.send(Message(answer, m.from_, 0, r.term, 0, 0, NO_ENTRIES, 0, None, True))


def check_quorum(r: Raft) -> None:
    """Step down if no quorum has been heard from since the last round. Thesis §6.2."""
    if not r.tracker.quorum_active():
        r.logger.warning("%x: no quorum answers, steps down at term %d", r.id, r.term)
        transitions.become_follower(r, r.term, NONE_ID)
    for progress in r.tracker.peers:
        if progress.id != r.id:
            progress.recent_active = False
