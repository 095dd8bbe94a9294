"""Makes system calls of real processes fail: compiles `faulty_disk.c`, and says what the disk is to do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def compile_library(target: Path) -> Path:
    """The library to preload; skips the test where that cannot be done."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs Linux and a C compiler: system calls are made to fail by a preloaded library")
    source = HERE / "faulty_disk.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", target, source, "-ldl", "-lpthread"], check=True)
    return target


class FaultyDisk:
    """What the disk does to the files below `directory`, in processes that are started with `environment`."""

    def __init__(self, library: Path, home: Path, directory: Path) -> None:
        self.directory = directory
        self.trigger = home / "trigger"
        self.log = home / "syncs"
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(HERE.parents[1]),
            "LD_PRELOAD": str(library),
            "FAULTY_DIRECTORY": str(directory),
            "FAULTY_TRIGGER": str(self.trigger),
            "FAULTY_LOG": str(self.log),
        }
        self._generation = 0

    def begin(self, mode: str, number: int = 0) -> None:
        """From now on calls fail; `faulty_disk.c` explains the modes."""
        self._generation += 1
        complete = self.trigger.with_suffix(".new")
        complete.write_text(f"{self._generation} {mode} {number}")
        complete.rename(self.trigger)

    def heal(self) -> None:
        """No call fails any more."""
        self.trigger.unlink()

    def synced(self) -> list[str]:
        """The files whose syncs were asked for since the last call."""
        if not self.log.exists():
            return []
        names = [Path(line).name for line in self.log.read_text().splitlines()]
        self.log.unlink()
        return names
