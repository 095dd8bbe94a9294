"""Clock: which node may tick next, by the assumption that leases rest on.

`pyraft.lease` assumes that n - 2 ticks of a leader take no longer than n - 1 ticks of any other node, where n is
`election_tick`. As a rule for an order of ticks: while A leads, no other node makes more than n - 1 ticks between any
moment and the (n - 2)th tick of A after it.

    A leader sends heartbeats at its tick k. Its lease runs until its tick k + n - 2.
    A follower hears them later than that, and its promise runs until its nth tick from then on.
    So the promise outlives the lease if, between the two ticks of A, the follower makes at most n - 1 ticks.

The first of those n - 1 may come at once: it ends an interval of the follower's that the heartbeat has cut short. Steady
clocks keep the rule if the follower's is faster by no more than (n - 1) / (n - 2). Anything else may happen: nothing is
assumed of ticks of a node that does not lead, of phases, or of steadiness.
"""

from __future__ import annotations

from typing import Final

NODES: Final = 3

Clock = tuple[tuple[tuple[int, ...], ...], ...]
"""clock[a][b]: how often b has ticked in each of the last n - 2 intervals between ticks of a, since a leads; the last
interval is open. Empty if a does not lead."""

BEGIN: Final[Clock] = ((),) * NODES
"""Nobody leads."""


def may_tick(clock: Clock, node: int, election_tick: int) -> bool:
    """True if `node`, counted from 0, may tick next."""
    return all(sum(row[node]) < election_tick - 1 for a, row in enumerate(clock) if row and a != node)


def tick(clock: Clock, node: int) -> Clock:
    """The clock after a tick of `node`."""
    made: list[tuple[tuple[int, ...], ...]] = []
    for a, row in enumerate(clock):
        if not row:
            made.append(row)
        elif a == node:
            made.append(tuple((*counts[1:], 0) for counts in row))
        else:
            counts = row[node]
            made.append((*row[:node], (*counts[:-1], counts[-1] + 1), *row[node + 1 :]))
    return tuple(made)


def lead(clock: Clock, node: int, election_tick: int, leads: bool) -> Clock:
    """The clock once `node` leads, or does so no longer: what was before is of no matter."""
    if bool(clock[node]) is leads:
        return clock
    row = ((0,) * max(1, election_tick - 2),) * NODES if leads else ()
    return (*clock[:node], row, *clock[node + 1 :])


def renamed(clock: Clock, order: tuple[int, ...]) -> Clock:
    """The clock with the nodes in this order."""
    return tuple(tuple(clock[a][b] for b in order) if clock[a] else () for a in order)
