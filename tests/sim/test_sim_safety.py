"""Every law of the simulator's checker: a history that breaks it is caught, and by that law."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sim_histories import CANDIDATE, FOLLOWER, LEADER, START, MadeHistory, entry

from pyraft import Config, MemoryStorage, NullLogger, RawNode, Status
from raftpb.codec import encode_conf_change
from raftpb.confchange import ConfChange
from raftpb.enums import (
    ADD_NODE,
    ENTRY_CONF_CHANGE,
    MSG_APP,
    MSG_APP_RESP,
    MSG_HEARTBEAT,
    MSG_SNAP,
    MSG_TIMEOUT_NOW,
    MSG_VOTE,
    MSG_VOTE_RESP,
    REMOVE_NODE,
)
from raftpb.message import ConfState, HardState, Message, Snapshot, SnapshotMetadata
from rafttest.sim.checker.safety import check_succession
from rafttest.sim.checker.violation import Violation
from rafttest.sim.cluster.disk import SimDisk

ADD_4 = entry(3, 2, encode_conf_change(ConfChange(ADD_NODE, 4)), ENTRY_CONF_CHANGE)
REMOVE_3 = entry(4, 2, encode_conf_change(ConfChange(REMOVE_NODE, 3)), ENTRY_CONF_CHANGE)


def two_leaders(made: MadeHistory) -> None:
    made.leads(1, 2)
    made.shows(2, LEADER, 2)


def stranger_speaks_for_leader(made: MadeHistory) -> None:
    made.leads(1, 2)
    made.shows(2, FOLLOWER, 2)
    made.says(2, Message(MSG_HEARTBEAT, 3, 2, 2))


def two_votes(made: MadeHistory) -> None:
    made.shows(3, FOLLOWER, 2)
    made.writes(3, [], HardState(2, 1, 2))
    made.says(3, Message(MSG_VOTE_RESP, 1, 3, 2))
    made.says(3, Message(MSG_VOTE_RESP, 2, 3, 2))


def vote_before_sync(made: MadeHistory) -> None:
    made.shows(3, FOLLOWER, 2)
    made.writes(3, [], HardState(2, 1, 2), synced=False)
    made.says(3, Message(MSG_VOTE_RESP, 1, 3, 2))


def request_before_sync(made: MadeHistory) -> None:
    made.shows(3, CANDIDATE, 2)
    made.says(3, Message(MSG_VOTE, 1, 3, 2))


def acknowledgement_before_sync(made: MadeHistory) -> None:
    made.leads(1, 2)
    made.replicates(2, [entry(3, 2)], to=(1,))
    made.shows(2, FOLLOWER, 2, last=3)
    made.writes(2, [], HardState(2, 1, 2))
    made.writes(2, [entry(3, 2)], synced=False)
    made.says(2, Message(MSG_APP_RESP, 1, 2, 2, 0, 3))


def answer_of_unsaved_term(made: MadeHistory) -> None:
    made.shows(2, FOLLOWER, 2)
    made.says(2, Message(MSG_APP_RESP, 1, 2, 2, 0, 2))


def term_falls(made: MadeHistory) -> None:
    made.shows(1, FOLLOWER, 3)
    made.shows(1, FOLLOWER, 2)


def term_below_disk(made: MadeHistory) -> None:
    made.shows(1, FOLLOWER, 3)
    made.writes(1, [], HardState(3, 0, 2))
    made.boot(1, 2)
    made.shows(1, FOLLOWER, 2)


def disk_term_falls(made: MadeHistory) -> None:
    made.shows(1, FOLLOWER, 3)
    made.writes(1, [], HardState(3, 0, 2))
    made.writes(1, [], HardState(2, 0, 2))


def vote_changes(made: MadeHistory) -> None:
    made.shows(1, FOLLOWER, 3)
    made.writes(1, [], HardState(3, 2, 2))
    made.writes(1, [], HardState(3, 3, 2))


def same_position_other_data(made: MadeHistory) -> None:
    for n, data in ((1, b"a"), (2, b"b")):
        made.shows(n, FOLLOWER, 2)
        made.writes(n, [entry(3, 2, data)])


def gap(made: MadeHistory) -> None:
    made.shows(1, FOLLOWER, 2)
    made.checker.handed_out(1, [entry(4, 2)], None)


def entry_of_future_term(made: MadeHistory) -> None:
    made.shows(1, FOLLOWER, 2)
    made.checker.handed_out(1, [entry(3, 3)], None)


def leader_cuts_log(made: MadeHistory) -> None:
    made.shows(1, LEADER, 2, last=5)
    made.shows(1, LEADER, 2, last=4)


def leader_replaces(made: MadeHistory) -> None:
    made.leads(1, 2)
    made.writes(1, [entry(3, 2)])
    made.checker.handed_out(1, [entry(3, 2)], None)


def leader_tells_two_stories(made: MadeHistory) -> None:
    made.leads(1, 4)
    made.says(1, Message(MSG_APP, 2, 1, 4, 2, 3, [], 2))
    made.says(1, Message(MSG_APP, 2, 1, 4, 3, 3, [], 2))


def leader_lacks_committed(made: MadeHistory) -> None:
    made.commits(2, [entry(3, 2)])
    assert made.shows(3, LEADER, 3)
    index = made.checker.index_to_show(3)
    assert index == 3
    made.checker.elected(3, 3, 3, index, 1)


def applies_with_gap(made: MadeHistory) -> None:
    made.commits(2, [entry(3, 2), entry(4, 2)])
    made.checker.applied(1, entry(4, 2))


def applies_something_else(made: MadeHistory) -> None:
    made.commits(2, [entry(3, 2)])
    made.checker.applied(1, entry(3, 2, b"else"))


def applies_uncommitted(made: MadeHistory) -> None:
    made.checker.applied(1, entry(3, 2))


def foreign_snapshot(made: MadeHistory) -> None:
    made.commits(2, [entry(3, 2)])
    made.checker.restored(3, Snapshot(b"else", SnapshotMetadata(ConfState((1, 2, 3)), 3, 2)))


def snapshot_of_what_is_applied(made: MadeHistory) -> None:
    """Exactly that, and no further: the application would be given what it has."""
    made.commits(2, [entry(3, 2)])
    made.checker.applied(1, entry(3, 2))
    states = made.checker.states
    made.checker.restored(1, Snapshot(states[3], SnapshotMetadata(ConfState((1, 2, 3)), 3, 2)))


def commit_by_minority(made: MadeHistory) -> None:
    made.leads(1, 2)
    made.replicates(2, [entry(3, 2)], to=(1,))
    made.shows(1, LEADER, 2, commit=3, last=3)


def commit_with_stranger(made: MadeHistory) -> None:
    """Node 4 has the entry, but is no voter."""
    made.leads(1, 2)
    made.replicates(2, [entry(3, 2)], to=(1,))
    made.disks[4].durable.apply_snapshot(Snapshot(b"", SnapshotMetadata(ConfState((1, 2, 3)), 3, 2)))
    made.shows(1, LEADER, 2, commit=3, last=3)


def commit_of_old_term(made: MadeHistory) -> None:
    made.leads(1, 2)
    made.replicates(2, [entry(3, 2)])
    made.shows(1, LEADER, 3, commit=3, last=3)


def follower_commits_first(made: MadeHistory) -> None:
    made.shows(2, FOLLOWER, 2, commit=3, last=3)


def committed_is_replaced(made: MadeHistory) -> None:
    made.commits(2, [entry(3, 2)])
    made.shows(2, FOLLOWER, 3, commit=3, last=3)
    made.checker.handed_out(2, [entry(3, 3)], None)


def committed_is_missing_on_disk(made: MadeHistory) -> None:
    made.commits(2, [entry(3, 2)])
    made.shows(3, FOLLOWER, 2, last=3)
    made.disks[3].write(None, [], HardState(2, 1, 3))
    made.disks[3].sync()
    made.checker.persisted(3)


def committed_is_missing_on_a_quorum(made: MadeHistory) -> None:
    """The disks of two are as if they had never written what they said that they had."""
    made.commits(2, [entry(3, 2)])
    for n in (1, 2):
        made.checker.lives[n].durable = SimDisk(START).durable
    made.checker.check_quorums_hold_commits()


def nobody_looked_for_long(made: MadeHistory) -> None:
    """The same, found while something else happens."""
    made.commits(2, [entry(3, 2)])
    for n in (1, 2):
        made.checker.lives[n].durable = SimDisk(START).durable
    for _ in range(64):
        made.shows(3, FOLLOWER, 2)


def commit_falls(made: MadeHistory) -> None:
    made.commits(2, [entry(3, 2)])
    made.shows(1, LEADER, 2, commit=2, last=3)


def applied_beyond_commit(made: MadeHistory) -> None:
    made.shows(1, FOLLOWER, 2, commit=2, applied=3, last=3)


def disk_commit_falls(made: MadeHistory) -> None:
    made.shows(1, FOLLOWER, 2)
    made.writes(1, [], HardState(2, 0, 2))
    made.writes(1, [], HardState(2, 0, 1))


def term_from_nowhere(made: MadeHistory) -> None:
    made.shows(2, FOLLOWER, 2)
    made.says(2, Message(MSG_HEARTBEAT, 1, 2, 3))


def entries_with_gap_in_message(made: MadeHistory) -> None:
    made.leads(1, 2)
    made.says(1, Message(MSG_APP, 2, 1, 2, 1, 2, [entry(4, 2)], 2))


def heartbeat_beyond_commit(made: MadeHistory) -> None:
    made.leads(1, 2)
    made.says(1, Message(MSG_HEARTBEAT, 2, 1, 2, 0, 0, [], 3))


def snapshot_beyond_applied(made: MadeHistory) -> None:
    made.leads(1, 2)
    snapshot = Snapshot(b"", SnapshotMetadata(ConfState((1, 2, 3)), 3, 2))
    made.says(1, Message(MSG_SNAP, 2, 1, 2, snapshot=snapshot))


def stranger_is_invited(made: MadeHistory) -> None:
    made.leads(1, 2)
    made.says(1, Message(MSG_TIMEOUT_NOW, 4, 1, 2))


def heartbeat_beyond_match(made: MadeHistory) -> None:
    made.commits(2, [entry(3, 2)])
    made.says(1, Message(MSG_HEARTBEAT, 3, 1, 2, 0, 0, [], 3))


def invites_without_handing_over(made: MadeHistory) -> None:
    made.leads(1, 2)
    made.says(1, Message(MSG_TIMEOUT_NOW, 2, 1, 2))


def invites_who_is_behind(made: MadeHistory) -> None:
    made.leads(1, 2)
    made.replicates(2, [entry(3, 2)], to=(1,))
    made.shows(1, LEADER, 2, last=3, hands_over_to=2)
    made.says(1, Message(MSG_TIMEOUT_NOW, 2, 1, 2))


def acknowledges_what_was_never_sent(made: MadeHistory) -> None:
    made.leads(1, 2)
    made.shows(2, FOLLOWER, 2, last=3)
    made.writes(2, [entry(3, 2)], HardState(2, 1, 2))
    made.says(2, Message(MSG_APP_RESP, 1, 2, 2, 0, 3))


def configuration_differs(made: MadeHistory) -> None:
    made.commits(2, [ADD_4])
    made.checker.applied(1, ADD_4)
    made.checker.configured(1, 3, ConfState((1, 2, 3)))


def two_changes_under_way(made: MadeHistory) -> None:
    made.leads(1, 2)
    made.writes(1, [ADD_4, REMOVE_3])


def snapshot_with_old_configuration(made: MadeHistory) -> None:
    made.commits(2, [ADD_4])
    state = made.checker.states[3]
    made.checker.restored(3, Snapshot(state, SnapshotMetadata(ConfState((1, 2, 3)), 3, 2)))


def nobody_votes_any_more(made: MadeHistory) -> None:
    check_succession(3, ConfState((1, 2, 3)), ConfState((), learners=(1, 2, 3)))


def two_voters_at_once(made: MadeHistory) -> None:
    check_succession(3, ConfState((1, 2, 3)), ConfState((1, 2, 3, 4, 5)))


def quorums_that_do_not_meet(made: MadeHistory) -> None:
    """It entered a joint configuration whose old half is not the one before."""
    check_succession(3, ConfState((1, 2, 3)), ConfState((4,), voters_outgoing=(4, 5, 6)))


def stranger_campaigns(made: MadeHistory) -> None:
    made.shows(4, CANDIDATE, 2, commit=0, applied=0, last=0)


def stale_read(made: MadeHistory) -> None:
    made.commits(2, [entry(3, 2)])
    made.checker.read_invoked(2, b"r")
    made.checker.read_answered(2, b"r", 2)


def read_answered_twice(made: MadeHistory) -> None:
    made.checker.read_invoked(2, b"r")
    made.checker.read_answered(2, b"r", 2)
    made.checker.read_answered(2, b"r", 2)


def read_of_an_earlier_life(made: MadeHistory) -> None:
    made.checker.read_invoked(2, b"r")
    made.boot(2, 2)
    made.checker.read_answered(2, b"r", 2)


def stale_read_by_lease(_: MadeHistory) -> None:
    stale_read(MadeHistory(reads_by_lease=True))


def proposal_is_doubled(made: MadeHistory) -> None:
    """The leader was given it once, and its log has it twice."""
    made.leads(1, 2)
    made.checker.offered(1, b"x")
    made.commits(2, [entry(3, 2, b"x"), entry(4, 2, b"x")])


def proposal_from_nowhere(made: MadeHistory) -> None:
    """A follower was given it, and a leader never."""
    made.checker.offered(2, b"x")
    made.commits(2, [entry(3, 2, b"x")])


def request_takes_effect_twice(made: MadeHistory) -> None:
    made.checker.once.took_effect(1, 3, client=7, number=1)
    made.checker.once.took_effect(2, 3, client=7, number=1)
    made.checker.once.took_effect(2, 4, client=7, number=1)


def transfer_never_ends(made: MadeHistory) -> None:
    made.leads(1, 2)
    made.shows(1, LEADER, 2, hands_over_to=2)
    for _ in range(11):
        made.checker.ticked(1, 1)
        made.shows(1, LEADER, 2, hands_over_to=2)


def refusal_changes_something(made: MadeHistory) -> None:
    node = RawNode(Config(id=1, storage=MemoryStorage(), logger=NullLogger()))
    before = node.export_state()
    node.step(Message(MSG_HEARTBEAT, 1, 2, 5))
    made.checker.refused(1, before, node.export_state(), "nothing at all")


def invented_entry(made: MadeHistory) -> None:
    made.leads(1, 2)
    made.checker.offered(1, b"nobody's")
    made.commits(2, [entry(3, 2, b"nobody's")])
    made.checker.applied(1, entry(3, 2, b"nobody's"))


def too_many_uncommitted(made: MadeHistory) -> None:
    made.shows(1, LEADER, 2, size=101)


def too_many_reads(made: MadeHistory) -> None:
    made.shows(1, LEADER, 2, reads=11)


def oversized_message(made: MadeHistory) -> None:
    made.leads(1, 2)
    made.says(1, Message(MSG_APP, 2, 1, 2, 1, 2, [entry(3, 2, b"x" * 60), entry(4, 2, b"x" * 60)], 2))


def leader_status(match: int, next: int, last: int = 3) -> Status:
    """Of a real leader of three, with node 2's progress as given."""
    storage = MemoryStorage()
    storage.apply_snapshot(Snapshot(b"", SnapshotMetadata(ConfState((1, 2, 3)), 2, 1)))
    node = RawNode(Config(id=1, storage=storage, logger=NullLogger(), pre_vote=False))
    node.campaign()
    ready = node.ready()
    storage.append(ready.entries)
    node.advance()
    node.step(Message(MSG_VOTE_RESP, 1, 2, ready.messages[0].term))
    status = node.status()
    assert status.soft_state.role is LEADER
    status.progress[2].match, status.progress[2].next = match, next
    assert status.last_index == last
    return status


