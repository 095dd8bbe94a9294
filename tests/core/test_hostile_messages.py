"""Whatever a peer sends is refused without a trace, or taken as Raft says: case by case."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from harness import (
    acked,
    append,
    beat_back,
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
    FOLLOWER,
    LAST_POSITION,
    LEADER,
    MEMBERS,
    ROLES,
    TERM,
    in_role,
    refuses,
)

from pyraft import (
    AbortedRead,
    InvalidMessageError,
    InvalidReason,
    LocalMessageError,
    PeerNotFoundError,
    ReadDropReason,
    Role,
)
from raftpb.codec import decode_message
from raftpb.enums import (
    ENTRY_CONF_CHANGE,
    ENTRY_CONF_CHANGE_V2,
    ENTRY_NORMAL,
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
