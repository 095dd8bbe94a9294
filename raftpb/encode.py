"""Values to bytes: the writing half of `raftpb.codec`.

Invariants: a field is written when it differs from its default, in the order of its number, so the bytes are those that
any protobuf library writes; only a membership change carries its types, node ids and transition always, as the
reference's do. What has been written can be read and is equal to what was given. Only EncodeError is raised: for a
number outside [0, 2^63), such as the id of a local thread, and for responses nested deeper than a reader would follow.

Numbers reach the writer as plain `int`: compiled, that is what its `append` takes without a detour.

Source: etcd raftpb/raft.proto.
"""

from __future__ import annotations

from typing import Final

from librt.strings import BytesWriter

from raftpb.confchange import ConfChange, ConfChangeV2
from raftpb.enums import ENTRY_NORMAL, MSG_HUP
from raftpb.errors import EncodeError
from raftpb.integers import u64
from raftpb.message import ConfState, Entry, HardState, Message, Snapshot, SnapshotMetadata
from raftpb.wire import MAX_DEPTH

_SNAPSHOT_DEPTH: Final = 3
"""Levels that the deepest field of a message takes: snapshot, metadata, configuration."""


def encode_message(message: Message) -> bytes:
    """Write a Message.

    Raises EncodeError for a number outside [0, 2^63), and for responses within responses within 97 others.
    """
    return _message(message, MAX_DEPTH)


