"""Clock: which node may tick next, by the assumption that leases rest on.

`pyraft.lease` assumes that n - 2 ticks of a leader take no longer than n - 1 ticks of any other node, where n is
`election_tick`. As a rule for an order of ticks: from right after a tick of A to its (n - 2)th tick after that, no
other node makes more than n - 1 ticks. Anything else may happen: ticks of two nodes may come in any order otherwise.
"""

from __future__ import annotations

from typing import Final

Clock = tuple[tuple[tuple[int, ...], ...], ...]
"""clock[a][b]: how often b has ticked in each of the last n - 2 intervals between ticks of a; the last is open."""

NODES: Final = 3


def begin(election_tick: int) -> Clock:
    """No node has ticked yet."""
    return tuple(tuple((0,) * _intervals(election_tick) for _ in range(NODES)) for _ in range(NODES))


def may_tick(clock: Clock, node: int, election_tick: int) -> bool:
    """True if `node`, counted from 0, may tick next."""
    return all(sum(clock[a][node]) < election_tick - 1 for a in range(NODES) if a != node)


def tick(clock: Clock, node: int) -> Clock:
    """The clock after a tick of `node`."""
    made = []
    for a, others in enumerate(clock):
        if a == node:
            made.append(tuple((*intervals[1:], 0) for intervals in others))
        else:
            row = list(others)
            row[node] = (*row[node][:-1], row[node][-1] + 1)
            made.append(tuple(row))
    return tuple(made)


def _intervals(election_tick: int) -> int:
    return max(1, election_tick - 2)
