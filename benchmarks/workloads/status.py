"""`status`: a leader tells how it is.

Shape: members, basic (1: the numbers only, not how far each member has come), check. An operation is one status.

Source: etcd rawnode_test.go BenchmarkStatus.
"""

from __future__ import annotations

from benchmarks.workloads.bench import FIRST_INDEX, Bench, Shape, WrongResultError
from benchmarks.workloads.nodes import new_nodes


class Tell(Bench):
    """The leader of so many members."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.members: int = shape["members"]
        self.basic = shape["basic"] == 1
        self.nodes = new_nodes(self.members)
        self.nodes.elect()
        self.seen: int = 0
        self.due: int = 0

    def run(self, operations: int) -> None:
        node = self.nodes.leader.node
        if self.basic:
            for _ in range(operations):
                self.seen += node.basic_status().applied
            self.due += operations * (FIRST_INDEX + 1)
            return
        for _ in range(operations):
            for one in node.status().progress.values():
                self.seen += one.match
        self.due += operations * (FIRST_INDEX + 1) * self.members

    def verify(self) -> None:
        if self.seen != self.due:
            raise WrongResultError(f"the indexes seen add up to {self.seen}, not {self.due}")
