"""Node: drives one core, as an application would: persist, send, apply, advance. It may crash between any two of them.

synchronous    ready - write - sync - send - apply - advance, with time passing and messages arriving in between
asynchronous   ready - send; an append thread and an apply thread work in order, each at its own pace
"""

from __future__ import annotations

from random import Random

from pyraft import (
    ConfChangeError,
    ForwardedProposalDroppedError,
    NodeFailedError,
    RawNode,
    Ready,
    Role,
    SnapshotStatus,
    StepError,
)
from raftpb.codec import decode_change
from raftpb.enums import ENTRY_NORMAL, MSG_APP_RESP, MSG_PROP
from raftpb.message import Entry, Message, Snapshot
from rafttest.sim.checker import oracle
from rafttest.sim.checker.coverage import Coverage
from rafttest.sim.checker.history import digest_after
from rafttest.sim.checker.violation import Violation
from rafttest.sim.cluster.disk import READ, CheckedReads, SimDisk, SimDiskError, term_on
from rafttest.sim.cluster.state_machine import decode
from rafttest.sim.cluster.storage_threads import Threads
from rafttest.sim.context import Context, describe
from rafttest.sim.options import config_of
from rafttest.sim.schedule import TICK, Action

_PROGRESS_EVERY = 16
_REFUSAL_EVERY = 8


