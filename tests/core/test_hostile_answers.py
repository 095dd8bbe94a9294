"""Messages that no healthy group sends, continued: what is noted, answered or ignored."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from harness import (
    Host,
    acked,
    append,
    beat_back,
    change,
    heartbeat,
    host,
    log_of,
    only,
    rejected,
    snapshot_message,
    vote_for,
    voted,
)
from hostile_scene import (
    CANDIDATE,
    FOLLOWER,
    LAST_POSITION,
    LEADER,
    PRE_CANDIDATE,
    ROLES,
    TERM,
    in_role,
    refuses,
)
from test_hostile_messages import proposal, read, snapshot

from pyraft import (
    DropReason,
    ForwardedProposalDroppedError,
    InvalidMessageError,
    InvalidReason,
    Role,
)
from raftpb.codec import encode_conf_change_v2
from raftpb.enums import (
    ENTRY_CONF_CHANGE_V2,
    MSG_APP_RESP,
    MSG_HEARTBEAT_RESP,
    MSG_PRE_VOTE_RESP,
    MSG_READ_INDEX_RESP,
    MSG_TIMEOUT_NOW,
    MSG_TRANSFER_LEADER,
)
from raftpb.message import ConfState, Entry, Message


@pytest.mark.parametrize("hint", [5, 6, 99])
def test_a_hint_beyond_what_is_refused_is_taken_for_that(hint: int) -> None:
    """Raft before 3.5 hints at the end of the follower's log, wherever the refused entry lies."""
    node = in_role(LEADER)
    node.step(beat_back(TERM))
    refused = node.progress(2).next - 1
    node.step(rejected(refused, TERM, (0, max(hint, refused + 1))))
    assert node.progress(2).next == refused


def test_a_follower_that_hints_at_the_end_of_its_log_is_caught_up() -> None:
    """Raft before 3.5, with a tail of another leader's entries: each refusal brings the leader one entry further."""
    node = in_role(LEADER)
    node.step(beat_back(TERM))
    sent: list[int] = []
    while (before := node.progress(2).next - 1) > 2:
        sent.append(before)
        node.step(rejected(before, TERM, (0, 20)))
    assert sent == [5, 4, 3]
    node.step(acked(node.last, TERM))
    assert node.progress(2).match == node.last


@pytest.mark.parametrize("m", [append(TERM - 1), heartbeat(TERM - 1)], ids=["append", "heartbeat"])
@pytest.mark.parametrize(
    ("role", "pre_vote", "check_quorum", "answers"),
    [
        pytest.param(role, pre_vote, check_quorum, answers, id=f"{role}, {name}")
        for name, pre_vote, check_quorum, answers in (
            ("neither", False, False, False),
            ("pre-vote", True, False, True),
            ("check-quorum", False, True, True),
        )
        for role in (FOLLOWER, PRE_CANDIDATE, CANDIDATE, LEADER)
        if pre_vote or role is not PRE_CANDIDATE
    ],
)
def test_a_deposed_leader(role: Role, m: Message, pre_vote: bool, check_quorum: bool, answers: bool) -> None:
    node = in_role(role, pre_vote=pre_vote, check_quorum=check_quorum)
    sent = node.step(m)
    assert sent == ([Message(MSG_APP_RESP, 2, 1, TERM)] if answers else [])
    assert (node.role, node.term) == (role, TERM)


@pytest.mark.parametrize("role", ROLES)
def test_a_pre_candidate_of_an_old_term_is_told(role: Role) -> None:
    node = in_role(role)
    assert node.step(vote_for(TERM - 1, (9, 9), pre=True)) == [
        Message(MSG_PRE_VOTE_RESP, 2, 1, TERM, reject=True),
    ]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "m",
    [
        pytest.param(vote_for(TERM - 1, (9, 9)), id="vote"),
        pytest.param(voted(TERM - 1), id="vote answer"),
        pytest.param(voted(TERM - 1, pre=True), id="pre-vote answer"),
        pytest.param(acked(5, TERM - 1), id="acknowledgement"),
        pytest.param(beat_back(TERM - 1), id="heartbeat answer"),
        pytest.param(snapshot_message(TERM - 1, snapshot()), id="snapshot"),
        pytest.param(Message(MSG_TIMEOUT_NOW, 1, 2, TERM - 1), id="invitation"),
        pytest.param(Message(MSG_TRANSFER_LEADER, 1, 2, TERM - 1), id="transfer"),
        pytest.param(
            Message(MSG_READ_INDEX_RESP, 1, 2, TERM - 1, index=3, entries=[Entry(data=b"r")]), id="read answer"
        ),
    ],
)
def test_other_news_of_an_old_term_is_ignored(m: Message, role: Role) -> None:
    node = in_role(role)
    before = node.raw.export_state()
    node.raw.step(m)
    assert node.raw.export_state() == before


