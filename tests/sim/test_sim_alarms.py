"""Alarms that were false: what the laws once took for a fault, told to them again, and what must still be caught."""

from __future__ import annotations

from dataclasses import replace

import pytest
from directed import plain
from sim_histories import FOLLOWER, LEADER, START, MadeHistory, entry

from pyraft import Role
from raftpb.enums import MSG_SNAP, MSG_TIMEOUT_NOW
from raftpb.message import ConfState, Message, Snapshot, SnapshotMetadata
from rafttest.sim.checker.violation import Violation
from rafttest.sim.cluster.network import Envelope
from rafttest.sim.directed.schedule import FIRST, DirectedSchedule
from rafttest.sim.draw import draw
from rafttest.sim.load import liveness_phase
from rafttest.sim.observer import Observer, Watched
from rafttest.sim.options import Options
from rafttest.sim.run import run
from rafttest.sim.schedule import TICK
from rafttest.sim.simulation import Simulation

# S11 asks the configuration that a node is in, which may not be that of its commit index.


def committed_by_others(tail: int) -> MadeHistory:
    """1 and 2 commit an entry. 3, which is in an old configuration, has `tail` entries there that were never committed,
    and a snapshot of what is committed arrives at it.
    """
    made = MadeHistory()
    made.commits(2, [entry(3, 2)])
    made.checker.lives[3].conf = ConfState((3, 4))
    if tail:
        made.writes(3, [entry(3 + i, 1) for i in range(tail)])
    return made


def snapshot_of_3(made: MadeHistory) -> Snapshot:
    return Snapshot(made.checker.states[3], SnapshotMetadata(START.metadata.conf_state, 3, 2))


@pytest.mark.parametrize("tail", [0, 1, 5], ids=["its log is shorter", "equally long", "longer"])
def test_a_snapshot_that_is_not_handed_out_yet_brings_another_configuration(tail: int) -> None:
    made = committed_by_others(tail)
    made.checker.arrives(3, Message(MSG_SNAP, 3, 1, 2, snapshot=snapshot_of_3(made)))
    made.shows(3, FOLLOWER, 2, commit=3, last=3)
    made.checker.check_quorums_hold_commits()
    made.checker.handed_out(3, [], snapshot_of_3(made))
    made.checker.check_quorums_hold_commits()
    made.checker.restored(3, snapshot_of_3(made))
    made.checker.check_quorums_hold_commits()


@pytest.mark.parametrize("arrived", [None, 4], ids=["no snapshot", "another one"])
def test_without_that_snapshot_its_configuration_is_asked(arrived: int | None) -> None:
    made = committed_by_others(tail=1)
    if arrived is not None:
        other = Snapshot(b"", SnapshotMetadata(ConfState((1, 2, 3)), arrived, 2))
        made.checker.arrives(3, Message(MSG_SNAP, 3, 1, 2, snapshot=other))
    made.shows(3, FOLLOWER, 2, commit=3, last=3)
    with pytest.raises(Violation, match=r"S11: 3, committed by node 3, is missing on the quorum \[3, 4\]"):
        made.checker.check_quorums_hold_commits()


def test_a_follower_with_a_longer_log_takes_a_snapshot_and_is_not_asked_for_its_old_configuration() -> None:
    """By real nodes. 1 is cut off with entries that nobody else has. 4 and 5 join, and 3 is cut off and removed; the
    snapshot of that ends in the middle of the log of 1. By the configuration that 1 knows, 1 and 3 are a quorum.
    """
    s = DirectedSchedule(3, spares=2, **plain())
    s.elect(1)
    s.isolate(1)
    s.propose(1, *(b"lost %d" % i for i in range(20)))
    s.handle(1)
    s.campaign(2)
    s.run_until_idle()
    for steps in ("v4", "v5"):
        s.change(2, steps)
        s.run_until_idle()
    s.isolate(3)
    s.change(2, "r3")
    s.run_until_idle()
    s.compact(2)
    s.heal()
    s.mailbox.clear()
    s.hold(MSG_SNAP)
    s.pass_time(3)
    s.deliver(MSG_SNAP, to=1)
    assert s.status(1).commit < FIRST + len(s.terms(1)), "its own log is longer, and not replaced yet"
    assert s.checker.lives[1].conf == ConfState((1, 2, 3))
    s.checker.check_quorums_hold_commits()
    s.release()
    s.run_until_idle()
    assert s.checker.lives[1].conf == ConfState((1, 2, 4, 5))
    s.converge()


# S13: what a leader has said before it stepped down may leave after that, in the same term.


def test_an_invitation_leaves_after_its_leader_has_stepped_down() -> None:
    made = MadeHistory()
    made.leads(1, 2)
    made.shows(1, LEADER, 2, hands_over_to=2)
    made.shows(1, FOLLOWER, 2)
    made.says(1, Message(MSG_TIMEOUT_NOW, 2, 1, 2))


def test_an_invitation_of_the_next_term_is_another_one() -> None:
    made = MadeHistory()
    made.leads(1, 2)
    made.shows(1, LEADER, 2, hands_over_to=2)
    made.shows(1, FOLLOWER, 2)
    made.leads(1, 3)
    with pytest.raises(Violation, match="S13: node 1 invites 2 to campaign, and is not handing over to it"):
        made.says(1, Message(MSG_TIMEOUT_NOW, 2, 1, 3))


# L6 is judged when nothing from before the end of the faults can change the leader any more.


class LateInvitation(Observer):
    """An invitation leaves just before the faults end, and is so many `moments` under way."""

    def __init__(self, moments: int) -> None:
        self._moments = moments

    def begins(self, sim: Watched) -> None:
        assert isinstance(sim, Simulation)
        sim.schedule.after(sim.options.ticks * TICK - 1, lambda: self._invite(sim))

    def _invite(self, sim: Simulation) -> None:
        leader = next(id for id, life in sim.checker.lives.items() if life.role is Role.StateLeader)
        m = Message(MSG_TIMEOUT_NOW, leader % 3 + 1, leader, sim.checker.lives[leader].term)
        envelope = Envelope(m, m.to, sim.schedule.now)
        sim.schedule.after(self._moments, lambda: sim._arrive(envelope))


def quiet() -> Options:
    """Three voters, and nothing that happens to them."""
    drawn = (draw(seed) for seed in range(5000))
    options = next(o for o in drawn if o.voters == 3 and o.pre_vote and o.check_quorum and not o.lease_reads)
    options = replace(
        options, spares=0, never_started=0, own_knobs=(), tick_rates=(), scenario="", disk_loss="", knob_off=""
    )
    options = replace(options, intervals={}, ticks=80, election_tick=12, crash_between=0.0, is_asynchronous=False)
    return replace(options, drop=0.0, late=0.0, duplicate=0.0, misdirect=0.0, corrupt=0.0)


@pytest.mark.parametrize("moments", [1080, 1120, 1200])
def test_an_invitation_from_before_changes_the_leader_before_reads_are_judged(moments: int) -> None:
    assert run(1, options=quiet(), observer=LateInvitation(moments)).violation is None


def test_it_would_change_the_leader_while_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the test above tests something."""
    monkeypatch.setattr(liveness_phase.LivenessPhase, "_end_old_transfers", lambda self: None)
    violation = run(1, options=quiet(), observer=LateInvitation(1120)).violation
    assert violation is not None
    assert violation.law == "L6"
