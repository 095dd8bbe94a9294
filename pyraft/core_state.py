"""CoreState: all that a node remembers, as one value.

A node built from it behaves from there on as the one it was taken from, given the same Config, Storage and random
draws. Recordings and debugging stand on that. It holds plain numbers and the library's values, each a copy, so that it
can be compared, printed, and written down field by field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from sortedcontainers import SortedDict

from pyraft.anomalies import Anomalies
from pyraft.core import membership
from pyraft.core.raft import Raft
from pyraft.lease import HeartbeatRound
from pyraft.read_queue import PendingRead
from pyraft.ready import AbortedRead, ReadState, RefusedConfChange
from pyraft.ready_builder import ReadyBuilder
from pyraft.tracker.configuration import Configuration
from pyraft.tracker.progress import Progress
from pyraft.types import Role, u64
from raftpb.enums import MSG_APP
from raftpb.message import Entry, Message, Snapshot

Read = tuple[int, bytes, int, int]
"""A waiting read: who asked, its context, its index, its number (0: none yet)."""


@final
@dataclass(kw_only=True, slots=True)
class CoreState:
    """A node's memory, to be treated as a value; see `Raft`, `RaftLog`, `Unstable`, `ReadQueue` and `ReadyBuilder`."""

    id: u64
    term: u64
    vote: u64
    role: Role
    leader: u64
    election_elapsed: u64
    heartbeat_elapsed: u64
    randomized_election_timeout: u64
    ticks: u64
    promise_ticks_left: u64
    promise_leader: u64
    lease_until: u64
    lease_is_transferred: bool
    lease_rounds: tuple[tuple[int, int], ...]
    lead_transferee: u64
    pending_conf_index: u64
    uncommitted_size: u64

    committed: u64
    applying: u64
    applied: u64
    handed_out: tuple[tuple[int, int], ...]
    applying_paused: bool
    base: u64
    base_term: u64
    offset: u64
    offset_in_progress: u64
    kept_bytes: u64
    entries: tuple[Entry, ...]
    snapshot: Snapshot | None
    snapshot_in_progress: bool

    config: Configuration
    applied_config: Configuration | None
    progress: tuple[Progress, ...]
    votes: tuple[tuple[int, bool], ...]

    reads_confirmed: u64
    reads_last: u64
    reads_pending: tuple[Read, ...]
    reads_acked: tuple[tuple[int, int], ...]
    postponed_reads: tuple[Read, ...]
    forwarded_reads: tuple[tuple[bytes, int], ...]

    misses_entries: bool
    has_refused: bool

    msgs: tuple[Message, ...]
    msgs_after_append: tuple[Message, ...]
    read_states: tuple[ReadState, ...]
    aborted_reads: tuple[AbortedRead, ...]
    refused_conf_changes: tuple[RefusedConfChange, ...]
    anomalies: Anomalies

    prev_term: u64
    prev_vote: u64
    prev_commit: u64
    prev_leader: u64
    prev_role: Role
    awaits_advance: bool
    self_messages: tuple[Message, ...]
    append_term: u64
    appended_index: u64
    appended_term: u64
    snapshot_index: u64
    applied_index: u64
    applied_payload_bytes: u64
    changes: u64
    changes_applied: u64


def export_state(r: Raft, builder: ReadyBuilder) -> CoreState:
    """A copy of everything."""
    log = r.log
    unstable = log.unstable
    return CoreState(
        id=r.id,
        term=r.term,
        vote=r.vote,
        role=r.role,
        leader=r.leader,
        election_elapsed=r.election_elapsed,
        heartbeat_elapsed=r.heartbeat_elapsed,
        randomized_election_timeout=r.randomized_election_timeout,
        ticks=r.ticks,
        promise_ticks_left=r.promise.ticks_left,
        promise_leader=r.promise.leader,
        lease_until=r.lease.until,
        lease_is_transferred=r.lease.is_transferred,
        lease_rounds=tuple([(one.number, one.sent_at) for one in r.lease.rounds]),
        lead_transferee=r.lead_transferee,
        pending_conf_index=r.pending_conf_index,
        uncommitted_size=r.quota.size,
        committed=log.committed,
        applying=log.applying,
        applied=log.applied,
        handed_out=tuple(log.handed_out()),
        applying_paused=log.applying_paused,
        base=unstable.base,
        base_term=unstable.base_term,
        offset=unstable.offset,
        offset_in_progress=unstable.offset_in_progress,
        kept_bytes=unstable.kept_bytes,
        entries=tuple(unstable.entries),
        snapshot=unstable.snapshot,
        snapshot_in_progress=unstable.snapshot_in_progress,
        config=r.tracker.config,
        applied_config=r.applied_config,
        progress=tuple([one.clone() for one in r.tracker.peers]),
        votes=tuple(r.tracker.votes.items()),
        reads_confirmed=r.reads.confirmed,
        reads_last=r.reads.last,
        reads_pending=tuple([_read(one) for one in r.reads.pending]),
        reads_acked=tuple(r.reads.acked.items()),
        postponed_reads=tuple([_read(one) for one in r.postponed_reads]),
        forwarded_reads=tuple(r.forwarded_reads.items()),
        misses_entries=r.misses_entries,
        has_refused=r.has_refused,
        msgs=tuple(_copies(r, r.msgs)),
        msgs_after_append=tuple(r.msgs_after_append),
        read_states=tuple(r.read_states),
        aborted_reads=tuple(r.aborted_reads),
        refused_conf_changes=tuple(r.refused_conf_changes),
        anomalies=r.anomalies.clone(),
        prev_term=builder.prev_term,
        prev_vote=builder.prev_vote,
        prev_commit=builder.prev_commit,
        prev_leader=builder.prev_leader,
        prev_role=builder.prev_role,
        awaits_advance=builder.awaits_advance,
        self_messages=tuple(builder.self_messages),
        append_term=builder.append_term,
        appended_index=builder.appended_index,
        appended_term=builder.appended_term,
        snapshot_index=builder.snapshot_index,
        applied_index=builder.applied_index,
        applied_payload_bytes=builder.applied_payload_bytes,
        changes=builder.changes,
        changes_applied=r.changes_applied,
    )


