"""Reads: answering "which index must be applied before this read is current".

The leader notes its commit index and proves that it still leads, by a heartbeat round or by its lease; a follower
passes the question on. Before the first commit of its term a leader does not know what is committed, so questions wait.

Source: thesis §6.4; etcd raft.go sendMsgReadIndexResponse, releasePendingReadIndexMessages, responseToReadIndexReq.
"""

from __future__ import annotations

from pyraft.core import replication
from pyraft.core.raft import Raft
from pyraft.errors import ReadDropReason
from pyraft.quorum import joint_committed_index
from pyraft.read_queue import PendingRead
from pyraft.ready import AbortedRead, ReadState
from pyraft.types import NONE_ID, u64
from raftpb.enums import MSG_READ_INDEX, MSG_READ_INDEX_RESP
from raftpb.message import Entry, Message

_FURTHEST_AHEAD = 2**32
"""An answer this far beyond the log is no answer: no follower lags that much."""


def ask_leader(r: Raft, from_: u64, context: bytes) -> ReadDropReason | None:
    """Take a read on the leader, from itself or passed on by `from_`."""
    if len(r.reads) + len(r.postponed_reads) >= r.max_pending_reads:
        return ReadDropReason.TOO_MANY
    read = PendingRead(from_, context, r.log.committed)
    if r.tracker.is_singleton() and not r.single_voter_reads_need_commit:
        _answer(r, read)
    elif not r.has_committed_in_term():
        r.postponed_reads.append(read)
    else:
        _confirm_or_answer(r, read)
    return None


def forward_read(r: Raft, from_: u64, context: bytes) -> ReadDropReason | None:
    """Send a read on to the leader. There is no answer on the wire for one that the leader cannot take."""
    if r.leader == NONE_ID:
        return ReadDropReason.NO_LEADER
    if from_ == r.id:
        # Insertion order and a bound: the oldest makes room, and its answer, if one ever comes, is ignored.
        if len(r.forwarded_reads) >= r.max_pending_reads and context not in r.forwarded_reads:
            oldest = next(iter(r.forwarded_reads))
            del r.forwarded_reads[oldest]
            r.aborted_reads.append(AbortedRead(oldest, ReadDropReason.TOO_MANY))
        r.forwarded_reads[context] = r.forwarded_reads.get(context, 0) + 1
    r.send(Message(MSG_READ_INDEX, r.leader, from_, entries=[Entry(data=context)]))
    return None


def pop_forwarded_read(r: Raft, context: bytes) -> bool:
    """A read that this node passed on has come back to it, for somebody took it for the leader; False if it is not
    waiting any more: a copy of one that has been answered, or one of an earlier life of this node.
    """
    asked = r.forwarded_reads.get(context, 0)
    if asked == 0:
        return False
    if asked == 1:
        del r.forwarded_reads[context]
    else:
        r.forwarded_reads[context] = asked - 1
    return True


def handle_answer(r: Raft, m: Message) -> None:
    """A follower learns the index for a read that it passed on."""
    if len(m.entries) != 1 or (r.leader != NONE_ID and m.from_ != r.leader):
        r.anomalies.ignored_read_answers += 1
        return
    context = m.entries[0].data
    if m.index > r.log.last_index() + _FURTHEST_AHEAD or not pop_forwarded_read(r, context):
        r.anomalies.ignored_read_answers += 1
        return
    r.read_states.append(ReadState(m.index, context))


def handle_confirmation(r: Raft, from_: u64, position: u64) -> None:
    """A follower has answered the heartbeat that carried `position`: answer the reads that a quorum has confirmed."""
    if position <= r.reads.confirmed:
        return
    r.reads.acknowledge(from_, position)
    release_confirmed(r)


def release_confirmed(r: Raft) -> None:
    """Answer the reads that a quorum of the present configuration has confirmed, and renew the lease by its answers."""
    config = r.tracker.config
    confirmed = joint_committed_index(config.voters, config.voters_outgoing, r.reads.acked)
    r.lease.confirm(confirmed)
    for read in r.reads.release(confirmed):
        _answer(r, read)


def release_postponed(r: Raft) -> None:
    """The first commit of the term is made: take up the reads that waited for it, in order."""
    if not r.postponed_reads:
        return
    waiting = r.postponed_reads
    r.postponed_reads = []
    for read in waiting:
        read.index = r.log.committed
        _confirm_or_answer(r, read)


def _confirm_or_answer(r: Raft, read: PendingRead) -> None:
    decides_alone = r.tracker.is_singleton() and r.is_voter and r.single_voter_reads_need_commit
    if decides_alone or r.lease.is_running(r.ticks):
        _answer(r, read)
        return
    position = r.reads.add(read)
    r.reads.acknowledge(r.id, position)
    replication.broadcast_heartbeat(r)


def _answer(r: Raft, read: PendingRead) -> None:
    if read.from_ == r.id:
        r.read_states.append(ReadState(read.index, read.context))
    else:
        r.send(Message(MSG_READ_INDEX_RESP, read.from_, index=read.index, entries=[Entry(data=read.context)]))
