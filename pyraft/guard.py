"""Guard: one call of a node at a time, and none after a failure.

The calls that are made all the time test and set `is_closed` themselves; the others are written `with guard:`.
"""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import NoReturn, final

from pyraft.core.raft import Raft
from pyraft.errors import MisuseError, NodeFailedError


@final
class Guard:
    """The state of a node's calls."""

    def __init__(self, raft: Raft) -> None:
        self.raft = raft
        self.is_closed = False
        """A call is under way, or one has failed."""
        self.failure: BaseException | None = None
        """The error that stopped the node for good."""

    def __enter__(self) -> None:
        if self.is_closed:
            self.refuse()
        self.is_closed = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.is_closed = False
        else:
            self.fail(error)

    def refuse(self) -> NoReturn:
        """Raise the reason why no call is taken: NodeFailedError or MisuseError."""
        if self.failure is not None:
            raise NodeFailedError(self.failure)
        raise MisuseError("another call is under way: one thread, and no calls from within a callback")

    def fail(self, error: BaseException) -> None:
        """Stop the node for good: promise nothing that may not be so."""
        self.failure = error
        self.is_closed = True
        r = self.raft
        r.msgs = []
        r.msgs_after_append = []
        r.read_states = []
        # Where the logger is what failed, or fails as well, the first error is the one to be told.
        with suppress(Exception):
            r.logger.error("%x: stopped for good: %s", r.id, error)
