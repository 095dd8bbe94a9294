"""Search: everything that can follow from one state, or as much of it as there is room for.

A state is left out if one was met before from which at least the same may follow: its nodes are the same but for their
names, and what was sent there, what each clock may still tick, and what is left of the rare events is no less. The law
looks at the nodes alone, so whatever breaks it after the one breaks it after the other, in as many events.

    widest first     The states with the most before them first: they cover most others, and the search soon comes to an
                     end, where there is one. Nothing is left out then, however many events it takes.
    breadth first    By the number of events. Finds the shortest schedule, and can tell how deep it went if it does not
                     come to an end. Far slower, since it meets the widest states last.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

from rafttest.lease_search.group import GUARDS, Group, Place, State, Step

_NOWHERE: Final = 2**32 - 1

Tell = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has seen. `schedule`: the events that lead to a broken law; empty if none was broken."""

    states: int
    schedule: tuple[Step, ...]
    is_complete: bool
    """Nothing is left that could come later."""
    depth: int
    """Every state that so many events lead to was judged; 0 if the search came to its end."""


class Seen:
    """The states that were met, by position in the order of meeting, but for those that others cover."""

    def __init__(self, group: Group) -> None:
        self._views = group.views
        self._places: dict[Place, list[tuple[int, int, int]]] = {}
        self._is_kept = bytearray()

    def __len__(self) -> int:
        return len(self._is_kept)

    def add(self, state: State) -> bool:
        """Note a state; False if one that covers it was met before."""
        place, sent, room = (0, 0, 0), 0, 0
        for place, sent, room in self._views(state):
            for by_sent, by_room, _ in self._places.get(place, ()):
                if sent & by_sent == sent and (by_room - room) & GUARDS == GUARDS:
                    return False
        room |= GUARDS
        new = sent, room, len(self._is_kept)
        self._is_kept.append(1)
        kept = []
        for one in self._places.get(place, ()):
            if one[0] & sent == one[0] and (room - (one[1] ^ GUARDS)) & GUARDS == GUARDS:
                self._is_kept[one[2]] = 0
            else:
                kept.append(one)
        kept.append(new)
        self._places[place] = kept
        return True

    def is_kept(self, position: int) -> bool:
        """True if nothing that was met later covers the state of that position."""
        return self._is_kept[position] == 1


class _Search:
    """What both orders share."""

    def __init__(self, group: Group, first: State) -> None:
        self.group = group
        self.seen = Seen(group)
        self.seen.add(first)
        self._parents = array("Q", [_NOWHERE])
        self._steps = array("Q", [0])

    def expand(self, position: int, state: State) -> tuple[list[tuple[int, State]], bool]:
        """The new states after this one, and True if the last of them breaks the law."""
        leads, leases = self.group.table.leads, self.group.table.leases
        is_decided, is_new = self.group.is_decided, self.seen.add
        made: list[tuple[int, State]] = []
        for node, code, after in self.group.successors(state):
            if is_decided(after) or not is_new(after):
                continue
            made.append((len(self._parents), after))
            self._parents.append(position)
            self._steps.append(code << 2 | node)
            a, b, c = after[:3]
            if leases[a] or leases[b] or leases[c]:
                least = min(leases[one] or _NOWHERE for one in (a, b, c))
                if leads[a] > least or leads[b] > least or leads[c] > least:
                    return made, True
        return made, False

    def schedule(self) -> tuple[Step, ...]:
        """The events that lead to the state that was met last."""
        made: list[Step] = []
        position = len(self._parents) - 1
        while self._parents[position] != _NOWHERE:
            step = self._steps[position]
            made.append((step & 3, step >> 2))
            position = self._parents[position]
        return tuple(reversed(made))


def _quiet(_: str, __: int) -> None:
    """Tell nobody."""


def search(group: Group, first: State, most_states: int, tell: Tell = _quiet) -> Found:
    """Try to see everything that can follow `first`. If there are more than `most_states`, or the law is broken, begin
    anew by the number of events. `tell` hears now and then what is done.
    """
    found = widest_first(group, first, most_states, tell)
    if found.is_complete:
        return found
    shortest = breadth_first(group, first, most_states, tell)
    return found if found.schedule and not shortest.schedule else shortest


def widest_first(group: Group, first: State, most_states: int, tell: Tell = _quiet) -> Found:
    """Look for any schedule that breaks the law; most likely to come to the end."""
    found = _Search(group, first)
    seen, width = found.seen, group.width
    heap = [(-width(first), 0, first)]
    while heap:
        _, position, state = heappop(heap)
        if not seen.is_kept(position):
            continue
        made, is_broken = found.expand(position, state)
        if is_broken:
            return Found(len(seen), found.schedule(), False, 0)
        for place, after in made:
            heappush(heap, (-width(after), place, after))
        if len(seen) > most_states:
            return Found(len(seen), (), False, 0)
        tell(f"{len(heap)} to follow", len(seen))
    return Found(len(seen), (), True, 0)


def breadth_first(group: Group, first: State, most_states: int, tell: Tell = _quiet) -> Found:
    """Look for the shortest schedule that breaks the law; if there is none, tell how many events it would need."""
    found = _Search(group, first)
    seen = found.seen
    frontier = [(0, first)]
    depth = 0
    while frontier:
        following: list[tuple[int, State]] = []
        for position, state in frontier:
            made, is_broken = found.expand(position, state)
            if is_broken:
                return Found(len(seen), found.schedule(), False, depth)
            following += made
            if len(seen) > most_states:
                return Found(len(seen), (), False, depth)
        depth += 1
        tell(f"depth {depth}", len(seen))
        frontier = following
    return Found(len(seen), (), True, 0)
