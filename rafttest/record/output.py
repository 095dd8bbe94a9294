"""Outputs: what came back from a call, as bytes that two runs can be compared by and that a person can be shown.

A Ready is written in short: everything but the data of entries and large snapshots, for which a checksum stands. The
text of an error counts if it is the library's own; that of others may differ between the compiled and the plain build.
"""

from __future__ import annotations

import zlib
from enum import Enum, IntEnum
from typing import Final

from pyraft import CampaignRefusal, NodeFailedError, RaftError, ReadDropReason, Ready, Role, SoftState, TransferRefusal
from pyraft.describe import describe_conf_state, describe_hard_state, describe_message, describe_soft_state, quote
from raftpb.codec import encode_conf_state, encode_message
from raftpb.message import ConfState, Entry, HardState, Message
from rafttest.record.format import BadValueError, varint
from rafttest.record.values import (
    Cursor,
    describe_data,
    encode_entries,
    encode_snapshot,
    flag,
    number,
    put_bytes,
    put_message,
    put_text,
    without_entries,
)


class Form(IntEnum):
    """The first byte of an output."""

    NOTHING = 0
    READY = 1
    CONF_STATE = 2
    REFUSAL = 3
    ERROR = 4


NOTHING: Final = bytes((Form.NOTHING,))
_READY: Final = bytes((Form.READY,))
_REASONS: Final = tuple(ReadDropReason)
_REFUSALS: Final[dict[str, Enum]] = {
    **{f"CampaignRefusal.{one.name}": one for one in CampaignRefusal},
    **{f"TransferRefusal.{one.name}": one for one in TransferRefusal},
}

_OWN_MODULES: Final = (RaftError.__module__, NodeFailedError.__module__)
"""Where the library's errors are; a class that an application derives from one of them is the application's."""

_SOFT, _HARD, _SYNC, _SNAPSHOT, _ANSWERS = 1, 2, 4, 8, 16


def of_error(error: BaseException) -> bytes:
    """An exception that left a call."""
    parts = [bytes((Form.ERROR,))]
    put_text(parts, type(error).__name__)
    put_text(parts, str(error) if type(error).__module__ in _OWN_MODULES else "")
    return b"".join(parts)


def of_refusal(refusal: CampaignRefusal | TransferRefusal | None) -> bytes:
    """Why `campaign` or `transfer_leader` did nothing, or that it did."""
    if refusal is None:
        return NOTHING
    parts = [bytes((Form.REFUSAL,))]
    put_text(parts, str(refusal))
    return b"".join(parts)


def of_conf_state(state: ConfState) -> bytes:
    """What `apply_conf_change` returned."""
    parts = [bytes((Form.CONF_STATE,))]
    put_bytes(parts, encode_conf_state(state))
    return b"".join(parts)


def of_ready(ready: Ready) -> bytes:
    """A Ready in short."""
    has_answers = bool(ready.read_states or ready.aborted_reads or ready.refused_conf_changes)
    flags = (
        (_SOFT if ready.soft_state is not None else 0)
        | (_HARD if ready.hard_state is not None else 0)
        | (_SYNC if ready.must_sync else 0)
        | (_SNAPSHOT if ready.snapshot is not None else 0)
        | (_ANSWERS if has_answers else 0)
    )
    parts = [_READY, bytes((flags,))]
    if ready.soft_state is not None:
        parts += [number(ready.soft_state.leader), varint(ready.soft_state.role)]
    if ready.hard_state is not None:
        parts += [number(ready.hard_state.term), number(ready.hard_state.vote), number(ready.hard_state.commit)]
    shortener = _Shortener()
    committed = shortener.short(ready.committed_entries)
    parts += [shortener.short(ready.entries), committed]
    parts.append(varint(len(ready.messages)))
    for m in ready.messages:
        _put_message(parts, m, shortener)
    if ready.snapshot is not None:
        parts.append(encode_snapshot(ready.snapshot))
    if has_answers:
        _put_answers(parts, ready)
    return b"".join(parts)


def _put_answers(parts: list[bytes], ready: Ready) -> None:
    parts.append(varint(len(ready.read_states)))
    for state in ready.read_states:
        parts.append(number(state.index))
        put_bytes(parts, state.context)
    parts.append(varint(len(ready.aborted_reads)))
    for read in ready.aborted_reads:
        put_bytes(parts, read.context)
        parts.append(varint(_REASONS.index(read.reason)))
    parts.append(varint(len(ready.refused_conf_changes)))
    for refused in ready.refused_conf_changes:
        parts.append(number(refused.index))
        put_text(parts, refused.reason)


class _Shortener:
    """Entries in short: how many, from where to where, and a checksum over all of them.

    One Ready has the same entries several times: to be written, and for each follower. Comparing lists of the same
    objects is much cheaper than encoding them again.
    """

    def __init__(self) -> None:
        self._last: list[Entry] = []
        self._short = b"\0"

    def short(self, entries: list[Entry]) -> bytes:
        if not entries:
            return b"\0"
        if entries != self._last:
            first, last = entries[0], entries[-1]
            checksum = zlib.crc32(encode_entries(entries)).to_bytes(4, "little")
            position = number(first.index) + number(last.index) + number(last.term)
            self._last, self._short = entries, varint(len(entries)) + position + checksum
        return self._short


_BARE: Final = b"\0"
_WITH_MORE: Final = b"\1"
_ODD: Final = b"\2"
"""Forms of a message: as on the wire; with entries, in short; and with anything else that there may be."""


