"""The simulator's own parts: time, disk, network, and the second opinion about quorums and membership."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sim_histories import START, entry

from pyraft import ConfChangeError, Config, MemoryStorage, NullLogger, RawNode
from raftpb.confchange import ConfChangeSingle, ConfChangeV2
from raftpb.enums import MSG_HEARTBEAT, ConfChangeTransition, ConfChangeType
from raftpb.message import ConfState, Entry, HardState, Message, Snapshot, SnapshotMetadata
from rafttest.sim.checker import oracle
from rafttest.sim.cluster.disk import EVERYTHING, NOTHING, SOME, SimDisk, copy_of, term_on
from rafttest.sim.cluster.network import Envelope, Packet, SimNetwork
from rafttest.sim.draw import draw
from rafttest.sim.schedule import TICK, Schedule

TRANSITIONS = list(ConfChangeTransition)


def test_things_happen_in_order() -> None:
    schedule, seen = Schedule(), list[str]()
    for name, moments in (("late", 9), ("early", 3), ("early too", 3), ("never", 10)):
        schedule.after(moments, lambda name=name: seen.append(name))  # type: ignore[misc]
    while schedule.step(10):
        pass
    assert seen == ["early", "early too", "late"]
    assert schedule.now == 10


def entries(*terms: int) -> list[Entry]:
    return [entry(3 + position, term) for position, term in enumerate(terms)]


def on(storage: MemoryStorage) -> tuple[int, int, HardState]:
    return storage.first_index(), storage.last_index(), storage.initial_state()[0]


@pytest.mark.parametrize(("kept", "last", "lost"), [(NOTHING, 3, 3), (EVERYTHING, 5, 0)])
def test_a_crash_keeps_what_was_synced(kept: str, last: int, lost: int) -> None:
    disk = SimDisk(START)
    disk.write(None, entries(2), HardState(2, 0, 2))
    disk.sync()
    disk.write(None, [entry(4, 2), entry(5, 2)], HardState(3, 1, 3))
    assert on(disk.cache) == (3, 5, HardState(3, 1, 3))
    assert disk.crash(kept, Random(1)) == lost
    assert on(disk.cache) == on(disk.durable)
    assert disk.cache.last_index() == last


def test_a_crash_may_keep_a_part() -> None:
    seen = set()
    for seed in range(40):
        disk = SimDisk(START)
        disk.write(None, entries(2, 2), HardState(2, 1, 2))
        disk.crash(SOME, Random(seed))
        seen.add((disk.durable.last_index(), disk.durable.initial_state()[0].term))
    assert seen == {(2, 1), (3, 1), (4, 1), (4, 2)}


def test_a_copy_of_a_disk_is_the_same() -> None:
    disk = SimDisk(START)
    disk.write(None, entries(2, 2, 3), HardState(3, 0, 5))
    disk.keep_snapshot(5, ConfState((1,)), b"x", 4)
    copy = copy_of(disk.cache)
    assert on(copy) == on(disk.cache) == (5, 5, HardState(3, 0, 5))
    assert copy.snapshot() == disk.cache.snapshot()
    assert (term_on(copy, 2), term_on(copy, 5), term_on(copy, 6)) == (0, 3, None)


def test_a_received_snapshot_comes_with_its_commit_index() -> None:
    disk = SimDisk()
    disk.write(Snapshot(b"x", SnapshotMetadata(ConfState((1,)), 9, 4)), [entry(10, 4)], HardState(4, 2, 10))
    disk.crash(SOME, Random(1))
    assert disk.durable.initial_state()[0].commit in {0, disk.durable.last_index(), disk.durable.first_index() - 1}


def network(drop: float = 0.0, duplicate: float = 0.0) -> tuple[SimNetwork, list[Message], list[Message]]:
    options = replace(draw(1), drop=drop, duplicate=duplicate, late=0.0, has_wire=False, misdirect=0.0, piece_bytes=0)
    arrived, lost = list[Message](), list[Message]()

    def arrive(packet: Packet) -> None:
        assert isinstance(packet, Envelope)
        arrived.append(packet.message)

    return SimNetwork(Schedule(), Random(1), options, arrive, lost.append), arrived, lost


def pass_time(net: SimNetwork) -> None:
    while net.schedule.step(net.schedule.now + 1000 * TICK):
        pass


def message(number: int) -> Message:
    return Message(MSG_HEARTBEAT, 2, 1, number)


@pytest.mark.parametrize(
    ("drop", "duplicate", "expected"), [(0.0, 0.0, (1, 0)), (1.0, 0.0, (0, 1)), (0.0, 1.0, (2, 0))]
)
def test_what_becomes_of_a_message(drop: float, duplicate: float, expected: tuple[int, int]) -> None:
    net, arrived, lost = network(drop, duplicate)
    net.send(message(1))
    pass_time(net)
    assert (len(arrived), len(lost)) == expected


def test_a_cut_link_loses_one_direction() -> None:
    net, arrived, lost = network()
    net.cut.add((1, 2))
    net.send(message(1))
    net.send(Message(MSG_HEARTBEAT, 1, 2, 1))
    pass_time(net)
    assert [m.to for m in arrived] == [1]
    assert [m.to for m in lost] == [2]


def test_a_clogged_link_holds_until_it_is_released() -> None:
    net, arrived, _ = network()
    net.clogged[1, 2] = []
    net.send(message(1))
    pass_time(net)
    assert arrived == []
    net.release([(1, 2)])
    pass_time(net)
    assert arrived == [message(1)]


def test_an_old_message_comes_back() -> None:
    net, arrived, _ = network()
    assert not net.repeat_one_of_old(1)
    net.send(message(1))
    pass_time(net)
    assert net.repeat_one_of_old(1)
    assert not net.repeat_one_of_old(3)
    pass_time(net)
    assert arrived == [message(1), message(1)]


def test_calm_ends_all_faults() -> None:
    net, arrived, lost = network(drop=1.0, duplicate=1.0)
    net.cut.add((1, 2))
    net.calm()
    net.send(message(1))
    pass_time(net)
    assert (arrived, lost) == ([message(1)], [])


@pytest.mark.parametrize(
    ("conf", "members", "expected"),
    [
        (ConfState((1, 2, 3)), [1, 2], True),
        (ConfState((1, 2, 3)), [1], False),
        (ConfState((1, 2, 3, 4)), [1, 2], False),
        (ConfState((1, 2), learners=(3,)), [1, 3], False),
        (ConfState((1,), voters_outgoing=(2, 3)), [1, 2], False),
        (ConfState((1,), voters_outgoing=(2, 3)), [1, 2, 3], True),
        (ConfState(), [1], False),
    ],
    ids=str,
)
def test_quorums(conf: ConfState, members: list[int], expected: bool) -> None:
    assert oracle.is_quorum(conf, members) is expected


steps = st.builds(ConfChangeSingle, st.sampled_from(list(ConfChangeType)), st.integers(0, 5))
changes = st.builds(ConfChangeV2, st.lists(steps, max_size=3), st.sampled_from(TRANSITIONS))


@given(st.lists(changes, max_size=8))
def test_the_oracle_and_the_core_agree_about_membership(asked: list[ConfChangeV2]) -> None:
    storage = MemoryStorage()
    storage.apply_snapshot(START)
    node = RawNode(Config(id=1, storage=storage, logger=NullLogger()))
    conf = START.metadata.conf_state
    for one in asked:
        following = oracle.change(conf, one)
        if following is None:
            with pytest.raises(ConfChangeError):
                node.apply_conf_change(one)
            continue
        assert node.apply_conf_change(one) == following
        assert oracle.is_sound(following)
        conf = following
