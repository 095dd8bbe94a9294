"""What may be said: S1, S2, S3, S7, S13 and S23 on each message that leaves a node.

Whatever a leader sends becomes known as its log: an acknowledgement is judged against that.
"""

from __future__ import annotations

from typing import Final

from pyraft.types import encoded_size
from raftpb.enums import (
    MSG_APP,
    MSG_APP_RESP,
    MSG_HEARTBEAT,
    MSG_PRE_VOTE,
    MSG_PRE_VOTE_RESP,
    MSG_SNAP,
    MSG_TIMEOUT_NOW,
    MSG_VOTE,
    MSG_VOTE_RESP,
)
from raftpb.message import Message
from rafttest.sim.checker import oracle
from rafttest.sim.checker.history import History, Life
from rafttest.sim.checker.violation import Violation
from rafttest.sim.cluster.disk import term_on

_OF_LEADERS: Final = (MSG_APP, MSG_HEARTBEAT, MSG_SNAP, MSG_TIMEOUT_NOW)


class MessageLaws:
    """Judges what leaves the nodes."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.votes: dict[tuple[int, int], int] = {}
        """Whom a node promised its vote, by node and term."""
        self.leader_logs: dict[tuple[int, int], int] = {}
        """Term of an entry in the log of a leader, by the leader's term and the index."""

    def left(self, n: int, life: Life, m: Message) -> None:
        """Node `n` sends `m`. Raises Violation."""
        t = m.type
        ahead = 1 if t is MSG_PRE_VOTE else 0
        is_granted_ahead = t is MSG_PRE_VOTE_RESP and not m.reject
        if m.from_ == n and m.term > life.term + ahead and not is_granted_ahead:
            raise Violation("S13", f"node {n} of term {life.term} sends {m!r}")
        if t in _OF_LEADERS:
            self._check_leader(n, life, m)
        elif t is MSG_APP_RESP:
            self._check_acknowledgement(n, life, m)
        elif t is MSG_VOTE or (t is MSG_VOTE_RESP and not m.reject):
            self._check_vote(n, life, m)

    def _check_leader(self, n: int, life: Life, m: Message) -> None:
        if self.history.leaders.get(m.term) != n:
            raise Violation(
                "S1", f"node {n} sends {m.type} of term {m.term}, led by {self.history.leaders.get(m.term)}"
            )
        if m.type is MSG_APP:
            self._check_append(n, m)
        elif m.type is MSG_HEARTBEAT:
            if m.commit > life.commit:
                raise Violation("S13", f"heartbeat of node {n} commits {m.commit}, it has {life.commit}")
            if not self._may_hold(m.to, m.commit, m.term):
                raise Violation("S13", f"heartbeat of node {n} commits {m.commit}, which {m.to} does not have")
        elif m.type is MSG_SNAP:
            snapshot = m.snapshot
            if snapshot is None or snapshot.metadata.index > life.app_applied:
                raise Violation("S13", f"node {n} has applied {life.app_applied} and sends {m!r}")
            self.leader_logs.setdefault((m.term, snapshot.metadata.index), snapshot.metadata.term)
        else:
            self._check_invitation(n, life, m)

    def _check_invitation(self, n: int, life: Life, m: Message) -> None:
        if not oracle.is_voter(life.conf, m.to) and not oracle.is_voter(life.former_conf, m.to):
            raise Violation("S13", f"node {n} invites {m.to} to campaign, which is no voter of {life.conf}")
        needed = life.invitable.get(m.to) if m.term == life.term else 0
        if needed is None:
            raise Violation("S13", f"node {n} invites {m.to} to campaign, and is not handing over to it")
        if not self._may_hold(m.to, needed, m.term):
            raise Violation("S13", f"node {n} invites {m.to} to campaign, which lacks entry {needed}")

    def _may_hold(self, m: int, index: int, term: int) -> bool:
        """True if a leader of `term` may believe that node `m` has its entry at `index`: the disk of `m` has one there,
        or has gone on to a later term, or has been lost.
        """
        other = self.history.lives.get(m)
        if other is None or index <= self.history.base or m in self.history.lost:
            return True
        return other.durable.initial_state()[0].term > term or term_on(other.durable, index) is not None

    def _check_append(self, n: int, m: Message) -> None:
        if len(m.entries) > 1 and encoded_size(m.entries) > self.history.limits.message_bytes:
            raise Violation("S23", f"node {n} sends {encoded_size(m.entries)} bytes of entries at once")
        index, term = m.index, m.log_term
        self._note(n, m.term, index, term)
        for entry in m.entries:
            index += 1
            if entry.index != index or not term <= entry.term <= m.term:
                raise Violation(
                    "S13", f"node {n} sends entry ({entry.term}, {entry.index}) after ({term}, {index - 1})"
                )
            term = entry.term
            self._note(n, m.term, index, term)

    def _note(self, n: int, leader_term: int, index: int, term: int) -> None:
        known = self.leader_logs.setdefault((leader_term, index), term)
        if known != term:
            raise Violation("S7", f"leader {n} of term {leader_term} had term {known} at {index}, now {term}")

    def _check_acknowledgement(self, n: int, life: Life, m: Message) -> None:
        durable = life.durable
        if durable.initial_state()[0].term < m.term:
            raise Violation("S3", f"node {n} answers in term {m.term}, its disk is at {durable.initial_state()[0]}")
        if m.reject or m.index <= self.history.base or durable.initial_state()[0].term > m.term:
            # In a later term the entry may be gone already: a new leader replaced it before the write began.
            return
        truth = self.history.truth.get(m.index)
        expected = self.leader_logs.get((m.term, m.index), truth.term if truth is not None else None)
        if expected is None:
            raise Violation("S13", f"node {n} acknowledges {m.index} in term {m.term}, which was never sent to it")
        if term_on(durable, m.index) not in {0, expected}:
            raise Violation(
                "S3", f"node {n} acknowledges ({expected}, {m.index}), its disk has term {term_on(durable, m.index)}"
            )

    def _check_vote(self, n: int, life: Life, m: Message) -> None:
        chosen = n if m.type is MSG_VOTE else m.to
        if self.votes.setdefault((n, m.term), chosen) != chosen:
            raise Violation("S2", f"node {n} votes for {self.votes[n, m.term]} and {chosen} in term {m.term}")
        state = life.durable.initial_state()[0]
        if state.term < m.term or (state.term == m.term and state.vote != chosen):
            raise Violation("S3", f"node {n} votes for {chosen} in term {m.term}, its disk says {state}")
