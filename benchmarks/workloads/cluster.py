"""`cluster`: proposals to the leader of n nodes, in batches, until every node has applied them.

Shape: nodes, batch, bytes, wire (1: every message is encoded and decoded), batch_append, check. An operation is one
entry applied on all nodes. Every proposal is a fresh copy of its payload, as a request from a client would be.
"""

from __future__ import annotations

from benchmarks.workloads.bench import FIRST_INDEX, Bench, Shape, payloads
from benchmarks.workloads.nodes import new_nodes

_PAYLOADS = 64


class ClusterBench(Bench):
    """Nodes that have elected node 1."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.batch = shape["batch"]
        self.check = shape.get("check", 0) == 1
        self.nodes = new_nodes(
            shape["nodes"],
            wire=shape["wire"] == 1,
            check=self.check,
            batch_append=shape.get("batch_append", 0) == 1,
        )
        made = payloads(_PAYLOADS, shape["bytes"])
        self.batches: list[list[bytearray]] = [made[i : i + self.batch] for i in range(0, _PAYLOADS, self.batch)]
        self.last_index: int = FIRST_INDEX
        self.last_payloads: list[bytes] = []
        self.nodes.elect()
        self.last_index += 1  # the empty entry of the new leader
        self._count()

    def granularity(self) -> int:
        return self.batch

    def run(self, operations: int) -> None:
        nodes = self.nodes
        node = nodes.leader.node
        left = operations
        while left > 0:
            for batch in self.batches:
                for payload in batch:
                    node.propose(bytes(payload))
                nodes.pump()
                nodes.compact()
                left -= self.batch
                if left <= 0:
                    break
        self.last_index += operations
        self._note_last(operations)
        self._count()

    def _note_last(self, operations: int) -> None:
        """Remember what the logs have to end in; every run starts with the first payload again."""
        rest = operations % _PAYLOADS or _PAYLOADS
        flat = [bytes(payload) for batch in self.batches for payload in batch][:rest]
        self.last_payloads = flat[-min(rest, operations) :]

    def _count(self) -> None:
        self.messages = self.nodes.messages
        self.readies = self.nodes.readies
        self.wire_bytes = self.nodes.wire_bytes
        self.digest = self.nodes.leader.digest

    def verify(self) -> None:
        self.nodes.verify(self.last_index, self.last_payloads)
