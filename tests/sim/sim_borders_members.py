"""Borders of S13 to S25: messages, members, reads, clients, and what a leader believes."""

from __future__ import annotations

from sim_borders import BORDERS, THREE, History, border, of_views, snapshot_at
from sim_borders_logs import applies
from sim_histories import CANDIDATE, FOLLOWER, LEADER, MadeHistory, entry
from test_sim_liveness import get, put
from test_sim_safety import ADD_4, leader_status

from raftpb.codec import encode_conf_change
from raftpb.confchange import ConfChange
from raftpb.enums import (
    ADD_NODE,
    ENTRY_CONF_CHANGE,
    MSG_APP,
    MSG_APP_RESP,
    MSG_HEARTBEAT,
    MSG_PRE_VOTE,
    MSG_PRE_VOTE_RESP,
    MSG_SNAP,
    MSG_TIMEOUT_NOW,
    MSG_VOTE,
    MSG_VOTE_RESP,
)
from raftpb.message import ConfState, HardState, Message, Snapshot, SnapshotMetadata
from rafttest.sim.checker.clients import check_kept, check_linearizable
from rafttest.sim.checker.determinism import check_repeats
from rafttest.sim.checker.safety import check_succession

# S13 to S15: messages, members


def _speaks_of(s: MadeHistory, term: int, kind: object = MSG_VOTE) -> None:
    s.shows(2, CANDIDATE, 2)
    s.writes(2, [], HardState(2, 2, 2))
    s.says(2, Message(MSG_PRE_VOTE if kind is MSG_PRE_VOTE else MSG_APP_RESP, 1, 2, term, 0, 2))


@border("S13", lambda s: _speaks_of(s, 3))
def _speaks_of_its_own_term(s: MadeHistory) -> None:
    _speaks_of(s, 2)


@border("S13", lambda s: _speaks_of(s, 4, MSG_PRE_VOTE))
def _asks_in_advance_for_the_next_term(s: MadeHistory) -> None:
    _speaks_of(s, 3, MSG_PRE_VOTE)


def _heartbeat(s: MadeHistory, to: int, commit: int) -> None:
    s.commits(2, [entry(3, 2)])
    s.says(1, Message(MSG_HEARTBEAT, to, 1, 2, 0, 0, [], commit))


@border("S13", lambda s: _heartbeat(s, 2, 4))
def _a_heartbeat_with_the_leader_s_commit_index(s: MadeHistory) -> None:
    _heartbeat(s, 2, 3)


@border("S13", lambda s: _heartbeat(s, 3, 3))
def _a_heartbeat_with_what_the_follower_has(s: MadeHistory) -> None:
    _heartbeat(s, 3, 2)


def _sends_snapshot(s: MadeHistory, index: int) -> None:
    applies(s, 3)
    s.says(1, Message(MSG_SNAP, 2, 1, 2, snapshot=snapshot_at(s, index, 2)))


@border("S13", lambda s: _sends_snapshot(s, 4))
def _a_snapshot_of_what_is_applied(s: MadeHistory) -> None:
    _sends_snapshot(s, 3)


def _sends_entries(s: MadeHistory, *entries: tuple[int, int]) -> None:
    s.leads(1, 3)
    s.says(1, Message(MSG_APP, 2, 1, 3, 1, 2, [entry(index, term) for index, term in entries], 2))


@border("S13", lambda s: _sends_entries(s, (3, 2), (5, 2)))
def _sends_entries_in_order(s: MadeHistory) -> None:
    _sends_entries(s, (3, 2), (4, 2))


@border("S13", lambda s: _sends_entries(s, (3, 4)))
def _sends_entries_up_to_its_term(s: MadeHistory) -> None:
    _sends_entries(s, (3, 3))


@border("S13", lambda s: _sends_entries(s, (3, 2), (4, 1)))
def _sends_entries_of_rising_terms(s: MadeHistory) -> None:
    _sends_entries(s, (3, 1), (4, 2))


def _invites(s: MadeHistory, to: int, transferee: int, holders: tuple[int, ...]) -> None:
    s.leads(1, 2)
    s.replicates(2, [entry(3, 2)], to=holders)
    s.shows(1, LEADER, 2, last=3, hands_over_to=transferee)
    s.says(1, Message(MSG_TIMEOUT_NOW, to, 1, 2))


