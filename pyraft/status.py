"""Status: what a node looks like from outside, as values that do not change afterwards.

Source: etcd status.go.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import final

from pyraft.anomalies import Anomalies
from pyraft.core.raft import Raft
from pyraft.ready import SoftState
from pyraft.tracker.configuration import Configuration
from pyraft.tracker.progress import Progress
from pyraft.types import LEADER, u64
from raftpb.message import HardState


@dataclass(kw_only=True, slots=True)
class BasicStatus:
    """The cheap part: a handful of numbers."""

    id: u64
    """This node."""
    hard_state: HardState
    """Term, vote and commit index as they are now, durable or not."""
    soft_state: SoftState
    """Leader and role."""
    applied: u64
    """Highest index that the application has acknowledged as applied."""
    last_index: u64
    """Highest index in the log, durable or not."""
    lead_transferee: u64
    """To whom this leader is handing over; 0: to nobody."""
    is_member: bool
    """The applied configuration lists this node."""
    is_learner: bool
    """It lists it as a learner."""
    committed_in_term: bool
    """An entry of this term is committed: only from then on may a leader say what is committed."""
    pending_reads: u64
    """Reads that wait here for a confirmation or for the first commit of the term."""
    uncommitted_size: u64
    """Payload bytes that this leader has appended and that are not applied yet."""
    randomized_election_timeout: u64
    """Ticks without word from a leader after which this node campaigns."""
    anomalies: Anomalies
    """Counts and suspicions of what a healthy group does not do."""

    @property
    def term(self) -> u64:
        """The highest term seen."""
        return self.hard_state.term

    @property
    def commit(self) -> u64:
        """The commit index."""
        return self.hard_state.commit

    @property
    def log_loss_suspected(self) -> str:
        """The reason to suspect that entries which this node once acknowledged are missing here; empty if there is
        none.
        """
        return self.anomalies.log_loss_suspected

    @property
    def foreign_log_suspected(self) -> str:
        """The reason to suspect that a leader's log contradicts the committed entries here; empty if there is none."""
        return self.anomalies.foreign_log_suspected

    @property
    def term_jump(self) -> bool:
        """A message would have raised the term by more than 2^32 at once. It was refused."""
        return self.anomalies.term_jump


@final
@dataclass(kw_only=True, slots=True)
class Status(BasicStatus):
    """All of it: the numbers, the configuration, and on a leader how far each member has come."""

    config: Configuration
    """The applied configuration."""
    progress: dict[int, Progress]
    """On a leader a copy of each member's Progress, itself included, ascending by id; empty on others."""
    quorum_recently_active: bool
    """On a leader: a quorum has answered since the last CheckQuorum round."""

    def to_json(self) -> str:
        """The reference's JSON form: ids in hexadecimal, numbers in decimal (etcd status.go MarshalJSON)."""
        return json.dumps(
            {
                "id": f"{self.id:x}",
                "term": self.hard_state.term,
                "vote": f"{self.hard_state.vote:x}",
                "commit": self.hard_state.commit,
                "lead": f"{self.soft_state.leader:x}",
                "raftState": str(self.soft_state.role),
                "applied": self.applied,
                "progress": {
                    f"{member:x}": {"match": one.match, "next": one.next, "state": str(one.state)}
                    for member, one in self.progress.items()
                },
                "leadtransferee": f"{self.lead_transferee:x}",
            },
            separators=(",", ":"),
        )


def basic_status_of(r: Raft) -> BasicStatus:
    """The numbers of `r`."""
    return BasicStatus(
        id=r.id,
        hard_state=HardState(r.term, r.vote, r.log.committed),
        soft_state=SoftState(r.leader, r.role),
        applied=r.log.applied,
        last_index=r.log.last_index(),
        lead_transferee=r.lead_transferee,
        is_member=r.is_voter or r.is_learner,
        is_learner=r.is_learner,
        committed_in_term=_committed_in_term(r),
        pending_reads=len(r.reads) + len(r.postponed_reads),
        uncommitted_size=r.quota.size,
        randomized_election_timeout=r.randomized_election_timeout,
        anomalies=r.anomalies.clone(),
    )


def _committed_in_term(r: Raft) -> bool:
    try:
        return r.has_committed_in_term()
    except Exception:  # a Storage that fails must not keep anybody from looking at the node
        return False


def status_of(r: Raft) -> Status:
    """Everything about `r`."""
    basic = basic_status_of(r)
    leads = r.role is LEADER
    return Status(
        id=basic.id,
        hard_state=basic.hard_state,
        soft_state=basic.soft_state,
        applied=basic.applied,
        last_index=basic.last_index,
        lead_transferee=basic.lead_transferee,
        is_member=basic.is_member,
        is_learner=basic.is_learner,
        committed_in_term=basic.committed_in_term,
        pending_reads=basic.pending_reads,
        uncommitted_size=basic.uncommitted_size,
        randomized_election_timeout=basic.randomized_election_timeout,
        anomalies=basic.anomalies,
        config=r.tracker.config,
        progress={one.id: one.clone() for one in r.tracker.peers} if leads else {},
        quorum_recently_active=leads and r.tracker.quorum_active(),
    )
