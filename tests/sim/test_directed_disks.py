"""Directed schedules about disks: what a crash leaves, and disks that forget what their node had promised."""

from __future__ import annotations

import pytest
from directed import BOTH_WAYS, ON_OFF

from pyraft import InvalidMessageError, MemoryStorage
from raftpb.enums import MSG_HEARTBEAT, MSG_VOTE, MSG_VOTE_RESP
from raftpb.message import HardState, Message
from rafttest.sim.checker.violation import Violation
from rafttest.sim.directed.schedule import FIRST, DirectedSchedule


def hard_state(s: DirectedSchedule, n: int) -> HardState:
    return s.node(n).disk.durable.initial_state()[0]


# Disks that come back empty, or old


def test_wiped_follower_commit_ahead() -> None:
    """3 has acknowledged up to 5 and lost its disk. It may not fall over, nor commit what it has not, now or later."""
    s = DirectedSchedule(3)
    s.elect(1)
    s.propose(1, b"a", b"b")
    s.run_until_idle()
    s.crash(3)
    s.wipe(3)
    s.pass_time(2)
    assert "the log ends at 0" in s.status(3).log_loss_suspected
    assert s.node(1).raw.status().progress[3].match == FIRST + 2  # the leader believes what 3 once said
    s.crash(3)
    s.restart(3)
    s.pass_time(2)
    assert s.status(3).log_loss_suspected
    assert (s.status(3).commit, s.data(3)) == (0, [])
    s.elect(2)  # another leader believes nothing, and begins from the snapshot
    s.converge()
    assert s.data(3) == [b"a", b"b", b"converged"]


@pytest.mark.parametrize("backup", [False, True], ids=["emptied", "an old backup"])
def test_a_leader_that_answers_at_once_does_not_keep_a_wiped_follower_busy(backup: bool) -> None:
    """A leader of the Go library does, as one without `retry_lost_acks_at_heartbeat`. What 2 and 3 agree on goes on."""
    s = DirectedSchedule(3, retry_lost_acks_at_heartbeat=False)
    s.elect(1)
    old = s.backup(3)
    s.propose(1, b"a", b"b")
    s.run_until_idle()
    s.crash(3)
    s.report_unreachable(1, 3)  # so that the leader probes
    s.restore(3, old if backup else MemoryStorage())
    s.pass_time(3)  # each refusal would bring the next append; the mail would never end
    assert s.status(3).log_loss_suspected
    s.propose(1, b"c")
    s.pass_time(1)
    assert (s.data(2), s.data(3)) == ([b"a", b"b", b"c"], [])
    s.elect(2)
    s.converge()
    assert s.data(3) == [b"a", b"b", b"c", b"converged"]


def test_restored_backup_follower() -> None:
    """The backup of 1 holds "lost", which was replaced later. To commit as far as its log goes would bring it back."""
    s = DirectedSchedule(3)
    s.elect(1)
    s.isolate(1)
    s.propose(1, b"lost")
    s.run_until_idle()
    backup = s.backup(1)
    s.elect(2)
    s.heal()
    s.propose(2, b"a", b"b")
    s.pass_time(1)
    assert s.terms(1) == [2, 3, 3, 3]
    s.crash(1)
    s.restore(1, backup)
    s.pass_time(2)
    assert s.terms(1) == [2, 2]
    assert "the log ends at 4" in s.status(1).log_loss_suspected
    assert s.status(1).commit == FIRST
    s.elect(3)
    s.converge()
    assert s.data(1) == [b"a", b"b", b"converged"]


def test_a_backup_that_is_long_enough_is_not_noticed() -> None:
    """Nothing in Raft can: the leader knows 4 to be there, and something is. That is why an id is one log for ever."""
    s = DirectedSchedule(3)
    s.elect(1)
    s.isolate(1)
    s.propose(1, b"lost")
    s.run_until_idle()
    backup = s.backup(1)
    s.elect(2)
    s.heal()
    s.pass_time(1)
    assert s.terms(1) == [2, 3]
    s.crash(1)
    s.restore(1, backup)
    with pytest.raises(Violation, match="S11: "):
        s.pass_time(2)


def test_cross_delivered_heartbeat() -> None:
    """A heartbeat for 2, who has everything, reaches 3, who has nothing of it; once as it is, once readdressed."""
    s = DirectedSchedule(3)
    s.elect(1)
    s.cut(to=3)
    s.propose(1, b"a", b"b")
    s.run_until_idle()
    s.tick(1)
    s.handle(1)
    heartbeat = s.deliver(MSG_HEARTBEAT, to=2)[0]
    assert heartbeat.commit == FIRST + 2
    s.arrive(heartbeat, at=3)
    assert isinstance(s.refused[-1], InvalidMessageError)
    assert not s.status(3).log_loss_suspected
    s.arrive(Message(MSG_HEARTBEAT, 3, 1, heartbeat.term, commit=heartbeat.commit))
    assert "meant for another node" in s.status(3).log_loss_suspected
    assert s.status(3).commit == FIRST
    s.converge()


# Term and vote