@border("S13", lambda s: _invites(s, 2, 2, (1,)))
def _invites_who_has_everything(s: MadeHistory) -> None:
    _invites(s, 2, 2, (1, 2))


@border("S13", lambda s: _invites(s, 3, 2, (1, 2, 3)))
def _invites_to_whom_it_hands_over(s: MadeHistory) -> None:
    _invites(s, 3, 3, (1, 2, 3))


def _answers_ahead(s: MadeHistory, reject: bool) -> None:
    s.shows(2, FOLLOWER, 2)
    s.writes(2, [], HardState(2, 0, 2))
    s.says(2, Message(MSG_PRE_VOTE_RESP, 1, 2, 3, reject=reject))


@border("S13", lambda s: _answers_ahead(s, reject=True))
def _grants_in_advance_for_the_next_term(s: MadeHistory) -> None:
    _answers_ahead(s, reject=False)


def _answers_of_what_was_never_sent(s: MadeHistory, reject: bool) -> None:
    s.leads(1, 2)
    s.shows(2, FOLLOWER, 2, last=3)
    s.writes(2, [entry(3, 2)], HardState(2, 1, 2))
    s.says(2, Message(MSG_APP_RESP, 1, 2, 2, 0, 3, reject=reject))


@border("S13", lambda s: _answers_of_what_was_never_sent(s, reject=False))
def _refuses_what_it_does_not_know(s: MadeHistory) -> None:
    _answers_of_what_was_never_sent(s, reject=True)


def _heartbeat_to_one_of_term(s: MadeHistory, term: int, lost: bool = False) -> None:
    """Node 3 lacks entry 3; its disk is at `term`."""
    s.commits(2, [entry(3, 2)])
    s.shows(3, FOLLOWER, term)
    s.writes(3, [], HardState(term, 0, 2))
    if lost:
        s.checker.lost.add(3)
    s.says(1, Message(MSG_HEARTBEAT, 3, 1, 2, 0, 0, [], 3))


@border("S13", lambda s: _heartbeat_to_one_of_term(s, 2))
def _a_heartbeat_to_one_that_has_gone_to_a_later_term(s: MadeHistory) -> None:
    _heartbeat_to_one_of_term(s, 3)


@border("S13", lambda s: _heartbeat_to_one_of_term(s, 2))
def _a_heartbeat_to_one_that_has_lost_its_disk(s: MadeHistory) -> None:
    _heartbeat_to_one_of_term(s, 2, lost=True)


def _votes_late(s: MadeHistory, disk: HardState) -> None:
    """The answer to 1 leaves when the disk is at `disk`."""
    s.shows(3, FOLLOWER, 3)
    s.writes(3, [], disk)
    s.says(3, Message(MSG_VOTE_RESP, 1, 3, 2))


@border("S3", lambda s: _votes_late(s, HardState(2, 2, 2)))
def _a_vote_that_leaves_in_a_later_term(s: MadeHistory) -> None:
    _votes_late(s, HardState(3, 2, 2))


ADD_5 = entry(4, 2, encode_conf_change(ConfChange(ADD_NODE, 5)), ENTRY_CONF_CHANGE)


def _changes_twice(s: MadeHistory, applied: bool) -> None:
    s.commits(2, [ADD_4])
    if applied:
        s.checker.applied(1, ADD_4)
        s.checker.configured(1, 3, ConfState((1, 2, 3, 4)))
        s.shows(1, LEADER, 2, commit=3, applied=3, last=3)
    s.writes(1, [ADD_5])


@border("S14", lambda s: _changes_twice(s, applied=False))
def _a_change_after_the_last_is_applied(s: MadeHistory) -> None:
    _changes_twice(s, applied=True)


def _snapshot_names(s: MadeHistory, conf: ConfState) -> None:
    s.commits(2, [ADD_4])
    s.checker.restored(3, snapshot_at(s, 3, 2, conf))


@border("S14", lambda s: _snapshot_names(s, THREE))
def _a_snapshot_with_the_change_at_its_index(s: MadeHistory) -> None:
    _snapshot_names(s, ConfState((1, 2, 3, 4)))


def _succession(before: ConfState, after: ConfState) -> History:
    return lambda _: check_succession(3, before, after)


