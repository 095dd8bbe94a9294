r"""The format of trace files: commands, each followed by the output expected of it.

    # A comment, or nothing.
    propose-conf-change 1 v1=true        a command; a line that ends in \ goes on in the next
    v3                                   its input, up to the separator
    ----
    ok                                   the expected output, up to a blank line or the end

An output that has blank lines itself stands between two separators and two more, which a blank line must follow.
A file is read as a whole before anything runs; the first fault is a `MalformedTraceError` with its place.

Source: cockroachdb datadriven test_data_reader.go.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rafttest.trace.command import Command, CommandError, parse_command

SEPARATOR: Final = "----"

MAX_FILE_SIZE: Final = 64 << 20
"""Bytes of the largest file that is taken for a trace; a wrong path must not fill the memory."""


class MalformedTraceError(ValueError):
    """A file that is not a trace, or a command that cannot be run. Prints as `path:line: what is wrong`."""

    def __init__(self, path: str, line: int, detail: str) -> None:
        super().__init__(f"{path}:{line}: {detail}")
        self.path = path
        self.line = line
        self.detail = detail

    def __reduce__(self) -> tuple[type, tuple[str, int, str]]:
        return (type(self), (self.path, self.line, self.detail))


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """One command of a trace and what is expected of it.

    `line`: the command's, counted from 1. `expected`: whole lines, or nothing. `block`: the lines of the file, counted
    from 0, that hold the separators and the expected output.
    """

    line: int
    text: str
    command: Command
    expected: str
    block: range


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace file: where it came from, its lines, its directives."""

    path: str
    lines: list[str]
    directives: list[Directive]


def read_trace(path: str | os.PathLike[str]) -> Trace:
    """Read and parse a file. Raises OSError if it cannot be read, MalformedTraceError if it is not a trace."""
    shown = os.fspath(path)
    with Path(path).open("rb") as file:
        content = file.read(MAX_FILE_SIZE + 1)
    if len(content) > MAX_FILE_SIZE:
        raise MalformedTraceError(shown, 1, f"larger than {MAX_FILE_SIZE >> 20} MiB: not a trace")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise MalformedTraceError(shown, line, f"not UTF-8: byte 0x{content[error.start]:02x}") from None
    return parse_trace(text, shown)


def parse_trace(text: str, path: str = "<trace>") -> Trace:
    """Parse a trace. Raises MalformedTraceError, with `path` as its place."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    if lines[-1] == "":
        lines.pop()
    return Trace(path, lines, _Reader(path, lines).directives())


class _Reader:
    """Walks over the lines; `at` is the position of the next one."""

    def __init__(self, path: str, lines: list[str]) -> None:
        self.path = path
        self.lines = lines
        self.at = 0

    def directives(self) -> list[Directive]:
        found: list[Directive] = []
        while self.at < len(self.lines):
            line = self.lines[self.at].strip()
            if not line or line.startswith("#"):
                self.at += 1
            else:
                found.append(self._directive())
        return found

    def _directive(self) -> Directive:
        begin = self.at
        text = self._command_line()
        body = self._input(begin)
        try:
            command = parse_command(text, body)
        except CommandError as error:
            raise MalformedTraceError(self.path, begin + 1, str(error)) from None
        separator = self.at
        self.at += 1
        expected = self._fenced() if self._at_separator() else self._plain()
        return Directive(
            line=begin + 1,
            text=text,
            command=command,
            expected="".join([line + "\n" for line in expected]),
            block=range(separator, self.at),
        )

    def _command_line(self) -> str:
        """The command line with its continuations; each backslash becomes a space."""
        text = self.lines[self.at].strip()
        self.at += 1
        while text.endswith("\\"):
            if self.at == len(self.lines):
                raise MalformedTraceError(self.path, self.at, "the file ends within a command")
            text = text[:-1] + " " + self.lines[self.at].strip()
            self.at += 1
        return text

    def _input(self, begin: int) -> str:
        first = self.at
        while self.at < len(self.lines) and not self._at_separator():
            self.at += 1
        if self.at == len(self.lines):
            raise MalformedTraceError(self.path, begin + 1, f"no expected block: no {SEPARATOR} follows the command")
        return "\n".join(self.lines[first : self.at])

    def _plain(self) -> list[str]:
        first = self.at
        while self.at < len(self.lines) and self.lines[self.at].strip():
            self.at += 1
        return self.lines[first : self.at]

    def _fenced(self) -> list[str]:
        opened = self.at
        self.at += 1
        first = self.at
        while self.lines[self.at : self.at + 2] != [SEPARATOR, SEPARATOR]:
            if self.at == len(self.lines):
                raise MalformedTraceError(self.path, opened, f"two lines of {SEPARATOR} open here and none close")
            self.at += 1
        expected = self.lines[first : self.at]
        self.at += 2
        if self.at < len(self.lines) and self.lines[self.at].strip():
            raise MalformedTraceError(self.path, self.at + 1, f"a blank line must follow the closing {SEPARATOR}")
        return expected

    def _at_separator(self) -> bool:
        return self.at < len(self.lines) and self.lines[self.at] == SEPARATOR
