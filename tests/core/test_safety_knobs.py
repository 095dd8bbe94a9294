"""The knobs that make a node safer than the reference, each on and off: what goes wrong without it, and not with it."""

from __future__ import annotations

from typing import Any

import pytest
from harness import (
    Cluster,
    Host,
    acked,
    append,
    beat_back,
    elect,
    follow,
    heartbeat,
    host,
    leader,
    log_of,
    of_type,
    only,
    rejected,
    snapshot_message,
    vote_for,
    voted,
)

from pyraft import AbortedRead, CampaignRefusal, NullLogger, ReadDropReason, ReadOnlyOption, ReadState, Role
from raftpb.enums import (
    MSG_APP,
    MSG_APP_RESP,
    MSG_HEARTBEAT,
    MSG_READ_INDEX,
    MSG_STORAGE_APPEND,
    MSG_TIMEOUT_NOW,
    MSG_VOTE,
)
from raftpb.message import ConfState, Entry, Message, Snapshot, SnapshotMetadata

FOLLOWER, CANDIDATE, LEADER, PRE_CANDIDATE = (
    Role.StateFollower,
    Role.StateCandidate,
    Role.StateLeader,
    Role.StatePreCandidate,
)
LEASE_BASED = ReadOnlyOption.ReadOnlyLeaseBased
ON_OFF = pytest.mark.parametrize("on", [True, False], ids=["on", "off"])


def position(number: int) -> bytes:
    return number.to_bytes(8, "little")


# persist_before_vote_request: asynchronously, a request for votes waits until term and vote are durable


@ON_OFF
def test_persist_before_vote_request(on: bool) -> None:
    node = host(async_storage_writes=True, pre_vote=False, persist_before_vote_request=on)
    node.raw.campaign()
    ready = node.begin()
    requests = of_type(ready.messages, MSG_VOTE)
    held = of_type(only(of_type(ready.messages, MSG_STORAGE_APPEND)).responses, MSG_VOTE)
    assert [m.to for m in (held if on else requests)] == [2, 3]
    assert (requests if on else held) == []
    assert {m.term for m in requests + held} == {1}


@ON_OFF
def test_a_candidate_that_crashes_does_not_ask_twice_in_one_term(on: bool) -> None:
    """With another log the second time: the votes given to the first would elect the second."""
    knobs: dict[str, Any] = {"pre_vote": False, "check_quorum": False, "async_storage_writes": True}
    node = host((1,), persist_before_vote_request=on, **knobs)
    voter = host((1,), id=2, **knobs)
    entries = append(1, (1, 1), log_of([1, 1], 2), from_=3)
    node.raw.step(entries)
    node.begin()  # the write does not end before the crash
    entries.to = 2
    voter.step(entries)  # with node 3 it has committed them
    node.raw.campaign()
    sent = of_type(node.begin().messages, MSG_VOTE)
    answers = [answer for m in sent if m.to == 2 for answer in voter.step(m)]

    node = node.restart()
    assert (node.term, node.last) == (1, 1)
    node.raw.campaign()
    node.settle()
    for answer in answers:
        node.step(answer)
    assert (node.role is LEADER) is not on
    if on:
        assert answers == []
        assert only(voter.step(vote_for(2, (1, 1), from_=1, to=2))).reject
    else:
        assert node.last == 2  # committed entries are lost


def test_synchronously_requests_follow_the_write_anyway() -> None:
    node = host(pre_vote=False, persist_before_vote_request=True)
    node.raw.campaign()
    ready = node.raw.ready()
    assert ready.must_sync
    assert len(of_type(ready.messages, MSG_VOTE)) == 2


# lease_survives_restart: a lease granted before the start may still be running


def restarted(on: bool, **knobs: Any) -> Host:
    return host((1,), read_only_option=LEASE_BASED, lease_survives_restart=on, **knobs)


@ON_OFF
@pytest.mark.parametrize("pre", [False, True], ids=["vote", "pre-vote"])
def test_lease_survives_restart_no_vote_is_given(on: bool, pre: bool) -> None:
    node = restarted(on)
    node.tick(9)
    assert len(node.step(vote_for(2, (1, 1), pre=pre))) == (0 if on else 1)
    node.tick(1)
    assert not only(node.step(vote_for(3, (1, 1), from_=3, pre=pre))).reject


