"""The words on the wire: Raft's messages as native values, their protobuf encoding, and the schema of record."""

from raftpb.confchange import (
    AnyConfChange,
    ConfChange,
    ConfChangeSingle,
    ConfChangeV2,
    format_changes,
    parse_changes,
)
from raftpb.enums import ConfChangeTransition, ConfChangeType, EntryType, MessageType
from raftpb.errors import DecodeError, EncodeError, InvalidMessageError, InvalidReason, RaftError, StepError
from raftpb.message import (
    LOCAL_APPEND_THREAD,
    LOCAL_APPLY_THREAD,
    NONE_ID,
    ConfState,
    Entry,
    HardState,
    Message,
    Snapshot,
    SnapshotMetadata,
)

__all__ = [
    "LOCAL_APPEND_THREAD",
    "LOCAL_APPLY_THREAD",
    "NONE_ID",
    "AnyConfChange",
    "ConfChange",
    "ConfChangeSingle",
    "ConfChangeTransition",
    "ConfChangeType",
    "ConfChangeV2",
    "ConfState",
    "DecodeError",
    "EncodeError",
    "Entry",
    "EntryType",
    "HardState",
    "InvalidMessageError",
    "InvalidReason",
    "Message",
    "MessageType",
    "RaftError",
    "Snapshot",
    "SnapshotMetadata",
    "StepError",
    "format_changes",
    "parse_changes",
]
