"""`quorum`: the commit index that a leader finds when one follower has come further.

Shape: voters, check. An operation is one acknowledgement noted and the commit index asked for; each voter in turn gains
as many entries as there are voters, in an order that mixes them.
"""

from __future__ import annotations

from zlib import crc32

from sortedcontainers import SortedDict

from benchmarks.workloads.bench import MAX_INFLIGHT, Bench, Shape, WrongResultError
from pyraft.quorum import committed_index
from pyraft.tracker.configuration import Configuration
from pyraft.tracker.inflights import Inflights
from pyraft.tracker.progress import Progress
from pyraft.tracker.tracker import ProgressTracker

_STRIDE = 7
"""Prime to the numbers of voters that are measured."""


class Quorum(Bench):
    """What a leader knows of its followers."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.voters: int = shape["voters"]
        self.check = shape.get("check", 0) == 1
        ids = range(1, self.voters + 1)
        followers: SortedDict[int, Progress] = SortedDict()
        for id in ids:
            followers[id] = Progress(id, id, id + 1, Inflights(MAX_INFLIGHT, 0))
        self.tracker = ProgressTracker(MAX_INFLIGHT, 0)
        self.tracker.install(Configuration(ids), followers)
        self.peers: list[Progress] = list(followers.values())
        self.turn: int = 0
        self.committed: int = self.tracker.committed_index()

    def run(self, operations: int) -> None:
        tracker = self.tracker
        voters = self.voters
        for _ in range(operations):
            self.turn = (self.turn + _STRIDE) % voters
            self.peers[self.turn].match += voters
            self.committed = tracker.committed_index()
            if self.check:
                self.digest = crc32(self.committed.to_bytes(8, "big"), self.digest)

    def verify(self) -> None:
        acked = {one.id: one.match for one in self.peers}
        if self.committed != committed_index(tuple(acked), acked):
            raise WrongResultError(f"{self.committed} is not the commit index of {acked}")
