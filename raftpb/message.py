"""The values that Raft is made of: entries, messages, snapshots, hard state.

Native slotted values rather than protobuf objects: they are created and read on every step, and a protobuf object costs
ten times as much (docs/design.md). The wire format is protobuf all the same (`raftpb.codec`), field for field that of
etcd's raft.proto.

Invariants: a value is never changed once it has been handed over, by either side; an absent field and its default are
the same thing; every number lies in [0, 2^63) except the two local thread ids, which never reach a wire.

Source: etcd raftpb/raft.proto; raft.go (LocalAppendThread, LocalApplyThread); util.go entsSize.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NoReturn, SupportsIndex, TypeVar, final

from mypy_extensions import mypyc_attr

from raftpb.enums import ENTRY_NORMAL, EntryType, MessageType
from raftpb.integers import u64

NONE_ID: Final = 0
"""No node: no leader known, no vote given, sender not set. Never a valid id."""

LOCAL_APPEND_THREAD: Final = -1
"""Target of MsgStorageAppend and sender of its response; the reference's 2^64 - 1."""

LOCAL_APPLY_THREAD: Final = -2
"""Target of MsgStorageApply and sender of its response; the reference's 2^64 - 2."""

T = TypeVar("T")


@mypyc_attr(native_class=False)
class _SharedEmpty(list[T]):
    """The one empty list that all messages without entries (or responses) share; it refuses to grow."""

    def append(self, item: T) -> NoReturn:
        raise TypeError(_GIVE_AT_CREATION)

    def extend(self, items: Iterable[T]) -> NoReturn:
        raise TypeError(_GIVE_AT_CREATION)

    def insert(self, position: SupportsIndex, item: T) -> NoReturn:
        raise TypeError(_GIVE_AT_CREATION)

    def __iadd__(self, items: Iterable[T]) -> NoReturn:  # type: ignore[misc, override]
        raise TypeError(_GIVE_AT_CREATION)

    def __setitem__(self, position: SupportsIndex | slice, item: object) -> NoReturn:
        raise TypeError(_GIVE_AT_CREATION)


_GIVE_AT_CREATION: Final = "messages are values: pass entries= or responses= when you create one"

NO_ENTRIES: Final[list[Entry]] = _SharedEmpty()
"""Shared by all messages and Readys that carry no entries. Never grows."""

NO_MESSAGES: Final[list[Message]] = _SharedEmpty()
"""Shared by all messages that carry no responses. Never grows."""


@final
@mypyc_attr(acyclic=True)
class Entry:
    """One entry of the log.

    `term` and `index` are 0 in a proposal and stamped by the leader. `data` is opaque to Raft unless `type` says that
    it encodes a membership change. Etcd's Entry.
    """

    __slots__ = ("data", "index", "term", "type")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, type: EntryType = ENTRY_NORMAL, term: u64 = 0, index: u64 = 0, data: bytes = b"") -> None:
        self.type = type
        self.term = term
        self.index = index
        self.data = data

    def encoded_size(self) -> u64:
        """Bytes of this entry's own protobuf encoding, without framing: the unit of every limit named `..._size`
        except the uncommitted and in-flight ones, which count `len(data)` (etcd util.go entsSize, payloadSize).
        """
        size: u64 = 0
        if self.type is not ENTRY_NORMAL:
            size = 2
        if self.term != 0:
            size += 1 + varint_size(self.term)
        if self.index != 0:
            size += 1 + varint_size(self.index)
        length: u64 = len(self.data)
        if length != 0:
            size += 1 + varint_size(length) + length
        return size

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Entry):
            return NotImplemented
        return (
            self.index == other.index
            and self.term == other.term
            and self.type is other.type
            and self.data == other.data
        )

    def __repr__(self) -> str:
        return f"Entry({self.type}, term={self.term}, index={self.index}, data={self.data!r})"

    def __reduce__(self) -> tuple[type[Entry], tuple[EntryType, int, int, bytes]]:
        return (Entry, (self.type, self.term, self.index, self.data))


def varint_size(value: u64) -> u64:
    """Bytes of the base-128 varint of `value` in [0, 2^63)."""
    if value < 1 << 7:
        return 1
    if value < 1 << 14:
        return 2
    if value < 1 << 21:
        return 3
    return 3 + varint_size(value >> 21)


