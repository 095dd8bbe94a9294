"""Run: one seed of a mixed group, from its founding until it is at rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from rafttest.mixed.go_process import GoNode, GoProcess
from rafttest.mixed.group import Group
from rafttest.mixed.laws import LawError
from rafttest.mixed.peer import Peer, Settings
from rafttest.mixed.python_node import PythonNode
from rafttest.sim import oracle

EVENTS: Final = 6000
"""Of the first phase."""
_ROUNDS: Final = 60
"""Of the second: so many with all nodes, then as many with the members alone."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a seed. `broken`: the law, and how; empty if all held."""

    seed: int
    events: int
    trace_hash: str
    counts: dict[str, int]
    broken: str
    recent: tuple[str, ...]


def run(process: GoProcess, seed: int) -> Result:
    """Play `seed`. Raises GoProcessError if the program fails."""
    random = Random(seed)
    process.seed(seed)
    group = _founded(process, random)
    broken = ""
    try:
        for _ in range(EVENTS):
            group.happen()
        _come_to_rest(group)
    except LawError as error:
        broken = str(error)
    counts = dict(sorted(group.counts.items()))
    counts["reads judged"] = group.laws.reads
    return Result(seed, group.events, group.trace_hash(), counts, broken, tuple(group.recent))


def _founded(process: GoProcess, random: Random) -> Group:
    size, voters = random.choice(((3, 3), (4, 3), (5, 3), (5, 4), (5, 5)))
    go_nodes = set(random.sample(range(1, size + 1), random.randrange(1, size)))
    peers: dict[int, Peer] = {}
    settings: dict[int, Settings] = {}
    is_safe = random.random() < 0.5
    guards = (True, True) if is_safe else random.choice(((False, False), (False, False), (True, False), (True, True)))
    election_tick = random.randrange(5, 11)
    step_down = random.random() < 0.5
    for id in range(1, size + 1):
        peers[id] = GoNode(process) if id in go_nodes else PythonNode(Random(random.randrange(1 << 30)))
        settings[id] = Settings(
            election_tick=election_tick,
            heartbeat_tick=1,
            max_size_per_msg=random.choice((1, 64, 1 << 20)),
            max_committed_size_per_ready=random.choice((64, 1 << 20)),
            max_inflight_msgs=random.choice((1, 4, 256)),
            check_quorum=guards[0],
            pre_vote=guards[1],
            is_asynchronous=random.random() < 0.4,
            step_down_on_removal=step_down,
            batch_append=random.random() < 0.3,
            is_safe=is_safe,
        )
    group = Group(random, peers, voters, settings)
    group.loss = random.choice((0.0, 0.02, 0.15))
    group.repeat = random.choice((0.0, 0.05, 0.2))
    group.is_fifo = random.random() < 0.3
    group.count("groups with our defaults" if is_safe else "groups with the reference's defaults")
    group.count("nodes with asynchronous writes", sum(one.is_asynchronous for one in settings.values()))
    return group


def _come_to_rest(group: Group) -> None:
    """Faults end; the group owes a leader, a write, and the same state on every member. Raises LawError."""
    group.calm_down()
    everybody = list(group.peers)
    _until(group, lambda: everybody, lambda: group.latest_leader() != 0)
    for _ in range(3):
        group.propose()
    if not _until(group, lambda: everybody, lambda: _is_settled(group)):
        # Who was removed may go on asking for votes, and disturbs a group without check-quorum for ever.
        if not _until(group, lambda: oracle.members_of(group.laws.conf), lambda: _is_settled(group)):
            told = {id: (one.role, one.term, one.commit, one.applied, one.last) for id, one in group.shown.items()}
            raise LawError("rest", f"no rest in {group.laws.conf}: {told}")


def _until(group: Group, ticking: Callable[[], list[int]], reached: Callable[[], bool]) -> bool:
    for _ in range(_ROUNDS):
        if reached():
            return True
        leader = group.latest_leader()
        if leader and group.laws.conf.voters_outgoing and not group.laws.conf.auto_leave:
            group.change()
        if leader:
            group.propose()
        group.round(ticking())
    return reached()


def _is_settled(group: Group) -> bool:
    """True if a leader has committed in its term, and all members have applied the same up to the same index."""
    leader = group.latest_leader()
    if not leader:
        return False
    members = oracle.members_of(group.laws.conf)
    records = [group.laws.records[id] for id in members]
    highest = group.laws.records[leader].applied
    return (
        leader in members
        and group.shown[leader].commit == group.shown[leader].last == highest
        and not group.laws.conf.voters_outgoing
        and all((record.applied, record.digest) == (highest, records[0].digest) for record in records)
    )