@pytest.mark.parametrize(
    ("entries", "commit", "expected"),
    [
        pytest.param(2, 6, 6, id="below the last new entry"),
        pytest.param(2, 7, 7, id="the last new entry"),
        pytest.param(2, LAST_POSITION, 7, id="beyond the last new entry"),
        pytest.param(0, 9, 5, id="no entry"),
    ],
)
def test_an_append_commits_no_more_than_it_vouches_for(entries: int, commit: int, expected: int) -> None:
    node = in_role(FOLLOWER)
    node.step(append(TERM, (3, 5), log_of([TERM] * entries, 6), commit=commit))
    assert node.commit == expected
    assert node.raw.status().log_loss_suspected == ""


def test_an_append_vouches_for_no_entry_beyond_its_own() -> None:
    """The tail after the entries may be the remains of another leader."""
    node = in_role(FOLLOWER)
    answer = only(node.step(append(TERM, (2, 3), log_of([3], 4), commit=5)))
    assert answer.index == 4
    assert (node.commit, node.last) == (4, 5)


@pytest.mark.parametrize("role", ROLES[:3])
def test_a_commit_index_beyond_the_log_moves_nothing(role: Role) -> None:
    """The tail that is here may be an old and different one, for instance of a restored backup."""
    node = in_role(role)
    answer = only(node.step(heartbeat(TERM, commit=6)))
    assert answer.type is MSG_HEARTBEAT_RESP
    assert node.commit == 3
    assert "knows entry 6 to be here, but the log ends at 5" in node.raw.status().log_loss_suspected


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("pre", [False, True], ids=["vote", "pre-vote"])
def test_a_candidate_commits_nothing_here(role: Role, pre: bool) -> None:
    """A commit index in its request is nobody's word, and no reason for suspicion either."""
    node = in_role(role, check_quorum=False)
    m = vote_for(TERM + 1, (9, 9), pre=pre)
    m.commit = 9
    assert only(node.step(m)).to == 2
    assert (node.commit, node.raw.status().log_loss_suspected) == (3, "")


@pytest.mark.parametrize(
    "m",
    [append(TERM, from_=3), heartbeat(TERM, from_=3), snapshot_message(TERM, snapshot(3, 2), from_=3)],
    ids=["append", "heartbeat", "snapshot"],
)
def test_two_leaders_in_one_term_are_counted(m: Message) -> None:
    node = in_role(LEADER)
    assert node.step(m) == []
    assert node.role is LEADER
    assert node.raw.status().anomalies.rival_leaders == 1
    node = in_role(FOLLOWER)
    assert only(node.step(m)).to == 3
    assert node.leader == 3
    assert node.raw.status().anomalies.rival_leaders == 1


@pytest.mark.parametrize(
    ("m", "waiting"),
    [
        pytest.param(voted(TERM), CANDIDATE, id="vote"),
        pytest.param(voted(TERM, True), CANDIDATE, id="refused vote"),
        pytest.param(voted(TERM, pre=True), None, id="pre-vote of the present term"),
        pytest.param(voted(TERM + 2, pre=True), None, id="pre-vote of a term not asked for"),
        pytest.param(voted(TERM + 1, pre=True), PRE_CANDIDATE, id="pre-vote"),
    ],
)
def test_answers_that_nobody_waits_for(m: Message, waiting: Role | None) -> None:
    for role in (FOLLOWER, PRE_CANDIDATE, CANDIDATE, LEADER):
        node = in_role(role)
        before = node.raw.export_state()
        node.raw.step(m)
        assert (node.raw.export_state() == before) is (role is not waiting)


def test_a_vote_counts_once() -> None:
    node = host(voters=(1, 2, 3, 4, 5), pre_vote=False)
    node.raw.campaign()
    node.step(voted(1), voted(1), voted(1))
    assert node.role is CANDIDATE
    node.step(voted(1, from_=3))
    assert node.role is LEADER


