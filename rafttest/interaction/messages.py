"""Commands that move messages.

    deliver-msgs [ID...] [type=MsgX] [drop=(ID...)]     deliver what waits for the IDs, drop what waits for the others
    send-snapshot FROM TO                               let FROM's application send a snapshot behind the core's back

Recipients are served in the order written. What is dropped may be addressed to a node that does not exist yet.

Source: etcd rafttest/interaction_env_handler_deliver_msgs.go, ..._send_snapshot.go.
"""

from __future__ import annotations

from pyraft.describe import describe_message
from pyraft.errors import RaftError
from raftpb.enums import MSG_SNAP, MessageType
from raftpb.message import Message
from rafttest.interaction.cluster import InteractionCluster
from rafttest.interaction.node import InteractionNode
from rafttest.trace.command import Command, CommandError, to_number
from rafttest.trace.environment import error_text, is_fatal


def deliver_msgs(cluster: InteractionCluster, command: Command) -> None:
    """Deliver or drop, and show each message before it arrives."""
    wanted = _to_type(command.value("type"))
    handled = 0
    seen: set[int] = set()
    for argument in command.arguments:
        if not argument.values:
            node = cluster.node(argument.key)
            seen.add(node.id)
            handled += deliver_to(cluster, node, wanted)
        elif argument.key == "drop":
            for text in argument.values:
                recipient = to_number(text)
                if recipient in seen:
                    raise CommandError(f"messages to {recipient} cannot be dropped: it is listed before")
                seen.add(recipient)
                handled += _drop_for(cluster, recipient, wanted)
    if handled == 0:
        cluster.output.write("no messages\n")


def deliver_to(cluster: InteractionCluster, node: InteractionNode, type: MessageType | None = None) -> int:
    """Deliver what waits for `node`, of one type or all; return how many messages that were.

    What the core refuses is shown below the message.
    """
    messages = cluster.take(node.id, type)
    for message in messages:
        cluster.output.write(describe_message(message) + "\n")
        try:
            cluster.deliver(node, message)
        except RaftError as error:
            if is_fatal(error):
                raise
            cluster.output.write(error_text(error) + "\n")
    return len(messages)


def _drop_for(cluster: InteractionCluster, id: int, type: MessageType | None) -> int:
    messages = cluster.take(id, type, drop=True)
    for message in messages:
        cluster.output.write(f"dropped: {describe_message(message)}\n")
    return len(messages)


def _to_type(name: str | None) -> MessageType | None:
    if name is not None and name not in MessageType.__members__:
        raise CommandError(f"there is no message type {name!r}")
    return None if name is None else MessageType[name]


def send_snapshot(cluster: InteractionCluster, command: Command) -> None:
    """Queue a MsgSnap as the sender's application has it, and show it."""
    sender, recipient = command.words()
    node = cluster.node(sender)
    message = Message(
        MSG_SNAP,
        to=to_number(recipient),
        from_=node.id,
        term=node.raw.basic_status().hard_state.term,
        snapshot=node.storage.snapshot(),
    )
    cluster.send(node, [message])
    cluster.output.write(describe_message(message))
