"""What a cluster without faults owes, and what its clients may see: made-up views and histories that break each law."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import repeat

import pytest

from pyraft import Role
from raftpb.message import ConfState
from rafttest.linearizability import Get, Operation, Put
from rafttest.sim.checker import liveness
from rafttest.sim.checker.clients import KvOperation, check_kept, check_linearizable
from rafttest.sim.checker.determinism import check_repeats
from rafttest.sim.checker.liveness import FollowerView, Question, Seen, View, Watch, check_idle, prove_end, within
from rafttest.sim.checker.violation import Violation
from rafttest.sim.cluster.state_machine import KvRequest, Machine, Machines, decode

THREE = ConfState((1, 2, 3))
FOLLOWER, LEADER = Role.StateFollower, Role.StateLeader
PAUSED = FollowerView(id=3, is_replicating=True, is_paused=True)
PROBED = FollowerView(id=3, is_replicating=False, is_paused=False)
FLOWS = (
    FollowerView(id=2, is_replicating=True, is_paused=False),
    FollowerView(id=3, is_replicating=True, is_paused=False),
)
IMPATIENT = 5


def node(id: int, leader: int = 1, term: int = 4, last: int = 9, last_term: int = 4, conf: ConfState = THREE) -> Seen:
    return Seen(
        id=id,
        role=LEADER if id == leader else FOLLOWER,
        term=term,
        leader=leader,
        commit=9,
        applied=9,
        last=last,
        last_term=last_term,
        state=b"nine",
        conf=conf,
    )


def cluster(leader: int = 1, term: int = 4, conf: ConfState = THREE) -> View:
    """Three that are as they should be."""
    nodes = tuple(node(id, leader, term, conf=conf) for id in (1, 2, 3))
    return View(conf=conf, nodes=nodes, highest=9, state=b"nine", followers=FLOWS)


def changed(view: View, id: int, change: Callable[[Seen], Seen]) -> View:
    return replace(view, nodes=tuple(change(one) if one.id == id else one for one in view.nodes))


HEALTHY = cluster()
LEADERLESS = replace(HEALTHY, nodes=tuple(node(id, leader=0) for id in (1, 2, 3)))
TWO_LEADERS = changed(HEALTHY, 3, lambda one: replace(one, role=LEADER, term=3, leader=3))
JOINT = cluster(conf=ConfState((1, 2), voters_outgoing=(1, 2, 3)))


def for_ever(law: str, view: View, question: Question) -> Callable[[], object]:
    return lambda: within(law, IMPATIENT, repeat(view), question)


def watched(law: str, *views: View, changes: int = 0) -> Callable[[], object]:
    def see_all() -> None:
        watch = Watch(law, HEALTHY, changes)
        for view in views:
            watch.see(view)

    return see_all


def put(value: int, begin: int, end: float = math.inf) -> KvOperation:
    return Operation(Put(1, value), None, begin, end)


def get(value: int | None, begin: int, end: int) -> KvOperation:
    return Operation(Get(1), value, begin, end)


TRACES = iter((("1 start", "2 tick"), ("1 start", "2 crash")))
SHORTER = iter((("1 start", "2 tick"), ("1 start",)))
CUT = frozenset({(1, 3), (3, 1), (1, 2)})
GONE_HALF = replace(HEALTHY, nodes=LEADERLESS.nodes[:1])
RECOVERABLE = replace(LEADERLESS, nodes=LEADERLESS.nodes[:2])
NO_LEADER = Violation("L1", "no leader")


CASES: dict[str, dict[str, Callable[[], object]]] = {
    "S18": {
        "a stale read": lambda: check_linearizable([put(1, 0, 1), put(2, 2, 3), get(1, 4, 5)]),
        "a write without answer happened and did not": lambda: check_linearizable(
            [put(1, 0, 1), put(2, 2), get(2, 3, 4), get(1, 5, 6)]
        ),
    },
    "S20": {
        "a proposal is lost": lambda: check_kept({}, {}, [b"x"]),
        "a key is gone": lambda: check_kept({1: 7}, {2: {}}),
        "a key has an older value": lambda: check_kept({1: 7}, {2: {1: (5, 6)}}),
    },
    "S22": {
        "an event differs": lambda: check_repeats(3, lambda _: next(TRACES)),
        "an event is missing": lambda: check_repeats(3, lambda _: next(SHORTER)),
    },
    "L1": {
        "no leader": for_ever("L1", LEADERLESS, liveness.no_leader),
        "a follower of another": for_ever("L1", TWO_LEADERS, liveness.no_leader),
        "a follower of another term": for_ever(
            "L1", changed(HEALTHY, 2, lambda one: replace(one, term=5)), liveness.no_leader
        ),
        "nobody at all": lambda: within("L1", IMPATIENT, [], liveness.no_leader),
        "too late": lambda: within("L1", 2, [LEADERLESS, LEADERLESS, LEADERLESS, HEALTHY], liveness.no_leader),
        "everybody runs and somebody could be elected": lambda: prove_end(LEADERLESS, NO_LEADER, True),
    },
    "L2": {
        "writes are missing": for_ever(
            "L2", replace(HEALTHY, acknowledged=9), lambda view: liveness.not_written(view, 10)
        ),
        "writes are not everywhere": for_ever(
            "L2",
            changed(replace(HEALTHY, acknowledged=10), 3, lambda one: replace(one, applied=8)),
            lambda view: liveness.not_written(view, 10),
        ),
    },
    "L3": {
        "joint for ever": for_ever("L3", JOINT, liveness.unsettled),
        "a change is not applied": for_ever(
            "L3", changed(HEALTHY, 2, lambda one: replace(one, changes=1)), liveness.unsettled
        ),
        "somebody is in another configuration": for_ever(
            "L3", changed(HEALTHY, 2, lambda one: replace(one, conf=ConfState((1, 2)))), liveness.unsettled
        ),
    },
    "L4": {
        "behind": for_ever("L4", changed(HEALTHY, 2, lambda one: replace(one, applied=8)), liveness.disagreement),
        "another state": for_ever(
            "L4", changed(HEALTHY, 2, lambda one: replace(one, state=b"ten")), liveness.disagreement
        ),
    },
    "L5": {
        "paused": for_ever("L5", replace(HEALTHY, followers=(FLOWS[0], PAUSED)), liveness.stuck_flow),
        "searching or waiting for a snapshot": for_ever(
            "L5", replace(HEALTHY, followers=(FLOWS[0], PROBED)), liveness.stuck_flow
        ),
        "forgotten": for_ever("L5", replace(HEALTHY, followers=FLOWS[:1]), liveness.stuck_flow),
        "nobody sends": for_ever("L5", LEADERLESS, liveness.stuck_flow),
    },
    "L6": {"a read waits": for_ever("L6", replace(HEALTHY, reads_waiting=1), liveness.waiting_reads)},
    "L7": {
        "handing over for ever": for_ever(
            "L7", changed(HEALTHY, 1, lambda one: replace(one, transferee=2)), liveness.running_transfer
        )
    },
    "L8": {
        "another leader": watched("L8", cluster(leader=2, term=5)),
        "the same in another term": watched("L8", cluster(term=5)),
        "no leader": watched("L8", LEADERLESS),
        "twice": watched("L8", cluster(2, 5), LEADERLESS, cluster(1, 6), changes=1),
    },
    "L9": {
        "the log grows": lambda: check_idle(HEALTHY, changed(HEALTHY, 2, lambda one: replace(one, last=10)), 10),
        "a snapshot is sent": lambda: check_idle(HEALTHY, replace(HEALTHY, snapshots_sent=1), 10),
        "too many messages": lambda: check_idle(HEALTHY, replace(HEALTHY, sent=(2 * 2 + 1) * 11 + 1), 10),
    },
    "L10": {
        "the leader reaches nobody": for_ever("L10", replace(HEALTHY, cut=CUT), liveness.no_reaching_leader),
        "no leader": for_ever("L10", LEADERLESS, liveness.no_reaching_leader),
        "the leader does not stay": watched("L10", HEALTHY, cluster(leader=3, term=5)),
    },
    "L11": {"two of three could go on": lambda: prove_end(RECOVERABLE, NO_LEADER, False)},
}


@pytest.mark.parametrize(
    ("law", "breaks"),
    [pytest.param(law, breaks, id=f"{law}-{name}") for law in CASES for name, breaks in CASES[law].items()],
)
def test_a_violating_cluster_is_caught(law: str, breaks: Callable[[], object]) -> None:
    with pytest.raises(Violation) as caught:
        breaks()
    assert caught.value.law == law


@pytest.mark.parametrize(
    "question",
    [
        liveness.no_leader,
        liveness.unsettled,
        liveness.disagreement,
        liveness.stuck_flow,
        liveness.waiting_reads,
        liveness.running_transfer,
        liveness.no_reaching_leader,
        lambda view: liveness.not_written(view, 0),
    ],
)
def test_a_healthy_cluster_lacks_nothing(question: Question) -> None:
    assert question(HEALTHY) == ""


def test_what_comes_in_time_is_returned() -> None:
    assert within("L1", 2, [LEADERLESS, LEADERLESS, HEALTHY], liveness.no_leader) is HEALTHY


def test_a_leader_may_be_replaced_as_often_as_the_watch_says() -> None:
    watch = Watch("L8", HEALTHY, changes=1)
    for view in (HEALTHY, LEADERLESS, cluster(2, 5), cluster(2, 5)):
        watch.see(view)
    assert watch.changes == 0


def test_a_leader_that_was_removed_may_go() -> None:
    without_1 = ConfState((2, 3))
    watch = Watch("L8", HEALTHY)
    watch.see(replace(LEADERLESS, conf=without_1))
    watch.see(cluster(2, 5, conf=without_1))
    with pytest.raises(Violation, match="L8"):
        watch.see(cluster(3, 6, conf=without_1))


def test_members_that_do_not_run_are_not_waited_for() -> None:
    view = replace(HEALTHY, nodes=HEALTHY.nodes[:2])
    assert liveness.no_leader(view) == liveness.stuck_flow(view) == liveness.disagreement(view) == ""


def test_a_new_leader_appends_its_first_entry() -> None:
    after = cluster(leader=2, term=5)
    check_idle(HEALTHY, replace(after, nodes=tuple(replace(one, last=10) for one in after.nodes)), 10)


def test_an_idle_cluster_may_send_heartbeats() -> None:
    check_idle(HEALTHY, replace(HEALTHY, sent=2 * 2 * 10), 10)


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(GONE_HALF, id="two of three are gone"),
        pytest.param(
            replace(
                LEADERLESS,
                conf=ConfState((1,)),
                nodes=(
                    node(1, 0, last=8),
                    *(node(id, 0, last=9, conf=ConfState((1,))) for id in (2, 3)),
                ),
            ),
            id="those that were removed have longer logs and may not campaign",
        ),
    ],
)
def test_where_nobody_can_be_elected_that_is_proved(view: View) -> None:
    assert "can get a quorum" in prove_end(view, NO_LEADER, everybody_runs=True)


@pytest.mark.parametrize(
    ("lasts", "expected"),
    [
        pytest.param((9, 9, 9), [1, 2, 3], id="equal logs"),
        pytest.param((9, 9, 10), [1, 2, 3], id="two are enough for each"),
        pytest.param((8, 9, 10), [2, 3], id="the shortest gets its own vote only"),
    ],
)
def test_who_can_be_elected(lasts: tuple[int, int, int], expected: list[int]) -> None:
    nodes = tuple(node(id, 0, last=last) for id, last in zip((1, 2, 3), lasts, strict=True))
    assert liveness.electable(replace(LEADERLESS, nodes=nodes)) == expected


def test_where_all_are_needed_the_longest_log_alone_can_be_elected() -> None:
    conf = ConfState((1, 2, 3), voters_outgoing=(1, 2, 4))
    nodes = tuple(node(id, 0, last=7 + id, conf=conf) for id in (1, 2))
    assert liveness.electable(replace(LEADERLESS, nodes=nodes, conf=conf)) == [2]


def test_nobody_votes_though_everybody_runs_is_no_proof() -> None:
    view = replace(LEADERLESS, nodes=tuple(node(id, 0, conf=ConfState((9,))) for id in (1, 2, 3)))
    with pytest.raises(Violation, match="L1"):
        prove_end(view, NO_LEADER, everybody_runs=True)


def test_a_repeated_trace_passes() -> None:
    check_repeats(3, lambda seed: (f"{seed} start", "2 tick"))


def test_writes_without_answer_that_nobody_saw_cost_nothing() -> None:
    lost = [put(value, 0) for value in range(100, 160)]
    assert check_linearizable([*lost, put(1, 0, 1), get(1, 2, 3)], budget=10)


def test_a_history_may_be_too_hard() -> None:
    history = [*(put(value, 0) for value in range(8)), *(get(value, 0, 9) for value in range(8)), get(99, 8, 9)]
    assert not check_linearizable(history, budget=50)


def test_what_was_acknowledged_may_have_been_overwritten() -> None:
    check_kept({1: 7}, {2: {1: (5, 7)}, 3: {1: (6, 9)}})


def request(number: int, value: int = 5, client: int = 1) -> KvRequest:
    return KvRequest(client, number, 2, value)


def test_a_request_is_what_it_was_in_the_log() -> None:
    assert decode(KvRequest(1, 2, 3, 4).encode()) == KvRequest(1, 2, 3, 4)
    assert decode(b"17 ....") is None


def test_a_request_that_comes_again_changes_nothing() -> None:
    machine = Machine()
    assert machine.take(request(1, 5), index=3)
    assert machine.take(request(2, 6), index=4)
    assert not machine.take(request(1, 5), index=5)
    assert not machine.take(request(2, 6), index=6)
    assert (machine.value(2), machine.values[2]) == (6, (6, 4))
    assert machine.value(9) is None


def test_sessions_are_kept_apart() -> None:
    machine = Machine()
    machine.take(request(3), 3)
    assert machine.take(request(1, 7, client=2), 4)


def test_a_snapshot_stands_for_the_machine_as_it_was() -> None:
    machines, machine = Machines(), Machine()
    machine.take(request(1, 5), 3)
    machines.keep(b"hash", machine)
    machine.take(request(2, 6), 4)
    restored = machines.at(b"hash")
    assert restored.value(2) == 5
    assert not restored.take(request(1, 9), 5)
    assert machines.at(b"hash").value(2) == 5
    assert machines.at(b"beginning").values == {}
