"""Timeline: what happened to some nodes, in order, and what each node looked like after it.

One order of events; each belongs to a node or, as node 0, to the simulation around them. A message is sent by one event
and received, refused or lost by any number of later ones. States are values; equal ones are the same object.

Law: an event's state is what its node looked like when the next event began.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from pyraft import Role
from raftpb import codec
from raftpb.message import Message
from rafttest.view.log import SharedLog

WORLD: Final = 0
"""The node of an event that is not about one node."""


class Kind(StrEnum):
    """What sort of thing happened."""

    START = "start"
    CRASH = "crash"
    TICK = "tick"
    REQUEST = "request"
    """A client, an operator or the application asked the node for something."""
    SEND = "send"
    RECEIVE = "receive"
    REFUSE = "refuse"
    """A message arrived and changed nothing."""
    LOSE = "lose"
    """A message went missing; the event is its receiver's."""
    READY = "ready"
    WRITE = "write"
    APPLY = "apply"
    SNAPSHOT = "snapshot"
    ANSWER = "answer"
    """The application or a storage thread told the core that work is done."""
    FAULT = "fault"
    NOTE = "note"
    VIOLATION = "violation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Follower:
    """How far a leader believes a member to be."""

    id: int
    match: int
    next: int
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """What a node looks like from outside.

    `stable`: the highest index that the core knows to be on disk. `conf`: the applied configuration. A node that is
    down shows what its disk holds.
    """

    is_up: bool
    role: Role
    term: int
    vote: int
    leader: int
    commit: int
    applied: int
    stable: int
    log: SharedLog
    conf: str
    followers: tuple[Follower, ...] = ()

    @property
    def first(self) -> int:
        """Index of the first entry, or of what would be it."""
        return self.log.first

    @property
    def last(self) -> int:
        """Index of the last entry, or one below the first."""
        return self.log.last


@dataclass(slots=True)
class Event:
    """One thing that happened. `message`: its number in the timeline; `state`: of its node, afterwards."""

    kind: Kind
    moment: int
    node: int
    text: str = ""
    message: int | None = None
    state: NodeState | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of the timeline that begins at an event: a command of a trace, a phase of a run."""

    event: int
    title: str
    comment: str = ""


@dataclass(slots=True)
class Timeline:
    """Everything a viewer shows. `unit`: what moments count, or what `moments_per_tick` of them make; 0: each is one.

    `witness`: the node that saw everything here; 0 unless there is only one.
    """

    title: str
    unit: str = "command"
    moments_per_tick: int = 0
    witness: int = 0
    facts: list[tuple[str, str]] = field(default_factory=list)
    nodes: list[int] = field(default_factory=list)
    """Ascending."""
    events: list[Event] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)

    def of_kind(self, kind: Kind) -> list[Event]:
        """All events of a kind, in order."""
        return [event for event in self.events if event.kind is kind]


class Recorder:
    """Fills a timeline while things happen. `look` tells what a node looks like now; None if nothing is to be seen."""

    def __init__(self, timeline: Timeline, look: Callable[[int], NodeState | None]) -> None:
        self.timeline = timeline
        self._look = look
        self._known: dict[int, NodeState] = {}
        self._numbers: dict[int, int] = {}
        """The number of each message that the timeline holds, by the identity of the object."""
        self._alike: dict[bytes, int] = {}
        """The number of the last message of these bytes."""

    def add(self, kind: Kind, moment: int, node: int, text: str = "") -> Event:
        """Something begins to happen; what came before is over."""
        self.settle()
        if node != WORLD and node not in self.timeline.nodes:
            self.timeline.nodes = sorted([*self.timeline.nodes, node])
        event = Event(kind, moment, node, text)
        self.timeline.events.append(event)
        return event

    def sent(self, moment: int, m: Message, text: str = "") -> Event:
        """A message leaves its node."""
        event = self.add(Kind.SEND, moment, m.from_, text)
        event.message = self._add_message(m)
        return event

    def arrived(self, kind: Kind, moment: int, m: Message, text: str = "", at: int | None = None) -> Event:
        """A message reaches its node, or node `at`, or is lost; nobody needs to have seen it leave."""
        event = self.add(kind, moment, m.to if at is None else at, text)
        event.message = self._number(m)
        return event

    def came_from_outside(self, kind: Kind, moment: int, m: Message, text: str, at: int) -> Event:
        """A message that nobody here could see leaving reaches node `at`: another one each time, however alike."""
        event = self.add(kind, moment, at, text)
        event.message = self._add_message(m)
        return event

    def _add_message(self, m: Message) -> int:
        number = len(self.timeline.messages)
        self.timeline.messages.append(m)
        self._numbers[id(m)] = self._alike[codec.encode_message(m)] = number
        return number

    def _number(self, m: Message) -> int:
        """The number of a message: the object that was sent; or else the last that equals it; or else a new one."""
        number = self._numbers.get(id(m))
        if number is None:
            number = self._alike.get(codec.encode_message(m))
        return self._add_message(m) if number is None else number

    def settle(self) -> None:
        """Note what the last event has made of its node."""
        if self.timeline.events:
            event = self.timeline.events[-1]
            if event.node != WORLD:
                event.state = self._see(event.node)

    def changed(self, moment: int, node: int, text: str) -> None:
        """The node may have changed: by the last event, or else by something that is an event of its own."""
        events = self.timeline.events
        if events and events[-1].node == node and events[-1].moment == moment:
            return
        before = self._known.get(node)
        if before is not None and self._see(node) != before:
            self.add(Kind.ANSWER, moment, node, text)

    def undo(self) -> None:
        """The last event was none."""
        del self.timeline.events[-1]

    def known(self, node: int) -> NodeState | None:
        """What the node looked like when last seen."""
        return self._known.get(node)

    def _see(self, node: int) -> NodeState | None:
        now = self._look(node)
        before = self._known.get(node)
        if now is None or now == before:
            return before
        self._known[node] = now
        return now
