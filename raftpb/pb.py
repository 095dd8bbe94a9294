"""Values <-> the objects of `raft_pb2`, for programs whose own schemas or gRPC services embed raftpb messages.

A schema imports `raftpb/raft.proto` and names `raftpb.Message`; the program moves between its generated objects and the
library's values with `to_pb` and `from_pb`. Both go by way of the encoded bytes, so that what the codec refuses is
refused here: EncodeError for a number outside [0, 2^63) in a value, DecodeError for one of 2^63 or more in an object.
An object cannot show an enum number that it does not know and keeps it among its unknown fields; that is refused, too,
unless `DiscardUnknownFields()` has thrown it away before, which leaves the field unset.

This is the only module of the library that imports protobuf.
"""

from __future__ import annotations

from typing import TypeAlias, overload

from raftpb import raft_pb2
from raftpb.codec import (
    decode_conf_change,
    decode_conf_change_v2,
    decode_conf_state,
    decode_entry,
    decode_hard_state,
    decode_message,
    decode_snapshot,
    decode_snapshot_metadata,
    encode_conf_change,
    encode_conf_change_v2,
    encode_conf_state,
    encode_entry,
    encode_hard_state,
    encode_message,
    encode_snapshot,
    encode_snapshot_metadata,
)
from raftpb.confchange import ConfChange, ConfChangeSingle, ConfChangeV2
from raftpb.message import ConfState, Entry, HardState, Message, Snapshot, SnapshotMetadata

AnyValue: TypeAlias = (
    Message | Entry | Snapshot | SnapshotMetadata | ConfState | HardState | ConfChange | ConfChangeSingle | ConfChangeV2
)
AnyPb: TypeAlias = (
    raft_pb2.Message
    | raft_pb2.Entry
    | raft_pb2.Snapshot
    | raft_pb2.SnapshotMetadata
    | raft_pb2.ConfState
    | raft_pb2.HardState
    | raft_pb2.ConfChange
    | raft_pb2.ConfChangeSingle
    | raft_pb2.ConfChangeV2
)


@overload
def to_pb(value: Message) -> raft_pb2.Message: ...
@overload
def to_pb(value: Entry) -> raft_pb2.Entry: ...
@overload
def to_pb(value: Snapshot) -> raft_pb2.Snapshot: ...
@overload
def to_pb(value: SnapshotMetadata) -> raft_pb2.SnapshotMetadata: ...
@overload
def to_pb(value: ConfState) -> raft_pb2.ConfState: ...
@overload
def to_pb(value: HardState) -> raft_pb2.HardState: ...
@overload
def to_pb(value: ConfChange) -> raft_pb2.ConfChange: ...
@overload
def to_pb(value: ConfChangeSingle) -> raft_pb2.ConfChangeSingle: ...
@overload
def to_pb(value: ConfChangeV2) -> raft_pb2.ConfChangeV2: ...
def to_pb(value: AnyValue) -> AnyPb:
    """The object of the generated module that stands for `value`; it shares nothing with it.

    Raises EncodeError where the codec does, and TypeError for what is not one of the library's values.
    """
    if isinstance(value, Message):
        return raft_pb2.Message.FromString(encode_message(value))
    if isinstance(value, Entry):
        return raft_pb2.Entry.FromString(encode_entry(value))
    if isinstance(value, Snapshot):
        return raft_pb2.Snapshot.FromString(encode_snapshot(value))
    if isinstance(value, SnapshotMetadata):
        return raft_pb2.SnapshotMetadata.FromString(encode_snapshot_metadata(value))
    if isinstance(value, ConfState):
        return raft_pb2.ConfState.FromString(encode_conf_state(value))
    if isinstance(value, HardState):
        return raft_pb2.HardState.FromString(encode_hard_state(value))
    if isinstance(value, ConfChange):
        return raft_pb2.ConfChange.FromString(encode_conf_change(value))
    if isinstance(value, ConfChangeV2):
        return raft_pb2.ConfChangeV2.FromString(encode_conf_change_v2(value))
    if isinstance(value, ConfChangeSingle):
        return to_pb(ConfChangeV2((value,))).changes[0]
    raise TypeError(f"{type(value).__name__} is not a value of raftpb")


@overload
def from_pb(pb: raft_pb2.Message) -> Message: ...
@overload
def from_pb(pb: raft_pb2.Entry) -> Entry: ...
@overload
def from_pb(pb: raft_pb2.Snapshot) -> Snapshot: ...
@overload
def from_pb(pb: raft_pb2.SnapshotMetadata) -> SnapshotMetadata: ...
@overload
def from_pb(pb: raft_pb2.ConfState) -> ConfState: ...
@overload
def from_pb(pb: raft_pb2.HardState) -> HardState: ...
@overload
def from_pb(pb: raft_pb2.ConfChange) -> ConfChange: ...
@overload
def from_pb(pb: raft_pb2.ConfChangeSingle) -> ConfChangeSingle: ...
@overload
def from_pb(pb: raft_pb2.ConfChangeV2) -> ConfChangeV2: ...
def from_pb(pb: AnyPb) -> AnyValue:
    """The value that a generated object stands for; unset fields have their defaults.

    Raises DecodeError, which is an InvalidMessageError, where the codec does; TypeError for another schema's object.
    """
    if isinstance(pb, raft_pb2.Message):
        return decode_message(pb.SerializeToString())
    if isinstance(pb, raft_pb2.Entry):
        return decode_entry(pb.SerializeToString())
    if isinstance(pb, raft_pb2.Snapshot):
        return decode_snapshot(pb.SerializeToString())
    if isinstance(pb, raft_pb2.SnapshotMetadata):
        return decode_snapshot_metadata(pb.SerializeToString())
    if isinstance(pb, raft_pb2.ConfState):
        return decode_conf_state(pb.SerializeToString())
    if isinstance(pb, raft_pb2.HardState):
        return decode_hard_state(pb.SerializeToString())
    if isinstance(pb, raft_pb2.ConfChange):
        return decode_conf_change(pb.SerializeToString())
    if isinstance(pb, raft_pb2.ConfChangeV2):
        return decode_conf_change_v2(pb.SerializeToString())
    if isinstance(pb, raft_pb2.ConfChangeSingle):
        return from_pb(raft_pb2.ConfChangeV2(changes=[pb])).changes[0]
    raise TypeError(f"{type(pb).__name__} is not a message of raftpb.raft_pb2")
