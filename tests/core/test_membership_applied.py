"""Membership changes when they are applied: what follows, what is warned of, what snapshots bring along."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from harness import (
    Cluster,
    Host,
    acked,
    append,
    change,
    heartbeat,
    host,
    of_type,
    snapshot_message,
)
from hypothesis import given
from hypothesis import strategies as st
from test_core_membership import AUTO, EXPLICIT, FOLLOWER, IMPLICIT, LEADER, commit, config, ready_leader

from pyraft import (
    DropReason,
    NullLogger,
    ProposalDroppedError,
)
from raftpb.codec import encode_conf_change_v2
from raftpb.confchange import ConfChangeV2
from raftpb.enums import (
    ENTRY_CONF_CHANGE_V2,
    MSG_APP_RESP,
    MSG_TIMEOUT_NOW,
    ConfChangeTransition,
)
from raftpb.message import ConfState, Entry, Snapshot, SnapshotMetadata


@pytest.mark.parametrize("text", ["r1", "l1"], ids=["removed", "demoted"])
def test_a_leader_that_is_no_voter_any_more_steps_down(text: str) -> None:
    node = ready_leader()
    node.raw.propose_conf_change(change(text))
    commit(node)
    assert (node.role, node.leader, node.term) == (FOLLOWER, 0, 1)


def test_a_leader_in_the_outgoing_half_leads_until_it_is_left() -> None:
    node = ready_leader()
    node.raw.propose_conf_change(change("r1 v4"))
    commit(node)
    assert (node.role, config(node)) == (LEADER, "voters=(2 3 4)&&(1 2 3) autoleave")
    commit(node, 2, 3, 4)
    assert (node.role, config(node)) == (FOLLOWER, "voters=(2 3 4)")


def test_unless_it_may_stay() -> None:
    """As in the reference: it leads on, counts itself no more, and takes no proposals."""
    node = ready_leader(step_down_on_removal=False)
    node.raw.propose(b"x")
    node.raw.propose_conf_change(change("r1"))
    node.raw.propose(b"y")
    node.settle()
    node.step(acked(3, 1), acked(3, 1, from_=3))
    assert (node.role, config(node), node.commit) == (LEADER, "voters=(2 3)", 3)
    with pytest.raises(ProposalDroppedError) as caught:
        node.raw.propose(b"z")
    assert caught.value.reason is DropReason.NOT_MEMBER
    node.step(acked(4, 1))
    assert node.commit == 3
    node.step(acked(4, 1, from_=3))
    assert node.commit == 4


def test_a_removed_leader_commits_what_the_others_had_before_it_went() -> None:
    """Their acknowledgements may come again only for an index that is committed already."""
    node = ready_leader(1, 2, 3, 4, step_down_on_removal=False)
    node.raw.propose_conf_change(change("r1"))
    node.raw.propose(b"x")
    node.settle()
    node.step(acked(3, 1), acked(3, 1, from_=3))
    assert config(node) == "voters=(2 3 4)"
    assert node.commit == 3


def test_a_demoted_leader_that_stays_takes_proposals() -> None:
    node = ready_leader(step_down_on_removal=False)
    node.raw.propose_conf_change(change("l1"))
    commit(node)
    assert (node.role, config(node)) == (LEADER, "voters=(2 3) learners=(1)")
    node.raw.propose(b"x")
    node.settle()
    node.step(acked(3, 1), acked(3, 1, from_=3))
    assert node.data() == [b"x"]


def test_a_removed_leader_that_stays_ignores_its_own_acknowledgements() -> None:
    for async_storage_writes in (False, True):
        node = ready_leader(step_down_on_removal=False, async_storage_writes=async_storage_writes)
        node.raw.propose(b"x")
        node.raw.apply_conf_change(change("r1"))
        if async_storage_writes:
            node.begin()
            response = of_type(node.append_work[0].responses, MSG_APP_RESP)[-1]
            node.raw.step_storage(response)
        else:
            node.settle()
        assert node.commit == 1


def test_the_last_voter_cannot_be_removed() -> None:
    """The leader refuses it. Committed, it would fail on every node, and at each restart again."""
    cluster = Cluster((1,), (2,))
    cluster.elect(1)
    cluster.change(1, change("r1"))
    assert [(one.index, one.reason) for one in cluster[1].refused] == [(2, "impossible: removed all voters")]
    cluster.change(2, change("r1"))
    assert [one.index for one in cluster[1].refused] == [2, 3], "also where a follower forwards it"
    assert not cluster[1].impossible
    assert not cluster[2].impossible
    assert {config(each) for each in cluster.hosts.values()} == {"voters=(1) learners=(2)"}
    cluster.propose(1, b"x")
    assert cluster[2].data() == [b"x"]


@pytest.mark.parametrize(
    ("start", "asked", "reason"),
    [
        pytest.param("r3 v4", change("", EXPLICIT), "config is already joint", id="an empty change with a transition"),
        pytest.param("", change("r1 r2 r3"), "removed all voters", id="everybody, through a joint configuration"),
        pytest.param("", change("r1 l1 r2 l2 r3 l3"), "removed all voters", id="everybody becomes a learner"),
    ],
)
def test_a_change_that_could_not_be_applied_is_refused_by_the_leader(
    start: str, asked: ConfChangeV2, reason: str
) -> None:
    cluster = Cluster()
    cluster.elect(1)
    if start:
        cluster.change(1, change(start, EXPLICIT))
    before = config(cluster[1])
    cluster.change(1, asked)
    assert [one.reason for one in cluster[1].refused] == [f"impossible: {reason}"]
    assert config(cluster[1]) == before
    assert not cluster[1].impossible
    cluster.propose(1, b"x")
    assert cluster[2].data() == [b"x"]


def test_unchecked_an_impossible_change_is_committed_and_each_node_goes_on() -> None:
    """As from a leader of an older version: `apply_conf_change` refuses it, the configuration stays, the node lives."""
    cluster = Cluster((1,), (2,), disable_conf_change_validation=True)
    cluster.elect(1)
    cluster.change(1, change("r1"))
    assert [entry.index for entry in cluster[1].impossible] == [2]
    assert [entry.index for entry in cluster[2].impossible] == [2]
    cluster.restart(2)
    cluster.settle()
    cluster.propose(1, b"x")
    assert [entry.index for entry in cluster[2].impossible] == [2]
    assert cluster[2].data() == [b"x"]
    assert {config(each) for each in cluster.hosts.values()} == {"voters=(1) learners=(2)"}


# Learners


def test_a_learner_is_brought_up_to_date_and_promoted() -> None:
    cluster = Cluster((1,))
    cluster.elect(1)
    cluster.propose(1, b"a", b"b")
    cluster.join(2)
    cluster.change(1, change("l2"))
    assert cluster[2].data() == [b"a", b"b"]
    assert cluster[2].raw.status().is_learner
    cluster.isolate(2)
    cluster.propose(1, b"c")
    assert cluster[1].data()[-1] == b"c"
    cluster.heal()
    cluster.tick(2)
    cluster.change(1, change("v2"))
    assert not cluster[2].raw.status().is_learner
    cluster.isolate(2)
    cluster.propose(1, b"d")
    assert cluster[1].data()[-1] == b"c"


def test_a_demoted_voter_stops_campaigning() -> None:
    cluster = Cluster()
    cluster.elect(1)
    cluster.change(1, change("l3"))
    cluster.isolate(3)
    cluster.tick(100, 3)
    assert (cluster[3].role, cluster[3].term) == (FOLLOWER, 1)


# Any sequence


@given(
    script=st.lists(
        st.tuples(
            st.lists(st.sampled_from(["v1", "v2", "v3", "v4", "l2", "l3", "l4", "r1", "r2", "r3", "r4"]), max_size=3),
            st.sampled_from([AUTO, IMPLICIT, EXPLICIT]),
        ),
        max_size=8,
    )
)
def test_all_members_come_to_the_same_configuration(
    script: list[tuple[list[str], ConfChangeTransition]],
) -> None:
    """Whatever is asked for: refused, impossible or applied, everybody who is left agrees and goes on."""
    cluster = Cluster((1, 2, 3), (4,))
    cluster.elect(1)
    for steps, transition in script:
        cluster.change(cluster.leader().id, change(" ".join(steps), transition))
        while all(each.role is not LEADER for each in cluster.hosts.values()):
            cluster.tick()
    cluster.tick(3)
    lead = cluster.leader()
    cluster.propose(lead.id, b"last")
    members = lead.raw.status().config.members()
    assert {config(cluster[id]) for id in members} == {config(lead)}
    assert all(cluster[id].data() == [b"last"] for id in members)
    assert len({tuple(entry.index for entry in cluster[id].impossible) for id in members}) == 1


# A joint configuration is left, whatever dropped the first attempt


def _joint_during_a_transfer(**knobs: Any) -> Cluster:
    """1 leads; its change to a joint configuration is applied while it transfers to 2, whose MsgTimeoutNow is lost."""
    cluster = Cluster(**knobs)
    cluster.elect(1)
    cluster.loses = lambda m: m.type is MSG_TIMEOUT_NOW
    cluster[1].raw.propose_conf_change(change("r3 l4"))
    cluster.work()
    assert cluster[1].raw.transfer_leader(2) is None
    cluster.settle()
    assert cluster[1].raw.status().config.auto_leave
    assert cluster[1].raw.status().lead_transferee == 2
    return cluster


def _to_another(cluster: Cluster) -> None:
    """To 3, also in vain."""
    assert cluster[1].raw.transfer_leader(3) is None
    cluster.tick(9)
    assert cluster[1].raw.status().config.is_joint()
    assert cluster[1].raw.status().lead_transferee == 3
    cluster.tick(2)


@pytest.mark.parametrize("retry", [True, False], ids=["retry", "no retry"])
@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda cluster: cluster.tick(11), id="it times out"),
        pytest.param(lambda cluster: cluster[1].raw.transfer_leader(1), id="a transfer to oneself"),
        pytest.param(_to_another, id="a transfer to another"),
    ],
)
def test_a_joint_configuration_is_left_once_a_transfer_came_to_nothing(
    retry: bool, end: Callable[[Cluster], object]
) -> None:
    """Nobody writes anything, so nothing else is applied that would bring the next attempt."""
    cluster = _joint_during_a_transfer(retry_auto_leave=retry)
    end(cluster)
    cluster.tick(30)
    assert cluster[1].role is LEADER
    assert cluster[1].raw.status().config.is_joint() is not retry


def test_the_leader_after_a_transfer_that_came_to_nothing_leaves_it() -> None:
    """The first one crashes before it has given the transfer up; the next has applied the change already."""
    cluster = _joint_during_a_transfer()
    assert cluster[2].raw.status().config.is_joint()
    cluster.restart(1)
    cluster.elect(2)
    cluster.tick(3)
    assert config(cluster[2]) == "voters=(1 2) learners=(4)"


def test_the_target_leaves_it_when_the_transfer_succeeds() -> None:
    cluster = _joint_during_a_transfer()
    cluster.loses = lambda m: False
    cluster[1].raw.transfer_leader(1)
    cluster[1].raw.transfer_leader(2)
    cluster.tick(3)
    assert cluster[2].role is LEADER
    assert config(cluster[2]) == "voters=(1 2) learners=(4)"


def test_it_is_not_tried_while_the_transfer_goes_on() -> None:
    cluster = _joint_during_a_transfer()
    last = cluster[1].last
    cluster.tick(5)
    assert cluster[1].last == last


def test_it_is_left_once_although_each_tick_would_try() -> None:
    """The attempt is under way for many ticks: nobody answers."""
    cluster = _joint_during_a_transfer(check_quorum=False)
    cluster.isolate(1)
    cluster.tick(40, 1)
    cluster.heal()
    cluster.tick(3)
    assert config(cluster[1]) == "voters=(1 2) learners=(4)"
    changes = [entry.index for entry in cluster[1].applied if entry.type is ENTRY_CONF_CHANGE_V2]
    assert len(changes) == 2
    assert cluster[1].refused == []


def test_a_leave_that_was_dropped_for_its_size_does_not_hold_up_the_leader_s_own() -> None:
    """Its context makes it too large while something waits. The leader's own has no payload and always fits."""
    cluster = _joint_during_a_transfer(max_uncommitted_entries_size=1)
    cluster[1].raw.transfer_leader(1)
    cluster[1].raw.propose(b"x")
    with pytest.raises(ProposalDroppedError) as caught:
        cluster[1].raw.propose_conf_change(ConfChangeV2(context=b"by hand"))
    assert caught.value.reason is DropReason.UNCOMMITTED_LIMIT
    cluster.tick(30)
    assert config(cluster[1]) == "voters=(1 2) learners=(4)"


