"""Transfer: handing leadership to a chosen voter.

The leader brings the target up to date, then invites it to campaign at once; its votes ignore leases. Meanwhile nothing
is proposed. Given up after an election timeout, on any change of role, and when the target stops being a voter.

Source: thesis §3.10; etcd raft.go stepLeader MsgTransferLeader, sendTimeoutNow, abortLeaderTransfer.
"""

from __future__ import annotations

from pyraft.core import replication
from pyraft.core.raft import Raft
from pyraft.tracker.progress import Progress
from pyraft.types import NONE_ID, TransferRefusal, u64
from raftpb.enums import MSG_TIMEOUT_NOW, MSG_TRANSFER_LEADER
from raftpb.message import Message


def start(r: Raft, target: u64) -> TransferRefusal | None:
    """Begin to hand over to `target`, on the leader. A transfer to somebody else that is under way is given up, also
    when the new target is this leader itself.
    """
    progress = r.tracker.find(target)
    if progress is None:
        return TransferRefusal.UNKNOWN
    if progress.is_learner:
        return TransferRefusal.LEARNER
    if r.lead_transferee == target:
        return TransferRefusal.IN_PROGRESS
    r.lead_transferee = NONE_ID
    if target == r.id:
        return TransferRefusal.SELF
    r.logger.info("%x: transfers leadership of term %d to %x", r.id, r.term, target)
    r.election_elapsed = 0
    r.lead_transferee = target
    if progress.match == r.log.last_index():
        _send_timeout_now(r, target)
    else:
        replication.maybe_send_append(r, progress, True)
    return None


def forward_request(r: Raft, target: u64) -> TransferRefusal | None:
    """Ask the leader, from a follower; what becomes of it cannot be known here."""
    if r.leader == NONE_ID:
        return TransferRefusal.NO_LEADER
    r.send(Message(MSG_TRANSFER_LEADER, r.leader, target))
    return None


def finish(r: Raft, progress: Progress) -> None:
    """Invite the target to campaign once it has the whole log, at each acknowledgement anew: one may get lost."""
    if progress.match == r.log.last_index():
        _send_timeout_now(r, progress.id)


def _send_timeout_now(r: Raft, target: u64) -> None:
    r.send(Message(MSG_TIMEOUT_NOW, target))
    r.lease.is_transferred = True
