"""Progress: a leader's view of one follower: what it has, what is under way to it, and how fast more may be sent.

    log of the leader   1 ... match | match+1 ... next-1 | next ...
                        known there   under way            to be sent

Three states. Probe: where the logs part is unknown, so one MsgApp at a time, and a pause after one with
entries. Replicate: the logs
agree up to `match`; messages follow each other without waiting, as many as the window of `inflights` allows, and `next`
runs ahead. Snapshot: the follower needs entries that the leader no longer has; nothing is sent until it answers.

Invariants: match < next; `match` falls only by `restart`; `inflights` is empty but in Replicate; in Snapshot nothing is
under way but the snapshot.

Source: thesis §10.2.1; etcd tracker/progress.go, tracker/state.go.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import mypyc_attr

from pyraft.errors import InvariantError
from pyraft.tracker.inflights import Inflights
from pyraft.types import u64
from raftpb.enums import NamedInt


class ProgressState(NamedInt):
    """States of sending entries to a follower (etcd tracker StateType)."""

    StateProbe = 0
    StateReplicate = 1
    StateSnapshot = 2


PROBE: Final = ProgressState.StateProbe
REPLICATE: Final = ProgressState.StateReplicate
SNAPSHOT: Final = ProgressState.StateSnapshot


@final
@mypyc_attr(acyclic=True)
class Progress:
    """One follower; the leader keeps one for itself too.

    `match`: the highest index known to be durable there. `next`: the index of the first entry to send.
    `sent_commit`: the highest commit index that the follower knows of, or will once what is under way arrives; the
    core writes it with every MsgApp and heartbeat. `pending_snapshot`: index of the snapshot under way, 0 if none.
    `recent_active`: it answered since quorum was last checked. `flow_paused`: nothing is sent in Probe and Replicate
    until an answer or a heartbeat response. `is_learner`: follows the configuration; a voter that a joint configuration
    is about to demote is still none. Etcd's Progress.
    """

    __slots__ = (
        "flow_paused",
        "id",
        "inflights",
        "is_learner",
        "match",
        "next",
        "pending_snapshot",
        "recent_active",
        "sent_commit",
        "state",
    )
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        id: u64,
        match: u64,
        next: u64,
        inflights: Inflights,
        is_learner: bool = False,
        recent_active: bool = False,
        state: ProgressState = PROBE,
        sent_commit: u64 = 0,
        pending_snapshot: u64 = 0,
        flow_paused: bool = False,
    ) -> None:
        self.id = id
        self.match = match
        self.next = next
        self.inflights = inflights
        self.is_learner = is_learner
        self.recent_active = recent_active
        self.state = state
        self.sent_commit = sent_commit
        self.pending_snapshot = pending_snapshot
        self.flow_paused = flow_paused

    def restart(self, next: u64) -> None:
        """A new leadership or term knows nothing of the follower, and sends from `next` (etcd raft.go reset)."""
        self._enter(PROBE)
        self.match = 0
        self.next = next
        self.sent_commit = 0
        self.recent_active = False

    def become_probe(self) -> None:
        """Look for the place where the logs part, after the snapshot under way if there is one."""
        after = self.match
        if self.state is SNAPSHOT and self.pending_snapshot > after:
            after = self.pending_snapshot
        self._enter(PROBE)
        self.next = after + 1
        self._regress_sent_commit()

    def become_replicate(self) -> None:
        """Send without waiting: the follower's log agrees up to `match`."""
        self._enter(REPLICATE)
        self.next = self.match + 1

    def become_snapshot(self, index: u64) -> None:
        """A snapshot up to `index` is under way; it brings the follower the commit index `index` as well."""
        self._enter(SNAPSHOT)
        self.pending_snapshot = index
        self.next = index + 1
        self.sent_commit = index

    def sent_entries(self, count: u64, size_bytes: u64) -> None:
        """Note that a MsgApp of `count` entries with `size_bytes` of data went out; `count` may be 0.

        Raises InvariantError in Snapshot, where nothing may be sent.
        """
        if self.state is REPLICATE:
            if count != 0:
                self.next += count
                self.inflights.add(self.next - 1, size_bytes)
            self.flow_paused = self.inflights.is_full()
        elif self.state is PROBE:
            if count != 0:
                self.flow_paused = True
        else:
            raise InvariantError(f"entries were sent to {self.id}, which waits for a snapshot")

    def extend_sent(self, count: u64, size_bytes: u64) -> None:
        """Note that, in Replicate, the newest message under way took on `count` more entries of `size_bytes` in all."""
        self.next += count
        self.inflights.extend_newest(self.next - 1, size_bytes)
        self.flow_paused = self.inflights.is_full()

    def can_bump_commit(self, index: u64) -> bool:
        """True if telling the follower the commit index `index` could move its own: it was not told yet, and it has, or
        is being sent, entries above what it was told.
        """
        return index > self.sent_commit and self.sent_commit < self.next - 1

    def maybe_update(self, index: u64) -> bool:
        """Take an acknowledgement of everything up to `index`; False, and nothing changes, if it is not news."""
        if index <= self.match:
            return False
        self.match = index
        if self.next <= index:
            self.next = index + 1
        self.flow_paused = False
        return True

    def maybe_decrease(self, rejected: u64, hint: u64) -> bool:
        """Take a refusal of entries after `rejected`; `hint` is where the follower's log may agree.

        False, and nothing changes, if the refusal answers an older message than the last. In Replicate every index
        above `match` may still be refused, and sending restarts after `match`. Otherwise only the one message under way
        can be, and the search goes on after the hint, always backwards and never below `match`.
        """
        if self.state is REPLICATE:
            if rejected <= self.match:
                return False
            self.next = self.match + 1
        else:
            if rejected != self.next - 1:
                return False
            before = rejected if rejected <= hint else hint + 1
            self.next = before if before > self.match else self.match + 1
            self.flow_paused = False
        self._regress_sent_commit()
        return True

    def is_paused(self) -> bool:
        """True if nothing may be sent for now."""
        return self.flow_paused or self.state is SNAPSHOT

    def clone(self) -> Progress:
        """An equal Progress of its own, window included."""
        return Progress(
            self.id,
            self.match,
            self.next,
            self.inflights.clone(),
            self.is_learner,
            self.recent_active,
            self.state,
            self.sent_commit,
            self.pending_snapshot,
            self.flow_paused,
        )

    def _enter(self, state: ProgressState) -> None:
        self.state = state
        self.flow_paused = False
        self.pending_snapshot = 0
        self.inflights.reset()

    def _regress_sent_commit(self) -> None:
        """Forget the commit index sent with messages at or above `next`, since these are sent again."""
        if self.sent_commit >= self.next:
            self.sent_commit = self.next - 1

    def __str__(self) -> str:
        """The reference's spelling: `StateReplicate match=11 next=15 paused inflight=3[full]`."""
        parts = [f"{self.state} match={self.match} next={self.next}"]
        if self.is_learner:
            parts.append("learner")
        if self.is_paused():
            parts.append("paused")
        if self.pending_snapshot != 0:
            parts.append(f"pendingSnap={self.pending_snapshot}")
        if not self.recent_active:
            parts.append("inactive")
        if self.inflights.count() != 0:
            parts.append(f"inflight={self.inflights.count()}{'[full]' if self.inflights.is_full() else ''}")
        return " ".join(parts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Progress):
            return NotImplemented
        return (
            self.id == other.id
            and self.match == other.match
            and self.next == other.next
            and self.inflights == other.inflights
            and self.is_learner == other.is_learner
            and self.recent_active == other.recent_active
            and self.state is other.state
            and self.sent_commit == other.sent_commit
            and self.pending_snapshot == other.pending_snapshot
            and self.flow_paused == other.flow_paused
        )

    def __repr__(self) -> str:
        return (
            f"Progress(id={self.id}, match={self.match}, next={self.next}, inflights={self.inflights!r}, "
            f"is_learner={self.is_learner}, recent_active={self.recent_active}, state={self.state}, "
            f"sent_commit={self.sent_commit}, pending_snapshot={self.pending_snapshot}, "
            f"flow_paused={self.flow_paused})"
        )

    def __reduce__(
        self,
    ) -> tuple[type[Progress], tuple[int, int, int, Inflights, bool, bool, ProgressState, int, int, bool]]:
        return (
            Progress,
            (
                self.id,
                self.match,
                self.next,
                self.inflights,
                self.is_learner,
                self.recent_active,
                self.state,
                self.sent_commit,
                self.pending_snapshot,
                self.flow_paused,
            ),
        )
