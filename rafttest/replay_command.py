"""`python -m rafttest replay PATH...`: run traces, show what differs, count.

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

from rafttest.comparison import visible
from rafttest.datadriven import MalformedTraceError, Trace, read_trace
from rafttest.progress import ProgressBar
from rafttest.replay import Outcome, replay
from rafttest.rewriting import replace_file, rewritten

EXIT_MATCHES: Final = 0
EXIT_DIFFERS: Final = 1
EXIT_MALFORMED: Final = 2


def add_parser(parent: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to a command line."""
    parser = parent.add_parser("replay", help="run trace files and compare their outputs", description=__doc__)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a trace file, or a folder of them")
    parser.add_argument(
        "--rewrite", action="store_true", help="write the actual outputs into files below the current folder"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run what the command line names; return the exit code."""
    paths: list[str] = options.paths
    rewrite: bool = options.rewrite
    try:
        files = [file for path in paths for file in _trace_files(path)]
        if rewrite:
            _check_below_here(files)
    except (_UsageError, OSError) as error:
        print(visible(f"error: {error}"), file=sys.stderr)
        return EXIT_MALFORMED
    return _Session(files, rewrite).run()


class _UsageError(Exception):
    """The command line asks for something that cannot be done."""


@dataclass(slots=True)
class _Counts:
    commands: int = 0
    matching: int = 0
    differing: int = 0
    malformed: int = 0
    rewritten: int = 0


class _Session:
    """One run over all files."""

    def __init__(self, files: list[str], rewrite: bool) -> None:
        self.files = files
        self.rewrite = rewrite
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
        for outcome in replay(trace):
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


def _trace_files(path: str) -> list[str]:
    """The file itself, or what lies below a folder, sorted by name. Raises _UsageError if there is nothing."""
    if os.path.isfile(path):
        return [path]
    if not os.path.isdir(path):
        raise _UsageError(f"{path}: there is no such file or folder")
    files = list(_walk(path))
    if not files:
        raise _UsageError(f"{path}: there is no trace in this folder")
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
            raise _UsageError(f"{file}: --rewrite only writes below the current folder, {here}")
