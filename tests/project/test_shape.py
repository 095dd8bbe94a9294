"""The shape of the source: no circles among modules, and nothing too long or too deep."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("raftpb", "pyraft", "rafttest", "examples", "benchmarks")
if not (ROOT / "pyraft").is_dir():
    pytest.skip("needs the checkout", allow_module_level=True)

MOST_LINES: Final = 500
MOST_TEST_LINES: Final = 700
MOST_FUNCTION_LINES: Final = 70
MOST_NESTING: Final = 3

LONG_FUNCTIONS: Final = {
    "rafttest.sim.draw._without_leases": "one line for each option; the order of the draws is the meaning of a seed",
    "rafttest.record.state.decode_state": "one line for each field of the state",
    "pyraft.core.raft.__init__": "one line for each field of the record, with its meaning: there is nothing to divide",
}
LONG_TESTS: Final[dict[str, str]] = {}

_TABLE = "a product of parameters, one loop each"
_TIMED = "inside the clock: a call of its own would be measured"
_SEARCH = "a search: levels, states, what may come next"
DEEP_FUNCTIONS: Final = {
    "raftpb.decode._message": "each field by its number and wire type; compiled, a call for each costs a tenth",
    "rafttest.cli.lease_search.tasks": _TABLE,
    "benchmarks.plan._cluster": _TABLE,
    "rafttest.lease_search.group.events": _SEARCH,
    "rafttest.lease_search.search.search": _SEARCH,
    "rafttest.cli.mixed._play": "seeds in portions, their results, and what each says",
    "rafttest.interaction.messages.deliver_msgs": "receivers, messages, and those to be dropped",
    "rafttest.reference.compare_state_traces.command": "events of two sides, line by line",
    "benchmarks.measure.measure": "rounds, engines, and those that fail",
    "benchmarks.recording.measure": "rounds, clusters, and their load",
    "benchmarks.results._processor": "the lines of a system file, on systems that have one",
    "benchmarks.workloads.nodes._pump_values": _TIMED,
    "benchmarks.workloads.nodes._pump_wire": _TIMED,
    "benchmarks.workloads.nodes.serve": _TIMED,
    "benchmarks.workloads.rawnode._stabilize": _TIMED,
}

_BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match, ast.AsyncFor, ast.AsyncWith)


def files() -> Iterator[tuple[str, Path]]:
    """Every module of the packages, by its name; what was generated or built is none."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if ".build" in parts or "peers" in parts or parts[-1] == "raft_pb2":
                continue
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES: Final = dict(files())


def imports(tree: ast.Module) -> Iterator[str]:
    """The modules of the packages that a module imports, wherever in it, and for its types alone too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in MODULES:
                    yield inner
                elif node.module in MODULES:
                    yield node.module


GRAPH: Final = {name: set(imports(ast.parse(path.read_text()))) - {name} for name, path in MODULES.items()}


def circle() -> list[str]:
    """Some circle, as the modules on it; empty if there is none."""
    done: set[str] = set()

    def search(name: str, way: list[str]) -> list[str]:
        if name in way:
            return way[way.index(name) :]
        if name in done:
            return []
        for other in sorted(GRAPH[name]):
            if found := search(other, [*way, name]):
                return found
        done.add(name)
        return []

    return next((found for name in GRAPH if (found := search(name, []))), [])


def test_no_module_imports_itself_on_any_way() -> None:
    assert circle() == []


ABOVE: Final = {
    "raftpb": {"pyraft", "rafttest", "examples", "benchmarks"},
    "pyraft": {"rafttest", "examples", "benchmarks"},
    "rafttest": {"examples", "benchmarks"},
    "examples": {"benchmarks"},
    "benchmarks": set(),
}
"""What no module of a package imports."""

RECORDED: Final = {
    "examples.raftexample.__main__": "--record: the flight recorder is a feature of the example",
}
"""Examples that import the test kit's recorder, and why."""


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_downwards(package: str) -> None:
    found = {
        f"{name} imports {other}"
        for name, others in GRAPH.items()
        for other in others
        if name.split(".")[0] == package and other.split(".")[0] in ABOVE[package]
    }
    assert found == set()


def test_examples_import_no_test_kit_but_its_recorder() -> None:
    found = {
        name
        for name, others in GRAPH.items()
        if name.startswith("examples") and any(other.startswith("rafttest") for other in others)
    }
    assert found <= set(RECORDED)
    kit = {other for name in found for other in GRAPH[name] if other.startswith("rafttest")}
    assert all(other.startswith(("rafttest.record", "rafttest.linearizability")) for other in kit), kit


def functions(name: str, tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{name}.{node.name}", node


def nesting(node: ast.AST, depth: int = 0) -> int:
    """How many blocks lie within each other; an `elif` is no deeper than its `if`."""
    deepest = depth
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and [child] == node.orelse
        deepest = max(deepest, nesting(child, depth + (isinstance(child, _BLOCKS) and not is_elif)))
    return deepest


def test_modules_are_short() -> None:
    lengths = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_test_modules_are_short() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in sorted((ROOT / "tests").rglob("*.py"))}
    assert {name for name, length in lengths.items() if length > MOST_TEST_LINES} == set(LONG_TESTS)


def test_functions_are_short() -> None:
    found = {
        name
        for module, path in MODULES.items()
        for name, node in functions(module, ast.parse(path.read_text()))
        if (node.end_lineno or 0) - node.lineno + 1 > MOST_FUNCTION_LINES
    }
    assert found == set(LONG_FUNCTIONS)


def test_functions_are_shallow() -> None:
    found = {
        name
        for module, path in MODULES.items()
        for name, node in functions(module, ast.parse(path.read_text()))
        if nesting(node) > MOST_NESTING
    }
    assert found == set(DEEP_FUNCTIONS)
