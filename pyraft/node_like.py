"""NodeLike: the calls of a node, for an application that drives a RawNode or something in its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pyraft.bootstrap import Peer
from pyraft.core_state import CoreState
from pyraft.ready import Ready
from pyraft.status import BasicStatus, Status
from pyraft.types import CampaignRefusal, SnapshotStatus, TransferRefusal
from raftpb.confchange import AnyConfChange
from raftpb.message import ConfState, Message


class NodeLike(Protocol):
    """A RawNode, or what stands in for one, such as `rafttest.record.RecordingNode`."""

    def has_ready(self) -> bool:
        """As `RawNode.has_ready`."""
        ...

    def ready(self) -> Ready:
        """As `RawNode.ready`."""
        ...

    def advance(self) -> None:
        """As `RawNode.advance`."""
        ...

    def tick(self, count: int = 1) -> None:
        """As `RawNode.tick`."""
        ...

    def step(self, m: Message) -> None:
        """As `RawNode.step`."""
        ...

    def step_storage(self, m: Message) -> None:
        """As `RawNode.step_storage`."""
        ...

    def propose(self, data: bytes | bytearray | memoryview) -> None:
        """As `RawNode.propose`."""
        ...

    def propose_conf_change(self, change: AnyConfChange | None) -> None:
        """As `RawNode.propose_conf_change`."""
        ...

    def apply_conf_change(self, change: AnyConfChange | None) -> ConfState:
        """As `RawNode.apply_conf_change`."""
        ...

    def read_index(self, context: bytes) -> None:
        """As `RawNode.read_index`."""
        ...

    def campaign(self) -> CampaignRefusal | None:
        """As `RawNode.campaign`."""
        ...

    def transfer_leader(self, target: int) -> TransferRefusal | None:
        """As `RawNode.transfer_leader`."""
        ...

    def forget_leader(self) -> None:
        """As `RawNode.forget_leader`."""
        ...

    def report_unreachable(self, id: int) -> None:
        """As `RawNode.report_unreachable`."""
        ...

    def report_snapshot(self, id: int, status: SnapshotStatus) -> None:
        """As `RawNode.report_snapshot`."""
        ...

    def bootstrap(self, peers: Sequence[Peer]) -> None:
        """As `RawNode.bootstrap`."""
        ...

    def status(self) -> Status:
        """As `RawNode.status`."""
        ...

    def basic_status(self) -> BasicStatus:
        """As `RawNode.basic_status`."""
        ...

    def export_state(self) -> CoreState:
        """As `RawNode.export_state`."""
        ...
