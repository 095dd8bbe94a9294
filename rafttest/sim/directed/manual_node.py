"""Hand: a node that does nothing by itself; every step of handling a Ready is somebody's call.

synchronous    ready: take a Ready and write it, unsynced · persist: sync it · send: its messages leave · apply: apply
               it and advance; each of them first does those before it
asynchronous   ready: messages leave, work is queued · persist: the oldest write, synced; its answers leave, and the
               node hears of it, at once or when somebody lets it `hear` · apply: the oldest application, likewise

A crash may come between any two. Whatever the node shows, sends, writes and applies goes through the checker.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from random import Random
from typing import Final, TypedDict

from pyraft import (
    AbortedRead,
    ConfChangeError,
    Config,
    ForwardedProposalDroppedError,
    MemoryStorage,
    RawNode,
    ReadOnlyOption,
    Ready,
    Role,
    StepError,
)
from raftpb.codec import decode_change
from raftpb.enums import ENTRY_NORMAL
from raftpb.message import LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, Entry, HardState, Message, Snapshot
from rafttest.sim.checker import oracle
from rafttest.sim.checker.history import digest_after
from rafttest.sim.checker.safety import Checker
from rafttest.sim.cluster.disk import SOME, SimDisk, copy_of, term_on
from rafttest.sim.directed.mailbox import ScheduleError

Judge = Callable[[], AbstractContextManager[None]]
"""Surrounds a check that a script may forgive."""

_WRITTEN: Final = 1
_DURABLE: Final = 2
_SENT: Final = 3


class Knobs(TypedDict, total=False):
    """What a script may tell its nodes; see `pyraft.Config`, whose defaults hold for the rest."""

    election_tick: int
    heartbeat_tick: int
    async_storage_writes: bool
    max_size_per_msg: int
    max_committed_size_per_ready: int
    max_uncommitted_entries_size: int
    max_inflight_msgs: int
    max_inflight_bytes: int
    max_pending_reads: int
    max_entry_size: int
    batch_append: bool
    check_quorum: bool
    pre_vote: bool
    read_only_option: ReadOnlyOption
    disable_proposal_forwarding: bool
    disable_conf_change_validation: bool
    step_down_on_removal: bool
    persist_before_vote_request: bool
    promise_lease: bool
    lease_outlives_term: bool
    lease_survives_restart: bool
    lease_ends_with_transfer: bool
    bounded_lease: bool
    single_voter_reads_need_commit: bool
    strict_pre_votes: bool
    abort_reads_on_step_down: bool
    retry_lost_acks_at_heartbeat: bool
    recheck_reads: bool
    retry_auto_leave: bool


class _Exactly(Random):
    """Draws the same number each time, as far as it is in the range."""

    def __init__(self, number: int) -> None:
        super().__init__(0)
        self.number = number

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        return min(self.number, (start if stop is None else stop) - 1)


class ManualNode:
    """One node, its disk and its application; the disk alone survives a crash."""

    def __init__(
        self,
        id: int,
        disk: SimDisk,
        checker: Checker,
        config: Callable[[MemoryStorage], Config],
        send: Callable[[Message], None],
        judge: Judge,
    ) -> None:
        self.id = id
        self.disk = disk
        self.boot = 0
        self.is_up = False
        self.answers: dict[bytes, int] = {}
        """Index of each read of this node that was answered."""
        self.aborted: list[AbortedRead] = []
        self._checker = checker
        self._config = config
        self._deliver = send
        self._judge = judge
        self.start()

    # -- life and death

    def start(self) -> None:
        """Read the disk and run."""
        snapshot = self.disk.cache.snapshot()
        self.boot += 1
        self.is_up = True
        self.opened: Ready | None = None
        self._stage = 0
        self.append_work: deque[Message] = deque()
        self.apply_work: deque[Message] = deque()
        self.unheard: deque[Message] = deque()
        """What its own threads have answered, oldest first."""
        self.applied = snapshot.metadata.index
        self.state = snapshot.data
        self.conf = snapshot.metadata.conf_state
        config = self._config(self.disk.cache)
        self._is_asynchronous = config.async_storage_writes
        self.lets_forget = config.read_only_option is ReadOnlyOption.ReadOnlySafe
        self.raw = RawNode(config)
        self._checker.booted(self.id, self.boot, self.disk.durable, self.disk.cache, self.conf)
        self.observe()

    def crash(self, keep: int) -> int:
        """Stop, and keep the first `keep` records of those that are not synced; how many were lost."""
        self.is_up = False
        return self.disk.crash(SOME, _Exactly(keep))

    def replace_disk(self, durable: MemoryStorage) -> None:
        """The node is down, and its disk will hold only what `durable` does; nothing that it promised counts."""
        self.disk.replace(copy_of(durable))
        self._checker.lost.add(self.id)
        self._checker.last_promise.pop(self.id, None)

    # -- what it shows

    def observe(self) -> None:
        """Show the checker what came of it."""
        status = self.raw.basic_status()
        with self._judge():
            if self._checker.observed(self.id, status):
                self._show_election(status.term, status.last_index)
        if status.soft_state.role is Role.StateLeader:
            with self._judge():
                self._checker.progress_seen(self.id, self.raw.status())

    def _show_election(self, term: int, last: int) -> None:
        state = self.raw.export_state()
        index = self._checker.index_to_show(term)
        position = index - state.base
        if position >= 0:
            there = state.entries[position].term if position < len(state.entries) else None
        else:
            there = term_on(self.disk.cache, index)
        self._checker.elected(self.id, term, last, index, there)

    def receive(self, m: Message) -> StepError | None:
        """Take a message from the network; why it was refused, or None."""
        before = self.raw.export_state()
        self._checker.arrives(self.id, m)
        refusal: StepError | None = None
        try:
            self.raw.step(m)
        except StepError as error:
            refusal = error
            if not isinstance(error, ForwardedProposalDroppedError):
                with self._judge():
                    self._checker.refused(self.id, before, self.raw.export_state(), m)
        self.observe()
        return refusal

    def tick(self) -> None:
        """A tick of this node's clock has passed."""
        self._checker.ticked(self.id, 1)
        self.raw.tick()
        self.observe()

    # -- Ready

    def is_idle(self) -> bool:
        """Nothing is half done, and there is nothing to do."""
        has_work = self.opened is not None or self.append_work or self.apply_work or self.unheard
        return not has_work and not self.raw.has_ready()

    def handle(self) -> None:
        """Everything that is to be done."""
        while not self.is_idle():
            if not self._is_asynchronous:
                self.apply()
            elif self.raw.has_ready():
                self.ready()
            elif self.unheard:
                self.hear()
            elif self.append_work:
                self.persist()
            else:
                self.apply()

    def ready(self) -> Ready:
        """Take a Ready; see the module for what happens to it at once."""
        if self.opened is not None or not self.raw.has_ready():
            raise ScheduleError(f"node {self.id} has no Ready to hand out now")
        ready = self.raw.ready()
        with self._judge():
            self._checker.handed_out(self.id, ready.entries, ready.snapshot)
        for read in ready.read_states:
            with self._judge():
                self._checker.read_answered(self.id, read.context, read.index)
            self.answers[read.context] = read.index
        for aborted in ready.aborted_reads:
            self._checker.read_floors.pop(aborted.context, None)
            self.aborted.append(aborted)
        if self._is_asynchronous:
            self._start_work(ready.messages)
        else:
            self.opened, self._stage = ready, _WRITTEN
            self.disk.write(ready.snapshot, ready.entries, ready.hard_state)
        return ready

    def persist(self) -> None:
        """What was written is durable; with asynchronous writes the node is yet to `hear` of it."""
        if self._is_asynchronous:
            self._append_next()
        else:
            self._go_to(_DURABLE)

    def hear(self) -> None:
        """Take what the threads have answered."""
        while self.unheard:
            self.raw.step_storage(self.unheard.popleft())
            self.observe()

    def send(self) -> None:
        """The Ready's messages leave."""
        if self._is_asynchronous:
            raise ScheduleError("with asynchronous writes messages leave with ready(), answers with persist()")
        self._go_to(_SENT)

    def apply(self) -> None:
        """What was handed out is applied."""
        if self._is_asynchronous:
            self._apply_next()
            return
        ready = self._go_to(_SENT)
        if ready.snapshot is not None:
            self._restore(ready.snapshot)
        for entry in ready.committed_entries:
            self._apply(entry)
        self.opened = None
        self.raw.advance()
        self.observe()

    def _go_to(self, stage: int) -> Ready:
        ready = self.opened if self.opened is not None else self.ready()
        if self._stage < _DURABLE:
            self._stage = _DURABLE
            if ready.must_sync:
                self._sync()
        if self._stage < _SENT == stage:
            self._stage = _SENT
            for m in ready.messages:
                self._leave(m)
        return ready

    def _sync(self) -> None:
        self.disk.sync()
        with self._judge():
            self._checker.persisted(self.id)

    def _leave(self, m: Message) -> None:
        with self._judge():
            self._checker.left(self.id, m)
        self._deliver(m)
        if m.snapshot is not None and m.to not in oracle.members_of(m.snapshot.metadata.conf_state):
            # It is from before the receiver joined, who will ignore it: the application owes the core a newer one.
            with suppress(ScheduleError):
                self.keep_snapshot(self.applied)

    # -- the two threads

    def _start_work(self, messages: list[Message]) -> None:
        for m in messages:
            if m.to == LOCAL_APPEND_THREAD:
                self.append_work.append(m)
            elif m.to == LOCAL_APPLY_THREAD:
                self.apply_work.append(m)
            else:
                self._leave(m)

    def _append_next(self) -> None:
        if not self.append_work:
            raise ScheduleError(f"node {self.id} has nothing to write")
        m = self.append_work.popleft()
        state = HardState(m.term, m.vote, m.commit)
        self.disk.write(m.snapshot, m.entries, None if state.is_empty() else state)
        if m.responses:
            self._sync()
        if m.snapshot is not None:
            self._restore(m.snapshot)
        self._respond(m)

    def _apply_next(self) -> None:
        if not self.apply_work:
            raise ScheduleError(f"node {self.id} has nothing to apply")
        m = self.apply_work.popleft()
        for entry in m.entries:
            self._apply(entry)
        self._respond(m)

    def _respond(self, m: Message) -> None:
        for response in m.responses:
            if response.to == self.id:
                self.unheard.append(response)
            else:
                self._leave(response)

    # -- the application

    def _restore(self, snapshot: Snapshot) -> None:
        with self._judge():
            self._checker.restored(self.id, snapshot)
        self.applied = snapshot.metadata.index
        self.state = snapshot.data
        self.conf = snapshot.metadata.conf_state

    def _apply(self, entry: Entry) -> None:
        if entry.index <= self.applied:
            return
        with self._judge():
            self._checker.applied(self.id, entry)
        self.applied = entry.index
        self.state = digest_after(self.state, entry.index, entry.term, entry.type, entry.data)
        if entry.type is not ENTRY_NORMAL:
            self._change_members(entry)

    def _change_members(self, entry: Entry) -> None:
        with suppress(ConfChangeError):  # from a leader that does not check: the configuration stays
            self.conf = self.raw.apply_conf_change(decode_change(entry))
        with self._judge():
            self._checker.configured(self.id, entry.index, self.conf)
        self.observe()

    def keep_snapshot(self, behind: int) -> None:
        """Make a snapshot of all that is applied, and forget the log but for the last `behind` entries of that."""
        cache = self.disk.cache
        known = min(self.raw.basic_status().applied, cache.initial_state()[0].commit)
        if not cache.snapshot().metadata.index < self.applied <= known:
            raise ScheduleError(f"node {self.id} has applied nothing since its last snapshot that it may forget")
        self.disk.keep_snapshot(self.applied, self.conf, self.state, self.applied - behind)
        self._checker.compacted(self.id, cache)
