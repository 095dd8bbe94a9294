"""Every error the library raises on purpose, split by who must act.

    RaftError
    ├─ ConfigError (also ValueError)      the programmer: fix the configuration
    ├─ StepError                          the transport: drop the message; the node is unchanged
    │  ├─ LocalMessageError                 a type that only travels inside a node
    │  ├─ PeerNotFoundError                 a response from a node that is not a member
    │  └─ InvalidMessageError (.reason)     contradicts itself, its address or what its sender can know
    ├─ ProposalDroppedError (.reason)     the client: it never entered the log; try later or elsewhere
    ├─ ReadDroppedError (.reason)         the client: the read never left this node
    ├─ ConfChangeError                    whoever applies membership changes: this one is impossible
    ├─ MisuseError                        the programmer: a call out of turn
    ├─ StorageError                       raised by a Storage; four kinds that the core understands
    ├─ NodeFailedError (.cause)           the operator: the node stopped for good at an earlier error
    └─ InvariantError                     a bug or a corrupt disk: the node is dead from here on

After any of them but the last two the node is as it was before the call and goes on. The errors stay interpreted in the
compiled build, so that applications may derive from them.
"""

from __future__ import annotations

from enum import Enum

from raftpb.errors import DecodeError, EncodeError, InvalidMessageError, InvalidReason, RaftError, StepError
from raftpb.message import Message

__all__ = [
    "CompactedError",
    "ConfChangeError",
    "ConfigError",
    "DecodeError",
    "DropReason",
    "EncodeError",
    "ForwardedProposalDroppedError",
    "InvalidMessageError",
    "InvalidReason",
    "InvariantError",
    "LocalMessageError",
    "MisuseError",
    "NodeFailedError",
    "PeerNotFoundError",
    "ProposalDroppedError",
    "RaftError",
    "ReadDropReason",
    "ReadDroppedError",
    "SnapshotOutOfDateError",
    "SnapshotUnavailableError",
    "StepError",
    "StorageError",
    "UnavailableError",
]


class ConfigError(RaftError, ValueError):
    """A configuration that cannot work; `field` names the knob. Who acts: the programmer."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"Config.{field}: {detail}")
        self.field = field
        self.detail = detail

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return (type(self), (self.field, self.detail))


class LocalMessageError(StepError):
    """A message of a type that only travels inside a node came from the network (etcd ErrStepLocalMsg)."""

    def __init__(self, message: Message) -> None:
        super().__init__(f"{message.type} from {message.from_} never comes from the network; was a port shared?")
        self.message = message

    def __reduce__(self) -> tuple[type, tuple[Message]]:
        return (type(self), (self.message,))


class PeerNotFoundError(StepError):
    """A response from a node that is not a member, for instance one just removed (etcd ErrStepPeerNotFound)."""

    def __init__(self, message: Message) -> None:
        super().__init__(f"{message.type} from {message.from_}, which is not a member here")
        self.message = message

    def __reduce__(self) -> tuple[type, tuple[Message]]:
        return (type(self), (self.message,))


class DropReason(Enum):
    """Reasons why a proposal did not enter the log."""

    NO_LEADER = "no leader is known; wait for Ready.soft_state to name one and propose again"
    CAMPAIGNING = "this node is campaigning; wait for the election to end and propose again"
    FORWARDING_DISABLED = "this node is not the leader and does not forward; propose on the leader"
    NOT_MEMBER = "the leader has been removed from the configuration; propose on the next leader"
    TRANSFERRING = "leadership is being transferred; propose again when it has settled"
    UNCOMMITTED_LIMIT = "too many bytes are waiting to be committed; slow down and propose again"
    TOO_LARGE = "the data is larger than Config.max_entry_size; split it"


class ProposalDroppedError(RaftError):
    """The proposal never entered the log, so it may be made again (etcd ErrProposalDropped). Who acts: the client."""

    def __init__(self, reason: DropReason) -> None:
        super().__init__(f"proposal dropped: {reason.value}")
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[DropReason]]:
        return (type(self), (self.reason,))


class ForwardedProposalDroppedError(ProposalDroppedError, StepError):
    """A proposal that another node forwarded here was dropped. Who acts: the transport counts it; the proposer learns
    nothing, since the protocol has no answer for it, and needs a time-out.
    """


class ReadDropReason(Enum):
    """Reasons why a read was not, or will not be, answered."""

    NO_LEADER = "no leader is known; ask again when one is"
    CAMPAIGNING = "this node is campaigning; ask again when the election has ended"
    TOO_MANY = "Config.max_pending_reads reads are waiting already; ask again later"
    ROLE_CHANGED = "this node stopped leading before the read was confirmed; ask again"


class ReadDroppedError(RaftError):
    """The read never left this node. Who acts: the client."""

    def __init__(self, reason: ReadDropReason) -> None:
        super().__init__(f"read dropped: {reason.value}")
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[ReadDropReason]]:
        return (type(self), (self.reason,))


class ConfChangeError(RaftError, ValueError):
    """A membership change that is impossible in this configuration; nothing has changed. Who acts: the application,
    which decides before it applies an entry whether it accepts the change.
    """


class MisuseError(RaftError):
    """A call out of turn, such as `ready()` twice without `advance()`. Who acts: the programmer."""


class StorageError(RaftError):
    """A Storage cannot do what it was asked. Any but the four kinds below stops the node. Who acts: the operator."""


class CompactedError(StorageError):
    """The entry is gone: a snapshot covers it (etcd ErrCompacted)."""

    def __init__(self, detail: str = "the requested index lies below the first index of the log") -> None:
        super().__init__(detail)


class UnavailableError(StorageError):
    """The entry is not there yet: it lies beyond the end of the log (etcd ErrUnavailable)."""

    def __init__(self, detail: str = "the requested index lies beyond the last index of the log") -> None:
        super().__init__(detail)


class SnapshotOutOfDateError(StorageError):
    """The snapshot is not newer than the one there is (etcd ErrSnapOutOfDate)."""

    def __init__(self, detail: str = "a snapshot at or above the requested index is already there") -> None:
        super().__init__(detail)


class SnapshotUnavailableError(StorageError):
    """A snapshot is being made; the core asks again later (etcd ErrSnapshotTemporarilyUnavailable)."""

    def __init__(self, detail: str = "the snapshot is not ready yet; it will be asked for again") -> None:
        super().__init__(detail)


class NodeFailedError(RaftError):
    """The node stopped for good at `cause`: an InvariantError or an exception of the Storage. Nothing more is sent.
    Who acts: the operator; build a new node from what is on disk once the cause is mended.
    """

    def __init__(self, cause: BaseException) -> None:
        super().__init__(f"this node stopped at an earlier {type(cause).__name__}: {cause}")
        self.cause = cause

    def __reduce__(self) -> tuple[type, tuple[BaseException]]:
        return (type(self), (self.cause,))


class InvariantError(RaftError):
    """A law of Raft does not hold: a bug, or a disk that lost or changed what it had promised. The node is dead from
    here on; every later call raises NodeFailedError. Who acts: the operator, and please tell us.
    """
