"""The wire format at its edges, and bytes that are meant to hurt."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Final

import pytest
from raftpb_strategies import KINDS, Kind, agree, delimited, nested, tag, varint

from raftpb import codec
from raftpb.enums import EntryType, MessageType
from raftpb.errors import DecodeError, EncodeError
from raftpb.message import ConfState, Entry, HardState, Message, Snapshot, SnapshotMetadata
from raftpb.wire import MAX_DEPTH

KIND_OF: Final = {kind.name: kind for kind in KINDS}
MESSAGE: Final = KIND_OF["message"]
HUP: Final = Message(MessageType.MsgHup)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        pytest.param("10 00", HUP, id="explicit zero"),
        pytest.param("10 80808080808080808000", HUP, id="zero in ten bytes"),
        pytest.param("10 85808080808080808000", Message(MessageType.MsgHup, to=5), id="five in ten bytes"),
        pytest.param("10 01 10 02", Message(MessageType.MsgHup, to=2), id="the last of two numbers"),
        pytest.param("62 01 61 62 01 62", Message(MessageType.MsgHup, context=b"b"), id="the last of two blobs"),
        pytest.param("62 8180808000 61", Message(MessageType.MsgHup, context=b"a"), id="length in five bytes"),
        pytest.param("8800 03", Message(MessageType.MsgApp), id="tag in two bytes"),
        pytest.param("8880808000 03", Message(MessageType.MsgApp), id="tag in five bytes"),
        pytest.param("50 02", Message(MessageType.MsgHup, reject=True), id="bool 2"),
        pytest.param("50 80808080808080808001", Message(MessageType.MsgHup, reject=True), id="bool 2^63"),
        pytest.param("50 01 50 00", HUP, id="bool set and unset"),
        pytest.param("12 01 05", HUP, id="number given as bytes is unknown"),
        pytest.param("11 0000000000000000", HUP, id="number given as eight bytes is unknown"),
        pytest.param("38 05", HUP, id="entries given as number are unknown"),
        pytest.param("38 ffffffffffffffffff01", HUP, id="unknown number above the limit"),
        pytest.param("f8ffffff0f 03", HUP, id="largest field number"),
        pytest.param("13 14", HUP, id="empty group in place of a number"),
        pytest.param("3b 3c", HUP, id="empty group in place of entries"),
        pytest.param("13 1b 1c 0801 1201 61 14", HUP, id="group with a group and fields"),
        pytest.param("13 9400", HUP, id="end of a group in two bytes"),
        pytest.param(
            "4a05 0a03616263 4a04 12021005",
            Message(MessageType.MsgHup, snapshot=Snapshot(b"abc", SnapshotMetadata(index=5))),
            id="snapshot in two pieces",
        ),
        pytest.param(
            "4a06 12040a020801 4a08 12060a0408022801",
            Message(MessageType.MsgHup, snapshot=Snapshot(b"", SnapshotMetadata(ConfState([1, 2], auto_leave=True)))),
            id="configuration in two pieces",
        ),
        pytest.param("3a00", Message(MessageType.MsgHup, entries=[Entry()]), id="empty entry"),
        pytest.param("7200", Message(MessageType.MsgHup, responses=[HUP]), id="empty response"),
    ],
)
def test_read_as_protobuf_reads_it(data: str, value: Message) -> None:
    assert codec.decode_message(bytes.fromhex(data)) == value
    agree(MESSAGE, bytes.fromhex(data))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param("10", "cut short", id="tag alone"),
        pytest.param("90", "cut short", id="half a tag"),
        pytest.param("9000", "cut short", id="tag of two bytes alone"),
        pytest.param("10 80", "cut short", id="half a number"),
        pytest.param("10 808080", "cut short", id="three bytes of a number"),
        pytest.param("10 8080808080", "cut short", id="five bytes of a number"),
        pytest.param("10 808080808080808080", "cut short", id="nine bytes of a number"),
        pytest.param("10 8080808080808080808000", "64 bits", id="number of eleven bytes"),
        pytest.param("10 80808080808080808002", "64 bits", id="number of 65 bits"),
        pytest.param("78 80808080808080808002", "64 bits", id="unknown number of 65 bits"),
        pytest.param("10 80808080808080808001", "2^63", id="number 2^63"),
        pytest.param("10 80808080808080808001 1001", "2^63", id="number 2^63 and then another"),
        pytest.param("9000 80808080808080808001", "2^63", id="number 2^63 after a tag of two bytes"),
        pytest.param("3a0b 10 80808080808080808001", "2^63", id="number 2^63 in an entry"),
        pytest.param("888080808000 03", "32 bits", id="tag of six bytes"),
        pytest.param("8880808010 03", "32 bits", id="tag of 33 bits"),
        pytest.param("62 818080808000 61", "32 bits", id="length of six bytes"),
        pytest.param("00 01", "field number 0", id="field 0, number"),
        pytest.param("02 00", "field number 0", id="field 0, bytes"),
        pytest.param("03 04", "field number 0", id="field 0, group"),
        pytest.param("8000 01", "field number 0", id="field 0 in two bytes"),
        pytest.param("3a02 0001", "field number 0", id="field 0 in an entry"),
        pytest.param("13 0001 14", "field number 0", id="field 0 in a group"),
        pytest.param("16 00", "wire type 6", id="wire type 6"),
        pytest.param("17 00", "wire type 7", id="wire type 7"),
        pytest.param("14 00", "wire type 4", id="end of no group"),
        pytest.param("14", "cut short", id="end of no group at the end"),
        pytest.param("13 1c", "cut short", id="wrong end of a group at the end"),
        pytest.param("13 1c 00", "wire type 4", id="wrong end of a group"),
        pytest.param("13 1001", "cut short", id="group without an end"),
        pytest.param("13", "cut short", id="begin of a group alone"),
        pytest.param("7201 13 14", "cut short", id="group that ends outside its message"),
        pytest.param("11 00000000000000", "cut short", id="seven bytes of eight"),
        pytest.param("15 000000", "cut short", id="three bytes of four"),
        pytest.param("62 02 61", "cut short", id="one byte of two"),
        pytest.param("7a 02 61", "cut short", id="one unknown byte of two"),
        pytest.param("3a 02 10", "cut short", id="one byte of an entry of two"),
        pytest.param("3a 02 22 01 61", "cut short", id="data beyond the end of its entry"),
        pytest.param("3a 01 10 01", "cut short", id="number beyond the end of its entry"),
        pytest.param("3a 02 10 80 01", "cut short", id="number that crosses the end of its entry"),
        pytest.param("4a 02 0a 01 61", "cut short", id="data beyond the end of its snapshot"),
    ],
)
def test_refused_as_protobuf_does_or_more(data: str, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason.replace("^", r"\^")):
        codec.decode_message(bytes.fromhex(data))
    agree(MESSAGE, bytes.fromhex(data))


@pytest.mark.parametrize(
    ("data", "value"),
    [
        pytest.param("0a 02 01 02 08 03 0a 00", ConfState([1, 2, 3]), id="packed and not"),
        pytest.param("12 03 ac02 05", ConfState((), [300, 5]), id="packed, of two bytes"),
        pytest.param("1a 01 00 22 01 07", ConfState((), (), [0], [7]), id="packed, outgoing and next"),
        pytest.param("0d 00000000", ConfState(), id="four bytes are unknown"),
    ],
)
def test_lists_of_numbers(data: str, value: ConfState) -> None:
    assert codec.decode_conf_state(bytes.fromhex(data)) == value
    agree(KIND_OF["conf_state"], bytes.fromhex(data))


@pytest.mark.parametrize("data", ["0a 01 80", "0a 02 01 80 01", "0a 0a 80808080808080808001", "0a 03 01 02"])
def test_lists_of_numbers_that_are_refused(data: str) -> None:
    with pytest.raises(DecodeError):
        codec.decode_conf_state(bytes.fromhex(data))
    agree(KIND_OF["conf_state"], bytes.fromhex(data))


ENTRY: Final = bytes.fromhex("3a00")
CONF_STATE: Final = bytes.fromhex("4a0412020a00")
GROUP_BEGIN: Final = tag(15, 3)
GROUP_END: Final = tag(15, 4)


@pytest.mark.parametrize(
    ("deepest", "below"),
    [
        pytest.param(nested, 0, id="responses"),
        pytest.param(lambda depth: nested(depth, ENTRY), 1, id="an entry in responses"),
        pytest.param(lambda depth: nested(depth, bytes.fromhex("4a00")), 1, id="a snapshot in responses"),
        pytest.param(lambda depth: nested(depth, bytes.fromhex("4a021200")), 2, id="metadata in responses"),
        pytest.param(lambda depth: nested(depth, CONF_STATE), 3, id="a configuration in responses"),
        pytest.param(lambda depth: GROUP_BEGIN * depth + GROUP_END * depth, 0, id="groups"),
        pytest.param(lambda depth: nested(depth, GROUP_BEGIN + GROUP_END), 1, id="a group in responses"),
        pytest.param(lambda depth: nested(50, GROUP_BEGIN * (depth - 50) + GROUP_END * (depth - 50)), 0, id="both"),
    ],
)
def test_nesting_up_to_the_limit_and_no_deeper(deepest: Callable[[int], bytes], below: int) -> None:
    limit = MAX_DEPTH - below
    codec.decode_message(deepest(limit))
    agree(MESSAGE, deepest(limit))
    for depth in (limit + 1, limit + 2, 10 * limit):
        with pytest.raises(DecodeError, match="nested"):
            codec.decode_message(deepest(depth))
        agree(MESSAGE, deepest(depth))


def _responses(depth: int) -> Message:
    snapshot = Snapshot(b"", SnapshotMetadata(ConfState([1])))
    message = Message(MessageType.MsgApp, entries=[Entry(term=1)], snapshot=snapshot)
    for _ in range(depth):
        message = Message(MessageType.MsgStorageAppend, responses=[message])
    return message


def test_what_is_written_can_be_read_however_deep() -> None:
    for depth in (1, 2, MAX_DEPTH - 3):
        message = _responses(depth)
        assert codec.decode_message(codec.encode_message(message)) == message
    for depth in (MAX_DEPTH - 2, 10 * MAX_DEPTH):
        with pytest.raises(EncodeError, match="nested"):
            codec.encode_message(_responses(depth))


HUGE: Final = varint(2**31 - 1)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        pytest.param(MESSAGE, tag(7, 2) + HUGE, id="entry"),
        pytest.param(MESSAGE, tag(12, 2) + HUGE, id="context"),
        pytest.param(MESSAGE, tag(15, 2) + HUGE, id="unknown"),
        pytest.param(KIND_OF["entry"], tag(4, 2) + HUGE, id="data"),
        pytest.param(KIND_OF["snapshot"], tag(1, 2) + HUGE, id="snapshot"),
        pytest.param(KIND_OF["conf_state"], tag(1, 2) + HUGE, id="packed ids"),
    ],
)
def test_a_length_beyond_the_data_allocates_nothing(kind: Kind, data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            kind.decode(data + b"x")
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def _pieces(count: int) -> bytes:
    """A snapshot in as many pieces, each with a piece of metadata with a piece of the configuration: one voter."""
    return delimited(9, delimited(2, delimited(1, tag(1, 0) + varint(7)))) * count


SHAPES: Final[dict[str, Callable[[int], bytes]]] = {
    "entries": lambda n: delimited(7, b"") * n,
    "responses": lambda n: delimited(14, b"") * n,
    "unknown fields": lambda n: (tag(15, 0) + varint(2**40)) * n,
    "groups": lambda n: (GROUP_BEGIN + GROUP_END) * n,
    "deep groups": lambda n: (GROUP_BEGIN * MAX_DEPTH + GROUP_END * MAX_DEPTH) * (n // MAX_DEPTH),
    "deep responses": lambda n: nested(90, delimited(7, b"") * n),
    "snapshot in pieces": _pieces,
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_twice_the_bytes_are_twice_the_calls(shape: Callable[[int], bytes]) -> None:
    once, twice = (_calls(shape(count)) for count in (1000, 2000))
    assert twice <= 2 * once


def _calls(data: bytes) -> int:
    """How many functions are called to decode a message (none that are seen where the codec is compiled)."""
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        codec.decode_message(data)
    finally:
        sys.setprofile(None)
    return calls


def test_a_snapshot_in_very_many_pieces_is_put_together_once() -> None:
    """Were each piece merged by copying what there is already, five thousand million ids would be copied."""
    message = codec.decode_message(_pieces(100_000))
    assert message.snapshot == Snapshot(b"", SnapshotMetadata(ConfState([7] * 100_000)))


def test_very_many_small_entries() -> None:
    assert len(codec.decode_message(delimited(7, b"") * 100_000).entries) == 100_000


@pytest.mark.parametrize(
    ("kind", "data", "value"),
    [
        (KIND_OF["hard_state"], "1801 0802 1003 2004", HardState(2, 3, 1)),
        (KIND_OF["entry"], "220161 1805 0801 1003", Entry(EntryType.EntryConfChange, 3, 5, b"a")),
    ],
    ids=["hard state", "entry"],
)
def test_fields_in_any_order(kind: Kind, data: str, value: object) -> None:
    assert kind.decode(bytes.fromhex(data)) == value
