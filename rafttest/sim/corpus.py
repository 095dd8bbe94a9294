"""Corpus: runs that once broke a law. They come first wherever much is run, and each has a test.

A seed stands for a schedule only until the generator changes; the flaw itself is then held by the test that is named.
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
    story: str


CORPUS: Final = (
    Case(
        Run(941),
        "S16",
        "a copy of a forwarded MsgReadIndex came back to the node that had asked, which led by then and answered again",
    ),
    Case(Run(1194), "S16", "the same, after a restart of the node that had asked"),
    Case(Run(267), "S11", "the law asked a configuration that a received snapshot had replaced"),
    Case(Run(1154), "L9", "the law began to watch while the first entry of a new leader was under way"),
    Case(Run(4222), "L9", "the same, with asynchronous writes"),
    Case(Run(2541), "L2", "a copy that came very late held up a snapshot on a link that keeps its order"),
)
