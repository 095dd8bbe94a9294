"""What waits for the application, and answers of the storage threads that come late, twice or not at all."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random

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
    voted,
)
from random_cluster import Member, Move, RandomCluster, random_moves
from test_durability import MODES, SIZE, _pages, durable, follower

from pyraft import (
    InvalidMessageError,
    InvalidReason,
    MisuseError,
    Role,
)
from pyraft.types import encoded_size
from raftpb.enums import (
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
    Message,
    Snapshot,
    SnapshotMetadata,
)


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
