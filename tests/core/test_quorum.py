"""Majorities and joint configurations, against oracles that try every subset and every way the votes may still go."""

from __future__ import annotations

from itertools import combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pyraft.quorum import (
    VOTE_LOST,
    VOTE_PENDING,
    VOTE_WON,
    VoteResult,
    committed_index,
    joint_committed_index,
    joint_vote_result,
    majority,
    vote_result,
)
from pyraft.types import NO_LIMIT

IDS = st.integers(min_value=1, max_value=8)
VOTERS = st.lists(IDS, unique=True, max_size=5).map(tuple)
ACKED = st.dictionaries(IDS, st.integers(min_value=0, max_value=5))
VOTES = st.dictionaries(IDS, st.booleans())


def some_majority_has(voters: tuple[int, ...], acked: dict[int, int], index: int) -> bool:
    """Straight from the definition: there is a subset of more than half whose every member has `index`."""
    return any(
        all(acked.get(voter, 0) >= index for voter in subset)
        for size in range(len(voters) // 2 + 1, len(voters) + 1)
        for subset in combinations(voters, size)
    )


def outcomes(halves: list[tuple[int, ...]], votes: dict[int, bool]) -> set[bool]:
    """Whether the election is won, in every way in which the voters who have not answered may still answer."""
    open_ids = sorted({voter for half in halves for voter in half if voter not in votes})
    won: set[bool] = set()
    for answers in product((False, True), repeat=len(open_ids)):
        final = votes | dict(zip(open_ids, answers, strict=True))
        won.add(all(not half or 2 * sum(final[voter] for voter in half) > len(half) for half in halves))
    return won


def expected_result(halves: list[tuple[int, ...]], votes: dict[int, bool]) -> VoteResult:
    possible = outcomes(halves, votes)
    if possible == {True}:
        return VOTE_WON
    return VOTE_LOST if possible == {False} else VOTE_PENDING


@pytest.mark.parametrize(("count", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)])
def test_majority_is_more_than_half(count: int, needed: int) -> None:
    assert majority(count) == needed


@pytest.mark.parametrize("count", range(1, 50))
def test_two_majorities_share_a_voter_and_no_smaller_set_is_sure_to(count: int) -> None:
    assert 2 * majority(count) > count
    assert 2 * (majority(count) - 1) <= count


@pytest.mark.parametrize(
    ("voters", "acked", "index"),
    [
        pytest.param((), {}, NO_LIMIT, id="nobody has no bound"),
        pytest.param((), {1: 7}, NO_LIMIT, id="strangers do not bind nobody"),
        pytest.param((1,), {}, 0, id="one unheard"),
        pytest.param((1,), {1: 12}, 12, id="one"),
        pytest.param((1, 2), {1: 12, 2: 5}, 5, id="both of two"),
        pytest.param((1, 2), {1: 12}, 0, id="one of two is not enough"),
        pytest.param((1, 2, 3), {1: 12, 2: 5, 3: 7}, 7, id="the middle of three"),
        pytest.param((1, 2, 3), {1: 12, 2: 5}, 5, id="an unheard third counts as 0"),
        pytest.param((1, 2, 3, 4), {1: 9, 2: 8, 3: 7, 4: 6}, 7, id="three of four"),
        pytest.param((1, 2, 3), {1: 4, 8: 9, 9: 9}, 0, id="strangers do not count"),
    ],
)
def test_committed_index(voters: tuple[int, ...], acked: dict[int, int], index: int) -> None:
    assert committed_index(voters, acked) == index


@given(VOTERS.filter(bool), ACKED)
def test_committed_index_is_the_highest_that_some_majority_has(voters: tuple[int, ...], acked: dict[int, int]) -> None:
    index = committed_index(voters, acked)
    assert index == 0 or some_majority_has(voters, acked, index)
    assert not some_majority_has(voters, acked, index + 1)


@given(VOTERS, VOTERS, ACKED)
def test_joint_committed_index_is_the_highest_that_majorities_of_both_have(
    incoming: tuple[int, ...], outgoing: tuple[int, ...], acked: dict[int, int]
) -> None:
    halves = [half for half in (incoming, outgoing) if half]
    index = joint_committed_index(incoming, outgoing, acked)
    if not halves:
        assert index == NO_LIMIT
        return
    assert index == 0 or all(some_majority_has(half, acked, index) for half in halves)
    assert not all(some_majority_has(half, acked, index + 1) for half in halves)


