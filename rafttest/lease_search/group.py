"""Group: three real nodes, what is under way between them, and every event that may come next.

A state is a value. An event builds the one node that it concerns from its part of the state, lets it work until nothing
is left to do, each Ready written and sent at once, and takes its part back. Messages are kept as bytes, as a set: one
that is never delivered is lost, one that is delivered may be kept to come again. Appends are always lost: an election
and a lease need none, and a promise begins with a heartbeat as well.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from pyraft import Config, CoreState, MemoryStorage, MisuseError, NullLogger, RawNode, Role, StepError
from pyraft.types import NO_LIMIT
from raftpb import decode_message, encode_message
from raftpb.enums import MSG_APP
from raftpb.message import ConfState, Entry, HardState, Message, Snapshot
from rafttest.lease_search import clock
from rafttest.lease_search.clock import NODES, Clock

IDS: Final = tuple(range(1, NODES + 1))


class _Latest:
    """Draws the longest time-out there is; shorter ones are the event `campaign`."""

    def randrange(self, stop: int, /) -> int:
        return stop - 1


_RANDOM: Final = _Latest()
_LOGGER: Final = NullLogger()


@functools.cache
def decoded(data: bytes) -> Message:
    """The message in these bytes, which many states share."""
    return decode_message(data)


class Part:
    """One node: what it remembers, and its disk. `told` keeps what the key says of it, by the names of the nodes."""

    __slots__ = ("core", "entries", "hard_state", "told")

    def __init__(self, core: CoreState, hard_state: HardState, entries: tuple[Entry, ...]) -> None:
        self.core = core
        self.hard_state = hard_state
        self.entries = entries
        self.told: dict[tuple[int, ...], str] = {}


class Budget(NamedTuple):
    """How often each event may still happen."""

    campaigns: int
    restarts: int
    transfers: int
    forgets: int
    copies: int
    reads: int


class GroupState(NamedTuple):
    """A moment of the group. `wire`: encoded messages under way, ascending."""

    parts: tuple[Part, ...]
    wire: tuple[bytes, ...]
    clock: Clock
    budget: Budget


class StoredState:
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
    """What does not change in a search. `knobs`: of each node, beside what all have. `most_messages`: a message that is
    sent while so many are under way is lost.
    """

    def __init__(
        self, election_tick: int, start: Snapshot, knobs: Mapping[int, Mapping[str, object]], most_messages: int
    ) -> None:
        self.election_tick = election_tick
        self.start = start
        self.knobs = knobs
        self.is_alike = all(knobs[id] == knobs[1] for id in IDS)
        """No node can be told from another by its knobs."""
        self.most_messages = most_messages
        self.loses_appends = False
        """From the start on: before, the logs become equal."""
        self.disks = {id: StoredState() for id in IDS}
        self.configs = {id: self._config(id) for id in IDS}

    def _config(self, id: int) -> Config:
        return Config(
            id=id,
            storage=self.disks[id],
            election_tick=self.election_tick,
            random=_RANDOM,
            logger=_LOGGER,
            **self.knobs[id],  # type: ignore[arg-type]
        )

    def put(self, id: int, hard_state: HardState, entries: tuple[Entry, ...]) -> MemoryStorage:
        """Let the disk of node `id` hold this."""
        made = self.disks[id].memory = MemoryStorage()
        made.apply_snapshot(self.start)
        if entries:
            made.append(list(entries))
        made.set_hard_state(hard_state)
        return made


def settle(setting: Setting, node: RawNode, storage: MemoryStorage) -> tuple[Part, list[bytes]]:
    """Do all that the node asks for, at once; what it remembers then, and what it has sent."""
    sent: list[bytes] = []
    while node.has_ready():
        ready = node.ready()
        storage.append(ready.entries)
        if ready.hard_state is not None:
            storage.set_hard_state(ready.hard_state)
        sent += [encode_message(m) for m in ready.messages if m.type is not MSG_APP or not setting.loses_appends]
        node.advance()
    first, last = storage.first_index(), storage.last_index()
    entries = tuple(storage.entries(first, last + 1, NO_LIMIT)) if first <= last else ()
    return Part(node.export_state(), storage.initial_state()[0], entries), sent


def first_part(setting: Setting, id: int) -> Part:
    """Node `id` as it starts with the group."""
    metadata = setting.start.metadata
    return _started(setting, id, HardState(metadata.term, 0, metadata.index), ())


def _started(setting: Setting, id: int, hard_state: HardState, entries: tuple[Entry, ...]) -> Part:
    storage = setting.put(id, hard_state, entries)
    return settle(setting, RawNode(setting.configs[id]), storage)[0]


def act(setting: Setting, state: GroupState, id: int, event: Move) -> GroupState | None:
    """The state after `event` at node `id`; None if the node refused it."""
    part = state.parts[id - 1]
    wire = list(state.wire)
    if event.kind == "restart":
        made = _started(setting, id, part.hard_state, part.entries)
        sent: list[bytes] = []
    else:
        storage = setting.put(id, part.hard_state, part.entries)
        node = RawNode.from_state(setting.configs[id], part.core)
        if not _do(node, event):
            return None
        made, sent = settle(setting, node, storage)
        if event.kind == "deliver":
            wire.remove(event.message)
    for message in sent:
        if message not in wire and len(wire) < setting.most_messages:
            wire.append(message)
    parts = tuple(made if other == id else state.parts[other - 1] for other in IDS)
    now = clock.tick(state.clock, id - 1) if event.kind == "tick" else state.clock
    return GroupState(parts, tuple(sorted(wire)), now, event.budget)


class Move(NamedTuple):
    """Something that happens at one node. `budget`: what is left after it."""

    kind: str
    node: int
    budget: Budget
    message: bytes = b""
    target: int = 0

    def __str__(self) -> str:
        if self.kind in {"deliver", "copy"}:
            m = decoded(self.message)
            return f"{self.kind} {m.type} {m.from_}->{m.to} term {m.term}{' reject' if m.reject else ''}"
        return f"{self.kind} {self.node}" + (f" to {self.target}" if self.target else "")


def _do(node: RawNode, event: Move) -> bool:
    kind = event.kind
    if kind == "tick":
        node.tick()
    elif kind in {"deliver", "copy"}:
        with suppress(StepError):  # as a transport does: what is refused is gone
            node.step(decoded(event.message))
    elif kind == "campaign":
        return node.campaign() is None
    elif kind == "transfer":
        return node.transfer_leader(event.target) is None
    elif kind == "read":
        node.read_index(b"r")
    else:
        try:
            node.forget_leader()
        except MisuseError:
            return False
    return True


def events(setting: Setting, state: GroupState) -> Iterator[Move]:
    """Everything that may happen next."""
    budget = state.budget
    for message in state.wire:
        to = decoded(message).to
        yield Move("deliver", to, budget, message)
        if budget.copies:
            yield Move("copy", to, budget._replace(copies=budget.copies - 1), message)
    for id in IDS:
        core = state.parts[id - 1].core
        leads = core.role is Role.StateLeader
        if clock.may_tick(state.clock, id - 1, setting.election_tick):
            yield Move("tick", id, budget)
        if budget.campaigns and not leads:
            yield Move("campaign", id, budget._replace(campaigns=budget.campaigns - 1))
        if budget.restarts:
            yield Move("restart", id, budget._replace(restarts=budget.restarts - 1))
        if budget.forgets and not leads and core.leader:
            yield Move("forget", id, budget._replace(forgets=budget.forgets - 1))
        if budget.reads and leads:
            yield Move("read", id, budget._replace(reads=budget.reads - 1))
        if budget.transfers and leads:
            for target in IDS:
                if target != id:
                    yield Move("transfer", id, budget._replace(transfers=budget.transfers - 1), target=target)
