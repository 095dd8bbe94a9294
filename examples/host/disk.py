"""Disk: where a node's Raft groups keep what must survive, written without holding up the event loop.

    write() ─┐
    write() ─┼─> waiting ─> one transaction in the disk's thread, synced ─> both return
             └──── what arrives meanwhile waits for the next one

Invariants: `write` returns once what it was given is durable, and never after an error; a transaction is all of a Ready
or nothing of it, in the order in which they were given. The first error is the last thing that this disk does: a sync
that failed may have thrown the data away and succeed the second time, so it is not tried a second time. What is in the
file then is decided by the next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from examples.host.disk_database import Database, Write
from examples.host.disk_directory import DataDirectory, DataDirectoryError
from pyraft import MemoryStorage

__all__ = ["DataDirectoryError", "Disk", "DiskError", "Write"]

T = TypeVar("T")


class DiskError(Exception):
    """Reading or writing failed, or was refused; nothing more will be written. `path` names the file.

    Who acts: the process, which must stop without sending or acknowledging anything; then the operator.
    """

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class Disk:
    """The open data directory of one node. All methods are called on one event loop."""

    def __init__(self, directory: DataDirectory, database: Database) -> None:
        """Use `Disk.open`."""
        self._directory = directory
        self._database = database
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="disk")
        self._waiting: list[tuple[Write, asyncio.Future[None]]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._problem: str | None = None
        self._closed = False

    @staticmethod
    def open(directory: Path, cluster: str, node: int) -> Disk:
        """Open the data directory of `node`, or create it, and check all that is in it.

        Blocks until everything is read. Raises DataDirectoryError: in use, somebody else's, damaged, incomplete, too
        new, or not accessible.
        """
        data_directory = DataDirectory(directory)
        try:
            return Disk(data_directory, Database(data_directory, cluster, node))
        except BaseException:
            data_directory.close()
            raise

    @property
    def path(self) -> Path:
        """The file that the logs are in."""
        return self._database.path

    def groups(self) -> list[int]:
        """The groups that have been written to, in order."""
        return sorted(self._database.logs)

    def is_new(self, group: int) -> bool:
        """Whether nothing was ever written to `group`."""
        return group not in self._database.logs

    def load(self, group: int) -> MemoryStorage:
        """What the directory held of `group` when it was opened; an empty log if it is new.

        To be called once for each group, before it is first written to: the caller keeps the log up to date from
        there on, and this keeps no copy. Entries may be there that the snapshot covers, kept for slow followers: a
        node that starts from the snapshot must be told so (`Config.applied`, its index), or it applies them again.
        """
        if self.is_new(group):
            return MemoryStorage()
        storage = self._database.recovered.pop(group, None)
        if storage is None:
            raise ValueError(f"the log of group {group} was given away already, or created since")
        return storage

    async def write(self, write: Write) -> None:
        """Write, and return once it is durable; together with what others write at this time, in one transaction.

        Raises DiskError if it may not be durable, and from then on always.
        """
        if self._problem is not None:
            raise DiskError(self.path, f"stopped at an earlier error: {self._problem}")
        if self._closed:
            raise RuntimeError("the disk is closed")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append((write, done))
        if self._flusher is None:
            self._flusher = loop.create_task(self._flush())
        await done

    async def close(self) -> None:
        """Finish what is being written, close the file and let another process have the directory.

        Raises DiskError if the file could not be closed in order; it is closed all the same.
        """
        if self._closed:
            return
        self._closed = True
        if self._flusher is not None:
            await asyncio.wait({self._flusher})
        try:
            if self._problem is None:
                await self._in_thread(self._database.checkpoint)
        except Exception as error:
            raise self._fail(error) from error
        finally:
            await self._in_thread(self._database.close)
            self._thread.shutdown(wait=False)
            self._directory.close()

    async def _flush(self) -> None:
        """Write until nobody waits any more."""
        batch: list[tuple[Write, asyncio.Future[None]]] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                writes = [write for write, _ in batch]
                wal_is_full = await self._in_thread(partial(self._database.commit, writes))
                _answer(batch, None)
                batch = []
                if wal_is_full:
                    await self._in_thread(self._database.checkpoint)
        except BaseException as error:
            failure = self._fail(error)
            _answer(batch + self._waiting, failure)
            self._waiting = []
            if not isinstance(error, Exception):
                raise
        finally:
            self._flusher = None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _fail(self, error: BaseException) -> DiskError:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        self._problem = f"{error} ({name})"
        return DiskError(self.path, self._problem)


def _answer(batch: list[tuple[Write, asyncio.Future[None]]], failure: DiskError | None) -> None:
    for _, done in batch:
        if done.done():  # whoever waited has given up
            continue
        if failure is None:
            done.set_result(None)
        else:
            done.set_exception(DiskError(failure.path, failure.problem))
