"""Traces against the reference itself: runs them through a small Go program that drives go.etcd.io/raft/v3.

The program lies beside this file, in the folder `reference`; it needs Go, and the first time a network to fetch the
modules its go.sum names. Go is a tool of this project's developers: where it is missing, and where this package was
installed without the program, a comparison is skipped and says so.

Law: nothing of the trace format or of the rules of comparison is here; the program knows them by itself, so that the
two sides check each other.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

SOURCES: Final = Path(__file__).parent


class NoReferenceError(Exception):
    """The program cannot be built; the text says why. `exit_code`: 0 where that is nobody's fault."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def build_reference(folder: str, *tags: str) -> str:
    """Build the program in `folder`, with build tags of Go; return its path. Raises NoReferenceError."""
    go = shutil.which("go")
    if go is None:
        raise NoReferenceError("skipped: comparing with the reference needs Go, and there is no `go` on the path", 0)
    if not (SOURCES / "go.mod").is_file():
        raise NoReferenceError(
            "skipped: comparing with the reference needs its Go program, which only a source checkout has", 0
        )
    program = str(Path(folder) / "reference.exe")  # the suffix matters on Windows and harms nowhere
    options = ["-tags", ",".join(tags)] if tags else []
    if subprocess.run([go, "build", "-C", str(SOURCES), *options, "-o", program, "."], check=False).returncode != 0:
        raise NoReferenceError("the Go program that runs the reference does not build", 2)
    return program


def compare(paths: Sequence[str], *, rewrite: bool = False) -> int:
    """Run trace files, or all in a folder, through the reference and print each output that differs from the recorded.

    With `rewrite` the reference's outputs are recorded in the files instead. A trace then ends before a command that
    makes the reference panic, or that compacts what is not applied: nothing after it would be worth recording.

    Returns 0 if nothing differs or nothing could be asked, 1 if something differs or the reference panics, 2 if a file
    or the program itself is at fault.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            program = build_reference(folder)
        except NoReferenceError as error:
            print(error)
            return error.exit_code
        options = ["-rewrite"] if rewrite else []
        return subprocess.run([program, *options, "--", *paths], check=False).returncode
