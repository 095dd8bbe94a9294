"""The borders of the simulator's laws: the last history that each allows, and the first that it does not.

A law that is too strict raises false alarms, one that is too lax sees nothing; a comparison that is off by one is
noticed by one of the two histories only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from sim_histories import CANDIDATE, FOLLOWER, LEADER, START, Story, entry
from test_sim_invariants import ADD_4, leader_status
from test_sim_liveness import CUT, FLOWS, HEALTHY, LEADERLESS, changed, cluster, get, node, put

from pyraft import Config, MemoryStorage, NullLogger, RawNode
from raftpb.codec import encode_conf_change
from raftpb.confchange import ConfChange
from raftpb.enums import (
    ADD_NODE,
    ENTRY_CONF_CHANGE,
    MSG_APP,
    MSG_APP_RESP,
    MSG_HEARTBEAT,
    MSG_PRE_VOTE,
    MSG_SNAP,
    MSG_TIMEOUT_NOW,
    MSG_VOTE,
    MSG_VOTE_RESP,
)
from raftpb.message import ConfState, HardState, Message, Snapshot, SnapshotMetadata
from rafttest.sim import liveness, oracle
from rafttest.sim.determinism import check_repeats
from rafttest.sim.disk import Disk
from rafttest.sim.invariants import check_succession
from rafttest.sim.kv_laws import check_kept, check_linearizable
from rafttest.sim.laws import LAWS
from rafttest.sim.liveness import Watch, check_idle, prove_end, within
from rafttest.sim.violation import Violation

THREE = ConfState((1, 2, 3))
History = Callable[[Story], object]
BORDERS: dict[str, tuple[str, History, History]] = {}
"""By a name: the law, what it still allows, what is one step beyond."""

WITHOUT: dict[str, str] = {
    "S24": "a refusal changes nothing at all: there is no amount; test_sim_invariants holds its history",
    "D5": "a damaged log is damaged by one bit or not; test_sim_laws holds its history",
    "D8": "a node goes on or does not; test_sim_laws holds its history",
    "N11": "a message is the one that was sent or another; test_sim_laws holds its history",
}


def border(law: str, beyond: History) -> Callable[[History], History]:
    """The decorated history is allowed; `beyond` breaks `law`."""

    def note(allowed: History) -> History:
        name = f"{law}-{allowed.__name__.removeprefix('_')}"
        assert name not in BORDERS
        BORDERS[name] = (law, allowed, beyond)
        return allowed

    return note


def of_views(law: str, name: str, allowed: Callable[[], object], beyond: Callable[[], object]) -> None:
    """The same for laws that need no story."""
    BORDERS[f"{law}-{name}"] = (law, lambda _: allowed(), lambda _: beyond())


def snapshot_at(story: Story, index: int, term: int, conf: ConfState = THREE) -> Snapshot:
    return Snapshot(story.checker.states[index], SnapshotMetadata(conf, index, term))


def writes_of_a_follower(story: Story, n: int, term: int, last: int, synced: bool = True) -> None:
    story.shows(n, FOLLOWER, term, last=last)
    story.writes(n, [entry(index, term) for index in range(3, last + 1)], HardState(term, 1, 2), synced)


# S1 to S5: terms and votes


def _two_lead_a_term(s: Story) -> None:
    s.leads(1, 2)
    s.shows(2, LEADER, 2)


@border("S1", _two_lead_a_term)
def _another_leads_the_next_term(s: Story) -> None:
    s.leads(1, 2)
    assert not s.shows(1, LEADER, 2)
    s.shows(2, LEADER, 3)


def _votes(s: Story, second: int, term: int) -> None:
    for chosen, at in ((1, 2), (second, term)):
        s.shows(3, FOLLOWER, at)
        s.writes(3, [], HardState(at, chosen, 2))
        s.says(3, Message(MSG_VOTE_RESP, chosen, 3, at))


def _votes_for_another_at_once(s: Story) -> None:
    _votes(s, 1, 2)
    s.says(3, Message(MSG_VOTE_RESP, 2, 3, 2))


@border("S2", _votes_for_another_at_once)
def _votes_again_for_the_same(s: Story) -> None:
    _votes(s, 1, 2)


@border("S2", _votes_for_another_at_once)
def _votes_for_another_in_the_next_term(s: Story) -> None:
    _votes(s, 2, 3)


def _acknowledges(s: Story, index: int) -> None:
    """Entries 3 and 4 were sent, and 3 is on the disk."""
    s.leads(1, 2)
    s.replicates(2, [entry(3, 2), entry(4, 2)], to=(1,))
    writes_of_a_follower(s, 2, 2, 3)
    s.says(2, Message(MSG_APP_RESP, 1, 2, 2, 0, index))


@border("S3", lambda s: _acknowledges(s, 4))
def _acknowledges_all_that_is_on_disk(s: Story) -> None:
    _acknowledges(s, 3)


def _is_refused_its_vote(s: Story, reject: bool) -> None:
    s.shows(3, FOLLOWER, 2)
    s.writes(3, [], HardState(2, 0, 2))
    s.says(3, Message(MSG_VOTE_RESP, 1, 3, 2, reject=reject))


@border("S3", lambda s: _is_refused_its_vote(s, reject=False))
def _a_refusal_needs_no_vote_on_disk(s: Story) -> None:
    _is_refused_its_vote(s, reject=True)


def _asks(s: Story, saved: int) -> None:
    s.shows(3, CANDIDATE, 2)
    s.writes(3, [], HardState(saved, 3 if saved == 2 else 0, 2))
    s.says(3, Message(MSG_VOTE, 1, 3, 2))


@border("S3", lambda s: _asks(s, 1))
def _asks_in_the_term_that_is_on_disk(s: Story) -> None:
    _asks(s, 2)


def _answers_of_a_later_term_on_disk(s: Story, index: int, disk_term: int) -> None:
    s.leads(1, 2)
    s.replicates(2, [entry(3, 2)], to=(1,))
    s.shows(2, FOLLOWER, disk_term)
    s.writes(2, [], HardState(disk_term, 0, 2))
    s.says(2, Message(MSG_APP_RESP, 1, 2, 2, 0, index))


@border("S3", lambda s: _answers_of_a_later_term_on_disk(s, 3, 2))
def _what_was_acknowledged_may_be_replaced_in_a_later_term(s: Story) -> None:
    _answers_of_a_later_term_on_disk(s, 3, 3)


def _starts_with_term(s: Story, term: int) -> None:
    """Its disk says 3. Nothing was seen of this life before."""
    s.shows(1, FOLLOWER, 3)
    s.writes(1, [], HardState(3, 0, 2))
    disk = s.disks[1]
    s.checker.booted(1, 2, disk.durable, disk.cache, THREE)
    s.shows(1, FOLLOWER, term)


@border("S4", lambda s: _starts_with_term(s, 2))
def _starts_with_the_term_on_disk(s: Story) -> None:
    _starts_with_term(s, 3)


def _shows_terms(s: Story, *terms: int) -> None:
    for term in terms:
        s.shows(1, FOLLOWER, term)


@border("S4", lambda s: _shows_terms(s, 3, 2))
def _stays_in_its_term(s: Story) -> None:
    _shows_terms(s, 3, 3)


def _saves(s: Story, *states: HardState) -> None:
    s.shows(1, FOLLOWER, 9)
    for state in states:
        s.writes(1, [], state)


@border("S4", lambda s: _saves(s, HardState(3, 0, 2), HardState(2, 0, 2)))
def _saves_its_term_again(s: Story) -> None:
    _saves(s, HardState(3, 0, 2), HardState(3, 0, 2))


@border("S5", lambda s: _saves(s, HardState(3, 2, 2), HardState(3, 3, 2)))
def _votes_once_it_had_not(s: Story) -> None:
    _saves(s, HardState(3, 0, 2), HardState(3, 2, 2), HardState(3, 2, 2))


@border("S5", lambda s: _saves(s, HardState(3, 2, 2), HardState(3, 0, 2)))
def _forgets_its_vote_with_the_term(s: Story) -> None:
    _saves(s, HardState(3, 2, 2), HardState(4, 0, 2), HardState(5, 3, 2))


# S6 to S8: logs


def _hands_out(s: Story, *entries: tuple[int, int]) -> None:
    s.shows(1, FOLLOWER, 3)
    s.checker.handed_out(1, [entry(index, term) for index, term in entries], None)


@border("S6", lambda s: _hands_out(s, (4, 2)))
def _the_first_entry_follows_the_last(s: Story) -> None:
    _hands_out(s, (3, 2))


@border("S6", lambda s: _hands_out(s, (2, 1)))
def _the_first_entry_replaces_the_first_that_is_kept(s: Story) -> None:
    _hands_out(s, (3, 2))
    _hands_out(s, (3, 3))


@border("S6", lambda s: _hands_out(s, (3, 2), (5, 2)))
def _entries_follow_each_other(s: Story) -> None:
    _hands_out(s, (3, 2), (4, 2))


@border("S6", lambda s: _hands_out(s, (3, 2), (4, 1)))
def _terms_rise_or_stay(s: Story) -> None:
    _hands_out(s, (3, 2), (4, 2), (5, 3))


@border("S6", lambda s: _hands_out(s, (3, 4)))
def _an_entry_of_the_present_term(s: Story) -> None:
    _hands_out(s, (3, 3))


def _leads_with_a_log(s: Story, *lasts: int) -> None:
    for last in lasts:
        s.shows(1, LEADER, 2, last=last)


@border("S7", lambda s: _leads_with_a_log(s, 5, 4))
def _a_leader_s_log_stays(s: Story) -> None:
    _leads_with_a_log(s, 5, 5)


@border("S7", lambda s: _leads_with_a_log(s, 5, 4))
def _a_follower_cuts_its_log(s: Story) -> None:
    s.shows(1, FOLLOWER, 2, last=5)
    s.shows(1, FOLLOWER, 2, last=4)


def _replaces_as_a_leader(s: Story, again: bool) -> None:
    """As a follower it was given another entry 3, which it hands out as the leader of the next term."""
    s.shows(1, FOLLOWER, 2, last=3)
    s.writes(1, [entry(3, 2)], HardState(2, 0, 2))
    s.shows(1, LEADER, 4, last=4)
    s.checker.handed_out(1, [entry(3, 3), entry(4, 4)], None)
    if again:
        s.checker.handed_out(1, [entry(4, 4)], None)


@border("S7", lambda s: _replaces_as_a_leader(s, again=True))
def _a_leader_hands_out_what_it_followed(s: Story) -> None:
    _replaces_as_a_leader(s, again=False)


def _is_elected_with(s: Story, last: int, term_there: int) -> None:
    s.commits(2, [entry(3, 2)])
    s.shows(3, LEADER, 3, last=3)
    s.checker.elected(3, 3, last, s.checker.index_to_show(3), term_there)


@border("S8", lambda s: _is_elected_with(s, 2, 0))
def _a_leader_has_exactly_what_is_committed(s: Story) -> None:
    _is_elected_with(s, 3, 2)


@border("S8", lambda s: _is_elected_with(s, 3, 1))
def _a_leader_has_compacted_what_is_committed(s: Story) -> None:
    _is_elected_with(s, 3, 0)


def _elected_in_term_of_the_commit(s: Story, term: int) -> None:
    """Entry 3 was committed in term 3; a leader of term 3 need not have it, one of term 4 must."""
    s.commits(3, [entry(3, 3)])
    s.shows(2, FOLLOWER, term, last=2)
    s.checker.elected(2, term, 2, s.checker.index_to_show(term), 1)


@border("S8", lambda s: _elected_in_term_of_the_commit(s, 4))
def _what_is_committed_in_its_term_is_not_asked_of_a_leader(s: Story) -> None:
    _elected_in_term_of_the_commit(s, 3)


# S9 to S12: commit and apply


def _applies(s: Story, *indexes: int) -> None:
    s.commits(2, [entry(3, 2), entry(4, 2)])
    for index in indexes:
        s.checker.applied(1, entry(index, 2))


@border("S9", lambda s: _applies(s, 4))
def _applies_one_after_the_other(s: Story) -> None:
    _applies(s, 3, 4)


@border("S9", lambda s: _applies(s, 3, 3))
def _applies_each_once(s: Story) -> None:
    _applies(s, 3)


def _restores(s: Story, index: int) -> None:
    _applies(s, 3)
    s.checker.restored(1, snapshot_at(s, index, 2))


@border("S9", lambda s: _restores(s, 3))
def _a_snapshot_one_entry_beyond_what_is_applied(s: Story) -> None:
    _restores(s, 4)


def _commits_with(s: Story, holders: tuple[int, ...], entry_term: int = 2) -> None:
    s.leads(1, 2)
    s.replicates(2, [entry(3, entry_term)], to=holders)
    s.shows(1, LEADER, 2, commit=3, last=3)


@border("S10", lambda s: _commits_with(s, (1,)))
def _commits_with_two_of_three(s: Story) -> None:
    _commits_with(s, (1, 3))


@border("S10", lambda s: _commits_with(s, (1, 2), entry_term=1))
def _commits_of_its_own_term(s: Story) -> None:
    _commits_with(s, (1, 2))


def _a_follower_commits(s: Story, index: int) -> None:
    s.commits(2, [entry(3, 2)])
    s.shows(2, FOLLOWER, 2, commit=index, last=4)


@border("S10", lambda s: _a_follower_commits(s, 4))
def _a_follower_commits_what_is_committed(s: Story) -> None:
    _a_follower_commits(s, 3)


def _commits_over(s: Story, handed_out: bool) -> None:
    """Entry 3 is on the disks from before; nobody may have handed it out."""
    for n in (1, 2):
        s.disks[n].write(None, [entry(3, 2)], HardState(2, 0, 2))
        s.disks[n].sync()
        s.boot(n, 2)
    if handed_out:
        s.shows(3, FOLLOWER, 2, last=3)
        s.checker.handed_out(3, [entry(3, 2)], None)
    s.leads(1, 3, last=3)
    s.replicates(3, [entry(4, 3)])
    s.shows(1, LEADER, 3, commit=4, last=4)


@border("S10", lambda s: _commits_over(s, handed_out=False))
def _commits_what_somebody_handed_out(s: Story) -> None:
    _commits_over(s, handed_out=True)


def _replaces(s: Story, term: int, index: int) -> None:
    """Entry 3 is committed, and node 2 has 4 of the same term."""
    s.commits(2, [entry(3, 2)])
    s.shows(2, FOLLOWER, 3, commit=3, last=4)
    s.checker.handed_out(2, [entry(4, 2)], None)
    s.checker.handed_out(2, [entry(index, term)], None)


@border("S11", lambda s: _replaces(s, 3, 3))
def _replaces_the_entry_after_the_committed_one(s: Story) -> None:
    _replaces(s, 3, 4)


@border("S11", lambda s: _replaces(s, 3, 3))
def _writes_the_committed_entry_again(s: Story) -> None:
    _replaces(s, 2, 3)


def _saves_a_commit_index(s: Story, index: int) -> None:
    s.commits(2, [entry(3, 2), entry(4, 2)])
    writes_of_a_follower(s, 3, 2, 3)
    s.disks[3].write(None, [], HardState(2, 1, index))
    s.disks[3].sync()
    s.checker.persisted(3)


@border("S11", lambda s: _saves_a_commit_index(s, 4))
def _saves_a_commit_index_that_its_log_has(s: Story) -> None:
    _saves_a_commit_index(s, 3)


def _holds_on(s: Story, lost: tuple[int, ...], known: bool = False) -> None:
    s.commits(2, [entry(3, 2)])
    _loses(s, *lost)
    if known:
        s.checker.lost.add(lost[0])
    s.checker.check_quorums_hold_commits()


@border("S11", lambda s: _holds_on(s, (1, 2)))
def _one_of_three_may_lack_what_is_committed(s: Story) -> None:
    """Node 3 never had it; only 1 and 2 hold it, and that is a quorum."""
    _holds_on(s, ())


@border("S11", lambda s: _holds_on(s, (1, 2)))
def _a_disk_that_was_lost_is_not_asked(s: Story) -> None:
    _holds_on(s, (1, 2), known=True)


def _shows_indexes(s: Story, applied: int, commit: int, last: int) -> None:
    s.commits(2, [entry(3, 2)])
    s.shows(1, LEADER, 2, commit=commit, applied=applied, last=last)


@border("S12", lambda s: _shows_indexes(s, 4, 3, 4))
def _has_applied_all_that_is_committed(s: Story) -> None:
    _shows_indexes(s, 3, 3, 4)


@border("S12", lambda s: _shows_indexes(s, 2, 4, 3))
def _has_committed_all_that_it_has(s: Story) -> None:
    _shows_indexes(s, 2, 3, 3)


def _has_applied(s: Story, *indexes: int) -> None:
    s.commits(2, [entry(3, 2)])
    for applied in indexes:
        s.shows(1, LEADER, 2, commit=3, applied=applied, last=3)


@border("S12", lambda s: _has_applied(s, 3, 2))
def _applied_stays(s: Story) -> None:
    _has_applied(s, 3, 3)


@border("S12", lambda s: _saves(s, HardState(2, 0, 2), HardState(2, 0, 1)))
def _saves_its_commit_index_again(s: Story) -> None:
    _saves(s, HardState(2, 0, 2), HardState(2, 0, 2))


# S13 to S15: messages, members


def _speaks_of(s: Story, term: int, kind: object = MSG_VOTE) -> None:
    s.shows(2, CANDIDATE, 2)
    s.writes(2, [], HardState(2, 2, 2))
    s.says(2, Message(MSG_PRE_VOTE if kind is MSG_PRE_VOTE else MSG_APP_RESP, 1, 2, term, 0, 2))


@border("S13", lambda s: _speaks_of(s, 3))
def _speaks_of_its_own_term(s: Story) -> None:
    _speaks_of(s, 2)


@border("S13", lambda s: _speaks_of(s, 4, MSG_PRE_VOTE))
def _asks_in_advance_for_the_next_term(s: Story) -> None:
    _speaks_of(s, 3, MSG_PRE_VOTE)


def _heartbeat(s: Story, to: int, commit: int) -> None:
    s.commits(2, [entry(3, 2)])
    s.says(1, Message(MSG_HEARTBEAT, to, 1, 2, 0, 0, [], commit))


@border("S13", lambda s: _heartbeat(s, 2, 4))
def _a_heartbeat_with_the_leader_s_commit_index(s: Story) -> None:
    _heartbeat(s, 2, 3)


@border("S13", lambda s: _heartbeat(s, 3, 3))
def _a_heartbeat_with_what_the_follower_has(s: Story) -> None:
    _heartbeat(s, 3, 2)


def _sends_snapshot(s: Story, index: int) -> None:
    _applies(s, 3)
    s.says(1, Message(MSG_SNAP, 2, 1, 2, snapshot=snapshot_at(s, index, 2)))


@border("S13", lambda s: _sends_snapshot(s, 4))
def _a_snapshot_of_what_is_applied(s: Story) -> None:
    _sends_snapshot(s, 3)


def _sends_entries(s: Story, *entries: tuple[int, int]) -> None:
    s.leads(1, 3)
    s.says(1, Message(MSG_APP, 2, 1, 3, 1, 2, [entry(index, term) for index, term in entries], 2))


@border("S13", lambda s: _sends_entries(s, (3, 2), (5, 2)))
def _sends_entries_in_order(s: Story) -> None:
    _sends_entries(s, (3, 2), (4, 2))


@border("S13", lambda s: _sends_entries(s, (3, 4)))
def _sends_entries_up_to_its_term(s: Story) -> None:
    _sends_entries(s, (3, 3))


@border("S13", lambda s: _sends_entries(s, (3, 2), (4, 1)))
def _sends_entries_of_rising_terms(s: Story) -> None:
    _sends_entries(s, (3, 1), (4, 2))


def _invites(s: Story, to: int, transferee: int, holders: tuple[int, ...]) -> None:
    s.leads(1, 2)
    s.replicates(2, [entry(3, 2)], to=holders)
    s.shows(1, LEADER, 2, last=3, hands_over_to=transferee)
    s.says(1, Message(MSG_TIMEOUT_NOW, to, 1, 2))


@border("S13", lambda s: _invites(s, 2, 2, (1,)))
def _invites_who_has_everything(s: Story) -> None:
    _invites(s, 2, 2, (1, 2))


@border("S13", lambda s: _invites(s, 3, 2, (1, 2, 3)))
def _invites_to_whom_it_hands_over(s: Story) -> None:
    _invites(s, 3, 3, (1, 2, 3))


ADD_5 = entry(4, 2, encode_conf_change(ConfChange(ADD_NODE, 5)), ENTRY_CONF_CHANGE)


def _changes_twice(s: Story, applied: bool) -> None:
    s.commits(2, [ADD_4])
    if applied:
        s.checker.applied(1, ADD_4)
        s.checker.configured(1, 3, ConfState((1, 2, 3, 4)))
        s.shows(1, LEADER, 2, commit=3, applied=3, last=3)
    s.writes(1, [ADD_5])


@border("S14", lambda s: _changes_twice(s, applied=False))
def _a_change_after_the_last_is_applied(s: Story) -> None:
    _changes_twice(s, applied=True)


def _snapshot_names(s: Story, conf: ConfState) -> None:
    s.commits(2, [ADD_4])
    s.checker.restored(3, snapshot_at(s, 3, 2, conf))


@border("S14", lambda s: _snapshot_names(s, THREE))
def _a_snapshot_with_the_change_at_its_index(s: Story) -> None:
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
def _a_voter_campaigns(s: Story) -> None:
    s.shows(3, CANDIDATE, 2)
    s.shows(4, FOLLOWER, 2, commit=0, applied=0, last=0)


# S16 to S21: reads and clients


def _reads(s: Story, index: int, asks: int = 1, answers: int = 1) -> None:
    s.commits(2, [entry(3, 2)])
    for _ in range(asks):
        s.checker.read_invoked(2, b"r")
    for _ in range(answers):
        s.checker.read_answered(2, b"r", index)


@border("S16", lambda s: _reads(s, 2))
def _a_read_of_what_was_committed_when_asked(s: Story) -> None:
    _reads(s, 3)


@border("S16", lambda s: _reads(s, 3, answers=2))
def _a_read_is_answered_once(s: Story) -> None:
    _reads(s, 3)


def _answers_to(s: Story, node: int, boots: int) -> None:
    s.checker.read_invoked(2, b"r")
    for boot in range(2, 2 + boots):
        s.boot(2, boot)
    s.checker.read_answered(node, b"r", 2)


@border("S16", lambda s: _answers_to(s, 2, 1))
def _an_answer_to_the_life_that_asked(s: Story) -> None:
    _answers_to(s, 2, 0)


@border("S16", lambda s: _answers_to(s, 1, 0))
def _an_answer_to_the_node_that_asked(s: Story) -> None:
    _answers_to(s, 2, 0)


@border("S17", lambda _: _reads(Story(reads_by_lease=True), 2))
def _a_lease_read_of_what_was_committed_when_asked(_: Story) -> None:
    _reads(Story(reads_by_lease=True), 3)


of_views(
    "S18",
    "a read while the write is under way",
    lambda: check_linearizable([put(1, 0, 1), put(2, 2, 4), get(1, 3, 5)]),
    lambda: check_linearizable([put(1, 0, 1), put(2, 2, 4), get(1, 5, 6)]),
)


def _offers_and_commits(s: Story, offers: int, commits: int) -> None:
    s.leads(1, 2)
    for _ in range(offers):
        s.checker.offered(1, b"x")
    s.commits(2, [entry(3 + at, 2, b"x") for at in range(commits)])


@border("S19", lambda s: _offers_and_commits(s, 2, 3))
def _as_often_in_the_log_as_leaders_were_given_it(s: Story) -> None:
    _offers_and_commits(s, 2, 2)


def _takes_effect(s: Story, index: int) -> None:
    s.checker.once.took_effect(1, 3, client=7, number=1)
    s.checker.once.took_effect(2, index, client=7, number=1)


@border("S19", lambda s: _takes_effect(s, 4))
def _takes_effect_at_one_index_on_all(s: Story) -> None:
    _takes_effect(s, 3)


of_views(
    "S20",
    "the value of exactly what was acknowledged",
    lambda: check_kept({1: 7}, {2: {1: (5, 7)}}),
    lambda: check_kept({1: 7}, {2: {1: (5, 6)}}),
)


def _applies_what_was_proposed(s: Story, proposed: bool) -> None:
    if proposed:
        s.checker.proposed.add(b"x")
    _offers_and_commits(s, 1, 1)
    s.checker.applied(1, entry(3, 2, b"x"))


@border("S21", lambda s: _applies_what_was_proposed(s, proposed=False))
def _applies_a_proposal(s: Story) -> None:
    _applies_what_was_proposed(s, proposed=True)


LONGER = iter((("1 start",), ("1 start", "2 tick")))
of_views(
    "S22",
    "a history without one event more",
    lambda: check_repeats(3, lambda _: ("1 start", "2 tick")),
    lambda: check_repeats(3, lambda _: next(LONGER)),
)


# S23, S25: what a leader counts and believes


def _counts(s: Story, size: int = 0, reads: int = 0) -> None:
    s.shows(1, LEADER, 2, size=size, reads=reads)


@border("S23", lambda s: _counts(s, size=101))
def _as_much_uncommitted_as_allowed(s: Story) -> None:
    _counts(s, size=100)


@border("S23", lambda s: _counts(s, reads=11))
def _as_many_reads_as_allowed(s: Story) -> None:
    _counts(s, reads=10)


def _sends_bytes(s: Story, *sizes: int) -> None:
    s.leads(1, 2)
    s.says(1, Message(MSG_APP, 2, 1, 2, 1, 2, [entry(3 + at, 2, b"x" * size) for at, size in enumerate(sizes)], 2))


@border("S23", lambda s: _sends_bytes(s, 44, 45))
def _a_message_as_large_as_allowed(s: Story) -> None:
    """Two entries of 6 bytes and their data: 100 in all."""
    _sends_bytes(s, 44, 44)


@border("S23", lambda s: _sends_bytes(s, 44, 45))
def _one_entry_of_any_size(s: Story) -> None:
    _sends_bytes(s, 1000)


def _has_under_way(s: Story, count: int) -> None:
    s.leads(1, 2)
    status = leader_status(match=2, next=3 + count)
    for index in range(3, 3 + count):
        status.progress[2].inflights.add(index, 1)
    s.checker.progress_seen(1, status)


@border("S23", lambda s: _has_under_way(s, 5))
def _as_many_messages_under_way_as_allowed(s: Story) -> None:
    _has_under_way(s, 4)


def _counts_bytes(s: Story, counted: int) -> None:
    s.shows(1, LEADER, 2, last=3)
    s.writes(1, [entry(3, 2, b"abc")], HardState(2, 1, 2))
    status = leader_status(match=0, next=4)
    status.uncommitted_size = counted
    s.checker.progress_seen(1, status)


@border("S23", lambda s: _counts_bytes(s, 2))
def _counts_each_byte(s: Story) -> None:
    _counts_bytes(s, 3)


def _believes(s: Story, match: int, next: int, holders: tuple[int, ...]) -> None:
    s.leads(1, 2)
    s.replicates(2, [entry(3, 2)], to=holders)
    s.checker.progress_seen(1, leader_status(match=match, next=next))


@border("S25", lambda s: _believes(s, 3, 3, (1, 2)))
def _next_is_one_beyond_match(s: Story) -> None:
    _believes(s, 3, 4, (1, 2))


@border("S25", lambda s: _believes(s, 4, 5, (1, 2)))
def _match_is_the_last_entry(s: Story) -> None:
    _believes(s, 3, 4, (1, 2))


@border("S25", lambda s: _believes(s, 3, 4, (1,)))
def _match_is_on_the_follower_s_disk(s: Story) -> None:
    _believes(s, 2, 3, (1,))


def _believes_twice(s: Story, first: int, second: int) -> None:
    _believes(s, first, 4, (1, 2))
    s.checker.progress_seen(1, leader_status(match=second, next=4))


@border("S25", lambda s: _believes_twice(s, 3, 2))
def _match_stays(s: Story) -> None:
    _believes_twice(s, 3, 3)


def _match_of_another(s: Story, term: int) -> None:
    """Node 2 has gone to `term` and has lost entry 3 since to the leader of that."""
    s.leads(1, 2)
    s.replicates(2, [entry(3, 2)], to=(1,))
    s.shows(2, FOLLOWER, term)
    s.writes(2, [], HardState(term, 0, 2))
    s.checker.progress_seen(1, leader_status(match=3, next=4))


@border("S25", lambda s: _match_of_another(s, 2))
def _a_follower_of_a_later_term_may_have_lost_it(s: Story) -> None:
    _match_of_another(s, 3)


# What a law must leave alone, beside what it must not


def _believes_beyond_its_log(s: Story, match: int) -> None:
    """The leader's log ends at 3; the disk of node 2 has one entry more, of a later leader."""
    s.leads(1, 2)
    s.replicates(2, [entry(3, 2)])
    s.disks[2].write(None, [entry(4, 2)], None)
    s.disks[2].sync()
    s.checker.progress_seen(1, leader_status(match=match, next=match + 1))


