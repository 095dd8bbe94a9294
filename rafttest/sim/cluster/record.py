"""Record: one thing on a simulated disk, whole or not there at all."""

from __future__ import annotations

from pyraft import MemoryStorage
from raftpb.codec import (
    decode_entry,
    decode_hard_state,
    decode_snapshot,
    encode_entry,
    encode_hard_state,
    encode_snapshot,
)
from raftpb.message import ConfState, Entry, HardState, Snapshot, SnapshotMetadata


class DiskRecord:
    """One thing on the disk, whole or not there at all."""

    def __init__(
        self,
        snapshot: Snapshot | None = None,
        entry: Entry | None = None,
        hard_state: HardState | None = None,
        made: tuple[int, ConfState, bytes] | None = None,
        compact_to: int = 0,
    ) -> None:
        self.snapshot = snapshot
        self.entry = entry
        self.hard_state = hard_state
        self.made = made
        self.compact_to = compact_to

    def put(self, image: MemoryStorage) -> None:
        """Write it."""
        if self.snapshot is not None:
            image.apply_snapshot(self.snapshot)
        if self.entry is not None:
            image.append([self.entry])
        if self.hard_state is not None:
            image.set_hard_state(self.hard_state)
        if self.made is not None:
            image.create_snapshot(*self.made)
        if self.compact_to:
            image.compact(self.compact_to)

    def encode(self) -> bytes:
        """As bytes of a file."""
        if self.snapshot is not None:
            state = encode_hard_state(self.hard_state or HardState())
            return b"R" + bytes([len(state)]) + state + encode_snapshot(self.snapshot)
        if self.entry is not None:
            return b"E" + encode_entry(self.entry)
        if self.hard_state is not None:
            return b"H" + encode_hard_state(self.hard_state)
        if self.made is not None:
            index, conf_state, data = self.made
            return b"M" + encode_snapshot(Snapshot(data, SnapshotMetadata(conf_state, index, 0)))
        return b"C%d" % self.compact_to

    @staticmethod
    def decode(data: bytes) -> DiskRecord:
        """What `encode` wrote."""
        kind, rest = data[:1], data[1:]
        if kind == b"R":
            end = 1 + rest[0]
            return DiskRecord(snapshot=decode_snapshot(rest[end:]), hard_state=decode_hard_state(rest[1:end]))
        if kind == b"E":
            return DiskRecord(entry=decode_entry(rest))
        if kind == b"H":
            return DiskRecord(hard_state=decode_hard_state(rest))
        if kind == b"M":
            made = decode_snapshot(rest)
            return DiskRecord(made=(made.metadata.index, made.metadata.conf_state, made.data))
        return DiskRecord(compact_to=int(rest))
