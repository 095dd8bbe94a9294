"""`rawnode`: the reference's own BenchmarkRawNode. One node proposes to itself; with two voters the driver answers in
the other's place at once, without a second node.

Shape: voters (1 or 2), check. An operation is one proposal of three bytes, committed. As in the reference the log is
not compacted and the hard state not kept; each run begins with a new node.

Source: etcd rawnode_test.go BenchmarkRawNode.
"""

from __future__ import annotations

from zlib import crc32

from benchmarks.workloads.bench import FIRST_INDEX, Bench, Shape, WrongResultError, config_of, storage_of
from pyraft import RawNode
from raftpb import Message, MessageType

_APP = MessageType.MsgApp
_APP_RESP = MessageType.MsgAppResp
_VOTE = MessageType.MsgVote
_VOTE_RESP = MessageType.MsgVoteResp
_PAYLOAD = b"foo"


class LoneNode(Bench):
    """Node 1, leading; perhaps with a peer that agrees to everything."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.voters = list(range(1, shape["voters"] + 1))
        self.check = shape.get("check", 0) == 1
        self.settle()

    def settle(self) -> None:
        self.storage = storage_of(self.voters)
        self.node = RawNode(config_of(1, self.storage))
        self.applied: int = FIRST_INDEX
        self.proposed: int = 0
        self.node.campaign()
        self._stabilize()

    def run(self, operations: int) -> None:
        node = self.node
        for _ in range(operations):
            node.propose(_PAYLOAD)
            self._stabilize()
        self.proposed += operations

    def _stabilize(self) -> None:
        node = self.node
        storage = self.storage
        while node.has_ready():
            ready = node.ready()
            self.readies += 1
            committed = ready.committed_entries
            if committed:
                if committed[0].index != self.applied + 1:
                    raise WrongResultError(f"entry {committed[0].index} was handed out after {self.applied}")
                self.applied = committed[-1].index
                if self.check:
                    for entry in committed:
                        self.digest = crc32(entry.data, self.digest)
            storage.append(ready.entries)
            for m in ready.messages:
                self.messages += 1
                if m.type is _VOTE:
                    node.step(Message(_VOTE_RESP, m.from_, m.to, m.term))
                elif m.type is _APP:
                    entries = m.entries
                    index = entries[-1].index if entries else m.index
                    node.step(Message(_APP_RESP, m.from_, m.to, m.term, 0, index))
            node.advance()

    def verify(self) -> None:
        due = FIRST_INDEX + 1 + self.proposed
        if self.applied != due or self.storage.last_index() != due:
            raise WrongResultError(f"applied up to {self.applied} of {self.storage.last_index()}, not {due}")
        entries = self.storage.entries(FIRST_INDEX + 2, due + 1, 1 << 60) if self.proposed else []
        if any(entry.data != _PAYLOAD for entry in entries):
            raise WrongResultError("the log holds something that was not proposed")
