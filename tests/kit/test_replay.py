"""Running a trace from a test of one's own."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from sample_traces import BAD, GOOD, GOOD_CHANGES, GOOD_QUORUM, write

from pyraft.errors import InvariantError
from rafttest import InteractionEnv, MalformedTraceError, TraceResult, run_trace
from rafttest.trace.command import Command, Shape
from rafttest.trace.environment import Environment


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        pytest.param(GOOD, 5, id="interaction"),
        pytest.param(GOOD_CHANGES, 1, id="configuration"),
        pytest.param(GOOD_QUORUM, 1, id="quorum"),
    ],
)
def test_every_kind_of_trace_runs(tmp_path: Path, text: str, commands: int) -> None:
    path = write(tmp_path / "a.txt", text)
    assert run_trace(path) == TraceResult(str(path), commands, ())
    assert run_trace(path).matches()


def test_every_command_that_differs_is_reported(tmp_path: Path) -> None:
    result = run_trace(write(tmp_path / "a.txt", BAD))
    assert not result.matches()
    assert [(outcome.directive.line, outcome.actual) for outcome in result.differences] == [
        (15, "1: StateLeader (Voter) Term:1 Lead:1\n"),
        (19, '1/3 EntryNormal ""\n'),
    ]
    assert str(result).splitlines() == [
        f"{tmp_path}/a.txt: 2 of 5 commands differ",
        f"{tmp_path}/a.txt:15: raft-state",
        "--- expected",
        "+++ actual",
        "@@ -1 +1 @@",
        "-1: StateLeader (Voter) Term:1 Lead:2",
        "+1: StateLeader (Voter) Term:1 Lead:1",
        f"{tmp_path}/a.txt:19: raft-log 1",
        "--- expected",
        "+++ actual",
        "@@ -1 +1 @@",
        '-1/4 EntryNormal ""',
        '+1/3 EntryNormal ""',
    ]


@pytest.mark.parametrize("text", [GOOD_CHANGES, GOOD_QUORUM], ids=["configuration", "quorum"])
@pytest.mark.parametrize("replacement", ["#", " ", "\n", "-", ""], ids=["other", "space", "newline", "dash", "gone"])
def test_a_trace_with_a_changed_character_never_matches(tmp_path: Path, text: str, replacement: str) -> None:
    """Anywhere from the separator on, but for what ends the file."""
    path = tmp_path / "a.txt"
    for position in range(text.index("----"), len(text) - 1):
        if text[position] == replacement:
            continue
        path.write_text(text[:position] + replacement + text[position + 1 :])
        try:
            assert not run_trace(path).matches(), path.read_text()
        except MalformedTraceError:
            continue


def test_a_trace_continues_in_the_environment_given(tmp_path: Path) -> None:
    env = InteractionEnv()
    env.handle("add-nodes 1 voters=(1) index=7")
    path = write(tmp_path / "a.txt", "raft-log 1\n----\nlog is empty: first index=8, last index=7\n")
    assert run_trace(path, env).matches()
    with pytest.raises(MalformedTraceError, match="'vote' belongs to another kind"):
        run_trace(write(tmp_path / "b.txt", "vote\n----\nVoteWon\n"), env)


class BrokenEnv(Environment):
    """Says something and fails."""

    def shapes(self) -> Mapping[str, Shape]:
        return {"die": Shape(), "fall": Shape()}

    def run(self, command: Command) -> None:
        self.output.write("last step\n")
        raise InvariantError("no way out") if command.name == "die" else ZeroDivisionError("no way up")


def test_a_failure_of_the_core_is_a_difference_and_the_trace_goes_on(tmp_path: Path) -> None:
    expected = "last step\nInvariantError: no way out\n"  # even so: a trace cannot expect it
    text = f"die\n----\n{expected}\nfall\n----\nok\n\ndie\n----\nok\n"
    first, second, third = run_trace(write(tmp_path / "a.txt", text), BrokenEnv()).differences
    assert first.crashed
    assert first.actual == expected
    assert second.actual.startswith("last step\nTraceback")
    assert second.actual.endswith("ZeroDivisionError: no way up\n")
    assert third.directive.line == 10
