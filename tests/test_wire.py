"""The wire format at its edges, and bytes that are meant to hurt."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from typing import Final

import pytest
from raftpb_strategies import KINDS, Kind, agree, delimited, nested, tag, varint

from raftpb import codec
from raftpb.enums import MessageType
from raftpb.errors import DecodeError, EncodeError
from raftpb.message import ConfState, Entry, Message, Snapshot, SnapshotMetadata
from raftpb.wire import MAX_DEPTH

MESSAGE: Final = KINDS[0]
HUP: Final = Message(MessageType.MsgHup)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        pytest.param("10 00", HUP, id="explicit zero"),
        pytest.param("10 80808080808080808000", HUP, id="zero in ten bytes"),
        pytest.param("10 85808080808080808000", Message(MessageType.MsgHup, to=5), id="five in ten bytes"),
        pytest.param("10 01 10 02", Message(MessageType.MsgHup, to=2), id="the last of two numbers"),
        pytest.param("62 01 61 62 01 62", Message(MessageType.MsgHup, context=b"b"), id="the last of two blobs"),
        pytest.param("62 81808080 00 61", Message(MessageType.MsgHup, context=b"a"), id="length in five bytes"),
        pytest.param("8800 03", Message(MessageType.MsgApp), id="tag in two bytes"),
        pytest.param("8880808000 03", Message(MessageType.MsgApp), id="tag in five bytes"),
        pytest.param("50 02", Message(MessageType.MsgHup, reject=True), id="bool 2"),
        pytest.param("50 80808080808080808001", Message(MessageType.MsgHup, reject=True), id="bool 2^63"),
        pytest.param("50 01 50 00", HUP, id="bool unset again"),
        pytest.param("12 01 05", HUP, id="number given as bytes is unknown"),
        pytest.param("11 0000000000000000", HUP, id="number given as eight bytes is unknown"),
        pytest.param("38 05", HUP, id="entries given as number are unknown"),
        pytest.param("38 ffffffffffffffffff01", HUP, id="unknown number above the limit"),
        pytest.param("f8ffffff0f 03", HUP, id="largest field number"),
        pytest.param("13 14", HUP, id="empty group with a known number"),
        pytest.param("3b 3c", HUP, id="entries given as a group are unknown"),
        pytest.param("13 1b 1c 0801 9401 00 14".replace("9401 00", "980100"), HUP, id="group in a group"),
        pytest.param("13 9400", HUP, id="end of a group in two bytes"),
        pytest.param(
            "4a05 12 03 0a 01 08".replace("12 03 0a 01 08", "0a03616263") + "4a04 1202 1005",
            Message(MessageType.MsgHup, snapshot=Snapshot(b"abc", SnapshotMetadata(index=5))),
            id="a snapshot in two pieces",
        ),
        pytest.param(
            "4a06 1204 0a02 0801" + "4a08 1206 0a04 0802 2801",
            Message(MessageType.MsgHup, snapshot=Snapshot(b"", SnapshotMetadata(ConfState([1, 2], auto_leave=True)))),
            id="a configuration in two pieces",
        ),
        pytest.param("4a00", Message(MessageType.MsgHup, snapshot=Snapshot()), id="empty snapshot"),
        pytest.param("3a00", Message(MessageType.MsgHup, entries=[Entry()]), id="empty entry"),
        pytest.param("7200", Message(MessageType.MsgHup, responses=[HUP]), id="empty response"),
    ],
)
def test_read_as_protobuf_reads_it(data: str, value: Message) -> None:
    assert codec.decode_message(bytes.fromhex(data)) == value
    agree(MESSAGE, bytes.fromhex(data))
