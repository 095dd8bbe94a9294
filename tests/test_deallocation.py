"""Values are freed however deep they lie in one another: the compiled build once wrote into memory of others there.

CPython's debugging allocator sees that at once, but has to be asked for before the interpreter starts.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

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
