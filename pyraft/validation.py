"""Validation: what a message must be before it reaches the state machine.

A peer may be old, broken, misconfigured or hostile; whatever it sends, this node stays as it was unless the message is
one that a node of Raft could have sent it. Requests from strangers pass: a new member hears of its cluster that way.

Source: docs/differences.md, which lists each check that the reference lacks; etcd rawnode.go Step.
"""

from __future__ import annotations

from typing import Final

from pyraft.confchange.restore import check as check_conf_state
from pyraft.core.proposals import conf_change_of
from pyraft.core.raft import Raft
from pyraft.errors import (
    ConfChangeError,
    DecodeError,
    InvalidMessageError,
    InvalidReason,
    LocalMessageError,
    PeerNotFoundError,
    StepError,
)
from pyraft.log_reader import UNKNOWN
from pyraft.read_queue import CONTEXT_BYTES, position_of
from pyraft.types import LEADER, MAX_CONTEXT_BYTES, u64
from raftpb.enums import (
    ENTRY_NORMAL,
    MSG_APP,
    MSG_APP_RESP,
    MSG_HEARTBEAT,
    MSG_HEARTBEAT_RESP,
    MSG_PRE_VOTE,
    MSG_PRE_VOTE_RESP,
    MSG_PROP,
    MSG_READ_INDEX,
    MSG_READ_INDEX_RESP,
    MSG_SNAP,
    MSG_STORAGE_APPEND_RESP,
    MSG_STORAGE_APPLY_RESP,
    MSG_TIMEOUT_NOW,
    MSG_TRANSFER_LEADER,
    MSG_VOTE,
    MSG_VOTE_RESP,
    MessageType,
)
from raftpb.message import LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, Entry, Message, Snapshot

MAX_POSITION: Final = 2**62 - 1
"""The largest term or index that may come in. A node adds to both, and what it adds must fit 63 bits as well."""

MAX_TERM_JUMP: Final = 2**32
"""No group holds that many elections while a node is away. Taking such a term would leave none for later elections."""


def validate_message(r: Raft, m: Message) -> None:
    """Check what came from the network, without asking the Storage.

    Raises StepError: a type that stays inside a node, a response of a stranger, or a message that contradicts itself,
    its address or what its sender can know.
    """
    t = m.type
    _check_envelope(r, m)
    if t is MSG_APP:
        _check_entries(m)
    elif t is MSG_APP_RESP:
        _check_member(r, m)
        _check_ack(r, m)
    elif t is MSG_HEARTBEAT:
        _check_context(m)
    elif t is MSG_HEARTBEAT_RESP:
        _check_member(r, m)
        _check_context(m)
        _check_confirmation(r, m)
    elif t is MSG_PROP:
        _check_proposal(m)
    elif t is MSG_READ_INDEX:
        if len(m.entries) != 1:
            raise InvalidMessageError(InvalidReason.BAD_PROPOSAL, f"{t} carries {len(m.entries)} entries, not its one")
        if not 0 < len(m.entries[0].data) <= MAX_CONTEXT_BYTES:
            raise InvalidMessageError(
                InvalidReason.BAD_CONTEXT,
                f"{t} carries {len(m.entries[0].data)} bytes of context, not 1 to {MAX_CONTEXT_BYTES}",
            )
    elif t is MSG_SNAP:
        _check_snapshot(m)
    elif t is MSG_VOTE_RESP or t is MSG_PRE_VOTE_RESP or t is MSG_READ_INDEX_RESP:
        _check_member(r, m)


