"""The file: what a recording looks like on disk, how it is written and read, and what it costs.

A recording is a folder of segments, `node-ID-NUMBER.rec`. Each replays alone, so that the oldest can be deleted and
the recording go on for ever. Numbers count up over all lives (processes) of a node; a life is known by its first one.

    segment   "RAFTREC" version:1 byte, then records; the first is the Header
    record    length, payload, checksum     payload: a Kind in one byte, and what that kind has
    checksum  CRC-32, four bytes, little-endian, over length and payload, begun with the checksum of the record before
              (of the first eight bytes for the first), so that records cannot be lost, doubled or exchanged unnoticed
    numbers   varints as in protobuf, below 2^63, zigzag where they may be negative; bytes and text: length first

    Header    node, life, number of the segment, of its first input, who wrote it; the Config and the CoreState
              (`RawNode.export_state`) as names with values, so that another version is told by name what it lacks
    Mark      begins each write: eight fixed bytes that are easy to find again, number of the next input, clock
    an input  arguments; the answers that the core was given meanwhile, by Storage, random and a logger that raised,
              each with its question; the output: a Ready in short, a value, or the error that was raised (`output`)
    Note      text of the application, or a call that was refused for its arguments and changed nothing
    End       why there is no more: it goes on in the next segment, was closed, or the node has failed

**What is not in it.** What the core never looks at is not written twice: of the entries in a Ready there is the
position and a checksum, since the core makes them from inputs; snapshots beyond 4 KiB are replaced by their length and
checksum wherever they occur, since the core only passes them on. So a leader's proposal is written once, and so is a
follower's append. An answer of a storage thread that is the very object that a Ready brought is written as its number.
The constructor's questions to the Storage come before the first state and are not written. A call that never returns is
not written either.

**What survives.** Records gather in memory; one write() takes them to the operating system, before `ready()` returns,
beyond 64 KiB, and after 16 ticks without a Ready. There is no fsync. So after kill -9 everything is there up to the
last Ready: whatever the node let others know has its cause in the recording. What a power failure leaves is cut at the
first record that is not whole: a *torn tail*, reported. But if a whole record follows, the file was damaged, and
reading it is an error with file and offset. (Where a length was damaged, a Mark is searched for, or any record within
64 KiB.)

**What it costs.** For each input: the message encoded once more (a Ready: those that it sends, and its entries), one
CRC-32 (0.5 ms a MiB), two small bytes objects. For each Ready: one write into the page cache. For each segment: one
exported state. Nothing is compressed and no thread is involved. What the core asks of its Storage goes through one more
Python call; in the steady state it asks nothing. docs/recording.md has figures.

**Strangers.** Whoever wrote the file, reading it raises nothing but RecordingError; lengths are compared with what is
there, nothing is evaluated, and no class is looked up by a name that comes from the file. Whatever a state or an input
from it makes the core raise is an output that differs.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

VERSION: Final = 2
"""1 named knobs and fields as they were called before 0.1.0."""
MAGIC: Final = b"RAFTREC" + bytes((VERSION,))
SUFFIX: Final = ".rec"
SYNC: Final = b"\x8e\xd1\x07mark\xb5"

MAX_FILE_BYTES: Final = 1 << 30
"""A larger file is no segment of ours, and is not read."""

_NEAR_BYTES: Final = 64 << 10
_SEARCH_BYTES: Final = 32 << 20
"""How many bytes a search for whole records after a damaged one may add up, near by."""


_SMALL: Final = tuple(bytes((n,)) for n in range(128))


def varint(value: int) -> bytes:
    """The varint of a number that is not negative."""
    if value < 128:
        return _SMALL[value]
    digits = bytearray()
    while value >= 128:
        digits.append(value & 127 | 128)
        value >>= 7
    digits.append(value)
    return bytes(digits)


class RecordKind(IntEnum):
    """The first byte of a record."""

    HEADER = 1
    MARK = 2
    NOTE = 3
    END = 4
    TICK = 16
    STEP = 17
    STEP_STORAGE = 18
    STEP_STORAGE_BY_NUMBER = 19
    PROPOSE = 20
    PROPOSE_CONF_CHANGE = 21
    APPLY_CONF_CHANGE = 22
    READ_INDEX = 23
    CAMPAIGN = 24
    TRANSFER_LEADER = 25
    FORGET_LEADER = 26
    REPORT_UNREACHABLE = 27
    REPORT_SNAPSHOT = 28
    BOOTSTRAP = 29
    READY = 30
    ADVANCE = 31
    LOOK = 32
    """A question for the status that made the core ask its Storage."""

    def is_input(self) -> bool:
        """True for what happened to the node."""
        return self >= RecordKind.TICK


class End(IntEnum):
    """Why a segment ends."""

    CONTINUES = 0
    CLOSED = 1
    FAILED = 2


_KINDS: Final = frozenset(RecordKind)


class RecordingError(Exception):
    """A recording that cannot be read. Who acts: whoever has it; the text tells which file, where, and what."""


class BadValueError(RecordingError):
    """Bytes that are not the value expected there."""


class DamagedRecordingError(RecordingError):
    """`path` is damaged at byte `offset`, or was never a recording that this version can read."""

    def __init__(self, path: str, offset: int, detail: str) -> None:
        super().__init__(f"{path}: at byte {offset}: {detail}")
        self.path = path
        self.offset = offset
        self.detail = detail

    def __reduce__(self) -> tuple[type, tuple[str, int, str]]:
        return (type(self), (self.path, self.offset, self.detail))


@dataclass(frozen=True, slots=True)
class Record:
    """One record: where it begins in the file, its kind, and its payload without that."""

    offset: int
    kind: RecordKind
    body: bytes


@dataclass(frozen=True, slots=True)
class Torn:
    """A tail that was cut away: where it began, and how many bytes it had."""

    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Segment:
    """What a file holds: the Header's body, all records after it, and the torn tail if there is one."""

    path: str
    header: bytes
    records: list[Record]
    torn: Torn | None


