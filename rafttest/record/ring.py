"""Ring: the segments of one recording on disk, written one after the other, the oldest deleted.

Invariants: all segments of the node together stay below `total_bytes`, or are one (a segment is as long as its first
state, `segment_bytes` and one write take); nothing is overwritten; a file that this node's ring did not write is not
touched. Whoever calls deals with OSError.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rafttest.record.format import MAGIC, SUFFIX, SYNC, Chain, RecordKind, varint
from rafttest.record.values import number as encoded_number

BUFFER_BYTES: Final = 64 << 10
"""With so much in memory it is written, Ready or not."""

_MARK: Final = bytes((RecordKind.MARK,)) + SYNC


class Ring:
    """The folder, and the segment that is being written. `clock` gives seconds since 1970, for people."""

    def __init__(
        self, directory: Path, node: int, segment_bytes: int, total_bytes: int, clock: Callable[[], float] | None
    ) -> None:
        self._directory = directory
        self._node = node
        self._segment_bytes = segment_bytes
        self._total_bytes = total_bytes
        self._clock = clock
        self._file: int | None = None
        self._chain = Chain()
        self._parts: list[bytes] = []
        self._pending_bytes = 0
        self._file_bytes = 0
        self._limit_bytes = 0
        self.inputs = 0
        """How many inputs there were in this life."""
        self.life = 0
        """The number of this life's first segment."""
        self.number = 0
        """Of the segment that is being written."""
        self._older: list[tuple[int, Path, int]] = []
        self._older_bytes = 0

    def open(self) -> None:
        """Look what is there."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._older = [(found, path, path.stat().st_size) for found, path in segments(self._directory, self._node)]
        self._older_bytes = sum(size for _, _, size in self._older)
        self.life = self._older[-1][0] + 1 if self._older else 1
        self.number = self.life - 1

    @property
    def is_full(self) -> bool:
        """True if it is time for the next segment."""
        return self._file_bytes >= self._limit_bytes

    def begin(self, header: bytes) -> None:
        """Begin the next segment with what `header` says after the numbers of life, segment and first input."""
        self.close()
        self.number += 1
        path = self._directory / segment_name(self._node, self.number)
        self._chain = Chain()
        self._file_bytes = 0
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o644)
        numbers = b"".join(map(encoded_number, (self._node, self.life, self.number, self.inputs)))
        self._parts = [MAGIC, self._chain.record(bytes((RecordKind.HEADER,)) + numbers + header)]
        self._pending_bytes = sum(map(len, self._parts))
        self._limit_bytes = self._pending_bytes + self._segment_bytes
        self._write()

    def add(self, payload: bytes) -> None:
        """Add a record; it is in memory until `flush`, or until there is much of it."""
        if not self._parts:
            self._mark()
        record = self._chain.record(payload)
        self._parts.append(record)
        self._pending_bytes += len(record)
        if self._pending_bytes >= BUFFER_BYTES:
            self._write()

    def flush(self) -> None:
        """Hand everything to the operating system."""
        if self._parts:
            self._write()

    def close(self) -> None:
        """Write what is in memory, and close the file."""
        if self._file is None:
            return
        try:
            self.flush()
        finally:
            file, self._file = self._file, None
            self._parts = []
            self._older_bytes += self._file_bytes
            self._older.append((self.number, self._directory / segment_name(self._node, self.number), self._file_bytes))
            os.close(file)

    def abandon(self) -> None:
        """Close the file, and forget what is in memory."""
        if self._file is not None:
            file, self._file = self._file, None
            self._parts = []
            os.close(file)

    def _mark(self) -> None:
        now = 0 if self._clock is None else max(0, int(self._clock() * 1000))
        record = self._chain.record(_MARK + varint(self.inputs) + varint(now))
        self._parts.append(record)
        self._pending_bytes += len(record)

    def _write(self) -> None:
        if self._file is None:
            return
        self._make_room(self._pending_bytes)
        data = memoryview(b"".join(self._parts))
        self._parts = []
        self._pending_bytes = 0
        while data:
            written = os.write(self._file, data)
            self._file_bytes += written
            data = data[written:]

    def _make_room(self, more: int) -> None:
        """Delete the oldest segments until `more` bytes fit."""
        while self._older and self._older_bytes + self._file_bytes + more > self._total_bytes:
            _, path, size = self._older.pop(0)
            self._older_bytes -= size
            path.unlink(missing_ok=True)


def segment_name(node: int, number: int) -> str:
    """The name of a segment's file."""
    return f"node-{node}-{number:08d}{SUFFIX}"


def segments(directory: Path, node: int) -> list[tuple[int, Path]]:
    """The segments of a node that are in a folder, with their numbers, oldest first. Raises OSError."""
    found = []
    prefix = f"node-{node}-"
    for path in directory.iterdir():
        digits = path.name.removeprefix(prefix).removesuffix(SUFFIX)
        if path.name == f"{prefix}{digits}{SUFFIX}" and digits.isascii() and digits.isdigit() and len(digits) < 19:
            found.append((int(digits), path))
    return sorted(found)