def _check_envelope(r: Raft, m: Message) -> None:
    """Type, address, sender and term."""
    t = m.type
    carries_term = True
    if t is MSG_PROP or t is MSG_READ_INDEX:
        carries_term = False
    elif not (
        t is MSG_APP
        or t is MSG_APP_RESP
        or t is MSG_HEARTBEAT
        or t is MSG_HEARTBEAT_RESP
        or t is MSG_VOTE
        or t is MSG_VOTE_RESP
        or t is MSG_PRE_VOTE
        or t is MSG_PRE_VOTE_RESP
        or t is MSG_SNAP
        or t is MSG_READ_INDEX_RESP
        or t is MSG_TIMEOUT_NOW
        or t is MSG_TRANSFER_LEADER
    ):
        if not isinstance(t, MessageType):
            raise InvalidMessageError(InvalidReason.MALFORMED, f"{t!r} is not a MessageType")
        raise LocalMessageError(m)
    if m.to != r.id:
        raise InvalidMessageError(InvalidReason.WRONG_DESTINATION, f"{t} is for {m.to}, this is {r.id}")
    if m.from_ <= 0 or (m.from_ == r.id and carries_term and t is not MSG_TRANSFER_LEADER):
        raise InvalidMessageError(InvalidReason.BAD_SENDER, f"{t} from {m.from_} cannot have come over the network")
    # One comparison for all: a negative number makes the union negative, one of 2^62 or more makes it too large.
    numbers = m.term | m.log_term | m.index | m.commit | m.reject_hint
    if numbers < 0 or numbers > MAX_POSITION or m.from_ >> 63 != 0:
        raise InvalidMessageError(
            InvalidReason.MALFORMED, f"{t} from {m.from_} holds a term or index outside [0, 2^62), or an id of 2^63"
        )
    if carries_term:
        if m.term == 0:
            raise InvalidMessageError(InvalidReason.ZERO_TERM, f"{t} from {m.from_} carries no term")
        if m.term - r.term > MAX_TERM_JUMP:
            r.anomalies.term_jump = True
            raise InvalidMessageError(
                InvalidReason.TERM_JUMP,
                f"{t} from {m.from_} is of term {m.term}, more than 2^32 above {r.term}: no group holds that many "
                "elections",
            )
    elif m.term != 0:
        raise InvalidMessageError(InvalidReason.UNEXPECTED_TERM, f"{t} from {m.from_} carries term {m.term}, not none")


def _check_member(r: Raft, m: Message) -> None:
    if r.tracker.find(m.from_) is None:
        raise PeerNotFoundError(m)


def _check_entries(m: Message) -> None:
    """The entries follow the given position without a gap, their terms never fall, none is newer than its leader."""
    index: u64 = m.index
    term: u64 = m.log_term
    if index > MAX_POSITION - len(m.entries):
        raise InvalidMessageError(InvalidReason.BAD_ENTRIES, f"the entries after {index} would reach 2^62")
    for entry in m.entries:
        index += 1
        if entry.index != index or entry.term < term or entry.term == 0:
            raise InvalidMessageError(
                InvalidReason.BAD_ENTRIES,
                f"entry ({entry.term}, {entry.index}) cannot follow term {term} at index {index}",
            )
        term = entry.term
        if entry.type is not ENTRY_NORMAL:
            _check_conf_change(entry, InvalidReason.BAD_ENTRIES)
    if term > m.term:
        raise InvalidMessageError(InvalidReason.BAD_ENTRIES, f"term {term} in the log of a leader of term {m.term}")


def _check_conf_change(entry: Entry, reason: InvalidReason) -> None:
    try:
        conf_change_of(entry)
    except DecodeError as error:
        raise InvalidMessageError(reason, f"{entry.type} whose data is none: {error.detail}") from error


def _check_proposal(m: Message) -> None:
    if not m.entries:
        raise InvalidMessageError(InvalidReason.BAD_PROPOSAL, "a proposal without entries")
    for entry in m.entries:
        if entry.term != 0 or entry.index != 0:
            raise InvalidMessageError(
                InvalidReason.BAD_PROPOSAL, f"position ({entry.term}, {entry.index}) is the leader's to give"
            )
        if entry.type is not ENTRY_NORMAL:
            _check_conf_change(entry, InvalidReason.BAD_PROPOSAL)


def _check_ack(r: Raft, m: Message) -> None:
    """A follower acknowledges no more than it was sent. A hint beyond what it refuses, as raft before 3.5 gives, is
    taken for what it refuses.
    """
    if m.log_term > m.term:
        raise InvalidMessageError(InvalidReason.BAD_ACK, f"hints at term {m.log_term} in term {m.term}")
    if m.term == r.term and r.role is LEADER and m.index > r.log.last_index():
        raise InvalidMessageError(
            InvalidReason.BAD_ACK, f"{m.from_} answers about {m.index}, the log ends at {r.log.last_index()}"
        )


