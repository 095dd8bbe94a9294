"""What waits for the disk and for the application, in both modes: batches, answers, and answers that come late."""

from __future__ import annotations

from typing import Any

import pytest
from harness import (
    Host,
    acked,
    append,
    follow,
    heartbeat,
    host,
    leader,
    log_of,
    of_type,
    only,
    snapshot_message,
    vote_for,
    voted,
)

from raftpb.enums import (
    ENTRY_NORMAL,
    MSG_APP,
    MSG_HEARTBEAT_RESP,
    MSG_STORAGE_APPEND,
    MSG_STORAGE_APPEND_RESP,
    MSG_STORAGE_APPLY,
    MSG_STORAGE_APPLY_RESP,
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

MODES = pytest.mark.parametrize("async_storage_writes", [False, True], ids=["sync", "async"])
SIZE = Entry(ENTRY_NORMAL, 1, 2, b"2").encoded_size()


def follower(**knobs: Any) -> Host:
    """An asynchronous follower of node 2 in term 1, with nothing to do."""
    node = host(term=1, async_storage_writes=True, **knobs)
    node.step(heartbeat(1))
    return node


def durable(node: Host) -> int:
    """The last index that this node takes for durable."""
    return node.raw.export_state().offset - 1


# When entries are applied


def test_synchronously_a_ready_may_bring_entries_to_write_and_to_apply_alike() -> None:
    node = host(term=1)
    node.raw.step(append(1, (0, 0), log_of([1, 1]), 2))
    ready = node.raw.ready()
    assert [entry.index for entry in ready.entries] == [1, 2]
    assert [entry.index for entry in ready.committed_entries] == [1, 2]


def test_asynchronously_entries_are_applied_once_they_are_durable() -> None:
    node = follower()
    node.raw.step(append(1, (0, 0), log_of([1, 1]), 2))
    ready = node.begin()
    assert ready.committed_entries == []
    assert not node.raw.has_ready()
    node.append()
    assert [entry.index for entry in node.begin().committed_entries] == [1, 2]


def apply_pages(node: Host) -> list[list[int]]:
    """The indexes of the committed entries of each Ready until nothing is left."""
    pages = []
    while node.raw.has_ready():
        pages.append([entry.index for entry in node.take().committed_entries])
        while node.append_work:
            node.append()
        while node.apply_work:
            node.apply_next()
    return [page for page in pages if page]


@MODES
@pytest.mark.parametrize(
    ("limit", "pages"),
    [
        pytest.param(1, [[1], [2], [3], [4], [5]], id="less than one"),
        pytest.param(SIZE, [[1], [2], [3], [4], [5]], id="one"),
        pytest.param(2 * SIZE + 1, [[1, 2], [3, 4], [5]], id="two"),
        pytest.param(5 * SIZE, [[1, 2, 3, 4, 5]], id="all"),
    ],
)
def test_committed_entries_come_in_pages(limit: int, pages: list[list[int]], async_storage_writes: bool) -> None:
    node = host(term=1, max_committed_size_per_ready=limit, async_storage_writes=async_storage_writes)
    node.raw.step(append(1, (0, 0), log_of([1] * 5), 5))
    assert apply_pages(node) == pages
    assert node.raw.basic_status().applied == 5


@MODES
def test_without_a_limit_of_their_own_that_of_messages_holds(async_storage_writes: bool) -> None:
    node = host(term=1, max_size_per_msg=2 * SIZE, async_storage_writes=async_storage_writes)
    node.raw.step(append(1, (0, 0), log_of([1] * 3), 3))
    assert apply_pages(node) == [[1, 2], [3]]


def test_asynchronously_no_more_is_handed_out_than_the_limit_allows() -> None:
    node = follower(max_committed_size_per_ready=2 * SIZE)
    node.raw.step(append(1, (0, 0), log_of([1] * 3), 1))
    node.begin()
    node.append()
    assert [entry.index for entry in node.begin().committed_entries] == [1]
    node.raw.step(heartbeat(1, 2))
    assert [entry.index for entry in node.begin().committed_entries] == [2]  # the limit is reached
    node.raw.step(heartbeat(1, 3))
    assert node.begin().committed_entries == []
    node.apply_next()
    assert [entry.index for entry in node.begin().committed_entries] == [3]


def test_a_page_that_was_cut_holds_the_next_one_back() -> None:
    """As in the reference: although the limit would leave room for it once a part is acknowledged."""
    node = follower(max_committed_size_per_ready=3 * SIZE)
    node.raw.step(append(1, (0, 0), log_of([1] * 4), 4))
    node.begin()
    node.append()
    assert [entry.index for entry in node.begin().committed_entries] == [1, 2, 3]
    assert not node.raw.has_ready()
    node.apply_next()
    assert [entry.index for entry in node.begin().committed_entries] == [4]


@MODES
def test_applying_goes_on_where_a_restart_says(async_storage_writes: bool) -> None:
    node = host((1,) * 5, commit=4, applied=2, async_storage_writes=async_storage_writes)
    node.settle()
    assert [entry.index for entry in node.applied] == [3, 4]


# The work of the append thread


def test_a_write_carries_its_entries_the_hard_state_and_the_answers() -> None:
    node = follower()
    node.raw.step(append(2, (0, 0), log_of([1, 2]), 1))
    ready = node.begin()
    assert ready.hard_state == HardState(2, 0, 1)
    work = only(of_type(ready.messages, MSG_STORAGE_APPEND))
    assert (work.to, work.from_) == (LOCAL_APPEND_THREAD, 1)
    assert work.entries == log_of([1, 2])
    assert (work.term, work.vote, work.commit) == (2, 0, 1)
    assert work.responses == [
        acked(2, 2, from_=1, to=2),
        Message(MSG_STORAGE_APPEND_RESP, 1, LOCAL_APPEND_THREAD, 2, 2, 2),
    ]


def test_a_write_of_entries_only_carries_no_hard_state() -> None:
    node = follower()
    node.raw.step(append(1, (0, 0), log_of([1])))
    work = only(of_type(node.begin().messages, MSG_STORAGE_APPEND))
    assert (work.term, work.vote, work.commit) == (0, 0, 0)


def test_a_commit_alone_is_written_and_needs_no_answer() -> None:
    node = follower()
    node.step(append(1, (0, 0), log_of([1])))
    node.raw.step(heartbeat(1, 1))
    work = only(of_type(node.begin().messages, MSG_STORAGE_APPEND))
    assert (work.term, work.vote, work.commit, work.entries, work.responses) == (1, 0, 1, [], [])


def test_an_answer_alone_goes_by_way_of_the_append_thread() -> None:
    """What it promises may still be on its way to the disk."""
    node = follower()
    node.step(append(1, (0, 0), log_of([1])))
    node.raw.step(append(1, (1, 1)))
    ready = node.begin()
    work = only(of_type(ready.messages, MSG_STORAGE_APPEND))
    assert ready.hard_state is None
    assert work.responses == [acked(1, 1, from_=1, to=2)]


def test_what_promises_nothing_leaves_at_once() -> None:
    node = follower()
    node.raw.step(append(1, (0, 0), log_of([1])))
    node.raw.step(heartbeat(1))
    ready = node.begin()
    assert [m.type for m in ready.messages] == [MSG_HEARTBEAT_RESP, MSG_STORAGE_APPEND]


def test_a_leader_sends_while_it_writes() -> None:
    node = leader(async_storage_writes=True)
    follow(node, 2, 3)
    node.raw.propose(b"x")
    ready = node.begin()
    assert [m.type for m in ready.messages] == [MSG_APP, MSG_APP, MSG_STORAGE_APPEND]
    assert ready.messages[2].responses == [
        acked(2, 1, from_=1),
        Message(MSG_STORAGE_APPEND_RESP, 1, LOCAL_APPEND_THREAD, 1, 1, 2),
    ]


@MODES
@pytest.mark.parametrize("reject", [False, True], ids=["granted", "refused"])
def test_votes_wait_for_the_disk_granted_or_not(reject: bool, async_storage_writes: bool) -> None:
    node = host((1,), async_storage_writes=async_storage_writes)
    node.raw.step(vote_for(2, (0, 0) if reject else (1, 1)))
    ready = node.raw.ready()
    answer = voted(2, reject, from_=1, to=2)
    if async_storage_writes:
        assert only(ready.messages).responses == [answer]
    else:
        assert ready.messages == [answer]
        assert ready.must_sync


def test_a_write_of_a_snapshot_names_it_in_its_answer() -> None:
    node = follower()
    snapshot = Snapshot(b"state", SnapshotMetadata(ConfState((1, 2)), 9, 1))
    node.raw.step(snapshot_message(1, snapshot))
    work = only(of_type(node.begin().messages, MSG_STORAGE_APPEND))
    assert work.snapshot == snapshot
    assert work.responses[-1] == Message(MSG_STORAGE_APPEND_RESP, 1, LOCAL_APPEND_THREAD, 1, snapshot=snapshot)


def test_the_work_of_a_ready_comes_last_and_in_order() -> None:
    node = follower()
    node.step(append(1, (0, 0), log_of([1])))
    node.raw.step(append(1, (1, 1), log_of([1], 2), 1))
    assert [m.type for m in node.begin().messages] == [MSG_STORAGE_APPEND, MSG_STORAGE_APPLY]


# Its answers


def test_an_answer_names_the_end_of_the_whole_log() -> None:
    """Each write asks for one while anything is in memory, also where it brings no entries."""
    node = follower()
    node.raw.step(append(1, (0, 0), log_of([1, 1])))
    node.begin()
    node.raw.step(append(1, (1, 2), log_of([1], 3)))
    node.begin()
    node.raw.step(heartbeat(1, 1))
    node.begin()
    assert [(work.responses[-1].log_term, work.responses[-1].index) for work in node.append_work] == [
        (1, 2),
        (1, 3),
        (1, 3),
    ]
    node.append()
    assert durable(node) == 2
    node.append()
    assert durable(node) == 3
    node.append()
    node.raw.step(heartbeat(1, 2))
    node.begin()
    assert node.append_work[0].responses == []


def test_an_answer_counts_while_its_term_lasts() -> None:
    """The race called ABA: entry 1 of term 1 is written, replaced by one of term 2, and put back by a leader of term 3.

    Until the third write is done the disk may hold the second entry, although an answer names what is in the log.
    """
    node = follower()
    node.raw.step(append(1, (0, 0), log_of([1])))
    node.begin()
    node.raw.step(append(2, (0, 0), log_of([2])))
    node.begin()
    node.raw.step(append(3, (0, 0), log_of([1, 3]), 2))
    node.begin()
    assert (node.last, durable(node)) == (2, 0)
    node.append()
    assert (durable(node), node.storage.term(1)) == (0, 1)
    node.append()
    assert (durable(node), node.storage.term(1)) == (0, 2)
    assert not node.raw.has_ready()
    node.append()
    assert (durable(node), node.storage.term(1)) == (2, 1)
    node.settle()
    assert [entry.term for entry in node.applied] == [1, 3]


def test_an_answer_that_was_void_is_made_up_for() -> None:
    """The term changes while the entry is written; nothing is written again, yet the next answer tells of it."""
    node = follower()
    node.raw.step(append(1, (0, 0), log_of([1])))
    node.begin()
    node.raw.step(heartbeat(2))
    node.begin()
    assert [len(work.entries) for work in node.append_work] == [1, 0]
    node.append()
    assert durable(node) == 0
    node.append()
    assert durable(node) == 1


def test_the_snapshot_of_a_void_answer_is_durable_all_the_same() -> None:
    node = follower()
    snapshot = Snapshot(b"state", SnapshotMetadata(ConfState((1, 2, 3)), 9, 1))
    node.raw.step(snapshot_message(1, snapshot))
    node.begin()
    node.raw.step(heartbeat(2))
    node.append()
    assert node.raw.basic_status().applied == 9
    assert node.raw.export_state().snapshot is None


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Message(MSG_STORAGE_APPEND_RESP, 1, LOCAL_APPEND_THREAD, 9, 1, 1), id="of a later term"),
        pytest.param(
            Message(
                MSG_STORAGE_APPEND_RESP,
                1,
                LOCAL_APPEND_THREAD,
                1,
                snapshot=Snapshot(b"", SnapshotMetadata(ConfState((1,)), 9, 1)),
            ),
            id="about a snapshot that never came",
        ),
        pytest.param(
            Message(MSG_STORAGE_APPLY_RESP, 1, LOCAL_APPLY_THREAD, entries=log_of([1, 1])),
            id="about entries not handed out",
        ),
    ],
)
def test_an_answer_about_work_that_was_never_given_is_counted(answer: Message) -> None:
    node = follower()
    node.raw.step(append(1, (0, 0), log_of([1, 1]), 1))
    node.begin()
    before = node.raw.export_state()
    node.raw.step_storage(answer)
    after = node.raw.export_state()
    assert after.anomalies.ignored_storage_answers == 1
    after.anomalies.ignored_storage_answers = 0
    assert after == before


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Message(MSG_STORAGE_APPEND_RESP, 1, LOCAL_APPEND_THREAD, 1), id="about nothing"),
        pytest.param(Message(MSG_STORAGE_APPEND_RESP, 1, LOCAL_APPEND_THREAD, 1, 1, 2), id="not yet written"),
        pytest.param(Message(MSG_STORAGE_APPEND_RESP, 1, LOCAL_APPEND_THREAD, 1, 5, 1), id="of another entry"),
        pytest.param(Message(MSG_STORAGE_APPLY_RESP, 1, LOCAL_APPLY_THREAD), id="nothing applied"),
        pytest.param(Message(MSG_STORAGE_APPEND_RESP, 1, LOCAL_APPEND_THREAD, 0, 1, 1), id="of an earlier term"),
        pytest.param(acked(1, 0, from_=1), id="own acknowledgement of an earlier term"),
        pytest.param(voted(1, from_=1), id="own vote in an election that is over"),
    ],
)
def test_an_answer_that_says_nothing_is_ignored(answer: Message) -> None:
    node = follower()
    node.raw.step(append(1, (0, 0), log_of([1])))
    node.begin()
    node.raw.step(append(1, (1, 1), log_of([1], 2)))
    before = node.raw.export_state()
    node.raw.step_storage(answer)
    assert node.raw.export_state() == before


