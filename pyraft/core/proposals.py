"""Proposals: what a leader takes into its log.

Source: thesis §3.5, §4.1; etcd raft.go stepLeader MsgProp.
"""

from __future__ import annotations

from pyraft.core import membership, replication
from pyraft.core.raft import Raft
from pyraft.errors import DropReason
from pyraft.ready import RefusedConfChange
from pyraft.types import NONE_ID, u64
from raftpb.codec import decode_change
from raftpb.confchange import ConfChangeV2
from raftpb.enums import ENTRY_CONF_CHANGE_V2, ENTRY_NORMAL
from raftpb.message import Entry


def propose(r: Raft, entries: list[Entry]) -> DropReason | None:
    """Append all of `entries`, which become the log's own, on the leader; or none of them and say why.

    A membership change that may not follow now becomes an empty entry, so that its proposer's place in the log is
    kept, and is reported with its reason in the next Ready.
    """
    if not r.is_voter and not r.is_learner:
        return DropReason.NOT_MEMBER
    if r.lead_transferee != NONE_ID:
        return DropReason.TRANSFERRING
    refused: list[RefusedConfChange] | None = None
    pending_before: u64 = 0
    for entry in entries:
        if entry.type is not ENTRY_NORMAL:
            refused = []
            pending_before = r.pending_conf_index
            entries = _check_conf_changes(r, entries, refused)
            break
    if not replication.append_entries(r, entries):
        if refused is not None:
            r.pending_conf_index = pending_before  # what did not enter the log holds up nothing, least of all a leave
        return DropReason.UNCOMMITTED_LIMIT
    if refused is not None:
        r.refused_conf_changes.extend(refused)
    replication.broadcast_append(r)
    return None


def leave_joint(r: Raft) -> None:
    """Propose, on the leader, to leave a joint configuration that is to be left by itself, once it is applied and no
    membership change is on its way. The proposal is dropped during a transfer, never for its size: it has no payload.
    It is made again later.
    """
    if r.log.applied >= r.pending_conf_index:
        propose(r, [Entry(ENTRY_CONF_CHANGE_V2)])


def _check_conf_changes(r: Raft, entries: list[Entry], refused: list[RefusedConfChange]) -> list[Entry]:
    """The entries, with an empty one in place of each membership change that is refused."""
    checked: list[Entry] = []
    index: u64 = r.log.last_index()
    for entry in entries:
        index += 1
        if entry.type is ENTRY_NORMAL:
            checked.append(entry)
            continue
        reason = membership.refuse_reason(r, conf_change_of(entry))
        if reason is not None and not r.disable_conf_change_validation:
            r.logger.info("%x: refuses a membership change at %d: %s", r.id, index, reason)
            refused.append(RefusedConfChange(index, reason))
            checked.append(Entry())
        else:
            r.pending_conf_index = index
            if r.tracer is not None:
                r.tracer.change_conf(r, conf_change_of(entry))
            checked.append(entry)
    return checked


def conf_change_of(entry: Entry) -> ConfChangeV2:
    """The membership change that an entry holds.

    Raises DecodeError if its data is none.
    """
    return decode_change(entry).as_v2()
