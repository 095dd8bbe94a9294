"""Elections as scenarios: who campaigns, who votes, who wins, and what a lease keeps from happening."""

from __future__ import annotations

import pytest
from harness import (
    Cluster,
    Host,
    acked,
    append,
    beat_back,
    change,
    config_of,
    elect,
    grants,
    heartbeat,
    host,
    leader,
    log_of,
    of_type,
    only,
    snapshot_message,
    storage_of,
    vote_for,
    voted,
)
from hypothesis import given
from hypothesis import strategies as st

from pyraft import CampaignRefusal, InvariantError, MemoryStorage, Role
from pyraft.core import transitions
from pyraft.core.start import new_raft
from raftpb.codec import encode_conf_change_v2
from raftpb.enums import (
    ENTRY_CONF_CHANGE_V2,
    MSG_APP,
    MSG_PRE_VOTE,
    MSG_PRE_VOTE_RESP,
    MSG_TIMEOUT_NOW,
    MSG_VOTE,
    MSG_VOTE_RESP,
)
from raftpb.message import ConfState, Entry, Message, Snapshot, SnapshotMetadata

FOLLOWER, CANDIDATE, LEADER, PRE_CANDIDATE = (
    Role.StateFollower,
    Role.StateCandidate,
    Role.StateLeader,
    Role.StatePreCandidate,
)
FORCED = b"CampaignTransfer"
JOINT = ConfState((1, 2, 3), (), (1, 4, 5))


def _unapplied_change(kind: str = "l4") -> Host:
    """A follower that knows a membership change to be committed and has not applied it."""
    node = host((1,), commit=1)
    node.settle()
    wanted = Entry(ENTRY_CONF_CHANGE_V2, 1, 2, encode_conf_change_v2(change(kind)))
    node.raw.step(append(1, (1, 1), [wanted], commit=2))
    return node


def _pending_snapshot() -> Host:
    node = host((1,))
    snapshot = Snapshot(b"state", SnapshotMetadata(ConfState((1, 2, 3)), 5, 1))
    node.raw.step(snapshot_message(1, snapshot))
    return node


# Who campaigns


@pytest.mark.parametrize(
    ("node", "refusal"),
    [
        pytest.param(host(), None, id="voter"),
        pytest.param(host(conf_state=JOINT, id=4), None, id="outgoing voter"),
        pytest.param(host(conf_state=ConfState((2, 3), (), (1, 2), (1,))), None, id="voter that becomes a learner"),
        pytest.param(leader(), CampaignRefusal.ALREADY_LEADER, id="leader"),
        pytest.param(host(voters=(2, 3), learners=(1,)), CampaignRefusal.NOT_A_VOTER, id="learner"),
        pytest.param(host(voters=(2, 3)), CampaignRefusal.NOT_A_VOTER, id="stranger"),
        pytest.param(_pending_snapshot(), CampaignRefusal.SNAPSHOT_PENDING, id="snapshot pending"),
        pytest.param(_unapplied_change(), CampaignRefusal.UNAPPLIED_CONF_CHANGE, id="unapplied change"),
    ],
)
def test_who_may_campaign(node: Host, refusal: CampaignRefusal | None) -> None:
    before = node.raw.export_state()
    assert node.raw.campaign() is refusal
    if refusal is None:
        assert node.role is PRE_CANDIDATE
    else:
        assert node.raw.export_state() == before


def test_an_unapplied_change_is_found_in_any_page() -> None:
    """Whatever lies between what is applied and what is committed is looked through, a page at a time."""
    for position, page in ((0, 1), (1, 1), (4, 1), (4, 40), (4, 1000)):
        node = host((1,), commit=1, max_committed_size_per_ready=page)
        node.settle()
        entries = log_of([1] * 5, 2)
        entries[position] = Entry(ENTRY_CONF_CHANGE_V2, 1, 2 + position, encode_conf_change_v2(change("l4")))
        node.raw.step(append(1, (1, 1), entries, commit=6))
        assert node.raw.campaign() is CampaignRefusal.UNAPPLIED_CONF_CHANGE
        node.settle()
        assert node.raw.campaign() is None


