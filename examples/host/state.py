"""State: all that the log of a group adds up to, on every member alike.

The application's state machine, who takes part, and what has been carried out already. Entries go in one after the
other; what comes out says whom it concerns, and nothing in here knows whether anybody on this node is waiting for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from examples.host import snapshots
from examples.host.machine import ChangeRefusedError, StateMachine
from examples.host.membership import Change, Context, Members
from examples.host.requests import Batch, Sessions
from examples.host.snapshots import HostState
from pyraft import ConfChangeError
from raftpb import AnyConfChange, ConfState, Snapshot, decode_change
from raftpb.message import Entry


@dataclass(frozen=True, slots=True)
class AppliedBatch:
    """What an entry of requests led to: the session that they are of, and the result of each by its number."""

    session: tuple[int, int]
    results: list[tuple[int, object]]


@dataclass(frozen=True, slots=True)
class ConfChangeResult:
    """What a membership change led to: who asked for it, and why it was refused, if it was."""

    asked_by: tuple[int, int, int]
    refusal: str | None


class ReplicaState:
    """The state as of `index`."""

    def __init__(self, machine: StateMachine) -> None:
        self.machine = machine
        self.index = 0
        self.members = Members()
        self.sessions = Sessions()
        self.foreign_entries = 0
        """Entries that no host wrote; they change nothing."""

    def apply_requests(self, entry: Entry) -> AppliedBatch | None:
        """Carry out what has not been before; None if there is nothing in the entry."""
        self.index = entry.index
        if not entry.data:
            return None
        batch = Batch.decode(entry.data)
        if batch is None:
            self.foreign_entries += 1
            return None
        apply = self.machine.apply
        results = [(number, apply(entry.index, data)) for number, data in self.sessions.begin(batch)]
        return AppliedBatch((batch.node, batch.nonce), results)

    def apply_change(self, entry: Entry, switch: Callable[[AnyConfChange], ConfState]) -> ConfChangeResult:
        """Decide about a membership change; `switch` makes the core act on it, and is not called if it is refused."""
        self.index = entry.index
        change = decode_change(entry)
        asked = change.as_v2()
        asked_by = (0, 0, 0)
        try:
            if asked.leaves_joint():
                wanted = Change(())
            else:
                context = Context.decode(asked.context)
                asked_by = context.asked_by
                wanted = Change(asked.changes, context.urls, context.promote)
                if context.after != self.members.changed_at:
                    raise ChangeRefusedError(f"it was overtaken by the change at index {self.members.changed_at}")
                self.members.check(wanted)
            conf_state = switch(change)
        except (ChangeRefusedError, ConfChangeError) as error:
            return ConfChangeResult(asked_by, str(error))
        self.members = self.members.after(wanted, conf_state, entry.index)
        return ConfChangeResult(asked_by, None)

    def encoder(self) -> Callable[[], bytes]:
        """Keep hold of the state as it is now; what is returned encodes it, in another thread."""
        return snapshots.encoder(self.members, self.sessions, self.machine.snapshot())

    def restore(self, snapshot: Snapshot) -> HostState:
        """Put the state machine into the state of a snapshot; what is left to do is `install_snapshot`. Takes its time,
        and may run in another thread while nothing is applied.

        Raises ValueError if it is no snapshot.
        """
        state = snapshots.decode(snapshot.data, snapshot.metadata.conf_state)
        self.machine.restore(state.machine)
        return state

    def install_snapshot(self, index: int, restored: HostState) -> None:
        """The rest of the state at `index`."""
        self.members = restored.members
        self.sessions = restored.sessions
        self.index = index
