"""History: what the checker remembers of the whole run, and of each node's present life.

None of it is known to any node; all of it is updated in time that does not grow with the run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from pyraft import MemoryStorage, Role
from raftpb.enums import ENTRY_NORMAL, EntryType
from raftpb.message import ConfState, Entry, Snapshot


class Mirror:
    """Terms of a node's log as far as it was handed out by Ready; compacted entries are not kept."""

    def __init__(self, offset: int, offset_term: int, terms: list[int]) -> None:
        self.offset = offset
        self.offset_term = offset_term
        self.terms = terms

    def last(self) -> int:
        """Index of the last entry."""
        return self.offset + len(self.terms)

    def term(self, index: int) -> int | None:
        """Term at `index`; 0 below what is kept, None above the end."""
        if index <= self.offset:
            return self.offset_term if index == self.offset else 0
        return self.terms[index - self.offset - 1] if index <= self.last() else None

    def put(self, entry: Entry) -> None:
        """Replace everything from the entry's index on by it."""
        del self.terms[entry.index - self.offset - 1 :]
        self.terms.append(entry.term)


@dataclass(slots=True)
class Life:
    """A node between two starts."""

    boot: int
    durable: MemoryStorage
    conf: ConfState
    mirror: Mirror
    former_conf: ConfState
    """Before the last change: what waits to leave may have been said then."""
    term: int = 0
    role: Role = Role.StateFollower
    commit: int = 0
    applied: int = 0
    last: int = 0
    handed_out_term: int = 0
    app_applied: int = 0
    conf_entries: list[int] = field(default_factory=list)
    """Indices of membership changes handed out and not yet applied."""
    snapshots_arrived: set[int] = field(default_factory=set)
    """Indices of snapshots that have arrived since one was handed out last; the core may have taken one of them."""
    ticks: int = 0
    transferee: int = 0
    transfer_began: int = 0
    """At which of its ticks."""
    invitable: dict[int, int] = field(default_factory=dict)
    """To whom this leader has been handing over, and the last index when that began: what the other must have."""
    matches: dict[int, int] = field(default_factory=dict)
    """Highest match that was seen of each follower in this leadership."""
    had_applied_all: bool = False
    """When it became leader: so all that is unapplied is of its own term."""


@dataclass(frozen=True, slots=True)
class Content:
    """What an entry is, beside its index and term, and the term of the entry before it."""

    type: EntryType
    data: bytes
    previous_term: int


@dataclass(frozen=True, slots=True)
class Truth:
    """An entry that was committed, and the term of the leader that did it first."""

    term: int
    type: EntryType
    data: bytes
    committed_in: int

    def is_conf_change(self) -> bool:
        """True for both kinds of membership change."""
        return self.type is not ENTRY_NORMAL


class Limits:
    """What S23 holds the nodes to."""

    def __init__(
        self,
        message_bytes: int,
        uncommitted_bytes: int,
        pending_reads: int,
        inflight: int,
        transfer_ticks: int = 1 << 20,
    ) -> None:
        self.message_bytes = message_bytes
        self.uncommitted_bytes = uncommitted_bytes
        self.pending_reads = pending_reads
        self.inflight = inflight
        self.transfer_ticks = transfer_ticks


class History:
    """What all laws share. `start` is what every founding member begins with."""

    def __init__(self, start: Snapshot, limits: Limits) -> None:
        base = start.metadata
        self.limits = limits
        self.leaders: dict[int, int] = {}
        self.contents: dict[tuple[int, int], Content] = {}
        self.truth: dict[int, Truth] = {}
        self.states: dict[int, bytes] = {base.index: start.data}
        self.confs: dict[int, ConfState] = {base.index: base.conf_state}
        """The configuration after each committed membership change, by its index."""
        self.conf = base.conf_state
        self.base = base.index
        self.highest = base.index
        """The highest index that any node ever knew to be committed."""
        self.last_promise: dict[int, tuple[int, int, int]] = {}
        self.lives: dict[int, Life] = {}
        self.read_floors: dict[bytes, tuple[int, int, int]] = {}
        self.proposed: set[bytes] = {b""}
        self.acked: set[bytes] = set()
        self.reads_checked = 0
        self.lost: set[int] = set()
        """Nodes whose disk has lost what it had promised to keep; nothing is expected of it."""


def digest_after(before: bytes, index: int, term: int, type: EntryType, data: bytes) -> bytes:
    """The application's state: a hash over everything that was applied, in order."""
    return hashlib.blake2b(before + b"%d %d %d " % (index, term, type) + data, digest_size=16).digest()
