"""Group: the nodes of both libraries, the network between them, and what happens by chance.

There is no clock: one event follows another, each drawn from the seed, so that ticks, deliveries and pieces of storage
work come in any order and at any rate. Messages are bytes; each may be lost, delayed, repeated and overtaken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from random import Random
from typing import Final

from raftpb.codec import decode_message, encode_conf_change_v2
from raftpb.confchange import ConfChangeSingle, ConfChangeV2
from raftpb.enums import ADD_LEARNER_NODE, ADD_NODE, MSG_SNAP, REMOVE_NODE, ConfChangeTransition
from raftpb.message import ConfState, Snapshot, SnapshotMetadata
from rafttest.mixed.laws import LawError, Laws, Record
from rafttest.mixed.peer import LEADER, Answer, Peer, Settings
from rafttest.mixed.python_node import PythonNode
from rafttest.sim import oracle

FEWEST_VOTERS: Final = 3
"""The reference answers the reads of a lone voter at once, also right after a restart, so there are always more."""
_MOST_UNDER_WAY: Final = 300
_KEPT_EVENTS: Final = 40


class Group:
    """The nodes, by id; not all of them are members at first."""

    def __init__(self, random: Random, peers: dict[int, Peer], voters: int, settings: dict[int, Settings]) -> None:
        self.random = random
        self.peers = peers
        self.settings = settings
        metadata = SnapshotMetadata(ConfState(tuple(range(1, voters + 1))), 2, 1)
        self.start = Snapshot(b"", metadata)
        self.laws = Laws(self.start)
        self.shown: dict[int, Answer] = {}
        self.wire: list[tuple[int, int, bytes]] = []
        self.cut: set[tuple[int, int]] = set()
        self.loss = 0.0
        self.repeat = 0.0
        self.is_fifo = False
        self.events = 0
        self.counts: dict[str, int] = {}
        self.owed: set[int] = set()
        """Who has sent a snapshot from before its receiver joined, and owes the group a newer one."""
        self.recent: list[str] = []
        self._hash = hashlib.blake2b(digest_size=16)
        self._proposed = 0
        self._read = 0
        for id, peer in peers.items():
            snapshot = self.start if id <= voters else None
            self.laws.join(id, snapshot, isinstance(peer, PythonNode))
            self._take(id, "start", peer.start(id, settings[id], snapshot))

    # -- bookkeeping

    def count(self, what: str, many: int = 1) -> None:
        """Something was reached."""
        if many:
            self.counts[what] = self.counts.get(what, 0) + many

    def trace_hash(self) -> str:
        """Of every event and what came of it."""
        return self._hash.hexdigest()

    def _take(self, id: int, event: str, told: Answer) -> None:
        """Judge what node `id` answered, and send what it wants sent."""
        self.events += 1
        line = (
            f"{event} {id}: {told.error or 'ok'} role={told.role} term={told.term} commit={told.commit} "
            f"applied={told.applied} last={told.last} sends={len(told.messages)}"
        )
        self._hash.update(line.encode() + b"".join(told.messages))
        self.recent.append(line)
        del self.recent[:-_KEPT_EVENTS]
        before = self.shown.get(id)
        self.shown[id] = told
        self.laws.judge(id, told)
        peer = self.peers[id]
        if isinstance(peer, PythonNode) and peer.suspects():
            raise LawError("manners", f"node {id} suspects: {peer.suspects()}")
        if told.role == LEADER and (before is None or before.role != LEADER or before.term != told.term):
            self.count(f"elections won by {peer.library}")
        self.count("snapshots installed", int(told.snapshot is not None))
        self.count(f"snapshots installed by {peer.library}", int(told.snapshot is not None))
        self.count("membership changes applied", len(told.confs))
        self.count("joint configurations", sum(bool(conf.voters_outgoing) for conf in told.confs))
        self.count(f"reads answered by {peer.library}", len(told.reads))
        for data in told.messages:
            m = decode_message(data)
            if m.to in self.peers:
                self.wire.append((id, m.to, data))
            if m.snapshot is not None and m.to not in oracle.members_of(m.snapshot.metadata.conf_state):
                self.owed.add(id)  # the receiver will ignore it: a newer one has to be made
        while len(self.wire) > _MOST_UNDER_WAY:
            self._lose(self.random.randrange(len(self.wire)))

    # -- the network

    def deliver(self) -> None:
        """A message arrives, or is lost."""
        if not self.wire:
            return
        at = 0 if self.is_fifo else self.random.randrange(len(self.wire))
        from_, to, data = self.wire[at]
        if (from_, to) in self.cut or self.random.random() < self.loss:
            self._lose(at)
            return
        if self.random.random() >= self.repeat:
            del self.wire[at]
        else:
            self.count("messages repeated")
        self.arrive(from_, to, data)

    def arrive(self, from_: int, to: int, data: bytes) -> None:
        """Node `to` takes a message."""
        m = decode_message(data)
        if m.type is MSG_SNAP:
            self.finish_work(to)
        self.count(f"messages to {self.peers[to].library}")
        self._take(to, f"deliver {m.type} {from_}->{to} term {m.term}", self.peers[to].step(data))
        if m.type is MSG_SNAP:
            self._take(from_, "snapshot sent", self.peers[from_].report_snapshot(to, False))

    def _lose(self, at: int) -> None:
        from_, to, data = self.wire.pop(at)
        self.count("messages lost")
        if decode_message(data).type is MSG_SNAP:
            self._take(from_, "snapshot lost", self.peers[from_].report_snapshot(to, True))
        elif self.random.random() < 0.1:
            self._take(from_, "unreachable", self.peers[from_].report_unreachable(to))

    def finish_work(self, id: int) -> None:
        """Do what the storage threads of a node have still to do: a received snapshot must not overtake an apply."""
        while self.shown[id].append_work or self.shown[id].apply_work:
            self.work_once(id)

    # -- what happens

    def happen(self) -> None:
        """One event, by chance."""
        for id in sorted(self.owed):
            self.make_snapshot(id)
        self.owed.clear()
        kinds, weights = zip(*_HAPPENINGS, strict=True)
        kind: Callable[[Group], None] = self.random.choices(kinds, weights)[0]
        kind(self)

    def anybody(self) -> int:
        """Some node."""
        return self.random.choice(list(self.peers))

    def leader(self) -> int:
        """The leader of the highest term, or anybody."""
        return self.latest_leader() or self.anybody()

    def latest_leader(self) -> int:
        """The leader of the highest term; 0: nobody leads."""
        leading = [(told.term, id) for id, told in self.shown.items() if told.role == LEADER]
        return max(leading)[1] if leading else 0

    def tick(self) -> None:
        """Time passes for somebody."""
        id = self.anybody()
        self._take(id, "tick", self.peers[id].tick())

    def work(self) -> None:
        """Somebody does a piece of its work."""
        busy = [id for id, told in self.shown.items() if told.has_ready or told.append_work or told.apply_work]
        if busy:
            self.work_once(self.random.choice(busy))

    def work_once(self, id: int) -> None:
        """A Ready, or a piece of the storage threads' work."""
        told, peer = self.shown[id], self.peers[id]
        choices: list[tuple[str, Callable[[], Answer]]] = []
        if told.has_ready:
            choices.append(("ready", peer.work))
        if told.append_work:
            choices.append(("append", peer.append))
        if told.apply_work:
            choices.append(("apply", peer.apply))
        if choices:
            name, event = self.random.choice(choices)
            self._take(id, name, event())

    def propose(self) -> None:
        """A write."""
        id = self.leader() if self.random.random() < 0.7 else self.anybody()
        self._proposed += 1
        data = b"%d " % self._proposed + bytes(self.random.randrange(60))
        self._take(id, "propose", self.peers[id].propose(data))

    def read(self) -> None:
        """A read, with a context of any length that may be."""
        id = self.leader() if self.random.random() < 0.5 else self.anybody()
        self._read += 1
        length = self.random.choice((8, 8, 3, 7, 9, 64, 256))
        context = self._read.to_bytes(3) + bytes(length - 3)
        self.laws.asks(id, context)
        self._take(id, "read", self.peers[id].read(context))

    def change(self) -> None:
        """A membership change that leaves enough voters."""
        conf = self.laws.conf
        transition = self.random.choice(list(ConfChangeTransition))
        if conf.voters_outgoing:
            asked = ConfChangeV2()
        else:
            many = self.random.choice((1, 1, 2))
            kinds = (ADD_NODE, ADD_NODE, REMOVE_NODE, ADD_LEARNER_NODE)
            ids = self.random.sample(list(self.peers), many)
            asked = ConfChangeV2([ConfChangeSingle(self.random.choice(kinds), id) for id in ids], transition)
            following = oracle.change(conf, asked)
            if following is None or len(following.voters) < FEWEST_VOTERS:
                return
        id = self.leader()
        self.count("membership changes proposed")
        self._take(id, "change", self.peers[id].change(encode_conf_change_v2(asked)))

    def transfer(self) -> None:
        """Leadership is to go to somebody."""
        id, to = self.leader(), self.random.choice(self.laws.conf.voters)
        self.count("transfers asked for")
        self._take(id, f"transfer to {to}", self.peers[id].transfer(to))

    def campaign(self) -> None:
        """A node is told to stand for election."""
        id = self.anybody()
        self._take(id, "campaign", self.peers[id].campaign())

    def crash(self) -> None:
        """A node loses its memory and starts again."""
        id = self.anybody()
        self.laws.crashed(id)
        self.count("crashes")
        self._take(id, "restart", self.peers[id].restart())

    def compact(self) -> None:
        """A node makes a snapshot and forgets its log up to there."""
        self.make_snapshot(self.anybody())

    def make_snapshot(self, id: int) -> None:
        """Node `id` makes one of all that it has applied, unless there is one already."""
        record = self.laws.records[id]
        applied = min(self.shown[id].applied, record.applied)
        if record.applied != applied or applied <= record.base.metadata.index or record.state.commit < applied:
            return
        if applied not in record.terms:
            return
        self.finish_work(id)
        if record.applied != applied or applied not in record.terms:
            return
        self._compact(id, record)

    def _compact(self, id: int, record: Record) -> None:
        metadata = SnapshotMetadata(record.conf, record.applied, record.terms[record.applied])
        record.base = Snapshot(record.digest, metadata)
        record.terms = {index: term for index, term in record.terms.items() if index > metadata.index}
        self.count("snapshots made")
        self._take(id, "compact", self.peers[id].compact(metadata.index, record.conf, record.digest))

    def partition(self) -> None:
        """The network is cut between two parts, in one direction or both."""
        part = set(self.random.sample(list(self.peers), self.random.randrange(1, len(self.peers))))
        both = self.random.random() < 0.7
        self.cut = {
            (a, b) for a in self.peers for b in self.peers if (a in part) != (b in part) and (both or a in part)
        }
        self.count("partitions")

    def heal(self) -> None:
        """The network is whole again."""
        self.cut = set()

    # -- the end

    def calm_down(self) -> None:
        """No more faults; everything arrives in the order of its sending."""
        self.heal()
        self.loss = self.repeat = 0.0
        self.is_fifo = True

    def round(self, ticking: list[int]) -> None:
        """A tick of `ticking`, then all work and all messages until nothing is left, within a bound."""
        for id in ticking:
            self._take(id, "tick", self.peers[id].tick())
        for _ in range(2000):
            busy = [id for id, told in self.shown.items() if told.has_ready or told.append_work or told.apply_work]
            for id in busy:
                self.work_once(id)
            for id in sorted(self.owed):
                self.make_snapshot(id)
            self.owed.clear()
            if self.wire:
                self.deliver()
            elif not busy:
                return


_HAPPENINGS: Final[tuple[tuple[Callable[[Group], None], float], ...]] = (
    (Group.deliver, 100),
    (Group.work, 60),
    (Group.tick, 30),
    (Group.propose, 6),
    (Group.read, 4),
    (Group.change, 1.2),
    (Group.transfer, 0.6),
    (Group.campaign, 0.4),
    (Group.crash, 1.0),
    (Group.compact, 1.5),
    (Group.partition, 0.5),
    (Group.heal, 1.0),
)
