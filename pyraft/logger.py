"""Where the core tells what it does: any object with the four methods below, for instance a `logging.Logger`.

Texts are for people and may change; nothing in the library reads them.
"""

from typing import Protocol


class Logger(Protocol):
    """The part of `logging.Logger` that the core uses; messages carry %-style arguments."""

    def debug(self, msg: str, /, *args: object) -> object: ...

    def info(self, msg: str, /, *args: object) -> object: ...

    def warning(self, msg: str, /, *args: object) -> object: ...

    def error(self, msg: str, /, *args: object) -> object: ...


class NullLogger:
    """Says nothing."""

    def debug(self, msg: str, /, *args: object) -> None: ...

    def info(self, msg: str, /, *args: object) -> None: ...

    def warning(self, msg: str, /, *args: object) -> None: ...

    def error(self, msg: str, /, *args: object) -> None: ...
