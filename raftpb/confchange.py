"""Membership changes as values, and their short text form.

A `ConfChange` (V1) changes one node; a `ConfChangeV2` changes several and says how to pass through a joint
configuration. A V2 change without steps and with the automatic transition leaves a joint configuration. The text form
lists steps as a letter and a decimal id: `v1 l2 r3 u4` adds voter 1 and learner 2, removes 3, updates 4.

Source: etcd raftpb/confchange.go; thesis §4.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias, final

from mypy_extensions import mypyc_attr

from raftpb.enums import (
    ADD_LEARNER_NODE,
    ADD_NODE,
    REMOVE_NODE,
    TRANSITION_AUTO,
    UPDATE_NODE,
    ConfChangeTransition,
    ConfChangeType,
)
from raftpb.integers import MAX_INTEGER, u64


@final
@mypyc_attr(acyclic=True)
class ConfChangeSingle:
    """One step of a membership change: what happens to `node_id`. A step for node 0 is ignored when applied."""

    __slots__ = ("node_id", "type")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, type: ConfChangeType = ADD_NODE, node_id: u64 = 0) -> None:
        self.type = type
        self.node_id = node_id

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ConfChangeSingle):
            return NotImplemented
        return self.type is other.type and self.node_id == other.node_id

    def __repr__(self) -> str:
        return f"ConfChangeSingle({self.type}, node_id={self.node_id})"

    def __reduce__(self) -> tuple[type[ConfChangeSingle], tuple[ConfChangeType, int]]:
        return (ConfChangeSingle, (self.type, self.node_id))


@final
@mypyc_attr(acyclic=True)
class ConfChangeV2:
    """A membership change of any number of steps. `context` is opaque to Raft and travels with the entry."""

    __slots__ = ("changes", "context", "transition")
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        changes: Iterable[ConfChangeSingle] = (),
        transition: ConfChangeTransition = TRANSITION_AUTO,
        context: bytes = b"",
    ) -> None:
        self.changes: tuple[ConfChangeSingle, ...] = tuple(changes)
        self.transition = transition
        self.context = context

    def as_v2(self) -> ConfChangeV2:
        """Itself, so that both versions can be treated alike."""
        return self

    def leaves_joint(self) -> bool:
        """True if this change asks to leave a joint configuration (etcd ConfChangeV2.LeaveJoint)."""
        return not self.changes and self.transition is TRANSITION_AUTO

    def enters_joint(self) -> bool:
        """True if applying this change passes through a joint configuration (etcd ConfChangeV2.EnterJoint): an
        explicit request for one, or more than one step.
        """
        return self.transition is not TRANSITION_AUTO or len(self.changes) > 1

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ConfChangeV2):
            return NotImplemented
        return self.changes == other.changes and self.transition is other.transition and self.context == other.context

    def __repr__(self) -> str:
        return f"ConfChangeV2({format_changes(self.changes)!r}, {self.transition}, context={self.context!r})"

    def __reduce__(
        self,
    ) -> tuple[type[ConfChangeV2], tuple[tuple[ConfChangeSingle, ...], ConfChangeTransition, bytes]]:
        return (ConfChangeV2, (self.changes, self.transition, self.context))


@final
@mypyc_attr(acyclic=True)
class ConfChange:
    """A membership change of one step, the older form. `id` and `context` are the application's own."""

    __slots__ = ("context", "id", "node_id", "type")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, type: ConfChangeType = ADD_NODE, node_id: u64 = 0, context: bytes = b"", id: u64 = 0) -> None:
        self.type = type
        self.node_id = node_id
        self.context = context
        self.id = id

    def as_v2(self) -> ConfChangeV2:
        """The same change as a V2 one of a single step."""
        return ConfChangeV2((ConfChangeSingle(self.type, self.node_id),), TRANSITION_AUTO, self.context)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ConfChange):
            return NotImplemented
        return (
            self.type is other.type
            and self.node_id == other.node_id
            and self.context == other.context
            and self.id == other.id
        )

    def __repr__(self) -> str:
        return f"ConfChange({self.type}, node_id={self.node_id}, context={self.context!r}, id={self.id})"

    def __reduce__(self) -> tuple[type[ConfChange], tuple[ConfChangeType, int, bytes, int]]:
        return (ConfChange, (self.type, self.node_id, self.context, self.id))


AnyConfChange: TypeAlias = ConfChange | ConfChangeV2

_LETTER_OF: Final[dict[ConfChangeType, str]] = {
    ADD_NODE: "v",
    ADD_LEARNER_NODE: "l",
    REMOVE_NODE: "r",
    UPDATE_NODE: "u",
}
_TYPE_OF: Final[dict[str, ConfChangeType]] = {letter: change_type for change_type, letter in _LETTER_OF.items()}


def format_changes(changes: Iterable[ConfChangeSingle]) -> str:
    """The text form: `v1 l2 r3` (etcd ConfChangesToString)."""
    return " ".join(f"{_LETTER_OF[change.type]}{change.node_id}" for change in changes)


def parse_changes(text: str) -> list[ConfChangeSingle]:
    """Read the text form; steps are separated by single spaces, the empty text has none.

    Raises ValueError, in the reference's words because traces show them, for a token that is too short, an unknown
    letter, or an id that is not a decimal number in [0, 2^63) (etcd ConfChangesFromString).
    """
    changes: list[ConfChangeSingle] = []
    text = text.strip()
    if not text:
        return changes
    for token in text.split(" "):
        if len(token) < 2:
            raise ValueError(f"unknown token {token}")
        change_type = _TYPE_OF.get(token[0])
        if change_type is None:
            raise ValueError(f"unknown input: {token}")
        digits = token[1:]
        if not (digits.isascii() and digits.isdigit()):
            raise ValueError(f'strconv.ParseUint: parsing "{digits}": invalid syntax')
        node_id = int(digits)
        if node_id > MAX_INTEGER:
            raise ValueError(f'strconv.ParseUint: parsing "{digits}": value out of range')
        changes.append(ConfChangeSingle(change_type, node_id))
    return changes