def test_entries_that_are_gone_before_they_are_known_to_be_applied_hold_a_campaign_up() -> None:
    """The apply thread may take a snapshot and compact the log before its answer arrives."""
    node = host((1, 1, 1), commit=3, async_storage_writes=True)
    node.begin()
    node.storage.create_snapshot(3, ConfState((1, 2, 3)), b"state")
    node.storage.compact(3)
    assert node.raw.campaign() is CampaignRefusal.UNAPPLIED_CONF_CHANGE
    node.settle()
    assert node.raw.campaign() is None


def test_an_uncommitted_change_does_not_matter() -> None:
    node = _unapplied_change()
    node.settle()
    later = Entry(ENTRY_CONF_CHANGE_V2, 1, 3, encode_conf_change_v2(change("r3")))
    node.raw.step(append(1, (1, 2), [later], commit=2))
    assert node.raw.campaign() is None


@pytest.mark.parametrize(
    "node",
    [
        pytest.param(host(voters=(2, 3), learners=(1,)), id="learner"),
        pytest.param(_unapplied_change(), id="unapplied change"),
    ],
)
def test_who_may_not_campaign_does_not_when_time_is_up(node: Host) -> None:
    for _ in range(50):
        node.raw.tick()
        assert node.role is FOLLOWER


@given(election_tick=st.integers(2, 30), seed=st.integers(1, 1000))
def test_the_time_out_is_random_within_its_bounds(election_tick: int, seed: int) -> None:
    node = host(election_tick=election_tick, id=seed, voters=(seed, 1001))
    timeout = node.raw.basic_status().randomized_election_timeout
    assert election_tick <= timeout < 2 * election_tick
    node.raw.tick(1)
    for _ in range(timeout - 2):
        node.raw.tick()
    assert node.role is FOLLOWER
    node.raw.tick()
    assert node.role is PRE_CANDIDATE


def test_the_time_out_is_drawn_anew_in_each_term() -> None:
    node = host(election_tick=100, pre_vote=False)
    drawn = set()
    for term in range(1, 12):
        node.step(heartbeat(term))
        drawn.add(node.raw.basic_status().randomized_election_timeout)
    assert len(drawn) > 5


@pytest.mark.parametrize("m", [heartbeat(1), append(1)], ids=["heartbeat", "append"])
def test_word_from_the_leader_puts_an_election_off(m: Message) -> None:
    node = host(term=1)
    for _ in range(10):
        node.tick(9)
        node.step(m)
    assert node.role is FOLLOWER


def test_a_candidate_whose_time_is_up_tries_again_in_the_next_term() -> None:
    node = host(pre_vote=False)
    node.raw.campaign()
    node.settle()
    requests = of_type(node.time_out(), MSG_VOTE)
    assert [(m.to, m.term) for m in requests] == [(2, 2), (3, 2)]


def test_a_pre_candidate_whose_time_is_up_asks_again_in_the_same_term() -> None:
    """The clock has gone on: becoming pre-candidate does not wind it up."""
    node = host()
    timeout = node.raw.basic_status().randomized_election_timeout
    node.time_out()
    assert (node.role, node.term) == (PRE_CANDIDATE, 0)
    assert node.raw.basic_status().randomized_election_timeout == timeout
    requests = of_type(node.tick(timeout), MSG_PRE_VOTE)
    assert [(m.to, m.term) for m in requests] == [(2, 1), (3, 1)]


# What is asked