@border("S25", lambda s: _believes_beyond_its_log(s, 4))
def _match_ends_with_the_leader_s_log(s: Story) -> None:
    _believes_beyond_its_log(s, 3)


def _believes_of_a_disk_with(s: Story, term: int) -> None:
    s.leads(1, 2)
    s.replicates(2, [entry(3, 2)], to=(1,))
    s.disks[2].write(None, [entry(3, term)], HardState(2, 1, 2))
    s.disks[2].sync()
    s.checker.progress_seen(1, leader_status(match=3, next=4))


@border("S25", lambda s: _believes_of_a_disk_with(s, 1))
def _match_is_the_same_entry_on_the_follower_s_disk(s: Story) -> None:
    _believes_of_a_disk_with(s, 2)


def _believes_of_a_snapshot(s: Story, index: int) -> None:
    """The disk of node 2 begins at `index`; what lies below is in the snapshot."""
    s.leads(1, 2)
    s.replicates(2, [entry(3, 2)], to=(1,))
    s.disks[2].durable.apply_snapshot(Snapshot(b"", SnapshotMetadata(THREE, index, 2)))
    s.checker.progress_seen(1, leader_status(match=3, next=4))


@border("S25", lambda s: _believes_of_a_disk_with(s, 1))
def _match_is_in_the_follower_s_snapshot(s: Story) -> None:
    _believes_of_a_snapshot(s, 4)


