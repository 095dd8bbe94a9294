"""Oracle: quorums and membership changes once more, from their definitions and for nobody's speed.

It shares nothing with the core, so that the same mistake would have to be made twice.

Source: thesis §4.1, §4.3.
"""

from __future__ import annotations

from collections.abc import Sequence

from raftpb.confchange import ConfChangeV2
from raftpb.enums import ADD_LEARNER_NODE, ADD_NODE, REMOVE_NODE, TRANSITION_AUTO, TRANSITION_JOINT_EXPLICIT
from raftpb.message import ConfState


def is_quorum(conf: ConfState, members: Sequence[int]) -> bool:
    """True if `members` hold a majority of each half; learners and strangers among them do not count."""
    halves = [half for half in (conf.voters, conf.voters_outgoing) if half]
    return bool(halves) and all(2 * sum(one in members for one in half) > len(half) for half in halves)


def members_of(conf: ConfState) -> list[int]:
    """Everybody who takes part in any way, ascending."""
    return sorted({*conf.voters, *conf.voters_outgoing, *conf.learners, *conf.learners_next})


def is_voter(conf: ConfState, id: int) -> bool:
    """True for a voter of either half."""
    return id in conf.voters or id in conf.voters_outgoing


def is_sound(conf: ConfState) -> bool:
    """True if somebody votes, no learner does, and the next learners are leaving voters."""
    voters = {*conf.voters, *conf.voters_outgoing}
    return bool(conf.voters) and not voters & {*conf.learners} and {*conf.learners_next} <= {*conf.voters_outgoing}


def quorums_meet(one: ConfState, other: ConfState) -> bool:
    """True if every quorum of one shares a member with every quorum of the other: whoever is not in a quorum of one
    must not make a quorum of the other.
    """
    ids = sorted({*one.voters, *one.voters_outgoing, *other.voters, *other.voters_outgoing})
    for chosen in range(1 << len(ids)):
        inside = [id for at, id in enumerate(ids) if chosen >> at & 1]
        if is_quorum(one, inside) and is_quorum(other, [id for id in ids if id not in inside]):
            return False
    return True


def change(conf: ConfState, asked: ConfChangeV2) -> ConfState | None:
    """What `asked` makes of `conf`; None if that is impossible."""
    joint = bool(conf.voters_outgoing)
    if not asked.changes and asked.transition is TRANSITION_AUTO:
        return _leave(conf) if joint else None
    enters = asked.transition is not TRANSITION_AUTO or len(asked.changes) > 1
    if joint:
        return None
    voters, learners, next_learners = {*conf.voters}, {*conf.learners}, set[int]()
    outgoing = {*conf.voters} if enters else set[int]()
    for one in asked.changes:
        id = one.node_id
        if id == 0:
            continue
        if one.type is ADD_NODE:
            voters.add(id)
            learners.discard(id)
            next_learners.discard(id)
        elif one.type is REMOVE_NODE:
            voters.discard(id)
            learners.discard(id)
            next_learners.discard(id)
        elif one.type is ADD_LEARNER_NODE and id not in learners:
            voters.discard(id)
            (next_learners if id in outgoing else learners).add(id)
    if not voters or (not enters and len(voters ^ {*conf.voters}) > 1):
        return None
    auto_leave = enters and asked.transition is not TRANSITION_JOINT_EXPLICIT
    return _conf(voters, learners, outgoing, next_learners, auto_leave)


def _leave(conf: ConfState) -> ConfState:
    return _conf({*conf.voters}, {*conf.learners, *conf.learners_next}, set(), set(), False)


def _conf(voters: set[int], learners: set[int], outgoing: set[int], later: set[int], auto_leave: bool) -> ConfState:
    return ConfState(
        tuple(sorted(voters)),
        tuple(sorted(learners)),
        tuple(sorted(outgoing)),
        tuple(sorted(later)),
        auto_leave,
    )
