"""Acks: what a leader learns from its followers' answers, and about them from its transport.

Source: thesis §3.5, §5.3, §10.2.1; etcd raft.go stepLeader (MsgAppResp, MsgHeartbeatResp, MsgSnapStatus,
MsgUnreachable).
"""

from __future__ import annotations

from pyraft.core import reads, replication, transfer
from pyraft.core.raft import Raft
from pyraft.log import RaftLog
from pyraft.read_queue import position_of
from pyraft.tracker.progress import PROBE, REPLICATE, SNAPSHOT, Progress
from pyraft.types import u64
from raftpb.message import Message


def handle_append_response(r: Raft, m: Message, progress: Progress) -> None:
    """A follower, or this leader's own disk, accepted or refused an append."""
    progress.recent_active = True
    if m.reject:
        _handle_rejection(r, m, progress)
        return
    if not (progress.maybe_update(m.index) or (progress.match == m.index and progress.state is PROBE)):
        return
    if progress.state is PROBE:
        progress.become_replicate()
    elif progress.state is REPLICATE:
        progress.inflights.free_le(m.index)
    elif progress.match + 1 >= r.log.first_index():
        # Whatever snapshot it has installed, its log meets ours again.
        progress.become_probe()
        progress.become_replicate()
    # An old index cannot move the commit index, unless the quorum has shrunk around a leader that is no voter any more.
    # A state trace tells each attempt.
    may_commit = m.index > r.log.committed or not r.is_voter or r.tracer is not None
    if may_commit and replication.maybe_commit(r):
        reads.release_postponed(r)
        replication.broadcast_append(r)
    elif progress.id != r.id and progress.can_bump_commit(r.log.committed):
        replication.maybe_send_append(r, progress, True)
    if progress.id != r.id:
        last_index: u64 = r.log.last_index()
        while progress.next <= last_index and replication.maybe_send_append(r, progress, False):
            pass
    if progress.id == r.lead_transferee:
        transfer.finish(r, progress)


def _handle_rejection(r: Raft, m: Message, progress: Progress) -> None:
    r.logger.debug(
        "%x: %x refused to append after %d, hint (%d, %d)", r.id, m.from_, m.index, m.log_term, m.reject_hint
    )
    if m.index <= progress.match and progress.state is not REPLICATE:
        # It has acknowledged that entry. Either this is old news, or its disk was emptied since: then each append would
        # be refused at once, for ever, and the two would do nothing else. The next heartbeat answer is soon enough.
        r.anomalies.retracted_acks += 1
        if r.retry_lost_acks_at_heartbeat:
            return
    hint: u64 = m.reject_hint if m.reject_hint < m.index else m.index
    if progress.maybe_decrease(m.index, next_probe_index(r.log, hint, m.log_term)):
        if progress.state is REPLICATE:
            progress.become_probe()
        replication.maybe_send_append(r, progress, True)


def next_probe_index(log: RaftLog, hint_index: u64, hint_term: u64) -> u64:
    """Return the index to try next after a follower rejected an append, given the last position where its log may
    agree.

        leader     idx  1  2  3  4  5  6  7  8  9        follower refuses to append after 9 and hints at (6, term 2):
                   term 1  3  3  3  5  5  5  5  5        its highest entry with a term not above ours at 9.
        follower   idx  1  2  3  4  5  6                 No entry of ours above 1 has a term of at most 2, and terms
                   term 1  1  1  1  2  2                 never fall along a log, so 2..6 cannot agree: try after 1.

    The follower has skipped the tail that is too new for us, we skip the part that is too new for it, so that each
    round trip settles a whole term of the leader's log. A hint without a term says nothing about terms.
    """
    if hint_term == 0:
        return hint_index
    index, _ = log.find_conflict_by_term(hint_index, hint_term)
    return index


def handle_heartbeat_response(r: Raft, m: Message, progress: Progress) -> None:
    """A follower is alive: let it be sent to again, and count it for the reads that the heartbeat carried."""
    progress.recent_active = True
    progress.flow_paused = False
    if progress.match < r.log.last_index() or progress.state is PROBE:
        replication.maybe_send_append(r, progress, True)
    if m.context:
        reads.handle_confirmation(r, m.from_, position_of(m.context))


def handle_snapshot_status(r: Raft, progress: Progress, failed: bool) -> None:
    """The transport tells what became of the snapshot it sent; either way the follower's next answer decides."""
    if progress.state is not SNAPSHOT:
        return
    if failed:
        progress.pending_snapshot = 0
    progress.become_probe()
    progress.flow_paused = True


def handle_unreachable(progress: Progress) -> None:
    """The transport could not deliver: what is under way may be lost, so stop sending ahead."""
    if progress.state is REPLICATE:
        progress.become_probe()
