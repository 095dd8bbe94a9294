"""Proposals: what a leader appends, what is passed on, and every reason for which one is dropped."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from harness import (
    Cluster,
    Host,
    acked,
    append,
    change,
    elect,
    follow,
    heartbeat,
    host,
    leader,
    log_of,
    of_type,
    only,
)
from hypothesis import given
from hypothesis import strategies as st

from pyraft import DropReason, ForwardedProposalDroppedError, ProposalDroppedError, Role
from raftpb.enums import ENTRY_CONF_CHANGE_V2, ENTRY_NORMAL, MSG_APP, MSG_PROP
from raftpb.message import Entry, Message

MODES = pytest.mark.parametrize("async_storage_writes", [False, True], ids=["sync", "async"])


def uncommitted(node: Host) -> int:
    return node.raw.basic_status().uncommitted_size


def proposal(*data: bytes, from_: int = 2) -> Message:
    return Message(MSG_PROP, 1, from_, entries=[Entry(data=one) for one in data])


# On the leader


def test_a_proposal_is_appended_and_sent() -> None:
    node = leader()
    follow(node, 2, 3)
    node.raw.propose(b"x")
    ready = node.raw.ready()
    assert ready.entries == [Entry(ENTRY_NORMAL, 1, 2, b"x")]
    assert [(m.to, m.entries) for m in of_type(ready.messages, MSG_APP)] == [
        (2, [Entry(ENTRY_NORMAL, 1, 2, b"x")]),
        (3, [Entry(ENTRY_NORMAL, 1, 2, b"x")]),
    ]


@pytest.mark.parametrize("data", [b"bytes", bytearray(b"bytes"), memoryview(b"bytes")], ids=lambda x: type(x).__name__)
def test_the_data_is_the_log_s_own(data: bytes | bytearray | memoryview) -> None:
    node = leader(voters=(1,))
    node.settle()
    node.raw.propose(data)
    if isinstance(data, bytearray):
        data[0] = 0
    node.settle()
    assert node.data() == [b"bytes"]
    assert type(node.applied[-1].data) is bytes


def test_empty_data_is_a_proposal_too() -> None:
    node = leader(voters=(1,))
    node.settle()
    node.raw.propose(b"")
    node.settle()
    assert [entry.index for entry in node.applied] == [1, 2]


def test_entries_of_one_message_go_together() -> None:
    node = leader()
    follow(node, 2, 3)
    node.raw.step(proposal(b"a", b"b", b"c"))
    ready = node.raw.ready()
    assert [entry.index for entry in ready.entries] == [2, 3, 4]
    assert [len(m.entries) for m in of_type(ready.messages, MSG_APP)] == [3, 3]


def test_the_proposer_s_entries_are_not_touched() -> None:
    """The message may be sent again elsewhere."""
    node = leader()
    m = proposal(b"a")
    node.step(m)
    assert m == proposal(b"a")


# Passed on


def test_a_follower_passes_a_proposal_on() -> None:
    node = host(term=1)
    node.step(heartbeat(1))
    node.raw.propose(b"x")
    assert node.settle() == [Message(MSG_PROP, 2, 1, entries=[Entry(data=b"x")])]
    node.raw.propose_conf_change(change("v4"))
    assert [entry.type for entry in only(node.settle()).entries] == [ENTRY_CONF_CHANGE_V2]


def test_it_keeps_its_proposer_when_it_is_passed_on_again() -> None:
    node = host(term=1)
    node.step(heartbeat(1))
    assert node.step(proposal(b"x", from_=3)) == [Message(MSG_PROP, 2, 3, entries=[Entry(data=b"x")])]


@MODES
def test_it_is_committed_wherever_it_was_proposed(async_storage_writes: bool) -> None:
    cluster = Cluster((1, 2, 3), (4,), async_storage_writes=async_storage_writes)
    cluster.elect(2)
    for id in cluster.hosts:
        cluster.propose(id, b"from %d" % id)
    assert all(each.data() == [b"from %d" % id for id in cluster.hosts] for each in cluster.hosts.values())


# Dropped


def _no_leader() -> Host:
    return host()


def _campaigning() -> Host:
    node = host()
    node.raw.campaign()
    return node


def _candidate() -> Host:
    node = host(pre_vote=False)
    node.raw.campaign()
    return node


def _not_forwarding() -> Host:
    node = host(term=1, disable_proposal_forwarding=True)
    node.step(heartbeat(1))
    return node


def _removed() -> Host:
    node = leader(step_down_on_removal=False)
    node.raw.apply_conf_change(change("r1"))
    return node


def _transferring() -> Host:
    node = leader()
    node.raw.transfer_leader(2)
    return node


def _full() -> Host:
    node = leader(max_uncommitted_entries_size=10)
    node.raw.propose(b"ten bytes.")
    return node


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(_no_leader, DropReason.NO_LEADER, id="no leader"),
        pytest.param(_campaigning, DropReason.CAMPAIGNING, id="pre-candidate"),
        pytest.param(_candidate, DropReason.CAMPAIGNING, id="candidate"),
        pytest.param(_not_forwarding, DropReason.FORWARDING_DISABLED, id="forwarding disabled"),
        pytest.param(_removed, DropReason.NOT_MEMBER, id="removed"),
        pytest.param(_transferring, DropReason.TRANSFERRING, id="transferring"),
        pytest.param(_full, DropReason.UNCOMMITTED_LIMIT, id="too much uncommitted"),
    ],
)
def test_a_dropped_proposal_leaves_no_trace(make: Callable[[], Host], reason: DropReason) -> None:
    node = make()
    before = node.raw.export_state()
    with pytest.raises(ProposalDroppedError) as caught:
        node.raw.propose(b"x")
    assert caught.value.reason is reason
    assert not isinstance(caught.value, ForwardedProposalDroppedError)
    with pytest.raises(ForwardedProposalDroppedError) as passed_on:
        node.raw.step(proposal(b"x"))
    assert passed_on.value.reason is reason
    assert node.raw.export_state() == before
    with pytest.raises(ProposalDroppedError):
        node.raw.propose_conf_change(change("v4"))


def test_the_reasons_come_in_this_order() -> None:
    """Whoever proposes should first hear what no waiting will mend."""
    node = leader(step_down_on_removal=False, max_uncommitted_entries_size=1)
    node.raw.propose(b"x")
    node.raw.transfer_leader(2)
    with pytest.raises(ProposalDroppedError) as caught:
        node.raw.propose(b"y")
    assert caught.value.reason is DropReason.TRANSFERRING
    node.raw.apply_conf_change(change("r1"))
    with pytest.raises(ProposalDroppedError) as caught:
        node.raw.propose(b"y")
    assert caught.value.reason is DropReason.NOT_MEMBER


@pytest.mark.parametrize(
    ("limit", "size", "too_large"),
    [(10, 10, False), (10, 11, True), (0, 10_000, False)],
    ids=["at the limit", "above it", "no limit"],
)
def test_an_entry_may_be_too_large(limit: int, size: int, too_large: bool) -> None:
    node = leader(voters=(1,), max_entry_size=limit)
    if too_large:
        before = node.raw.export_state()
        with pytest.raises(ProposalDroppedError) as caught:
            node.raw.propose(bytes(size))
        assert caught.value.reason is DropReason.TOO_LARGE
        assert node.raw.export_state() == before
    else:
        node.raw.propose(bytes(size))


# How much may be uncommitted


def test_the_limit_counts_payload_until_it_is_applied() -> None:
    node = leader(max_uncommitted_entries_size=10)
    follow(node, 2, 3)
    node.raw.propose(b"1234")
    node.raw.propose(b"123456")
    assert uncommitted(node) == 10
    with pytest.raises(ProposalDroppedError):
        node.raw.propose(b"x")
    node.settle()
    node.raw.step(acked(2, 1))
    assert (node.commit, uncommitted(node)) == (2, 10)
    node.settle()
    assert uncommitted(node) == 6
    node.raw.propose(b"1234")


def test_the_first_and_the_empty_always_pass() -> None:
    """The limit slows down; it never blocks for good."""
    node = leader(max_uncommitted_entries_size=1)
    follow(node, 2, 3)
    node.raw.propose(b"far too large")
    node.raw.propose(b"")
    assert uncommitted(node) == 13
    with pytest.raises(ProposalDroppedError):
        node.raw.propose(b"x")


def test_a_batch_passes_or_not_as_a_whole() -> None:
    node = leader(max_uncommitted_entries_size=10)
    node.raw.propose(b"1234")
    last = node.last
    with pytest.raises(ForwardedProposalDroppedError):
        node.raw.step(proposal(b"123", b"4567"))
    assert node.last == last
    node.raw.step(proposal(b"123", b"456"))
    assert (node.last, uncommitted(node)) == (last + 2, 10)


def test_each_leadership_counts_from_nothing() -> None:
    node = leader(max_uncommitted_entries_size=10)
    node.raw.propose(b"1234567890")
    node.step(heartbeat(2))
    assert uncommitted(node) == 0
    node.raw.forget_leader()
    elect(node)
    node.raw.propose(b"123")
    follow(node, 2, 3)
    assert uncommitted(node) == 0  # it released the entries of the earlier leadership, too


def test_followers_do_not_count() -> None:
    node = host(term=1, max_uncommitted_entries_size=1)
    node.step(append(1, (0, 0), log_of([1, 1, 1]), 0))
    assert uncommitted(node) == 0


@MODES
@given(script=st.lists(st.integers(0, 6), min_size=1, max_size=20), limit=st.integers(1, 12))
def test_the_count_is_the_sum_of_what_is_not_applied(async_storage_writes: bool, script: list[int], limit: int) -> None:
    node = leader(max_uncommitted_entries_size=limit, async_storage_writes=async_storage_writes)
    follow(node, 2, 3)
    for size in script:
        before = uncommitted(node)
        if size == 6:
            follow(node, 2)
        else:
            try:
                node.raw.propose(bytes(size))
            except ProposalDroppedError:
                assert before > 0 < size
                assert before + size > limit
            else:
                assert before == 0 or size == 0 or before + size <= limit
        state = node.raw.export_state()
        waiting = sum(len(entry.data) for entry in state.entries if entry.index > state.applied)
        assert uncommitted(node) == waiting
    follow(node, 2)
    assert uncommitted(node) == 0
    assert node.role is Role.StateLeader
