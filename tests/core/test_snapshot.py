"""Snapshots: installing one in place of the log, and sending one to a follower that needs what is gone."""

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
    follow,
    heartbeat,
    host,
    leader,
    log_of,
    of_type,
    only,
    rejected,
    snapshot_message,
    storage_of,
)

from pyraft import (
    CampaignRefusal,
    ConfChangeError,
    MemoryStorage,
    NodeFailedError,
    Role,
    SnapshotStatus,
    SnapshotUnavailableError,
    StorageError,
)
from raftpb.codec import encode_conf_change_v2
from raftpb.enums import ENTRY_CONF_CHANGE_V2, MSG_APP, MSG_APP_RESP, MSG_SNAP
from raftpb.message import ConfState, Entry, HardState, Message, Snapshot, SnapshotMetadata

MEMBERS = ConfState((1, 2, 3), (4,))
MODES = pytest.mark.parametrize("async_storage_writes", [False, True], ids=["sync", "async"])


def snapshot(index: int = 9, term: int = 2, conf_state: ConfState = MEMBERS) -> Snapshot:
    return Snapshot(b"state at %d" % index, SnapshotMetadata(conf_state, index, term))


def config(node: Host) -> str:
    return str(node.raw.status().config)


# Receiving


@MODES
def test_a_snapshot_replaces_log_and_configuration(async_storage_writes: bool) -> None:
    node = host((1, 1, 1), voters=(1, 2), async_storage_writes=async_storage_writes)
    answer = only(node.step(snapshot_message(2, snapshot())))
    assert answer == acked(9, 2, from_=1, to=2)
    assert node.storage.snapshot() == snapshot()
    assert (node.storage.first_index(), node.storage.last_index()) == (10, 9)
    assert (node.commit, node.last, node.raw.basic_status().applied) == (9, 9, 9)
    assert config(node) == "voters=(1 2 3) learners=(4)"
    assert (node.role, node.leader, node.term) == (Role.StateFollower, 2, 2)
    node.step(append(2, (2, 9), log_of([2], 10), 10))
    assert [entry.index for entry in node.applied] == [10]


def test_it_is_answered_when_it_is_durable() -> None:
    node = host((1,))
    node.raw.step(snapshot_message(2, snapshot()))
    ready = node.raw.ready()
    assert ready.snapshot == snapshot()
    assert (ready.entries, ready.committed_entries) == ([], [])
    assert ready.hard_state == HardState(2, 0, 9)
    assert [m.type for m in ready.messages] == [MSG_APP_RESP]
    assert not node.raw.has_ready()


@pytest.mark.parametrize(
    "conf_state",
    [
        pytest.param(ConfState((1, 2)), id="voter"),
        pytest.param(ConfState((2, 3), (1,)), id="learner"),
        pytest.param(ConfState((2, 3), (), (1, 2)), id="outgoing voter"),
        pytest.param(ConfState((2, 3), (), (1, 2), (1,), True), id="learner to be"),
    ],
)
def test_any_kind_of_member_installs_it(conf_state: ConfState) -> None:
    node = host(conf_state=ConfState())
    node.step(snapshot_message(2, snapshot(conf_state=conf_state)))
    assert node.raw.status().config.conf_state() == conf_state
    assert node.raw.status().is_learner is (conf_state.learners == (1,))


def test_a_strangers_snapshot_is_left_alone() -> None:
    node = host((1,))
    answer = only(node.step(snapshot_message(2, snapshot(conf_state=ConfState((2, 3))))))
    assert answer == acked(0, 2, from_=1, to=2)
    assert node.raw.status().anomalies.foreign_snapshots == 1
    assert node.last == 1


def test_one_whose_end_is_in_the_log_only_commits() -> None:
    node = host((1, 1, 1, 1), commit=1)
    answer = only(node.step(snapshot_message(1, snapshot(3, 1))))
    assert answer == acked(3, 1, from_=1, to=2)
    assert (node.commit, node.last, node.storage.first_index()) == (3, 4, 1)
    assert [entry.index for entry in node.applied] == [1, 2, 3]