class Chain:
    """Puts payloads into records, one after the other."""

    def __init__(self) -> None:
        self._checksum = zlib.crc32(MAGIC)

    def record(self, payload: bytes) -> bytes:
        """The next record."""
        framed = varint(len(payload)) + payload
        self._checksum = zlib.crc32(framed, self._checksum)
        return framed + self._checksum.to_bytes(4, "little")


def is_recording(path: Path) -> bool:
    """True if the file calls itself a segment, by its name or by its first bytes. Raises OSError."""
    if path.suffix == SUFFIX:
        return True
    with path.open("rb") as file:
        return file.read(len(MAGIC) - 1) == MAGIC[:-1]


def read_segment(path: Path) -> Segment:
    """All of a segment's records that are whole.

    Raises DamagedRecordingError if the file is no recording, of another version, or damaged before its end; OSError.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        raise DamagedRecordingError(str(path), 0, f"more than {MAX_FILE_BYTES >> 20} MiB are no segment")
    return parse_segment(str(path), path.read_bytes())


def parse_segment(path: str, data: bytes) -> Segment:
    """As `read_segment`, for bytes that are there already; `path` is for people."""
    if data[: len(MAGIC) - 1] != MAGIC[: min(len(data), len(MAGIC) - 1)] or not data:
        raise DamagedRecordingError(path, 0, "this is no recording")
    if len(data) >= len(MAGIC) and data[len(MAGIC) - 1] != VERSION:
        version = data[len(MAGIC) - 1]
        raise DamagedRecordingError(path, 0, f"format {version}; this version reads format {VERSION} only")
    records: list[Record] = []
    torn: Torn | None = None
    pos = len(MAGIC)
    checksum = zlib.crc32(MAGIC)
    while pos < len(data):
        found = _record_at(data, pos, checksum)
        if found is None:
            if _whole_record_after(data, pos):
                raise DamagedRecordingError(path, pos, "this record is damaged; whole ones follow")
            torn = Torn(pos, len(data) - pos)
            break
        record, pos, checksum = found
        records.append(record)
    if not records:
        raise DamagedRecordingError(path, min(pos, len(data)), "it ends before its header does")
    if records[0].kind is not RecordKind.HEADER:
        raise DamagedRecordingError(path, len(MAGIC), "the first record is no header")
    return Segment(path, records[0].body, records[1:], torn)


def _record_at(data: bytes, pos: int, before: int) -> tuple[Record, int, int] | None:
    """The record at `pos`, where it ends and its checksum; None if there is no whole one after checksum `before`."""
    head = _length_at(data, pos)
    if head is None:
        return None
    start, end = head
    if not end - start > 0 or end + 4 > len(data) or data[start] not in _KINDS:
        return None
    checksum = zlib.crc32(data[pos:end], before)
    if checksum != int.from_bytes(data[end : end + 4], "little"):
        return None
    return Record(pos, RecordKind(data[start]), data[start + 1 : end]), end + 4, checksum


def _length_at(data: bytes, pos: int) -> tuple[int, int] | None:
    """Where the payload of the record at `pos` would begin and end; None if no length is there."""
    length = 0
    for position in range(pos, min(pos + 5, len(data))):
        length |= (data[position] & 127) << 7 * (position - pos)
        if data[position] < 128:
            return position + 1, position + 1 + length
    return None


def _whole_record_after(data: bytes, pos: int) -> bool:
    """True if a record is whole that begins after the damaged one at `pos`."""

    def is_whole(at: int) -> bool:
        # The four bytes before a record are the checksum that its own begins with.
        return at - 4 > pos and _record_at(data, at, int.from_bytes(data[at - 4 : at], "little")) is not None

    damaged = _length_at(data, pos)
    if damaged is not None and is_whole(damaged[1] + 4):
        return True
    at = data.find(SYNC, pos)
    while at >= 0:
        if is_whole(at - 2):
            return True
        at = data.find(SYNC, at + 1)
    budget = _SEARCH_BYTES
    for near in range(pos + 1, min(pos + _NEAR_BYTES, len(data))):
        head = _length_at(data, near)
        if head is None or head[1] + 4 > len(data):
            continue
        budget -= head[1] - near
        if budget < 0:
            break
        if is_whole(near):
            return True
    return False
