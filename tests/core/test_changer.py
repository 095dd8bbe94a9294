"""Membership changes: error by error, law by law, and any sequence of them against a model."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sortedcontainers import SortedDict

from pyraft.confchange.changer import Changer
from pyraft.confchange.restore import restore
from pyraft.errors import ConfChangeError
from pyraft.tracker.configuration import Configuration
from pyraft.tracker.inflights import Inflights
from pyraft.tracker.progress import REPLICATE, Progress
from pyraft.tracker.tracker import ProgressTracker
from pyraft.types import NO_LIMIT
from raftpb.confchange import ConfChangeSingle, format_changes, parse_changes
from raftpb.enums import ADD_LEARNER_NODE, ADD_NODE, REMOVE_NODE, UPDATE_NODE

STEPS = st.builds(
    ConfChangeSingle,
    st.sampled_from([ADD_NODE, ADD_LEARNER_NODE, REMOVE_NODE, UPDATE_NODE]),
    st.integers(min_value=0, max_value=6),
)
CHANGES = st.lists(STEPS, max_size=6)
SMALL_CHANGES = st.lists(STEPS, max_size=2)

MORE_THAN_ONE = "more than one voter changed without entering joint config"


def tracker_of(
    config: Configuration, without: tuple[int, ...] = (), wrong_learner: tuple[int, ...] = ()
) -> ProgressTracker:
    """A tracker, sound unless told which members lack a Progress or have one of the wrong kind."""
    tracker = ProgressTracker(10, NO_LIMIT)
    progress: SortedDict[int, Progress] = SortedDict()
    for member in config.members():
        learner = (member in config.learners) != (member in wrong_learner)
        progress[member] = Progress(member, 0, 1, tracker.new_inflights(), learner, recent_active=True)
    tracker.install(config, progress)
    for member in without:
        del tracker.progress[member]
    return tracker


def apply(
    tracker: ProgressTracker, command: str, last_index: int = 0
) -> tuple[Configuration, SortedDict[int, Progress]]:
    """Run a command line: `simple v1`, `joint v1 l2`, `auto v1`, `leave`."""
    verb, _, text = command.partition(" ")
    changer = Changer(tracker, last_index)
    if verb == "simple":
        return changer.simple(parse_changes(text))
    if verb == "leave":
        return changer.leave_joint()
    return changer.enter_joint(verb == "auto", parse_changes(text))


def describe(tracker: ProgressTracker) -> str:
    return f"{tracker.config} {tracker.progress!r}"


@pytest.mark.parametrize(
    ("before", "command", "after"),
    [
        pytest.param(Configuration(), "simple v1", "voters=(1)", id="first voter"),
        pytest.param(Configuration([1]), "simple v1", "voters=(1)", id="voter again"),
        pytest.param(Configuration([1]), "simple v2", "voters=(1 2)", id="add voter"),
        pytest.param(Configuration([1, 2]), "simple r2", "voters=(1)", id="remove voter"),
        pytest.param(Configuration([1]), "simple", "voters=(1)", id="no steps"),
        pytest.param(Configuration([1]), "simple r9 u1 u9 v0 l0 r0", "voters=(1)", id="steps without effect"),
        pytest.param(Configuration([1]), "simple l2 l3 l4", "voters=(1) learners=(2 3 4)", id="any number of learners"),
        pytest.param(Configuration([1], (), [2]), "simple l2", "voters=(1) learners=(2)", id="learner again"),
        pytest.param(Configuration([1], (), [2]), "simple v2", "voters=(1 2)", id="promote"),
        pytest.param(Configuration([1, 2]), "simple l2", "voters=(1) learners=(2)", id="demote"),
        pytest.param(Configuration([1], (), [2, 3]), "simple r2 r3", "voters=(1)", id="remove learners"),
        pytest.param(Configuration([1, 2]), "simple r2 v2", "voters=(1 2)", id="remove and add again"),
        pytest.param(Configuration([1, 2]), "simple l2 v2", "voters=(1 2)", id="demote and promote again"),
        pytest.param(Configuration([1]), "joint", "voters=(1)&&(1)", id="joint without steps"),
        pytest.param(Configuration([1]), "joint v2 v3", "voters=(1 2 3)&&(1)", id="joint, more voters"),
        pytest.param(Configuration([1]), "auto v2", "voters=(1 2)&&(1) autoleave", id="joint with auto-leave"),
        pytest.param(Configuration([1, 2, 3]), "joint r2 r3 v4", "voters=(1 4)&&(1 2 3)", id="joint, replace"),
        pytest.param(
            Configuration([1, 2]), "joint l2", "voters=(1)&&(1 2) learners_next=(2)", id="joint, demote: staged"
        ),
        pytest.param(Configuration([1, 2]), "joint l2 l2", "voters=(1)&&(1 2) learners_next=(2)", id="staged twice"),
        pytest.param(Configuration([1, 2]), "joint l2 v2", "voters=(1 2)&&(1 2)", id="staged and promoted again"),
        pytest.param(Configuration([1, 2]), "joint l2 r2", "voters=(1)&&(1 2)", id="staged and removed"),
        pytest.param(
            Configuration([1, 2]), "joint r2 l2", "voters=(1)&&(1 2) learners_next=(2)", id="removed, then staged"
        ),
        pytest.param(Configuration([1], (), [2]), "joint v2", "voters=(1 2)&&(1)", id="joint, promote"),
        pytest.param(Configuration([1], (), [2]), "joint r2", "voters=(1)&&(1)", id="joint, remove a learner"),
        pytest.param(Configuration([1]), "joint l2", "voters=(1)&&(1) learners=(2)", id="joint, add a learner"),
        pytest.param(Configuration([1], [1]), "leave", "voters=(1)", id="leave"),
        pytest.param(
            Configuration([2], [1], [3], (), True), "leave", "voters=(2) learners=(3)", id="leave, drop voter"
        ),
        pytest.param(
            Configuration([2], [1, 2], [3], [1]), "leave", "voters=(2) learners=(1 3)", id="leave, staged learner"
        ),
    ],
)
def test_change(before: Configuration, command: str, after: str) -> None:
    tracker = tracker_of(before)
    config, progress = apply(tracker, command)
    assert str(config) == after
    assert tuple(progress) == config.members()
    assert [node_id for node_id in progress if progress[node_id].is_learner] == list(config.learners)


@pytest.mark.parametrize(
    ("before", "command", "text"),
    [
        pytest.param(
            Configuration([1], [1]),
            "simple v2",
            "can't apply simple config change in joint config",
            id="simple while joint",
        ),
        pytest.param(Configuration([1, 2]), "simple r1 v5", MORE_THAN_ONE, id="replace a voter"),
        pytest.param(Configuration([1]), "simple v2 v3", MORE_THAN_ONE, id="add two"),
        pytest.param(Configuration([1, 2, 3]), "simple l2 r3", MORE_THAN_ONE, id="take two away"),
        pytest.param(Configuration(), "simple l1", "removed all voters", id="learner first"),
        pytest.param(Configuration(), "simple", "removed all voters", id="nothing on nothing"),
        pytest.param(Configuration([1]), "simple r1", "removed all voters", id="remove the last"),
        pytest.param(Configuration([1, 2]), "simple r1 l2", "removed all voters", id="this before the difference"),
        pytest.param(Configuration([1]), "joint r1", "removed all voters", id="remove the last, joint"),
        pytest.param(Configuration([1], [1]), "auto v2", "config is already joint", id="joint twice"),
        pytest.param(Configuration(), "joint v1", "can't make a zero-voter config joint", id="joint from nothing"),
        pytest.param(Configuration([1]), "leave", "can't leave a non-joint config", id="leave without joint"),
    ],
)
def test_an_impossible_change_is_refused(before: Configuration, command: str, text: str) -> None:
    tracker = tracker_of(before)
    untouched = describe(tracker)
    with pytest.raises(ConfChangeError) as caught:
        apply(tracker, command)
    assert str(caught.value) == text
    assert describe(tracker) == untouched


@pytest.mark.parametrize("command", ["simple v7", "joint v7", "leave"])
@pytest.mark.parametrize(
    ("tracker", "text"),
    [
        pytest.param(tracker_of(Configuration([1], (), [2]), without=(2,)), "no progress for 2", id="learner unknown"),
        pytest.param(
            tracker_of(Configuration([1], (), (), [2]), without=(2,)), "no progress for 2", id="staged unknown"
        ),
        pytest.param(tracker_of(Configuration([1, 2]), without=(2,)), "no progress for 2", id="voter unknown"),
        pytest.param(tracker_of(Configuration([1], [2]), without=(2,)), "no progress for 2", id="outgoing unknown"),
        pytest.param(tracker_of(Configuration([3, 5], (), [4]), without=(5, 4)), "no progress for 4", id="the lowest"),
        pytest.param(
            tracker_of(Configuration([1], [1], (), [2])), "2 is in LearnersNext, but not Voters[1]", id="stray staged"
        ),
        pytest.param(
            tracker_of(Configuration([1], (), (), [2])),
            "2 is in LearnersNext, but not Voters[1]",
            id="staged without joint",
        ),
        pytest.param(
            tracker_of(Configuration([1], [1, 2], (), [2]), wrong_learner=(2,)),
            "2 is in LearnersNext, but is already marked as learner",
            id="staged too early",
        ),
        pytest.param(tracker_of(Configuration([1], [2], [2])), "2 is in Learners and Voters[1]", id="outgoing learner"),
        pytest.param(tracker_of(Configuration([1, 2], (), [2])), "2 is in Learners and Voters[0]", id="voting learner"),
        pytest.param(
            tracker_of(Configuration([1], (), [2]), wrong_learner=(2,)),
            "2 is in Learners, but is not marked as learner",
            id="unmarked learner",
        ),
        pytest.param(
            tracker_of(Configuration([1], auto_leave=True)), "AutoLeave must be false when not joint", id="stray flag"
        ),
    ],
)
def test_a_broken_tracker_is_noticed_before_any_change(tracker: ProgressTracker, text: str, command: str) -> None:
    with pytest.raises(ConfChangeError) as caught:
        apply(tracker, command)
    assert str(caught.value) == text


@pytest.mark.parametrize(("last_index", "next"), [(0, 1), (1, 1), (2, 2), (57, 57)])
def test_a_new_member_is_probed_at_the_last_index(last_index: int, next: int) -> None:
    tracker = ProgressTracker(5, 999)
    tracker.install(*apply(tracker, "simple v1"))
    _, progress = apply(tracker, "simple v2 l3", last_index)
    assert progress[2] == Progress(2, 0, next, Inflights(5, 999), recent_active=True)
    assert progress[3] == Progress(3, 0, next, Inflights(5, 999), is_learner=True, recent_active=True)


def replicating(tracker: ProgressTracker) -> None:
    """Give every follower some history that a change must not lose."""
    for peer in tracker.peers:
        peer.maybe_update(10 + peer.id)
        peer.become_replicate()
        peer.sent_entries(2, 7)
        peer.sent_commit = 3


@pytest.mark.parametrize(
    ("before", "command", "cloned"),
    [
        pytest.param(Configuration([1, 2], (), [3]), "simple v4", [], id="add"),
        pytest.param(Configuration([1, 2], (), [3]), "simple v3", [3], id="promote"),
        pytest.param(Configuration([1, 2], (), [3]), "simple l2", [2], id="demote"),
        pytest.param(Configuration([1, 2], (), [3]), "joint l2 r1 v4", [], id="enter joint"),
        pytest.param(Configuration([4], [1, 2], [3], [2]), "leave", [2], id="leave joint"),
    ],
)
def test_who_stays_keeps_its_progress(before: Configuration, command: str, cloned: list[int]) -> None:
    tracker = tracker_of(before)
    replicating(tracker)
    untouched = describe(tracker)
    _, progress = apply(tracker, command, last_index=99)
    assert describe(tracker) == untouched
    for old in tracker.peers:
        new = progress.get(old.id)
        if old.id in cloned:
            assert new is not old
            expected = old.clone()
            expected.is_learner = not old.is_learner
            assert new == expected
        else:
            assert new is None or new is old


def test_a_clone_has_a_window_of_its_own() -> None:
    tracker = tracker_of(Configuration([1], (), [2]))
    replicating(tracker)
    _, progress = apply(tracker, "simple v2")
    progress[2].inflights.reset()
    assert tracker.progress[2].state is REPLICATE
    assert tracker.progress[2].inflights.count() == 1


def test_who_was_removed_starts_anew_unless_the_outgoing_half_still_has_it() -> None:
    tracker = tracker_of(Configuration([1, 2], (), [3]))
    replicating(tracker)
    _, simple = apply(tracker, "simple r2 v2", last_index=50)
    assert str(simple[2]) == "StateProbe match=0 next=50"
    _, joint = apply(tracker, "joint r2 v2 r3 l3", last_index=50)
    assert joint[2] is tracker.progress[2]
    assert str(joint[3]) == "StateProbe match=0 next=50 learner"


@given(CHANGES, CHANGES)
def test_a_simple_change_is_the_joint_one_entered_and_left(
    setup: list[ConfChangeSingle], changes: list[ConfChangeSingle]
) -> None:
    tracker = tracker_of(Configuration([1]))
    try:
        tracker.install(*Changer(tracker, 5).enter_joint(False, setup))
    except ConfChangeError:
        return
    tracker.install(*Changer(tracker, 6).leave_joint())
    replicating(tracker)
    try:
        config, progress = Changer(tracker, 9).simple(changes)
    except ConfChangeError:
        return
    detour = ProgressTracker(10, NO_LIMIT)
    detour.install(*Changer(tracker, 9).enter_joint(True, changes))
    joint_config, joint_progress = Changer(detour, 9).leave_joint()
    assert joint_config == config
    assert tuple(joint_progress) == tuple(progress)
    for node_id, new in progress.items():
        # A voter removed and added again is a stranger in a simple change; the outgoing half still knows it.
        if ConfChangeSingle(REMOVE_NODE, node_id) not in changes:
            assert joint_progress[node_id] == new


class Model:
    """The configuration as its definition has it: for each node, only the last step that names it matters."""

    def __init__(self) -> None:
        self.incoming = {1}
        self.outgoing: set[int] = set()
        self.learners: set[int] = set()
        self.staged: set[int] = set()
        self.auto_leave = False

    def config(self) -> Configuration:
        return Configuration(self.incoming, self.outgoing, self.learners, self.staged, self.auto_leave)

    def after(self, changes: Sequence[ConfChangeSingle], joint: bool) -> Model:
        result = Model()
        result.incoming = set(self.incoming)
        result.outgoing = set(self.incoming) if joint else set()
        result.learners = set(self.learners)
        last = {change.node_id: change.type for change in changes if change.type is not UPDATE_NODE}
        last.pop(0, None)
        for node_id, kind in last.items():
            result.incoming -= {node_id}
            result.learners -= {node_id}
            if kind is ADD_NODE:
                result.incoming |= {node_id}
            elif kind is ADD_LEARNER_NODE:
                (result.staged if node_id in result.outgoing else result.learners).add(node_id)
        return result

    def left(self) -> Model:
        result = Model()
        result.incoming = set(self.incoming)
        result.learners = self.learners | self.staged
        return result


class ChangerMachine(RuleBasedStateMachine):
    """Whatever is tried, possible or not, the tracker holds the model's configuration and sound Progress objects."""

    def __init__(self) -> None:
        super().__init__()
        self.tracker = tracker_of(Configuration([1]))
        self.model = Model()
        self.last_index = 1

    def attempt(self, command: str, model: Model | None, changes: Sequence[ConfChangeSingle] = ()) -> None:
        """Run `command`; `model` is what follows, None if it must be refused."""
        self.last_index += 1
        before = self.tracker.progress
        untouched = describe(self.tracker)
        line = f"{command} {format_changes(changes)}"
        if model is None:
            with pytest.raises(ConfChangeError):
                apply(self.tracker, line, self.last_index)
            assert describe(self.tracker) == untouched
            return
        config, progress = apply(self.tracker, line, self.last_index)
        assert describe(self.tracker) == untouched
        outgoing = set() if command == "simple" else self.model.incoming | self.model.outgoing
        for node_id, new in progress.items():
            removed = ConfChangeSingle(REMOVE_NODE, node_id) in changes and node_id not in outgoing
            if node_id in before and not removed:
                assert (new.match, new.next) == (before[node_id].match, before[node_id].next)
            else:
                assert (new.match, new.next, new.recent_active) == (0, self.last_index, True)
        self.tracker.install(config, progress)
        self.model = model

    @rule(changes=SMALL_CHANGES)
    def simple(self, changes: list[ConfChangeSingle]) -> None:
        model = self.model.after(changes, joint=False)
        refused = self.model.outgoing or not model.incoming or len(model.incoming ^ self.model.incoming) > 1
        self.attempt("simple", None if refused else model, changes)

    @rule(changes=CHANGES, auto_leave=st.booleans())
    def enter_joint(self, changes: list[ConfChangeSingle], auto_leave: bool) -> None:
        model = self.model.after(changes, joint=True)
        model.auto_leave = auto_leave
        refused = self.model.outgoing or not model.incoming
        self.attempt("auto" if auto_leave else "joint", None if refused else model, changes)

    @rule()
    def leave_joint(self) -> None:
        self.attempt("leave", self.model.left() if self.model.outgoing else None)

    @rule(by=st.integers(1, 5))
    def followers_advance(self, by: int) -> None:
        for peer in self.tracker.peers:
            peer.maybe_update(peer.match + by)

    @invariant()
    def the_configuration_is_the_models(self) -> None:
        assert self.tracker.config == self.model.config()

    @invariant()
    def the_laws_hold(self) -> None:
        config = self.tracker.config
        voters = set(config.voters) | set(config.voters_outgoing)
        assert config.voters
        assert not voters & set(config.learners)
        assert set(config.learners_next) <= set(config.voters_outgoing) - set(config.voters)
        assert config.is_joint() or not config.auto_leave
        assert [peer.id for peer in self.tracker.peers] == list(config.members())
        assert [peer.id for peer in self.tracker.peers if peer.is_learner] == list(config.learners)

    @invariant()
    def it_can_be_restored(self) -> None:
        config, _ = restore(self.tracker.config.conf_state(), 1, 10, NO_LIMIT)
        assert config == self.tracker.config


TestChangerMachine = ChangerMachine.TestCase
