"""A cluster in memory that does what a list of moves tells it and remembers everything that it says.

A move names what happens, on which node, and a number to choose with. Every list of moves means something, so that
Hypothesis can make and shrink them; the same list always means the same. While it runs, nodes that apply different
entries at one index are an assertion error.

Run as a program, it prints a digest of all that is said in some long histories.
"""

from __future__ import annotations

import hashlib
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from random import Random
from typing import Final

from pyraft import (
    ConfChangeError,
    Config,
    MemoryStorage,
    MisuseError,
    NullLogger,
    ProposalDroppedError,
    RawNode,
    ReadDroppedError,
    ReadOnlyOption,
    SnapshotStatus,
    StepError,
)
from raftpb.codec import decode_change
from raftpb.confchange import AnyConfChange, ConfChange, ConfChangeV2, parse_changes
from raftpb.enums import (
    ADD_LEARNER_NODE,
    ADD_NODE,
    ENTRY_NORMAL,
    MSG_SNAP,
    REMOVE_NODE,
    TRANSITION_JOINT_EXPLICIT,
    TRANSITION_JOINT_IMPLICIT,
)
from raftpb.message import (
    LOCAL_APPEND_THREAD,
    LOCAL_APPLY_THREAD,
    ConfState,
    Entry,
    HardState,
    Message,
    Snapshot,
    SnapshotMetadata,
)

Move = tuple[str, int, int]

SIZE: Final = 5
"""Nodes 1, 2 and 3 vote from the start; 4 and 5 are there and empty until somebody adds them."""

START: Final = Snapshot(b"", SnapshotMetadata(ConfState((1, 2, 3)), 2, 1))


def _reference(config: Config) -> Config:
    return Config.reference_defaults(
        id=config.id,
        storage=config.storage,
        election_tick=config.election_tick,
        heartbeat_tick=config.heartbeat_tick,
        random=config.random,
        logger=config.logger,
    )


SETTINGS: Final[dict[str, Callable[[Config], Config]]] = {
    "safe": lambda config: config,
    "asynchronous": lambda config: replace(config, async_storage_writes=True),
    "reference": _reference,
    "leases": lambda config: replace(config, read_only_option=ReadOnlyOption.ReadOnlyLeaseBased),
    "batching": lambda config: replace(config, batch_append=True, max_size_per_msg=200),
    "batching and asynchronous": lambda config: replace(
        config, batch_append=True, async_storage_writes=True, max_inflight_msgs=3
    ),
    "tight": lambda config: replace(
        config,
        max_size_per_msg=0,
        max_committed_size_per_ready=12,
        max_uncommitted_entries_size=40,
        max_inflight_msgs=1,
        max_pending_reads=2,
        max_entry_size=60,
    ),
    "tight and asynchronous": lambda config: replace(
        config,
        async_storage_writes=True,
        max_size_per_msg=20,
        max_committed_size_per_ready=12,
        max_inflight_msgs=2,
        max_inflight_bytes=20,
        step_down_on_removal=False,
    ),
}

CHANGES: Final[tuple[AnyConfChange | None, ...]] = (
    ConfChange(ADD_NODE, 4),
    ConfChange(ADD_LEARNER_NODE, 5),
    ConfChange(REMOVE_NODE, 4),
    ConfChange(REMOVE_NODE, 1),
    ConfChange(ADD_NODE, 1),
    ConfChangeV2(parse_changes("v4 r2")),
    ConfChangeV2(parse_changes("v2 l1"), TRANSITION_JOINT_EXPLICIT),
    ConfChangeV2(parse_changes("v5 l4"), TRANSITION_JOINT_IMPLICIT),
    None,
)


class Member:
    """A node, its disk, its application, and the work that its storage threads have not done."""

    def __init__(self, config: Config, storage: MemoryStorage) -> None:
        self.config = config
        self.storage = storage
        self.raw = RawNode(config)
        self.applied: int = storage.snapshot().metadata.index
        self.conf_state: ConfState = storage.snapshot().metadata.conf_state
        self.awaits_advance = False
        self.append_work: deque[Message] = deque()
        self.apply_work: deque[Message] = deque()

    def write(self, hard_state: HardState | None, entries: list[Entry], snapshot: Snapshot | None) -> None:
        if snapshot is not None:
            self.storage.apply_snapshot(snapshot)
            self.applied = snapshot.metadata.index
            self.conf_state = snapshot.metadata.conf_state
        self.storage.append(entries)
        if hard_state is not None and not hard_state.is_empty():
            self.storage.set_hard_state(hard_state)

    def compact(self, behind: int) -> None:
        """Make a snapshot of all that is applied, and forget the log but for the last `behind` entries of that."""
        if self.storage.snapshot().metadata.index < self.applied <= self.storage.last_index():
            self.storage.create_snapshot(self.applied, self.conf_state, b"state")
            if self.applied - behind >= self.storage.first_index():
                self.storage.compact(self.applied - behind)

    def crash(self, trusts_own_data: bool) -> None:
        """Restart from the snapshot, or from data of the application's own that is as good as one made just now."""
        self.append_work.clear()
        self.apply_work.clear()
        self.awaits_advance = False
        if trusts_own_data and self.applied <= self.storage.initial_state()[0].commit:
            self.compact(behind=self.applied)
        self.applied = self.storage.snapshot().metadata.index
        self.conf_state = self.storage.snapshot().metadata.conf_state
        self.raw = RawNode(replace(self.config, applied=self.applied))


