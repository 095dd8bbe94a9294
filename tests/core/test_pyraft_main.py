"""`python -m pyraft` says what is installed."""

import subprocess
import sys

import pytest

import pyraft
from pyraft.__main__ import main


def test_says_version_build_and_place(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0
    line = capsys.readouterr().out
    assert line.startswith(f"pyraft {pyraft.__version__}, ")
    assert ("compiled" in line) == pyraft.COMPILED
    assert ("pure Python" in line) != pyraft.COMPILED


def test_is_a_command() -> None:
    done = subprocess.run([sys.executable, "-m", "pyraft"], capture_output=True, text=True, check=True)
    assert pyraft.__version__ in done.stdout