@final
@mypyc_attr(acyclic=True)
class ConfState:
    """The members: the voters, the learners, and during a joint change the outgoing half.

    `voters_outgoing` is empty unless the configuration is joint. `learners_next` are outgoing voters that become
    learners when it is left. `auto_leave`: the leader leaves it by itself. Order is kept as given.
    """

    __slots__ = ("auto_leave", "learners", "learners_next", "voters", "voters_outgoing")
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        voters: Iterable[int] = (),
        learners: Iterable[int] = (),
        voters_outgoing: Iterable[int] = (),
        learners_next: Iterable[int] = (),
        auto_leave: bool = False,
    ) -> None:
        self.voters: tuple[int, ...] = tuple(voters)
        self.learners: tuple[int, ...] = tuple(learners)
        self.voters_outgoing: tuple[int, ...] = tuple(voters_outgoing)
        self.learners_next: tuple[int, ...] = tuple(learners_next)
        self.auto_leave = auto_leave

    def is_empty(self) -> bool:
        """True if nobody takes part: what a node that is still to be caught up starts from."""
        return not (self.voters or self.learners or self.voters_outgoing or self.learners_next or self.auto_leave)

    def equivalent(self, other: ConfState) -> bool:
        """True if both name the same configuration, whatever the order of the lists (etcd ConfState.Equivalent)."""
        return (
            sorted(self.voters) == sorted(other.voters)
            and sorted(self.learners) == sorted(other.learners)
            and sorted(self.voters_outgoing) == sorted(other.voters_outgoing)
            and sorted(self.learners_next) == sorted(other.learners_next)
            and self.auto_leave == other.auto_leave
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ConfState):
            return NotImplemented
        return (
            self.voters == other.voters
            and self.learners == other.learners
            and self.voters_outgoing == other.voters_outgoing
            and self.learners_next == other.learners_next
            and self.auto_leave == other.auto_leave
        )

    def __repr__(self) -> str:
        return (
            f"ConfState(voters={self.voters}, learners={self.learners}, voters_outgoing={self.voters_outgoing}, "
            f"learners_next={self.learners_next}, auto_leave={self.auto_leave})"
        )

    def __reduce__(
        self,
    ) -> tuple[type[ConfState], tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...], bool]]:
        return (
            ConfState,
            (self.voters, self.learners, self.voters_outgoing, self.learners_next, self.auto_leave),
        )


@final
@mypyc_attr(acyclic=True)
class SnapshotMetadata:
    """The position of a snapshot: it stands for the log up to and including (`index`, `term`), and the configuration at
    that index.
    """

    __slots__ = ("conf_state", "index", "term")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, conf_state: ConfState | None = None, index: u64 = 0, term: u64 = 0) -> None:
        self.conf_state: ConfState = conf_state if conf_state is not None else ConfState()
        self.index = index
        self.term = term

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SnapshotMetadata):
            return NotImplemented
        return self.index == other.index and self.term == other.term and self.conf_state == other.conf_state

    def __repr__(self) -> str:
        return f"SnapshotMetadata(conf_state={self.conf_state!r}, index={self.index}, term={self.term})"

    def __reduce__(self) -> tuple[type[SnapshotMetadata], tuple[ConfState, int, int]]:
        return (SnapshotMetadata, (self.conf_state, self.index, self.term))


@final
@mypyc_attr(acyclic=True)
class Snapshot:
    """The state of the application up to an index; `data` is opaque to Raft. Empty when `metadata.index` is 0."""

    __slots__ = ("data", "metadata")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, data: bytes = b"", metadata: SnapshotMetadata | None = None) -> None:
        self.data = data
        self.metadata: SnapshotMetadata = metadata if metadata is not None else SnapshotMetadata()

    def is_empty(self) -> bool:
        """True if it stands for no log at all (etcd IsEmptySnap)."""
        return self.metadata.index == 0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Snapshot):
            return NotImplemented
        return self.metadata == other.metadata and self.data == other.data

    def __repr__(self) -> str:
        return f"Snapshot(data={self.data!r}, metadata={self.metadata!r})"

    def __reduce__(self) -> tuple[type[Snapshot], tuple[bytes, SnapshotMetadata]]:
        return (Snapshot, (self.data, self.metadata))