BORDERS["S14-one voter at once"] = (
    "S14",
    _succession(THREE, ConfState((1, 2, 3, 4))),
    _succession(THREE, ConfState((1, 2, 3, 4, 5))),
)
BORDERS["S14-a voter is exchanged by a joint configuration only"] = (
    "S14",
    _succession(THREE, ConfState((1, 2, 4), voters_outgoing=(1, 2, 3))),
    _succession(THREE, ConfState((1, 2, 4))),
)
BORDERS["S14-a joint configuration is left for its new half"] = (
    "S14",
    _succession(ConfState((4, 5, 6), voters_outgoing=(1, 2, 3)), ConfState((4, 5, 6))),
    _succession(ConfState((4, 5, 6), voters_outgoing=(1, 2, 3)), ConfState((7, 8, 9))),
)
BORDERS["S14-the last voter stays"] = (
    "S14",
    _succession(ConfState((1, 2)), ConfState((1,), learners=(2,))),
    _succession(ConfState((1,)), ConfState((), learners=(1,))),
)


@border("S15", lambda s: s.shows(4, CANDIDATE, 2, commit=0, applied=0, last=0))
def _a_voter_campaigns(s: MadeHistory) -> None:
    s.shows(3, CANDIDATE, 2)
    s.shows(4, FOLLOWER, 2, commit=0, applied=0, last=0)


# S16 to S21: reads and clients


def _reads(s: MadeHistory, index: int, asks: int = 1, answers: int = 1) -> None:
    s.commits(2, [entry(3, 2)])
    for _ in range(asks):
        s.checker.read_invoked(2, b"r")
    for _ in range(answers):
        s.checker.read_answered(2, b"r", index)


@border("S16", lambda s: _reads(s, 2))
def _a_read_of_what_was_committed_when_asked(s: MadeHistory) -> None:
    _reads(s, 3)


@border("S16", lambda s: _reads(s, 3, answers=2))
def _a_read_is_answered_once(s: MadeHistory) -> None:
    _reads(s, 3)


def _answers_to(s: MadeHistory, node: int, boots: int) -> None:
    s.checker.read_invoked(2, b"r")
    for boot in range(2, 2 + boots):
        s.boot(2, boot)
    s.checker.read_answered(node, b"r", 2)


@border("S16", lambda s: _answers_to(s, 2, 1))
def _an_answer_to_the_life_that_asked(s: MadeHistory) -> None:
    _answers_to(s, 2, 0)


@border("S16", lambda s: _answers_to(s, 1, 0))
def _an_answer_to_the_node_that_asked(s: MadeHistory) -> None:
    _answers_to(s, 2, 0)


@border("S17", lambda _: _reads(MadeHistory(reads_by_lease=True), 2))
def _a_lease_read_of_what_was_committed_when_asked(_: MadeHistory) -> None:
    _reads(MadeHistory(reads_by_lease=True), 3)


of_views(
    "S18",
    "a read while the write is under way",
    lambda: check_linearizable([put(1, 0, 1), put(2, 2, 4), get(1, 3, 5)]),
    lambda: check_linearizable([put(1, 0, 1), put(2, 2, 4), get(1, 5, 6)]),
)


def _offers_and_commits(s: MadeHistory, offers: int, commits: int) -> None:
    s.leads(1, 2)
    for _ in range(offers):
        s.checker.offered(1, b"x")
    s.commits(2, [entry(3 + at, 2, b"x") for at in range(commits)])


@border("S19", lambda s: _offers_and_commits(s, 2, 3))
def _as_often_in_the_log_as_leaders_were_given_it(s: MadeHistory) -> None:
    _offers_and_commits(s, 2, 2)


def _takes_effect(s: MadeHistory, index: int) -> None:
    s.checker.once.took_effect(1, 3, client=7, number=1)
    s.checker.once.took_effect(2, index, client=7, number=1)


@border("S19", lambda s: _takes_effect(s, 4))
def _takes_effect_at_one_index_on_all(s: MadeHistory) -> None:
    _takes_effect(s, 3)


of_views(
    "S20",
    "the value of exactly what was acknowledged",
    lambda: check_kept({1: 7}, {2: {1: (5, 7)}}),
    lambda: check_kept({1: 7}, {2: {1: (5, 6)}}),
)


def _applies_what_was_proposed(s: MadeHistory, proposed: bool) -> None:
    if proposed:
        s.checker.proposed.add(b"x")
    _offers_and_commits(s, 1, 1)
    s.checker.applied(1, entry(3, 2, b"x"))