def test_one_that_contradicts_the_log_replaces_all_of_it() -> None:
    """Also what lies beyond: it is the remains of another leader."""
    node = host((1,) * 12, commit=2)
    node.settle()
    answer = only(node.step(snapshot_message(2, snapshot(9, 2))))
    assert answer.index == 9
    assert (node.last, node.commit) == (9, 9)


@pytest.mark.parametrize("index", [1, 2])
def test_an_old_one_is_ignored(index: int) -> None:
    node = host((1, 1, 1), commit=2)
    node.settle()
    assert only(node.step(snapshot_message(1, snapshot(index, 1)))).index == 2
    assert node.storage.snapshot().metadata.index == 0


def test_a_second_snapshot_overtakes_the_first() -> None:
    node = host((1,))
    node.raw.step(snapshot_message(2, snapshot(9)))
    node.begin()
    node.raw.step(snapshot_message(2, snapshot(12)))
    node.finish()
    assert node.raw.basic_status().applied == 9
    assert node.raw.campaign() is CampaignRefusal.SNAPSHOT_PENDING
    node.settle()
    assert node.raw.basic_status().applied == 12
    assert node.storage.snapshot() == snapshot(12)


@MODES
def test_entries_may_follow_before_it_is_durable(async_storage_writes: bool) -> None:
    """One Ready then brings both; the snapshot is written first."""
    node = host((1,), async_storage_writes=async_storage_writes)
    node.raw.step(snapshot_message(2, snapshot()))
    node.raw.step(append(2, (2, 9), log_of([2, 2], 10), 11))
    ready = node.begin()
    work = node.append_work[0] if async_storage_writes else ready
    assert work.snapshot == snapshot()
    assert [entry.index for entry in work.entries] == [10, 11]
    assert ready.committed_entries == []
    sent = node.settle() if async_storage_writes else [*ready.messages, *node.settle()]
    assert [m.index for m in of_type(sent, MSG_APP_RESP)][:2] == [9, 11]
    assert [entry.index for entry in node.applied] == [10, 11]


def test_nothing_is_applied_while_one_is_pending() -> None:
    node = host((1, 1, 1), commit=1)
    node.raw.step(snapshot_message(2, snapshot()))
    ready = node.begin()
    assert ready.committed_entries == []
    node.raw.step(append(2, (2, 9), log_of([2], 10), 10))
    node.finish()
    assert node.applied == []
    node.settle()
    assert [entry.index for entry in node.applied] == [10]


def test_nobody_campaigns_while_one_is_pending() -> None:
    node = host((1,))
    node.raw.step(snapshot_message(2, snapshot()))
    assert node.raw.campaign() is CampaignRefusal.SNAPSHOT_PENDING
    node.begin()
    node.raw.tick(10)
    node.raw.tick(10)
    assert node.role is Role.StateFollower
    node.finish()
    assert node.raw.campaign() is None


def test_what_was_being_written_and_applied_when_it_came_is_over() -> None:
    """Its answers arrive late, and mean nothing any more."""
    node = host((1, 1), commit=0, async_storage_writes=True)
    node.raw.step(append(1, (1, 2), log_of([1, 1], 3), 2))
    node.begin()
    node.raw.step(snapshot_message(2, snapshot()))
    node.begin()
    node.append()
    node.apply_next()
    assert node.raw.basic_status().applied == 2
    assert node.raw.campaign() is CampaignRefusal.SNAPSHOT_PENDING
    node.append()
    assert (node.raw.basic_status().applied, node.last) == (9, 9)
    assert [entry.index for entry in node.applied] == [1, 2]