@ON_OFF
def test_lease_survives_restart_no_vote_is_asked_for(on: bool) -> None:
    node = restarted(on)
    assert node.raw.campaign() is (CampaignRefusal.LEASE_MAY_RUN if on else None)
    node = restarted(on)
    node.tick(10)
    assert node.raw.campaign() is None


def test_it_does_not_delay_an_election_that_is_called_for_by_the_leader() -> None:
    node = restarted(True)
    node.step(heartbeat(1))
    node.step(Message(MSG_TIMEOUT_NOW, 1, 2, 1))
    assert node.role is CANDIDATE
    node = restarted(True)
    assert not only(node.step(vote_for(2, (1, 1), b"CampaignTransfer"))).reject


def test_it_does_not_delay_the_first_election_by_itself() -> None:
    """No time-out is shorter than the lease."""
    node = restarted(True, election_tick=2, heartbeat_tick=1)
    node.time_out()
    assert node.role is PRE_CANDIDATE


def test_without_leases_there_is_nothing_to_survive() -> None:
    node = host((1,), lease_survives_restart=True)
    assert node.raw.campaign() is None


@ON_OFF
def test_a_follower_that_restarts_does_not_end_the_leader_s_lease(on: bool) -> None:
    """Otherwise two leaders answer reads, and one of them with an old index."""
    cluster = Cluster(read_only_option=LEASE_BASED, lease_survives_restart=on, pre_vote=False)
    for each in cluster.hosts.values():
        each.raw.tick(10)
    cluster.settle()
    cluster.tick(20)
    old = cluster.leader()
    cluster.tick(3)
    first, second = [id for id in (1, 2, 3) if id != old.id]
    cluster.isolate(old.id)
    node = cluster.restart(first)
    cluster.restart(second)
    node.raw.campaign()
    cluster.settle()
    assert (node.role is LEADER) is not on
    if not on:
        cluster.propose(first, b"new")
    old.raw.read_index(b"r")
    old.settle()
    stale = old.read_states[-1].index < max(each.commit for each in cluster.hosts.values())
    assert stale is not on


# lease_ends_with_transfer: the votes of the new leader ignore the lease


def transferring(on: bool) -> Host:
    node = leader(
        (1,),
        read_only_option=LEASE_BASED,
        bounded_lease=False,
        lease_survives_restart=False,
        lease_ends_with_transfer=on,
    )
    follow(node, 2, 3)
    node.raw.transfer_leader(2)
    node.settle()
    return node


@ON_OFF
def test_lease_ends_with_transfer(on: bool) -> None:
    node = transferring(on)
    node.raw.read_index(b"r")
    sent = node.settle()
    assert [m.context for m in of_type(sent, MSG_HEARTBEAT)] == ([position(1)] * 2 if on else [])
    assert len(node.read_states) == (0 if on else 1)
    if on:
        node.step(beat_back(2, position(1)))
        assert node.read_states == [ReadState(2, b"r")]


@ON_OFF
def test_it_stays_so_when_the_transfer_is_given_up(on: bool) -> None:
    """The invitation may still be on its way."""
    node = transferring(on)
    node.raw.transfer_leader(1)
    node.raw.read_index(b"r")
    node.settle()
    assert len(node.read_states) == (0 if on else 1)


def test_the_lease_of_the_next_term_is_a_new_one() -> None:
    node = transferring(True)
    node.step(heartbeat(3))
    for _ in range(10):
        node.raw.tick()
    elect(node)
    follow(node, 2, 3)
    node.raw.read_index(b"r")
    node.settle()
    assert len(node.read_states) == 1


def test_a_target_that_is_not_invited_yet_ends_no_lease() -> None:
    node = leader((1,), read_only_option=LEASE_BASED, bounded_lease=False, lease_survives_restart=False)
    node.step(acked(2, 2, from_=3))
    node.raw.transfer_leader(2)
    node.raw.read_index(b"r")
    node.settle()
    assert len(node.read_states) == 1


# single_voter_reads_need_commit: like any other leader, it first commits an entry of its term