def match_without_next(made: MadeHistory) -> None:
    made.leads(1, 2)
    made.checker.progress_seen(1, leader_status(match=3, next=3))


def match_that_is_not_on_disk(made: MadeHistory) -> None:
    made.leads(1, 2)
    made.replicates(2, [entry(3, 2)], to=(1,))
    made.checker.progress_seen(1, leader_status(match=3, next=4))


def match_falls(made: MadeHistory) -> None:
    made.leads(1, 2)
    made.replicates(2, [entry(3, 2)])
    made.checker.progress_seen(1, leader_status(match=3, next=4))
    made.checker.progress_seen(1, leader_status(match=2, next=4))


def quota_differs(made: MadeHistory) -> None:
    """The leader has one entry of three bytes that is not applied, and counts four."""
    made.shows(1, LEADER, 2, last=3)
    made.writes(1, [entry(3, 2, b"abc")], HardState(2, 1, 2))
    status = leader_status(match=0, next=4)
    status.uncommitted_size = 3
    made.checker.progress_seen(1, status)
    status.uncommitted_size = 4
    made.checker.progress_seen(1, status)


def too_many_messages_under_way(made: MadeHistory) -> None:
    made.leads(1, 2)
    status = leader_status(match=2, next=4)
    inflights = status.progress[2].inflights
    for index in range(3, 8):
        inflights.add(index, 1)
    made.checker.progress_seen(1, status)


