"""A Raft state machine with no I/O: messages and ticks in, `Ready` out, `advance()` when it is done.

Read in this order: `rawnode` (what an application holds), `ready` (what it has to do), `config`, `storage`; then
`core.step` and the modules that it leads to: `core.roles`, `election`, `replication`, `acks`, `reads`, `membership`.
"""

from pyraft import rawnode as _rawnode
from pyraft.anomalies import Anomalies
from pyraft.bootstrap import Peer
from pyraft.config import Config, RandomSource
from pyraft.core_state import CoreState
from pyraft.errors import (
    CompactedError,
    ConfChangeError,
    ConfigError,
    DecodeError,
    DropReason,
    EncodeError,
    ForwardedProposalDroppedError,
    InvalidMessageError,
    InvalidReason,
    InvariantError,
    LocalMessageError,
    MisuseError,
    NodeFailedError,
    PeerNotFoundError,
    ProposalDroppedError,
    RaftError,
    ReadDroppedError,
    ReadDropReason,
    SnapshotOutOfDateError,
    SnapshotUnavailableError,
    StepError,
    StorageError,
    UnavailableError,
)
from pyraft.logger import Logger, NullLogger
from pyraft.memory_storage import MemoryStorage
from pyraft.node_like import NodeLike
from pyraft.rawnode import RawNode
from pyraft.ready import AbortedRead, ReadState, Ready, RefusedConfChange, SoftState
from pyraft.status import BasicStatus, Status
from pyraft.storage import Storage
from pyraft.trace_logger import TracedConfChange, TracedMessage, TraceEvent, TraceLogger
from pyraft.tracker.configuration import Configuration
from pyraft.tracker.progress import Progress, ProgressState
from pyraft.types import (
    NO_LIMIT,
    CampaignRefusal,
    ReadOnlyOption,
    Role,
    SnapshotStatus,
    TransferRefusal,
)

__version__ = "0.1.0"

COMPILED = not (_rawnode.__file__ or "").endswith(".py")
"""True if the core runs as machine code, False if it is interpreted."""

__all__ = [
    "COMPILED",
    "NO_LIMIT",
    "AbortedRead",
    "Anomalies",
    "BasicStatus",
    "CampaignRefusal",
    "CompactedError",
    "ConfChangeError",
    "Config",
    "ConfigError",
    "Configuration",
    "CoreState",
    "DecodeError",
    "DropReason",
    "EncodeError",
    "ForwardedProposalDroppedError",
    "InvalidMessageError",
    "InvalidReason",
    "InvariantError",
    "LocalMessageError",
    "Logger",
    "MemoryStorage",
    "MisuseError",
    "NodeFailedError",
    "NodeLike",
    "NullLogger",
    "Peer",
    "PeerNotFoundError",
    "Progress",
    "ProgressState",
    "ProposalDroppedError",
    "RaftError",
    "RandomSource",
    "RawNode",
    "ReadDropReason",
    "ReadDroppedError",
    "ReadOnlyOption",
    "ReadState",
    "Ready",
    "RefusedConfChange",
    "Role",
    "SnapshotOutOfDateError",
    "SnapshotStatus",
    "SnapshotUnavailableError",
    "SoftState",
    "Status",
    "StepError",
    "Storage",
    "StorageError",
    "TraceEvent",
    "TraceLogger",
    "TracedConfChange",
    "TracedMessage",
    "TransferRefusal",
    "UnavailableError",
]