@pytest.mark.parametrize(("pre_vote", "kind"), [(True, MSG_PRE_VOTE), (False, MSG_VOTE)], ids=["pre-vote", "vote"])
def test_the_voters_of_both_halves_are_asked_and_nobody_else(pre_vote: bool, kind: object) -> None:
    node = host((1, 2), conf_state=ConfState((1, 3, 2), (9,), (5, 4, 1)), pre_vote=pre_vote)
    node.raw.campaign()
    requests = node.settle()
    assert [m.to for m in requests] == [2, 3, 4, 5]
    assert {m.type for m in requests} == {kind}
    assert {(m.term, m.log_term, m.index, m.context) for m in requests} == {(3, 2, 2, b"")}
    assert node.term == (2 if pre_vote else 3)


def test_a_lone_voter_elects_itself_once_its_vote_is_durable() -> None:
    node = host(voters=(1,), pre_vote=False)
    node.raw.campaign()
    ready = node.raw.ready()
    assert ready.hard_state is not None
    assert (ready.hard_state.term, ready.hard_state.vote, ready.must_sync) == (1, 1, True)
    assert node.role is CANDIDATE
    node.storage.set_hard_state(ready.hard_state)
    node.raw.advance()
    assert node.role is LEADER


def test_from_campaign_to_apply_a_lone_voter_needs_three_readys() -> None:
    node = host(voters=(1,), pre_vote=False)
    node.raw.campaign()
    readys = []
    while node.raw.has_ready():
        readys.append(node.take())
    assert [len(ready.entries) for ready in readys] == [0, 1, 0]
    assert [len(ready.committed_entries) for ready in readys] == [0, 0, 1]


def test_pre_votes_lead_to_an_election() -> None:
    node = host((1, 1), vote=2)
    node.raw.campaign()
    requests = node.settle()
    assert (node.role, node.term, node.vote, node.leader) == (PRE_CANDIDATE, 1, 2, 0)
    requests = node.step(only(grants(requests[:1])))
    assert (node.role, node.term, node.vote) == (CANDIDATE, 2, 1)
    assert [(m.type, m.to, m.term) for m in requests] == [(MSG_VOTE, 2, 2), (MSG_VOTE, 3, 2)]
    sent = node.step(only(grants(requests[1:])))
    assert (node.role, node.leader) == (LEADER, 1)
    assert [(m.type, m.to) for m in sent] == [(MSG_APP, 2), (MSG_APP, 3)]


def test_a_new_leader_begins_with_an_empty_entry() -> None:
    node = leader((1, 1))
    assert node.storage.entries(3, 4, 100) == [Entry(term=2, index=3)]


# Counting


@pytest.mark.parametrize(
    ("conf_state", "granting", "rejecting", "role"),
    [
        pytest.param(ConfState((1, 2, 3)), (), (), CANDIDATE, id="nobody answers"),
        pytest.param(ConfState((1, 2, 3)), (), (2,), CANDIDATE, id="one refuses"),
        pytest.param(ConfState((1, 2, 3)), (), (2, 3), FOLLOWER, id="most refuse"),
        pytest.param(ConfState((1, 2, 3)), (2,), (3,), LEADER, id="most grant"),
        pytest.param(ConfState((1, 2, 3, 4)), (2,), (), CANDIDATE, id="half of an even number"),
        pytest.param(ConfState((1, 2, 3, 4)), (2,), (3, 4), FOLLOWER, id="half refuses"),
        pytest.param(ConfState((1, 2, 3), (4, 5)), (4, 5), (), CANDIDATE, id="learners do not count"),
        pytest.param(JOINT, (2,), (), CANDIDATE, id="incoming half only"),
        pytest.param(JOINT, (4,), (), CANDIDATE, id="outgoing half only"),
        pytest.param(JOINT, (2, 4), (), LEADER, id="both halves"),
        pytest.param(JOINT, (2,), (4, 5), FOLLOWER, id="outgoing half refuses"),
        pytest.param(JOINT, (4,), (2, 3), FOLLOWER, id="incoming half refuses"),
    ],
)
def test_votes_are_counted(
    conf_state: ConfState, granting: tuple[int, ...], rejecting: tuple[int, ...], role: Role
) -> None:
    node = host(conf_state=conf_state, pre_vote=False)
    node.raw.campaign()
    node.settle()
    for id in granting:
        node.step(voted(1, from_=id))
    for id in rejecting:
        node.step(voted(1, True, from_=id))
    assert (node.role, node.term) == (role, 1)


