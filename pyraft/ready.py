"""Ready: what the application has to do before it calls `advance()`, in this order.

1. Persist: `snapshot` first, then `entries` (after deleting everything at or above the first one's index), then
   `hard_state`; make it durable if `must_sync`.
2. Send `messages`.
3. Apply `snapshot`, then `committed_entries` in order; hand each membership change to `apply_conf_change`.
4. Answer `read_states` once `applied >= index`, and fail `aborted_reads`.

With asynchronous storage writes, `messages` may go out at once; those to the append and apply threads replace steps 1
and 3 (`pyraft.async_writes`).

Source: etcd node.go Ready; thesis §10.2.1.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import mypyc_attr

from pyraft.errors import ReadDropReason
from pyraft.types import Role, u64
from raftpb.message import NO_ENTRIES, NO_MESSAGES, Entry, HardState, Message, Snapshot


@final
@mypyc_attr(acyclic=True)
class SoftState:
    """State that need not survive a crash: the leader's id (0: none known) and this node's role."""

    __slots__ = ("leader", "role")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, leader: u64, role: Role) -> None:
        self.leader = leader
        self.role = role

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SoftState):
            return NotImplemented
        return self.leader == other.leader and self.role is other.role

    def __repr__(self) -> str:
        return f"SoftState(leader={self.leader}, role={self.role})"

    def __reduce__(self) -> tuple[type[SoftState], tuple[int, Role]]:
        return (SoftState, (self.leader, self.role))


@final
@mypyc_attr(acyclic=True)
class ReadState:
    """The answer to `read_index(context)`: the read is linearizable once the application has applied `index`."""

    __slots__ = ("context", "index")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, index: u64, context: bytes) -> None:
        self.index = index
        self.context = context

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ReadState):
            return NotImplemented
        return self.index == other.index and self.context == other.context

    def __repr__(self) -> str:
        return f"ReadState(index={self.index}, context={self.context!r})"

    def __reduce__(self) -> tuple[type[ReadState], tuple[int, bytes]]:
        return (ReadState, (self.index, self.context))


@final
@mypyc_attr(acyclic=True)
class AbortedRead:
    """A read of this node that will not be answered; the client may ask again."""

    __slots__ = ("context", "reason")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, context: bytes, reason: ReadDropReason) -> None:
        self.context = context
        self.reason = reason

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AbortedRead):
            return NotImplemented
        return self.context == other.context and self.reason is other.reason

    def __repr__(self) -> str:
        return f"AbortedRead({self.context!r}, {self.reason})"

    def __reduce__(self) -> tuple[type[AbortedRead], tuple[bytes, ReadDropReason]]:
        return (AbortedRead, (self.context, self.reason))


@final
@mypyc_attr(acyclic=True)
class RefusedConfChange:
    """A membership change that the leader refused: an empty entry took its place at `index`; `reason` is for people."""

    __slots__ = ("index", "reason")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, index: u64, reason: str) -> None:
        self.index = index
        self.reason = reason

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RefusedConfChange):
            return NotImplemented
        return self.index == other.index and self.reason == other.reason

    def __repr__(self) -> str:
        return f"RefusedConfChange(index={self.index}, reason={self.reason!r})"

    def __reduce__(self) -> tuple[type[RefusedConfChange], tuple[int, str]]:
        return (RefusedConfChange, (self.index, self.reason))


@final
@mypyc_attr(acyclic=True, free_list_len=1)
class Ready:
    """One batch of work for the application; see the module for the order of the duties. Treat it as a value.

    `soft_state`, `hard_state`: None when unchanged since the last Ready. `entries`: to be appended to the log.
    `snapshot`: received from the leader, to replace the log up to its index; None if there is none.
    `committed_entries`: to be applied; may overlap `entries` unless writes are asynchronous. `messages`: to be sent
    after persisting, or at once when writes are asynchronous. `read_states`, `aborted_reads`: answers to reads.
    `refused_conf_changes`: proposals of this leader that became empty entries. `must_sync`: what is to be persisted
    must be durable before `messages` are sent. (The reference's MustSync does not speak of the snapshot.)
    """

    __slots__ = (
        "aborted_reads",
        "committed_entries",
        "entries",
        "hard_state",
        "messages",
        "must_sync",
        "read_states",
        "refused_conf_changes",
        "snapshot",
        "soft_state",
    )
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        soft_state: SoftState | None = None,
        hard_state: HardState | None = None,
        entries: list[Entry] = NO_ENTRIES,
        snapshot: Snapshot | None = None,
        committed_entries: list[Entry] = NO_ENTRIES,
        messages: list[Message] = NO_MESSAGES,
        must_sync: bool = False,
        read_states: tuple[ReadState, ...] = (),
        aborted_reads: tuple[AbortedRead, ...] = (),
        refused_conf_changes: tuple[RefusedConfChange, ...] = (),
    ) -> None:
        self.soft_state = soft_state
        self.hard_state = hard_state
        self.entries = entries
        self.snapshot = snapshot
        self.committed_entries = committed_entries
        self.messages = messages
        self.must_sync = must_sync
        self.read_states = read_states
        self.aborted_reads = aborted_reads
        self.refused_conf_changes = refused_conf_changes

    def is_empty(self) -> bool:
        """True if there is nothing to do; `must_sync`, aborted reads and refused changes alone do not count."""
        return (
            self.soft_state is None
            and self.hard_state is None
            and not self.entries
            and self.snapshot is None
            and not self.committed_entries
            and not self.messages
            and not self.read_states
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ready):
            return NotImplemented
        return self._fields() == other._fields()

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{name}={value!r}" for name, value in zip(_FIELD_NAMES, self._fields(), strict=True) if value
        )
        return f"Ready({shown})"

    def __reduce__(self) -> tuple[type[Ready], tuple[object, ...]]:
        return (Ready, self._fields())

    def _fields(self) -> tuple[object, ...]:
        return (
            self.soft_state,
            self.hard_state,
            self.entries,
            self.snapshot,
            self.committed_entries,
            self.messages,
            self.must_sync,
            self.read_states,
            self.aborted_reads,
            self.refused_conf_changes,
        )


_FIELD_NAMES: Final = (
    "soft_state",
    "hard_state",
    "entries",
    "snapshot",
    "committed_entries",
    "messages",
    "must_sync",
    "read_states",
    "aborted_reads",
    "refused_conf_changes",
)
