"""Commands that prepare a scene.

    add-nodes N [voters=(..)] [learners=(..)] [index=I] [inflight=N] [max-committed-size-per-ready=N] [prevote=BOOL]
              [checkquorum=BOOL] [async-storage-writes=BOOL] [read-only=safe|lease-based] [step-down-on-removal=BOOL]
              [disable-conf-change-validation=BOOL]
    log-level DEBUG|INFO|WARN|ERROR|FATAL|NONE
    set-randomized-election-timeout ID timeout=T
    compact ID INDEX
    _breakpoint

`voters`, `learners` and `index` are where a bootstrapped node starts; without them it is empty and waits to be caught
up by a snapshot. A time-out that was set holds until the node changes its role. `compact` forgets the log up to and
with INDEX and shows what is left. `_breakpoint` does nothing, and is a place to stop at.

Source: etcd rafttest/interaction_env_handler_add_nodes.go and others of those names.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pyraft.config import Config
from pyraft.errors import ConfigError
from pyraft.rawnode import RawNode
from pyraft.types import LEASE_BASED, SAFE, ReadOnlyOption
from raftpb.integers import MAX_INTEGER
from raftpb.message import ConfState, Snapshot, SnapshotMetadata
from rafttest.interaction.cluster import InteractionCluster
from rafttest.interaction.node import EnvironmentStorage
from rafttest.interaction.show import show_log
from rafttest.trace.command import Command, CommandError, CommandRefusedError, to_number
from rafttest.trace.output import Level

ELECTION_TICK: Final = 3
HEARTBEAT_TICK: Final = 1
MAX_INFLIGHT_MSGS: Final = 2**31 - 1

_READ_ONLY: Final[dict[str, ReadOnlyOption]] = {"safe": SAFE, "lease-based": LEASE_BASED}


class Shortest:
    """A source of chance that always draws 0, so that every election timeout is the shortest one."""

    def randrange(self, _stop: int, /) -> int:
        """0."""
        return 0


def add_nodes(cluster: InteractionCluster, command: Command) -> None:
    """Create nodes that all start from the same snapshot."""
    (count,) = command.words()
    start = _start(command)
    for _ in range(to_number(count)):
        storage = EnvironmentStorage(start)
        try:
            cluster.add_node(_config(cluster, command, storage), storage)
        except ConfigError as error:
            raise CommandError(str(error)) from None


def _config(cluster: InteractionCluster, command: Command, storage: EnvironmentStorage) -> Config:
    """The reference's defaults, but for what the command sets."""
    return Config.reference_defaults(
        id=len(cluster.nodes) + 1,
        storage=storage,
        election_tick=ELECTION_TICK,
        heartbeat_tick=HEARTBEAT_TICK,
        applied=storage.applied.metadata.index,
        async_storage_writes=command.flag("async-storage-writes"),
        max_committed_size_per_ready=command.number("max-committed-size-per-ready", 0),
        max_inflight_msgs=command.number("inflight", MAX_INFLIGHT_MSGS),
        check_quorum=command.flag("checkquorum"),
        pre_vote=command.flag("prevote"),
        read_only_option=_read_only(command.value("read-only")),
        disable_conf_change_validation=command.flag("disable-conf-change-validation"),
        step_down_on_removal=command.flag("step-down-on-removal"),
        random=Shortest(),
        logger=cluster.output,
    )


def _read_only(name: str | None) -> ReadOnlyOption:
    if name is None:
        return SAFE
    if name not in _READ_ONLY:
        raise CommandRefusedError(f'invalid read-only option "{name}"')
    return _READ_ONLY[name]


def _start(command: Command) -> Snapshot:
    """What the nodes start from; the empty snapshot unless they are bootstrapped."""
    voters = [to_number(text) for text in command.values("voters")]
    learners = [to_number(text) for text in command.values("learners")]
    index = command.number("index", 0)
    if not (voters or learners or index):
        return Snapshot()
    if index <= 1:
        raise CommandRefusedError("index must be specified as > 1 due to bootstrap")
    if not voters:
        raise CommandError("removed all voters: give voters=(..) along with index and learners")
    if 0 in voters + learners or len(set(voters + learners)) != len(voters + learners):
        raise CommandError("voters and learners must be different nodes, counted from 1")
    return Snapshot(b"", SnapshotMetadata(ConfState(voters, learners), index, 1))


def set_log_level(cluster: InteractionCluster, command: Command) -> None:
    """Choose what is said from now on."""
    (name,) = command.words()
    cluster.output.level = to_level(name)


def to_level(name: str) -> Level:
    """The level of that name, in any case. Raises RefusedError, as the reference does, if there is none."""
    names = [level.name for level in Level]
    if name.upper() not in names:
        raise CommandRefusedError(f"log levels must be either of [{' '.join(names)}]")
    return Level[name.upper()]


def set_randomized_election_timeout(cluster: InteractionCluster, command: Command) -> None:
    """Replace the election timeout that the node drew last."""
    (node_id,) = command.words()
    node = cluster.node(node_id)
    timeout = command.number("timeout", 0)
    if not 0 < timeout < MAX_INTEGER:
        raise CommandError("set-randomized-election-timeout needs timeout=T of at least one tick")
    state = replace(node.raw.export_state(), randomized_election_timeout=timeout)
    node.raw = RawNode.from_state(node.config, state)


def compact(cluster: InteractionCluster, command: Command) -> None:
    """Forget the beginning of a node's log."""
    node_id, text = command.words()
    node = cluster.node(node_id)
    index = _to_index(text)
    if index > node.storage.last_index():
        raise CommandError(f"the log of {node_id} ends at {node.storage.last_index()}")
    node.storage.memory.compact(index)
    show_log(cluster, node)


def _to_index(text: str) -> int:
    """A number of 64 bits. What is none is refused in the words of the reference's standard library."""
    if not (text.isascii() and text.isdigit()):
        raise CommandRefusedError(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    if len(text) > 20 or int(text) >= 2**64:
        raise CommandRefusedError(f'strconv.ParseUint: parsing "{text}": value out of range')
    return int(text)


def breakpoint_here(_cluster: InteractionCluster, _command: Command) -> None:
    """Do nothing: set a breakpoint of the debugger here."""
