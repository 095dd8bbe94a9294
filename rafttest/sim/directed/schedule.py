"""Script: a cluster moved by hand, for the one schedule in a million that chance does not find.

    s = Script(3)                        nodes 1, 2, 3: each with a disk, none with a clock of its own
    s.elect(1)
    s.propose(1, b"x")
    s.persist(1)                         written and synced, nothing sent yet
    s.crash(1)
    s.restart(1)
    s.run_until_idle()                   everybody does what there is to do, all mail arrives, until nothing is left
    s.converge()                         faults end, and the cluster owes a leader, a write and equal states

Nothing happens unless a line says so: no ticks, no time-outs, no losses. Mail stays where it is until it is delivered,
dropped, or everything runs. A verb that finds nothing to do raises ScriptError, so that no scenario tells what did not
happen. Every law of the checker holds at each step (`checker.safety`); the first one broken raises Violation, with the
end of the scenario attached. The same script gives the same trace hash in every process: a node's election time-outs
are drawn from its id, anew in each life.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from random import Random
from typing import Final, Unpack

from pyraft import (
    BasicStatus,
    CampaignRefusal,
    Config,
    MemoryStorage,
    NullLogger,
    ProgressState,
    ReadOnlyOption,
    Ready,
    Role,
    SnapshotStatus,
    StepError,
    TransferRefusal,
)
from raftpb.confchange import ConfChangeV2, parse_changes
from raftpb.enums import ENTRY_NORMAL, TRANSITION_AUTO, ConfChangeTransition
from raftpb.message import ConfState, Message, Snapshot, SnapshotMetadata
from rafttest.sim.checker import oracle
from rafttest.sim.checker.history import Limits, digest_after
from rafttest.sim.checker.safety import Checker
from rafttest.sim.checker.violation import Violation
from rafttest.sim.cluster.disk import SimDisk, copy_of
from rafttest.sim.context import describe
from rafttest.sim.directed.mailbox import Mailbox, ScheduleError
from rafttest.sim.directed.manual_node import Knobs, ManualNode

FIRST: Final = 3
"""Index of the first entry: every founding member begins with a snapshot at 2, of term 1."""

_MOST_ROUNDS: Final = 1000
_ROOM: Final = 1 << 20
_SHOWN: Final = 40


class DirectedSchedule(Mailbox):
    """Voters 1..`voters`, then learners, then `spares`, which are no members and have empty disks.

    `forgives`: laws that may be broken, to see what comes of it; they are listed in `forgiven`. `own`: knobs of single
    nodes; it may be changed before a restart.
    """

    def __init__(
        self,
        voters: int = 3,
        *,
        learners: int = 0,
        spares: int = 0,
        forgives: Collection[str] = (),
        own: Mapping[int, Knobs] | None = None,
        **knobs: Unpack[Knobs],
    ) -> None:
        super().__init__()
        members = ConfState(tuple(range(1, voters + 1)), tuple(range(voters + 1, voters + learners + 1)))
        state = digest_after(b"", 0, 0, ENTRY_NORMAL, b"")
        self.beginning: Final = Snapshot(state, SnapshotMetadata(members, FIRST - 1, 1))
        self.knobs = knobs
        self.own = dict(own or {})
        self.forgives = forgives
        self.forgiven: list[str] = []
        self.scenario: list[str] = []
        self.refused: list[StepError] = []
        """What nodes said to messages that they did not take."""
        self.checker = self._checker()
        self._paused: set[int] = set()
        self._nodes: dict[int, ManualNode] = {}
        for id in range(1, voters + learners + spares + 1):
            self._add(id, SimDisk(self.beginning if id <= voters + learners else None))

    def _add(self, id: int, disk: SimDisk) -> None:
        self._nodes[id] = ManualNode(
            id, disk, self.checker, lambda storage: self._config(id, storage), self.post, self._judge
        )

    def _config(self, id: int, storage: MemoryStorage) -> Config:
        told: Knobs = {**self.knobs, **self.own.get(id, {})}
        return Config(id=id, storage=storage, random=Random(id), logger=NullLogger(), **told)

    def _checker(self) -> Checker:
        told = self._config(1, MemoryStorage())
        uncommitted = told.max_uncommitted_entries_size or 1 << 62
        limits = Limits(
            told.max_size_per_msg,
            uncommitted + _ROOM,
            told.max_pending_reads or 1 << 62,
            told.max_inflight_msgs,
            told.election_tick,
        )
        return Checker(self.beginning, limits, told.read_only_option is not ReadOnlyOption.ReadOnlySafe)

    @contextmanager
    def _judge(self) -> Iterator[None]:
        try:
            yield
        except Violation as error:
            if error.law not in self.forgives:
                error.add_note("".join(f"  {line}\n" for line in self.scenario[-_SHOWN:]))
                raise
            self.forgiven.append(error.law)
            self.note(f"forgiven: {error}")

    def note(self, text: str) -> None:
        self.scenario.append(text)

    def trace_hash(self) -> str:
        """Of the whole scenario."""
        return hashlib.blake2b("\n".join(self.scenario).encode(), digest_size=16).hexdigest()

    def node(self, n: int) -> ManualNode:
        """Node `n`, for what has no verb here."""
        return self._nodes[n]

    def _up(self, n: int) -> ManualNode:
        node = self._nodes[n]
        if not node.is_up:
            raise ScheduleError(f"node {n} is down")
        return node

    # -- requests

    def campaign(self, n: int) -> CampaignRefusal | None:
        """Let node `n` stand for election; why it does not, or None."""
        self.note(f"campaign {n}")
        refusal = self._up(n).raw.campaign()
        self._up(n).observe()
        return refusal

    def elect(self, n: int) -> None:
        """Node `n` campaigns and everything runs, after all followers were told to forget their leader, since they
        would protect it; with lease-based reads time has to pass instead. Raises ScriptError unless `n` leads then.
        """
        for id, node in self._nodes.items():
            if node.is_up and node.lets_forget and id not in self._paused and not self.leads(id):
                self.forget_leader(id)
        refusal = self.campaign(n)
        self.run_until_idle()
        if not self.leads(n):
            raise ScheduleError(f"node {n} does not lead: {refusal or self.status(n)}")

    def propose(self, n: int, *data: bytes) -> None:
        """Write, one entry each. Raises ProposalDroppedError."""
        for one in data:
            self.note(f"propose {n} {one!r}")
            self.checker.proposed.add(one)
            self.checker.offered(n, one)
            self._up(n).raw.propose(one)
            self._up(n).observe()

    def change(self, n: int, steps: str, transition: ConfChangeTransition = TRANSITION_AUTO) -> None:
        """Propose a membership change, such as "v4 r1 l2"; without steps, to leave a joint configuration."""
        self.note(f"change {n} {steps} {transition.name}")
        self._up(n).raw.propose_conf_change(ConfChangeV2(parse_changes(steps), transition) if steps else None)
        self._up(n).observe()

    def read(self, n: int, context: bytes) -> None:
        """Ask for a read index; `answer` tells what came of it. Raises ReadDroppedError."""
        self.note(f"read {n} {context!r}")
        self.checker.read_invoked(n, context)
        self._up(n).raw.read_index(context)
        self._up(n).observe()

    def answer(self, n: int, context: bytes) -> int | None:
        """The index that a read was answered with; None if it was not."""
        return self._nodes[n].answers.get(context)

    def transfer(self, leader: int, target: int) -> TransferRefusal | None:
        """Ask `leader` to hand over to `target`; why not, or None."""
        self.note(f"transfer {leader} {target}")
        refusal = self._up(leader).raw.transfer_leader(target)
        self._up(leader).observe()
        return refusal

    def forget_leader(self, n: int) -> None:
        """Tell node `n` that its leader is dead."""
        self.note(f"forget {n}")
        self._up(n).raw.forget_leader()
        self._up(n).observe()

    def tick(self, n: int, count: int = 1) -> None:
        """Pass time on the clock of node `n` alone."""
        for _ in range(count):
            self.note(f"tick {n}")
            self._up(n).tick()

    def pass_time(self, ticks: int, *nodes: int) -> None:
        """Pass time on all clocks, or on those of `nodes`, and let everything run after each tick."""
        for _ in range(ticks):
            for n, node in self._nodes.items():
                if node.is_up and n not in self._paused and (not nodes or n in nodes):
                    self.tick(n)
            self.run_until_idle()

    def report_unreachable(self, n: int, to: int) -> None:
        """Tell node `n` that its messages to `to` do not arrive."""
        self._up(n).raw.report_unreachable(to)
        self._up(n).observe()

    def report_snapshot(self, n: int, to: int, arrived: bool) -> None:
        """Tell node `n` what became of its snapshot to `to`."""
        status = SnapshotStatus.SnapshotFinish if arrived else SnapshotStatus.SnapshotFailure
        self._up(n).raw.report_snapshot(to, status)
        self._up(n).observe()

    # -- steps of handling a Ready; see `manual_node`

    def ready(self, n: int) -> Ready:
        """Node `n` takes a Ready."""
        self.note(f"ready {n}")
        return self._up(n).ready()

    def persist(self, n: int, heard: bool = True) -> None:
        """Node `n` has written, durably. With asynchronous writes and not `heard`, it is yet to `hear` of that."""
        self.note(f"persist {n}")
        self._up(n).persist()
        if heard:
            self._up(n).hear()

    def hear(self, n: int) -> None:
        """Node `n` hears of all the writes that its disk has finished."""
        self.note(f"hear {n}")
        self._up(n).hear()

    def send(self, n: int) -> None:
        """Node `n` has written and sent; not with asynchronous writes."""
        self.note(f"send {n}")
        self._up(n).send()

    def apply(self, n: int) -> None:
        """Node `n` has applied, and with synchronous writes is done with its Ready."""
        self.note(f"apply {n}")
        self._up(n).apply()
        self._up(n).hear()

    def handle(self, *nodes: int) -> None:
        """Each of `nodes` does all there is to do; nothing is delivered."""
        for n in nodes:
            self.note(f"handle {n}")
            self._up(n).handle()

    # -- mail

    def arrive(self, m: Message, at: int | None = None) -> None:
        """`m`, perhaps for the second time, reaches its receiver, or `at`; a node that is down does not notice. When a
        snapshot arrives its sender is told; when one is lost, only by `report_snapshot`.
        """
        node = self._nodes[m.to if at is None else at]
        self.note(f"deliver {describe(m)}" + ("" if at is None else f" at {at}"))
        if node.is_up and (refusal := node.receive(m)) is not None:
            self.note(f"refused: {refusal}")
            self.refused.append(refusal)
        if m.snapshot is not None and self._nodes[m.from_].is_up:
            self.report_snapshot(m.from_, m.to, node.is_up)

    # -- disks

    def crash(self, *nodes: int, keep: int = 0) -> None:
        """Stop these at once, and keep of what is not synced only the first `keep` records."""
        for n in nodes:
            lost = self._up(n).crash(keep)
            self.note(f"crash {n} lost={lost}")

    def restart(self, *nodes: int) -> None:
        """Start these from what their disks hold."""
        for n in nodes:
            if self._nodes[n].is_up:
                raise ScheduleError(f"node {n} runs already")
            self.note(f"start {n}")
            self._nodes[n].start()

    def backup(self, n: int) -> MemoryStorage:
        """What the disk of node `n` holds durably now."""
        return copy_of(self._nodes[n].disk.durable)

    def wipe(self, n: int) -> None:
        """Node `n`, which is down, loses its disk and comes back under its old id with an empty one."""
        self.restore(n, MemoryStorage())

    def restore(self, n: int, backup: MemoryStorage) -> None:
        """Node `n`, which is down, comes back with an old copy of its disk."""
        if self._nodes[n].is_up:
            raise ScheduleError(f"node {n} runs; crash it first")
        self._nodes[n].replace_disk(backup)
        self.restart(n)

    def compact(self, n: int, behind: int = 0) -> None:
        """Node `n` makes a snapshot of all it has applied, and forgets its log but for the last `behind` entries."""
        self.note(f"snapshot {n} {behind}")
        self._up(n).keep_snapshot(behind)

    # -- everything at once

    def pause(self, *nodes: int) -> None:
        """These stand still while everything runs, and no mail reaches them."""
        self._paused.update(nodes)

    def resume(self, *nodes: int) -> None:
        """They go on."""
        self._paused.difference_update(nodes)

    def run_until_idle(self) -> None:
        """Everybody who runs does all there is to do, and all mail that is not held arrives, until nothing is left."""
        for _ in range(_MOST_ROUNDS):
            moved = False
            for n, node in self._nodes.items():
                if node.is_up and n not in self._paused and not node.is_idle():
                    self.handle(n)
                    moved = True
            arriving = [m for m in self.mailbox if m.to not in self._paused and not self.is_held(m)]
            for m in arriving:
                self.remove(m)
                self.arrive(m)
            if not moved and not arriving:
                return
        raise ScheduleError(f"no rest within {_MOST_ROUNDS} rounds; on its way: {self.mailbox[:10]}")

    # -- what there is to see

    def status(self, n: int) -> BasicStatus:
        """What node `n` shows."""
        return self._up(n).raw.basic_status()

    def leads(self, n: int) -> bool:
        """Node `n` runs and takes itself for the leader."""
        return self._nodes[n].is_up and self.status(n).soft_state.role is Role.StateLeader

    def leaders(self) -> list[int]:
        """All who do, ascending; they may lead different terms."""
        return [n for n in self._nodes if self.leads(n)]

    def data(self, n: int) -> list[bytes]:
        """What the application of node `n` has been told, membership changes and empty entries left out."""
        told = [self.checker.truth[index] for index in range(FIRST, self._nodes[n].applied + 1)]
        return [truth.data for truth in told if truth.data and truth.type is ENTRY_NORMAL]

    def terms(self, n: int) -> list[int]:
        """Terms of the entries of node `n` that were handed out and are not compacted."""
        return list(self.checker.lives[n].mirror.terms)

    # -- the end of faults

    def converge(self, ticks: int = 200) -> None:
        """End all faults, and demand within so many ticks: one leader whom all members follow (L1), a new write applied
        by all of them (L2, L4), no joint configuration that should have been left (L3), no flow at rest (L5).

        Raises Violation.
        """
        self.heal()
        self.release()
        self.resume(*self._nodes)
        self.restart(*(n for n, node in self._nodes.items() if not node.is_up))
        leader = self._await("L1", ticks, self._led)
        self.propose(leader, b"converged")
        self._await("L2", ticks, self._agreed)

    def _await(self, law: str, ticks: int, reached: Callable[[], int]) -> int:
        for _ in range(ticks):
            self.run_until_idle()
            if found := reached():
                return found
            self.pass_time(1, *oracle.members_of(self.checker.conf))
        with self._judge():
            raise Violation(law, f"not within {ticks} ticks: {[self.status(n) for n in self._nodes]}")
        return 0

    def _led(self) -> int:
        """The leader whom all members follow, or 0."""
        told = [self.status(n) for n in oracle.members_of(self.checker.conf)]
        leader = told[0].soft_state.leader
        is_known = all(one.soft_state.leader == leader and one.term == told[0].term for one in told)
        return leader if is_known and leader in self._nodes and self.leads(leader) else 0

    def _agreed(self) -> int:
        leader, highest, conf = self._led(), self.checker.highest, self.checker.conf
        if not leader or conf.auto_leave or self.status(leader).last_index != highest:
            return 0
        state = self.checker.states[highest]
        equal = all(self._nodes[n].state == state for n in oracle.members_of(conf))
        flows = [one for n, one in self._nodes[leader].raw.status().progress.items() if n != leader]
        flowing = all(one.state is ProgressState.StateReplicate and not one.is_paused() for one in flows)
        return leader if equal and flowing else 0
