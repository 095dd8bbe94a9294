"""One node of a replicated key-value store.

    python -m examples.raftexample --id 1 --cluster http://127.0.0.1:12379,http://127.0.0.1:22379,... --port 12380

The place of a URL in the list is the id of the node there. docs/raftexample.md tells the rest.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from examples.host.disk import DataDirectoryError, DiskError
from examples.host.host import Host
from examples.host.machine import ChangeRefusedError
from examples.host.settings import Settings
from examples.host.wire import check_peer_url
from examples.raftexample.http import MAX_LINE_BYTES, HttpApi
from examples.raftexample.kv import KeyValueStore
from pyraft import Config, NodeLike, RawNode

if TYPE_CHECKING:
    from rafttest.record import RecordingNode

GROUP = 1

EXIT_REFUSED = 1
EXIT_BUG = 70
EXIT_DISK = 74

_HAND_OVER_SECONDS = 2.0
_DRAIN_SECONDS = 1.0

logger = logging.getLogger("raftexample")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line. Exits with status 2 if it makes no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.raftexample",
        description="One node of a replicated key-value store.",
        epilog="There is no authentication: whoever reaches the ports may do everything. Keep them on loopback or on a "
        "network of your own.",
    )
    add = parser.add_argument
    add("--id", type=int, default=1, metavar="N", help="this node: its place in --cluster, from 1 (default: 1)")
    add(
        "--cluster",
        default="http://127.0.0.1:9021",
        metavar="URL,URL,...",
        help="where the nodes listen for each other; the same on all founding nodes. Counts when the data directory "
        "is new: after that the members are known from there (default: %(default)s)",
    )
    add("--port", type=int, default=9121, help="where clients are served (default: %(default)s)")
    add("--bind", default="127.0.0.1", metavar="ADDRESS", help="address for clients (default: %(default)s)")
    add("--listen", metavar="URL", help="where to listen for the other nodes, if that is not this node's URL")
    add("--join", action="store_true", help="join a running cluster, instead of founding one")
    add("--data-dir", type=Path, metavar="D", help="where everything is kept (default: raftexample-N)")
    add("--go-compat", action="store_true", help="POST /N and DELETE /N act on members, as in etcd's raftexample")
    add("--cluster-name", default="raftexample", metavar="S", help="nodes of other names are refused")
    add("--snapshot-count", type=int, default=10_000, metavar="N", help="entries between snapshots")
    add("--record", type=Path, metavar="DIR", help="write down all that happens to the node, in a ring of 64 MiB")
    add("--tick-ms", type=int, default=100, metavar="T", help="heartbeat interval; elections after 10 to 20")
    options = parser.parse_args(arguments)

    options.urls = dict(enumerate((url.strip() for url in options.cluster.split(",")), start=1))
    if options.id not in options.urls:
        parser.error(f"--id {options.id} is no place in --cluster, which names {len(options.urls)} nodes")
    for url in (*options.urls.values(), *([options.listen] if options.listen else [])):
        try:
            check_peer_url(url)
        except ValueError as error:
            parser.error(str(error))
    if len(set(options.urls.values())) != len(options.urls):
        parser.error("--cluster names a URL twice")
    if options.snapshot_count < 1 or options.tick_ms < 1:
        parser.error("--snapshot-count and --tick-ms are at least 1")
    if not 0 <= options.port < 65536:
        parser.error(f"--port {options.port} is none")
    if options.data_dir is None:
        options.data_dir = Path(f"raftexample-{options.id}")
    return options


class Node:
    """What runs in one process: the host, the store on it, and its face."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Open the data directory. Raises DataDirectoryError, ChangeRefusedError, ValueError."""
        self.options = options
        self.store = KeyValueStore()
        self.recording: RecordingNode | None = None
        self.host = Host(
            options.cluster_name,
            options.id,
            options.data_dir,
            tick_seconds=options.tick_ms / 1000,
            make_node=self._make_node,
        )
        self.replica = self.host.add_group(
            GROUP,
            self.store,
            founders=None if options.join else options.urls,
            peers=options.urls,
            settings=Settings(snapshot_entries=options.snapshot_count, catch_up_entries=options.snapshot_count // 2),
        )
        self.api = HttpApi(
            self.host, self.replica, self.store, cluster=options.cluster_name, go_compat=options.go_compat
        )
        self.client_port = 0
        self._runner = web.AppRunner(
            self.api.application(),
            access_log=None,
            keepalive_timeout=30.0,
            shutdown_timeout=_DRAIN_SECONDS,
            max_line_size=MAX_LINE_BYTES,
        )

    def _make_node(self, config: Config) -> NodeLike:
        """The core, recorded if that was asked for."""
        if self.options.record is None:
            return RawNode(config)
        from rafttest.record import RecordingNode

        self.recording = RecordingNode(config, self.options.record, clock=time.time)
        return self.recording

    async def start(self) -> None:
        """Listen, for the other nodes and then for clients. Raises OSError if a port is taken."""
        options = self.options
        peers_at = await self.host.start(options.listen or options.urls[options.id])
        if self.host.failure.done():
            return
        await self._runner.setup()
        await web.TCPSite(self._runner, options.bind, options.port).start()
        address, self.client_port = self._runner.addresses[0][:2]
        logger.info(
            "node %d listens for nodes at %s and for clients at %s:%d", options.id, peers_at, address, self.client_port
        )

    async def stop(self) -> None:
        """Let another node lead, finish what is under way, and close. Raises DiskError."""
        await self.replica.transfer_leadership(_HAND_OVER_SECONDS)
        self.api.is_closing = True
        await self._runner.cleanup()
        await self.host.close()
        if self.recording is not None:
            self.recording.close()

    def die(self, error: BaseException) -> int:
        """Say what went wrong inside; the status to exit with, at once."""
        if self.recording is not None:
            self.recording.note(f"died of {type(error).__name__}: {error}")
            self.recording.close()
        if isinstance(error, DiskError):
            complain(f"{error}. The disk cannot be relied on: this node stops, and acknowledges nothing more")
            return EXIT_DISK
        with contextlib.suppress(OSError):
            traceback.print_exception(error)
        complain(f"stopped by the error above; node {self.options.id} at that time: {self.replica.status()}")
        return EXIT_BUG


def complain(text: str) -> None:
    """One line for whoever started this."""
    with contextlib.suppress(OSError):  # stderr may be a file on the very disk that has failed
        print(f"raftexample: {text}", file=sys.stderr, flush=True)


async def run(options: argparse.Namespace) -> int:
    """Be a node until a signal or an error comes; the status to exit with."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        node = Node(options)
    except (DataDirectoryError, ChangeRefusedError, ValueError) as error:
        complain(str(error))
        return EXIT_REFUSED

    def end_on_error(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception that nobody expected ends the process; what the network is to blame for does not."""
        error = context.get("exception")
        if error is None or isinstance(error, OSError):
            logger.warning("%s%s", context["message"], f": {error}" if error is not None else "")
        else:
            node.host.fail(error)

    loop.set_exception_handler(end_on_error)
    try:
        await node.start()
    except OSError as error:
        complain(f"cannot listen: {error}")
        await node.stop()
        return EXIT_REFUSED
    node.host.failure.add_done_callback(lambda _: stop.set())
    await stop.wait()
    if not node.host.failure.done():
        logger.info("stopping")
        try:
            await node.stop()
        except DiskError as error:
            node.host.fail(error)
    if node.host.failure.done():
        os._exit(node.die(node.host.failure.result()))  # at once: no goodbye to clients or peers
    return 0


def main() -> int:
    """Run a node."""
    options = parse()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    logging.getLogger("pyraft").setLevel(logging.WARNING)
    return asyncio.run(run(options))


if __name__ == "__main__":
    sys.exit(main())
