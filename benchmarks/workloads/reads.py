"""`reads`: linearizable reads on the leader or on a follower of three nodes, one at a time or many at once.

Shape: batch, at_follower (1: asked there, and passed on to the leader), check. An operation is one read answered.
"""

from __future__ import annotations

from zlib import crc32

from benchmarks.workloads.bench import FIRST_INDEX, Bench, Shape, WrongResultError
from benchmarks.workloads.nodes import Member, new_nodes

_NODES = 3
_CONTEXT_BYTES = 8


class ReadsBench(Bench):
    """Three nodes that have elected node 1, and whoever asks."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.batch = shape["batch"]
        self.check = shape.get("check", 0) == 1
        self.nodes = new_nodes(_NODES)
        self.nodes.elect()
        self.asker: Member = self.nodes.members[1 if shape["at_follower"] == 1 else 0]
        self.nodes.first = self.asker
        self.asked: int = 0
        self.answered: int = 0
        self._count()

    def granularity(self) -> int:
        return self.batch

    def run(self, operations: int) -> None:
        asker = self.asker
        node = asker.node
        batch = self.batch
        for _ in range(operations // batch):
            for _ in range(batch):
                self.asked += 1
                node.read_index(self.asked.to_bytes(_CONTEXT_BYTES, "big"))
            self.nodes.pump()
            self._take(asker)
        self._count()

    def _count(self) -> None:
        self.messages = self.nodes.messages
        self.readies = self.nodes.readies

    def _take(self, asker: Member) -> None:
        """What was answered must be what was asked, in order, and no older than what is committed."""
        for state in asker.read_states:
            self.answered += 1
            if int.from_bytes(state.context, "big") != self.answered:
                raise WrongResultError(f"read {state.context.hex()} was answered where {self.answered} was due")
            if state.index != FIRST_INDEX + 1:
                raise WrongResultError(f"a read was answered with index {state.index}")
            if self.check:
                self.digest = crc32(state.context, self.digest)
        asker.read_states.clear()

    def verify(self) -> None:
        if self.answered != self.asked:
            raise WrongResultError(f"{self.answered} of {self.asked} reads were answered")
        self.nodes.verify(FIRST_INDEX + 1, [])
