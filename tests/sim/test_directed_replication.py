"""Directed schedules about logs: old entries and old acknowledgements, tails that part, writes that end late."""

from __future__ import annotations

import pytest
from directed import BOTH_WAYS, plain

from pyraft import DropReason, ProgressState, ProposalDroppedError
from raftpb.enums import MSG_APP, MSG_APP_RESP, MSG_HEARTBEAT, MSG_SNAP
from raftpb.message import Message
from rafttest.sim.directed.schedule import FIRST, DirectedSchedule


def match(s: DirectedSchedule, leader: int, n: int) -> int:
    return s.node(leader).raw.status().progress[n].match


def lead_unheard(s: DirectedSchedule, n: int) -> None:
    """`n` is elected, perhaps at the second attempt, and none of its appends arrives by itself."""
    s.hold(MSG_APP, from_=n)
    s.campaign(n)
    s.run_until_idle()
    if not s.leads(n):
        s.elect(n)


def fail(s: DirectedSchedule, n: int) -> None:
    """`n` crashes, and everything that is on its way is lost."""
    s.crash(n)
    s.mailbox.clear()
    s.release()


# Committing


@BOTH_WAYS
def test_older_term_commit_fig8(asynchronous: bool) -> None:
    """Figure 8 of the thesis, all of it. "old", of term 2, is on four of five, three of them acknowledged to its leader
    of term 4; that commits nothing, for 5, whose log ends in term 3, may still be elected and replace it.
    """
    s = DirectedSchedule(
        5, **plain(async_storage_writes=asynchronous, max_size_per_msg=0, max_committed_size_per_ready=100)
    )
    s.elect(1)
    s.hold(MSG_APP, from_=1)
    s.propose(1, b"old")
    s.handle(1)
    s.deliver(MSG_APP, to=2)
    s.handle(2)
    fail(s, 1)
    lead_unheard(s, 5)
    fail(s, 5)
    assert (s.terms(2), s.terms(5)) == ([2, 2], [2, 3])
    s.restart(1)
    lead_unheard(s, 1)
    for _ in range(2):  # they refuse entry 5, for they lack 4; then 4 comes alone
        s.deliver(MSG_APP, to=3)
        s.deliver(MSG_APP, to=4)
        s.run_until_idle()
    assert (s.terms(3), s.terms(4), match(s, 1, 3), match(s, 1, 4)) == ([2, 2], [2, 2], FIRST + 1, FIRST + 1)
    assert s.status(1).commit == FIRST
    fail(s, 1)
    s.restart(5)
    lead_unheard(s, 5)
    s.release()
    s.run_until_idle()
    assert s.terms(2) == s.terms(4) == [2, 3, s.status(5).term]
    s.converge()
    assert s.data(1) == [b"converged"]


def test_an_append_vouches_for_no_more_than_it_holds() -> None:
    """3 has an old tail beyond the entry that an empty append speaks of, and the leader has committed other entries
    there. This library's leader sends an empty append only to whom it believes in step; other leaders do as they like.
    """
    s = DirectedSchedule(3, **plain())
    s.elect(3)
    s.hold(MSG_APP, from_=3)
    s.propose(3, b"lost", b"lost too")
    s.handle(3)
    s.mailbox.clear()
    s.release()
    s.hold(to=3)
    s.elect(2)
    s.propose(2, b"a")
    s.run_until_idle()
    assert s.terms(3) == [2, 2, 2]
    s.arrive(Message(MSG_APP, 3, 2, s.status(2).term, 2, FIRST, [], s.status(2).commit))
    assert s.status(2).commit == FIRST + 2
    assert s.status(3).commit == FIRST
    s.handle(3)
    s.converge()
    assert s.data(3) == [b"a", b"converged"]


