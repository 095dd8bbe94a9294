"""The generated protobuf code as a peer of `codec`: the same message through `raft_pb2`.

Encoding starts from plain values and makes the generated objects on the way; decoding reads every field once.

python -m benchmarks.peers.raft_pb2_peer
"""

from __future__ import annotations

import sys
from zlib import crc32

import google.protobuf

from benchmarks import worker
from benchmarks.workloads.bench import Bench, Shape, WrongResultError
from benchmarks.workloads.codec import sample
from raftpb import encode_message, raft_pb2


class ProtobufCodec(Bench):
    """One message, and its bytes."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.encodes = shape["encode"] == 1
        self.message = sample()
        self.data: bytes = encode_message(self.message)
        self.made: bytes = self.data
        self.last = raft_pb2.Message.FromString(self.data)

    def run(self, operations: int) -> None:
        if self.encodes:
            self._encode(operations)
        else:
            self._decode(operations)
        self.messages += operations
        self.wire_bytes += operations * len(self.data)
        self.digest = crc32(self.made)

    def _encode(self, operations: int) -> None:
        m = self.message
        app = raft_pb2.MsgApp
        for _ in range(operations):
            pb = raft_pb2.Message(type=app, to=m.to, term=m.term, logTerm=m.log_term, index=m.index, commit=m.commit)
            setattr(pb, "from", m.from_)  # a word of Python's
            add = pb.entries.add
            for entry in m.entries:
                add(Term=entry.term, Index=entry.index, Data=entry.data)
            self.made = pb.SerializeToString()

    def _decode(self, operations: int) -> None:
        data = self.data
        for _ in range(operations):
            m = raft_pb2.Message.FromString(data)
            _head = (m.type, m.to, getattr(m, "from"), m.term, m.logTerm, m.index, m.commit)
            _rest = (m.HasField("snapshot"), m.reject, m.rejectHint, m.context, m.vote, m.responses)
            for entry in m.entries:
                _type = entry.Type
                _term = entry.Term
                _index = entry.Index
                _data = entry.Data
            self.last = m

    def verify(self) -> None:
        due = raft_pb2.Message.FromString(self.data)
        if raft_pb2.Message.FromString(self.made) != due or self.last != due:
            raise WrongResultError("the bytes are not those of the message")


if __name__ == "__main__":
    greeting: worker.Answer = {"name": "raft_pb2", "version": google.protobuf.__version__}
    worker.serve(worker.Worker({"codec": ProtobufCodec}, greeting), sys.stdin, sys.stdout)
