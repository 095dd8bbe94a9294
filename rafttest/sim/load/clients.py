"""Clients: each does one thing at a time to a map of a few keys, and notes when it asked and what it was told.

A write goes to any node, and again to others under the same number until it is acknowledged, a few times; a client that
gives up never learns whether it happened. A read goes to any node: it asks for a read index, waits until that is
applied there and reads the node's own machine. A read that gets no answer counts as nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pyraft import ProposalDroppedError, ReadDroppedError
from rafttest.linearizability import Get, Operation, Put
from rafttest.sim.checker.clients import KvOperation, check_linearizable
from rafttest.sim.cluster.state_machine import KvRequest
from rafttest.sim.context import Context
from rafttest.sim.node_view import NodeView
from rafttest.sim.schedule import TICK

_CLIENTS: Final = 5
_KEYS: Final = 4
_MOST: Final = 200
"""Operations in a history."""
_ATTEMPTS: Final = 4


class _Client:
    """Who it is, and what it waits for."""

    def __init__(self, id: int) -> None:
        self.id = id
        self.number = 0
        self.write: KvRequest | None = None
        self.key = 0
        self.read: bytes | None = None
        self.begin = 0
        self.attempts = 0
        self.may_have_happened = False
        self.is_patient = False
        """It does not give up."""

    def is_idle(self) -> bool:
        """True if nothing is under way."""
        return self.write is None and self.read is None


class Clients:
    """All clients of a simulation, and the history of what they saw. Times are counted in calls and answers, so that no
    two are equal.
    """

    def __init__(self, sim: Context) -> None:
        self.sim = sim
        self.clients = [_Client(id) for id in range(1, _CLIENTS + 1)]
        self.keys = sim.options.seed % _KEYS + 1
        self.history: list[KvOperation] = []
        self.acknowledged: dict[int, int] = {}
        """For each key, the highest index of a write that a client knows to have happened."""
        self._moment = 0
        self._writes: dict[bytes, _Client] = {}
        self._reads: dict[bytes, _Client] = {}
        self._sent = 0

    # -- what clients do

    def act(self, node: NodeView) -> None:
        """Some idle client does something, at `node` first."""
        random = self.sim.random
        client = random.choice(self.clients)
        if client.is_idle() and len(self.history) < _MOST:
            self._begin(client, node, random.randrange(self.keys), random.random() < 0.5)

    def read_key(self, node: NodeView, key: int) -> bytes | None:
        """Somebody reads at `node` and waits for as long as it takes; None if the node cannot take it."""
        client = _Client(0)
        client.is_patient = True
        self._begin(client, node, key, False)
        return client.read

    def waits_for(self, context: bytes) -> bool:
        """True until this read is answered."""
        return context in self._reads

    def busy(self) -> int:
        """How many clients wait for an answer."""
        return sum(not client.is_idle() for client in self.clients)

    def _begin(self, client: _Client, node: NodeView, key: int, is_write: bool) -> None:
        client.begin = self._tick()
        client.attempts = 0
        client.may_have_happened = False
        client.key = key
        if is_write:
            client.number += 1
            self._sent += 1
            client.write = KvRequest(client.id, client.number, key, self._sent)
            self._writes[client.write.encode()] = client
            self._try_write(client, client.number, node)
        else:
            self._try_read(client, node)

    def _try_write(self, client: _Client, number: int, node: NodeView) -> None:
        sim, request = self.sim, client.write
        if request is None or client.number != number:
            return
        data = request.encode()
        client.attempts += 1
        sim.note(f"put {node.id} {request}")
        self._later(client, lambda: self._retry_write(client, number))  # also if the node's disk fails at this moment
        if offer(sim, node, data):
            client.may_have_happened = True
            sim.count("client writes sent again", int(client.attempts > 1))
        node.settle()

    def _retry_write(self, client: _Client, number: int) -> None:
        request, sim = client.write, self.sim
        if request is None or client.number != number:
            return
        awake = [node for node in sim.up() if not node.is_paused()]
        if client.attempts < _ATTEMPTS and awake:
            self._try_write(client, number, sim.random.choice(awake))
            return
        del self._writes[request.encode()]
        if client.may_have_happened:
            self.history.append(Operation(Put(request.key, request.value), None, client.begin))
            sim.count("client writes without answer")
        client.write = None

    def _try_read(self, client: _Client, node: NodeView) -> None:
        sim = self.sim
        self._sent += 1
        context = b"get %d" % self._sent
        sim.note(f"get {node.id} {self._sent} {client.key}")
        if not ask(sim, node, context):
            return
        client.read = context
        self._reads[context] = client
        if not client.is_patient:
            self._later(client, lambda: self._give_up_read(context))
        node.settle()

    def _give_up_read(self, context: bytes) -> None:
        client = self._reads.pop(context, None)
        if client is not None:
            client.read = None
            self.sim.count("client reads without answer")

    def _later(self, client: _Client, action: Callable[[], None]) -> None:
        ticks = self.sim.options.election_tick * (2 if client.attempts < 2 else 1)
        self.sim.schedule.after(ticks * TICK, action)

    # -- what they are told

    def acknowledge(self, data: bytes) -> None:
        """A node that was given `data` has applied it."""
        client = self._writes.pop(data, None)
        if client is None or client.write is None:
            return
        key = client.write.key
        effect = self.sim.checker.once.effects[client.id, client.number]
        self.acknowledged[key] = max(self.acknowledged.get(key, 0), effect)
        self.history.append(Operation(Put(key, client.write.value), None, client.begin, self._tick()))
        self.sim.count("client writes acknowledged")
        client.write = None

    def confirm(self, node: NodeView, context: bytes, index: int) -> None:
        """`node` may answer this read once it has applied everything up to `index`."""
        if context in self._reads:
            if node.applied >= index:
                self.answer(node, context)
            else:
                node.reads_waiting.append((index, context))

    def serve(self, node: NodeView) -> None:
        """`node` has applied something; answer what waited for it."""
        still: list[tuple[int, bytes]] = []
        for index, context in node.reads_waiting:
            if node.applied >= index:
                self.answer(node, context)
            else:
                still.append((index, context))
        node.reads_waiting = still

    def answer(self, node: NodeView, context: bytes) -> None:
        """`node` reads its machine for a client that still waits."""
        client = self._reads.pop(context, None)
        if client is not None:
            value = node.machine.value(client.key)
            self.history.append(Operation(Get(client.key), value, client.begin, self._tick()))
            self.sim.count("client reads answered")
            client.read = None

    def _tick(self) -> int:
        self._moment += 1
        return self._moment

    # -- the end

    def check(self) -> None:
        """S18, about everything so far. A write under way may have happened."""
        under_way: list[KvOperation] = [
            Operation(Put(one.write.key, one.write.value), None, one.begin)
            for one in self.clients
            if one.write is not None and one.may_have_happened
        ]
        is_decided = check_linearizable([*self.history, *under_way])
        self.sim.count("histories checked" if is_decided else "histories undecided")


def offer(sim: Context, node: NodeView, data: bytes) -> bool:
    """Propose `data` at `node`, which will acknowledge it; False if it was dropped. The node is yet to be settled."""
    checker = sim.checker
    checker.proposed.add(data)
    checker.offered(node.id, data)
    try:
        node.raw.propose(data)
    except ProposalDroppedError as error:
        sim.count(f"proposals dropped: {error.reason.name}")
        return False
    node.waiting.add(data)
    sim.count("proposals")
    return True


def ask(sim: Context, node: NodeView, context: bytes) -> bool:
    """Ask `node` for a read index; False if it cannot take the question. The node is yet to be settled."""
    checker = sim.checker
    checker.read_invoked(node.id, context)
    try:
        node.asking_for_read()
        node.raw.read_index(context)
    except ReadDroppedError as error:
        sim.count(f"reads dropped: {error.reason.name}")
        del checker.read_floors[context]
        return False
    sim.count("reads")
    return True
