"""Entries and commit indices from the leader to the followers, seen from both sides."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from harness import (
    Cluster,
    Host,
    acked,
    append,
    beat_back,
    elect,
    follow,
    heartbeat,
    host,
    leader,
    log_of,
    of_type,
    only,
    rejected,
)
from hypothesis import given
from hypothesis import strategies as st

from pyraft import Role
from raftpb.enums import ENTRY_NORMAL, MSG_APP, MSG_APP_RESP, MSG_HEARTBEAT, MSG_HEARTBEAT_RESP
from raftpb.message import ConfState, Entry, Message

# The follower


def terms_of(node: Host) -> list[int]:
    return [node.storage.term(index) for index in range(node.storage.first_index(), node.storage.last_index() + 1)]


@pytest.mark.parametrize(
    ("terms", "commit", "prev", "entries", "log", "answer"),
    [
        pytest.param([], 0, (0, 0), [5], [5], (1, False, 0, 0), id="first entry"),
        pytest.param([1, 2], 0, (2, 2), [], [1, 2], (2, False, 0, 0), id="nothing new"),
        pytest.param([1, 2], 0, (2, 2), [5, 5], [1, 2, 5, 5], (4, False, 0, 0), id="at the end"),
        pytest.param([1, 2, 2], 0, (1, 1), [2], [1, 2, 2], (2, False, 0, 0), id="known, and more is here"),
        pytest.param([1, 2, 2], 0, (1, 1), [2, 2, 5], [1, 2, 2, 5], (4, False, 0, 0), id="known and new"),
        pytest.param([1, 2, 2], 0, (1, 1), [5], [1, 5], (2, False, 0, 0), id="conflict"),
        pytest.param([1, 2, 2, 4], 0, (1, 1), [2, 5], [1, 2, 5], (3, False, 0, 0), id="conflict further on"),
        pytest.param([1, 2, 2], 0, (0, 0), [5, 5, 5, 5], [5, 5, 5, 5], (4, False, 0, 0), id="everything replaced"),
        pytest.param([1, 2, 2], 1, (1, 1), [5], [1, 5], (2, False, 0, 0), id="conflict right after the commit index"),
        pytest.param([1, 2, 2], 0, (2, 5), [5], [1, 2, 2], (5, True, 3, 2), id="gap"),
        pytest.param([1, 2, 2], 0, (5, 2), [5], [1, 2, 2], (2, True, 2, 2), id="other term there, lower"),
        pytest.param([1, 4, 4], 0, (3, 3), [5], [1, 4, 4], (3, True, 1, 1), id="other term there, higher"),
        pytest.param([4, 4, 4], 0, (3, 3), [5], [4, 4, 4], (3, True, 0, 0), id="nothing as old here"),
        pytest.param([], 0, (3, 3), [5], [], (3, True, 0, 0), id="nothing here"),
    ],
)
def test_what_an_append_does(
    terms: list[int],
    commit: int,
    prev: tuple[int, int],
    entries: list[int],
    log: list[int],
    answer: tuple[int, bool, int, int],
) -> None:
    """`answer`: index, reject, hint index, hint term."""
    node = host(terms, term=5, commit=commit)
    m = only(node.step(append(5, prev, log_of(entries, prev[1] + 1))))
    index, reject, hint, hint_term = answer
    assert m == Message(MSG_APP_RESP, 2, 1, 5, hint_term, index, reject=reject, reject_hint=hint)
    assert terms_of(node) == log


@pytest.mark.parametrize("commit", [0, 3], ids=["acknowledged", "committed"])
def test_an_old_append_takes_nothing_away(commit: int) -> None:
    """Messages may be delayed and repeated; what a later one brought stays."""
    node = host(term=1)
    early = append(1, (0, 0), log_of([1]), commit=0)
    late = append(1, (1, 1), log_of([1, 1], 2), commit=commit)
    node.step(early, late, early)
    assert terms_of(node) == [1, 1, 1]
    assert node.commit == commit


def test_entries_that_are_here_are_not_written_again() -> None:
    node = host((1, 1, 1))
    node.raw.step(append(1, (1, 1), log_of([1, 1, 1], 2)))
    assert [entry.index for entry in node.raw.ready().entries] == [4]


def test_an_append_waits_for_the_disk_before_it_is_answered_and_a_heartbeat_does_not() -> None:
    """Whatever came first: the answer that promises nothing goes first."""
    node = host(term=1)
    node.raw.step(append(1, (0, 0), log_of([1])))
    node.raw.step(heartbeat(1))
    ready = node.raw.ready()
    assert [m.type for m in ready.messages] == [MSG_HEARTBEAT_RESP, MSG_APP_RESP]
    assert ready.must_sync


@pytest.mark.parametrize(("commit", "expected"), [(2, 3), (3, 3), (5, 5)], ids=["lower", "same", "higher"])
def test_a_heartbeat_brings_the_commit_index(commit: int, expected: int) -> None:
    node = host((1,) * 5, commit=3)
    m = only(node.step(heartbeat(1, commit, b"position")))
    assert m == beat_back(1, b"position", from_=1, to=2)
    assert node.commit == expected


# The leader


def appends(messages: Sequence[Message], to: int = 2) -> list[tuple[int, list[int], int]]:
    """(previous index, indexes of the entries, commit) of each MsgApp to `to`."""
    return [
        (m.index, [entry.index for entry in m.entries], m.commit) for m in messages if m.type is MSG_APP and m.to == to
    ]


def test_everybody_is_sent_what_is_appended_in_the_order_of_ids() -> None:
    node = leader(voters=(1, 4, 2, 3), learners=(5,))
    follow(node, 2, 3, 4, 5)
    node.raw.propose(b"x")
    sent = node.settle()
    assert [(m.type, m.to) for m in sent] == [(MSG_APP, id) for id in (2, 3, 4, 5)]
    assert {m.term for m in sent} == {1}


def test_a_leader_counts_itself_when_its_own_disk_has_answered() -> None:
    node = leader(voters=(1, 2))
    node.raw.propose(b"x")
    node.raw.step(acked(1, 1))
    node.begin()
    node.raw.step(acked(2, 1))
    assert node.commit == 1
    assert (node.progress(1).match, node.progress(2).match) == (1, 2)
    node.finish()
    assert node.commit == 2


def test_followers_may_have_what_the_leader_s_disk_has_not() -> None:
    node = leader(voters=(1, 2, 3))
    follow(node, 2, 3)
    node.raw.propose(b"x")
    node.begin()
    node.raw.step(acked(2, 1))
    node.raw.step(acked(2, 1, from_=3))
    assert node.commit == 2
    assert node.progress(1).match == 1


def test_learners_do_not_count() -> None:
    node = leader(voters=(1, 2), learners=(3, 4))
    follow(node, 3, 4)
    assert node.commit == 0
    follow(node, 2)
    assert node.commit == 1


@pytest.mark.parametrize(
    ("acks", "commit"),
    [
        pytest.param((2, 3), 0, id="incoming half"),
        pytest.param((4, 5), 0, id="outgoing half"),
        pytest.param((2, 4), 1, id="both"),
    ],
)
def test_a_joint_configuration_commits_with_both_halves(acks: tuple[int, ...], commit: int) -> None:
    node = leader(conf_state=ConfState((1, 2, 3), (), (1, 4, 5)))
    follow(node, *acks)
    assert node.commit == commit


def test_entries_of_earlier_terms_are_not_committed_by_counting() -> None:
    """Thesis figure 3.7: until one of its own term is, and then all before it are."""
    node = leader((1, 2, 2))
    node.step(acked(3, 3), acked(3, 3, from_=3))
    assert (node.progress(2).match, node.progress(3).match, node.commit) == (3, 3, 0)
    node.step(acked(4, 3))
    assert node.commit == 4


def test_what_a_majority_has_may_be_replaced_until_then() -> None:
    """Thesis figure 3.7, step by step."""
    cluster = Cluster(
        (1, 2, 3, 4, 5), pre_vote=False, check_quorum=False, max_size_per_msg=0, max_committed_size_per_ready=99
    )
    cluster.elect(1)
    cluster.isolate(3, 4, 5)
    cluster.propose(1, b"lost")  # (a) entry 2, of term 1, on nodes 1 and 2
    cluster.heal()
    cluster.isolate(1, 2)
    cluster.loses = lambda m: m.type is MSG_APP
    cluster.elect(5)  # (b) node 5 leads term 2 and has another entry 2, which gets nowhere
    cluster.heal()
    cluster.isolate(5)
    # Nobody gets an entry of term 3: who would take it, loses it.
    cluster.loses = lambda m: any(entry.term == 3 for entry in m.entries) and cluster[m.to].last >= 2
    cluster.restart(1)
    while cluster[1].role is not Role.StateLeader:
        cluster[1].raw.campaign()
        cluster.settle()  # (c) node 1 leads term 3 and brings its entry 2 to everybody else
    assert cluster[1].term == 3
    assert [terms_of(cluster[id])[:2] for id in (1, 2, 3, 4)] == [[1, 1]] * 4
    assert cluster[1].commit == 1
    cluster.heal()
    cluster.isolate(1)
    cluster.restart(5)
    while cluster[5].role is not Role.StateLeader:
        cluster[5].raw.campaign()
        cluster.settle()  # (d) node 5 replaces it
    cluster.heal()
    cluster.tick(30)
    assert {tuple(terms_of(each)) for each in cluster.hosts.values()} == {(1, 2, 4)}
    assert all(each.data() == [] for each in cluster.hosts.values())


def test_a_commit_is_told_at_once_and_once() -> None:
    node = leader()
    sent = node.step(acked(1, 1))
    assert appends(sent) == [(1, [], 1)]
    assert appends(sent, 3) == []  # it is being probed, and has not answered
    sent = node.step(acked(1, 1, from_=3))
    assert appends(sent, 3) == [(1, [], 1)]
    assert node.step(acked(1, 1), acked(1, 1, from_=3)) == []


def test_a_commit_that_is_on_its_way_is_not_told_again() -> None:
    """The append that is under way with entry 3 carries commit index 2 already."""
    node = leader()
    follow(node, 2, 3)
    node.raw.propose(b"a")
    node.settle()
    assert appends(node.step(acked(2, 1))) == [(2, [], 2)]
    node.raw.propose(b"b")
    assert appends(node.settle()) == [(2, [3], 2)]
    assert appends(node.step(acked(2, 1, from_=3)), 3) == []


def test_a_heartbeat_takes_back_what_a_follower_was_told() -> None:
    """It tells less, and may have overtaken what told more: an acknowledgement then makes the leader repeat it."""
    node = leader()
    follow(node, 2, 3)
    node.raw.propose(b"a")
    node.settle()
    node.step(acked(2, 1, from_=3))  # commits 2, of which 2 is told
    assert node.progress(2).sent_commit == 2
    beats = of_type(node.tick(), MSG_HEARTBEAT)
    assert [(m.to, m.commit) for m in beats] == [(2, 1), (3, 2)]
    assert node.progress(2).sent_commit == 1
    assert appends(node.step(acked(2, 1))) == [(2, [], 2)]


def test_heartbeats_go_to_everybody_in_the_order_of_ids_and_in_their_time() -> None:
    node = leader(voters=(1, 3, 2), learners=(4,), heartbeat_tick=3)
    follow(node, 2, 3, 4)
    sent = [node.tick() for _ in range(6)]
    assert [[(m.type, m.to) for m in one] for one in sent] == [
        [],
        [],
        [(MSG_HEARTBEAT, id) for id in (2, 3, 4)],
    ] * 2


# How much is sent


SIZE = Entry(ENTRY_NORMAL, 1, 2, b"x").encoded_size()
"""Encoded bytes of an entry with one byte of data."""


@pytest.mark.parametrize(
    ("limit", "batches"),
    [
        pytest.param(0, [[2], [3], [4], [5]], id="none"),
        pytest.param(1, [[2], [3], [4], [5]], id="less than one"),
        pytest.param(SIZE, [[2], [3], [4], [5]], id="one"),
        pytest.param(2 * SIZE - 1, [[2], [3], [4], [5]], id="not quite two"),
        pytest.param(2 * SIZE, [[2, 3], [4, 5]], id="two"),
        pytest.param(3 * SIZE, [[2, 3, 4], [5]], id="three"),
        pytest.param(2**62 - 1, [[2, 3, 4, 5]], id="all"),
    ],
)
def test_messages_are_cut_by_encoded_size(limit: int, batches: list[list[int]]) -> None:
    node = leader(max_size_per_msg=limit, max_committed_size_per_ready=2**20)
    for _ in range(4):
        node.raw.propose(b"x")
    node.settle()
    sent = node.step(acked(1, 1))
    assert [entries for _, entries, _ in appends(sent) if entries] == batches


def test_a_probed_follower_gets_one_message_with_entries_at_a_time() -> None:
    node = leader()
    node.raw.propose(b"x")
    assert appends(node.settle()) == []
    assert str(node.progress(2)) == "StateProbe match=0 next=1 paused inactive"
    assert appends(node.step(acked(1, 1))) == [(1, [2], 1)]
    assert str(node.progress(2)) == "StateReplicate match=1 next=3 inflight=1"


def test_empty_appends_do_not_hold_a_probe_up() -> None:
    node = leader()
    follow(node, 2, 3)
    node.raw.report_unreachable(2)
    for _ in range(3):
        assert appends(node.step(beat_back(1))) == [(1, [], 1)]
        assert str(node.progress(2)) == "StateProbe match=1 next=2"


def test_the_window_is_counted_in_messages() -> None:
    node = leader(max_inflight_msgs=2, voters=(1, 2, 3))
    follow(node, 2, 3)
    for _ in range(4):
        node.raw.propose(b"x")
    sent = node.settle()
    assert [entries for _, entries, _ in appends(sent)] == [[2], [3]]
    assert str(node.progress(2)) == "StateReplicate match=1 next=4 paused inflight=2[full]"
    assert appends(node.step(acked(2, 1))) == [(3, [4, 5], 2)]


def test_the_window_is_counted_in_payload_bytes() -> None:
    node = leader(max_inflight_bytes=10, max_size_per_msg=10)
    follow(node, 2, 3)
    for _ in range(4):
        node.raw.propose(b"six by")
    assert [entries for _, entries, _ in appends(node.settle())] == [[2], [3]]  # 6 bytes, and 6 that overshoot
    assert node.progress(2).inflights.size_bytes() == 12
    sent = appends(node.step(acked(2, 1)))
    assert [entries for _, entries, _ in sent if entries] == [[4]]


def test_a_full_window_whose_messages_were_lost_is_reopened_by_a_heartbeat() -> None:
    """Its answer brings an empty append, and the rejection of that one shows what is missing."""
    node = leader(max_inflight_msgs=1)
    follow(node, 2, 3)
    node.raw.propose(b"a")
    node.raw.propose(b"b")
    node.settle()
    assert node.progress(2).is_paused()
    sent = appends(node.step(beat_back(1)))
    assert sent == [(2, [], 1)]
    assert node.progress(2).is_paused()
    sent = appends(node.step(rejected(2, 1, (1, 1))))
    assert sent == [(1, [2, 3], 1)]
    assert str(node.progress(2)) == "StateProbe match=1 next=2 paused"


def test_a_heartbeat_answer_of_a_follower_that_has_everything_brings_nothing() -> None:
    node = leader()
    follow(node, 2, 3)
    assert node.step(beat_back(1)) == []


# Finding where the logs part


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[int], list[int], int]:
    """The terms of a leader's and a follower's log that may meet in Raft, and how many entries are committed."""
    common = sorted(draw(st.lists(st.integers(1, 4), max_size=6)))
    least = common[-1] if common else 1
    # Entries of one term are made by one leader: where the logs part, no term is in both.
    split = draw(st.lists(st.booleans(), min_size=9, max_size=9))
    ours: list[int] = []
    theirs: list[int] = []
    for term, mine in enumerate(split, start=least + 1):
        (ours if mine else theirs).extend([term] * draw(st.integers(0, 4)))
    return common + ours, common + theirs, draw(st.integers(0, len(common)))


@given(made=logs())
def test_any_follower_comes_to_have_the_leader_s_log(made: tuple[list[int], list[int], int]) -> None:
    """And soon: no more than one rejection for each term in the leader's log."""
    ours, theirs, commit = made
    cluster = Cluster((1, 2))
    node = host(ours, term=20, commit=commit)
    cluster.hosts = {1: node, 2: host(theirs, id=2, commit=commit)}
    cluster.wire.extend(elect(node))  # node 3 votes and is not heard of again
    cluster.settle()
    assert terms_of(cluster[2]) == terms_of(node) == [*ours, 21]
    assert cluster[2].commit == node.commit == len(ours) + 1
    rejections = [m for m in cluster.delivered if m.type is MSG_APP_RESP and m.reject]
    assert len(rejections) <= len(set(ours)) + 1
