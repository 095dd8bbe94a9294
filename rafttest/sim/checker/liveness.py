"""Liveness: what a cluster without faults owes: L1 to L11, each a question about what can be seen from outside.

A `View` is the whole cluster at one moment. A question returns what is missing, nothing if nothing is. `within` demands
that it is answered in time; `Watch` holds a cluster to what must hold from now on. Nothing here touches a node, so that
views can be made up by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from pyraft import Role
from raftpb.message import ConfState
from rafttest.sim.checker import oracle
from rafttest.sim.checker.violation import Violation

Question = Callable[["View"], str]
"""What is missing; empty if nothing is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One node that runs."""

    id: int
    role: Role
    term: int
    leader: int
    commit: int
    applied: int
    """By the application."""
    last: int
    last_term: int
    state: bytes
    """Hash of all that the application has applied."""
    conf: ConfState
    changes: int = 0
    """Membership changes in its log that are not applied."""
    transferee: int = 0
    unwritten: int = 0
    """Entries that the core has beyond those on the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowerView:
    """A member, as the leader sees it."""

    id: int
    is_replicating: bool
    is_paused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The cluster at one moment."""

    conf: ConfState
    """As committed."""
    nodes: tuple[Seen, ...]
    """Those that run, members or not, ascending."""
    highest: int = 0
    """The highest index that anybody knows to be committed."""
    state: bytes = b""
    """What the application is after that."""
    followers: tuple[FollowerView, ...] = ()
    """In the eyes of the leader; given where it is asked for."""
    acknowledged: int = 0
    """Writes."""
    reads_waiting: int = 0
    sent: int = 0
    """Messages sent by members so far."""
    snapshots_sent: int = 0
    cut: frozenset[tuple[int, int]] = frozenset()
    """Links that are cut, as (sender, receiver)."""

    def core(self) -> list[Seen]:
        """The members that run."""
        members = oracle.members_of(self.conf)
        return [node for node in self.nodes if node.id in members]

    def leader(self) -> Seen | None:
        """Of those who lead, the one of the highest term."""
        leaders = [node for node in self.core() if node.role is Role.StateLeader]
        return max(leaders, key=lambda node: node.term) if leaders else None

    def __str__(self) -> str:
        return f"configuration {self.conf}; " + "; ".join(
            f"{node.id} {node.role} term {node.term} leader {node.leader} applied {node.applied} commit {node.commit} "
            f"last {node.last}"
            for node in self.nodes
        )


def within(law: str, ticks: int, views: Iterable[View], missing: Question) -> View:
    """The first of `views`, one a tick, in which nothing is missing. Raises Violation if it is not among so many."""
    what, view = "nothing was seen", None
    for tick, view in enumerate(views):
        what = missing(view)
        if not what:
            return view
        if tick >= ticks:
            break
    raise Violation(law, f"not within {ticks} ticks: {what}; {view}")


def no_leader(view: View) -> str:
    """L1: one leader, whom all members know, in one term."""
    leader = view.leader()
    if leader is None:
        return "no leader"
    strays = [node.id for node in view.core() if node.leader != leader.id or node.term != leader.term]
    return f"{strays} do not follow {leader.id}" if strays else ""


def not_written(view: View, enough: int) -> str:
    """L2: so many writes are acknowledged, and applied everywhere."""
    if view.acknowledged < enough:
        return f"{enough - view.acknowledged} writes are not acknowledged"
    return disagreement(view)


def unsettled(view: View) -> str:
    """L3: no joint configuration, no membership change that is not applied, and everybody in the same one."""
    if view.conf.voters_outgoing:
        return "the configuration is joint"
    waiting = [node.id for node in view.core() if node.changes or node.conf != view.conf]
    return f"{waiting} have not applied all membership changes" if waiting else ""


def joint_by_itself(view: View) -> str:
    """L3, of an idle cluster: no joint configuration that is to be left by itself."""
    return "the configuration is joint" if view.conf.auto_leave else ""


def disagreement(view: View) -> str:
    """L4: all members have applied the same, and everything."""
    behind = [node.id for node in view.core() if node.applied != view.highest or node.state != view.state]
    return f"{behind} have not applied what the others have up to {view.highest}" if behind else ""


def unfinished(view: View) -> str:
    """L4, and no log holds anything beyond that: an election just now, or a slow write, would still add to it."""
    longer = [node.id for node in view.core() if node.last + node.unwritten != view.highest]
    return disagreement(view) or (f"the logs of {longer} do not end at {view.highest}" if longer else "")


def stuck_flow(view: View) -> str:
    """L5: the leader sends to every member that runs without searching, without pause, and without a snapshot."""
    leader = view.leader()
    if leader is None:
        return "no leader"
    running = {node.id for node in view.core()} - {leader.id}
    slow = [one.id for one in view.followers if one.id in running and (one.is_paused or not one.is_replicating)]
    absent = sorted(running - {one.id for one in view.followers})
    return f"nothing flows to {slow or absent}" if slow or absent else ""


def waiting_reads(view: View) -> str:
    """L6: nobody waits for a read."""
    return f"{view.reads_waiting} reads wait" if view.reads_waiting else ""


def running_transfer(view: View) -> str:
    """L7: nobody is handing over."""
    handing = [node.id for node in view.core() if node.transferee]
    return f"{handing} are handing over" if handing else ""


def no_reaching_leader(view: View) -> str:
    """L10: a leader hears from a quorum, and is heard by it."""
    leader = view.leader()
    if leader is None:
        return "no leader"
    reached = [node.id for node in view.core() if _meet(view, leader.id, node.id)]
    return "" if oracle.is_quorum(view.conf, reached) else f"leader {leader.id} reaches only {reached}"


def _meet(view: View, one: int, other: int) -> bool:
    return (one, other) not in view.cut and (other, one) not in view.cut


class Watch:
    """Holds a cluster that has a leader to keeping it: L8, L10. `changes`: how often it may be another one. That a
    leader goes who is no voter any more does not count.
    """

    def __init__(self, law: str, first: View, changes: int = 0) -> None:
        self.law = law
        self.changes = changes
        self.leader = first.leader()

    def see(self, view: View) -> None:
        """One tick later. Raises Violation."""
        leader, before = view.leader(), self.leader
        if before is None or not oracle.is_voter(view.conf, before.id):
            self.leader = leader
        elif leader is None:
            if self.changes == 0:
                raise Violation(self.law, f"the leader is gone, it was {before}; {view}")
        elif (leader.id, leader.term) != (before.id, before.term):
            self.changes -= 1
            if self.changes < 0:
                raise Violation(self.law, f"the leader changed again, it was {before}; {view}")
            self.leader = leader


_IDLE_MESSAGES: Final = 2
"""A tick and member that follows: a heartbeat and its answer. One more a tick is granted to all together."""


def check_idle(before: View, after: View, ticks: int) -> None:
    """L9: between the two nothing was asked for. Elections are for L8. Raises Violation."""
    first, last = before.leader(), after.leader()
    if first is None or last is None or (first.id, first.term) != (last.id, last.term):
        return
    lasts = {node.id: node.last for node in before.core()}
    for node in after.core():
        if node.last != lasts.get(node.id, node.last):
            raise Violation("L9", f"the log of idle node {node.id} grew from {lasts[node.id]} to {node.last}")
    if after.snapshots_sent != before.snapshots_sent:
        raise Violation(
            "L9", f"{after.snapshots_sent - before.snapshots_sent} snapshots were sent, but nothing was new"
        )
    followers = len(oracle.members_of(before.conf)) - 1
    sent, most = after.sent - before.sent, (_IDLE_MESSAGES * followers + 1) * (ticks + 1)
    if sent > most:
        raise Violation("L9", f"{sent} messages were sent in {ticks} idle ticks, {most} are enough")


def recovery_is_impossible(view: View) -> str:
    """Why nobody who runs can ever be elected; empty if somebody can.

    Only a voter, by the configuration that it has applied itself, campaigns; only those whose log is no longer than its
    own vote for it. That decides, whoever may be asked and whatever the others believe. It happens where too many are
    gone for good, and in one more way: a membership change takes effect when it is applied, so a voter that does not
    know it to be committed still asks those whom it removed; with longer logs they refuse, and may not campaign
    themselves. The reference has the same flaw; whoever removes a leader should first make another one.
    """
    voters = [node.id for node in view.nodes if oracle.is_voter(node.conf, node.id)]
    running = {node.id for node in view.nodes}
    if (not voters and running.issuperset(view.conf.voters)) or electable(view):
        return ""
    return f"none of the voters {voters} can get a quorum of those who run"


def electable(view: View) -> list[int]:
    """The nodes that can get the votes of a quorum of those who run, by their own configurations and all logs."""
    found = []
    for node in view.nodes:
        own = (node.last_term, node.last)
        willing = [other.id for other in view.nodes if (other.last_term, other.last) <= own]
        if oracle.is_voter(node.conf, node.id) and oracle.is_quorum(node.conf, willing):
            found.append(node.id)
    return found


def prove_end(view: View, expected: Violation, everybody_runs: bool) -> str:
    """L11: the cluster did not recover, as `expected` says. Returns why it could not; raises Violation if it could:
    the one that was expected where everybody runs, else L11.
    """
    proof = recovery_is_impossible(view)
    if proof:
        return proof
    if everybody_runs:
        raise expected
    raise Violation("L11", f"some are down for good and the others did not recover, though they could: {expected}")
