"""`python -m rafttest replay PATH...`: run traces, show what differs, count. Recordings too: `recordings`.

Differences go to the standard output, complaints and the progress bar to the standard error. Exit code: 0 if everything
matches (or was rewritten), 1 if something differs, 2 if a file is no trace, or was not to be read or written.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rafttest.cli import recordings
from rafttest.cli.progress_bar import ProgressBar
from rafttest.interaction.env import InteractionEnv
from rafttest.replay import Outcome, replay
from rafttest.trace.comparison import visible
from rafttest.trace.environment import Environment
from rafttest.trace.file import MalformedTraceError, Trace, read_trace
from rafttest.trace.rewrite import replace_file, rewritten
from rafttest.trace.state_trace_writer import StateTraceWriter

EXIT_MATCHES: Final = 0
EXIT_DIFFERS: Final = 1
EXIT_MALFORMED: Final = 2


def add_parser(parent: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to a command line."""
    parser = parent.add_parser("replay", help="run traces or recordings and compare their outputs", description=__doc__)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a trace file or a recording, or a folder of them")
    parser.add_argument("--until", type=int, metavar="N", help="recordings: stop at input N, and show the node")
    parser.add_argument(
        "--rewrite", action="store_true", help="write the actual outputs into files below the current folder"
    )
    parser.add_argument(
        "--state-trace",
        metavar="OUT.ndjson",
        help="also write each step of the protocol, to be validated against a TLA+ specification; for one trace only",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run what the command line names; return the exit code."""
    paths: list[str] = options.paths
    rewrite: bool = options.rewrite
    state_trace: str | None = options.state_trace
    until: int | None = options.until
    try:
        found = recordings.recordings_in(paths)
        if found or until is not None:
            if rewrite or state_trace is not None:
                raise UsageError("--rewrite and --state-trace are for traces")
            return recordings.run(found, until)
        files = [file for path in paths for file in trace_files(path)]
        if rewrite:
            _check_below_here(files)
        if state_trace is None:
            return _Session(files, rewrite).run()
        if len(files) != 1:
            raise UsageError(f"--state-trace takes one trace, not {len(files)}: its nodes are those of one cluster")
        with Path(state_trace).open("w", encoding="utf-8", newline="\n") as stream:
            return _Session(files, rewrite, InteractionEnv(trace_logger=StateTraceWriter(stream))).run()
    except (UsageError, recordings.MixedError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        print(visible(f"error: {error}"), file=sys.stderr)
        return EXIT_MALFORMED


class UsageError(Exception):
    """The command line asks for something that cannot be done."""


@dataclass(slots=True)
class _Counts:
    commands: int = 0
    matching: int = 0
    differing: int = 0
    malformed: int = 0
    rewritten: int = 0


class _Session:
    """One run over all files, each in an environment of its own, unless one is given for the only one."""

    def __init__(self, files: list[str], rewrite: bool, environment: Environment | None = None) -> None:
        self.files = files
        self.rewrite = rewrite
        self.environment = environment
        self.counts = _Counts()
        self.progress = ProgressBar(len(files), sys.stderr)

    def run(self) -> int:
        for path in self.files:
            self.progress.show(path)
            try:
                self._replay(read_trace(path))
            except MalformedTraceError as error:
                self._complain(str(error))
            except BrokenPipeError:
                raise
            except OSError as error:
                self._complain(f"{path}: {error.strerror or error}")
            self.progress.advance()
        self.progress.clear()
        print(self._summary())
        if self.counts.malformed:
            return EXIT_MALFORMED
        return EXIT_DIFFERS if self.counts.differing else EXIT_MATCHES

    def _replay(self, trace: Trace) -> None:
        outputs: dict[int, str] = {}
        differs = False
        for outcome in replay(trace, self.environment):
            self.counts.commands += 1
            self.progress.show(f"{trace.path}:{outcome.directive.line}")
            if outcome.matches():
                continue
            if self.rewrite and not outcome.crashed:
                outputs[outcome.directive.line] = outcome.actual
            else:
                differs = True
                self._show(trace.path, outcome)
        if differs:
            self.counts.differing += 1
        elif outputs:
            replace_file(trace.path, rewritten(trace, outputs))
            self.counts.rewritten += 1
        else:
            self.counts.matching += 1

    def _show(self, path: str, outcome: Outcome) -> None:
        self.progress.clear()
        for line in outcome.report(path):
            print(line)
        print()

    def _complain(self, text: str) -> None:
        self.counts.malformed += 1
        self.progress.clear()
        print(visible(text), file=sys.stderr)

    def _summary(self) -> str:
        counts = self.counts
        written = f" {counts.rewritten} rewritten," if self.rewrite else ""
        return (
            f"{counts.matching} of {len(self.files)} traces match,{written} {counts.differing} differ, "
            f"{counts.malformed} malformed; {counts.commands} commands"
        )


def trace_files(path: str) -> list[str]:
    """The file itself, or what lies below a folder, sorted by name. Raises UsageError if there is nothing."""
    if os.path.isfile(path):
        return [path]
    if not os.path.isdir(path):
        raise UsageError(f"{path}: there is no such file or folder")
    files = list(_walk(path))
    if not files:
        raise UsageError(f"{path}: there is no trace in this folder")
    return files


def _walk(folder: str) -> Iterator[str]:
    """Files below a folder, but for those that editors leave behind and for Markdown, which explains traces."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        name = entry.name
        if name.startswith((".", "#")) or name.endswith(("~", ".md")):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)
        elif entry.is_file():
            yield entry.path


def _check_below_here(files: list[str]) -> None:
    here = Path.cwd().resolve()
    for file in files:
        if not Path(file).resolve().is_relative_to(here):
            raise UsageError(f"{file}: --rewrite only writes below the current folder, {here}")
