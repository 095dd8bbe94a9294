"""The nodes of an environment and what is on its way between them.

All messages wait in one queue, oldest first, until a command delivers or drops them; nothing is ever sent by itself.

Source: etcd rafttest/interaction_env.go InteractionEnv.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from pyraft.config import Config
from pyraft.errors import PeerNotFoundError
from pyraft.trace_logger import TraceLogger
from raftpb.enums import MSG_APP_RESP, MSG_PRE_VOTE_RESP, MSG_VOTE_RESP, MessageType
from raftpb.message import LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, Message
from rafttest.interaction.node import EnvironmentStorage, InteractionNode
from rafttest.trace.command import CommandError, to_number
from rafttest.trace.output import Output

MAX_NODES: Final = 1000
"""A slip of the pen in `add-nodes` must not fill the memory."""


class InteractionCluster:
    """`nodes`: their ids count from 1. `messages`: what waits. `output`: where commands write and nodes log.

    `configure` may change the configuration of each new node, but neither its id, its storage nor its logger.
    `trace_logger` is every node's, unless `configure` gives it another.
    """

    node_class: type[InteractionNode] = InteractionNode
    """What its nodes are; whoever watches them derives from it."""

    def __init__(
        self,
        output: Output,
        configure: Callable[[Config], Config] | None = None,
        trace_logger: TraceLogger | None = None,
    ) -> None:
        self.output = output
        self.configure = configure
        self.trace_logger = trace_logger
        self.nodes: list[InteractionNode] = []
        self.messages: list[Message] = []

    def add_node(self, config: Config, storage: EnvironmentStorage) -> None:
        """Add a node with the next id; `config` names both. Raises CommandError if there are too many."""
        if len(self.nodes) == MAX_NODES:
            raise CommandError(f"an environment holds at most {MAX_NODES} nodes")
        if self.trace_logger is not None:
            config = replace(config, trace_logger=self.trace_logger)
        if self.configure is not None:
            given = config
            config = self.configure(given)
            if (config.id, config.storage, config.logger) != (given.id, given.storage, given.logger):
                raise ValueError("configure must keep the id, the storage and the logger")
        self.nodes.append(self.node_class(config, storage))

    def node(self, text: str) -> InteractionNode:
        """The node of that id. Raises CommandError if there is none."""
        number = to_number(text)
        if not 1 <= number <= len(self.nodes):
            raise CommandError(f"there is no node {number}; there are {len(self.nodes)}")
        return self.nodes[number - 1]

    def some_nodes(self, texts: Iterable[str]) -> list[InteractionNode]:
        """The nodes of those ids, in that order."""
        return [self.node(text) for text in texts]

    def send(self, node: InteractionNode, messages: Iterable[Message]) -> None:
        """Let the messages of `node` wait for delivery, or for its storage threads."""
        for message in messages:
            if message.to == LOCAL_APPEND_THREAD:
                node.append_work.append(message)
            elif message.to == LOCAL_APPLY_THREAD:
                node.apply_work.append(message)
            else:
                self.messages.append(message)

    def take(self, id: int, type: MessageType | None = None, *, drop: bool = False) -> list[Message]:
        """Remove and return the messages that wait for node `id`, of one type or all.

        With `drop`, what is local to the node stays: it does not cross the network that loses messages.
        """
        taken: list[Message] = []
        kept: list[Message] = []
        for message in self.messages:
            matches = message.to == id and type in {None, message.type} and not (drop and _is_local(message))
            (taken if matches else kept).append(message)
        self.messages = kept
        return taken

    def deliver(self, node: InteractionNode, message: Message) -> None:
        """Step `message` at its recipient. Raises what the core raises. What a node that was removed says of its own
        disk raises PeerNotFoundError, as in the reference.
        """
        if _answers_storage(message):
            if message.from_ == node.id and not node.raw.basic_status().is_member:
                raise PeerNotFoundError(message)
            node.raw.step_storage(message)
        else:
            node.raw.step(message)


def _is_local(message: Message) -> bool:
    return message.from_ in {message.to, LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD}


def _answers_storage(message: Message) -> bool:
    """True for what the storage threads say; the core takes it by a call of its own."""
    if message.from_ == message.to:
        return message.type in {MSG_APP_RESP, MSG_VOTE_RESP, MSG_PRE_VOTE_RESP}
    return message.from_ in {LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD}
