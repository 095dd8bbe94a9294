"""What answers the commands of a trace: the part that all kinds of traces share.

A command is checked against its shape, run by its handler, and its output is what the handler wrote. An error that
belongs to the behaviour under test (a dropped proposal, a refused change) is part of the output, in the reference's
words; an output of nothing is `ok`. A `CommandError` is the trace's fault and leaves. So does what kills a
node: the reference would have ended the process.

Source: etcd rafttest/interaction_env_handler.go Handle.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final

from pyraft.errors import (
    CompactedError,
    InvariantError,
    LocalMessageError,
    NodeFailedError,
    PeerNotFoundError,
    ProposalDroppedError,
    RaftError,
    SnapshotOutOfDateError,
    SnapshotUnavailableError,
    StorageError,
    UnavailableError,
)
from rafttest.trace.command import Command, CommandError, CommandRefusedError, Shape, parse_command
from rafttest.trace.output import Output

_REFERENCE_TEXTS: Final[tuple[tuple[type[RaftError], str], ...]] = (
    (ProposalDroppedError, "raft proposal dropped"),
    (LocalMessageError, "raft: cannot step raft local message"),
    (PeerNotFoundError, "raft: cannot step as peer not found"),
    (CompactedError, "requested index is unavailable due to compaction"),
    (UnavailableError, "requested entry at index is unavailable"),
    (SnapshotOutOfDateError, "requested index is older than the existing snapshot"),
    (SnapshotUnavailableError, "snapshot is temporarily unavailable"),
)

_UNDERSTOOD: Final = (CompactedError, UnavailableError, SnapshotOutOfDateError, SnapshotUnavailableError)


def is_fatal(error: RaftError) -> bool:
    """True if the node is dead, which is nothing that a script could expect."""
    if isinstance(error, StorageError):
        return not isinstance(error, _UNDERSTOOD)
    return isinstance(error, (InvariantError, NodeFailedError))


def error_text(error: RaftError) -> str:
    """What the reference prints where this library raises `error`."""
    for kind, text in _REFERENCE_TEXTS:
        if isinstance(error, kind):
            return text
    return str(error)


class Environment(ABC):
    """Runs commands one after the other; what they leave behind is there for the next."""

    def __init__(self) -> None:
        self.output = Output()

    def handle(self, text: str) -> str:
        """Run a command as a trace has it, its line and then any input; return what it says.

        Raises CommandError for a command that does not exist or cannot be run.
        """
        line, _, body = text.strip().partition("\n")
        return self.execute(parse_command(line, body))

    def execute(self, command: Command) -> str:
        """Run a parsed command; return what it says, or raise as `handle` does."""
        shape = self.shapes().get(command.name)
        if shape is None:
            raise CommandError(f"unknown command {command.name!r}")
        shape.check(command)
        self.output.clear()
        try:
            self.run(command)
        except CommandRefusedError as error:
            return self.output.text() + str(error)
        except RaftError as error:
            if is_fatal(error):
                raise
            return self.output.text() + error_text(error)
        return self.output.text() or "ok"

    @abstractmethod
    def shapes(self) -> Mapping[str, Shape]:
        """The commands there are, and what they accept."""

    @abstractmethod
    def run(self, command: Command) -> None:
        """Run a command of the right shape, writing to `output`."""
