"""What a core asks while it works: its Storage, its random source, and loggers, which may raise.

Each question and its answer is written down on the way through; `answers` gives the answers when it is replayed.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from pyraft import Logger, RandomSource, Storage, TraceEvent, TraceLogger
from raftpb.message import ConfState, Entry, HardState, Snapshot
from rafttest.record.format import varint
from rafttest.record.values import encode_entries, encode_snapshot, framed, put_text, signed


class Question(IntEnum):
    """The first byte of an answer: what was asked."""

    FIRST_INDEX = 0
    LAST_INDEX = 1
    TERM = 2
    ENTRIES = 3
    SNAPSHOT = 4
    RANDRANGE = 5
    LOG = 6


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
