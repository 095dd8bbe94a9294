"""Driver: what makes one group on this node go.

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
from random import Random
from typing import Protocol

from examples.host import snapshots
from examples.host.changes import Changes
from examples.host.disk import Write
from examples.host.machine import StateMachine
from examples.host.membership import Members, entry_of, founding, promoting
from examples.host.reads import Reads
from examples.host.requests import Outbox
from examples.host.settings import Settings
from examples.host.snapshots import Durable, Snapshots
from examples.host.state import ReplicaState
from pyraft import (
    Config,
    ForwardedProposalDroppedError,
    MemoryStorage,
    NodeLike,
    Peer,
    ProgressState,
    ProposalDroppedError,
    RandomSource,
    RawNode,
    Ready,
    SnapshotStatus,
    SoftState,
    StepError,
)
from raftpb import ConfChangeV2, Entry, EntryType, HardState, Message, MessageType, Snapshot

logger = logging.getLogger(__name__)

REMOVED = "this node has been removed from the cluster"

_COMMIT_TICKS = 10
"""A commit index that nothing else had to be written with is written after so many ticks."""

_PROMOTE_TICKS = 5
"""How often a leader looks whether a learner has caught up."""


class Sender(Protocol):
    """How a group reaches its other members. No method waits, or raises for a peer's sake."""

    def send(self, group: int, message: Message) -> None:
        """Send, or lose, a message."""
        ...

    def set_peer(self, group: int, id: int, url: str) -> None:
        """A member is there."""
        ...

    def forget_peer(self, group: int, id: int) -> None:
        """Somebody is no member any more."""
        ...