@ON_OFF
def test_single_voter_reads_need_commit(on: bool) -> None:
    """It has acknowledged entry 2 before it crashed, but its commit index was not written."""
    node = host((1, 1), voters=(1,), commit=1, single_voter_reads_need_commit=on)
    assert node.raw.campaign() is None
    while node.role is not LEADER:
        node.take()
    assert node.commit == 1
    node.raw.read_index(b"r")
    node.settle()
    assert node.read_states == [ReadState(3 if on else 1, b"r")]


@ON_OFF
def test_a_lone_voter_among_learners_answers_those_it_is_asked_by(on: bool) -> None:
    node = leader(voters=(1,), learners=(2,), single_voter_reads_need_commit=on)
    node.settle()
    answer = only(node.step(Message(MSG_READ_INDEX, 1, 2, entries=[Entry(data=b"r")])))
    assert (answer.to, answer.index) == (2, 1)


# strict_pre_votes: a grant counts for the term that was asked about


@ON_OFF
def test_strict_pre_votes(on: bool) -> None:
    """Node 2 agreed to an election in term 2. There has been one since; what it thinks of term 3 is not known."""
    node = host((1,), strict_pre_votes=on)
    node.raw.campaign()
    node.settle()
    late = voted(2, pre=True)
    node.step(heartbeat(2, from_=3))
    node.raw.forget_leader()
    node.raw.campaign()
    node.settle()
    node.step(late)
    assert node.role is (PRE_CANDIDATE if on else CANDIDATE)


@ON_OFF
def test_a_timely_pre_vote_and_any_refusal_count_in_any_case(on: bool) -> None:
    node = host((1,), strict_pre_votes=on)
    node.raw.campaign()
    node.step(voted(2, pre=True))
    assert node.role is CANDIDATE
    node = host((1,), strict_pre_votes=on)
    node.raw.campaign()
    node.step(voted(1, True, pre=True), voted(1, True, from_=3, pre=True))
    assert node.role is FOLLOWER


# abort_reads_on_step_down: reads that wait for the first commit of a term end with it


@ON_OFF
def test_abort_reads_on_step_down(on: bool) -> None:
    node = leader((1,), abort_reads_on_step_down=on)
    node.raw.read_index(b"r")
    node.step(Message(MSG_READ_INDEX, 1, 2, entries=[Entry(data=b"of another")]))
    node.step(heartbeat(3))
    aborted = [AbortedRead(b"r", ReadDropReason.ROLE_CHANGED)]
    assert node.aborted_reads == (aborted if on else [])
    assert node.raw.basic_status().pending_reads == (0 if on else 2)
    node.raw.forget_leader()
    elect(node)
    follow(node, 2, 3)
    assert node.raw.basic_status().pending_reads == (0 if on else 2)
    if not on:
        node.step(beat_back(4, position(2)))
        assert node.read_states == [ReadState(node.commit, b"r")]


# pre_vote, check_quorum, step_down_on_removal: on by default, here; more beside their modules


@ON_OFF
def test_pre_vote(on: bool) -> None:
    node = host((1,), pre_vote=on)
    node.time_out()
    assert (node.role, node.term) == ((PRE_CANDIDATE, 1) if on else (CANDIDATE, 2))


@ON_OFF
def test_check_quorum(on: bool) -> None:
    node = leader(check_quorum=on)
    node.raw.tick(10)
    node.raw.tick(10)
    assert (node.role is LEADER) is not on


# A commit index that is not trusted


def test_a_wiped_node_does_not_commit_what_it_has_not() -> None:
    """It was acknowledged up to 3 under the same id; what it holds now may be anything."""
    node = host((1,), term=1)
    node.step(heartbeat(1, 3))
    assert node.commit == 0
    assert "ends at 1" in node.raw.status().log_loss_suspected
    node.step(heartbeat(1, 1))
    assert node.commit == 1
    assert node.raw.status().log_loss_suspected != ""


def test_a_wiped_node_is_of_no_use_until_another_leader_begins() -> None:
    """The present one takes it for complete; nothing is lost, and nothing is wrong, but for the promises it broke."""
    cluster = Cluster()
    cluster.elect(1)
    cluster.propose(1, b"a", b"b")
    cluster.join(3)
    cluster.propose(1, b"c")
    cluster.tick(20)
    assert cluster[3].raw.status().log_loss_suspected
    assert (cluster[3].commit, cluster[3].data()) == (0, [])
    cluster.elect(2)
    cluster.tick(2)
    assert cluster[3].data() == [b"a", b"b", b"c"]


