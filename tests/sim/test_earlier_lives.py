"""Answers that arrive when their asker is another: of an earlier life, of an earlier term, or about an earlier request.

One schedule for each place where an answer is matched to who asked; `test_directed_elections.py` holds those of votes,
`test_durability.py` those of the storage threads, `test_directed_reads.py` the late invitation of a transfer. The
checker watches each step; what is asserted besides is that the late answer counts for nothing.
"""

from __future__ import annotations

import pytest
from directed import BOTH_WAYS, plain

from pyraft import Role
from raftpb.enums import (
    MSG_APP,
    MSG_APP_RESP,
    MSG_HEARTBEAT,
    MSG_HEARTBEAT_RESP,
    MSG_PRE_VOTE,
    MSG_PRE_VOTE_RESP,
    MSG_READ_INDEX_RESP,
    MSG_SNAP,
)
from raftpb.message import Message
from rafttest.sim.checker.violation import Violation
from rafttest.sim.directed.schedule import DirectedSchedule


def granted_late(asynchronous: bool) -> tuple[DirectedSchedule, Message]:
    """2 has granted 1 its pre-vote; before the answer arrives, 1 crashes and runs again."""
    s = DirectedSchedule(3, pre_vote=True, check_quorum=False, async_storage_writes=asynchronous)
    s.campaign(1)
    s.handle(1)
    s.drop(MSG_PRE_VOTE, to=3)
    s.deliver(MSG_PRE_VOTE, to=2)
    s.handle(2)
    late = s.drop(MSG_PRE_VOTE_RESP, to=1)
    s.crash(1)
    s.restart(1)
    return s, late[0]


@BOTH_WAYS
def test_a_pre_vote_for_an_earlier_life_is_no_campaign(asynchronous: bool) -> None:
    s, late = granted_late(asynchronous)
    term = s.status(1).term
    s.arrive(late)
    s.handle(1)
    assert (s.status(1).term, s.status(1).soft_state.role) == (term, Role.StateFollower)
    s.converge()


@BOTH_WAYS
def test_a_pre_vote_for_an_earlier_life_brings_no_vote(asynchronous: bool) -> None:
    """The second life asks the same question, and the old answer fits: it may stand, and needs real votes then."""
    s, late = granted_late(asynchronous)
    s.isolate(1)
    s.campaign(1)
    s.handle(1)
    s.arrive(late)
    s.handle(1)
    assert s.status(1).soft_state.role is Role.StateCandidate
    s.elect(2)
    assert s.leaders() == [2]
    s.converge()


def test_an_acknowledgement_for_an_earlier_leadership() -> None:
    """1 sends an entry while it is being written, 2 acknowledges it, and 1 crashes without it. Elected once more, 1 has
    another entry at that index, which 2 lacks.
    """
    s = DirectedSchedule(3, **plain(async_storage_writes=True))
    s.elect(1)
    s.propose(1, b"lost")
    s.ready(1)
    s.drop(MSG_APP, to=3)
    s.deliver(MSG_APP, to=2)
    s.handle(2)
    late = s.drop(MSG_APP_RESP, from_=2)
    s.crash(1)
    s.restart(1)
    s.isolate(2)
    s.elect(1)
    assert s.node(1).raw.status().progress[2].match == 0
    s.arrive(late[0])
    s.handle(1)
    assert s.node(1).raw.status().progress[2].match == 0
    s.converge()
    assert s.data(2) == [b"converged"]


@BOTH_WAYS
def test_a_confirmed_read_of_an_earlier_leadership(asynchronous: bool) -> None:
    """2 confirms a read to 1, which is deposed before the answer arrives; leading again, 1 gives its next read the
    same number. Meanwhile 3 leads a later term, with a write that this read must not miss.
    """
    s = DirectedSchedule(3, **plain(async_storage_writes=asynchronous))
    s.elect(1)
    s.read(1, b"first")
    s.handle(1)
    s.drop(MSG_HEARTBEAT, to=3)
    s.deliver(MSG_HEARTBEAT, to=2)
    s.handle(2)
    late = s.drop(MSG_HEARTBEAT_RESP, from_=2)
    s.crash(1)
    s.restart(1)
    s.elect(1)
    s.isolate(1)
    s.elect(3)
    s.propose(3, b"new")
    s.run_until_idle()
    s.read(1, b"second")
    s.handle(1)
    assert s.leads(1)
    s.arrive(late[0])
    s.handle(1)
    assert s.answer(1, b"second") is None
    s.converge()


