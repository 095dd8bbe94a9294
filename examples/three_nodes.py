"""Three nodes in one process: they elect a leader, replicate what it is told, and survive its loss.

python -m examples.three_nodes
"""

from examples.cluster import Cluster
from raftpb.message import Entry


def main() -> None:
    """Write, cut the leader off, write again, bring it back."""
    applied: dict[int, list[str]] = {1: [], 2: [], 3: []}

    def apply(id: int, entry: Entry) -> None:
        if entry.data:
            applied[id].append(entry.data.decode())

    cluster = Cluster(3, apply)

    def write(text: str) -> int:
        while (leader := cluster.leader()) is None:
            cluster.tick()
        cluster.nodes[leader].propose(text.encode())
        cluster.settle()
        return leader

    first = write("one")
    print(f"node {first} leads; applied: {applied}")
    cluster.cut = {first}
    second = write("two")
    print(f"node {first} is cut off, node {second} leads; applied: {applied}")
    cluster.cut = set()
    while applied[first] != applied[second]:
        cluster.tick()
    print(f"node {first} is back; applied: {applied}")


if __name__ == "__main__":
    main()