def test_stale_acknowledgement_of_an_earlier_term() -> None:
    """2 has acknowledged "a" and "b" of leader 1, in term 2, and a leader of term 3 has replaced them since. The word
    of it comes, reordered behind all that, when 1 leads again.
    """
    s = DirectedSchedule(5, **plain())
    s.elect(1)
    s.hold(MSG_APP, from_=1)
    s.propose(1, b"a", b"b")
    s.handle(1)
    s.deliver(MSG_APP, to=2)
    s.handle(2)
    late = s.drop(MSG_APP_RESP, from_=2)
    s.mailbox.clear()
    lead_unheard(s, 3)
    s.deliver(MSG_APP, to=2)
    s.handle(2)
    fail(s, 3)
    assert s.terms(2) == [2, 3]
    s.hold(MSG_APP, to=2)
    s.elect(1)
    assert s.terms(1) == [2, 2, 2, 4]
    for m in late:
        s.arrive(m)
    assert match(s, 1, 2) == 0
    s.converge()


def test_acknowledgements_in_the_wrong_order() -> None:
    """The later one counts for both; the earlier one, and a copy of it, take nothing back."""
    s = DirectedSchedule(3)
    s.elect(1)
    for data in (b"a", b"b"):
        s.propose(1, data)
        s.handle(1)
    s.drop(MSG_APP, to=3)
    s.deliver(MSG_APP, to=2)
    s.handle(2)
    first, second = s.drop(MSG_APP_RESP, from_=2)
    for m in (second, first, second, first):
        s.arrive(m)
        assert match(s, 1, 2) == FIRST + 2
    s.converge()


# Parting tails


@BOTH_WAYS
@pytest.mark.parametrize("written", [True, False], ids=["written", "being-written"])
def test_snapshot_conflicting_tail(written: bool, asynchronous: bool) -> None:
    """3 has a longer log than the snapshot that it gets, and none of its tail was committed."""
    s = DirectedSchedule(3, **plain(async_storage_writes=asynchronous))
    s.elect(3)
    s.hold(MSG_APP, from_=3)
    s.propose(3, b"lost", b"lost", b"lost", b"lost")
    s.handle(3) if written else s.ready(3)
    s.mailbox.clear()
    s.release()
    s.cut(to=3)
    s.elect(2)
    s.propose(2, b"a")
    s.run_until_idle()
    s.compact(2)
    assert s.terms(2) == []
    s.heal()
    s.pass_time(1, 2)
    assert s.node(3).disk.cache.snapshot().metadata.index == FIRST + 2
    assert s.status(3).last_index == FIRST + 2
    s.converge()
    assert s.data(3) == [b"a", b"converged"]


def test_append_aba() -> None:
    """3 gets "a" of term 2, then another entry in its place, then "a" again, and only now hears from its disk that "a"
    is written. That was the first one: the disk holds what came between, so "a" may not be applied yet.
    """
    s = DirectedSchedule(5, **plain(async_storage_writes=True))
    s.elect(1)
    s.hold(MSG_APP, from_=1)
    s.propose(1, b"a")
    s.handle(1)
    s.deliver(MSG_APP, to=3)
    s.ready(3)
    s.persist(3, heard=False)
    s.pause(3)
    s.mailbox.clear()
    lead_unheard(s, 2)
    s.deliver(MSG_APP, to=3)
    s.ready(3)
    s.persist(3, heard=False)
    fail(s, 2)
    s.elect(1)
    s.deliver(MSG_APP, to=3)  # what follows "a": refused
    s.ready(3)
    s.persist(3, heard=False)
    s.run_until_idle()
    s.deliver(MSG_APP, to=3)  # "a"
    assert [entry.data for entry in s.ready(3).entries] == [b"a", b""]
    s.hear(3)
    assert s.status(3).commit > FIRST
    assert s.node(3).disk.cache.term(FIRST + 1) == 3
    assert not s.node(3).raw.has_ready()
    s.persist(3)
    s.converge()
    assert s.data(3) == [b"a", b"converged"]


# Windows and limits


def test_a_window_of_bytes_that_was_full_is_empty_afterwards() -> None:
    """Everything on its way to 2 is lost, and the transport says so."""
    s = DirectedSchedule(3, max_size_per_msg=20, max_inflight_bytes=20)
    s.elect(1)
    s.cut(to=2)
    for _ in range(3):
        s.propose(1, b"x" * 20)
        s.run_until_idle()
    assert s.node(1).raw.status().progress[2].is_paused()
    s.report_unreachable(1, 2)
    s.converge()
    assert s.data(2) == [b"x" * 20] * 3 + [b"converged"]