@border("S21", lambda s: _applies_what_was_proposed(s, proposed=False))
def _applies_a_proposal(s: MadeHistory) -> None:
    _applies_what_was_proposed(s, proposed=True)


LONGER = iter((("1 start",), ("1 start", "2 tick")))
of_views(
    "S22",
    "a history without one event more",
    lambda: check_repeats(3, lambda _: ("1 start", "2 tick")),
    lambda: check_repeats(3, lambda _: next(LONGER)),
)


# S23, S25: what a leader counts and believes


def _counts(s: MadeHistory, size: int = 0, reads: int = 0) -> None:
    s.shows(1, LEADER, 2, size=size, reads=reads)


@border("S23", lambda s: _counts(s, size=101))
def _as_much_uncommitted_as_allowed(s: MadeHistory) -> None:
    _counts(s, size=100)


@border("S23", lambda s: _counts(s, reads=11))
def _as_many_reads_as_allowed(s: MadeHistory) -> None:
    _counts(s, reads=10)


def _sends_bytes(s: MadeHistory, *sizes: int) -> None:
    s.leads(1, 2)
    s.says(1, Message(MSG_APP, 2, 1, 2, 1, 2, [entry(3 + at, 2, b"x" * size) for at, size in enumerate(sizes)], 2))


@border("S23", lambda s: _sends_bytes(s, 44, 45))
def _a_message_as_large_as_allowed(s: MadeHistory) -> None:
    """Two entries of 6 bytes and their data: 100 in all."""
    _sends_bytes(s, 44, 44)


@border("S23", lambda s: _sends_bytes(s, 44, 45))
def _one_entry_of_any_size(s: MadeHistory) -> None:
    _sends_bytes(s, 1000)


def _has_under_way(s: MadeHistory, count: int) -> None:
    s.leads(1, 2)
    status = leader_status(match=2, next=3 + count)
    for index in range(3, 3 + count):
        status.progress[2].inflights.add(index, 1)
    s.checker.progress_seen(1, status)


@border("S23", lambda s: _has_under_way(s, 5))
def _as_many_messages_under_way_as_allowed(s: MadeHistory) -> None:
    _has_under_way(s, 4)


def _counts_bytes(s: MadeHistory, counted: int) -> None:
    s.shows(1, LEADER, 2, last=3)
    s.writes(1, [entry(3, 2, b"abc")], HardState(2, 1, 2))
    status = leader_status(match=0, next=4)
    status.uncommitted_size = counted
    s.checker.progress_seen(1, status)


@border("S23", lambda s: _counts_bytes(s, 2))
def _counts_each_byte(s: MadeHistory) -> None:
    _counts_bytes(s, 3)


def _believes(s: MadeHistory, match: int, next: int, holders: tuple[int, ...]) -> None:
    s.leads(1, 2)
    s.replicates(2, [entry(3, 2)], to=holders)
    s.checker.progress_seen(1, leader_status(match=match, next=next))


@border("S25", lambda s: _believes(s, 3, 3, (1, 2)))
def _next_is_one_beyond_match(s: MadeHistory) -> None:
    _believes(s, 3, 4, (1, 2))


@border("S25", lambda s: _believes(s, 4, 5, (1, 2)))
def _match_is_the_last_entry(s: MadeHistory) -> None:
    _believes(s, 3, 4, (1, 2))


@border("S25", lambda s: _believes(s, 3, 4, (1,)))
def _match_is_on_the_follower_s_disk(s: MadeHistory) -> None:
    _believes(s, 2, 3, (1,))


def _believes_twice(s: MadeHistory, first: int, second: int) -> None:
    _believes(s, first, 4, (1, 2))
    s.checker.progress_seen(1, leader_status(match=second, next=4))


@border("S25", lambda s: _believes_twice(s, 3, 2))
def _match_stays(s: MadeHistory) -> None:
    _believes_twice(s, 3, 3)


def _match_of_another(s: MadeHistory, term: int) -> None:
    """Node 2 has gone to `term` and has lost entry 3 since to the leader of that."""
    s.leads(1, 2)
    s.replicates(2, [entry(3, 2)], to=(1,))
    s.shows(2, FOLLOWER, term)
    s.writes(2, [], HardState(term, 0, 2))
    s.checker.progress_seen(1, leader_status(match=3, next=4))


@border("S25", lambda s: _match_of_another(s, 2))
def _a_follower_of_a_later_term_may_have_lost_it(s: MadeHistory) -> None:
    _match_of_another(s, 3)