def test_an_apply_that_ends_after_the_snapshot_is_durable_changes_nothing() -> None:
    node = host((1, 1), commit=0, async_storage_writes=True)
    node.raw.step(append(1, (1, 2), (), 2))
    node.begin()
    node.raw.step(snapshot_message(2, snapshot()))
    node.begin()
    while node.append_work:
        node.append()
    node.apply_next()
    assert node.raw.basic_status().applied == 9


@pytest.mark.parametrize(
    ("async_storage_writes", "durable"),
    [
        pytest.param(False, False, id="sync"),
        pytest.param(True, False, id="async, before it is durable"),
        pytest.param(True, True, id="async, after"),
    ],
)
def test_a_change_that_was_handed_out_before_it_came_is_part_of_it(async_storage_writes: bool, durable: bool) -> None:
    """Applied afterwards it would lead to a configuration that nobody else has."""
    node = host((1, 1), async_storage_writes=async_storage_writes)
    wanted = Entry(ENTRY_CONF_CHANGE_V2, 1, 3, encode_conf_change_v2(change("v5")))
    node.step(append(1, (1, 2), [wanted]))
    node.raw.step(heartbeat(1, 3))
    node.begin()
    node.raw.step(snapshot_message(2, snapshot()))
    if durable:
        node.begin()
        while node.append_work:
            node.append()
    node.settle()
    assert config(node) == "voters=(1 2 3) learners=(4)"
    assert node.raw.basic_status().applied == 9


@pytest.mark.parametrize("snapshots", [[9], [9, 12]], ids=["one", "a second in place of the first"])
@MODES
def test_what_apply_conf_change_returns_belongs_to_the_change(async_storage_writes: bool, snapshots: list[int]) -> None:
    """Also while a snapshot waits that is in another configuration already. Once it is durable, changes count again."""
    node = host((1, 1), async_storage_writes=async_storage_writes)
    changes = [
        Entry(ENTRY_CONF_CHANGE_V2, 1, index, encode_conf_change_v2(change(steps)))
        for index, steps in ((3, "l5"), (4, "l6"))
    ]
    node.step(append(1, (1, 2), changes))
    node.raw.step(heartbeat(1, 4))
    node.begin()
    for index in snapshots:
        node.raw.step(snapshot_message(2, snapshot(index)))
    assert node.raw.apply_conf_change(change("l5")) == ConfState((1, 2, 3), (5,))
    with pytest.raises(ConfChangeError):
        node.raw.apply_conf_change(change("r1 r2 r3"))
    assert node.raw.apply_conf_change(change("l6")) == ConfState((1, 2, 3), (5, 6))
    assert config(node) == "voters=(1 2 3) learners=(4)", "the snapshot's"
    node.apply = node.applied.extend  # type: ignore[method-assign, assignment]
    node.settle()
    assert node.raw.apply_conf_change(change("l7")) == ConfState((1, 2, 3), (4, 7))
    assert config(node) == "voters=(1 2 3) learners=(4 7)"


def test_the_entries_after_a_snapshot_build_on_its_term() -> None:
    node = host((1,))
    node.raw.step(snapshot_message(3, snapshot(9, 2)))
    node.step(append(3, (3, 9), log_of([3], 10)))
    assert node.last == 9, "an entry after (3, 9) belongs to another history"
    assert node.raw.status().foreign_log_suspected
    node.step(append(3, (2, 9), log_of([3], 10)))
    assert node.last == 10


# Sending


def compacted() -> Host:
    """A leader of term 2 with a snapshot at 8 and entries 9 and 10."""
    node = leader((1,), snapshot=(1, 8))
    node.step(acked(10, 2, from_=3))
    return node


def test_who_needs_what_is_gone_is_sent_the_snapshot() -> None:
    node = compacted()
    m = only(node.step(rejected(9, 2, (0, 3))))
    assert m == Message(MSG_SNAP, 2, 1, 2, snapshot=node.storage.snapshot())
    assert (m.index, m.log_term, m.commit) == (0, 0, 0)


