"""Directed schedules about reads: what a leader knows, who confirms it, and leases that outlive their leader."""

from __future__ import annotations

import pytest
from directed import BOTH_WAYS, ON_OFF

from pyraft import CampaignRefusal, ReadOnlyOption, Role
from raftpb.enums import (
    MSG_APP,
    MSG_APP_RESP,
    MSG_HEARTBEAT,
    MSG_HEARTBEAT_RESP,
    MSG_PRE_VOTE,
    MSG_PRE_VOTE_RESP,
    MSG_READ_INDEX,
    MSG_TIMEOUT_NOW,
    MSG_VOTE,
    TRANSITION_JOINT_EXPLICIT,
)
from raftpb.message import ConfState
from rafttest.sim.checker.violation import Violation
from rafttest.sim.directed.manual_node import Knobs
from rafttest.sim.directed.schedule import FIRST, DirectedSchedule

LEASES: Knobs = {"read_only_option": ReadOnlyOption.ReadOnlyLeaseBased, "pre_vote": False}


def with_leases(knobs: Knobs) -> tuple[DirectedSchedule, int, int, int]:
    """A cluster that has elected somebody by itself and works, and who leads; the others."""
    told: Knobs = {**LEASES, **knobs}
    s = DirectedSchedule(3, **told)
    while not s.leaders():
        s.pass_time(1)
    s.pass_time(3)
    leader = s.leaders()[0]
    first, second = (n for n in (1, 2, 3) if n != leader)
    return s, leader, first, second


def read_stale_or_not(s: DirectedSchedule, old: int, new: int, on: bool) -> None:
    """`new` leads, and commits; `old` believes that it leads, and is asked for a read."""
    s.propose(new, b"new")
    s.run_until_idle()
    assert s.data(new) == [b"new"]
    s.read(old, b"r")
    if on:
        s.run_until_idle()
        assert s.answer(old, b"r") is None
        s.converge()
    else:
        with pytest.raises(Violation, match="S17: "):
            s.run_until_idle()


# Leases. The clocks of all nodes tick alike.


@ON_OFF
def test_a_lease_survives_the_restart_of_who_granted_it(on: bool) -> None:
    """`far` does not hear from the leader, and asks for votes; `near` does, and refuses them. It crashes, restarts at
    once, and has forgotten the leader: the reference lets it vote, while the leader trusts its answer of a moment ago.
    """
    s, old, near, far = with_leases({"lease_survives_restart": on})
    s.part(old, far)
    s.hold(MSG_VOTE, from_=far)
    while s.status(far).term == s.status(old).term:
        s.pass_time(1)
    s.isolate(old)
    s.crash(near)
    s.restart(near)
    s.deliver(MSG_VOTE, to=near)
    s.run_until_idle()
    assert (s.leaders() == [min(old, far), max(old, far)]) is not on
    if on:
        s.read(old, b"r")
        s.run_until_idle()
        assert s.answer(old, b"r") == FIRST
        s.converge()
    else:
        read_stale_or_not(s, old, far, on)


@ON_OFF
def test_transfer_aborted_then_lease_read(on: bool) -> None:
    """The leader gives a transfer up, but its invitation arrives late. The votes that follow ignore leases."""
    s, old, target, _ = with_leases({"lease_ends_with_transfer": on})
    s.transfer(old, target)
    s.handle(old)
    late = s.drop(MSG_TIMEOUT_NOW)
    s.transfer(old, old)
    assert s.status(old).lead_transferee == 0
    s.pass_time(1)
    s.isolate(old)
    s.arrive(late[0])
    s.run_until_idle()
    assert s.leads(old)
    assert s.leads(target)
    read_stale_or_not(s, old, target, on)


@ON_OFF
def test_a_lease_ends_before_others_may_elect(on: bool) -> None:
    """The leader is cut off. Check-quorum tells it so after two election timeouts; others may vote after one."""
    s, old, new, _ = with_leases({"bounded_lease": on})
    s.pass_time(8)  # a round of check-quorum has just ended
    s.isolate(old)
    s.pass_time(10)
    s.campaign(new)
    s.run_until_idle()
    assert s.leads(old)
    assert s.leads(new)
    read_stale_or_not(s, old, new, on)


