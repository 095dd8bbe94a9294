"""`make demo`: a replicated key-value store loses its leader in the middle of its work.

Three nodes in one process; every message is encoded and decoded. What the story claims is checked, and the exit code
is 1 if anything is not so.
"""

import json
import random
import sys
from dataclasses import dataclass, field

from examples.cluster import Cluster
from pyraft import ProposalDroppedError
from raftpb.message import Entry

WRITES = 400
KEYS = 24


@dataclass
class Store:
    """One node's key-value map, and how many writes made it."""

    values: dict[str, str] = field(default_factory=dict)
    applied: list[int] = field(default_factory=list)

    def apply(self, data: bytes) -> None:
        """Take a committed write."""
        number, key, value = json.loads(data)
        self.values[key] = value
        self.applied.append(number)


class Story:
    """The teller: prints what happens, and remembers what turned out not to be so."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def tell(self, text: str) -> None:
        """A line of the story."""
        print(f"  {text}")

    def check(self, claim: str, holds: bool) -> None:
        """A claim, and whether it holds."""
        print(f"  {'ok ' if holds else 'NOT SO'} {claim}")
        if not holds:
            self.failures.append(claim)


class Client:
    """Writes to whoever leads, and counts a write as acknowledged once the leader has applied it."""

    def __init__(self, cluster: Cluster, stores: dict[int, Store]) -> None:
        self.cluster = cluster
        self.stores = stores
        self.acknowledged: dict[str, tuple[int, str]] = {}
        self.next = 1

    def write(self, key: str, value: str) -> None:
        """Write, again if need be, until it is acknowledged."""
        while True:
            number = self.next
            self.next += 1
            leader = self.wait_for_leader()
            try:
                self.cluster.nodes[leader].propose(json.dumps([number, key, value]).encode())
            except ProposalDroppedError:
                self.cluster.tick()
                continue
            self.cluster.settle()
            if self.stores[leader].applied[-1:] == [number]:
                self.acknowledged[key] = (number, value)
                return
            self.cluster.tick()

    def wait_for_leader(self) -> int:
        """Let time pass until somebody leads."""
        while (leader := self.cluster.leader()) is None:
            self.cluster.tick()
        return leader


def main() -> int:
    """Tell the story."""
    story = Story()
    stores = {id: Store() for id in (1, 2, 3)}

    def apply(id: int, entry: Entry) -> None:
        if entry.data:
            stores[id].apply(entry.data)

    cluster = Cluster(3, apply)
    client = Client(cluster, stores)
    chance = random.Random(20)

    def write_some(count: int) -> None:
        for number in range(count):
            if number % 5 == 0:
                cluster.tick()
            client.write(f"key{chance.randrange(KEYS):02}", f"{chance.randrange(10**6):06}")

    print("Three nodes, none of which knows more than the others.")
    first = client.wait_for_leader()
    term = cluster.nodes[first].basic_status().term
    story.tell(f"An election timeout passes: node {first} is elected leader of term {term}.")
    write_some(WRITES // 2)
    story.tell(f"A client writes {WRITES // 2} times to {KEYS} keys.")
    story.check("all three stores are equal", stores[1].values == stores[2].values == stores[3].values)

    print(f"\nThe link to node {first}, the leader, is cut. It does not know yet.")
    cluster.cut = {first}
    cluster.nodes[first].propose(json.dumps([-1, "lost", "written to a leader that nobody hears"]).encode())
    cluster.settle()
    story.check("what it is told now is not committed anywhere", all("lost" not in s.values for s in stores.values()))
    ticks = 0
    while (second := cluster.leader()) is None:
        cluster.tick()
        ticks += 1
    term = cluster.nodes[second].basic_status().term
    story.tell(f"After {ticks} ticks without word from it, node {second} is elected leader of term {term}.")
    write_some(WRITES // 2)
    story.tell(f"The client writes another {WRITES // 2} times; two nodes of three are enough.")
    behind = len(stores[second].applied) - len(stores[first].applied)
    story.check(f"node {first} has missed {behind} writes", behind >= WRITES // 2)
    story.check(
        f"and has noticed that no quorum answers: it is {cluster.nodes[first].basic_status().soft_state.role}",
        cluster.nodes[first].basic_status().soft_state.leader != first,
    )

    print(f"\nThe link to node {first} is mended.")
    cluster.cut = set()
    ticks = 0
    while stores[first].applied != stores[second].applied and ticks < 100:
        cluster.tick()
        ticks += 1
    story.check(f"it has caught up after {ticks} ticks", stores[first].applied == stores[second].applied)
    story.check(f"node {second} still leads: the one that came back disturbed nobody", cluster.leader() == second)
    story.check("all three stores are equal", stores[1].values == stores[2].values == stores[3].values)
    kept = sum(stores[1].values.get(key) == value for key, (_, value) in client.acknowledged.items())
    story.check(
        f"every acknowledged write is there ({kept} of {len(client.acknowledged)} keys)",
        kept == len(client.acknowledged),
    )
    story.check("the write that nobody heard is not", "lost" not in stores[1].values)
    story.check("nobody applied a write twice", len(set(stores[1].applied)) == len(stores[1].applied))

    print(f"\n{len(stores[1].applied)} writes applied on each node, {cluster.delivered} messages delivered.")
    if story.failures:
        print(f"{len(story.failures)} of the claims above do not hold.")
    return 1 if story.failures else 0


if __name__ == "__main__":
    sys.exit(main())
