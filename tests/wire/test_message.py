"""The native values: equality, text, copies, and the small questions that they answer."""

from __future__ import annotations

import copy
import operator
import pickle
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raftpb_strategies import (
    conf_changes,
    conf_changes_v2,
    messages,
    numbers,
    varint,
)

from raftpb import raft_pb2
from raftpb.confchange import ConfChange, ConfChangeSingle, ConfChangeV2, parse_changes
from raftpb.enums import ConfChangeTransition, ConfChangeType, EntryType, MessageType
from raftpb.message import (
    NO_ENTRIES,
    NO_MESSAGES,
    ConfState,
    Entry,
    HardState,
    Message,
    Snapshot,
    SnapshotMetadata,
    varint_size,
)

APP: Final = MessageType.MsgApp


def _message(**fields: Any) -> Message:
    return Message(fields.pop("type", MessageType.MsgHup), **fields)


# For each type: how to build it from named fields, the fields with values that are not the default, and its text.
VALUES: Final[dict[str, tuple[Callable[..., Any], dict[str, object], str]]] = {
    "Entry": (
        Entry,
        {"type": EntryType.EntryConfChange, "term": 1, "index": 2, "data": b"x"},
        "Entry(EntryConfChange, term=1, index=2, data=b'x')",
    ),
    "ConfState": (
        ConfState,
        {"voters": (1,), "learners": (2,), "voters_outgoing": (3,), "learners_next": (4,), "auto_leave": True},
        "ConfState(voters=(1,), learners=(2,), voters_outgoing=(3,), learners_next=(4,), auto_leave=True)",
    ),
    "SnapshotMetadata": (
        SnapshotMetadata,
        {"conf_state": ConfState([1]), "index": 2, "term": 3},
        "SnapshotMetadata(conf_state=ConfState(voters=(1,), learners=(), voters_outgoing=(), learners_next=(), "
        "auto_leave=False), index=2, term=3)",
    ),
    "Snapshot": (
        Snapshot,
        {"data": b"x", "metadata": SnapshotMetadata(index=1)},
        "Snapshot(data=b'x', metadata=SnapshotMetadata(conf_state=ConfState(voters=(), learners=(), "
        "voters_outgoing=(), learners_next=(), auto_leave=False), index=1, term=0))",
    ),
    "HardState": (HardState, {"term": 1, "vote": 2, "commit": 3}, "HardState(term=1, vote=2, commit=3)"),
    "ConfChangeSingle": (
        ConfChangeSingle,
        {"type": ConfChangeType.ConfChangeRemoveNode, "node_id": 1},
        "ConfChangeSingle(ConfChangeRemoveNode, node_id=1)",
    ),
    "ConfChange": (
        ConfChange,
        {"type": ConfChangeType.ConfChangeRemoveNode, "node_id": 1, "context": b"x", "id": 2},
        "ConfChange(ConfChangeRemoveNode, node_id=1, context=b'x', id=2)",
    ),
    "ConfChangeV2": (
        ConfChangeV2,
        {
            "changes": (ConfChangeSingle(node_id=1),),
            "transition": ConfChangeTransition.ConfChangeTransitionJointExplicit,
            "context": b"x",
        },
        "ConfChangeV2('v1', ConfChangeTransitionJointExplicit, context=b'x')",
    ),
    "Message": (
        _message,
        {
            "type": APP,
            "to": 1,
            "from_": 2,
            "term": 3,
            "log_term": 4,
            "index": 5,
            "entries": [Entry(term=6)],
            "commit": 7,
            "snapshot": Snapshot(b"x", SnapshotMetadata()),
            "reject": True,
            "reject_hint": 8,
            "context": b"c",
            "vote": 9,
            "responses": [Message(MessageType.MsgAppResp)],
        },
        "Message(MsgApp, to=1, from_=2, term=3, log_term=4, index=5, entries=[Entry(EntryNormal, term=6, index=0, "
        "data=b'')], commit=7, snapshot=Snapshot(data=b'x', metadata=SnapshotMetadata(conf_state=ConfState(voters=(), "
        "learners=(), voters_outgoing=(), learners_next=(), auto_leave=False), index=0, term=0)), reject=True, "
        "reject_hint=8, context=b'c', vote=9, responses=[Message(MsgAppResp)])",
    ),
}

each_value = pytest.mark.parametrize(("build", "fields", "text"), VALUES.values(), ids=VALUES)


@each_value
def test_fields_are_kept(build: Callable[..., Any], fields: dict[str, object], text: str) -> None:
    value = build(**fields)
    for name, given_value in fields.items():
        assert getattr(value, name) == given_value


@each_value
def test_equal_when_every_field_is_and_only_then(
    build: Callable[..., Any], fields: dict[str, object], text: str
) -> None:
    value = build(**fields)
    assert value == build(**fields)
    for name in fields:
        others = {other: field for other, field in fields.items() if other != name}
        assert value != build(**others), name
        assert build(**others) != value, name
    assert value != "something else"


@each_value
def test_text(build: Callable[..., Any], fields: dict[str, object], text: str) -> None:
    assert repr(build(**fields)) == text


@each_value
def test_values_are_not_hashable(build: Callable[..., Any], fields: dict[str, object], text: str) -> None:
    with pytest.raises(TypeError):
        hash(build(**fields))


@each_value
def test_pickles_and_copies_are_equal(build: Callable[..., Any], fields: dict[str, object], text: str) -> None:
    for value in (build(**fields), build()):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            assert pickle.loads(pickle.dumps(value, protocol)) == value
        assert copy.copy(value) == value
        assert copy.deepcopy(value) == value


