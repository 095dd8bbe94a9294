"""Made-up histories for the checker: a cluster of three that nothing runs, told hook by hook."""

from __future__ import annotations

from dataclasses import replace

from pyraft import BasicStatus, Config, MemoryStorage, NullLogger, RawNode, Role, SoftState
from raftpb.enums import ENTRY_NORMAL, MSG_APP, EntryType
from raftpb.message import ConfState, Entry, HardState, Message, Snapshot, SnapshotMetadata
from rafttest.sim.checker.history import Limits
from rafttest.sim.checker.safety import Checker
from rafttest.sim.cluster.disk import SimDisk

START = Snapshot(b"beginning", SnapshotMetadata(ConfState((1, 2, 3)), 2, 1))
FOLLOWER, CANDIDATE, LEADER = Role.StateFollower, Role.StateCandidate, Role.StateLeader


def entry(index: int, term: int, data: bytes = b"", type: EntryType = ENTRY_NORMAL) -> Entry:
    return Entry(type, term, index, data)


class MadeHistory:
    """Each method is one thing that a node did; all of them go through the checker's hooks."""

    def __init__(self, limits: Limits | None = None, start: Snapshot = START, reads_by_lease: bool = False) -> None:
        self.checker = Checker(start, limits or Limits(100, 100, 10, 4, 10), reads_by_lease)
        self.disks = {n: SimDisk(start) for n in (1, 2, 3)}
        self.disks[4] = SimDisk()
        for n in self.disks:
            self.boot(n, 1)

    def boot(self, n: int, boot: int) -> None:
        disk = self.disks[n]
        cache, state = disk.cache, disk.cache.initial_state()[0]
        self.checker.booted(n, boot, disk.durable, cache, cache.snapshot().metadata.conf_state)
        self.shows(n, FOLLOWER, state.term, state.commit, cache.snapshot().metadata.index, cache.last_index())

    def shows(
        self,
        n: int,
        role: Role,
        term: int,
        commit: int = 2,
        applied: int = 2,
        last: int = 2,
        size: int = 0,
        reads: int = 0,
        hands_over_to: int = 0,
    ) -> bool:
        state, soft = HardState(term, 0, commit), SoftState(0, role)
        status = replace(
            _BLANK,
            id=n,
            hard_state=state,
            soft_state=soft,
            applied=applied,
            last_index=last,
            uncommitted_size=size,
            pending_reads=reads,
            lead_transferee=hands_over_to,
        )
        return self.checker.observed(n, status)

    def writes(self, n: int, entries: list[Entry], state: HardState | None = None, synced: bool = True) -> None:
        self.checker.handed_out(n, entries, None)
        self.disks[n].write(None, entries, state)
        if synced:
            self.disks[n].sync()
            self.checker.persisted(n)

    def says(self, n: int, m: Message) -> None:
        m.from_ = n
        self.checker.left(n, m)

    def leads(self, n: int, term: int, last: int = 2) -> None:
        """It becomes leader of a term, and all of that is durable."""
        self.shows(n, LEADER, term, last=last)
        self.writes(n, [], HardState(term, n, 2))

    def replicates(self, term: int, entries: list[Entry], to: tuple[int, ...] = (1, 2)) -> None:
        """Leader 1 sends `entries`, and those in `to` have them on their disks."""
        for n in to:
            self.shows(n, LEADER if n == 1 else FOLLOWER, term, last=entries[-1].index)
            self.writes(n, entries, HardState(term, 1, 2))
            if n == 1:
                first = entries[0]
                self.says(1, Message(MSG_APP, 2, 1, term, 1, first.index - 1, entries, 2))

    def commits(self, term: int, entries: list[Entry]) -> None:
        """Leader 1 brings `entries` to the disks of 1 and 2, and commits the last."""
        self.leads(1, term)
        self.replicates(term, entries)
        self.shows(1, LEADER, term, commit=entries[-1].index, last=entries[-1].index)


def _blank() -> BasicStatus:
    return RawNode(Config(id=1, storage=MemoryStorage(), logger=NullLogger())).basic_status()


_BLANK = _blank()
