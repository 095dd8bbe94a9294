"""Roles: who reacts to what. Three tables, side by side; the work is in the modules below.

A message that a role has no line for is ignored: it is late, or meant for what this node was before.

Source: etcd raft.go stepLeader, stepCandidate, stepFollower.
"""

from __future__ import annotations

from pyraft.core import acks, election, proposals, reads, replication, snapshot, transfer, transitions
from pyraft.core.raft import Raft
from pyraft.errors import DropReason, ReadDropReason
from pyraft.ready import AbortedRead
from pyraft.types import FOLLOWER, LEADER, NONE_ID, PRE_CANDIDATE, TransferRefusal, u64
from raftpb.enums import (
    MSG_APP,
    MSG_APP_RESP,
    MSG_HEARTBEAT,
    MSG_HEARTBEAT_RESP,
    MSG_PRE_VOTE_RESP,
    MSG_PROP,
    MSG_READ_INDEX_RESP,
    MSG_SNAP,
    MSG_TIMEOUT_NOW,
    MSG_TRANSFER_LEADER,
    MSG_VOTE_RESP,
)
from raftpb.message import Entry, Message

# -- answers and orders, which carry a term


def step_leader(r: Raft, m: Message) -> None:
    """A leader listens to its followers."""
    t = m.type
    if t is MSG_APP or t is MSG_HEARTBEAT or t is MSG_SNAP:
        r.anomalies.rival_leaders += 1
        return
    progress = r.tracker.find(m.from_)
    if t is MSG_TRANSFER_LEADER:
        if transfer.start(r, m.from_) is not None:
            r.anomalies.dropped_transfers += 1
    elif progress is None:
        return
    elif t is MSG_APP_RESP:
        acks.handle_append_response(r, m, progress)
    elif t is MSG_HEARTBEAT_RESP:
        acks.handle_heartbeat_response(r, m, progress)


def step_candidate(r: Raft, m: Message) -> None:
    """A candidate counts votes, until it hears from the leader of its term."""
    t = m.type
    if t is MSG_APP or t is MSG_HEARTBEAT or t is MSG_SNAP:
        transitions.become_follower(r, m.term, m.from_)
        _follow(r, m)
    elif t is MSG_TRANSFER_LEADER:
        r.anomalies.dropped_transfers += 1
    elif t is MSG_TIMEOUT_NOW:
        r.anomalies.ignored_timeout_now += 1
    elif r.role is PRE_CANDIDATE:
        # A grant names the term asked about; one that names another answers an earlier request.
        if t is MSG_PRE_VOTE_RESP and (m.reject or m.term == r.term + 1 or not r.strict_pre_votes):
            election.handle_vote(r, m)
    elif t is MSG_VOTE_RESP:
        election.handle_vote(r, m)


def step_follower(r: Raft, m: Message) -> None:
    """A follower obeys the leader of its term."""
    t = m.type
    if t is MSG_APP or t is MSG_HEARTBEAT or t is MSG_SNAP:
        if m.from_ != r.leader and r.leader != NONE_ID:
            r.anomalies.rival_leaders += 1
        r.election_elapsed = 0
        r.leader = m.from_
        _follow(r, m)
    elif t is MSG_TIMEOUT_NOW:
        if election.hup(r, True) is not None:
            r.anomalies.ignored_timeout_now += 1
    elif t is MSG_READ_INDEX_RESP:
        reads.handle_answer(r, m)
    elif t is MSG_TRANSFER_LEADER:
        r.anomalies.dropped_transfers += 1


def _follow(r: Raft, m: Message) -> None:
    if r.promises_lease:
        r.promise.begin(m.from_)
    if m.type is MSG_APP:
        replication.handle_append(r, m)
    elif m.type is MSG_HEARTBEAT:
        replication.handle_heartbeat(r, m)
    else:
        snapshot.handle_snapshot(r, m)


# -- requests, which carry none


def propose(r: Raft, from_: u64, entries: list[Entry]) -> DropReason | None:
    """Take a proposal, of this node or passed on by `from_`; why it was dropped, or None. `entries` are given away."""
    if r.role is LEADER:
        return proposals.propose(r, entries)
    if r.role is not FOLLOWER:
        return DropReason.CAMPAIGNING
    if r.leader == NONE_ID:
        return DropReason.NO_LEADER
    if r.disable_proposal_forwarding:
        return DropReason.FORWARDING_DISABLED
    r.send(Message(MSG_PROP, r.leader, from_, entries=entries))
    return None


def read_index(r: Raft, from_: u64, context: bytes) -> ReadDropReason | None:
    """Take a read, of this node or passed on by `from_`; why it was dropped, or None."""
    if r.role is LEADER:
        return reads.ask_leader(r, from_, context)
    if r.role is not FOLLOWER:
        return ReadDropReason.CAMPAIGNING
    return reads.forward_read(r, from_, context)


def read_index_passed_on(r: Raft, from_: u64, context: bytes) -> None:
    """Take a read that another node has passed on; it may be one of this node's own that has come back."""
    if from_ == r.id and not reads.pop_forwarded_read(r, context):
        r.anomalies.dropped_reads += 1
        return
    reason = read_index(r, from_, context)
    if reason is None:
        return
    r.anomalies.dropped_reads += 1
    if from_ == r.id:
        r.aborted_reads.append(AbortedRead(context, reason))


def transfer_leader(r: Raft, target: u64) -> TransferRefusal | None:
    """Take a request of this node's application to hand leadership to `target`; why nothing was started, or None."""
    if r.role is LEADER:
        return transfer.start(r, target)
    if r.role is not FOLLOWER:
        return TransferRefusal.CAMPAIGNING
    return transfer.forward_request(r, target)


def forget_leader(r: Raft) -> None:
    """On a follower, act as if no leader were known; its next message makes it known again."""
    if r.role is FOLLOWER and r.leader != NONE_ID:
        r.logger.info("%x: forgets leader %x of term %d", r.id, r.leader, r.term)
        r.leader = NONE_ID
