"""Step: where messages and time enter. Read this module first.

    message ─> step ─ term gate ─> votes | leader | candidate | follower
    clock   ─> tick ─> campaign | heartbeat, quorum check

Every message first meets the term gate: news of a higher term makes this node a follower of it, an older term is
answered or ignored, and only what speaks of the present term reaches the roles. What carries no term (proposals, reads)
enters through `roles` directly.

Source: thesis §3.3, §6.2, §9.6; etcd raft.go Step, tickElection, tickHeartbeat.
"""

from __future__ import annotations

from pyraft.core import election, proposals, replication, roles, transitions
from pyraft.core.raft import Raft
from pyraft.types import FOLLOWER, LEADER, NONE_ID
from raftpb.enums import (
    MSG_APP,
    MSG_APP_RESP,
    MSG_HEARTBEAT,
    MSG_PRE_VOTE,
    MSG_PRE_VOTE_RESP,
    MSG_SNAP,
    MSG_VOTE,
)
from raftpb.message import Message


def step(r: Raft, m: Message) -> None:
    """Take a message that carries a term."""
    if r.tracer is not None:
        r.tracer.receive(r, m)
    t = m.type
    is_vote_request = t is MSG_VOTE or t is MSG_PRE_VOTE
    if is_vote_request and election.refuses_by_lease(r, m):
        r.logger.info("%x: ignores %s from %x: a lease may be running", r.id, t, m.from_)
        return
    if m.term > r.term:
        _enter_higher_term(r, m)
    elif m.term < r.term:
        _answer_lower_term(r, m)
        return
    if is_vote_request:
        election.handle_vote_request(r, m)
    elif r.role is LEADER:
        roles.step_leader(r, m)
    elif r.role is FOLLOWER:
        roles.step_follower(r, m)
    else:
        roles.step_candidate(r, m)


def _enter_higher_term(r: Raft, m: Message) -> None:
    """Follow the sender into its term, unless the message only asks or answers what would be in that term."""
    t = m.type
    if t is MSG_PRE_VOTE or (t is MSG_PRE_VOTE_RESP and not m.reject):
        return
    is_from_leader = t is MSG_APP or t is MSG_HEARTBEAT or t is MSG_SNAP
    transitions.become_follower(r, m.term, m.from_ if is_from_leader else NONE_ID)


def _answer_lower_term(r: Raft, m: Message) -> None:
    """Tell the sender about this term where it could not learn of it otherwise.

    With a lease or pre-votes, nobody's term is raised by a node that cannot win: a deposed leader would go on speaking
    to a follower that ignores it, and a pre-candidate of an old term would never be answered.
    """
    if m.type is MSG_APP or m.type is MSG_HEARTBEAT:
        if r.check_quorum or r.pre_vote:
            r.send(Message(MSG_APP_RESP, m.from_))
    elif m.type is MSG_PRE_VOTE:
        r.send(Message(MSG_PRE_VOTE_RESP, m.from_, term=r.term, reject=True))


def tick(r: Raft) -> None:
    """One tick of this node's clock has passed."""
    r.ticks += 1
    if r.promise.ticks_left > 0:
        r.promise.ticks_left -= 1
    r.election_elapsed += 1
    if r.role is LEADER:
        _tick_leader(r)
    elif r.election_elapsed >= r.randomized_election_timeout and r.is_promotable():
        r.election_elapsed = 0
        election.hup(r, False)


def _tick_leader(r: Raft) -> None:
    r.heartbeat_elapsed += 1
    if r.election_elapsed >= r.election_timeout:
        r.election_elapsed = 0
        if r.check_quorum:
            election.check_quorum(r)
        r.lead_transferee = NONE_ID
    if r.role is LEADER and r.retry_auto_leave and r.tracker.config.auto_leave and r.lead_transferee == NONE_ID:
        proposals.leave_joint(r)  # the first attempt may have been dropped
    if r.role is LEADER and r.heartbeat_elapsed >= r.heartbeat_timeout:
        r.heartbeat_elapsed = 0
        replication.broadcast_heartbeat(r)
