"""Planted bugs of an application: the clients' history tells of them, though no node does anything wrong."""

from __future__ import annotations

import pytest

from rafttest.sim.cluster.node import SimNode
from rafttest.sim.cluster.state_machine import KvRequest, Machine
from rafttest.sim.load.clients import Clients, _Client
from rafttest.sim.run import run

SEEDS = range(1, 9)


def laws_broken() -> set[str]:
    """By the first of a few seeds that breaks any."""
    return next(({result.violation.law} for seed in SEEDS if (result := run(seed)).violation is not None), set())


def test_a_read_of_what_happens_to_be_there_is_not_linearizable(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not ask for a read index, while faults go on."""
    ask = Clients._try_read

    def read_at_once(self: Clients, client: _Client, node: SimNode) -> None:
        if self.sim.is_calm:
            ask(self, client, node)
            return
        self._reads[b"now"], client.read = client, b"now"
        self.answer(node, b"now")

    monkeypatch.setattr(Clients, "_try_read", read_at_once)
    assert laws_broken() == {"S18"}


def test_a_write_that_was_only_proposed_is_not_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The application says that it is done as soon as it is in somebody's hands."""

    def write_at_once(self: Clients, client: _Client, number: int, node: SimNode) -> None:
        if client.write is not None:
            data = client.write.encode()
            self.sim.checker.once.effects[client.id, number] = self.sim.checker.highest
            self.acknowledge(data)

    monkeypatch.setattr(Clients, "_try_write", write_at_once)
    assert laws_broken() == {"S20"}


def test_without_sessions_a_repeated_request_has_two_effects(monkeypatch: pytest.MonkeyPatch) -> None:
    def take(self: Machine, request: KvRequest, index: int) -> bool:
        self.values[request.key] = (request.value, index)
        return True

    monkeypatch.setattr(Machine, "take", take)
    assert laws_broken() == {"S19"}
