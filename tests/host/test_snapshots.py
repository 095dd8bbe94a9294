"""Snapshots: what is no snapshot, what is kept of the log, and which of two wins."""

from __future__ import annotations

import asyncio
import json
import struct
import zlib
from collections.abc import Callable

import pytest
from host_cluster import FakeDisk
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import run

from examples.host.disk import DiskError
from examples.host.membership import Members
from examples.host.requests import Batch, Sessions
from examples.host.settings import Settings
from examples.host.snapshots import Snapshots, check, decode, encoder
from pyraft import MemoryStorage
from raftpb import ConfState, Entry, Snapshot, SnapshotMetadata

CONF_STATE = ConfState((1, 2), (3,))
MEMBERS = Members(CONF_STATE, {1: "http://a:1", 2: "http://b:1"}, frozenset({3}), frozenset({9}), 17)


def snapshot_with(header: object, content: bytes = b"state") -> bytes:
    text = json.dumps(header).encode()
    return b"host" + struct.pack(">II", zlib.crc32(content, zlib.crc32(text)), len(text)) + text + content


@given(st.binary(max_size=50), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 9))))
def test_what_was_encoded_is_decoded(content: bytes, done: list[tuple[int, int, int]]) -> None:
    sessions = Sessions()
    for node, nonce, number in done:
        sessions.begin(Batch(node, nonce, 0, [(number, b"")]))
    data = encoder(MEMBERS, sessions, lambda: content)()
    check(data)
    state = decode(data, CONF_STATE)
    assert (state.members, state.machine, state.sessions.save()) == (MEMBERS, content, sessions.save())


def test_the_state_is_that_of_the_moment() -> None:
    sessions = Sessions()
    encode = encoder(MEMBERS, sessions, lambda: b"")
    sessions.begin(Batch(1, 1, 0, [(1, b"")]))
    assert decode(encode(), CONF_STATE).sessions.save() == []


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"host\0\0", id="a head cut short"),
        pytest.param(snapshot_with({})[:-1], id="contents cut short"),
        pytest.param(snapshot_with([]), id="another header"),
        pytest.param(snapshot_with({"members": 1}), id="members that are none"),
        pytest.param(snapshot_with({"members": {}}), id="no members"),
        pytest.param(snapshot_with({"members": {"urls": {}, "promote": [], "removed": []}}), id="no last change"),
        pytest.param(snapshot_with({"members": MEMBERS.save(), "sessions": [[1]]}), id="sessions that are none"),
        pytest.param(snapshot_with({"members": MEMBERS.save(), "sessions": 1}), id="no list of sessions"),
    ],
)
def test_what_is_no_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"snapshot|members|change"):
        decode(data, CONF_STATE)


def log_of(count: int, size: int = 10) -> MemoryStorage:
    storage = MemoryStorage()
    storage.append([Entry(term=1, index=index, data=b"x" * size) for index in range(1, count + 1)])
    return storage


def stored_copy(disk: FakeDisk, count: int) -> MemoryStorage:
    """A log that is on the disk as well."""
    disk.stored = log_of(count)
    return log_of(count)


@pytest.mark.parametrize(
    ("settings", "first"),
    [
        pytest.param(Settings(catch_up_entries=0), 11, id="nothing is kept"),
        pytest.param(Settings(catch_up_entries=3), 8, id="so many entries are kept"),
        pytest.param(Settings(catch_up_entries=100), 1, id="everything is kept"),
        pytest.param(Settings(catch_up_entries=100, catch_up_bytes=35), 9, id="so many bytes are kept"),
    ],
)
def test_what_is_kept_of_the_log(settings: Settings, first: int) -> None:
    async def scenario() -> None:
        disk = FakeDisk()
        storage = stored_copy(disk, 20)
        snapshots = Snapshots(7, storage, disk, settings)
        ended: list[None] = []
        snapshots.begin(10, CONF_STATE, lambda: b"state", lambda: ended.append(None))
        assert not snapshots.is_due()
        await asyncio.sleep(1)
        snapshots.end()
        assert len(ended) == 1
        for log in (storage, disk.stored):
            assert log.snapshot() == Snapshot(b"state", SnapshotMetadata(CONF_STATE, 10, 1))
            assert (log.first_index(), log.last_index()) == (first, 20)

    run(scenario())


def installed(storage: MemoryStorage) -> None:
    """A snapshot from the leader arrives."""
    storage.apply_snapshot(Snapshot(b"the leader's", SnapshotMetadata(CONF_STATE, 30, 2)))


@pytest.mark.parametrize("late", [False, True], ids=["before it is written", "while it is written"])
def test_the_snapshot_of_the_leader_wins(late: bool) -> None:
    async def scenario() -> None:
        disk = FakeDisk()
        storage = stored_copy(disk, 20)
        snapshots = Snapshots(7, storage, disk, Settings())
        if late:
            snapshots.begin(10, CONF_STATE, lambda: b"own", lambda: None)
            await asyncio.sleep(0.0001)
        snapshots.begin_install()
        snapshots.note_applied(Entry(index=11))
        assert not snapshots.is_due()
        if not late:
            snapshots.begin(10, CONF_STATE, lambda: b"own", lambda: None)
        installed(storage)
        await asyncio.sleep(1)
        snapshots.end_install()
        snapshots.end()
        assert storage.snapshot().data == b"the leader's"
        assert len(disk.writes) == late

    run(scenario())


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        pytest.param(Settings(snapshot_entries=3), lambda s: None, id="by entries"),
        pytest.param(Settings(snapshot_bytes=31), lambda s: None, id="by bytes"),
        pytest.param(Settings(), lambda s: setattr(s, "wanted", True), id="because somebody needs it"),
    ],
)
def test_when_one_is_due(settings: Settings, note: Callable[[Snapshots], None]) -> None:
    snapshots = Snapshots(7, log_of(3), FakeDisk(), settings)
    note(snapshots)
    assert not snapshots.is_due()
    for entry in log_of(3).entries(1, 4, 10**9):
        snapshots.note_applied(entry)
    assert snapshots.is_due()
    snapshots.begin_install()
    snapshots.end_install()
    assert not snapshots.is_due()


def test_what_goes_wrong_is_told() -> None:
    async def scenario() -> None:
        disk = FakeDisk()
        disk.is_broken = True
        snapshots = Snapshots(7, stored_copy(disk, 20), disk, Settings())
        snapshots.end()  # there is none
        snapshots.begin(10, CONF_STATE, lambda: b"state", lambda: None)
        snapshots.end()  # it goes on
        await asyncio.sleep(1)
        with pytest.raises(DiskError):
            snapshots.end()

    run(scenario())


def test_closing_gives_up() -> None:
    async def scenario() -> None:
        disk = FakeDisk()
        snapshots = Snapshots(7, stored_copy(disk, 20), disk, Settings())
        await snapshots.close()
        snapshots.begin(10, CONF_STATE, lambda: b"state", lambda: None)
        await snapshots.close()
        await asyncio.sleep(1)
        assert not disk.writes

    run(scenario())
