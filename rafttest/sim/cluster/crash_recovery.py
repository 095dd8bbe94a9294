"""Crash recovery: what a start finds of that which was written and not synced.

    ordered    the first few records
    bytes      one file, cut at any byte or in pieces that were flushed in any order, with old bytes or zeros at the
               end; a start reads it as `log_file` says
    files      hard state, log and snapshots in files of their own, each flushed so far and no further

With files of their own, a start puts together what fits: a log that goes on from a snapshot which is not there is not
believed from there on, and a commit index only if the log still ends, or passes through, where it ended when that was
written. Term and vote need no such care.
"""

from __future__ import annotations

from random import Random
from typing import Final

from pyraft import MemoryStorage
from raftpb.message import HardState, Snapshot, SnapshotMetadata
from rafttest.sim.cluster import log_file
from rafttest.sim.cluster.record import DiskRecord

ORDERED: Final = "ordered"
BYTES: Final = "bytes"
FILES: Final = "files"

_BEGINNING: Final = b"everything before was synced"
_PAGE_BYTES: Final = 32


def torn(records: list[bytes], salt: int, old: bytes, random: Random) -> bytes:
    """The file after a crash: a synced beginning, and of `records` whatever reached the disk. `old`: what the space was
    used for before.
    """
    data = bytearray()
    log_file.add(data, salt, _BEGINNING, 0)
    synced = len(data)
    for record in records:
        log_file.add(data, salt, record, synced)
    kind = random.choice(("cut", "zeros", "old", "half", "pages"))
    if kind == "pages":
        for start in range(synced, len(data), _PAGE_BYTES):
            if random.random() < 0.3:
                end = min(start + _PAGE_BYTES, len(data))
                data[start:end] = bytes(end - start)
        return bytes(data)
    del data[random.randrange(synced, len(data) + 1) :]
    if kind == "zeros":
        data += bytes(random.randrange(1, 2 * _PAGE_BYTES))
    elif kind == "old":
        data += old[len(data) : len(data) + 4 * _PAGE_BYTES]
    elif kind == "half" and records:
        data += records[-1][: len(records[-1]) // 2]
    return bytes(data)


def readable(file: bytes, salt: int) -> tuple[list[bytes], int]:
    """What a start finds in it after the synced beginning, and how many bytes it cuts off. Raises DamagedError."""
    records, left_over = log_file.read(file, salt)
    return records[1:], left_over


class Files:
    """Three files, flushed independently, and what fits of them."""

    def __init__(self, durable: MemoryStorage, known: MemoryStorage, records: list[DiskRecord], random: Random) -> None:
        """`durable`: what was synced. `known`: a copy of it, to play `records` on, and see where the log ended."""
        self.log = durable
        self._known = known
        self._believed = True
        self._snapshot: Snapshot | None = None
        self._states: list[tuple[HardState, int, int]] = []
        counts = [0, 0, 0]
        for record in records:
            counts[0] += record.snapshot is not None or record.made is not None
            counts[1] += record.snapshot is not None or record.entry is not None or record.compact_to > 0
            counts[2] += record.hard_state is not None
        kept = [random.randrange(count + 1) for count in counts]
        for record in records:
            self._take(record, kept)
        self._use_snapshot()
        self._use_states()

    def _take(self, record: DiskRecord, kept: list[int]) -> None:
        record.put(self._known)
        if record.snapshot is not None:
            there, in_log = _next(kept, 0), _next(kept, 1)
            if there:
                self._snapshot = record.snapshot
            self._believed = self._believed and (not in_log or there)
            if there and in_log and self._believed:
                self.log.apply_snapshot(record.snapshot)
        elif record.made is not None and _next(kept, 0):
            index, conf_state, data = record.made
            self._snapshot = Snapshot(data, SnapshotMetadata(conf_state, index, self._known.term(index)))
        elif record.entry is not None and _next(kept, 1) and self._believed:
            self.log.append([record.entry])
        elif record.compact_to and _next(kept, 1) and self._believed:
            self._use_snapshot()
            if self.log.first_index() <= record.compact_to <= self.log.snapshot().metadata.index:
                self.log.compact(record.compact_to)
        if record.hard_state is not None and _next(kept, 2):
            last = self._known.last_index()
            self._states.append((record.hard_state, last, self._known.term(last)))

    def _use_snapshot(self) -> None:
        snapshot, log = self._snapshot, self.log
        self._snapshot = None
        if snapshot is None or snapshot.metadata.index <= log.snapshot().metadata.index:
            return
        index = snapshot.metadata.index
        if log.term_or_unknown(index) == snapshot.metadata.term:
            log.create_snapshot(index, snapshot.metadata.conf_state, snapshot.data)
        else:
            log.apply_snapshot(snapshot)

    def _use_states(self) -> None:
        log = self.log
        state = log.initial_state()[0]
        commit = state.commit
        for newer, last, term in self._states:
            passed = last < log.first_index() - 1 or log.term_or_unknown(last) == term
            commit = max(commit, newer.commit) if passed else commit
            state = newer
        lowest = max(log.snapshot().metadata.index, log.first_index() - 1)
        if self._states or state.commit < lowest:
            log.set_hard_state(HardState(state.term, state.vote, min(max(commit, lowest), log.last_index())))


def _next(kept: list[int], file: int) -> bool:
    """Whether the next record of a file was flushed."""
    kept[file] -= 1
    return kept[file] >= 0
