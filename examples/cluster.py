"""Nodes in one process that pass messages to each other: what the other examples here stand on.

Each node does its four duties; messages travel encoded, as they would over a network, and a link can be cut.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress

from pyraft import ConfChangeError, Config, MemoryStorage, NullLogger, Peer, RawNode, StepError
from raftpb import EntryType, decode_change, decode_message, encode_message
from raftpb.message import Entry

Apply = Callable[[int, Entry], None]
"""Told the node's id and each committed entry of an application, in order."""


class Cluster:
    """Nodes 1..n over in-memory logs, and the wire between them."""

    def __init__(self, size: int, apply: Apply) -> None:
        self.apply = apply
        self.storages = {id: MemoryStorage() for id in range(1, size + 1)}
        self.nodes = {
            id: RawNode(Config(id=id, storage=storage, logger=NullLogger())) for id, storage in self.storages.items()
        }
        self.wire: deque[tuple[int, int, bytes]] = deque()
        self.cut: set[int] = set()
        self.delivered = 0
        for node in self.nodes.values():
            node.bootstrap([Peer(id) for id in self.nodes])

    def leader(self) -> int | None:
        """The leader of the highest term among the nodes that are not cut off."""
        leaders = {}
        for id, node in self.nodes.items():
            status = node.basic_status()
            if id not in self.cut and status.soft_state.leader == id:
                leaders[status.term] = id
        return leaders[max(leaders)] if leaders else None

    def tick(self) -> None:
        """Let one tick pass everywhere, and settle."""
        for node in self.nodes.values():
            node.tick()
        self.settle()

    def settle(self) -> None:
        """Do every duty and deliver every message until nothing is left to do."""
        while self.wire or any(node.has_ready() for node in self.nodes.values()):
            for id, node in self.nodes.items():
                if node.has_ready():
                    self._serve(id, node)
            self._deliver()

    def _serve(self, id: int, node: RawNode) -> None:
        ready = node.ready()
        storage = self.storages[id]
        if ready.snapshot is not None:
            storage.apply_snapshot(ready.snapshot)
        storage.append(ready.entries)
        if ready.hard_state is not None:
            storage.set_hard_state(ready.hard_state)
        for message in ready.messages:
            self.wire.append((id, message.to, encode_message(message)))
        for entry in ready.committed_entries:
            if entry.type is EntryType.EntryNormal:
                self.apply(id, entry)
                continue
            with suppress(ConfChangeError):  # an impossible change, of the leader of an older version
                node.apply_conf_change(decode_change(entry))
        node.advance()

    def _deliver(self) -> None:
        for _ in range(len(self.wire)):
            source, target, data = self.wire.popleft()
            if source in self.cut or target in self.cut:
                continue
            self.delivered += 1
            try:
                self.nodes[target].step(decode_message(data))
            except StepError as error:
                print(f"node {target} refused a message of node {source}: {error}")
