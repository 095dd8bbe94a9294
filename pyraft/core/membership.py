"""Membership: which change may be proposed, what one leads to, and what this node does about its new configuration.

A change takes effect when it is applied, not when it is appended as in the thesis. That is safe because at most one
is ever unapplied (`refuse_reason`), nobody campaigns over an unapplied one (`election.hup`), and a new leader
proposes none before it has applied what it found in its log (`transitions.become_leader`). docs/design.md argues it.

Source: thesis §4.1, §4.3; etcd raft.go applyConfChange, switchToConfig, stepLeader MsgProp.
"""

from __future__ import annotations

from sortedcontainers import SortedDict

from pyraft.confchange.changer import Changer
from pyraft.confchange.restore import restore
from pyraft.core import reads, replication, transitions
from pyraft.core.raft import Raft
from pyraft.errors import ConfChangeError
from pyraft.tracker.configuration import Configuration
from pyraft.tracker.progress import Progress
from pyraft.tracker.tracker import ProgressTracker
from pyraft.types import LEADER, NONE_ID
from raftpb.confchange import ConfChangeV2
from raftpb.enums import TRANSITION_JOINT_EXPLICIT


def refuse_reason(r: Raft, change: ConfChangeV2) -> str | None:
    """Return the reason why a leader will not append `change` now; None if it will. An impossible change would fail on
    every node when it is applied, and at each restart again; nothing else can change the configuration before that.
    """
    if r.pending_conf_index > r.log.applied:
        return f"a membership change at index {r.pending_conf_index} may be unapplied (applied to {r.log.applied})"
    joint = r.tracker.config.is_joint()
    if joint and change.changes:
        return "the configuration is joint; leave it first"
    if not joint and not change.changes:
        return "the configuration is not joint; there is nothing to leave"
    try:
        next_config(r, change)
    except ConfChangeError as error:
        return f"impossible: {error}"
    return None


def next_config(r: Raft, change: ConfChangeV2) -> tuple[Configuration, SortedDict[int, Progress]]:
    """Compute the configuration after `change`; this node is not touched.

    Raises ConfChangeError if the change is impossible.
    """
    return _changed(Changer(r.tracker, r.log.last_index()), change)


def _changed(changer: Changer, change: ConfChangeV2) -> tuple[Configuration, SortedDict[int, Progress]]:
    if change.leaves_joint():
        return changer.leave_joint()
    if change.enters_joint():
        return changer.enter_joint(change.transition is not TRANSITION_JOINT_EXPLICIT, change.changes)
    return changer.simple(change.changes)


def config_after(r: Raft, config: Configuration, change: ConfChangeV2) -> Configuration:
    """Compute the configuration after `change` from `config`, which need not be this node's.

    Raises ConfChangeError if the change is impossible.
    """
    tracker = ProgressTracker(r.tracker.max_inflight, r.tracker.max_inflight_bytes)
    tracker.install(*restore(config.conf_state(), 0, tracker.max_inflight, tracker.max_inflight_bytes))
    return _changed(Changer(tracker, 0), change)[0]


def switch_to(r: Raft, config: Configuration, progress: SortedDict[int, Progress]) -> None:
    """Make `config` this node's configuration, and on a leader act on what follows from it at once."""
    if r.tracer is not None:
        r.tracer.apply_conf_change(r, config)
    r.tracker.install(config, progress)
    own = r.tracker.find(r.id)
    r.is_learner = own is not None and own.is_learner
    r.is_voter = own is not None and not own.is_learner
    r.logger.info("%x: configuration %s", r.id, config)
    if r.role is not LEADER:
        return
    if not r.is_voter:
        if r.step_down_on_removal:
            transitions.become_follower(r, r.term, NONE_ID)
        elif r.recheck_reads:
            reads.release_confirmed(r)
        return
    # The quorum may have shrunk: look again at what waits for it.
    if replication.maybe_commit(r):
        if r.recheck_reads:
            reads.release_postponed(r)
        replication.broadcast_append(r)
    else:
        for follower in r.tracker.peers:
            if follower.id != r.id:
                replication.maybe_send_append(r, follower, False)
    if r.recheck_reads:
        reads.release_confirmed(r)
    if r.lead_transferee != NONE_ID and not config.is_voter(r.lead_transferee):
        r.lead_transferee = NONE_ID
