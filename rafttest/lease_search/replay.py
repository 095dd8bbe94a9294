"""Replay: a schedule carried out by real nodes that go on living, beside the search's own account of it.

The search takes each node apart after each event and moves it on in its normal form (`normal`). Here three RawNodes run
from the beginning, their ticks and numbers untouched; after each event they must be what the search says they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from pyraft import RawNode, Role
from raftpb import encode_message
from rafttest.lease_search.group import Group, State, Step
from rafttest.lease_search.node import IDS, Disk, Kind, act, part_of, settle
from rafttest.lease_search.table import code_of, decoded_code


class DifferenceError(Exception):
    """A living node is not what the search says it is."""


class Live:
    """Three nodes that live from the beginning."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.table = group.table
        self.state = group.first()
        self._disks = {id: Disk() for id in IDS}
        self._nodes = {id: self._start(id) for id in IDS}
        self._sent: dict[int, bytes] = {}
        """The latest message of each number."""

    def _start(self, id: int) -> RawNode:
        setting, disk = self.table.setting, self._disks[id]
        hard_state, entries = setting.first_hard_state(), ()
        if disk.memory.last_index() > 0:
            before = part_of(self._nodes[id], disk.memory)
            hard_state, entries = before.hard_state, before.entries
        disk.memory = setting.storage(hard_state, entries)
        node = RawNode(setting.config(id, disk))
        settle(node, disk.memory)
        return node

    def begin(self, history: Iterable[Step], start: State) -> None:
        """Come to where a search begins. Raises DifferenceError if the nodes are others there."""
        appends, self.group.appends = self.group.appends, True
        for step in history:
            self.step(*step)
        self.group.appends = appends
        if self.state[:3] != start[:3]:
            raise DifferenceError("the start is not reached")
        self.state = start

    def step(self, node: int, code: int) -> None:
        """Let one event happen. Raises DifferenceError if something else comes of it than the search says."""
        said = self.table.outcome(self.state[node], code)
        after = self.group.step(self.state, node, code)
        kind, argument = decoded_code(code)
        id = node + 1
        sent: list[bytes] = []
        if kind is Kind.RESTART:
            self._nodes[id] = self._start(id)
        else:
            message = self._sent[argument] if kind is Kind.DELIVER else b""
            if act(self._nodes[id], kind, argument, message) is (said is None):
                raise DifferenceError(f"{self.group.text((node, code))}: one refuses it, the other does not")
            sent = [encode_message(m) for m in settle(self._nodes[id], self._disks[id].memory)]
        if said is None or after is None:
            return
        self.state = after
        if said.numbers >= 0:
            self._sent = {self.table.renumbered(number, said.numbers): data for number, data in self._sent.items()}
        if len(sent) != len(said.sent):
            raise DifferenceError(f"{self.group.text((node, code))}: sends {len(sent)}, not {len(said.sent)}")
        self._sent.update(zip(said.sent, sent, strict=True))
        lives = self.table.number_of(part_of(self._nodes[id], self._disks[id].memory))
        if lives != said.node:
            raise DifferenceError(
                f"{self.group.text((node, code))}: node {id} is {self.table.parts[lives]}, the search says "
                f"{self.table.parts[said.node]}"
            )

    def codes(self) -> Iterator[Step]:
        """Every event that may be asked for."""
        for number in self._sent:
            yield self.table.to[number], code_of(Kind.DELIVER, number)
        for node in range(len(IDS)):
            for kind in Kind:
                if kind is not Kind.DELIVER:
                    for argument in (0, *IDS):
                        yield node, code_of(kind, argument)

    def told(self) -> str:
        """What each node is."""
        made = []
        for id, node in self._nodes.items():
            core = node.export_state()
            text = f"{id}: {str(core.role).removeprefix('State').lower()} {core.term}"
            if core.promise_ticks_left:
                text += f", promise {core.promise_ticks_left}"
            if core.role is Role.StateLeader and core.lease_until > core.ticks:
                text += f", lease {core.lease_until - core.ticks}"
            made.append(text)
        return "   ".join(made)

    def answers_at_once(self, id: int) -> bool:
        """True if a read that is asked of node `id` now is answered without asking anybody."""
        node = self._nodes[id]
        node.read_index(b"now")
        return node.has_ready() and any(read.context == b"now" for read in node.ready().read_states)


def written(search: dict[str, object], group: Group, schedule: Iterable[Step]) -> list[str]:
    """A schedule as lines that `replayed` reads; the first tells where it begins."""
    return [json.dumps(search), *[group.text(step) for step in schedule]]


def replayed(live: Live, lines: Iterable[str]) -> Iterator[str]:
    """Carry out the events in `lines`; tell what each node is after each. Raises ValueError if a line is no event that
    may happen.
    """
    group = live.group
    yield f"{'':60} {live.told()}"
    for line in lines:
        fits = [step for step in live.codes() if group.text(step) == line]
        if not fits:
            raise ValueError(f"this cannot happen now: {line}")
        live.step(*fits[0])
        yield f"{line:60} {live.told()}"
        broken = group.broken(live.state)
        if broken:
            yield f"BROKEN: {broken}"
            leader = next(id for id in IDS if group.table.leases[live.state[id - 1]])
            answer = "at once" if live.answers_at_once(leader) else "only after asking"
            yield f"asked for a read now, node {leader} answers {answer}"
            return
    yield "the law holds"
