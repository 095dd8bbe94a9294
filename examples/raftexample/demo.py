"""`make demo`: three processes keep a store between them, and one after the other is killed.

What the scenario claims is checked, and the exit code is 1 if anything is not so.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from examples.raftexample.client import Client, ProtocolError, RefusedError, UnknownOutcomeError
from examples.raftexample.cluster_processes import ClusterProcesses, NodeDiedError
from examples.raftexample.load import Load

NODES = 3
FAIL_OVER_SECONDS = 10.0
"""An election takes one to two seconds; a machine that is busy with other things may double that, and more."""


class Scenario:
    """The teller: prints what happens, and remembers what turned out not to be so."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def chapter(self, text: str) -> None:
        """What happens next."""
        print(f"\n{text}", flush=True)

    def tell(self, text: str) -> None:
        """A line of the scenario."""
        print(f"  {text}", flush=True)

    def check(self, claim: str, holds: bool) -> None:
        """A claim, and whether it holds."""
        print(f"  {'ok ' if holds else 'NOT SO'} {claim}", flush=True)
        if not holds:
            self.failures.append(claim)


class Demo:
    """The three nodes, their clients, and what becomes of them."""

    def __init__(self, scenario: Scenario, cluster: ClusterProcesses, client: Client, load: Load) -> None:
        self.scenario = scenario
        self.cluster = cluster
        self.client = client
        self.load = load

    async def run(self) -> None:
        """The whole scenario."""
        await self.start()
        await self.use()
        leader = await self.work()
        await self.lose(leader)
        await self.come_back(leader)
        await self.compare()
        await self.black_out()
        self.leave()

    async def start(self) -> None:
        """Three processes, and an election."""
        scenario, cluster = self.scenario, self.cluster
        scenario.chapter(f"{NODES} processes start, each with a directory of its own.")
        began = time.monotonic()
        cluster.start_all()
        for node in cluster.nodes.values():
            scenario.tell(f"node {node.id} (pid {_pid(cluster, node.id)}) serves {node.url}")
        leader = await cluster.wait_for_leader(self.client)
        status = await self.client.status(leader)
        seconds = time.monotonic() - began
        scenario.tell(f"After {seconds:.1f} s they have elected node {leader} to lead them, in term {status.term}.")

    async def use(self) -> None:
        """Any node takes any request."""
        scenario, client = self.scenario, self.client
        scenario.chapter("Any node takes any request.")
        await client.put(1, "colour", b"green")
        told = await client.get(2, "colour")
        scenario.check(f"PUT /colour on node 1, GET /colour on node 2: {_show(told)}", told == b"green")
        await client.put(3, "colour", b"blue")
        told = await client.get(1, "colour")
        scenario.check(f"PUT /colour on node 3, GET /colour on node 1: {_show(told)}", told == b"blue")
        await client.delete(2, "colour")
        told = await client.get(3, "colour")
        scenario.check(f"DELETE /colour on node 2, GET /colour on node 3: {_show(told)}", told is None)

    async def work(self) -> int:
        """A load that goes on through all that follows; returns who leads."""
        scenario, load = self.scenario, self.load
        scenario.chapter("Twelve clients now write and read without pause, on all nodes, and check every answer.")
        load.begin(writers=6, readers=6)
        began = time.monotonic()
        await self.pass_time(2.5)
        seconds = time.monotonic() - began
        scenario.tell(
            f"{load.counts.writes / seconds:.0f} durable writes and {load.counts.reads / seconds:.0f} reads a second."
        )
        return await self.cluster.wait_for_leader(self.client)

    async def lose(self, leader: int) -> None:
        """The leader is killed; the others go on."""
        scenario, cluster, load = self.scenario, self.cluster, self.load
        term = (await self.client.status(leader)).term
        scenario.chapter(
            f"kill -9 {_pid(cluster, leader)}: that was node {leader}, the leader, in the middle of its work."
        )
        cluster.kill(leader)
        killed = time.monotonic()
        before = load.counts.writes
        survivor = next(iter(cluster.running()))
        await self.write_somehow(survivor, "after-the-kill")
        seconds = time.monotonic() - killed
        successor = await cluster.wait_for_leader(self.client)
        status = await self.client.status(successor)
        scenario.tell(f"Node {successor} leads now, in term {status.term}.")
        scenario.check(
            f"fail-over: {seconds:.1f} s after the kill a write is acknowledged again",
            seconds < FAIL_OVER_SECONDS and status.term > term,
        )
        await self.pass_time(2.5)
        scenario.check(
            f"two of three suffice: {load.counts.writes - before} writes without it", load.counts.writes > before
        )

    async def come_back(self, id: int) -> None:
        """The one that was killed starts again from its disk, while the load goes on."""
        scenario, cluster = self.scenario, self.cluster
        scenario.chapter(f"Node {id} is started again. It has what its disk has, and a log to catch up with.")
        goal = max(status.applied for status in (await cluster.statuses(self.client)).values())
        began = time.monotonic()
        cluster.start(id)
        first: int | None = None
        applied = 0
        while applied < goal and time.monotonic() - began < 20.0:
            cluster.check()
            status = (await cluster.statuses(self.client, [id])).get(id)
            if status is not None:
                applied = status.applied
                first = applied if first is None else first
            await asyncio.sleep(0.02)
        seconds = time.monotonic() - began
        scenario.check(
            f"{seconds:.1f} s later it has applied entry {applied}; {goal} was the last when it started",
            applied >= goal,
        )

    async def compare(self) -> None:
        """The load ends, and everything is looked at."""
        scenario, load = self.scenario, self.load
        await self.pass_time(0.5)
        await load.end()
        scenario.chapter("The clients stop. Is everything as they were told?")
        status = await self.cluster.wait_until_equal(self.client)
        scenario.tell(
            f"All nodes have applied entry {status.applied}; the digest of their state is {status.digest[:16]}."
        )
        counts = load.counts
        await self.check_everything(f"each of {counts.writes} acknowledged writes is there")
        scenario.check(f"each of {counts.reads} reads returned the latest value", not load.violations)
        for violation in load.violations[:5]:
            scenario.tell(violation)
        if counts.unknown:
            scenario.tell(f"({counts.unknown} writes were cut off with no answer, and may have happened or not.)")

    async def black_out(self) -> None:
        """All of them are killed at once."""
        scenario, cluster = self.scenario, self.cluster
        scenario.chapter("The lights go out: kill -9 of all three at once. Then they are started again.")
        for id in cluster.nodes:
            cluster.kill(id)
        cluster.start_all()
        leader = await cluster.wait_for_leader(self.client)
        await self.client.get(leader, "after-the-kill")
        await cluster.wait_until_equal(self.client)
        await self.check_everything("what was acknowledged is still there, on every node")

    def leave(self) -> None:
        """An orderly end."""
        self.scenario.chapter("They are asked to stop.")
        codes = [self.cluster.stop(id) for id in self.cluster.nodes]
        self.scenario.check(f"exit codes {', '.join(map(str, codes))}", not any(codes))

    async def check_everything(self, claim: str) -> None:
        """Every key on every node."""
        wrong = len(self.load.violations)
        keys = await self.load.check_everything(list(self.cluster.nodes))
        self.scenario.check(f"{claim} ({keys} keys, compared on each node)", len(self.load.violations) == wrong)

    async def write_somehow(self, node: int, key: str) -> None:
        """Write as a patient client does: again, until it is acknowledged."""
        deadline = time.monotonic() + 2 * FAIL_OVER_SECONDS
        while True:
            try:
                await self.client.put(node, key, b"")
                return
            except (RefusedError, UnknownOutcomeError):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"node {node} takes no writes") from None
                await asyncio.sleep(0.02)

    async def pass_time(self, seconds: float) -> None:
        """Let the load work for a while."""
        await asyncio.sleep(seconds)
        self.cluster.check()
        self.load.check()