@border("S25", lambda s: _believes_twice(s, 3, 2))
def _match_falls_with_the_leadership(s: Story) -> None:
    _believes(s, 3, 4, (1, 2))
    s.shows(1, FOLLOWER, 2, last=3)
    s.shows(1, LEADER, 3, last=4)
    s.checker.progress_seen(1, leader_status(match=2, next=4))


def _invites_in_term(s: Story, term: int) -> None:
    """It was handing over to 2 in term 2, and leads term 3 now."""
    s.leads(1, 2)
    s.shows(1, LEADER, 2, hands_over_to=2)
    if term == 3:
        s.shows(1, FOLLOWER, 3)
        s.shows(1, LEADER, 3)
    s.says(1, Message(MSG_TIMEOUT_NOW, 2, 1, term))


@border("S13", lambda s: _invites_in_term(s, 3))
def _invites_in_the_term_in_which_it_hands_over(s: Story) -> None:
    _invites_in_term(s, 2)


def _leads_after_a_change(s: Story, replaced: bool) -> None:
    """As a follower it has a change at 3, which may be replaced; as a leader it appends another."""
    s.shows(1, FOLLOWER, 2, last=3)
    s.writes(1, [ADD_4], HardState(2, 0, 2))
    if replaced:
        s.shows(1, FOLLOWER, 3, last=3)
        s.writes(1, [entry(3, 3)], HardState(3, 0, 2))
    s.shows(1, LEADER, 4, last=4)
    s.writes(1, [entry(4, 4, ADD_5.data, ENTRY_CONF_CHANGE)])


