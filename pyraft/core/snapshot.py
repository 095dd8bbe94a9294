"""Snapshot: a follower takes over the leader's state in place of a log that it can no longer be sent.

Source: thesis §5.3; etcd raft.go handleSnapshot, restore.
"""

from __future__ import annotations

from pyraft.confchange.restore import restore
from pyraft.core import membership
from pyraft.core.raft import Raft
from pyraft.types import u64
from raftpb.enums import MSG_APP_RESP
from raftpb.message import Message, Snapshot


def handle_snapshot(r: Raft, m: Message) -> None:
    """Install a snapshot if it brings anything, and answer up to where this log now agrees with the leader's."""
    snapshot = m.snapshot
    installed = snapshot is not None and _install(r, snapshot)
    index: u64 = r.log.last_index() if installed else r.log.committed
    r.send(Message(MSG_APP_RESP, m.from_, index=index))


def _install(r: Raft, snapshot: Snapshot) -> bool:
    """Replace log and configuration; False if there was no need to, or this node is none of its members."""
    metadata = snapshot.metadata
    if metadata.index <= r.log.committed:
        r.logger.info("%x: ignores a snapshot at %d, committed is %d", r.id, metadata.index, r.log.committed)
        return False
    conf_state = metadata.conf_state
    if r.id not in conf_state.voters and r.id not in conf_state.learners and r.id not in conf_state.voters_outgoing:
        r.anomalies.foreign_snapshots += 1
        r.logger.warning("%x: ignores a snapshot at %d that does not list this node", r.id, metadata.index)
        return False
    if r.log.matches(metadata.term, metadata.index):
        # The log holds all of it: only the commit index is news.
        r.misses_entries = False
        r.log.commit_to(metadata.index)
        return False
    if r.log.unstable.snapshot is None:
        r.applied_config = r.tracker.config
    tracker = r.tracker
    config, progress = restore(conf_state, metadata.index, tracker.max_inflight, tracker.max_inflight_bytes)
    r.log.restore(snapshot)
    r.misses_entries = False
    membership.switch_to(r, config, progress)
    r.logger.info("%x: restored a snapshot at (%d, %d)", r.id, metadata.term, metadata.index)
    return True
