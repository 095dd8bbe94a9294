"""Values to bytes and back: what the wire format has no place for.

Messages, entries and snapshots are written by `raftpb.codec`. A message that it cannot write, because it comes from a
storage thread (whose id is negative) or is none that a network could carry, is written field by field. `put_x` appends
to a list of bytes; the reading half is `Cursor`, which raises BadValueError and nothing else.

A large snapshot is replaced by a *stand-in*, which tells its length and checksum; of a stand-in the stand-in is itself,
so that a replay, which has nothing else, says the same.
"""

from __future__ import annotations

import zlib
from typing import Final

from pyraft import InvariantError, Progress, ProgressState
from pyraft.tracker.inflights import Inflights
from raftpb import codec
from raftpb.confchange import AnyConfChange, ConfChange
from raftpb.enums import MSG_APP, EntryType, MessageType
from raftpb.errors import DecodeError, EncodeError
from raftpb.integers import MAX_INTEGER
from raftpb.message import NO_ENTRIES, ConfState, Entry, Message, Snapshot, SnapshotMetadata
from rafttest.record.format import BadValueError, varint

LARGE_BYTES: Final = 4096
"""Snapshots beyond it are represented by a stand-in."""

_STAND_IN: Final = b"\0snapshot\0"
_STAND_IN_BYTES: Final = len(_STAND_IN) + 12
_MAX_DEPTH: Final = 8
"""Of responses within responses, where messages are written field by field."""

_TEXT_BYTES: Final = 2000
"""Longer texts are cut."""

_PLAIN: Final = b"\0"
_BY_FIELD: Final = b"\1"