@pytest.mark.parametrize("kept", [True, False], ids=["written", "not-written"])
def test_full_restart_term_vote(kept: bool) -> None:
    """2 gives its vote of term 2 to 1; all nodes restart, and 3 asks for the same vote. It gets it if 2 does not know
    that it gave it, and then nobody else does: the answer to 1 had not left.
    """
    s = DirectedSchedule(3, pre_vote=False)
    s.campaign(1)
    s.handle(1)
    s.drop(MSG_VOTE, to=3)
    s.deliver(MSG_VOTE, to=2)
    s.ready(2)
    s.crash(1, 2, 3, keep=int(kept))
    s.restart(1, 2, 3)
    assert (hard_state(s, 2).term, hard_state(s, 2).vote) == ((2, 1) if kept else (1, 0))
    s.campaign(3)
    s.run_until_idle()
    assert s.leads(3) is not kept
    s.converge()


def test_a_vote_that_was_sent_survives_a_full_restart() -> None:
    """The answer of 2 to 1 is still on its way, and 3 asks 2 in the same term."""
    s = DirectedSchedule(3, pre_vote=False)
    s.campaign(1)
    s.handle(1)
    s.drop(MSG_VOTE, to=3)
    s.deliver(MSG_VOTE, to=2)
    s.send(2)
    s.hold(MSG_VOTE_RESP, to=1)
    s.crash(2, 3)
    s.restart(2, 3)
    s.campaign(3)
    s.run_until_idle()
    assert s.leaders() == []
    s.deliver(MSG_VOTE_RESP, from_=2, to=1)
    assert s.leaders() == [1]
    s.converge()


@BOTH_WAYS
@pytest.mark.parametrize("keep", [0, 1])
def test_crash_between_term_and_vote(keep: int, asynchronous: bool) -> None:
    """Term and vote are one record: after a crash both are there, or neither is, and no second vote can be given."""
    s = DirectedSchedule(3, pre_vote=False, async_storage_writes=asynchronous)
    s.campaign(1)
    s.handle(1)
    s.deliver(MSG_VOTE, to=2)
    s.ready(2)
    if asynchronous and keep:
        s.persist(2)
        s.drop(MSG_VOTE_RESP, from_=2)
    s.crash(2, keep=keep)
    s.restart(2)
    assert (hard_state(s, 2).term, hard_state(s, 2).vote) == ((2, 1) if keep else (1, 0))
    s.drop(MSG_VOTE, to=3)
    s.campaign(3)  # asks for term 2, too
    s.handle(3)
    s.deliver(MSG_VOTE, from_=3, to=2)
    s.handle(2)
    s.run_until_idle()
    assert s.leads(3) is not bool(keep)
    s.converge()


# Writes that did not become durable


@BOTH_WAYS
@pytest.mark.parametrize("persisted", [False, True], ids=["before-persist", "after-persist"])
def test_single_node_crash_before_persist(persisted: bool, asynchronous: bool) -> None:
    """A node that is alone is its own majority, but only with what is on its disk."""
    s = DirectedSchedule(1, async_storage_writes=asynchronous)
    s.elect(1)
    s.propose(1, b"x")
    ready = s.ready(1)
    assert [entry.data for entry in ready.entries] == [b"x"]
    assert ready.committed_entries == []
    if persisted:
        s.persist(1)
    s.crash(1)
    s.restart(1)
    s.converge()
    assert s.data(1) == [b"x"] * persisted + [b"converged"]


@BOTH_WAYS
@pytest.mark.parametrize("keep", [0, 1, 2, 9])
def test_power_cut_with_unsynced_tails(keep: int, asynchronous: bool) -> None:
    """All nodes stop at once, each at another point, and lose different tails. What was applied anywhere is kept."""
    s = DirectedSchedule(5, async_storage_writes=asynchronous)
    s.elect(1)
    s.propose(1, b"applied")
    s.run_until_idle()
    s.propose(1, b"on four", b"on four too")
    s.hold(from_=4)
    s.handle(1)
    s.deliver(from_=1)
    s.handle(2)
    s.persist(3) if not asynchronous else s.handle(3)
    s.ready(4)
    s.ready(5)
    s.propose(1, b"nowhere")
    s.ready(1)
    s.crash(1, 2, 3, 4, 5, keep=keep)
    s.mailbox.clear()
    s.restart(1, 2, 3, 4, 5)
    s.converge()
    assert s.data(1)[0] == b"applied"
    assert {n: s.data(n) for n in (2, 3, 4, 5)} == dict.fromkeys((2, 3, 4, 5), s.data(1))


@ON_OFF
def test_read_single_voter_after_restart(on: bool) -> None:
    """x is applied, and its client told; that it is committed is not on the disk. After a crash 1 leads again, and the
    reference answers a read before its first entry is committed, without x.
    """
    s = DirectedSchedule(1, single_voter_reads_need_commit=on)
    s.elect(1)
    s.propose(1, b"x")
    s.apply(1)
    s.apply(1)
    assert s.data(1) == [b"x"]
    s.crash(1)
    s.restart(1)
    assert s.status(1).commit == FIRST
    s.campaign(1)
    while not s.leads(1):
        s.apply(1)
    s.read(1, b"r")
    if on:
        s.run_until_idle()
        assert s.answer(1, b"r") == FIRST + 2
    else:
        with pytest.raises(Violation, match="S16: "):
            s.run_until_idle()
