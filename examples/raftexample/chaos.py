"""Kill -9 of random nodes under load, until it is certain enough that nothing is lost.

python -m examples.raftexample.chaos [--kills 50] [--seed S] [--nodes 3] [--tick-ms 50] [--directory D]

Real processes on loopback, clients that write and read without pause. Between kills nodes are paused, too, so that a
leader wakes up which has long been replaced. Checked: every write that was acknowledged is there, reads are
linearizable (see `examples.raftexample.load`), the cluster goes on serving, no node ends by itself, and all nodes end
equal. Exits 1 with the evidence otherwise, and leaves the directories and logs of the nodes.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from examples.raftexample.client import Client, ProtocolError
from examples.raftexample.cluster_processes import ClusterProcesses, NodeDiedError
from examples.raftexample.load import Load

SERVES_AGAIN_SECONDS = 30.0
"""How long a cluster whose nodes all run may take to acknowledge a write."""

_CLIENT_SECONDS = 6.0
_SNAPSHOT_ENTRIES = 100
"""Few, so that a node that was away for a second may have to catch up by snapshot."""


class FailedError(Exception):
    """Something is not as promised; the text is the evidence."""


class Chaos:
    """The one who kills, and the one who counts."""

    def __init__(self, cluster: ClusterProcesses, client: Client, load: Load, rng: random.Random) -> None:
        self.cluster = cluster
        self.client = client
        self.load = load
        self.rng = rng
        self.kills = 0
        self.pauses = 0
        self.longest_gap = 0.0
        self._began = time.monotonic()

    async def run(self, kills: int) -> None:
        """Kill `kills` times, then let it come to rest and check everything."""
        self.cluster.start_all()
        await self.cluster.wait_for_leader(self.client)
        self.load.begin(writers=4 * len(self.cluster.nodes), readers=4 * len(self.cluster.nodes))
        await self._wait_for_writes(50)
        while self.kills < kills:
            if self.rng.random() < 0.2:
                await self._pause_one()
            else:
                await self._kill_some(kills - self.kills)
            self._tell()
            await self._wait_for_writes(self.rng.choice([1, 20, 100]))
        await self.load.end()
        self._check_load()
        await self._check_rest()

    async def _kill_some(self, at_most: int) -> None:
        """Kill one node or, rarely, more than one; start them again a little later."""
        many = self.rng.choices([1, 2, len(self.cluster.nodes)], [80, 15, 5])[0]
        victims = await self._choose(min(many, at_most, len(self.cluster.nodes)))
        for victim in victims:
            self.cluster.kill(victim)
            self.kills += 1
        for victim in victims:
            await asyncio.sleep(self.rng.choice([0.0, 0.3, 1.0]) * self.rng.random())
            self.cluster.start(victim)

    async def _pause_one(self) -> None:
        """Stop a node for longer than an election takes; it wakes up believing what it believed before."""
        (victim,) = await self._choose(1)
        self.cluster.pause(victim)
        self.pauses += 1
        await asyncio.sleep(0.5 + 2.0 * self.rng.random())
        self.cluster.resume(victim)

    async def _choose(self, count: int) -> list[int]:
        """Random nodes, the leader more often than not."""
        told = await self.cluster.statuses(self.client)
        ids = list(self.cluster.nodes)
        leader = next((id for id, status in told.items() if status.leader == id), None)
        if leader is None or self.rng.random() < 0.4:
            return self.rng.sample(ids, count)
        ids.remove(leader)
        return [leader, *self.rng.sample(ids, count - 1)]

    async def _wait_for_writes(self, count: int) -> None:
        """Until so many more writes have been acknowledged; by nodes that all run again, this must not take long."""
        counts = self.load.counts
        goal = counts.writes + count
        began = time.monotonic()
        seen = counts.writes
        while counts.writes < goal:
            self._check_load()
            if counts.writes > seen:
                seen = counts.writes
                began = time.monotonic()
            if time.monotonic() - began > SERVES_AGAIN_SECONDS:
                told = await self.cluster.statuses(self.client)
                raise FailedError(f"no write was acknowledged for {SERVES_AGAIN_SECONDS:.0f} s: {list(told.values())}")
            self.longest_gap = max(self.longest_gap, time.monotonic() - counts.last_write)
            await asyncio.sleep(0.01)

    def _check_load(self) -> None:
        self.cluster.check()
        self.load.check()
        if self.load.violations:
            raise FailedError("\n".join(self.load.violations[:10]))

    async def _check_rest(self) -> None:
        """The load has ended: check that all nodes have the same, and that all of it is there."""
        leader = await self.cluster.wait_for_leader(self.client)
        status = await self.cluster.wait_until_equal(self.client)
        keys = await self.load.check_everything(list(self.cluster.nodes))
        self._check_load()
        counts = self.load.counts
        print(
            f"{self.kills} kills, {self.pauses} pauses in {time.monotonic() - self._began:.0f} s; "
            f"node {leader} leads in term {status.term}\n"
            f"{counts.writes} writes acknowledged, {counts.refused} refused, {counts.unknown} of unknown outcome: "
            f"all {keys} keys are as they must be, on every node\n"
            f"{counts.reads} linearizable reads, none stale\n"
            f"the longest time without an acknowledged write was {self.longest_gap:.1f} s\n"
            f"all nodes are equal at index {status.applied}: {status.digest}; the log begins at {status.first_index}"
        )

    def _tell(self) -> None:
        counts = self.load.counts
        print(
            f"{time.monotonic() - self._began:6.1f} s  {self.kills:3} kills {self.pauses:3} pauses  "
            f"{counts.writes:6} writes {counts.reads:6} reads  {counts.unknown:4} unknown",
            flush=True,
        )


async def run(directory: Path, nodes: int, kills: int, seed: int, tick_ms: int) -> None:
    """Raises FailedError, NodeDiedError, TimeoutError or ProtocolError if anything is not as promised."""
    rng = random.Random(seed)
    options = ["--snapshot-count", str(_SNAPSHOT_ENTRIES), "--tick-ms", str(tick_ms)]
    with ClusterProcesses(directory, nodes, options) as cluster:
        async with (
            Client(cluster.urls, seconds=_CLIENT_SECONDS) as client,
            Load(client, lambda: list(cluster.nodes), rng) as load,
        ):
            await Chaos(cluster, client, load, rng).run(kills)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 if everything is as promised."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.raftexample.chaos", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--kills", type=int, default=50, help="how many (default: 50)")
    parser.add_argument("--seed", type=int, help="of the choices that are made here; the rest is up to the machine")
    parser.add_argument("--nodes", type=int, default=3, help="how many (default: 3)")
    parser.add_argument("--tick-ms", type=int, default=50, help="elections take 10 to 20 of these (default: 50)")
    parser.add_argument("--directory", type=Path, help="where to keep the nodes' files (default: a new one in /tmp)")
    asked = parser.parse_args(arguments)
    if asked.kills < 0 or asked.nodes < 1:
        parser.error("there must be something to kill")
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(2**32)
    directory = asked.directory or Path(tempfile.mkdtemp(prefix="raftexample-chaos-"))
    directory.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, _exit)
    print(f"{asked.nodes} nodes, {asked.kills} kills, seed {seed}, files in {directory}", flush=True)
    try:
        asyncio.run(run(directory, asked.nodes, asked.kills, seed, asked.tick_ms))
    except (FailedError, NodeDiedError, ProtocolError, TimeoutError) as error:
        print(f"\nNOT SO (seed {seed}, logs in {directory}):\n{type(error).__name__}: {error}", flush=True)
        return 1
    if asked.directory is None:
        shutil.rmtree(directory)
    return 0


def _exit(number: int, _: FrameType | None) -> None:
    """Leave the `with` blocks in order, so that no process stays behind."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