def asked_late(asynchronous: bool) -> tuple[DirectedSchedule, Message]:
    """Follower 2 has asked; the answer is late."""
    s = DirectedSchedule(3, **plain(async_storage_writes=asynchronous))
    s.elect(1)
    s.read(2, b"r")
    s.hold(MSG_READ_INDEX_RESP)
    s.run_until_idle()
    late = s.drop(MSG_READ_INDEX_RESP, to=2)
    s.release()
    return s, late[0]


@BOTH_WAYS
def test_a_read_answer_for_an_earlier_life(asynchronous: bool) -> None:
    s, late = asked_late(asynchronous)
    s.crash(2)
    s.restart(2)
    s.arrive(late)
    s.handle(2)
    assert s.answer(2, b"r") is None
    assert s.node(2).raw.status().anomalies.ignored_read_answers == 1
    s.converge()


@BOTH_WAYS
def test_a_read_answer_that_is_copied(asynchronous: bool) -> None:
    """The question was asked once, and is answered once."""
    s, late = asked_late(asynchronous)
    s.arrive(late)
    s.handle(2)
    assert s.answer(2, b"r") is not None
    s.arrive(late)
    s.handle(2)
    assert s.node(2).raw.status().anomalies.ignored_read_answers == 1
    s.converge()


def test_a_context_that_an_earlier_life_has_used_is_not_safe() -> None:
    """The wire carries nothing but the context to tell two questions apart: the answer to the first is taken for one to
    the second. `RawNode.read_index` says that a node uses each context once, over its restarts too.
    """
    s, late = asked_late(asynchronous=False)
    s.crash(2)
    s.restart(2)
    s.propose(1, b"new")
    s.run_until_idle()
    s.read(2, b"r")
    s.arrive(late)
    with pytest.raises(Violation, match="S16: "):
        s.handle(2)


@BOTH_WAYS
def test_a_read_answer_of_an_earlier_leader(asynchronous: bool) -> None:
    """2 follows another leader already. The answer would be right; it is not taken, as a stranger's would not be."""
    s, late = asked_late(asynchronous)
    s.elect(3)
    s.arrive(late)
    s.handle(2)
    assert s.answer(2, b"r") is None
    s.converge()


@BOTH_WAYS
def test_a_report_about_an_earlier_snapshot(asynchronous: bool) -> None:
    """That the first snapshot failed is told when the second is on its way. It costs a third attempt at most."""
    s = DirectedSchedule(3, **plain(async_storage_writes=asynchronous))
    s.elect(1)
    s.isolate(3)
    s.propose(1, b"a", b"b")
    s.run_until_idle()
    s.compact(1)
    s.heal()
    s.hold(MSG_SNAP)
    s.pass_time(2)
    s.drop(MSG_SNAP)
    s.report_snapshot(1, 3, arrived=False)
    s.pass_time(2)
    second = s.drop(MSG_SNAP)
    s.report_snapshot(1, 3, arrived=False)
    s.arrive(second[0])
    s.converge()
    assert s.data(3) == s.data(1)


@BOTH_WAYS
def test_a_read_answer_of_a_node_that_does_not_lead(asynchronous: bool) -> None:
    """In the same term, 3 answers what 2 has asked the leader: it is not taken, and the leader's answer is."""
    s, late = asked_late(asynchronous)
    s.arrive(Message(MSG_READ_INDEX_RESP, 2, 3, late.term, index=late.index, entries=late.entries))
    s.handle(2)
    assert s.answer(2, b"r") is None
    assert s.node(2).raw.status().anomalies.ignored_read_answers == 1
    s.arrive(late)
    s.handle(2)
    assert s.answer(2, b"r") == late.index
    s.converge()
