"""The smallest event loop around a RawNode: a cluster of one that stores what it is told.

python -m examples.single_node
"""

from collections import deque

from pyraft import ConfChangeError, Config, MemoryStorage, Peer, RawNode
from raftpb import EntryType, decode_change
from raftpb.message import ConfState, Entry, Message


class Loop:
    """A node, the log it keeps, and the state that its entries build up."""

    def __init__(self) -> None:
        self.log = MemoryStorage()  # a real application mirrors here what it writes to disk
        self.node = RawNode(Config(id=1, storage=self.log))
        self.node.bootstrap([Peer(1)])
        self.state: list[str] = []
        self.conf_state = ConfState()
        self.requests: deque[bytes] = deque()

    def run_once(self) -> None:
        """One round: pass time and requests to the node, then do what it asks for."""
        self.node.tick()
        if self.node.basic_status().soft_state.leader and self.requests:
            self.node.propose(self.requests.popleft())
        while self.node.has_ready():
            ready = self.node.ready()

            # 1. Persist: the snapshot, then the entries, then the hard state; synced if must_sync.
            if ready.snapshot is not None:
                self.log.apply_snapshot(ready.snapshot)
            self.log.append(ready.entries)
            if ready.hard_state is not None:
                self.log.set_hard_state(ready.hard_state)

            # 2. Send the messages, now that what they promise is on disk.
            for message in ready.messages:
                self.send(message)

            # 3. Apply what is committed, in order.
            for entry in ready.committed_entries:
                self.apply(entry)

            # 4. Tell the node that all of it is done.
            self.node.advance()

    def send(self, message: Message) -> None:
        """Encode and ship; a lost message is no error."""
        raise AssertionError(f"a cluster of one has nobody to send {message} to")

    def apply(self, entry: Entry) -> None:
        """Change the state, or the membership."""
        if entry.type is not EntryType.EntryNormal:
            self.change_members(entry)
        elif entry.data:  # a new leader begins with an empty entry
            self.state.append(entry.data.decode())

    def change_members(self, entry: Entry) -> None:
        """Keep the configuration that follows, for the next snapshot."""
        try:
            self.conf_state = self.node.apply_conf_change(decode_change(entry))
        except ConfChangeError as error:  # committed by the leader of an older version; nothing has changed
            print(f"entry {entry.index} is skipped: {error}")


def main() -> None:
    """Store three words."""
    loop = Loop()
    loop.requests.extend([b"the", b"log", b"is the truth"])
    while len(loop.state) < 3:
        loop.run_once()
    print("applied:", *loop.state)


if __name__ == "__main__":
    main()
