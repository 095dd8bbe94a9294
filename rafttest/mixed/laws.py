"""Laws: what has to hold at each event of a mixed group, whichever library the nodes are of.

one leader      a term has one leader at most
log matching    entries of one index and term are the same, and so are those before them
completeness    a leader's log holds every entry that was committed in an earlier term
state machines  entries are applied in order, the same everywhere, and not replaced; equal indexes have equal states
promises        term and commit index of a node do not fall; nor do term, vote and commit index on its disk
membership      a change leads to the same configuration on every node, the one that the definitions demand
reads           an answer is not older than what was known to be committed when it was asked for
health          no node panics, suspects a lost log, or refuses a message of the other library
liveness        without faults: one leader, a write commits, reads are answered, all states are equal (`run`)
"""

from __future__ import annotations

import hashlib
from typing import Final

from raftpb.codec import decode_change
from raftpb.enums import ENTRY_NORMAL
from raftpb.message import ConfState, Entry, HardState, Snapshot
from rafttest.mixed.peer import LEADER, Answer
from rafttest.sim.checker import oracle

DELIVERED: Final = (
    "dropped: ",
    "peer not found: ",
    "raft proposal dropped",
    "raft: cannot step as peer not found",
)
"""How the refusal of a message begins in a healthy group: a forwarded proposal that is dropped, and an answer of a node
that is not a member here.
"""
CALLED: Final = (*DELIVERED, "CampaignRefusal.", "TransferRefusal.")
"""How the refusal of a call begins in a healthy group."""

Content = tuple[int, int, bytes]


class LawError(Exception):
    """A law is broken; `law` names it."""

    def __init__(self, law: str, text: str) -> None:
        super().__init__(f"{law}: {text}")
        self.law = law


class GroupHistory:
    """What the laws know of one node. A crash takes `applied` and what follows from it back to the snapshot."""

    def __init__(self, snapshot: Snapshot | None, answers_once: bool) -> None:
        self.answers_once = answers_once
        self.terms: dict[int, int] = {}
        self.state = HardState()
        self.term = 0
        self.commit = 0
        self.base = Snapshot() if snapshot is None else snapshot
        self.begin()

    def begin(self) -> None:
        """A process starts: its application begins from the snapshot."""
        metadata = self.base.metadata
        self.term, self.commit = self.state.term, 0
        self.applied, self.digest, self.conf = metadata.index, self.base.data, metadata.conf_state

    def install(self, snapshot: Snapshot) -> None:
        """The disk holds this in place of its log, and so does the application."""
        self.base = snapshot
        self.terms = {}
        metadata = snapshot.metadata
        if metadata.index > self.applied:
            self.applied, self.digest, self.conf = metadata.index, snapshot.data, metadata.conf_state


