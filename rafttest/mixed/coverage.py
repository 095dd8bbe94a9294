"""Coverage: what the groups of one release must have been through for their silence to mean anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from raftpb.enums import (
    MSG_APP,
    MSG_APP_RESP,
    MSG_HEARTBEAT,
    MSG_HEARTBEAT_RESP,
    MSG_PRE_VOTE,
    MSG_PRE_VOTE_RESP,
    MSG_PROP,
    MSG_READ_INDEX,
    MSG_READ_INDEX_RESP,
    MSG_SNAP,
    MSG_TIMEOUT_NOW,
    MSG_TRANSFER_LEADER,
    MSG_VOTE,
    MSG_VOTE_RESP,
    MessageType,
)

ENOUGH: Final = 50
"""Groups of a release from which on all of it must have been reached."""

_BETWEEN: Final[tuple[MessageType, ...]] = (
    MSG_PROP,
    MSG_APP,
    MSG_APP_RESP,
    MSG_VOTE,
    MSG_VOTE_RESP,
    MSG_SNAP,
    MSG_HEARTBEAT,
    MSG_HEARTBEAT_RESP,
    MSG_TRANSFER_LEADER,
    MSG_TIMEOUT_NOW,
    MSG_READ_INDEX,
    MSG_READ_INDEX_RESP,
    MSG_PRE_VOTE,
    MSG_PRE_VOTE_RESP,
)
"""Messages that each library must have got from the other."""
_OF_EACH: Final = (
    "elections won by {}",
    "snapshots installed by {}",
    "membership changes applied by {}",
    "reads answered by {}",
    "reads answered by {} beside leases",
    "nodes of {} with asynchronous writes",
)
_OF_ALL: Final = (
    "groups with our defaults",
    "groups with the reference's defaults",
    "membership changes proposed: simple, as V1",
    "membership changes proposed: as V2",
    "joint configurations",
    "elections in a joint configuration",
    "configurations with learners",
    "transfers asked for",
    "snapshots made",
    "crashes",
    "crashes in a Ready",
    "partitions",
    "messages lost",
    "messages repeated",
)


def crossing(type: MessageType, library: str) -> str:
    """Name the messages of `type` that nodes of `library` got from the other one."""
    return f"{type} to {library} from the other"


def unseen(counts: Mapping[str, int], libraries: tuple[str, str]) -> list[str]:
    """Name what groups of both `libraries` have not been through, by what they have counted."""
    owed = [*_OF_ALL]
    for library in libraries:
        owed += [name.format(library) for name in _OF_EACH]
        owed += [crossing(type, library) for type in _BETWEEN]
    return [name for name in owed if not counts.get(name)]
