"""State traces against the reference's: every event that the nodes of a script tell, here and there.

The Go program of `compare`, built with the tag that gives the reference its state tracer, runs the same files
and tells the events; each command's events are compared as JSON texts, so that the order of keys counts. What commands
print does not matter here.

Source: etcd state_trace.go, built with the tag with_tla.
"""

from __future__ import annotations

import difflib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Final

from pyraft.trace_logger import TraceEvent
from rafttest.cli.progress_bar import ProgressBar
from rafttest.cli.replay import UsageError, trace_files
from rafttest.interaction.env import InteractionEnv
from rafttest.reference.compare import NoReferenceError, build_reference
from rafttest.replay import Outcome, replay
from rafttest.trace.comparison import visible
from rafttest.trace.file import Directive, MalformedTraceError, read_trace

_SHOWN: Final = 40
"""Differing events that are shown of one file."""


@dataclass(slots=True)
class _Told:
    """What the reference tells of one file: JSON texts by the line of the command, and why it ended early, if so."""

    path: str
    events: dict[int, list[str]] = field(default_factory=dict)
    end: int | None = None
    failure: str = ""


class _Listener:
    """Keeps the events since it was last asked."""

    def __init__(self) -> None:
        self._heard: list[str] = []

    def trace_event(self, event: TraceEvent, /) -> None:
        self._heard.append(event.to_json())

    def take(self) -> list[str]:
        heard = self._heard
        self._heard = []
        return heard


def compare_state_traces(paths: Sequence[str]) -> int:
    """Run trace files, or all in a folder, here and through the reference; print every event that differs, with the
    file, the line of the command and the number of the event in the file. Traces that drive no cluster are left out.

    Returns 0 if nothing differs or nothing could be asked; 1 if something differs, or a file misuses the reference or
    makes it panic, which ends it early; 2 if a file or the Go program is at fault.
    """
    try:
        progress = ProgressBar(sum(len(list(trace_files(path))) for path in paths), sys.stderr)
    except (UsageError, OSError) as error:
        print(visible(f"error: {error}"), file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        try:
            program = build_reference(folder, "with_tla")
        except NoReferenceError as error:
            print(error)
            return error.exit_code
        comparison = _Comparison()
        command = [program, "-state-traces", "--", *paths]
        with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
            for told in _told(_pipe(process)):
                progress.show(told.path)
                comparison.compare(told)
                progress.advance()
        progress.clear()
    print(comparison.summary())
    if process.returncode != 0:
        return 2
    return 0 if comparison.differing == comparison.cut == 0 else 1


def _pipe(process: subprocess.Popen[str]) -> IO[str]:
    if process.stdout is None:
        raise ValueError("the process was started without a pipe")
    return process.stdout


def _told(lines: Iterable[str]) -> Iterator[_Told]:
    """Read what the Go program writes; see stateTrace there."""
    told: _Told | None = None
    for line in lines:
        found = json.loads(line)
        if found["tag"] == "file":
            if told is not None:
                yield told
            told = _Told(found["file"])
        elif told is None:
            raise ValueError(f"an event of no file: {line}")
        elif found["tag"] == "trace":
            told.events.setdefault(found["line"], []).append(json.dumps(found["event"], separators=(",", ":")))
        else:
            told.end, told.failure = found["line"], found["failure"]
    if told is not None:
        yield told


class _Comparison:
    """Counts, and prints what differs."""

    def __init__(self) -> None:
        self.files = 0
        self.events = 0
        self.differing = 0
        self.cut = 0

    def compare(self, told: _Told) -> None:
        """Run one file here as far as the reference got, and compare."""
        self.files += 1
        if told.end is not None:
            self.cut += 1
            print(f"{told.path}:{told.end}: {visible(told.failure)}")
        shown = _Shown(told.path)
        try:
            for outcome, here in _run(told):
                there = told.events.get(outcome.directive.line, [])
                self.events += len(there)
                shown.command(outcome, there, here)
        except MalformedTraceError as error:
            if told.end is None or error.line < told.end:
                shown.fault(str(error))
        shown.rest()
        self.differing += shown.differing

    def summary(self) -> str:
        """One line for all files."""
        cut = f", {self.cut} ended early" if self.cut else ""
        return f"{self.events} events in {self.files} files: {self.differing} differ from the reference{cut}"


def _run(told: _Told) -> Iterator[tuple[Outcome, list[str]]]:
    listener = _Listener()
    for outcome in replay(read_trace(told.path), InteractionEnv(trace_logger=listener)):
        if told.end is not None and outcome.directive.line >= told.end:
            return
        yield outcome, listener.take()


class _Shown:
    """Prints the differences of one file, up to a limit, and counts all."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.differing = 0
        self._there = 0
        self._here = 0

    def command(self, outcome: Outcome, there: list[str], here: list[str]) -> None:
        """Compare one command's events. A pair that differs counts once."""
        if outcome.crashed:
            self.fault(_place(self.path, outcome.directive) + ": fails here: " + outcome.actual)
        if there != here:
            self._say(_place(self.path, outcome.directive))
            for kind, a, b, c, d in difflib.SequenceMatcher(None, there, here, autojunk=False).get_opcodes():
                if kind != "equal":
                    for number in range(a, b):
                        self._say(f"- {self._there + number + 1} {there[number]}")
                    for number in range(c, d):
                        self._say(f"+ {self._here + number + 1} {here[number]}")
                    self.differing += max(b - a, d - c)
        self._there += len(there)
        self._here += len(here)

    def fault(self, text: str) -> None:
        """Something else than an event went wrong."""
        self._say(text)
        self.differing += 1

    def rest(self) -> None:
        """Say how much more there is than was shown."""
        if self.differing >= _SHOWN:
            print(f"{self.path}: {self.differing} in all")

    def _say(self, text: str) -> None:
        if self.differing < _SHOWN:
            print(visible(text))


def _place(path: str, directive: Directive) -> str:
    return f"{path}:{directive.line}: {directive.text}"
