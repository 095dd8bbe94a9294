"""Replica: one group on this node, driven.

    requests, reads, messages, ticks ─> RawNode ─> Ready ─> disk ─> mirror ─> messages ─> apply, answer ─> advance

At most one Ready is being written at a time. Meanwhile the loop goes on: ticks and messages move the node, requests
gather, and all of it is in the next Ready. An exception in `run` leaves everything as it is and must end the process:
nothing is sent or answered after it.

Source: docs/ready.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from examples.host import snapshots
from examples.host.changes import Changes
from examples.host.disk import Write
from examples.host.machine import NotServedError, RemovedError, StateMachine
from examples.host.membership import Change, Members, entry_of, founding, promoting
from examples.host.reads import Reads
from examples.host.requests import Outbox
from examples.host.settings import Settings
from examples.host.state import State
from pyraft import (
    Config,
    ForwardedProposalDroppedError,
    MemoryStorage,
    Peer,
    ProgressState,
    ProposalDroppedError,
    RandomSource,
    RawNode,
    Ready,
    Role,
    SnapshotStatus,
    Status,
    StepError,
)
from raftpb import ConfChangeV2, EntryType, MessageType
from raftpb.message import Entry, HardState, Message, Snapshot, SnapshotMetadata

logger = logging.getLogger(__name__)

T = TypeVar("T")

_COMMIT_TICKS = 10
"""A commit index that nothing else had to be written with is written after so many ticks."""

_PROMOTE_TICKS = 5
"""How often a leader looks whether a learner has caught up."""


class Durable(Protocol):
    """Where a replica writes (`examples.host.disk`)."""

    async def write(self, write: Write) -> None:
        """Return once it is durable; raise, for ever, if it may not be."""
        ...


class Network(Protocol):
    """How a replica reaches the other members. No method waits, or raises for a peer's sake."""

    def send(self, group: int, message: Message) -> None:
        """Send, or lose, a message."""
        ...

    def set_peer(self, group: int, id: int, url: str) -> None:
        """A member is there."""
        ...

    def forget_peer(self, group: int, id: int) -> None:
        """Somebody is no member any more."""
        ...


