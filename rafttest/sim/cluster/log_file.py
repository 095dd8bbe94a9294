"""Image: a log as the bytes of a file, and what a start makes of them.

    header: length (4 bytes) | CRC-32 (4) | how much of the file was synced when this was written (8) | the record

The checksum covers the place of the record and the file's `salt` too, which every start chooses anew, so that bytes
that an older file left on the same space are never taken for a record. What lies beyond the last record that is whole
was cut by a crash, and is cut off. But damage below a place which a later record knows to have been synced is not the
work of a crash: then nothing can be believed.
"""

from __future__ import annotations

from struct import Struct
from typing import Final
from zlib import crc32

from rafttest.sim.cluster.frame import DamagedError

_HEADER: Final = Struct(">IIQ")
HEADER_BYTES: Final = _HEADER.size


def add(image: bytearray, salt: int, record: bytes, synced: int) -> None:
    """Write a record at the end of `image`, of which `synced` bytes are durable."""
    image += _HEADER.pack(len(record), _checksum(salt, len(image), synced, record), synced) + record


def read(image: bytes, salt: int) -> tuple[list[bytes], int]:
    """The records, up to where a crash may have cut the file, and how many bytes are left over. Raises DamagedError."""
    records: list[bytes] = []
    place = 0
    while (found := _at(image, salt, place)) is not None:
        records.append(found[0])
        place += HEADER_BYTES + len(found[0])
    for later in range(place + 1, len(image) - HEADER_BYTES + 1):
        found = _at(image, salt, later)
        if found is not None and found[1] > place:
            raise DamagedError(f"byte {place} was synced before the record at {later} was written, and is damaged")
    return records, len(image) - place


def _at(image: bytes, salt: int, place: int) -> tuple[bytes, int] | None:
    """The record at `place`, and how much was synced when it was written; None if there is none."""
    start = place + HEADER_BYTES
    if start > len(image):
        return None
    length, checksum, synced = _HEADER.unpack_from(image, place)
    if length > len(image) - start:
        return None
    record = image[start : start + length]
    return (record, synced) if _checksum(salt, place, synced, record) == checksum else None


def _checksum(salt: int, place: int, synced: int, record: bytes) -> int:
    return crc32(record, crc32(b"%d %d %d %d" % (salt, place, synced, len(record))))