@ON_OFF
def test_a_follower_that_refuses_what_it_acknowledged_is_not_hurried(on: bool) -> None:
    """It is sent to again at its next heartbeat answer; the reference sends at once, and is refused at once."""
    node = leader(retry_lost_acks_at_heartbeat=on)
    follow(node, 2)
    match = node.raw.status().progress[2].match
    node.raw.report_unreachable(2)
    sent = node.step(rejected(match, node.term, (0, 0)))
    assert [m.index for m in of_type(sent, MSG_APP)] == ([] if on else [match])
    assert node.raw.status().anomalies.retracted_acks == 1
    again = node.step(beat_back(node.term))
    assert [m.index for m in of_type(again, MSG_APP)] == [match]


STATE_AT_9 = Snapshot(b"", SnapshotMetadata(ConfState((1, 2, 3)), 9, 1))


# A node that lost its log, and a leader that sends again at once


def test_a_node_that_lost_its_log_refuses_once_a_heartbeat() -> None:
    """As Go's leader does: it answers each refusal with the same append, and the two would do nothing else."""
    node = host()
    node.step(heartbeat(1, commit=9))
    assert len(of_type(node.step(append(1, (1, 9))), MSG_APP_RESP)) == 1
    for _ in range(3):
        assert node.step(append(1, (1, 9))) == []
    node.step(heartbeat(1, commit=9))
    assert len(of_type(node.step(append(1, (1, 9))), MSG_APP_RESP)) == 1


def test_a_node_that_lost_its_log_says_so_once() -> None:
    class Listener(NullLogger):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def error(self, msg: str, /, *args: object) -> None:
            self.heard.append(msg % args)

    listener = Listener()
    node = host(logger=listener)
    for commit in (9, 9, 12):
        node.step(heartbeat(1, commit=commit))
    assert len(listener.heard) == 1
    assert "knows entry 12" in node.raw.status().log_loss_suspected, "the status tells the latest"
    node.step(append(1, (0, 0), log_of([1])))
    node.step(heartbeat(1, commit=12))
    assert len(listener.heard) == 2, "the logs had met, and entries are missing again"


@pytest.mark.parametrize("elapsed", [1, 5])
def test_a_node_that_lost_its_log_and_a_leader_that_answers_at_once_come_to_rest(elapsed: int) -> None:
    """A leader of the Go library sends again on each refusal, as one without `retry_lost_acks_at_heartbeat` does
    here.
    """
    leading = leader(retry_lost_acks_at_heartbeat=False, check_quorum=False)
    follow(leading, 2)
    leading.raw.report_unreachable(2)
    emptied = host(id=2, check_quorum=False)
    refusals = 0
    for _ in range(elapsed):
        mail = [m for m in leading.tick() if m.to == 2]
        for _ in range(100):
            answers = emptied.step(*mail)
            refusals += len([m for m in answers if m.reject])
            mail = [m for m in leading.step(*answers) if m.to == 2]
        assert mail == [], "no rest"
    assert emptied.raw.status().log_loss_suspected
    assert refusals == elapsed


@pytest.mark.parametrize(
    ("terms", "met"),
    [
        pytest.param((), append(1, (0, 0), log_of([1])), id="append"),
        pytest.param((), snapshot_message(1, STATE_AT_9), id="snapshot"),
        pytest.param((1,) * 9, snapshot_message(1, STATE_AT_9), id="snapshot of what is here"),
    ],
)
def test_once_the_logs_have_met_it_refuses_as_ever(terms: tuple[int, ...], met: Message) -> None:
    node = host(terms)
    node.step(heartbeat(1, commit=len(terms) + 9))
    node.step(append(1, (1, 99)))
    node.step(met)
    for _ in range(3):
        assert only(node.step(append(1, (1, 99)))).reject


def test_a_healthy_follower_refuses_as_often_as_it_is_asked() -> None:
    node = host((1,))
    node.step(heartbeat(1))
    for _ in range(3):
        assert only(node.step(append(1, (1, 9)))).reject