def test_the_first_answer_of_a_voter_counts() -> None:
    node = host(voters=(1, 2, 3), pre_vote=False)
    node.raw.campaign()
    node.step(voted(1, True), voted(1))
    assert node.role is CANDIDATE


def test_a_lost_pre_vote_leaves_no_trace() -> None:
    node = host((1,), vote=3)
    node.raw.campaign()
    node.step(voted(1, True, pre=True), voted(1, True, from_=3, pre=True))
    assert (node.role, node.term, node.vote) == (FOLLOWER, 1, 3)


def test_a_pre_vote_refused_at_a_higher_term_tells_of_it() -> None:
    node = host((1,))
    node.raw.campaign()
    node.step(voted(7, True, pre=True))
    assert (node.role, node.term, node.vote) == (FOLLOWER, 7, 0)


def test_a_pre_vote_granted_for_a_higher_term_does_not_raise_the_term() -> None:
    node = host((1,))
    node.raw.campaign()
    node.step(voted(2, pre=True))
    assert (node.role, node.term) == (CANDIDATE, 2)
    node.step(voted(3, pre=True))
    assert node.term == 2


def test_candidates_of_each_kind_ignore_the_other_kind_of_answer() -> None:
    node = host((1,))
    node.raw.campaign()
    node.step(voted(1), voted(1, from_=3))
    assert node.role is PRE_CANDIDATE
    node.step(voted(2, pre=True), voted(2, from_=3, pre=True))
    assert node.role is CANDIDATE


@pytest.mark.parametrize("role", [PRE_CANDIDATE, CANDIDATE], ids=str)
@pytest.mark.parametrize(
    "m",
    [
        pytest.param(append(1, from_=3), id="append"),
        pytest.param(heartbeat(1, from_=3), id="heartbeat"),
        pytest.param(
            snapshot_message(1, Snapshot(b"", SnapshotMetadata(ConfState((1, 2, 3)), 4, 1)), from_=3), id="snapshot"
        ),
    ],
)
def test_a_candidate_follows_the_leader_of_its_term(role: Role, m: Message) -> None:
    node = host(term=1) if role is PRE_CANDIDATE else host(pre_vote=False)
    node.raw.campaign()
    node.settle()
    assert (node.role, node.term) == (role, 1)
    answer = only(node.step(m))
    assert (node.role, node.leader, answer.to) == (FOLLOWER, 3, 3)


# Voting


def _voter(vote: int = 0, leading: int = 0) -> Host:
    node = host((1, 2, 2), term=3, vote=vote, check_quorum=False)
    if leading != 0:
        node.step(heartbeat(3, from_=leading))
    return node


@pytest.mark.parametrize(
    ("vote", "leading", "pre", "term", "grants_it"),
    [
        pytest.param(0, 0, False, 3, True, id="no vote, no leader"),
        pytest.param(2, 0, False, 3, True, id="voted for it"),
        pytest.param(3, 0, False, 3, False, id="voted for another"),
        pytest.param(0, 3, False, 3, False, id="no vote, but a leader"),
        pytest.param(2, 2, False, 3, True, id="voted for it, which leads"),
        pytest.param(3, 3, False, 4, True, id="next term"),
        pytest.param(3, 3, True, 4, True, id="pre-vote for the next term"),
        pytest.param(3, 0, True, 3, False, id="pre-vote for this term, voted for another"),
        pytest.param(0, 0, True, 3, True, id="pre-vote for this term, no vote"),
        pytest.param(2, 3, True, 3, True, id="pre-vote for this term, voted for it"),
    ],
)
def test_the_vote_decision(vote: int, leading: int, pre: bool, term: int, grants_it: bool) -> None:
    node = _voter(vote, leading)
    node.tick(5)
    answer = only(node.step(vote_for(term, (2, 3), pre=pre)))
    assert answer.type is (MSG_PRE_VOTE_RESP if pre else MSG_VOTE_RESP)
    assert (answer.to, answer.reject) == (2, not grants_it)
    assert answer.term == (term if grants_it else 3)
    assert node.vote == (2 if grants_it and not pre else vote)
    assert node.term == (3 if pre else term)


