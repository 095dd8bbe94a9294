"""What a command says: one text that its handlers write and its nodes log into, with a level and an indentation.

Lines of the log are `LEVEL text`. At the level NONE everything is silent, what commands print included.

Source: etcd rafttest/interaction_env_logger.go; interaction_env_handler_stabilize.go withIndent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum


class Level(IntEnum):
    """What is still said: lines of the log at this level and above."""

    DEBUG = 0
    INFO = 1
    WARN = 2
    ERROR = 3
    FATAL = 4
    NONE = 5


class Output:
    """Collects text; also the logger of every node."""

    def __init__(self) -> None:
        self.level = Level.DEBUG
        self._parts: list[str] = []

    def is_quiet(self) -> bool:
        """True if nothing at all is said."""
        return self.level is Level.NONE

    def write(self, text: str) -> None:
        """Say `text` as it is."""
        if not self.is_quiet():
            self._parts.append(text)

    def text(self) -> str:
        """All that was said since `clear`."""
        return "".join(self._parts)

    def clear(self) -> None:
        """Forget what was said."""
        self._parts = []

    @contextmanager
    def indented(self) -> Iterator[None]:
        """What is said inside comes in whole lines, two spaces further in."""
        outer = self._parts
        self._parts = []
        try:
            yield
        finally:
            inner = self.text()
            self._parts = outer
            lines = inner.split("\n")
            if lines[-1] == "":
                lines.pop()
            outer += ["  " + line.removesuffix("\r") + "\n" for line in lines]

    def debug(self, msg: str, /, *args: object) -> None:
        """Log at the level DEBUG."""
        self._log(Level.DEBUG, msg, args)

    def info(self, msg: str, /, *args: object) -> None:
        """Log at the level INFO."""
        self._log(Level.INFO, msg, args)

    def warning(self, msg: str, /, *args: object) -> None:
        """Log at the level WARN."""
        self._log(Level.WARN, msg, args)

    def error(self, msg: str, /, *args: object) -> None:
        """Log at the level ERROR."""
        self._log(Level.ERROR, msg, args)

    def _log(self, level: Level, msg: str, args: tuple[object, ...]) -> None:
        """One line, whatever the text: only its first line would be known for a line of the log."""
        if level >= self.level:
            text = msg % args if args else msg
            self.write(f"{level.name} {text.replace(chr(10), ' ')}\n")
