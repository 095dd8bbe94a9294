"""One command of a trace: its name, its arguments, its input, and what each command accepts.

    deliver-msgs 1 2 type=MsgApp drop=(3, 4)
    name         words   option    option with two values

A word has no value. `key=` and `key=()` both mean one empty value; parentheses nest, and only top-level commas split.
Whatever a command does not accept is a `CommandError`: the trace is at fault, not the core.

Source: cockroachdb datadriven line_parser.go; docs of each command in its module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from raftpb.confchange import ConfChangeSingle, parse_changes
from raftpb.integers import MAX_INTEGER

E = TypeVar("E")

_MAX_DIGITS: Final = len(str(MAX_INTEGER))

_TRUE: Final = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE: Final = frozenset(("0", "f", "F", "FALSE", "false", "False"))


class CommandError(ValueError):
    """A command that cannot be run: unknown, malformed, or about a node that does not exist. Who acts: its author."""


class CommandRefusedError(Exception):
    """A command was understood and refused; the text is its output, as an error of the core would be."""


@dataclass(frozen=True, slots=True)
class Argument:
    """`key`, `key=value` or `key=(value, value)`; a word has no values."""

    key: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """A parsed command line and the lines that follow it before the separator."""

    name: str
    arguments: tuple[Argument, ...] = ()
    input: str = ""

    def words(self) -> list[str]:
        """The arguments without a value, in order."""
        return [argument.key for argument in self.arguments if not argument.values]

    def values(self, key: str) -> list[str]:
        """All values given for `key`, in order."""
        return [value for argument in self.arguments if argument.key == key for value in argument.values]

    def value(self, key: str) -> str | None:
        """The one value given for `key`; None if there is none. Raises CommandError if there are several."""
        values = self.values(key)
        if len(values) > 1:
            raise CommandError(f"{key} takes one value, not {len(values)}")
        return values[0] if values else None

    def number(self, key: str, default: int) -> int:
        """The number given for `key`. Raises CommandError if it is none."""
        text = self.value(key)
        return default if text is None else to_number(text)

    def flag(self, key: str) -> bool:
        """The truth value given for `key`; False if there is none. Raises CommandError if it is neither."""
        text = self.value(key)
        return False if text is None else to_bool(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a command accepts: how many words (None: any number more), which options, and whether input.

    `options` is None where the command itself judges them.
    """

    min_words: int = 0
    max_words: int | None = 0
    options: tuple[str, ...] | None = ()
    takes_input: bool = False

    def check(self, command: Command) -> None:
        """Raise CommandError unless `command` fits."""
        words = command.words()
        if len(words) < self.min_words:
            raise CommandError(f"{command.name} needs at least {self.min_words} plain argument(s), not {len(words)}")
        if self.max_words is not None and len(words) > self.max_words:
            raise CommandError(f"{command.name} does not take {words[self.max_words]!r}")
        if self.options is not None:
            for argument in command.arguments:
                if argument.values and argument.key not in self.options:
                    raise CommandError(f"{command.name} has no option {argument.key!r}")
        if command.input and not self.takes_input:
            raise CommandError(f"{command.name} takes no input; is the ---- after it missing?")
        if "\n" in command.input:
            raise CommandError(f"{command.name} takes one line of input; is the ---- after it missing?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec(Shape, Generic[E]):
    """A shape and who answers the command: a function of the environment and the command, which writes its output."""

    handler: Callable[[E, Command], None]


def parse_command(line: str, input: str = "") -> Command:
    """Read a command line. Raises CommandError, which names the column, for an empty key or an open parenthesis."""
    line = line.strip()
    name, _, _ = line.partition(" ")
    return Command(name, tuple(_LineParser(line, len(name)).arguments()), input.strip())


def to_number(text: str) -> int:
    """A decimal number in [0, 2^63). Raises CommandError for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS) or int(text) > MAX_INTEGER:
        raise CommandError(f"{text!r} is not a number in [0, 2^63)")
    return int(text)


def to_bool(text: str) -> bool:
    """One of 1, t, T, TRUE, true, True, 0, f, F, FALSE, false, False. Raises CommandError for anything else."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise CommandError(f"{text!r} is neither true nor false")


def to_steps(text: str) -> list[ConfChangeSingle]:
    """The steps of a membership change, `v1 l2 r3`. Raises RefusedError, in the reference's words, if it is none."""
    try:
        return parse_changes(text)
    except ValueError as error:
        raise CommandRefusedError(str(error)) from None


class _LineParser:
    """Walks over one line; `at` is the position of the next character."""

    def __init__(self, line: str, at: int) -> None:
        self.line = line
        self.at = at

    def arguments(self) -> list[Argument]:
        found: list[Argument] = []
        while self._skip_spaces():
            key = self._until(" =")
            if not key:
                raise self._error(self.at)
            if not self._next_is("="):
                found.append(Argument(key))
                continue
            self.at += 1
            values = self._group() if self._next_is("(") else (self._until(" "),)
            found.append(Argument(key, values))
        return found

    def _group(self) -> tuple[str, ...]:
        """The values of a parenthesised list; leaves `at` behind it, where a space or the end must be."""
        opened = self.at
        self.at += 1
        depth = 1
        values = [""]
        while self.at < len(self.line):
            character = self.line[self.at]
            self.at += 1
            if character == "," and depth == 1:
                values.append("")
                self._skip_spaces()
                continue
            depth += {"(": 1, ")": -1}.get(character, 0)
            if depth > 0:
                values[-1] += character
            elif self.at == len(self.line) or self._next_is(" "):
                return tuple(values)
            else:
                raise self._error(self.at)
        raise self._error(opened)

    def _skip_spaces(self) -> bool:
        while self._next_is(" "):
            self.at += 1
        return self.at < len(self.line)

    def _until(self, ends: str) -> str:
        begin = self.at
        while self.at < len(self.line) and self.line[self.at] not in ends:
            self.at += 1
        return self.line[begin : self.at]

    def _next_is(self, character: str) -> bool:
        return self.line[self.at : self.at + 1] == character

    def _error(self, at: int) -> CommandError:
        return CommandError(f"cannot parse directive at column {at + 1}: {self.line}")
