"""Who is measured: our core three ways, and the peers; each a process that answers requests.

C: compiled core, compiled driver. I: compiled core, interpreted driver, which is what a user has. P: all interpreted.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, TextIO

from benchmarks import builds

Shape = Mapping[str, int]
Answer = dict[str, object]


class EngineError(Exception):
    """An engine answered that it failed, answered nonsense, or died."""


class UnsupportedError(Exception):
    """An engine has no such workload."""


@dataclass(frozen=True)
class Engine:
    """Something that can be started and asked."""

    name: str
    title: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    only: str = ""
    """The one workload it has; empty: many."""


@dataclass(frozen=True)
class EngineKind:
    """An engine that is still to be built; `build` raises `builds.NotBuiltError` if it cannot be."""

    name: str
    title: str
    build: Callable[[], Engine]


def _python(name: str, title: str, *paths: Path, module: str = "benchmarks.worker", only: str = "") -> Engine:
    environment = {"PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONHASHSEED": "0"}
    return Engine(name, title, (sys.executable, "-P", "-m", module), environment, only)


def _ours(engine: Engine, *, core: bool, driver: bool) -> Engine:
    """`engine`, after it has said that what should be compiled is, and nothing else."""
    with EngineClient(engine) as client:
        hello = client.ask({"do": "hello"})
    if (hello.get("compiled_core"), hello.get("compiled_driver")) != (core, driver):
        raise builds.NotBuiltError(f"{engine.title} is not that: {hello}")
    return engine


def _compiled() -> Engine:
    engine = _python("C", "pyraft, compiled core and driver", builds.core_with_drivers())
    return _ours(engine, core=True, driver=True)


def _installed() -> Engine:
    engine = _python("I", "pyraft, compiled core, interpreted driver", builds.core(), builds.ROOT)
    return _ours(engine, core=True, driver=False)


def _interpreted() -> Engine:
    return _ours(_python("P", "pyraft, all interpreted", builds.ROOT), core=False, driver=False)


def _pb2() -> Engine:
    module = "benchmarks.peers.raft_pb2_peer"
    return _python("pb2", "raft_pb2 (protobuf)", builds.ROOT, module=module, only="codec")


def _pysyncobj() -> Engine:
    if importlib.util.find_spec("pysyncobj") is None:
        raise builds.NotBuiltError("it is not installed")
    module = "benchmarks.peers.pysyncobj_peer"
    return _python("pysync", "PySyncObj", builds.ROOT, module=module, only="loopback")


def _go37() -> Engine:
    return Engine("go37", "etcd raft v3.7.0 (Go)", (str(builds.etcd_raft("v3.7.0")),))


def _go36() -> Engine:
    return Engine("go36", "etcd raft v3.6.0 (Go)", (str(builds.etcd_raft("v3.6.0")),))


def _raft_rs() -> Engine:
    return Engine("rs", "raft-rs 0.7 (Rust)", (str(builds.raft_rs()),))


KINDS: Final = (
    EngineKind("C", "the core compiled with the drivers", _compiled),
    EngineKind("I", "the core compiled", _installed),
    EngineKind("P", "the core interpreted", _interpreted),
    EngineKind("go37", "etcd raft v3.7.0", _go37),
    EngineKind("go36", "etcd raft v3.6.0", _go36),
    EngineKind("rs", "raft-rs", _raft_rs),
    EngineKind("pb2", "raft_pb2", _pb2),
    EngineKind("pysync", "PySyncObj", _pysyncobj),
)
BEFORE: Final = {"C": "C0", "I": "I0", "P": "P0"}
"""Our engines, and the same of another checkout, if one is given."""
OURS: Final = ("C", "I", "P")
REFERENCE: Final = "go37"
OTHERS: Final = ("pb2", "pysync")
"""Peers of one workload each."""


def of_checkout(checkout: Path) -> tuple[EngineKind, ...]:
    """Our engines as another checkout of the project has them: what a change is measured against."""

    def compiled() -> Engine:
        return _ours(_python("C0", "C before", _built_there(checkout, "core_with_drivers")), core=True, driver=True)

    def installed() -> Engine:
        engine = _python("I0", "I before", _built_there(checkout, "core"), checkout)
        return _ours(engine, core=True, driver=False)

    def interpreted() -> Engine:
        return _ours(_python("P0", "P before", checkout), core=False, driver=False)

    return (
        EngineKind("C0", "the core of before, compiled with the drivers", compiled),
        EngineKind("I0", "the core of before, compiled", installed),
        EngineKind("P0", "the core of before, interpreted", interpreted),
    )


def _built_there(checkout: Path, build: str) -> Path:
    """What the function `build` of that checkout's own `benchmarks.builds` makes."""
    command = [sys.executable, "-c", f"from benchmarks import builds; print(builds.{build}())"]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise builds.NotBuiltError(f"{checkout} does not build:\n{done.stderr[-2000:]}")
    return Path(done.stdout.strip())


class EngineClient:
    """A running engine. Use it in a `with` block: the process ends with it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        builds.CACHE.mkdir(exist_ok=True)
        with (builds.CACHE / f"{engine.name}.stderr").open("w", encoding="utf-8") as complaints:
            self._process = self._start(complaints)

    def _start(self, complaints: TextIO) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.engine.command,
            env=os.environ | self.engine.environment,
            cwd=builds.HERE,  # nothing to be imported by accident lies there
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
        )

    def __enter__(self) -> EngineClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def ask(self, request: Mapping[str, object]) -> Answer:
        """Send a request and wait for its answer.

        Raises EngineError, or UnsupportedError if the engine has no such workload.
        """
        sent, received = self._process.stdin, self._process.stdout
        if sent is None or received is None:
            raise EngineError(f"{self.engine.title} has no pipes")
        try:
            sent.write(json.dumps(request) + "\n")
            sent.flush()
        except OSError as error:
            raise EngineError(f"{self.engine.title} is gone: {error}") from error
        line = received.readline()
        if not line:
            raise EngineError(f"{self.engine.title} ended with code {self._process.wait()} at {json.dumps(request)}")
        try:
            answer = json.loads(line)
        except json.JSONDecodeError as error:
            raise EngineError(f"{self.engine.title} answered {line[:200]!r}") from error
        if not isinstance(answer, dict):
            raise EngineError(f"{self.engine.title} answered {line[:200]!r}")
        if "unsupported" in answer:
            raise UnsupportedError(f"{self.engine.title}: {answer['unsupported']}")
        if "error" in answer:
            raise EngineError(f"{self.engine.title}: {answer['error']} at {json.dumps(request)}")
        return answer