def _put_message(parts: list[bytes], m: Message, shortener: _Shortener) -> None:
    if m.to > 0 and m.from_ > 0 and m.snapshot is None and not m.responses:
        if m.entries:
            parts.append(_WITH_MORE)
            put_bytes(parts, encode_message(without_entries(m)))
            parts.append(shortener.short(m.entries))
        else:
            parts.append(_BARE)
            put_bytes(parts, encode_message(m))
        return
    parts.append(_ODD)
    put_message(parts, without_entries(m))
    parts.append(shortener.short(m.entries))
    parts.append(flag(m.snapshot is not None))
    if m.snapshot is not None:
        parts.append(encode_snapshot(m.snapshot))
    parts.append(varint(len(m.responses)))
    for response in m.responses:
        _put_message(parts, response, shortener)


# -- as text


def describe(output: bytes) -> list[str]:
    """The lines of an output. Raises BadValueError if it is none."""
    cursor = Cursor(output)
    lines = take(cursor)
    cursor.finish()
    return lines


def take(cursor: Cursor) -> list[str]:
    """The lines of the output that comes next."""
    form = cursor.byte()
    if form == Form.NOTHING:
        return ["nothing"]
    if form == Form.READY:
        return _ready_lines(cursor)
    if form == Form.CONF_STATE:
        return [describe_conf_state(cursor.conf_state())]
    if form == Form.REFUSAL:
        name = cursor.text()
        if name not in _REFUSALS:
            raise BadValueError(f"{name!r} is no refusal")
        return [f"{name}: {_REFUSALS[name].value}"]
    if form == Form.ERROR:
        name, text = cursor.text(), cursor.text()
        return [f"raised {name}: {text}" if text else f"raised {name}"]
    raise BadValueError(f"{form} is no form of an output")


def _ready_lines(cursor: Cursor) -> list[str]:
    flags = cursor.byte()
    if flags >= 2 * _ANSWERS:
        raise BadValueError(f"{flags} are no flags of a Ready")
    lines = [f"Ready MustSync={'true' if flags & _SYNC else 'false'}"]
    if flags & _SOFT:
        leader, role = cursor.number(), cursor.byte()
        if role >= len(Role):
            raise BadValueError(f"{role} is no Role")
        lines.append(f"  {describe_soft_state(SoftState(leader, Role(role)))}")
    if flags & _HARD:
        lines.append(f"  HardState {describe_hard_state(HardState(cursor.number(), cursor.number(), cursor.number()))}")
    for name in ("Entries", "CommittedEntries"):
        told = _entries_line(cursor)
        if told:
            lines.append(f"  {name} {told}")
    for _ in range(cursor.count()):
        lines += ["  " + line for line in _message_lines(cursor, 8)]
    if flags & _SNAPSHOT:
        lines.append(f"  Snapshot {_snapshot_text(cursor)}")
    if flags & _ANSWERS:
        lines += ["  " + line for line in _answer_lines(cursor)]
    return lines


def _snapshot_text(cursor: Cursor) -> str:
    snapshot = cursor.snapshot()
    metadata = snapshot.metadata
    return (
        f"Index:{metadata.index} Term:{metadata.term} {describe_conf_state(metadata.conf_state)} "
        f"({describe_data(snapshot.data)}, checksum {zlib.crc32(snapshot.data):08x})"
    )


def _answer_lines(cursor: Cursor) -> list[str]:
    lines = []
    for _ in range(cursor.count()):
        index = cursor.number()
        lines.append(f"ReadState {quote(cursor.blob())} at {index}")
    for _ in range(cursor.count()):
        context, reason = cursor.blob(), cursor.number()
        if reason >= len(_REASONS):
            raise BadValueError(f"{reason} is no ReadDropReason")
        lines.append(f"AbortedRead {quote(context)}: {_REASONS[reason].name}")
    for _ in range(cursor.count()):
        index = cursor.number()
        lines.append(f"RefusedConfChange at {index}: {cursor.text()}")
    return lines


def _entries_line(cursor: Cursor) -> str:
    count = cursor.number()
    if count == 0:
        return ""
    first, last, term = cursor.number(), cursor.number(), cursor.number()
    checksum = int.from_bytes(bytes([cursor.byte() for _ in range(4)]), "little")
    return f"{count}: {first}..{last}, the last of term {term}, checksum {checksum:08x}"


def _message_lines(cursor: Cursor, depth: int) -> list[str]:
    if depth == 0:
        raise BadValueError("responses are nested too deep")
    form = bytes((cursor.byte(),))
    if form == _BARE:
        return [_message_text(_plain(cursor))]
    if form == _WITH_MORE:
        return [f"{_message_text(_plain(cursor))} Entries {_entries_line(cursor)}"]
    if form != _ODD:
        raise BadValueError(f"{form!r} is no form of a message")
    lines = [_message_text(cursor.message())]
    told = _entries_line(cursor)
    if told:
        lines[-1] += f" Entries {told}"
    if cursor.flag():
        lines.append(f"  Snapshot {_snapshot_text(cursor)}")
    for _ in range(cursor.count()):
        lines += ["  then " + line for line in _message_lines(cursor, depth - 1)]
    return lines


def _message_text(m: Message) -> str:
    context = f" Context:{quote(m.context)}" if m.context else ""
    return describe_message(m) + context


def _plain(cursor: Cursor) -> Message:
    data = cursor.blob()
    return Cursor(b"\0" + varint(len(data)) + data).message()
