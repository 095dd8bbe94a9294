"""Directed schedules about elections: late and repeated votes, cut links, two leaders, and who has to answer whom."""

from __future__ import annotations

import pytest
from directed import BOTH_WAYS, ON_OFF, plain

from pyraft import CampaignRefusal, Role
from raftpb.enums import (
    MSG_APP,
    MSG_APP_RESP,
    MSG_PRE_VOTE,
    MSG_PRE_VOTE_RESP,
    MSG_SNAP,
    MSG_VOTE,
    MSG_VOTE_RESP,
    MessageType,
)
from raftpb.message import Message
from rafttest.sim.checker.violation import Violation
from rafttest.sim.directed.manual_node import Knobs
from rafttest.sim.directed.schedule import DirectedSchedule

# Votes that come late, twice, or for somebody who has forgotten that it asked


@pytest.mark.parametrize("copies", [1, 4])
def test_a_vote_that_the_network_copies_counts_once(copies: int) -> None:
    """Duplicated VoteResp: 1 has its own vote and that of 2, out of five."""
    s = DirectedSchedule(5, **plain())
    s.campaign(1)
    s.handle(1)
    for n in (3, 4, 5):
        s.drop(MSG_VOTE, to=n)
    s.deliver(MSG_VOTE, to=2)
    s.handle(2)
    for _ in range(copies):
        s.duplicate(MSG_VOTE_RESP, from_=2)
    s.run_until_idle()
    assert s.leaders() == []
    assert s.status(1).soft_state.role is Role.StateCandidate
    s.converge()


@pytest.mark.parametrize("pre_vote", [False, True], ids=["votes", "pre-votes"])
@pytest.mark.parametrize(
    ("kind", "refused"),
    [(MSG_APP_RESP, False), (MSG_VOTE, False), (MSG_PRE_VOTE, False), (MSG_PRE_VOTE_RESP, True)],
    ids=["acknowledgement", "vote", "pre-vote", "pre-vote refused"],
)
def test_a_term_out_of_reach_uses_up_no_terms(kind: MessageType, refused: bool, pre_vote: bool) -> None:
    """It reaches the leader and a follower. Taken by either, it would be the term of all, with none left after it."""
    s = DirectedSchedule(3, pre_vote=pre_vote)
    s.elect(1)
    term = s.status(1).term
    for to in (1, 2):
        s.arrive(Message(kind, to, 3, 2**62 - 1, reject=refused, context=b"CampaignTransfer"))
        s.run_until_idle()
        assert (s.status(to).term, s.status(to).term_jump) == (term, True)
    assert s.leads(1)
    s.elect(2)
    assert s.status(2).term == term + 1
    s.converge()


@pytest.mark.parametrize("restarted", [False, True], ids=["same-life", "restarted"])
def test_a_vote_of_an_older_term_does_not_count(restarted: bool) -> None:
    """2 agrees to term 2, but 1 asks for term 3 when it hears of it. In term 3, 2 votes for 3: two leaders, if both
    votes of 2 counted.
    """
    s = DirectedSchedule(3, **plain())
    s.campaign(1)
    s.handle(1)
    s.drop(MSG_VOTE, to=3)
    s.deliver(MSG_VOTE, to=2)
    s.handle(2)
    late = s.drop(MSG_VOTE_RESP, from_=2)
    if restarted:
        s.crash(1)
        s.restart(1)
    s.campaign(1)
    s.handle(1)
    s.drop(MSG_VOTE, from_=1)
    s.isolate(1)
    s.campaign(3)  # for term 2, which 2 has promised to 1
    s.run_until_idle()
    s.elect(3)
    assert s.status(1).term == s.status(3).term == 3
    s.arrive(late[0])
    s.handle(1)
    assert s.leaders() == [3]
    s.converge()


def test_a_vote_for_an_earlier_life_of_the_candidate() -> None:
    """1 was promised the vote of term 2, crashed, and runs again as a follower of that term: it did not ask."""
    s = DirectedSchedule(3, **plain())
    s.campaign(1)
    s.handle(1)
    s.drop(MSG_VOTE, to=3)
    s.deliver(MSG_VOTE, to=2)
    s.handle(2)
    s.crash(1)
    s.restart(1)
    s.deliver(MSG_VOTE_RESP, to=1)
    assert (s.status(1).term, s.status(1).soft_state.role) == (2, Role.StateFollower)
    s.converge()


@pytest.mark.parametrize(
    ("hold", "forgives", "law"), [(True, [], ""), (False, [], "S3"), (False, ["S3"], "S8")], ids=["on", "off", "harm"]
)
def test_a_candidate_asks_twice_in_one_term_with_two_logs(hold: bool, forgives: list[str], law: str) -> None:
    """With asynchronous writes the reference lets MsgVote leave before term and vote are durable. 1 is writing "a",
    which 3 and 2 have committed, and asks 2 for its vote; crashes; asks again without "a". The first answer elects it.
    """
    own: dict[int, Knobs] = {1: {"persist_before_vote_request": hold}}
    s = DirectedSchedule(3, forgives=forgives, own=own, **plain(async_storage_writes=True))
    s.elect(3)
    s.propose(3, b"a")
    s.handle(3)
    s.deliver(MSG_APP)
    s.handle(2)
    s.deliver(MSG_APP_RESP, from_=2)
    s.handle(3)
    assert s.data(3) == [b"a"]
    s.ready(1)
    s.hold()

    def go_on() -> None:
        s.campaign(1)
        s.ready(1)
        assert [m.to for m in s.mailbox if m.type is MSG_VOTE] == ([] if hold else [2, 3])
        if not hold:
            s.deliver(MSG_VOTE, to=2)
            s.handle(2)
        s.crash(1)
        s.restart(1)
        s.campaign(1)
        s.run_until_idle()
        if not hold:
            s.deliver(MSG_VOTE_RESP, from_=2, to=1)

    if law:
        with pytest.raises(Violation, match=f"{law}: "):
            go_on()
        return
    go_on()
    s.deliver(MSG_VOTE, from_=1)
    s.handle(2, 3)
    s.deliver(MSG_VOTE_RESP)
    assert not s.leads(1)
    s.converge()
    assert s.data(1) == [b"a", b"converged"]


