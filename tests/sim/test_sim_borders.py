"""The borders of the simulator's laws: the last history that each allows, and the first that it does not.

A law that is too strict raises false alarms, one that is too lax sees nothing; a comparison that is off by one is
noticed by one of the two histories only.
"""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import sim_borders_liveness
import sim_borders_logs
import sim_borders_members
from hypothesis import given
from hypothesis import strategies as st
from sim_borders import BORDERS
from sim_histories import MadeHistory
from test_sim_liveness import FLOWS, HEALTHY, LEADERLESS, changed

from pyraft import ConfChangeError, Config, MemoryStorage, NullLogger, RawNode
from raftpb.confchange import ConfChangeSingle, ConfChangeV2
from raftpb.enums import (
    ADD_LEARNER_NODE,
    ADD_NODE,
    REMOVE_NODE,
    TRANSITION_AUTO,
    TRANSITION_JOINT_EXPLICIT,
    TRANSITION_JOINT_IMPLICIT,
)
from raftpb.message import ConfState, Snapshot, SnapshotMetadata
from rafttest.sim.checker import liveness, oracle
from rafttest.sim.checker.laws import LAWS
from rafttest.sim.checker.liveness import Question, View, check_idle
from rafttest.sim.checker.violation import Violation

FILLED_BY = (sim_borders_logs, sim_borders_members, sim_borders_liveness)
"""Modules that note their borders when they are imported."""

WITHOUT: dict[str, str] = {
    "S24": "a refusal changes nothing at all: there is no amount; test_sim_safety holds its history",
    "D5": "a damaged log is damaged by one bit or not; test_sim_laws holds its history",
    "D8": "a node goes on or does not; test_sim_laws holds its history",
    "N11": "a message is the one that was sent or another; test_sim_laws holds its history",
}


@pytest.mark.parametrize("name", BORDERS)
def test_the_last_history_that_is_allowed(name: str) -> None:
    _, allowed, _ = BORDERS[name]
    allowed(MadeHistory())


@pytest.mark.parametrize("name", BORDERS)
def test_the_first_history_that_is_not(name: str) -> None:
    law, _, beyond = BORDERS[name]
    with pytest.raises(Violation) as caught:
        beyond(MadeHistory())
    assert caught.value.law == law


@pytest.mark.parametrize("law", LAWS)
def test_each_law_has_a_border_or_says_why_not(law: str) -> None:
    assert (law in WITHOUT) != any(where == law for where, _, _ in BORDERS.values())


# The oracle: quorums and changes from their definitions.


@pytest.mark.parametrize(
    ("voters", "outgoing", "members", "expected"),
    [
        pytest.param((1, 2, 3, 4), (), (1, 2), False, id="half of four"),
        pytest.param((1, 2, 3, 4), (), (1, 2, 3), True, id="three of four"),
        pytest.param((1, 2, 3), (), (1,), False, id="one of three"),
        pytest.param((1, 2, 3), (), (1, 9, 8), False, id="strangers do not count"),
        pytest.param((1, 2, 3), (4, 5, 6), (1, 2, 4), False, id="one half of a joint one"),
        pytest.param((1, 2, 3), (4, 5, 6), (1, 2, 4, 5), True, id="both halves"),
        pytest.param((), (), (), False, id="nobody votes"),
    ],
)
def test_quorums_of_the_oracle(
    voters: tuple[int, ...], outgoing: tuple[int, ...], members: tuple[int, ...], expected: bool
) -> None:
    assert oracle.is_quorum(ConfState(voters, voters_outgoing=outgoing), members) is expected


@pytest.mark.parametrize(
    ("conf", "sound"),
    [
        pytest.param(ConfState((1, 2, 3), learners=(4,)), True, id="a learner"),
        pytest.param(ConfState((1, 2, 3), learners=(3,)), False, id="a learner that votes"),
        pytest.param(ConfState((1, 2), learners=(3,), voters_outgoing=(1, 3)), False, id="a learner that still votes"),
        pytest.param(ConfState((1, 2), voters_outgoing=(1, 3), learners_next=(3,)), True, id="one that will learn"),
        pytest.param(ConfState((1, 2), voters_outgoing=(1, 3), learners_next=(4,)), False, id="that never voted"),
        pytest.param(ConfState(()), False, id="nobody"),
    ],
)
def test_soundness_of_the_oracle(conf: ConfState, sound: bool) -> None:
    assert oracle.is_sound(conf) is sound


