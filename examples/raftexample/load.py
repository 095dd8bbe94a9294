"""Clients that write and read without pause, and check every answer.

Each key has one writer, which writes versions 1, 2, 3 ... to it, each after the last was acknowledged. When what became
of a version is unknown, it is the key's last one: it may come true at any time later, and a version after it could be
overtaken. Under these conditions reads are linearizable exactly if each returns a version

- not older than the last that was acknowledged, or that any read had returned, before this read began;
- not newer than the last that was begun before it ended;
- not one of which a node had said that it would never happen.

Source: Herlihy and Wing, Linearizability (1990); for one writer, Lamport, On Interprocess Communication (1986).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

from examples.raftexample.client import RefusedError, UnknownOutcomeError

VERSIONS_A_KEY = 8
"""Then the writer takes another key, so that there are many whose last value can be checked in the end."""

_PAUSE_SECONDS = 0.02
"""After a refusal, so that a cluster without a leader is not asked at full speed."""


class Store(Protocol):
    """What is put under load: `examples.raftexample.client.Client`, which see."""

    async def put(self, node: int, key: str, value: bytes) -> None: ...

    async def get(self, node: int, key: str, *, stale: bool = False) -> bytes | None: ...


@dataclass
class Register:
    """A key as its writer knows it."""

    key: str
    begun: int = 0
    acknowledged: int = 0
    seen: int = 0  # the newest version that a finished read has returned
    never: dict[int, str] = field(default_factory=dict)  # versions that were refused, and with what words
    closed: bool = False

    @property
    def oldest_allowed(self) -> int:
        """The oldest version that a read which begins now may return."""
        return max(self.acknowledged, self.seen)

    def value(self, version: int) -> bytes:
        """What is written as `version`."""
        return f"{self.key} version {version}".encode()

    def version_of(self, value: bytes | None) -> int | None:
        """Which version a value is, 0 for none; None if it was never written to this key."""
        if value is None:
            return 0
        head, _, number = value.decode(errors="replace").rpartition(" version ")
        return int(number) if head == self.key and number.isascii() and number.isdigit() else None

    def check(self, value: bytes | None, oldest: int) -> str | None:
        """Take what a read returned that has just ended; `oldest` is `oldest_allowed` from when it began. None, or
        what is wrong with it.
        """
        version = self.version_of(value)
        if version is None:
            return f"{value!r} was never written to it"
        if version in self.never:
            return f"version {version} was refused, as one that would never happen: {self.never[version]}"
        if version < oldest:
            return f"version {version} is stale: {oldest} was acknowledged or read before this read began"
        if version > self.begun:
            return f"version {version} has not been written yet, {self.begun} is the latest"
        self.seen = max(self.seen, version)
        return None


@dataclass
class Counts:
    """What happened so far. `last_write` and `last_read`: when one last succeeded, by the monotonic clock."""

    writes: int = 0
    reads: int = 0
    refused: int = 0
    unknown: int = 0
    last_write: float = 0.0
    last_read: float = 0.0


class Load:
    """Writers and readers, each at work on a random node at a time. `violations` has what must not be, in words.

    Leaving the `with` block stops them at once.
    """

    def __init__(self, store: Store, nodes: Callable[[], list[int]], rng: random.Random) -> None:
        self.store = store
        self.registers: list[Register] = []
        self.counts = Counts()
        self.violations: list[str] = []
        self._nodes = nodes
        self._rng = rng
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    async def __aenter__(self) -> Load:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def begin(self, writers: int, readers: int) -> None:
        """Set to work."""
        self.counts.last_write = self.counts.last_read = time.monotonic()
        self._tasks = [asyncio.create_task(self._write()) for _ in range(writers)]
        self._tasks += [asyncio.create_task(self._read()) for _ in range(readers)]

    async def end(self) -> None:
        """Finish what has been begun, and stop. Raises what a client met that no node may answer."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    def check(self) -> None:
        """Raises what a client met that no node may answer."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def _write(self) -> None:
        while not self._stopping:
            register = Register(f"key-{len(self.registers) + 1}")
            self.registers.append(register)
            while not self._stopping and not register.closed and register.begun < VERSIONS_A_KEY:
                await self._write_next(register)
            register.closed = True

    async def _write_next(self, register: Register) -> None:
        register.begun += 1
        version = register.begun
        node = self._pick()
        try:
            await self.store.put(node, register.key, register.value(version))
        except RefusedError as error:
            self.counts.refused += 1
            register.never[version] = f"{error} (node {node}, {time.monotonic():.3f} s)"
            await asyncio.sleep(_PAUSE_SECONDS)
        except UnknownOutcomeError:
            self.counts.unknown += 1
            register.closed = True
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            register.acknowledged = version
            self.counts.writes += 1
            self.counts.last_write = time.monotonic()

    async def _read(self) -> None:
        while not self._stopping:
            if not self.registers:
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            # Mostly keys that are being written, and now and then one from long ago.
            recent = self.registers if self._rng.random() < 0.1 else self.registers[-12:]
            await self._read_one(self._rng.choice(recent), self._pick())

    async def _read_one(self, register: Register, node: int) -> None:
        oldest = register.oldest_allowed
        began = time.monotonic()
        try:
            value = await self.store.get(node, register.key)
        except (RefusedError, UnknownOutcomeError):
            await asyncio.sleep(_PAUSE_SECONDS)
            return
        wrong = register.check(value, oldest)
        ended = time.monotonic()
        self.counts.reads += 1
        self.counts.last_read = ended
        if wrong is not None:
            self.violations.append(f"GET /{register.key} on node {node}, from {began:.3f} to {ended:.3f} s: {wrong}")

    def _pick(self) -> int:
        return self._rng.choice(self._nodes())

    async def check_everything(self, nodes: list[int]) -> int:
        """Read every key on every node, as it lies there; return how many keys there are. To be called at rest, once
        the nodes are equal: each then has to have the last version acknowledged, or the unknown one after it.
        """
        many = asyncio.Semaphore(32)

        async def check(register: Register, node: int) -> None:
            async with many:
                value = await self.store.get(node, register.key, stale=True)
            wrong = register.check(value, register.oldest_allowed)
            if wrong is not None:
                self.violations.append(f"in the end, /{register.key} on node {node}: {wrong}")

        await asyncio.gather(*(check(register, node) for register in self.registers for node in nodes))
        return len(self.registers)
