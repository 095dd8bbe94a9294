"""Bad input to the public API: each is refused with an error that says so, and changes nothing.

What a Config, a Storage at the start, bootstrapping, a MemoryStorage and messages refuse is in the tests of those
names; what a node that has failed refuses, in `test_node_failure`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from harness import Host, append, change, config_of, follow, host, leader, snapshot_message

from pyraft import (
    COMPILED,
    ConfChangeError,
    DropReason,
    MemoryStorage,
    Peer,
    ProposalDroppedError,
    RawNode,
    ReadOnlyOption,
    RefusedConfChange,
)
from pyraft.types import MAX_INTEGER
from raftpb.confchange import ConfChange, ConfChangeSingle, ConfChangeV2
from raftpb.enums import (
    ADD_NODE,
    ENTRY_NORMAL,
    REMOVE_NODE,
    TRANSITION_JOINT_EXPLICIT,
)
from raftpb.message import (
    ConfState,
    Entry,
    HardState,
    Snapshot,
    SnapshotMetadata,
)

Call = Callable[[Host], object]
Make = Callable[[], Host]


BOOL_IS_INT = pytest.mark.skipif(COMPILED, reason="compiled code does not tell a bool from an int")


# -- the scenes


def follower() -> Host:
    """Of leader 2, in term 1."""
    made = host()
    made.step(append(1))
    return made


def leaderless() -> Host:
    return host()


def candidate() -> Host:
    made = host()
    made.raw.campaign()
    made.settle()
    return made


def leading(**knobs: Any) -> Host:
    """Leads term 1 of 1, 2, 3 and learner 4, with everything committed."""
    made = leader(learners=(4,), **knobs)
    follow(made, 2, 3)
    return made


def lone() -> Host:
    return leader(voters=(1,))


def removed() -> Host:
    """Leads although it is no member any more."""
    made = leader(voters=(1, 2), step_down_on_removal=False)
    follow(made, 2)
    made.raw.apply_conf_change(ConfChange(REMOVE_NODE, 1))
    made.settle()
    return made


def transferring() -> Host:
    made = leading()
    made.raw.transfer_leader(2)
    made.settle()
    return made


def joint() -> Host:
    made = leading()
    made.raw.apply_conf_change(change("v5", TRANSITION_JOINT_EXPLICIT))
    made.settle()
    return made


def pending() -> Host:
    """Leads with a membership change that is not applied."""
    made = leading()
    made.raw.propose_conf_change(change("l5"))
    made.settle()
    return made


def leasing(**knobs: Any) -> Host:
    return host(read_only_option=ReadOnlyOption.ReadOnlyLeaseBased, **knobs)


def follower_without_forwarding() -> Host:
    made = host(disable_proposal_forwarding=True)
    made.step(append(1))
    return made


def full() -> Host:
    made = leading(max_uncommitted_entries_size=10)
    made.raw.propose(bytes(9))
    made.settle()
    return made


def reading() -> Host:
    made = leading(max_pending_reads=2)
    made.raw.read_index(b"1")
    made.raw.read_index(b"2")
    return made


def with_snapshot() -> Host:
    made = host()
    made.raw.step(snapshot_message(1, Snapshot(b"", SnapshotMetadata(ConfState((1, 2, 3)), 9, 1))))
    return made


def with_unapplied_change() -> Host:
    made = Host(config_of(1, MemoryStorage()))
    made.raw.bootstrap([Peer(1)])
    return made


def told(text: str) -> str | None:
    """What a TypeError says; compiled code finds a wrong type first, and has words of its own."""
    return None if COMPILED else text


def unchanged(made: Host, call: Call, error: type[Exception], text: str | None = None) -> Exception:
    """The error, and that it is all that happened; that `apply_conf_change` was called counts all the same."""
    before = replace(made.raw.export_state(), changes_applied=0)
    with pytest.raises(error, match=text) as raised:
        call(made)
    assert replace(made.raw.export_state(), changes_applied=0) == before
    return raised.value


# -- beginnings


@pytest.mark.parametrize("what", [None, 1, "node 1", MemoryStorage()], ids=["None", "int", "text", "Storage"])
def test_a_node_is_made_of_a_config(what: Any) -> None:
    for make in (RawNode, lambda config: RawNode.from_state(config, follower().raw.export_state())):
        with pytest.raises(TypeError):
            make(what)


@pytest.mark.parametrize("what", [None, 1, "state", HardState()], ids=["None", "int", "text", "HardState"])
def test_a_node_is_rebuilt_from_what_was_exported(what: Any) -> None:
    with pytest.raises(TypeError, match=told(r"^from_state\(\) takes a CoreState, not ")):
        RawNode.from_state(config_of(1, MemoryStorage()), what)


# -- time


@pytest.mark.parametrize(
    ("count", "error"),
    [
        pytest.param(-1, ValueError, id="-1"),
        pytest.param("1", TypeError, id="text"),
        pytest.param(1.5, TypeError, id="float"),
        pytest.param(None, TypeError, id="None"),
        pytest.param(True, TypeError, id="bool", marks=BOOL_IS_INT),
    ],
)
def test_tick(count: Any, error: type[Exception]) -> None:
    unchanged(follower(), lambda made: made.raw.tick(count), error, told(rf"^count is {count!r}"))


@pytest.mark.parametrize("count", [100, 10**6, MAX_INTEGER, 10**30])
def test_a_long_pause_brings_no_more_than_one_election(count: int) -> None:
    made = lone()
    made.raw.tick(count)
    assert made.term == 1
    made = host(pre_vote=False)
    for expected in (0, 1):
        made.raw.tick(count)
        assert made.term <= expected + 1


def test_no_time_at_all() -> None:
    made = follower()
    before = made.raw.export_state()
    made.raw.tick(0)
    assert made.raw.export_state() == before


# -- proposals


@pytest.mark.parametrize("data", ["text", None, 3, [1, 2], object()], ids=["text", "None", "int", "list", "object"])
def test_propose_takes_bytes(data: Any) -> None:
    unchanged(
        leading(),
        lambda made: made.raw.propose(data),
        TypeError,
        rf"^data is {type(data).__name__}; expected a bytes-like object$",
    )


@pytest.mark.parametrize("wrap", [bytes, memoryview, lambda mine: mine], ids=["bytes", "memoryview", "bytearray"])
def test_what_is_proposed_is_copied_unless_it_cannot_change(wrap: Callable[[Any], Any]) -> None:
    made = lone()
    mine = bytearray(b"mine")
    made.raw.propose(wrap(mine))
    mine[:] = b"your"
    assert made.raw.export_state().entries[-1].data == b"mine"


DROPPED: dict[str, tuple[Make, DropReason]] = {
    "no leader": (leaderless, DropReason.NO_LEADER),
    "candidate": (candidate, DropReason.CAMPAIGNING),
    "not forwarded": (follower_without_forwarding, DropReason.FORWARDING_DISABLED),
    "not a member": (removed, DropReason.NOT_MEMBER),
    "transferring": (transferring, DropReason.TRANSFERRING),
    "too much uncommitted": (full, DropReason.UNCOMMITTED_LIMIT),
}


@pytest.mark.parametrize(("make", "reason"), DROPPED.values(), ids=DROPPED)
@pytest.mark.parametrize("what", ["data", "membership change"])
def test_a_proposal_that_is_dropped_says_why(make: Make, reason: DropReason, what: str) -> None:
    made = make()
    if what == "data":
        error = unchanged(made, lambda made: made.raw.propose(b"four"), ProposalDroppedError, reason.value)
    elif reason is DropReason.UNCOMMITTED_LIMIT:
        # The index is taken before the size is looked at, as in the reference.
        with pytest.raises(ProposalDroppedError) as raised:
            made.raw.propose_conf_change(change("v9"))
        error = raised.value
        assert not made.raw.has_ready()
    else:
        error = unchanged(made, lambda made: made.raw.propose_conf_change(change("v9")), ProposalDroppedError)
    assert isinstance(error, ProposalDroppedError)
    assert error.reason is reason


def test_a_proposal_may_be_as_large_as_the_limit() -> None:
    made = leading(max_entry_size=8)
    made.raw.propose(bytes(8))
    error = unchanged(made, lambda made: made.raw.propose(bytes(9)), ProposalDroppedError, r"Config\.max_entry_size")
    assert isinstance(error, ProposalDroppedError)
    assert error.reason is DropReason.TOO_LARGE


# -- membership changes


IMPOSSIBLE: dict[str, tuple[Any, type[Exception], str | None]] = {
    "a number": (3, TypeError, told(r"^3 is no membership change; expected a ConfChange or ConfChangeV2$")),
    "text": ("v3", TypeError, told("'v3' is no membership change")),
    "a step": (ConfChangeSingle(ADD_NODE, 3), TypeError, told("is no membership change")),
    "an entry": (Entry(), TypeError, told("is no membership change")),
    "id -1": (ConfChange(ADD_NODE, -1), ConfChangeError, r"^node id -1 is not in \[0, 2\^63\)$"),
    "id -1 in a list": (
        ConfChangeV2([ConfChangeSingle(ADD_NODE, 3), ConfChangeSingle(ADD_NODE, -1)]),
        ConfChangeError,
        "node id -1",
    ),
}


@pytest.mark.parametrize(("asked", "error", "text"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
@pytest.mark.parametrize("scene", [leading, follower])
def test_what_is_no_membership_change(scene: Make, asked: Any, error: type[Exception], text: str | None) -> None:
    made = scene()
    unchanged(made, lambda made: made.raw.propose_conf_change(asked), error, text)
    unchanged(made, lambda made: made.raw.apply_conf_change(asked), error, text)


def test_an_id_that_no_value_can_hold() -> None:
    """Compiled, such a value cannot even be made: no native integer holds it, which mypyc calls a wrong type."""
    made = leading()
    for call in (made.raw.propose_conf_change, made.raw.apply_conf_change):
        with pytest.raises((ConfChangeError, OverflowError, TypeError)):
            call(ConfChange(ADD_NODE, MAX_INTEGER + 1))


MISTYPED: dict[str, Callable[[Any], Any]] = {
    "a type": lambda what: ConfChange(what, 3),
    "a type in a list": lambda what: ConfChangeV2([ConfChangeSingle(what, 3)]),
    "a transition": lambda what: ConfChangeV2([], what),
    "a node": lambda what: ConfChange(ADD_NODE, what),
    "a node in a list": lambda what: ConfChangeV2([ConfChangeSingle(ADD_NODE, 3), ConfChangeSingle(ADD_NODE, what)]),
    "an id": lambda what: ConfChange(ADD_NODE, 3, b"", what),
    "a context": lambda what: ConfChange(ADD_NODE, 3, what),
    "a context of a list": lambda what: ConfChangeV2([ConfChangeSingle(ADD_NODE, 3)], context=what),
    "a step": lambda what: ConfChangeV2([ConfChangeSingle(ADD_NODE, 3), what]),
}
_NUMBERS = ("a node", "a node in a list", "an id")


@pytest.mark.parametrize("what", [7, 2.5, "3", None, pytest.param(True, marks=BOOL_IS_INT)], ids=repr)
@pytest.mark.parametrize("name", MISTYPED)
@pytest.mark.parametrize("scene", [leading, follower])
def test_a_membership_change_of_wrong_types(scene: Make, name: str, what: Any) -> None:
    """Compiled, most of these values cannot even be made; the error is of the same type."""
    if what == 7 and name in _NUMBERS:
        what = "7"
    made = scene()
    before = replace(made.raw.export_state(), changes_applied=0)
    for call in (made.raw.propose_conf_change, made.raw.apply_conf_change):
        with pytest.raises(TypeError):
            call(MISTYPED[name](what))
    assert replace(made.raw.export_state(), changes_applied=0) == before


def test_an_id_of_the_application_has_63_bits() -> None:
    unchanged(
        leading(),
        lambda made: made.raw.propose_conf_change(ConfChange(ADD_NODE, 3, b"", -1)),
        ConfChangeError,
        r"^id -1 is not in \[0, 2\^63\)$",
    )


@pytest.mark.parametrize(
    ("make", "asked", "reason"),
    [
        pytest.param(
            pending, change("v9"), "a membership change at index 2 may be unapplied (applied to 1)", id="one is pending"
        ),
        pytest.param(joint, change("v9"), "the configuration is joint; leave it first", id="enter when joint"),
        pytest.param(
            leading, None, "the configuration is not joint; there is nothing to leave", id="leave when not joint"
        ),
        pytest.param(
            leading, change(), "the configuration is not joint; there is nothing to leave", id="leave, in other words"
        ),
    ],
)
def test_a_change_that_the_leader_refuses_becomes_an_empty_entry(make: Make, asked: Any, reason: str) -> None:
    made = make()
    index = made.last + 1
    made.raw.propose_conf_change(asked)
    ready = made.take()
    assert ready.entries == [Entry(ENTRY_NORMAL, 1, index)]
    assert ready.refused_conf_changes == (RefusedConfChange(index, reason),)
