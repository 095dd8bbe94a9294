"""What clients may see: S18, S19 and S20, told by what they asked and were answered, and by what the machines did.

S18 the history of each key is linearizable · S19 no request changes the state twice, and no proposal is in the log
more often than it was given to a leader · S20 what was acknowledged is kept
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping

from rafttest.linearizability import Finding, Get, KeyValue, Operation, Put, Verdict, check
from rafttest.sim.checker.violation import Violation

KvOperation = Operation[Put | Get, Hashable]


class Once:
    """S19, judged as it happens."""

    def __init__(self) -> None:
        self.offers: dict[bytes, int] = {}
        """How often a proposal was given to a leader: by its application, or in a message, which may be a copy."""
        self.commits: dict[bytes, int] = {}
        self.effects: dict[tuple[int, int], int] = {}
        """The index at which a request changed the state, by client and number."""

    def offered(self, data: bytes) -> None:
        """A leader is given a proposal."""
        self.offers[data] = self.offers.get(data, 0) + 1

    def committed(self, index: int, data: bytes) -> None:
        """It is committed once more."""
        times = self.commits[data] = self.commits.get(data, 0) + 1
        if times > self.offers.get(data, 0):
            offers = self.offers.get(data, 0)
            raise Violation("S19", f"{data!r} was given to leaders {offers} times; {index} is its entry number {times}")

    def took_effect(self, n: int, index: int, client: int, number: int) -> None:
        """On node `n`, the entry at `index` changed the state for this request."""
        first = self.effects.setdefault((client, number), index)
        if first != index:
            raise Violation(
                "S19", f"request {number} of client {client} took effect at {first}, and at {index} on node {n}"
            )


def check_linearizable(history: Iterable[KvOperation], budget: int = 200_000) -> bool:
    """S18; False if it could not be decided. A write without answer whose value nobody read may as well not have
    happened, and is left out: every order with it is one without it.
    """
    operations = list(history)
    seen = {(one.call.key, one.result) for one in operations if isinstance(one.call, Get)}
    told = [
        one
        for one in operations
        if not one.is_open() or (isinstance(one.call, Put) and (one.call.key, one.call.value) in seen)
    ]
    finding = check(KeyValue(), told, budget)
    if finding.verdict is Verdict.ILLEGAL:
        raise Violation("S18", _explain(finding))
    return finding.verdict is Verdict.LEGAL


def check_kept(
    acknowledged: Mapping[int, int], machines: Mapping[int, Mapping[int, tuple[int, int]]], lost: Iterable[bytes] = ()
) -> None:
    """S20: no acknowledged proposal is `lost`; and of each key, every node has the value of the highest index that was
    `acknowledged`, or a later one.
    """
    missing = sorted(lost)
    if missing:
        raise Violation("S20", f"acknowledged and lost: {missing}")
    for n, values in machines.items():
        for key, index in acknowledged.items():
            _, there = values.get(key, (None, 0))
            if there < index:
                raise Violation("S20", f"key {key} was acknowledged at {index}; node {n} has it from {there}")


def _explain(finding: Finding[Put | Get, Hashable]) -> str:
    done = ", ".join(_describe(one) for one in finding.done[-6:])
    stuck = ", ".join(_describe(one) for one in finding.stuck[:6])
    return f"key {finding.key}: after {len(finding.done)} operations ({done}) none of these is possible: {stuck}"


def _describe(one: KvOperation) -> str:
    what = f"put {one.call.value}" if isinstance(one.call, Put) else f"get {one.result}"
    return f"{what} [{one.begin:g}, {one.end:g}]"
