"""Starts: the states that a search begins from, and the settings it is made under.

Each start is a short, ordinary history: nothing in it leads towards a broken lease.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from pyraft.types import LEASE_BASED
from raftpb.message import ConfState, Message, Snapshot, SnapshotMetadata
from rafttest.lease_search.group import Budget, Group, State, Step
from rafttest.lease_search.node import IDS, Kind, Setting
from rafttest.lease_search.table import Table, code_of

_MANY: Final = 100

Knobs = dict[str, object]
LEASES: Final[Knobs] = {"read_only_option": LEASE_BASED}

VARIANTS: Final[Mapping[str, tuple[Knobs, Knobs, Knobs]]] = {
    "defaults": (LEASES, LEASES, LEASES),
    "no pre-vote": tuple({**LEASES, "pre_vote": False} for _ in IDS),  # type: ignore[dict-item]
    "node by node": (
        LEASES,
        {"promise_lease": True},
        {"promise_lease": True, "check_quorum": False, "pre_vote": False},
    ),
}
"""Knobs of the three nodes. "node by node": a group in the middle of changing `read_only_option`."""


def setting_of(variant: str, election_tick: int, **more: object) -> Setting:
    """The setting of a search; `more` goes to every node."""
    knobs = {id: {**VARIANTS[variant][id - 1], **more} for id in IDS}
    start = Snapshot(b"", SnapshotMetadata(ConfState(IDS), 2, 1))
    return Setting(election_tick, start, knobs)


class Script:
    """A group that is moved by hand."""

    def __init__(self, table: Table) -> None:
        setting = table.setting
        self.group = Group(table, appends=True)
        self.state = self.group.first()
        self.history: list[Step] = []
        self.election_tick = setting.election_tick

    def promises(self, node: int) -> int:
        """Ticks that the promise of `node` still runs for."""
        return self.group.table.parts[self.state[node - 1]].core.promise_ticks_left

    def leads(self, node: int) -> bool:
        """True if `node` is leader."""
        return self.group.table.leads[self.state[node - 1]] != 0

    def do(self, kind: Kind, node: int, argument: int = 0) -> None:
        """One event, which has to be possible."""
        self.history.append((node - 1, code_of(kind, argument)))
        after = self.group.step(self.state, *self.history[-1])
        if after is None:
            raise ValueError(f"{kind.name} at node {node} is refused")
        self.state = after

    def deliver(self, fits: Callable[[Message], bool]) -> bool:
        """Let the first message that `fits` arrive, just once; False if there is none."""
        group = self.group
        wire = group.wires.all[self.state[3]]
        for message in wire:
            if fits(group.table.messages[message]):
                self.do(Kind.DELIVER, group.table.to[message] + 1, message)
                left = tuple(one for one in group.wires.all[self.state[3]] if one != message)
                self.state = group.with_wire(self.state, left)
                return True
        return False

    def deliver_all(self, *among: int) -> None:
        """Let everything between these nodes arrive, until nothing is under way there; what else is sent gets lost."""
        ids = set(among or IDS)
        for _ in range(_MANY):
            if not self.deliver(lambda m: {m.to, m.from_} <= ids):
                self.lose_all()
                return
        raise ValueError("messages go on for ever")

    def lose_all(self) -> None:
        """What is under way never arrives."""
        self.state = self.group.with_wire(self.state, ())

    def tick_all(self, count: int = 1, loses: bool = False) -> None:
        """Time passes alike for all."""
        for _ in range(count):
            for node in IDS:
                self.do(Kind.TICK, node)
            if loses:
                self.lose_all()
            else:
                self.deliver_all()

    def wait_for_promises(self, *nodes: int) -> None:
        """Time passes alike, and no message arrives, until these nodes are free to vote."""
        while any(self.promises(node) for node in nodes):
            self.tick_all(loses=True)

    def elect(self, node: int) -> None:
        """`node` becomes leader, and all know."""
        self.wait_for_promises(*IDS)
        self.do(Kind.CAMPAIGN, node)
        self.deliver_all()
        if not self.leads(node):
            raise ValueError(f"node {node} is not elected")


def _elected(s: Script) -> None:
    s.elect(1)
    s.tick_all()


def _quiet(s: Script) -> None:
    """The leader's messages are lost for as long as a promise runs, and it does not know yet."""
    _elected(s)
    s.tick_all(s.election_tick, loses=True)


def _slow_heartbeat(s: Script) -> None:
    """The latest heartbeats are under way."""
    _elected(s)
    for node in IDS:
        s.do(Kind.TICK, node)


def _restarted(s: Script) -> None:
    _elected(s)
    s.do(Kind.RESTART, 2)


def _transferring(s: Script) -> None:
    _elected(s)
    s.do(Kind.TRANSFER, 1, 2)


def _rival(s: Script) -> None:
    """One follower has lost touch with the leader and asks for pre-votes, or for votes."""
    _quiet(s)
    s.do(Kind.CAMPAIGN, 2)


def _rivals(s: Script) -> None:
    """Both have."""
    _rival(s)
    s.do(Kind.CAMPAIGN, 3)


def _candidate(s: Script) -> None:
    """One has the pre-votes that it needs, and asks for votes."""
    _rival(s)
    s.deliver(lambda m: m.type.name == "MsgPreVote" and m.to == 3)
    s.deliver(lambda m: m.type.name == "MsgPreVoteResp")


def _second_leader(s: Script) -> None:
    """Another node leads a later term, and the first leader has not heard of it."""
    _rival(s)
    s.deliver_all(2, 3)


def _learner(s: Script) -> None:
    """A follower is being made a learner, and does not know that it is decided."""
    _elected(s)
    s.do(Kind.DEMOTE, 1, 3)
    s.deliver_all(1, 2)


def _promoted(s: Script) -> None:
    """A learner is being made a voter again, and only the leader knows that it is decided."""
    _elected(s)
    s.do(Kind.DEMOTE, 1, 3)
    s.deliver_all()
    s.tick_all(2)
    s.do(Kind.PROMOTE, 1, 3)
    for type in ("MsgApp", "MsgAppResp"):
        s.deliver(lambda m, type=type: m.type.name == type and 2 in (m.to, m.from_))  # type: ignore[misc]


def _removed(s: Script) -> None:
    """A follower is being removed, and only the leader knows that it is decided."""
    _elected(s)
    s.do(Kind.REMOVE, 1, 3)
    for type in ("MsgApp", "MsgAppResp"):
        s.deliver(lambda m, type=type: m.type.name == type and 2 in (m.to, m.from_))  # type: ignore[misc]


STARTS: Final[Mapping[str, Callable[[Script], None]]] = {
    "elected": _elected,
    "quiet": _quiet,
    "rival": _rival,
    "rivals": _rivals,
    "candidate": _candidate,
    "slow heartbeat": _slow_heartbeat,
    "restarted": _restarted,
    "transferring": _transferring,
    "second leader": _second_leader,
    "learner": _learner,
    "promoted": _promoted,
    "removed": _removed,
}

MEMBERSHIP: Final = frozenset({"learner", "promoted", "removed"})
"""Starts where a membership change is under way: entries are sent."""


def start(name: str, table: Table, budget: Budget, appends: bool = False) -> tuple[Group, State]:
    """The group at the start of that name."""
    script = _played(name, table)
    script.group.appends = appends
    return script.group, script.group.with_budget(script.state, budget)


def history(name: str, table: Table) -> list[Step]:
    """The events that lead to the start of that name."""
    return _played(name, table).history


def _played(name: str, table: Table) -> Script:
    script = Script(table)
    STARTS[name](script)
    return script
