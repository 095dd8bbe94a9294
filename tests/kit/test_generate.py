"""Random scripts: a function of the seed, well-formed, varied, and mostly alive."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rafttest.generate.random_script import main, random_script
from rafttest.interaction.env import COMMANDS
from rafttest.replay import replay
from rafttest.trace.command import Command
from rafttest.trace.file import MalformedTraceError, parse_trace

MANY = range(1, 121)

# Commands that scripts contain because they are refused.
REFUSED = {"add-nodes 1 index=1", "add-nodes 1 read-only=never", "add-nodes 1 voters=(1,2,3)"}


def commands(seed: int, count: int = 200) -> list[Command]:
    return [directive.command for directive in parse_trace(random_script(seed, count)).directives]


@pytest.fixture(scope="module")
def many() -> str:
    """Scripts enough for everything to appear."""
    return "\n".join(random_script(seed) for seed in MANY)


@given(st.integers())
@settings(max_examples=20)
def test_a_script_is_a_function_of_its_seed(seed: int) -> None:
    script = random_script(seed)
    random.seed(seed + 1)
    assert random_script(seed) == script


def test_seeds_give_different_scripts() -> None:
    assert len({random_script(seed) for seed in MANY}) == len(MANY)


@pytest.mark.parametrize("count", [1, 50, 400])
def test_a_script_is_about_as_long_as_asked(count: int) -> None:
    longest_move_and_end = 200
    for seed in MANY:
        assert count <= len(commands(seed, count)) <= count + longest_move_and_end


@given(st.integers())
@settings(max_examples=50)
def test_expected_outputs_are_left_to_the_reference(seed: int) -> None:
    directives = parse_trace(random_script(seed)).directives
    assert {directive.expected for directive in directives} == {""}
    assert {directive.command.name for directive in directives} <= COMMANDS.keys()


def named_nodes(command: Command) -> Iterator[int]:
    """Nodes that have to exist for the command to run."""
    if command.name in ("add-nodes", "log-level"):
        return
    if command.name == "transfer-leadership":
        yield from (int(value) for key in ("from", "to") for value in command.values(key))
    elif command.name in ("campaign", "compact", "propose", "propose-conf-change", "read-index"):
        yield int(command.words()[0])
    else:
        yield from (int(word) for word in command.words())


@given(st.integers())
@settings(max_examples=50)
def test_nodes_are_created_before_they_are_named(seed: int) -> None:
    created = 0
    for directive in parse_trace(random_script(seed)).directives:
        command = directive.command
        if command.name == "add-nodes" and directive.text not in REFUSED:
            created += int(command.words()[0])
        assert all(1 <= node <= created for node in named_nodes(command)), directive.text


def test_every_command_appears() -> None:
    assert {command.name for seed in MANY for command in commands(seed)} == set(COMMANDS)


@pytest.mark.parametrize(
    "feature",
    [
        "learners=(",
        "async-storage-writes=true",
        "prevote=true",
        "checkquorum=true",
        "read-only=lease-based",
        "read-only=safe",
        "inflight=1",
        "max-committed-size-per-ready=",
        "step-down-on-removal=true",
        "disable-conf-change-validation=true",
        "v1=true\n",
        "transition=auto",
        "transition=implicit",
        "transition=explicit",
        "type=MsgSnap drop=",
        "type=MsgTimeoutNow",
        "stabilize 1 2\n",
        "stabilize log-level=none",
        "process-ready 2 1\n",
        "log-level none",
        "日本\n",
    ],
)
def test_every_feature_appears(many: str, feature: str) -> None:
    assert feature in many


@pytest.mark.parametrize("kind", ["v", "l", "r", "u"])
def test_every_kind_of_membership_change_appears(kind: str) -> None:
    changes = {
        change[0]
        for seed in MANY
        for command in commands(seed)
        if command.name == "propose-conf-change" and not command.values("mode")
        for change in command.input.split()
    }
    assert kind in changes


def outputs(script: str) -> Iterator[str]:
    """What our own nodes answer, up to where the reference would have panicked."""
    try:
        for outcome in replay(parse_trace(script)):
            if outcome.crashed:
                return
            yield outcome.actual
    except MalformedTraceError:  # a command that the storage of the reference does not survive
        return


def test_most_scripts_make_progress() -> None:
    """A leader, its entries, some of them committed, a membership change: not everywhere, but in most."""
    seen = {"StateLeader": 0, 'EntryNormal "p': 0, "CommittedEntries": 0, "EntryConfChange": 0}
    for seed in MANY:
        text = "".join(outputs(random_script(seed)))
        for sign in seen:
            seen[sign] += sign in text
    assert min(seen.values()) > 2 / 3 * len(MANY), seen


def test_the_command_line_writes_one_file_a_seed(tmp_path: Path) -> None:
    main(["--seed", "7", "--runs", "2", "--commands", "30", "--out", str(tmp_path / "new")])
    written = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "new").iterdir()}
    assert written == {"seed_000007.txt": random_script(7, 30), "seed_000008.txt": random_script(8, 30)}
