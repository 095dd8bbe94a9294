"""Traces of whole clusters: nodes that run in one thread, one command at a time, and show everything they do.

    env = InteractionEnv()
    env.handle("add-nodes 3 voters=(1,2,3) index=10")
    env.handle("campaign 1")
    print(env.handle("stabilize"))
    assert env.nodes[0].raw.basic_status().soft_state.leader == 1

The commands are functions in `setup`, `drive`, `messages`, `ready` and `show`; `COMMANDS` lists them.
Every node behaves as the reference's, whatever this library's own defaults are; election timeouts are the shortest.

Source: etcd rafttest/interaction_env.go, interaction_env_handler.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from pyraft.config import Config
from pyraft.trace_logger import TraceLogger
from raftpb.message import Message
from rafttest.interaction.cluster import InteractionCluster
from rafttest.interaction.drive import (
    campaign,
    forget_leader,
    propose,
    propose_conf_change,
    read_index,
    report_unreachable,
    tick_election,
    tick_heartbeat,
    transfer_leadership,
)
from rafttest.interaction.messages import deliver_msgs, send_snapshot
from rafttest.interaction.node import InteractionNode
from rafttest.interaction.ready import process_append_thread, process_apply_thread, process_ready, stabilize
from rafttest.interaction.setup import (
    add_nodes,
    breakpoint_here,
    compact,
    set_log_level,
    set_randomized_election_timeout,
)
from rafttest.interaction.show import raft_log, raft_state, status
from rafttest.trace.command import Command, Shape, Spec
from rafttest.trace.environment import Environment


class InteractionEnv(Environment):
    """A cluster and its commands.

    `configure` may change the configuration of each new node, for instance to this library's own defaults, but neither
    its id, its storage nor its logger. `trace_logger` hears each step of the protocol that any node takes.
    """

    def __init__(
        self, configure: Callable[[Config], Config] | None = None, trace_logger: TraceLogger | None = None
    ) -> None:
        super().__init__()
        self.cluster = InteractionCluster(self.output, configure, trace_logger)

    @property
    def nodes(self) -> list[InteractionNode]:
        """The nodes in the order of their ids, which count from 1."""
        return self.cluster.nodes

    @property
    def messages(self) -> list[Message]:
        """What waits to be delivered or dropped, oldest first."""
        return self.cluster.messages

    def shapes(self) -> Mapping[str, Shape]:
        """See the modules."""
        return COMMANDS

    def run(self, command: Command) -> None:
        """Call the command's function."""
        COMMANDS[command.name].handler(self.cluster, command)


_NODE_OPTIONS: Final = (
    "voters",
    "learners",
    "index",
    "inflight",
    "max-committed-size-per-ready",
    "prevote",
    "checkquorum",
    "async-storage-writes",
    "read-only",
    "step-down-on-removal",
    "disable-conf-change-validation",
)

COMMANDS: Final[Mapping[str, Spec[InteractionCluster]]] = {
    "_breakpoint": Spec(handler=breakpoint_here),
    "add-nodes": Spec(handler=add_nodes, min_words=1, max_words=1, options=_NODE_OPTIONS),
    "campaign": Spec(handler=campaign, min_words=1, max_words=1),
    "compact": Spec(handler=compact, min_words=2, max_words=2),
    "deliver-msgs": Spec(handler=deliver_msgs, max_words=None, options=("type", "drop")),
    "forget-leader": Spec(handler=forget_leader, min_words=1, max_words=1),
    "log-level": Spec(handler=set_log_level, min_words=1, max_words=1),
    "process-append-thread": Spec(handler=process_append_thread, max_words=None),
    "process-apply-thread": Spec(handler=process_apply_thread, max_words=None),
    "process-ready": Spec(handler=process_ready, max_words=None),
    "propose": Spec(handler=propose, min_words=2, max_words=2),
    "propose-conf-change": Spec(
        handler=propose_conf_change, min_words=1, max_words=None, options=None, takes_input=True
    ),
    "raft-log": Spec(handler=raft_log, min_words=1, max_words=1),
    "raft-state": Spec(handler=raft_state),
    "read-index": Spec(handler=read_index, min_words=2, max_words=2),
    "report-unreachable": Spec(handler=report_unreachable, max_words=None),
    "send-snapshot": Spec(handler=send_snapshot, min_words=2, max_words=2),
    "set-randomized-election-timeout": Spec(
        handler=set_randomized_election_timeout, min_words=1, max_words=1, options=("timeout",)
    ),
    "stabilize": Spec(handler=stabilize, max_words=None, options=("log-level",)),
    "status": Spec(handler=status, min_words=1, max_words=1),
    "tick-election": Spec(handler=tick_election, min_words=1, max_words=1),
    "tick-heartbeat": Spec(handler=tick_heartbeat, min_words=1, max_words=1),
    "transfer-leadership": Spec(handler=transfer_leadership, options=("from", "to")),
}
