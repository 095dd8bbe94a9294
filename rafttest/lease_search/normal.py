"""Normal: what makes two nodes, or two messages, the same.

Two nodes are the same if nothing that may follow tells them apart. So the clock of each stands at the same tick; the
numbers of a leader's heartbeat rounds begin at 1, without gaps, and those that can confirm nothing any more are 0; time-
outs never run out by themselves, since `campaign` may come at any moment; and what only counts or tells is left out.

A node is moved on in its normal form, so a change here that is no true likeness would make up behaviour. A replay and
`tests/test_lease_search.py` therefore run real nodes beside it that are never touched.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from pyraft import CoreState, Role
from pyraft.anomalies import Anomalies
from pyraft.read_queue import CONTEXT_BYTES, context_of, position_of
from raftpb.codec import decode_conf_change, decode_conf_change_v2
from raftpb.enums import ENTRY_CONF_CHANGE, ENTRY_NORMAL, MSG_HEARTBEAT, MSG_HEARTBEAT_RESP
from raftpb.message import Entry, Message
from rafttest.lease_search.node import Part

_NOW: Final = 1000
_NEVER: Final = 1_000_000

Names = tuple[int, ...]
"""names[id]: what node `id` is called; names[0] is 0, nobody."""


class Numbers(NamedTuple):
    """How numbers of heartbeat rounds changed when a leader of `term`, node `leader`, was brought into normal form."""

    leader: int
    term: int
    live: tuple[int, ...]
    """The numbers that can still confirm something, ascending; each becomes its place in here, from 1."""

    def of(self, number: int) -> int:
        """What `number` has become."""
        return bisect_right(self.live, number)

    def apply(self, m: Message) -> Message:
        """The message with its number changed."""
        if len(m.context) == CONTEXT_BYTES:
            number = self.of(position_of(m.context))
            m.context = context_of(number) if number else b""
        return m

    def concerns(self, m: Message) -> bool:
        """True if the number that `m` carries, if any, is one of this leader's."""
        if m.term != self.term:
            return False
        return (m.type is MSG_HEARTBEAT and m.from_ == self.leader) or (
            m.type is MSG_HEARTBEAT_RESP and m.to == self.leader
        )


def normal_core(core: CoreState, election_tick: int) -> tuple[CoreState, Numbers]:
    """The node in normal form, and what became of its numbers."""
    leads = core.role is Role.StateLeader
    length = election_tick - 2
    rounds = [one for one in core.lease_rounds if leads and one[1] + length > core.ticks]
    pending = core.reads_pending if leads else ()
    live = sorted({number for number, _ in rounds} | {read[3] for read in pending})
    numbers = Numbers(core.id, core.term, tuple(live))
    left = core.lease_until - core.ticks if leads else 0
    made = replace(
        core,
        ticks=_NOW,
        election_elapsed=core.election_elapsed if leads else min(core.election_elapsed, election_tick),
        randomized_election_timeout=_NEVER,
        lease_until=_NOW + left if left > 0 else 0,
        lease_rounds=tuple([(numbers.of(number), sent_at - core.ticks + _NOW) for number, sent_at in rounds]),
        reads_confirmed=0,
        reads_last=len(live),
        reads_pending=tuple([(*read[:3], numbers.of(read[3])) for read in pending]),
        reads_acked=tuple([(id, numbers.of(number)) for id, number in core.reads_acked if leads and numbers.of(number)]),
        read_states=(),
        aborted_reads=(),
        refused_conf_changes=(),
        anomalies=Anomalies(),
    )
    return made, numbers


def node_key(part: Part, names: Names) -> tuple[object, ...]:
    """What a node in normal form is, under these names."""
    core = part.core
    leads = core.role is Role.StateLeader
    config = core.config
    key: tuple[object, ...] = (
        names[core.id],
        core.term,
        names[core.vote],
        int(core.role),
        names[core.leader],
        core.election_elapsed if leads or core.leader else 0,
        core.promise_ticks_left,
        names[core.promise_leader] if core.promise_ticks_left else 0,
        core.committed,
        _entries(part.entries, names),
        [
            _named(ids, names)
            for ids in (config.voters, config.voters_outgoing, config.learners, config.learners_next)
        ],
        config.auto_leave,
        sorted([(names[id], granted) for id, granted in core.votes]),
        len(core.postponed_reads),
        core.misses_entries,
        core.has_refused,
    )
    return (*key, *_leading(core, names)) if leads else key


def _leading(core: CoreState, names: Names) -> tuple[object, ...]:
    return (
        core.heartbeat_elapsed,
        core.lease_until,
        core.lease_is_transferred,
        core.lease_rounds,
        names[core.lead_transferee],
        core.pending_conf_index,
        core.reads_last,
        [read[3] for read in core.reads_pending],
        sorted([(names[id], number) for id, number in core.reads_acked]),
        sorted([
            (
                names[one.id],
                one.match,
                one.next,
                int(one.state),
                one.recent_active,
                one.flow_paused,
                one.sent_commit,
                one.is_learner,
                one.pending_snapshot,
            )
            for one in core.progress
        ]),
    )


def message_key(m: Message, names: Names) -> tuple[object, ...]:
    """What a message is, under these names."""
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
        m.context,
        _entries(m.entries, names),
    )


def _entries(entries: Sequence[Entry], names: Names) -> list[tuple[object, ...]]:
    return [(entry.index, entry.term, _change(entry, names)) for entry in entries]


def _change(entry: Entry, names: Names) -> object:
    if entry.type is ENTRY_NORMAL:
        return ""
    if entry.type is ENTRY_CONF_CHANGE:
        change = decode_conf_change(entry.data)
        return int(change.type), names[change.node_id]
    return [(int(step.type), names[step.node_id]) for step in decode_conf_change_v2(entry.data).changes]


def _named(ids: Sequence[int], names: Names) -> list[int]:
    return sorted([names[id] for id in ids])
