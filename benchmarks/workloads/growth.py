"""`growth`: does a proposal cost more when the log is long? Three nodes that start with `entries` entries each.

Shape: entries, bytes, check. An operation is one entry applied on all nodes, proposed alone. The log is cut back to its
length after every tenth of it, outside the time measured.
"""

from __future__ import annotations

import time

from benchmarks.workloads.bench import FIRST_INDEX, Bench, Shape, config_of, payloads, storage_of
from benchmarks.workloads.nodes import Member, Nodes
from pyraft import RawNode
from raftpb import Entry, EntryType, HardState

_NODES = 3
_LEAST_CHUNK = 100


class Growth(Bench):
    """Nodes that find a long log at their start, and have elected node 1."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.length: int = shape["entries"]
        self.payload: bytearray = payloads(1, shape["bytes"])[0]
        members = [self._member(id) for id in range(1, _NODES + 1)]
        self.nodes = Nodes(members, check=shape.get("check", 0) == 1)
        self.nodes.elect()
        self.last_index: int = FIRST_INDEX + self.length + 1
        self.grown: int = 1
        self.proposed: int = 0
        self._count()

    def _member(self, id: int) -> Member:
        storage = storage_of(list(range(1, _NODES + 1)))
        last = FIRST_INDEX + self.length
        # Each node has entries of its own, as it would have from a disk or a network.
        normal = EntryType.EntryNormal
        storage.append([Entry(normal, 1, index, bytes(self.payload)) for index in range(FIRST_INDEX + 1, last + 1)])
        storage.set_hard_state(HardState(1, 0, last))
        member = Member(RawNode(config_of(id, storage, applied=last)), storage)
        member.applied = last
        return member

    def run(self, operations: int) -> None:
        nodes = self.nodes
        node = nodes.leader.node
        limit = max(self.length // 10, _LEAST_CHUNK)
        left = operations
        while left > 0:
            chunk = min(left, limit - self.grown)
            for _ in range(chunk):
                node.propose(bytes(self.payload))
                nodes.pump()
            left -= chunk
            self.last_index += chunk
            self.grown += chunk
            if self.grown >= limit:
                started, cpu_started = time.perf_counter_ns(), time.process_time_ns()
                self._cut()
                self.paused_ns += time.perf_counter_ns() - started
                self.paused_cpu_ns += time.process_time_ns() - cpu_started
        self.proposed += operations
        self._count()

    def _count(self) -> None:
        self.messages = self.nodes.messages
        self.readies = self.nodes.readies
        self.digest = self.nodes.leader.digest

    def _cut(self) -> None:
        for member in self.nodes.members:
            member.compacted = member.applied - self.length
            member.storage.compact(member.compacted)
        self.grown = 0

    def verify(self) -> None:
        self.nodes.verify(self.last_index, [bytes(self.payload)] if self.proposed else [])
