"""Replica: what an application asks of one group on this node.

    propose         a request is carried out everywhere, once; its result here
    read_barrier    what is read here from now on is as new as anything acknowledged before
    change_members  somebody joins, moves or leaves

Every one of them may be asked of any member, and ends: with its result, or with an error that says what is known.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from examples.host.driver import REMOVED, Driver, Sender
from examples.host.machine import NotServedError, RemovedError, StateMachine
from examples.host.membership import Change, Members
from examples.host.settings import Settings
from examples.host.snapshots import Durable
from pyraft import Config, MemoryStorage, NodeLike, RandomSource, RawNode, Status

logger = logging.getLogger(__name__)


class Replica:
    """One member of a group. All methods are called on one event loop."""

    def __init__(
        self,
        group: int,
        id: int,
        nonce: int,
        *,
        storage: MemoryStorage,
        machine: StateMachine,
        disk: Durable,
        network: Sender,
        settings: Settings,
        founders: Mapping[int, str] | None = None,
        random: RandomSource | None = None,
        make_node: Callable[[Config], NodeLike] = RawNode,
    ) -> None:
        """Go on from `storage`, as the disk gave it; `founders` only with an empty one, on each founding member alike.

        `nonce`: a number that no earlier process of this node had. `random`: where election timeouts come from; the
        operating system's entropy unless given. `make_node`: what makes the core, for instance one that is recorded.
        Blocks while a snapshot is decoded.
        """
        self.driver = Driver(
            group,
            id,
            nonce,
            storage=storage,
            machine=machine,
            disk=disk,
            network=network,
            settings=settings,
            founders=founders,
            random=random,
            make_node=make_node,
        )
        self._settings = settings
        self._closed = False

    @property
    def members(self) -> Members:
        """Who takes part, as far as applied here."""
        return self.driver.state.members

    @property
    def leader(self) -> int:
        """Who leads; 0: nobody that is known here."""
        return self.driver.leader

    @property
    def is_removed(self) -> bool:
        """Whether this node was a member and is none any more. It serves nothing, but still answers the members that
        do not know yet.
        """
        return self.driver.id in self.members.removed

    async def propose(self, data: bytes) -> object:
        """Have `data` carried out by the state machines of all members, once; return what this node's answered.

        Raises NotServedError, RemovedError, ValueError if it is too long.
        """
        if len(data) > self._settings.max_request_bytes:
            raise ValueError(f"a request of {len(data)} bytes; the limit is {self._settings.max_request_bytes}")
        self._check_serving()
        outbox = self.driver.outbox
        request = outbox.add(data)
        self.driver.wake()
        try:
            async with asyncio.timeout(self._settings.request_seconds):
                return await request.done
        except TimeoutError:
            reason = "it was not committed in time" if request.sent else outbox.why_waiting
            raise NotServedError(reason, may_still_happen=request.sent) from None
        finally:
            outbox.forget(request)

    async def read_barrier(self) -> None:
        """Return once the state machine here shows everything that was acknowledged anywhere before the call.

        Raises NotServedError, RemovedError.
        """
        self._check_serving()
        reader = self.driver.reads.add()
        self.driver.wake()
        try:
            async with asyncio.timeout(self._settings.request_seconds):
                await reader
        except TimeoutError:
            raise NotServedError(self.driver.reads.why_waiting, may_still_happen=False) from None

    async def change_members(self, plan: Callable[[Members], Change | None]) -> None:
        """Carry out what `plan` makes of the members as they are now; return once it is applied here.

        Raises NotServedError, RemovedError, ChangeRefusedError, and what `plan` raises.
        """
        await self.read_barrier()
        change = plan(self.members)
        if change is None:
            return
        self.members.check(change)
        changes = self.driver.changes
        asked = changes.add(change, self.members.changed_at)
        retry_seconds = self._settings.request_seconds / 10
        try:
            async with asyncio.timeout(self._settings.request_seconds):
                while not asked.done.done():
                    asked.sent = self.driver.propose_change(asked.entry) or asked.sent
                    await asyncio.wait({asked.done}, timeout=retry_seconds)
                await asked.done
        except TimeoutError:
            raise NotServedError("it was not committed in time", may_still_happen=asked.sent) from None
        finally:
            changes.forget(asked)

    async def transfer_leadership(self, seconds: float) -> None:
        """Let another member lead, if this one does and another can; return when it does, or after `seconds`."""
        driver = self.driver
        candidates = [
            one
            for one in driver.node.status().progress.values()
            if one.id != driver.id and one.recent_active and not one.is_learner
        ]
        if not candidates:
            return
        best = max(candidates, key=lambda one: one.match)
        if driver.node.transfer_leader(best.id) is not None:
            return
        driver.wake()
        try:
            async with asyncio.timeout(seconds):
                while driver.leader in (0, driver.id):
                    driver.leader_changed.clear()
                    await driver.leader_changed.wait()
        except TimeoutError:
            logger.warning("group %d: node %d did not take over in time", driver.group, best.id)

    def status(self) -> Status:
        """What the core knows. Never raises."""
        return self.driver.node.status()

    def figures(self) -> dict[str, int]:
        """What the host can add: indexes, counts of what waits, and of what should not happen."""
        driver = self.driver
        return {
            "applied": driver.state.index,
            "first_index": driver.storage.first_index(),
            "snapshot_index": driver.storage.snapshot().metadata.index,
            "waiting_requests": len(driver.outbox),
            "waiting_reads": len(driver.reads),
            "dropped_proposals": driver.dropped_proposals,
            "foreign_entries": driver.state.foreign_entries,
        }

    async def close(self) -> None:
        """Serve nothing any more; to be called once the driver's `run` has ended in good order."""
        self._closed = True
        await self.driver.close()

    def _check_serving(self) -> None:
        if self.is_removed:
            raise RemovedError(REMOVED)
        if self._closed:
            raise NotServedError("this node is shutting down", may_still_happen=False)