@final
@mypyc_attr(acyclic=True)
class HardState:
    """The state that must survive a crash beside the log: one value, to be written as one record.

    `term`: the highest seen. `vote`: who got our vote in it (0: nobody). `commit`: an index known to be committed; it
    may lag, and losing its latest change is safe.
    """

    __slots__ = ("commit", "term", "vote")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, term: u64 = 0, vote: u64 = 0, commit: u64 = 0) -> None:
        self.term = term
        self.vote = vote
        self.commit = commit

    def is_empty(self) -> bool:
        """True for a node that has never seen a term (etcd IsEmptyHardState)."""
        return self.term == 0 and self.vote == 0 and self.commit == 0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HardState):
            return NotImplemented
        return self.term == other.term and self.vote == other.vote and self.commit == other.commit

    def __repr__(self) -> str:
        return f"HardState(term={self.term}, vote={self.vote}, commit={self.commit})"

    def __reduce__(self) -> tuple[type[HardState], tuple[int, int, int]]:
        return (HardState, (self.term, self.vote, self.commit))


@final
@mypyc_attr(acyclic=True, free_list_len=1)
class Message:
    """One message between nodes, or between a node and its own clock, storage and application.

    `from_`, `to`: node ids. `term`: the sender's term; 0 on local messages, MsgProp and MsgReadIndex. `index`,
    `log_term`: a position in the log, usually the one before `entries` or the one acknowledged. `commit`: the sender's
    commit index as far as it concerns the receiver. `reject`, `reject_hint`: a refusal and where to try next.
    `context`: opaque bytes (a read position, the reason for a vote). `snapshot`: only on MsgSnap and on the two
    messages to and from the append thread. `vote`: only on MsgStorageAppend. `responses`: what the storage thread has
    to deliver once its work is done. Etcd's Message.
    """

    __slots__ = (
        "commit",
        "context",
        "entries",
        "from_",
        "index",
        "log_term",
        "reject",
        "reject_hint",
        "responses",
        "snapshot",
        "term",
        "to",
        "type",
        "vote",
    )
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        type: MessageType,
        to: u64 = 0,
        from_: u64 = 0,
        term: u64 = 0,
        log_term: u64 = 0,
        index: u64 = 0,
        entries: list[Entry] = NO_ENTRIES,
        commit: u64 = 0,
        snapshot: Snapshot | None = None,
        reject: bool = False,
        reject_hint: u64 = 0,
        context: bytes = b"",
        vote: u64 = 0,
        responses: list[Message] = NO_MESSAGES,
    ) -> None:
        self.type = type
        self.to = to
        self.from_ = from_
        self.term = term
        self.log_term = log_term
        self.index = index
        self.entries = entries
        self.commit = commit
        self.snapshot = snapshot
        self.reject = reject
        self.reject_hint = reject_hint
        self.context = context
        self.vote = vote
        self.responses = responses

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return (
            self.type is other.type
            and self.to == other.to
            and self.from_ == other.from_
            and self.term == other.term
            and self.log_term == other.log_term
            and self.index == other.index
            and self.entries == other.entries
            and self.commit == other.commit
            and self.snapshot == other.snapshot
            and self.reject == other.reject
            and self.reject_hint == other.reject_hint
            and self.context == other.context
            and self.vote == other.vote
            and self.responses == other.responses
        )

    def __repr__(self) -> str:
        parts = [f"Message({self.type}"]
        if self.to != 0:
            parts.append(f"to={self.to}")
        if self.from_ != 0:
            parts.append(f"from_={self.from_}")
        if self.term != 0:
            parts.append(f"term={self.term}")
        if self.log_term != 0:
            parts.append(f"log_term={self.log_term}")
        if self.index != 0:
            parts.append(f"index={self.index}")
        if self.entries:
            parts.append(f"entries={self.entries!r}")
        if self.commit != 0:
            parts.append(f"commit={self.commit}")
        if self.snapshot is not None:
            parts.append(f"snapshot={self.snapshot!r}")
        if self.reject:
            parts.append("reject=True")
        if self.reject_hint != 0:
            parts.append(f"reject_hint={self.reject_hint}")
        if self.context:
            parts.append(f"context={self.context!r}")
        if self.vote != 0:
            parts.append(f"vote={self.vote}")
        if self.responses:
            parts.append(f"responses={self.responses!r}")
        return ", ".join(parts) + ")"

    def __reduce__(self) -> tuple[type[Message], tuple[object, ...]]:
        return (
            Message,
            (
                self.type,
                self.to,
                self.from_,
                self.term,
                self.log_term,
                self.index,
                self.entries,
                self.commit,
                self.snapshot,
                self.reject,
                self.reject_hint,
                self.context,
                self.vote,
                self.responses,
            ),
        )
