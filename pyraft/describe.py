"""Values in the reference's words: one spelling for logs, traces and error reports.

Every function returns text without a final newline, except `describe_entries` and a Ready that is not empty, which
consist of whole lines. Ids of nodes are hexadecimal in messages and decimal elsewhere, as in the reference; the storage
threads have names. What an entry carries is opaque to Raft: an `EntryFormatter` tells how to show it.

Source: etcd util.go Describe*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from pyraft.ready import ReadState, Ready, SoftState
from raftpb.codec import decode_conf_change, decode_conf_change_v2
from raftpb.confchange import AnyConfChange, ConfChangeV2, format_changes
from raftpb.enums import ENTRY_CONF_CHANGE, ENTRY_NORMAL, EntryType
from raftpb.errors import DecodeError
from raftpb.message import (
    LOCAL_APPEND_THREAD,
    LOCAL_APPLY_THREAD,
    NONE_ID,
    ConfState,
    Entry,
    HardState,
    Message,
    Snapshot,
)

EntryFormatter: TypeAlias = Callable[[bytes], str]
"""Shows the data of a normal entry."""

_ESCAPES: Final[dict[str, str]] = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


def quote(data: bytes) -> str:
    """`data` as Go's %q prints a string: what is printable UTF-8 as it is, everything else escaped."""
    return '"' + "".join([_quoted(character) for character in data.decode("utf-8", "surrogateescape")]) + '"'


def _quoted(character: str) -> str:
    escape = _ESCAPES.get(character)
    if escape is not None:
        return escape
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, smuggled through by surrogateescape
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def describe_hard_state(state: HardState) -> str:
    """`Term:1 Vote:2 Commit:3`; no vote, no word of it."""
    vote = f" Vote:{state.vote}" if state.vote != NONE_ID else ""
    return f"Term:{state.term}{vote} Commit:{state.commit}"


def describe_soft_state(state: SoftState) -> str:
    """`Lead:1 State:StateFollower`."""
    return f"Lead:{state.leader} State:{state.role}"


def describe_conf_state(state: ConfState) -> str:
    """`Voters:[1 2] VotersOutgoing:[] Learners:[3] LearnersNext:[] AutoLeave:false`, lists in stored order."""
    return (
        f"Voters:{_bracketed(state.voters)} VotersOutgoing:{_bracketed(state.voters_outgoing)} "
        f"Learners:{_bracketed(state.learners)} LearnersNext:{_bracketed(state.learners_next)} "
        f"AutoLeave:{_lower(state.auto_leave)}"
    )


def describe_snapshot(snapshot: Snapshot) -> str:
    """`Index:5 Term:1 ConfState:...`; the data is not shown."""
    metadata = snapshot.metadata
    return f"Index:{metadata.index} Term:{metadata.term} ConfState:{describe_conf_state(metadata.conf_state)}"


def describe_entry(entry: Entry, formatter: EntryFormatter = quote) -> str:
    """`1/5 EntryNormal "foo"`: term, index, type, and what it carries: the formatted data or the membership change.

    A change that cannot be decoded shows the decoder's complaint.
    """
    payload = formatter(entry.data) if entry.type is ENTRY_NORMAL else _change_steps(entry.type, entry.data)
    return f"{entry.term}/{entry.index} {entry.type}{' ' if payload else ''}{payload}"


def describe_entries(entries: Sequence[Entry], formatter: EntryFormatter = quote) -> str:
    """One line an entry."""
    return "".join([describe_entry(entry, formatter) + "\n" for entry in entries])


def describe_conf_change(change: AnyConfChange) -> str:
    """`transition:ConfChangeTransitionAuto changes:{type:ConfChangeAddNode node_id:3} context:"..."`."""
    v2 = change.as_v2()
    parts = [f"transition:{v2.transition}"]
    parts += [f"changes:{{type:{step.type} node_id:{step.node_id}}}" for step in v2.changes]
    if v2.context:
        parts.append(f"context:{quote(v2.context)}")
    return " ".join(parts)


