"""All followers together; what the tracker counts in its own way is what `pyraft.quorum` says."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sortedcontainers import SortedDict

from pyraft.quorum import VOTE_LOST, VOTE_PENDING, VOTE_WON, VoteResult, joint_committed_index, joint_vote_result
from pyraft.tracker.configuration import Configuration
from pyraft.tracker.inflights import Inflights
from pyraft.tracker.progress import Progress
from pyraft.tracker.tracker import ProgressTracker
from pyraft.types import NO_LIMIT
from raftpb.message import ConfState

IDS = st.integers(min_value=1, max_value=12)
SETS = st.sets(IDS, max_size=10)


def tracker_of(config: Configuration) -> ProgressTracker:
    tracker = ProgressTracker(8, NO_LIMIT)
    progress: SortedDict[int, Progress] = SortedDict()
    for member in config.members():
        progress[member] = Progress(member, 0, 1, tracker.new_inflights(), member in config.learners)
    tracker.install(config, progress)
    return tracker


@st.composite
def configurations(draw: st.DrawFn) -> Configuration:
    voters = draw(SETS)
    outgoing = draw(SETS)
    learners = draw(SETS) - voters - outgoing
    learners_next = draw(SETS) & (outgoing - voters)
    return Configuration(voters, outgoing, learners, learners_next, draw(st.booleans()) and bool(outgoing))


# Configuration


def test_a_configuration_sorts_what_it_is_given() -> None:
    config = Configuration([3, 1, 3], {5, 2}, iter([9, 7]), (5,), True)
    assert config.voters == (1, 3)
    assert config.voters_outgoing == (2, 5)
    assert config.learners == (7, 9)
    assert config.learners_next == (5,)
    assert config.auto_leave


@pytest.mark.parametrize(
    ("config", "joint", "members", "voters"),
    [
        pytest.param(Configuration(), False, (), (), id="empty"),
        pytest.param(Configuration([2, 1], [], [3]), False, (1, 2, 3), (1, 2), id="simple"),
        pytest.param(Configuration([3, 1], [2, 1], [9], [2]), True, (1, 2, 3, 9), (1, 2, 3), id="joint"),
        pytest.param(Configuration([], [2]), True, (2,), (2,), id="outgoing only"),
    ],
)
def test_who_takes_part(config: Configuration, joint: bool, members: tuple[int, ...], voters: tuple[int, ...]) -> None:
    assert config.is_joint() is joint
    assert config.members() == members
    assert config.voter_ids() == voters
    assert [node_id for node_id in range(12) if config.is_voter(node_id)] == list(voters)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        pytest.param(Configuration(), "voters=()", id="empty"),
        pytest.param(Configuration([2, 1]), "voters=(1 2)", id="simple"),
        pytest.param(Configuration([1], [], [16, 10]), "voters=(1) learners=(a 10)", id="learners in hexadecimal"),
        pytest.param(Configuration([], [1, 11]), "voters=()&&(1 b)", id="empty incoming half"),
        pytest.param(
            Configuration([1, 2], [1, 2, 5], [4], [5], True),
            "voters=(1 2)&&(1 2 5) learners=(4) learners_next=(5) autoleave",
            id="everything",
        ),
    ],
)
def test_a_configuration_prints_as_in_the_reference(config: Configuration, text: str) -> None:
    assert str(config) == text


def test_the_conf_state_has_every_field() -> None:
    assert Configuration([2, 1], [3, 2], [9, 8], [3], True).conf_state() == ConfState(
        voters=(1, 2), voters_outgoing=(2, 3), learners=(8, 9), learners_next=(3,), auto_leave=True
    )


def test_a_configuration_is_a_value() -> None:
    config = Configuration([1, 2], [1, 3], [4], [3], True)
    assert config == Configuration((2, 1), (3, 1), {4}, {3}, True)
    assert config != Configuration([1], [1, 3], [4], [3], True)
    assert config != Configuration([1, 2], [1], [4], [3], True)
    assert config != Configuration([1, 2], [1, 3], [], [3], True)
    assert config != Configuration([1, 2], [1, 3], [4], [], True)
    assert config != Configuration([1, 2], [1, 3], [4], [3], False)
    assert config != "voters=(1 2)"
    assert repr(config) == (
        "Configuration(voters=(1, 2), voters_outgoing=(1, 3), learners=(4,), learners_next=(3,), auto_leave=True)"
    )
    assert pickle.loads(pickle.dumps(config)) == config
    assert copy.deepcopy(config) == config
    with pytest.raises(TypeError):
        hash(config)


# ProgressTracker


def test_a_new_tracker_follows_nobody() -> None:
    tracker = ProgressTracker(8, NO_LIMIT)
    assert tracker.config == Configuration()
    assert tracker.peers == []
    assert tracker.voter_ids() == ()
    assert tracker.find(1) is None
    assert tracker.committed_index() == NO_LIMIT
    assert tracker.quorum_active()
    assert tracker.tally_votes() is VOTE_WON
    assert not tracker.is_singleton()


@given(configurations())
def test_install_arranges_the_same_objects_by_id(config: Configuration) -> None:
    tracker = tracker_of(config)
    assert tracker.config is config
    assert [peer.id for peer in tracker.peers] == list(config.members())
    assert [peer.id for peer in tracker.incoming] == list(config.voters)
    assert [peer.id for peer in tracker.outgoing] == list(config.voters_outgoing)
    assert tracker.voter_ids() == config.voter_ids()
    for peer in tracker.peers + tracker.incoming + tracker.outgoing:
        assert peer is tracker.progress[peer.id]


@example(Configuration([1, 2], [2, 3]), Configuration([1, 2]))
@given(configurations(), configurations())
def test_install_replaces_everything(before: Configuration, after: Configuration) -> None:
    tracker = tracker_of(before)
    fresh = tracker_of(after)
    tracker.install(fresh.config, SortedDict(fresh.progress))
    assert tracker.peers == fresh.peers
    assert tracker.incoming == fresh.incoming
    assert tracker.outgoing == fresh.outgoing
    assert tracker.voter_ids() == fresh.voter_ids()
    assert [node_id for node_id in range(14) if tracker.find(node_id) is not None] == list(after.members())


@pytest.mark.parametrize("count", [1, 3, 7, 8, 11])
def test_find_knows_members_and_nobody_else(count: int) -> None:
    tracker = tracker_of(Configuration(range(10, 10 + count), (), [99]))
    for node_id in (*range(10, 10 + count), 99):
        assert tracker.find(node_id) is tracker.progress[node_id]
    for stranger in (0, 9, 10 + count, 98):
        assert tracker.find(stranger) is None


def test_new_inflights_have_the_limits() -> None:
    assert ProgressTracker(8, 1000).new_inflights() == Inflights(8, 1000)


@pytest.mark.parametrize(
    ("config", "singleton"),
    [
        pytest.param(Configuration([1]), True, id="one voter"),
        pytest.param(Configuration([1], (), [2, 3]), True, id="one voter and learners"),
        pytest.param(Configuration([1, 2]), False, id="two voters"),
        pytest.param(Configuration([1], [1]), False, id="joint"),
        pytest.param(Configuration([], (), [1]), False, id="no voter"),
    ],
)
def test_is_singleton(config: Configuration, singleton: bool) -> None:
    assert tracker_of(config).is_singleton() is singleton


@pytest.mark.parametrize(
    ("config", "matches", "index"),
    [
        pytest.param(Configuration([1]), {1: 7}, 7, id="one"),
        pytest.param(Configuration([1, 2, 3]), {1: 7, 2: 5, 3: 9}, 7, id="three"),
        pytest.param(Configuration([1, 2, 3, 4]), {1: 7, 2: 5, 3: 9, 4: 6}, 6, id="four"),
        pytest.param(Configuration([1, 2, 3], (), [4, 5]), {4: 9, 5: 9}, 0, id="learners do not count"),
        pytest.param(Configuration([1], [2]), {1: 7, 2: 5}, 5, id="the outgoing half is behind"),
        pytest.param(Configuration([1], [2]), {1: 5, 2: 7}, 5, id="the incoming half is behind"),
        pytest.param(Configuration(range(1, 10)), {node_id: node_id * 10 for node_id in range(1, 10)}, 50, id="nine"),
        pytest.param(Configuration(range(1, 9)), {node_id: node_id * 10 for node_id in range(1, 9)}, 40, id="eight"),
    ],
)
def test_committed_index(config: Configuration, matches: dict[int, int], index: int) -> None:
    tracker = tracker_of(config)
    for node_id, match in matches.items():
        tracker.progress[node_id].match = match
    assert tracker.committed_index() == index


@given(configurations(), st.dictionaries(IDS, st.integers(0, 9)))
def test_committed_index_is_that_of_the_definition(config: Configuration, acked: dict[int, int]) -> None:
    tracker = tracker_of(config)
    for peer in tracker.peers:
        peer.match = acked.get(peer.id, 0)
    assert tracker.committed_index() == joint_committed_index(config.voters, config.voters_outgoing, acked)


@given(configurations(), st.sets(IDS))
def test_the_quorum_is_active_if_the_active_could_win_a_vote(config: Configuration, active: set[int]) -> None:
    tracker = tracker_of(config)
    for peer in tracker.peers:
        peer.recent_active = peer.id in active
    votes = {node_id: node_id in active for node_id in config.voter_ids()}
    won = joint_vote_result(config.voters, config.voters_outgoing, votes) is VOTE_WON
    assert tracker.quorum_active() is won


@pytest.mark.parametrize(
    ("config", "active", "quorum"),
    [
        pytest.param(Configuration([1, 2, 3]), {1}, False, id="one of three"),
        pytest.param(Configuration([1, 2, 3]), {1, 3}, True, id="two of three"),
        pytest.param(Configuration([1, 2], (), [3, 4]), {1, 3, 4}, False, id="learners do not count"),
        pytest.param(Configuration([1], [2]), {1}, False, id="incoming half only"),
        pytest.param(Configuration([1], [2]), {2}, False, id="outgoing half only"),
        pytest.param(Configuration([1], [2]), {1, 2}, True, id="both halves"),
    ],
)
def test_quorum_active(config: Configuration, active: set[int], quorum: bool) -> None:
    tracker = tracker_of(config)
    for node_id in active:
        tracker.progress[node_id].recent_active = True
    assert tracker.quorum_active() is quorum


@pytest.mark.parametrize(
    ("config", "votes", "result", "counts"),
    [
        pytest.param(Configuration([1, 2, 3]), [], VOTE_PENDING, (0, 0), id="nobody answered"),
        pytest.param(Configuration([1, 2, 3]), [(1, True), (2, True)], VOTE_WON, (2, 0), id="won"),
        pytest.param(Configuration([1, 2, 3]), [(1, False), (2, False)], VOTE_LOST, (0, 2), id="lost"),
        pytest.param(
            Configuration([1, 2, 3]), [(1, True), (2, False), (2, True)], VOTE_PENDING, (1, 1), id="first answer counts"
        ),
        pytest.param(
            Configuration([1, 2], (), [3]), [(1, True), (3, True), (9, True)], VOTE_PENDING, (1, 0), id="voters only"
        ),
        pytest.param(
            Configuration([1, 2], [2, 3]), [(1, True), (2, True), (3, False)], VOTE_LOST, (2, 1), id="both halves count"
        ),
    ],
)
def test_votes(
    config: Configuration, votes: list[tuple[int, bool]], result: VoteResult, counts: tuple[int, int]
) -> None:
    tracker = tracker_of(config)
    for node_id, granted in votes:
        tracker.record_vote(node_id, granted)
    assert tracker.tally_votes() is result
    assert tracker.count_votes() == counts


@given(configurations(), st.lists(st.tuples(IDS, st.booleans())))
def test_a_tally_is_that_of_the_definition(config: Configuration, answers: list[tuple[int, bool]]) -> None:
    tracker = tracker_of(config)
    for node_id, granted in answers:
        tracker.record_vote(node_id, granted)
    first = dict(reversed(answers))
    assert tracker.votes == first
    assert tracker.tally_votes() is joint_vote_result(config.voters, config.voters_outgoing, first)
    counted = [granted for node_id, granted in first.items() if config.is_voter(node_id)]
    assert tracker.count_votes() == (counted.count(True), counted.count(False))


def test_an_election_starts_without_votes() -> None:
    tracker = tracker_of(Configuration([1]))
    tracker.record_vote(1, True)
    tracker.reset_votes()
    assert tracker.votes == {}
    assert tracker.tally_votes() is VOTE_PENDING
