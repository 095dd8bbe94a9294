"""The simulator turns every knob and makes every call; what it leaves out is named here with its reason."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rafttest.sim
from pyraft import Config, MemoryStorage, RawNode
from pyraft.types import LEASE_BASED, SAFE
from raftpb.message import ConfState, Entry, HardState, Snapshot, SnapshotMetadata
from rafttest.sim.checker.laws import LAWS
from rafttest.sim.cluster.disk import WRITE, SimDisk, SimDiskError
from rafttest.sim.draw import draw
from rafttest.sim.options import KNOBS_OFF, LEASE_KNOBS_OFF, Options, config_of, laws_off
from rafttest.sim.run import run

SIM = Path(rafttest.sim.__path__[0])

NOT_DRAWN = {
    "id": "a node's own",
    "storage": "a node's own",
    "random": "a node's own, seeded",
    "logger": "silent",
    "trace_logger": "has a comparison with the reference's own (rafttest.reference.compare_state_traces)",
    "max_entry_size": "one limit; `oversized` proposes beyond it",
    "applied": "the simulator's machine lives in memory and starts from its snapshot; tests/core/test_restore.py",
    "conf_state": "as `applied`",
    "disable_conf_change_validation": "for tools: unchecked changes break the laws of membership; tests/traces has it",
}

NOT_CALLED = {
    "from_state": "the recorder's; tests/core/test_core_state.py",
    "bootstrap": "every founding member begins from a snapshot; tests/core/test_start.py",
}

DRAWN = [draw(seed) for seed in range(3000)]


def told(options: Options, node: int = 1) -> Config:
    return config_of(options, node, MemoryStorage(), Random(1), (options.pre_vote, options.check_quorum))


def test_every_knob_is_drawn_both_ways_or_named() -> None:
    configs = [told(options, node) for options in DRAWN for node in (1, 2)]
    fields = {field.name for field in dataclasses.fields(Config)}
    one_value = {name for name in fields if len({repr(getattr(config, name)) for config in configs}) == 1}
    assert one_value - NOT_DRAWN.keys() == set(), "the simulator never turns these"
    assert NOT_DRAWN.keys() <= fields
    assert (NOT_DRAWN.keys() - {"id", "storage", "random", "logger"}) <= one_value, "these are drawn by now"


def test_every_call_is_made_or_named() -> None:
    public = {name for name, _ in inspect.getmembers(RawNode, callable) if not name.startswith("_")}
    called = {
        node.func.attr
        for path in sorted(SIM.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if isinstance(node.func.value, ast.Attribute | ast.Name) and "raw" in ast.unparse(node.func.value)
    }
    assert public - called == NOT_CALLED.keys()


def test_each_knob_of_safety_is_off_in_some_seed() -> None:
    assert {options.knob_off for options in DRAWN} == {"", *KNOBS_OFF, *LEASE_KNOBS_OFF}


def test_a_lease_is_kept_by_all_or_its_law_is_off() -> None:
    """Whoever asks a quorum in a group that reads by lease keeps promises, whatever else it was told."""
    groups = [options for options in DRAWN if options.lease_reads]
    for options in groups:
        for node in range(1, options.voters + options.spares + 1):
            config = told(options, node)
            assert config.read_only_option is LEASE_BASED or config.promise_lease
            assert config.check_quorum or config.read_only_option is SAFE
    assert any(told(options).read_only_option is SAFE for options in groups)


@pytest.mark.parametrize("knob", [*KNOBS_OFF, *LEASE_KNOBS_OFF])
def test_the_laws_that_may_fall_are_laws(knob: str) -> None:
    assert set(laws_off(replace(DRAWN[0], knob_off=knob))) <= LAWS.keys()


def test_no_law_is_off_unless_a_knob_is() -> None:
    assert laws_off(replace(DRAWN[0], knob_off="")) == ()


def test_a_law_that_falls_with_its_knob_off_is_counted_and_no_failure() -> None:
    """Without `persist_before_vote_request` the first MsgVote leaves before the vote is durable."""
    options = next(o for o in DRAWN if o.is_asynchronous and o.voters >= 3 and not o.lease_reads and not o.scenario)
    result = run(options.seed, options=replace(options, knob_off="persist_before_vote_request"))
    assert result.violation is None
    assert {name for name in result.counts if name.endswith("broken with persist_before_vote_request off")}


# K11: a failing write leaves the beginning of what the whole would have written


def written(disk: SimDisk) -> list[bytes]:
    return [record.encode() for record in disk._unsynced]


@given(
    has_snapshot=st.booleans(),
    count=st.integers(0, 6),
    has_state=st.booleans(),
)
def test_a_write_that_fails_leaves_a_beginning(has_snapshot: bool, count: int, has_state: bool) -> None:
    start = Snapshot(b"", SnapshotMetadata(ConfState((1,)), 2, 1))
    snapshot = Snapshot(b"new", SnapshotMetadata(ConfState((1,)), 9, 1)) if has_snapshot else None
    first = 10 if has_snapshot else 3
    entries = [Entry(term=1, index=first + i) for i in range(count)]
    state = HardState(1, 1, 2) if has_state else None
    whole, broken = SimDisk(start), SimDisk(start)
    whole.write(snapshot, entries, state)
    broken.broken = WRITE
    with pytest.raises(SimDiskError):
        broken.write(snapshot, entries, state)
    assert written(broken) == written(whole)[: len(written(whole)) // 2]
