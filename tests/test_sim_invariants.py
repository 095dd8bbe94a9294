"""Every law of the simulator's checker: a history that breaks it is caught, and by that law."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sim_histories import CANDIDATE, FOLLOWER, LEADER, START, Story, entry

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


def two_leaders(story: Story) -> None:
    story.leads(1, 2)
    story.shows(2, LEADER, 2)


def stranger_speaks_for_leader(story: Story) -> None:
    story.leads(1, 2)
    story.shows(2, FOLLOWER, 2)
    story.says(2, Message(MSG_HEARTBEAT, 3, 2, 2))


def two_votes(story: Story) -> None:
    story.shows(3, FOLLOWER, 2)
    story.writes(3, [], HardState(2, 1, 2))
    story.says(3, Message(MSG_VOTE_RESP, 1, 3, 2))
    story.says(3, Message(MSG_VOTE_RESP, 2, 3, 2))


def vote_before_sync(story: Story) -> None:
    story.shows(3, FOLLOWER, 2)
    story.writes(3, [], HardState(2, 1, 2), synced=False)
    story.says(3, Message(MSG_VOTE_RESP, 1, 3, 2))


def request_before_sync(story: Story) -> None:
    story.shows(3, CANDIDATE, 2)
    story.says(3, Message(MSG_VOTE, 1, 3, 2))


def acknowledgement_before_sync(story: Story) -> None:
    story.leads(1, 2)
    story.replicates(2, [entry(3, 2)], to=(1,))
    story.shows(2, FOLLOWER, 2, last=3)
    story.writes(2, [], HardState(2, 1, 2))
    story.writes(2, [entry(3, 2)], synced=False)
    story.says(2, Message(MSG_APP_RESP, 1, 2, 2, 0, 3))


def answer_of_unsaved_term(story: Story) -> None:
    story.shows(2, FOLLOWER, 2)
    story.says(2, Message(MSG_APP_RESP, 1, 2, 2, 0, 2))


def term_falls(story: Story) -> None:
    story.shows(1, FOLLOWER, 3)
    story.shows(1, FOLLOWER, 2)


def term_below_disk(story: Story) -> None:
    story.shows(1, FOLLOWER, 3)
    story.writes(1, [], HardState(3, 0, 2))
    story.boot(1, 2)
    story.shows(1, FOLLOWER, 2)


def disk_term_falls(story: Story) -> None:
    story.shows(1, FOLLOWER, 3)
    story.writes(1, [], HardState(3, 0, 2))
    story.writes(1, [], HardState(2, 0, 2))


def vote_changes(story: Story) -> None:
    story.shows(1, FOLLOWER, 3)
    story.writes(1, [], HardState(3, 2, 2))
    story.writes(1, [], HardState(3, 3, 2))


def same_position_other_data(story: Story) -> None:
    for n, data in ((1, b"a"), (2, b"b")):
        story.shows(n, FOLLOWER, 2)
        story.writes(n, [entry(3, 2, data)])


def gap(story: Story) -> None:
    story.shows(1, FOLLOWER, 2)
    story.checker.handed_out(1, [entry(4, 2)], None)


def entry_of_future_term(story: Story) -> None:
    story.shows(1, FOLLOWER, 2)
    story.checker.handed_out(1, [entry(3, 3)], None)


def leader_cuts_log(story: Story) -> None:
    story.shows(1, LEADER, 2, last=5)
    story.shows(1, LEADER, 2, last=4)


def leader_replaces(story: Story) -> None:
    story.leads(1, 2)
    story.writes(1, [entry(3, 2)])
    story.checker.handed_out(1, [entry(3, 2)], None)


def leader_tells_two_stories(story: Story) -> None:
    story.leads(1, 4)
    story.says(1, Message(MSG_APP, 2, 1, 4, 2, 3, [], 2))
    story.says(1, Message(MSG_APP, 2, 1, 4, 3, 3, [], 2))


def leader_lacks_committed(story: Story) -> None:
    story.commits(2, [entry(3, 2)])
    assert story.shows(3, LEADER, 3)
    index = story.checker.index_to_show(3)
    assert index == 3
    story.checker.elected(3, 3, 3, index, 1)


def applies_with_gap(story: Story) -> None:
    story.commits(2, [entry(3, 2), entry(4, 2)])
    story.checker.applied(1, entry(4, 2))


def applies_something_else(story: Story) -> None:
    story.commits(2, [entry(3, 2)])
    story.checker.applied(1, entry(3, 2, b"else"))


def applies_uncommitted(story: Story) -> None:
    story.checker.applied(1, entry(3, 2))


def foreign_snapshot(story: Story) -> None:
    story.commits(2, [entry(3, 2)])
    story.checker.restored(3, Snapshot(b"else", SnapshotMetadata(ConfState((1, 2, 3)), 3, 2)))


def snapshot_of_what_is_applied(story: Story) -> None:
    """Exactly that, and no further: the application would be given what it has."""
    story.commits(2, [entry(3, 2)])
    story.checker.applied(1, entry(3, 2))
    states = story.checker.states
    story.checker.restored(1, Snapshot(states[3], SnapshotMetadata(ConfState((1, 2, 3)), 3, 2)))


def commit_by_minority(story: Story) -> None:
    story.leads(1, 2)
    story.replicates(2, [entry(3, 2)], to=(1,))
    story.shows(1, LEADER, 2, commit=3, last=3)


def commit_with_stranger(story: Story) -> None:
    """Node 4 has the entry, but is no voter."""
    story.leads(1, 2)
    story.replicates(2, [entry(3, 2)], to=(1,))
    story.disks[4].durable.apply_snapshot(Snapshot(b"", SnapshotMetadata(ConfState((1, 2, 3)), 3, 2)))
    story.shows(1, LEADER, 2, commit=3, last=3)


def commit_of_old_term(story: Story) -> None:
    story.leads(1, 2)
    story.replicates(2, [entry(3, 2)])
    story.shows(1, LEADER, 3, commit=3, last=3)


def follower_commits_first(story: Story) -> None:
    story.shows(2, FOLLOWER, 2, commit=3, last=3)


def committed_is_replaced(story: Story) -> None:
    story.commits(2, [entry(3, 2)])
    story.shows(2, FOLLOWER, 3, commit=3, last=3)
    story.checker.handed_out(2, [entry(3, 3)], None)


def committed_is_missing_on_disk(story: Story) -> None:
    story.commits(2, [entry(3, 2)])
    story.shows(3, FOLLOWER, 2, last=3)
    story.disks[3].write(None, [], HardState(2, 1, 3))
    story.disks[3].sync()
    story.checker.persisted(3)


def committed_is_missing_on_a_quorum(story: Story) -> None:
    """The disks of two are as if they had never written what they said that they had."""
    story.commits(2, [entry(3, 2)])
    for n in (1, 2):
        story.checker.lives[n].durable = SimDisk(START).durable
    story.checker.check_quorums_hold_commits()


def nobody_looked_for_long(story: Story) -> None:
    """The same, found while something else happens."""
    story.commits(2, [entry(3, 2)])
    for n in (1, 2):
        story.checker.lives[n].durable = SimDisk(START).durable
    for _ in range(64):
        story.shows(3, FOLLOWER, 2)


def commit_falls(story: Story) -> None:
    story.commits(2, [entry(3, 2)])
    story.shows(1, LEADER, 2, commit=2, last=3)


def applied_beyond_commit(story: Story) -> None:
    story.shows(1, FOLLOWER, 2, commit=2, applied=3, last=3)


def disk_commit_falls(story: Story) -> None:
    story.shows(1, FOLLOWER, 2)
    story.writes(1, [], HardState(2, 0, 2))
    story.writes(1, [], HardState(2, 0, 1))


def term_from_nowhere(story: Story) -> None:
    story.shows(2, FOLLOWER, 2)
    story.says(2, Message(MSG_HEARTBEAT, 1, 2, 3))


def entries_with_gap_in_message(story: Story) -> None:
    story.leads(1, 2)
    story.says(1, Message(MSG_APP, 2, 1, 2, 1, 2, [entry(4, 2)], 2))


def heartbeat_beyond_commit(story: Story) -> None:
    story.leads(1, 2)
    story.says(1, Message(MSG_HEARTBEAT, 2, 1, 2, 0, 0, [], 3))


def snapshot_beyond_applied(story: Story) -> None:
    story.leads(1, 2)
    snapshot = Snapshot(b"", SnapshotMetadata(ConfState((1, 2, 3)), 3, 2))
    story.says(1, Message(MSG_SNAP, 2, 1, 2, snapshot=snapshot))


def stranger_is_invited(story: Story) -> None:
    story.leads(1, 2)
    story.says(1, Message(MSG_TIMEOUT_NOW, 4, 1, 2))


def heartbeat_beyond_match(story: Story) -> None:
    story.commits(2, [entry(3, 2)])
    story.says(1, Message(MSG_HEARTBEAT, 3, 1, 2, 0, 0, [], 3))


def invites_without_handing_over(story: Story) -> None:
    story.leads(1, 2)
    story.says(1, Message(MSG_TIMEOUT_NOW, 2, 1, 2))


def invites_who_is_behind(story: Story) -> None:
    story.leads(1, 2)
    story.replicates(2, [entry(3, 2)], to=(1,))
    story.shows(1, LEADER, 2, last=3, hands_over_to=2)
    story.says(1, Message(MSG_TIMEOUT_NOW, 2, 1, 2))


def acknowledges_what_was_never_sent(story: Story) -> None:
    story.leads(1, 2)
    story.shows(2, FOLLOWER, 2, last=3)
    story.writes(2, [entry(3, 2)], HardState(2, 1, 2))
    story.says(2, Message(MSG_APP_RESP, 1, 2, 2, 0, 3))


def configuration_differs(story: Story) -> None:
    story.commits(2, [ADD_4])
    story.checker.applied(1, ADD_4)
    story.checker.configured(1, 3, ConfState((1, 2, 3)))


def two_changes_under_way(story: Story) -> None:
    story.leads(1, 2)
    story.writes(1, [ADD_4, REMOVE_3])


def snapshot_with_old_configuration(story: Story) -> None:
    story.commits(2, [ADD_4])
    state = story.checker.states[3]
    story.checker.restored(3, Snapshot(state, SnapshotMetadata(ConfState((1, 2, 3)), 3, 2)))


def nobody_votes_any_more(story: Story) -> None:
    check_succession(3, ConfState((1, 2, 3)), ConfState((), learners=(1, 2, 3)))


def two_voters_at_once(story: Story) -> None:
    check_succession(3, ConfState((1, 2, 3)), ConfState((1, 2, 3, 4, 5)))


def quorums_that_do_not_meet(story: Story) -> None:
    """It entered a joint configuration whose old half is not the one before."""
    check_succession(3, ConfState((1, 2, 3)), ConfState((4,), voters_outgoing=(4, 5, 6)))


def stranger_campaigns(story: Story) -> None:
    story.shows(4, CANDIDATE, 2, commit=0, applied=0, last=0)


def stale_read(story: Story) -> None:
    story.commits(2, [entry(3, 2)])
    story.checker.read_invoked(2, b"r")
    story.checker.read_answered(2, b"r", 2)


def read_answered_twice(story: Story) -> None:
    story.checker.read_invoked(2, b"r")
    story.checker.read_answered(2, b"r", 2)
    story.checker.read_answered(2, b"r", 2)


def read_of_an_earlier_life(story: Story) -> None:
    story.checker.read_invoked(2, b"r")
    story.boot(2, 2)
    story.checker.read_answered(2, b"r", 2)


def stale_read_by_lease(_: Story) -> None:
    stale_read(Story(reads_by_lease=True))


def proposal_is_doubled(story: Story) -> None:
    """The leader was given it once, and its log has it twice."""
    story.leads(1, 2)
    story.checker.offered(1, b"x")
    story.commits(2, [entry(3, 2, b"x"), entry(4, 2, b"x")])


def proposal_from_nowhere(story: Story) -> None:
    """A follower was given it, and a leader never."""
    story.checker.offered(2, b"x")
    story.commits(2, [entry(3, 2, b"x")])


def request_takes_effect_twice(story: Story) -> None:
    story.checker.once.took_effect(1, 3, client=7, number=1)
    story.checker.once.took_effect(2, 3, client=7, number=1)
    story.checker.once.took_effect(2, 4, client=7, number=1)


def transfer_never_ends(story: Story) -> None:
    story.leads(1, 2)
    story.shows(1, LEADER, 2, hands_over_to=2)
    for _ in range(11):
        story.checker.ticked(1, 1)
        story.shows(1, LEADER, 2, hands_over_to=2)


def refusal_changes_something(story: Story) -> None:
    node = RawNode(Config(id=1, storage=MemoryStorage(), logger=NullLogger()))
    before = node.export_state()
    node.step(Message(MSG_HEARTBEAT, 1, 2, 5))
    story.checker.refused(1, before, node.export_state(), "nothing at all")


def invented_entry(story: Story) -> None:
    story.leads(1, 2)
    story.checker.offered(1, b"nobody's")
    story.commits(2, [entry(3, 2, b"nobody's")])
    story.checker.applied(1, entry(3, 2, b"nobody's"))


def too_many_uncommitted(story: Story) -> None:
    story.shows(1, LEADER, 2, size=101)


def too_many_reads(story: Story) -> None:
    story.shows(1, LEADER, 2, reads=11)


def oversized_message(story: Story) -> None:
    story.leads(1, 2)
    story.says(1, Message(MSG_APP, 2, 1, 2, 1, 2, [entry(3, 2, b"x" * 60), entry(4, 2, b"x" * 60)], 2))


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


def match_without_next(story: Story) -> None:
    story.leads(1, 2)
    story.checker.progress_seen(1, leader_status(match=3, next=3))


def match_that_is_not_on_disk(story: Story) -> None:
    story.leads(1, 2)
    story.replicates(2, [entry(3, 2)], to=(1,))
    story.checker.progress_seen(1, leader_status(match=3, next=4))


def match_falls(story: Story) -> None:
    story.leads(1, 2)
    story.replicates(2, [entry(3, 2)])
    story.checker.progress_seen(1, leader_status(match=3, next=4))
    story.checker.progress_seen(1, leader_status(match=2, next=4))


def quota_differs(story: Story) -> None:
    """The leader has one entry of three bytes that is not applied, and counts four."""
    story.shows(1, LEADER, 2, last=3)
    story.writes(1, [entry(3, 2, b"abc")], HardState(2, 1, 2))
    status = leader_status(match=0, next=4)
    status.uncommitted_size = 3
    story.checker.progress_seen(1, status)
    status.uncommitted_size = 4
    story.checker.progress_seen(1, status)


def too_many_messages_under_way(story: Story) -> None:
    story.leads(1, 2)
    status = leader_status(match=2, next=4)
    inflights = status.progress[2].inflights
    for index in range(3, 8):
        inflights.add(index, 1)
    story.checker.progress_seen(1, status)


def members_not_followed(story: Story) -> None:
    story.leads(1, 2)
    story.checker.lives[1].conf = ConfState((1, 2))
    story.checker.progress_seen(1, leader_status(match=2, next=3))


CASES: dict[str, list[Callable[[Story], None]]] = {
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
def test_a_violating_history_is_caught(law: str, history: Callable[[Story], None]) -> None:
    with pytest.raises(Violation) as caught:
        history(Story())
    assert caught.value.invariant == law


def test_an_honest_history_passes() -> None:
    story = Story()
    story.checker.proposed.add(b"x")
    story.leads(1, 2)
    story.checker.offered(1, b"x")
    story.commits(2, [entry(3, 2), entry(4, 2, b"x")])
    story.says(2, Message(MSG_APP_RESP, 1, 2, 2, 0, 4))
    for one in (entry(3, 2), entry(4, 2, b"x")):
        story.checker.applied(1, one)
    story.checker.read_invoked(1, b"r")
    story.checker.read_answered(1, b"r", 4)
    story.shows(2, LEADER, 3, last=4)
    story.checker.elected(2, 3, 4, story.checker.index_to_show(3), 2)
    assert story.checker.highest == 4
    assert story.checker.reads_checked == 1
