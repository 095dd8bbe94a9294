"""Observer: watches a run and must not touch it. A run without one pays a comparison an event.

A viewer derives from it. It may read the simulation and its nodes, but draws nothing from their random numbers and
changes nothing, so that a watched run has the same trace hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from raftpb.message import Message
from rafttest.sim.node_view import NodeView
from rafttest.sim.options import Options
from rafttest.sim.schedule import Schedule


class Watched(Protocol):
    """A simulation, as an observer sees it."""

    options: Options
    schedule: Schedule

    @property
    def nodes(self) -> Mapping[int, NodeView]:
        """All nodes, ascending by id."""
        ...


class Observer:
    """Receives every event, each before it happens unless its text says otherwise."""

    def begins(self, sim: Watched) -> None:
        """A run begins in this simulation, which has no nodes yet."""

    def noted(self, text: str, m: Message | None) -> None:
        """An event of the trace, and the message that it is about, if it is about one."""

    def sent(self, m: Message) -> None:
        """A message leaves its node."""

    def arrives(self, id: int, sent: Message, received: Message) -> None:
        """A message is about to be delivered to node `id`, which may be another than it is for.

        `received` equals `sent`, and is another object if it travelled as bytes.
        """

    def refused(self, error: Exception) -> None:
        """The message that was just delivered has been refused."""

    def touched(self, id: int) -> None:
        """The core of a node has been called."""