class Cursor:
    """Reads values from bytes, from the first to the last."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.pos = 0

    def is_at_end(self) -> bool:
        """True if nothing is left."""
        return self.pos >= len(self.data)

    def finish(self) -> None:
        """Raises BadValueError if anything is left."""
        if not self.is_at_end():
            raise BadValueError(f"{len(self.data) - self.pos} bytes too many")

    def byte(self) -> int:
        """One byte."""
        if self.pos >= len(self.data):
            raise BadValueError("cut short")
        self.pos += 1
        return self.data[self.pos - 1]

    def flag(self) -> bool:
        """True or False."""
        value = self.byte()
        if value > 1:
            raise BadValueError(f"{value} is neither true nor false")
        return value == 1

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                if value >> 64:
                    break
                return value
        raise BadValueError("a number of more than 64 bits")

    def number(self) -> int:
        """A number in [0, 2^63)."""
        value = self._varint()
        if value > MAX_INTEGER:
            raise BadValueError(f"{value} is not in [0, 2^63)")
        return value

    def signed(self) -> int:
        """A number in [-2^63, 2^63)."""
        value = self._varint()
        return value >> 1 if value & 1 == 0 else -(value >> 1) - 1

    def count(self) -> int:
        """How many values follow, of one byte each at least."""
        value = self.number()
        if value > len(self.data) - self.pos:
            raise BadValueError(f"{value} values in {len(self.data) - self.pos} bytes")
        return value

    def blob(self) -> bytes:
        """Bytes with their length before them."""
        size = self.count()
        self.pos += size
        return self.data[self.pos - size : self.pos]

    def text(self) -> str:
        """Text."""
        try:
            return self.blob().decode()
        except UnicodeDecodeError as error:
            raise BadValueError(f"text that is no UTF-8: {error.reason}") from error

    def ids(self) -> tuple[int, ...]:
        """Numbers with their count before them."""
        return tuple([self.number() for _ in range(self.count())])

    def message(self, depth: int = _MAX_DEPTH) -> Message:
        """A message, also of a storage thread."""
        form = self.byte()
        if form == 1:
            return self._message_by_field(depth)
        if form != 0:
            raise BadValueError(f"{form} is no form of a message")
        try:
            return codec.decode_message(self.blob())
        except DecodeError as error:
            raise BadValueError(f"no message: {error}") from error

    def entries(self) -> list[Entry]:
        """Entries of the log."""
        try:
            return list(codec.decode_message(self.blob()).entries)
        except DecodeError as error:
            raise BadValueError(f"no entries: {error}") from error

    def snapshot(self) -> Snapshot:
        """A snapshot."""
        try:
            return codec.decode_snapshot(self.blob())
        except DecodeError as error:
            raise BadValueError(f"no snapshot: {error}") from error

    def conf_state(self) -> ConfState:
        """A configuration."""
        try:
            return codec.decode_conf_state(self.blob())
        except DecodeError as error:
            raise BadValueError(f"no configuration: {error}") from error

    def conf_change(self) -> AnyConfChange | None:
        """A membership change, or what leaves a joint configuration."""
        form = self.byte()
        try:
            if form == 1:
                return codec.decode_conf_change(self.blob())
            if form == 2:
                return codec.decode_conf_change_v2(self.blob())
        except DecodeError as error:
            raise BadValueError(f"no membership change: {error}") from error
        if form != 0:
            raise BadValueError(f"{form} is no form of a membership change")
        return None

    def progress(self) -> Progress:
        """How far a follower is."""
        id, match, next = self.number(), self.number(), self.number()
        is_learner, recent_active, flow_paused = self.flag(), self.flag(), self.flag()
        state = self.byte()
        if state >= len(ProgressState):
            raise BadValueError(f"{state} is no ProgressState")
        sent_commit, pending_snapshot = self.number(), self.number()
        capacity, max_bytes = self.number(), self.number()
        window = [(self.number(), self.number()) for _ in range(self.count())]
        if len(window) > capacity:
            raise BadValueError("a window holds more than it can")
        inflights = Inflights(capacity)  # the limit in bytes comes after: one message may exceed it
        try:
            for index, size_bytes in window:
                inflights.add(index, size_bytes)
        except InvariantError as error:
            raise BadValueError(str(error)) from error
        inflights.max_bytes = max_bytes
        return Progress(
            id,
            match,
            next,
            inflights,
            is_learner,
            recent_active,
            ProgressState(state),
            sent_commit,
            pending_snapshot,
            flow_paused,
        )

    def _message_by_field(self, depth: int) -> Message:
        if depth == 0:
            raise BadValueError("responses are nested too deep")
        kind = self.byte()
        if kind >= len(MessageType):
            raise BadValueError(f"{kind} is no MessageType")
        to, from_, term, log_term, index, commit = [self.signed() for _ in range(6)]
        reject, reject_hint, vote, context = self.flag(), self.signed(), self.signed(), self.blob()
        entries = [self._entry_by_field() for _ in range(self.count())]
        snapshot = self._snapshot_by_field() if self.flag() else None
        responses = [self._message_by_field(depth - 1) for _ in range(self.count())]
        m = Message(MessageType(kind), to, from_, term, log_term, index)
        m.commit, m.reject, m.reject_hint, m.vote, m.context = commit, reject, reject_hint, vote, context
        m.snapshot = snapshot
        if entries:
            m.entries = entries
        if responses:
            m.responses = responses
        return m

    def _entry_by_field(self) -> Entry:
        kind = self.byte()
        if kind >= len(EntryType):
            raise BadValueError(f"{kind} is no EntryType")
        return Entry(EntryType(kind), self.signed(), self.signed(), self.blob())

    def _snapshot_by_field(self) -> Snapshot:
        data, index, term = self.blob(), self.signed(), self.signed()
        voters, learners, outgoing, coming = [
            [self.signed() for _ in range(self.count())] for _ in ("voters", "learners", "outgoing", "coming")
        ]
        state = ConfState(voters, learners, outgoing, coming, self.flag())
        return Snapshot(data, SnapshotMetadata(state, index, term))


# -- the writing half: EncodeError, TypeError and the like where a value is none that could be read again


def number(value: int) -> bytes:
    """A number in [0, 2^63)."""
    if not 0 <= value <= MAX_INTEGER:
        raise EncodeError(f"{value} is not in [0, 2^63)")
    return varint(value)


def signed(value: int) -> bytes:
    """A number in [-2^63, 2^63)."""
    if not -MAX_INTEGER <= value <= MAX_INTEGER:
        raise EncodeError(f"{value} has more than 64 bits")
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)


def flag(value: bool) -> bytes:
    """True or False."""
    return b"\1" if value else b"\0"


def put_bytes(parts: list[bytes], data: bytes) -> None:
    """Bytes with their length before them."""
    parts.append(varint(len(data)))
    parts.append(data)


def framed(data: bytes) -> bytes:
    """Bytes with their length before them."""
    return varint(len(data)) + data


def put_text(parts: list[bytes], text: str) -> None:
    """Text; what is too long of it is cut."""
    put_bytes(parts, text[:_TEXT_BYTES].encode(errors="backslashreplace"))


def put_ids(parts: list[bytes], ids: tuple[int, ...]) -> None:
    """Numbers with their count before them."""
    parts.append(varint(len(ids)))
    parts += [number(id) for id in ids]


def put_message(parts: list[bytes], m: Message) -> None:
    """Any message."""
    if m.snapshot is not None:
        m = _slim(m)
    try:
        data = codec.encode_message(m)
    except EncodeError:
        parts.append(_BY_FIELD)
        _put_message_by_field(parts, m, _MAX_DEPTH)
        return
    parts.append(_PLAIN)
    put_bytes(parts, data)


def encode_entries(entries: list[Entry]) -> bytes:
    """Entries, in the form of a message that carries nothing else."""
    return codec.encode_message(Message(MSG_APP, 0, 0, 0, 0, 0, entries))


def put_conf_change(parts: list[bytes], change: AnyConfChange | None) -> None:
    """A membership change, or None, which leaves a joint configuration."""
    if change is None:
        parts.append(b"\0")
    elif isinstance(change, ConfChange):
        parts.append(b"\1")
        put_bytes(parts, codec.encode_conf_change(change))
    else:
        parts.append(b"\2")
        put_bytes(parts, codec.encode_conf_change_v2(change))


def put_progress(parts: list[bytes], one: Progress) -> None:
    """How far a follower is."""
    parts += [number(one.id), number(one.match), number(one.next)]
    parts += [flag(one.is_learner), flag(one.recent_active), flag(one.flow_paused), number(one.state.value)]
    parts += [number(one.sent_commit), number(one.pending_snapshot)]
    window = one.inflights.entries()
    parts += [number(one.inflights.capacity), number(one.inflights.max_bytes), varint(len(window))]
    for index, size_bytes in window:
        parts += [number(index), number(size_bytes)]


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """A snapshot, or its stand-in, with its length before it."""
    return framed(codec.encode_snapshot(slim_snapshot(snapshot)))


def slim_snapshot(snapshot: Snapshot) -> Snapshot:
    """The same, with a stand-in for the data if that is large."""
    if len(snapshot.data) <= LARGE_BYTES:
        return snapshot
    size_and_checksum = len(snapshot.data).to_bytes(8, "little") + zlib.crc32(snapshot.data).to_bytes(4, "little")
    return Snapshot(_STAND_IN + size_and_checksum, snapshot.metadata)


def describe_data(data: bytes) -> str:
    """`12 bytes`, of the snapshot that these are or stand for."""
    if len(data) == _STAND_IN_BYTES and data.startswith(_STAND_IN):
        return f"{int.from_bytes(data[len(_STAND_IN) : -4], 'little')} bytes"
    return f"{len(data)} bytes"


def _slim(m: Message) -> Message:
    if m.snapshot is None or len(m.snapshot.data) <= LARGE_BYTES:
        return m
    copy = Message(m.type, m.to, m.from_, m.term, m.log_term, m.index, m.entries, m.commit)
    copy.snapshot = slim_snapshot(m.snapshot)
    copy.reject, copy.reject_hint, copy.context, copy.vote = m.reject, m.reject_hint, m.context, m.vote
    copy.responses = m.responses
    return copy


def without_entries(m: Message) -> Message:
    """The same message, which carries neither entries nor a snapshot nor responses."""
    copy = Message(m.type, m.to, m.from_, m.term, m.log_term, m.index, NO_ENTRIES, m.commit)
    copy.reject, copy.reject_hint, copy.context, copy.vote = m.reject, m.reject_hint, m.context, m.vote
    return copy


def _put_message_by_field(parts: list[bytes], m: Message, depth: int) -> None:
    if depth == 0:
        raise EncodeError("responses are nested too deep")
    parts.append(varint(MessageType(m.type)))
    parts += [signed(value) for value in (m.to, m.from_, m.term, m.log_term, m.index, m.commit)]
    parts += [flag(m.reject), signed(m.reject_hint), signed(m.vote)]
    put_bytes(parts, m.context)
    parts.append(varint(len(m.entries)))
    for entry in m.entries:
        parts += [varint(EntryType(entry.type)), signed(entry.term), signed(entry.index)]
        put_bytes(parts, entry.data)
    parts.append(flag(m.snapshot is not None))
    if m.snapshot is not None:
        _put_snapshot_by_field(parts, slim_snapshot(m.snapshot))
    parts.append(varint(len(m.responses)))
    for response in m.responses:
        _put_message_by_field(parts, response, depth - 1)


def _put_snapshot_by_field(parts: list[bytes], snapshot: Snapshot) -> None:
    metadata = snapshot.metadata
    state = metadata.conf_state
    put_bytes(parts, snapshot.data)
    parts += [signed(metadata.index), signed(metadata.term)]
    for ids in (state.voters, state.learners, state.voters_outgoing, state.learners_next):
        parts.append(varint(len(ids)))
        parts += [signed(id) for id in ids]
    parts.append(flag(state.auto_leave))
