"""A cluster of real processes on loopback: started, killed, paused and started again.

Node N keeps its data in `node-N` and its log in `node-N.log` below one directory. Whatever happens, no process outlives
the `with` block.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from examples.raftexample.client import Client, NodeStatus, RefusedError, UnknownOutcomeError

SOURCE = Path(__file__).parents[2]
LOOPBACK = "127.0.0.1"


class NodeDiedError(Exception):
    """A node ended without having been asked to; the text has the end of its log."""


@dataclass
class NodeProcess:
    """One node: its addresses, and its process while there is one."""

    id: int
    url: str
    peer_url: str
    port: int
    data: Path
    log: Path
    reserved: list[socket.socket] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    paused: bool = False


class ClusterProcesses:
    """Nodes 1..size. `options` are appended to each node's command line."""

    def __init__(self, directory: Path, size: int = 3, options: Sequence[str] = ()) -> None:
        self.directory = directory
        self.options = tuple(options)
        self.nodes: dict[int, NodeProcess] = {}
        self.urls: dict[int, str] = {}
        for id in range(1, size + 1):
            self.add(id)
        self._founders = [node.peer_url for node in self.nodes.values()]

    def __enter__(self) -> ClusterProcesses:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self.nodes.values():
            if node.process is not None:
                node.process.kill()
                node.process.wait()
            for reservation in node.reserved:
                reservation.close()

    def add(self, id: int) -> NodeProcess:
        """Give a node its addresses; it is neither started nor a member."""
        reserved = [_reserve_port(), _reserve_port()]
        port, peer_port = (reservation.getsockname()[1] for reservation in reserved)
        if not sys.platform.startswith("linux"):
            for reservation in reserved:
                reservation.close()
        node = NodeProcess(
            id,
            f"http://{LOOPBACK}:{port}",
            f"http://{LOOPBACK}:{peer_port}",
            port,
            self.directory / f"node-{id}",
            self.directory / f"node-{id}.log",
            reserved,
        )
        self.nodes[id] = node
        self.urls[id] = node.url
        return node

    def command(self, id: int) -> list[str]:
        """The command line of a node: a founding member, or one that joins."""
        node = self.nodes[id]
        joins = node.peer_url not in self._founders
        cluster = [*self._founders, node.peer_url] if joins else self._founders
        command = [sys.executable, "-m", "examples.raftexample", "--id", str(id), "--cluster", ",".join(cluster)]
        command += ["--port", str(node.port), "--data-dir", str(node.data)]
        return [*command, *(["--join"] if joins else []), *self.options]

    def start(self, id: int) -> None:
        """Start a node, for the first time or again."""
        node = self.nodes[id]
        if node.process is not None:
            raise ValueError(f"node {id} is running already")
        with node.log.open("ab") as log:
            log.write(f"--- {' '.join(self.command(id))}\n".encode())
            log.flush()
            node.process = subprocess.Popen(
                self.command(id),
                cwd=SOURCE,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # an interrupt from the keyboard is this process's to deal with
            )
        node.paused = False

    def start_all(self) -> None:
        """Start every node that is not running."""
        for id, node in self.nodes.items():
            if node.process is None:
                self.start(id)

    def kill(self, id: int) -> None:
        """SIGKILL: the process has no say in it."""
        self._end(id, signal.SIGKILL, 10.0)

    def stop(self, id: int, seconds: float = 10.0) -> int:
        """SIGTERM; returns the exit code. Raises TimeoutExpired, and kills, if it takes longer than `seconds`."""
        return self._end(id, signal.SIGTERM, seconds)

    def wait(self, id: int, seconds: float = 10.0) -> int:
        """Wait for a node that ends by itself; returns the exit code."""
        return self._end(id, None, seconds)

    def _end(self, id: int, how: signal.Signals | None, seconds: float) -> int:
        node = self.nodes[id]
        process = node.process
        if process is None:
            raise ValueError(f"node {id} is not running")
        if how is not None:
            process.send_signal(how)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            node.process = None
        return code

    def pause(self, id: int) -> None:
        """SIGSTOP: the process neither runs nor ends; its connections stay open."""
        self._running(id).send_signal(signal.SIGSTOP)
        self.nodes[id].paused = True

    def resume(self, id: int) -> None:
        """SIGCONT."""
        self._running(id).send_signal(signal.SIGCONT)
        self.nodes[id].paused = False

    def _running(self, id: int) -> subprocess.Popen[bytes]:
        process = self.nodes[id].process
        if process is None:
            raise ValueError(f"node {id} is not running")
        return process

    def running(self) -> list[int]:
        """Nodes that have been started and neither killed nor paused."""
        return [id for id, node in self.nodes.items() if node.process is not None and not node.paused]

    def check(self) -> None:
        """Raises NodeDiedError if a node has ended by itself."""
        for id, node in self.nodes.items():
            if node.process is not None and (code := node.process.poll()) is not None:
                raise NodeDiedError(f"node {id} ended by itself with exit code {code}; its log ends:\n{self.tail(id)}")

    def tail(self, id: int, lines: int = 25) -> str:
        """The end of a node's log."""
        log = self.nodes[id].log
        if not log.exists():
            return "    (nothing)"
        return "\n".join("    " + line for line in log.read_text(errors="replace").splitlines()[-lines:])

    async def statuses(self, client: Client, ids: Iterable[int] | None = None) -> dict[int, NodeStatus]:
        """What the running nodes say, as far as they answer."""
        asked = list(self.running() if ids is None else ids)
        told = await asyncio.gather(*(client.status(id) for id in asked), return_exceptions=True)
        answers = {}
        for id, answer in zip(asked, told, strict=True):
            if isinstance(answer, NodeStatus):
                answers[id] = answer
            elif not isinstance(answer, RefusedError | UnknownOutcomeError):
                raise answer
        return answers

    async def wait_for_leader(self, client: Client, seconds: float = 20.0) -> int:
        """Wait until the running nodes agree on a leader among them, and return its id.

        Raises NodeDiedError if a node ends meanwhile, TimeoutError if it takes longer than `seconds`.
        """
        deadline = time.monotonic() + seconds
        while True:
            self.check()
            told = await self.statuses(client)
            running = self.running()
            leaders = {status.leader for status in told.values()}
            if len(told) == len(running) and len(leaders) == 1 and leaders <= set(running):
                return leaders.pop()
            if time.monotonic() > deadline:
                raise TimeoutError(f"no leader after {seconds:.0f} s; the nodes say {list(told.values())}")
            await asyncio.sleep(0.05)

    async def wait_until_equal(self, client: Client, seconds: float = 20.0) -> NodeStatus:
        """Wait until the running nodes have applied the same, and return what one of them says.

        Raises as `wait_for_leader`; the text of the TimeoutError tells what differs.
        """
        deadline = time.monotonic() + seconds
        while True:
            self.check()
            told = await self.statuses(client)
            states = {(status.commit, status.applied, status.digest) for status in told.values()}
            if len(told) == len(self.running()) and len(states) == 1:
                return next(iter(told.values()))
            if time.monotonic() > deadline:
                raise TimeoutError(f"the nodes differ after {seconds:.0f} s: {list(told.values())}")
            await asyncio.sleep(0.05)


def _reserve_port() -> socket.socket:
    """A socket bound to a free port.

    On Linux a process may listen at a port that another socket is merely bound to, if both set SO_REUSEADDR, while the
    system gives it to nobody else: so the port stays a node's own while the node is down.
    """
    reservation = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reservation.bind((LOOPBACK, 0))
    return reservation