class Laws:
    """Judges each answer of each node."""

    def __init__(self, start: Snapshot) -> None:
        self.records: dict[int, GroupHistory] = {}
        self.leaders: dict[int, int] = {}
        self.contents: dict[tuple[int, int], tuple[Content, int]] = {}
        self.truth: dict[int, Content] = {}
        """What was committed, by index."""
        self.committed_in: dict[int, int] = {}
        """The term of the node that applied an entry first: it was committed in this term or before."""
        self.complete: set[int] = set()
        """Terms whose leader has been found to hold what it must."""
        base = start.metadata
        self.states: dict[int, tuple[int, bytes]] = {base.index: (base.term, start.data)}
        """The term, and the state of the application, at each index that was applied."""
        self.confs: dict[int, ConfState] = {base.index: base.conf_state}
        self.conf = base.conf_state
        self.highest = base.index
        """The highest index that any node has known to be committed."""
        self.asked: dict[bytes, tuple[int, int]] = {}
        self.reads = 0

    def join(self, id: int, snapshot: Snapshot | None, answers_once: bool) -> None:
        """Node `id` exists, on an empty disk or one with `snapshot`. `answers_once`: a read, and none of an earlier
        life; the reference answers copies too.
        """
        self.records[id] = GroupHistory(snapshot, answers_once)

    def asks(self, id: int, context: bytes) -> None:
        """Node `id` is asked for a read."""
        self.asked[context] = (id, self.highest)

    def crashed(self, id: int) -> None:
        """Node `id` has lost its memory."""
        self.records[id].begin()
        self.asked = {context: told for context, told in self.asked.items() if told[0] != id}

    def judge(self, id: int, told: Answer, is_delivery: bool = False) -> None:
        """Judge what node `id` has answered, to a message if `is_delivery`. Raises LawError."""
        record = self.records[id]
        if told.panic:
            raise LawError("health", f"node {id} died: {told.panic}")
        if told.error and not told.error.startswith(DELIVERED if is_delivery else CALLED):
            raise LawError("health", f"node {id} refuses: {told.error}")
        if told.term < record.term or told.commit < record.commit:
            raise LawError("promises", f"node {id} goes back to term {told.term}, commit {told.commit}")
        record.term, record.commit = told.term, told.commit
        self.highest = max(self.highest, told.commit)
        if told.role == LEADER and self.leaders.setdefault(told.term, id) != id:
            raise LawError("one leader", f"{self.leaders[told.term]} and {id} lead term {told.term}")
        if told.snapshot is not None:
            self._installed(id, record, told.snapshot)
        for entry in told.entries:
            self._written(id, record, entry)
        if told.hard_state is not None:
            self._promised(id, record, told.hard_state)
        confs = iter(told.confs)
        for entry in told.committed:
            conf = next(confs) if entry.type is not ENTRY_NORMAL else None
            self._applied(id, record, entry, conf)
        for index, context in told.reads:
            self._answered(id, index, context)

    def _written(self, id: int, record: GroupHistory, entry: Entry) -> None:
        index, base = entry.index, record.base.metadata
        before = base.term if index == base.index + 1 else record.terms.get(index - 1, 0)
        content = ((entry.term, int(entry.type), entry.data), before)
        if self.contents.setdefault((index, entry.term), content) != content:
            raise LawError("log matching", f"node {id} has another entry ({entry.term}, {index})")
        for later in [at for at in record.terms if at >= index]:
            del record.terms[later]
        record.terms[index] = entry.term
        if self.leaders.get(entry.term) == id and entry.term not in self.complete:
            self._completed(id, record, entry)
        truth = self.truth.get(index)
        if truth is not None and index <= record.applied and truth[0] != entry.term:
            raise LawError("state machines", f"node {id} replaces entry {index}, which it has applied")

    def _completed(self, id: int, record: GroupHistory, first: Entry) -> None:
        """Node `id` writes the `first` entry of its leadership: all before it is on its disk by now."""
        self.complete.add(first.term)
        for index in range(record.base.metadata.index + 1, first.index):
            if index in self.truth and self.committed_in[index] < first.term:
                term = self.truth[index][0]
                if record.terms.get(index) != term:
                    raise LawError(
                        "completeness",
                        f"node {id} leads term {first.term} without the committed entry ({term}, {index})",
                    )

    def _installed(self, id: int, record: GroupHistory, snapshot: Snapshot) -> None:
        metadata = snapshot.metadata
        if self.states.get(metadata.index) != (metadata.term, snapshot.data):
            raise LawError("state machines", f"node {id} installs another state at {metadata.index}")
        conf = self.confs[max(index for index in self.confs if index <= metadata.index)]
        if not same(metadata.conf_state, conf):
            raise LawError("membership", f"node {id} installs {metadata.conf_state} at {metadata.index}, not {conf}")
        record.install(snapshot)

    def _promised(self, id: int, record: GroupHistory, state: HardState) -> None:
        old = record.state
        if state.term < old.term or state.commit < old.commit:
            raise LawError("promises", f"the disk of node {id} goes back from {old} to {state}")
        if state.term == old.term and old.vote not in {0, state.vote}:
            raise LawError("promises", f"node {id} votes for {old.vote} and {state.vote} in term {state.term}")
        record.state = state

    def _applied(self, id: int, record: GroupHistory, entry: Entry, conf: ConfState | None) -> None:
        content = (entry.term, int(entry.type), entry.data)
        if entry.index != record.applied + 1:
            raise LawError("state machines", f"node {id} applies {entry.index} after {record.applied}")
        if self.truth.setdefault(entry.index, content) != content:
            raise LawError("state machines", f"node {id} applies another entry at {entry.index}")
        self.committed_in.setdefault(entry.index, record.term)
        record.applied = entry.index
        record.digest = digest_after(record.digest, entry)
        state = (entry.term, record.digest)
        if self.states.setdefault(entry.index, state) != state:
            raise LawError("state machines", f"node {id} is in another state after {entry.index}")
        if conf is not None:
            self._changed(id, record, entry, conf)

    def _changed(self, id: int, record: GroupHistory, entry: Entry, conf: ConfState) -> None:
        asked = decode_change(entry).as_v2()
        if entry.index not in self.confs:
            following = oracle.change(self.conf, asked)
            if following is None:
                raise LawError("membership", f"{asked} was committed in {self.conf}, where it is impossible")
            self.conf = self.confs[entry.index] = following
        expected = self.confs[entry.index]
        if not same(conf, expected):
            raise LawError("membership", f"node {id} is in {conf} after {entry.index}; expected {expected}")
        record.conf = expected

    def _answered(self, id: int, index: int, context: bytes) -> None:
        who, floor = self.asked.pop(context, (0, 0))
        if who != id:
            if who or self.records[id].answers_once:
                raise LawError("reads", f"node {id} answers {context!r}, asked of node {who}, or does it again")
            return
        if index < floor:
            raise LawError("reads", f"node {id} answers with {index}; {floor} was committed when asked")
        self.reads += 1


def same(one: ConfState, other: ConfState) -> bool:
    """True if both name the same members, in whatever order."""

    def named(conf: ConfState) -> tuple[object, ...]:
        lists = (conf.voters, conf.learners, conf.voters_outgoing, conf.learners_next)
        return (*[tuple(sorted(one)) for one in lists], conf.auto_leave)

    return named(one) == named(other)


def digest_after(digest: bytes, entry: Entry) -> bytes:
    """The state of the application after one more entry."""
    told = b"%d %d %d " % (entry.index, entry.term, int(entry.type)) + entry.data
    return hashlib.blake2b(digest + told, digest_size=16).digest()
