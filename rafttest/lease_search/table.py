"""Table: what each node does at each event, found out once.

Nodes in normal form and messages get numbers. What a node becomes by an event, and what it sends, depends on the two
alone: a real RawNode carries it out the first time, afterwards it is looked up. So a step of the group costs a few
look-ups, however long the node takes.
"""

from __future__ import annotations

from itertools import permutations
from typing import Final, NamedTuple

from pyraft import Role
from pyraft.types import LEASE_BASED
from raftpb import decode_message, encode_message
from raftpb.enums import (
    MSG_APP,
    MSG_APP_RESP,
    MSG_HEARTBEAT_RESP,
    MSG_PRE_VOTE_RESP,
    MSG_SNAP,
    MSG_TIMEOUT_NOW,
    MSG_VOTE,
    MSG_VOTE_RESP,
)
from raftpb.message import Message
from rafttest.lease_search.clock import NODES
from rafttest.lease_search.node import IDS, Kind, Part, Setting, move, started
from rafttest.lease_search.normal import Names, Numbers, message_key, node_key, normal_core

ORDERS: Final = tuple(permutations(range(NODES)))
"""Every order of the nodes; `names_of` tells what they are called in it."""

_BITS: Final = 4
_WIDTH: Final = 1 << 24
"""More than there are codes."""

_UNANSWERED: Final = frozenset({
    MSG_VOTE, MSG_VOTE_RESP, MSG_PRE_VOTE_RESP, MSG_HEARTBEAT_RESP, MSG_APP_RESP, MSG_TIMEOUT_NOW
})
"""Of an older term, these do nothing and are not answered."""


def names_of(order: tuple[int, ...]) -> Names:
    """What the nodes are called if they stand in `order`."""
    names = [0] * (NODES + 1)
    for position, node in enumerate(order, start=1):
        names[node + 1] = position
    return tuple(names)


_NAMES: Final = tuple(names_of(order) for order in ORDERS)


class Outcome(NamedTuple):
    """What an event at a node has come to: the node's number, the messages sent, and how numbers of heartbeats that are
    under way change (-1: not).
    """

    node: int
    sent: tuple[int, ...]
    sent_without_appends: tuple[int, ...]
    numbers: int


