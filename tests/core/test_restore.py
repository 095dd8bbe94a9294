"""Rebuilding a configuration from a ConfState: exactly, or not at all."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sortedcontainers import SortedDict

from pyraft.confchange.changer import Changer
from pyraft.confchange.restore import restore
from pyraft.errors import ConfChangeError
from pyraft.tracker.configuration import Configuration
from pyraft.tracker.inflights import Inflights
from pyraft.tracker.progress import Progress
from pyraft.tracker.tracker import ProgressTracker
from raftpb.confchange import ConfChangeSingle
from raftpb.enums import ADD_LEARNER_NODE, ADD_NODE, REMOVE_NODE
from raftpb.message import ConfState

LISTS = st.lists(st.integers(min_value=0, max_value=6), max_size=4)
ANY = st.builds(ConfState, LISTS, LISTS, LISTS, LISTS, st.booleans())


@st.composite
def valid_conf_states(draw: st.DrawFn) -> ConfState:
    """Each node gets one place of those that a configuration can give; lists in any order."""
    places = draw(st.lists(st.sampled_from(["v", "vo", "o", "on", "l", ""]), min_size=1, max_size=7))
    places[0] = "vo" if "o" in "".join(places) else "v"
    lists: dict[str, list[int]] = {"v": [], "o": [], "l": [], "n": []}
    for node_id, place in enumerate(places, start=1):
        for letter in place:
            lists[letter].append(node_id)
    return ConfState(
        draw(st.permutations(lists["v"])),
        draw(st.permutations(lists["l"])),
        draw(st.permutations(lists["o"])),
        draw(st.permutations(lists["n"])),
        draw(st.booleans()) and bool(lists["o"]),
    )


def replay(conf_state: ConfState, last_index: int) -> tuple[Configuration, SortedDict[int, Progress]]:
    """The reference's way: reach the configuration by membership changes, however much of it they can express."""
    tracker = ProgressTracker(4, 500)
    wanted = [ConfChangeSingle(ADD_NODE, node_id) for node_id in conf_state.voters]
    wanted += [ConfChangeSingle(ADD_LEARNER_NODE, node_id) for node_id in conf_state.learners]
    wanted += [ConfChangeSingle(ADD_LEARNER_NODE, node_id) for node_id in conf_state.learners_next]
    outgoing = [ConfChangeSingle(ADD_NODE, node_id) for node_id in conf_state.voters_outgoing]
    for change in outgoing or wanted:
        tracker.install(*Changer(tracker, last_index).simple([change]))
    if outgoing:
        removals = [ConfChangeSingle(REMOVE_NODE, node_id) for node_id in conf_state.voters_outgoing]
        tracker.install(*Changer(tracker, last_index).enter_joint(conf_state.auto_leave, removals + wanted))
    return (tracker.config, SortedDict(tracker.progress))


@pytest.mark.parametrize(
    ("conf_state", "text"),
    [
        pytest.param(ConfState(), "voters=()", id="empty"),
        pytest.param(ConfState([1]), "voters=(1)", id="one voter"),
        pytest.param(ConfState([3, 1, 2], [5, 4]), "voters=(1 2 3) learners=(4 5)", id="in any order"),
        pytest.param(ConfState([1], [], [1]), "voters=(1)&&(1)", id="joint with itself"),
        pytest.param(
            ConfState([1, 2, 3], [5], [1, 2, 4, 6], [4], True),
            "voters=(1 2 3)&&(1 2 4 6) learners=(5) learners_next=(4) autoleave",
            id="everything",
        ),
        pytest.param(ConfState([2**63 - 1]), "voters=(7fffffffffffffff)", id="the largest id"),
    ],
)
def test_restore(conf_state: ConfState, text: str) -> None:
    config, progress = restore(conf_state, 7, 4, 500)
    assert str(config) == text
    assert config.conf_state().equivalent(conf_state)
    assert tuple(progress) == config.members()
    for node_id, member in progress.items():
        assert member == Progress(node_id, 0, 7, Inflights(4, 500), node_id in conf_state.learners, recent_active=True)