class RandomCluster:
    """`said` holds every Ready, every refusal, and what a node remembers after each thing that happened to it.

    `rebuilt`: each node is taken apart and built anew from its exported state after each thing that happens to it.
    """

    def __init__(self, setting: str, seed: int, rebuilt: bool = False) -> None:
        self.rebuilt = rebuilt
        self.said: list[object] = []
        self.wire: list[Message] = []
        self.truth: dict[int, Entry] = {}
        self.members: list[Member] = []
        for node_id in range(1, SIZE + 1):
            storage = MemoryStorage()
            if node_id in START.metadata.conf_state.voters:
                storage.apply_snapshot(START)
            config = Config(
                id=node_id,
                storage=storage,
                election_tick=4,
                heartbeat_tick=2,
                random=Random(seed * SIZE + node_id),
                logger=NullLogger(),
            )
            self.members.append(Member(SETTINGS[setting](config), storage))

    # -- moves

    def play(self, moves: Iterable[Move]) -> None:
        for what, who, which in moves:
            MOVES[what](self, self.members[who % SIZE], which)

    def tick(self, member: Member, which: int) -> None:
        member.raw.tick(1 + which % 6)
        self._note(member)

    def work(self, member: Member, which: int) -> None:
        """Whatever is next for the application of a node; storage threads in either order."""
        if member.awaits_advance:
            member.awaits_advance = False
            member.raw.advance()
        elif member.append_work and (which % 2 == 0 or not member.apply_work):
            self._append(member, member.append_work.popleft())
        elif member.apply_work:
            self._apply_and_answer(member, member.apply_work.popleft())
        elif member.raw.has_ready():
            self._take_ready(member)
        self._note(member)

    def ready(self, member: Member, which: int) -> None:
        """Take a Ready although older work may not be done."""
        if not member.awaits_advance:
            self._take_ready(member)
        self._note(member)

    def deliver(self, member: Member, which: int) -> None:
        waiting = [m for m in self.wire if m.to == member.config.id]
        if waiting:
            m = waiting[which % len(waiting)]
            self.wire.remove(m)
            self._step(m)

    def duplicate(self, member: Member, which: int) -> None:
        if self.wire:
            self._step(self.wire[which % len(self.wire)])

    def drop(self, member: Member, which: int) -> None:
        if self.wire:
            self.wire.pop(which % len(self.wire))

    def settle(self, member: Member, which: int) -> None:
        """Let everything that waits happen, in order, for a while."""
        for _ in range(1 + which % 12):
            for each in self.members:
                while each.awaits_advance or each.append_work or each.apply_work or each.raw.has_ready():
                    self.work(each, 0)
            if not self.wire:
                return
            waiting, self.wire = self.wire, []
            for m in waiting:
                self._step(m)

    def lead(self, member: Member, which: int) -> None:
        """What usually makes a leader of a node, if there is time enough."""
        member.raw.tick(4)
        member.raw.campaign()
        self._note(member)
        self.settle(member, which)

    def propose(self, member: Member, which: int) -> None:
        try:
            member.raw.propose(b"data" * (which % 17))
        except ProposalDroppedError as error:
            self.said.append(repr(error))
        self._note(member)

    def change(self, member: Member, which: int) -> None:
        try:
            member.raw.propose_conf_change(CHANGES[which % len(CHANGES)])
        except ProposalDroppedError as error:
            self.said.append(repr(error))
        self._note(member)

    def read(self, member: Member, which: int) -> None:
        try:
            member.raw.read_index(bytes([1 + which % 5]))
        except ReadDroppedError as error:
            self.said.append(repr(error))
        self._note(member)

    def transfer(self, member: Member, which: int) -> None:
        self.said.append(repr(member.raw.transfer_leader(which % (SIZE + 1))))
        self._note(member)

    def forget(self, member: Member, which: int) -> None:
        try:
            member.raw.forget_leader()
        except MisuseError as error:
            self.said.append(repr(error))
        self._note(member)

    def report(self, member: Member, which: int) -> None:
        if which % 3 == 0:
            member.raw.report_unreachable(which % SIZE + 1)
        else:
            member.raw.report_snapshot(which % SIZE + 1, SnapshotStatus(which % 3))
        self._note(member)

    def compact(self, member: Member, which: int) -> None:
        """Only up to what the core knows to be applied."""
        if member.applied == member.raw.basic_status().applied:
            member.compact(which % 3)

    def crash(self, member: Member, which: int) -> None:
        member.crash(which % 2 == 0)
        self._note(member)

    # -- what moves are made of

    def _note(self, member: Member) -> None:
        state = member.raw.export_state()
        self.said.append(state)
        if self.rebuilt:
            member.raw = RawNode.from_state(member.config, state)

    def _step(self, m: Message) -> None:
        member = self.members[m.to - 1]
        try:
            member.raw.step(m)
        except StepError as error:
            self.said.append(repr(error))
        if m.type is MSG_SNAP:
            self.members[m.from_ - 1].raw.report_snapshot(m.to, SnapshotStatus.SnapshotFinish)
        self._note(member)

    def _take_ready(self, member: Member) -> None:
        ready = member.raw.ready()
        self.said.append(ready)
        if not member.config.async_storage_writes:
            member.write(ready.hard_state, ready.entries, ready.snapshot)
            self._apply(member, ready.committed_entries)
            member.awaits_advance = True
        for m in ready.messages:
            if m.to == LOCAL_APPEND_THREAD:
                member.append_work.append(m)
            elif m.to == LOCAL_APPLY_THREAD:
                member.apply_work.append(m)
            else:
                self.wire.append(m)

    def _append(self, member: Member, m: Message) -> None:
        member.write(HardState(m.term, m.vote, m.commit), m.entries, m.snapshot)
        self._answer(member, m)

    def _apply_and_answer(self, member: Member, m: Message) -> None:
        self._apply(member, m.entries)
        self._answer(member, m)

    def _answer(self, member: Member, m: Message) -> None:
        for response in m.responses:
            if response.to != member.config.id:
                self.wire.append(response)
                continue
            try:
                member.raw.step_storage(response)
            except StepError as error:
                self.said.append(repr(error))

    def _apply(self, member: Member, entries: Sequence[Entry]) -> None:
        """What a snapshot has brought along already is not applied again."""
        for entry in entries:
            assert self.truth.setdefault(entry.index, entry) == entry
            if entry.index <= member.applied:
                continue
            assert entry.index == member.applied + 1
            member.applied = entry.index
            if entry.type is not ENTRY_NORMAL:
                try:
                    member.conf_state = member.raw.apply_conf_change(decode_change(entry))
                except ConfChangeError as error:
                    self.said.append(repr(error))


