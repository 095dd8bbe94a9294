"""What a leader makes of its followers' answers: the three states of a Progress, and the ways between them."""

from __future__ import annotations

import pytest
from harness import (
    Host,
    acked,
    beat_back,
    follow,
    host,
    leader,
    of_type,
    only,
    rejected,
    storage_of,
)
from hypothesis import given
from hypothesis import strategies as st

from pyraft import SnapshotStatus
from pyraft.core import acks
from pyraft.log import RaftLog
from raftpb.enums import MSG_APP, MSG_HEARTBEAT, MSG_SNAP
from raftpb.message import ConfState, Message

FINISHED, FAILED = SnapshotStatus.SnapshotFinish, SnapshotStatus.SnapshotFailure


def replicating(last: int = 5) -> Host:
    """A leader of term 2 with entries 1..last, of which 2 and 3 have all."""
    node = leader((1,) * (last - 1))
    follow(node, 2, 3)
    assert str(node.progress(2)) == f"StateReplicate match={last} next={last + 1}"
    return node


def compacted(sends: bool = True) -> Host:
    """A leader of term 2 with entries 9 and 10 after a snapshot at 8, which follower 2 needs, and is being sent."""
    node = leader((1,), snapshot=(1, 8))
    node.step(acked(10, 2, from_=3))
    if sends:
        sent = node.step(rejected(9, 2, (0, 2)))
        assert [(m.type, m.to, m.snapshot.metadata.index) for m in sent if m.snapshot] == [(MSG_SNAP, 2, 8)]
        assert str(node.progress(2)) == "StateSnapshot match=0 next=9 paused pendingSnap=8"
    return node


def sent_to(messages: list[Message], to: int = 2) -> list[tuple[int, int]]:
    """(previous index, number of entries) of each MsgApp to `to`."""
    return [(m.index, len(m.entries)) for m in messages if m.type is MSG_APP and m.to == to]


# Acceptance


@pytest.mark.parametrize(
    ("index", "progress"),
    [
        pytest.param(5, "StateReplicate match=5 next=6", id="everything but the no-op, which follows"),
        pytest.param(6, "StateReplicate match=6 next=7", id="everything"),
        pytest.param(3, "StateReplicate match=3 next=7 inflight=1", id="some of it"),
    ],
)
def test_an_acceptance_ends_the_probing(index: int, progress: str) -> None:
    node = leader((1,) * 5)
    assert str(node.progress(2)) == "StateProbe match=0 next=6 paused inactive"
    sent = node.step(acked(index, 2))
    if index < 6:
        assert sent_to(sent) == [(index, 6 - index)]
        assert str(node.progress(2)) == f"StateReplicate match={index} next=7 inflight=1"
    else:
        assert str(node.progress(2)) == progress


def test_an_acceptance_of_nothing_ends_it_too() -> None:
    """The first entry of all is what the follower lacks."""
    node = leader()
    sent = node.step(acked(0, 1))
    assert sent_to(sent) == [(0, 1)]
    assert str(node.progress(2)) == "StateReplicate match=0 next=2 inflight=1"


@pytest.mark.parametrize("index", [0, 4, 5])
def test_old_news_changes_nothing_but_the_sign_of_life(index: int) -> None:
    node = replicating()
    node.tick(10)
    before = node.raw.export_state()
    assert not node.progress(2).recent_active
    assert node.step(acked(index, 2)) == []
    after = node.raw.export_state()
    assert node.progress(2).recent_active
    assert after.committed == before.committed
    assert node.progress(2).match == 5


def test_an_acceptance_frees_the_window_up_to_its_index() -> None:
    node = replicating()
    for _ in range(4):
        node.raw.propose(b"x")
    node.settle()
    assert node.progress(2).inflights.entries() == [(6, 1), (7, 1), (8, 1), (9, 1)]
    node.step(acked(7, 2))
    assert node.progress(2).inflights.entries() == [(8, 1), (9, 1)]
    assert (node.progress(2).match, node.progress(2).next) == (7, 10)


def test_an_acceptance_beyond_what_was_sent_moves_next_along() -> None:
    """A leader of an earlier term may have sent it."""
    node = leader((1,) * 5)
    node.step(acked(6, 2))
    assert (node.progress(2).match, node.progress(2).next) == (6, 7)


# Refusal


def test_a_refusal_of_the_probe_under_way_tries_before_the_hint() -> None:
    node = leader((1,) * 5)
    assert sent_to(node.step(rejected(5, 2, (1, 2)))) == [(2, 4)]
    assert str(node.progress(2)) == "StateProbe match=0 next=3 paused"


@pytest.mark.parametrize("index", [4, 6, 0])
def test_a_refusal_of_another_probe_is_old(index: int) -> None:
    node = leader((1,) * 5)
    assert node.step(rejected(index, 2)) == []
    assert str(node.progress(2)) == "StateProbe match=0 next=6 paused"