def describe_message(message: Message, formatter: EntryFormatter = quote) -> str:
    """`1->2 MsgApp Term:1 Log:1/10 Commit:10 Entries:[1/11 EntryNormal ""]`; several lines if it carries more."""
    return "\n".join(_message_lines(message, formatter))


def describe_ready(ready: Ready, formatter: EntryFormatter = quote, must_sync: bool | None = None) -> str:
    """List the duties of a Ready, one after the other; `<empty Ready>`, without a newline, if there is nothing.

    `must_sync`: the flag to show in place of the Ready's own, which also speaks of snapshots.
    """
    if ready.is_empty():
        return "<empty Ready>"
    parts = [f"Ready MustSync={_lower(ready.must_sync if must_sync is None else must_sync)}:\n"]
    if ready.soft_state is not None:
        parts.append(describe_soft_state(ready.soft_state) + "\n")
    if ready.hard_state is not None:
        parts.append(f"HardState {describe_hard_state(ready.hard_state)}\n")
    if ready.read_states:
        parts.append(f"ReadStates [{' '.join([_read_state(state) for state in ready.read_states])}]\n")
    if ready.entries:
        parts.append("Entries:\n" + describe_entries(ready.entries, formatter))
    if ready.snapshot is not None:
        parts.append(f"Snapshot {describe_snapshot(ready.snapshot)}\n")
    if ready.committed_entries:
        parts.append("CommittedEntries:\n" + describe_entries(ready.committed_entries, formatter))
    if ready.messages:
        parts.append("Messages:\n")
        parts += [describe_message(message, formatter) + "\n" for message in ready.messages]
    return "".join(parts)


def _message_lines(message: Message, formatter: EntryFormatter) -> list[str]:
    """The lines of one message; what lies inside it is indented by two, however deep."""
    head = (
        f"{_address(message.from_)}->{_address(message.to)} {message.type} "
        f"Term:{message.term} Log:{message.log_term}/{message.index}"
    )
    if message.reject:
        head += f" Rejected (Hint: {message.reject_hint})"
    if message.commit != 0:
        head += f" Commit:{message.commit}"
    if message.vote != NONE_ID:
        head += f" Vote:{message.vote}"
    entries = [describe_entry(entry, formatter) for entry in message.entries]
    if len(entries) == 1:
        head += f" Entries:[{entries[0]}]"
    lines = [head]
    if len(entries) > 1:
        lines[-1] += " Entries:["
        lines += ["  " + entry for entry in entries]
        lines.append("]")
    if message.snapshot is not None and not message.snapshot.is_empty():
        lines.append(f"  Snapshot: {describe_snapshot(message.snapshot)}")
    if message.responses:
        lines[-1] += " Responses:["
        for response in message.responses:
            lines += ["  " + line for line in _message_lines(response, formatter)]
        lines.append("]")
    return lines


def _change_steps(type: EntryType, data: bytes) -> str:
    try:
        change: ConfChangeV2 = (
            decode_conf_change(data).as_v2() if type is ENTRY_CONF_CHANGE else decode_conf_change_v2(data)
        )
    except DecodeError as error:
        return str(error)
    return format_changes(change.changes)


def _address(id: int) -> str:
    if id == NONE_ID:
        return "None"
    if id == LOCAL_APPEND_THREAD:
        return "AppendThread"
    if id == LOCAL_APPLY_THREAD:
        return "ApplyThread"
    return f"{id:x}"


def _read_state(state: ReadState) -> str:
    return f"{{{state.index} {_bracketed(state.context)}}}"


def _bracketed(numbers: Sequence[int]) -> str:
    return "[" + " ".join([str(number) for number in numbers]) + "]"


def _lower(flag: bool) -> str:
    return "true" if flag else "false"
