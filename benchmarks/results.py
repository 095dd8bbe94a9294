"""A run on disk: last.json with every sample, table.md, and plots as SVG."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import table
from benchmarks.engines import Engine
from benchmarks.measure import Effort, RowResult
from benchmarks.targets import TargetResult, verdicts


def write(folder: Path, results: Sequence[RowResult], engines: Sequence[Engine], effort: Effort) -> None:
    """Replace what lies in `folder`."""
    from benchmarks import plots  # matplotlib takes its time

    folder.mkdir(parents=True, exist_ok=True)
    document = as_document(results, engines, effort)
    (folder / "last.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (folder / "table.md").write_text(as_markdown(results, engines), encoding="utf-8")
    plots.write(folder, results)


def as_document(results: Sequence[RowResult], engines: Sequence[Engine], effort: Effort) -> dict[str, object]:
    """Everything, for machines."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "effort": asdict(effort),
        "engines": {engine.name: engine.title for engine in engines},
        "rows": [
            {
                "workload": result.row.workload,
                "label": result.row.label,
                "shape": dict(result.row.shape),
                "unit": result.row.unit,
                "refusal": result.refusal,
                "notes": result.notes,
                "engines": {
                    name: asdict(timing)
                    | ({"median": timing.median, "spread": timing.spread} if timing.samples else {})
                    for name, timing in result.timings.items()
                },
            }
            for result in results
        ],
        "targets": [asdict(one) | {"is_kept": one.is_kept} for one in verdicts(results)],
    }


def as_markdown(results: Sequence[RowResult], engines: Sequence[Engine]) -> str:
    """The tables, for people."""
    about = "; ".join(f"{engine.name}: {engine.title}" for engine in engines)
    parts = [
        f"{about}.\n\nTimes are microseconds an operation, medians; a ratio below 1 means that ours is faster.\n",
        f"{where()}\n\n",
        table.markdown(table.header(results), table.lines(results)),
    ]
    memory = table.memory_lines(results)
    if memory:
        parts += ["\n", table.markdown(table.memory_header(), memory)]
    judged = verdicts(results)
    if judged:
        parts += ["\n", table.markdown(("target", "measured", "limit", ""), [verdict_cells(one) for one in judged])]
    return "".join(parts)


def verdict_cells(one: TargetResult) -> list[str]:
    """A promise as a line of a table."""
    where_ = f" ({one.where})" if one.where else ""
    return [one.promise + where_, f"{one.figure:.2f}", f"{one.limit:.2f}", "kept" if one.is_kept else "MISSED"]


def machine() -> dict[str, object]:
    """Where this ran."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "compiler": platform.python_compiler(),
        "load": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else [],
    }


def where() -> str:
    """The same in a sentence."""
    found = machine()
    return f"Measured on {found['processor']}, {found['cores']} cores, CPython {found['python']}."


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
