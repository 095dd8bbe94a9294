"""`python -m benchmarks.worker`: one process that runs our workloads on request.

One JSON object a line, in and out; every peer's harness speaks the same.

    {"do": "hello"}                                     -> {"name": ..., "version": ..., ...}
    {"do": "prepare", "workload": ..., "shape": {...}}  -> {"nanoseconds": ..., "resident_bytes": ...}
    {"do": "run", "operations": N}                      -> {"nanoseconds": ..., "operations": N, "messages": ..., ...}
    {"do": "drop"}                                      -> {}

`prepare` builds a workload and keeps it; `run` checks the result after the clock has stopped, and counts what it did
from the beginning of the run. Its `cpu_nanoseconds` are those of all threads. What fails is answered with
{"error": text}, a workload that there is not with {"unsupported": text}.
"""

from __future__ import annotations

import gc
import json
import platform
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import TextIO

import pyraft
from benchmarks.registry import WORKLOADS
from benchmarks.workloads import cluster
from benchmarks.workloads.bench import Bench, Shape, has_batch_append

Answer = dict[str, object]

_PAGE_BYTES = 4096


class Worker:
    """Holds one prepared workload at a time, out of `workloads`; says `greeting` of itself."""

    def __init__(self, workloads: Mapping[str, Callable[[Shape], Bench]], greeting: Answer) -> None:
        self.workloads = workloads
        self.greeting = greeting
        self.bench: Bench | None = None

    def answer(self, request: dict[str, object]) -> Answer:
        """Do what is asked."""
        match request:
            case {"do": "hello"}:
                return self.greeting
            case {"do": "prepare", "workload": str(workload), "shape": dict(shape)}:
                return self._prepare(workload, shape)
            case {"do": "run", "operations": int(operations)}:
                return self._run(operations)
            case {"do": "drop"}:
                self._drop()
                return {}
        raise ValueError(f"{request!r} is no request")

    def _prepare(self, workload: str, shape: dict[str, int]) -> Answer:
        make = self.workloads.get(workload)
        if make is None:
            return {"unsupported": f"no workload {workload}"}
        self._drop()
        before = resident_bytes()
        started = time.perf_counter_ns()
        self.bench = make(shape)
        elapsed = time.perf_counter_ns() - started
        self.bench.verify()
        gc.collect()
        return {
            "nanoseconds": elapsed,
            "resident_bytes": resident_bytes() - before,
            "granularity": self.bench.granularity(),
            "messages": self.bench.messages,
        }

    def _drop(self) -> None:
        if self.bench is not None:
            self.bench.close()
        self.bench = None
        gc.collect()

    def _run(self, operations: int) -> Answer:
        bench = self.bench
        if bench is None:
            raise ValueError("nothing is prepared")
        if operations <= 0 or operations % bench.granularity() != 0:
            raise ValueError(f"{operations} operations are no multiple of {bench.granularity()}")
        bench.settle()
        messages, readies, wire_bytes = bench.messages, bench.readies, bench.wire_bytes
        paused_ns, paused_cpu_ns = bench.paused_ns, bench.paused_cpu_ns
        started, cpu_started = time.perf_counter_ns(), time.process_time_ns()
        bench.run(operations)
        elapsed, cpu_elapsed = time.perf_counter_ns() - started, time.process_time_ns() - cpu_started
        bench.verify()
        return {
            "nanoseconds": elapsed - (bench.paused_ns - paused_ns),
            "cpu_nanoseconds": cpu_elapsed - (bench.paused_cpu_ns - paused_cpu_ns),
            "operations": operations,
            "messages": bench.messages - messages,
            "readies": bench.readies - readies,
            "wire_bytes": bench.wire_bytes - wire_bytes,
            "digest": bench.digest,
        }


def pyraft_greeting() -> Answer:
    """Who answers here, if it is pyraft."""
    return {
        "name": "pyraft",
        "version": pyraft.__version__,
        "runtime": f"{platform.python_implementation()} {platform.python_version()}",
        "compiled_core": pyraft.COMPILED,
        "compiled_driver": not (cluster.__file__ or "").endswith(".py"),
        "core": pyraft.__file__,
        "batch_append": has_batch_append(),
    }


def resident_bytes() -> int:
    """Memory of this process, or 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


def serve(worker: Worker, requests: TextIO, answers: TextIO) -> None:
    """Answer line by line until the input ends."""
    for line in requests:
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve(Worker(WORKLOADS, pyraft_greeting()), sys.stdin, sys.stdout)
