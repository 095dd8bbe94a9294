"""Copies of the source: one that is as it should be, and one for each bug.

A copy is run with itself at the head of the module path, and the first thing that is asked of it is where its packages
come from: an installed package must never be what is tested.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from .rows import ROOT, Edit, Row

COPIED: Final = ("raftpb", "pyraft", "rafttest", "examples", "tests", "docs", "pyproject.toml", "README.md")
_PACKAGES: Final = ("raftpb", "pyraft", "rafttest", "examples")


class CopyError(Exception):
    """A copy is not what is tested, or a bug cannot be planted in it."""


def copy_source(target: Path) -> None:
    """Everything that the tests need, below `target`."""
    target.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        else:
            shutil.copy2(source, target / name)


def plant(original: Path, target: Path, row: Row) -> None:
    """A copy of `original`, compiled modules and all, with the bug of `row`. Raises CopyError if it does not apply."""
    shutil.copytree(original, target)
    for edit in row.edits:
        _edit(target, row, edit)


def _edit(target: Path, row: Row, edit: Edit) -> None:
    path = target / edit.file
    try:
        text = edit.apply(path.read_text())
        compile(text, edit.file, "exec")
    except (OSError, ValueError, SyntaxError) as error:
        raise CopyError(f"row {row.id} does not apply: {error}") from error
    path.write_text(text)
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
        compiled.unlink()


def environment(copy: Path) -> dict[str, str]:
    """The environment in which the packages of `copy` are the ones that are imported."""
    return {**os.environ, "PYTHONPATH": str(copy), "PYTHONHASHSEED": "0"}


def check_imports(copy: Path) -> None:
    """Raise CopyError unless the packages come from `copy`, uncompiled."""
    code = f"import {', '.join(_PACKAGES)}, pyraft.rawnode as core\nfor one in ({', '.join(_PACKAGES)}, core):\n"
    code += "    print(one.__file__ or next(iter(one.__path__)))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=copy, env=environment(copy), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CopyError(f"the copy cannot be imported: {done.stderr}")
    for found in done.stdout.splitlines():
        path = Path(found).resolve()
        if not path.is_relative_to(copy.resolve()) or path.suffix == ".so":
            raise CopyError(f"{found} would be tested instead of the copy")
