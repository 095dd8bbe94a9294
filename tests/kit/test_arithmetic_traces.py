"""Traces without nodes: membership changes on one configuration, and quorum arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyraft.quorum import (
    VOTE_LOST,
    VOTE_PENDING,
    VOTE_WON,
    VoteResult,
    committed_index,
    joint_committed_index,
    joint_vote_result,
    vote_result,
)
from rafttest import CommandError, ConfigurationEnv, QuorumEnv
from rafttest.arithmetic.bar_chart import bar_chart

# -- configurations


def changes(*commands: str) -> str:
    """What the last of these commands says."""
    env = ConfigurationEnv()
    return [env.handle(command) for command in commands][-1]


@pytest.mark.parametrize(
    ("commands", "output"),
    [
        pytest.param(
            ["simple\nv1 l2"],
            "voters=(1) learners=(2)\n1: StateProbe match=0 next=1\n2: StateProbe match=0 next=1 learner\n",
            id="simple",
        ),
        pytest.param(
            ["simple\nv1", "enter-joint\nv2 r1"],
            "voters=(2)&&(1)\n1: StateProbe match=0 next=1\n2: StateProbe match=0 next=1\n",
            id="enter",
        ),
        pytest.param(
            ["simple\nv1", "enter-joint autoleave=true\nl1 v2"],
            "voters=(2)&&(1) learners_next=(1) autoleave\n1: StateProbe match=0 next=1\n2: StateProbe match=0 next=1\n",
            id="enter, to be left by itself",
        ),
        pytest.param(
            ["simple\nv1", "enter-joint\nv2 r1", "leave-joint"],
            "voters=(2)\n2: StateProbe match=0 next=1\n",
            id="leave",
        ),
        pytest.param(
            ["simple\nv1", "simple\nv1 v2 v3", "simple\nq9", "leave-joint", "simple\nv20"],
            "voters=(1 14)\n1: StateProbe match=0 next=1\n20: StateProbe match=0 next=4\n",
            id="failed commands make the log longer too",
        ),
    ],
)
def test_configurations(commands: list[str], output: str) -> None:
    assert changes(*commands) == output


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        pytest.param("simple\nv2 v3", "more than one voter changed without entering joint config\n", id="two voters"),
        pytest.param("simple\nr1", "removed all voters\n", id="no voter left"),
        pytest.param("leave-joint", "can't leave a non-joint config\n", id="nothing to leave"),
        pytest.param("leave-joint\nv1", "this command takes no input\n", id="leaving with steps"),
        pytest.param("simple\nx1", "unknown input: x1", id="no step"),
    ],
)
def test_refused_changes_leave_the_configuration_as_it_was(command: str, refusal: str) -> None:
    env = ConfigurationEnv()
    env.handle("simple\nv1")
    before = env.tracker.config
    assert env.handle(command) == refusal
    assert env.tracker.config == before


@pytest.mark.parametrize(
    "command", ["simple 1\nv1", "simple a=1\nv1", "simple\nv1\nv2", "enter-joint autoleave=so", "leave-joint now=1"]
)
def test_malformed_changes(command: str) -> None:
    with pytest.raises(CommandError):
        ConfigurationEnv().handle(command)


# -- quorums


@pytest.mark.parametrize(
    ("command", "index"),
    [
        pytest.param("committed", "<empty majority quorum>∞", id="nobody"),
        pytest.param("committed cfgj=zero", "<empty majority quorum>∞", id="nobody, twice"),
        pytest.param("committed cfg=(1) idx=(_)", "0", id="no answer"),
        pytest.param("committed cfg=(1,2,3) idx=(5,7,_)", "5", id="a majority"),
        pytest.param("committed cfg=(1,2) cfgj=(2,3) idx=(5,6,7)", "5", id="two halves that share a voter"),
        pytest.param("committed cfg=(1) cfgj=zero idx=(5)", "5", id="an empty half decides nothing"),
        pytest.param("committed cfg=(3) cfgj=(1) idx=(4,9)", "4", id="values come in the order of the voters given"),
    ],
)
def test_committed(command: str, index: str) -> None:
    assert QuorumEnv().handle(command).splitlines()[-1] == index


@pytest.mark.parametrize(
    ("command", "result"),
    [
        pytest.param("vote", VOTE_WON, id="nobody"),
        pytest.param("vote cfg=(1,2,3) votes=(y,_,_)", VOTE_PENDING, id="too few answers"),
        pytest.param("vote cfg=(1,2,3) votes=(y,n,y)", VOTE_WON, id="a majority"),
        pytest.param("vote cfg=(1,2,3) votes=(n,n,_)", VOTE_LOST, id="a majority against"),
        pytest.param("vote cfg=(1) cfgj=(2) votes=(y,_)", VOTE_PENDING, id="one half is not enough"),
        pytest.param("vote cfg=(1) cfgj=(1) votes=(y)", VOTE_WON, id="one voter in both halves"),
    ],
)
def test_vote(command: str, result: VoteResult) -> None:
    assert QuorumEnv().handle(command) == f"{result}\n"


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        pytest.param("committed cfg=(1,2) idx=(1)", "idx has 1 values for 2 voters", id="too few values"),
        pytest.param("committed cfg=(1) cfgj=(1) idx=(1,2)", "idx has 2 values for 1 voters", id="too many values"),
        pytest.param("committed cfg=(1,1) idx=(1,1)", "named twice", id="a voter named twice"),
        pytest.param("committed cfg=(1) idx=(0)", "at least 1", id="index 0"),
        pytest.param("committed cfg=(1) idx=(4611686018427387903)", "below 2\\^62", id="an endless index"),
        pytest.param("committed cfg=(x) idx=(1)", "not a number", id="no voter"),
        pytest.param("committed cfg=(1) idx=(y)", "not a number", id="no index"),
        pytest.param("committed cfg=(1) votes=(y)", "no option 'votes'", id="votes for an index"),
        pytest.param("vote cfg=(1) votes=(Y)", "y, n or _", id="no vote"),
        pytest.param("vote cfg=(1) idx=(y)", "no option 'idx'", id="indexes for a vote"),
    ],
)
def test_malformed_questions(command: str, complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        QuorumEnv().handle(command)


class Arithmetic:
    """The library's arithmetic with one fault."""

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def committed_index(self, voters: tuple[int, ...], acked: dict[int, int]) -> int:
        if self.fault == "takes the best answer":
            return max(acked.values())
        if self.fault == "notices who is behind" and 0 in acked.values():
            return 1
        return committed_index(voters, acked)

    def joint_committed_index(self, incoming: tuple[int, ...], outgoing: tuple[int, ...], acked: dict[int, int]) -> int:
        if self.fault == "asks the first half only":
            return committed_index(incoming, acked)
        if self.fault == "needs both halves":
            return committed_index(incoming, acked) if outgoing else 0
        return joint_committed_index(incoming, outgoing, acked)

    def vote_result(self, voters: tuple[int, ...], votes: dict[int, bool]) -> VoteResult:
        return vote_result(voters, votes)

    def joint_vote_result(
        self, incoming: tuple[int, ...], outgoing: tuple[int, ...], votes: dict[int, bool]
    ) -> VoteResult:
        if self.fault == "asks the first half only":
            return vote_result(incoming, votes)
        if self.fault == "needs both halves" and not outgoing:
            return VOTE_PENDING
        return joint_vote_result(incoming, outgoing, votes)


