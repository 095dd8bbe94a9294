"""The state tracer: what the modules of the core report to it becomes `TraceEvent`s for `Config.trace_logger`.

The modules call it in one line, at the places and in the order of the reference's tracer; what an event says, with all
that is odd about it, is here. Invariants: it changes nothing, and a node without a trace logger has no tracer.

What is odd, and kept so that the reference's specification fits:
  - a pre-candidacy and pre-votes are not told; a snapshot that is sent counts as an append of its whole log;
  - InitState is told of a node that has not read its state yet, and ApplyConfChange before the change takes effect;
  - Replicate is told once for each normal entry, before any of them is in the log;
  - Commit is told for each attempt to commit, also if nothing came of it;
  - a MsgApp that is sent comes with the sender's Progress for itself, not for the follower.

Source: etcd state_trace.go.
"""

from __future__ import annotations

from typing import Final, Protocol, final

from pyraft.log import RaftLog
from pyraft.trace_logger import TracedConfChange, TracedMessage, TraceEvent, TraceLogger
from pyraft.tracker.configuration import Configuration
from pyraft.tracker.tracker import ProgressTracker
from pyraft.types import Role, u64
from raftpb.confchange import ConfChangeV2
from raftpb.enums import (
    ADD_LEARNER_NODE,
    ADD_NODE,
    ENTRY_NORMAL,
    MSG_APP,
    MSG_APP_RESP,
    MSG_HEARTBEAT,
    MSG_HEARTBEAT_RESP,
    MSG_SNAP,
    MSG_VOTE,
    MSG_VOTE_RESP,
    REMOVE_NODE,
    ConfChangeType,
    MessageType,
)
from raftpb.message import Entry, Message

_MESSAGES: Final[dict[MessageType, str]] = {
    MSG_APP: "AppendEntriesRequest",
    MSG_HEARTBEAT: "AppendEntriesRequest",
    MSG_SNAP: "AppendEntriesRequest",
    MSG_APP_RESP: "AppendEntriesResponse",
    MSG_HEARTBEAT_RESP: "AppendEntriesResponse",
    MSG_VOTE: "RequestVoteRequest",
    MSG_VOTE_RESP: "RequestVoteResponse",
}
"""Names in the specification of the messages that it knows; others are left out."""

_ACTIONS: Final[dict[ConfChangeType, str]] = {
    ADD_NODE: "AddNewServer",
    REMOVE_NODE: "RemoveServer",
    ADD_LEARNER_NODE: "AddLearner",
}

_NOBODY: Final = Configuration()


class Traced(Protocol):
    """The fields of a node that the tracer reads: the part of `core.raft.Raft` that the specification knows."""

    @property
    def id(self) -> u64: ...

    @property
    def term(self) -> u64: ...

    @property
    def vote(self) -> u64: ...

    @property
    def role(self) -> Role: ...

    @property
    def log(self) -> RaftLog: ...

    @property
    def tracker(self) -> ProgressTracker: ...


@final
class StateTracer:
    """Tells one node's steps to `logger`; each method is one kind of them, and raises what the logger raises."""

    def __init__(self, logger: TraceLogger) -> None:
        self.logger = logger

    def init_state(self, r: Traced) -> None:
        """A node starts; nothing of its hard state and configuration is known yet."""
        self._tell(r, "InitState")

    def ready(self, r: Traced) -> None:
        """A Ready has been handed out."""
        self._tell(r, "Ready")

    def commit(self, r: Traced) -> None:
        """A leader has looked whether more is committed."""
        self._tell(r, "Commit")

    def replicate(self, r: Traced, entries: list[Entry]) -> None:
        """A leader is about to append `entries`."""
        for entry in entries:
            if entry.type is ENTRY_NORMAL:
                self._tell(r, "Replicate")

    def become_follower(self, r: Traced) -> None:
        """The node has become a follower."""
        self._tell(r, "BecomeFollower")

    def become_candidate(self, r: Traced) -> None:
        """The node has become a candidate."""
        self._tell(r, "BecomeCandidate")

    def become_leader(self, r: Traced) -> None:
        """The node has become leader, and its log does not have the empty entry of the term yet."""
        self._tell(r, "BecomeLeader")

    def change_conf(self, r: Traced, change: ConfChangeV2) -> None:
        """A leader is about to append a membership change; one that leaves a joint configuration is not told."""
        changes = tuple([(one.node_id, _ACTIONS[one.type]) for one in change.changes if one.type in _ACTIONS])
        if changes:
            self._tell(r, "ChangeConf", conf_change=TracedConfChange(changes=changes))

    def apply_conf_change(self, r: Traced, config: Configuration) -> None:
        """`config` is about to take effect; when it comes with a snapshot, nothing is left of the old one."""
        current = r.tracker.config if r.log.unstable.snapshot is None else _NOBODY
        self._tell(r, "ApplyConfChange", current, conf_change=TracedConfChange(new_voters=config.voters))

    def send(self, r: Traced, m: Message) -> None:
        """A message waits to be sent, maybe for the disk."""
        kind = _MESSAGES.get(m.type)
        if kind is None:
            return
        own = r.tracker.find(m.from_) if m.type is MSG_APP else None
        if own is None:
            self._tell(r, "Send" + kind, message=m)
        else:
            self._tell(r, "Send" + kind, message=m, match=own.match, next=own.next)

    def receive(self, r: Traced, m: Message) -> None:
        """A message has come in, maybe from this node itself, and nothing has been done about it yet."""
        kind = _MESSAGES.get(m.type)
        if kind is not None:
            self._tell(r, "Receive" + kind, message=m)

    def _tell(
        self,
        r: Traced,
        name: str,
        config: Configuration | None = None,
        *,
        message: Message | None = None,
        conf_change: TracedConfChange | None = None,
        match: int | None = None,
        next: int | None = None,
    ) -> None:
        if config is None:
            config = r.tracker.config
        self.logger.trace_event(
            TraceEvent(
                name=name,
                node_id=r.id,
                term=r.term,
                vote=r.vote,
                commit=r.log.committed,
                role=str(r.role),
                last_index=r.log.last_index(),
                voters=config.voters,
                voters_outgoing=config.voters_outgoing,
                message=None if message is None else _traced(message),
                conf_change=conf_change,
                match=match,
                next=next,
            )
        )


def _traced(m: Message) -> TracedMessage:
    is_snapshot = m.type is MSG_SNAP
    snapshot_index = 0 if m.snapshot is None else m.snapshot.metadata.index
    return TracedMessage(
        type=str(m.type),
        term=m.term,
        from_=m.from_,
        to=m.to,
        entries=snapshot_index if is_snapshot else len(m.entries),
        log_term=0 if is_snapshot else m.log_term,
        index=0 if is_snapshot else m.index,
        commit=m.commit,
        vote=m.vote,
        reject=m.reject,
        reject_hint=m.reject_hint,
    )
