"""Node: one real RawNode and its disk, moved by one event at a time.

A node between two events is a value, `Part`. An event builds the RawNode from it, lets it work until nothing is left to
do, each Ready written and sent at once, and takes the value back. A crash between the two adds nothing: before the
write it is as if the event had not come, after it as if the messages were lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from enum import IntEnum
from typing import Final, NamedTuple

from pyraft import Config, CoreState, MemoryStorage, MisuseError, NullLogger, RawNode, StepError
from pyraft.errors import ProposalDroppedError
from pyraft.types import NO_LIMIT
from raftpb import decode_message
from raftpb.codec import decode_conf_change, decode_conf_change_v2
from raftpb.enums import (
    ADD_LEARNER_NODE,
    ADD_NODE,
    REMOVE_NODE,
    ENTRY_CONF_CHANGE,
    ENTRY_NORMAL,
)
from raftpb.confchange import ConfChange
from raftpb.message import ConfState, Entry, HardState, Message, Snapshot
from rafttest.lease_search.clock import NODES

IDS: Final = tuple(range(1, NODES + 1))


class Kind(IntEnum):
    """What may happen to a node. Those from CAMPAIGN on are rare: a budget says how often each may happen."""

    DELIVER = 0
    TICK = 1
    CAMPAIGN = 2
    RESTART = 3
    TRANSFER = 4
    FORGET = 5
    READ = 6
    DEMOTE = 7
    REMOVE = 8
    PROMOTE = 9


CHANGES: Final = {
    Kind.DEMOTE: ADD_LEARNER_NODE,
    Kind.REMOVE: REMOVE_NODE,
    Kind.PROMOTE: ADD_NODE,
}
AIMED: Final = frozenset({Kind.TRANSFER, *CHANGES})
"""Events that name another node."""


class Part(NamedTuple):
    """One node: what it remembers, and its disk."""

    core: CoreState
    hard_state: HardState
    entries: tuple[Entry, ...]


class _Latest:
    """Draws the longest time-out there is."""

    def randrange(self, stop: int, /) -> int:
        return stop - 1


class Disk:
    """What a node reads from; its contents change with each event."""

    def __init__(self) -> None:
        self.memory = MemoryStorage()

    def initial_state(self) -> tuple[HardState, ConfState]:
        """As a Storage's."""
        return self.memory.initial_state()

    def entries(self, lo: int, hi: int, max_size: int, /) -> list[Entry]:
        """As a Storage's."""
        return self.memory.entries(lo, hi, max_size)

    def term(self, index: int, /) -> int:
        """As a Storage's."""
        return self.memory.term(index)

    def first_index(self) -> int:
        """As a Storage's."""
        return self.memory.first_index()

    def last_index(self) -> int:
        """As a Storage's."""
        return self.memory.last_index()

    def snapshot(self) -> Snapshot:
        """As a Storage's."""
        return self.memory.snapshot()


class Setting:
    """What does not change in a search. `start`: the snapshot that the group begins from. `knobs`: of each node."""

    def __init__(self, election_tick: int, start: Snapshot, knobs: Mapping[int, Mapping[str, object]]) -> None:
        self.election_tick = election_tick
        self.start = start
        self.knobs = knobs
        self.kinds = tuple([sorted({repr(sorted(of.items())) for of in knobs.values()}).index(
            repr(sorted(knobs[id].items()))) for id in IDS])
        """Nodes with the same knobs have the same number: they can stand in for each other."""
        self.disks = {id: Disk() for id in IDS}
        self.configs = {id: self.config(id, self.disks[id]) for id in IDS}

    def config(self, id: int, disk: Disk) -> Config:
        """The Config of node `id` that reads from `disk`."""
        return Config(
            id=id,
            storage=disk,
            election_tick=self.election_tick,
            random=_Latest(),
            logger=NullLogger(),
            **self.knobs[id],  # type: ignore[arg-type]
        )

    def storage(self, hard_state: HardState, entries: tuple[Entry, ...]) -> MemoryStorage:
        """A disk that holds this."""
        made = MemoryStorage()
        made.apply_snapshot(self.start)
        if entries:
            made.append(list(entries))
        made.set_hard_state(hard_state)
        return made

    def first_hard_state(self) -> HardState:
        """Of a node as it starts with the group."""
        metadata = self.start.metadata
        return HardState(metadata.term, 0, metadata.index)


def settle(node: RawNode, storage: MemoryStorage) -> list[Message]:
    """Do all that the node asks for, at once; what it has sent."""
    sent: list[Message] = []
    while node.has_ready():
        ready = node.ready()
        storage.append(ready.entries)
        if ready.hard_state is not None:
            storage.set_hard_state(ready.hard_state)
        sent += ready.messages
        for entry in ready.committed_entries:
            if entry.type is ENTRY_CONF_CHANGE:
                node.apply_conf_change(decode_conf_change(entry.data))
            elif entry.type is not ENTRY_NORMAL:
                node.apply_conf_change(decode_conf_change_v2(entry.data))
        node.advance()
    return sent


def part_of(node: RawNode, storage: MemoryStorage) -> Part:
    """The node as a value; nothing may wait to be done."""
    first, last = storage.first_index(), storage.last_index()
    entries = tuple(storage.entries(first, last + 1, NO_LIMIT)) if first <= last else ()
    return Part(node.export_state(), storage.initial_state()[0], entries)


def started(setting: Setting, id: int, hard_state: HardState, entries: tuple[Entry, ...]) -> Part:
    """Node `id` right after a start from this disk."""
    storage = setting.disks[id].memory = setting.storage(hard_state, entries)
    node = RawNode(setting.configs[id])
    settle(node, storage)
    return part_of(node, storage)


def move(setting: Setting, part: Part, kind: Kind, argument: int, message: bytes) -> tuple[Part, list[Message]] | None:
    """What `part` becomes by an event, and what it sends; None if it refuses. `argument`: the node that is named."""
    id = part.core.id
    if kind is Kind.RESTART:
        return started(setting, id, part.hard_state, part.entries), []
    storage = setting.disks[id].memory = setting.storage(part.hard_state, part.entries)
    node = RawNode.from_state(setting.configs[id], part.core)
    if not act(node, kind, argument, message):
        return None
    sent = settle(node, storage)
    return part_of(node, storage), sent


def act(node: RawNode, kind: Kind, argument: int, message: bytes) -> bool:
    """Let an event other than a restart happen; False if the node refuses."""
    if kind is Kind.DELIVER:
        with suppress(StepError):  # as a transport does: what is refused is gone
            node.step(decode_message(message))
    elif kind is Kind.TICK:
        node.tick()
    elif kind is Kind.CAMPAIGN:
        return node.campaign() is None
    elif kind is Kind.TRANSFER:
        return node.transfer_leader(argument) is None
    elif kind is Kind.READ:
        node.read_index(b"r")
    elif kind is Kind.FORGET:
        try:
            node.forget_leader()
        except MisuseError:
            return False
    else:
        with suppress(ProposalDroppedError):
            node.propose_conf_change(ConfChange(CHANGES[kind], argument))
    return True