def _check_context(m: Message) -> None:
    """A leader of raft up to 3.6 puts a reader's own context into a heartbeat, and its followers give it back."""
    if len(m.context) > MAX_CONTEXT_BYTES:
        raise InvalidMessageError(
            InvalidReason.BAD_CONTEXT,
            f"{m.type} carries {len(m.context)} bytes of context, more than {MAX_CONTEXT_BYTES}",
        )


def _check_confirmation(r: Raft, m: Message) -> None:
    """A follower gives back what this leader sent: a number, or nothing."""
    if len(m.context) == 0 or m.term != r.term or r.role is not LEADER:
        return
    if len(m.context) != CONTEXT_BYTES:
        raise InvalidMessageError(
            InvalidReason.BAD_CONTEXT,
            f"{m.type} carries {len(m.context)} bytes of context, not {CONTEXT_BYTES} or none",
        )
    position = position_of(m.context)
    if position < 0 or position > r.reads.last:
        raise InvalidMessageError(
            InvalidReason.BAD_CONTEXT,
            f"confirms read 0x{m.context[::-1].hex()}, the latest is {r.reads.last}",
        )


def _check_snapshot(m: Message) -> None:
    snapshot = m.snapshot
    if snapshot is None or snapshot.is_empty():
        raise InvalidMessageError(InvalidReason.BAD_SNAPSHOT, f"{m.type} from {m.from_} without a snapshot")
    metadata = snapshot.metadata
    numbers = metadata.index | metadata.term
    if numbers < 0 or numbers > MAX_POSITION:
        raise InvalidMessageError(InvalidReason.BAD_SNAPSHOT, f"position ({metadata.term}, {metadata.index})")
    if metadata.term == 0 or metadata.term > m.term:
        raise InvalidMessageError(InvalidReason.BAD_SNAPSHOT, f"term {metadata.term} from a leader of term {m.term}")
    try:
        check_conf_state(metadata.conf_state)
    except ConfChangeError as error:
        raise InvalidMessageError(InvalidReason.BAD_SNAPSHOT, f"its configuration is impossible: {error}") from error


def history_refusal(r: Raft, snapshot: Snapshot, from_: u64) -> StepError | None:
    """Compare a received snapshot with what is committed here: terms never fall along a log. What was compacted is not
    compared.

    None if the two agree; otherwise the error to raise, and the suspicion of another history is noted. This asks the
    Storage, so that it may also raise whatever the Storage raises.
    """
    term: u64 = snapshot.metadata.term
    index: u64 = snapshot.metadata.index
    compared: u64 = index if index < r.log.committed else r.log.committed
    known: u64 = r.log.term_or_unknown(compared)
    if known == UNKNOWN or (known <= term and (known == term or compared < index)):
        return None
    detail = f"its position ({term}, {index}) contradicts the committed entry ({known}, {compared})"
    if not r.anomalies.foreign_log_suspected:
        r.anomalies.foreign_log_suspected = (
            f"{from_} sends a snapshot, but {detail}: was this node founded by mistake, or does another group use "
            "its address?"
        )
        r.logger.error("%x: %s", r.id, r.anomalies.foreign_log_suspected)
    return InvalidMessageError(InvalidReason.BAD_SNAPSHOT, detail)


def check_storage_answer(r: Raft, m: Message) -> None:
    """Check what the application's storage threads answered.

    Raises StepError unless `m` is one of the responses that a MsgStorageAppend or MsgStorageApply of this node carries
    for itself.
    """
    t = m.type
    if m.to != r.id:
        raise InvalidMessageError(InvalidReason.WRONG_DESTINATION, f"{t} is for {m.to}, this is {r.id}; send it there")
    if t is MSG_STORAGE_APPEND_RESP:
        expected = LOCAL_APPEND_THREAD
    elif t is MSG_STORAGE_APPLY_RESP:
        expected = LOCAL_APPLY_THREAD
    elif t is MSG_APP_RESP or t is MSG_VOTE_RESP or t is MSG_PRE_VOTE_RESP:
        expected = r.id
    else:
        raise InvalidMessageError(InvalidReason.MALFORMED, f"{t} is no answer of a storage thread; use step()")
    if m.from_ != expected:
        raise InvalidMessageError(InvalidReason.BAD_SENDER, f"{t} from {m.from_} is no answer of a storage thread")
    if expected == r.id:  # also once this node's own removal was applied
        _check_ack(r, m)
