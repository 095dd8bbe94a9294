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
    r.log.acknowledge_applied_up_to(index)
    if not r.log.has_handed_out():
        r.changes_applied = 0
    _applied_to(r, index if index > r.log.applied else r.log.applied)


def handle_applied(r: Raft, index: u64, payload_bytes: u64, changes: u64) -> None:
    """The batch that was handed out up to `index`, with so many membership changes in it, has been applied. An answer
    that comes twice, or that a snapshot has overtaken, gives nothing back: neither what may be handed out nor the
    leader's quota; and it says nothing about membership changes.
    """
    was_out = r.log.acknowledge_applied(index)
    if was_out and changes != 0:
        _check_changes(r, changes, index)
    _applied_to(r, index if index > r.log.applied else r.log.applied)
    if was_out:
        r.quota.release(payload_bytes)


def _check_changes(r: Raft, changes: u64, index: u64) -> None:
    """Warn if `apply_conf_change` was called less often than `changes`, the membership changes of a batch that was
    applied up to `index`. An application may reject a change; most often it has forgotten the call. While a received
    snapshot waits, the call does not matter: the changes are part of the snapshot.
    """
    missing: u64 = changes - r.changes_applied
    # With asynchronous writes the changes of a later batch may have been applied before this answer comes.
    r.changes_applied = -missing if missing < 0 and r.log.has_handed_out() else 0
    if missing > 0 and r.log.unstable.snapshot is None:
        r.logger.warning(
            "%x: %d of %d membership changes up to entry %d were applied without apply_conf_change(): unless they were "
            "rejected on purpose, this node goes on in an old configuration",
            r.id,
            missing,
            changes,
            index,
        )


def _applied_to(r: Raft, index: u64) -> None:
    """Note it, and leave a joint configuration that is to be left by itself: at each apply, also by a later leader."""
    r.log.applied_to(index)
    if r.role is LEADER and r.tracker.config.auto_leave:
        proposals.leave_joint(r)
