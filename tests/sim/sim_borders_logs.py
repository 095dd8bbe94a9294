"""Borders of S1 to S12: terms, votes, logs, commit and apply."""

from __future__ import annotations

from sim_borders import THREE, border, snapshot_at, writes_of_a_follower
from sim_histories import CANDIDATE, FOLLOWER, LEADER, START, MadeHistory, entry
from test_sim_safety import ADD_4

from raftpb.enums import (
    MSG_APP_RESP,
    MSG_VOTE,
    MSG_VOTE_RESP,
)
from raftpb.message import HardState, Message
from rafttest.sim.cluster.disk import SimDisk

# S1 to S5: terms and votes


def _two_lead_a_term(s: MadeHistory) -> None:
    s.leads(1, 2)
    s.shows(2, LEADER, 2)


@border("S1", _two_lead_a_term)
def _another_leads_the_next_term(s: MadeHistory) -> None:
    s.leads(1, 2)
    assert not s.shows(1, LEADER, 2)
    s.shows(2, LEADER, 3)


def _votes(s: MadeHistory, second: int, term: int) -> None:
    for chosen, at in ((1, 2), (second, term)):
        s.shows(3, FOLLOWER, at)
        s.writes(3, [], HardState(at, chosen, 2))
        s.says(3, Message(MSG_VOTE_RESP, chosen, 3, at))


def _votes_for_another_at_once(s: MadeHistory) -> None:
    _votes(s, 1, 2)
    s.says(3, Message(MSG_VOTE_RESP, 2, 3, 2))


@border("S2", _votes_for_another_at_once)
def _votes_again_for_the_same(s: MadeHistory) -> None:
    _votes(s, 1, 2)


@border("S2", _votes_for_another_at_once)
def _votes_for_another_in_the_next_term(s: MadeHistory) -> None:
    _votes(s, 2, 3)


def _acknowledges(s: MadeHistory, index: int) -> None:
    """Entries 3 and 4 were sent, and 3 is on the disk."""
    s.leads(1, 2)
    s.replicates(2, [entry(3, 2), entry(4, 2)], to=(1,))
    writes_of_a_follower(s, 2, 2, 3)
    s.says(2, Message(MSG_APP_RESP, 1, 2, 2, 0, index))


@border("S3", lambda s: _acknowledges(s, 4))
def _acknowledges_all_that_is_on_disk(s: MadeHistory) -> None:
    _acknowledges(s, 3)


def _is_refused_its_vote(s: MadeHistory, reject: bool) -> None:
    s.shows(3, FOLLOWER, 2)
    s.writes(3, [], HardState(2, 0, 2))
    s.says(3, Message(MSG_VOTE_RESP, 1, 3, 2, reject=reject))


@border("S3", lambda s: _is_refused_its_vote(s, reject=False))
def _a_refusal_needs_no_vote_on_disk(s: MadeHistory) -> None:
    _is_refused_its_vote(s, reject=True)


def _asks(s: MadeHistory, saved: int) -> None:
    s.shows(3, CANDIDATE, 2)
    s.writes(3, [], HardState(saved, 3 if saved == 2 else 0, 2))
    s.says(3, Message(MSG_VOTE, 1, 3, 2))


@border("S3", lambda s: _asks(s, 1))
def _asks_in_the_term_that_is_on_disk(s: MadeHistory) -> None:
    _asks(s, 2)


def _answers_of_a_later_term_on_disk(s: MadeHistory, index: int, disk_term: int) -> None:
    s.leads(1, 2)
    s.replicates(2, [entry(3, 2)], to=(1,))
    s.shows(2, FOLLOWER, disk_term)
    s.writes(2, [], HardState(disk_term, 0, 2))
    s.says(2, Message(MSG_APP_RESP, 1, 2, 2, 0, index))


@border("S3", lambda s: _answers_of_a_later_term_on_disk(s, 3, 2))
def _what_was_acknowledged_may_be_replaced_in_a_later_term(s: MadeHistory) -> None:
    _answers_of_a_later_term_on_disk(s, 3, 3)


def _starts_with_term(s: MadeHistory, term: int) -> None:
    """Its disk says 3. Nothing was seen of this life before."""
    s.shows(1, FOLLOWER, 3)
    s.writes(1, [], HardState(3, 0, 2))
    disk = s.disks[1]
    s.checker.booted(1, 2, disk.durable, disk.cache, THREE)
    s.shows(1, FOLLOWER, term)


