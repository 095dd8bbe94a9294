"""Directed schedules about membership: changes that are half done when somebody crashes, leads, or is cut off."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from directed import BOTH_WAYS, ON_OFF

from pyraft import CampaignRefusal, DropReason, ProposalDroppedError
from raftpb.confchange import AnyConfChange, ConfChange, ConfChangeV2, parse_changes
from raftpb.enums import (
    ADD_NODE,
    MSG_APP,
    MSG_APP_RESP,
    MSG_HEARTBEAT,
    MSG_PROP,
    MSG_SNAP,
    MSG_TIMEOUT_NOW,
    TRANSITION_JOINT_EXPLICIT,
    TRANSITION_JOINT_IMPLICIT,
)
from raftpb.message import ConfState, Message
from rafttest.sim.checker.violation import Violation
from rafttest.sim.directed.schedule import FIRST, DirectedSchedule


def write_only(s: DirectedSchedule, *nodes: int) -> None:
    """`nodes` write and answer, and do not get round to applying; asynchronous writes only."""
    for n in nodes:
        node = s.node(n)
        while node.raw.has_ready() or node.append_work:
            if node.raw.has_ready():
                s.ready(n)
            else:
                s.persist(n)


# Joint configurations


@BOTH_WAYS
@pytest.mark.parametrize("steps", range(12))
def test_leader_crash_between_enter_and_leave(steps: int, asynchronous: bool) -> None:
    """4 takes the place of 1, in a joint configuration that leaves itself, and 1, the leader, crashes somewhere on the
    way. Either the change never was, or it is completed by another leader.
    """
    s = DirectedSchedule(3, spares=1, async_storage_writes=asynchronous)
    s.elect(1)
    s.change(1, "v4 r1")
    for step in range(steps):
        if step % 2 and s.mailbox:
            s.deliver()
        elif step % 4:
            s.handle(2, 3, 4)
        elif s.node(1).is_up:
            s.handle(1)
    s.crash(1)
    s.mailbox.clear()
    s.isolate(1)
    s.pass_time(40)
    assert len(s.leaders()) == 1
    s.converge()
    assert s.checker.conf in (ConfState((1, 2, 3)), ConfState((2, 3, 4)))


def test_the_next_leader_leaves_what_it_had_applied_before() -> None:
    """1 crashes when it has applied the change and told the others so, but not yet asked to leave. 2 has applied all
    that there is when it is elected: nothing of it will be applied again to remind it.
    """
    s = DirectedSchedule(3, spares=1)
    s.elect(1)
    s.change(1, "v4 r1")
    s.handle(1)
    s.deliver(MSG_APP)
    s.handle(2, 3)
    s.deliver(MSG_APP_RESP)
    s.apply(1)
    s.crash(1)
    s.run_until_idle()
    assert s.node(2).conf == ConfState((2, 3, 4), (), (1, 2, 3), (), True)
    s.elect(2)
    s.converge()
    assert s.checker.conf == ConfState((2, 3, 4))


def test_a_joint_configuration_is_left_once() -> None:
    """Whatever is applied while the change to leave it is under way, and whoever else asks for it."""
    s = DirectedSchedule(3, spares=1)
    s.elect(1)
    s.change(1, "v4 r3")
    s.handle(1)
    for data in (b"a", b"b"):
        s.propose(1, data)
        s.handle(1)
    s.drop(to=3)
    s.deliver(to=2)
    s.handle(2)
    for acknowledgement in s.drop(MSG_APP_RESP, from_=2):
        s.arrive(acknowledgement)
        s.handle(1)
    assert s.node(1).conf.auto_leave
    assert s.data(1) == [b"a", b"b"]
    s.change(1, "")
    s.run_until_idle()
    committed = s.checker.truth.values()
    assert len([truth for truth in committed if truth.is_conf_change()]) == 2
    assert len([truth for truth in committed if not truth.data and not truth.is_conf_change()]) == 2
    assert s.node(1).conf == ConfState((1, 2, 4))
    s.converge()


def test_the_only_voter_demotes_itself() -> None:
    """1 steps down while both halves have to agree. It campaigns, and its own vote counts for the half that it is."""
    s = DirectedSchedule(1, learners=1)
    s.elect(1)
    s.change(1, "v2 l1", TRANSITION_JOINT_EXPLICIT)
    s.run_until_idle()
    assert s.node(1).conf == ConfState((2,), (), (1,), (1,))
    s.part(1, 2)
    s.pass_time(20, 1)
    assert s.leaders() == []
    s.heal()
    s.elect(1)
    s.change(1, "")
    s.converge()
    assert s.node(1).conf == ConfState((2,), (1,))
    assert s.leaders() == [2]


def target_crashes(s: DirectedSchedule) -> None:
    s.crash(2)
    s.pass_time(11)
    s.restart(2)


def to_oneself_and_once_more(s: DirectedSchedule) -> None:
    s.transfer(1, 1)
    s.transfer(1, 2)


TRANSFERS_IN_VAIN: dict[str, Callable[[DirectedSchedule], object]] = {
    "times out": lambda s: s.pass_time(11),
    "to oneself": lambda s: s.transfer(1, 1),
    "to another": lambda s: s.transfer(1, 3),
    "target crashes": target_crashes,
    "to oneself and once more": to_oneself_and_once_more,
}


@BOTH_WAYS
@ON_OFF
@pytest.mark.parametrize("end", TRANSFERS_IN_VAIN)
def test_no_idle_cluster_stays_in_a_joint_configuration(end: str, on: bool, asynchronous: bool) -> None:
    """1 would leave it when it applies the change, but is handing leadership to 2 just then, and no invitation arrives.
    Nobody writes anything, so nothing will be applied that would remind 1 of it.
    """
    s = DirectedSchedule(3, async_storage_writes=asynchronous, retry_auto_leave=on)
    s.elect(1)
    s.cut(MSG_TIMEOUT_NOW)
    s.change(1, "l3 v3", TRANSITION_JOINT_IMPLICIT)
    s.handle(1)
    s.deliver(MSG_APP)
    s.handle(2, 3)
    assert s.transfer(1, 2) is None
    s.run_until_idle()
    assert s.node(1).conf == ConfState((1, 2, 3), (), (1, 2, 3), (), True)
    TRANSFERS_IN_VAIN[end](s)
    s.pass_time(30)
    assert s.leaders() == [1]
    assert bool(s.node(1).conf.voters_outgoing) is not on
    s.converge()  # a write reminds any leader
    assert s.checker.conf == ConfState((1, 2, 3))


# Changes that nobody can apply


@BOTH_WAYS
@pytest.mark.parametrize(
    "impossible",
    [
        pytest.param(ConfChangeV2(parse_changes("r1 r2 r3")), id="no voter left"),
        pytest.param(ConfChange(ADD_NODE, 4), id="simple, in a joint configuration"),
        pytest.param(ConfChangeV2((), TRANSITION_JOINT_EXPLICIT), id="joint twice"),
    ],
)
def test_an_impossible_change_of_an_older_leader(impossible: AnyConfChange, asynchronous: bool) -> None:
    """1 does not check what it proposes, like leaders of before. Every node applies it without an effect, goes on, and
    does the same when it meets the entry again after a crash. A leader that checks refuses it, also from a follower.
    """
    s = DirectedSchedule(
        3, spares=1, async_storage_writes=asynchronous, own={1: {"disable_conf_change_validation": True}}
    )
    s.elect(1)
    if len(impossible.as_v2().changes) != 3:
        s.change(1, "l3", TRANSITION_JOINT_EXPLICIT)
        s.run_until_idle()
    before = s.checker.conf
    s.node(1).raw.propose_conf_change(impossible)
    s.propose(1, b"a")
    s.run_until_idle()
    for n in (1, 2, 3):
        assert s.node(n).conf == before
        s.crash(n)
        s.restart(n)
        s.run_until_idle()
    s.elect(2)
    for n in (1, 2, 3):
        assert s.node(n).conf == before
        assert s.data(n) == [b"a"]
    for n in (2, 3):
        s.node(n).raw.propose_conf_change(impossible)
        if n != 2:
            s.handle(n)
            s.deliver(MSG_PROP)
        assert len(s.ready(2).refused_conf_changes) == 1
        s.run_until_idle()
    s.converge()
    assert s.checker.conf == before


# Changes that are not applied yet


@pytest.mark.parametrize("old_form", [False, True], ids=["v2", "v1"])
def test_two_confchanges_unapplied_campaign(old_form: bool) -> None:
    """4 and 5 have joined, but 2 and 3, who know both changes to be committed, are slow to apply them. In their eyes 2
    and 3 are a majority; 1, 4 and 5 are one in truth. Nobody may campaign like that, not even if invited.
    """
    s = DirectedSchedule(3, spares=2, async_storage_writes=True)
    s.elect(1)
    s.pause(2, 3)
    for n in (4, 5):
        if old_form:
            s.node(1).raw.propose_conf_change(ConfChange(ADD_NODE, n))
        else:
            s.change(1, f"v{n}")
        for _ in range(8):
            s.run_until_idle()
            for slow in (2, 3):
                if any(m.to == slow for m in s.mailbox):
                    s.deliver(to=slow)
            write_only(s, 2, 3)
    assert s.node(1).conf.voters == (1, 2, 3, 4, 5)
    for slow in (2, 3):
        assert s.status(slow).commit == s.status(1).commit
        assert s.node(slow).conf.voters == (1, 2, 3)
    s.isolate(1)
    s.forget_leader(3)
    assert s.campaign(2) is CampaignRefusal.UNAPPLIED_CONF_CHANGE
    s.arrive(Message(MSG_TIMEOUT_NOW, 2, 1, 2))
    assert s.status(2).anomalies.ignored_timeout_now == 1
    write_only(s, 2, 3)
    assert s.leaders() == [1]
    s.converge()


def test_a_new_leader_first_applies_the_change_that_it_found() -> None:
    """A change is in the log of 2 when it is elected, and may be committed, for all it knows. A second one on top of it
    could lead to a configuration whose majorities miss those of the first.
    """
    s = DirectedSchedule(3, spares=2)
    s.elect(1)
    s.hold(MSG_APP_RESP)
    s.change(1, "v4")
    s.handle(1)
    s.deliver(MSG_APP, to=2)
    s.handle(2)
    s.crash(1)
    s.mailbox.clear()
    s.elect(2)
    s.change(2, "v5")
    ready = s.ready(2)
    assert [refused.index for refused in ready.refused_conf_changes] == [FIRST + 3]
    s.handle(2)
    s.converge()
    assert s.checker.conf == ConfState((1, 2, 3, 4))


def test_a_snapshot_with_the_configuration_of_another_index() -> None:
    """The application's mistake: a snapshot from before 2 was demoted says that it was. The checker finds it where it
    is installed.
    """
    s = DirectedSchedule(3)
    s.elect(1)
    s.isolate(3)
    s.propose(1, b"a")
    s.change(1, "l2")
    s.run_until_idle()
    node, before = s.node(1), FIRST + 1
    assert node.conf == ConfState((1, 3), (2,))
    node.disk.keep_snapshot(before, node.conf, s.checker.states[before], before)
    s.checker.compacted(1, node.disk.cache)
    s.heal()
    with pytest.raises(Violation, match="S14: "):
        s.pass_time(2)


def test_changes_are_applied_while_a_snapshot_that_covers_them_waits() -> None:
    """3 applies slowly. It has two changes in hand when a snapshot comes with a third. What `apply_conf_change` returns
    belongs to the changes: 3 makes a snapshot of its own with it, and starts from that after a crash.
    """
    s = DirectedSchedule(3, spares=2, async_storage_writes=True)
    s.elect(1)
    s.pause(3)
    for steps in ("l4", "l5"):
        s.change(1, steps)
        s.run_until_idle()
        while s.mailbox:
            s.deliver(to=3)
            write_only(s, 3)
            s.run_until_idle()
    s.change(1, "r4")
    s.run_until_idle()
    s.drop(to=3)
    s.compact(1)
    s.report_unreachable(1, 3)
    s.tick(1)
    s.run_until_idle()
    s.deliver(MSG_HEARTBEAT, to=3)
    s.ready(3)
    s.run_until_idle()
    s.deliver(MSG_SNAP, to=3)
    node = s.node(3)
    assert node.raw.status().config.conf_state() == ConfState((1, 2, 3), (5,))
    for learners in ((4,), (4, 5)):
        s.apply(3)
        assert node.conf == ConfState((1, 2, 3), learners)
    assert node.raw.status().config.conf_state() == ConfState((1, 2, 3), (5,))
    s.compact(3)
    s.crash(3, keep=9)
    s.resume(3)
    s.restart(3)
    assert node.conf == node.raw.status().config.conf_state() == ConfState((1, 2, 3), (4, 5))
    s.converge()
    assert s.checker.conf == ConfState((1, 2, 3), (5,))


# Leaders that go


@pytest.mark.parametrize("steps_down", [True, False], ids=["steps-down", "leads-on"])
def test_leader_removes_itself(steps_down: bool) -> None:
    """It leads until it has applied that, does not count itself, and then either follows or takes no more proposals."""
    s = DirectedSchedule(3, step_down_on_removal=steps_down)
    s.elect(1)
    s.hold(MSG_APP_RESP, from_=3)
    s.change(1, "r1")
    s.run_until_idle()
    assert s.leaders() == ([] if steps_down else [1])
    assert s.node(1).conf == ConfState((2, 3))
    with pytest.raises(ProposalDroppedError) as dropped:
        s.propose(1, b"x")
    assert dropped.value.reason is (DropReason.NO_LEADER if steps_down else DropReason.NOT_MEMBER)
    s.release()
    s.run_until_idle()
    s.isolate(1)
    s.pass_time(60, 2, 3)
    assert s.status(2).soft_state.leader in {2, 3}
    s.heal()
    s.converge()
    assert s.checker.conf == ConfState((2, 3))


@pytest.mark.parametrize("steps_down", [True, False], ids=["steps-down", "leads-on"])
def test_own_removal_is_applied_with_a_write_under_way(steps_down: bool) -> None:
    """The write ends when 1 is no member any more, and answers two things: that 1 has the entry, which concerns nobody,
    and that it is durable, which frees memory.
    """
    s = DirectedSchedule(2, async_storage_writes=True, step_down_on_removal=steps_down)
    s.elect(1)
    s.change(1, "r1")
    s.ready(1)
    s.persist(1)
    s.propose(1, b"under way")
    s.ready(1)
    s.deliver(MSG_APP)
    s.handle(2)
    s.deliver(MSG_APP_RESP)
    node = s.node(1)
    while node.raw.has_ready():
        s.ready(1)
    s.apply(1)
    assert node.conf == ConfState((2,))
    assert node.append_work
    assert s.leads(1) is not steps_down
    s.handle(1)
    state = node.raw.export_state()
    assert state.offset == state.base + len(state.entries) == FIRST + 3, "all that was written is known to be durable"
    assert state.anomalies.ignored_storage_answers == 0
    s.isolate(1)
    s.pass_time(40, 2)
    s.converge()


@pytest.mark.parametrize("when", ["before it hears", "as candidate", "as leader"])
def test_transfer_to_a_node_that_crashes(when: str) -> None:
    """Proposals wait for an election timeout at most: then 1 leads on, or there is an election."""
    s = DirectedSchedule(3)
    s.elect(1)
    assert s.transfer(1, 2) is None
    s.handle(1)
    with pytest.raises(ProposalDroppedError):
        s.propose(1, b"too early")
    if when == "before it hears":
        s.crash(2)
        s.deliver(MSG_TIMEOUT_NOW)
    else:
        s.deliver(MSG_TIMEOUT_NOW)
        s.handle(2)
        if when == "as leader":
            s.hold(MSG_APP, from_=2)
            s.run_until_idle()
            assert s.leads(2)
        s.crash(2)
        s.mailbox.clear()
        s.release()
    s.pass_time(10)
    if when == "before it hears":
        assert s.leaders() == [1]
        s.propose(1, b"x")
    s.pass_time(40)
    assert len(s.leaders()) == 1
    s.converge()


@pytest.mark.parametrize("steps", ["l2", "r2"], ids=["demoted", "removed"])
def test_transfer_target_goes(steps: str) -> None:
    """2 is to lead when it has caught up, and is no voter any more before that: proposals are taken again at once."""
    s = DirectedSchedule(3)
    s.elect(1)
    s.hold(to=2)
    s.change(1, steps)
    s.handle(1)
    assert s.transfer(1, 2) is None
    s.deliver(MSG_APP, to=3)
    s.handle(3)
    s.deliver(MSG_APP_RESP, from_=3)
    s.handle(1)
    assert s.status(1).lead_transferee == 0
    s.propose(1, b"x")
    s.converge()


def test_removed_node_is_not_waited_for() -> None:
    """3 is cut off; the change that removes it needs no word from it, and leaves one vote less to win."""
    s = DirectedSchedule(4)
    s.elect(1)
    s.isolate(3)
    s.isolate(4)
    s.propose(1, b"x")
    s.run_until_idle()
    assert s.data(1) == []  # two of four
    s.heal()
    s.isolate(4)
    s.run_until_idle()
    s.change(1, "r4")
    s.pass_time(2)
    s.isolate(3)
    s.propose(1, b"y")
    s.run_until_idle()
    assert s.data(1) == [b"x", b"y"]
    s.converge()