@border("S14", lambda s: _leads_after_a_change(s, replaced=False))
def _a_change_after_one_that_was_replaced(s: Story) -> None:
    _leads_after_a_change(s, replaced=True)


@border("S14", lambda s: (s.leads(1, 2), s.writes(1, [ADD_4, ADD_5])))
def _a_follower_is_given_two_changes(s: Story) -> None:
    s.shows(2, FOLLOWER, 2, last=4)
    s.writes(2, [ADD_4, ADD_5])


@border("S14", lambda s: (s.leads(1, 2), s.writes(1, [ADD_4, ADD_5])))
def _a_leader_has_followed_two_changes(s: Story) -> None:
    s.shows(1, LEADER, 3, last=4)
    s.writes(1, [ADD_4, ADD_5])


def _saves_a_commit_index_over(s: Story, term: int) -> None:
    s.commits(2, [entry(3, 2)])
    s.disks[3].write(None, [entry(3, term)], HardState(2, 1, 3))
    s.disks[3].sync()
    s.checker.persisted(3)


@border("S11", lambda s: _saves_a_commit_index_over(s, 1))
def _saves_a_commit_index_over_the_committed_entry(s: Story) -> None:
    _saves_a_commit_index_over(s, 2)


@border("S11", lambda s: _holds_on(s, (1, 2)))
def _who_knows_the_commit_index_only_is_not_asked(s: Story) -> None:
    """Node 3 learned the commit index, and has been handed out neither the entry nor the snapshot that holds it."""
    s.commits(2, [entry(3, 2)])
    s.shows(3, FOLLOWER, 2, commit=3, last=3)
    s.checker.lives[1].commit = s.checker.lives[2].commit = 2
    _loses(s, 1, 2)
    s.checker.check_quorums_hold_commits()


