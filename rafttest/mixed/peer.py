"""Peer: what a node of either library can be asked, and what it answers.

Both kinds do their duties themselves: a Ready is written, applied and confirmed as one event, or, with asynchronous
writes, by one event for each piece of work of the storage threads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from raftpb.message import ConfState, Entry, HardState, Snapshot

FOLLOWER: Final = 0
CANDIDATE: Final = 1
LEADER: Final = 2
PRE_CANDIDATE: Final = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class MixedSettings:
    """What a node is told. Sizes are bytes, times are ticks."""

    election_tick: int
    heartbeat_tick: int
    max_size_per_msg: int
    max_committed_size_per_ready: int
    max_inflight_msgs: int
    check_quorum: bool
    pre_vote: bool
    is_asynchronous: bool
    step_down_on_removal: bool
    batch_append: bool
    """Of this library only."""
    is_safe: bool
    """Of this library only: its own defaults, not those of the reference."""
    reads_by_lease: bool = False
    """Of this library only."""


@dataclass(slots=True)
class Answer:
    """A node after an event. `error`: why it refused what it was asked; `panic`: how it died."""

    error: str = ""
    panic: str = ""
    has_ready: bool = False
    role: int = FOLLOWER
    term: int = 0
    vote: int = 0
    lead: int = 0
    commit: int = 0
    applied: int = 0
    last: int = 0
    append_work: int = 0
    apply_work: int = 0
    messages: list[bytes] = field(default_factory=list)
    """To other nodes, encoded."""
    entries: list[Entry] = field(default_factory=list)
    """Written by this event."""
    committed: list[Entry] = field(default_factory=list)
    """Applied by this event."""
    confs: list[ConfState] = field(default_factory=list)
    """The configuration after each membership change among them."""
    hard_state: HardState | None = None
    snapshot: Snapshot | None = None
    """Written by this event, in place of the log."""
    reads: list[tuple[int, bytes]] = field(default_factory=list)
    """Index and context."""


class MixedNode(Protocol):
    """One node. Each call is an event."""

    library: str
    """Which library it is of, for people."""

    def start(self, id: int, settings: MixedSettings, snapshot: Snapshot | None) -> Answer:
        """Begin on an empty disk, or on one with `snapshot`."""
        ...

    def restart(self) -> Answer:
        """Crash, and start again on the disk as it is; the application begins from the snapshot there."""
        ...

    def tick(self) -> Answer:
        """Let a tick pass."""
        ...

    def step(self, message: bytes) -> Answer:
        """Give it a message."""
        ...

    def propose(self, data: bytes) -> Answer:
        """Propose `data`."""
        ...

    def change(self, change: bytes) -> Answer:
        """Propose a membership change, an encoded ConfChangeV2."""
        ...

    def change_v1(self, change: bytes) -> Answer:
        """Propose a membership change, an encoded ConfChange."""
        ...

    def read(self, context: bytes) -> Answer:
        """Ask for a read index."""
        ...

    def campaign(self) -> Answer:
        """Let it stand for election."""
        ...

    def forget_leader(self) -> Answer:
        """Tell it that its leader is dead."""
        ...

    def transfer(self, to: int) -> Answer:
        """Ask it to transfer leadership, or to pass that on."""
        ...

    def report_snapshot(self, to: int, failed: bool) -> Answer:
        """Tell it what became of a snapshot that it sent."""
        ...

    def report_unreachable(self, to: int) -> Answer:
        """Tell it that a message could not be delivered."""
        ...

    def compact(self, index: int, conf: ConfState, data: bytes) -> Answer:
        """Make a snapshot at `index`, which is applied, and forget the log up to there."""
        ...

    def work(self) -> Answer:
        """Take a Ready."""
        ...

    def append(self) -> Answer:
        """Do the oldest work of the append thread."""
        ...

    def apply(self) -> Answer:
        """Do the oldest work of the apply thread."""
        ...