@border("S4", lambda s: _starts_with_term(s, 2))
def _starts_with_the_term_on_disk(s: MadeHistory) -> None:
    _starts_with_term(s, 3)


def _shows_terms(s: MadeHistory, *terms: int) -> None:
    for term in terms:
        s.shows(1, FOLLOWER, term)


@border("S4", lambda s: _shows_terms(s, 3, 2))
def _stays_in_its_term(s: MadeHistory) -> None:
    _shows_terms(s, 3, 3)


def _saves(s: MadeHistory, *states: HardState) -> None:
    s.shows(1, FOLLOWER, 9)
    for state in states:
        s.writes(1, [], state)


@border("S4", lambda s: _saves(s, HardState(3, 0, 2), HardState(2, 0, 2)))
def _saves_its_term_again(s: MadeHistory) -> None:
    _saves(s, HardState(3, 0, 2), HardState(3, 0, 2))


@border("S5", lambda s: _saves(s, HardState(3, 2, 2), HardState(3, 3, 2)))
def _votes_once_it_had_not(s: MadeHistory) -> None:
    _saves(s, HardState(3, 0, 2), HardState(3, 2, 2), HardState(3, 2, 2))


@border("S5", lambda s: _saves(s, HardState(3, 2, 2), HardState(3, 0, 2)))
def _forgets_its_vote_with_the_term(s: MadeHistory) -> None:
    _saves(s, HardState(3, 2, 2), HardState(4, 0, 2), HardState(5, 3, 2))


# S6 to S8: logs


def _hands_out(s: MadeHistory, *entries: tuple[int, int]) -> None:
    s.shows(1, FOLLOWER, 3)
    s.checker.handed_out(1, [entry(index, term) for index, term in entries], None)


@border("S6", lambda s: _hands_out(s, (4, 2)))
def _the_first_entry_follows_the_last(s: MadeHistory) -> None:
    _hands_out(s, (3, 2))


@border("S6", lambda s: _hands_out(s, (2, 1)))
def _the_first_entry_replaces_the_first_that_is_kept(s: MadeHistory) -> None:
    _hands_out(s, (3, 2))
    _hands_out(s, (3, 3))


@border("S6", lambda s: _hands_out(s, (3, 2), (5, 2)))
def _entries_follow_each_other(s: MadeHistory) -> None:
    _hands_out(s, (3, 2), (4, 2))


@border("S6", lambda s: _hands_out(s, (3, 2), (4, 1)))
def _terms_rise_or_stay(s: MadeHistory) -> None:
    _hands_out(s, (3, 2), (4, 2), (5, 3))


@border("S6", lambda s: _hands_out(s, (3, 4)))
def _an_entry_of_the_present_term(s: MadeHistory) -> None:
    _hands_out(s, (3, 3))


def _leads_with_a_log(s: MadeHistory, *lasts: int) -> None:
    for last in lasts:
        s.shows(1, LEADER, 2, last=last)


@border("S7", lambda s: _leads_with_a_log(s, 5, 4))
def _a_leader_s_log_stays(s: MadeHistory) -> None:
    _leads_with_a_log(s, 5, 5)


@border("S7", lambda s: _leads_with_a_log(s, 5, 4))
def _a_follower_cuts_its_log(s: MadeHistory) -> None:
    s.shows(1, FOLLOWER, 2, last=5)
    s.shows(1, FOLLOWER, 2, last=4)


def _replaces_as_a_leader(s: MadeHistory, again: bool) -> None:
    """As a follower it was given another entry 3, which it hands out as the leader of the next term."""
    s.shows(1, FOLLOWER, 2, last=3)
    s.writes(1, [entry(3, 2)], HardState(2, 0, 2))
    s.shows(1, LEADER, 4, last=4)
    s.checker.handed_out(1, [entry(3, 3), entry(4, 4)], None)
    if again:
        s.checker.handed_out(1, [entry(4, 4)], None)


@border("S7", lambda s: _replaces_as_a_leader(s, again=True))
def _a_leader_hands_out_what_it_followed(s: MadeHistory) -> None:
    _replaces_as_a_leader(s, again=False)


