"""Lease: what a follower has promised, what a leader may rely on, and when either ends.

With lease-based reads a leader answers a read without asking a quorum, as long as it knows that no other leader can
have been elected. Thesis §6.4.1: "the leader would use the normal heartbeat mechanism to maintain a lease; once the
leader's heartbeats were acknowledged by a majority of the cluster, it would extend its lease to `start +
election timeout / clock drift bound`, since the followers shouldn't time out before then". Here a follower's part is a
promise of its own: it does not depend on the term, or on whom the follower takes for the leader.

Times are ticks of a node's own clock; n is `Config.election_tick`, the same on every member.

    promise     Begins with every append, heartbeat or snapshot of the leader of the current term, and runs for n ticks.
                The first tick may come at once, so that it lasts n - 1 whole ticks at least. Meanwhile this node grants
                no vote and no pre-vote, and does not campaign, but for a transfer that the leader itself has ordered.
    lease       Begins with the sending of a heartbeat, once a quorum has answered it or a later one, and runs for n - 2
                ticks. Meanwhile the leader answers reads at once.

Invariants:
    L1  While a leader's lease runs, each member of a quorum of its configuration keeps a promise that began later.
    L2  Nobody wins an election of a later term without a member of that quorum, unless by a transfer of this leader.
    L3  So nobody leads a later term while a leader may answer by lease.

Assumption about clocks: between the sending of a heartbeat and the end of the lease, n - 2 ticks of the leader take no
longer than n - 1 ticks of any follower. A leader whose process stood still must take the ticks that it missed before it
takes reads.

What may end a promise, and what happens:

    another term          Nothing: the promise runs on. A message of a higher term that is no vote request ends what the
                          follower knows about its leader, but not what it has promised (`Config.lease_outlives_term`).
    another role          Nothing. A candidate that hears from the leader promises too.
    the leader is lost    Nothing: `forget_leader`, or a new leader, does not shorten it.
    restart               The promise is not on the disk. A node that starts behaves as if it had promised just before
                          (`Config.lease_survives_restart`).
    transfer              Vote requests of a transfer, and MsgTimeoutNow, pass. The leader gives its lease up for the
                          rest of the term before it sends MsgTimeoutNow (`Config.lease_ends_with_transfer`).
    campaign              `RawNode.campaign()` is refused while the promise runs. The election time-out never ends
                          earlier: it begins with the same message and is n ticks at least.
    membership            Nothing: a learner, and a node that is no member any more, keep their promises. Two quorums of
                          neighbouring configurations share a member. A configuration is left behind only once a quorum
                          of it has appended a later change, which came from this leader and began a promise.
    snapshot              Nothing: it comes from the leader, and begins a promise.

What ends a lease: its time; any change of term or role; MsgTimeoutNow. It does not end with a change of membership (see
above), and a leader that is no voter any more steps down (`Config.step_down_on_removal`).

Every member must keep its promises, or nobody may read by lease. A group changes `Config.read_only_option` node by node
in two rounds: first every node gets `Config.promise_lease`, then every node the other option.

Source: thesis §4.2.3, §6.4.1; etcd raft.go Step (inLease), read_only.go.
"""

from __future__ import annotations

from typing import final

from mypy_extensions import mypyc_attr

from pyraft.types import NONE_ID, u64

_MARGIN = 2
"""Ticks that a lease is shorter than a promise: the first tick of a promise may come at once, and clocks differ."""


@final
class LeasePromise:
    """The promise of a follower to give no vote while a leader may answer reads by lease."""

    def __init__(self, length: u64, follows_start: bool) -> None:
        """Promise for `length` ticks each time; `follows_start`: also now, to whoever was promised before the start."""
        self._length: u64 = length
        self.ticks_left: u64 = length if follows_start else 0
        """Ticks that the promise still runs for."""
        self.leader: u64 = NONE_ID
        """To whom it was given; 0: to a leader of before the start, if to anybody."""

    def begin(self, leader: u64) -> None:
        """Promise to `leader`, who has sent something in the current term."""
        self.ticks_left = self._length
        self.leader = leader

    def is_running(self) -> bool:
        """True while no vote may be given, asked for, or promised to another."""
        return self.ticks_left > 0


@final
@mypyc_attr(acyclic=True)
class HeartbeatRound:
    """A round of heartbeats: the number that it carries, and the leader's tick at which it was sent."""

    __slots__ = ("number", "sent_at")

    def __init__(self, number: u64, sent_at: u64) -> None:
        self.number = number
        self.sent_at = sent_at


@final
class LeaderLease:
    """The lease of a leader: until when it may answer reads without asking a quorum."""

    def __init__(self, election_timeout: u64, is_used: bool, is_bounded: bool, ends_with_transfer: bool) -> None:
        self.is_used = is_used
        """Reads are answered by lease (`Config.read_only_option`)."""
        self.is_bounded = is_bounded
        """The lease ends by the clock; else, as in the reference, with the leadership."""
        self.ends_with_transfer = ends_with_transfer
        """MsgTimeoutNow ends the lease for the rest of the term."""
        self.until: u64 = 0
        """The tick from which on the lease no longer runs."""
        self.is_transferred = False
        """MsgTimeoutNow has left in this term."""
        self.rounds: list[HeartbeatRound] = []
        """Rounds that no quorum has answered yet, in the order of their sending."""
        self._length: u64 = election_timeout - _MARGIN if election_timeout > _MARGIN else 0

    def needs_round(self, now: u64) -> bool:
        """True if heartbeats that leave at tick `now` are to renew the lease, and no earlier ones of this tick do."""
        if not self.is_used or not self.is_bounded:
            return False
        return not self.rounds or self.rounds[-1].sent_at != now

    def add_round(self, number: u64, now: u64) -> None:
        """Note that the heartbeats of round `number` leave at tick `now`; forget those that can renew nothing."""
        if self.rounds and self.rounds[0].sent_at + self._length <= now:
            self.rounds = [one for one in self.rounds if one.sent_at + self._length > now]
        self.rounds.append(HeartbeatRound(number, now))

    def confirm(self, number: u64) -> None:
        """Renew the lease: a quorum has answered heartbeats of round `number` or later ones."""
        count = 0
        for one in self.rounds:
            if one.number > number:
                break
            self.until = one.sent_at + self._length
            count += 1
        if count > 0:
            del self.rounds[:count]

    def is_running(self, now: u64) -> bool:
        """True if the leader may answer a read at tick `now` without asking a quorum."""
        if not self.is_used or (self.is_transferred and self.ends_with_transfer):
            return False
        return now < self.until or not self.is_bounded

    def end(self) -> None:
        """End the lease: the term or the role changes."""
        self.until = 0
        self.is_transferred = False
        if self.rounds:
            self.rounds = []