MOVES: Final[dict[str, Callable[[RandomCluster, Member, int], None]]] = {
    "tick": RandomCluster.tick,
    "work": RandomCluster.work,
    "ready": RandomCluster.ready,
    "deliver": RandomCluster.deliver,
    "duplicate": RandomCluster.duplicate,
    "drop": RandomCluster.drop,
    "settle": RandomCluster.settle,
    "lead": RandomCluster.lead,
    "propose": RandomCluster.propose,
    "change": RandomCluster.change,
    "read": RandomCluster.read,
    "transfer": RandomCluster.transfer,
    "forget": RandomCluster.forget,
    "report": RandomCluster.report,
    "compact": RandomCluster.compact,
    "crash": RandomCluster.crash,
}

_WEIGHTS: Final = {
    "work": 12,
    "deliver": 12,
    "propose": 5,
    "tick": 4,
    "settle": 3,
    "read": 3,
    "change": 2,
    "ready": 2,
    "transfer": 2,
}


def random_moves(seed: int, count: int) -> list[Move]:
    """A history without Hypothesis: mostly work and messages."""
    random = Random(seed)
    names = random.choices(list(MOVES), [_WEIGHTS.get(name, 1) for name in MOVES], k=count)
    return [("lead", 0, 11), *((name, random.randrange(SIZE), random.randrange(60)) for name in names)]


def long_history(setting: str, seed: int, rebuilt: bool = False, count: int = 300) -> RandomCluster:
    cluster = RandomCluster(setting, seed, rebuilt)
    cluster.play(random_moves(seed, count))
    return cluster


def digest() -> str:
    """Of everything that is said in one long history of each setting."""
    sha = hashlib.sha256()
    for seed, setting in enumerate(SETTINGS):
        for one in long_history(setting, seed).said:
            sha.update(repr(one).encode())
    return sha.hexdigest()


if __name__ == "__main__":
    sys.stdout.write(digest())
