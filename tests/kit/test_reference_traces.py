"""Every recorded trace of the reference is reproduced, line for line."""

from pathlib import Path

import pytest

from rafttest import run_trace
from rafttest.trace.comparison import significant_lines
from rafttest.trace.file import Directive, read_trace

TRACES = Path(__file__).parents[3] / "shared" / "traces"
FILES = sorted(TRACES.rglob("*.txt"))

pytestmark = pytest.mark.skipif(not FILES, reason="the reference's traces are not beside this checkout")


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(TRACES)) for path in FILES])
def test_trace(path: Path) -> None:
    result = run_trace(path)
    assert result.commands > 0
    assert result.matches(), str(result)


def test_a_changed_character_of_a_trace_is_always_seen() -> None:
    """One character of each expected block, here and there, replaced by what it is not."""
    for path in FILES:
        for at, directive in enumerate(read_trace(path).directives):
            assert significant_lines(changed(directive, at)) != significant_lines(directive.expected), f"{path}:{at}"


def changed(directive: Directive, at: int) -> str:
    text = directive.expected
    visible = [position for position, character in enumerate(text) if not character.isspace()]
    position = visible[at * 7919 % len(visible)]
    return text[:position] + ("#" if text[position] != "#" else "%") + text[position + 1 :]