def test_who_does_not_answer_is_not() -> None:
    """It may take long and be lost; the next sign of life brings it."""
    node = leader((1,))
    follow(node, 2, 3)
    for _ in range(2):
        node.raw.propose(b"x")
    node.settle()
    node.step(acked(4, 2, from_=3))
    node.storage.create_snapshot(4, ConfState((1, 2, 3)), b"state")
    node.storage.compact(4)
    node.tick(10)
    node.raw.report_unreachable(2)
    node.raw.propose(b"x")
    assert [m.to for m in node.settle()] == [3]
    assert str(node.progress(2)) == "StateProbe match=2 next=3 inactive"
    assert of_type(node.step(beat_back(2)), MSG_SNAP)


class SlowStorage:
    """A Storage whose snapshot takes a while."""

    def __init__(self, memory: MemoryStorage) -> None:
        self.memory = memory
        self.made: Snapshot | None = None
        self.asked = 0

    def initial_state(self) -> tuple[HardState, ConfState]:
        return self.memory.initial_state()

    def entries(self, lo: int, hi: int, max_size: int, /) -> list[Entry]:
        return self.memory.entries(lo, hi, max_size)

    def term(self, index: int, /) -> int:
        return self.memory.term(index)

    def first_index(self) -> int:
        return self.memory.first_index()

    def last_index(self) -> int:
        return self.memory.last_index()

    def snapshot(self) -> Snapshot:
        self.asked += 1
        if self.made is None:
            raise SnapshotUnavailableError
        return self.made


class SlowHost(Host):
    """A host of such a Storage, compacted up to 3."""

    def __init__(self, storage: SlowStorage | None = None) -> None:
        self.slow = storage or SlowStorage(storage_of(ConfState((1, 2, 3)), (1,) * 5, commit=5))
        super().__init__(config_of(1, self.slow, applied=5))
        self.storage.compact(3)
        elect(self)
        self.step(acked(6, 2, from_=3))

    @property
    def storage(self) -> MemoryStorage:
        return self.slow.memory


def test_a_snapshot_that_is_being_made_is_asked_for_again() -> None:
    node = SlowHost()
    assert node.step(rejected(5, 2, (0, 1))) == []
    assert node.slow.asked >= 1
    assert str(node.progress(2)).startswith("StateProbe match=0 next=2")
    asked = node.slow.asked
    assert node.step(beat_back(2)) == []
    assert node.slow.asked == asked + 1
    node.slow.made = snapshot(5, 1, ConfState((1, 2, 3)))
    assert only(node.step(beat_back(2))).type is MSG_SNAP
    assert str(node.progress(2)) == "StateSnapshot match=0 next=6 paused pendingSnap=5"


def test_a_log_that_is_compacted_without_a_snapshot_stops_the_node() -> None:
    node = SlowHost()
    node.slow.made = Snapshot()
    with pytest.raises(StorageError, match=r"snapshot\(\) is empty"):
        node.raw.step(rejected(5, 2, (0, 1)))
    with pytest.raises(NodeFailedError):
        node.raw.tick()


class RememberingStorage(SlowStorage):
    """A Storage that knows the terms of entries which it has compacted."""

    def term(self, index: int, /) -> int:
        return 1 if index <= 5 else self.memory.term(index)


@pytest.mark.parametrize("sends_empty", [True, False], ids=["must send", "may send"])
def test_entries_may_be_gone_whose_terms_are_known(sends_empty: bool) -> None:
    """What must be sent then is the snapshot; what merely could be is left."""
    storage = RememberingStorage(storage_of(ConfState((1, 2, 3)), (1,) * 5, commit=5))
    storage.made = snapshot(5, 1, ConfState((1, 2, 3)))
    node = SlowHost(storage)
    if sends_empty:
        assert only(node.step(rejected(5, 2, (0, 1)))).type is MSG_SNAP
    else:
        assert node.step(acked(1, 2)) == []
        assert str(node.progress(2)) == "StateReplicate match=1 next=2"