def _pid(cluster: ClusterProcesses, id: int) -> int:
    process = cluster.nodes[id].process
    return process.pid if process is not None else 0


def _show(value: bytes | None) -> str:
    return "404, not found" if value is None else value.decode(errors="replace")


async def run(directory: Path, scenario: Scenario) -> None:
    """Raises NodeDiedError, TimeoutError or ProtocolError if the scenario cannot go on."""
    with ClusterProcesses(directory, NODES, ["--snapshot-count", "1000"]) as cluster:
        async with Client(cluster.urls) as client, Load(client, lambda: list(cluster.nodes), random.Random()) as load:
            await Demo(scenario, cluster, client, load).run()


def main() -> int:
    """Tell the scenario; exit code 0 if all of it is so."""
    signal.signal(signal.SIGTERM, _exit)
    directory = Path(tempfile.mkdtemp(prefix="raftexample-demo-"))
    scenario = Scenario()
    began = time.monotonic()
    try:
        asyncio.run(run(directory, scenario))
    except (NodeDiedError, ProtocolError, RefusedError, UnknownOutcomeError, TimeoutError) as error:
        scenario.check(f"the scenario goes on ({type(error).__name__}: {error})", False)
    if scenario.failures:
        print(f"\n{len(scenario.failures)} of the claims above do not hold; the nodes' logs are in {directory}.")
        return 1
    shutil.rmtree(directory)
    print(f"\nAll of it held, in {time.monotonic() - began:.0f} s.")
    return 0


def _exit(number: int, _: FrameType | None) -> None:
    """Leave the `with` blocks in order, so that no process stays behind."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
