"""What a core asks while it works: its Storage, its random source, and loggers, which may raise.

Recording, each question and its answer is written down on the way through. Replaying, the answers come from the
recording, in order; a question that was not the recorded one means that the core has gone another way.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Final

from pyraft import (
    CompactedError,
    Logger,
    MisuseError,
    RandomSource,
    SnapshotOutOfDateError,
    SnapshotUnavailableError,
    Storage,
    StorageError,
    TraceEvent,
    TraceLogger,
    UnavailableError,
)
from raftpb.message import ConfState, Entry, HardState, Snapshot
from rafttest.record.format import BadValueError, varint
from rafttest.record.values import Cursor, encode_entries, encode_snapshot, framed, put_text, signed


class Question(IntEnum):
    """The first byte of an answer: what was asked."""

    FIRST_INDEX = 0
    LAST_INDEX = 1
    TERM = 2
    ENTRIES = 3
    SNAPSHOT = 4
    RANDRANGE = 5
    LOG = 6


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


# -- recording


class Answers:
    """The answers of the call that is under way, while anything is recorded at all."""

    def __init__(self) -> None:
        self.is_on = False
        self.problem: Exception | None = None
        """Why an answer could not be written down; the recording must not go on then."""
        self.log_calls = 0
        self._items: list[bytes] = []

    def note(self, question: Question, arguments: tuple[int, ...], encode: Callable[[], bytes]) -> None:
        """Write down what was asked and answered. Never raises."""
        if not self.is_on:
            return
        try:
            parts = [bytes((question,)), *[signed(argument) for argument in arguments], b"\0", encode()]
        except Exception as error:
            self.problem = error
            return
        self._items.append(b"".join(parts))

    def note_raised(self, question: Question, arguments: tuple[int, ...], error: BaseException) -> None:
        """Write down that the answer was an exception. Never raises."""
        if not self.is_on:
            return
        try:
            parts = [bytes((question,)), *[signed(argument) for argument in arguments], b"\1"]
            put_text(parts, type(error).__name__)
            put_text(parts, str(error))
        except Exception as other:
            self.problem = other
            return
        self._items.append(b"".join(parts))

    def take(self) -> bytes:
        """All of them, with their count; the next call begins. Raises what kept one from being written down."""
        self.log_calls = 0
        if self.problem is not None:
            raise self.problem
        if not self._items:
            return b"\0"
        items, self._items = self._items, []
        return varint(len(items)) + b"".join(items)

    def has_any(self) -> bool:
        """True if the call under way has asked anything."""
        return bool(self._items) or self.problem is not None

    def clear(self) -> None:
        """Forget all of them."""
        self._items = []
        self.problem = None
        self.log_calls = 0


class RecordingStorage:
    """A Storage in front of another, which it asks everything.

    An answer that is none, and so cannot be written down, is passed on all the same: the core will complain.
    """

    def __init__(self, storage: Storage, answers: Answers) -> None:
        self._storage = storage
        self._answers = answers

    def initial_state(self) -> tuple[HardState, ConfState]:
        """Asked by the constructor only, which comes before the recording."""
        return self._storage.initial_state()

    def entries(self, lo: int, hi: int, max_size: int, /) -> list[Entry]:
        """As `Storage.entries`."""
        try:
            entries = self._storage.entries(lo, hi, max_size)
        except BaseException as error:
            self._answers.note_raised(Question.ENTRIES, (lo, hi, max_size), error)
            raise
        self._answers.note(Question.ENTRIES, (lo, hi, max_size), lambda: framed(encode_entries(entries)))
        return entries

    def term(self, index: int, /) -> int:
        """As `Storage.term`."""
        return self._integer(Question.TERM, (index,), lambda: self._storage.term(index))

    def first_index(self) -> int:
        """As `Storage.first_index`."""
        return self._integer(Question.FIRST_INDEX, (), self._storage.first_index)

    def last_index(self) -> int:
        """As `Storage.last_index`."""
        return self._integer(Question.LAST_INDEX, (), self._storage.last_index)

    def snapshot(self) -> Snapshot:
        """As `Storage.snapshot`."""
        try:
            snapshot = self._storage.snapshot()
        except BaseException as error:
            self._answers.note_raised(Question.SNAPSHOT, (), error)
            raise
        self._answers.note(Question.SNAPSHOT, (), lambda: encode_snapshot(snapshot))
        return snapshot

    def _integer(self, question: Question, arguments: tuple[int, ...], ask: Callable[[], int]) -> int:
        try:
            value = ask()
        except BaseException as error:
            self._answers.note_raised(question, arguments, error)
            raise
        self._answers.note(question, arguments, lambda: signed(value))
        return value


class RecordingRandom:
    """A random source in front of another."""

    def __init__(self, random: RandomSource, answers: Answers) -> None:
        self._random = random
        self._answers = answers

    def randrange(self, stop: int, /) -> int:
        """As `RandomSource.randrange`."""
        try:
            drawn = self._random.randrange(stop)
        except BaseException as error:
            self._answers.note_raised(Question.RANDRANGE, (stop,), error)
            raise
        self._answers.note(Question.RANDRANGE, (stop,), lambda: signed(drawn))
        return drawn


class RecordingLogger:
    """A logger, and a trace logger, in front of others. What they are told is not recorded; that one raises is, since
    the core stops then.
    """

    def __init__(self, logger: Logger, trace_logger: TraceLogger | None, answers: Answers) -> None:
        self._logger = logger
        self._trace_logger = trace_logger
        self._answers = answers

    def debug(self, msg: str, /, *args: object) -> None:
        """As `Logger.debug`."""
        self._tell(self._logger.debug, msg, args)

    def info(self, msg: str, /, *args: object) -> None:
        """As `Logger.info`."""
        self._tell(self._logger.info, msg, args)

    def warning(self, msg: str, /, *args: object) -> None:
        """As `Logger.warning`."""
        self._tell(self._logger.warning, msg, args)

    def error(self, msg: str, /, *args: object) -> None:
        """As `Logger.error`."""
        self._tell(self._logger.error, msg, args)

    def _tell(self, tell: Callable[..., object], msg: str, args: tuple[object, ...]) -> None:
        self._answers.log_calls += 1
        try:
            tell(msg, *args)
        except BaseException as error:
            self._answers.note_raised(Question.LOG, (self._answers.log_calls,), error)
            raise

    def trace_event(self, event: TraceEvent, /) -> None:
        """As `TraceLogger.trace_event`."""
        self._answers.log_calls += 1
        try:
            if self._trace_logger is not None:
                self._trace_logger.trace_event(event)
        except BaseException as error:
            self._answers.note_raised(Question.LOG, (self._answers.log_calls,), error)
            raise


# -- replaying


class DivergedError(Exception):
    """The core asked what it had not asked when it was recorded. Raised into the core, and caught by the player."""


class Script:
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

    def __init__(self, script: Script) -> None:
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

    def __init__(self, script: Script) -> None:
        self._script = script

    def randrange(self, stop: int, /) -> int:
        """As `RandomSource.randrange`."""
        answer = self._script.ask(Question.RANDRANGE, stop)
        return answer if isinstance(answer, int) else 0


class ReplayedLogger:
    """Says nothing, and raises where the real one did."""

    def __init__(self, script: Script) -> None:
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
