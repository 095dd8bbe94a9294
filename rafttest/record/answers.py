"""Script: the answers that were recorded, given in order to a core that is replayed.

A question that was not the recorded one means that the core has gone another way.
"""

from __future__ import annotations

from typing import Final

from pyraft import (
    CompactedError,
    MisuseError,
    SnapshotOutOfDateError,
    SnapshotUnavailableError,
    StorageError,
    TraceEvent,
    UnavailableError,
)
from raftpb.message import ConfState, Entry, HardState, Snapshot
from rafttest.record.collaborators import Question
from rafttest.record.format import BadValueError
from rafttest.record.values import Cursor

_KNOWN_ERRORS: Final[dict[str, type[Exception]]] = {
    one.__name__: one
    for one in (
        *(CompactedError, UnavailableError, SnapshotUnavailableError, SnapshotOutOfDateError, StorageError),
        *(OSError, ValueError, TypeError, KeyError, RuntimeError, MisuseError),
    )
}
"""What a replayed Storage raises as it was; anything else becomes a StrangeError."""


class StrangeError(Exception):
    """An exception of a class that only the application knows."""


def named_error(name: str, text: str) -> Exception:
    """An exception that says the same as the one that was recorded."""
    known = _KNOWN_ERRORS.get(name)
    if known is not None:
        return known(text)
    if not name.isidentifier():
        raise BadValueError(f"{name!r} is no name of a class")
    strange: type[StrangeError] = type(name, (StrangeError,), {})
    return strange(text)


class DivergedError(Exception):
    """The core asked what it had not asked when it was recorded. Raised into the core, and caught by the player."""


class RecordedAnswers:
    """The recorded answers of one call, to be given in order."""

    def __init__(self) -> None:
        self.divergence = ""
        """The first question that was not the recorded one, for people; empty if there was none."""
        self._waiting: list[tuple[Question, tuple[int, ...], Answer]] = []
        self._next = 0
        self._log_calls = 0

    def load(self, cursor: Cursor) -> None:
        """Take the answers of the next call."""
        self.divergence = ""
        self._waiting = [_answer(cursor) for _ in range(cursor.count())]
        self._next = 0
        self._log_calls = 0

    def left(self) -> str:
        """What the recorded core asked next and this one did not; empty if nothing."""
        if self._next == len(self._waiting):
            return ""
        question, arguments, _ = self._waiting[self._next]
        return _spelt(question, arguments)

    def questions(self) -> list[str]:
        """What was asked, for people."""
        return [_spelt(question, arguments) for question, arguments, _ in self._waiting]

    def ask(self, question: Question, *arguments: int) -> Answer:
        """The recorded answer."""
        if self._next < len(self._waiting) and not self.divergence:
            recorded, recorded_arguments, answer = self._waiting[self._next]
            if recorded is question and recorded_arguments == arguments:
                self._next += 1
                if isinstance(answer, Exception):
                    raise answer
                return answer
        if not self.divergence:
            instead = self.left()
            self.divergence = f"the core asks {_spelt(question, arguments)}" + (
                f", where it had asked {instead}" if instead else ", where it had asked nothing more"
            )
        raise DivergedError(self.divergence)

    def log(self) -> None:
        """A logger was told something; raises if the real one did at this place."""
        self._log_calls += 1
        if self._next < len(self._waiting):
            question, arguments, answer = self._waiting[self._next]
            if question is Question.LOG and arguments == (self._log_calls,) and isinstance(answer, Exception):
                self._next += 1
                raise answer


Answer = int | list[Entry] | Snapshot | Exception


def _answer(cursor: Cursor) -> tuple[Question, tuple[int, ...], Answer]:
    kind = cursor.byte()
    if kind >= len(Question):
        raise BadValueError(f"{kind} is no question")
    question = Question(kind)
    arguments: tuple[int, ...] = ()
    if question is Question.ENTRIES:
        arguments = (cursor.signed(), cursor.signed(), cursor.signed())
    elif question in (Question.TERM, Question.RANDRANGE, Question.LOG):
        arguments = (cursor.signed(),)
    if cursor.flag():
        return question, arguments, named_error(cursor.text(), cursor.text())
    if question is Question.ENTRIES:
        return question, arguments, cursor.entries()
    if question is Question.SNAPSHOT:
        return question, arguments, cursor.snapshot()
    if question is Question.LOG:
        raise BadValueError("a logger that did not raise")
    return question, arguments, cursor.signed()


def _spelt(question: Question, arguments: tuple[int, ...]) -> str:
    if question is Question.LOG:
        return "a logger, which raised"
    return f"{question.name.lower()}({', '.join(map(str, arguments))})"


class ReplayedStorage:
    """Gives the answers that were recorded."""

    def __init__(self, script: RecordedAnswers) -> None:
        self._script = script
        self.is_building = True
        """While a node is built from a state it asks for the ends of the log, which the state then replaces."""

    def initial_state(self) -> tuple[HardState, ConfState]:
        """Never asked of a node that is built from a state."""
        raise DivergedError("the core asks for its initial state")

    def entries(self, lo: int, hi: int, max_size: int, /) -> list[Entry]:
        """As `Storage.entries`."""
        answer = self._script.ask(Question.ENTRIES, lo, hi, max_size)
        return answer if isinstance(answer, list) else []

    def term(self, index: int, /) -> int:
        """As `Storage.term`."""
        return self._integer(Question.TERM, index)

    def first_index(self) -> int:
        """As `Storage.first_index`."""
        return 1 if self.is_building else self._integer(Question.FIRST_INDEX)

    def last_index(self) -> int:
        """As `Storage.last_index`."""
        return 0 if self.is_building else self._integer(Question.LAST_INDEX)

    def snapshot(self) -> Snapshot:
        """As `Storage.snapshot`."""
        answer = self._script.ask(Question.SNAPSHOT)
        return answer if isinstance(answer, Snapshot) else Snapshot()

    def _integer(self, question: Question, *arguments: int) -> int:
        answer = self._script.ask(question, *arguments)
        return answer if isinstance(answer, int) else 0


class ReplayedRandom:
    """Draws what was drawn."""

    def __init__(self, script: RecordedAnswers) -> None:
        self._script = script

    def randrange(self, stop: int, /) -> int:
        """As `RandomSource.randrange`."""
        answer = self._script.ask(Question.RANDRANGE, stop)
        return answer if isinstance(answer, int) else 0


class ReplayedLogger:
    """Says nothing, and raises where the real one did."""

    def __init__(self, script: RecordedAnswers) -> None:
        self._script = script

    def debug(self, msg: str, /, *args: object) -> None:
        """As `Logger.debug`."""
        self._script.log()

    def info(self, msg: str, /, *args: object) -> None:
        """As `Logger.info`."""
        self._script.log()

    def warning(self, msg: str, /, *args: object) -> None:
        """As `Logger.warning`."""
        self._script.log()

    def error(self, msg: str, /, *args: object) -> None:
        """As `Logger.error`."""
        self._script.log()

    def trace_event(self, event: TraceEvent, /) -> None:
        """As `TraceLogger.trace_event`."""
        self._script.log()