@pytest.mark.parametrize(("id", "votes"), [(1, True), (4, True), (7, False), (9, False)])
def test_who_votes_by_the_oracle(id: int, votes: bool) -> None:
    conf = ConfState((1, 2, 3), learners=(7,), voters_outgoing=(3, 4))
    assert oracle.is_voter(conf, id) is votes


STEPS = st.lists(
    st.builds(ConfChangeSingle, st.sampled_from([ADD_NODE, REMOVE_NODE, ADD_LEARNER_NODE]), st.integers(0, 6)),
    max_size=3,
)
CHANGES = st.builds(
    ConfChangeV2,
    STEPS.map(tuple),
    st.sampled_from([TRANSITION_AUTO, TRANSITION_JOINT_IMPLICIT, TRANSITION_JOINT_EXPLICIT]),
)


@given(st.lists(CHANGES, min_size=1, max_size=6))
def test_the_oracle_and_the_core_agree_about_changes(changes: list[ConfChangeV2]) -> None:
    """They share no code. What is impossible for one is for the other."""
    conf = ConfState((1, 2, 3), (4,))
    storage = MemoryStorage()
    storage.apply_snapshot(Snapshot(b"", SnapshotMetadata(conf, 2, 1)))
    node = RawNode(Config(id=9, storage=storage, logger=NullLogger()))
    for change in changes:
        expected = oracle.change(conf, change)
        if expected is None:
            with pytest.raises(ConfChangeError):
                node.apply_conf_change(change)
            continue
        conf = node.apply_conf_change(change)
        assert conf == expected


@pytest.mark.parametrize(
    ("view", "lacks"),
    [
        pytest.param(
            replace(HEALTHY, cut=frozenset({(2, 1), (3, 1)})), liveness.no_reaching_leader, id="the leader hears nobody"
        ),
        pytest.param(
            replace(HEALTHY, cut=frozenset({(1, 2), (1, 3)})), liveness.no_reaching_leader, id="nobody hears the leader"
        ),
        pytest.param(changed(HEALTHY, 2, lambda one: replace(one, leader=3)), liveness.no_leader, id="another leader"),
        pytest.param(changed(HEALTHY, 1, lambda one: replace(one, unwritten=1)), liveness.unfinished, id="not written"),
        pytest.param(
            changed(HEALTHY, 2, lambda one: replace(one, state=b"x")), liveness.unfinished, id="another state"
        ),
    ],
)
def test_one_thing_is_enough_to_lack_something(view: View, lacks: Question) -> None:
    assert lacks(replace(view, highest=9)) != ""


def test_a_follower_that_does_not_run_need_not_flow() -> None:
    view = replace(HEALTHY, nodes=HEALTHY.nodes[:2], followers=(FLOWS[0], replace(FLOWS[1], is_paused=True)))
    assert liveness.stuck_flow(view) == ""


@pytest.mark.parametrize("gone", ["before", "after"])
def test_an_idle_group_without_a_leader_is_for_another_law(gone: str) -> None:
    grown = changed(HEALTHY, 2, lambda one: replace(one, last=99))
    check_idle(*((LEADERLESS, grown) if gone == "before" else (HEALTHY, replace(LEADERLESS, snapshots_sent=9))), 10)


def test_a_refusal_is_compared_whole() -> None:
    """S24 at its border: the counters of refusals may differ, and nothing else."""
    node = RawNode(Config(id=1, storage=MemoryStorage(), logger=NullLogger()))
    before = node.export_state()
    made = MadeHistory()
    made.checker.refused(1, before, replace(before, anomalies=replace(before.anomalies, refused_messages=7)), "it")
    with pytest.raises(Violation, match=re.escape("S24")):
        made.checker.refused(1, before, replace(before, vote=before.vote + 1), "it")
