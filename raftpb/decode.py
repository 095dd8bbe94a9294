"""Bytes to values: the reading half of `raftpb.codec`.

The bytes come from the network or from a disk, so nothing about them is believed. Invariants: only DecodeError is
raised, whatever the bytes; the work is linear in their number; a length is compared with what remains before anything
is cut out. What protobuf refuses is refused. What protobuf accepts is read as protobuf reads it (unknown fields are
skipped, and so is a known number with another wire type; the last of two numbers wins; two submessages are merged;
lists of numbers come packed or not), except what is refused beyond that: a number of 2^63 or more, an enum number that
the schema does not name, a varint of more than 64 bits, and field number 0 within an unknown group.

`_message` and `_entry` read a tag and the first byte of its number or length, mostly the only one, in place, and the
values that they fill are nobody else's yet; the others, which are rarely read, leave it all to `wire.read_field`.

Source: etcd raftpb/raft.proto.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import mypyc_attr

from raftpb.confchange import AnyConfChange, ConfChange, ConfChangeSingle, ConfChangeV2
from raftpb.enums import (
    ENTRY_CONF_CHANGE,
    ENTRY_CONF_CHANGE_V2,
    MSG_HUP,
    TRANSITION_AUTO,
    ConfChangeTransition,
    ConfChangeType,
    EntryType,
    MessageType,
)
from raftpb.errors import DecodeError
from raftpb.integers import u64
from raftpb.message import NO_ENTRIES, NO_MESSAGES, ConfState, Entry, HardState, Message, Snapshot, SnapshotMetadata
from raftpb.wire import (
    CUT_SHORT,
    MAX_DEPTH,
    TOO_DEEP,
    TOO_LARGE,
    read_field,
    read_rest,
    read_varint,
    skip_field,
)

# Enum members by number: the schema counts from 0 without a gap.
_MESSAGE_TYPES: Final[list[MessageType]] = list(MessageType)
_ENTRY_TYPES: Final[list[EntryType]] = list(EntryType)
_CHANGE_TYPES: Final[list[ConfChangeType]] = list(ConfChangeType)
_TRANSITIONS: Final[list[ConfChangeTransition]] = list(ConfChangeTransition)

# Tags of the fields of Message and Entry in which a number of 2^63 or more is refused.
_MESSAGE_NUMBERS: Final = (1 << 3, 2 << 3, 3 << 3, 4 << 3, 5 << 3, 6 << 3, 8 << 3, 11 << 3, 13 << 3)
_ENTRY_NUMBERS: Final = (1 << 3, 2 << 3, 3 << 3)


def decode_message(data: bytes) -> Message:
    """Read a Message; one without a type is a MsgHup, as in the reference.

    Raises DecodeError, and TypeError for anything but bytes: what a bytearray or memoryview shows may change.
    """
    return _message(data, 0, _size(data), MAX_DEPTH)


def decode_entry(data: bytes) -> Entry:
    """Read an Entry. Raises as `decode_message` does."""
    return _entry(data, 0, _size(data), MAX_DEPTH)


def decode_snapshot(data: bytes) -> Snapshot:
    """Read a Snapshot. Raises as `decode_message` does."""
    parts = _SnapshotParts()
    parts.read_snapshot(data, 0, _size(data), MAX_DEPTH)
    return parts.snapshot()


def decode_snapshot_metadata(data: bytes) -> SnapshotMetadata:
    """Read a SnapshotMetadata. Raises as `decode_message` does."""
    parts = _SnapshotParts()
    parts.read_metadata(data, 0, _size(data), MAX_DEPTH)
    return parts.metadata()


def decode_conf_state(data: bytes) -> ConfState:
    """Read a ConfState. Raises as `decode_message` does."""
    parts = _SnapshotParts()
    parts.read_conf_state(data, 0, _size(data), MAX_DEPTH)
    return parts.conf_state()


def decode_hard_state(data: bytes) -> HardState:
    """Read a HardState. Raises as `decode_message` does."""
    end = _size(data)
    pos: u64 = 0
    state = HardState()
    while pos < end:
        tag, value, pos = read_field(data, pos, end, MAX_DEPTH)
        if tag == 1 << 3:
            state.term = _number(value)
        elif tag == 2 << 3:
            state.vote = _number(value)
        elif tag == 3 << 3:
            state.commit = _number(value)
    return state


def decode_conf_change(data: bytes) -> ConfChange:
    """Read a ConfChange. Raises as `decode_message` does."""
    end = _size(data)
    pos: u64 = 0
    change = ConfChange()
    while pos < end:
        tag, value, pos = read_field(data, pos, end, MAX_DEPTH)
        if tag == 1 << 3:
            change.id = _number(value)
        elif tag == 2 << 3:
            change.type = _change_type(value)
        elif tag == 3 << 3:
            change.node_id = _number(value)
        elif tag == 4 << 3 | 2:
            change.context = data[value:pos]
    return change


def decode_conf_change_v2(data: bytes) -> ConfChangeV2:
    """Read a ConfChangeV2; no bytes at all are the change that leaves a joint configuration.

    Raises as `decode_message` does.
    """
    end = _size(data)
    pos: u64 = 0
    changes: list[ConfChangeSingle] = []
    transition = TRANSITION_AUTO
    context = b""
    while pos < end:
        tag, value, pos = read_field(data, pos, end, MAX_DEPTH)
        if tag == 1 << 3:
            if not 0 <= value < len(_TRANSITIONS):
                raise DecodeError("an unknown ConfChangeTransition")
            transition = _TRANSITIONS[value]
        elif tag == 2 << 3 | 2:
            changes.append(_conf_change_single(data, value, pos))
        elif tag == 3 << 3 | 2:
            context = data[value:pos]
    return ConfChangeV2(changes, transition, context)


def decode_change(entry: Entry) -> AnyConfChange:
    """Read the membership change in a log entry, by the entry's type.

    Raises ValueError if the entry is of another type, DecodeError if its data is no change.
    """
    if entry.type is ENTRY_CONF_CHANGE:
        return decode_conf_change(entry.data)
    if entry.type is ENTRY_CONF_CHANGE_V2:
        return decode_conf_change_v2(entry.data)
    raise ValueError(f"entry {entry.index} is {entry.type!r}; expected a membership change")


def _conf_change_single(data: bytes, pos: u64, end: u64) -> ConfChangeSingle:
    change = ConfChangeSingle()
    while pos < end:
        tag, value, pos = read_field(data, pos, end, MAX_DEPTH - 1)
        if tag == 1 << 3:
            change.type = _change_type(value)
        elif tag == 2 << 3:
            change.node_id = _number(value)
    return change


def _size(data: bytes) -> u64:
    if not isinstance(data, bytes):
        raise TypeError(f"bytes expected, not {type(data).__name__}")
    return len(data)


def _number(value: u64) -> u64:
    if value < 0:
        raise DecodeError(TOO_LARGE)
    return value


def _change_type(value: u64) -> ConfChangeType:
    if not 0 <= value < len(_CHANGE_TYPES):
        raise DecodeError("an unknown ConfChangeType")
    return _CHANGE_TYPES[value]


def _message(data: bytes, pos: u64, end: u64, depth: u64) -> Message:
    if depth < 0:
        raise DecodeError(TOO_DEEP)
    message = Message(MSG_HUP)
    entries = NO_ENTRIES
    snapshot: _SnapshotParts | None = None
    responses = NO_MESSAGES
    last = end - 1
    while pos < last:
        tag: u64 = data[pos]
        value: u64 = data[pos + 1]
        pos += 2
        if tag >= 128 or value >= 128:
            tag, value, pos = read_rest(data, pos, end, tag, value)
            if value < 0 and tag in _MESSAGE_NUMBERS:
                raise DecodeError(TOO_LARGE)
        if tag == 1 << 3:
            if value >= len(_MESSAGE_TYPES):
                raise DecodeError("an unknown MessageType")
            message.type = _MESSAGE_TYPES[value]
        elif tag == 2 << 3:
            message.to = value
        elif tag == 3 << 3:
            message.from_ = value
        elif tag == 4 << 3:
            message.term = value
        elif tag == 5 << 3:
            message.log_term = value
        elif tag == 6 << 3:
            message.index = value
        elif tag == 7 << 3 | 2:
            if value > end - pos:
                raise DecodeError(CUT_SHORT)
            if entries is NO_ENTRIES:
                entries = message.entries = []
            entries.append(_entry(data, pos, pos + value, depth - 1))
            pos += value
        elif tag == 8 << 3:
            message.commit = value
        elif tag == 10 << 3:
            message.reject = value != 0
        elif tag == 11 << 3:
            message.reject_hint = value
        elif tag == 13 << 3:
            message.vote = value
        else:
            start = pos
            pos = skip_field(data, pos, end, tag, value, depth)
            if tag == 9 << 3 | 2:
                if snapshot is None:
                    snapshot = _SnapshotParts()
                snapshot.read_snapshot(data, start, pos, depth - 1)
            elif tag == 12 << 3 | 2:
                message.context = data[start:pos]
            elif tag == 14 << 3 | 2:
                if responses is NO_MESSAGES:
                    responses = message.responses = []
                responses.append(_message(data, start, pos, depth - 1))
    if pos != end:
        raise DecodeError(CUT_SHORT)
    if snapshot is not None:
        message.snapshot = snapshot.snapshot()
    return message


def _entry(data: bytes, pos: u64, end: u64, depth: u64) -> Entry:
    if depth < 0:
        raise DecodeError(TOO_DEEP)
    entry = Entry()
    last = end - 1
    while pos < last:
        tag: u64 = data[pos]
        value: u64 = data[pos + 1]
        pos += 2
        if tag >= 128 or value >= 128:
            tag, value, pos = read_rest(data, pos, end, tag, value)
            if value < 0 and tag in _ENTRY_NUMBERS:
                raise DecodeError(TOO_LARGE)
        if tag == 2 << 3:
            entry.term = value
        elif tag == 3 << 3:
            entry.index = value
        elif tag == 1 << 3:
            if value >= len(_ENTRY_TYPES):
                raise DecodeError("an unknown EntryType")
            entry.type = _ENTRY_TYPES[value]
        elif tag == 4 << 3 | 2:
            if value > end - pos:
                raise DecodeError(CUT_SHORT)
            entry.data = data[pos : pos + value]
            pos += value
        else:
            pos = skip_field(data, pos, end, tag, value, depth)
    if pos != end:
        raise DecodeError(CUT_SHORT)
    return entry


@final
@mypyc_attr(acyclic=True)
class _SnapshotParts:
    """A snapshot, its metadata and its configuration as far as they have been read.

    Each may come in several pieces that are to be merged, and from a hostile sender in very many: hence one place that
    grows instead of values that are copied.
    """

    __slots__ = ("auto_leave", "data", "index", "learners", "learners_next", "term", "voters", "voters_outgoing")

    def __init__(self) -> None:
        self.data = b""
        self.index: u64 = 0
        self.term: u64 = 0
        self.voters: list[int] = []
        self.learners: list[int] = []
        self.voters_outgoing: list[int] = []
        self.learners_next: list[int] = []
        self.auto_leave = False

    def read_snapshot(self, data: bytes, pos: u64, end: u64, depth: u64) -> None:
        if depth < 0:
            raise DecodeError(TOO_DEEP)
        while pos < end:
            tag, value, pos = read_field(data, pos, end, depth)
            if tag == 1 << 3 | 2:
                self.data = data[value:pos]
            elif tag == 2 << 3 | 2:
                self.read_metadata(data, value, pos, depth - 1)

    def read_metadata(self, data: bytes, pos: u64, end: u64, depth: u64) -> None:
        if depth < 0:
            raise DecodeError(TOO_DEEP)
        while pos < end:
            tag, value, pos = read_field(data, pos, end, depth)
            if tag == 1 << 3 | 2:
                self.read_conf_state(data, value, pos, depth - 1)
            elif tag == 2 << 3:
                self.index = _number(value)
            elif tag == 3 << 3:
                self.term = _number(value)

    def read_conf_state(self, data: bytes, pos: u64, end: u64, depth: u64) -> None:
        if depth < 0:
            raise DecodeError(TOO_DEEP)
        while pos < end:
            tag, value, pos = read_field(data, pos, end, depth)
            field = tag >> 3
            if field == 1:
                _add_ids(self.voters, data, tag, value, pos)
            elif field == 2:
                _add_ids(self.learners, data, tag, value, pos)
            elif field == 3:
                _add_ids(self.voters_outgoing, data, tag, value, pos)
            elif field == 4:
                _add_ids(self.learners_next, data, tag, value, pos)
            elif tag == 5 << 3:
                self.auto_leave = value != 0

    def conf_state(self) -> ConfState:
        return ConfState(self.voters, self.learners, self.voters_outgoing, self.learners_next, self.auto_leave)

    def metadata(self) -> SnapshotMetadata:
        return SnapshotMetadata(self.conf_state(), self.index, self.term)

    def snapshot(self) -> Snapshot:
        return Snapshot(self.data, self.metadata())


def _add_ids(ids: list[int], data: bytes, tag: u64, value: u64, end: u64) -> None:
    """Add one id, or those packed in `[value, end)`: the schema says the former, protobuf reads both."""
    if tag & 7 == 0:
        ids.append(_number(value))
    elif tag & 7 == 2:
        pos = value
        while pos < end:
            value, pos = read_varint(data, pos, end)
            ids.append(_number(value))