@pytest.mark.parametrize("pre", [False, True], ids=["vote", "pre-vote"])
@pytest.mark.parametrize(
    ("last", "complete"),
    [
        pytest.param((2, 3), True, id="equal"),
        pytest.param((2, 4), True, id="longer"),
        pytest.param((3, 1), True, id="shorter, of a later term"),
        pytest.param((2, 2), False, id="shorter"),
        pytest.param((1, 9), False, id="longer, of an earlier term"),
        pytest.param((0, 0), False, id="empty"),
    ],
)
def test_a_less_complete_log_gets_no_vote(last: tuple[int, int], complete: bool, pre: bool) -> None:
    node = _voter()
    answer = only(node.step(vote_for(4, last, pre=pre)))
    assert answer.reject is not complete
    assert answer.term == (4 if complete or not pre else 3)


def test_before_its_first_term_a_node_refuses_a_pre_vote_by_silence() -> None:
    """A refusal carries the term of who refuses; the reference panics for want of one."""
    storage = MemoryStorage()
    storage.apply_snapshot(Snapshot(b"founded", SnapshotMetadata(ConfState((1, 2, 3)), 9, 1)))
    node = Host(config_of(1, storage))
    assert node.step(vote_for(1, (1, 5), pre=True)) == []
    assert node.term == 0


def test_a_vote_given_puts_an_election_off_and_a_pre_vote_does_not() -> None:
    for pre in (False, True):
        node = _voter()
        node.tick(8)
        node.step(vote_for(3, (2, 3), pre=pre))
        assert node.raw.export_state().election_elapsed == (8 if pre else 0)


def test_a_vote_waits_for_the_disk() -> None:
    node = _voter()
    node.raw.step(vote_for(4, (2, 3)))
    ready = node.raw.ready()
    assert ready.must_sync
    assert ready.hard_state is not None
    assert (ready.hard_state.term, ready.hard_state.vote) == (4, 2)
    assert of_type(ready.messages, MSG_VOTE_RESP)


def test_a_restart_does_not_forget_the_vote() -> None:
    node = _voter()
    node.step(vote_for(3, (2, 3)))
    node = node.restart()
    assert only(node.step(vote_for(3, (2, 9), from_=3))).reject
    assert not only(node.step(vote_for(3, (2, 3)))).reject


def test_stepping_down_in_a_term_does_not_forget_the_vote() -> None:
    node = host(pre_vote=False)
    node.raw.campaign()
    node.step(voted(1, True), voted(1, True, from_=3))
    assert (node.role, node.term, node.vote) == (FOLLOWER, 1, 1)
    assert only(node.step(vote_for(1, (9, 9)))).reject


@pytest.mark.parametrize("id", [1, 4], ids=["learner", "stranger"])
def test_learners_vote(id: int) -> None:
    """It may be a voter without knowing it yet."""
    node = host(id=id, voters=(2, 3), learners=(1,))
    assert not only(node.step(vote_for(1, (0, 0), to=id))).reject


# Leases


@pytest.mark.parametrize("pre", [False, True], ids=["vote", "pre-vote"])
@pytest.mark.parametrize("role", [FOLLOWER, LEADER], ids=str)
def test_a_live_leader_makes_votes_be_ignored(role: Role, pre: bool) -> None:
    node = leader() if role is LEADER else host(term=1)
    if role is FOLLOWER:
        node.step(heartbeat(1))
        node.tick(9)
    before = node.raw.export_state()
    assert node.step(vote_for(9, (9, 9), from_=3, pre=pre)) == []
    assert node.raw.export_state() == before


