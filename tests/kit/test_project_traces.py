"""The project's own traces: each tells the scenario of its opening comment, and together they leave no command out."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from raftpb.enums import MessageType
from rafttest import run_trace
from rafttest.arithmetic import confchange_env, quorum_env
from rafttest.interaction import env
from rafttest.reference.compare import SOURCES, compare
from rafttest.trace.command import Command, Shape
from rafttest.trace.comparison import significant_lines
from rafttest.trace.file import Directive, Trace, read_trace
from rafttest.trace.output import Level

TRACES = Path(__file__).parents[1] / "traces"
FILES = sorted(TRACES.rglob("*.txt"))
KINDS: dict[str, Mapping[str, Shape]] = {
    "confchange": confchange_env.COMMANDS,
    "interaction": env.COMMANDS,
    "quorum": quorum_env.COMMANDS,
}

# What the core steps into itself, and what only an application or a transport may ask: none of it is ever sent.
UNSENT = {"MsgHup", "MsgBeat", "MsgUnreachable", "MsgSnapStatus", "MsgCheckQuorum", "MsgForgetLeader"}

# The other texts of the changer name broken laws, which no sequence of commands brings about.
REFUSED_CHANGES = {
    "can't apply simple config change in joint config",
    "can't leave a non-joint config",
    "can't make a zero-voter config joint",
    "config is already joint",
    "more than one voter changed without entering joint config",
    "removed all voters",
    "this command takes no input",
    "unknown input: w3",
    "unknown token v",
    'strconv.ParseUint: parsing "3x": invalid syntax',
    'strconv.ParseUint: parsing "18446744073709551616": value out of range',
}


def name(path: Path) -> str:
    return str(path.relative_to(TRACES).with_suffix(""))


def traces(kind: str) -> Iterator[Trace]:
    return (read_trace(path) for path in FILES if path.parent.name == kind)


def directives(kind: str) -> list[Directive]:
    return [directive for trace in traces(kind) for directive in trace.directives]


def commands(called: str) -> list[Command]:
    return [directive.command for directive in directives("interaction") if directive.command.name == called]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_replay(path: Path) -> None:
    result = run_trace(path)
    assert result.commands > 0
    assert result.matches(), str(result)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_trace_begins_with_what_it_tells_and_holds_no_texts_of_the_log(path: Path) -> None:
    trace = read_trace(path)
    assert trace.lines[0].startswith("# ")
    for directive in trace.directives:
        assert directive.expected.splitlines() == significant_lines(directive.expected), directive.line


def test_every_folder_holds_traces_of_its_kind() -> None:
    assert {path.parent.name for path in FILES} == KINDS.keys()
    assert sorted(path for path in TRACES.rglob("*") if path.is_file()) == FILES


@pytest.mark.parametrize("kind", KINDS)
def test_every_command_and_option_occurs(kind: str) -> None:
    used = {directive.command.name: set[str]() for directive in directives(kind)}
    for directive in directives(kind):
        used[directive.command.name] |= {argument.key for argument in directive.command.arguments if argument.values}
    assert used.keys() == KINDS[kind].keys()
    for command, shape in KINDS[kind].items():
        assert used[command] >= set(shape.options or ()), command


def test_every_value_of_an_option_occurs() -> None:
    assert {word.upper() for command in commands("log-level") for word in command.words()} >= {*Level.__members__}
    assert {value for command in commands("add-nodes") for value in command.values("read-only")} >= {"lease-based"}
    changes = commands("propose-conf-change")
    assert {value for command in changes for value in command.values("transition")} >= {"auto", "implicit", "explicit"}
    assert {value for command in changes for value in command.values("v1")} >= {"true", "false"}
    letters = {step[0] for command in changes for step in command.input.split()}
    assert letters >= {*"vlru"}


def test_every_type_of_message_that_is_sent_occurs() -> None:
    shown = {word for directive in directives("interaction") for word in directive.expected.split()}
    assert {*MessageType.__members__} - shown == UNSENT


def test_every_reason_to_refuse_a_change_occurs() -> None:
    refused = {directive.expected.strip() for directive in directives("confchange")}
    assert refused >= REFUSED_CHANGES


def test_the_reference_gives_the_same_outputs(capfd: pytest.CaptureFixture[str]) -> None:
    go = shutil.which("go")
    if go is None:
        pytest.skip("there is no Go on this machine")
    listed = subprocess.run([go, "list", "-deps", "."], cwd=SOURCES, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip(f"Go cannot get the modules of the reference: {listed.stderr.strip()}")
    code = compare([str(TRACES)])
    shown = capfd.readouterr().out
    assert code == 0, shown
    assert f"in {len(FILES)} files: 0 differ" in shown
