"""Snapshots: what is in one, when one is due, and how much of the log may go then.

    magic | crc | length | header: members and sessions, as JSON | the state machine's own bytes

The configuration in a snapshot's metadata is that of exactly its index. Encoding takes long and happens in another
thread; writing waits for the disk; Readys go on meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from examples.host.disk import Write
from examples.host.membership import Members
from examples.host.requests import Sessions
from examples.host.settings import Settings
from pyraft import NO_LIMIT, MemoryStorage
from raftpb import ConfState, Entry, Snapshot, SnapshotMetadata

_HEAD: Final = struct.Struct(">4sII")
_MAGIC: Final = b"host"


class Durable(Protocol):
    """Where a group writes (`examples.host.disk`)."""

    async def write(self, write: Write) -> None:
        """Return once it is durable; raise, for ever, if it may not be."""
        ...


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
    header = json.loads(bytes(text))
    if not isinstance(header, dict) or not isinstance(header.get("members"), dict):
        raise ValueError("the snapshot's header is incomplete")
    try:
        sessions = Sessions(header.get("sessions"))
    except (TypeError, ValueError) as error:
        raise ValueError("the snapshot's sessions cannot be read") from error
    return HostState(Members.load(header["members"], conf_state), sessions, bytes(content))


def check(data: bytes) -> None:
    """Raises ValueError unless `data` is as some host's `encoder` wrote it."""
    _split(data)


def _split(data: bytes) -> tuple[memoryview, memoryview]:
    if len(data) < _HEAD.size or not data.startswith(_MAGIC):
        raise ValueError("these bytes are no snapshot of a host")
    _, crc, length = _HEAD.unpack_from(data)
    start = _HEAD.size + length
    view = memoryview(data)
    text, content = view[_HEAD.size : start], view[start:]
    if len(text) != length or zlib.crc32(content, zlib.crc32(text)) != crc:
        raise ValueError("the snapshot has a wrong checksum")
    return text, content


class Snapshots:
    """Makes the snapshots of one group, one at a time."""

    def __init__(self, group: int, storage: MemoryStorage, disk: Durable, settings: Settings) -> None:
        self.wanted = False
        """Somebody needs one that is newer than the last, however little has happened since."""
        self._group = group
        self._storage = storage
        self._disk = disk
        self._settings = settings
        self._entries = 0
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._installing = False

    def note_applied(self, entry: Entry) -> None:
        """Count an entry that was applied since the last one."""
        self._entries += 1
        self._bytes += entry.encoded_size()

    def is_due(self) -> bool:
        """Whether it is time for another."""
        if self._task is not None or self._installing or self._entries == 0:
            return False
        settings = self._settings
        return self.wanted or self._entries >= settings.snapshot_entries or self._bytes >= settings.snapshot_bytes

    def begin(self, index: int, conf_state: ConfState, encode: Callable[[], bytes], ended: Callable[[], None]) -> None:
        """Make one of the state as of `index`, which `encode` has hold of; `ended` is called when there is more to do:
        `end`.
        """
        self._restart()
        self._task = asyncio.create_task(self._make(index, conf_state, encode))
        self._task.add_done_callback(lambda _: ended())

    def end(self) -> None:
        """Raises what went wrong with the one that was being made."""
        if self._task is not None and self._task.done():
            task, self._task = self._task, None
            task.result()

    def begin_install(self) -> None:
        """One from the leader is on its way to the disk: none that is older may follow it there."""
        self._installing = True

    def end_install(self) -> None:
        """It has become the state."""
        self._installing = False
        self._restart()

    async def close(self) -> None:
        """Give up the one that is being made."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _restart(self) -> None:
        self.wanted = False
        self._entries = 0
        self._bytes = 0

    async def _make(self, index: int, conf_state: ConfState, encode: Callable[[], bytes]) -> None:
        data = await asyncio.to_thread(encode)
        storage = self._storage
        if self._installing or storage.snapshot().metadata.index >= index:
            return
        snapshot = Snapshot(data, SnapshotMetadata(conf_state, index, storage.term(index)))
        compact_to = self._compact_to(index)
        # From here on the disk's order is fixed: what the leader sends is written after this.
        await self._disk.write(Write(self._group, snapshot=snapshot, compact_to=compact_to))
        if storage.snapshot().metadata.index >= index:
            return
        storage.create_snapshot(index, conf_state, data)
        if compact_to > 0:
            storage.compact(compact_to)

    def _compact_to(self, index: int) -> int:
        """Up to where the log may go once there is a snapshot at `index`; 0 if nothing may."""
        settings = self._settings
        first = self._storage.first_index()
        lowest = max(first, index + 1 - settings.catch_up_entries)
        kept = index + 1
        if lowest < kept:
            size = 0
            for entry in reversed(self._storage.entries(lowest, kept, NO_LIMIT)):
                size += entry.encoded_size()
                if size > settings.catch_up_bytes:
                    break
                kept = entry.index
        return kept - 1 if kept > first else 0