def test_a_snapshot_that_did_not_arrive_is_sent_again() -> None:
    """The leader knows no more of 3 than before: next it sends a snapshot, not what follows the one that was lost."""
    s = DirectedSchedule(3)
    s.elect(1)
    s.isolate(3)
    s.propose(1, b"a", b"b")
    s.run_until_idle()
    s.compact(1)
    s.heal()
    s.hold(MSG_SNAP)
    s.pass_time(2)
    s.drop(MSG_SNAP, to=3)
    s.report_snapshot(1, 3, False)
    progress = s.node(1).raw.status().progress[3]
    assert (progress.state, progress.next) == (ProgressState.StateProbe, progress.match + 1)
    s.tick(1)
    s.handle(1)
    s.deliver(MSG_HEARTBEAT, to=3)
    s.handle(3)
    s.deliver(from_=3)
    s.handle(1)
    assert [m.type for m in s.mailbox if m.to == 3] == [MSG_SNAP]
    s.converge()
    assert s.data(3) == [b"a", b"b", b"converged"]


def test_uncommitted_size_across_terms() -> None:
    """What one leader could not commit does not count against the next, nor against itself when it leads again; and
    what was counted is given back once, whoever commits it.
    """
    s = DirectedSchedule(3, max_uncommitted_entries_size=10)
    ten = b"0123456789"

    def fill(n: int) -> None:
        s.propose(n, ten)
        assert s.status(n).uncommitted_size == 10
        with pytest.raises(ProposalDroppedError) as dropped:
            s.propose(n, b"x")
        assert dropped.value.reason is DropReason.UNCOMMITTED_LIMIT

    s.elect(1)
    s.hold(MSG_APP_RESP, to=1)
    fill(1)
    s.run_until_idle()
    for leader in (2, 1, 3):
        s.mailbox.clear()
        s.release()
        s.hold(MSG_APP_RESP)
        s.elect(leader)
        assert s.status(leader).uncommitted_size == 0
        fill(leader)
        s.run_until_idle()
    s.release()
    s.run_until_idle()
    assert s.data(1) == s.data(2) == s.data(3)
    assert ten in s.data(3)
    assert [s.status(n).uncommitted_size for n in (1, 2, 3)] == [0, 0, 0]
    fill(3)
    s.converge()


def all_but_apply(s: DirectedSchedule, n: int) -> None:
    """Everybody goes on, and `n`, which is paused, as well, but for its application, which is slow."""
    for _ in range(6):
        s.run_until_idle()
        for m in [m for m in s.mailbox if m.to == n]:
            s.remove(m)
            s.arrive(m)
        while s.node(n).raw.has_ready():
            s.ready(n)
        while s.node(n).append_work:
            s.persist(n)


def handed_out(s: DirectedSchedule, n: int) -> list[int]:
    """The last index of each batch that the application of `n` has not answered."""
    return [index for index, _ in s.node(n).raw.export_state().handed_out]


def test_a_snapshot_that_overtakes_an_application_gives_back_what_was_handed_out() -> None:
    """3 is still applying "a" when a snapshot comes that covers it. While its bytes are out, nothing is handed out. The
    snapshot gives them back, and the late answer of the application, later, nothing.
    """
    s = DirectedSchedule(3, async_storage_writes=True, max_committed_size_per_ready=40)
    s.elect(1)
    s.pause(3)
    s.propose(1, b"a" * 50, b"b")
    all_but_apply(s, 3)
    s.tick(1)
    all_but_apply(s, 3)
    assert handed_out(s, 3) == [FIRST + 1]
    s.report_unreachable(1, 3)
    s.propose(1, b"c")
    s.run_until_idle()
    s.compact(1)
    s.mailbox.clear()
    s.tick(1)
    all_but_apply(s, 3)
    assert s.status(3).applied == FIRST + 3
    s.propose(1, b"d" * 50)
    all_but_apply(s, 3)
    assert handed_out(s, 3) == [FIRST + 4]
    s.resume(3)
    s.converge()
    assert s.data(3) == [b"a" * 50, b"b", b"c", b"d" * 50, b"converged"]
