"""Logger: receives the core's log lines: any object with the four methods below, for instance a `logging.Logger`.

Texts are for people and may change; nothing in the library reads them.
"""

from typing import Protocol


class Logger(Protocol):
    """The part of `logging.Logger` that the core uses; messages carry %-style arguments."""

    def debug(self, msg: str, /, *args: object) -> object:
        """Tell of something that happens in normal work."""
        ...

    def info(self, msg: str, /, *args: object) -> object:
        """Tell of a change: of the role, the leader, the configuration."""
        ...

    def warning(self, msg: str, /, *args: object) -> object:
        """Tell of something that an operator should look at."""
        ...

    def error(self, msg: str, /, *args: object) -> object:
        """Tell of a failure: the node has stopped for good, or its log lacks entries or has another history."""
        ...


class NullLogger:
    """Says nothing."""

    def debug(self, msg: str, /, *args: object) -> None:
        """Do nothing."""

    def info(self, msg: str, /, *args: object) -> None:
        """Do nothing."""

    def warning(self, msg: str, /, *args: object) -> None:
        """Do nothing."""

    def error(self, msg: str, /, *args: object) -> None:
        """Do nothing."""