# Scenarios


@MODES
def test_a_follower_that_lagged_catches_up(async_storage_writes: bool) -> None:
    cluster = Cluster(async_storage_writes=async_storage_writes)
    cluster.elect(1)
    cluster.isolate(3)
    for number in range(20):
        cluster.propose(1, b"%d" % number)
    cluster[1].storage.create_snapshot(15, ConfState((1, 2, 3)), b"state")
    cluster[1].storage.compact(15)
    cluster.heal()
    cluster.tick(3)
    assert cluster[3].storage.snapshot().metadata.index == 15
    assert (cluster[3].commit, cluster[3].last) == (21, 21)
    assert cluster[3].data() == [b"%d" % number for number in range(14, 20)]
    assert str(cluster[1].progress(3)) == "StateReplicate match=21 next=22"
    assert cluster.refused == []


@pytest.mark.parametrize("status", list(SnapshotStatus), ids=str)
def test_a_snapshot_that_gets_lost_is_sent_again(status: SnapshotStatus) -> None:
    cluster = Cluster()
    cluster.elect(1)
    cluster.isolate(3)
    cluster.propose(1, b"a", b"b", b"c")
    cluster[1].storage.create_snapshot(4, ConfState((1, 2, 3)), b"state")
    cluster[1].storage.compact(4)
    cluster.heal()
    cluster.loses = lambda m: m.type is MSG_SNAP
    cluster.tick(3)
    assert str(cluster[1].progress(3).state) == "StateSnapshot"
    cluster[1].raw.report_snapshot(3, status)
    cluster.heal()
    cluster.tick(3)
    assert str(cluster[1].progress(3)) == "StateReplicate match=4 next=5"


def test_a_new_member_starts_from_a_snapshot_that_lists_it() -> None:
    cluster = Cluster((1,))
    cluster.elect(1)
    cluster.propose(1, b"a", b"b")
    cluster[1].storage.create_snapshot(3, ConfState((1,)), b"state")
    cluster[1].storage.compact(3)
    cluster.change(1, change("l2"))
    cluster.join(2)
    cluster.tick(3)
    assert cluster[2].raw.status().anomalies.foreign_snapshots == 1
    cluster[1].storage.create_snapshot(4, ConfState((1,), (2,)), b"state")
    cluster[1].raw.report_snapshot(2, SnapshotStatus.SnapshotFailure)
    cluster.tick(3)
    assert config(cluster[2]) == "voters=(1) learners=(2)"
    cluster.propose(1, b"c")
    assert cluster[2].data() == [b"c"]


def test_a_restart_continues_from_the_snapshot() -> None:
    node = host((1,))
    node.step(snapshot_message(2, snapshot()), append(2, (2, 9), log_of([2], 10), 10))
    node = node.restart()
    assert config(node) == "voters=(1 2 3) learners=(4)"
    assert (node.commit, node.raw.basic_status().applied) == (10, 9)
    node.settle()
    assert [entry.index for entry in node.applied] == [10]


def test_a_snapshot_from_elsewhere_will_do() -> None:
    """A leader may have another node send it; the follower's answer tells the leader where it stands."""
    node = compacted()
    node.step(rejected(9, 2, (0, 3)))
    assert str(node.progress(2)) == "StateSnapshot match=0 next=9 paused pendingSnap=8"
    receiver = host((1,) * 3, id=2)
    elsewhere = snapshot(9, 1, ConfState((1, 2, 3)))
    answer = only(receiver.step(snapshot_message(2, elsewhere, to=2, from_=1)))
    assert [m.index for m in of_type(node.step(answer), MSG_APP)] == [9]
    follow(node, 2)
    assert str(node.progress(2)) == "StateReplicate match=10 next=11"