def test_the_shortest_text_of_a_message() -> None:
    assert repr(Message(APP)) == "Message(MsgApp)"


@given(st.one_of(messages, conf_changes, conf_changes_v2))
def test_any_value_survives_a_pickle(value: object) -> None:
    assert pickle.loads(pickle.dumps(value)) == value


@given(numbers)
def test_varint_size(number: int) -> None:
    assert varint_size(number) == len(varint(number))


GROWTHS: Final[dict[str, Callable[[list[Any]], object]]] = {
    "append": lambda shared: shared.append(1),
    "extend": lambda shared: shared.extend([1]),
    "insert": lambda shared: shared.insert(0, 1),
    "+=": lambda shared: shared.__iadd__([1]),
    "slice": lambda shared: operator.setitem(shared, slice(None), [1]),
}


@pytest.mark.parametrize("grow", GROWTHS.values(), ids=GROWTHS)
@pytest.mark.parametrize("shared", [NO_ENTRIES, NO_MESSAGES], ids=["entries", "messages"])
def test_the_shared_empty_lists_refuse_to_grow(shared: list[Any], grow: Callable[[list[Any]], object]) -> None:
    with pytest.raises(TypeError, match="when you create one"):
        grow(shared)
    assert shared == []


def test_messages_share_the_empty_lists_also_after_a_mistake() -> None:
    message = Message(APP)
    with pytest.raises(TypeError):
        message.entries.append(Entry())
    with pytest.raises(TypeError):
        message.entries += [Entry()]
    assert message == Message(APP)
    assert message.entries is Message(APP).entries


@pytest.mark.parametrize(
    "state",
    [
        ConfState([1]),
        ConfState((), [1]),
        ConfState((), (), [1]),
        ConfState((), (), (), [1]),
        ConfState(auto_leave=True),
    ],
    ids=["voters", "learners", "outgoing", "next", "auto_leave"],
)
def test_a_configuration_with_anything_in_it_is_not_empty(state: ConfState) -> None:
    assert ConfState().is_empty()
    assert not state.is_empty()
    assert not state.equivalent(ConfState())
    assert not ConfState().equivalent(state)
    assert state.equivalent(state)


def test_equivalent_configurations_may_differ_in_order() -> None:
    one = ConfState([1, 2], [3, 4], [5, 6], [7, 8], True)
    other = ConfState([2, 1], [4, 3], [6, 5], [8, 7], True)
    assert one.equivalent(other)
    assert one != other


def test_a_configuration_takes_any_iterable_and_keeps_its_order() -> None:
    assert ConfState(iter([3, 1, 2])).voters == (3, 1, 2)


def test_only_the_index_makes_a_snapshot() -> None:
    assert Snapshot().is_empty()
    assert Snapshot(b"x", SnapshotMetadata(ConfState([1]), 0, 1)).is_empty()
    assert not Snapshot(b"", SnapshotMetadata(index=1)).is_empty()


@pytest.mark.parametrize("state", [HardState(term=1), HardState(vote=1), HardState(commit=1)], ids=str)
def test_a_hard_state_with_any_field_is_not_empty(state: HardState) -> None:
    assert HardState().is_empty()
    assert not state.is_empty()


def test_a_change_of_one_step_is_also_one_of_the_newer_form() -> None:
    change = ConfChange(ConfChangeType.ConfChangeAddLearnerNode, 3, b"x", 9)
    assert change.as_v2() == ConfChangeV2([ConfChangeSingle(ConfChangeType.ConfChangeAddLearnerNode, 3)], context=b"x")
    newer = ConfChangeV2([ConfChangeSingle()])
    assert newer.as_v2() is newer


AUTO: Final = ConfChangeTransition.ConfChangeTransitionAuto
IMPLICIT: Final = ConfChangeTransition.ConfChangeTransitionJointImplicit
EXPLICIT: Final = ConfChangeTransition.ConfChangeTransitionJointExplicit


@pytest.mark.parametrize(
    ("text", "transition", "leaves", "enters"),
    [
        ("", AUTO, True, False),
        ("", IMPLICIT, False, True),
        ("", EXPLICIT, False, True),
        ("v1", AUTO, False, False),
        ("v1", IMPLICIT, False, True),
        ("v1", EXPLICIT, False, True),
        ("v1 r2", AUTO, False, True),
    ],
)
def test_which_changes_leave_and_which_enter_a_joint_configuration(
    text: str, transition: ConfChangeTransition, leaves: bool, enters: bool
) -> None:
    change = ConfChangeV2(parse_changes(text), transition)
    assert (change.leaves_joint(), change.enters_joint()) == (leaves, enters)


def test_enum_members_are_printed_by_their_name_in_the_schema() -> None:
    assert str(MessageType.MsgAppResp) == f"{MessageType.MsgAppResp}" == "MsgAppResp"
    assert f"{EntryType.EntryNormal:>12}|" == " EntryNormal|"


@pytest.mark.parametrize("native", [MessageType, EntryType, ConfChangeType, ConfChangeTransition])
def test_enums_are_those_of_the_schema(native: type[IntEnum]) -> None:
    schema = raft_pb2.DESCRIPTOR.enum_types_by_name[native.__name__]
    assert {member.name: int(member) for member in native} == {value.name: value.number for value in schema.values}
    assert [int(member) for member in native] == list(range(len(native)))  # the codec finds members by position
