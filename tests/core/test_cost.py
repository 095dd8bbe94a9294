"""Nothing on the path of a message grows with the length of the log or with the age of the node.

Measured by what the Storage is asked for, never by the clock.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import log2

import pytest
from harness import (
    Host,
    acked,
    append,
    beat_back,
    config_of,
    elect,
    heartbeat,
    log_of,
    rejected,
    vote_for,
)

from pyraft import MemoryStorage, Role
from raftpb.enums import ENTRY_NORMAL
from raftpb.message import ConfState, Entry, HardState, Message, Snapshot, SnapshotMetadata

SHORT, LONG = 10, 100_000
MEMBERS = ConfState((1, 2, 3))


class CountingStorage:
    """A user's Storage that notes what it is asked for."""

    def __init__(self, memory: MemoryStorage) -> None:
        self.memory = memory
        self.calls: dict[str, int] = {}
        self.entries_read = 0

    def _note(self, call: str) -> None:
        self.calls[call] = self.calls.get(call, 0) + 1

    def initial_state(self) -> tuple[HardState, ConfState]:
        self._note("initial_state")
        return self.memory.initial_state()

    def entries(self, lo: int, hi: int, max_size: int, /) -> list[Entry]:
        self._note("entries")
        found = self.memory.entries(lo, hi, max_size)
        self.entries_read += len(found)
        return found

    def term(self, index: int, /) -> int:
        self._note("term")
        return self.memory.term(index)

    def first_index(self) -> int:
        self._note("first_index")
        return self.memory.first_index()

    def last_index(self) -> int:
        self._note("last_index")
        return self.memory.last_index()

    def snapshot(self) -> Snapshot:
        self._note("snapshot")
        return self.memory.snapshot()


class CountingHost(Host):
    """A host that keeps its log behind a CountingStorage."""

    def __init__(self, length: int, *, max_inflight_msgs: int = 4, async_storage_writes: bool = False) -> None:
        memory = MemoryStorage()
        memory.apply_snapshot(Snapshot(b"", SnapshotMetadata(MEMBERS)))
        memory.append(log_of([1] * length))
        memory.set_hard_state(HardState(1, 0, length))
        self.counting = CountingStorage(memory)
        super().__init__(
            config_of(
                1,
                self.counting,
                applied=length,
                max_size_per_msg=0,
                max_committed_size_per_ready=2**20,
                max_inflight_msgs=max_inflight_msgs,
                async_storage_writes=async_storage_writes,
            )
        )
        self.settle()
        self.length = length

    @property
    def storage(self) -> MemoryStorage:
        return self.counting.memory

    def cost_of(self, action: Callable[[], object]) -> tuple[dict[str, int], int]:
        """What `action` asks the Storage for: calls by name, and entries read."""
        self.counting.calls = {}
        self.counting.entries_read = 0
        action()
        return self.counting.calls, self.counting.entries_read


def follower_life(node: CountingHost) -> list[tuple[dict[str, int], int]]:
    """What a follower meets: heartbeats, appends new, old and contradicting, requests for votes, time."""
    last = node.length
    steps: list[Message] = [
        heartbeat(2, last),
        append(2, (1, last), log_of([2, 2, 2], last + 1), last),
        append(2, (2, last + 3), log_of([2], last + 4), last + 4),
        append(2, (1, last), log_of([2, 2, 2], last + 1), last),
        append(2, (1, 1), log_of([1], 2), 2),
        append(3, (2, last + 4), log_of([3], last + 5), last + 4),
        heartbeat(3, last + 5),
        vote_for(4, (9, 2 * last), b"CampaignTransfer"),
        vote_for(5, (1, 1), b"CampaignTransfer"),
        vote_for(6, (9, 9), pre=True),
    ]
    costs = [node.cost_of(partial(node.step, m)) for m in steps]
    costs.append(node.cost_of(lambda: node.tick(5)))
    costs.append(node.cost_of(node.raw.campaign))
    costs.append(node.cost_of(node.raw.status))
    return costs


