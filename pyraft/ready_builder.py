"""ReadyBuilder: what goes into a Ready, and what it will mean that everything in it was done.

Two things are remembered. What was told, so that the next Ready tells only what is new. And, unless writes are
asynchronous, what `advance` will have achieved, fixed when the Ready is taken and not when `advance` is called: between
the two the node goes on.

Source: etcd rawnode.go readyWithoutAccept, acceptReady, HasReady, Advance.
"""

from __future__ import annotations

from typing import final

from pyraft import async_writes
from pyraft.core import durability, step
from pyraft.core.raft import Raft
from pyraft.ready import Ready, SoftState
from pyraft.types import FOLLOWER, NONE_ID, Role, encoded_size, payload_size, u64
from raftpb.enums import ENTRY_NORMAL
from raftpb.message import NO_MESSAGES, Entry, HardState, Message


@final
class ReadyBuilder:
    """The last Ready as far as it matters for the next one."""

    def __init__(self) -> None:
        # What the application was told last.
        self.prev_term: u64 = 0
        self.prev_vote: u64 = NONE_ID
        self.prev_commit: u64 = 0
        self.prev_leader: u64 = NONE_ID
        self.prev_role: Role = FOLLOWER

        # What holds once `advance` is called.
        self.awaits_advance = False
        self.self_messages: list[Message] = NO_MESSAGES
        """This node's own votes and acknowledgements, durable by then."""
        self.append_term: u64 = 0
        """Term at which the write was handed out."""
        self.appended_index: u64 = 0
        """The log is durable up to here; 0: nothing was waiting."""
        self.appended_term: u64 = 0
        """Term of the entry at `appended_index`."""
        self.snapshot_index: u64 = 0
        """The snapshot at this index is durable; 0: there was none."""
        self.applied_index: u64 = 0
        """Entries are applied up to here; 0: none were handed out."""
        self.applied_payload_bytes: u64 = 0
        self.changes: u64 = 0
        """Membership changes among those entries."""


def note_reported(r: Raft, builder: ReadyBuilder) -> None:
    """The application knows this node's state from here on."""
    builder.prev_term = r.term
    builder.prev_vote = r.vote
    builder.prev_commit = r.log.committed
    builder.prev_leader = r.leader
    builder.prev_role = r.role


def has_ready(r: Raft, builder: ReadyBuilder) -> bool:
    """True if there is anything to hand out."""
    log = r.log
    unstable = log.unstable
    if r.msgs or r.msgs_after_append or r.read_states:
        return True
    return (
        unstable.offset_in_progress <= unstable.last
        or log.committed != builder.prev_commit
        or r.term != builder.prev_term
        or r.vote != builder.prev_vote
        or r.leader != builder.prev_leader
        or r.role is not builder.prev_role
        or (log.applying < log.committed and log.has_next_committed(not r.async_storage_writes))
        or (unstable.snapshot is not None and not unstable.snapshot_in_progress)
    )