@border("S11", lambda s: _holds_on(s, (1, 2)))
def _who_has_a_snapshot_coming_is_not_asked(s: Story) -> None:
    s.commits(2, [entry(3, 2)])
    s.checker.arrives(1, Message(MSG_SNAP, 1, 2, 2, snapshot=snapshot_at(s, 3, 2)))
    s.checker.lives[1].snapshots_arrived.add(3)
    _loses(s, 1, 2)
    s.checker.check_quorums_hold_commits()


@border("S11", lambda s: _holds_on(s, (1, 2)))
def _who_has_not_applied_a_change_up_to_there_is_not_asked(s: Story) -> None:
    """Its configuration may be another one than that which committed."""
    s.commits(2, [ADD_4])
    _loses(s, 1, 2)
    s.checker.check_quorums_hold_commits()


def _loses(s: Story, *nodes: int) -> None:
    for n in nodes:
        s.checker.lives[n].durable = Disk(START).durable


# L: once faults have ended


def _waits(ticks: int) -> Callable[[], object]:
    return lambda: within("L1", 2, [*[LEADERLESS] * ticks, HEALTHY], liveness.no_leader)


of_views("L1", "a leader at the last tick", _waits(2), _waits(3))


def _written(acknowledged: int, applied: int = 9) -> Callable[[], object]:
    view = changed(replace(HEALTHY, acknowledged=acknowledged, highest=9), 3, lambda one: replace(one, applied=applied))
    return lambda: within("L2", 0, [view], lambda seen: liveness.not_written(seen, 10))


