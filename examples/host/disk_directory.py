"""A data directory belongs to one running process, and remembers how far it has got.

    raft.db, raft.db-wal   everything that must survive (`examples.host.disk_database`)
    raft.lock              locked while a process uses the directory; the number of that process
    raft.mark              the number of the last transaction that is known to be durable

Why the mark: SQLite takes a write-ahead log that was cut short, or that has a bad frame, for one whose writer crashed,
and goes on without the rest; an empty file is an empty database to it. After a crash that is right. But what the mark
counts was synced and acknowledged, so a database that has less of it has lost it, and must not be used: a Raft node
that forgets what it promised can make its cluster lose data.

Law: the mark never counts a transaction that may be missing after a power failure. It is itself not synced on every
write, and may come back older: then it merely detects less.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_SLOT: Final = struct.Struct(">QI")
_SLOT_DISTANCE: Final = 512
"""The two slots lie in sectors of their own: a torn write of one leaves the other."""

MEMBER_IS_LOST: Final = (
    "If the original cannot be brought back complete, remove this member from its cluster and add it again under a new "
    "id, with a new directory: an id stands for one log for ever"
)


class DataDirectoryError(Exception):
    """A data directory must not be used: `path` names the file, `problem` what is wrong, `way_out` what to do.

    Who acts: the operator. Nothing was sent to anybody.
    """

    def __init__(self, path: Path, problem: str, way_out: str) -> None:
        super().__init__(f"{path}: {problem}. {way_out}.")
        self.path = path
        self.problem = problem
        self.way_out = way_out


class DataDirectory:
    """A locked directory, and its mark."""

    def __init__(self, path: Path) -> None:
        """Create `path` if it is not there, and lock it. Raises DataDirectoryError."""
        self.path = path
        self.database = path / "raft.db"
        self._mark_path = path / "raft.mark"
        self._mark_fd = -1
        try:
            missing = [ancestor for ancestor in path.parents if not ancestor.exists()]
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for ancestor in missing:
                sync_directory(ancestor.parent)
            self._lock_fd = _lock(path / "raft.lock")
        except OSError as error:
            raise DataDirectoryError(
                path, f"cannot be used: {error}", "Check the path, its permissions and the space on the disk"
            ) from error

    def open_mark(self) -> int:
        """The number of the last transaction known to be durable; 0 in a new directory. Raises DataDirectoryError."""
        try:
            has_data = self.database.exists() and self.database.stat().st_size > 0
            if not self._mark_path.exists():
                if has_data:
                    raise DataDirectoryError(
                        self._mark_path, "is missing, so nothing shows that raft.db is complete", MEMBER_IS_LOST
                    )
                self._create_mark()
            self._mark_fd = os.open(self._mark_path, os.O_RDWR | os.O_CLOEXEC)
            mark = self._read_mark()
        except OSError as error:
            raise DataDirectoryError(
                self._mark_path, f"cannot be used: {error}", "Check the disk and the permissions, then start again"
            ) from error
        if mark > 0 and not has_data:
            raise DataDirectoryError(
                self.database, f"is missing or empty, after {mark} transactions were written to it", MEMBER_IS_LOST
            )
        return mark

    def set_mark(self, sequence: int) -> None:
        """Remember that transaction `sequence`, and all before it, are durable."""
        number = struct.pack(">Q", sequence)
        with _naming(self._mark_path):
            os.pwrite(self._mark_fd, number + struct.pack(">I", zlib.crc32(number)), sequence % 2 * _SLOT_DISTANCE)

    def sync(self) -> None:
        """Make the mark itself durable, and the names of all files."""
        with _naming(self._mark_path):
            os.fsync(self._mark_fd)
        with _naming(self.path):
            sync_directory(self.path)

    def close(self) -> None:
        """Let another process have the directory."""
        if self._mark_fd >= 0:
            os.close(self._mark_fd)
            self._mark_fd = -1
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def _create_mark(self) -> None:
        """Write a mark of 0 under its name only when it is complete: a crash leaves none, or a good one."""
        unfinished = self._mark_path.with_suffix(".new")
        number = struct.pack(">Q", 0)
        slot = number + struct.pack(">I", zlib.crc32(number))
        fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(fd, slot, 0)
            os.pwrite(fd, slot, _SLOT_DISTANCE)
            os.fsync(fd)
        finally:
            os.close(fd)
        unfinished.rename(self._mark_path)
        sync_directory(self.path)
        sync_directory(self.path.parent)

    def _read_mark(self) -> int:
        data = os.pread(self._mark_fd, _SLOT_DISTANCE + _SLOT.size, 0)
        found = []
        for start in (0, _SLOT_DISTANCE):
            slot = data[start : start + _SLOT.size]
            if len(slot) == _SLOT.size and zlib.crc32(slot[:8]) == _SLOT.unpack(slot)[1]:
                found.append(int.from_bytes(slot[:8], "big"))
        if not found:
            raise DataDirectoryError(
                self._mark_path, "is damaged, so nothing shows that raft.db is complete", MEMBER_IS_LOST
            )
        return max(found)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """A failing call on a file descriptor does not say which file it was."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _lock(path: Path) -> int:
    """Lock a file for this process alone, for as long as the file descriptor lives."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    except BlockingIOError:
        owner = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        os.close(fd)
        raise in_use(path, f"process {owner}" if owner.isdecimal() else "another process") from None
    except OSError:
        with contextlib.suppress(OSError):
            os.close(fd)
        raise
    return fd


def in_use(path: Path, owner: str) -> DataDirectoryError:
    """The error for a directory that somebody else has locked."""
    return DataDirectoryError(
        path, f"is locked by {owner}", "Stop that process first, or give this one a directory of its own"
    )
