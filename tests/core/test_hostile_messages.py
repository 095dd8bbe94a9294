"""Whatever a peer sends is refused without a trace, or taken as Raft says: case by case."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from harness import (
    Host,
    acked,
    append,
    beat_back,
    change,
    elect,
    follow,
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
    MEMBERS,
    PRE_CANDIDATE,
    ROLES,
    TERM,
    in_role,
    refuses,
)

from pyraft import (
    AbortedRead,
    DropReason,
    ForwardedProposalDroppedError,
    InvalidMessageError,
    InvalidReason,
    LocalMessageError,
    PeerNotFoundError,
    ReadDropReason,
    Role,
)
from raftpb.codec import decode_message, encode_conf_change_v2
from raftpb.enums import (
    ENTRY_CONF_CHANGE,
    ENTRY_CONF_CHANGE_V2,
    ENTRY_NORMAL,
    MSG_APP_RESP,
    MSG_HEARTBEAT_RESP,
    MSG_PRE_VOTE_RESP,
    MSG_PROP,
    MSG_READ_INDEX,
    MSG_READ_INDEX_RESP,
    MSG_SNAP,
    MSG_TIMEOUT_NOW,
    MSG_TRANSFER_LEADER,
    MSG_VOTE_RESP,
    MessageType,
)
from raftpb.message import ConfState, Entry, Message, Snapshot, SnapshotMetadata

# What is refused, whoever sends it and whatever this node is.

ENTRY = Entry(ENTRY_NORMAL, TERM, 6, b"x")


def snapshot(index: int = 9, term: int = 4, conf_state: ConfState = MEMBERS) -> Snapshot:
    return Snapshot(b"state", SnapshotMetadata(conf_state, index, term))


def proposal(*entries: Entry, from_: int = 2) -> Message:
    return Message(MSG_PROP, 1, from_, entries=list(entries))


def read(*entries: Entry, from_: int = 2, term: int = 0) -> Message:
    return Message(MSG_READ_INDEX, 1, from_, term, entries=list(entries))


REFUSED = [
    # the numbers
    pytest.param(heartbeat(-1), InvalidReason.MALFORMED, id="negative term"),
    pytest.param(heartbeat(LAST_POSITION + 1), InvalidReason.MALFORMED, id="term after which there is no next"),
    pytest.param(append(TERM, (1, -1)), InvalidReason.MALFORMED, id="negative index"),
    pytest.param(
        append(TERM, (1, LAST_POSITION + 1)), InvalidReason.MALFORMED, id="index after which there is no next"
    ),
    pytest.param(append(TERM, (-1, 1)), InvalidReason.MALFORMED, id="negative log term"),
    pytest.param(heartbeat(TERM, -1), InvalidReason.MALFORMED, id="negative commit"),
    pytest.param(heartbeat(TERM, 2**63 - 1), InvalidReason.MALFORMED, id="huge commit"),
    pytest.param(rejected(3, TERM, (1, -2)), InvalidReason.MALFORMED, id="negative hint"),
    # the envelope
    pytest.param(append(TERM, to=2), InvalidReason.WRONG_DESTINATION, id="for another node"),
    pytest.param(append(TERM, to=0), InvalidReason.WRONG_DESTINATION, id="for nobody"),
    pytest.param(proposal(Entry(data=b"x"), from_=0), InvalidReason.BAD_SENDER, id="proposal from nobody"),
    pytest.param(append(TERM, from_=0), InvalidReason.BAD_SENDER, id="append from nobody"),
    pytest.param(append(TERM, from_=-1), InvalidReason.BAD_SENDER, id="from the append thread"),
    pytest.param(append(TERM, from_=-2), InvalidReason.BAD_SENDER, id="from the apply thread"),
    pytest.param(append(TERM, from_=1), InvalidReason.BAD_SENDER, id="append from this node"),
    pytest.param(acked(6, TERM, from_=1), InvalidReason.BAD_SENDER, id="acknowledgement from this node"),
    pytest.param(voted(TERM, from_=1), InvalidReason.BAD_SENDER, id="vote from this node"),
    pytest.param(heartbeat(0), InvalidReason.ZERO_TERM, id="heartbeat without a term"),
    pytest.param(append(0), InvalidReason.ZERO_TERM, id="append without a term"),
    pytest.param(Message(MSG_TIMEOUT_NOW, 1, 2), InvalidReason.ZERO_TERM, id="invitation without a term"),
    pytest.param(Message(MSG_TRANSFER_LEADER, 1, 2), InvalidReason.ZERO_TERM, id="transfer without a term"),
    pytest.param(Message(MSG_PROP, 1, 2, 5, entries=[Entry()]), InvalidReason.UNEXPECTED_TERM, id="proposal with term"),
    pytest.param(read(Entry(data=b"r"), term=5), InvalidReason.UNEXPECTED_TERM, id="read with a term"),
    # proposals and reads
    pytest.param(proposal(), InvalidReason.BAD_PROPOSAL, id="proposal without entries"),
    pytest.param(proposal(Entry(index=9)), InvalidReason.BAD_PROPOSAL, id="proposal with an index"),
    pytest.param(proposal(Entry(), Entry(term=9)), InvalidReason.BAD_PROPOSAL, id="proposal with a term in an entry"),
    pytest.param(
        proposal(Entry(ENTRY_CONF_CHANGE, data=b"\xff")), InvalidReason.BAD_PROPOSAL, id="proposed change that is none"
    ),
    pytest.param(
        proposal(Entry(ENTRY_CONF_CHANGE_V2, data=b"\x08\x63")), InvalidReason.BAD_PROPOSAL, id="unknown transition"
    ),
    pytest.param(read(), InvalidReason.BAD_PROPOSAL, id="read without a context"),
    pytest.param(read(Entry(data=b"a"), Entry(data=b"b")), InvalidReason.BAD_PROPOSAL, id="two reads in one"),
    pytest.param(read(Entry()), InvalidReason.BAD_CONTEXT, id="read with an empty context"),
    pytest.param(read(Entry(data=bytes(257))), InvalidReason.BAD_CONTEXT, id="read with a long context"),
    # appends
    pytest.param(append(TERM, (3, 4), [ENTRY]), InvalidReason.BAD_ENTRIES, id="gap before the entries"),
    pytest.param(append(TERM, (3, 5), [ENTRY, ENTRY]), InvalidReason.BAD_ENTRIES, id="entry twice"),
    pytest.param(append(TERM, (3, 5), log_of([0], 6)), InvalidReason.BAD_ENTRIES, id="entry of no term"),
    pytest.param(append(TERM, (3, 5), log_of([-1], 6)), InvalidReason.BAD_ENTRIES, id="entry of a negative term"),
    pytest.param(append(TERM, (3, 5), log_of([2], 6)), InvalidReason.BAD_ENTRIES, id="entry older than the one before"),
    pytest.param(append(TERM, (3, 5), log_of([5, 4], 6)), InvalidReason.BAD_ENTRIES, id="terms that fall"),
    pytest.param(append(TERM, (3, 5), log_of([6], 6)), InvalidReason.BAD_ENTRIES, id="entry newer than its leader"),
    pytest.param(append(TERM, (6, 5)), InvalidReason.BAD_ENTRIES, id="position newer than its leader"),
    pytest.param(
        append(TERM, (3, LAST_POSITION), log_of([3], LAST_POSITION + 1)),
        InvalidReason.BAD_ENTRIES,
        id="beyond all bounds",
    ),
    pytest.param(
        append(TERM, (3, 5), [Entry(ENTRY_CONF_CHANGE, TERM, 6, b"\xff")]),
        InvalidReason.BAD_ENTRIES,
        id="no change in it",
    ),
    pytest.param(append(TERM, (0, 0), [Entry(index=1)]), InvalidReason.BAD_ENTRIES, id="an entry of term 0"),
    # acknowledgements
    pytest.param(acked(3, TERM, from_=9), None, id="acknowledgement of a stranger"),
    pytest.param(beat_back(TERM, from_=9), None, id="heartbeat answer of a stranger"),
    pytest.param(voted(TERM, from_=9), None, id="vote of a stranger"),
    pytest.param(voted(TERM + 1, from_=9, pre=True), None, id="pre-vote of a stranger"),
    pytest.param(Message(MSG_READ_INDEX_RESP, 1, 9, TERM), None, id="read answer of a stranger"),
    pytest.param(rejected(3, TERM, (6, 2)), InvalidReason.BAD_ACK, id="hint of a later term"),
    # contexts
    pytest.param(heartbeat(TERM, context=bytes(257)), InvalidReason.BAD_CONTEXT, id="heartbeat with 257 bytes"),
    pytest.param(beat_back(TERM, bytes(257)), InvalidReason.BAD_CONTEXT, id="heartbeat answer with 257 bytes"),
    # snapshots
    pytest.param(Message(MSG_SNAP, 1, 2, TERM), InvalidReason.BAD_SNAPSHOT, id="no snapshot"),
    pytest.param(snapshot_message(TERM, snapshot(0)), InvalidReason.BAD_SNAPSHOT, id="snapshot of nothing"),
    pytest.param(snapshot_message(TERM, snapshot(-9)), InvalidReason.BAD_SNAPSHOT, id="snapshot at a negative index"),
    pytest.param(
        snapshot_message(TERM, snapshot(LAST_POSITION + 1)), InvalidReason.BAD_SNAPSHOT, id="snapshot beyond all bounds"
    ),
    pytest.param(snapshot_message(TERM, snapshot(9, 0)), InvalidReason.BAD_SNAPSHOT, id="snapshot of no term"),
    pytest.param(snapshot_message(TERM, snapshot(9, -3)), InvalidReason.BAD_SNAPSHOT, id="snapshot of a negative term"),
    pytest.param(
        snapshot_message(TERM, snapshot(9, 6)), InvalidReason.BAD_SNAPSHOT, id="snapshot newer than its leader"
    ),
    pytest.param(
        snapshot_message(TERM, snapshot(conf_state=ConfState((), (1,)))),
        InvalidReason.BAD_SNAPSHOT,
        id="without voters",
    ),
    pytest.param(
        snapshot_message(TERM, snapshot(conf_state=ConfState((1, 2), (2,)))),
        InvalidReason.BAD_SNAPSHOT,
        id="voting learner",
    ),
    pytest.param(
        snapshot_message(TERM, snapshot(conf_state=ConfState((1, 1)))),
        InvalidReason.BAD_SNAPSHOT,
        id="voter named twice",
    ),
    pytest.param(
        snapshot_message(TERM, snapshot(conf_state=ConfState((1, -2)))), InvalidReason.BAD_SNAPSHOT, id="negative voter"
    ),
    pytest.param(
        snapshot_message(TERM, snapshot(conf_state=ConfState((1,), (), (1, 2), (3,)))),
        InvalidReason.BAD_SNAPSHOT,
        id="learner to be that is no outgoing voter",
    ),
    pytest.param(
        snapshot_message(TERM, snapshot(conf_state=ConfState((1,), auto_leave=True))),
        InvalidReason.BAD_SNAPSHOT,
        id="leaving what is not joint",
    ),
]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("m", "reason"), REFUSED)
def test_is_refused(m: Message, reason: InvalidReason | None, role: Role) -> None:
    """`reason` None: from a node that is no member, and may just have been removed."""
    error = refuses(in_role(role), m)
    if reason is None:
        assert isinstance(error, PeerNotFoundError)
        assert error.message is m
    else:
        assert isinstance(error, InvalidMessageError)
        assert error.reason is reason


LOCAL_TYPES = (
    MessageType.MsgHup,
    MessageType.MsgBeat,
    MessageType.MsgUnreachable,
    MessageType.MsgSnapStatus,
    MessageType.MsgCheckQuorum,
    MessageType.MsgStorageAppend,
    MessageType.MsgStorageAppendResp,
    MessageType.MsgStorageApply,
    MessageType.MsgStorageApplyResp,
    MessageType.MsgForgetLeader,
)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", LOCAL_TYPES, ids=str)
@pytest.mark.parametrize("from_", [0, 1, 2, -1, -2])
def test_what_stays_inside_a_node_never_comes_from_outside(kind: MessageType, from_: int, role: Role) -> None:
    m = Message(kind, 1, from_, TERM, 3, 5)
    error = refuses(in_role(role), m)
    assert isinstance(error, LocalMessageError)
    assert error.message is m


@pytest.mark.parametrize("async_storage_writes", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(
    "m",
    [
        pytest.param(Message(MessageType.MsgStorageAppendResp, 1, -1, TERM, TERM, 6), id="from the append thread"),
        pytest.param(Message(MessageType.MsgStorageApplyResp, 1, -2, entries=[ENTRY]), id="from the apply thread"),
        pytest.param(acked(6, TERM, from_=1), id="to itself"),
    ],
)
def test_no_peer_can_vouch_for_this_node_s_disk(m: Message, async_storage_writes: bool) -> None:
    node = in_role(LEADER, async_storage_writes=async_storage_writes)
    node.raw.propose(b"not durable")
    refuses(node, m)


def test_a_type_that_is_none_is_malformed() -> None:
    """The compiled build refuses to make such a message."""
    with pytest.raises((InvalidMessageError, TypeError), match=r"not a MessageType|MessageType object expected"):
        in_role(FOLLOWER).raw.step(Message(3, 1, 2, TERM))  # type: ignore[arg-type]


def test_a_sender_beyond_all_ids_is_malformed() -> None:
    """The compiled build refuses to make such a message, and so does the codec."""
    with pytest.raises((InvalidMessageError, TypeError, OverflowError), match=r"an id of 2\^63|i64"):
        in_role(FOLLOWER).raw.step(heartbeat(TERM, from_=2**63))


@pytest.mark.parametrize(
    "m",
    [
        pytest.param(acked(7, TERM), id="accepts what was never sent"),
        pytest.param(rejected(7, TERM, (3, 5)), id="refuses what was never sent"),
    ],
)
def test_acknowledging_more_than_there_is(m: Message) -> None:
    error = refuses(in_role(LEADER), m)
    assert isinstance(error, InvalidMessageError)
    assert error.reason is InvalidReason.BAD_ACK


def test_an_acknowledgement_of_another_term_is_not_compared_with_this_log() -> None:
    node = in_role(LEADER)
    before = node.raw.export_state()
    node.raw.step(acked(7, TERM - 1))
    assert node.raw.export_state() == before
    node.raw.step(acked(7, TERM + 1))
    assert (node.role, node.term) == (FOLLOWER, TERM + 1)


@pytest.mark.parametrize("position", [2, 2**64 - 1])
def test_confirming_a_read_that_was_never_asked_for(position: int) -> None:
    node = in_role(LEADER)
    follow(node, 2)
    node.raw.read_index(b"one")
    error = refuses(node, beat_back(TERM, position.to_bytes(8, "little")))
    assert isinstance(error, InvalidMessageError)
    assert error.reason is InvalidReason.BAD_CONTEXT
    node.raw.step(beat_back(TERM, (1).to_bytes(8, "little")))


def test_a_confirmation_of_another_term_is_ignored() -> None:
    node = in_role(LEADER)
    before = node.raw.export_state()
    node.raw.step(beat_back(TERM - 1, (99).to_bytes(8, "little")))
    assert node.raw.export_state() == before


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x20" + b"\xff" * 9 + b"\x01", id="term of 2^64 - 1"),
        pytest.param(b"\x08\x18", id="type 24"),
        pytest.param(b"\x08", id="cut short"),
        pytest.param(b"\x3a\x05\x08", id="entry cut short"),
        pytest.param(b"\x3a\x02\x08\x03", id="entry of type 3"),
        pytest.param(b"\x72\x02" * 200, id="too deep or cut short"),
    ],
)
def test_bytes_that_are_no_message(data: bytes) -> None:
    with pytest.raises(InvalidMessageError) as caught:
        decode_message(data)
    assert caught.value.reason is InvalidReason.MALFORMED


# What is taken, and what comes of it.


@pytest.mark.parametrize(
    "m",
    [
        pytest.param(append(TERM + 1, (3, 5), log_of([6], 6), from_=9), id="append"),
        pytest.param(heartbeat(TERM + 1, from_=9), id="heartbeat"),
        pytest.param(snapshot_message(TERM + 1, snapshot(), from_=9), id="snapshot"),
    ],
)
def test_a_leader_need_not_be_known(m: Message) -> None:
    """A node that joins, or lags, hears of the members from the leader itself."""
    node = in_role(FOLLOWER)
    assert only(node.step(m)).to == 9
    assert (node.term, node.leader) == (TERM + 1, 9)


def test_a_candidate_need_not_be_known() -> None:
    node = in_role(FOLLOWER, check_quorum=False)
    answer = only(node.step(vote_for(TERM + 1, (3, 5), from_=9)))
    assert (answer.type, answer.to, answer.reject) == (MSG_VOTE_RESP, 9, False)


def test_a_proposal_that_this_node_passed_on_may_come_back() -> None:
    """A stale idea of who leads can send it round in a circle."""
    node = in_role(LEADER)
    node.raw.step(proposal(Entry(data=b"x"), from_=1))
    assert node.last == 7


def test_a_read_that_this_node_passed_on_may_come_back_once() -> None:
    """What comes after is a copy, or from an earlier life of this node, and would answer nobody, or somebody twice."""
    node = in_role(FOLLOWER)
    node.raw.read_index(b"r")
    node.settle()
    elect(node)
    node.raw.step(read(Entry(data=b"r"), from_=1))
    assert node.raw.status().pending_reads == 1
    node.raw.step(read(Entry(data=b"r"), from_=1))
    assert node.raw.status().pending_reads == 1
    assert node.raw.status().anomalies.dropped_reads == 1


def test_a_read_that_came_back_to_a_candidate_is_given_up() -> None:
    node = in_role(FOLLOWER, pre_vote=False)
    node.raw.read_index(b"r")
    node.settle()
    node.raw.campaign()
    node.step(read(Entry(data=b"r"), from_=1))
    node.settle()
    assert node.aborted_reads == [AbortedRead(b"r", ReadDropReason.CAMPAIGNING)]


OF_ANY_TERM: dict[str, Callable[[int], Message]] = {
    "append": append,
    "append response": lambda term: acked(3, term),
    "heartbeat": heartbeat,
    "heartbeat response": beat_back,
    "vote": lambda term: vote_for(term, (9, 9), b"CampaignTransfer"),
    "vote response": voted,
    "pre-vote": lambda term: vote_for(term, (9, 9), pre=True),
    "pre-vote response": lambda term: voted(term, pre=True),
    "pre-vote refused": lambda term: voted(term, reject=True, pre=True),
    "snapshot": lambda term: snapshot_message(term, snapshot()),
    "read answer": lambda term: Message(MSG_READ_INDEX_RESP, 1, 2, term),
    "timeout now": lambda term: Message(MSG_TIMEOUT_NOW, 1, 2, term),
    "transfer": lambda term: Message(MSG_TRANSFER_LEADER, 1, 2, term),
}


@pytest.mark.parametrize("make", OF_ANY_TERM.values(), ids=OF_ANY_TERM)
@pytest.mark.parametrize("role", ROLES)
def test_a_term_out_of_reach_is_refused(role: Role, make: Callable[[int], Message]) -> None:
    """Taken, it would use up the terms: nobody could be elected any more."""
    node = in_role(role)
    for term in (TERM + 2**32 + 1, LAST_POSITION):
        before = node.raw.status().anomalies.refused_messages
        with pytest.raises(InvalidMessageError) as caught:
            node.raw.step(make(term))
        assert caught.value.reason is InvalidReason.TERM_JUMP
        assert node.raw.status().anomalies.refused_messages == before + 1
    assert node.raw.status().term_jump
    assert (node.role, node.term) == (role, TERM)


def test_a_term_within_reach_is_taken() -> None:
    node = in_role(FOLLOWER)
    node.step(heartbeat(TERM + 2**32))
    assert node.term == TERM + 2**32
    assert not node.raw.status().term_jump


@pytest.mark.parametrize("make", [heartbeat, append, lambda term: snapshot_message(term, snapshot())])
def test_a_newcomer_of_term_0_joins(make: Callable[[int], Message]) -> None:
    """Whatever term a sane group has come to; one of a later term is none for a newcomer either."""
    newcomer = host(voters=())
    assert newcomer.term == 0
    error = refuses(newcomer, make(2**32 + 1))
    assert isinstance(error, InvalidMessageError)
    assert error.reason is InvalidReason.TERM_JUMP
    newcomer.step(make(2**32))
    assert newcomer.term == 2**32


@pytest.mark.parametrize("context", [b"x", b"7 bytes", b"nine byte", bytes(256)], ids=len)
def test_a_follower_gives_any_context_back(context: bytes) -> None:
    """A leader of raft up to 3.6 puts a reader's own context into its heartbeats."""
    node = in_role(FOLLOWER)
    assert only(node.step(heartbeat(TERM, context=context))) == beat_back(TERM, context, from_=1, to=2)


@pytest.mark.parametrize("context", [b"x", b"seven..", b"nine byte", bytes(256)], ids=len)
def test_a_leader_is_given_back_what_it_sent(context: bytes) -> None:
    error = refuses(in_role(LEADER), beat_back(TERM, context))
    assert isinstance(error, InvalidMessageError)
    assert error.reason is InvalidReason.BAD_CONTEXT


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