def test_the_lease_ends_after_an_election_timeout_however_long_the_own_one_is() -> None:
    node = host(id=3, term=1, election_tick=20)
    node.step(heartbeat(1, to=3))
    assert node.raw.basic_status().randomized_election_timeout > 20
    node.raw.tick(19)
    assert node.step(vote_for(2, (9, 9), to=3, pre=True)) == []
    node.raw.tick()
    assert node.role is FOLLOWER
    assert not only(node.step(vote_for(2, (9, 9), to=3, pre=True))).reject


@pytest.mark.parametrize("check_quorum", [False, True], ids=["no check-quorum", "leader forgotten"])
def test_without_a_lease_votes_are_answered(check_quorum: bool) -> None:
    node = host(term=1, check_quorum=check_quorum)
    node.step(heartbeat(1))
    if check_quorum:
        node.raw.forget_leader()
        assert node.leader == 0
    assert not only(node.step(vote_for(2, (9, 9), from_=3))).reject


def test_a_vote_at_the_present_term_is_no_matter_of_leases() -> None:
    node = host(term=1)
    node.step(heartbeat(1))
    assert only(node.step(vote_for(1, (9, 9), from_=3))).reject


def test_a_vote_that_the_leader_called_for_ignores_leases() -> None:
    node = host(term=1)
    node.step(heartbeat(1))
    assert not only(node.step(vote_for(2, (9, 9), FORCED, from_=3))).reject
    assert (node.term, node.vote) == (2, 3)


# Invitations


def test_an_invited_follower_campaigns_at_once_and_without_pre_votes() -> None:
    node = host((1,))
    node.step(heartbeat(1))
    requests = node.step(Message(MSG_TIMEOUT_NOW, 1, 2, 1))
    assert [(m.type, m.term, m.context) for m in requests] == [(MSG_VOTE, 2, FORCED)] * 2
    assert node.role is CANDIDATE


def test_an_invitation_is_no_way_around_an_unapplied_change() -> None:
    node = _unapplied_change()
    node.raw.step(Message(MSG_TIMEOUT_NOW, 1, 2, 1))
    assert node.role is FOLLOWER


# CheckQuorum


def test_a_leader_that_no_quorum_answers_steps_down() -> None:
    node = leader()
    follow(node)
    node.tick(9)
    assert node.role is LEADER
    node.step(beat_back(1))
    node.tick()
    assert node.role is LEADER
    assert not node.raw.status().quorum_recently_active
    node.tick(10)
    assert (node.role, node.leader, node.term, node.vote) == (FOLLOWER, 0, 1, 1)


def follow(node: Host) -> None:
    node.step(acked(1, 1), acked(1, 1, from_=3))


@pytest.mark.parametrize(
    ("from_", "leads"),
    [pytest.param(2, True, id="of a voter"), pytest.param(4, False, id="of a learner")],
)
@pytest.mark.parametrize("kind", ["acknowledgement", "refusal", "heartbeat answer"])
def test_any_answer_counts_as_a_sign_of_life(kind: str, from_: int, leads: bool) -> None:
    node = leader(learners=(4,))
    for _ in range(3):
        node.tick(5)
        if kind == "acknowledgement":
            node.step(acked(0, node.term, from_=from_))
        elif kind == "refusal":
            m = acked(0, node.term, from_=from_)
            m.reject = True
            node.step(m)
        else:
            node.step(beat_back(node.term, from_=from_))
        node.tick(5)
    assert (node.role is LEADER) is leads


def test_check_quorum_asks_both_halves() -> None:
    node = host(conf_state=JOINT)
    elect(node)
    for _ in range(3):
        node.raw.step(beat_back(node.term, from_=2))
        node.raw.step(beat_back(node.term, from_=3))
        node.tick(10)
    assert node.role is not LEADER


