"""The small examples do what their texts say, and the README shows the loop that runs."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOOP = ROOT / "examples" / "single_node.py"


def test_a_single_node_applies_what_it_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_module("examples.single_node", run_name="__main__")
    assert capsys.readouterr().out == "applied: the log is the truth\n"


def test_three_nodes_survive_the_loss_of_their_leader(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_module("examples.three_nodes", run_name="__main__")
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.endswith("{1: ['one', 'two'], 2: ['one', 'two'], 3: ['one', 'two']}")


def test_the_smallest_loop_is_small() -> None:
    assert len(LOOP.read_text().splitlines()) <= 80


def test_the_readme_shows_the_calls_of_the_smallest_loop_in_their_order() -> None:
    calls = re.compile(r"(has_ready|ready|apply_snapshot|append|set_hard_state|send|apply|advance)\(")
    readme = (ROOT / "README.md").read_text()
    shown = calls.findall(readme[readme.index("while node.has_ready") : readme.index("[examples/single_node.py]")])
    source = LOOP.read_text()
    body = source[source.index("while self.node.has_ready") : source.index("    def send(")]
    assert calls.findall(body) == shown