of_views("L2", "the tenth write", _written(10), _written(9))
of_views("L2", "the tenth write is everywhere", _written(10), _written(10, applied=8))


def _all_settled(changes: int) -> Callable[[], object]:
    view = changed(HEALTHY, 2, lambda one: replace(one, changes=changes))
    return lambda: within("L3", 0, [view], liveness.unsettled)


of_views("L3", "the last change is applied", _all_settled(0), _all_settled(1))


def _left_alone(auto_leave: bool) -> Callable[[], object]:
    view = cluster(conf=ConfState((1, 2), voters_outgoing=(1, 2, 3), auto_leave=auto_leave))
    return lambda: within("L3", 0, [view], liveness.joint_by_itself)


of_views("L3", "an idle joint configuration that is not left by itself", _left_alone(False), _left_alone(True))


def _applied(applied: int) -> Callable[[], object]:
    view = changed(replace(HEALTHY, highest=9), 2, lambda one: replace(one, applied=applied))
    return lambda: within("L4", 0, [view], liveness.disagreement)


def _last(last: int) -> Callable[[], object]:
    view = changed(replace(HEALTHY, highest=9), 2, lambda one: replace(one, last=last))
    return lambda: within("L4", 0, [view], liveness.unfinished)


of_views("L4", "the last entry is applied", _applied(9), _applied(8))
of_views("L4", "no log is longer", _last(9), _last(10))


