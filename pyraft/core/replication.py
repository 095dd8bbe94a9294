"""Replication: how entries and commit indices get from the leader to the followers, both sides of it.

Source: thesis §3.5, §10.2.1; etcd raft.go maybeSendAppend, maybeSendSnapshot, handleAppendEntries, handleHeartbeat.
"""

from __future__ import annotations

from pyraft.core.raft import Raft
from pyraft.errors import StorageError
from pyraft.log_reader import UNKNOWN
from pyraft.read_queue import context_of
from pyraft.tracker.progress import REPLICATE, Progress
from pyraft.types import MAX_ENTRY_OVERHEAD, payload_size, u64
from raftpb.enums import MSG_APP, MSG_APP_RESP, MSG_HEARTBEAT, MSG_HEARTBEAT_RESP, MSG_SNAP
from raftpb.message import NO_ENTRIES, Entry, Message

# -- the leader


def append_entries(r: Raft, entries: list[Entry]) -> bool:
    """Stamp `entries`, which are nobody else's, with the term and their indices and append them to the leader's log.

    False, and nothing happens, if too much is uncommitted already. The leader counts its own copy like a follower's:
    when a message to itself comes back from the disk.
    """
    if not r.quota.admit(payload_size(entries)):
        return False
    index: u64 = r.log.last_index()
    for entry in entries:
        index += 1
        entry.term = r.term
        entry.index = index
    if r.tracer is not None:
        r.tracer.replicate(r, entries)
    r.log.append(entries)
    r.send(Message(MSG_APP_RESP, r.id, r.id, index=index))
    return True


def broadcast_append(r: Raft) -> None:
    """Send every follower what it lacks, or an empty append that carries the commit index."""
    for progress in r.tracker.peers:
        if progress.id != r.id:
            maybe_send_append(r, progress, True)


def maybe_send_append(r: Raft, progress: Progress, send_if_empty: bool) -> bool:
    """Send a follower the entries from its `next` on, or a snapshot if those are gone; False if nothing was sent.

    A full window pauses the follower until its next heartbeat answer, which lets one empty append through when
    `send_if_empty`: the answer to that is what reopens a window whose messages were all lost.
    """
    if progress.is_paused():
        return False
    log = r.log
    prev_index: u64 = progress.next - 1
    last_index: u64 = log.last_index()
    if prev_index == last_index and not send_if_empty:
        return False
    prev_term: u64 = log.term_or_unknown(prev_index)
    if prev_term == UNKNOWN:
        return _maybe_send_snapshot(r, progress)
    entries: list[Entry] | None = NO_ENTRIES
    if prev_index < last_index and (progress.state is not REPLICATE or not progress.inflights.is_full()):
        entries = log.slice(prev_index + 1, last_index + 1, r.max_size_per_msg)
    if entries is None or len(entries) == 0:
        if not send_if_empty:
            return False
        if entries is None:
            return _maybe_send_snapshot(r, progress)
    if r.batch_append and entries and _extend_append(r, progress, entries):
        return True
    r.msgs.append(Message(MSG_APP, progress.id, r.id, r.term, prev_term, prev_index, entries, log.committed))
    if r.tracer is not None:
        r.tracer.send(r, r.msgs[-1])
    progress.sent_entries(len(entries), payload_size(entries))
    progress.sent_commit = log.committed
    return True


def _extend_append(r: Raft, progress: Progress, entries: list[Entry]) -> bool:
    """Add `entries` to the last message to a follower if that has not left yet, ends just before them, and is the one
    that the newest slot of the window describes: an append made in Probe is in no window.

    Kept within `max_size_per_msg` by an estimate from above, so that nothing is measured twice. raft-rs's batch_append.
    """
    position: u64 = len(r.msgs) - 1
    while position >= 0 and r.msgs[position].to != progress.id:
        position -= 1
    if position < 0 or progress.state is not REPLICATE:
        return False
    m = r.msgs[position]
    if m.type is not MSG_APP or m.term != r.term or not m.entries or m.index + len(m.entries) != progress.next - 1:
        return False
    if progress.inflights.newest_index() != progress.next - 1:
        return False
    added: u64 = payload_size(entries)
    count: u64 = len(m.entries) + len(entries)
    if progress.inflights.newest_bytes() + added + count * MAX_ENTRY_OVERHEAD > r.max_size_per_msg:
        return False
    m.entries.extend(entries)
    m.commit = r.log.committed
    progress.extend_sent(len(entries), added)
    progress.sent_commit = r.log.committed
    return True


def _maybe_send_snapshot(r: Raft, progress: Progress) -> bool:
    if not progress.recent_active:
        r.logger.debug("%x: no snapshot for %x, which does not answer", r.id, progress.id)
        return False
    snapshot = r.log.snapshot()
    if snapshot is None:
        r.logger.debug("%x: no snapshot for %x yet, it is being made", r.id, progress.id)
        return False
    if snapshot.is_empty():
        raise StorageError(
            f"entry {progress.next - 1} is gone, yet snapshot() is empty; keep a snapshot that covers what is compacted"
        )
    index: u64 = snapshot.metadata.index
    r.logger.debug("%x: sends %x a snapshot at %d", r.id, progress.id, index)
    progress.become_snapshot(index)
    r.send(Message(MSG_SNAP, progress.id, snapshot=snapshot))
    return True


