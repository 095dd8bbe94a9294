"""Values to bytes: the writing half of `raftpb.codec`.

Laws: a field is written when it differs from its default, in the order of its number, so the bytes are those that any
protobuf library writes; only a membership change carries its types, node ids and transition always, as the reference's
do. What has been written can be read and is equal to what was given. Only EncodeError is raised: for a number outside
[0, 2^63), such as the id of a local thread, and for responses nested deeper than a reader would follow.

What varints are made of lies ready in tables; the bytes are gathered in a list and joined once.

Source: etcd raftpb/raft.proto.
"""

from __future__ import annotations

from typing import Final

from raftpb.confchange import ConfChange, ConfChangeV2
from raftpb.enums import ENTRY_NORMAL, MSG_HUP
from raftpb.errors import EncodeError
from raftpb.integers import MAX_INTEGER, u64
from raftpb.message import ConfState, Entry, HardState, Message, Snapshot, SnapshotMetadata
from raftpb.wire import MAX_DEPTH, varint


def _table(field: int, wire: int = 0) -> list[bytes]:
    return [bytes((field << 3 | wire, byte)) for byte in range(256)]


# The tag of a field with the first byte of its number or length, by that byte.
_FIELD_1: Final[list[bytes]] = _table(1)
_FIELD_2: Final[list[bytes]] = _table(2)
_FIELD_3: Final[list[bytes]] = _table(3)
_FIELD_4: Final[list[bytes]] = _table(4)
_FIELD_5: Final[list[bytes]] = _table(5)
_FIELD_6: Final[list[bytes]] = _table(6)
_FIELD_8: Final[list[bytes]] = _table(8)
_FIELD_11: Final[list[bytes]] = _table(11)
_FIELD_13: Final[list[bytes]] = _table(13)

_BYTES_1: Final[list[bytes]] = _table(1, 2)
_BYTES_2: Final[list[bytes]] = _table(2, 2)
_BYTES_3: Final[list[bytes]] = _table(3, 2)
_BYTES_4: Final[list[bytes]] = _table(4, 2)
_BYTES_7: Final[list[bytes]] = _table(7, 2)
_BYTES_9: Final[list[bytes]] = _table(9, 2)
_BYTES_12: Final[list[bytes]] = _table(12, 2)
_BYTES_14: Final[list[bytes]] = _table(14, 2)
_FIELD_5_TRUE: Final = b"\x28\x01"
_FIELD_10_TRUE: Final = b"\x50\x01"

_SNAPSHOT_DEPTH: Final = 3
"""Levels that the deepest field of a message takes: snapshot, metadata, configuration."""


def encode_message(message: Message) -> bytes:
    """Write a Message.

    Raises EncodeError for a number outside [0, 2^63), and for responses within responses within 97 others.
    """
    return _message(message, MAX_DEPTH)