def _flow(paused: bool) -> Callable[[], object]:
    view = replace(HEALTHY, followers=(FLOWS[0], replace(FLOWS[1], is_paused=paused)))
    return lambda: within("L5", 0, [view], liveness.stuck_flow)


of_views("L5", "nobody is paused", _flow(False), _flow(True))
of_views(
    "L6",
    "the last read is answered",
    lambda: within("L6", 0, [HEALTHY], liveness.waiting_reads),
    lambda: within("L6", 0, [replace(HEALTHY, reads_waiting=1)], liveness.waiting_reads),
)


def _hands_over_for(s: Story, ticks: int) -> None:
    s.leads(1, 2)
    s.shows(1, LEADER, 2, hands_over_to=2)
    s.checker.ticked(1, ticks)
    s.shows(1, LEADER, 2, hands_over_to=2)


@border("L7", lambda s: _hands_over_for(s, 11))
def _a_transfer_of_the_longest_time(s: Story) -> None:
    _hands_over_for(s, 10)


@border("L7", lambda s: _hands_over_for(s, 11))
def _a_second_transfer_has_a_time_of_its_own(s: Story) -> None:
    _hands_over_for(s, 10)
    s.shows(1, LEADER, 2)
    s.checker.ticked(1, 5)
    s.shows(1, LEADER, 2, hands_over_to=2)
    s.checker.ticked(1, 10)
    s.shows(1, LEADER, 2, hands_over_to=2)


