"""What waits for the disk and for the application, in both modes: batches, answers, and answers that come late."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from harness import (
    Cluster,
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
from random_cluster import Member, Move, RandomCluster, random_moves

from pyraft import (
    InvalidMessageError,
    InvalidReason,
    MisuseError,
    Role,
)
from pyraft.types import encoded_size
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


def test_an_apply_answer_gives_its_bytes_back_once() -> None:
    """A second one would let more be handed out than `max_committed_size_per_ready`."""
    node = _pages(50, 100)
    first, second = (only(work.responses) for work in node.apply_work)
    out = dict(node.raw.export_state().handed_out)
    assert list(out) == [1, 2]
    node.raw.step_storage(first)
    node.raw.step_storage(first)
    assert dict(node.raw.export_state().handed_out) == {2: out[2]}
    node.raw.step_storage(second)
    assert node.raw.export_state().handed_out == ()


def test_an_apply_answer_that_is_late_gives_its_own_bytes_back() -> None:
    node = _pages(50, 100)
    first, second = (only(work.responses) for work in node.apply_work)
    node.raw.step_storage(second)
    assert [index for index, _ in node.raw.export_state().handed_out] == [1]
    node.raw.step_storage(first)
    assert node.raw.export_state().handed_out == ()
    assert node.raw.basic_status().applied == 2


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (1, 0, 0), (0, 0, 1, 1)], ids=str)
def test_apply_answers_in_any_order_release_the_quota_of_their_own_entries(order: tuple[int, ...]) -> None:
    """Ten and twenty bytes in two batches. What one answer did not release would be taken for uncommitted for ever."""
    node = leader(voters=(1, 2, 3), async_storage_writes=True)
    follow(node, 2, 3)
    node.settle()
    for size in (10, 20):
        node.raw.propose(bytes(size))
        node.begin()
        while node.append_work:
            node.append()
        node.raw.step(acked(node.last, node.term))
        node.begin()
    answers = [only(work.responses) for work in node.apply_work]
    left = {0: 10, 1: 20}
    for which in order:
        node.raw.step_storage(answers[which])
        left.pop(which, None)
        assert node.raw.basic_status().uncommitted_size == sum(left.values())
    assert node.raw.export_state().handed_out == ()


def test_a_snapshot_gives_back_what_it_overtakes() -> None:
    """Otherwise these bytes would be out for ever, and applying would stop."""
    node = _pages(50, 100)
    late = [only(work.responses) for work in node.apply_work]
    node.raw.step(snapshot_message(1, Snapshot(b"", SnapshotMetadata(ConfState((1, 2, 3)), 9, 1))))
    node.begin()
    node.append()
    assert node.raw.export_state().handed_out == ()
    for answer in late:
        node.raw.step_storage(answer)
    assert node.raw.export_state().handed_out == ()
    assert node.raw.basic_status().applied == 9


class Repeating(RandomCluster):
    """Each answer of an apply thread comes again, along with the next ones; crashes forget it. Holds what is handed out
    against what the applications have not answered.
    """

    def __init__(self, setting: str, seed: int, rebuilt: bool) -> None:
        super().__init__(setting, seed, rebuilt)
        self.answered: dict[int, deque[Message]] = {}
        self.deaf = 0
        self.most = 0
        self.overtaken = 0

    def play(self, moves: Iterable[Move]) -> None:
        for what, who, which in moves:
            getattr(self, what)(self.members[who % len(self.members)], which)

    def settle(self, member: Member, which: int) -> None:
        """Every other time all but the apply threads go on; those are slow."""
        if which % 2 == 0:
            super().settle(member, which)
            return
        for _ in range(1 + which % 12):
            for each in self.members:
                while each.awaits_advance or each.append_work or each.raw.has_ready():
                    if each.awaits_advance or each.append_work:
                        self.work(each, 0)
                    else:
                        self.ready(each, 0)
            waiting, self.wire = self.wire, []
            for m in waiting:
                self._step(m)

    def overtake(self, member: Member, which: int) -> None:
        """While `member` hears nothing, the others go on and compact their logs; then it does again."""
        self.deaf = member.config.id
        for each in self.members:
            self.propose(each, which)
        super().settle(member, 11)
        for each in self.members:
            if each is not member:
                self.compact(each, 0)
        self.deaf = 0
        for _ in range(3):
            for each in self.members:
                self.tick(each, 1)
            self.settle(member, 11)

    def _step(self, m: Message) -> None:
        if m.to != self.deaf:
            super()._step(m)

    def crash(self, member: Member, which: int) -> None:
        self.answered.pop(member.config.id, None)
        super().crash(member, which)

    def _answer(self, member: Member, m: Message) -> None:
        super()._answer(member, m)
        if m.type is MSG_STORAGE_APPLY:
            earlier = self.answered.setdefault(member.config.id, deque(maxlen=3))
            earlier.extend(m.responses)
            for answer in earlier:
                member.raw.step_storage(answer)

    def _note(self, member: Member) -> None:
        super()._note(member)
        if member.awaits_advance:
            return
        overtaken = member.storage.snapshot().metadata.index
        waits = [(work.entries[-1].index, encoded_size(work.entries)) for work in member.apply_work]
        handed_out = list(member.raw.export_state().handed_out)
        assert handed_out == [one for one in waits if one[0] > overtaken]
        self.most = max(self.most, len(handed_out))
        self.overtaken += handed_out != waits


@pytest.mark.parametrize("rebuilt", [False, True], ids=["the node itself", "built from its export"])
@pytest.mark.parametrize("setting", ["asynchronous", "batching and asynchronous", "tight and asynchronous", "tight"])
def test_what_is_handed_out_is_what_the_application_has_not_answered(setting: str, rebuilt: bool) -> None:
    """However often it answers, and whatever snapshots come meanwhile."""
    seen: list[tuple[bool, bool]] = []
    for seed in range(5):
        cluster = Repeating(setting, seed, rebuilt)
        moves = random_moves(seed, 400)
        moves[40::40] = [("overtake", which, which) for _, _, which in moves[40::40]]
        cluster.play(moves)
        seen.append((cluster.most > 1, cluster.overtaken > 0))
    if setting != "tight":  # there, nothing waits
        assert [any(case) for case in zip(*seen, strict=True)] == [True, True], "two at a time, and some overtaken"


def test_entries_to_apply_come_with_an_answer_that_carries_no_term() -> None:
    node = follower()
    node.step(append(1, (0, 0), log_of([1, 1])))
    node.raw.step(heartbeat(1, 2))
    entries = log_of([1, 1])
    assert only(of_type(node.begin().messages, MSG_STORAGE_APPLY)) == Message(
        MSG_STORAGE_APPLY,
        LOCAL_APPLY_THREAD,
        1,
        entries=entries,
        responses=[Message(MSG_STORAGE_APPLY_RESP, 1, LOCAL_APPLY_THREAD, entries=entries)],
    )


def test_what_was_applied_stays_applied_whatever_the_term() -> None:
    node = follower()
    node.step(append(1, (0, 0), log_of([1, 1])))
    node.raw.step(heartbeat(1, 2))
    node.begin()
    node.raw.step(heartbeat(7))
    node.apply_next()
    assert node.raw.basic_status().applied == 2


def test_a_leader_s_quota_is_released_by_the_apply_thread() -> None:
    node = leader(async_storage_writes=True)
    follow(node, 2, 3)
    node.raw.propose(b"four")
    node.begin()
    node.append()
    node.raw.step(acked(2, 1))
    node.begin()
    assert node.raw.basic_status().uncommitted_size == 4
    node.apply_next()
    assert node.raw.basic_status().uncommitted_size == 0


# Answers of the storage threads


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(
            Message(MSG_STORAGE_APPEND_RESP, 2, LOCAL_APPEND_THREAD, 1),
            InvalidReason.WRONG_DESTINATION,
            id="for another",
        ),
        pytest.param(
            Message(MSG_STORAGE_APPEND_RESP, 1, LOCAL_APPLY_THREAD, 1),
            InvalidReason.BAD_SENDER,
            id="of the other thread",
        ),
        pytest.param(Message(MSG_STORAGE_APPLY_RESP, 1, 2), InvalidReason.BAD_SENDER, id="of another node"),
        pytest.param(acked(1, 1), InvalidReason.BAD_SENDER, id="acknowledgement of another node"),
        pytest.param(voted(1), InvalidReason.BAD_SENDER, id="vote of another node"),
        pytest.param(heartbeat(1), InvalidReason.MALFORMED, id="no answer"),
        pytest.param(Message(MSG_STORAGE_APPEND, 1, 1), InvalidReason.MALFORMED, id="the work itself"),
    ],
)
def test_only_this_node_s_storage_threads_come_in_here(answer: Message, reason: InvalidReason) -> None:
    node = follower()
    before = node.raw.export_state()
    with pytest.raises(InvalidMessageError) as caught:
        node.raw.step_storage(answer)
    assert caught.value.reason is reason
    assert node.raw.export_state() == before


@pytest.mark.parametrize("answer", [acked(1, 1, from_=1), voted(1, from_=1), voted(1, from_=1, pre=True)])
def test_the_answers_of_a_removed_node_about_itself_are_taken(answer: Message) -> None:
    """Its write was under way when its removal was applied; what follows in the same responses must not be lost."""
    node = host(voters=(2, 3), async_storage_writes=True)
    node.raw.step_storage(answer)
    node.raw.step_storage(Message(MSG_STORAGE_APPEND_RESP, 1, LOCAL_APPEND_THREAD, 0))


@pytest.mark.parametrize("term", [2, 2**62 - 1])
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda term: acked(1, term, from_=1), id="acknowledgement"),
        pytest.param(lambda term: voted(term, from_=1), id="vote"),
        pytest.param(lambda term: voted(term + 1, from_=1, pre=True), id="pre-vote"),
        pytest.param(lambda term: voted(term + 1, reject=True, from_=1, pre=True), id="pre-vote refused"),
        pytest.param(lambda term: Message(MSG_STORAGE_APPEND_RESP, 1, LOCAL_APPEND_THREAD, term), id="write"),
    ],
)
def test_an_answer_of_a_term_that_this_node_never_was_in_is_ignored(make: Callable[[int], Message], term: int) -> None:
    """Taken, it would raise the term; it answers nothing that was handed out."""
    node = follower()
    before = node.raw.export_state()
    node.raw.step_storage(make(term))
    after = node.raw.export_state()
    assert after.anomalies == replace(before.anomalies, ignored_storage_answers=1)
    assert replace(after, anomalies=before.anomalies) == before


def test_without_storage_threads_there_is_no_such_door() -> None:
    node = host()
    with pytest.raises(MisuseError, match="async_storage_writes"):
        node.raw.step_storage(Message(MSG_STORAGE_APPEND_RESP, 1, LOCAL_APPEND_THREAD, 0))


# What advance means, synchronously


def test_advance_stands_for_what_was_handed_out() -> None:
    """Not for what has come since."""
    node = leader(voters=(1,))
    node.raw.propose(b"a")
    ready = node.begin()
    node.raw.propose(b"b")
    node.finish()
    assert durable(node) == ready.entries[-1].index == 2
    assert [entry.index for entry in node.begin().entries] == [3]


def test_a_write_that_ends_in_another_term_counts_for_nothing() -> None:
    """It may have been replaced; the next one covers it."""
    node = host(term=1)
    node.raw.step(append(1, (0, 0), log_of([1, 1])))
    node.begin()
    node.raw.step(append(2, (1, 1), log_of([2], 2)))
    node.finish()
    assert durable(node) == 0
    node.settle()
    assert durable(node) == 2
    assert [node.storage.term(index) for index in (1, 2)] == [1, 2]


def test_the_own_pre_vote_that_starts_the_election_makes_the_write_before_it_old() -> None:
    """Messages to itself come first, and they may raise the term; nothing is lost by that."""
    node = host((1,), voters=(1,))
    node.raw.campaign()
    node.settle()
    assert node.role is Role.StateLeader
    assert durable(node) == node.last == 2


# All of it at random


class Schedule:
    """Nodes whose disks, applications and messages advance in any order, and crash."""

    def __init__(self, seed: int, async_storage_writes: bool) -> None:
        self.random = Random(seed)
        self.cluster = Cluster(
            async_storage_writes=async_storage_writes,
            max_committed_size_per_ready=2 * SIZE,
            max_size_per_msg=3 * SIZE,
            max_inflight_msgs=2,
        )
        self.settled: dict[int, Entry] = {}
        self.leaders: dict[int, int] = {}
        self.proposed = 0
        self.cluster.elect(1)

    def step(self) -> None:
        node = self.cluster[self.random.choice((1, 2, 3))]
        what = self.random.randrange(100)
        if what < 45:
            self.deliver()
        elif what < 84:
            self.work(node)
        elif what < 90:
            node.raw.tick()
        elif what < 99 and node.role is Role.StateLeader:
            self.proposed += 1
            node.raw.propose(b"%d" % self.proposed)
        elif what == 99 and self.random.randrange(3) == 0:
            node = self.cluster.restart(node.id)
        self.observe(node)

    def deliver(self) -> None:
        """One message, not always the oldest; some get lost, some arrive again later."""
        wire = self.cluster.wire
        if not wire:
            return
        wire.rotate(-self.random.randrange(3))
        m = wire.popleft()
        fate = self.random.randrange(30)
        if fate == 0:
            return
        if fate == 1:
            wire.append(m)
        self.cluster.wire = deque([m])
        self.cluster.deliver()
        self.cluster.wire = wire

    def work(self, node: Host) -> None:
        if node.open is not None:
            messages = node.open.messages
            node.finish()
            self.cluster.wire.extend(messages)
        elif node.append_work and self.random.randrange(2) == 0:
            self.cluster.wire.extend(node.append())
        elif node.apply_work and self.random.randrange(2) == 0:
            node.apply_next()
        elif node.raw.has_ready():
            ready = node.begin()
            if node.open is None:
                self.cluster.wire.extend(m for m in ready.messages if m.to > 0)

    def observe(self, node: Host) -> None:
        """One leader a term; one entry an index, once applied anywhere; in order and without a gap."""
        if node.role is Role.StateLeader:
            assert self.leaders.setdefault(node.term, node.id) == node.id
        for entry in node.applied[-4:]:
            assert self.settled.setdefault(entry.index, entry) == entry
        assert not node.applied or node.applied[-1].index == len(node.applied)


@MODES
def test_no_order_of_disks_applications_and_messages_loses_what_was_applied(async_storage_writes: bool) -> None:
    reached = 0
    for seed in range(40):
        schedule = Schedule(seed, async_storage_writes)
        try:
            for _ in range(1500):
                schedule.step()
            cluster = schedule.cluster
            cluster.wire.clear()
            cluster.tick(80)
            cluster.propose(cluster.leader().id, b"last")
            cluster.tick(3)
            for node in cluster.hosts.values():
                assert node.data()[-1] == b"last"
                assert all(schedule.settled.setdefault(entry.index, entry) == entry for entry in node.applied)
                assert [entry.index for entry in node.applied] == list(range(1, node.commit + 1))
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        reached += len(schedule.settled)
    assert reached > 800
