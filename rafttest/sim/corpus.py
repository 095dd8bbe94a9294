"""Corpus: runs that once broke a law. They come first wherever much is run, and each has a test.

A seed stands for a schedule only until the generator changes. What was added to it since a seed failed is left out of
its run, so that the schedule is the old one. The flaw itself is held by a test of its own:
`tests/sim/test_sim_alarms.py` for the laws and the generator, `tests/core/test_hostile_messages.py` and
`tests/core/test_core_membership.py` for the core.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rafttest.sim.shrink import Run


@dataclass(frozen=True, slots=True)
class Case:
    """A run, the law that it broke, and why."""

    run: Run
    law: str
    scenario: str


CORPUS: Final = (
    Case(
        Run(941),
        "S16",
        "a copy of a forwarded MsgReadIndex came back to the node that had asked, which led by then and answered again",
    ),
    Case(Run(1194, ("batch_append",)), "S16", "the same, after a restart of the node that had asked"),
    Case(Run(267), "S11", "the law asked a configuration that a received snapshot had replaced"),
    Case(
        Run(1154, ("promise_lease",)),
        "L9",
        "the law began to watch while the first entry of a new leader was under way",
    ),
    Case(Run(4222), "L9", "the same, with asynchronous writes"),
    Case(
        Run(31000586, ("knob_off",)),
        "S24",
        "a write that failed half-way left entries of a Ready without the snapshot before them",
    ),
    Case(Run(74000497), "S11", "as 267, before the Ready with the snapshot was handed out"),
    Case(Run(85000661), "S11", "the same"),
    Case(
        Run(74000032, ("batch_append",)),
        "S13",
        "a leader invited a node and was demoted by the entries applied before that left",
    ),
    Case(Run(74000186), "L6", "a transfer from before the faults ended changed the leader while reads were judged"),
    Case(
        Run(85000957, ("campaign",)),
        "L3",
        "leaving a joint configuration was dropped during a transfer, and not tried again (core)",
    ),
    Case(
        Run(2541, ("batch_append", "knob_off")),
        "L2",
        "a copy that came very late held up a snapshot on a link that keeps its order",
    ),
    Case(
        Run(543),
        "L9",
        "the law began to watch while the first entry of a new leader was not on its own disk yet",
    ),
    Case(
        Run(710004950),
        "L9",
        "a read of the disk failed inside status(), which hides it; the node stopped once faults were over",
    ),
    Case(
        Run(710005038),
        "L11",
        "one node alone could be elected, and without pre-vote the others raised the term before it for 20 timeouts",
    ),
)
