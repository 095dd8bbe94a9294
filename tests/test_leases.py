"""Lease-based reads with clocks that agree: no read is older than what another leader has committed."""

from __future__ import annotations

from typing import Any

import pytest
from harness import Cluster, Host, acked, beat_back, leader, of_type

from pyraft import ReadDroppedError, ReadOnlyOption, ReadState, Role
from raftpb.enums import MSG_HEARTBEAT

LEASES = ReadOnlyOption.ReadOnlyLeaseBased
LEADER = Role.StateLeader


def _lessor(**knobs: Any) -> Host:
    """A lone leader of three with leases, whose followers have its log."""
    node = leader(read_only_option=LEASES, lease_survives_restart=False, **knobs)
    node.step(acked(node.last, node.term, from_=2), acked(node.last, node.term, from_=3))
    return node


def _read(node: Host) -> list[ReadState]:
    """Ask, and give what is answered at once."""
    before = len(node.read_states)
    node.raw.read_index(b"read")
    node.settle()
    return node.read_states[before:]


def _beat(node: Host) -> bytes:
    """Let a tick pass, and give the context of the heartbeat that it brings."""
    return of_type(node.tick(), MSG_HEARTBEAT)[0].context


def test_before_a_quorum_has_answered_a_heartbeat_there_is_no_lease() -> None:
    assert _read(_lessor()) == []


def test_a_lease_runs_from_the_sending_of_the_heartbeat_that_was_answered() -> None:
    node = _lessor()
    first = _beat(node)
    for _ in range(6):
        _beat(node)
    node.step(beat_back(node.term, first))  # late: six ticks of the lease have passed
    assert [state.context for state in _read(node)] == [b"read"]
    node.raw.tick()
    assert [state.context for state in _read(node)] == [b"read"]
    node.raw.tick()
    assert _read(node) == []


def test_answers_renew_the_lease() -> None:
    node = _lessor()
    for _ in range(30):
        node.step(beat_back(node.term, _beat(node)))
        assert [state.index for state in _read(node)] == [node.commit]
    assert node.role is LEADER
    assert node.raw.basic_status().pending_reads == 0


def test_without_a_lease_a_read_asks_a_quorum() -> None:
    node = _lessor()
    node.raw.read_index(b"asked")
    context = of_type(node.settle(), MSG_HEARTBEAT)[0].context
    assert node.read_states == []
    node.step(beat_back(node.term, context))
    assert node.read_states == [ReadState(node.commit, b"asked")]


def test_the_reference_reads_at_once_as_long_as_check_quorum_has_not_failed() -> None:
    node = _lessor(bounded_lease=False)
    assert [state.context for state in _read(node)] == [b"read"]


@pytest.mark.parametrize("transfers", [False, True], ids=["left alone", "with transfers that fail"])
def test_a_leader_that_was_cut_off_answers_nothing_after_another_was_elected(transfers: bool) -> None:
    """Check-quorum looks but once in an election timeout, and each transfer begins another; the lease just ends."""
    cluster = Cluster(read_only_option=LEASES, lease_survives_restart=False)
    old = cluster[1]
    old.raw.campaign()
    cluster.settle()
    cluster.tick(3)
    assert [state.index for state in _read(old)] == [old.commit]
    cluster.isolate(1)
    for round_ in range(60):
        if transfers and round_ % 9 == 0:
            old.raw.transfer_leader(2)
        cluster.tick(1)
        elected = any(cluster[other].role is LEADER for other in (2, 3))
        if elected and old.role is LEADER:
            assert _read(old) == []
    assert any(cluster[other].role is LEADER for other in (2, 3))


def test_a_heartbeat_that_renews_the_lease_takes_no_read_s_place() -> None:
    """Found by the simulator: with `max_pending_reads=1`, every read between a heartbeat and its answer was dropped."""
    node = _lessor(max_pending_reads=1)
    node.raw.tick()
    node.settle()
    assert node.raw.basic_status().pending_reads == 0
    node.raw.read_index(b"read")
    assert node.raw.basic_status().pending_reads == 1
    with pytest.raises(ReadDroppedError):
        node.raw.read_index(b"one too many")
