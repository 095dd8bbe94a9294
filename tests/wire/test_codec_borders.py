"""The codec's short cuts, crossed at their borders in both directions; protobuf judges.

Entries of a message share what lies around the low seven bits of their index; numbers of one byte are read on a short
way; numbers of a message are checked by one comparison; of a field that is given twice the last counts.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raftpb_strategies import KINDS, Kind, agree, delimited, tag, varint

from raftpb import raft_pb2
from raftpb.codec import decode_message, encode_message
from raftpb.enums import ENTRY_CONF_CHANGE_V2, ENTRY_NORMAL, MSG_APP
from raftpb.message import Entry, Message

BORDERS = sorted(
    {edge + by for bits in (7, 14, 21, 28, 35, 42, 49, 56) for edge in (1 << bits,) for by in (-2, -1, 0, 1)}
)
"""On both sides of where a varint becomes a byte longer."""

around = st.sampled_from(BORDERS)
terms = st.one_of(st.integers(0, 3), around)
sizes = st.sampled_from([0, 1, 2, 126, 127, 128, 129, 16_383, 16_384])


@st.composite
def walks(draw: st.DrawFn) -> list[Entry]:
    """Entries whose index, term and size rise and fall over the borders; some are no ordinary ones."""
    index, term, size = draw(around), draw(terms), draw(sizes)
    made = []
    for _ in range(draw(st.integers(2, 10))):
        index = max(0, index + draw(st.sampled_from([1, 1, 1, -1, -1, 128, -128, 0])))
        term = draw(st.sampled_from([term, term, term, max(0, term - 1), term + 1]))
        size = draw(st.sampled_from([size, size, size, max(0, size - 1), size + 1]))
        kind = draw(st.sampled_from([ENTRY_NORMAL, ENTRY_NORMAL, ENTRY_NORMAL, ENTRY_CONF_CHANGE_V2]))
        made.append(Entry(kind, term, index, bytes(size)))
    return made


def as_protobuf(entries: list[Entry]) -> bytes:
    """The same entries in a message, written by protobuf; what is zero is absent, as here."""
    made = raft_pb2.Message(type=raft_pb2.MsgApp)
    for entry in entries:
        one = made.entries.add()
        if entry.type is not ENTRY_NORMAL:
            one.Type = raft_pb2.EntryConfChangeV2
        if entry.term:
            one.Term = entry.term
        if entry.index:
            one.Index = entry.index
        if entry.data:
            one.Data = entry.data
    return made.SerializeToString()


@given(walks())
def test_entries_are_written_as_protobuf_writes_them(entries: list[Entry]) -> None:
    data = encode_message(Message(MSG_APP, entries=entries))
    assert data == as_protobuf(entries)
    assert decode_message(data).entries == entries


@pytest.mark.parametrize("border", [1 << 7, 1 << 14, 1 << 21])
@pytest.mark.parametrize("step", [1, -1], ids=["rising", "falling"])
def test_a_run_over_a_border(border: int, step: int) -> None:
    entries = [Entry(term=5, index=border + step * at, data=b"same length") for at in range(-3, 4)]
    assert encode_message(Message(MSG_APP, entries=entries)) == as_protobuf(entries)


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([Entry(term=t, index=200 + t, data=b"x") for t in (5, 4, 5)], id="a term that falls"),
        pytest.param([Entry(term=5, index=200 + n, data=bytes(n)) for n in (3, 2, 3, 1)], id="a length that falls"),
        pytest.param([Entry(term=0, index=200 + n, data=b"x") for n in (1, 2, 3)], id="no term"),
        pytest.param([Entry(term=t, index=200 + t, data=b"x") for t in (3, 0, 3)], id="no term in between"),
        pytest.param([Entry(term=5, index=n, data=b"x") for n in (127, 128, 127)], id="over the first border and back"),
        pytest.param([Entry(term=5, index=300, data=d) for d in (b"x", b"", b"y")], id="no data in between"),
    ],
)
def test_what_is_alike_but_for_one_thing(entries: list[Entry]) -> None:
    assert encode_message(Message(MSG_APP, entries=entries)) == as_protobuf(entries)


# A field that is given twice


@st.composite
def given_again(draw: st.DrawFn, kind: Kind) -> bytes:
    """Each field of the schema up to three times, in any order, empty ones among them, with unknown ones between."""
    pieces: list[bytes] = []
    for field in kind.descriptor.fields:
        for _ in range(draw(st.integers(0, 3))):
            pieces.append(draw(_field(field)))
    pieces += [tag(900, 0) + varint(7)] * draw(st.integers(0, 1))
    return b"".join(draw(st.permutations(pieces)))


def _field(field: Any) -> st.SearchStrategy[bytes]:
    if field.type in {field.TYPE_BYTES, field.TYPE_MESSAGE}:
        contents = [b""] if field.type == field.TYPE_MESSAGE else [b"", b"a", b"bc"]
        return st.sampled_from([delimited(field.number, content) for content in contents])
    values = [0, 1, 127, 128] if field.type == field.TYPE_UINT64 else [0, 1]
    plain = [tag(field.number, 0) + varint(value, length) for value in values for length in (1, 3)]
    return st.sampled_from(plain)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_of_a_field_that_is_given_twice_the_last_counts(kind: Kind, data: st.DataObject) -> None:
    agree(kind, data.draw(given_again(kind)))


LAST_IS_EMPTY = {
    "data of an entry": (raft_pb2.Entry, 4),
    "context of a message": (raft_pb2.Message, 12),
    "data of a snapshot": (raft_pb2.Snapshot, 1),
    "context of a change": (raft_pb2.ConfChange, 4),
    "context of a V2 change": (raft_pb2.ConfChangeV2, 3),
}


@pytest.mark.parametrize(("pb", "field"), LAST_IS_EMPTY.values(), ids=LAST_IS_EMPTY)
def test_the_last_counts_also_if_it_is_empty(pb: Any, field: int) -> None:
    (kind,) = [one for one in KINDS if one.pb is pb]
    agree(kind, delimited(field, b"first") + delimited(field, b""))
    agree(kind, delimited(field, b"") + delimited(field, b"last"))
