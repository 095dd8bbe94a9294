"""Group: three nodes, what has been sent between them, and every event that may come next.

The network keeps whatever was sent: a message may arrive at any time, any number of times, before or after any other, or
never. So loss, copies and order need no events of their own. A message that can do nothing any more is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Generic, NamedTuple, TypeVar

from raftpb.enums import MSG_TIMEOUT_NOW, MSG_TRANSFER_LEADER
from rafttest.lease_search import clock
from rafttest.lease_search.clock import NODES, Clock
from rafttest.lease_search.node import AIMED, IDS, Kind
from rafttest.lease_search.table import ORDERS, Outcome, Table, code_of, decoded_code

Wire = tuple[int, ...]
"""The numbers of the messages sent, ascending."""
T = TypeVar("T")
State = tuple[int, int, int, int, int, int]
"""A moment of the group: the number of each node in the table, and of what was sent, of the clock, and of the rare events
that are left, each in this group.
"""
Place = tuple[int, int, int]
"""What three nodes are, whatever their names."""
Step = tuple[int, int]
"""A node, counted from 0, and the code of what happens to it."""

_TICK: Final = code_of(Kind.TICK)
_WIDTH: Final = 1 << 24
"""More than there are numbers of one sort."""
_NIBBLE: Final = 4
_MOST: Final = 7
"""Of ticks in an interval, and of a rare event: the fourth bit of a nibble stays free."""
GUARDS: Final = int("8" * 40, 16)
"""The fourth bit of each nibble of what is left."""


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


class _Move(NamedTuple):
    """What one node may do next: the code of the event, the node after it, what has been sent by then, and the messages
    that are new; `rare`: the place of the event in the budget, or -1.
    """

    code: int
    made: int
    wire: int
    sent: tuple[int, ...]
    rare: int


class Numbered(Generic[T]):
    """Values by number, the first 0."""

    def __init__(self) -> None:
        self.all: list[T] = []
        self._numbers: dict[T, int] = {}

    def number(self, value: T) -> int:
        """The number of `value`; a new one if it is new."""
        known = self._numbers.get(value)
        if known is None:
            known = self._numbers[value] = len(self.all)
            self.all.append(value)
        return known


class Group:
    """What may happen to three nodes. `appends`: entries are sent; without, as if each append were lost."""

    def __init__(self, table: Table, appends: bool) -> None:
        self.table = table
        self.appends = appends
        self.wires: Numbered[Wire] = Numbered()
        self.clocks: Numbered[Clock] = Numbered()
        self.budgets: Numbered[tuple[int, ...]] = Numbered()
        self._rare: tuple[int, ...] = ()
        self._election_tick = table.setting.election_tick
        self._moves: dict[int, tuple[_Move, ...]] = {}
        self._ticked: dict[int, int] = {}
        self._led: dict[tuple[int, int, bool], int] = {}
        self._spent: dict[tuple[int, int], int] = {}
        self._expected: dict[tuple[int, int], int] = {}
        self._without: dict[tuple[int, int], int] = {}
        self._orders: dict[Place, tuple[int, ...]] = {}
        self._widths: dict[tuple[int, int], int] = {}
        self._sent: tuple[dict[int, int], ...] = tuple({} for _ in ORDERS)
        self._room: tuple[dict[tuple[int, int], int], ...] = tuple({} for _ in ORDERS)

    def first(self) -> State:
        """Three nodes that have just started."""
        one, two, three = (self.table.start(id) for id in IDS)
        return one, two, three, self.wires.number(()), self.clocks.number(clock.BEGIN), self.budgets.number(())

    def with_budget(self, state: State, budget: Budget) -> State:
        """The state with that budget, and no other rare events from here on."""
        self._rare = tuple(rare for rare, count in enumerate(budget) if count)
        self._moves.clear()
        return (*state[:5], self.budgets.number(tuple(budget)))

    def with_wire(self, state: State, wire: Wire) -> State:
        """The state with just these messages sent."""
        return (*state[:3], self.wires.number(wire), *state[4:])

    # -- events

    def successors(self, state: State) -> Iterator[tuple[int, int, State]]:
        """Everything that may happen next and makes a difference: the node, the code of the event, and what follows.

        A tick that changes nothing is left out: without it, the same may follow, and more ticks besides.
        """
        a, b, c, wire, time, left = state
        leads = self.table.leads
        budget = self.budgets.all[left]
        for node, number in enumerate((a, b, c)):
            moves = self._moves.get(wire * _WIDTH + number)
            if moves is None:
                moves = self._moves[wire * _WIDTH + number] = tuple(self._find_moves(number, node, wire))
            for code, made, sent_by_then, sent, rare in moves:
                then, less = time, left
                if code == _TICK:
                    then = self._tick(time, node)
                    if then < 0:
                        continue
                elif rare >= 0:
                    if not budget[rare]:
                        continue
                    less = self._spend(left, rare)
                if (leads[made] != 0) is not (leads[number] != 0):
                    then = self._lead(then, node, leads[made] != 0)
                if node == 0:
                    after = (made, b, c, sent_by_then, then, less)
                elif node == 1:
                    after = (a, made, c, sent_by_then, then, less)
                else:
                    after = (a, b, made, sent_by_then, then, less)
                yield node, code, self._without_dead(after, sent) if sent else after

    def is_decided(self, state: State) -> bool:
        """True if the law holds whatever follows: there are no two leaderships, and cannot come to be."""
        a, b, c, wire, _, left = state
        of = self.table.leaderships
        expected = self._expected.get((wire, left))
        if expected is None:
            expected = self._expected[wire, left] = self._expect(self.wires.all[wire], Budget(*self.budgets.all[left]))
        return of[a] + of[b] + of[c] + expected < 2

    def _expect(self, wire: Wire, budget: Budget) -> int:
        """How many leaderships may yet be begun by what is under way and by rare events, at most."""
        invited = any(self.table.messages[m].type in (MSG_TIMEOUT_NOW, MSG_TRANSFER_LEADER) for m in wire)
        return budget.campaigns + 2 * budget.transfers + 2 * invited

    def step(self, state: State, node: int, code: int) -> State | None:
        """The state after one event, of which nothing is spent; None if it is refused."""
        number, wire, time = state[node], state[3], state[4]
        outcome = self.table.outcome(number, code)
        if outcome is None:
            return None
        if code == _TICK:
            time = self.clocks.number(clock.tick(self.clocks.all[time], node))
        move = self._move(number, node, wire, code, outcome, -1)
        time = self._lead(time, node, self.table.leads[move.made] != 0)
        nodes = [*state[:3]]
        nodes[node] = move.made
        return self._without_dead((nodes[0], nodes[1], nodes[2], move.wire, time, state[5]), move.sent)

    def _find_moves(self, number: int, node: int, wire: int) -> Iterator[_Move]:
        table = self.table
        messages = self.wires.all[wire]
        codes = [(code_of(Kind.DELIVER, message), -1) for message in messages if table.to[message] == node]
        codes.append((_TICK, -1))
        for rare in self._rare:
            codes += [(code, rare) for code in self._rare_codes(number, node, _RARE[rare])]
        for code, rare in codes:
            outcome = table.outcome(number, code)
            if outcome is None:
                continue
            move = self._move(number, node, wire, code, outcome, rare)
            if move.made != number or move.sent:
                yield move

    def _move(self, number: int, node: int, wire: int, code: int, outcome: Outcome, rare: int) -> _Move:
        table, made = self.table, outcome.node
        before = self.wires.all[wire]
        if outcome.numbers >= 0:
            before = tuple([table.renumbered(message, outcome.numbers) for message in before])
        if made != number:
            before = tuple([m for m in before if table.to[m] != node or not table.is_dead(made, m)])
        sent = outcome.sent if self.appends else outcome.sent_without_appends
        new = tuple([m for m in sent if m not in before])
        return _Move(code, made, self.wires.number(tuple(sorted({*before, *new}))), new, rare)

    def _without_dead(self, state: State, sent: tuple[int, ...]) -> State:
        """Leave out what was sent just now to nodes that do nothing with it."""
        table = self.table
        for m in sent:
            if table.is_dead(state[table.to[m]], m):
                key = state[3], m
                wire = self._without.get(key)
                if wire is None:
                    wire = self.wires.number(tuple([one for one in self.wires.all[state[3]] if one != m]))
                    self._without[key] = wire
                state = (*state[:3], wire, *state[4:])
        return state

    def _tick(self, time: int, node: int) -> int:
        key = time * NODES + node
        then = self._ticked.get(key)
        if then is None:
            now = self.clocks.all[time]
            may = clock.may_tick(now, node, self._election_tick)
            then = self._ticked[key] = self.clocks.number(clock.tick(now, node)) if may else -1
        return then

    def _lead(self, time: int, node: int, leads: bool) -> int:
        key = time, node, leads
        then = self._led.get(key)
        if then is None:
            made = clock.lead(self.clocks.all[time], node, self._election_tick, leads)
            then = self._led[key] = self.clocks.number(made)
        return then

    def _spend(self, left: int, rare: int) -> int:
        key = left, rare
        less = self._spent.get(key)
        if less is None:
            budget = self.budgets.all[left]
            less = self._spent[key] = self.budgets.number((*budget[:rare], budget[rare] - 1, *budget[rare + 1 :]))
        return less

    def _rare_codes(self, number: int, node: int, kind: Kind) -> tuple[int, ...]:
        if kind in _LEADERS and not self.table.leads[number]:
            return ()
        if kind in AIMED:
            return tuple(code_of(kind, id) for id in IDS if kind is not Kind.TRANSFER or id != node + 1)
        return (code_of(kind),)

    # -- what makes two states comparable

    def views(self, state: State) -> Iterator[tuple[Place, int, int]]:
        """The state without the names of the nodes, or with each of the orders that they may stand in if some are
        alike: what the nodes are, the set of what was sent, and what is left of ticks and of rare events, see `covers`.
        """
        a, b, c, wire, time, left = state
        nodes = a, b, c
        orders = self._orders.get(nodes)
        if orders is None:
            orders = self._orders[nodes] = self._orders_of(nodes)
        for number in orders:
            i, j, k = ORDERS[number]
            names = self.table.node_names[number]
            sent = self._sent[number].get(wire)
            if sent is None:
                sent = self._sent[number][wire] = self._sent_as_set(wire, number)
            room = self._room[number].get((time, left))
            if room is None:
                room = self._room[number][time, left] = self._room_left(time, left, number)
            yield (names[nodes[i]], names[nodes[j]], names[nodes[k]]), sent, room

    def width(self, state: State) -> int:
        """How much may follow, roughly: most for what is left of rare events, then for what was sent, then for ticks."""
        wire, time, left = state[3:]
        known = self._widths.get((time, left))
        if known is None:
            ticks = sum(count for row in self.clocks.all[time] for counts in row for count in counts)
            known = self._widths[time, left] = 1000 * sum(self.budgets.all[left]) - ticks
        return known + 10 * len(self.wires.all[wire])

    def _sent_as_set(self, wire: int, number: int) -> int:
        names = self.table.message_names[number]
        return sum(1 << names[m] for m in self.wires.all[wire])

    def _room_left(self, time: int, left: int, number: int) -> int:
        """How much more each node may tick, and what is left of the budget, a nibble each."""
        made = 0
        rows = clock.renamed(self.clocks.all[time], ORDERS[number])
        for ticks in [count for row in rows for counts in row for count in counts]:
            made = made << _NIBBLE | (_MOST - ticks)
        for count in self.budgets.all[left]:
            made = made << _NIBBLE | count
        return made

    def _orders_of(self, nodes: Place) -> tuple[int, ...]:
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
        table, nodes = self.table, state[:3]
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

