"""Commands that only show.

    raft-log ID      the entries in the node's storage
    raft-state       the role, the term and the leader of every node
    status ID        how far each follower is, as the node sees it; nothing (`ok`) if it is not the leader

Source: etcd rafttest/interaction_env_handler_raft_log.go, ..._raftstate.go, ..._status.go.
"""

from __future__ import annotations

from pyraft.describe import describe_entries
from pyraft.types import NO_LIMIT
from rafttest.interaction.cluster import InteractionCluster
from rafttest.interaction.node import InteractionNode
from rafttest.trace.command import Command


def raft_log(cluster: InteractionCluster, command: Command) -> None:
    """Show a node's log."""
    (node_id,) = command.words()
    show_log(cluster, cluster.node(node_id))


def show_log(cluster: InteractionCluster, node: InteractionNode) -> None:
    """One line an entry, as far as storage has them."""
    first, last = node.storage.first_index(), node.storage.last_index()
    if last < first:
        cluster.output.write(f"log is empty: first index={first}, last index={last}")
    else:
        cluster.output.write(describe_entries(node.storage.entries(first, last + 1, NO_LIMIT)))


def raft_state(cluster: InteractionCluster, _command: Command) -> None:
    """One line a node."""
    for node in cluster.nodes:
        status = node.raw.status()
        place = "Voter" if status.config.is_voter(node.id) else "Non-Voter"
        cluster.output.write(
            f"{node.id}: {status.soft_state.role} ({place}) "
            f"Term:{status.hard_state.term} Lead:{status.soft_state.leader}\n"
        )


def status(cluster: InteractionCluster, command: Command) -> None:
    """One line a follower, the leader itself included."""
    (node_id,) = command.words()
    for peer, progress in cluster.node(node_id).raw.status().progress.items():
        cluster.output.write(f"{peer}: {progress}\n")
