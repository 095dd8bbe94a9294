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
from sim_borders import BORDERS
from sim_histories import MadeHistory

from pyraft import Config, MemoryStorage, NullLogger, RawNode
from raftpb.message import ConfState
from rafttest.sim.checker import oracle
from rafttest.sim.checker.laws import LAWS
from rafttest.sim.checker.violation import Violation

FILLED_BY = (sim_borders_logs, sim_borders_members, sim_borders_liveness)
"""Modules that note their borders when they are imported."""

WITHOUT: dict[str, str] = {
    "S24": "a refusal changes nothing at all: there is no amount; test_sim_invariants holds its history",
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
    assert caught.value.invariant == law


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


def test_a_refusal_is_compared_whole() -> None:
    """S24 at its border: the counters of refusals may differ, and nothing else."""
    node = RawNode(Config(id=1, storage=MemoryStorage(), logger=NullLogger()))
    before = node.export_state()
    made = MadeHistory()
    made.checker.refused(1, before, replace(before, anomalies=replace(before.anomalies, refused_messages=7)), "it")
    with pytest.raises(Violation, match=re.escape("S24")):
        made.checker.refused(1, before, replace(before, vote=before.vote + 1), "it")
