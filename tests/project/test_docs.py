"""The code in the guides runs, the modules that they name exist, and so do the files that they point to."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pyraft import Config, EncodeError, MemoryStorage, NullLogger, Peer, RawNode
from raftpb.codec import encode_message
from raftpb.confchange import ConfChange
from raftpb.enums import ADD_NODE, MSG_STORAGE_APPEND
from raftpb.message import LOCAL_APPEND_THREAD, Message
from rafttest.record import RecordingNode

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
CODE = [
    (path.name, number, text)
    for path in sorted(DOCS.glob("*.md"))
    for number, text in enumerate(BLOCK.findall(path.read_text()))
]


def _config() -> Config:
    return Config(id=1, storage=MemoryStorage(), random=Random(1), logger=NullLogger())


def _with_a_node(folder: Path) -> dict[str, Any]:
    node = RawNode(_config())
    node.bootstrap([Peer(1)])
    node.apply_conf_change(ConfChange(ADD_NODE, 1))
    return {"node": node, "change": ConfChange(ADD_NODE, 2)}


def _with_a_config(folder: Path) -> dict[str, Any]:
    return {"config": _config()}


def _with_a_recording(folder: Path) -> dict[str, Any]:
    """Node 2's, long enough for nothing but its beginning."""
    node = RecordingNode(_config(), folder, clock=lambda: 0.0)
    node.tick()
    node.close()
    return {"Path": lambda _: next(folder.glob("*.rec"))}


PREPARE: dict[tuple[str, int], Callable[[Path], dict[str, Any]]] = {
    ("ready.md", 0): _with_a_node,
    ("recording.md", 0): _with_a_config,
    ("recording.md", 1): _with_a_recording,
}
"""The names that a block takes for given."""


@pytest.mark.parametrize(("name", "number", "text"), CODE, ids=[f"{name}-{number}" for name, number, _ in CODE])
def test_a_block_of_code_runs(
    name: str, number: int, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    prepare = PREPARE.get((name, number))
    given = {} if prepare is None else prepare(tmp_path)
    text = text.replace('Path("/var/lib/app/recording")', f"Path({str(tmp_path / 'recording')!r})")
    text = re.sub(r"^from pathlib import Path\n", "", text, flags=re.MULTILINE) if "Path" in given else text
    exec(compile(text, f"{name}, block {number}", "exec"), given)


def test_the_table_of_knobs_is_that_of_config() -> None:
    """`docs/differences.md` has a row for each knob whose default is not the reference's, and for no other."""
    table = (DOCS / "differences.md").read_text().partition("| knob |")[2].partition("\n\n")[0]
    listed = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    storage = MemoryStorage()
    ours, theirs = Config(id=1, storage=storage), Config.reference_defaults(id=1, storage=storage)
    differing = {field.name for field in fields(Config) if getattr(ours, field.name) != getattr(theirs, field.name)}
    assert listed == differing - {"random", "logger"}


def test_local_messages_cannot_be_encoded() -> None:
    """As docs/transport.md says."""
    with pytest.raises(EncodeError):
        encode_message(Message(MSG_STORAGE_APPEND, LOCAL_APPEND_THREAD, 1))


def commands() -> list[str]:
    found = set()
    for path in [*DOCS.rglob("*.md"), ROOT / "README.md"]:
        found |= set(re.findall(r"\bpython -m ([a-z_.]+[a-z_])", path.read_text()))
    return sorted(found)


@pytest.mark.parametrize("module", commands())
def test_a_command_names_a_module_that_can_be_run(module: str) -> None:
    """A package has a `__main__`; another module does something when it is run."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    if spec.submodule_search_locations is not None:
        assert importlib.util.find_spec(f"{module}.__main__") is not None
    elif spec.origin is not None and spec.origin.endswith(".py"):
        assert '__name__ == "__main__"' in Path(spec.origin).read_text()


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda path: path.stem)
def test_a_file_that_is_named_is_there(path: Path) -> None:
    """Names in backticks that look like paths from the project's root or below a package."""
    if not (ROOT / "pyraft").is_dir():
        pytest.skip("needs the checkout")
    folders = [
        ROOT,
        ROOT / "pyraft",
        ROOT / "pyraft" / "core",
        path.parent,
        ROOT / "rafttest",
        ROOT / "rafttest" / "sim",
    ]
    named = set(re.findall(r"`([\w./-]+/[\w.-]+\.(?:py|md|toml|go))`", path.read_text()))
    missing = [name for name in sorted(named) if not any((folder / name).exists() for folder in folders)]
    assert [name for name in missing if not name.startswith(("/", "tla/"))] == []
