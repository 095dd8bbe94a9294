"""Search: breadth first from one state, until nothing new comes or a bound is reached."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rafttest.lease_search.group import Group, State, Step

_NOWHERE: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has seen. `schedule`: the events that lead to a broken law; empty if none was broken."""

    states: int
    depth: int
    """Every state that so many events lead to was judged."""
    schedule: tuple[Step, ...]
    is_complete: bool
    """Nothing is left that could come later."""
    moves: int
    """What single nodes did, each carried out once."""


def search(
    group: Group, first: State, depth: int, most_states: int, tell: Callable[[int, int], None] = lambda *_: None
) -> Found:
    """Judge every state that at most `depth` events lead to from `first`; stops at the first broken law, or once
    `most_states` were seen. `tell` hears of each depth that is done, and of the states so far.
    """
    seen = {group.key(first)}
    parents, nodes, codes = array("Q", [_NOWHERE]), array("B", [0]), array("Q", [0])

    def found(level: int, is_broken: bool, is_complete: bool) -> Found:
        schedule = _schedule(parents, nodes, codes) if is_broken else ()
        return Found(len(seen), level, schedule, is_complete, len(group.table.outcomes))

    is_decided, key, leads, leases = group.is_decided, group.key, group.table.leads, group.table.leases
    frontier = [(0, first)]
    for level in range(1, depth + 1):
        following: list[tuple[int, State]] = []
        for position, state in frontier:
            for node, code, after in group.successors(state):
                name = key(after)
                if name in seen:
                    continue
                seen.add(name)
                parents.append(position)
                nodes.append(node)
                codes.append(code)
                a, b, c = after[:3]
                if leases[a] or leases[b] or leases[c]:
                    least = min(leases[one] or _NOWHERE for one in (a, b, c))
                    if leads[a] > least or leads[b] > least or leads[c] > least:
                        return found(level, True, False)
                if not is_decided(after):
                    following.append((len(parents) - 1, after))
            if len(seen) > most_states:
                return found(level - 1, False, False)
        tell(level, len(seen))
        frontier = following
        if not frontier:
            return found(level, False, True)
    return found(depth, False, False)


def _schedule(parents: array[int], nodes: array[int], codes: array[int]) -> tuple[Step, ...]:
    """The events that lead to the state that was seen last."""
    made: list[Step] = []
    position = len(parents) - 1
    while parents[position] != _NOWHERE:
        made.append((nodes[position], codes[position]))
        position = parents[position]
    return tuple(reversed(made))
