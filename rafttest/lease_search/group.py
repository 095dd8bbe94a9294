"""Group: three real nodes, what is under way between them, and every event that may come next.

A state is a value. An event builds the one node that it concerns from its part of the state, lets it work until nothing
is left to do, each Ready written and sent at once, and takes its part back. Messages are kept as bytes, as a set: one
that is never delivered is lost, one that is delivered may be kept to come again. Appends are always lost: an election
and a lease need none, and a promise begins with a heartbeat as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

from pyraft import Config, CoreState, MemoryStorage, MisuseError, NullLogger, RawNode, Role, StepError
from pyraft.types import NO_LIMIT
from raftpb import decode_message, encode_message
from raftpb.enums import MSG_APP
from raftpb.message import Entry, HardState, Snapshot
from rafttest.lease_search import clock
from rafttest.lease_search.clock import NODES, Clock

IDS: Final = tuple(range(1, NODES + 1))


class _Latest:
    """Draws the longest time-out there is; shorter ones are the event `campaign`."""

    def randrange(self, stop: int, /) -> int:
        return stop - 1


_RANDOM: Final = _Latest()
_LOGGER: Final = NullLogger()


class Part(NamedTuple):
    """One node: what it remembers, and its disk."""

    core: CoreState
    hard_state: HardState
    entries: tuple[Entry, ...]


class Budget(NamedTuple):
    """How often each event may still happen."""

    campaigns: int
    restarts: int
    transfers: int
    forgets: int
    copies: int
    reads: int


class State(NamedTuple):
    """A moment of the group. `wire`: encoded messages under way, ascending."""

    parts: tuple[Part, ...]
    wire: tuple[bytes, ...]
    clock: Clock
    budget: Budget


@dataclass(frozen=True, slots=True)
class Setting:
    """What does not change in a search. `knobs`: of each node, beside what all have."""

    election_tick: int
    start: Snapshot
    knobs: Mapping[int, Mapping[str, object]]
    most_messages: int
    """A message that is sent while so many are under way is lost."""

    def config(self, id: int, storage: MemoryStorage) -> Config:
        """The Config of node `id`."""
        return Config(
            id=id,
            storage=storage,
            election_tick=self.election_tick,
            random=_RANDOM,
            logger=_LOGGER,
            **self.knobs[id],  # type: ignore[arg-type]
        )

    def storage(self, hard_state: HardState, entries: tuple[Entry, ...]) -> MemoryStorage:
        """A disk with these contents."""
        made = MemoryStorage()
        made.apply_snapshot(self.start)
        made.append(list(entries))
        made.set_hard_state(hard_state)
        return made


def settle(setting: Setting, id: int, node: RawNode, storage: MemoryStorage) -> tuple[Part, list[bytes]]:
    """Do all that the node asks for, at once; what it remembers then, and what it has sent."""
    sent: list[bytes] = []
    while node.has_ready():
        ready = node.ready()
        storage.append(ready.entries)
        if ready.hard_state is not None:
            storage.set_hard_state(ready.hard_state)
        sent += [encode_message(m) for m in ready.messages if m.type is not MSG_APP]
        node.advance()
    first, last = storage.first_index(), storage.last_index()
    entries = tuple(storage.entries(first, last + 1, NO_LIMIT)) if first <= last else ()
    return Part(node.export_state(), storage.initial_state()[0], entries), sent


def first_part(setting: Setting, id: int) -> Part:
    """Node `id` as it starts with the group."""
    metadata = setting.start.metadata
    return _started(setting, id, HardState(metadata.term, 0, metadata.index), ())


def _started(setting: Setting, id: int, hard_state: HardState, entries: tuple[Entry, ...]) -> Part:
    storage = setting.storage(hard_state, entries)
    return settle(setting, id, RawNode(setting.config(id, storage)), storage)[0]


def act(setting: Setting, state: State, id: int, event: Event) -> State | None:
    """The state after `event` at node `id`; None if the node refused it."""
    part = state.parts[id - 1]
    wire = list(state.wire)
    if event.kind == "restart":
        made = _started(setting, id, part.hard_state, part.entries)
        sent: list[bytes] = []
    else:
        storage = setting.storage(part.hard_state, part.entries)
        node = RawNode.from_state(setting.config(id, storage), part.core)
        if not _do(node, event):
            return None
        made, sent = settle(setting, id, node, storage)
        if event.kind == "deliver":
            wire.remove(event.message)
    for message in sent:
        if message not in wire and len(wire) < setting.most_messages:
            wire.append(message)
    parts = tuple(made if other == id else state.parts[other - 1] for other in IDS)
    now = clock.tick(state.clock, id - 1) if event.kind == "tick" else state.clock
    return State(parts, tuple(sorted(wire)), now, event.budget)


class Event(NamedTuple):
    """Something that happens at one node. `budget`: what is left after it."""

    kind: str
    node: int
    budget: Budget
    message: bytes = b""
    target: int = 0

    def __str__(self) -> str:
        if self.kind in {"deliver", "copy"}:
            m = decode_message(self.message)
            return f"{self.kind} {m.type} {m.from_}->{m.to} term {m.term}{' reject' if m.reject else ''}"
        return f"{self.kind} {self.node}" + (f" to {self.target}" if self.target else "")


def _do(node: RawNode, event: Event) -> bool:
    kind = event.kind
    if kind == "tick":
        node.tick()
    elif kind in {"deliver", "copy"}:
        with suppress(StepError):  # as a transport does: what is refused is gone
            node.step(decode_message(event.message))
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


def events(setting: Setting, state: State) -> Iterator[Event]:
    """Everything that may happen next."""
    budget = state.budget
    for message in state.wire:
        to = decode_message(message).to
        yield Event("deliver", to, budget, message)
        if budget.copies:
            yield Event("copy", to, budget._replace(copies=budget.copies - 1), message)
    for id in IDS:
        core = state.parts[id - 1].core
        leads = core.role is Role.StateLeader
        if clock.may_tick(state.clock, id - 1, setting.election_tick):
            yield Event("tick", id, budget)
        if budget.campaigns and not leads:
            yield Event("campaign", id, budget._replace(campaigns=budget.campaigns - 1))
        if budget.restarts:
            yield Event("restart", id, budget._replace(restarts=budget.restarts - 1))
        if budget.forgets and not leads and core.leader:
            yield Event("forget", id, budget._replace(forgets=budget.forgets - 1))
        if budget.reads and leads:
            yield Event("read", id, budget._replace(reads=budget.reads - 1))
        if budget.transfers and leads:
            for target in IDS:
                if target != id:
                    yield Event("transfer", id, budget._replace(transfers=budget.transfers - 1), target=target)
