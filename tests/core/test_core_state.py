"""A node built from an exported state goes on as the one it was taken from; the same history always says the same."""

from __future__ import annotations

import copy
import dataclasses
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import random_cluster
from harness import append, follow, heartbeat, host, leader
from hypothesis import given, settings
from hypothesis import strategies as st
from random_cluster import MOVES, SETTINGS, SIZE, Member, Move, RandomCluster, long_history, random_moves

import pyraft
from pyraft import Config, CoreState, MemoryStorage, MisuseError, NullLogger, Peer, RawNode
from raftpb.enums import MSG_HEARTBEAT
from raftpb.message import Message
from rafttest.interaction.env import COMMANDS, InteractionEnv
from rafttest.trace.comparison import significant_lines
from rafttest.trace.file import read_trace

ROOT = Path(__file__).parents[2]
TRACES = [ROOT / "tests" / "traces", ROOT.parent / "shared" / "traces"]

SEEDS = range(8)
"""Of the long histories: as many as it takes to see everything happen."""

moves = st.lists(
    st.tuples(
        st.sampled_from([*MOVES, "work", "work", "deliver", "deliver", "settle"]),
        st.integers(0, SIZE - 1),
        st.integers(0, 59),
    ),
    max_size=40,
)


# -- the law


@settings(max_examples=5 * settings().max_examples)
@given(st.sampled_from(sorted(SETTINGS)), st.integers(0, 3), st.booleans(), moves)
def test_a_node_built_from_an_export_goes_on_alike(setting: str, seed: int, led: bool, history: list[Move]) -> None:
    """Every Ready, every refusal and every later export is the same."""
    beginning = [("lead", 0, 11)] if led else []
    assert said(setting, seed, beginning + history, rebuilt=True) == said(setting, seed, beginning + history)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("setting", SETTINGS)
def test_so_do_nodes_with_a_long_history(setting: str, seed: int) -> None:
    assert long_history(setting, seed, rebuilt=True).said == long_history(setting, seed).said


def said(setting: str, seed: int, history: list[Move], rebuilt: bool = False) -> list[object]:
    cluster = RandomCluster(setting, seed, rebuilt)
    cluster.play(history)
    return cluster.said


def of_a_node_that_lost_its_log() -> CoreState:
    """It has heard of a commit index beyond its log, and has refused an append since."""
    node = host()
    node.step(heartbeat(1, commit=9))
    node.step(append(1, (1, 9)))
    return node.raw.export_state()


class Witness(RandomCluster):
    """Writes down what each exported state says at the moment of its export."""

    def __init__(self, setting: str, seed: int, rebuilt: bool) -> None:
        super().__init__(setting, seed, rebuilt)
        self.exported: list[tuple[CoreState, str]] = []

    def _note(self, member: Member) -> None:
        super()._note(member)
        state = self.said[-1]
        assert isinstance(state, CoreState)
        self.exported.append((state, repr(state)))


REBUILT = pytest.mark.parametrize("rebuilt", [False, True], ids=["the node itself", "a node built from the export"])


@REBUILT
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("setting", SETTINGS)
def test_what_was_exported_does_not_change(setting: str, seed: int, rebuilt: bool) -> None:
    """Whatever is done afterwards to the node, or to one that was built from the export."""
    cluster = Witness(setting, seed, rebuilt)
    cluster.play(random_moves(seed, 300))
    assert len(cluster.exported) > 300
    assert [state for state, text in cluster.exported if repr(state) != text] == []


@settings(max_examples=5 * settings().max_examples)
@given(st.sampled_from(sorted(SETTINGS)), st.integers(0, 3), st.booleans(), moves)
def test_nor_in_a_short_history(setting: str, seed: int, rebuilt: bool, history: list[Move]) -> None:
    cluster = Witness(setting, seed, rebuilt)
    cluster.play([("lead", 0, 11), ("propose", 0, 1), *history, ("propose", 0, 2)])
    assert [state for state, text in cluster.exported if repr(state) != text] == []


@REBUILT
def test_an_append_that_waits_is_exported_as_it_is(rebuilt: bool) -> None:
    """With `batch_append` it takes on the next entry: the node's message, not the exported one."""
    node = leader(batch_append=True)
    follow(node, 2, 3)
    node.raw.propose(b"first")
    state = node.raw.export_state()
    text = repr(state)
    goes_on = RawNode.from_state(node.config, state) if rebuilt else node.raw
    goes_on.propose(b"second")
    assert repr(state) == text
    assert {len(m.entries) for m in goes_on.export_state().msgs} == {2}