def encode_entry(entry: Entry) -> bytes:
    """Write an Entry, in `entry.encoded_size()` bytes. Raises EncodeError for a number outside [0, 2^63)."""
    writer = BytesWriter()
    _put_entry(writer, entry)
    return writer.getvalue()


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Write a Snapshot. Raises EncodeError for a number outside [0, 2^63)."""
    writer = BytesWriter()
    _put_bytes(writer, 1, snapshot.data)
    _put_bytes(writer, 2, encode_snapshot_metadata(snapshot.metadata))
    return writer.getvalue()


def encode_snapshot_metadata(metadata: SnapshotMetadata) -> bytes:
    """Write a SnapshotMetadata. Raises EncodeError for a number outside [0, 2^63)."""
    writer = BytesWriter()
    _put_bytes(writer, 1, encode_conf_state(metadata.conf_state))
    _put_number(writer, 2, metadata.index)
    _put_number(writer, 3, metadata.term)
    return writer.getvalue()


def encode_conf_state(state: ConfState) -> bytes:
    """Write a ConfState. Raises EncodeError for a number outside [0, 2^63)."""
    writer = BytesWriter()
    _put_ids(writer, 1, state.voters)
    _put_ids(writer, 2, state.learners)
    _put_ids(writer, 3, state.voters_outgoing)
    _put_ids(writer, 4, state.learners_next)
    if state.auto_leave:
        writer.append(5 << 3)
        writer.append(1)
    return writer.getvalue()


def encode_hard_state(state: HardState) -> bytes:
    """Write a HardState. Raises EncodeError for a number outside [0, 2^63)."""
    writer = BytesWriter()
    _put_number(writer, 1, state.term)
    _put_number(writer, 2, state.vote)
    _put_number(writer, 3, state.commit)
    return writer.getvalue()


def encode_conf_change(change: ConfChange) -> bytes:
    """Write a ConfChange, always with its type and node id. Raises EncodeError for a number outside [0, 2^63)."""
    writer = BytesWriter()
    _put_number(writer, 1, change.id)
    writer.append(2 << 3)
    writer.append(change.type)
    _put_id(writer, 3, change.node_id)
    _put_bytes(writer, 4, change.context)
    return writer.getvalue()


def encode_conf_change_v2(change: ConfChangeV2) -> bytes:
    """Write a ConfChangeV2, always with its transition and each step's type and node id.

    Raises EncodeError for a number outside [0, 2^63).
    """
    writer = BytesWriter()
    writer.append(1 << 3)
    writer.append(change.transition)
    for step in change.changes:
        single = BytesWriter()
        single.append(1 << 3)
        single.append(step.type)
        _put_id(single, 2, step.node_id)
        _put_bytes(writer, 2, single.getvalue())
    _put_bytes(writer, 3, change.context)
    return writer.getvalue()


def _message(message: Message, depth: u64) -> bytes:
    """`depth`: how many levels may follow this message."""
    if depth < _SNAPSHOT_DEPTH:
        raise EncodeError("responses are nested too deep to be read again")
    _check_message(message)
    writer = BytesWriter()
    if message.type is not MSG_HUP:
        writer.append(1 << 3)
        _put_varint(writer, message.type)
    if message.to != 0:
        writer.append(2 << 3)
        _put_varint(writer, message.to)
    if message.from_ != 0:
        writer.append(3 << 3)
        _put_varint(writer, message.from_)
    if message.term != 0:
        writer.append(4 << 3)
        _put_varint(writer, message.term)
    if message.log_term != 0:
        writer.append(5 << 3)
        _put_varint(writer, message.log_term)
    if message.index != 0:
        writer.append(6 << 3)
        _put_varint(writer, message.index)
    if message.entries:
        _put_entries(writer, message.entries)
    if message.commit != 0:
        writer.append(8 << 3)
        _put_varint(writer, message.commit)
    if message.snapshot is not None:
        _put_submessage(writer, 9, encode_snapshot(message.snapshot))
    if message.reject:
        writer.append(10 << 3)
        writer.append(1)
    if message.reject_hint != 0:
        writer.append(11 << 3)
        _put_varint(writer, message.reject_hint)
    if message.context:
        _put_bytes(writer, 12, message.context)
    if message.vote != 0:
        writer.append(13 << 3)
        _put_varint(writer, message.vote)
    for response in message.responses:
        _put_submessage(writer, 14, _message(response, depth - 1))
    return writer.getvalue()


def _check_message(m: Message) -> None:
    """One comparison for all: a negative number makes the union negative, one of 2^63 or more makes it too large."""
    if (m.to | m.from_ | m.term | m.log_term | m.index | m.commit | m.reject_hint | m.vote) >> 63 != 0:
        for number in (m.to, m.from_, m.term, m.log_term, m.index, m.commit, m.reject_hint, m.vote):
            _check(number)


def _put_entries(writer: BytesWriter, entries: list[Entry]) -> None:
    """Write the entries of a message.

    They resemble each other: one term, indexes that differ in their low seven bits, often one length. Then what lies
    before and behind that byte is the same as for the entry before, and is not made again.
    """
    term: u64 = -1
    high: u64 = -1
    length: u64 = -1
    before = b""
    behind = b""
    for entry in entries:
        data = entry.data
        if entry.type is not ENTRY_NORMAL or entry.term == 0 or entry.index < 128 or not data or len(entries) == 1:
            _put_framed(writer, entry)
            continue
        if entry.term != term or entry.index >> 7 != high or len(data) != length:
            term = entry.term
            high = entry.index >> 7
            length = len(data)
            before, behind = _around_low_bits(entry)
        writer.write(before)
        low: int = entry.index & 127 | 128
        writer.append(low)
        writer.write(behind)
        writer.write(data)


def _around_low_bits(entry: Entry) -> tuple[bytes, bytes]:
    """Return the bytes before and after the low seven bits of the index, up to the data."""
    _check(entry.term)
    _check(entry.index)
    before = BytesWriter()
    before.append(7 << 3 | 2)
    _put_varint(before, entry.encoded_size())
    before.append(2 << 3)
    _put_varint(before, entry.term)
    before.append(3 << 3)
    behind = BytesWriter()
    _put_varint(behind, entry.index >> 7)
    behind.append(4 << 3 | 2)
    _put_varint(behind, len(entry.data))
    return before.getvalue(), behind.getvalue()


def _put_framed(writer: BytesWriter, entry: Entry) -> None:
    writer.append(7 << 3 | 2)
    _put_varint(writer, entry.encoded_size())
    _put_entry(writer, entry)


def _put_entry(writer: BytesWriter, entry: Entry) -> None:
    if (entry.term | entry.index) >> 63 != 0:
        _check(entry.term)
        _check(entry.index)
    if entry.type is not ENTRY_NORMAL:
        writer.append(1 << 3)
        _put_varint(writer, entry.type)
    if entry.term != 0:
        writer.append(2 << 3)
        _put_varint(writer, entry.term)
    if entry.index != 0:
        writer.append(3 << 3)
        _put_varint(writer, entry.index)
    data = entry.data
    if data:
        writer.append(4 << 3 | 2)
        _put_varint(writer, len(data))
        writer.write(data)


def _put_varint(writer: BytesWriter, value: int) -> None:
    """Seven bits a byte, the lowest first, the top bit set in each but the last; `value` lies in [0, 2^63)."""
    while value >= 128:
        writer.append(value & 127 | 128)
        value >>= 7
    writer.append(value)


def _put_number(writer: BytesWriter, field: int, value: int) -> None:
    if value != 0:
        _put_id(writer, field, value)


def _put_id(writer: BytesWriter, field: int, value: int) -> None:
    """A number field, also when it is 0."""
    _check(value)
    writer.append(field << 3)
    _put_varint(writer, value)


def _put_ids(writer: BytesWriter, field: int, ids: tuple[int, ...]) -> None:
    for node_id in ids:
        _put_id(writer, field, node_id)


def _check(value: int) -> None:
    if not 0 <= value < 1 << 63:
        raise EncodeError(f"{value} cannot be written: numbers lie in [0, 2^63)")


def _put_bytes(writer: BytesWriter, field: int, data: bytes) -> None:
    """A bytes field, or a submessage that is its default when it encodes to nothing."""
    if data:
        _put_submessage(writer, field, data)


def _put_submessage(writer: BytesWriter, field: int, data: bytes) -> None:
    """A submessage whose presence means something, also when it encodes to nothing."""
    writer.append(field << 3 | 2)
    _put_varint(writer, len(data))
    writer.write(data)
