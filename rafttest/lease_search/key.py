"""Key: what makes two states the same.

Two states are the same if the law cannot tell what follows from them apart. So ticks count from now, numbers of reads
from the latest, and nodes are renamed in an order of their own: by what they are, not by their id. What only counts or
tells is left out. A renaming that does not merge two states that are alike costs time, never a wrong verdict.
"""

from __future__ import annotations

import hashlib

from pyraft import CoreState, Role
from raftpb.enums import MSG_HEARTBEAT, MSG_HEARTBEAT_RESP
from raftpb.message import Message
from rafttest.lease_search.clock import NODES
from rafttest.lease_search.group import GroupState, Part, Setting, decoded


def key(setting: Setting, state: GroupState) -> bytes:
    """Sixteen bytes that two states share only if they are the same."""
    cores = [part.core for part in state.parts]
    order = sorted(range(NODES), key=lambda node: _rank(setting, cores[node], node))
    names = [0] * (NODES + 1)
    for position, node in enumerate(order, start=1):
        names[node + 1] = position
    renamed = tuple(names)
    told = (
        [_told(state.parts[node], renamed) for node in order],
        sorted([_message(decoded(data), cores, names) for data in state.wire]),
        [[state.clock[a][b] for b in order] for a in order],
        tuple(state.budget),
    )
    return hashlib.blake2b(repr(told).encode(), digest_size=16).digest()


def _rank(setting: Setting, core: CoreState, node: int) -> tuple[object, ...]:
    """An order of nodes by what they are; nodes that are told apart by their knobs keep their place."""
    return (
        0 if setting.is_alike else node,
        -core.term,
        int(core.role),
        core.promise_ticks_left,
        core.election_elapsed,
        core.committed,
        core.vote != 0,
        len(core.progress),
    )


def _told(part: Part, names: tuple[int, ...]) -> str:
    """What `part` is under these names; most parts of a state are those of the state before."""
    told = part.told.get(names)
    if told is None:
        told = part.told[names] = repr(_node(part.core, names))
    return told


def _node(core: CoreState, names: tuple[int, ...]) -> tuple[object, ...]:
    """What a node is, with ids renamed and ticks counted from now."""
    leads = core.role is Role.StateLeader
    lease = max(0, core.lease_until - core.ticks) if leads else 0
    return (
        core.term,
        names[core.vote],
        int(core.role),
        names[core.leader],
        core.election_elapsed,
        core.heartbeat_elapsed if leads else 0,
        core.promise_ticks_left,
        lease,
        core.lease_is_transferred,
        names[core.lead_transferee],
        tuple([(core.reads_last - number, core.ticks - sent_at) for number, sent_at in core.lease_rounds]),
        (core.committed, core.base, tuple([entry.term for entry in core.entries])),
        sorted([(names[id], granted) for id, granted in core.votes]),
        _acked(core, names) if leads else (),
        core.reads_last - core.reads_confirmed,
        len(core.reads_pending),
        len(core.postponed_reads),
        sorted(
            [
                (
                    names[one.id],
                    one.match,
                    one.next,
                    int(one.state),
                    one.recent_active,
                    one.flow_paused,
                    one.sent_commit,
                )
                for one in core.progress
            ]
        )
        if leads
        else (),
        core.config.voters,
    )


def _acked(core: CoreState, names: tuple[int, ...]) -> list[tuple[int, int]]:
    """Who has confirmed what no quorum has yet."""
    return sorted(
        [(names[id], core.reads_last - number) for id, number in core.reads_acked if number > core.reads_confirmed]
    )


def _message(m: Message, cores: list[CoreState], names: list[int]) -> tuple[object, ...]:
    context: object = m.context
    if m.context and (m.type is MSG_HEARTBEAT or m.type is MSG_HEARTBEAT_RESP):
        leader = cores[(m.from_ if m.type is MSG_HEARTBEAT else m.to) - 1]
        if leader.role is Role.StateLeader and leader.term == m.term:
            context = leader.reads_last - int.from_bytes(m.context, "little")
        else:
            context = "old"
    return (
        int(m.type),
        names[m.to],
        names[m.from_],
        m.term,
        m.log_term,
        m.index,
        m.commit,
        m.reject,
        m.reject_hint,
        str(context),
        tuple([entry.term for entry in m.entries]),
    )
