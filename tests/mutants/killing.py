"""Killing: run what is expected to fail, the quickest first, until something does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from .planting import environment
from .rows import Row

_CORE: Final = (
    *("election", "transfer", "reads", "replication", "acks", "proposals", "core_membership", "snapshot", "durability"),
    *("step", "start", "safety_knobs", "leases", "log", "unstable", "progress", "inflights", "tracker", "quorum"),
    *("changer", "restore", "rawnode", "hostile_messages", "misuse", "node_failure", "memory_storage", "read_queue"),
    *("quota", "config", "log_reader", "cost"),
)
_FALLBACK_TESTS: Final = ("wire/test_message.py", *(f"core/test_{name}.py" for name in _CORE))
_FALLBACK_RUNS: Final = 40
_FALLBACK_PATIENCE: Final = 5
"""How much longer than anything that is named the fallback may take: it is many tests at once."""

_FAILED = re.compile(r"^(?:FAILED|ERROR) tests/(.*?)(?: - .*)?$", re.MULTILINE)
_PASSED: Final = 0


class Verdict(Enum):
    """How a row ended."""

    KILLED = "killed"
    TIMED_OUT = "timed out"
    SURVIVED = "survived"
    NOT_PLANTED = "not planted"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a row, by what, and how long that took."""

    row: Row
    verdict: Verdict
    killer: str = ""
    seconds: float = 0.0
    is_fallback: bool = False


@dataclass(frozen=True, slots=True)
class Killer:
    """Something to run in a copy. `name`: what to call it where the output does not tell."""

    name: str
    arguments: tuple[str, ...]
    is_fallback: bool = False


@dataclass(frozen=True, slots=True)
class Shot:
    """What came of one killer. `failed`: what failed, by name; empty if nothing did."""

    code: int
    output: str
    failed: str
    timed_out: bool = False


def named_killers(rows: Sequence[Row]) -> Iterator[Killer]:
    """What the rows name, each once."""
    for trace in dict.fromkeys(trace for row in rows for trace in row.traces):
        yield Killer(f"traces/{trace}", ("-m", "rafttest", "replay", f"tests/traces/{trace}"))
    tests = tuple(dict.fromkeys(test for row in rows for test in row.tests))
    if tests:
        yield _pytest(tests)
    for seed in dict.fromkeys(seed for row in rows for seed in row.seeds):
        yield Killer(f"sim --seed {seed}", ("-m", "rafttest", "sim", "--seed", str(seed)))


def fallback_killers() -> Iterator[Killer]:
    """What is left to try when nothing that was named fails."""
    yield _pytest(_FALLBACK_TESTS, is_fallback=True)
    yield Killer("traces", ("-m", "rafttest", "replay", "tests/traces"), True)
    runs = str(_FALLBACK_RUNS)
    yield Killer(f"sim --runs {runs}", ("-m", "rafttest", "sim", "--runs", runs), True)


def _pytest(tests: Sequence[str], is_fallback: bool = False) -> Killer:
    options = ("-m", "pytest", "-x", "-q", "--tb=no", "-rfE", "-p", "no:cacheprovider")
    return Killer("pytest", (*options, *(f"tests/{test}" for test in tests)), is_fallback)


def shoot(killer: Killer, copy: Path, limit_seconds: float) -> Shot:
    """Run a killer in `copy`, and end it and its children if it takes longer than `limit_seconds`."""
    process = subprocess.Popen(
        [sys.executable, *killer.arguments],
        cwd=copy,
        env=environment(copy),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=limit_seconds)
    except subprocess.TimeoutExpired:
        _end(process)
        return Shot(-1, "", killer.name, True)
    except BaseException:
        _end(process)
        raise
    return Shot(process.returncode, output, _failed(killer, process.returncode, output))


def _end(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _failed(killer: Killer, code: int, output: str) -> str:
    if code == _PASSED:
        return ""
    found = _FAILED.search(output)
    return found[1] if found is not None else killer.name


def kill(row: Row, copy: Path, limit_seconds: float, with_fallback: bool = True) -> Outcome:
    """Run killers in a copy with the bug of `row` until one fails."""
    began = time.monotonic()
    killers = [*named_killers([row]), *(fallback_killers() if with_fallback else ())]
    for killer in killers:
        shot = shoot(killer, copy, limit_seconds * (_FALLBACK_PATIENCE if killer.is_fallback else 1))
        if shot.code != _PASSED:
            verdict = Verdict.TIMED_OUT if shot.timed_out else Verdict.KILLED
            return Outcome(row, verdict, shot.failed, time.monotonic() - began, killer.is_fallback)
    return Outcome(row, Verdict.SURVIVED, "", time.monotonic() - began)