class Table:
    """The nodes and messages met so far, by number."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.parts: list[Part] = []
        self.term: list[int] = []
        self.leads: list[int] = []
        """The term that the node leads; 0 if it does not lead."""
        self.leases: list[int] = []
        """The term in which the node may answer by lease; 0 if it may not."""
        self.leaderships: list[int] = []
        """How many leaderships the node has, or may come to by what it has begun: it leads or asks for votes (1), or
        hands leadership on as well (3: both others may be invited).
        """
        self.shapes: list[int] = []
        """What the node is but for names; nodes that can stand in for each other have the same."""
        self.messages: list[Message] = []
        self.to: list[int] = []
        """Where each message goes, counted from 0."""
        self.node_names: list[list[int]] = [[] for _ in ORDERS]
        """For each order, a number for each node under its names."""
        self.message_names: list[list[int]] = [[] for _ in ORDERS]
        self.outcomes: dict[int, Outcome | None] = {}
        self.dead: dict[int, bool] = {}
        self._node_ids: dict[str, int] = {}
        self._message_ids: dict[bytes, int] = {}
        self._keys: dict[str, int] = {}
        self._message_keys: dict[str, int] = {}
        self._numbers: list[Numbers] = []
        self._number_ids: dict[Numbers, int] = {}
        self._renumbered: dict[tuple[int, int], int] = {}

    # -- nodes and messages

    def start(self, id: int) -> int:
        """The number of node `id` as it starts with the group."""
        return self._node(started(self.setting, id, self.setting.first_hard_state(), ()))[0]

    def number_of(self, part: Part) -> int:
        """The number of this node."""
        return self._node(part)[0]

    def _node(self, part: Part) -> tuple[int, Numbers]:
        core, numbers = normal_core(part.core, self.setting.election_tick)
        part = part._replace(core=core)
        key = repr(node_key(part, _NAMES[0]))
        known = self._node_ids.get(key)
        if known is None:
            known = self._node_ids[key] = len(self.parts)
            self._add_node(part)
        return known, numbers

    def _add_node(self, part: Part) -> None:
        core = part.core
        self.parts.append(part)
        self.term.append(core.term)
        leads = core.role is Role.StateLeader
        self.leads.append(core.term if leads else 0)
        self.leases.append(core.term if leads and self._may_answer(part) else 0)
        self.leaderships.append(0 if core.role is Role.StateFollower else 3 if core.lead_transferee else 1)
        kind = self.setting.kinds[core.id - 1]
        names = tuple(0 if id == 0 else 1 if id == core.id else 2 for id in (0, *IDS))
        self.shapes.append(self._key(f"shape {kind} {node_key(part, names)}"))
        for under, names in zip(self.node_names, _NAMES, strict=True):
            under.append(self._key(f"node {kind} {node_key(part, names)}"))

    def _may_answer(self, part: Part) -> bool:
        config = self.setting.configs[part.core.id]
        if config.read_only_option is not LEASE_BASED:
            return False
        if part.core.lease_is_transferred and config.lease_ends_with_transfer:
            return False
        return part.core.lease_until > part.core.ticks or not config.bounded_lease

    def _message(self, m: Message) -> int:
        data = encode_message(m)
        known = self._message_ids.get(data)
        if known is None:
            known = self._message_ids[data] = len(self.messages)
            self.messages.append(decode_message(data))
            self.to.append(m.to - 1)
            for under, names in zip(self.message_names, _NAMES, strict=True):
                under.append(self._message_keys.setdefault(repr(message_key(m, names)), len(self._message_keys)))
        return known

    def _key(self, text: str) -> int:
        return self._keys.setdefault(text, len(self._keys))

    # -- events

    def outcome(self, node: int, code: int) -> Outcome | None:
        """What comes of the event `code` at node number `node`; None if it is refused."""
        key = node * _WIDTH + code
        if key in self.outcomes:
            return self.outcomes[key]
        made = self.outcomes[key] = self._carry_out(node, code)
        return made

    def _carry_out(self, node: int, code: int) -> Outcome | None:
        kind, argument = decoded_code(code)
        before = self.parts[node]
        message = encode_message(self.messages[argument]) if kind is Kind.DELIVER else b""
        moved = move(self.setting, before, kind, argument, message)
        if moved is None:
            return None
        part, sent = moved
        after, numbers = self._node(part)
        own = [numbers.apply(m) if numbers.concerns(m) else m for m in sent]
        ids = [self._message(m) for m in own]
        light = [self._message(m) for m in own if m.type is not MSG_APP and m.type is not MSG_SNAP]
        return Outcome(after, tuple(ids), tuple(light), self._change(before, part, numbers))

    def _change(self, before: Part, after: Part, numbers: Numbers) -> int:
        """How numbers under way change when a node moves from `before`, in normal form, to `after`."""
        core = before.core
        if core.role is not Role.StateLeader or core.reads_last == 0:
            return -1
        if after.core.role is not Role.StateLeader or after.core.term != core.term:
            numbers = Numbers(core.id, core.term, ())
        if all(numbers.of(number) == number for number in range(1, core.reads_last + 1)):
            return -1
        known = self._number_ids.get(numbers)
        if known is None:
            known = self._number_ids[numbers] = len(self._numbers)
            self._numbers.append(numbers)
        return known

    def renumbered(self, message: int, numbers: int) -> int:
        """The message under way after a change of numbers."""
        key = message, numbers
        known = self._renumbered.get(key)
        if known is None:
            m = self.messages[message]
            change = self._numbers[numbers]
            known = message
            if m.context and change.concerns(m):
                known = self._message(change.apply(decode_message(encode_message(m))))
            self._renumbered[key] = known
        return known

    def is_dead(self, node: int, message: int) -> bool:
        """True if the message does nothing at that node, now or ever, so that it may as well be lost."""
        key = node * _WIDTH + message
        known = self.dead.get(key)
        if known is None:
            known = self.dead[key] = self._is_dead(self.parts[node], self.messages[message])
        return known

    def _is_dead(self, part: Part, m: Message) -> bool:
        """A term never falls. Nobody leads a term, or is candidate of it, that it has been follower in."""
        core, t = part.core, m.type
        if t not in _UNANSWERED or m.term == 0 or m.term > core.term:
            return False
        if m.term < core.term:
            return True
        if t is MSG_APP_RESP or t is MSG_HEARTBEAT_RESP:
            return core.role is Role.StateFollower or core.role is Role.StatePreCandidate
        if t is MSG_VOTE_RESP:
            return core.role is not Role.StateCandidate
        if t is MSG_PRE_VOTE_RESP and not m.reject:
            return self.setting.configs[core.id].strict_pre_votes
        return False


def code_of(kind: Kind, argument: int = 0) -> int:
    """An event as a number. `argument`: the node that is named, or the message that is delivered."""
    return argument << _BITS | kind


def decoded_code(code: int) -> tuple[Kind, int]:
    """The event of that number."""
    return Kind(code & (1 << _BITS) - 1), code >> _BITS