def broadcast_heartbeat(r: Raft) -> None:
    """Tell every follower that this leader is alive, and which number is the latest if any waits to be confirmed.

    With leases, a round takes a number and renews the lease once a quorum has answered it. A lone voter needs no lease,
    and nobody may be there to answer.
    """
    if r.lease_based and not r.tracker.is_singleton() and r.lease.needs_round(r.ticks):
        number = r.reads.next_number()
        r.lease.add_round(number, r.ticks)
        r.reads.acknowledge(r.id, number)
    context = b""
    if r.reads.last > r.reads.confirmed:
        context = context_of(r.reads.last)
    for progress in r.tracker.peers:
        if progress.id != r.id:
            # A follower must not be told to commit what it may not have.
            commit: u64 = progress.match if progress.match < r.log.committed else r.log.committed
            r.send(Message(MSG_HEARTBEAT, progress.id, commit=commit, context=context))
            progress.sent_commit = commit


def maybe_commit(r: Raft) -> bool:
    """Commit what a quorum has, if it is of this term; True if the commit index moved.

    Entries of earlier terms are never committed by counting, only along with one of this term. Thesis §3.6.2.
    """
    moves = False
    if r.tracker.quorum_reaches(r.log.committed + 1):
        index: u64 = r.tracker.committed_index()
        moves = r.log.matches(r.term, index)
        if moves:
            r.log.commit_to(index)
    if r.tracer is not None:
        r.tracer.commit(r)
    return moves


# -- the follower


def handle_append(r: Raft, m: Message) -> None:
    """Append what the leader sent if the entry before it is here, and answer where this log stands.

    The answer names the last entry that this message vouches for, not the last of the log: what lies beyond may be the
    remains of another leader. A node that may have lost its log refuses once a heartbeat: a leader that sends again at
    once would otherwise keep both busy for ever.
    """
    log = r.log
    if m.index < log.committed:
        if _contradicts_committed(r, m):
            return
        r.send(Message(MSG_APP_RESP, m.from_, index=log.committed))
        return
    if log.maybe_append(m.log_term, m.index, m.entries):
        r.misses_entries = False
        last_new: u64 = m.index + len(m.entries)
        log.commit_to(m.commit if m.commit < last_new else last_new)
        r.send(Message(MSG_APP_RESP, m.from_, index=last_new))
        return
    if m.index == log.committed and _contradicts_committed(r, m):
        return
    if r.misses_entries:
        if r.has_refused:
            return
        r.has_refused = True
    r.logger.debug("%x: has no entry (%d, %d) to append after", r.id, m.log_term, m.index)
    last_index: u64 = log.last_index()
    hint_index, hint_term = log.find_conflict_by_term(m.index if m.index < last_index else last_index, m.log_term)
    r.send(Message(MSG_APP_RESP, m.from_, log_term=hint_term, index=m.index, reject=True, reject_hint=hint_index))


def _contradicts_committed(r: Raft, m: Message) -> bool:
    """True if an append holds another entry than this log at or below the commit index, or follows another one.

    No leader of this group can send that: the two logs have different histories. It is not answered, since the leader
    would take the answer for a copy of its entries. What was compacted cannot be compared.
    """
    log = r.log
    index: u64 = m.index
    term: u64 = m.log_term
    known: u64 = log.term_or_unknown(index)
    position = 0
    while known in (UNKNOWN, term):
        if position == len(m.entries) or m.entries[position].index > log.committed:
            return False
        index = m.entries[position].index
        term = m.entries[position].term
        known = log.term_or_unknown(index)
        position += 1
    r.anomalies.foreign_appends += 1
    if not r.anomalies.foreign_log_suspected:
        r.anomalies.foreign_log_suspected = (
            f"leader {m.from_} of term {r.term} has term {term} at index {index}, where this log has term {known} and "
            "is committed: was this node founded by mistake, with another list of members or without joining, or does "
            "another group use its address?"
        )
        r.logger.error("%x: %s", r.id, r.anomalies.foreign_log_suspected)
    return True


def handle_heartbeat(r: Raft, m: Message) -> None:
    """Note that the leader is alive and what it knows to be committed here.

    A commit index beyond the log means that entries which this node acknowledged are gone. It moves nothing: the tail
    that is here may be an old and different one.
    """
    last_index: u64 = r.log.last_index()
    r.has_refused = False
    if m.commit > last_index:
        is_news = not r.misses_entries
        r.misses_entries = True
        r.anomalies.log_loss_suspected = (
            f"leader {m.from_} of term {r.term} knows entry {m.commit} to be here, but the log ends at {last_index}: "
            "was the data directory emptied, an old backup restored, or the message meant for another node?"
        )
        if is_news:
            r.logger.error("%x: %s", r.id, r.anomalies.log_loss_suspected)
    else:
        r.log.commit_to(m.commit)
    r.send(Message(MSG_HEARTBEAT_RESP, m.from_, context=m.context))