class Driver:
    """The node of one group, its log, its state, and all who wait for either. `run` is to be a task of its own."""

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
        founders: Mapping[int, str] | None,
        random: RandomSource | None,
        make_node: Callable[[Config], NodeLike] = RawNode,
    ) -> None:
        self.group = group
        self.id = id
        self.storage = storage
        self.state = ReplicaState(machine)
        self.outbox = Outbox(id, nonce, settings)
        self.reads = Reads(id, nonce, settings.max_reads)
        self.changes = Changes(id, nonce)
        self.leader = 0
        self.leader_changed = asyncio.Event()
        self.replayed = asyncio.Event()
        self.dropped_proposals = 0
        self._settings = settings
        self._disk = disk
        self._network = network
        self._snapshots = Snapshots(group, storage, disk, settings)
        self._wake = asyncio.Event()
        self._deferred: HardState | None = None
        self._deferred_ticks = 0
        self._promote_ticks = 0
        self._committed_at_last_look: int | None = None
        kept = storage.snapshot()
        if not kept.is_empty():
            self.state.install_snapshot(kept.metadata.index, self.state.restore(kept))
            self._follow(Members())
        self._replay_to = storage.initial_state()[0].commit
        self.node = make_node(
            Config(
                id=id,
                storage=storage,
                applied=self.state.index,
                election_tick=settings.election_ticks,
                max_committed_size_per_ready=settings.batch_bytes,
                max_inflight_bytes=settings.inflight_bytes,
                random=Random() if random is None else random,
            )
        )
        if founders is not None:
            self.node.bootstrap([Peer(peer, context) for peer, context in founding(founders).items()])
        self._note_replayed()
        self.wake()

    # -- what moves it

    def wake(self) -> None:
        """There is something to do."""
        self._wake.set()

    async def run(self) -> None:
        """Drive the node, for ever; whatever is raised is fatal."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._write_commit()
            self._hand_in()
            while self.node.has_ready():
                await self._serve(self.node.ready())
                self._hand_in()
            self._make_snapshot_if_due()

    def tick(self, count: int) -> None:
        """Time passed. Of a long time at once only half an election timeout counts: it was this process that was held
        up and heard nobody, which says little about the others.
        """
        count = min(count, max(1, self._settings.election_ticks // 2))
        self.node.tick(count)
        if self.leader != self.id:
            self.outbox.on_ticks(count, self._settings.election_ticks)
        self.reads.on_ticks(count, self._settings.election_ticks)
        self._deferred_ticks += count
        self._promote_ticks += count
        if self._promote_ticks >= _PROMOTE_TICKS:
            self._promote_ticks = 0
            self._promote_learners()
        if self._deferred is not None or len(self.outbox) or len(self.reads) or self.node.has_ready():
            self.wake()

    def step(self, message: Message) -> None:
        """A message came. Raises StepError if it makes no sense."""
        if message.type is MessageType.MsgSnap and message.snapshot is not None:
            try:
                snapshots.check(message.snapshot.data)
            except ValueError as error:
                raise StepError(f"MsgSnap from {message.from_}: {error}") from error
        try:
            self.node.step(message)
        except ForwardedProposalDroppedError:
            self.dropped_proposals += 1  # whoever passed it on will ask again
        self.wake()

    def report_unreachable(self, id: int) -> None:
        """Messages to `id` were lost."""
        self.node.report_unreachable(id)
        self.wake()

    def report_snapshot(self, id: int, ok: bool) -> None:
        """What became of a snapshot sent to `id`."""
        self.node.report_snapshot(id, SnapshotStatus.SnapshotFinish if ok else SnapshotStatus.SnapshotFailure)
        self.wake()

    def propose_change(self, entry: ConfChangeV2) -> bool:
        """Propose a membership change; whether it left."""
        try:
            self.node.propose_conf_change(entry)
        except ProposalDroppedError:
            return False
        self.wake()
        return True

    async def close(self) -> None:
        """Put the last of it on the disk; to be called once `run` has ended in good order."""
        self.fail_waiters("this node is shutting down")
        await self._snapshots.close()
        self._deferred_ticks = _COMMIT_TICKS
        await self._write_commit()

    def fail_waiters(self, reason: str) -> None:
        """Nobody who waits will be served."""
        self.outbox.fail_all(reason)
        self.reads.fail_all(reason)
        self.changes.fail_all(reason)

    # -- the duties of a Ready

    def _hand_in(self) -> None:
        """Give the node what waits for it."""
        while requests := self.outbox.take():
            try:
                self.node.propose(self.outbox.batch(requests).encode())
            except ProposalDroppedError as error:
                self.outbox.put_back(requests, error.reason.value)
                break
            self.outbox.note_sent(requests)
        self.reads.ask(self.node)

    async def _serve(self, ready: Ready) -> None:
        if ready.soft_state is not None:
            self._note_leader(ready.soft_state)
        self.reads.take_answers(ready.read_states, ready.aborted_reads, self.state.index)
        await self._persist(ready)
        for message in ready.messages:
            self._send(message)
        if ready.snapshot is not None:
            await self._install(ready.snapshot)
        for entry in ready.committed_entries:
            self._apply(entry)
        self.reads.release(self.state.index)
        self.node.advance()
        if ready.committed_entries:
            self._note_replayed()
            self._make_snapshot_if_due()
            await asyncio.sleep(0)  # those who were answered come first

    async def _persist(self, ready: Ready) -> None:
        """Return once it is durable. A commit index alone can wait: losing it costs time, not data."""
        hard_state = ready.hard_state or self._deferred
        if ready.must_sync:
            self._deferred = None
            if ready.snapshot is not None:
                self._snapshots.begin_install()
            await self._disk.write(Write(self.group, ready.entries, hard_state, ready.snapshot))
        elif ready.hard_state is not None:
            if self._deferred is None:
                self._deferred_ticks = 0
            self._deferred = ready.hard_state
        if ready.snapshot is not None:
            self.storage.apply_snapshot(ready.snapshot)
        self.storage.append(ready.entries)
        if ready.hard_state is not None:
            self.storage.set_hard_state(ready.hard_state)

    async def _write_commit(self) -> None:
        if self._deferred is not None and self._deferred_ticks >= _COMMIT_TICKS:
            hard_state, self._deferred = self._deferred, None
            await self._disk.write(Write(self.group, hard_state=hard_state, sync=False))

    def _send(self, message: Message) -> None:
        snapshot = message.snapshot
        if message.type is MessageType.MsgSnap and snapshot is not None:
            state = snapshot.metadata.conf_state
            if message.to not in (*state.voters, *state.voters_outgoing, *state.learners):
                # It joined after the snapshot was made, and would not take it. The next one will list it.
                self._snapshots.wanted = True
                self.report_snapshot(message.to, False)
                return
        self._network.send(self.group, message)

    async def _install(self, snapshot: Snapshot) -> None:
        """Take over the leader's state."""
        before = self.state.members
        restored = await asyncio.to_thread(self.state.restore, snapshot)
        self.state.install_snapshot(snapshot.metadata.index, restored)
        self._snapshots.end_install()
        self.outbox.lose_answers(self.state.sessions)
        self._follow(before)
        logger.info("group %d: took over a snapshot at index %d", self.group, snapshot.metadata.index)

    def _apply(self, entry: Entry) -> None:
        self._snapshots.note_applied(entry)
        if entry.type is EntryType.EntryNormal:
            carried = self.state.apply_requests(entry)
            if carried is not None and carried.session == self.outbox.session:
                self.outbox.take_results(carried.results)
            return
        before = self.state.members
        changed = self.state.apply_change(entry, self.node.apply_conf_change)
        if changed.refusal is not None:
            logger.info("group %d: a membership change was refused: %s", self.group, changed.refusal)
        self.changes.take_outcome(changed)
        self._follow(before)

    # -- what follows from it

    def _follow(self, before: Members) -> None:
        """The members may have changed: tell the network, and stop serving if this node is none of them."""
        now = self.state.members
        for id, url in now.urls.items():
            if id != self.id and before.urls.get(id) != url:
                self._network.set_peer(self.group, id, url)
        for id in now.removed - before.removed:
            self._network.forget_peer(self.group, id)
            if id == self.id:
                logger.warning("group %d: %s", self.group, REMOVED)
                self.fail_waiters(REMOVED)
                self._deferred_ticks = _COMMIT_TICKS  # the next start should know

    def _note_leader(self, soft_state: SoftState) -> None:
        leader = soft_state.leader
        if leader != 0:
            logger.info("group %d: node %d leads term %d", self.group, leader, self.node.basic_status().term)
            # Whatever was on its way to another leader may be lost.
            self.outbox.send_all_again()
            self.reads.give_up_round()
        elif self.leader != 0:
            logger.info("group %d: node %d does not lead any more", self.group, self.leader)
        self.leader = leader
        self.leader_changed.set()

    def _note_replayed(self) -> None:
        if self.state.index >= self._replay_to:
            self.replayed.set()

    def _make_snapshot_if_due(self) -> None:
        self._snapshots.end()
        if self._snapshots.is_due():
            state = self.state
            self._snapshots.begin(state.index, state.members.conf_state, state.encoder(), self.wake)

    def _promote_learners(self) -> None:
        """On the leader: make a voter of a learner that has reached what was committed at the last look."""
        waiting = self.state.members.promote
        committed_before, self._committed_at_last_look = self._committed_at_last_look, None
        if not waiting or self.leader != self.id:
            return
        status = self.node.status()
        self._committed_at_last_look = status.commit
        for id in sorted(waiting):
            progress = status.progress.get(id)
            if (
                committed_before is not None
                and progress is not None
                and progress.recent_active
                and progress.state is ProgressState.StateReplicate
                and progress.match >= committed_before
            ):
                self.propose_change(entry_of(promoting(id), self.state.members.changed_at))
                break