def test_a_refusal_above_match_starts_over_after_match() -> None:
    node = replicating()
    for _ in range(3):
        node.raw.propose(b"x")
    node.settle()
    sent = node.step(rejected(7, 2, (2, 6)))
    assert sent_to(sent) == [(5, 3)]
    assert str(node.progress(2)) == "StateProbe match=5 next=6 paused"


@pytest.mark.parametrize("index", [3, 5])
def test_a_refusal_at_or_below_match_is_old(index: int) -> None:
    node = replicating()
    assert node.step(rejected(index, 2)) == []
    assert str(node.progress(2)) == "StateReplicate match=5 next=6"


@pytest.mark.parametrize("index", [0, 4, 5])
def test_a_refusal_of_what_was_acknowledged_is_not_answered(index: int) -> None:
    """From a follower whose disk was emptied it would come back at once: only heartbeats keep the two in touch."""
    node = replicating()
    node.raw.report_unreachable(2)
    node.raw.propose(b"x")
    assert sent_to(node.settle()) == [(5, 1)]
    assert node.step(rejected(index, 2)) == []
    assert str(node.progress(2)) == "StateProbe match=5 next=6 paused"
    assert sent_to(node.step(beat_back(2))) == [(5, 1)]


def test_a_refusal_while_a_snapshot_is_under_way() -> None:
    """Of the place after the snapshot: the search goes on where the follower says. Of any other: old."""
    node = compacted()
    assert node.step(rejected(9, 2, (0, 1))) == []
    assert str(node.progress(2)) == "StateSnapshot match=0 next=9 paused pendingSnap=8"
    assert node.step(rejected(8, 2, (0, 1))) == []
    assert str(node.progress(2)) == "StateSnapshot match=0 next=2 paused pendingSnap=8"


@pytest.mark.parametrize(
    ("ours", "hint", "expected"),
    [
        pytest.param([1, 3, 3, 3, 5, 5, 5, 5, 5], (2, 6), 1, id="as in the picture"),
        pytest.param([1, 3, 3, 3, 5, 5, 5, 5, 5], (3, 6), 4, id="term is here"),
        pytest.param([1, 3, 3, 3, 5, 5, 5, 5, 5], (5, 6), 6, id="term of the hint is here, at the hint"),
        pytest.param([1, 3, 3, 3, 5, 5, 5, 5, 5], (4, 9), 4, id="term between two"),
        pytest.param([1, 3, 3, 3, 5, 5, 5, 5, 5], (0, 6), 6, id="no term"),
        pytest.param([2, 2, 2], (1, 3), 0, id="nothing that old"),
        pytest.param([2, 2, 2], (2, 7), 7, id="beyond the end"),
    ],
)
def test_the_next_probe(ours: list[int], hint: tuple[int, int], expected: int) -> None:
    log = RaftLog(storage_of(ConfState((1,)), ours), 1)
    assert acks.next_probe_index(log, hint[1], hint[0]) == expected


@given(
    ours=st.lists(st.integers(1, 6), max_size=12).map(sorted),
    hint_index=st.integers(0, 12),
    hint_term=st.integers(0, 7),
)
def test_no_entry_that_may_agree_is_skipped(ours: list[int], hint_index: int, hint_term: int) -> None:
    """What the follower has up to its hint is of at most the hint's term."""
    log = RaftLog(storage_of(ConfState((1,)), ours), 1)
    probe = acks.next_probe_index(log, hint_index, hint_term)
    assert probe <= hint_index
    if hint_term != 0:
        may_agree = [i for i in range(1, min(hint_index, len(ours)) + 1) if ours[i - 1] <= hint_term]
        assert probe >= max(may_agree, default=0)


def test_a_refusal_without_a_term_is_tried_as_it_is() -> None:
    node = leader((1, 1, 1, 2))
    assert sent_to(node.step(rejected(4, 3, (0, 1)))) == [(1, 4)]


# Heartbeat answers


@pytest.mark.parametrize("state", ["probe", "replicate"])
def test_a_heartbeat_answer_lets_a_follower_that_lacks_something_be_sent_to_again(state: str) -> None:
    node = leader((1,) * 5, max_inflight_msgs=1)
    if state == "replicate":
        follow(node, 2, 3)
        node.raw.propose(b"x")
        node.settle()
        node.step(acked(7, 2, from_=3))
    assert node.progress(2).is_paused()
    assert sent_to(node.step(beat_back(2))) == [(5, 1) if state == "probe" else (7, 0)]
    assert node.progress(2).is_paused()


def test_a_heartbeat_answer_does_not_end_a_snapshot() -> None:
    node = compacted()
    assert node.step(beat_back(2)) == []
    assert str(node.progress(2)) == "StateSnapshot match=0 next=9 paused pendingSnap=8"


# What the transport tells


