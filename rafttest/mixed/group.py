"""Group: the nodes of both libraries, the network between them, and what happens by chance.

There is no clock: one event follows another, each drawn from the seed, so that ticks, deliveries and pieces of storage
work come in any order and at any rate. Messages are bytes; each may be lost, delayed, repeated and overtaken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from random import Random
from typing import Final

from raftpb.codec import decode_message, encode_conf_change, encode_conf_change_v2
from raftpb.confchange import ConfChange, ConfChangeSingle, ConfChangeV2
from raftpb.enums import ADD_LEARNER_NODE, ADD_NODE, MSG_SNAP, REMOVE_NODE, TRANSITION_AUTO, ConfChangeTransition
from raftpb.message import Snapshot, SnapshotMetadata
from rafttest.mixed.coverage import crossing
from rafttest.mixed.go_process import GoProcessError
from rafttest.mixed.laws import GroupHistory, LawError, Laws
from rafttest.mixed.peer import LEADER, Answer, MixedNode, MixedSettings
from rafttest.mixed.python_node import PythonNode
from rafttest.sim.checker import oracle

FEWEST_VOTERS: Final = 3
"""The reference answers the reads of a lone voter at once, also right after a restart, so there are always more."""
_MOST_UNDER_WAY: Final = 300
_MOST_PIECES: Final = 2000
"""Pieces of work, or messages, in one round."""
_KEPT_EVENTS: Final = 40


class Group:
    """The nodes, by id; not all of them are members at first. `start`: what the founding members begin with."""

    def __init__(
        self, random: Random, peers: dict[int, MixedNode], start: Snapshot, settings: dict[int, MixedSettings]
    ) -> None:
        self.random = random
        self.peers = peers
        self.settings = settings
        self.start = start
        self.laws = Laws(start)
        self.shown: dict[int, Answer] = {}
        self.wire: list[tuple[int, int, bytes]] = []
        self.cut: set[tuple[int, int]] = set()
        self.loss = 0.0
        self.repeat = 0.0
        self.is_fifo = False
        self.has_leases = False
        """Nodes of this library answer reads by lease. Then all nodes tick together, a message takes no time, and no
        node of the other library restarts or is told to campaign: those forget what they have promised.
        """
        self.answered: set[int] = set()
        """Nodes that have answered a read since faults ended."""
        self.stopped: set[int] = set()
        """Nodes that nothing reaches, and that reach nobody, for good."""
        self.events = 0
        self.counts: dict[str, int] = {}
        self.owed: set[int] = set()
        """Who has sent a snapshot from before its receiver joined, and owes the group a newer one."""
        self.recent: list[str] = []
        self._hash = hashlib.blake2b(digest_size=16)
        self._proposed = 0
        self._read = 0

    def found(self) -> None:
        """Start all nodes. Raises LawError."""
        for id in self.peers:
            self._start(id)

    def _start(self, id: int) -> None:
        peer, snapshot = self.peers[id], self.start if id in self.start.metadata.conf_state.voters else None
        self.laws.join(id, snapshot, isinstance(peer, PythonNode))
        self._take(id, "start", lambda: peer.start(id, self.settings[id], snapshot))

    # -- bookkeeping

    def count(self, what: str, many: int = 1) -> None:
        """Something was reached."""
        if many:
            self.counts[what] = self.counts.get(what, 0) + many

    def trace_hash(self) -> str:
        """Of every event and what came of it."""
        return self._hash.hexdigest()

    def _take(self, id: int, event: str, call: Callable[[], Answer], is_delivery: bool = False) -> None:
        """Let an event happen at node `id`, judge its answer, and send what it wants sent. Raises LawError."""
        self.events += 1
        try:
            told = call()
        except GoProcessError:
            raise
        except Exception as error:  # a node of this library: as a panic is of the other
            told = Answer(panic=f"{type(error).__name__}: {error}")
        line = (
            f"{event} {id}: {told.panic or told.error or 'ok'} role={told.role} term={told.term} commit={told.commit} "
            f"applied={told.applied} last={told.last} sends={len(told.messages)}"
        )
        self._hash.update(line.encode() + b"".join(told.messages))
        self.recent.append(line)
        del self.recent[:-_KEPT_EVENTS]
        before = self.shown.get(id)
        self.shown[id] = told
        self.laws.judge(id, told, is_delivery)
        peer = self.peers[id]
        if isinstance(peer, PythonNode) and peer.suspects():
            raise LawError("health", f"node {id} suspects: {peer.suspects()}")
        self._count_answer(peer.library, told, before)
        if told.reads:
            self.answered.add(id)
        for data in told.messages:
            m = decode_message(data)
            if m.to in self.peers:
                self.wire.append((id, m.to, data))
            if m.snapshot is not None and m.to not in oracle.members_of(m.snapshot.metadata.conf_state):
                self.owed.add(id)  # the receiver will ignore it: a newer one has to be made
        while len(self.wire) > _MOST_UNDER_WAY:
            self._lose(self.random.randrange(len(self.wire)))

    def _count_answer(self, library: str, told: Answer, before: Answer | None) -> None:
        if told.error:
            self.count("refused: " + told.error.partition(": Msg")[0])
        if told.role == LEADER and (before is None or before.role != LEADER or before.term != told.term):
            self.count(f"elections won by {library}")
            self.count("elections in a joint configuration", int(bool(self.laws.conf.voters_outgoing)))
        self.count(f"snapshots installed by {library}", int(told.snapshot is not None))
        self.count(f"membership changes applied by {library}", len(told.confs))
        self.count("joint configurations", sum(bool(conf.voters_outgoing) for conf in told.confs))
        self.count("configurations with learners", sum(bool(conf.learners) for conf in told.confs))
        self.count(f"reads answered by {library}", len(told.reads))
        if self.has_leases:
            self.count(f"reads answered by {library} beside leases", len(told.reads))

    # -- the network

    def deliver(self) -> None:
        """A message arrives, or is lost."""
        if not self.wire:
            return
        at = 0 if self.is_fifo else self.random.randrange(len(self.wire))
        from_, to, data = self.wire[at]
        if (from_, to) in self.cut or self.stopped & {from_, to} or self.random.random() < self.loss:
            self._lose(at)
            return
        if self.random.random() >= self.repeat:
            del self.wire[at]
        else:
            self.count("messages repeated")
        self.arrive(from_, to, data)

    def arrive(self, from_: int, to: int, data: bytes) -> None:
        """Node `to` takes a message."""
        m, peer = decode_message(data), self.peers[to]
        if m.type is MSG_SNAP:
            self.finish_work(to)
        if self.peers[from_].library != peer.library:
            self.count(crossing(m.type, peer.library))
        self._take(to, f"deliver {m.type} {from_}->{to} term {m.term}", lambda: peer.step(data), is_delivery=True)
        if m.type is MSG_SNAP:
            self._take(from_, "snapshot sent", lambda: self.peers[from_].report_snapshot(to, False))

    def _lose(self, at: int) -> None:
        from_, to, data = self.wire.pop(at)
        self.count("messages lost")
        if decode_message(data).type is MSG_SNAP:
            self._take(from_, "snapshot lost", lambda: self.peers[from_].report_snapshot(to, True))
        elif self.random.random() < 0.1:
            self._take(from_, "unreachable", lambda: self.peers[from_].report_unreachable(to))

    def finish_work(self, id: int) -> None:
        """Do what the storage threads of a node have still to do: a received snapshot must not overtake an apply."""
        while self.shown[id].append_work or self.shown[id].apply_work:
            self.work_once(id)

    # -- what happens

    def happen(self) -> None:
        """One event, by chance."""
        self._pay_snapshots()
        kinds, weights = zip(*(_WITH_LEASES if self.has_leases else _HAPPENINGS), strict=True)
        kind: Callable[[Group], None] = self.random.choices(kinds, weights)[0]
        kind(self)

    def _pay_snapshots(self) -> None:
        for id in sorted(self.owed):
            self.make_snapshot(id)
        self.owed.clear()

    def anybody(self) -> int:
        """Some node."""
        return self.random.choice(list(self.peers))

    def one_to_upset(self) -> int:
        """Some node that may restart or campaign; 0: none."""
        able = [id for id, peer in self.peers.items() if not self.has_leases or isinstance(peer, PythonNode)]
        return self.random.choice(able) if able else 0

    def leader(self) -> int:
        """The leader of the highest term, or anybody."""
        return self.latest_leader() or self.anybody()

    def latest_leader(self) -> int:
        """The leader of the highest term among those that are not stopped; 0: nobody leads."""
        leading = [(told.term, id) for id, told in self.shown.items() if told.role == LEADER and id not in self.stopped]
        return max(leading)[1] if leading else 0

    def tick(self) -> None:
        """Time passes for somebody."""
        id = self.anybody()
        self._take(id, "tick", self.peers[id].tick)

    def work(self) -> None:
        """Somebody does a piece of its work."""
        busy = self._busy()
        if busy:
            self.work_once(self.random.choice(busy))

    def _busy(self) -> list[int]:
        return [id for id, told in self.shown.items() if told.has_ready or told.append_work or told.apply_work]

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
            self._take(id, name, event)

    def propose(self) -> None:
        """A write."""
        id = self.leader() if self.random.random() < 0.7 else self.anybody()
        self._proposed += 1
        size = self.random.choice((0, 1, 30, 100, 2000))
        self.write(id, b"%d " % self._proposed + bytes(self.random.randrange(1 + size)))

    def write(self, id: int, data: bytes) -> None:
        """Node `id` is to propose `data`."""
        self._take(id, "propose", lambda: self.peers[id].propose(data))

    def read(self) -> None:
        """A read."""
        self.read_at(self.leader() if self.random.random() < 0.5 else self.anybody())

    def read_at(self, id: int) -> None:
        """Node `id` is asked for a read, with a context of any length that may be, and unlike all others."""
        self._read += 1
        number = self._read.to_bytes(1 + self._read.bit_length() // 8)
        length = self.random.choice((1, 2, 7, 8, 9, 16, 64, 255, 256))
        context = number + bytes(max(0, length - len(number)))
        self.laws.asks(id, context)
        self._take(id, "read", lambda: self.peers[id].read(context))

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
        if len(asked.changes) == 1 and transition is TRANSITION_AUTO and self.random.random() < 0.7:
            self.count("membership changes proposed: simple, as V1")
            (only,) = asked.changes
            first = encode_conf_change(ConfChange(type=only.type, node_id=only.node_id))
            self._take(id, "change", lambda: self.peers[id].change_v1(first))
            return
        self.count("membership changes proposed: as V2")
        self._take(id, "change", lambda: self.peers[id].change(encode_conf_change_v2(asked)))

    def transfer(self) -> None:
        """Leadership is to go to somebody."""
        id, to = self.leader(), self.random.choice(self.laws.conf.voters)
        self.count("transfers asked for")
        self._take(id, f"transfer to {to}", lambda: self.peers[id].transfer(to))

    def campaign(self) -> None:
        """A node is told to stand for election."""
        if id := self.one_to_upset():
            self._take(id, "campaign", self.peers[id].campaign)

    def forget_leader(self) -> None:
        """A node is told that its leader is dead."""
        id = self.anybody()
        self._take(id, "forget leader", self.peers[id].forget_leader)

    def crash(self) -> None:
        """A node loses its memory and starts again, perhaps after it wrote a Ready and sent a part of its messages."""
        if not (id := self.one_to_upset()):
            return
        if self.shown[id].has_ready and self.random.random() < 0.5:
            self._take(id, "ready, and crash", lambda: self._interrupted(id))
            self.count("crashes in a Ready")
        self.laws.crashed(id)
        self.count("crashes")
        self._take(id, "restart", self.peers[id].restart)

    def _interrupted(self, id: int) -> Answer:
        told = self.peers[id].work()
        del told.messages[self.random.randrange(1 + len(told.messages)) :]
        return told

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

    def _compact(self, id: int, record: GroupHistory) -> None:
        metadata = SnapshotMetadata(record.conf, record.applied, record.terms[record.applied])
        record.base = Snapshot(record.digest, metadata)
        record.terms = {index: term for index, term in record.terms.items() if index > metadata.index}
        self.count("snapshots made")
        self._take(id, "compact", lambda: self.peers[id].compact(metadata.index, record.conf, record.digest))

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

    # -- rounds

    def calm_down(self) -> None:
        """No more faults; everything arrives in the order of its sending."""
        self.heal()
        self.loss = self.repeat = 0.0
        self.is_fifo = True
        self.answered.clear()

    def stop_strangers(self) -> None:
        """Whoever is no member is stopped."""
        self.stopped = {*self.peers} - {*oracle.members_of(self.laws.conf)}

    def tick_all(self) -> None:
        """A tick of all, then all work and all messages until nothing is left, within a bound."""
        for id, peer in self.peers.items():
            if id not in self.stopped:
                self._take(id, "tick", peer.tick)
        for _ in range(_MOST_PIECES):
            busy = self._busy()
            for id in busy:
                self.work_once(id)
            self._pay_snapshots()
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
    (Group.forget_leader, 0.3),
    (Group.crash, 1.0),
    (Group.compact, 1.5),
    (Group.partition, 0.5),
    (Group.heal, 1.0),
)
_WITH_LEASES: Final[tuple[tuple[Callable[[Group], None], float], ...]] = (
    (Group.deliver, 60),
    (Group.work, 60),
    (Group.tick_all, 20),
    (Group.propose, 10),
    (Group.read, 20),
    (Group.change, 1.5),
    (Group.transfer, 2),
    (Group.campaign, 1),
    (Group.crash, 1.5),
    (Group.compact, 1),
    (Group.partition, 4),
    (Group.heal, 2),
)
"""Where nodes read by lease."""