def test_a_repeated_answer_changes_nothing() -> None:
    node = follower()
    node.raw.step(append(1, (0, 0), log_of([1, 1]), 2))
    node.begin()
    answers = [m for m in node.append_work[0].responses if m.to == 1]
    node.append()
    node.begin()
    answers += node.apply_work[0].responses
    node.apply_next()
    before = node.raw.export_state()
    for answer in answers:
        node.raw.step_storage(answer)
    assert node.raw.export_state() == before


# The work of the apply thread


def test_an_apply_answer_that_comes_twice_releases_no_more_quota() -> None:
    """Found by the simulator: what is released twice is lent to proposals that the limit should have stopped."""
    node = leader(voters=(1, 2, 3), async_storage_writes=True)
    follow(node, 2, 3)
    node.raw.propose(b"x" * 10)
    node.settle()
    node.raw.step(acked(node.last, node.term))
    node.begin()
    answer = only(node.apply_work[-1].responses)
    node.apply_next()
    node.raw.propose(b"y" * 30)
    assert node.raw.basic_status().uncommitted_size == 30
    node.raw.step_storage(answer)
    assert node.raw.basic_status().uncommitted_size == 30


def _pages(*sizes: int) -> Host:
    """A follower with a page of committed entries handed out for each of `sizes`, which come to the limit together."""
    node = follower(max_committed_size_per_ready=200)
    for index, size in enumerate(sizes, start=1):
        node.raw.step(
            append(1, (1 if index > 1 else 0, index - 1), [Entry(term=1, index=index, data=bytes(size))], index)
        )
        node.begin()
        node.append()
        node.begin()
    assert len(node.apply_work) == len(sizes)
    return node