def test_those_histories_leave_no_field_untouched() -> None:
    """A field that never changes would prove nothing."""
    states = [
        state
        for seed in SEEDS
        for setting in SETTINGS
        for state in long_history(setting, seed).said
        if isinstance(state, CoreState)
    ]
    states.append(of_a_node_that_lost_its_log())
    for field in dataclasses.fields(CoreState):
        first = getattr(states[0], field.name)
        assert any(getattr(state, field.name) != first for state in states), field.name


# -- the traces


def interaction_traces() -> list[Path]:
    found = []
    for directory in TRACES:
        for path in sorted(directory.rglob("*.txt")):
            if read_trace(path).directives[0].command.name in COMMANDS:
                found.append(path)
    return found


@pytest.mark.skipif(not interaction_traces(), reason="neither the project's nor the reference's traces are here")
@pytest.mark.parametrize("path", interaction_traces(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_traces_replay_with_every_node_rebuilt_after_every_command(path: Path) -> None:
    environment = InteractionEnv()
    for directive in read_trace(path).directives:
        actual = environment.execute(directive.command)
        assert significant_lines(actual) == significant_lines(directive.expected), f"{path}:{directive.line}"
        for node in environment.nodes:
            node.raw = RawNode.from_state(node.config, through_pickle(node.raw.export_state()))


def through_pickle(state: CoreState) -> CoreState:
    copied = pickle.loads(pickle.dumps(state))
    assert isinstance(copied, CoreState)
    return copied


# -- a state is a value


def alone() -> RawNode:
    node = RawNode(Config(id=1, storage=MemoryStorage(), logger=NullLogger()))
    node.bootstrap([Peer(1)])
    return node


def test_a_state_does_not_change_with_its_node() -> None:
    cluster = long_history("safe", 2)
    states = [member.raw.export_state() for member in cluster.members]
    before = copy.deepcopy(states)
    cluster.play([*(("tick", who, 0) for who in range(SIZE)), ("lead", 1, 11), ("propose", 1, 3), ("settle", 0, 11)])
    assert states == before
    assert [member.raw.export_state() == state for member, state in zip(cluster.members, states, strict=True)] == (
        [False] * SIZE
    )


def test_two_nodes_built_from_one_state_are_apart() -> None:
    cluster = long_history("safe", 1)
    member = cluster.members[0]
    state = member.raw.export_state()
    one, other = (RawNode.from_state(member.config, state) for _ in range(2))
    one.step(Message(MSG_HEARTBEAT, 1, 2, state.term + 1))
    one.tick()
    one.ready()
    assert one.export_state() != state
    assert other.export_state() == state


def test_a_state_can_be_taken_between_a_ready_and_its_advance() -> None:
    node = alone()
    storage = MemoryStorage()
    storage.append(node.ready().entries)
    twin = RawNode.from_state(Config(id=1, storage=storage, logger=NullLogger()), node.export_state())
    with pytest.raises(MisuseError, match="advance"):
        twin.ready()
    twin.advance()
    assert not twin.has_ready()
    assert twin.basic_status().applied == 1


def test_a_state_travels() -> None:
    state = long_history("leases", 5).members[0].raw.export_state()
    assert through_pickle(state) == state
    assert copy.deepcopy(state) == state
    assert copy.copy(state) == state
    assert state != dataclasses.replace(state, term=state.term + 1)
    assert repr(state).startswith("CoreState(id=1, term=")


def test_a_state_belongs_to_one_node() -> None:
    state = alone().export_state()
    with pytest.raises(MisuseError, match=r"^the state is node 1's, the Config node 2's$"):
        RawNode.from_state(Config(id=2, storage=MemoryStorage(), logger=NullLogger()), state)


# -- determinism


def test_the_order_of_sets_and_dicts_is_in_nothing_that_is_said() -> None:
    """Two processes that hash differently say the same in the same histories."""
    digests = {digest_with_hash_seed(seed) for seed in ("1", "4711")}
    assert len(digests) == 1
    assert len(digests.pop()) == 64


def digest_with_hash_seed(seed: str) -> str:
    script = Path(random_cluster.__file__)
    library = Path(pyraft.__file__).parents[1]
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(library)}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, cwd=script.parent, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
