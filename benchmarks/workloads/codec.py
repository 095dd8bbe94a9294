"""`codec`: an append of 64 entries of 128 bytes, from bytes to values of which every field is read, and back.

Shape: encode (1) or decode (0), protobuf (1: the same through `raft_pb2`), check. An operation is one message.
"""

from __future__ import annotations

from zlib import crc32

from benchmarks.workloads.bench import Bench, Shape, WrongResultError, payloads
from raftpb import Entry, EntryType, Message, MessageType, decode_message, encode_message

_ENTRIES = 64
_BYTES = 128
_TERM = 7
_INDEX = 1_000_000


def sample() -> Message:
    """The message."""
    data = payloads(_ENTRIES, _BYTES)
    normal = EntryType.EntryNormal
    entries = [Entry(normal, _TERM, _INDEX + 1 + i, bytes(data[i])) for i in range(_ENTRIES)]
    return Message(MessageType.MsgApp, 2, 1, _TERM, _TERM, _INDEX, entries, _INDEX)


class Codec(Bench):
    """One message, and its bytes."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.encodes = shape["encode"] == 1
        self.message = sample()
        self.data: bytes = encode_message(self.message)
        self.last: Message = self.message
        self.made: bytes = self.data

    def run(self, operations: int) -> None:
        if self.encodes:
            self._encode(operations)
        else:
            self._decode(operations)
        self.messages += operations
        self.wire_bytes += operations * len(self.data)
        self.digest = crc32(self.made)

    def _encode(self, operations: int) -> None:
        message = self.message
        for _ in range(operations):
            self.made = encode_message(message)

    def _decode(self, operations: int) -> None:
        data = self.data
        for _ in range(operations):
            m = decode_message(data)
            _head = (m.type, m.to, m.from_, m.term, m.log_term, m.index, m.commit)
            _rest = (m.snapshot, m.reject, m.reject_hint, m.context, m.vote, m.responses)
            for entry in m.entries:
                _type = entry.type
                _term = entry.term
                _index = entry.index
                _data = entry.data
            self.last = m

    def verify(self) -> None:
        if self.made != self.data or decode_message(self.data) != self.message:
            raise WrongResultError("the bytes are not those of the message")
        if self.last != self.message:
            raise WrongResultError("the message was misread")
