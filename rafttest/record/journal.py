"""Journal: what a recorded node writes, call by call, and when it ends.

Law: nothing raises in here. What goes wrong with the recording ends the recording, with a reason and a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from pyraft import COMPILED, Config, NodeFailedError, RawNode, Ready, __version__
from raftpb.message import Message
from rafttest.record import output
from rafttest.record.collaborators import Answers
from rafttest.record.format import End, RecordKind, varint
from rafttest.record.ring import Ring
from rafttest.record.state import encode_config, encode_state, put_fields
from rafttest.record.values import put_text

logger = logging.getLogger("rafttest.record")

MAX_ANSWERS: Final = 4096
"""Answers of storage threads that are known by number at a time; more are written in full."""

KIND: Final[dict[RecordKind, bytes]] = {kind: bytes((kind,)) for kind in RecordKind}

_FLUSH_TICKS: Final = 16
_UNCHANGED: Final = (TypeError, ValueError)
"""What a call raises whose arguments are none, and the node goes on: then nothing has changed."""


class Journal:
    """The recording of `raw`, whose collaborators leave what they answer in `answers`."""

    def __init__(self, config: Config, raw: RawNode, answers: Answers, ring: Ring) -> None:
        self.stopped = ""
        """Why nothing is recorded any more; empty while it is."""
        self._config = config
        self._raw = raw
        self._answers = answers
        self._ring = ring
        self._ticks = 0
        self._handed: dict[int, tuple[Message, int]] = {}
        """Answers that storage threads have been asked for, by identity, with their numbers in this segment."""
        self._handed_count = 0
        try:
            ring.open()
            answers.is_on = True
            self._begin_segment()
        except Exception as error:
            self._stop(error)

    # -- of the application

    def note(self, text: str) -> None:
        """Write a line."""
        if self._answers.is_on:
            self._add_text(RecordKind.NOTE, text)

    def flush(self) -> None:
        """Hand what is in memory to the operating system."""
        self._ticks = 0
        if self._answers.is_on:
            try:
                self._ring.flush()
            except Exception as error:
                self._stop(error)

    def close(self) -> None:
        """End the recording."""
        if self._answers.is_on:
            self._end(End.CLOSED, "it was closed")

    # -- of each call

    def begin(self, kind: RecordKind, encode: Callable[[], bytes]) -> bytes | None:
        """A call as the recording begins with it; None if its arguments cannot be written down, or need not be."""
        if not self._answers.is_on:
            return None
        try:
            return KIND[kind] + encode()
        except Exception:
            return None

    def begin_answer(self, m: Message) -> bytes | None:
        """As `begin`, for an answer that a Ready has brought; None for any other."""
        handed = self._handed.pop(id(m), None)
        if handed is None or handed[0] is not m:
            return None
        return KIND[RecordKind.STEP_STORAGE_BY_NUMBER] + varint(handed[1])

    def done(self, call: bytes | None, output: bytes) -> None:
        """A call has ended; `call` is None if its arguments could not be written down."""
        if not self._answers.is_on:
            return
        try:
            if call is None:
                self._go_on_in_next()
                return
            ring = self._ring
            ring.add(call + self._answers.take() + output)
            ring.inputs += 1
            if ring.is_full:
                self._go_on_in_next()
        except Exception as error:
            self._stop(error)

    def returned(self, call: bytes | None, encode: Callable[[], bytes]) -> None:
        """As `done`, with an output that is yet to be encoded."""
        if not self._answers.is_on:
            return
        try:
            output = encode()
        except Exception as error:
            self._stop(error)
            return
        self.done(call, output)

    def raised(self, call: bytes | None, error: BaseException) -> None:
        """A call has raised an error, after which the node may have stopped for good."""
        if not self._answers.is_on:
            return
        try:
            self._raw.has_ready()
        except NodeFailedError as failure:
            self._done_for_good(call, error, failure)
            return
        except Exception as other:  # an error that cannot even be told
            self._stop(other)
            return
        if type(error) in _UNCHANGED:
            self._answers.clear()
            self._add_text(RecordKind.NOTE, f"refused, and nothing has changed: {type(error).__name__}: {error}")
        else:
            self.returned(call, lambda: output.of_error(error))

    def handed_out(self, made: Ready) -> None:
        """A Ready is on its way out, and with it, all that led to it goes to the operating system."""
        if self._config.async_storage_writes and self._answers.is_on:
            for answer in answers_in(made, self._config.id):
                self._handed[id(answer)] = (answer, self._handed_count)
                self._handed_count += 1
            while len(self._handed) > MAX_ANSWERS:
                del self._handed[next(iter(self._handed))]
        self.returned(KIND[RecordKind.READY], lambda: output.of_ready(made))
        self.flush()

    def ticked(self) -> None:
        """Time has passed; what waits for a Ready does not wait for ever."""
        self._ticks += 1
        if self._ticks >= _FLUSH_TICKS:
            self.flush()

    def looked(self) -> None:
        """Somebody has asked for the status."""
        if self._answers.has_any():
            self.done(KIND[RecordKind.LOOK], output.NOTHING)

    # -- segments and ends

    def _begin_segment(self) -> None:
        """Raises what keeps it from being written."""
        parts: list[bytes] = []
        put_text(parts, f"pyraft {__version__}, {'compiled' if COMPILED else 'interpreted'}")
        put_fields(parts, encode_config(self._config))
        put_fields(parts, encode_state(self._raw.export_state()))
        self._answers.clear()
        self._handed.clear()
        self._handed_count = 0
        self._ring.begin(b"".join(parts))

    def _go_on_in_next(self) -> None:
        self._ring.add(KIND[RecordKind.END] + bytes((End.CONTINUES,)))
        self._ring.flush()
        self._begin_segment()

    def _add_text(self, kind: RecordKind, text: str) -> None:
        parts = [KIND[kind]]
        put_text(parts, text)
        try:
            self._ring.add(b"".join(parts))
        except Exception as error:
            self._stop(error)

    def _done_for_good(self, call: bytes | None, error: BaseException, failure: NodeFailedError) -> None:
        try:
            if call is not None:
                self._ring.add(call + self._answers.take() + output.of_error(error))
                self._ring.inputs += 1
        except Exception as other:
            self._stop(other)
            return
        self._end(End.FAILED, str(failure))

    def _end(self, why: End, text: str) -> None:
        self._answers.is_on = False
        self._answers.clear()
        self._handed.clear()
        self.stopped = text
        try:
            self._ring.add(KIND[RecordKind.END] + bytes((why,)))
            self._ring.close()
        except Exception as error:
            self._stop(error)

    def _stop(self, error: Exception) -> None:
        """The recording cannot go on; the node does."""
        self._answers.is_on = False
        self._answers.clear()
        self._handed.clear()
        self.stopped = f"{type(error).__name__}: {error}"
        try:
            logger.warning("node %d is not recorded any more: %s", self._config.id, self.stopped)
            self._ring.abandon()
        except Exception:
            return


def answers_in(ready: Ready, id: int) -> list[Message]:
    """The messages in a Ready that storage threads are to answer node `id` with, in order."""
    return [answer for m in ready.messages if m.to < 0 for answer in m.responses if answer.to == id]
