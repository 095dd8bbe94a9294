"""Search: breadth first from one state, until nothing new comes or the depth is reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyraft import Role
from rafttest.lease_search.group import GroupState, Move, Setting, act, events
from rafttest.lease_search.key import key


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has seen. `schedule`: the events that lead to a broken law; empty if none was broken."""

    states: int
    depth: int
    """Every state that so many events lead to was judged."""
    schedule: tuple[Move, ...]
    is_complete: bool
    """Nothing is left that could come later."""


def broken(state: GroupState) -> str:
    """How the law is broken; empty if it holds."""
    for id, part in enumerate(state.parts, start=1):
        core = part.core
        runs = core.lease_until > core.ticks and not core.lease_is_transferred
        if core.role is not Role.StateLeader or not runs:
            continue
        for other, later in enumerate(state.parts, start=1):
            if later.core.role is Role.StateLeader and later.core.term > core.term:
                return (
                    f"{other} leads term {later.core.term} while {id}, leader of term {core.term}, may answer by lease "
                    f"for {core.lease_until - core.ticks} ticks"
                )
    return ""


def search(
    setting: Setting,
    first: GroupState,
    depth: int,
    most_states: int,
    tell: Callable[[int, int], None] = lambda *_: None,
) -> Found:
    """Judge every state that at most `depth` events lead to from `first`; stops at the first broken law, or once
    `most_states` were seen. `tell` hears of each depth that is done, and of the states so far.
    """
    seen = {key(setting, first)}
    came: list[tuple[int, Move | None]] = [(-1, None)]
    frontier = [(0, first)]
    for level in range(1, depth + 1):
        following: list[tuple[int, GroupState]] = []
        for position, state in frontier:
            for event in events(setting, state):
                after = act(setting, state, event.node, event)
                if after is None:
                    continue
                name = key(setting, after)
                if name in seen:
                    continue
                seen.add(name)
                came.append((position, event))
                if broken(after):
                    return Found(len(seen), level, _schedule(came), False)
                following.append((len(came) - 1, after))
            if len(seen) > most_states:
                return Found(len(seen), level - 1, (), False)
        tell(level, len(seen))
        frontier = following
        if not frontier:
            return Found(len(seen), level, (), True)
    return Found(len(seen), depth, (), False)


def _schedule(came: list[tuple[int, Move | None]]) -> tuple[Move, ...]:
    """The events that lead to the state that was seen last."""
    made: list[Move] = []
    position, event = came[-1]
    while event is not None:
        made.append(event)
        position, event = came[position]
    return tuple(reversed(made))
