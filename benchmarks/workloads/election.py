"""`election`: one node after the other campaigns, and every node follows it.

Shape: voters, check. An operation is one election, with the first entry of the new leader applied everywhere.
"""

from __future__ import annotations

from benchmarks.workloads.bench import FIRST_INDEX, Bench, Shape, WrongResultError
from benchmarks.workloads.nodes import new_nodes


class Election(Bench):
    """Nodes that have elected node 1."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.nodes = new_nodes(shape["voters"], check=shape.get("check", 0) == 1)
        self.nodes.elect()
        self.elections: int = 1
        self._count()

    def run(self, operations: int) -> None:
        nodes = self.nodes
        members = nodes.members
        for _ in range(operations):
            member = members[self.elections % len(members)]
            nodes.leader = nodes.first = member
            member.node.campaign()
            nodes.pump()
            nodes.compact()
            self.elections += 1
        self._count()

    def _count(self) -> None:
        self.messages = self.nodes.messages
        self.readies = self.nodes.readies

    def verify(self) -> None:
        self.nodes.verify(FIRST_INDEX + self.elections, [])
        leader = self.nodes.leader
        self.nodes.check_leader(leader)
        term = 1 + self.elections
        for member in self.nodes.members:
            status = member.node.basic_status()
            if status.term != term or status.soft_state.leader != leader.node.basic_status().id:
                raise WrongResultError(f"a node is at term {status.term} of {term}, or follows somebody else")