@pytest.mark.parametrize(
    ("incoming", "outgoing", "votes", "result"),
    [
        pytest.param((), (), {}, VOTE_WON, id="nobody to ask"),
        pytest.param((1,), (), {}, VOTE_PENDING, id="one unheard"),
        pytest.param((1,), (), {1: True}, VOTE_WON, id="one grants"),
        pytest.param((1,), (), {1: False}, VOTE_LOST, id="one refuses"),
        pytest.param((1, 2), (), {1: False}, VOTE_LOST, id="one refusal of two decides"),
        pytest.param((1, 2, 3), (), {1: False}, VOTE_PENDING, id="one refusal of three does not"),
        pytest.param((1, 2, 3), (), {1: False, 2: True, 3: True}, VOTE_WON, id="two of three grant"),
        pytest.param((1, 2, 3), (), {7: True, 8: True}, VOTE_PENDING, id="strangers do not count"),
        pytest.param((1,), (2,), {1: True}, VOTE_PENDING, id="won and pending"),
        pytest.param((1,), (2,), {1: False}, VOTE_LOST, id="lost and pending"),
        pytest.param((1,), (2,), {2: False}, VOTE_LOST, id="pending and lost"),
        pytest.param((1,), (2,), {1: True, 2: False}, VOTE_LOST, id="won and lost"),
        pytest.param((1,), (2,), {1: True, 2: True}, VOTE_WON, id="won and won"),
    ],
)
def test_joint_vote_result(
    incoming: tuple[int, ...], outgoing: tuple[int, ...], votes: dict[int, bool], result: VoteResult
) -> None:
    assert joint_vote_result(incoming, outgoing, votes) is result
    assert joint_vote_result(outgoing, incoming, votes) is result


@given(VOTERS, VOTES)
def test_vote_result_is_decided_once_no_answer_can_change_it(voters: tuple[int, ...], votes: dict[int, bool]) -> None:
    assert vote_result(voters, votes) is expected_result([voters], votes)


@given(VOTERS, VOTERS, VOTES)
def test_joint_vote_result_is_decided_once_no_answer_can_change_it(
    incoming: tuple[int, ...], outgoing: tuple[int, ...], votes: dict[int, bool]
) -> None:
    assert joint_vote_result(incoming, outgoing, votes) is expected_result([incoming, outgoing], votes)


@given(VOTERS, ACKED, VOTES)
def test_an_empty_or_equal_half_changes_nothing(
    voters: tuple[int, ...], acked: dict[int, int], votes: dict[int, bool]
) -> None:
    for other in ((), voters):
        assert joint_committed_index(voters, other, acked) == committed_index(voters, acked)
        assert joint_vote_result(voters, other, votes) is vote_result(voters, votes)


def test_results_are_those_of_the_reference() -> None:
    assert {str(result): int(result) for result in VoteResult} == {"VotePending": 1, "VoteLost": 2, "VoteWon": 3}


class QuorumMachine(RuleBasedStateMachine):
    """A leadership and an election go on while voters answer and configurations follow one another. What was committed
    stays so, and what was decided stays decided, until the voters are others.
    """

    def __init__(self) -> None:
        super().__init__()
        self.incoming: tuple[int, ...] = (1, 2, 3)
        self.outgoing: tuple[int, ...] = ()
        self.acked: dict[int, int] = {}
        self.votes: dict[int, bool] = {}
        self.committed = 0
        self.result = VOTE_PENDING

    def halves(self) -> list[tuple[int, ...]]:
        return [half for half in (self.incoming, self.outgoing) if half]

    def start_again(self) -> None:
        """Other voters may know less, and a new election is not decided."""
        self.committed, self.result, self.votes = 0, VOTE_PENDING, {}

    @rule(id=IDS, by=st.integers(1, 3))
    def acknowledges(self, id: int, by: int) -> None:
        self.acked[id] = self.acked.get(id, 0) + by

    @rule(id=IDS, grants=st.booleans())
    def votes_once(self, id: int, grants: bool) -> None:
        self.votes.setdefault(id, grants)

    @precondition(lambda self: not self.outgoing)
    @rule(id=IDS)
    def adds_or_removes_one(self, id: int) -> None:
        """Two majorities that differ by one voter share a voter."""
        before = self.incoming
        after = tuple(one for one in before if one != id) if id in before else (*before, id)
        if after:
            self.incoming = after
            for one in combinations(before, majority(len(before))):
                assert any(voter in one for voter in after)
                assert len({*after} - {*one}) < majority(len(after))
            self.start_again()

    @precondition(lambda self: not self.outgoing)
    @rule(voters=VOTERS.filter(bool))
    def enters_joint(self, voters: tuple[int, ...]) -> None:
        """Both halves bind, so no more is committed than the old half alone allows."""
        alone = committed_index(self.incoming, self.acked)
        self.incoming, self.outgoing = voters, self.incoming
        assert joint_committed_index(self.incoming, self.outgoing, self.acked) <= alone
        self.start_again()

    @precondition(lambda self: self.outgoing)
    @rule()
    def leaves_joint(self) -> None:
        """The old half binds no more; nothing that was committed is taken back."""
        before = joint_committed_index(self.incoming, self.outgoing, self.acked)
        self.outgoing = ()
        assert joint_committed_index(self.incoming, (), self.acked) >= before
        self.start_again()

    @invariant()
    def committed_is_what_majorities_of_both_halves_have(self) -> None:
        index = joint_committed_index(self.incoming, self.outgoing, self.acked)
        assert all(some_majority_has(half, self.acked, index) for half in self.halves())
        assert not all(some_majority_has(half, self.acked, index + 1) for half in self.halves())
        assert index >= self.committed
        self.committed = index

    @invariant()
    def decided_is_what_no_further_vote_can_change(self) -> None:
        result = joint_vote_result(self.incoming, self.outgoing, self.votes)
        assert result is expected_result(self.halves(), self.votes)
        assert self.result in {VOTE_PENDING, result}
        self.result = result


TestQuorumMachine = QuorumMachine.TestCase