def _is_elected_with(s: MadeHistory, last: int, term_there: int) -> None:
    s.commits(2, [entry(3, 2)])
    s.shows(3, LEADER, 3, last=3)
    s.checker.elected(3, 3, last, s.checker.index_to_show(3), term_there)


@border("S8", lambda s: _is_elected_with(s, 2, 0))
def _a_leader_has_exactly_what_is_committed(s: MadeHistory) -> None:
    _is_elected_with(s, 3, 2)


@border("S8", lambda s: _is_elected_with(s, 3, 1))
def _a_leader_has_compacted_what_is_committed(s: MadeHistory) -> None:
    _is_elected_with(s, 3, 0)


def _elected_in_term_of_the_commit(s: MadeHistory, term: int) -> None:
    """Entry 3 was committed in term 3; a leader of term 3 need not have it, one of term 4 must."""
    s.commits(3, [entry(3, 3)])
    s.shows(2, FOLLOWER, term, last=2)
    s.checker.elected(2, term, 2, s.checker.index_to_show(term), 1)


@border("S8", lambda s: _elected_in_term_of_the_commit(s, 4))
def _what_is_committed_in_its_term_is_not_asked_of_a_leader(s: MadeHistory) -> None:
    _elected_in_term_of_the_commit(s, 3)


# S9 to S12: commit and apply


def applies(s: MadeHistory, *indexes: int) -> None:
    s.commits(2, [entry(3, 2), entry(4, 2)])
    for index in indexes:
        s.checker.applied(1, entry(index, 2))


@border("S9", lambda s: applies(s, 4))
def _applies_one_after_the_other(s: MadeHistory) -> None:
    applies(s, 3, 4)


@border("S9", lambda s: applies(s, 3, 3))
def _applies_each_once(s: MadeHistory) -> None:
    applies(s, 3)


def _restores(s: MadeHistory, index: int) -> None:
    applies(s, 3)
    s.checker.restored(1, snapshot_at(s, index, 2))


@border("S9", lambda s: _restores(s, 3))
def _a_snapshot_one_entry_beyond_what_is_applied(s: MadeHistory) -> None:
    _restores(s, 4)


def _commits_with(s: MadeHistory, holders: tuple[int, ...], entry_term: int = 2) -> None:
    s.leads(1, 2)
    s.replicates(2, [entry(3, entry_term)], to=holders)
    s.shows(1, LEADER, 2, commit=3, last=3)


@border("S10", lambda s: _commits_with(s, (1,)))
def _commits_with_two_of_three(s: MadeHistory) -> None:
    _commits_with(s, (1, 3))


@border("S10", lambda s: _commits_with(s, (1, 2), entry_term=1))
def _commits_of_its_own_term(s: MadeHistory) -> None:
    _commits_with(s, (1, 2))


def _a_follower_commits(s: MadeHistory, index: int) -> None:
    s.commits(2, [entry(3, 2)])
    s.shows(2, FOLLOWER, 2, commit=index, last=4)


@border("S10", lambda s: _a_follower_commits(s, 4))
def _a_follower_commits_what_is_committed(s: MadeHistory) -> None:
    _a_follower_commits(s, 3)


def _commits_over(s: MadeHistory, handed_out: bool) -> None:
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
def _commits_what_somebody_handed_out(s: MadeHistory) -> None:
    _commits_over(s, handed_out=True)


def _replaces(s: MadeHistory, term: int, index: int) -> None:
    """Entry 3 is committed, and node 2 has 4 of the same term."""
    s.commits(2, [entry(3, 2)])
    s.shows(2, FOLLOWER, 3, commit=3, last=4)
    s.checker.handed_out(2, [entry(4, 2)], None)
    s.checker.handed_out(2, [entry(index, term)], None)


@border("S11", lambda s: _replaces(s, 3, 3))
def _replaces_the_entry_after_the_committed_one(s: MadeHistory) -> None:
    _replaces(s, 3, 4)


@border("S11", lambda s: _replaces(s, 3, 3))
def _writes_the_committed_entry_again(s: MadeHistory) -> None:
    _replaces(s, 2, 3)


def _saves_a_commit_index(s: MadeHistory, index: int) -> None:
    s.commits(2, [entry(3, 2), entry(4, 2)])
    writes_of_a_follower(s, 3, 2, 3)
    s.disks[3].write(None, [], HardState(2, 1, index))
    s.disks[3].sync()
    s.checker.persisted(3)