class SimNode:
    """A node, its disk and its application; the disk alone survives a crash."""

    def __init__(self, sim: Context, id: int, disk: SimDisk) -> None:
        self.sim = sim
        self.id = id
        self.disk = disk
        self.boot = 0
        self.is_up = False
        self.is_lost = False
        """It never runs again: its disk is gone, or it has been given up."""
        self.paused_until = 0
        self.missed_ticks = 0
        self.waiting: set[bytes] = set()
        self._touched = 0
        self.random = Random(f"{sim.options.seed} node {id}")
        rates = sim.options.tick_rates
        self._tick_moments = int(TICK / rates[id - 1]) if id <= len(rates) else TICK
        self.start()
        sim.schedule.after(self.random.randrange(1, TICK), self._tick)

    # -- life and death

    def start(self) -> None:
        """Read the disk and run."""
        sim, snapshot = self.sim, self.disk.cache.snapshot()
        self.boot += 1
        self.is_up = True
        self.is_busy = False
        self.is_work_due = False
        self.threads = Threads(self)
        self.applied = snapshot.metadata.index
        self.state = snapshot.data
        self.machine = sim.machines.at(self.state)
        self.conf = snapshot.metadata.conf_state
        self.waiting.clear()
        self.reads_waiting: list[tuple[int, bytes]] = []
        self.started = sim.schedule.now
        self.coverage = Coverage(sim, self)
        sim.checker.booted(self.id, self.boot, self.disk.durable, self.disk.cache, self.conf)
        sim.note(f"start {self.id}")
        sim.count("starts")
        try:
            self.raw = self._new_core()
        except SimDiskError as error:
            self.fail(error, has_core=False)
            return
        self.settle()

    def _new_core(self) -> RawNode:
        sim, o = self.sim, self.sim.options
        may_fail = "read_fails" in o.intervals or o.fail_io[0] == self.id
        storage = CheckedReads(self.disk) if may_fail and not sim.is_calm else self.disk.cache
        has_own = self.id <= len(o.own_knobs) and not sim.is_calm
        knobs = o.own_knobs[self.id - 1] if has_own else (o.pre_vote, o.check_quorum)
        self.has_check_quorum = knobs[1]
        return RawNode(config_of(o, self.id, storage, Random(self.random.randrange(1 << 32)), knobs))

    def is_writing(self) -> bool:
        """True if the append thread has work."""
        return bool(self.threads.append_work)

    def asking_for_read(self) -> None:
        """Note for the coverage that a read is asked for next."""
        self.coverage.asking_for_read()

    def crash(self) -> None:
        """Stop in the midst of everything."""
        sim = self.sim
        self.coverage.crashing()
        self.is_up = False
        self.paused_until = 0
        lost = self.disk.crash(sim.options.kept, self.random)
        sim.network.streams.forget(self.id)
        sim.note(f"crash {self.id} lost={lost}")
        sim.count("crashes")
        sim.count("crashes that lost writes", int(lost > 0))
        sim.count("tails cut off at a start", int(self.disk.is_repaired))
        sim.count("all nodes down", int(not sim.up()))
        down = self.random.randrange(1, 4 * sim.options.election_tick * TICK)
        sim.schedule.after(down, self.restart)

    def lose(self, why: str) -> None:
        """Stop, and never run again."""
        self.sim.note(f"lose {self.id} {why}")
        self.sim.count(f"nodes lost: {why}")
        self.is_lost = True
        if self.is_up:
            self.crash()

    def fail(self, error: SimDiskError, has_core: bool = True) -> None:
        """The disk has failed: nothing is sent or acknowledged any more, until a restart finds what was synced."""
        self.sim.note(f"fail {self.id} {error.access}")
        self.sim.count(f"nodes whose disk failed at a {error.access}")
        if error.access == READ and has_core:
            self._demand_dead()
        self.crash()

    def heal(self) -> None:
        """Faults end. A node that ran with settings of its own is started with those of the others, and one whose disk
        has failed unnoticed, at a call of `status` that hides it, is started at once instead of some day.
        """
        self.disk.broken, self.disk.fail_at = "", 0
        self.paused_until = min(self.paused_until, self.sim.schedule.now)
        if self.is_up and (self.sim.options.own_knobs or self.disk.has_failed):
            self.crash()
        self.restart()

    def restart(self) -> None:
        """Start unless it runs or is lost."""
        if not self.is_up and not self.is_lost:
            self.start()

    def crashes_here(self, where: str) -> bool:
        """True if it crashes at this moment, by chance."""
        sim = self.sim
        rate = sim.options.crash_between
        if sim.is_calm or rate == 0 or self.random.random() >= rate:
            return False
        sim.count(f"crashes {where}")
        self.crash()
        return True

    def _demand_dead(self) -> None:
        """D8: once the Storage has failed, the core does nothing any more."""
        for call in (self.raw.has_ready, self.raw.ready, self.raw.tick, self.raw.campaign, self.raw.export_state):
            try:
                call()
            except NodeFailedError:
                continue
            raise Violation("D8", f"node {self.id} goes on after its disk failed: {call}")

    # -- pauses and time

    def is_paused(self) -> bool:
        """Nothing happens here for now."""
        return self.paused_until > self.sim.schedule.now

    def wait_for_end_of_pause(self, action: Action) -> None:
        """Do it later."""
        self.sim.schedule.after(self.paused_until - self.sim.schedule.now, action)

    def later(self, moments: int, action: Action) -> None:
        """Do it unless the node has crashed by then, or as soon as a pause has ended."""
        boot = self.boot

        def happen() -> None:
            if self.boot == boot and self.is_up:
                if self.is_paused():
                    self.wait_for_end_of_pause(happen)
                else:
                    action()

        self.sim.schedule.after(moments, happen)

    def duration(self, most: int) -> int:
        """How long something takes now that takes up to so many moments."""
        if self.sim.is_calm:
            return self.random.randrange(1, 3)
        moments, slow = self.random.randrange(1, 1 + most), self.sim.network.slow
        if not slow:
            return moments
        most = 4 * self.sim.options.election_tick * TICK  # so that what began before faults end ends soon after
        return min(moments * slow.get(self.id, 1), max(moments, most))

    def _tick(self) -> None:
        sim = self.sim
        sim.schedule.after(TICK if sim.is_calm else self._tick_moments, self._tick)
        if not self.is_up or (sim.is_led and self.id not in sim.members()):
            return
        if sim.is_calm and not oracle.is_voter(self.conf, self.id) and self._leads():
            return  # without step_down_on_removal it leads on, until the application stops it
        if self.is_paused():
            self.missed_ticks += 1
            return
        count = 1 + (self.missed_ticks if sim.options.ticks_come_late else 0)
        self.missed_ticks = 0
        sim.note(f"tick {self.id} {count}")
        sim.checker.ticked(self.id, count)
        led_in = sim.checker.lives[self.id].term if self._leads() else 0
        last_before = self.raw.basic_status().last_index if led_in else 0
        self.raw.tick(count)
        self.settle()
        if led_in:
            self.coverage.ticked(led_in, last_before)

    # -- messages

    def receive(self, m: Message, sent: int = 0) -> None:
        """Take a message from the network, which left its sender at the moment `sent`."""
        sim = self.sim
        sim.note(f"deliver {describe(m)}", m)
        if m.term and m.term < sim.checker.lives[self.id].term:
            sim.count("messages of an old term")
        self._touched += 1
        before = self.raw.export_state() if self._touched % _REFUSAL_EVERY == 0 else None
        sim.checker.arrives(self.id, m)
        look_again = self.coverage.arriving(m, sent)
        try:
            self.raw.step(m)
        except ForwardedProposalDroppedError as error:
            sim.count(f"forwarded proposals dropped: {error.reason.name}")
        except StepError as error:
            sim.count("messages refused")
            sim.count("messages for somebody else refused", int(m.to != self.id))
            if sim.observer is not None:
                sim.observer.refused(error)
            if before is not None:
                sim.checker.refused(self.id, before, self.raw.export_state(), m)
        else:
            sim.count("proposals forwarded", int(m.type is MSG_PROP))
        if look_again is not None:
            look_again()
        self.settle()
        if m.type is MSG_APP_RESP and self._touched % _PROGRESS_EVERY == 0:
            self._show_progress()

    def hear_of_snapshot(self, to: int, arrived: bool) -> None:
        """The transport tells what became of a snapshot."""
        if self.is_up:
            self.raw.report_snapshot(to, SnapshotStatus.SnapshotFinish if arrived else SnapshotStatus.SnapshotFailure)
            self.settle()

    def hear_unreachable(self, to: int) -> None:
        """The transport could not deliver."""
        if self.is_up:
            self.raw.report_unreachable(to)
            self.coverage.unreachable(to)
            self.settle()

    def send(self, m: Message) -> None:
        """A message leaves."""
        self.sim.checker.left(self.id, m)
        self.coverage.leaving(m)
        self.sim.count(m.type.name)
        self.sim.send(m)
        snapshot = m.snapshot
        if snapshot is not None and m.to not in oracle.members_of(snapshot.metadata.conf_state):
            # It is from before the receiver joined, who will ignore it: the application owes the core a newer one.
            self.keep_snapshot(self.applied)

    def settle(self) -> None:
        """Show the checker what came of it, and see to the work."""
        self.observe()
        if not self.is_busy and not self.is_work_due and self.raw.has_ready():
            self.is_work_due = True
            self.later(self.random.randrange(1, 20), self._work)

    def observe(self) -> None:
        """Show the checker what became of the core."""
        checker, status = self.sim.checker, self.raw.basic_status()
        if self.sim.observer is not None:
            self.sim.observer.touched(self.id)
        self.coverage.observed(status)
        if checker.observed(self.id, status):
            self._show_election(status.term, status.last_index, status.commit)

    def _show_election(self, term: int, last: int, commit: int) -> None:
        checker, state = self.sim.checker, self.raw.export_state()
        index = checker.index_to_show(term)
        position = index - state.base
        if position >= 0:
            there = state.entries[position].term if position < len(state.entries) else None
        else:
            there = term_on(self.disk.cache, index)
        checker.elected(self.id, term, last, index, there)
        self.coverage.elected(commit)

    def _leads(self) -> bool:
        return self.sim.checker.lives[self.id].role is Role.StateLeader

    def _show_progress(self) -> None:
        if self._leads():
            self.sim.checker.progress_seen(self.id, self.raw.status())
            self.coverage.windows()

    # -- Ready

    def _work(self) -> None:
        self.is_work_due = False
        if self.is_busy or not self.raw.has_ready():
            return
        sim, ready = self.sim, self.raw.ready()
        sim.note(
            f"ready {self.id} entries={len(ready.entries)} committed={len(ready.committed_entries)} "
            f"messages={len(ready.messages)} state={ready.hard_state}"
        )
        self.coverage.ready(ready)
        sim.checker.handed_out(self.id, ready.entries, ready.snapshot)
        self._answer_reads(ready)
        if sim.options.is_asynchronous:
            self.threads.start(ready.messages)
            return
        self.is_busy = True
        self.disk.write(ready.snapshot, ready.entries, ready.hard_state)
        if self.crashes_here("before the write is durable"):
            return
        is_slow = ready.must_sync and not sim.is_calm
        self.later(self.duration(sim.options.disk_delay if is_slow else 1), lambda: self._send_all(ready))

    def _answer_reads(self, ready: Ready) -> None:
        for read in ready.read_states:
            self.sim.checker.read_answered(self.id, read.context, read.index)
            self.sim.count("reads answered")
            self.coverage.answered(read)
            self.sim.clients.confirm(self, read.context, read.index)
        for aborted in ready.aborted_reads:
            self.sim.checker.read_floors.pop(aborted.context, None)
            self.coverage.aborted(aborted)

    def _send_all(self, ready: Ready) -> None:
        if ready.must_sync:
            self.sync()
        if self.crashes_here("before sending"):
            return
        for m in ready.messages:
            self.send(m)
        if self.crashes_here("after sending"):
            return
        delay = self.sim.options.apply_delay if ready.committed_entries else 1
        self.later(self.duration(delay), lambda: self._apply_all(ready))

    def sync(self) -> None:
        """What was written is durable. Raises DiskError."""
        self.disk.sync()
        self.sim.note(f"sync {self.id}")
        self.sim.checker.persisted(self.id)

    def _apply_all(self, ready: Ready) -> None:
        if ready.snapshot is not None:
            self.restore(ready.snapshot)
        for entry in ready.committed_entries:
            self.apply(entry)
            if self.crashes_here("while applying"):
                return
        self.raw.advance()
        self.is_busy = False
        self.settle()

    # -- the application

    def restore(self, snapshot: Snapshot) -> None:
        """The application takes over a snapshot."""
        self.sim.note(f"restore {self.id} {snapshot.metadata.index}")
        self.sim.count("snapshots installed")
        self.sim.checker.restored(self.id, snapshot)
        self.applied = snapshot.metadata.index
        self.state = snapshot.data
        self.machine = self.sim.machines.at(self.state)
        self.conf = snapshot.metadata.conf_state
        self.sim.clients.serve(self)

    def apply(self, entry: Entry) -> None:
        """One committed entry, unless a snapshot has brought it along already."""
        if entry.index <= self.applied:
            return
        sim = self.sim
        sim.note(f"apply {self.id} {entry.index}")
        sim.checker.applied(self.id, entry)
        self.applied = entry.index
        self.state = digest_after(self.state, entry.index, entry.term, entry.type, entry.data)
        if entry.type is not ENTRY_NORMAL:
            self._change_members(entry)
        elif (request := decode(entry.data)) is not None:
            if self.machine.take(request, entry.index):
                sim.checker.once.took_effect(self.id, entry.index, request.client, request.number)
            else:
                sim.count("requests recognised as repeated")
        if entry.data in self.waiting:
            self.waiting.discard(entry.data)
            sim.checker.acked.add(entry.data)
            sim.count("proposals acknowledged")
            sim.clients.acknowledge(entry.data)
        if self.reads_waiting:
            sim.clients.serve(self)

    def _change_members(self, entry: Entry) -> None:
        overtaken = self.raw.export_state().snapshot is not None
        self.sim.count("membership changes applied while a snapshot waited", int(overtaken))
        before, led = self.conf, self._leads()
        waiting = self.raw.basic_status().pending_reads if led else 0
        try:
            self.conf = self.raw.apply_conf_change(decode_change(entry))
            self.coverage.changed_members(entry, before, led)
            if led and self._leads():
                released = waiting - self.raw.basic_status().pending_reads
                self.sim.count("reads released by a smaller quorum", max(0, released))
        except ConfChangeError:
            self.sim.count("membership changes that were impossible")
        self.sim.checker.configured(self.id, entry.index, self.conf)
        self.settle()

    def keep_snapshot(self, behind: int) -> None:
        """Make a snapshot of all that is applied, and forget the log but for the last `behind` entries of that."""
        cache = self.disk.cache
        known = min(self.raw.basic_status().applied, cache.initial_state()[0].commit)
        if cache.snapshot().metadata.index < self.applied <= known:
            self.sim.note(f"snapshot {self.id} {self.applied} {behind}")
            self.sim.count("snapshots made")
            self.sim.machines.keep(self.state, self.machine)
            self.disk.keep_snapshot(self.applied, self.conf, self.state, self.applied - behind)
            self.sim.checker.compacted(self.id, cache)
            self.coverage.compacted()