# Links


@ON_OFF
def test_a_link_that_is_cut_deposes_nobody(on: bool) -> None:
    """1 leads, and 2 does not hear from it; 3 reaches both. With pre-vote and check-quorum nothing happens, however
    long it lasts. Without them 2 raises the term again and again.
    """
    s = DirectedSchedule(3, pre_vote=on, check_quorum=on)
    s.elect(1)
    s.part(1, 2)
    s.pass_time(100)
    assert (s.leaders() == [1] and s.status(3).term == 2) is on
    if on:
        s.propose(1, b"x")
        s.run_until_idle()
        assert s.data(1) == s.data(3) == [b"x"]
    s.converge()


def test_asymmetric_cut_of_the_leader() -> None:
    """The leader speaks, and hears nobody: it steps down, and somebody leads who is heard and hears."""
    s = DirectedSchedule(3)
    s.elect(1)
    s.cut(to=1)
    s.pass_time(40)
    assert len(s.leaders()) == 1
    assert s.leaders() != [1]
    s.propose(s.leaders()[0], b"x")
    s.run_until_idle()
    assert s.data(2) == s.data(3) == [b"x"]
    s.converge()


def test_two_leaders_in_different_terms() -> None:
    """Legal, and harmless: the old one commits nothing, and confirms no read."""
    s = DirectedSchedule(3)
    s.elect(1)
    s.isolate(1)
    s.elect(2)
    assert s.leaders() == [1, 2]
    s.propose(1, b"old")
    s.propose(2, b"new")
    s.read(1, b"r")
    s.run_until_idle()
    assert (s.data(1), s.data(2), s.data(3)) == ([], [b"new"], [b"new"])
    assert s.answer(1, b"r") is None
    s.converge()
    assert s.data(1) == [b"new", b"converged"]
    assert [read.context for read in s.node(1).aborted] == [b"r"]


# Those who must be answered, or must answer, lest nobody is ever elected


def test_a_candidate_of_a_higher_term_is_heard_by_the_leader() -> None:
    """3 was cut off and has raised its term. Those who hear from 1 ignore its requests, it ignores what 1 sends; its
    answer to that, an acknowledgement in its own term, is what gets them together again.
    """
    s = DirectedSchedule(3, pre_vote=False)
    s.elect(1)
    s.isolate(3)
    s.pass_time(40, 3)
    assert s.status(3).term > s.status(1).term
    s.converge()


def test_a_pre_vote_of_a_lower_term_is_answered() -> None:
    """3 had no pre-vote, was cut off, and has a high term and a short log. 2 has the longer log and the lower term:
    only the refusal tells it which term to ask for.
    """
    s = DirectedSchedule(3, own={3: {"pre_vote": False}})
    s.elect(1)
    s.isolate(3)
    s.propose(1, b"x")
    s.pass_time(40, 3)
    s.crash(1, 3)
    s.own.clear()
    s.heal()
    s.restart(3)
    assert s.status(3).term > s.status(2).term
    s.pass_time(60)
    assert s.leaders() == [2]
    s.converge()


def test_a_pre_candidate_has_no_leader_to_protect() -> None:
    """1 is dead. 2 knows it first and asks in vain; when 3 asks, 2 agrees, although it heard from 1 a moment ago."""
    s = DirectedSchedule(3)
    s.elect(1)
    s.pass_time(1)
    s.crash(1)
    s.campaign(2)
    s.handle(2)
    s.drop(MSG_PRE_VOTE)
    s.forget_leader(3)
    s.campaign(3)
    s.run_until_idle()
    assert s.leaders() == [3]
    s.converge()


def test_a_learner_that_is_promoted_while_cut_off_votes() -> None:
    """1 and 2 have made 3 a voter, which it does not know. Without 1, 2 needs its vote."""
    s = DirectedSchedule(2, learners=1)
    s.elect(1)
    s.isolate(3)
    s.change(1, "v3")
    s.pass_time(1)
    assert s.node(2).conf.voters == (1, 2, 3)
    assert s.status(3).is_learner
    s.crash(1)
    s.heal()
    s.elect(2)
    s.pass_time(2)
    assert s.node(3).conf.voters == (1, 2, 3)
    s.converge()


@BOTH_WAYS
def test_nobody_campaigns_over_a_snapshot_that_is_not_written(asynchronous: bool) -> None:
    """It has nothing else; if it wins and crashes, the majority that elected it has not what was committed."""
    s = DirectedSchedule(3, async_storage_writes=asynchronous)
    s.elect(1)
    s.isolate(3)
    s.propose(1, b"a", b"b")
    s.run_until_idle()
    s.compact(1)
    s.heal()
    s.tick(1)
    s.hold(MSG_SNAP)
    s.run_until_idle()
    s.deliver(MSG_SNAP, to=3)
    s.ready(3)
    s.crash(1)
    s.forget_leader(2)
    assert s.campaign(3) is CampaignRefusal.SNAPSHOT_PENDING
    s.pause(1, 2)
    s.tick(3, 40)
    assert s.status(3).soft_state.role is Role.StateFollower
    s.crash(3)
    s.restart(3)
    assert s.data(3) == []
    s.converge()
