"""`groups`: many groups of three nodes with nothing to do but heartbeats.

Shape: groups, check. An operation is one tick of every node of every group, heartbeats and their answers delivered.
"""

from __future__ import annotations

from benchmarks.workloads.bench import FIRST_INDEX, Bench, Shape, WrongResultError
from benchmarks.workloads.nodes import new_nodes

_NODES = 3
_TERM = 2


class Groups(Bench):
    """Groups that have each elected their node 1."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.groups = [new_nodes(_NODES) for _ in range(shape["groups"])]
        for group in self.groups:
            group.elect()
        self.ticks: int = 0
        self._count()
        self.before: int = self.messages

    def run(self, operations: int) -> None:
        for _ in range(operations):
            for group in self.groups:
                for member in group.members:
                    member.node.tick()
                group.pump()
        self.ticks += operations
        self._count()

    def _count(self) -> None:
        self.messages = sum([group.messages for group in self.groups])
        self.readies = sum([group.readies for group in self.groups])

    def verify(self) -> None:
        each = 2 * (_NODES - 1)
        if self.messages - self.before != self.ticks * len(self.groups) * each:
            raise WrongResultError(f"{self.ticks} ticks took {self.messages - self.before} messages")
        for group in self.groups[:: max(1, len(self.groups) // 100)]:
            group.check_leader(group.leader)
            group.verify(FIRST_INDEX + 1, [])
            if group.leader.node.basic_status().term != _TERM:
                raise WrongResultError("there was an election")
