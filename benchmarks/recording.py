"""What the flight recorder costs: raftexample under load, without and with `--record`, in turns.

    python -m benchmarks.recording --seconds 4 --rounds 7

Two clusters of three real processes on loopback run at the same time; only one is under load. Each round measures both,
the first one first in every other round, so that what the machine does meanwhile hits both alike. The table has the
medians over the rounds and the median of the ratios within a round. Throughput is what the clients see, and they take
their share of the processors; the processor time that the nodes take for a write, from /proc, tells more where many
things run at once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from examples.raftexample.client import Client
from examples.raftexample.cluster_processes import ClusterProcesses
from examples.raftexample.load import Load
from rafttest.cli.progress_bar import ProgressBar

WARM_UP_SECONDS = 1.0


@dataclass(frozen=True)
class Slice:
    """One cluster in one round."""

    writes: int
    seconds: float
    cpu_seconds: float

    @property
    def writes_a_second(self) -> float:
        return self.writes / self.seconds

    @property
    def cpu_milliseconds_a_write(self) -> float:
        """Of all nodes together."""
        return 1000 * self.cpu_seconds / self.writes


class PaddedLoad(Load):
    """Load whose values have a length."""

    def __init__(self, cluster: ClusterProcesses, client: Client, value_bytes: int) -> None:
        super().__init__(_Padding(client, value_bytes), cluster.running, random.Random(1))


class _Padding:
    """Puts values with a tail, and takes it off when they are read."""

    def __init__(self, client: Client, value_bytes: int) -> None:
        self._client = client
        self._value_bytes = value_bytes

    async def put(self, node: int, key: str, value: bytes) -> None:
        await self._client.put(node, key, value.ljust(self._value_bytes, b"."))

    async def get(self, node: int, key: str, *, stale: bool = False) -> bytes | None:
        value = await self._client.get(node, key, stale=stale)
        return None if value is None else value.rstrip(b".")


def cpu_seconds(cluster: ClusterProcesses) -> float:
    """Processor time that the nodes have taken so far; 0 where there is no /proc."""
    ticks = 0
    for node in cluster.nodes.values():
        if node.process is None:
            continue
        try:
            fields = Path(f"/proc/{node.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def put_under_load(cluster: ClusterProcesses, client: Client, options: argparse.Namespace) -> Slice:
    """One slice."""
    async with PaddedLoad(cluster, client, options.value_bytes) as load:
        load.begin(options.writers, 0)
        await asyncio.sleep(WARM_UP_SECONDS)
        cpu, writes, began = cpu_seconds(cluster), load.counts.writes, time.monotonic()
        await asyncio.sleep(options.seconds)
        result = Slice(load.counts.writes - writes, time.monotonic() - began, cpu_seconds(cluster) - cpu)
        cluster.check()
        load.check()
        if result.writes == 0 or load.violations:
            raise RuntimeError(f"nothing was measured: {load.counts} {load.violations}")
    return result


async def measure(directory: Path, options: argparse.Namespace) -> tuple[list[Slice], list[Slice]]:
    """All rounds: without, and with recording."""
    plain: list[Slice] = []
    recorded: list[Slice] = []
    (directory / "plain").mkdir()
    (directory / "recorded").mkdir()
    progress = ProgressBar(2 * options.rounds, sys.stderr)
    with ExitStack() as stack:
        first = stack.enter_context(ClusterProcesses(directory / "plain"))
        second = stack.enter_context(
            ClusterProcesses(directory / "recorded", 3, ["--record", str(directory / "recording")])
        )
        async with Client(first.urls) as first_client, Client(second.urls) as second_client:
            sides = [(first, first_client, plain, "without"), (second, second_client, recorded, "with recording")]
            for cluster, client, _, _ in sides:
                cluster.start_all()
                await cluster.wait_for_leader(client)
            for round in range(options.rounds):
                for cluster, client, slices, name in sides if round % 2 == 0 else reversed(sides):
                    progress.show(name)
                    slices.append(await put_under_load(cluster, client, options))
                    progress.advance()
    progress.clear()
    return plain, recorded


def report(plain: Sequence[Slice], recorded: Sequence[Slice], recording_bytes: int) -> None:
    """Print the table."""
    print(f"{'':28}{'without':>12}{'recorded':>12}{'ratio':>8}")
    rows = [("writes a second", [one.writes_a_second for one in plain], [one.writes_a_second for one in recorded])]
    if all(one.cpu_seconds > 0 for one in [*plain, *recorded]):
        rows.append(
            (
                "CPU ms of the nodes a write",
                [one.cpu_milliseconds_a_write for one in plain],
                [one.cpu_milliseconds_a_write for one in recorded],
            )
        )
    for name, without, with_it in rows:
        ratio = statistics.median([b / a for a, b in zip(without, with_it, strict=True)])
        print(f"{name:28}{statistics.median(without):>12.2f}{statistics.median(with_it):>12.2f}{ratio:>8.3f}")
    print(f"the recordings of three nodes have {recording_bytes} bytes")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recording", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each cluster is measured in a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--writers", type=int, default=32, help="clients that write without pause")
    parser.add_argument("--value-bytes", type=int, default=0, help="how long values are at least")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print."""
    options = parse(arguments)
    with tempfile.TemporaryDirectory(prefix="recording-") as name:
        directory = Path(name)
        plain, recorded = asyncio.run(measure(directory, options))
        size = sum(file.stat().st_size for file in (directory / "recording").iterdir())
    report(plain, recorded, size)
    return 0


if __name__ == "__main__":
    sys.exit(main())