def import_state(r: Raft, builder: ReadyBuilder, state: CoreState) -> None:
    """Make a newly built node the one that `state` was taken from."""
    _import_log(r, state)
    _import_tracker(r, state)
    _import_reads(r, state)
    r.term = state.term
    r.vote = state.vote
    r.role = state.role
    r.leader = state.leader
    r.election_elapsed = state.election_elapsed
    r.heartbeat_elapsed = state.heartbeat_elapsed
    r.randomized_election_timeout = state.randomized_election_timeout
    r.ticks = state.ticks
    r.promise.ticks_left = state.promise_ticks_left
    r.promise.leader = state.promise_leader
    r.lease.until = state.lease_until
    r.lease.is_transferred = state.lease_is_transferred
    r.lease.rounds = [HeartbeatRound(number, sent_at) for number, sent_at in state.lease_rounds]
    r.lead_transferee = state.lead_transferee
    r.pending_conf_index = state.pending_conf_index
    r.applied_config = state.applied_config
    r.misses_entries = state.misses_entries
    r.has_refused = state.has_refused
    r.quota.size = state.uncommitted_size
    r.msgs = _copies(r, list(state.msgs))
    r.msgs_after_append = list(state.msgs_after_append)
    r.refused_conf_changes = list(state.refused_conf_changes)
    r.anomalies = state.anomalies.clone()
    builder.prev_term = state.prev_term
    builder.prev_vote = state.prev_vote
    builder.prev_commit = state.prev_commit
    builder.prev_leader = state.prev_leader
    builder.prev_role = state.prev_role
    builder.awaits_advance = state.awaits_advance
    builder.self_messages = list(state.self_messages)
    builder.append_term = state.append_term
    builder.appended_index = state.appended_index
    builder.appended_term = state.appended_term
    builder.snapshot_index = state.snapshot_index
    builder.applied_index = state.applied_index
    builder.applied_payload_bytes = state.applied_payload_bytes
    builder.changes = state.changes
    r.changes_applied = state.changes_applied


def _import_log(r: Raft, state: CoreState) -> None:
    log = r.log
    log.committed = state.committed
    log.applying = state.applying
    log.applied = state.applied
    log.put_out(state.handed_out)
    log.applying_paused = state.applying_paused
    unstable = log.unstable
    unstable.base = state.base
    unstable.base_term = state.base_term
    unstable.offset = state.offset
    unstable.offset_in_progress = state.offset_in_progress
    unstable.kept_bytes = state.kept_bytes
    unstable.entries = list(state.entries)
    unstable.last = state.base + len(state.entries) - 1
    unstable.snapshot = state.snapshot
    unstable.snapshot_in_progress = state.snapshot_in_progress


def _import_tracker(r: Raft, state: CoreState) -> None:
    progress: SortedDict[int, Progress] = SortedDict()
    for one in state.progress:
        progress[one.id] = one.clone()
    tracer, r.tracer = r.tracer, None  # nothing happens here that a trace should tell
    membership.switch_to(r, state.config, progress)
    r.tracer = tracer
    for voter, granted in state.votes:
        r.tracker.record_vote(voter, granted)


def _import_reads(r: Raft, state: CoreState) -> None:
    r.reads.confirmed = state.reads_confirmed
    r.reads.last = state.reads_last
    r.reads.pending = [_pending_read(one) for one in state.reads_pending]
    r.reads.acked = dict(state.reads_acked)
    r.postponed_reads = [_pending_read(one) for one in state.postponed_reads]
    r.forwarded_reads = dict(state.forwarded_reads)
    r.read_states = list(state.read_states)
    r.aborted_reads = list(state.aborted_reads)


def _read(read: PendingRead) -> Read:
    return read.from_, read.context, read.index, read.number


def _pending_read(value: Read) -> PendingRead:
    from_, context, index, number = value
    read = PendingRead(from_, context, index)
    read.number = number
    return read


def _copies(r: Raft, messages: list[Message]) -> list[Message]:
    """The messages that wait, with copies of those that may still take on entries (`Config.batch_append`)."""
    if not r.batch_append:
        return messages
    return [_append_copy(m) if m.type is MSG_APP and m.entries else m for m in messages]


def _append_copy(m: Message) -> Message:
    return Message(m.type, m.to, m.from_, m.term, m.log_term, m.index, list(m.entries), m.commit)