def members_not_followed(made: MadeHistory) -> None:
    made.leads(1, 2)
    made.checker.lives[1].conf = ConfState((1, 2))
    made.checker.progress_seen(1, leader_status(match=2, next=3))


CASES: dict[str, list[Callable[[MadeHistory], None]]] = {
    "S1": [two_leaders, stranger_speaks_for_leader],
    "S2": [two_votes],
    "S3": [vote_before_sync, request_before_sync, acknowledgement_before_sync, answer_of_unsaved_term],
    "S4": [term_falls, term_below_disk, disk_term_falls],
    "S5": [vote_changes],
    "S6": [same_position_other_data, gap, entry_of_future_term],
    "S7": [leader_cuts_log, leader_replaces, leader_tells_two_stories],
    "S8": [leader_lacks_committed],
    "S9": [
        applies_with_gap,
        applies_something_else,
        applies_uncommitted,
        foreign_snapshot,
        snapshot_of_what_is_applied,
    ],
    "S10": [commit_by_minority, commit_with_stranger, commit_of_old_term, follower_commits_first],
    "S11": [
        committed_is_replaced,
        committed_is_missing_on_disk,
        committed_is_missing_on_a_quorum,
        nobody_looked_for_long,
    ],
    "S12": [commit_falls, applied_beyond_commit, disk_commit_falls],
    "S13": [
        term_from_nowhere,
        entries_with_gap_in_message,
        heartbeat_beyond_commit,
        heartbeat_beyond_match,
        snapshot_beyond_applied,
        stranger_is_invited,
        invites_without_handing_over,
        invites_who_is_behind,
        acknowledges_what_was_never_sent,
    ],
    "S14": [
        configuration_differs,
        two_changes_under_way,
        snapshot_with_old_configuration,
        members_not_followed,
        nobody_votes_any_more,
        two_voters_at_once,
        quorums_that_do_not_meet,
    ],
    "S15": [stranger_campaigns],
    "S16": [stale_read, read_answered_twice, read_of_an_earlier_life],
    "S17": [stale_read_by_lease],
    "S19": [proposal_is_doubled, proposal_from_nowhere, request_takes_effect_twice],
    "S21": [invented_entry],
    "S23": [too_many_uncommitted, too_many_reads, oversized_message, quota_differs, too_many_messages_under_way],
    "S24": [refusal_changes_something],
    "S25": [match_without_next, match_that_is_not_on_disk, match_falls],
    "L7": [transfer_never_ends],
}


@pytest.mark.parametrize(
    ("law", "history"),
    [pytest.param(law, history, id=f"{law}-{history.__name__}") for law in CASES for history in CASES[law]],
)
def test_a_violating_history_is_caught(law: str, history: Callable[[MadeHistory], None]) -> None:
    with pytest.raises(Violation) as caught:
        history(MadeHistory())
    assert caught.value.law == law


def test_an_honest_history_passes() -> None:
    made = MadeHistory()
    made.checker.proposed.add(b"x")
    made.leads(1, 2)
    made.checker.offered(1, b"x")
    made.commits(2, [entry(3, 2), entry(4, 2, b"x")])
    made.says(2, Message(MSG_APP_RESP, 1, 2, 2, 0, 4))
    for one in (entry(3, 2), entry(4, 2, b"x")):
        made.checker.applied(1, one)
    made.checker.read_invoked(1, b"r")
    made.checker.read_answered(1, b"r", 4)
    made.shows(2, LEADER, 3, last=4)
    made.checker.elected(2, 3, 4, made.checker.index_to_show(3), 2)
    assert made.checker.highest == 4
    assert made.checker.reads_checked == 1
