"""Host: one process that takes part in any number of groups: one disk, one port, one clock.

Law: whatever goes wrong inside ends all of it. `failure` says what it was, and the process is to stop without sending
or answering anything more; a group that has silently stopped would be worse than none.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path

from examples.host.disk import Disk
from examples.host.machine import StateMachine
from examples.host.replica import Replica
from examples.host.settings import Settings
from examples.host.transport import PeerStatus, Transport
from examples.host.wire import WireLimits
from pyraft import Config, NodeLike, RawNode, StepError
from raftpb import Message

logger = logging.getLogger(__name__)

_FAREWELL_SECONDS = 2.0
"""How long a node that was removed is still talked to, so that it learns of it."""

_TURNS_TO_TAKE_MESSAGES = 3
"""Turns of the loop from a socket that can be read to a message that was taken."""


class Host:
    """The groups of one process, and what they share. All methods are called on one event loop."""

    def __init__(
        self,
        cluster: str,
        node: int,
        directory: Path,
        *,
        tick_seconds: float = 0.1,
        limits: WireLimits | None = None,
        make_node: Callable[[Config], NodeLike] = RawNode,
    ) -> None:
        """Open the data directory; each group's core is made by `make_node`. Blocks until all of it is checked.

        Raises DataDirectoryError.
        """
        self.node = node
        self.failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        """Done once something went wrong that cannot be mended: what it was."""
        self._tick_seconds = tick_seconds
        self._make_node = make_node
        self._nonce = secrets.randbits(63)
        self._groups: dict[int, Replica] = {}
        self._peers: dict[int, set[int]] = {}
        """By node, the groups that it is a member of."""
        self._farewells: dict[int, asyncio.TimerHandle] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._disk = Disk.open(directory, cluster, node)
        self._transport = Transport(
            cluster,
            node,
            receive=self._receive,
            unreachable=self._note_unreachable,
            snapshot_done=self._note_snapshot,
            limits=limits if limits is not None else WireLimits(),
        )

    def is_new(self, group: int) -> bool:
        """Whether the disk knows nothing of `group`."""
        return self._disk.is_new(group)

    def add_group(
        self,
        group: int,
        machine: StateMachine,
        *,
        founders: Mapping[int, str] | None = None,
        peers: Mapping[int, str] | None = None,
        settings: Settings | None = None,
    ) -> Replica:
        """Take part in `group`, before `start`. What the disk has of it decides; if there is nothing, this node founds
        the group together with the others among `founders`, or waits for a member among `peers` to let it in.

        Raises ChangeRefusedError if `founders` cannot found a group, ValueError if the snapshot cannot be decoded.
        """
        is_new = self.is_new(group)
        replica = Replica(
            group,
            self.node,
            self._nonce,
            storage=self._disk.load(group),
            machine=machine,
            disk=self._disk,
            network=self,
            settings=settings if settings is not None else Settings(),
            founders=founders if is_new else None,
            make_node=self._make_node,
        )
        self._groups[group] = replica
        if is_new:
            for id, url in {**(peers or {}), **(founders or {})}.items():
                self.set_peer(group, id, url)
        return replica

    async def start(self, url: str) -> str:
        """Listen at `url`, and drive all groups; return once each has applied what was known to be committed when the
        process last stopped. Returns where it listens: with the port that the system chose if 0 was asked for.

        Raises ValueError if that is no URL, OSError if it cannot be bound.
        """
        await self._transport.start(url)
        for replica in self._groups.values():
            self._spawn(replica.driver.run(), f"group {replica.driver.group}")
        self._spawn(self._tick(), "clock")
        for replica in self._groups.values():
            await replica.driver.replayed.wait()
        return self._transport.url

    async def close(self) -> None:
        """Stop in good order. Raises DiskError if the last of it cannot be written."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for farewell in self._farewells.values():
            farewell.cancel()
        for replica in self._groups.values():
            await replica.close()
        await self._transport.close()
        await self._disk.close()

    def fail(self, error: BaseException) -> None:
        """Something went wrong that cannot be mended: nothing is driven any more."""
        if not self.failure.done():
            self.failure.set_result(error)
        for task in self._tasks:
            task.cancel()
        for replica in self._groups.values():
            replica.driver.replayed.set()

    # -- the network, as the groups see it

    def send(self, group: int, message: Message) -> None:
        """Send, or lose, a message."""
        self._transport.send(group, message)

    def set_peer(self, group: int, id: int, url: str) -> None:
        """Node `id` is a member of `group`."""
        if id == self.node:
            return
        if id in self._farewells:
            self._farewells.pop(id).cancel()
        self._peers.setdefault(id, set()).add(group)
        self._transport.set_peer(id, url)

    def forget_peer(self, group: int, id: int) -> None:
        """Node `id` is not a member of `group` any more. When it is of none, it is not listened to, once it has had
        the time to hear of it.
        """
        groups = self._peers.setdefault(id, set())
        groups.discard(group)
        if not groups and id != self.node and id not in self._farewells:
            loop = asyncio.get_running_loop()
            self._farewells[id] = loop.call_later(_FAREWELL_SECONDS, self._transport.forget_peer, id)

    def reachable(self) -> set[int]:
        """The nodes that a message would reach now, this one among them."""
        return {self.node} | {id for id, peer in self._transport.peers().items() if peer.connected}

    def peers(self) -> dict[int, PeerStatus]:
        """The other nodes, as the transport sees them."""
        return self._transport.peers()

    # -- what the transport and the clock have to say

    def _receive(self, group: int, message: Message) -> None:
        replica = self._groups.get(group)
        if replica is None:
            raise StepError(f"group {group} is not here")
        try:
            if not self.failure.done():
                replica.driver.step(message)
        except StepError:
            raise
        except Exception as error:
            self.fail(error)

    def _note_unreachable(self, group: int, peer: int) -> None:
        if group in self._groups and not self.failure.done():
            self._groups[group].driver.report_unreachable(peer)

    def _note_snapshot(self, group: int, peer: int, ok: bool) -> None:
        if group in self._groups and not self.failure.done():
            self._groups[group].driver.report_snapshot(peer, ok)

    async def _tick(self) -> None:
        """Pass time on; when the loop was held up, only after what came meanwhile."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._tick_seconds
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            ticks = 1 + int((loop.time() - due) / self._tick_seconds)
            due += ticks * self._tick_seconds
            if ticks > 1:
                for _ in range(_TURNS_TO_TAKE_MESSAGES):
                    await asyncio.sleep(0)
            for replica in self._groups.values():
                replica.driver.tick(ticks)

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._note_end)
        self._tasks.append(task)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)
