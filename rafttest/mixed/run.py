"""Run: one seed of a mixed group, from its founding until it is at rest."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from raftpb.integers import MAX_INTEGER
from raftpb.message import ConfState, Snapshot, SnapshotMetadata
from rafttest.mixed.go_process import GoNode, GoProcess, GoProcessError
from rafttest.mixed.group import Group
from rafttest.mixed.laws import LawError
from rafttest.mixed.peer import MixedNode, MixedSettings
from rafttest.mixed.python_node import PythonNode
from rafttest.sim.checker import oracle

EVENTS: Final = 10000
"""Of the first phase."""
LEASE_EVENTS: Final = 2000
"""The same, where one of them is often a tick of all nodes and what comes of it."""
LAST_WRITE: Final = b"the write that shows that the group is alive"
_ROUNDS: Final = 60
"""Of the second: so many with all nodes, then as many with the members alone."""


@dataclass(frozen=True, slots=True)
class MixedResult:
    """What came of a seed. `broken`: the law, and how; empty if all held."""

    seed: int
    events: int
    trace_hash: str
    counts: dict[str, int]
    broken: str
    recent: tuple[str, ...]


def run(process: GoProcess, seed: int) -> MixedResult:
    """Play `seed`. Raises GoProcessError if the program fails."""
    random = Random(seed)
    group, broken = _drawn(process, random), ""
    try:
        process.seed(seed)
        group.found()
        for _ in range(LEASE_EVENTS if group.has_leases else EVENTS):
            group.happen()
        come_to_rest(group)
    except LawError as error:
        broken = str(error)
    except GoProcessError as error:
        raise GoProcessError(f"seed {seed}, after {group.recent[-1:]}: {error}") from error
    counts = dict(sorted(group.counts.items()))
    counts["reads judged"] = group.laws.reads
    return MixedResult(seed, group.events, group.trace_hash(), counts, broken, tuple(group.recent))


def _drawn(process: GoProcess, random: Random) -> Group:
    size, voters = random.choice(((3, 3), (4, 3), (5, 3), (5, 4), (5, 5)))
    ids = random.choice(((1, 2, 3, 4, 5), (1, 127, 300, 1 << 40, MAX_INTEGER)))[:size]
    go_nodes = set(random.sample(ids, random.randrange(1, size)))
    peers: dict[int, MixedNode] = {}
    settings: dict[int, MixedSettings] = {}
    is_safe = random.random() < 0.5
    reads_by_lease = is_safe and random.random() < 0.3
    guards = (True, True) if is_safe else random.choice(((False, False), (False, False), (True, False), (True, True)))
    election_tick = random.randrange(5, 11)
    step_down = random.random() < 0.5
    for id in ids:
        peers[id] = GoNode(process) if id in go_nodes else PythonNode(Random(random.randrange(1 << 30)))
        settings[id] = MixedSettings(
            election_tick=election_tick,
            heartbeat_tick=1,
            max_size_per_msg=random.choice((1, 64, 1 << 20)),
            max_committed_size_per_ready=random.choice((64, 1 << 20)),
            max_inflight_msgs=random.choice((1, 4, 256)),
            check_quorum=guards[0],
            pre_vote=guards[1],
            is_asynchronous=random.random() < 0.4,
            step_down_on_removal=step_down or reads_by_lease,
            batch_append=random.random() < 0.3,
            is_safe=is_safe,
            reads_by_lease=reads_by_lease,
        )
    index, term = random.choice(((2, 1), (2, 1), (126, 127), (16382, 16383), (1 << 40, 1 << 31)))
    start = Snapshot(b"", SnapshotMetadata(ConfState(tuple(ids[:voters])), index, term))
    group = Group(random, peers, start, settings)
    group.has_leases = reads_by_lease
    group.is_fifo = random.random() < 0.3 or reads_by_lease
    if not reads_by_lease:
        group.loss = random.choice((0.0, 0.02, 0.15))
        group.repeat = random.choice((0.0, 0.05, 0.2))
    group.count("groups with our defaults" if is_safe else "groups with the reference's defaults")
    group.count("groups with leases", int(reads_by_lease))
    for id, peer in peers.items():
        group.count(f"nodes of {peer.library} with asynchronous writes", int(settings[id].is_asynchronous))
    return group


def come_to_rest(group: Group) -> None:
    """Faults end; the group owes a leader, a write, reads on all members, and the same state. Raises LawError."""
    group.calm_down()
    if _until_rest(group, are_strangers_stopped=False):
        return
    # Who was removed may disturb a group without check-quorum for ever, or lead it on and answer no forwarded reads.
    if not _until_rest(group, are_strangers_stopped=True):
        told = {id: (one.role, one.term, one.commit, one.applied, one.last) for id, one in group.shown.items()}
        raise LawError("liveness", f"no rest in {group.laws.conf}: {told}, reads answered by {group.answered}")
    group.count("groups that come to rest once the removed are stopped")


def _until_rest(group: Group, are_strangers_stopped: bool) -> bool:
    for _ in range(_ROUNDS):
        if are_strangers_stopped:
            group.stop_strangers()
        if _is_at_rest(group):
            return True
        if leader := group.latest_leader():
            if group.laws.conf.voters_outgoing and not group.laws.conf.auto_leave:
                group.change()
            group.write(leader, LAST_WRITE)
        for id in oracle.members_of(group.laws.conf):
            if id not in group.answered:
                group.read_at(id)
        group.tick_all()
    return _is_at_rest(group)


def _is_at_rest(group: Group) -> bool:
    """True if a leader has committed in its term, also the last write, all members have applied the same up to the same
    index, and each has answered a read.
    """
    leader = group.latest_leader()
    members = oracle.members_of(group.laws.conf)
    if leader not in members or group.laws.conf.voters_outgoing or not group.answered >= {*members}:
        return False
    records = [group.laws.records[id] for id in members]
    highest = group.laws.records[leader].applied
    return (
        group.shown[leader].commit == group.shown[leader].last == highest
        and all((record.applied, record.digest) == (highest, records[0].digest) for record in records)
        and any(data == LAST_WRITE for _term, _type, data in group.laws.truth.values())
    )
