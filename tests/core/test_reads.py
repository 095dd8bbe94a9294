"""Linearizable reads: on the leader by a quorum or a lease, through a follower, put off, given up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from harness import (
    Cluster,
    Host,
    acked,
    beat_back,
    change,
    elect,
    follow,
    heartbeat,
    host,
    leader,
    of_type,
    only,
)
from hypothesis import given
from hypothesis import strategies as st

from pyraft import AbortedRead, ReadDroppedError, ReadDropReason, ReadOnlyOption, ReadState, Role
from raftpb.codec import encode_conf_change_v2
from raftpb.enums import (
    ENTRY_CONF_CHANGE_V2,
    MSG_APP,
    MSG_HEARTBEAT,
    MSG_READ_INDEX,
    MSG_READ_INDEX_RESP,
    ConfChangeTransition,
)
from raftpb.message import ConfState, Entry, Message

LEASE_BASED = ReadOnlyOption.ReadOnlyLeaseBased
ROLE_CHANGED = ReadDropReason.ROLE_CHANGED


def position(number: int) -> bytes:
    return number.to_bytes(8, "little")


def ready_leader(**knobs: Any) -> Host:
    """A leader that has committed an entry of its term."""
    node = leader(**knobs)
    follow(node, *[id for id in (2, 3) if id in node.raw.status().config.voter_ids()])
    return node


def asked(context: bytes = b"r", from_: int = 2, to: int = 1) -> Message:
    """A read that a follower passes on."""
    return Message(MSG_READ_INDEX, to, from_, entries=[Entry(data=context)])


def contexts(messages: Sequence[Message]) -> list[tuple[int, bytes]]:
    return [(m.to, m.context) for m in of_type(messages, MSG_HEARTBEAT)]


# On the leader, by a quorum


def test_a_read_is_answered_when_a_quorum_has_confirmed_the_leadership() -> None:
    node = ready_leader(learners=(4,))
    node.raw.read_index(b"r")
    assert contexts(node.settle()) == [(2, position(1)), (3, position(1)), (4, position(1))]
    assert node.read_states == []
    assert node.raw.basic_status().pending_reads == 1
    node.step(beat_back(1, position(1)))
    assert node.read_states == [ReadState(1, b"r")]
    assert node.raw.basic_status().pending_reads == 0


def test_a_read_is_no_earlier_than_the_commit_index_when_it_was_asked() -> None:
    node = ready_leader()
    node.raw.read_index(b"r")
    node.raw.propose(b"x")
    node.settle()
    node.step(acked(2, 1))
    assert node.commit == 2
    node.step(beat_back(1, position(1)))
    assert node.read_states == [ReadState(1, b"r")]


def test_a_read_is_no_earlier_than_what_is_committed_and_not_applied_yet() -> None:
    node = ready_leader()
    node.raw.propose(b"x")
    node.settle()
    node.raw.step(acked(2, 1))
    assert (node.commit, node.raw.basic_status().applied) == (2, 1)
    node.raw.read_index(b"r")
    node.step(beat_back(1, position(1)))
    assert node.read_states == [ReadState(2, b"r")]


def test_a_confirmation_holds_for_all_reads_before_it() -> None:
    """Reads are numbered; what was lost on the way needs no repetition."""
    node = ready_leader()
    for context in (b"a", b"b", b"c"):
        node.raw.read_index(context)
        node.settle()
    node.step(beat_back(1, position(2)))
    assert [state.context for state in node.read_states] == [b"a", b"b"]
    node.step(beat_back(1, position(1)), beat_back(1, position(2)))
    assert node.raw.basic_status().pending_reads == 1
    node.step(beat_back(1, position(3), from_=3))
    assert [state.context for state in node.read_states] == [b"a", b"b", b"c"]


def test_a_context_may_be_repeated() -> None:
    """As in the reference since 3.7: it is another read, and an earlier confirmation does not answer it."""
    node = ready_leader()
    node.raw.read_index(b"r")
    node.settle()
    node.step(beat_back(1, position(1)))
    node.raw.propose(b"x")
    node.settle()
    node.step(acked(2, 1))
    node.raw.read_index(b"r")
    node.settle()
    node.step(beat_back(1, position(1), from_=3))
    assert node.read_states == [ReadState(1, b"r")]
    node.step(beat_back(1, position(2), from_=3))
    assert node.read_states == [ReadState(1, b"r"), ReadState(2, b"r")]


def test_a_quorum_of_five_is_three() -> None:
    node = leader(voters=(1, 2, 3, 4, 5))
    follow(node, 2, 3)
    node.raw.read_index(b"r")
    node.settle()
    node.step(beat_back(1, position(1)), beat_back(1, position(1)))
    assert node.read_states == []
    node.step(beat_back(1, position(1), from_=5))
    assert len(node.read_states) == 1


def test_learners_confirm_nothing() -> None:
    node = leader(voters=(1, 2, 3), learners=(4, 5))
    follow(node, 2)
    node.raw.read_index(b"r")
    node.settle()
    node.step(beat_back(1, position(1), from_=4), beat_back(1, position(1), from_=5))
    assert node.read_states == []


def test_a_joint_configuration_confirms_with_both_halves() -> None:
    node = leader(conf_state=ConfState((1, 2, 3), (), (1, 4, 5)))
    follow(node, 2, 4)
    node.raw.read_index(b"r")
    node.settle()
    node.step(beat_back(1, position(1), from_=2), beat_back(1, position(1), from_=3))
    assert node.read_states == []
    node.step(beat_back(1, position(1), from_=5))
    assert len(node.read_states) == 1


def test_every_heartbeat_carries_the_latest_position_while_reads_wait() -> None:
    """So that a lost heartbeat loses no read."""
    node = ready_leader()
    assert contexts(node.tick()) == [(2, b""), (3, b"")]
    node.raw.read_index(b"a")
    node.raw.read_index(b"b")
    node.settle()
    assert contexts(node.tick()) == [(2, position(2)), (3, position(2))]
    node.step(beat_back(1, position(2)))
    assert len(node.read_states) == 2
    assert contexts(node.tick()) == [(2, b""), (3, b"")]


def test_heartbeat_answers_without_a_position_confirm_nothing() -> None:
    node = ready_leader()
    node.raw.read_index(b"r")
    node.settle()
    node.step(beat_back(1), beat_back(1, from_=3))
    assert node.read_states == []


def test_an_answer_follows_the_append_of_the_same_heartbeat_answer() -> None:
    node = ready_leader()
    node.raw.propose(b"x")
    node.settle()
    node.step(asked())
    sent = node.step(beat_back(1, position(1)))
    assert [(m.type, m.to) for m in sent] == [(MSG_APP, 2), (MSG_READ_INDEX_RESP, 2)]


@given(data=st.data())
def test_reads_are_answered_once_in_order_and_never_early(data: st.DataObject) -> None:
    """Against a plain model: a read is answered when two of three have confirmed its number."""
    node = ready_leader()
    reads = 0
    confirmed = {2: 0, 3: 0}
    for _ in range(data.draw(st.integers(1, 15))):
        if data.draw(st.booleans()):
            reads += 1
            node.raw.read_index(b"%d" % reads)
            node.settle()
        elif reads:
            from_ = data.draw(st.sampled_from([2, 3]))
            number = data.draw(st.integers(0, reads))
            confirmed[from_] = max(confirmed[from_], number)
            node.step(beat_back(1, position(number), from_=from_))
        assert [state.context for state in node.read_states] == [
            b"%d" % number for number in range(1, max(confirmed.values()) + 1)
        ]


# Before the first commit of the term


def test_reads_wait_for_the_first_commit_of_the_term() -> None:
    """Only then does a leader know what is committed."""
    node = leader((1, 1), commit=1)
    node.raw.read_index(b"a")
    node.step(asked(b"b", 3))
    assert contexts(node.tick()) == [(2, b""), (3, b"")]
    assert node.raw.basic_status().pending_reads == 2
    assert not node.raw.basic_status().committed_in_term
    sent = node.step(acked(3, 2))
    assert contexts(sent) == [(2, position(1)), (3, position(1)), (2, position(2)), (3, position(2))]
    assert sent.index(of_type(sent, MSG_APP)[0]) > sent.index(of_type(sent, MSG_HEARTBEAT)[-1])
    sent = node.step(beat_back(2, position(2)))
    assert node.read_states == [ReadState(3, b"a")]
    answer = only(of_type(sent, MSG_READ_INDEX_RESP))
    assert (answer.to, answer.index, answer.entries) == (3, 3, [Entry(data=b"b")])


def test_reads_that_wait_for_it_are_answered_by_a_lease_at_once() -> None:
    node = leader((1,), read_only_option=LEASE_BASED, bounded_lease=False, lease_survives_restart=False)
    node.raw.read_index(b"r")
    assert node.read_states == []
    node.step(acked(2, 2))
    assert node.read_states == [ReadState(2, b"r")]


# By a lease


def test_a_lease_answers_at_once() -> None:
    node = ready_leader(read_only_option=LEASE_BASED, bounded_lease=False, lease_survives_restart=False)
    node.raw.read_index(b"r")
    assert node.settle() == []
    assert node.read_states == [ReadState(1, b"r")]
    answer = only(node.step(asked()))
    assert (answer.type, answer.to, answer.index, answer.term) == (MSG_READ_INDEX_RESP, 2, 1, 1)


# Through a follower


def test_a_follower_passes_a_read_on_and_hands_out_the_answer() -> None:
    cluster = Cluster()
    cluster.elect(1)
    cluster.propose(1, b"x")
    cluster[2].raw.read_index(b"r")
    cluster.settle()
    assert cluster[2].read_states == [ReadState(2, b"r")]
    assert cluster[1].read_states == []


def test_what_a_follower_passes_on_carries_no_term() -> None:
    node = host(term=3)
    node.step(heartbeat(3))
    node.raw.read_index(b"r")
    m = only(node.settle())
    assert m == Message(MSG_READ_INDEX, 2, 1, entries=[Entry(data=b"r")])
    assert only(node.step(asked(from_=3))) == Message(MSG_READ_INDEX, 2, 3, entries=[Entry(data=b"r")])


def test_a_follower_that_asks_twice_is_answered_twice() -> None:
    node = host(term=3)
    node.step(heartbeat(3))
    node.raw.read_index(b"r")
    node.raw.read_index(b"r")
    node.settle()
    answer = Message(MSG_READ_INDEX_RESP, 1, 2, 3, index=0, entries=[Entry(data=b"r")])
    node.step(answer, answer, answer)
    assert len(node.read_states) == 2
    assert node.raw.status().anomalies.ignored_read_answers == 1


def test_an_answer_that_arrives_when_no_leader_is_known_is_good() -> None:
    """It was given by the leader of this term."""
    node = host(term=3)
    node.step(heartbeat(3))
    node.raw.read_index(b"r")
    node.settle()
    node.raw.forget_leader()
    node.step(Message(MSG_READ_INDEX_RESP, 1, 2, 3, index=0, entries=[Entry(data=b"r")]))
    assert node.read_states == [ReadState(0, b"r")]


# What is dropped


def _campaigning() -> Host:
    node = host()
    node.raw.campaign()
    return node


def _candidate() -> Host:
    node = host(pre_vote=False)
    node.raw.campaign()
    return node


def _full() -> Host:
    node = ready_leader(max_pending_reads=2)
    node.raw.read_index(b"1")
    node.raw.read_index(b"2")
    return node


def _full_of_postponed() -> Host:
    node = leader(max_pending_reads=1)
    node.raw.read_index(b"1")
    return node


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        pytest.param(host(), ReadDropReason.NO_LEADER, id="no leader"),
        pytest.param(_campaigning(), ReadDropReason.CAMPAIGNING, id="pre-candidate"),
        pytest.param(_candidate(), ReadDropReason.CAMPAIGNING, id="candidate"),
        pytest.param(_full(), ReadDropReason.TOO_MANY, id="too many"),
        pytest.param(_full_of_postponed(), ReadDropReason.TOO_MANY, id="too many that wait for a commit"),
    ],
)
def test_a_read_that_cannot_leave_is_refused(node: Host, reason: ReadDropReason) -> None:
    before = node.raw.export_state()
    with pytest.raises(ReadDroppedError) as caught:
        node.raw.read_index(b"r")
    assert caught.value.reason is reason
    assert node.raw.export_state() == before
    node.raw.step(asked())
    assert node.raw.status().anomalies.dropped_reads == 1


def test_without_a_limit_any_number_may_wait() -> None:
    node = ready_leader(max_pending_reads=0)
    for number in range(300):
        node.raw.read_index(b"%d" % number)
    assert node.raw.basic_status().pending_reads == 300


# What is given up


def test_reads_of_a_deposed_leader_are_aborted() -> None:
    node = ready_leader()
    node.raw.read_index(b"own")
    node.raw.step(asked())
    node.raw.step(heartbeat(9))
    node.settle()
    assert node.aborted_reads == [AbortedRead(b"own", ROLE_CHANGED)]
    assert node.read_states == []
    assert node.raw.basic_status().pending_reads == 0


def test_reads_that_a_quorum_never_confirms_are_aborted_with_the_leadership() -> None:
    node = ready_leader()
    node.tick(9)
    node.raw.read_index(b"r")
    node.tick(11)
    assert node.role is not Role.StateLeader
    assert node.aborted_reads == [AbortedRead(b"r", ROLE_CHANGED)]


def test_an_aborted_read_alone_is_no_reason_for_a_ready() -> None:
    """What aborts it is one; as in the reference, which does not tell of it."""
    node = host()
    told = AbortedRead(b"r", ROLE_CHANGED)
    node = Host(node.config, replace(node.raw.export_state(), aborted_reads=(told,)))
    assert not node.raw.has_ready()
    node.raw.campaign()
    assert node.raw.ready().aborted_reads == (told,)
    node.raw.advance()
    assert node.raw.ready().aborted_reads == ()


def test_numbers_start_anew_with_each_leadership() -> None:
    """A confirmation of the earlier one, in another term, confirms nothing."""
    node = ready_leader()
    node.raw.read_index(b"a")
    node.settle()
    node.step(heartbeat(2))
    node.raw.forget_leader()
    elect(node)
    follow(node, 2, 3)
    node.raw.read_index(b"b")
    assert contexts(node.settle()) == [(2, position(1)), (3, position(1))]
    node.step(beat_back(1, position(1)))
    assert node.read_states == []
    node.step(beat_back(3, position(1)))
    assert [state.context for state in node.read_states] == [b"b"]


def test_released_reads_that_were_not_handed_out_yet_survive_a_deposition() -> None:
    """They were confirmed in time."""
    node = ready_leader()
    node.raw.read_index(b"r")
    node.settle()
    node.raw.step(beat_back(1, position(1)))
    node.raw.step(heartbeat(9))
    assert node.raw.ready().read_states == (ReadState(1, b"r"),)


# Lone voters


def test_a_lone_voter_answers_without_asking() -> None:
    node = leader(voters=(1,), learners=(2,))
    node.settle()
    node.raw.read_index(b"r")
    node.settle()
    assert node.read_states == [ReadState(1, b"r")]


@pytest.mark.parametrize("learners", [(), (2,)], ids=["alone", "with a learner that is down"])
def test_a_lone_voter_s_lease_takes_no_memory(learners: tuple[int, ...]) -> None:
    """Nobody answers its heartbeats, and nothing waits for that."""
    node = leader(
        voters=(1,),
        learners=learners,
        read_only_option=LEASE_BASED,
        lease_survives_restart=False,
        max_pending_reads=10,
    )
    node.tick(100)
    assert node.raw.export_state().reads_pending == ()
    node.raw.read_index(b"r")
    node.settle()
    assert node.read_states == [ReadState(1, b"r")]


def test_a_removed_leader_asks_the_one_voter_that_is_left() -> None:
    node = ready_leader(voters=(1, 2), step_down_on_removal=False)
    node.raw.propose_conf_change(change("r1"))
    node.settle()
    node.step(acked(2, 1))
    assert node.raw.status().config.voters == (2,)
    node.raw.read_index(b"r")
    node.settle()
    assert node.read_states == []
    node.step(beat_back(1, position(1)))
    assert node.read_states == [ReadState(2, b"r")]


def test_a_change_of_the_quorum_does_not_answer_what_nobody_has_confirmed() -> None:
    """The next heartbeat answer does."""
    node = leader(voters=(1, 2, 3))
    follow(node, 2)
    node.raw.propose_conf_change(change("r3"))
    node.raw.propose(b"x")
    node.settle()
    node.raw.read_index(b"r")
    node.settle()
    node.step(acked(3, 1))
    assert node.raw.status().config.voters == (1, 2)
    assert node.read_states == []
    node.step(beat_back(1, position(1)))
    assert len(node.read_states) == 1


# Scenarios


def test_a_leader_that_was_replaced_unawares_serves_no_read() -> None:
    cluster = Cluster(check_quorum=False, pre_vote=False)
    cluster.elect(1)
    cluster.propose(1, b"old")
    cluster.isolate(1)
    cluster.elect(2)
    cluster.propose(2, b"new")
    cluster[1].raw.read_index(b"stale")
    cluster.tick(5)
    assert cluster[1].role is Role.StateLeader
    assert cluster[1].read_states == []
    cluster.heal()
    cluster[2].raw.read_index(b"fresh")
    cluster.tick(5)
    assert cluster[1].read_states == []
    assert cluster[1].aborted_reads == [AbortedRead(b"stale", ROLE_CHANGED)]
    assert cluster[2].read_states[0].index == cluster[2].commit


@pytest.mark.parametrize("async_storage_writes", [False, True], ids=["sync", "async"])
def test_reads_from_everywhere(async_storage_writes: bool) -> None:
    cluster = Cluster((1, 2, 3), (4,), async_storage_writes=async_storage_writes)
    cluster.elect(2)
    for id in cluster.hosts:
        cluster[id].raw.read_index(b"of %d" % id)
        cluster.propose(2, b"x")
    cluster.tick(2)
    assert {id: [state.context for state in each.read_states] for id, each in cluster.hosts.items()} == {
        id: [b"of %d" % id] for id in cluster.hosts
    }


# The quorum shrinks while a read waits


def _removing_2(**knobs: Any) -> Host:
    """A leader of two voters that has proposed the removal of 2, and was asked for a read."""
    node = leader(voters=(1, 2), **knobs)
    node.step(acked(node.last, node.term))
    node.raw.propose_conf_change(change("r2"))
    node.settle()
    node.raw.read_index(b"waits")
    node.settle()  # its heartbeat is lost
    return node


@pytest.mark.parametrize("on", [True, False])
def test_a_read_that_waits_is_answered_when_its_leader_is_the_only_voter_left(on: bool) -> None:
    node = _removing_2(recheck_reads=on)
    node.step(acked(node.last, node.term))
    assert node.raw.status().config.voters == (1,)
    assert [state.context for state in node.read_states] == ([b"waits"] if on else [])
    node.tick(100)
    assert node.raw.status().pending_reads == (0 if on else 1)


def test_a_read_is_answered_by_what_the_new_quorum_has_confirmed_before() -> None:
    """Of five voters two have confirmed it; of the three that are left they are a quorum."""
    node = leader(voters=(1, 2, 3, 4, 5))
    node.step(*[acked(node.last, node.term, from_=id) for id in (2, 3)])
    node.raw.propose_conf_change(change("r4 r5"))
    node.settle()
    node.raw.read_index(b"r")
    context = of_type(node.settle(), MSG_HEARTBEAT)[0].context
    node.step(beat_back(node.term, context, from_=2))
    assert node.read_states == []
    node.step(*[acked(node.last, node.term, from_=id) for id in (2, 3)])
    assert node.raw.status().config.is_joint(), "both halves have to confirm: nothing new"
    node.step(*[acked(node.last, node.term, from_=id) for id in (2, 3)])
    assert node.raw.status().config.voters == (1, 2, 3)
    assert [state.context for state in node.read_states] == [b"r"]


@pytest.mark.parametrize(
    ("steps_down", "on"),
    [
        pytest.param(True, True, id="steps down"),
        pytest.param(False, True, id="leads on"),
        pytest.param(False, False, id="leads on, as in the reference"),
    ],
)
def test_a_read_that_waits_when_its_leader_is_removed(steps_down: bool, on: bool) -> None:
    """Of five voters 2 alone is left, and has confirmed it before. A leader that steps down says that it will not be
    answered.
    """
    node = leader(voters=(1, 2, 3, 4, 5), step_down_on_removal=steps_down, recheck_reads=on)
    follow(node, 2, 3)
    for wanted in (change("r1 r3 r4 r5", ConfChangeTransition.ConfChangeTransitionJointExplicit), None):
        node.raw.propose_conf_change(wanted)
        node.settle()
        if wanted is not None:
            follow(node, 2, 3)
    node.raw.read_index(b"r")
    context = of_type(node.settle(), MSG_HEARTBEAT)[0].context
    node.step(beat_back(node.term, context))
    assert node.read_states == []
    commit = node.commit
    follow(node, 2, 3)
    assert node.raw.status().config.voters == (2,)
    assert node.read_states == ([] if steps_down or not on else [ReadState(commit, b"r")])
    assert node.aborted_reads == ([AbortedRead(b"r", ROLE_CHANGED)] if steps_down else [])
    assert node.raw.status().pending_reads == (0 if on else 1)


@pytest.mark.parametrize("on", [True, False], ids=["answered", "as in the reference"])
def test_a_forwarded_read_is_answered_to_who_asked_when_the_quorum_shrinks(on: bool) -> None:
    """2 asked, and its own answer to the heartbeat is lost. It hears although it is no member any more."""
    node = leader(voters=(1, 2), recheck_reads=on)
    node.step(acked(node.last, node.term))
    node.raw.propose_conf_change(change("r2"))
    node.settle()
    node.step(Message(MSG_READ_INDEX, 1, 2, entries=[Entry(data=b"r")]))
    answers = of_type(node.step(acked(node.last, node.term)), MSG_READ_INDEX_RESP)
    assert [(m.to, m.index, m.entries[0].data) for m in answers] == ([(2, 1, b"r")] if on else [])


def test_a_lease_is_renewed_by_what_the_new_quorum_has_answered() -> None:
    """Of four voters 1 and 2 have answered a round of heartbeats. Without 4, who is demoted, they are a quorum."""
    node = leader(voters=(1, 2, 3, 4), read_only_option=LEASE_BASED, lease_survives_restart=False)
    follow(node, 2, 3)
    node.raw.propose_conf_change(change("l4"))
    node.settle()
    context = of_type(node.tick(), MSG_HEARTBEAT)[0].context
    node.step(beat_back(node.term, context))
    node.raw.read_index(b"asks")
    node.settle()
    assert node.read_states == []
    follow(node, 2, 3)
    assert node.raw.status().config.voters == (1, 2, 3)
    node.raw.read_index(b"by lease")
    node.settle()
    assert [state.context for state in node.read_states] == [b"by lease"]


def test_a_read_that_was_postponed_is_taken_up_when_the_shrunk_quorum_commits() -> None:
    """The first commit of the term follows from the removal of who did not answer."""
    node = host((1, 1), voters=(1, 2), commit=1, pre_vote=False)
    node.storage.append([Entry(ENTRY_CONF_CHANGE_V2, 1, 3, encode_conf_change_v2(change("r2")))])
    node = node.restart()
    elect(node)
    node.step(acked(3, node.term))  # the removal, of an earlier term, and not this term's entry
    node.raw.read_index(b"postponed")
    assert node.settle() is not None
    assert node.read_states == []
    assert not node.raw.status().committed_in_term
    node.raw.apply_conf_change(change("r2"))
    node.settle()
    assert [state.context for state in node.read_states] == [b"postponed"]


def test_the_oldest_forwarded_read_makes_room_and_is_told() -> None:
    node = host((1,), max_pending_reads=2)
    node.step(heartbeat(1))
    for context in (b"first", b"second", b"third"):
        node.raw.read_index(context)
    node.settle()
    assert node.aborted_reads == [AbortedRead(b"first", ReadDropReason.TOO_MANY)]
