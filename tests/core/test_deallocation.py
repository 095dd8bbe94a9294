"""Values are freed however deep they lie in one another: the compiled build once wrote into memory of others there.

CPython's debugging allocator sees that at once, but has to be asked for before the interpreter starts.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from setuptools import Extension

SETUP = Path(__file__).resolve().parents[2] / "setup.py"

NESTED = {
    "a message of nested responses, as its maker frees it": """
m = Message(MessageType.MsgHeartbeat, 1, 1, 1)
for _ in range(500):
    outer = Message(MessageType.MsgHeartbeat, 1, 1, 1)
    outer.responses = [m]
    m = outer
""",
    "a message of nested responses, as a peer may send it": """
data = b"\\x10\\x01"
for _ in range(95):
    length = len(data)
    data = b"\\x72" + bytes([length & 127 | 128, length >> 7] if length > 127 else [length]) + data
m = decode_message(data)
assert m.responses[0].responses
""",
    "an entry at the end of somebody's long chain": """
m = ()
for _ in range(300):
    m = (m, Entry(EntryType.EntryNormal, 1, 1, b"x"), Snapshot(), HardState(1, 1, 1), ConfState((1, 2)))
""",
}


@pytest.mark.parametrize("made", NESTED.values(), ids=list(NESTED))
def test_deep_values_are_freed_without_harm(made: str) -> None:
    script = "from raftpb import *\nfrom raftpb import decode_message\nimport gc\n"
    lines = "".join([f"    {line}\n" for line in made.strip().splitlines()])
    script += f"for _ in range(20):\n{lines}    del m\ngc.collect()\n"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONMALLOC": "debug"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def prepare(source: Path) -> str:
    """What setup.py makes of a file that mypyc wrote."""
    spec = importlib.util.spec_from_file_location("setup_of_the_core", SETUP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.take_out_trashcan(Extension("group", [str(source)]))
    return source.read_text(encoding="utf-8")


def needs_setup() -> None:
    if not SETUP.exists():
        pytest.skip("setup.py is not here: this is the installed wheel's turn")


def test_the_trashcan_is_taken_out_once_and_a_second_time_changes_nothing(tmp_path: Path) -> None:
    needs_setup()
    source = tmp_path / "group.c"
    source.write_text("a_dealloc(self)\nCPy_TRASHCAN_BEGIN(self, a_dealloc)\nclear(self);\nCPy_TRASHCAN_END(self)\n")
    made = prepare(source)
    assert "TRASHCAN" not in made
    assert made.count("do {") == made.count("} while (0);") == 1
    assert prepare(source) == made


def test_deallocators_of_another_form_stop_the_build(tmp_path: Path) -> None:
    """Rather than let them pass with whatever the compiler has come to do."""
    needs_setup()
    source = tmp_path / "group.c"
    source.write_text("a_dealloc(self)\nSOME_OTHER_CAN(self)\n")
    with pytest.raises(SystemExit, match="take_out_trashcan"):
        prepare(source)
