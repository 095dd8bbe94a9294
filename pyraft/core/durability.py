"""Durability: what the machine does once the application has written, or applied, what it was handed.

Source: thesis §10.2.1; etcd raft.go Step (MsgStorageAppendResp, MsgStorageApplyResp), appliedTo, appliedSnap.
"""

from __future__ import annotations

from pyraft.core import proposals
from pyraft.core.raft import Raft
from pyraft.types import LEADER, u64


def handle_appended(r: Raft, term: u64, last_term: u64, last_index: u64) -> None:
    """Everything up to (`last_term`, `last_index`), the end of the log when the write was handed out at `term`, is
    durable. Ignored once the term has changed: what was written then may have been replaced since, by an entry of the
    same index and term that is not durable (`async_writes.append_response` tells how).
    """
    if term == r.term:
        r.log.stable_to(last_term, last_index)


def handle_snapshot_appended(r: Raft, index: u64) -> None:
    """The snapshot at `index` is durable, and with it applied."""
    r.log.unstable.stable_snapshot_to(index)
    if r.log.unstable.snapshot is None:
        r.applied_config = None
    r.log.take_back_up_to(index)
    _applied_to(r, index if index > r.log.applied else r.log.applied)


def handle_applied(r: Raft, index: u64, payload_bytes: u64) -> None:
    """The batch that was handed out up to `index` has been applied. An answer that comes twice, or that a snapshot has
    overtaken, gives nothing back: neither what may be handed out nor the leader's quota.
    """
    was_out = r.log.take_back(index)
    _applied_to(r, index if index > r.log.applied else r.log.applied)
    if was_out:
        r.quota.release(payload_bytes)


def _applied_to(r: Raft, index: u64) -> None:
    """Note it, and leave a joint configuration that is to be left by itself: at each apply, also by a later leader."""
    r.log.applied_to(index)
    if r.role is LEADER and r.tracker.config.auto_leave:
        proposals.leave_joint(r)
