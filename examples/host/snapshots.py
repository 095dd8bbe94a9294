"""Snapshots: when one is due, what is in it, and how much of the log may go.

    crc | length | header: members and sessions, as JSON | the state machine's own bytes

The configuration in a snapshot's metadata is that of exactly its index. What the host adds is small, so encoding is the
state machine's work and happens in another thread.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from examples.host.membership import Members
from examples.host.requests import Sessions
from examples.host.settings import Settings
from pyraft import MemoryStorage
from raftpb import ConfState, Entry

_HEAD: Final = struct.Struct(">4sII")
_MAGIC: Final = b"host"
_NO_LIMIT: Final = 2**62 - 1


@dataclass(frozen=True, slots=True)
class HostState:
    """A group's whole state at one index: the host's part, and the state machine's bytes."""

    members: Members
    sessions: Sessions
    machine: bytes


def encoder(members: Members, sessions: Sessions, machine: Callable[[], bytes]) -> Callable[[], bytes]:
    """What encodes the state as it is now, later and in another thread."""
    header = {"members": members.save(), "sessions": sessions.save()}

    def encode() -> bytes:
        text = json.dumps(header).encode()
        content = machine()
        crc = zlib.crc32(content, zlib.crc32(text))
        return b"".join((_HEAD.pack(_MAGIC, crc, len(text)), text, content))

    return encode


def decode(data: bytes, conf_state: ConfState) -> HostState:
    """Raises ValueError if `data` is no snapshot of a host."""
    text, content = _split(data)
    header = json.loads(text)
    if not isinstance(header, dict) or not isinstance(header.get("members"), dict):
        raise ValueError("the snapshot's header is incomplete")
    try:
        sessions = Sessions(header.get("sessions"))
    except (TypeError, ValueError) as error:
        raise ValueError("the snapshot's sessions cannot be read") from error
    return HostState(Members.load(header["members"], conf_state), sessions, content)


def check(data: bytes) -> None:
    """Raises ValueError unless `data` is as some host's `encoder` wrote it."""
    _split(data)


def _split(data: bytes) -> tuple[bytes, bytes]:
    if len(data) < _HEAD.size or not data.startswith(_MAGIC):
        raise ValueError("these bytes are no snapshot of a host")
    _, crc, length = _HEAD.unpack_from(data)
    start = _HEAD.size + length
    text, content = data[_HEAD.size : start], data[start:]
    if len(text) != length or zlib.crc32(content, zlib.crc32(text)) != crc:
        raise ValueError("the snapshot has a wrong checksum")
    return text, content


class Schedule:
    """How much has been applied since the last snapshot."""

    def __init__(self, settings: Settings) -> None:
        self.wanted = False
        """Somebody needs one that is newer than the last, however little has happened since."""
        self._settings = settings
        self._entries = 0
        self._bytes = 0

    def note_applied(self, entry: Entry) -> None:
        """Count an entry."""
        self._entries += 1
        self._bytes += entry.encoded_size()

    def is_due(self) -> bool:
        """Whether it is time."""
        settings = self._settings
        return self._entries > 0 and (
            self.wanted or self._entries >= settings.snapshot_entries or self._bytes >= settings.snapshot_bytes
        )

    def restart(self) -> None:
        """A snapshot is as of now."""
        self.wanted = False
        self._entries = 0
        self._bytes = 0


def compact_to(storage: MemoryStorage, snapshot_index: int, settings: Settings) -> int:
    """Up to where the log may go once there is a snapshot at `snapshot_index`; 0 if nothing may."""
    first = storage.first_index()
    lowest = max(first, snapshot_index + 1 - settings.catch_up_entries)
    kept = snapshot_index + 1
    if lowest < kept:
        size = 0
        for entry in reversed(storage.entries(lowest, kept, _NO_LIMIT)):
            size += entry.encoded_size()
            if size > settings.catch_up_bytes:
                break
            kept = entry.index
    return kept - 1 if kept - 1 >= first else 0
