"""Borders of L1 to L11: what is owed once faults have ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sim_borders import border, of_views
from sim_histories import LEADER, MadeHistory
from test_sim_liveness import CUT, FLOWS, HEALTHY, LEADERLESS, changed, cluster, node

from raftpb.message import ConfState
from rafttest.sim.checker import liveness
from rafttest.sim.checker.liveness import Watch, check_idle, prove_end, within
from rafttest.sim.checker.violation import Violation

# L: once faults have ended


def _waits(ticks: int) -> Callable[[], object]:
    return lambda: within("L1", 2, [*[LEADERLESS] * ticks, HEALTHY], liveness.no_leader)


of_views("L1", "a leader at the last tick", _waits(2), _waits(3))


def _written(acknowledged: int, applied: int = 9) -> Callable[[], object]:
    view = changed(replace(HEALTHY, acknowledged=acknowledged, highest=9), 3, lambda one: replace(one, applied=applied))
    return lambda: within("L2", 0, [view], lambda seen: liveness.not_written(seen, 10))


of_views("L2", "the tenth write", _written(10), _written(9))
of_views("L2", "the tenth write is everywhere", _written(10), _written(10, applied=8))


def _all_settled(changes: int) -> Callable[[], object]:
    view = changed(HEALTHY, 2, lambda one: replace(one, changes=changes))
    return lambda: within("L3", 0, [view], liveness.unsettled)


of_views("L3", "the last change is applied", _all_settled(0), _all_settled(1))


def _left_alone(auto_leave: bool) -> Callable[[], object]:
    view = cluster(conf=ConfState((1, 2), voters_outgoing=(1, 2, 3), auto_leave=auto_leave))
    return lambda: within("L3", 0, [view], liveness.joint_by_itself)


of_views("L3", "an idle joint configuration that is not left by itself", _left_alone(False), _left_alone(True))


def _applied(applied: int) -> Callable[[], object]:
    view = changed(replace(HEALTHY, highest=9), 2, lambda one: replace(one, applied=applied))
    return lambda: within("L4", 0, [view], liveness.disagreement)


def _last(last: int) -> Callable[[], object]:
    view = changed(replace(HEALTHY, highest=9), 2, lambda one: replace(one, last=last))
    return lambda: within("L4", 0, [view], liveness.unfinished)


of_views("L4", "the last entry is applied", _applied(9), _applied(8))
of_views("L4", "no log is longer", _last(9), _last(10))


def _flow(paused: bool) -> Callable[[], object]:
    view = replace(HEALTHY, followers=(FLOWS[0], replace(FLOWS[1], is_paused=paused)))
    return lambda: within("L5", 0, [view], liveness.stuck_flow)


of_views("L5", "nobody is paused", _flow(False), _flow(True))
of_views(
    "L6",
    "the last read is answered",
    lambda: within("L6", 0, [HEALTHY], liveness.waiting_reads),
    lambda: within("L6", 0, [replace(HEALTHY, reads_waiting=1)], liveness.waiting_reads),
)


def _hands_over_for(s: MadeHistory, ticks: int) -> None:
    s.leads(1, 2)
    s.shows(1, LEADER, 2, hands_over_to=2)
    s.checker.ticked(1, ticks)
    s.shows(1, LEADER, 2, hands_over_to=2)


@border("L7", lambda s: _hands_over_for(s, 11))
def _a_transfer_of_the_longest_time(s: MadeHistory) -> None:
    _hands_over_for(s, 10)


@border("L7", lambda s: _hands_over_for(s, 11))
def _a_second_transfer_has_a_time_of_its_own(s: MadeHistory) -> None:
    _hands_over_for(s, 10)
    s.shows(1, LEADER, 2)
    s.checker.ticked(1, 5)
    s.shows(1, LEADER, 2, hands_over_to=2)
    s.checker.ticked(1, 10)
    s.shows(1, LEADER, 2, hands_over_to=2)


def _leaders(law: str, changes: int, allowed: int) -> Callable[[], object]:
    def see() -> None:
        watch = Watch(law, HEALTHY, allowed)
        for at in range(1, changes + 1):
            watch.see(cluster(leader=1 + at % 3, term=4 + at))

    return see


of_views("L8", "another leader once", _leaders("L8", 1, 1), _leaders("L8", 2, 1))
of_views("L10", "the same leader", _leaders("L10", 0, 0), _leaders("L10", 1, 0))
of_views(
    "L10",
    "one link of two is cut",
    lambda: within("L10", 0, [replace(HEALTHY, cut=frozenset({(1, 3)}))], liveness.no_reaching_leader),
    lambda: within("L10", 0, [replace(HEALTHY, cut=CUT)], liveness.no_reaching_leader),
)


def _idle(sent: int = 0, last: int = 9, snapshots: int = 0) -> Callable[[], object]:
    after = changed(replace(HEALTHY, sent=sent, snapshots_sent=snapshots), 2, lambda one: replace(one, last=last))
    return lambda: check_idle(HEALTHY, after, 10)


of_views("L9", "as many messages as are enough", _idle(sent=55), _idle(sent=56))
of_views("L9", "logs stay", _idle(), _idle(last=10))
of_views("L9", "logs do not shrink either", _idle(), _idle(last=8))
of_views("L9", "no snapshot", _idle(), _idle(snapshots=1))


def _who_runs(count: int) -> Callable[[], object]:
    view = replace(LEADERLESS, nodes=LEADERLESS.nodes[:count])
    return lambda: prove_end(view, Violation("L1", "no leader"), everybody_runs=False)


of_views("L11", "one of three is no quorum", _who_runs(1), _who_runs(2))


def _with_a_longer_log(last: int) -> Callable[[], object]:
    """1 and 2 run; 2 is no voter by its own configuration, and its log ends at `last`."""
    nodes = (node(1, 0), node(2, 0, last=last, conf=ConfState((1, 3))))
    return lambda: prove_end(replace(LEADERLESS, nodes=nodes), Violation("L1", "no leader"), everybody_runs=False)


of_views("L11", "who has one entry more does not vote", _with_a_longer_log(10), _with_a_longer_log(9))