def build_ready(r: Raft, builder: ReadyBuilder) -> Ready:
    """Make the next Ready, and remember what `advance` will mean."""
    log = r.log
    unstable = log.unstable
    made = Ready()
    if r.leader != builder.prev_leader or r.role is not builder.prev_role:
        made.soft_state = SoftState(r.leader, r.role)
    promised_anew = r.term != builder.prev_term or r.vote != builder.prev_vote
    if promised_anew or log.committed != builder.prev_commit:
        made.hard_state = HardState(r.term, r.vote, log.committed)
    if made.hard_state is not None or made.soft_state is not None:
        note_reported(r, builder)
    if unstable.offset_in_progress <= unstable.last or unstable.snapshot is not None:
        made.entries = unstable.next_entries()
        made.snapshot = unstable.next_snapshot()
        unstable.accept_in_progress()
    made.must_sync = promised_anew or bool(made.entries) or made.snapshot is not None
    if log.applying < log.committed:
        made.committed_entries = log.next_committed(not r.async_storage_writes)

    made.messages = r.msgs or NO_MESSAGES
    waiting = r.msgs_after_append or NO_MESSAGES
    if r.msgs:
        r.msgs = []
    if waiting:
        r.msgs_after_append = []
    if r.async_storage_writes:
        _add_storage_requests(r, made, waiting)
    else:
        if waiting:
            made.messages = _keep_own(r, builder, made.messages, waiting)
        _expect_advance(r, builder, made)
    if made.committed_entries:
        _note_applying(r, builder, made.committed_entries)

    if r.read_states:
        made.read_states = tuple(r.read_states)
        r.read_states = []
    if r.aborted_reads:
        made.aborted_reads = tuple(r.aborted_reads)
        r.aborted_reads = []
    if r.refused_conf_changes:
        made.refused_conf_changes = tuple(r.refused_conf_changes)
        r.refused_conf_changes = []
    if r.tracer is not None:
        r.tracer.ready(r)
    return made


def _add_storage_requests(r: Raft, made: Ready, waiting: list[Message]) -> None:
    """Ask the storage threads for what `made` holds to be written and applied."""
    request = async_writes.append_request(r, made.entries, made.hard_state, made.snapshot, waiting)
    if request is not None:
        made.messages = [*made.messages, request]
    if made.committed_entries:
        made.messages = [*made.messages, async_writes.apply_request(r, made.committed_entries)]


def _keep_own(r: Raft, builder: ReadyBuilder, messages: list[Message], waiting: list[Message]) -> list[Message]:
    """Keep what waits for the disk and is for this node itself until `advance`; return the rest behind `messages`."""
    own: u64 = 0
    for m in waiting:
        if m.to == r.id:
            own += 1
    if own == len(waiting):
        builder.self_messages = waiting
        return messages
    if own != 0:
        builder.self_messages = [m for m in waiting if m.to == r.id]
        waiting = [m for m in waiting if m.to != r.id]
    return messages + waiting if messages else waiting


def _expect_advance(r: Raft, builder: ReadyBuilder, made: Ready) -> None:
    builder.awaits_advance = True
    unstable = r.log.unstable
    if unstable.has_entries():
        builder.append_term = r.term
        builder.appended_index = unstable.last
        builder.appended_term = r.log.last_term()
    if made.snapshot is not None:
        builder.snapshot_index = made.snapshot.metadata.index


def _note_applying(r: Raft, builder: ReadyBuilder, committed: list[Entry]) -> None:
    last: u64 = committed[len(committed) - 1].index
    size = encoded_size(committed)
    r.log.accept_applying(last, size, not r.async_storage_writes)
    if not r.async_storage_writes:
        builder.applied_index = last
        builder.applied_payload_bytes = payload_size(committed)
        builder.changes = count_changes(committed)


def count_changes(entries: list[Entry]) -> u64:
    """Count the membership changes among `entries`."""
    count: u64 = 0
    normal = ENTRY_NORMAL  # looked up once
    for entry in entries:
        if entry.type is not normal:
            count += 1
    return count


def acknowledge(r: Raft, builder: ReadyBuilder) -> None:
    """Everything in the last Ready has been done: this node's own messages arrive, its log is durable up to what was
    handed out, and the entries are applied.
    """
    own = builder.self_messages
    if own:
        for m in own:
            step.step(r, m)
        builder.self_messages = NO_MESSAGES
    if builder.appended_index != 0:
        durability.handle_appended(r, builder.append_term, builder.appended_term, builder.appended_index)
        builder.appended_index = 0
    if builder.snapshot_index != 0:
        durability.handle_snapshot_appended(r, builder.snapshot_index)
        builder.snapshot_index = 0
    if builder.applied_index != 0:
        durability.handle_applied(r, builder.applied_index, builder.applied_payload_bytes, builder.changes)
        builder.applied_index = 0
    builder.awaits_advance = False
