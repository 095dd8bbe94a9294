"""Coverage points: what a run must have been through for its silence to mean anything. A million schedules that never
install a snapshot over a conflicting tail say nothing about that.

Each is a name that `Simulation.count` counts under, and what it means. `coverage` sees most of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

COVERAGE_POINTS: Final[Mapping[str, str]] = {
    # logs
    "old entries of a majority overwritten": "uncommitted and on most disks (thesis fig. 3.7)",
    "elections behind the commit index of another": "the new leader does not know yet what is committed",
    "tails of three or more replaced": "three or more conflicting entries at once",
    "tails replaced while a write is under way": "the append thread is still writing what is replaced",
    "snapshots over a conflicting tail": "a received snapshot replaces entries that were never committed",
    "snapshots together with entries": "one Ready brings a snapshot and entries after it",
    "compactions past a paused follower": "a leader forgets what a paused follower would need next",
    # membership
    "elections in a joint configuration": "the leader changes between entering and leaving",
    "leaders crashed in a joint configuration": "a leader crashes between entering and leaving",
    "joint configurations left by a later leader": "another leader than the one that entered appends the leaving",
    "votes given by learners": "a node that knows itself for a learner votes, for its news may be old",
    "voters demoted through learners_next": "a voter becomes a learner by way of a joint configuration",
    "leaders that removed themselves and stepped down": "at the application of their own removal",
    "membership changes refused by a leader": "an empty entry took the place of a change",
    "campaigns refused: UNAPPLIED_CONF_CHANGE": "a committed change is not applied yet",
    "invitations while a membership change is unapplied": "MsgTimeoutNow reaches a node that must not campaign",
    "members that never started": "a member without a process",
    "nodes removed while cut off": "they come back without knowing it",
    "campaigns of removed nodes": "they go on asking for votes",
    "nodes that took a place under a new id": "in one change with the removal of the lost one",
    "own removals applied with a write under way": "the answer of the append thread comes to a node that is no member",
    "membership changes applied while a snapshot waited": "what is returned belongs to the change, not to the snapshot",
    "joint configurations left at another attempt": "the first was dropped, and nothing was applied since",
    "idle clusters in a joint configuration": "after faults end, before anything is written",
    # elections
    "campaigns refused: LEASE_PROMISED": "a leader may rely on this node",
    "campaigns refused: LEASE_MAY_RUN": "a leader of before the start may",
    "votes refused by a promise of an earlier term": "the node knows of no leader, and keeps its promise",
    "transfers aborted": "given up, and the leader leads on",
    "transfers to a node that crashed": "while they were under way",
    "forced votes against a live lease": "an invited candidate asks a follower that has a leader",
    "pre-votes refused by a lease": "a follower that has a leader does not answer",
    "pre-votes rejected from a higher term": "the pre-candidate learns that it is behind",
    "leaders stepped down by check-quorum": "no quorum answers",
    "votes received twice": "a copy of a vote reaches the candidate",
    "votes for an earlier life": "a vote for a request that was made before a crash arrives after it",
    # flow
    "appends of several proposals": "with `batch_append`",
    "acknowledgements of an earlier term": "a MsgAppResp reaches a leader of a later term",
    "probe to replicate after a heartbeat": "the answer to a heartbeat woke a flow whose probe was lost",
    "replicate to probe by a rejection": "an append was refused in the middle of a stream",
    "snapshot to replicate by an acknowledgement": "the snapshot arrived, and entries follow it",
    "windows of messages full": "as many appends on the way to a follower as there may be",
    "proposals dropped: UNCOMMITTED_LIMIT": "too much is waiting",
    "single proposals over the limit taken": "larger than the limit, but there is nothing else",
    "forwarded proposals lost": "a MsgProp that never arrived",
    "proposals dropped: TOO_LARGE": "larger than an entry may be",
    "proposals made again": "by a client that has not heard of it, elsewhere, without an id",
    "requests recognised as repeated": "sent twice, applied once",
    # reads
    "reads postponed until the first commit of a term": "the leader does not know what is committed",
    "reads aborted: ROLE_CHANGED": "the leader steps down before it could answer",
    "reads answered out of order": "a later read is answered before an earlier one of the same node",
    "reads refused the lease after an invitation": "the leader has invited another one, so it asks a quorum",
    "reads released by a smaller quorum": "a membership change is applied while they wait",
    "ways of reading that differ": "some nodes read by lease, the others ask a quorum and keep promises",
    # crashes and disks
    "all nodes down": "at once",
    "tails cut off at a start": "half a record, old bytes or zeros at the end of the log",
    "nodes whose disk failed at a sync": "nothing is sent or acknowledged after it",
    "nodes whose disk failed at a write": "no space",
    "nodes whose disk failed at a read": "the core is dead from then on",
    "damaged logs refused": "bits changed in the middle; no start with that",
    "storage answers repeated": "a thread says twice that something is durable",
    "nodes that lost their disk and were noticed": "wiped or restored from a backup, and `log_loss_suspected` tells so",
    # the network
    "messages for somebody else refused": "delivered to the wrong node",
    "damaged messages caught": "by the checksum",
    "messages of an old term": "any of them",
    "snapshots put together from pieces": "and whole",
    "snapshots begun again in the middle": "the receiver had forgotten the first pieces",
    "pieces of another snapshot refused": "they came after a newer one had begun",
    "nodes slowed down": "5 to 100 times",
    "knobs of safety switched off": "one of them, on all nodes",
    "heartbeats at every second tick": "the leader is silent for a tick",
    "nodes with settings of their own": "pre-vote and check-quorum differ, then equal",
    "clocks of different speed": "half to twice as fast",
}


def unseen(counts: Mapping[str, int]) -> list[str]:
    """The coverage points that were not reached at all."""
    return [name for name in COVERAGE_POINTS if not counts.get(name)]
