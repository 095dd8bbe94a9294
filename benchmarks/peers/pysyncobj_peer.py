"""PySyncObj as a peer of `loopback`: three nodes in one process and one thread, connected over TCP on 127.0.0.1.

The same work: a batch of commands proposed at once on the leader, the next one when every node has applied it; logs in
memory. PySyncObj gathers commands for `appendEntriesPeriod` before it sends them, 100 ms unless told otherwise; it gets
1 ms here, since the wait would be all that is measured.

python -m benchmarks.peers.pysyncobj_peer
"""

from __future__ import annotations

import socket
import sys
import time
from importlib.metadata import version
from zlib import crc32

from pysyncobj import SyncObj, SyncObjConf, replicated  # type: ignore[import-untyped]

from benchmarks import worker
from benchmarks.workloads.bench import Bench, Shape, WrongResultError, payloads

_NODES = 3
_PERIOD_SECONDS = 0.001
_START_SECONDS = 30.0
_STUCK_SECONDS = 60.0


class Replica(SyncObj):  # type: ignore[misc]  # the library has no types
    """Applies commands by counting them."""

    def __init__(self, own: str, others: list[str], check: bool) -> None:
        self.applied = 0
        self.digest = 0
        self.check = check
        settings = SyncObjConf(
            autoTick=False,
            appendEntriesPeriod=_PERIOD_SECONDS,
            bindRetryTime=0.1,
            connectionRetryTime=0.1,
            dynamicMembershipChange=False,
            logCompactionMinEntries=1 << 40,  # it copies the log in a fork; nothing is forgotten here
            logCompactionMinTime=1 << 30,
        )
        super().__init__(own, others, settings)

    @replicated  # type: ignore[untyped-decorator]
    def take(self, data: bytes) -> None:
        """The command."""
        self.applied += 1
        if self.check:
            self.digest = crc32(data, self.digest)


class PySyncObjCluster(Bench):
    """Three replicas that have elected a leader."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.batch = shape["batch"]
        self.payloads = payloads(self.batch, shape["bytes"])
        addresses = [f"127.0.0.1:{port}" for port in free_ports(_NODES)]
        self.replicas = [
            Replica(own, [other for other in addresses if other != own], shape.get("check", 0) == 1)
            for own in addresses
        ]
        self.due = 0
        deadline = time.monotonic() + _START_SECONDS
        while not all(replica.isReady() for replica in self.replicas):
            if time.monotonic() > deadline:
                raise WrongResultError("no leader was elected")
            self._tick(0.001)
        self.leader = next(one for one in self.replicas if one._isLeader())

    def granularity(self) -> int:
        return self.batch

    def run(self, operations: int) -> None:
        replicas = self.replicas
        for _ in range(operations // self.batch):
            for payload in self.payloads:
                self.leader.take(bytes(payload))
            self.due += self.batch
            deadline = time.monotonic() + _STUCK_SECONDS
            while any(replica.applied < self.due for replica in replicas):
                self._tick(0.0)
                if time.monotonic() > deadline:
                    raise WrongResultError(f"a batch was not applied within {_STUCK_SECONDS} s")
        self.digest = self.leader.digest

    def close(self) -> None:
        for replica in self.replicas:
            replica.destroy()
        self._tick(0.0)

    def _tick(self, seconds: float) -> None:
        for replica in self.replicas:
            replica.doTick(seconds)

    def verify(self) -> None:
        for replica in self.replicas:
            if replica.applied != self.due or replica.digest != self.leader.digest:
                raise WrongResultError(f"a replica applied {replica.applied} commands, not {self.due}, or others")


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


if __name__ == "__main__":
    greeting: worker.Answer = {"name": "PySyncObj", "version": version("pysyncobj")}
    worker.serve(worker.Worker({"loopback": PySyncObjCluster}, greeting), sys.stdin, sys.stdout)
