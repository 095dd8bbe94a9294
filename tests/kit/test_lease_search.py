"""The search for broken leases: it can see one, it admits just the clocks that leases assume, and finds none."""

from __future__ import annotations

import argparse
from itertools import product

import pytest

from pyraft import COMPILED, Role
from pyraft.core import transitions
from pyraft.core.raft import Raft
from rafttest.__main__ import main
from rafttest.cli.lease_search import BUDGETS, add_parser, tasks
from rafttest.lease_search import clock
from rafttest.lease_search.group import IDS, GroupState, Move, act, decoded, events
from rafttest.lease_search.key import key
from rafttest.lease_search.search import broken, search
from rafttest.lease_search.starts import STARTS, VARIANTS, setting_of, start

NONE = BUDGETS["time and messages"]


def settle_in(state: GroupState, kind: str, node: int, **of: object) -> GroupState:
    """The state after the one event of that kind at `node`; of messages, the one of that type, sender and term."""
    setting = SETTING
    for event in events(setting, state):
        if (event.kind, event.node) != (kind, node):
            continue
        if kind == "deliver":
            m = decoded(event.message)
            if (m.type.name, m.from_) != (of["type"], of["sender"]):
                continue
        after = act(setting, state, node, event)
        assert after is not None
        return after
    raise AssertionError(f"no {kind} {of} at {node}")


SETTING = setting_of("defaults", 3, 6)

C2 = [
    ("deliver", 2, "MsgPreVote", 3),
    ("tick", 1, "", 0),
    ("deliver", 2, "MsgHeartbeat", 1),
    ("deliver", 1, "MsgHeartbeatResp", 2),
    ("deliver", 3, "MsgPreVoteResp", 2),
    ("deliver", 3, "MsgPreVote", 2),
    ("deliver", 2, "MsgPreVoteResp", 3),
    ("deliver", 2, "MsgVote", 3),
]


@pytest.mark.parametrize("forgets", [False, True], ids=["kept", "forgotten"])
def test_it_sees_a_promise_that_is_forgotten_with_its_term(monkeypatch: pytest.MonkeyPatch, forgets: bool) -> None:
    """The schedule that the search found when the bug was planted: `near` votes though it has just promised."""
    if forgets:
        if COMPILED:
            pytest.skip("compiled code cannot be patched")
        reset = transitions.reset

        def reset_all(r: Raft, term: int) -> None:
            reset(r, term)
            r.promise.ticks_left = 0

        monkeypatch.setattr(transitions, "reset", reset_all)
    state = start("rivals", SETTING, NONE)
    for kind, node, type, sender in C2:
        state = settle_in(state, kind, node, type=type, sender=sender)
        assert broken(state) == ""
    votes = [m for m in map(decoded, state.wire) if m.type.name == "MsgVoteResp"]
    assert bool(votes) is forgets
    if forgets:
        state = settle_in(state, "deliver", 3, type="MsgVoteResp", sender=2)
        assert "3 leads term" in broken(state)


def test_it_finds_a_promise_that_its_own_node_takes_back() -> None:
    """With the knob off, `campaign()` goes ahead over a promise."""
    setting = setting_of("defaults", 3, 4, lease_outlives_term=False)
    found = search(setting, start("quiet", setting, BUDGETS["two campaigns"]), 8, 60_000)
    assert found.schedule
    assert [event.kind for event in found.schedule].count("campaign") == 1
    state = start("quiet", setting, BUDGETS["two campaigns"])
    for event in found.schedule:
        assert broken(state) == ""
        after = act(setting, state, event.node, event)
        assert after is not None
        state = after
    assert broken(state), "the schedule can be played again"


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", STARTS)
def test_it_finds_nothing(variant: str, name: str) -> None:
    for election_tick, budget in product((3, 4), BUDGETS.values()):
        setting = setting_of(variant, election_tick, 6)
        found = search(setting, start(name, setting, budget), 60, 300)
        assert found.schedule == ()
        assert found.states > 100 or found.is_complete


@pytest.mark.parametrize("name", STARTS)
def test_a_start_has_a_leader_and_no_broken_lease(name: str) -> None:
    state = start(name, SETTING, NONE)
    assert any(part.core.role is Role.StateLeader for part in state.parts)
    assert broken(state) == ""
    assert state.parts[0].core.committed >= 3, "a leader that may answer has committed in its term"


