"""Group: three nodes, what has been sent between them, and every event that may come next.

The network keeps whatever was sent: a message may arrive at any time, any number of times, before or after any other, or
never. So loss, copies and order need no events of their own. A message that can do nothing any more is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from rafttest.lease_search import clock
from rafttest.lease_search.clock import NODES, Clock
from rafttest.lease_search.node import AIMED, IDS, Kind
from rafttest.lease_search.table import ORDERS, Outcome, Table, code_of, decoded_code

Nodes = tuple[int, ...]
"""The number of each node in the table."""
Wire = tuple[int, ...]
"""The numbers of the messages sent, ascending."""
Left = tuple[int, ...]
"""How often each rare event may still happen; see `Budget`."""
State = tuple[Nodes, Wire, Clock, Left]
"""A moment of the group."""
Step = tuple[int, int]
"""A node, counted from 0, and the code of what happens to it."""

_TICK: Final = code_of(Kind.TICK)


class Budget(NamedTuple):
    """How often each rare event may happen, in the order of `Kind`."""

    campaigns: int = 0
    restarts: int = 0
    transfers: int = 0
    forgets: int = 0
    reads: int = 0
    demotions: int = 0
    removals: int = 0
    promotions: int = 0


_RARE: Final = tuple(Kind(kind) for kind in range(Kind.CAMPAIGN, Kind.PROMOTE + 1))
_LEADERS: Final = frozenset({Kind.READ, *AIMED})
"""Others would only pass these on."""


class Group:
    """What may happen to three nodes. `appends`: entries are sent; without, as if each append were lost."""

    def __init__(self, table: Table, appends: bool) -> None:
        self.table = table
        self.appends = appends
        self._election_tick = table.setting.election_tick
        self._rare: dict[tuple[int, int], tuple[int, ...]] = {}
        self._orders: dict[Nodes, tuple[int, ...]] = {}
        self._clocks: dict[tuple[Clock, int], int] = {}
        self._clock_keys: dict[Clock, int] = {}
        self._ticks: dict[tuple[Clock, int], Clock | None] = {}

    def first(self) -> State:
        """Three nodes that have just started."""
        return tuple(self.table.start(id) for id in IDS), (), clock.BEGIN, ()

    # -- events

    def successors(self, state: State) -> Iterator[tuple[int, int, State]]:
        """Everything that may happen next and makes a difference: the node, the code of the event, and what follows.

        A tick that changes nothing is left out: without it, the same may follow, and more ticks besides.
        """
        nodes, wire, time, left = state
        outcome_of, to = self.table.outcome, self.table.to
        for message in wire:
            node = to[message]
            code = message << 4
            outcome = outcome_of(nodes[node], code)
            if outcome is not None and self._matters(outcome, nodes[node], wire):
                yield node, code, self._after(state, node, outcome, time, left)
        for node in range(NODES):
            outcome = outcome_of(nodes[node], _TICK)
            if outcome is not None and self._matters(outcome, nodes[node], wire):
                ticked = self._tick(time, node)
                if ticked is not None:
                    yield node, _TICK, self._after(state, node, outcome, ticked, left)
        for position, count in enumerate(left):
            if count:
                less = (*left[:position], count - 1, *left[position + 1 :])
                for node in range(NODES):
                    for code in self._rare_codes(nodes[node], node, _RARE[position]):
                        outcome = outcome_of(nodes[node], code)
                        if outcome is not None and self._matters(outcome, nodes[node], wire):
                            yield node, code, self._after(state, node, outcome, time, less)

    def step(self, state: State, node: int, code: int) -> State | None:
        """The state after one event, of which nothing is spent; None if it is refused."""
        nodes, _, time, left = state
        outcome = self.table.outcome(nodes[node], code)
        if outcome is None:
            return None
        if code == _TICK:
            time = clock.tick(time, node)
        return self._after(state, node, outcome, time, left)

    def _matters(self, outcome: Outcome, before: int, wire: Wire) -> bool:
        if outcome.node != before:
            return True
        sent = outcome.sent if self.appends else outcome.sent_without_appends
        return any(message not in wire for message in sent)

    def _after(self, state: State, node: int, outcome: Outcome, time: Clock, left: Left) -> State:
        table = self.table
        nodes, wire, _, _ = state
        sent = outcome.sent if self.appends else outcome.sent_without_appends
        made = outcome.node
        leads = table.leads[made] != 0
        if leads or time[node]:
            time = clock.lead(time, node, self._election_tick, leads)
        if made == nodes[node] and not sent and outcome.numbers < 0:
            return nodes, wire, time, left
        nodes = (*nodes[:node], made, *nodes[node + 1 :])
        messages = {*wire, *sent}
        if outcome.numbers >= 0:
            messages = {*[table.renumbered(message, outcome.numbers) for message in wire], *sent}
        to, is_dead = table.to, table.is_dead
        return nodes, tuple(sorted([m for m in messages if not is_dead(nodes[to[m]], m)])), time, left

    def _tick(self, time: Clock, node: int) -> Clock | None:
        key = time, node
        if key not in self._ticks:
            may = clock.may_tick(time, node, self._election_tick)
            self._ticks[key] = clock.tick(time, node) if may else None
        return self._ticks[key]

    def _rare_codes(self, number: int, node: int, kind: Kind) -> tuple[int, ...]:
        key = number, kind
        known = self._rare.get(key)
        if known is None:
            if kind in _LEADERS and not self.table.leads[number]:
                known = ()
            elif kind in AIMED:
                known = tuple(code_of(kind, id) for id in IDS if kind is not Kind.TRANSFER or id != node + 1)
            else:
                known = (code_of(kind),)
            self._rare[key] = known
        return known

    # -- what makes two states the same

    def key(self, state: State) -> int:
        """64 bits that two states share only if they are the same but for the names of the nodes, or by bad luck."""
        nodes, wire, time, left = state
        table = self.table
        orders = self._orders.get(nodes)
        if orders is None:
            orders = self._orders[nodes] = self._orders_of(nodes)
        told = []
        for number in orders:
            i, j, k = ORDERS[number]
            names, called = table.node_names[number], table.message_names[number]
            known = self._clocks.get((time, number))
            if known is None:
                known = self._clocks[time, number] = self._clock_key(clock.renamed(time, ORDERS[number]))
            told.append((
                names[nodes[i]], names[nodes[j]], names[nodes[k]], known, *left, *sorted([called[m] for m in wire])
            ))
        return hash(told[0] if len(told) == 1 else min(told))

    def _clock_key(self, time: Clock) -> int:
        return self._clock_keys.setdefault(time, len(self._clock_keys))

    def _orders_of(self, nodes: Nodes) -> tuple[int, ...]:
        """The orders in which the shapes of the nodes ascend: more than one if some are alike."""
        shapes = [self.table.shapes[number] for number in nodes]
        return tuple(
            number
            for number, order in enumerate(ORDERS)
            if all(shapes[order[at]] <= shapes[order[at + 1]] for at in range(NODES - 1))
        )

    # -- what is told

    def broken(self, state: State) -> str:
        """How the law is broken; empty if it holds."""
        table, nodes = self.table, state[0]
        for node, number in enumerate(nodes):
            for other, later in enumerate(nodes):
                if table.leases[number] and table.leads[later] > table.leases[number]:
                    return (
                        f"node {other + 1} leads term {table.leads[later]} while node {node + 1}, leader of term "
                        f"{table.leases[number]}, may answer by lease"
                    )
        return ""

    def text(self, step: Step) -> str:
        """An event in words, which `lease-search --replay` reads."""
        node, code = step
        kind, argument = decoded_code(code)
        if kind is not Kind.DELIVER:
            return f"{kind.name.lower()} {node + 1}" + (f" of {argument}" if kind in AIMED else "")
        m = self.table.messages[argument]
        parts = [f"deliver {m.type} {m.from_}->{m.to} term {m.term}"]
        parts += [f"{name} {value}" for name, value in (
            ("log-term", m.log_term), ("index", m.index), ("commit", m.commit), ("hint", m.reject_hint),
            ("context", m.context.hex()), ("entries", ",".join(f"{e.index}/{e.term}" for e in m.entries)),
        ) if value]
        return " ".join(parts) + (" reject" if m.reject else "")
