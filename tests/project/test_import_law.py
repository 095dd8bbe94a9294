"""Who may import whom: only downwards, never a sibling; and nothing below `rawnode` knows a clock, chance or I/O.

`LAYERS` lists the layers from the lowest up. A module may import what lies in a lower layer, not what lies in its own.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]

LAYERS: Final[tuple[frozenset[str], ...]] = tuple(
    frozenset(f"pyraft.{name}" for name in layer.split())
    for layer in (
        "errors types logger storage trace_logger",
        "anomalies lease quota read_queue ready log_reader config",
        "memory_storage unstable",
        "log",
        "quorum tracker.inflights tracker.configuration",
        "tracker.progress",
        "tracker.tracker",
        "confchange.changer state_trace",
        "confchange.restore",
        "core.raft",
        "core.replication",
        "core.transitions core.reads core.transfer",
        "core.election core.membership core.acks",
        "core.snapshot core.proposals",
        "core.durability core.roles core.start",
        "core.step",
        "async_writes",
        "ready_builder",
        "status describe bootstrap validation core_state arguments guard",
        "rawnode node_like",
    )
)

PACKAGES: Final = frozenset({"pyraft", "pyraft.__main__", "pyraft.core", "pyraft.tracker", "pyraft.confchange"})
"""Packages, and what is run: no module imports them."""

DETERMINISTIC: Final = frozenset(
    {
        "__future__",
        "abc",
        "collections",
        "contextlib",
        "dataclasses",
        "enum",
        "json",
        "mypy_extensions",
        "raftpb",
        "sortedcontainers",
        "types",
        "typing",
    }
)
"""What a module may import from outside: nothing that could tell two runs apart."""

EXCEPTIONS: Final = {"pyraft.config": {"logging", "random"}, "pyraft.read_queue": {"librt"}}
"""Where the collaborators that an application brings have their defaults; and mypyc's own library, which reads a number
from bytes."""


def modules(package: str) -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever it does; `from a import b` is a.b if that is a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in HOUSE else node.module


HOUSE: Final = modules("pyraft")
ROOMS: Final = sorted(HOUSE.keys() - PACKAGES)


def floor_of(module: str) -> int:
    return next(floor for floor, layer in enumerate(LAYERS) if module in layer)


def test_every_module_has_its_place() -> None:
    placed = [module for layer in LAYERS for module in layer]
    assert sorted(placed) == ROOMS


@pytest.mark.parametrize("module", ROOMS)
def test_only_what_lies_below_is_imported(module: str) -> None:
    wrong = [
        imported
        for imported in imports(HOUSE[module])
        if imported.split(".")[0] == "pyraft"
        if imported in PACKAGES or floor_of(imported) >= floor_of(module)
    ]
    assert wrong == []


@pytest.mark.parametrize("module", ROOMS)
def test_nothing_that_could_tell_two_runs_apart_is_imported(module: str) -> None:
    outside = {imported.split(".")[0] for imported in imports(HOUSE[module])} - {"pyraft"}
    assert outside - DETERMINISTIC == EXCEPTIONS.get(module, set())


@pytest.mark.parametrize("module", ROOMS)
def test_no_clock_identity_or_hash_gets_in_by_a_builtin(module: str) -> None:
    """`id`, `hash` and the like differ from run to run; `id` as a name of one's own is a node."""
    tree = ast.parse(HOUSE[module].read_text(encoding="utf-8"))
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert called.isdisjoint({"id", "hash", "open", "input", "print", "__import__", "exec", "eval", "globals", "vars"})


def test_the_words_on_the_wire_know_nothing_of_raft() -> None:
    allowed = DETERMINISTIC | {"google", "librt", "struct"}
    for module, path in modules("raftpb").items():
        if module != "raftpb.raft_pb2":
            assert {imported.split(".")[0] for imported in imports(path)} <= allowed, module


def test_the_library_does_not_know_its_test_kit() -> None:
    for path in [*HOUSE.values(), *modules("raftpb").values()]:
        assert {imported.split(".")[0] for imported in imports(path)}.isdisjoint({"rafttest", "tests", "examples"})


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        pytest.param("pyraft.log", "pyraft.core.raft", id="upwards"),
        pytest.param("pyraft.core.reads", "pyraft.core.transfer", id="a sibling"),
        pytest.param("pyraft.core.step", "pyraft.core.step", id="oneself"),
    ],
)
def test_the_law_would_notice(module: str, imported: str) -> None:
    assert floor_of(imported) >= floor_of(module)