def leader_life(node: CountingHost) -> list[tuple[dict[str, int], int]]:
    """What a leader meets: answers of all kinds, proposals, reads, time, a follower that lags."""
    last = node.length
    term = 2
    costs = [node.cost_of(lambda: elect(node))]
    actions: list[Callable[[], object]] = [
        lambda: node.step(acked(last + 1, term)),
        partial(_propose, node),
        lambda: node.step(acked(last + 2, term), acked(last + 3, term)),
        lambda: node.step(acked(last + 3, term)),
        lambda: node.tick(5),
        lambda: node.step(beat_back(term), beat_back(term, from_=3)),
        partial(node.raw.read_index, b"read"),
        node.settle,
        lambda: node.step(beat_back(term, b"\x01" + bytes(7))),
        lambda: node.step(beat_back(term, from_=3)),
        lambda: node.raw.report_unreachable(2),
        lambda: node.step(rejected(last, term, (0, last - 4), from_=3)),
        lambda: node.step(acked(last - 4, term, from_=3)),
        lambda: node.step(acked(last - 3, term, from_=3), acked(last + 3, term, from_=3)),
        lambda: node.raw.transfer_leader(2),
        node.settle,
        node.raw.status,
    ]
    costs += [node.cost_of(action) for action in actions]
    assert node.role is Role.StateLeader
    assert node.commit == last + 3
    return costs


def _propose(node: Host) -> None:
    node.raw.propose(b"one")
    node.raw.propose(b"two")
    node.settle()


@pytest.mark.parametrize("async_storage_writes", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("life", [follower_life, leader_life])
def test_a_long_log_costs_no_more_than_a_short_one(
    life: Callable[[CountingHost], list[tuple[dict[str, int], int]]], async_storage_writes: bool
) -> None:
    short = life(CountingHost(SHORT, async_storage_writes=async_storage_writes))
    long = life(CountingHost(LONG, async_storage_writes=async_storage_writes))
    assert short == long
    assert any(entries_read for _, entries_read in long) is (life is leader_life)


def test_the_steady_state_asks_the_storage_for_nothing() -> None:
    """Of a leader and of a follower: all that they need is still in memory."""
    for life in (_lead_on, _follow_on):
        node = CountingHost(SHORT)
        life(node, 1)
        assert node.cost_of(partial(life, node, 50)) == ({}, 0)
        assert len(node.applied) >= 50


def _lead_on(node: Host, count: int) -> None:
    if node.role is not Role.StateLeader:
        elect(node)
        node.step(acked(node.last, 2), acked(node.last, 2, from_=3))
    for _ in range(count):
        node.raw.propose(b"x")
        node.settle()
        node.step(acked(node.last, 2), acked(node.last, 2, from_=3))
        node.tick()
        node.step(beat_back(2), beat_back(2, from_=3))


def _follow_on(node: Host, count: int) -> None:
    for _ in range(count):
        last = node.last
        term = 1 if last == SHORT else 2
        node.step(append(2, (term, last), log_of([2], last + 1), last), heartbeat(2, last))


@pytest.mark.parametrize("life", [_lead_on, _follow_on], ids=["leader", "follower"])
def test_an_old_node_remembers_no_more_than_a_young_one(life: Callable[[Host, int], None]) -> None:
    node = CountingHost(SHORT)
    life(node, 5)
    young = node.raw.export_state()
    life(node, 2000)
    old = node.raw.export_state()
    for name in ("entries", "msgs", "msgs_after_append", "votes", "reads_pending", "reads_acked", "forwarded_reads"):
        assert len(getattr(old, name)) == len(getattr(young, name)), name
    assert [one.inflights.count() for one in old.progress] == [one.inflights.count() for one in young.progress]


@pytest.mark.parametrize("length", [SHORT, 1000, LONG])
def test_finding_where_logs_part_takes_a_logarithm(length: int) -> None:
    node = CountingHost(length)
    calls, entries_read = node.cost_of(lambda: node.step(append(9, (8, length), [Entry(ENTRY_NORMAL, 9, length + 1)])))
    assert entries_read == 0
    assert sum(calls.values()) <= log2(length) + 5
    elect(node)
    node.step(acked(length + 1, node.term))
    calls, entries_read = node.cost_of(lambda: node.step(rejected(length, node.term, (0, length), from_=3)))
    assert entries_read <= 1
    assert sum(calls.values()) <= log2(length) + 5


def test_a_snapshot_is_asked_for_once() -> None:
    costs = []
    for length in (SHORT, LONG):
        node = CountingHost(length)
        node.storage.create_snapshot(length, MEMBERS, b"state")
        node.storage.compact(length - 1)
        elect(node)
        node.step(acked(length + 1, 2))
        costs.append(node.cost_of(partial(node.step, rejected(length, 2, (0, 1), from_=3))))
        assert str(node.progress(3).state) == "StateSnapshot"
        assert node.counting.calls["snapshot"] == 1
    assert costs[0] == costs[1]