def promised_and_then_of_a_later_term(s: DirectedSchedule, old: int, near: int, far: int) -> None:
    """`near` grants a pre-vote, then hears from the leader `old`, and then learns that `far` is in a later term.

    Messages are late and overtake each other; nothing else is wrong.
    """
    s.isolate(old)
    s.hold(MSG_PRE_VOTE)
    s.hold(MSG_PRE_VOTE_RESP)
    s.hold(MSG_VOTE)
    s.pass_time(10)
    for n in (near, far):
        if s.status(n).soft_state.role is not Role.StatePreCandidate:
            s.campaign(n)
        s.handle(n)
    s.deliver(MSG_PRE_VOTE, from_=far, to=near)
    s.handle(near)
    s.heal()
    s.part(old, far)
    s.pass_time(1)
    assert s.status(near).soft_state.leader == old
    s.deliver(MSG_PRE_VOTE_RESP, from_=near, to=far)
    s.handle(far)
    s.deliver(MSG_PRE_VOTE, from_=near, to=far)
    s.handle(far)
    s.isolate(old)
    s.deliver(MSG_PRE_VOTE_RESP, from_=far, to=near)
    s.handle(near)
    assert s.status(near).term == s.status(far).term == s.status(old).term + 1


@ON_OFF
def test_a_promise_outlives_its_term(on: bool) -> None:
    """`near` learns of a later term by a refusal of its own old pre-vote. The reference forgets the leader with
    that, and grants the vote that it would have refused a moment earlier, while the leader answers by lease.
    """
    s, old, near, far = with_leases({"pre_vote": True, "lease_outlives_term": on})
    promised_and_then_of_a_later_term(s, old, near, far)
    s.deliver(MSG_VOTE, from_=far, to=near)
    s.run_until_idle()
    assert s.leads(old)
    assert s.leads(far) is not on
    if on:
        s.read(old, b"r")
        s.run_until_idle()
        assert s.answer(old, b"r") == FIRST
        s.converge()
    else:
        read_stale_or_not(s, old, far, on)


@ON_OFF
@pytest.mark.parametrize("later", [False, True], ids=["same-term", "later-term"])
def test_a_promise_holds_up_the_campaign_of_who_gave_it(on: bool, later: bool) -> None:
    """An application that campaigns over its own node's promise would take it back."""
    s, old, near, far = with_leases({"pre_vote": later, "lease_outlives_term": on})
    if later:
        promised_and_then_of_a_later_term(s, old, near, far)
    else:
        s.isolate(old)
    s.release()
    s.mailbox.clear()
    refusal = s.campaign(near)
    assert refusal is (CampaignRefusal.LEASE_PROMISED if on else None)
    if on:
        s.pass_time(10, near, far)
        assert s.campaign(near) is not CampaignRefusal.LEASE_PROMISED


# What a leader knows


def test_read_before_term_commit() -> None:
    """2 is elected with x in its log, and does not know that it is committed, and its client told. It has to wait."""
    s = DirectedSchedule(3)
    s.elect(1)
    s.propose(1, b"x")
    s.handle(1)
    s.deliver(to=2)
    s.handle(2)
    s.deliver(MSG_APP_RESP, to=1)
    s.apply(1)
    assert s.data(1) == [b"x"]
    s.crash(1)
    s.mailbox.clear()
    s.hold(MSG_APP_RESP, to=2)
    s.elect(2)
    s.read(2, b"r")
    s.run_until_idle()
    assert (s.status(2).commit, s.answer(2, b"r")) == (FIRST, None)
    s.release()
    s.run_until_idle()
    assert s.answer(2, b"r") == FIRST + 2
    s.converge()


@pytest.mark.parametrize("back", [False, True], ids=["deposed", "leads-again"])
def test_read_pause_leader_change(back: bool) -> None:
    """1 asks for confirmation and is paused. When the answers arrive another leader has been there, and perhaps 1 leads
    again, and asks about its first read again.
    """
    s = DirectedSchedule(3)
    s.elect(1)
    s.read(1, b"old")
    s.handle(1)
    s.pause(1)
    s.deliver(to=2)
    s.deliver(to=3)
    s.handle(2, 3)
    late = s.drop(to=1)
    s.elect(2)
    s.propose(2, b"x")
    s.run_until_idle()
    s.resume(1)
    s.run_until_idle()
    s.pass_time(1)
    assert [read.context for read in s.node(1).aborted] == [b"old"]
    if back:
        s.elect(1)
        s.isolate(1)
        s.read(1, b"new")
        s.run_until_idle()
    for m in late:
        s.arrive(m)
    s.run_until_idle()
    assert s.node(1).answers == {}
    s.converge()


def test_a_read_in_a_joint_configuration_is_confirmed_by_both_halves() -> None:
    """1, 4 and 5 are to take over from 1, 2 and 3. 2 and 3 do not know yet that this is decided: they elect 2, and
    commit. 1 is cut off from them, and 4 and 5 go on confirming its reads.
    """
    s = DirectedSchedule(3, spares=2)
    s.elect(1)
    s.change(1, "v4 v5 r2 r3", TRANSITION_JOINT_EXPLICIT)
    s.handle(1)
    s.deliver(to=2)
    s.deliver(to=3)
    s.handle(2, 3)
    s.deliver(to=1)
    for n in (2, 3):
        s.part(1, n)
        s.hold(from_=n, to=4)
        s.hold(from_=n, to=5)
    s.pass_time(2, 1)
    assert s.node(1).conf == s.node(4).conf == s.node(5).conf
    assert s.node(1).conf.voters_outgoing == (1, 2, 3)
    s.elect(2)
    assert s.leaders() == [1, 2]
    assert s.status(2).commit > s.status(1).commit
    s.read(1, b"r")
    s.pass_time(1, 1)
    assert s.answer(1, b"r") is None
    s.converge()


