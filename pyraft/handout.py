"""Handout: what `RawNode` remembers about the last Ready.

Two things: what was told, so that the next Ready tells only what is new; and, unless writes are asynchronous, what
`advance` will have achieved, fixed when the Ready was taken and not when `advance` is called: between the two the node
goes on.

Source: etcd rawnode.go acceptReady, Advance.
"""

from __future__ import annotations

from typing import final

from pyraft.types import FOLLOWER, NONE_ID, Role, u64
from raftpb.message import NO_MESSAGES, Message


@final
class Handout:
    """The last Ready as far as it matters for the next one."""

    def __init__(self) -> None:
        # What the application was told last.
        self.told_term: u64 = 0
        self.told_vote: u64 = NONE_ID
        self.told_commit: u64 = 0
        self.told_leader: u64 = NONE_ID
        self.told_role: Role = FOLLOWER

        # What holds once `advance` is called.
        self.awaits_advance = False
        self.self_messages: list[Message] = NO_MESSAGES
        """This node's own votes and acknowledgements, durable by then."""
        self.append_term: u64 = 0
        """Term at which the write was handed out."""
        self.appended_index: u64 = 0
        """The log is durable up to here; 0: nothing was waiting."""
        self.appended_term: u64 = 0
        """Term of the entry at `appended_index`."""
        self.snapshot_index: u64 = 0
        """The snapshot at this index is durable; 0: there was none."""
        self.applied_index: u64 = 0
        """Entries are applied up to here; 0: none were handed out."""
        self.applied_encoded_bytes: u64 = 0
        self.applied_payload_bytes: u64 = 0

    def clear(self) -> None:
        """`advance` has been called."""
        self.awaits_advance = False
        self.self_messages = NO_MESSAGES
        self.appended_index = 0
        self.snapshot_index = 0
        self.applied_index = 0
