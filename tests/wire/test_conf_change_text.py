"""The short text form of membership changes: `v1 l2 r3 u4`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raftpb_strategies import steps

from raftpb.codec import decode_change, encode_conf_change, encode_conf_change_v2
from raftpb.confchange import AnyConfChange, ConfChange, ConfChangeSingle, ConfChangeV2, format_changes, parse_changes
from raftpb.enums import ConfChangeType, EntryType
from raftpb.errors import DecodeError
from raftpb.message import Entry

ADD = ConfChangeType.ConfChangeAddNode
LEARN = ConfChangeType.ConfChangeAddLearnerNode
REMOVE = ConfChangeType.ConfChangeRemoveNode
UPDATE = ConfChangeType.ConfChangeUpdateNode


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("", []),
        ("v1", [(ADD, 1)]),
        ("v1 l2 r3 u4", [(ADD, 1), (LEARN, 2), (REMOVE, 3), (UPDATE, 4)]),
        ("v0 r0", [(ADD, 0), (REMOVE, 0)]),
        ("v9223372036854775807", [(ADD, 2**63 - 1)]),
    ],
)
def test_text_and_steps_say_the_same(text: str, changes: list[tuple[ConfChangeType, int]]) -> None:
    as_steps = [ConfChangeSingle(change_type, node_id) for change_type, node_id in changes]
    assert parse_changes(text) == as_steps
    assert format_changes(as_steps) == text


@given(st.lists(steps))
def test_every_list_of_steps_survives(changes: list[ConfChangeSingle]) -> None:
    assert parse_changes(format_changes(changes)) == changes


def test_space_around_and_leading_zeros_do_not_matter() -> None:
    assert parse_changes(" \tv01 r002\n") == [ConfChangeSingle(ADD, 1), ConfChangeSingle(REMOVE, 2)]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("v", "unknown token v"),
        ("v1  v2", "unknown token "),
        ("x1", "unknown input: x1"),
        ("V1", "unknown input: V1"),
        ("va", 'strconv.ParseUint: parsing "a": invalid syntax'),
        ("v-1", 'strconv.ParseUint: parsing "-1": invalid syntax'),
        ("v+1", 'strconv.ParseUint: parsing "+1": invalid syntax'),
        ("v1_0", 'strconv.ParseUint: parsing "1_0": invalid syntax'),
        ("v\u0661", 'strconv.ParseUint: parsing "\u0661": invalid syntax'),
        ("v1\tv2", 'strconv.ParseUint: parsing "1\tv2": invalid syntax'),
        ("v9223372036854775808", 'strconv.ParseUint: parsing "9223372036854775808": value out of range'),
    ],
)
def test_refused_text(text: str, error: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared in full
        parse_changes(text)
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("type", "data", "expected"),
    [
        (EntryType.EntryConfChange, encode_conf_change(ConfChange(ADD, 3)), ConfChange(ADD, 3)),
        (EntryType.EntryConfChangeV2, b"", ConfChangeV2()),
        (
            EntryType.EntryConfChangeV2,
            encode_conf_change_v2(ConfChangeV2((ConfChangeSingle(LEARN, 4),))),
            ConfChangeV2((ConfChangeSingle(LEARN, 4),)),
        ),
    ],
    ids=["one step", "leaving", "v2"],
)
def test_a_change_is_read_by_the_type_of_its_entry(type: EntryType, data: bytes, expected: AnyConfChange) -> None:
    assert decode_change(Entry(type, 2, 7, data)) == expected


def test_an_entry_that_holds_no_change_is_refused() -> None:
    with pytest.raises(ValueError, match=r"entry 7 is .*EntryNormal.*; expected a membership change"):
        decode_change(Entry(EntryType.EntryNormal, 2, 7, b"x"))
    with pytest.raises(DecodeError):
        decode_change(Entry(EntryType.EntryConfChange, 2, 7, b"\xff"))
