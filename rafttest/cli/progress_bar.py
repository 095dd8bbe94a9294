"""A line on the terminal that tells how far a long piece of work is. Elsewhere it says nothing."""

from __future__ import annotations

import time
from typing import Final, TextIO

_WIDTH: Final = 30
_INTERVAL_SECONDS: Final = 0.1


class ProgressBar:
    """`[##########....................] 33/99 what is being worked on`, drawn over itself on `stream`."""

    def __init__(self, total: int, stream: TextIO) -> None:
        self.total = total
        self.done = 0
        self.stream = stream
        self.shown = stream.isatty()
        self._next_seconds = 0.0

    def show(self, text: str) -> None:
        """Draw, unless that was done a moment ago."""
        now = time.monotonic()
        if self.shown and now >= self._next_seconds:
            self._next_seconds = now + _INTERVAL_SECONDS
            filled = _WIDTH * self.done // self.total
            bar = "#" * filled + "." * (_WIDTH - filled)
            self.stream.write(f"\r\x1b[K[{bar}] {self.done}/{self.total} {text[-40:]}")
            self.stream.flush()

    def advance(self) -> None:
        """One more is done."""
        self.done += 1

    def clear(self) -> None:
        """Make room for other text; the next `show` draws at once."""
        if self.shown and self._next_seconds:
            self._next_seconds = 0.0
            self.stream.write("\r\x1b[K")
            self.stream.flush()