@pytest.mark.parametrize("members", [ConfState((2, 3)), ConfState()], ids=["others", "nobody"])
def test_a_snapshot_of_others_is_answered_with_the_commit_index_and_counted(members: ConfState) -> None:
    node = in_role(FOLLOWER)
    answer = only(node.step(snapshot_message(TERM, snapshot(conf_state=members))))
    assert answer == acked(3, TERM, from_=1, to=2)
    assert node.last == 5
    assert node.raw.status().anomalies.foreign_snapshots == 1


@pytest.mark.parametrize("index", [1, 3])
def test_an_old_snapshot_is_answered_with_the_commit_index(index: int) -> None:
    node = in_role(FOLLOWER)
    assert only(node.step(snapshot_message(TERM, snapshot(index, node.storage.term(index))))) == acked(
        3, TERM, from_=1, to=2
    )
    assert node.last == 5


# Another history: the log here has terms 1 1 2 3 3, of which 3 are committed


@pytest.mark.parametrize(
    ("m", "named"),
    [
        pytest.param(append(TERM, (2, 2)), "term 2 at index 2", id="follows another entry"),
        pytest.param(append(TERM, (1, 3)), "term 1 at index 3", id="follows another entry at the commit index"),
        pytest.param(append(TERM, (1, 1), log_of([1, 3], 2)), "term 3 at index 3", id="brings another entry"),
        pytest.param(append(TERM, (0, 0), log_of([4], 1)), "term 4 at index 1", id="brings another first entry"),
        pytest.param(append(TERM, (1, 2), log_of([4, 4], 3), 4), "term 4 at index 3", id="brings more besides"),
    ],
)
def test_an_append_that_contradicts_what_is_committed_is_not_acknowledged(m: Message, named: str) -> None:
    """The leader would count this node for entries that it does not have."""
    node = in_role(FOLLOWER)
    assert node.step(m) == []
    status = node.raw.status()
    assert named in status.foreign_log_suspected
    assert status.anomalies.foreign_appends == 1
    assert (node.last, node.commit) == (5, 3)
    assert node.step(m) == []
    assert node.raw.status().anomalies.foreign_appends == 2


@pytest.mark.parametrize(
    "m",
    [
        pytest.param(append(TERM, (1, 1)), id="follows what is here"),
        pytest.param(append(TERM, (0, 0), log_of([1, 1, 2], 1)), id="brings what is here"),
        pytest.param(append(TERM, (1, 2), log_of([2, 4], 3)), id="parts after the commit index"),
    ],
)
def test_an_old_append_of_this_history_is_acknowledged(m: Message) -> None:
    node = in_role(FOLLOWER)
    assert not only(node.step(m)).reject
    assert node.raw.status().foreign_log_suspected == ""


@pytest.mark.parametrize("position", [(2, 2), (1, 3), (1, 9), (3, 3)])
def test_a_snapshot_that_contradicts_what_is_committed_is_refused(position: tuple[int, int]) -> None:
    """(term, index). The log would be replaced by that of another history."""
    node = in_role(FOLLOWER)
    term, index = position
    error = refuses(node, snapshot_message(TERM, snapshot(index, term)))
    assert isinstance(error, InvalidMessageError)
    assert error.reason is InvalidReason.BAD_SNAPSHOT
    assert "another group" in node.raw.status().foreign_log_suspected


@pytest.mark.parametrize("position", [(1, 2), (2, 3), (2, 9), (4, 9)])
def test_a_snapshot_of_this_history_is_taken(position: tuple[int, int]) -> None:
    node = in_role(FOLLOWER)
    term, index = position
    node.step(snapshot_message(TERM, snapshot(index, term)))
    assert node.raw.status().foreign_log_suspected == ""
    assert node.last == max(index, 5)


INVITATION = Message(MSG_TIMEOUT_NOW, 1, 2, TERM)


def _learner() -> Host:
    return host(conf_state=ConfState((2, 3), (1,)), term=TERM)


def _with_unapplied_change() -> Host:
    node = in_role(FOLLOWER)
    wanted = Entry(ENTRY_CONF_CHANGE_V2, TERM, 6, encode_conf_change_v2(change("l4")))
    node.raw.step(append(TERM, (3, 5), [wanted], commit=6))
    return node


