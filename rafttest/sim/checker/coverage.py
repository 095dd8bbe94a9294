"""Coverage: recognises what is worth having been through, on one node; `coverage points` lists it.

Looks only, and looks twice only at what is rare: a run pays a dictionary look-up a message for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pyraft import AbortedRead, BasicStatus, ProgressState, ReadState, Ready, Role
from raftpb.enums import (
    MSG_APP,
    MSG_APP_RESP,
    MSG_HEARTBEAT_RESP,
    MSG_PRE_VOTE,
    MSG_PRE_VOTE_RESP,
    MSG_READ_INDEX,
    MSG_SNAP,
    MSG_TIMEOUT_NOW,
    MSG_VOTE,
    MSG_VOTE_RESP,
    MessageType,
)
from raftpb.message import ConfState, Entry, Message
from rafttest.sim.checker import oracle
from rafttest.sim.checker.history import Life
from rafttest.sim.cluster.disk import term_on
from rafttest.sim.context import Context
from rafttest.sim.node_view import NodeView

_FORCED: Final = b"CampaignTransfer"
_PROBE, _REPLICATE, _SNAPSHOT = (
    ProgressState.StateProbe,
    ProgressState.StateReplicate,
    ProgressState.StateSnapshot,
)


class Coverage:
    """What one node has been through in its present life."""

    def __init__(self, sim: Context, node: NodeView) -> None:
        self.node = node
        self.sim = sim
        self._probed: set[int] = set()
        self._woken: set[int] = set()
        self._sent_snapshots: set[int] = set()
        self._votes: set[tuple[int, int]] = set()
        self._transferee = 0
        self._invited_in = 0
        self._joint_since = 0
        self._last_reads: dict[bytes, int] = {}

    def _count(self, what: str, many: int = 1) -> None:
        self.sim.count(what, many)

    def _life(self) -> Life:
        return self.sim.checker.lives[self.node.id]

    # -- messages

    def arriving(self, m: Message, sent: int) -> Callable[[], None] | None:
        """`m`, which left at the moment `sent`, is about to reach the core; what to do afterwards."""
        look = _ARRIVING.get(m.type)
        return look(self, m, sent) if look is not None else None

    def _acknowledgement(self, m: Message, sent: int) -> Callable[[], None] | None:
        life, id = self._life(), m.from_
        if life.role is not Role.StateLeader:
            return None
        if m.term < life.term:
            self._count("acknowledgements of an earlier term")
        elif m.reject or id in self._probed or id in self._sent_snapshots:
            before = self._state_of(id)
            return lambda: self._compare(m, before)
        return None

    def _state_of(self, id: int) -> ProgressState | None:
        one = self.node.raw.status().progress.get(id)
        return one.state if one is not None else None

    def _compare(self, m: Message, before: ProgressState | None) -> None:
        after, id = self._state_of(m.from_), m.from_
        if before is _REPLICATE and after is _PROBE and m.reject:
            self._count("replicate to probe by a rejection")
            self._probed.add(id)
        if before is _SNAPSHOT and after is _REPLICATE:
            self._count("snapshot to replicate by an acknowledgement")
        if after is _REPLICATE:
            self._count("probe to replicate after a heartbeat", int(before is _PROBE and id in self._woken))
            self._probed.discard(id)
            self._woken.discard(id)
        if after is not _SNAPSHOT:
            self._sent_snapshots.discard(id)

    def _heartbeat_answer(self, m: Message, sent: int) -> None:
        if m.from_ in self._probed:
            self._woken.add(m.from_)

    def _vote_request(self, m: Message, sent: int) -> Callable[[], None] | None:
        node, life = self.node, self._life()
        if m.context != _FORCED and m.term >= life.term and not node.raw.basic_status().soft_state.leader:
            state = node.raw.export_state()
            outlived = state.promise_ticks_left > 0 and state.promise_leader != 0
            self._count("votes refused by a promise of an earlier term", int(outlived))
        if m.term <= life.term or not node.has_check_quorum or not node.raw.basic_status().soft_state.leader:
            return None
        if m.context == _FORCED:
            self._count("forced votes against a live lease", int(m.type is MSG_VOTE))
        elif m.type is MSG_PRE_VOTE and not node.raw.has_ready():
            return lambda: self._count("pre-votes refused by a lease", int(not node.raw.has_ready()))
        return None

    def _pre_vote(self, m: Message, sent: int) -> None:
        life = self._life()
        if m.reject and m.term > life.term and life.role is Role.StatePreCandidate:
            self._count("pre-votes rejected from a higher term")

    def _vote(self, m: Message, sent: int) -> None:
        life = self._life()
        self._count("votes for an earlier life", int(sent < self.node.started))
        if life.role is Role.StateCandidate and m.term == life.term:
            self._count("votes received twice", int((m.term, m.from_) in self._votes))
            self._votes.add((m.term, m.from_))

    def _invitation(self, m: Message, sent: int) -> None:
        life = self._life()
        if life.role is Role.StateFollower and m.term == life.term:
            late = any(index <= life.commit for index in life.conf_entries)
            self._count("invitations while a membership change is unapplied", int(late))

    def _read(self, m: Message, sent: int) -> None:
        self.asking_for_read()

    def asking_for_read(self) -> None:
        """The core is about to be asked for a read index."""
        life = self._life()
        if life.role is not Role.StateLeader:
            return
        if not self.node.raw.basic_status().committed_in_term:
            self._count("reads postponed until the first commit of a term")
        elif self.sim.options.lease_reads and self._invited_in == life.term:
            self._count("reads refused the lease after an invitation")

    def leaving(self, m: Message) -> None:
        """`m` leaves the node."""
        t, node = m.type, self.node
        if t is MSG_APP and self.sim.options.batch_append:
            self._count("appends of several proposals", int(len(m.entries) > 1))
        if t is MSG_SNAP:
            self._sent_snapshots.add(m.to)
        elif t is MSG_TIMEOUT_NOW:
            self._invited_in = m.term
        elif t is MSG_VOTE_RESP:
            self._count("votes given by learners", int(not m.reject and node.id in node.conf.learners))
        elif t is MSG_VOTE or t is MSG_PRE_VOTE:
            removed = node.id not in oracle.members_of(self.sim.checker.conf)
            self._count("campaigns of removed nodes", int(removed))

    # -- what the node shows

    def observed(self, status: BasicStatus) -> None:
        """The node is about to be judged; the checker still knows what it was."""
        life, role = self._life(), status.soft_state.role
        if status.anomalies.log_loss_suspected:
            self.sim.has_suspicion = True
        leads_on = role is Role.StateLeader and life.term == status.term
        if self._transferee and not status.lead_transferee:
            self._count("transfers aborted", int(leads_on))
        self._transferee = status.lead_transferee
        if life.role is Role.StateLeader and role is not Role.StateLeader:
            self._count("leaders that stepped down in their term", int(life.term == status.term))

    def elected(self, commit: int) -> None:
        """The node has become leader."""
        conf = self.node.conf
        self._probed = {id for id in oracle.members_of(conf) if id != self.node.id}
        self._woken.clear()
        self._sent_snapshots.clear()
        self._count("elections")
        self._count("elections in a joint configuration", int(bool(conf.voters_outgoing)))
        self._count("elections behind the commit index of another", int(commit < self.sim.checker.highest))

    def ticked(self, led_in: int, last_before: int) -> None:
        """Time has passed for the leader of term `led_in`, whose log ended at `last_before`."""
        if self.node.conf.auto_leave and self.node.raw.basic_status().last_index > last_before:
            self._count("joint configurations left at another attempt")
        life = self._life()
        stepped_down = life.term == led_in and life.role is not Role.StateLeader
        self._count("leaders stepped down by check-quorum", int(stepped_down))

    def unreachable(self, id: int) -> None:
        """The transport has told the node so."""
        if self._life().role is Role.StateLeader:
            self._probed.add(id)

    def crashing(self) -> None:
        """The node is about to crash."""
        lives, id = self.sim.checker.lives, self.node.id
        if self._life().role is Role.StateLeader and self.node.conf.voters_outgoing:
            self._count("leaders crashed in a joint configuration")
        handing = [other for other in lives if lives[other].transferee == id and lives[other].role is Role.StateLeader]
        self._count("transfers to a node that crashed", int(any(self.sim.nodes[one].is_up for one in handing)))

    def windows(self) -> None:
        """The leader's progress is looked at anyway."""
        full = sum(one.inflights.is_full() for one in self.node.raw.status().progress.values())
        self._count("windows of messages full", full)

    # -- Ready

    def ready(self, ready: Ready) -> None:
        """The node has handed out `ready`, of which the checker does not know yet."""
        if ready.entries:
            self._entries(ready.entries, ready.snapshot is None)
        if ready.snapshot is not None:
            self._count("snapshots received")
            self._count("snapshots together with entries", int(bool(ready.entries)))
            self._count("snapshots over a conflicting tail", int(self._has_conflict()))
        self._count("membership changes refused by a leader", len(ready.refused_conf_changes))

    def _entries(self, entries: list[Entry], is_log_kept: bool) -> None:
        life = self._life()
        if life.role is Role.StateLeader and len(entries[0].data) > self.sim.options.max_uncommitted_entries_size:
            self._count("single proposals over the limit taken", int(entries[0].term == life.term))
        cut = life.mirror.last() + 1 - entries[0].index
        if cut <= 0 or not is_log_kept:
            return
        self._count("tails replaced")
        self._count("tails of three or more replaced", int(cut > 2))
        self._count("tails replaced while a write is under way", int(self.node.is_writing()))
        lives, index = self.sim.checker.lives, entries[0].index
        term = life.mirror.term(index)
        holders = [id for id, other in lives.items() if term_on(other.durable, index) == term]
        self._count("old entries of a majority overwritten", int(oracle.is_quorum(life.conf, holders)))

    def _has_conflict(self) -> bool:
        checker, mirror = self.sim.checker, self._life().mirror
        last = min(mirror.last(), checker.highest)
        truth = checker.truth.get(last)
        return mirror.last() > checker.highest or (truth is not None and mirror.term(last) not in {0, truth.term})

    def answered(self, read: ReadState) -> None:
        """A read of this node is answered."""
        kind, _, number = read.context.partition(b" ")
        last = self._last_reads.get(kind, 0)
        self._count("reads answered out of order", int(int(number) < last))
        self._last_reads[kind] = max(last, int(number))

    def aborted(self, read: AbortedRead) -> None:
        """A read of this node will not be answered."""
        self._count("reads aborted")
        self._count(f"reads aborted: {read.reason.name}")

    # -- the application

    def changed_members(self, entry: Entry, before: ConfState, led: bool) -> None:
        """The node has applied a membership change; `led`: it was the leader."""
        after = self.node.conf
        self._count("membership changes applied")
        if after.voters_outgoing:
            self._joint_since = entry.term
            self._count("joint configurations entered")
            self._count("voters demoted through learners_next", int(bool(after.learners_next)))
        elif before.voters_outgoing and self._joint_since:
            self._count("joint configurations left by a later leader", int(entry.term != self._joint_since))
        if self.node.id not in oracle.members_of(after):
            self._count("own removals applied with a write under way", int(self.node.is_writing()))
        if led and not oracle.is_voter(after, self.node.id):
            steps_down = self.node.raw.basic_status().soft_state.role is not Role.StateLeader
            self._count("leaders that removed themselves and stepped down", int(steps_down))

    def compacted(self) -> None:
        """The node has forgotten a part of its log."""
        if self._life().role is Role.StateLeader:
            first = self.node.disk.cache.first_index()
            past = [one for one in self.node.raw.status().progress.values() if one.is_paused() and one.next < first]
            self._count("compactions past a paused follower", len(past))


_ARRIVING: Final[dict[MessageType, Callable[[Coverage, Message, int], Callable[[], None] | None]]] = {
    MSG_APP_RESP: Coverage._acknowledgement,
    MSG_HEARTBEAT_RESP: Coverage._heartbeat_answer,
    MSG_VOTE: Coverage._vote_request,
    MSG_PRE_VOTE: Coverage._vote_request,
    MSG_PRE_VOTE_RESP: Coverage._pre_vote,
    MSG_VOTE_RESP: Coverage._vote,
    MSG_TIMEOUT_NOW: Coverage._invitation,
    MSG_READ_INDEX: Coverage._read,
}