# What a law must leave alone, beside what it must not


def _believes_beyond_its_log(s: MadeHistory, match: int) -> None:
    """The leader's log ends at 3; the disk of node 2 has one entry more, of a later leader."""
    s.leads(1, 2)
    s.replicates(2, [entry(3, 2)])
    s.disks[2].write(None, [entry(4, 2)], None)
    s.disks[2].sync()
    s.checker.progress_seen(1, leader_status(match=match, next=match + 1))


@border("S25", lambda s: _believes_beyond_its_log(s, 4))
def _match_ends_with_the_leader_s_log(s: MadeHistory) -> None:
    _believes_beyond_its_log(s, 3)


def _believes_of_a_disk_with(s: MadeHistory, term: int) -> None:
    s.leads(1, 2)
    s.replicates(2, [entry(3, 2)], to=(1,))
    s.disks[2].write(None, [entry(3, term)], HardState(2, 1, 2))
    s.disks[2].sync()
    s.checker.progress_seen(1, leader_status(match=3, next=4))


@border("S25", lambda s: _believes_of_a_disk_with(s, 1))
def _match_is_the_same_entry_on_the_follower_s_disk(s: MadeHistory) -> None:
    _believes_of_a_disk_with(s, 2)


def _believes_of_a_snapshot(s: MadeHistory, index: int) -> None:
    """The disk of node 2 begins at `index`; what lies below is in the snapshot."""
    s.leads(1, 2)
    s.replicates(2, [entry(3, 2)], to=(1,))
    s.disks[2].durable.apply_snapshot(Snapshot(b"", SnapshotMetadata(THREE, index, 2)))
    s.checker.progress_seen(1, leader_status(match=3, next=4))


@border("S25", lambda s: _believes_of_a_disk_with(s, 1))
def _match_is_in_the_follower_s_snapshot(s: MadeHistory) -> None:
    _believes_of_a_snapshot(s, 4)


@border("S25", lambda s: _believes_twice(s, 3, 2))
def _match_falls_with_the_leadership(s: MadeHistory) -> None:
    _believes(s, 3, 4, (1, 2))
    s.shows(1, FOLLOWER, 2, last=3)
    s.shows(1, LEADER, 3, last=4)
    s.checker.progress_seen(1, leader_status(match=2, next=4))


def _invites_in_term(s: MadeHistory, term: int) -> None:
    """It was handing over to 2 in term 2, and leads term 3 now."""
    s.leads(1, 2)
    s.shows(1, LEADER, 2, hands_over_to=2)
    if term == 3:
        s.shows(1, FOLLOWER, 3)
        s.shows(1, LEADER, 3)
    s.says(1, Message(MSG_TIMEOUT_NOW, 2, 1, term))


@border("S13", lambda s: _invites_in_term(s, 3))
def _invites_in_the_term_in_which_it_hands_over(s: MadeHistory) -> None:
    _invites_in_term(s, 2)


def _leads_after_a_change(s: MadeHistory, replaced: bool) -> None:
    """As a follower it has a change at 3, which may be replaced; as a leader it appends another."""
    s.shows(1, FOLLOWER, 2, last=3)
    s.writes(1, [ADD_4], HardState(2, 0, 2))
    if replaced:
        s.shows(1, FOLLOWER, 3, last=3)
        s.writes(1, [entry(3, 3)], HardState(3, 0, 2))
    s.shows(1, LEADER, 4, last=4)
    s.writes(1, [entry(4, 4, ADD_5.data, ENTRY_CONF_CHANGE)])


@border("S14", lambda s: _leads_after_a_change(s, replaced=False))
def _a_change_after_one_that_was_replaced(s: MadeHistory) -> None:
    _leads_after_a_change(s, replaced=True)


def _two_changes(s: MadeHistory) -> None:
    s.leads(1, 2)
    s.writes(1, [ADD_4, ADD_5])


@border("S14", _two_changes)
def _a_follower_is_given_two_changes(s: MadeHistory) -> None:
    s.shows(2, FOLLOWER, 2, last=4)
    s.writes(2, [ADD_4, ADD_5])


@border("S14", _two_changes)
def _a_leader_has_followed_two_changes(s: MadeHistory) -> None:
    s.shows(1, LEADER, 3, last=4)
    s.writes(1, [ADD_4, ADD_5])
