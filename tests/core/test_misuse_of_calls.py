"""Misuse, continued: reads, transfers, reports and storage answers with arguments of a wrong type or value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from harness import Host, append, change, host, snapshot_message
from test_misuse import (
    BOOL_IS_INT,
    Make,
    candidate,
    follower,
    joint,
    leaderless,
    leading,
    leasing,
    lone,
    reading,
    removed,
    told,
    transferring,
    unchanged,
    with_snapshot,
    with_unapplied_change,
)

from pyraft import (
    CampaignRefusal,
    ConfChangeError,
    MisuseError,
    NullLogger,
    ReadDroppedError,
    ReadDropReason,
    SnapshotStatus,
    TransferRefusal,
)
from raftpb.codec import encode_conf_change
from raftpb.confchange import ConfChange, ConfChangeV2, parse_changes
from raftpb.enums import (
    ADD_LEARNER_NODE,
    ENTRY_CONF_CHANGE,
    ENTRY_NORMAL,
    MSG_APP_RESP,
    MSG_PROP,
    MSG_STORAGE_APPEND_RESP,
    MSG_STORAGE_APPLY_RESP,
    REMOVE_NODE,
    TRANSITION_JOINT_EXPLICIT,
)
from raftpb.message import (
    LOCAL_APPEND_THREAD,
    LOCAL_APPLY_THREAD,
    ConfState,
    Entry,
    HardState,
    Message,
    Snapshot,
    SnapshotMetadata,
)


@pytest.mark.parametrize(
    ("make", "asked", "text"),
    [
        pytest.param(lone, ConfChange(REMOVE_NODE, 1), "removed all voters", id="no voter left"),
        pytest.param(leading, None, "can't leave a non-joint config", id="leave when not joint"),
        pytest.param(leading, change("v5 v6 r1 r2 r3 r5 r6"), "removed all voters", id="no voter left, jointly"),
        pytest.param(joint, change("v9"), "in joint config", id="a simple change when joint"),
        pytest.param(joint, change("v8 v9"), "already joint", id="a joint change when joint"),
    ],
)
def test_a_change_that_is_impossible_when_applied(make: Make, asked: Any, text: str) -> None:
    unchanged(make(), lambda made: made.raw.apply_conf_change(asked), ConfChangeError, text)


def test_a_change_that_a_snapshot_brings_already_is_not_applied_on_top_of_it() -> None:
    """It was handed out before the snapshot came; the storage thread that applies it is slow."""
    made = host(async_storage_writes=True)
    added = Entry(ENTRY_CONF_CHANGE, 1, 1, encode_conf_change(ConfChange(ADD_LEARNER_NODE, 4)))
    made.raw.step(append(1, entries=[added], commit=1))
    made.begin()
    made.append()
    made.begin()
    work = made.apply_work.popleft()
    members = ConfState((1, 2, 3))
    made.raw.step(snapshot_message(1, Snapshot(b"", SnapshotMetadata(members, 9, 1))))
    of_the_entry = ConfState((1, 2, 3), (4,))
    assert made.raw.apply_conf_change(ConfChange(ADD_LEARNER_NODE, 4)) == of_the_entry, "what belongs to its index"
    with pytest.raises(ConfChangeError):
        made.raw.apply_conf_change(ConfChangeV2(parse_changes("r1 r2 r3"), TRANSITION_JOINT_EXPLICIT))
    assert made.raw.status().config.conf_state() == members
    made.raw.step_storage(work.responses[0])
    made.settle()
    assert made.raw.status().config.conf_state() == members
    assert made.raw.basic_status().applied == 9


# -- reads


@pytest.mark.parametrize(
    ("context", "error", "text"),
    [
        pytest.param("text", TypeError, told(r"^context is str; expected bytes$"), id="text"),
        pytest.param(None, TypeError, told(r"^context is NoneType; expected bytes$"), id="None"),
        pytest.param(bytearray(b"x"), TypeError, told(r"^context is bytearray; expected bytes$"), id="what can change"),
        pytest.param(b"", ValueError, r"^context has 0 bytes; expected between 1 and 256$", id="empty"),
        pytest.param(bytes(257), ValueError, r"^context has 257 bytes; expected between 1 and 256$", id="too long"),
    ],
)
def test_read_index(context: Any, error: type[Exception], text: str | None) -> None:
    unchanged(leading(), lambda made: made.raw.read_index(context), error, text)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(leaderless, ReadDropReason.NO_LEADER, id="no leader"),
        pytest.param(candidate, ReadDropReason.CAMPAIGNING, id="candidate"),
        pytest.param(reading, ReadDropReason.TOO_MANY, id="too many"),
    ],
)
def test_a_read_that_cannot_leave_says_why(make: Make, reason: ReadDropReason) -> None:
    error = unchanged(make(), lambda made: made.raw.read_index(bytes(256)), ReadDroppedError, reason.value)
    assert isinstance(error, ReadDroppedError)
    assert error.reason is reason


# -- leadership


@pytest.mark.parametrize(
    ("make", "target", "refusal"),
    [
        pytest.param(leading, 0, TransferRefusal.UNKNOWN, id="nobody"),
        pytest.param(leading, -1, TransferRefusal.UNKNOWN, id="a storage thread"),
        pytest.param(leading, 2**63, TransferRefusal.UNKNOWN, id="an id too large"),
        pytest.param(leading, 9, TransferRefusal.UNKNOWN, id="a stranger"),
        pytest.param(leading, 4, TransferRefusal.LEARNER, id="a learner"),
        pytest.param(leading, 1, TransferRefusal.SELF, id="itself"),
        pytest.param(transferring, 2, TransferRefusal.IN_PROGRESS, id="the same again"),
        pytest.param(leaderless, 2, TransferRefusal.NO_LEADER, id="no leader"),
        pytest.param(candidate, 2, TransferRefusal.CAMPAIGNING, id="candidate"),
    ],
)
def test_a_transfer_that_is_not_started_says_why(make: Make, target: int, refusal: TransferRefusal) -> None:
    made = make()
    before = made.raw.export_state()
    assert made.raw.transfer_leader(target) is refusal
    assert made.raw.export_state() == before


@pytest.mark.parametrize("target", [2.5, pytest.param(True, marks=BOOL_IS_INT), "2", None], ids=repr)
@pytest.mark.parametrize(
    "make", [leading, leaderless, follower, candidate], ids=["leader", "leaderless", "follower", "candidate"]
)
def test_a_transfer_to_what_is_no_id(make: Make, target: Any) -> None:
    """A follower would put it into a message."""
    unchanged(
        make(), lambda made: made.raw.transfer_leader(target), TypeError, told(rf"^id is {target!r}; expected the id")
    )


@pytest.mark.parametrize("make", [leading, follower, transferring], ids=["started", "passed on", "another instead"])
def test_a_transfer_that_is_started_or_passed_on_says_nothing(make: Make) -> None:
    made = make()
    assert made.raw.transfer_leader(3) is None
    assert made.settle() != []


@pytest.mark.parametrize(
    ("make", "refusal"),
    [
        pytest.param(leading, CampaignRefusal.ALREADY_LEADER, id="leader"),
        pytest.param(lambda: host(voters=(2, 3), learners=(1,)), CampaignRefusal.NOT_A_VOTER, id="learner"),
        pytest.param(lambda: host(voters=(2, 3)), CampaignRefusal.NOT_A_VOTER, id="removed"),
        pytest.param(lambda: host(conf_state=ConfState()), CampaignRefusal.NOT_A_VOTER, id="not yet told of anybody"),
        pytest.param(with_unapplied_change, CampaignRefusal.UNAPPLIED_CONF_CHANGE, id="change not applied"),
        pytest.param(with_snapshot, CampaignRefusal.SNAPSHOT_PENDING, id="snapshot not written"),
        pytest.param(leasing, CampaignRefusal.LEASE_MAY_RUN, id="a lease of before the start"),
    ],
)
def test_a_campaign_that_is_refused_says_why(make: Make, refusal: CampaignRefusal) -> None:
    made = make()
    before = made.raw.export_state()
    assert made.raw.campaign() is refusal
    assert made.raw.export_state() == before


def test_a_campaign_that_begins_says_nothing() -> None:
    made = follower()
    assert made.raw.campaign() is None
    assert made.raw.has_ready()


def test_leases_do_not_bear_forgetting_the_leader() -> None:
    unchanged(
        leasing(),
        lambda made: made.raw.forget_leader(),
        MisuseError,
        r"^forget_leader\(\) would break the leases that ReadOnlyLeaseBased relies on$",
    )


@pytest.mark.parametrize("make", [leading, candidate, leaderless])
def test_only_a_follower_has_a_leader_to_forget(make: Make) -> None:
    made = make()
    before = made.raw.export_state()
    made.raw.forget_leader()
    assert made.raw.export_state() == before


# -- news from the transport


class Listener(NullLogger):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def debug(self, msg: str, /, *args: object) -> None:
        self.heard.append(msg % args)


@pytest.mark.parametrize("id", [0, -1, 9, 2**63, 10**30])
@pytest.mark.parametrize("make", [leading, host])
def test_news_about_a_stranger_are_ignored(make: Callable[..., Host], id: int) -> None:
    listener = Listener()
    made = make(logger=listener)
    listener.heard.clear()
    before = made.raw.export_state()
    made.raw.report_unreachable(id)
    made.raw.report_snapshot(id, SnapshotStatus.SnapshotFailure)
    assert made.raw.export_state() == before
    assert listener.heard == [
        f"1: nothing to note about {id} being unreachable",
        f"1: nothing to note about a snapshot to {id}",
    ]


def test_news_reach_nobody_but_a_leader() -> None:
    listener = Listener()
    made = host(logger=listener)
    made.raw.report_unreachable(2)
    made.raw.report_snapshot(2, SnapshotStatus.SnapshotFinish)
    assert len(listener.heard) == 2


@pytest.mark.parametrize("id", ["2", None, 2.0, pytest.param(True, marks=BOOL_IS_INT)], ids=repr)
def test_news_are_about_a_node(id: Any) -> None:
    text = told(rf"^id is {id!r}; expected the id of a node$")
    unchanged(leading(), lambda made: made.raw.report_unreachable(id), TypeError, text)
    unchanged(leading(), lambda made: made.raw.report_snapshot(id, SnapshotStatus.SnapshotFinish), TypeError, text)


@pytest.mark.parametrize("status", [1, 2, None, "SnapshotFinish", False], ids=repr)
def test_a_snapshot_was_sent_or_not(status: Any) -> None:
    unchanged(
        leading(),
        lambda made: made.raw.report_snapshot(2, status),
        TypeError,
        told(rf"^status is {status!r}; expected a SnapshotStatus$"),
    )


# -- the Ready loop


def test_a_second_ready_waits_for_advance() -> None:
    made = leading()
    made.raw.ready()
    unchanged(made, lambda made: made.raw.ready(), MisuseError, r"^advance\(\) the previous Ready first$")
    made.raw.advance()
    made.raw.ready()


def test_advance_needs_a_ready() -> None:
    made = leading()
    text = r"^advance\(\) without a Ready; call ready\(\) first$"
    unchanged(made, lambda made: made.raw.advance(), MisuseError, text)
    made.raw.ready()
    made.raw.advance()
    unchanged(made, lambda made: made.raw.advance(), MisuseError, text)


def test_advance_has_no_place_beside_storage_threads() -> None:
    made = host(async_storage_writes=True)
    made.raw.ready()
    unchanged(
        made, lambda made: made.raw.advance(), MisuseError, r"^advance\(\) has no meaning with async_storage_writes"
    )
    made.raw.ready()


def test_storage_threads_need_their_mode() -> None:
    answer = Message(MSG_STORAGE_APPLY_RESP, 1, LOCAL_APPLY_THREAD)
    unchanged(
        host(),
        lambda made: made.raw.step_storage(answer),
        MisuseError,
        r"^step_storage\(\) needs Config\.async_storage_writes; call advance\(\) instead$",
    )


@pytest.mark.parametrize("m", [None, b"bytes", 3, Entry(), HardState()], ids=repr)
def test_what_is_no_message_is_not_stepped(m: Any) -> None:
    made = host(async_storage_writes=True)
    unchanged(made, lambda made: made.raw.step(m), TypeError, told(r"^step\(\) takes a Message, not "))
    unchanged(made, lambda made: made.raw.step_storage(m), TypeError, told(r"^step_storage\(\) takes a Message, not "))


# -- answers of the storage threads


def writing() -> Host:
    """With asynchronous writes: entries 1 and 2 of term 1 are durable and applied, entry 3 is being written."""
    made = host(async_storage_writes=True)
    made.step(append(1, entries=[Entry(ENTRY_NORMAL, 1, 1), Entry(ENTRY_NORMAL, 1, 2)], commit=2))
    made.raw.step(append(1, (1, 2), [Entry(ENTRY_NORMAL, 1, 3)], commit=2))
    made.begin()
    return made


def written(term: int, log_term: int, index: int, snapshot: int = 0) -> Message:
    given = Snapshot(b"", SnapshotMetadata(ConfState((1,)), snapshot, 1)) if snapshot else None
    return Message(MSG_STORAGE_APPEND_RESP, 1, LOCAL_APPEND_THREAD, term, log_term, index, snapshot=given)


def applied(*indexes: int) -> Message:
    entries = [Entry(ENTRY_NORMAL, 1, index) for index in indexes]
    return Message(MSG_STORAGE_APPLY_RESP, 1, LOCAL_APPLY_THREAD, entries=entries)


@pytest.mark.parametrize(
    ("answer", "counted"),
    [
        pytest.param(written(1, 1, 2), 0, id="a write again"),
        pytest.param(written(1, 1, 1), 0, id="an older write"),
        pytest.param(written(1, 2, 3), 0, id="a write that was replaced"),
        pytest.param(written(0, 1, 3), 0, id="a write of an earlier term"),
        pytest.param(written(2, 1, 3), 1, id="a write of a term to come"),
        pytest.param(written(1, 1, 9), 0, id="a write that was never handed out"),
        pytest.param(written(1, 0, 0), 0, id="a write of nothing"),
        pytest.param(written(1, 0, 0, snapshot=9), 1, id="a snapshot that was never handed out"),
        pytest.param(applied(1, 2), 0, id="entries applied again"),
        pytest.param(applied(3), 1, id="entries applied that were never handed out"),
        pytest.param(applied(), 0, id="nothing applied"),
    ],
)
def test_answers_about_other_work_are_ignored(answer: Message, counted: int) -> None:
    made = writing()
    before = made.raw.export_state()
    made.raw.step_storage(answer)
    after = made.raw.export_state()
    assert after.anomalies.ignored_storage_answers == counted
    before.anomalies.ignored_storage_answers = counted
    assert after == before


def test_the_answer_about_this_work_counts() -> None:
    made = writing()
    made.raw.step_storage(written(1, 1, 3))
    assert made.raw.export_state().offset == 4


# -- what is not misuse


@pytest.mark.parametrize("make", [leaderless, follower, candidate, leading, removed, joint])
def test_a_status_never_fails(make: Make) -> None:
    made = make()
    assert made.raw.status().id == made.raw.basic_status().id == 1


def test_an_empty_ready_is_a_ready() -> None:
    made = host()
    assert made.raw.ready().is_empty()
    made.raw.advance()


def test_a_learner_may_be_proposed_with_either_form() -> None:
    for asked in (ConfChange(ADD_LEARNER_NODE, 9), change("l9")):
        made = leading()
        made.raw.propose_conf_change(asked)
        assert made.take().refused_conf_changes == ()


def test_messages_are_left_alone() -> None:
    """The same value may be stepped on two nodes."""
    one, other = host(), host()
    m = append(1, entries=[Entry(ENTRY_NORMAL, 1, 1)])
    assert one.step(m) == other.step(m) == [Message(MSG_APP_RESP, 2, 1, 1, 0, 1)]
    assert m == append(1, entries=[Entry(ENTRY_NORMAL, 1, 1)])
    passed_on = follower()
    given = Message(MSG_PROP, 1, 3, entries=[Entry(data=b"x")])
    passed_on.step(given)
    assert given == Message(MSG_PROP, 1, 3, entries=[Entry(data=b"x")])