def test_a_small_search_comes_to_its_end() -> None:
    """With every message lost, time alone goes on until nobody leads."""
    setting = setting_of("defaults", 3, 6)
    first = start("elected", setting, NONE)._replace(wire=())
    setting.most_messages = 0
    found = search(setting, first, 60, 10_000)
    assert found.is_complete
    assert found.schedule == ()


# The clock


def orders(election_tick: int, length: int) -> list[tuple[int, ...]]:
    """Every order of ticks that the clock admits."""
    found: list[tuple[int, ...]] = []

    def go(order: tuple[int, ...], now: clock.Clock) -> None:
        if len(order) == length:
            found.append(order)
            return
        for node in range(clock.NODES):
            if clock.may_tick(now, node, election_tick):
                go((*order, node), clock.tick(now, node))

    go((), clock.begin(election_tick))
    return found


def is_assumed(order: tuple[int, ...], n: int) -> bool:
    """From right after a tick of a, or the beginning, to its (n - 2)th tick after that: at most n - 1 of others."""
    for a in range(clock.NODES):
        ticks_of_a = [at for at, node in enumerate(order) if node == a]
        for begin in [-1, *ticks_of_a]:
            later = [at for at in ticks_of_a if at > begin]
            end = later[n - 3] if len(later) >= n - 2 else len(order)
            window = order[begin + 1 : end]
            if any(window.count(b) > n - 1 for b in range(clock.NODES) if b != a):
                return False
    return True


@pytest.mark.parametrize("election_tick", [3, 4])
def test_the_clock_admits_just_the_orders_that_a_lease_assumes(election_tick: int) -> None:
    length = 8
    admitted = set(orders(election_tick, length))
    for order in product(range(clock.NODES), repeat=length):
        assert (order in admitted) is is_assumed(order, election_tick), order


# What makes two states the same


def test_a_state_and_its_renaming_are_one() -> None:
    """Nodes 2 and 3 of a quiet group are alike: whichever campaigns, the same may follow."""
    state = start("elected", SETTING, BUDGETS["two campaigns"])
    budget = BUDGETS["two campaigns"]
    state = state._replace(wire=(), clock=clock.begin(3))
    ticked = {node: act(SETTING, state, node, Move("tick", node, budget)) for node in IDS}
    two, three = ticked[2], ticked[3]
    assert two is not None
    assert three is not None
    assert key(SETTING, two) == key(SETTING, three)
    one = ticked[1]
    assert one is not None
    assert key(SETTING, one) != key(SETTING, two)


def test_time_that_has_passed_makes_no_difference() -> None:
    """The same group 99 ticks, 33 election timeouts, later: numbers of reads and ticks have grown."""
    early = start("elected", SETTING, NONE)
    late = early
    for _ in range(99):
        for node in IDS:
            after = act(SETTING, late, node, Move("tick", node, NONE))
            assert after is not None
            late = after
        while late.wire:
            message = late.wire[0]
            after = act(SETTING, late, decoded(message).to, Move("deliver", decoded(message).to, NONE, message))
            assert after is not None
            late = after
    assert late.parts[0].core.ticks == early.parts[0].core.ticks + 99
    assert key(SETTING, late._replace(clock=early.clock)) == key(SETTING, early)


def test_nodes_that_differ_in_their_knobs_are_not_renamed() -> None:
    setting = setting_of("node by node", 3, 6)
    state = start("elected", setting, NONE)._replace(wire=())
    two, three = (act(setting, state, node, Move("tick", node, NONE)) for node in (2, 3))
    assert two is not None
    assert three is not None
    assert key(setting, two) != key(setting, three)


# The command


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    return parser.parse_args(["lease-search", *arguments])


def test_every_start_is_searched_under_every_setting() -> None:
    every = list(tasks(parsed()))
    assert {(task.variant, task.start) for task in every} == set(product(VARIANTS, STARTS))
    assert {task.budget for task in every} == set(BUDGETS)


def test_the_command_tells_what_it_searched(capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--states", "50", "--election-tick", "3", "--variant", "defaults", "--start", "quiet", "--jobs", "1"]
    assert main(["lease-search", *few]) == 0
    assert "0 found a broken lease" in capsys.readouterr().out


def test_the_command_shows_the_schedule_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--states", "60000", "--election-tick", "3", "--variant", "defaults", "--start", "quiet"]
    code = main(
        ["lease-search", *arguments, "--budget", "two campaigns", "--off", "lease_outlives_term", "--jobs", "1"]
    )
    told = capsys.readouterr().out
    assert code == 1
    assert "BROKEN" in told
    assert "campaign 2" in told
