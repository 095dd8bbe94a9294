"""Bytes <-> values, in protobuf's wire format: field for field what etcd's raftpb writes.

For each value type an `encode_x(value) -> bytes` and a `decode_x(data) -> value`. Invariants: `decode_x(encode_x(v)) ==
v`; the bytes are those that `raft_pb2` would write; EncodeError for what cannot be written, DecodeError for bytes that
are not a value, and nothing else whatever the bytes. There is no frame and no checksum: both are the transport's.

Written by hand, though protobuf could do it, because every message crosses it twice: compiled, it is five to eighty
times as fast as the way through `raft_pb2`'s objects; interpreted, about as fast, but for long appends, which take up
to three times as long to read. Tests hold it to `raft_pb2` in both directions.

Source: etcd raftpb/raft.proto.
"""

from raftpb.decode import (
    decode_change,
    decode_conf_change,
    decode_conf_change_v2,
    decode_conf_state,
    decode_entry,
    decode_hard_state,
    decode_message,
    decode_snapshot,
    decode_snapshot_metadata,
)
from raftpb.encode import (
    encode_conf_change,
    encode_conf_change_v2,
    encode_conf_state,
    encode_entry,
    encode_hard_state,
    encode_message,
    encode_snapshot,
    encode_snapshot_metadata,
)

__all__ = [
    "decode_change",
    "decode_conf_change",
    "decode_conf_change_v2",
    "decode_conf_state",
    "decode_entry",
    "decode_hard_state",
    "decode_message",
    "decode_snapshot",
    "decode_snapshot_metadata",
    "encode_conf_change",
    "encode_conf_change_v2",
    "encode_conf_state",
    "encode_entry",
    "encode_hard_state",
    "encode_message",
    "encode_snapshot",
    "encode_snapshot_metadata",
]