def _with_pending_snapshot() -> Host:
    node = in_role(FOLLOWER)
    node.raw.step(snapshot_message(TERM, snapshot()))
    return node


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(_learner, id="learner"),
        pytest.param(_with_unapplied_change, id="unapplied change"),
        pytest.param(_with_pending_snapshot, id="pending snapshot"),
        pytest.param(lambda: in_role(CANDIDATE), id="candidate"),
        pytest.param(lambda: in_role(PRE_CANDIDATE), id="pre-candidate"),
    ],
)
def test_an_invitation_that_cannot_be_followed_is_counted(make: Callable[[], Host]) -> None:
    node = make()
    role = node.role
    node.raw.step(INVITATION)
    assert (node.role, node.term) == (role, TERM)
    assert node.raw.status().anomalies.ignored_timeout_now == 1


@pytest.mark.parametrize(
    ("role", "target"),
    [
        pytest.param(LEADER, 9, id="to a stranger"),
        pytest.param(LEADER, 4, id="to a learner"),
        pytest.param(LEADER, 1, id="to the leader itself"),
        pytest.param(FOLLOWER, 2, id="at a follower"),
        pytest.param(CANDIDATE, 2, id="at a candidate"),
        pytest.param(PRE_CANDIDATE, 2, id="at a pre-candidate"),
    ],
)
def test_a_transfer_that_cannot_be_started_is_counted(role: Role, target: int) -> None:
    """Passed on once, it is not passed on again."""
    node = in_role(role)
    assert node.step(Message(MSG_TRANSFER_LEADER, 1, target, TERM)) == []
    assert node.raw.status().lead_transferee == 0
    assert node.raw.status().anomalies.dropped_transfers == 1


def _read_answer(context: bytes = b"r", index: int = 3, from_: int = 2, count: int = 1) -> Message:
    return Message(MSG_READ_INDEX_RESP, 1, from_, TERM, index=index, entries=[Entry(data=context)] * count)


@pytest.mark.parametrize(
    "m",
    [
        pytest.param(_read_answer(from_=3), id="from another than the leader"),
        pytest.param(_read_answer(b"other"), id="unknown context"),
        pytest.param(_read_answer(index=5 + 2**32 + 1), id="index out of nowhere"),
        pytest.param(_read_answer(count=0), id="no context"),
        pytest.param(_read_answer(count=2), id="two contexts"),
    ],
)
def test_an_answer_to_no_read_of_this_node_is_counted(m: Message) -> None:
    node = in_role(FOLLOWER)
    node.raw.read_index(b"r")
    node.step(m)
    assert node.read_states == []
    assert node.raw.status().anomalies.ignored_read_answers == 1
    node.step(_read_answer())
    assert [state.context for state in node.read_states] == [b"r"]


@pytest.mark.parametrize("role", ROLES)
def test_a_proposal_that_was_passed_on_and_dropped(role: Role) -> None:
    if role is LEADER:
        node = in_role(LEADER)
        node.raw.transfer_leader(2)
        reason = DropReason.TRANSFERRING
    elif role is FOLLOWER:
        node = in_role(FOLLOWER)
        node.raw.forget_leader()
        reason = DropReason.NO_LEADER
    else:
        node = in_role(role)
        reason = DropReason.CAMPAIGNING
    before = node.raw.export_state()
    with pytest.raises(ForwardedProposalDroppedError) as caught:
        node.raw.step(proposal(Entry(data=b"x")))
    assert caught.value.reason is reason
    assert node.raw.export_state() == before


# Bounds.


def test_strangers_and_repetitions_fill_no_memory() -> None:
    node = in_role(LEADER, max_pending_reads=10)
    for sender in range(100, 600):
        node.step(vote_for(TERM, (3, 5), from_=sender))
        node.step(read(Entry(data=b"%d" % sender), from_=sender))
        refuses(node, beat_back(TERM, bytes(8), from_=sender))
    status = node.raw.status()
    assert status.pending_reads == 10
    assert status.anomalies.dropped_reads == 490
    state = node.raw.export_state()
    assert len(state.votes) <= 3
    assert len(state.reads_acked) <= 3
    assert not state.msgs


def test_reads_that_are_never_answered_fill_no_memory() -> None:
    node = in_role(FOLLOWER, max_pending_reads=10)
    for number in range(50):
        node.raw.read_index(b"%d" % number)
        node.settle()
    assert [context for context, _ in node.raw.export_state().forwarded_reads] == [b"%d" % n for n in range(40, 50)]
    node.step(_read_answer(b"39"))
    node.step(_read_answer(b"40"))
    assert [state.context for state in node.read_states] == [b"40"]
