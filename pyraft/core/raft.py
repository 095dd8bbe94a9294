"""Raft: the record that the modules of the core work on.

Everything that the machine remembers is a field here, and everything that it wants to tell the application waits here
until `RawNode.ready` collects it. The modules are functions over this record; nothing is hidden in them.

Messages leave in two streams. `msgs_after_append` holds the answers that promise something about this node's disk
(MsgAppResp, MsgVoteResp, MsgPreVoteResp, granting or not, also to itself): they wait until that is durable.
`msgs` may leave at once.

Source: etcd raft.go raft, send; thesis §10.2.1.
"""

from __future__ import annotations

from typing import final

from pyraft.anomalies import Anomalies
from pyraft.config import Config
from pyraft.lease import LeaderLease, LeasePromise
from pyraft.log import RaftLog
from pyraft.log_reader import reader_of
from pyraft.quota import UncommittedQuota
from pyraft.read_queue import PendingRead, ReadQueue
from pyraft.ready import AbortedRead, ReadState, RefusedConfChange
from pyraft.state_trace import StateTracer
from pyraft.tracker.configuration import Configuration
from pyraft.tracker.tracker import ProgressTracker
from pyraft.types import FOLLOWER, LEASE_BASED, NO_LIMIT, NONE_ID, Role, u64
from raftpb.enums import (
    MSG_APP_RESP,
    MSG_PRE_VOTE,
    MSG_PRE_VOTE_RESP,
    MSG_PROP,
    MSG_READ_INDEX,
    MSG_VOTE,
    MSG_VOTE_RESP,
)
from raftpb.message import Message


@final
class Raft:
    """One node's state. Written only by the modules of `pyraft.core`, read by `RawNode`."""

    def __init__(self, config: Config) -> None:
        # Told once.
        self.id: u64 = config.id
        self.election_timeout: u64 = config.election_tick
        self.heartbeat_timeout: u64 = config.heartbeat_tick
        self.check_quorum = config.check_quorum
        self.pre_vote = config.pre_vote
        self.lease_based = config.read_only_option is LEASE_BASED
        self.promises_lease = config.promise_lease or (self.lease_based and config.lease_outlives_term)
        self.async_storage_writes = config.async_storage_writes
        self.max_size_per_msg: u64 = config.max_size_per_msg
        self.batch_append = config.batch_append
        self.max_pending_reads: u64 = _or_unlimited(config.max_pending_reads)
        self.disable_proposal_forwarding = config.disable_proposal_forwarding
        self.disable_conf_change_validation = config.disable_conf_change_validation
        self.step_down_on_removal = config.step_down_on_removal
        self.persist_before_vote_request = config.persist_before_vote_request and config.async_storage_writes
        self.single_voter_reads_need_commit = config.single_voter_reads_need_commit
        self.strict_pre_votes = config.strict_pre_votes
        self.abort_reads_on_step_down = config.abort_reads_on_step_down
        self.retry_lost_acks_at_heartbeat = config.retry_lost_acks_at_heartbeat
        self.recheck_reads = config.recheck_reads
        self.retry_auto_leave = config.retry_auto_leave
        self.random = config.random
        self.logger = config.logger
        self.tracer = None if config.trace_logger is None else StateTracer(config.trace_logger)

        # Durable: what HardState holds, beside the log's commit index.
        self.term: u64 = 0
        """The highest term seen."""
        self.vote: u64 = NONE_ID
        """The node that got this node's vote in `term`."""

        # The log and the others.
        self.log = RaftLog(
            reader_of(config.storage),
            config.max_committed_size_per_ready or config.max_size_per_msg,
        )
        self.tracker = ProgressTracker(config.max_inflight_msgs, config.inflight_bytes())
        self.is_learner = False
        """This node is a learner of the applied configuration."""
        self.is_voter = False
        """This node is a voter of either half of the applied configuration."""

        self.applied_config: Configuration | None = None
        """While a received snapshot waits for the disk: the configuration of what the application has applied. The
        tracker then has the snapshot's."""

        self.changes_applied: u64 = 0
        """Calls of `apply_conf_change` for the batches that are being applied."""

        # What this node is.
        self.role: Role = FOLLOWER
        self.leader: u64 = NONE_ID
        """The leader of `term`, as far as known."""

        # Clocks, in ticks.
        self.ticks: u64 = 0
        """Since this node was built."""
        self.election_elapsed: u64 = 0
        """Since word from the leader or a vote given; on a leader, since the last CheckQuorum round."""
        self.heartbeat_elapsed: u64 = 0
        """Since this leader's last heartbeat."""
        self.randomized_election_timeout: u64 = self.election_timeout
        """Drawn from [n, 2n) at each change of role or term."""

        # Leases.
        self.promise = LeasePromise(
            self.election_timeout,
            (self.lease_based or config.promise_lease) and config.lease_survives_restart,
        )
        """This node's promise to a leader."""
        self.lease = LeaderLease(
            self.election_timeout, self.lease_based, config.bounded_lease, config.lease_ends_with_transfer
        )
        """This leader's lease."""

        # Leadership.
        self.lead_transferee: u64 = NONE_ID
        """To whom leadership is being handed; 0: to nobody."""
        self.pending_conf_index: u64 = 0
        """A membership change may be proposed only once this index is applied."""
        self.quota = UncommittedQuota(_or_unlimited(config.max_uncommitted_entries_size))
        self.reads = ReadQueue()
        self.postponed_reads: list[PendingRead] = []
        """Reads that arrived before the first commit of the term."""
        self.forwarded_reads: dict[bytes, int] = {}
        """Number of unanswered reads forwarded to the leader, by context; oldest first, bounded."""

        # A follower that may have lost its log.
        self.misses_entries = False
        """The leader has told of a commit index beyond this log, and the two logs have not met since."""
        self.has_refused = False
        """An append was refused since the leader's last heartbeat, while `misses_entries`."""

        # Waiting for Ready.
        self.msgs: list[Message] = []
        self.msgs_after_append: list[Message] = []
        self.read_states: list[ReadState] = []
        self.aborted_reads: list[AbortedRead] = []
        self.refused_conf_changes: list[RefusedConfChange] = []

        self.anomalies = Anomalies()

    def send(self, m: Message) -> None:
        """Address a message and put it into the stream that it belongs to.

        Requests and answers of an election carry their own term, proposals and reads none, everything else the
        current one.
        """
        if m.from_ == NONE_ID:
            m.from_ = self.id
        t = m.type
        if t is MSG_APP_RESP:
            m.term = self.term
            self.msgs_after_append.append(m)
        elif t is MSG_VOTE_RESP or t is MSG_PRE_VOTE_RESP or (t is MSG_VOTE and self.persist_before_vote_request):
            self.msgs_after_append.append(m)
        else:
            if t is not MSG_VOTE and t is not MSG_PRE_VOTE and t is not MSG_PROP and t is not MSG_READ_INDEX:
                m.term = self.term
            self.msgs.append(m)
        if self.tracer is not None:
            self.tracer.send(self, m)

    def is_promotable(self) -> bool:
        """True if this node may campaign: a voter, and no snapshot is waiting to become durable."""
        return self.is_voter and self.log.unstable.snapshot is None

    def has_committed_in_term(self) -> bool:
        """True once an entry of the current term is committed, from when on the commit index is known to be current."""
        return self.log.matches(self.term, self.log.committed)


def _or_unlimited(limit: int) -> int:
    return NO_LIMIT if limit == 0 else limit
