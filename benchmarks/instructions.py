"""`python -m benchmarks.instructions --before CHECKOUT`: count instructions, where times are too noisy to be a gate.

Valgrind runs each engine twice, with operations in different numbers; the difference is what the operations cost. The
same build counts the same, whatever else the machine does. Exit code: 0 if no engine needs more than --limit times the
instructions of before, 1 if one does, 2 if valgrind is missing or something does not build.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.builds import NotBuiltError
from benchmarks.engines import BEFORE, KINDS, Engine, of_checkout

ROWS: Final[tuple[tuple[str, str, Mapping[str, int]], ...]] = (
    ("rawnode single-voter", "rawnode", {"voters": 1}),
    ("rawnode two-voters", "rawnode", {"voters": 2}),
    ("cluster n=1 batch=1", "cluster", {"nodes": 1, "batch": 1, "bytes": 128, "wire": 0}),
    ("cluster n=3 batch=1", "cluster", {"nodes": 3, "batch": 1, "bytes": 128, "wire": 0}),
    ("cluster n=3 batch=1 wire", "cluster", {"nodes": 3, "batch": 1, "bytes": 128, "wire": 1}),
    ("cluster n=3 batch=64", "cluster", {"nodes": 3, "batch": 64, "bytes": 128, "wire": 0}),
)
"""Label, workload, shape."""

_FEW: Final = 768
_MANY: Final = 3 * _FEW
_COUNTED: Final = re.compile(r"Collected : (\d+)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Count, print and judge; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--before", metavar="CHECKOUT", type=Path, required=True, help="what is compared with")
    parser.add_argument("--engines", default="C,I", help="of C and I (default: both)")
    parser.add_argument("--limit", type=float, default=1.02, help="most of the geometric mean (default: 1.02)")
    options = parser.parse_args(arguments)
    if shutil.which("valgrind") is None:
        print("valgrind is not here")
        return 2
    try:
        return _compare(options.engines.split(","), options.before.resolve(), options.limit)
    except (NotBuiltError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _compare(names: Sequence[str], before: Path, limit: float) -> int:
    old_kinds = {kind.name: kind for kind in of_checkout(before)}
    new_kinds = {kind.name: kind for kind in KINDS}
    is_kept = True
    for name in names:
        new, old = new_kinds[name].build(), old_kinds[BEFORE[name]].build()
        ratios = []
        for label, workload, shape in ROWS:
            now, then = (count(engine, workload, shape) for engine in (new, old))
            ratios.append(now / then)
            print(
                f"{name}  {label:26} {now:10,.0f} instructions an operation, {then:10,.0f} before: {now / then:.3f}",
                flush=True,
            )
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        is_kept = is_kept and mean <= limit
        print(
            f"{name}  geometric mean {mean:.3f}, limit {limit:.2f}: {'kept' if mean <= limit else 'MISSED'}", flush=True
        )
    return 0 if is_kept else 1


def count(engine: Engine, workload: str, shape: Mapping[str, int]) -> float:
    """Instructions of one operation. Raises ValueError if the engine fails."""
    few, many = (_run(engine, workload, shape, operations) for operations in (_FEW, _MANY))
    return (many - few) / (_MANY - _FEW)


def _run(engine: Engine, workload: str, shape: Mapping[str, int], operations: int) -> int:
    requests = (
        {"do": "prepare", "workload": workload, "shape": dict(shape)},
        {"do": "run", "operations": operations},
    )
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *engine.command],
        input="".join(json.dumps(one) + "\n" for one in requests),
        env=os.environ | engine.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    found = _COUNTED.search(done.stderr)
    if found is None or '"error"' in done.stdout or done.stdout.count("\n") != len(requests):
        raise ValueError(f"{engine.title} failed at {workload} {dict(shape)}: {done.stdout[-300:]}{done.stderr[-500:]}")
    return int(found[1])


if __name__ == "__main__":
    sys.exit(main())
