"""Threads: how a node writes and applies asynchronously: an append thread and an apply thread, each working in order
and at its own pace. The core is told their answers, some of them twice.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Protocol

from pyraft import RawNode, StepError
from raftpb.message import LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, Entry, HardState, Message, Snapshot
from rafttest.sim.cluster.disk import SimDisk
from rafttest.sim.context import Context, describe
from rafttest.sim.schedule import TICK, Action


class ThreadedNode(Protocol):
    """What the threads do on their node."""

    id: int
    raw: RawNode
    disk: SimDisk
    random: Random
    sim: Context

    def send(self, m: Message) -> None:
        """Let a message leave."""
        ...

    def settle(self) -> None:
        """Show the checker what came of a call, and see to the work."""
        ...

    def observe(self) -> None:
        """Show the checker what became of the core."""
        ...

    def sync(self) -> None:
        """Make durable what was written."""
        ...

    def restore(self, snapshot: Snapshot) -> None:
        """Give the application a snapshot."""
        ...

    def apply(self, entry: Entry) -> None:
        """Give the application a committed entry."""
        ...

    def crashes_here(self, where: str) -> bool:
        """True if it crashes at this moment, by chance."""
        ...

    def later(self, moments: int, action: Action) -> None:
        """Do it after so many moments, unless the node has crashed by then."""
        ...

    def duration(self, most: int) -> int:
        """How long something takes now that takes up to so many moments."""
        ...


class Threads:
    """The two threads of one life of a node."""

    def __init__(self, node: ThreadedNode) -> None:
        self.node = node
        self.append_work: deque[Message] = deque()
        self.apply_work: deque[Message] = deque()

    def start(self, messages: list[Message]) -> None:
        """Send what is for others, and hand out what is for the threads."""
        for m in messages:
            if m.to == LOCAL_APPEND_THREAD:
                self.append_work.append(m)
                if len(self.append_work) == 1:
                    self._schedule_append()
            elif m.to == LOCAL_APPLY_THREAD:
                self.apply_work.append(m)
                if len(self.apply_work) == 1:
                    self._schedule_apply()
            else:
                self.node.send(m)
        if self.node.crashes_here("after handing out work"):
            return
        self.node.settle()

    def _schedule_append(self) -> None:
        self.node.later(self.node.duration(self.node.sim.options.disk_delay), self._append)

    def _schedule_apply(self) -> None:
        self.node.later(self.node.duration(self.node.sim.options.apply_delay), self._apply_next)

    def _append(self) -> None:
        m = self.append_work[0]
        state = HardState(m.term, m.vote, m.commit)
        self.node.disk.write(m.snapshot, m.entries, None if state.is_empty() else state)
        if self.node.crashes_here("before the write is durable"):
            return
        if m.responses:
            self.node.sync()
        if m.snapshot is not None:
            self.node.restore(m.snapshot)
        self.append_work.popleft()
        if self.append_work:
            self._schedule_append()
        if not self.node.crashes_here("before sending"):
            self._respond(m)

    def _apply_next(self) -> None:
        m = self.apply_work[0]
        for entry in m.entries:
            self.node.apply(entry)
            if self.node.crashes_here("while applying"):
                return
        self.apply_work.popleft()
        if self.apply_work:
            self._schedule_apply()
        self._respond(m)

    def _respond(self, m: Message) -> None:
        for response in m.responses:
            if response.to != self.node.id:
                self.node.send(response)
                continue
            self._answer(response)
            if self._repeats():
                self._repeat_later(response)
        self.node.settle()

    def _repeat_later(self, response: Message) -> None:
        self.node.later(self.node.random.randrange(1, 3 * TICK), lambda: self._repeat(response))

    def _repeats(self) -> bool:
        return not self.node.sim.is_calm and self.node.random.random() < self.node.sim.options.repeat_answers

    def _answer(self, response: Message) -> None:
        try:
            self.node.raw.step_storage(response)
        except StepError:  # the own vote or acknowledgement of a node that is no member any more
            self.node.sim.count("storage answers refused")
        self.node.observe()

    def _repeat(self, response: Message) -> None:
        self.node.sim.note(f"repeat {self.node.id} {describe(response)}")
        self.node.sim.count("storage answers repeated")
        self._answer(response)
        self.node.settle()