class Replica:
    """One member of a group. All methods are called on one event loop; `run` is to be a task of its own."""

    def __init__(
        self,
        group: int,
        id: int,
        nonce: int,
        *,
        storage: MemoryStorage,
        machine: StateMachine,
        disk: Durable,
        network: Network,
        settings: Settings,
        founders: Mapping[int, str] | None = None,
        random: RandomSource | None = None,
    ) -> None:
        """Go on from `storage`, as the disk gave it; `founders` only with an empty one, on each founding member alike.

        `nonce`: a number that no earlier process of this node had. Blocks while a snapshot is decoded.
        """
        self.group = group
        self.id = id
        self.settings = settings
        self.replayed = asyncio.Event()
        """Set once everything is applied that was known to be committed at the start."""
        self.dropped_proposals = 0
        """Proposals that others passed on to this node and that it could not take."""
        self._state = State(machine)
        self._storage = storage
        self._disk = disk
        self._network = network
        self._outbox = Outbox(id, nonce, settings)
        self._reads = Reads(id, nonce, settings.max_reads)
        self._changes = Changes(id, nonce)
        self._schedule = snapshots.Schedule(settings)
        self._snapshot_task: asyncio.Task[None] | None = None
        self._installing = False
        self._deferred: HardState | None = None
        self._deferred_ticks = 0
        self._promote_ticks = 0
        self._leader = 0
        self._wake = asyncio.Event()
        self._leader_changed = asyncio.Event()
        self._closed = False
        if not storage.snapshot().is_empty():
            self._state.restore(storage.snapshot())
            self._introduce(Members())
        self._replay_to = storage.initial_state()[0].commit
        self._node = RawNode(_config(id, storage, self._state.index, settings, random))
        if founders is not None:
            self._node.bootstrap([Peer(peer, context) for peer, context in founding(founders).items()])
            for peer, url in founders.items():
                if peer != id:
                    network.set_peer(group, peer, url)
        self._note_replayed()
        self._wake.set()

    # -- what the application asks

    @property
    def members(self) -> Members:
        """Who takes part, as far as applied here."""
        return self._state.members

    @property
    def leader(self) -> int:
        """Who leads; 0: nobody that is known here."""
        return self._leader

    @property
    def is_removed(self) -> bool:
        """Whether this node was a member and is none any more. It serves nothing, but still votes for those that do
        not know yet.
        """
        return self.id in self._state.members.removed

    async def propose(self, data: bytes) -> object:
        """Have `data` carried out by the state machines of all members, once; return what this node's answered.

        Raises NotServedError, RemovedError, ValueError if it is too long.
        """
        if len(data) > self.settings.max_request_bytes:
            raise ValueError(f"a request of {len(data)} bytes; the limit is {self.settings.max_request_bytes}")
        self._check_serving()
        request = self._outbox.add(data)
        self._wake.set()
        try:
            async with asyncio.timeout(self.settings.request_seconds):
                return await request.done
        except TimeoutError:
            reason = "it was not committed in time" if request.sent else self._outbox.why_waiting
            raise NotServedError(reason, may_still_happen=request.sent) from None
        finally:
            self._outbox.forget(request)

    async def read_barrier(self) -> None:
        """Return once the state machine here shows everything that was acknowledged anywhere before the call.

        Raises NotServedError, RemovedError.
        """
        self._check_serving()
        reader = self._reads.add()
        self._wake.set()
        try:
            async with asyncio.timeout(self.settings.request_seconds):
                await reader
        except TimeoutError:
            raise NotServedError(self._reads.why_waiting, may_still_happen=False) from None

    async def change_members(self, change: Change) -> None:
        """Return once `change` is applied here.

        Raises NotServedError, RemovedError, ChangeRefusedError.
        """
        await self.read_barrier()
        self.members.check(change)
        asked = self._changes.add(change, self.members.changed_at)
        retry_seconds = self.settings.request_seconds / 10
        try:
            async with asyncio.timeout(self.settings.request_seconds):
                while not asked.done.done():
                    asked.sent = self._propose_change(asked.entry) or asked.sent
                    await asyncio.wait({asked.done}, timeout=retry_seconds)
                await asked.done
        except TimeoutError:
            raise NotServedError("it was not committed in time", may_still_happen=asked.sent) from None
        finally:
            self._changes.forget(asked)

    async def hand_over(self, seconds: float) -> None:
        """Let another member lead, if this one does and another can; return when it does, or after `seconds`."""
        status = self._node.status()
        others = [one for one in status.progress.values() if one.id != self.id and not one.is_learner]
        reachable = [one for one in others if one.recent_active]
        if not reachable:
            return
        best = max(reachable, key=lambda one: one.match)
        if self._node.transfer_leader(best.id) is not None:
            return
        self._wake.set()
        try:
            async with asyncio.timeout(seconds):
                while self._leader in (0, self.id):
                    self._leader_changed.clear()
                    await self._leader_changed.wait()
        except TimeoutError:
            logger.warning("group %d: node %d did not take over in time", self.group, best.id)

    def status(self) -> Status:
        """What the core knows. Never raises."""
        return self._node.status()

    def figures(self) -> dict[str, int]:
        """What the host can add: indexes, counts of what waits, and of what should not happen."""
        return {
            "applied": self._state.index,
            "first_index": self._storage.first_index(),
            "snapshot_index": self._storage.snapshot().metadata.index,
            "waiting_requests": len(self._outbox),
            "waiting_reads": len(self._reads),
            "dropped_proposals": self.dropped_proposals,
            "foreign_entries": self._state.foreign_entries,
        }

    # -- what moves it

    async def run(self) -> None:
        """Drive the node, for ever; whatever is raised is fatal."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._write_deferred()
            self._hand_in()
            while self._node.has_ready():
                await self._serve(self._node.ready())
                self._hand_in()

    def tick(self, count: int) -> None:
        """Time passed."""
        self._node.tick(count)
        limit = self.settings.election_ticks
        if self._leader != self.id:
            self._outbox.grow_older(count, limit)
        self._reads.grow_older(count, limit)
        self._deferred_ticks += count
        self._promote_ticks += count
        if self._promote_ticks >= _PROMOTE_TICKS:
            self._promote_ticks = 0
            self._promote_learners()
        if self._deferred is not None or len(self._outbox) or len(self._reads) or self._node.has_ready():
            self._wake.set()

    def step(self, message: Message) -> None:
        """A message came. Raises StepError if it makes no sense, or is more than can be taken."""
        if message.type is MessageType.MsgSnap and message.snapshot is not None:
            try:
                snapshots.check(message.snapshot.data)
            except ValueError as error:
                raise StepError(f"MsgSnap from {message.from_}: {error}") from error
        try:
            self._node.step(message)
        except ForwardedProposalDroppedError:
            self.dropped_proposals += 1  # whoever passed it on will ask again
        self._wake.set()

    def report_unreachable(self, id: int) -> None:
        """Messages to `id` were lost."""
        self._node.report_unreachable(id)
        self._wake.set()

    def report_snapshot(self, id: int, ok: bool) -> None:
        """What became of a snapshot sent to `id`."""
        self._node.report_snapshot(id, SnapshotStatus.SnapshotFinish if ok else SnapshotStatus.SnapshotFailure)
        self._wake.set()

    async def close(self) -> None:
        """Serve nothing any more; to be called once `run` has ended."""
        self._closed = True
        self._fail_waiters("this node is shutting down")
        if self._snapshot_task is not None:
            self._snapshot_task.cancel()
            await asyncio.gather(self._snapshot_task, return_exceptions=True)

    # -- the duties of a Ready

    def _hand_in(self) -> None:
        """Give the node what waits for it."""
        while requests := self._outbox.take():
            try:
                self._node.propose(self._outbox.batch(requests).encode())
            except ProposalDroppedError as error:
                self._outbox.put_back(requests, error.reason.value)
                break
            self._outbox.note_sent(requests)
        self._reads.ask(self._node)

    async def _serve(self, ready: Ready) -> None:
        if ready.soft_state is not None:
            self._note_leader(ready.soft_state.leader, ready.soft_state.role)
        self._reads.take_answers(ready.read_states, ready.aborted_reads, self._state.index)
        await self._persist(ready)
        for message in ready.messages:
            self._send(message)
        if ready.snapshot is not None:
            await self._install(ready.snapshot)
        for entry in ready.committed_entries:
            self._apply(entry)
        self._reads.release(self._state.index)
        self._node.advance()
        if ready.committed_entries:
            self._note_replayed()
            self._make_snapshot_if_due()
            await asyncio.sleep(0)  # those who were answered come first

    async def _persist(self, ready: Ready) -> None:
        """Return once it is durable. A commit index alone can wait: losing it costs nothing but time."""
        hard_state = ready.hard_state or self._deferred
        if ready.must_sync or ready.snapshot is not None:
            self._deferred = None
            self._installing = ready.snapshot is not None
            await self._disk.write(Write(self.group, ready.entries, hard_state, ready.snapshot))
        elif self._deferred is not hard_state:
            self._deferred = hard_state
            self._deferred_ticks = 0
        if ready.snapshot is not None:
            self._storage.apply_snapshot(ready.snapshot)
        self._storage.append(ready.entries)
        if ready.hard_state is not None:
            self._storage.set_hard_state(ready.hard_state)

    async def _write_deferred(self) -> None:
        if self._deferred is not None and self._deferred_ticks >= _COMMIT_TICKS:
            hard_state, self._deferred = self._deferred, None
            await self._disk.write(Write(self.group, hard_state=hard_state, sync=False))

    def _send(self, message: Message) -> None:
        snapshot = message.snapshot
        if message.type is MessageType.MsgSnap and snapshot is not None:
            state = snapshot.metadata.conf_state
            if message.to not in (*state.voters, *state.voters_outgoing, *state.learners):
                # It joined after the snapshot was made, and would not take it. The next one will list it.
                self._schedule.wanted = True
                self._make_snapshot_if_due()
                self.report_snapshot(message.to, False)
                return
        self._network.send(self.group, message)

    async def _install(self, snapshot: Snapshot) -> None:
        """Take over the leader's state."""
        before = self._state.members
        await asyncio.to_thread(self._state.restore, snapshot)
        self._installing = False
        self._schedule.restart()
        self._outbox.lose_answers(self._state.sessions)
        self._follow(before)
        logger.info("group %d: took over a snapshot at index %d", self.group, snapshot.metadata.index)

    def _apply(self, entry: Entry) -> None:
        self._schedule.note_applied(entry)
        if entry.type is EntryType.EntryNormal:
            carried = self._state.apply_requests(entry)
            if carried is not None and (carried.node, carried.nonce) == self._outbox.session:
                self._outbox.take_results(carried.results)
            return
        before = self._state.members
        changed = self._state.apply_change(entry, self._node.apply_conf_change)
        if changed.refusal is not None:
            logger.info("group %d: a membership change was refused: %s", self.group, changed.refusal)
        self._changes.take_outcome(changed)
        self._follow(before)

    # -- what follows from it

    def _follow(self, before: Members) -> None:
        """The members may have changed: tell the network, and stop serving if this node is none of them."""
        now = self._state.members
        for id, url in now.urls.items():
            if id != self.id and before.urls.get(id) != url:
                self._network.set_peer(self.group, id, url)
        for id in now.removed - before.removed:
            self._network.forget_peer(self.group, id)
        if self.id in now.removed - before.removed:
            logger.warning("group %d: this node has been removed from the cluster", self.group)
            self._fail_waiters("")

    def _note_leader(self, leader: int, role: Role) -> None:
        self._leader = leader
        self._leader_changed.set()
        if leader != 0:
            logger.info("group %d: node %d leads term %d", self.group, leader, self._node.basic_status().term)
            # Whatever was on its way to another leader may be lost.
            self._outbox.send_all_again()
            self._reads.give_up_round()
        elif role is Role.StateFollower:
            logger.info("group %d: no leader is known", self.group)

    def _note_replayed(self) -> None:
        if self._state.index >= self._replay_to:
            self.replayed.set()

    def _make_snapshot_if_due(self) -> None:
        if self._schedule.is_due() and self._snapshot_task is None and not self._installing:
            self._schedule.restart()
            work = self._make_snapshot(self._state.index, self._state.members, self._state.encoder())
            self._snapshot_task = asyncio.create_task(work)
            self._snapshot_task.add_done_callback(lambda _: self._wake.set())

    async def _make_snapshot(self, index: int, members: Members, encode: Callable[[], bytes]) -> None:
        """Write the state as of `index`, and forget the log before it. Readys go on meanwhile."""
        data = await asyncio.to_thread(encode)
        storage = self._storage
        if self._installing or storage.snapshot().metadata.index >= index:
            return  # a newer one came from the leader
        metadata = SnapshotMetadata(members.conf_state, index, storage.term(index))
        up_to = snapshots.compact_to(storage, index, self.settings)
        await self._disk.write(Write(self.group, snapshot=Snapshot(data, metadata), compact_to=up_to))
        if storage.snapshot().metadata.index >= index:
            return  # written after this one, and installed meanwhile
        storage.create_snapshot(index, members.conf_state, data)
        if up_to > 0:
            storage.compact(up_to)

    def _end_snapshot(self) -> None:
        """Raises what went wrong with the snapshot that was being made."""
        task = self._snapshot_task
        if task is not None and task.done():
            self._snapshot_task = None
            task.result()
            self._make_snapshot_if_due()

    def _promote_learners(self) -> None:
        """On the leader: make voters of those that have reached what was committed at the last look."""
        waiting = self._state.members.promote
        if not waiting or self._leader != self.id:
            return
        status = self._node.status()
        for id in sorted(waiting):
            progress = status.progress.get(id)
            if (
                progress is not None
                and progress.state is ProgressState.StateReplicate
                and progress.recent_active
                and progress.match >= self._committed_at_last_look
            ):
                self._propose_change(entry_of(promoting(id), self._state.members.changed_at))
                break
        self._committed_at_last_look = status.commit

    def _propose_change(self, entry: ConfChangeV2) -> bool:
        """Whether it left."""
        try:
            self._node.propose_conf_change(entry)
        except ProposalDroppedError:
            return False
        self._wake.set()
        return True

    def _check_serving(self) -> None:
        if self.is_removed:
            raise RemovedError("this node has been removed from the cluster")
        if self._closed:
            raise NotServedError("this node is shutting down", may_still_happen=False)

    def _fail_waiters(self, reason: str) -> None:
        """Tell everybody who waits that this node is no member any more, or else `reason`."""
        removed = RemovedError("this node has been removed from the cluster")
        self._outbox.fail_all(
            lambda request: (
                removed if self.is_removed and not request.sent
                else NotServedError(reason or str(removed), may_still_happen=request.sent)
            )
        )
        self._reads.fail_all(removed if self.is_removed else NotServedError(reason, may_still_happen=False))
        self._changes.fail_all(removed if self.is_removed else NotServedError(reason, may_still_happen=True))


def _config(
    id: int, storage: MemoryStorage, applied: int, settings: Settings, random: RandomSource | None
) -> Config:
    chance = {} if random is None else {"random": random}
    return Config(
        id=id,
        storage=storage,
        applied=applied,
        election_tick=settings.election_ticks,
        max_committed_size_per_ready=settings.batch_bytes,
        max_inflight_bytes=16 << 20,
        **chance,
    )