def test_without_check_quorum_a_leader_leads_on() -> None:
    node = leader(check_quorum=False)
    node.tick(100)
    assert node.role is LEADER


# Scenarios


def test_a_node_that_was_cut_off_does_not_disturb_the_others() -> None:
    cluster = Cluster()
    cluster.elect(1)
    cluster.isolate(3)
    cluster.tick(100)
    assert cluster[3].role is PRE_CANDIDATE
    cluster.heal()
    cluster.tick(30)
    assert cluster.leader() is cluster[1]
    assert {each.term for each in cluster.hosts.values()} == {1}
    assert cluster[3].leader == 1


def test_without_pre_vote_it_is_freed_by_the_leader_s_stepping_down() -> None:
    """Its term has run ahead; the answers to the leader's messages tell of it."""
    cluster = Cluster(pre_vote=False)
    cluster.elect(1)
    cluster.isolate(3)
    cluster.tick(60)
    assert cluster[3].term > 1
    cluster.heal()
    cluster.tick(60)
    assert {each.term for each in cluster.hosts.values()} == {cluster.leader().term}
    cluster.propose(cluster.leader().id, b"x")
    assert all(each.data() == [b"x"] for each in cluster.hosts.values())


def test_duelling_candidates() -> None:
    cluster = Cluster(pre_vote=False)
    cluster.isolate(2)
    cluster[1].raw.campaign()
    cluster[2].raw.campaign()
    cluster.settle()
    assert (cluster[1].role, cluster[2].role) == (LEADER, CANDIDATE)
    cluster.heal()
    cluster.tick(1, 1)
    assert (cluster[2].role, cluster[2].leader, cluster[2].term) == (FOLLOWER, 1, 1)


def test_a_leader_in_the_minority_steps_down_and_the_others_elect_another() -> None:
    cluster = Cluster((1, 2, 3, 4, 5))
    cluster.elect(1)
    cluster.isolate(1, 2)
    cluster.tick(60)
    assert cluster[1].role is not LEADER
    assert cluster.leader().id in {3, 4, 5}
    cluster.heal()
    cluster.tick(30)
    assert {each.leader for each in cluster.hosts.values()} == {cluster.leader().id}


def test_a_candidate_with_a_longer_log_of_an_older_term_loses() -> None:
    cluster = Cluster(check_quorum=False, pre_vote=False)
    cluster.elect(1)
    cluster.isolate(1)
    cluster.propose(1, b"a", b"b", b"c")
    cluster.elect(2)
    cluster.propose(2, b"x")
    cluster.heal()
    cluster[1].raw.campaign()
    cluster.settle()
    cluster.tick(30)
    assert cluster.leader().id != 1
    assert all(each.data() == [b"x"] for each in cluster.hosts.values())


def test_the_own_vote_that_becomes_durable_late_does_not_count_in_another_term() -> None:
    """A Ready may be advanced after its election is over."""
    node = host(pre_vote=False)
    node.raw.campaign()
    node.begin()
    node.raw.step(heartbeat(2))
    node.finish()
    assert (node.role, node.leader, node.term) == (FOLLOWER, 2, 2)


# Transitions that cannot be


def test_roles_are_not_changed_at_random() -> None:
    r = new_raft(config_of(1, storage_of(ConfState((1, 2, 3)))))
    with pytest.raises(InvariantError, match="without an election"):
        transitions.become_leader(r)
    transitions.become_candidate(r)
    transitions.become_leader(r)
    with pytest.raises(InvariantError, match="cannot become candidate"):
        transitions.become_candidate(r)
    with pytest.raises(InvariantError, match="cannot become pre-candidate"):
        transitions.become_pre_candidate(r)


def test_who_is_not_in_the_configuration_cannot_lead() -> None:
    r = new_raft(config_of(4, storage_of(ConfState((1, 2, 3)))))
    transitions.become_candidate(r)
    with pytest.raises(InvariantError, match="outside its configuration"):
        transitions.become_leader(r)
