"""The simulator's disks: what a start finds after a crash, whatever reached the disk and in whatever order; and that no
damage goes by unseen.
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sim_histories import START, entry

from pyraft import Config, NullLogger, RawNode
from raftpb.message import ConfState, Entry, HardState, Snapshot, SnapshotMetadata
from rafttest.sim.cluster import log_file
from rafttest.sim.cluster.crash_recovery import BYTES, FILES
from rafttest.sim.cluster.disk import SOME, SimDisk, copy_of
from rafttest.sim.cluster.frame import DamagedError
from rafttest.sim.cluster.record import DiskRecord

SALT = 7
RECORDS = [b"the beginning", b"", b"x" * 40, b"the end"]


def written(records: list[bytes], salt: int = SALT) -> bytes:
    """A file of which each record was synced before the next was written."""
    data = bytearray()
    for record in records:
        log_file.add(data, salt, record, len(data))
    return bytes(data)


def ends(records: list[bytes]) -> list[int]:
    return [len(written(records[:count])) for count in range(len(records) + 1)]


def test_a_file_cut_at_any_byte_is_read_up_to_its_last_whole_record() -> None:
    file = written(RECORDS)
    for size in range(len(file) + 1):
        whole = max(count for count, end in enumerate(ends(RECORDS)) if end <= size)
        assert log_file.read(file[:size], SALT) == (RECORDS[:whole], size - ends(RECORDS)[whole])


@pytest.mark.parametrize("kind", ["zeros", "old bytes", "half a record"])
def test_garbage_behind_any_cut_is_cut_off(kind: str) -> None:
    file = written(RECORDS)
    old = written([b"older", b"one two", b"y" * 60], salt=SALT - 1)
    for size in range(len(file) + 1):
        garbage = {"zeros": bytes(50), "old bytes": old[size:], "half a record": RECORDS[0][:6]}[kind]
        whole = max(count for count, end in enumerate(ends(RECORDS)) if end <= size)
        assert log_file.read(file[:size] + garbage, SALT)[0] == RECORDS[:whole]


def test_no_bit_of_what_a_later_record_knows_to_be_synced_changes_unseen() -> None:
    file = written(RECORDS)
    for bit in range(8 * ends(RECORDS)[-2]):
        damaged = bytearray(file)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedError):
            log_file.read(bytes(damaged), SALT)


@pytest.mark.parametrize(
    "record",
    [
        DiskRecord(entry=entry(3, 2, b"data")),
        DiskRecord(hard_state=HardState(3, 1, 2)),
        DiskRecord(snapshot=Snapshot(b"x", SnapshotMetadata(ConfState((1, 2)), 9, 4)), hard_state=HardState(4, 2, 9)),
        DiskRecord(made=(5, ConfState((1,), (2,)), b"state")),
        DiskRecord(compact_to=77),
    ],
    ids=["entry", "hard state", "snapshot", "snapshot made here", "compaction"],
)
def test_records_are_written_as_bytes(record: DiskRecord) -> None:
    again = DiskRecord.decode(record.encode())
    assert (again.entry, again.hard_state, again.snapshot, again.compact_to) == (
        record.entry,
        record.hard_state,
        record.snapshot,
        record.compact_to,
    )
    assert again.made == record.made


# -- whatever is kept

steps = st.lists(
    st.tuples(st.sampled_from(["append", "replace", "state", "snapshot", "compact", "sync"]), st.integers(1, 4)),
    max_size=14,
)


def play(disk: SimDisk, moves: list[tuple[str, int]]) -> tuple[HardState, list[Entry]]:
    """Do what a core might ask for; return what was synced last."""
    term = 1
    synced = (disk.cache.initial_state()[0], list[Entry]())
    for move, number in moves:
        before, last = disk.cache.initial_state()[0], disk.cache.last_index()
        commit = before.commit
        if move == "append":
            disk.write(None, [entry(last + 1 + at, term, b"%d" % last) for at in range(number)], None)
        elif move == "replace":
            term += 1
            first = max(commit + 1, last - number)
            disk.write(None, [entry(first, term, b"new")], HardState(term, number, commit))
        elif move == "state":
            disk.write(None, [], HardState(term, before.vote, min(last, commit + number)))
        elif move == "snapshot":
            term += 1
            at = SnapshotMetadata(ConfState((1, 2)), last + number, term)
            disk.write(Snapshot(b"s%d" % last, at), [], HardState(term, 0, last + number))
        elif move == "compact" and commit > disk.cache.snapshot().metadata.index:
            disk.keep_snapshot(commit, ConfState((1, 2)), b"made", commit - number)
        elif move == "sync":
            disk.sync()
            first, last = disk.durable.first_index(), disk.durable.last_index()
            kept = disk.durable.entries(first, last + 1, 1 << 30) if last >= first else []
            synced = (disk.durable.initial_state()[0], kept)
    return synced


@pytest.mark.parametrize("flush", [BYTES, FILES])
@given(moves=steps, seed=st.integers(0, 1 << 30))
def test_a_start_after_any_crash_finds_a_log_that_a_core_accepts(
    flush: str, moves: list[tuple[str, int]], seed: int
) -> None:
    disk = SimDisk(START, 1, flush)
    state, kept = play(disk, moves)
    disk.crash(SOME, Random(seed))
    found = disk.cache.initial_state()[0]
    assert found.term >= state.term
    assert found.commit >= state.commit
    assert found.term > state.term or state.vote in {0, found.vote}
    RawNode(Config(id=1, storage=disk.cache, logger=NullLogger()))
    for one in kept:
        if one.index <= state.commit and one.index >= disk.cache.first_index():
            assert disk.cache.term(one.index) == one.term
    assert copy_of(disk.cache).last_index() == disk.durable.last_index()