# Copies


def test_a_read_that_the_network_copies_is_answered_once() -> None:
    """2 has passed a read on to 1, and has its answer. A copy of the question comes to 1 when 2 leads, and so, passed
    on once more, back to 2.
    """
    s = DirectedSchedule(3)
    s.elect(1)
    s.read(2, b"r")
    s.handle(2)
    copies = s.duplicate(MSG_READ_INDEX)
    s.drop(MSG_READ_INDEX)
    s.arrive(copies[0])
    s.run_until_idle()
    s.pass_time(1)
    assert s.answer(2, b"r") == FIRST
    s.elect(2)
    s.arrive(copies[0])
    s.run_until_idle()
    s.pass_time(2)
    assert s.status(2).anomalies.dropped_reads == 1
    s.converge()


# Quorums that shrink while a read waits


@BOTH_WAYS
@ON_OFF
@pytest.mark.parametrize("asks", [1, 2], ids=["leader", "follower"])
def test_a_read_waits_until_its_leader_is_the_only_voter(asks: int, on: bool, asynchronous: bool) -> None:
    """Nobody is left whose answer could confirm it."""
    s = DirectedSchedule(2, async_storage_writes=asynchronous, recheck_reads=on)
    s.elect(1)
    s.hold(MSG_HEARTBEAT)
    s.change(1, "r2")
    s.handle(1)
    s.read(asks, b"r")
    s.handle(asks)
    if asks == 2:
        s.deliver(MSG_READ_INDEX)
        s.handle(1)
    s.run_until_idle()
    assert s.node(1).conf == ConfState((1,))
    s.mailbox.clear()
    s.pass_time(60, 1)
    assert s.answer(asks, b"r") == (FIRST if on else None)
    assert s.status(1).pending_reads == (0 if on else 1)
    s.read(1, b"next")
    s.run_until_idle()
    assert s.answer(1, b"next") == FIRST + 1
    if on:
        s.release()
        s.converge()


@ON_OFF
def test_a_read_is_confirmed_by_those_who_are_left(on: bool) -> None:
    """3 has answered; 4 and 5, who have not, are removed. What 1 is told by nobody it does not believe: the read that
    comes later waits for an answer of its own.
    """
    s = DirectedSchedule(5, recheck_reads=on)
    s.elect(1)
    s.change(1, "r4 r5", TRANSITION_JOINT_EXPLICIT)
    s.run_until_idle()
    s.change(1, "")
    s.handle(1)
    s.hold(MSG_HEARTBEAT)
    s.read(1, b"first")
    s.handle(1)
    s.deliver(MSG_HEARTBEAT, to=3)
    s.handle(3)
    s.deliver(MSG_HEARTBEAT_RESP)
    s.read(1, b"second")
    s.handle(1)
    assert s.answer(1, b"first") is None
    s.deliver(MSG_APP)
    s.handle(2, 3, 4, 5)
    s.deliver(MSG_APP_RESP)
    s.handle(1)
    assert s.node(1).conf == ConfState((1, 2, 3))
    assert s.answer(1, b"first") == (FIRST + 1 if on else None)
    assert s.answer(1, b"second") is None
    s.release()
    s.run_until_idle()
    assert s.answer(1, b"first") == s.answer(1, b"second") == FIRST + 1
    s.converge()


@BOTH_WAYS
def test_a_leader_that_was_replaced_shrinks_no_quorum_to_answer_a_read(asynchronous: bool) -> None:
    """2 and 3 have appended the removal of 4 and say so. Then 2 leads, with the votes of 3 and 4, and writes. The
    answers come late: 1 commits the removal, but of the three that are left only 1 itself has confirmed its read.
    """
    s = DirectedSchedule(4, async_storage_writes=asynchronous, check_quorum=False)
    s.elect(1)
    s.change(1, "r4")
    s.handle(1)
    s.drop(MSG_APP, to=4)
    s.deliver(MSG_APP)
    s.handle(2, 3)
    late = s.drop(MSG_APP_RESP)
    s.isolate(1)
    s.elect(2)
    s.propose(2, b"new")
    s.run_until_idle()
    s.read(1, b"r")
    s.handle(1)
    for m in late:
        s.arrive(m)
    s.handle(1)
    assert s.node(1).conf == ConfState((1, 2, 3))
    assert s.answer(1, b"r") is None
    s.heal()
    s.converge()
    assert s.answer(1, b"r") is None
