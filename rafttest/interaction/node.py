"""One node of an environment: a RawNode, its storage, the work its storage threads have not done yet, and a state
machine that appends whatever is applied.

    Ready ─> process_append ─> storage.memory     the log
          └> process_apply  ─> storage.applied    the application: a snapshot of everything applied so far

Source: etcd rafttest/interaction_env.go Node; interaction_env_handler_process_append_thread.go, ..._apply_thread.go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from pyraft.config import Config
from pyraft.memory_storage import MemoryStorage
from pyraft.rawnode import RawNode
from pyraft.ready import Ready
from raftpb.codec import decode_change
from raftpb.enums import ENTRY_NORMAL
from raftpb.message import ConfState, Entry, HardState, Message, Snapshot, SnapshotMetadata
from rafttest.trace.command import CommandRefusedError


class EnvironmentStorage:
    """A MemoryStorage whose snapshot is that of the application, however far the log is compacted.

    Both begin with `start`. `memory`: the log. `applied`: the state after the last applied entry. A snapshot received
    from a leader goes into `memory` only: `applied` is the old one until a further entry is applied, as in the
    reference.
    """

    def __init__(self, start: Snapshot) -> None:
        self.memory = MemoryStorage()
        self.applied = start
        if not start.is_empty():
            self.memory.apply_snapshot(start)

    def initial_state(self) -> tuple[HardState, ConfState]:
        """As the log has it."""
        return self.memory.initial_state()

    def entries(self, lo: int, hi: int, max_size: int, /) -> list[Entry]:
        """As the log has them."""
        return self.memory.entries(lo, hi, max_size)

    def term(self, index: int, /) -> int:
        """As the log has it."""
        return self.memory.term(index)

    def first_index(self) -> int:
        """Of the log."""
        return self.memory.first_index()

    def last_index(self) -> int:
        """Of the log."""
        return self.memory.last_index()

    def snapshot(self) -> Snapshot:
        """Of the application."""
        return self.applied


class InteractionNode:
    """`id`, `raw`, `config` and `storage` are what they say. `append_work`, `apply_work`: messages to the storage
    threads, oldest first; empty unless writes are asynchronous.
    """

    def __init__(self, config: Config, storage: EnvironmentStorage) -> None:
        self.id = config.id
        self.config = config
        self.storage = storage
        self.raw = RawNode(config)
        hard_state = storage.initial_state()[0]
        self._promised = (hard_state.term, hard_state.vote)
        self.append_work: deque[Message] = deque()
        self.apply_work: deque[Message] = deque()

    def reference_must_sync(self, ready: Ready) -> bool:
        """The reference's MustSync for `ready`, which is the latest: it does not speak of the snapshot."""
        before = self._promised
        if ready.hard_state is not None:
            self._promised = (ready.hard_state.term, ready.hard_state.vote)
        return bool(ready.entries) or self._promised != before

    def process_append(self, hard_state: HardState | None, entries: list[Entry], snapshot: Snapshot | None) -> None:
        """Write what a Ready, or a message to the append thread, brings."""
        memory = self.storage.memory
        if hard_state is not None and not hard_state.is_empty():
            memory.set_hard_state(hard_state)
        if snapshot is None or snapshot.is_empty():
            memory.append(entries)
        elif entries:
            raise CommandRefusedError("can't apply snapshot and entries at the same time")
        else:
            memory.apply_snapshot(snapshot)

    def process_apply(self, entries: Sequence[Entry]) -> None:
        """Apply committed entries: membership changes go to the core, and every entry extends the application's state
        by its data, or by the context of its change. Raises DecodeError for a change that is none.
        """
        for entry in entries:
            before = self.storage.applied
            conf_state = before.metadata.conf_state
            update = entry.data
            if entry.type is not ENTRY_NORMAL:
                change = decode_change(entry)
                conf_state = self.raw.apply_conf_change(change)
                update = change.context
            self.storage.applied = Snapshot(before.data + update, SnapshotMetadata(conf_state, entry.index, entry.term))
