"""Commands that ask something of one node, as its application or its clock would.

    campaign ID                         start an election
    tick-election ID                    let an election timeout pass, unrandomised
    tick-heartbeat ID                   let a heartbeat interval pass
    propose ID DATA                     propose one entry
    propose-conf-change ID [v1=BOOL] [transition=auto|implicit|explicit], with steps like `v3 l4 r5` as input
    read-index ID CONTEXT               ask for a linearizable read
    transfer-leadership from=A to=B     let A hand its leadership to B
    forget-leader ID                    let a follower forget whom it follows
    report-unreachable A B              tell A that B did not get a message

What a node wants to send or to store shows only in its next Ready. A dropped read and a leader that cannot be forgotten
are no errors here.

Source: etcd rafttest/interaction_env_handler_*.go of those names; read-index is this project's.
"""

from __future__ import annotations

from typing import Final

from pyraft.errors import MisuseError, ReadDroppedError
from raftpb.confchange import AnyConfChange, ConfChange, ConfChangeSingle, ConfChangeV2
from raftpb.enums import (
    TRANSITION_AUTO,
    TRANSITION_JOINT_EXPLICIT,
    TRANSITION_JOINT_IMPLICIT,
    ConfChangeTransition,
)
from rafttest.interaction.cluster import InteractionCluster
from rafttest.trace.command import Command, CommandError, CommandRefusedError, to_bool, to_steps

_TRANSITIONS: Final[dict[str, ConfChangeTransition]] = {
    "auto": TRANSITION_AUTO,
    "implicit": TRANSITION_JOINT_IMPLICIT,
    "explicit": TRANSITION_JOINT_EXPLICIT,
}


def campaign(cluster: InteractionCluster, command: Command) -> None:
    """Start an election."""
    (node_id,) = command.words()
    cluster.node(node_id).raw.campaign()


def tick_election(cluster: InteractionCluster, command: Command) -> None:
    """As many ticks as `Config.election_tick`."""
    (node_id,) = command.words()
    node = cluster.node(node_id)
    for _ in range(node.config.election_tick):
        node.raw.tick()


def tick_heartbeat(cluster: InteractionCluster, command: Command) -> None:
    """As many ticks as `Config.heartbeat_tick`."""
    (node_id,) = command.words()
    node = cluster.node(node_id)
    for _ in range(node.config.heartbeat_tick):
        node.raw.tick()


def propose(cluster: InteractionCluster, command: Command) -> None:
    """Propose data."""
    node_id, data = command.words()
    cluster.node(node_id).raw.propose(data.encode())


def propose_conf_change(cluster: InteractionCluster, command: Command) -> None:
    """Propose a membership change; without steps, leave a joint configuration."""
    node = cluster.node(command.words()[0])
    v1 = False
    transition = TRANSITION_AUTO
    for argument in command.arguments:
        for value in argument.values:
            if argument.key == "v1":
                v1 = _to_bool(value)
            elif argument.key == "transition":
                transition = _to_transition(value)
            else:
                raise CommandRefusedError(f"unknown command {argument.key}")
    node.raw.propose_conf_change(_change(v1, transition, to_steps(command.input)))


def _to_bool(text: str) -> bool:
    try:
        return to_bool(text)
    except CommandError:
        raise CommandRefusedError(f'strconv.ParseBool: parsing "{text}": invalid syntax') from None


def _to_transition(text: str) -> ConfChangeTransition:
    if text not in _TRANSITIONS:
        raise CommandRefusedError(f"unknown transition {text}")
    return _TRANSITIONS[text]


def _change(v1: bool, transition: ConfChangeTransition, steps: list[ConfChangeSingle]) -> AnyConfChange:
    if not v1:
        return ConfChangeV2(steps, transition)
    if len(steps) > 1 or transition is not TRANSITION_AUTO:
        raise CommandRefusedError("v1 conf change can only have one operation and no transition")
    if not steps:
        raise CommandError("a v1 membership change needs one step as input")
    return ConfChange(steps[0].type, steps[0].node_id)


def read_index(cluster: InteractionCluster, command: Command) -> None:
    """Ask for a read; the answer is in a later Ready, if there is one."""
    node_id, context = command.words()
    try:
        cluster.node(node_id).raw.read_index(context.encode())
    except ReadDroppedError as error:
        cluster.output.info("%s: %s", node_id, error)


def transfer_leadership(cluster: InteractionCluster, command: Command) -> None:
    """Ask `from` to hand its leadership over."""
    given = command.value("from"), command.value("to")
    if given[0] is None or given[1] is None:
        raise CommandError("transfer-leadership needs from=ID and to=ID")
    cluster.node(given[0]).raw.transfer_leader(cluster.node(given[1]).id)


def forget_leader(cluster: InteractionCluster, command: Command) -> None:
    """Let a follower forget its leader."""
    (node_id,) = command.words()
    try:
        cluster.node(node_id).raw.forget_leader()
    except MisuseError as error:
        cluster.output.info("%s: %s", node_id, error)


def report_unreachable(cluster: InteractionCluster, command: Command) -> None:
    """Tell a node that another could not be reached."""
    nodes = cluster.some_nodes(command.words())
    if len(nodes) != 2:
        raise CommandRefusedError("must specify exactly two node indexes: node on which to report, and reported node")
    nodes[0].raw.report_unreachable(nodes[1].id)
