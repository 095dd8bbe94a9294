"""Starts: the states that a search begins from, and the settings it is made under.

Each start is a short, ordinary history: nothing in it leads towards a broken lease.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from pyraft import Role
from pyraft.types import LEASE_BASED
from raftpb.message import ConfState, Snapshot, SnapshotMetadata
from rafttest.lease_search import clock
from rafttest.lease_search.group import IDS, Budget, GroupState, Move, Setting, act, decoded, first_part

_NO_MATTER: Final = Budget(9, 9, 9, 9, 9, 9)

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


def setting_of(variant: str, election_tick: int, most_messages: int, **more: object) -> Setting:
    """The setting of a search; `more` goes to every node."""
    knobs = {id: {**VARIANTS[variant][id - 1], **more} for id in IDS}
    start = Snapshot(b"", SnapshotMetadata(ConfState(IDS), 2, 1))
    return Setting(election_tick, start, knobs, most_messages)


class StartBuilder:
    """A state that is moved by hand."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        parts = tuple(first_part(setting, id) for id in IDS)
        self.state = GroupState(parts, (), clock.begin(setting.election_tick), _NO_MATTER)

    def do(self, kind: str, node: int, message: bytes = b"", target: int = 0) -> None:
        """One event, which has to be possible."""
        after = act(self.setting, self.state, node, Move(kind, node, _NO_MATTER, message, target))
        if after is None:
            raise ValueError(f"{kind} {node} is refused")
        self.state = after

    def deliver_all(self) -> None:
        """Let everything arrive, until nothing is under way."""
        while self.state.wire:
            message = self.state.wire[0]
            self.do("deliver", decoded(message).to, message)

    def lose_all(self) -> None:
        """What is under way never arrives."""
        self.state = self.state._replace(wire=())

    def tick_all(self, count: int = 1, loses: bool = False) -> None:
        """Time passes alike for all."""
        for _ in range(count):
            for node in IDS:
                self.do("tick", node)
            if loses:
                self.lose_all()
            else:
                self.deliver_all()

    def elect(self, node: int) -> None:
        """`node` becomes leader, and all know."""
        if self.setting.election_tick < 3:
            raise ValueError("an election_tick below 3 leaves no lease")
        while any(part.core.promise_ticks_left for part in self.state.parts):
            self.tick_all(loses=True)
        self.do("campaign", node)
        self.deliver_all()
        if self.state.parts[node - 1].core.role is not Role.StateLeader:
            raise ValueError(f"node {node} is not elected")

    def ready(self, budget: Budget) -> GroupState:
        """The state as a search begins from it."""
        return self.state._replace(budget=budget)


def _elected(s: StartBuilder) -> None:
    s.elect(1)
    s.tick_all()


def _quiet(s: StartBuilder) -> None:
    """The leader's messages are lost for as long as a promise runs, and it does not know yet."""
    _elected(s)
    for _ in range(s.setting.election_tick):
        s.tick_all(loses=True)
        if s.state.parts[0].core.role is not Role.StateLeader:
            break


def _slow_heartbeat(s: StartBuilder) -> None:
    """The latest heartbeats are under way."""
    _elected(s)
    for node in IDS:
        s.do("tick", node)


def _restarted(s: StartBuilder) -> None:
    _elected(s)
    s.do("restart", 2)


def _transferring(s: StartBuilder) -> None:
    _elected(s)
    s.do("transfer", 1, target=2)


def _rivals(s: StartBuilder) -> None:
    """Both followers have lost touch with the leader and ask for pre-votes."""
    _quiet(s)
    s.do("campaign", 2)
    s.do("campaign", 3)


def _second_leader(s: StartBuilder) -> None:
    """Another node leads a later term, and the first leader has not heard of it."""
    _elected(s)
    s.tick_all(s.setting.election_tick - 1, loses=True)
    while any(part.core.promise_ticks_left for part in s.state.parts[1:]):
        for node in (2, 3):
            s.do("tick", node)
        s.lose_all()
    s.do("campaign", 2)
    for _ in range(20):
        fit = [data for data in s.state.wire if {decoded(data).to, decoded(data).from_} == {2, 3}]
        if not fit:
            break
        s.do("deliver", decoded(fit[0]).to, fit[0])


STARTS: Final[Mapping[str, Callable[[StartBuilder], None]]] = {
    "elected": _elected,
    "quiet": _quiet,
    "rivals": _rivals,
    "slow heartbeat": _slow_heartbeat,
    "restarted": _restarted,
    "transferring": _transferring,
    "second leader": _second_leader,
}


def start(name: str, setting: Setting, budget: Budget) -> GroupState:
    """The start of that name."""
    setting.loses_appends = False
    script = StartBuilder(setting)
    STARTS[name](script)
    setting.loses_appends = True
    return script.ready(budget)
