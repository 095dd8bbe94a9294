"""Trace logger: receives each step of the protocol, for checking real runs against a TLA+ specification.

A `TraceEvent` is a value; `to_json` gives the bytes that the reference's state tracer gives for the same step, so that
its Traceetcdraft specification reads both. Events are for machines: their names and shapes are the reference's.

Source: etcd state_trace.go, tla/README.md; docs/traces.md on how to validate a trace.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class TracedMessage:
    """A message in a trace; zero stands for what the message does not carry.

    `type`: its name, for instance MsgApp. `entries`: how many it carries; of a MsgSnap the index of its snapshot, with
    `log_term` and `index` 0, as if it carried the whole log up to there.
    """

    type: str
    term: int
    from_: int
    to: int
    entries: int
    log_term: int
    index: int
    commit: int
    vote: int
    reject: bool
    reject_hint: int

    def to_dict(self) -> dict[str, object]:
        """The fields as they stand in JSON, in that order."""
        return {
            "type": self.type,
            "term": self.term,
            "from": str(self.from_),
            "to": str(self.to),
            "entries": self.entries,
            "logTerm": self.log_term,
            "index": self.index,
            "commit": self.commit,
            "vote": str(self.vote),
            "reject": self.reject,
            "rejectHint": self.reject_hint,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class TracedConfChange:
    """A membership change: `changes`, pairs of a node and what is proposed for it (AddNewServer, RemoveServer,
    AddLearner), or `new_voters`, the incoming voters of the configuration that takes effect.
    """

    changes: tuple[tuple[int, str], ...] = ()
    new_voters: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """The fields as they stand in JSON, in that order; empty ones are left out."""
        fields: dict[str, object] = {}
        if self.changes:
            fields["changes"] = [{"nid": str(id), "action": action} for id, action in self.changes]
        if self.new_voters:
            fields["newconf"] = _texts(self.new_voters)
        return fields


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceEvent:
    """One step of one node, and the node as it is at that moment.

    `name`: InitState, BecomeFollower, BecomeCandidate, BecomeLeader, Replicate, Commit, Ready, ChangeConf,
    ApplyConfChange, or Send and Receive with AppendEntriesRequest, AppendEntriesResponse, RequestVoteRequest,
    RequestVoteResponse. `role`: its name, for instance StateLeader. `last_index`: of the log. `voters`,
    `voters_outgoing`: both halves of the configuration, ascending. `message`: what was sent or received.
    `conf_change`: with ChangeConf and ApplyConfChange. `match`, `next`: with a MsgApp that is sent, what the sender
    keeps about its own log; None where it is no member.
    """

    name: str
    node_id: int
    term: int
    vote: int
    commit: int
    role: str
    last_index: int
    voters: tuple[int, ...]
    voters_outgoing: tuple[int, ...]
    message: TracedMessage | None = None
    conf_change: TracedConfChange | None = None
    match: int | None = None
    next: int | None = None

    def to_dict(self) -> dict[str, object]:
        """The fields as they stand in JSON, in that order."""
        fields: dict[str, object] = {
            "name": self.name,
            "nid": str(self.node_id),
            "state": {"term": self.term, "vote": str(self.vote), "commit": self.commit},
            "role": self.role,
            "log": self.last_index,
            "conf": [_texts(self.voters), _texts(self.voters_outgoing)],
        }
        if self.message is not None:
            fields["msg"] = self.message.to_dict()
        if self.conf_change is not None:
            fields["prop"] = {"cc": self.conf_change.to_dict()}
        elif self.match is not None:
            fields["prop"] = {"match": self.match, "next": self.next}
        return fields

    def to_json(self) -> str:
        """One line of JSON, without spaces, as the reference writes it."""
        return json.dumps(self.to_dict(), separators=(",", ":"))


class TraceLogger(Protocol):
    """A receiver of events, in the order in which they happen.

    What it raises stops the node for good, as with a `Logger`; it must not call the node.
    """

    def trace_event(self, event: TraceEvent, /) -> object:
        """Take an event."""
        ...


def _texts(ids: tuple[int, ...]) -> list[str]:
    return [str(id) for id in ids]