@pytest.mark.parametrize(
    ("fault", "command", "said"),
    [
        pytest.param(
            "takes the best answer",
            "committed cfg=(1,2,3) idx=(4,5,6)",
            [
                "5 <-- via alternative computation",
                "5 <-- via zero-joint quorum",
                "5 <-- via self-joint quorum",
                "6",
            ],
            id="majority",
        ),
        pytest.param(
            "notices who is behind",
            "committed cfg=(1,2,3) idx=(4,5,6)",
            ["1 <-- overlaying 1->0", "5"],
            id="an answer that should not matter",
        ),
        pytest.param(
            "needs both halves",
            "committed cfg=(1,2,3) idx=(4,5,6)",
            ["0 <-- via zero-joint quorum", "5"],
            id="empty half",
        ),
        pytest.param(
            "asks the first half only",
            "committed cfg=(1) cfgj=(2) idx=(4,5)",
            ["5 <-- via symmetry", "4"],
            id="joint majority",
        ),
        pytest.param(
            "needs both halves",
            "vote cfg=(1) votes=(y)",
            ["VotePending <-- via zero-joint quorum", "VoteWon"],
            id="vote of an empty half",
        ),
        pytest.param(
            "asks the first half only",
            "vote cfg=(1) cfgj=(2) votes=(y,n)",
            ["VoteLost <-- via symmetry", "VoteWon"],
            id="joint vote",
        ),
    ],
)
def test_arithmetic_that_contradicts_itself_is_seen(fault: str, command: str, said: list[str]) -> None:
    lines = QuorumEnv(Arithmetic(fault)).handle(command).splitlines()
    assert [line for line in lines if "id=" not in line and "idx" not in line] == said


answers = st.dictionaries(
    st.integers(1, 40), st.one_of(st.just("_"), st.integers(1, 9).map(str)), min_size=2, max_size=9
)


@given(answers, st.integers(1, 8))
def test_right_arithmetic_never_contradicts_itself(given_answers: dict[int, str], cut: int) -> None:
    ids = [str(id) for id in given_answers]
    cut = min(cut, len(ids) - 1)
    values = ",".join(given_answers.values())
    for voters in (f"cfg=({','.join(ids)})", f"cfg=({','.join(ids[:cut])}) cfgj=({','.join(ids[cut:])})"):
        assert "<--" not in QuorumEnv().handle(f"committed {voters} idx=({values})")


# -- the picture


def test_the_picture() -> None:
    assert bar_chart([2, 1, 30], {1: 100, 30: 12345}).splitlines() == [
        "       idx",
        "x>     100    (id=1)",
        "?        0    (id=2)",
        "xx>  12345    (id=1e)",
    ]


def test_voters_that_are_level_have_the_same_bar() -> None:
    chart = bar_chart([1, 2, 3, 4], {1: 7, 2: 7, 3: 7, 4: 8})
    assert [line.split(">")[0] for line in chart.splitlines()[1:]] == ["", "", "", "xxx"]


def test_a_picture_of_nobody() -> None:
    assert bar_chart([], {}) == "<empty majority quorum>"
