"""Commands that do what nodes ask for: store, send, apply.

    process-ready ID...              handle one Ready of each node
    process-append-thread ID...      with asynchronous writes: do one piece of each append thread's work
    process-apply-thread ID...       the same for the apply threads
    stabilize [ID...] [log-level=L]  all of it, and deliver messages, until the nodes (or all of them) are at rest

With several IDs each one's part stands under a heading. The order inside a Ready is: store, apply, send, advance.

Source: etcd rafttest/interaction_env_handler_process_ready.go, ..._process_append_thread.go,
..._process_apply_thread.go, ..._stabilize.go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pyraft.describe import describe_message, describe_ready
from pyraft.errors import RaftError
from raftpb.message import HardState, Message
from rafttest.interaction.cluster import InteractionCluster
from rafttest.interaction.messages import deliver_to
from rafttest.interaction.node import InteractionNode
from rafttest.interaction.setup import to_level
from rafttest.trace.command import Command
from rafttest.trace.environment import is_fatal

MAX_PASSES: Final = 10_000
"""Nodes that are not at rest after so many rounds are taken never to be."""


class RestlessError(Exception):
    """`stabilize` found something to do in every one of `MAX_PASSES` passes."""


def process_ready(cluster: InteractionCluster, command: Command) -> None:
    """Handle Readys."""
    _for_each(cluster, command, "handling Ready", handle_ready)


def process_append_thread(cluster: InteractionCluster, command: Command) -> None:
    """Do one piece of append work."""
    _for_each(cluster, command, "processing append thread", append_once)


def process_apply_thread(cluster: InteractionCluster, command: Command) -> None:
    """Do one piece of apply work."""
    _for_each(cluster, command, "processing apply thread", apply_once)


def stabilize(cluster: InteractionCluster, command: Command) -> None:
    """Work until a whole pass found nothing to do."""
    nodes = cluster.some_nodes(command.words()) or cluster.nodes
    level = command.value("log-level")
    before = cluster.output.level
    if level is not None:
        cluster.output.level = to_level(level)
    try:
        for _ in range(MAX_PASSES):
            if not _stabilize_once(cluster, nodes):
                return
        raise RestlessError(f"no rest after {MAX_PASSES} passes")
    finally:
        cluster.output.level = before


def handle_ready(cluster: InteractionCluster, node: InteractionNode) -> None:
    """Show and handle one Ready, which may be empty."""
    ready = node.raw.ready()
    cluster.output.write(describe_ready(ready, must_sync=node.reference_must_sync(ready)))
    asynchronous = node.config.async_storage_writes
    if not asynchronous:
        node.process_append(ready.hard_state, ready.entries, ready.snapshot)
        node.process_apply(ready.committed_entries)
    cluster.send(node, ready.messages)
    if not asynchronous:
        node.raw.advance()


def append_once(cluster: InteractionCluster, node: InteractionNode) -> None:
    """Do the oldest piece of append work, and let its responses wait for delivery."""
    if not node.append_work:
        cluster.output.write("no append work to perform")
        return
    message = node.append_work.popleft()
    _show_work(cluster, message)
    hard_state = HardState(message.term, message.vote, message.commit)
    node.process_append(hard_state, message.entries, message.snapshot)
    _respond(cluster, node, message)


def apply_once(cluster: InteractionCluster, node: InteractionNode) -> None:
    """Do the oldest piece of apply work, and let its responses wait for delivery."""
    if not node.apply_work:
        cluster.output.write("no apply work to perform")
        return
    message = node.apply_work.popleft()
    _show_work(cluster, message)
    node.process_apply(message.entries)
    _respond(cluster, node, message)


def _for_each(
    cluster: InteractionCluster,
    command: Command,
    heading: str,
    work: Callable[[InteractionCluster, InteractionNode], None],
) -> None:
    nodes = cluster.some_nodes(command.words())
    for node in nodes:
        if len(nodes) == 1:
            work(cluster, node)
        else:
            _under_heading(cluster, node, heading, work)


def _under_heading(
    cluster: InteractionCluster,
    node: InteractionNode,
    heading: str,
    work: Callable[[InteractionCluster, InteractionNode], object],
) -> None:
    cluster.output.write(f"> {node.id} {heading}\n")
    with cluster.output.indented():
        work(cluster, node)


def _stabilize_once(cluster: InteractionCluster, nodes: list[InteractionNode]) -> bool:
    """One pass of four phases, each over all nodes; False if there was nothing to do."""
    busy = False
    for node in nodes:
        if node.raw.has_ready():
            busy = True
            _under_heading(cluster, node, "handling Ready", handle_ready)
    for node in nodes:
        if any(message.to == node.id for message in cluster.messages):
            busy = True
            _under_heading(cluster, node, "receiving messages", deliver_to)
    for node in nodes:
        if node.append_work:
            busy = True
            _under_heading(cluster, node, "processing append thread", _append_all)
    for node in nodes:
        if node.apply_work:
            busy = True
            _under_heading(cluster, node, "processing apply thread", _apply_all)
    return busy


def _append_all(cluster: InteractionCluster, node: InteractionNode) -> None:
    while node.append_work:
        append_once(cluster, node)


def _apply_all(cluster: InteractionCluster, node: InteractionNode) -> None:
    """Errors are passed over, as in the reference: the work that failed is gone, and its responses with it."""
    while node.apply_work:
        try:
            apply_once(cluster, node)
        except RaftError as error:
            if is_fatal(error):
                raise


def _show_work(cluster: InteractionCluster, message: Message) -> None:
    """What the thread is given; its responses come later, once it is done."""
    given = Message(
        message.type,
        to=message.to,
        from_=message.from_,
        term=message.term,
        log_term=message.log_term,
        index=message.index,
        entries=message.entries,
        commit=message.commit,
        snapshot=message.snapshot,
        vote=message.vote,
    )
    cluster.output.write(f"Processing:\n{describe_message(given)}\n")


def _respond(cluster: InteractionCluster, node: InteractionNode, message: Message) -> None:
    cluster.output.write("Responses:\n")
    for response in message.responses:
        cluster.output.write(describe_message(response) + "\n")
    cluster.send(node, message.responses)
