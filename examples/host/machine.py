"""What an application brings to the host, and what it may hear from it.

Law: the state is a function of the log. What `apply` does depends on nothing but the state and its arguments, on every
node and in every version that takes part: no clock, no chance, no configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class StateMachine(Protocol):
    """The replicated state of one group. Called on the event loop, unless a method says otherwise."""

    def apply(self, index: int, data: bytes) -> object:
        """Carry out a committed request, and return what its proposer is to be told.

        `index`: of its entry; several requests may share one. Must not raise: bytes that make no sense are answered
        with a result that says so, because whatever one node cannot apply no node can.
        """
        ...

    def snapshot(self) -> Callable[[], bytes]:
        """Keep hold of the state as it is now, quickly; what is returned encodes it, in another thread, while the
        state goes on changing.
        """
        ...

    def restore(self, data: bytes) -> None:
        """Replace the state by the one in a snapshot. Runs in another thread, while the old state may still be read:
        decode first, then replace everything in one assignment. Raises ValueError if `data` is no snapshot.
        """
        ...


class NotServedError(Exception):
    """A request was not served in time, or not accepted. `reason` is for people. Who acts: the client.

    `may_still_happen`: a write may have taken effect, or may yet. If false, it never will.
    """

    def __init__(self, reason: str, *, may_still_happen: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.may_still_happen = may_still_happen


class ChangeRefusedError(Exception):
    """A membership change that makes no sense now; nothing has changed. Who acts: the client."""


class RemovedError(Exception):
    """The node was removed from the group, and serves nothing. Who acts: the client, who asks another node."""