def _leaders(law: str, changes: int, allowed: int) -> Callable[[], object]:
    def see() -> None:
        watch = Watch(law, HEALTHY, allowed)
        for at in range(1, changes + 1):
            watch.see(cluster(leader=1 + at % 3, term=4 + at))

    return see


of_views("L8", "another leader once", _leaders("L8", 1, 1), _leaders("L8", 2, 1))
of_views("L10", "the same leader", _leaders("L10", 0, 0), _leaders("L10", 1, 0))
of_views(
    "L10",
    "one link of two is cut",
    lambda: within("L10", 0, [replace(HEALTHY, cut=frozenset({(1, 3)}))], liveness.no_reaching_leader),
    lambda: within("L10", 0, [replace(HEALTHY, cut=CUT)], liveness.no_reaching_leader),
)


def _idle(sent: int = 0, last: int = 9, snapshots: int = 0) -> Callable[[], object]:
    after = changed(replace(HEALTHY, sent=sent, snapshots_sent=snapshots), 2, lambda one: replace(one, last=last))
    return lambda: check_idle(HEALTHY, after, 10)


of_views("L9", "as many messages as are enough", _idle(sent=55), _idle(sent=56))
of_views("L9", "logs stay", _idle(), _idle(last=10))
of_views("L9", "logs do not shrink either", _idle(), _idle(last=8))
of_views("L9", "no snapshot", _idle(), _idle(snapshots=1))


def _who_runs(count: int) -> Callable[[], object]:
    view = replace(LEADERLESS, nodes=LEADERLESS.nodes[:count])
    return lambda: prove_end(view, Violation("L1", "no leader"), everybody_runs=False)


of_views("L11", "one of three is no quorum", _who_runs(1), _who_runs(2))


def _with_a_longer_log(last: int) -> Callable[[], object]:
    """1 and 2 run; 2 is no voter by its own configuration, and its log ends at `last`."""
    nodes = (node(1, 0), node(2, 0, last=last, conf=ConfState((1, 3))))
    return lambda: prove_end(replace(LEADERLESS, nodes=nodes), Violation("L1", "no leader"), everybody_runs=False)


of_views("L11", "who has one entry more does not vote", _with_a_longer_log(10), _with_a_longer_log(9))


@pytest.mark.parametrize("name", BORDERS)
def test_the_last_history_that_is_allowed(name: str) -> None:
    _, allowed, _ = BORDERS[name]
    allowed(Story())


@pytest.mark.parametrize("name", BORDERS)
def test_the_first_history_that_is_not(name: str) -> None:
    law, _, beyond = BORDERS[name]
    with pytest.raises(Violation) as caught:
        beyond(Story())
    assert caught.value.invariant == law


@pytest.mark.parametrize("law", LAWS)
def test_each_law_has_a_border_or_says_why_not(law: str) -> None:
    assert (law in WITHOUT) != any(where == law for where, _, _ in BORDERS.values())


# The oracle: quorums and changes from their definitions.


@pytest.mark.parametrize(
    ("voters", "outgoing", "members", "expected"),
    [
        pytest.param((1, 2, 3, 4), (), (1, 2), False, id="half of four"),
        pytest.param((1, 2, 3, 4), (), (1, 2, 3), True, id="three of four"),
        pytest.param((1, 2, 3), (), (1,), False, id="one of three"),
        pytest.param((1, 2, 3), (), (1, 9, 8), False, id="strangers do not count"),
        pytest.param((1, 2, 3), (4, 5, 6), (1, 2, 4), False, id="one half of a joint one"),
        pytest.param((1, 2, 3), (4, 5, 6), (1, 2, 4, 5), True, id="both halves"),
        pytest.param((), (), (), False, id="nobody votes"),
    ],
)
def test_quorums_of_the_oracle(
    voters: tuple[int, ...], outgoing: tuple[int, ...], members: tuple[int, ...], expected: bool
) -> None:
    assert oracle.is_quorum(ConfState(voters, voters_outgoing=outgoing), members) is expected


def test_a_refusal_is_compared_whole() -> None:
    """S24 at its border: the counters of refusals may differ, and nothing else."""
    node = RawNode(Config(id=1, storage=MemoryStorage(), logger=NullLogger()))
    before = node.export_state()
    story = Story()
    story.checker.refused(1, before, replace(before, anomalies=replace(before.anomalies, refused_messages=7)), "it")
    with pytest.raises(Violation, match=re.escape("S24")):
        story.checker.refused(1, before, replace(before, vote=before.vote + 1), "it")