def encode_entry(entry: Entry) -> bytes:
    """Write an Entry, in `entry.encoded_size()` bytes. Raises EncodeError for a number outside [0, 2^63)."""
    parts: list[bytes] = []
    if entry.type is not ENTRY_NORMAL:
        parts.append(_FIELD_1[entry.type])
    if entry.term != 0:
        parts.append(_FIELD_2[entry.term] if 0 < entry.term < 128 else _number(_FIELD_2, entry.term))
    if entry.index != 0:
        parts.append(_FIELD_3[entry.index] if 0 < entry.index < 128 else _number(_FIELD_3, entry.index))
    _put_bytes(parts, _BYTES_4, entry.data)
    return b"".join(parts)


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Write a Snapshot. Raises EncodeError for a number outside [0, 2^63)."""
    parts: list[bytes] = []
    _put_bytes(parts, _BYTES_1, snapshot.data)
    _put_bytes(parts, _BYTES_2, encode_snapshot_metadata(snapshot.metadata))
    return b"".join(parts)


def encode_snapshot_metadata(metadata: SnapshotMetadata) -> bytes:
    """Write a SnapshotMetadata. Raises EncodeError for a number outside [0, 2^63)."""
    parts: list[bytes] = []
    _put_bytes(parts, _BYTES_1, encode_conf_state(metadata.conf_state))
    _put_number(parts, _FIELD_2, metadata.index)
    _put_number(parts, _FIELD_3, metadata.term)
    return b"".join(parts)


def encode_conf_state(state: ConfState) -> bytes:
    """Write a ConfState. Raises EncodeError for a number outside [0, 2^63)."""
    parts: list[bytes] = []
    _put_ids(parts, _FIELD_1, state.voters)
    _put_ids(parts, _FIELD_2, state.learners)
    _put_ids(parts, _FIELD_3, state.voters_outgoing)
    _put_ids(parts, _FIELD_4, state.learners_next)
    if state.auto_leave:
        parts.append(_FIELD_5_TRUE)
    return b"".join(parts)


def encode_hard_state(state: HardState) -> bytes:
    """Write a HardState. Raises EncodeError for a number outside [0, 2^63)."""
    parts: list[bytes] = []
    _put_number(parts, _FIELD_1, state.term)
    _put_number(parts, _FIELD_2, state.vote)
    _put_number(parts, _FIELD_3, state.commit)
    return b"".join(parts)


def encode_conf_change(change: ConfChange) -> bytes:
    """Write a ConfChange, always with its type and node id. Raises EncodeError for a number outside [0, 2^63)."""
    parts: list[bytes] = []
    _put_number(parts, _FIELD_1, change.id)
    parts.append(_FIELD_2[change.type])
    parts.append(_number(_FIELD_3, change.node_id))
    _put_bytes(parts, _BYTES_4, change.context)
    return b"".join(parts)


def encode_conf_change_v2(change: ConfChangeV2) -> bytes:
    """Write a ConfChangeV2, always with its transition and each step's type and node id.

    Raises EncodeError for a number outside [0, 2^63).
    """
    parts: list[bytes] = [_FIELD_1[change.transition]]
    for step in change.changes:
        _put_bytes(parts, _BYTES_2, _FIELD_1[step.type] + _number(_FIELD_2, step.node_id))
    _put_bytes(parts, _BYTES_3, change.context)
    return b"".join(parts)


def _message(message: Message, depth: u64) -> bytes:
    """`depth`: how many levels may follow this message."""
    if depth < _SNAPSHOT_DEPTH:
        raise EncodeError("responses are nested too deep to be read again")
    parts: list[bytes] = []
    if message.type is not MSG_HUP:
        parts.append(_FIELD_1[message.type])
    if message.to != 0:
        parts.append(_FIELD_2[message.to] if 0 < message.to < 128 else _number(_FIELD_2, message.to))
    if message.from_ != 0:
        parts.append(_FIELD_3[message.from_] if 0 < message.from_ < 128 else _number(_FIELD_3, message.from_))
    if message.term != 0:
        parts.append(_FIELD_4[message.term] if 0 < message.term < 128 else _number(_FIELD_4, message.term))
    if message.log_term != 0:
        parts.append(_FIELD_5[message.log_term] if 0 < message.log_term < 128 else _number(_FIELD_5, message.log_term))
    if message.index != 0:
        parts.append(_FIELD_6[message.index] if 0 < message.index < 128 else _number(_FIELD_6, message.index))
    if message.entries:
        _put_entries(parts, message.entries)
    if message.commit != 0:
        parts.append(_FIELD_8[message.commit] if 0 < message.commit < 128 else _number(_FIELD_8, message.commit))
    if message.snapshot is not None:
        _put_submessage(parts, _BYTES_9, encode_snapshot(message.snapshot))
    if message.reject:
        parts.append(_FIELD_10_TRUE)
    if message.reject_hint != 0:
        _put_number(parts, _FIELD_11, message.reject_hint)
    if message.context:
        _put_bytes(parts, _BYTES_12, message.context)
    if message.vote != 0:
        _put_number(parts, _FIELD_13, message.vote)
    if message.responses:
        for response in message.responses:
            _put_submessage(parts, _BYTES_14, _message(response, depth - 1))
    return b"".join(parts)


def _put_entries(parts: list[bytes], entries: list[Entry]) -> None:
    """Append the entries of a message.

    They resemble each other: one term, indexes that differ in their low seven bits, often one length. What did not
    change since the entry before is not made again.
    """
    term: u64 = 0
    term_field = b""
    high: u64 = 0
    index_tail = b""
    length: u64 = 0
    data_head = b""
    size: u64 = -1
    entry_head = b""
    for entry in entries:
        if entry.term != term:
            term = entry.term
            term_field = _number(_FIELD_2, term) if term != 0 else b""
        index = entry.index
        if index >> 7 != high:
            high = index >> 7
            if not 0 <= index <= MAX_INTEGER:
                raise _refusal(index)
            index_tail = varint(high) if high != 0 else b""
        if high != 0:
            index_field = _FIELD_3[index & 127 | 128]
        else:
            index_field = _FIELD_3[index] if index != 0 else b""
        data = entry.data
        if len(data) != length:
            length = len(data)
            data_head = _number(_BYTES_4, length) if length != 0 else b""
        entry_size: u64 = len(term_field) + len(index_field) + len(index_tail) + len(data_head) + length
        if entry.type is not ENTRY_NORMAL:
            entry_size += 2
        if entry_size != size:
            size = entry_size
            entry_head = _number(_BYTES_7, size)
        parts.append(entry_head)
        if entry.type is not ENTRY_NORMAL:
            parts.append(_FIELD_1[entry.type])
        parts.append(term_field)
        parts.append(index_field)
        parts.append(index_tail)
        parts.append(data_head)
        parts.append(data)


def _number(table: list[bytes], value: u64) -> bytes:
    """The number field of `table` with `value`, also when it is 0."""
    if 0 <= value < 128:
        return table[value]
    if not 0 <= value <= MAX_INTEGER:
        raise _refusal(value)
    return table[value & 127 | 128] + varint(value >> 7)


def _put_number(parts: list[bytes], table: list[bytes], value: u64) -> None:
    if value != 0:
        parts.append(_number(table, value))


def _put_ids(parts: list[bytes], table: list[bytes], ids: tuple[int, ...]) -> None:
    for node_id in ids:
        if not 0 <= node_id <= MAX_INTEGER:  # not left to _number: a compiled call takes 64 bits only
            raise _refusal(node_id)
        parts.append(_number(table, node_id))


def _refusal(value: int) -> EncodeError:
    return EncodeError(f"{value} cannot be written: numbers lie in [0, 2^63)")


def _put_bytes(parts: list[bytes], table: list[bytes], data: bytes) -> None:
    """A bytes field, or a submessage that is its default when it encodes to nothing."""
    if data:
        parts.append(_number(table, len(data)))
        parts.append(data)


def _put_submessage(parts: list[bytes], table: list[bytes], data: bytes) -> None:
    """A submessage whose presence means something, also when it encodes to nothing."""
    parts.append(_number(table, len(data)))
    parts.append(data)