@border("S11", lambda s: _saves_a_commit_index(s, 4))
def _saves_a_commit_index_that_its_log_has(s: MadeHistory) -> None:
    _saves_a_commit_index(s, 3)


def _holds_on(s: MadeHistory, lost: tuple[int, ...], known: bool = False) -> None:
    s.commits(2, [entry(3, 2)])
    _loses(s, *lost)
    if known:
        s.checker.lost.add(lost[0])
    s.checker.check_quorums_hold_commits()


@border("S11", lambda s: _holds_on(s, (1, 2)))
def _one_of_three_may_lack_what_is_committed(s: MadeHistory) -> None:
    """Node 3 never had it; only 1 and 2 hold it, and that is a quorum."""
    _holds_on(s, ())


@border("S11", lambda s: _holds_on(s, (1, 2)))
def _a_disk_that_was_lost_is_not_asked(s: MadeHistory) -> None:
    _holds_on(s, (1, 2), known=True)


def _shows_indexes(s: MadeHistory, applied: int, commit: int, last: int) -> None:
    s.commits(2, [entry(3, 2)])
    s.shows(1, LEADER, 2, commit=commit, applied=applied, last=last)


@border("S12", lambda s: _shows_indexes(s, 4, 3, 4))
def _has_applied_all_that_is_committed(s: MadeHistory) -> None:
    _shows_indexes(s, 3, 3, 4)


@border("S12", lambda s: _shows_indexes(s, 2, 4, 3))
def _has_committed_all_that_it_has(s: MadeHistory) -> None:
    _shows_indexes(s, 2, 3, 3)


def _has_applied(s: MadeHistory, *indexes: int) -> None:
    s.commits(2, [entry(3, 2)])
    for applied in indexes:
        s.shows(1, LEADER, 2, commit=3, applied=applied, last=3)


@border("S12", lambda s: _has_applied(s, 3, 2))
def _applied_stays(s: MadeHistory) -> None:
    _has_applied(s, 3, 3)


@border("S12", lambda s: _saves(s, HardState(2, 0, 2), HardState(2, 0, 1)))
def _saves_its_commit_index_again(s: MadeHistory) -> None:
    _saves(s, HardState(2, 0, 2), HardState(2, 0, 2))


def _saves_a_commit_index_over(s: MadeHistory, term: int) -> None:
    s.commits(2, [entry(3, 2)])
    s.disks[3].write(None, [entry(3, term)], HardState(2, 1, 3))
    s.disks[3].sync()
    s.checker.persisted(3)


@border("S11", lambda s: _saves_a_commit_index_over(s, 1))
def _saves_a_commit_index_over_the_committed_entry(s: MadeHistory) -> None:
    _saves_a_commit_index_over(s, 2)


@border("S11", lambda s: _holds_on(s, (1, 2)))
def _who_knows_the_commit_index_only_is_not_asked(s: MadeHistory) -> None:
    """Node 3 learned the commit index, and has been handed out neither the entry nor the snapshot that holds it."""
    s.commits(2, [entry(3, 2)])
    s.shows(3, FOLLOWER, 2, commit=3, last=3)
    s.checker.lives[1].commit = s.checker.lives[2].commit = 2
    _loses(s, 1, 2)
    s.checker.check_quorums_hold_commits()


@border("S11", lambda s: _holds_on(s, (1, 2)))
def _who_has_a_snapshot_coming_is_not_asked(s: MadeHistory) -> None:
    s.commits(2, [entry(3, 2)])
    s.checker.lives[1].snapshots_arrived.add(3)
    _loses(s, 1, 2)
    s.checker.check_quorums_hold_commits()


@border("S11", lambda s: _holds_on(s, (1, 2)))
def _who_has_not_applied_a_change_up_to_there_is_not_asked(s: MadeHistory) -> None:
    """Its configuration may be another one than that which committed."""
    s.commits(2, [ADD_4])
    _loses(s, 1, 2)
    s.checker.check_quorums_hold_commits()


def _loses(s: MadeHistory, *nodes: int) -> None:
    for n in nodes:
        s.checker.lives[n].durable = SimDisk(START).durable
