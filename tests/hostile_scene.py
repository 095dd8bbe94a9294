"""The node that hostile messages are thrown at, in each role, and how to tell that one left no trace."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness import Host, elect, grants, heartbeat, host

from pyraft import CoreState, Role, StepError
from raftpb.message import ConfState, Message

FOLLOWER, CANDIDATE, LEADER, PRE_CANDIDATE = (
    Role.StateFollower,
    Role.StateCandidate,
    Role.StateLeader,
    Role.StatePreCandidate,
)
TERM = 5
"""The term of every node that `in_role` makes."""
LAST_POSITION = 2**62 - 1
"""The largest term or index that may arrive."""

MEMBERS = ConfState((1, 2, 3), (4,))


def in_role(role: Role, **knobs: object) -> Host:
    """Node 1 of voters 1, 2, 3 and learner 4 in term 5: entries 1..5 of terms 1 1 2 3 3, of which 3 are committed; a
    leader has appended entry 6, a follower follows node 2 and heard it a tick ago.
    """
    made = host((1, 1, 2, 3, 3), conf_state=MEMBERS, term=TERM if role in (FOLLOWER, PRE_CANDIDATE) else 4, commit=3)
    made = made.restart(**knobs)
    made.settle()
    if role is FOLLOWER:
        made.step(heartbeat(TERM))
        made.tick()  # a refused message must not count as word from the leader
    elif role is LEADER:
        elect(made)
    else:
        assert made.raw.campaign() is None
        requests = made.settle()
        if role is CANDIDATE and made.role is PRE_CANDIDATE:
            made.step(*grants(requests))
    assert (made.role, made.term) == (role, TERM)
    return made


ROLES = [pytest.param(role, id=str(role)) for role in (FOLLOWER, PRE_CANDIDATE, CANDIDATE, LEADER)]


def without_counters(state: CoreState) -> CoreState:
    """`state` without what a refused message may change: its counter, and the suspicion that it raises."""
    quiet = replace(state.anomalies, refused_messages=0, term_jump=False, foreign_log_suspected="")
    return replace(state, anomalies=quiet)


def refuses(node: Host, m: Message) -> StepError:
    """Step `m`, which is refused: nothing has changed but one counter."""
    before = node.raw.export_state()
    with pytest.raises(StepError) as caught:
        node.raw.step(m)
    after = node.raw.export_state()
    assert after.anomalies.refused_messages == before.anomalies.refused_messages + 1
    assert without_counters(after) == without_counters(before)
    return caught.value