def test_an_unreachable_follower_is_probed() -> None:
    node = replicating()
    node.raw.propose(b"x")
    node.settle()
    node.raw.report_unreachable(2)
    assert not node.raw.has_ready()
    assert str(node.progress(2)) == "StateProbe match=5 next=6"
    node.raw.report_unreachable(2)
    assert str(node.progress(2)) == "StateProbe match=5 next=6"
    assert sent_to(node.step(beat_back(2))) == [(5, 1)]


def test_a_snapshot_under_way_to_an_unreachable_follower_stays() -> None:
    node = compacted()
    node.raw.report_unreachable(2)
    assert str(node.progress(2)) == "StateSnapshot match=0 next=9 paused pendingSnap=8"


@pytest.mark.parametrize(
    ("status", "next_index"),
    [pytest.param(FINISHED, 9, id="sent"), pytest.param(FAILED, 1, id="failed")],
)
def test_a_reported_snapshot_is_followed_by_a_pause(status: SnapshotStatus, next_index: int) -> None:
    node = compacted()
    node.raw.report_snapshot(2, status)
    assert str(node.progress(2)) == f"StateProbe match=0 next={next_index} paused"
    node.raw.propose(b"x")
    assert sent_to(node.settle()) == []


def test_after_a_snapshot_that_was_sent_the_rest_follows() -> None:
    node = compacted()
    node.raw.report_snapshot(2, FINISHED)
    assert sent_to(node.step(acked(8, 2))) == [(8, 2)]
    assert str(node.progress(2)) == "StateReplicate match=8 next=11 inflight=1"


def test_a_snapshot_that_failed_is_sent_again_after_the_next_heartbeat() -> None:
    node = compacted()
    node.raw.report_snapshot(2, FAILED)
    assert only(of_type(node.step(beat_back(2)), MSG_SNAP)).to == 2


@pytest.mark.parametrize("status", [FINISHED, FAILED])
def test_a_report_about_a_snapshot_that_nobody_waits_for_is_ignored(status: SnapshotStatus) -> None:
    node = replicating()
    before = node.raw.export_state()
    node.raw.report_snapshot(2, status)
    assert node.raw.export_state() == before


@pytest.mark.parametrize("id", [0, -1, 9, 2**63])
def test_reports_about_strangers_are_ignored(id: int) -> None:
    node = replicating()
    before = node.raw.export_state()
    node.raw.report_unreachable(id)
    node.raw.report_snapshot(id, FAILED)
    assert node.raw.export_state() == before


def test_reports_to_a_follower_are_ignored() -> None:
    node = host((1,))
    before = node.raw.export_state()
    node.raw.report_unreachable(2)
    node.raw.report_snapshot(2, FAILED)
    assert node.raw.export_state() == before


# Snapshots that arrive


@pytest.mark.parametrize(
    ("index", "progress"),
    [
        pytest.param(8, "StateReplicate match=8 next=11 inflight=1", id="the one that was sent"),
        pytest.param(9, "StateReplicate match=9 next=11 inflight=1", id="a later one, from elsewhere"),
        pytest.param(10, "StateReplicate match=10 next=11", id="everything"),
    ],
)
def test_whatever_snapshot_a_follower_has_installed_its_log_meets_ours_again(index: int, progress: str) -> None:
    node = compacted()
    node.step(acked(index, 2))
    assert str(node.progress(2)) == progress


def test_an_earlier_snapshot_than_what_is_left_of_the_log_is_not_enough() -> None:
    node = compacted()
    node.step(acked(6, 2))
    assert str(node.progress(2)) == "StateSnapshot match=6 next=9 paused pendingSnap=8"
    node.step(acked(7, 2))
    assert str(node.progress(2)) == "StateSnapshot match=7 next=9 paused pendingSnap=8"


def test_one_that_meets_the_log_ends_the_waiting_although_it_is_not_the_one_sent() -> None:
    """The log was kept from 5 on; a snapshot at 8 is under way, and another at 6 has arrived."""
    node = leader((1,) * 9)
    node.storage.create_snapshot(8, ConfState((1, 2, 3)), b"state")
    node.storage.compact(4)
    node.step(rejected(9, 2, (0, 2)))
    assert str(node.progress(2)) == "StateSnapshot match=0 next=9 paused pendingSnap=8"
    assert sent_to(node.step(acked(6, 2))) == [(6, 4)]
    assert str(node.progress(2)) == "StateReplicate match=6 next=11 inflight=1"


def test_an_acceptance_of_nothing_does_not_end_a_snapshot() -> None:
    node = compacted()
    assert node.step(acked(0, 2)) == []
    assert str(node.progress(2)) == "StateSnapshot match=0 next=9 paused pendingSnap=8"


def test_nothing_is_sent_while_a_snapshot_is_under_way() -> None:
    node = compacted()
    for _ in range(3):
        node.raw.propose(b"x")
    sent = node.tick(3)
    assert {m.type for m in sent if m.to == 2} == {MSG_HEARTBEAT}