# apply_conf_change is forgotten


class _Warnings(NullLogger):
    """Hears what is said about `apply_conf_change`."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def warning(self, msg: str, /, *args: object) -> None:
        if "apply_conf_change" in msg:
            self.texts.append(msg % args)


def _forgets(node: Host) -> None:
    """From now on its application applies entries without looking at their type."""
    node.apply = node.applied.extend  # type: ignore[method-assign, assignment]


BOTH_MODES = pytest.mark.parametrize("asynchronous", [False, True], ids=["synchronous", "asynchronous"])


@BOTH_MODES
@pytest.mark.parametrize("called", [True, False], ids=["called", "forgotten"])
def test_a_change_that_is_applied_without_the_call_is_told(asynchronous: bool, called: bool) -> None:
    logger = _Warnings()
    node = ready_leader(logger=logger, async_storage_writes=asynchronous)
    if not called:
        _forgets(node)
    for step in ("l4", "r4"):
        node.raw.propose_conf_change(change(step))
        node.settle()
        node.step(acked(node.last, node.term))
    assert node.refused == []
    assert logger.texts == [
        f"1: 1 of 1 membership changes up to entry {index} were applied without apply_conf_change(): unless they were "
        "rejected on purpose, this node goes on in an old configuration"
        for index in (() if called else (2, 3))
    ]


@BOTH_MODES
def test_an_impossible_change_that_is_handed_over_was_not_forgotten(asynchronous: bool) -> None:
    logger = _Warnings()
    node = ready_leader(logger=logger, async_storage_writes=asynchronous, disable_conf_change_validation=True)
    node.raw.propose_conf_change(change("r1 r2 r3"))
    commit(node)
    assert [entry.index for entry in node.impossible] == [2]
    assert logger.texts == []


@BOTH_MODES
def test_a_surplus_call_does_not_stand_for_a_forgotten_one(asynchronous: bool) -> None:
    logger = _Warnings()
    node = ready_leader(logger=logger, async_storage_writes=asynchronous)
    node.raw.propose_conf_change(change("l4"))
    node.raw.apply_conf_change(change("v0"))
    commit(node)
    _forgets(node)
    node.raw.propose_conf_change(change("l5"))
    commit(node)
    assert ["entry 3" in text for text in logger.texts] == [True]


def test_changes_may_be_applied_before_earlier_ones_are_answered() -> None:
    """Two batches of one change each are with the apply thread, which answers late and then twice."""
    logger = _Warnings()
    node = ready_leader(
        logger=logger,
        async_storage_writes=True,
        disable_conf_change_validation=True,
        max_size_per_msg=1,
        max_committed_size_per_ready=1 << 10,
    )
    for step in ("l4", "l5"):
        node.raw.propose_conf_change(change(step))
        node.begin()
        node.append()
        node.raw.step(acked(node.last, node.term))
        node.begin()
        node.append()
    batches = list(node.apply_work)
    assert [[entry.index for entry in batch.entries] for batch in batches] == [[2], [3]]
    for batch in batches:
        node.apply(batch.entries)
    for batch in (*batches, *batches):
        node.raw.step_storage(batch.responses[0])
    assert logger.texts == []


@BOTH_MODES
@pytest.mark.parametrize("durable", [False, True], ids=["waits", "durable"])
def test_a_change_that_a_snapshot_overtook_may_be_left_out(asynchronous: bool, durable: bool) -> None:
    """It is part of the snapshot: nothing is lost, and an application that knows of the snapshot skips the entry."""
    logger = _Warnings()
    node = host((1,), commit=1, logger=logger, async_storage_writes=asynchronous)
    node.settle()
    entry = Entry(ENTRY_CONF_CHANGE_V2, 1, 2, encode_conf_change_v2(change("l4")))
    node.step(append(1, (1, 1), [entry], 1))
    node.raw.step(heartbeat(1, commit=2))
    node.begin()
    node.raw.step(snapshot_message(1, Snapshot(b"", SnapshotMetadata(ConfState((1, 2, 3), (4,)), 9, 1))))
    _forgets(node)
    if asynchronous:
        if durable:
            node.begin()
            while node.append_work:
                node.append()
        node.apply_next()
    node.settle()
    assert logger.texts == []
    assert config(node) == "voters=(1 2 3) learners=(4)"
