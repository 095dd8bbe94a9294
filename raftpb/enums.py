"""The named numbers of raft.proto.

Members carry the names of the schema, so that `str(member)` is what every Raft tool prints (`MsgApp`). The constants
in capitals are the same members: code compares with them by identity, which is cheap both compiled and interpreted.

Source: etcd raftpb/raft.proto.
"""

from enum import IntEnum
from typing import Final


class NamedInt(IntEnum):
    """An IntEnum that prints its schema name, also in f-strings."""

    def __str__(self) -> str:
        return self.name

    def __format__(self, format_spec: str) -> str:
        return format(self.name, format_spec)


class MessageType(NamedInt):
    """Kinds of messages (etcd raftpb MessageType)."""

    MsgHup = 0
    MsgBeat = 1
    MsgProp = 2
    MsgApp = 3
    MsgAppResp = 4
    MsgVote = 5
    MsgVoteResp = 6
    MsgSnap = 7
    MsgHeartbeat = 8
    MsgHeartbeatResp = 9
    MsgUnreachable = 10
    MsgSnapStatus = 11
    MsgCheckQuorum = 12
    MsgTransferLeader = 13
    MsgTimeoutNow = 14
    MsgReadIndex = 15
    MsgReadIndexResp = 16
    MsgPreVote = 17
    MsgPreVoteResp = 18
    MsgStorageAppend = 19
    MsgStorageAppendResp = 20
    MsgStorageApply = 21
    MsgStorageApplyResp = 22
    MsgForgetLeader = 23


MSG_HUP: Final = MessageType.MsgHup
MSG_BEAT: Final = MessageType.MsgBeat
MSG_PROP: Final = MessageType.MsgProp
MSG_APP: Final = MessageType.MsgApp
MSG_APP_RESP: Final = MessageType.MsgAppResp
MSG_VOTE: Final = MessageType.MsgVote
MSG_VOTE_RESP: Final = MessageType.MsgVoteResp
MSG_SNAP: Final = MessageType.MsgSnap
MSG_HEARTBEAT: Final = MessageType.MsgHeartbeat
MSG_HEARTBEAT_RESP: Final = MessageType.MsgHeartbeatResp
MSG_UNREACHABLE: Final = MessageType.MsgUnreachable
MSG_SNAP_STATUS: Final = MessageType.MsgSnapStatus
MSG_CHECK_QUORUM: Final = MessageType.MsgCheckQuorum
MSG_TRANSFER_LEADER: Final = MessageType.MsgTransferLeader
MSG_TIMEOUT_NOW: Final = MessageType.MsgTimeoutNow
MSG_READ_INDEX: Final = MessageType.MsgReadIndex
MSG_READ_INDEX_RESP: Final = MessageType.MsgReadIndexResp
MSG_PRE_VOTE: Final = MessageType.MsgPreVote
MSG_PRE_VOTE_RESP: Final = MessageType.MsgPreVoteResp
MSG_STORAGE_APPEND: Final = MessageType.MsgStorageAppend
MSG_STORAGE_APPEND_RESP: Final = MessageType.MsgStorageAppendResp
MSG_STORAGE_APPLY: Final = MessageType.MsgStorageApply
MSG_STORAGE_APPLY_RESP: Final = MessageType.MsgStorageApplyResp
MSG_FORGET_LEADER: Final = MessageType.MsgForgetLeader


class EntryType(NamedInt):
    """Kinds of log entries: the meaning of their data."""

    EntryNormal = 0
    EntryConfChange = 1
    EntryConfChangeV2 = 2


ENTRY_NORMAL: Final = EntryType.EntryNormal
ENTRY_CONF_CHANGE: Final = EntryType.EntryConfChange
ENTRY_CONF_CHANGE_V2: Final = EntryType.EntryConfChangeV2


class ConfChangeType(NamedInt):
    """Steps of a membership change: the effect on one node."""

    ConfChangeAddNode = 0
    ConfChangeRemoveNode = 1
    ConfChangeUpdateNode = 2
    ConfChangeAddLearnerNode = 3


ADD_NODE: Final = ConfChangeType.ConfChangeAddNode
REMOVE_NODE: Final = ConfChangeType.ConfChangeRemoveNode
UPDATE_NODE: Final = ConfChangeType.ConfChangeUpdateNode
ADD_LEARNER_NODE: Final = ConfChangeType.ConfChangeAddLearnerNode


class ConfChangeTransition(NamedInt):
    """Ways from one configuration to the next: directly or through a joint one, left by the leader or by the
    application.
    """

    ConfChangeTransitionAuto = 0
    ConfChangeTransitionJointImplicit = 1
    ConfChangeTransitionJointExplicit = 2


TRANSITION_AUTO: Final = ConfChangeTransition.ConfChangeTransitionAuto
TRANSITION_JOINT_IMPLICIT: Final = ConfChangeTransition.ConfChangeTransitionJointImplicit
TRANSITION_JOINT_EXPLICIT: Final = ConfChangeTransition.ConfChangeTransitionJointExplicit
