"""Anomalies: things that a healthy cluster does not do, counted so that somebody can look.

None of them changes what the node does; `status()` shows them. A count that grows by itself means a misdirected
transport, a node that lost its disk, or two clusters that talk to each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from pyraft.types import u64


@final
@dataclass(slots=True, kw_only=True)
class Anomalies:
    """Counts since the node was built, and three suspicions."""

    log_loss_suspected: str = ""
    """The reason to suspect that entries which this node once acknowledged are missing here; empty if there is none."""

    foreign_log_suspected: str = ""
    """The reason to suspect that a leader's log contradicts the committed entries here; empty if there is none."""

    term_jump: bool = False
    """A message would have raised the term by more than 2^32 at once. It was refused."""

    refused_messages: u64 = 0
    """Messages that `step` refused."""

    rival_leaders: u64 = 0
    """Appends, heartbeats or snapshots of the current term that reached its leader, or a follower of another one."""

    foreign_appends: u64 = 0
    """Appends that contradict what is committed here. They are not acknowledged."""

    foreign_snapshots: u64 = 0
    """Snapshots whose configuration does not list this node."""

    ignored_timeout_now: u64 = 0
    """MsgTimeoutNow that this node could not follow."""

    dropped_transfers: u64 = 0
    """Transfer requests that were passed on to this node and that it could not follow."""

    dropped_reads: u64 = 0
    """Reads that were passed on to this node and that it could neither queue nor pass on."""

    ignored_read_answers: u64 = 0
    """Answers to reads that this node had not passed on, or from somebody else than its leader."""

    retracted_acks: u64 = 0
    """Refusals, on a leader, of entries that the follower had acknowledged: was its disk emptied?"""

    ignored_storage_answers: u64 = 0
    """Answers of the storage threads about work that was never handed out."""

    def clone(self) -> Anomalies:
        """An equal value of its own; `dataclasses.replace` takes five times as long."""
        made = Anomalies()
        made.log_loss_suspected = self.log_loss_suspected
        made.foreign_log_suspected = self.foreign_log_suspected
        made.term_jump = self.term_jump
        made.refused_messages = self.refused_messages
        made.rival_leaders = self.rival_leaders
        made.foreign_appends = self.foreign_appends
        made.foreign_snapshots = self.foreign_snapshots
        made.ignored_timeout_now = self.ignored_timeout_now
        made.dropped_transfers = self.dropped_transfers
        made.dropped_reads = self.dropped_reads
        made.ignored_read_answers = self.ignored_read_answers
        made.retracted_acks = self.retracted_acks
        made.ignored_storage_answers = self.ignored_storage_answers
        return made
