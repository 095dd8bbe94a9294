"""NodeView: what clients, coverage and observers see of a simulated node."""

from __future__ import annotations

from typing import Protocol

from pyraft import RawNode
from raftpb.message import ConfState
from rafttest.sim.cluster.disk import SimDisk
from rafttest.sim.cluster.state_machine import Machine


class NodeView(Protocol):
    """A node of the simulation. Only the node itself changes what is here, but for the two collections."""

    id: int
    raw: RawNode
    disk: SimDisk
    conf: ConfState
    machine: Machine
    is_up: bool
    has_check_quorum: bool
    started: int
    """The moment of its last start."""
    applied: int
    """Index of the last entry that its application has applied."""
    waiting: set[bytes]
    """Proposals that it acknowledges once it has applied them."""
    reads_waiting: list[tuple[int, bytes]]
    """Reads by index and context: each is answered once that index is applied."""

    def is_paused(self) -> bool:
        """True if nothing happens there now."""
        ...

    def is_writing(self) -> bool:
        """True if the append thread has work."""
        ...

    def asking_for_read(self) -> None:
        """Note for the coverage that a read is asked for next."""
        ...

    def settle(self) -> None:
        """Show the checker what came of a call, and see to the work."""
        ...