def test_an_empty_log_is_probed_at_its_first_index() -> None:
    _, progress = restore(ConfState([1]), 0, 4, 500)
    assert progress[1].next == 1


@pytest.mark.parametrize(
    ("conf_state", "text"),
    [
        pytest.param(ConfState([1, 0]), "voters: 0 is not the id of a node", id="zero"),
        pytest.param(ConfState([1], [-1]), "learners: -1 is not the id of a node", id="a thread"),
        pytest.param(
            ConfState([1], [], [2**63]), f"voters_outgoing: {2**63} is not the id of a node", id="above 63 bits"
        ),
        pytest.param(ConfState([1], [], [1], [0]), "learners_next: 0 is not the id of a node", id="zero staged"),
        pytest.param(ConfState(cast(Any, [1, 2.5])), "voters: 2.5 is not the id of a node", id="half a number"),
        pytest.param(ConfState(cast(Any, [1]), cast(Any, ["2"])), "learners: '2' is not the id of a node", id="text"),
        pytest.param(ConfState([1], [], [True]), "voters_outgoing: True is not the id of a node", id="a switch"),
        pytest.param(ConfState([1, 2, 1]), "voters names a node twice: [1, 2, 1]", id="voter twice"),
        pytest.param(ConfState([1], [2, 2]), "learners names a node twice: [2, 2]", id="learner twice"),
        pytest.param(ConfState([1], [], [3, 3]), "voters_outgoing names a node twice: [3, 3]", id="outgoing twice"),
        pytest.param(ConfState([1], [], [3], [3, 3]), "learners_next names a node twice: [3, 3]", id="staged twice"),
        pytest.param(ConfState([], [1]), "voters is empty although other fields are not", id="learners only"),
        pytest.param(ConfState([], [], [1]), "voters is empty although other fields are not", id="outgoing only"),
        pytest.param(ConfState(auto_leave=True), "voters is empty although other fields are not", id="a flag only"),
        pytest.param(ConfState([1], [1]), "1 is in learners and in voters", id="voting learner"),
        pytest.param(ConfState([1], [2], [2]), "2 is in learners and in voters_outgoing", id="outgoing learner"),
        pytest.param(ConfState([1], [], [1], [1]), "1 is in learners_next and in voters", id="staged voter"),
        pytest.param(
            ConfState([1], [], [1], [2]), "2 is in learners_next but not in voters_outgoing", id="staged stranger"
        ),
        pytest.param(
            ConfState([1], [], [], [2]), "2 is in learners_next but not in voters_outgoing", id="staged without joint"
        ),
        pytest.param(
            ConfState([1], auto_leave=True), "auto_leave is set although voters_outgoing is empty", id="stray flag"
        ),
    ],
)
def test_what_is_no_configuration_is_refused(conf_state: ConfState, text: str) -> None:
    with pytest.raises(ConfChangeError) as caught:
        restore(conf_state, 7, 4, 500)
    assert str(caught.value) == text


@given(valid_conf_states(), st.integers(0, 20))
def test_every_configuration_is_restored(conf_state: ConfState, last_index: int) -> None:
    config, progress = restore(conf_state, last_index, 4, 500)
    assert config.conf_state().equivalent(conf_state)
    assert (config, progress) == replay(conf_state, last_index)


@given(st.one_of(ANY, valid_conf_states()))
@example(ConfState([1], [], [1], [1]))
@example(ConfState([1], [2], [], [2]))
def test_restore_accepts_what_membership_changes_can_reach(conf_state: ConfState) -> None:
    try:
        reached = replay(conf_state, 9)
    except ConfChangeError:
        reached = None
    if reached is not None and reached[0].conf_state().equivalent(conf_state):
        assert restore(conf_state, 9, 4, 500) == reached
    else:
        with pytest.raises(ConfChangeError):
            restore(conf_state, 9, 4, 500)
