"""What hosts say to each other: a handshake in HTTP headers, then frames over a WebSocket.

A connection carries messages one way, from the host that opened it. A frame is the group's id in 8 bytes, big-endian,
and the message as raftpb bytes. There are two lanes, so that a snapshot does not hold up heartbeats: a connection that
stays, with a frame in each WebSocket message; and one for each snapshot. There the first message is the size of the
snapshot's data in 8 bytes and the frame without the data; the data follow in chunks, uncopied, so that neither side's
loop is held up; a byte answers.

Source: etcd server/etcdserver/api/rafthttp, whose status codes for a refused handshake are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from raftpb import DecodeError, EncodeError, Message, MessageType, Snapshot, decode_message, encode_message

PATH: Final = "/raft"
PROTOCOL: Final = "1"
REFUSAL_HEADER: Final = "Raft-Refusal"
TAKEN: Final = b"\x01"
"""Answer to a snapshot that the receiving host has given to its node."""
NOT_TAKEN: Final = b"\x00"

MAX_ID: Final = 2**63 - 1
CHUNK_BYTES: Final = 256 * 1024
_SIZE_BYTES: Final = 8
_GROUP_BYTES: Final = 8
_KEEP_THEIR_SENDER: Final = (MessageType.MsgProp, MessageType.MsgReadIndex, MessageType.MsgTransferLeader)
"""Types that are passed on: their `from_` is not the node that sends them."""


class Lane(Enum):
    """What a connection is for."""

    MESSAGES = "messages"
    SNAPSHOTS = "snapshots"


@dataclass(frozen=True, kw_only=True)
class WireLimits:
    """What the transport may use: bytes and counts, for each peer unless said otherwise; seconds.

    `message_bytes` is the core's largest entry and room for what surrounds it. Up to `queued_snapshots` wait for a
    peer besides the one on its way; a snapshot may take `snapshot_grace_seconds` and a second for each
    `snapshot_bytes_per_second`. A silent connection is pinged after `ping_seconds`, and given up when half as long
    again has brought nothing. `connections` and `incoming_snapshots` count what comes from all peers together.
    """

    message_bytes: int = 8 * 2**20 + 2**16
    snapshot_bytes: int = 64 * 2**20
    queued_messages: int = 4096
    queued_bytes: int = 64 * 2**20
    queued_snapshots: int = 16
    connections: int = 256
    incoming_snapshots: int = 4
    handshake_seconds: float = 5.0
    write_seconds: float = 10.0
    ping_seconds: float = 8.0
    snapshot_grace_seconds: float = 10.0
    snapshot_bytes_per_second: int = 2**20
    first_retry_seconds: float = 0.1
    last_retry_seconds: float = 2.0

    def longest_message(self, lane: Lane) -> int:
        """The longest WebSocket message of a lane."""
        return max(CHUNK_BYTES, self.message_bytes) if lane is Lane.SNAPSHOTS else self.message_bytes

    def snapshot_seconds(self, size: int) -> float:
        """How long a snapshot of `size` bytes may take to arrive and be answered."""
        return self.snapshot_grace_seconds + size / self.snapshot_bytes_per_second


class PeerRefusedError(Exception):
    """A handshake that was turned down; `status` is HTTP's, `reason` is for people."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class Hello:
    """Who opens a connection, and whom it believes to reach."""

    cluster: str
    node: int
    to: int
    lane: Lane

    def headers(self) -> dict[str, str]:
        """As HTTP headers."""
        return {
            "Raft-Protocol": PROTOCOL,
            "Raft-Cluster": quote(self.cluster),
            "Raft-From": str(self.node),
            "Raft-To": str(self.to),
            "Raft-Lane": self.lane.value,
        }

    @staticmethod
    def parse(headers: Mapping[str, str]) -> Hello:
        """From HTTP headers. Raises RefusedError if they are not those of this protocol's version."""
        version = headers.get("Raft-Protocol")
        if version != PROTOCOL:
            raise PeerRefusedError(412, f"protocol {PROTOCOL} is spoken here, not {printable(version or 'none')}")
        try:
            hello = Hello(
                unquote(headers["Raft-Cluster"]),
                int(headers["Raft-From"]),
                int(headers["Raft-To"]),
                Lane(headers["Raft-Lane"]),
            )
        except (KeyError, ValueError):
            raise PeerRefusedError(412, "the handshake's headers are incomplete or make no sense") from None
        if not 0 < hello.node <= MAX_ID:
            raise PeerRefusedError(412, f"{hello.node} cannot be a node's id")
        return hello


def printable(text: str) -> str:
    """What a peer said, fit for a log: quoted, escaped, cut."""
    return ascii(text[:200])


def check_peer_url(url: str) -> None:
    """Raises ValueError unless `url` is http://host:port, with nothing else in it."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or parts.port is None:
        raise ValueError(f"a peer's URL is http://host:port, not {printable(url)}")
    if parts.username is not None or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"a peer's URL has nothing beside host and port: {printable(url)}")


def encode_snapshot(group: int, message: Message) -> tuple[bytes, bytes]:
    """The first message about a MsgSnap, and the data that follow it. Raises EncodeError if it cannot travel."""
    snapshot = message.snapshot
    if snapshot is None:
        raise EncodeError(f"{message.type} without a snapshot")
    bare = copy(message)
    bare.snapshot = Snapshot(b"", snapshot.metadata)
    return len(snapshot.data).to_bytes(_SIZE_BYTES, "big") + encode_frame(group, bare), snapshot.data


def decode_snapshot(head: bytes, sender: int, receiver: int) -> tuple[int, int, Message]:
    """The size of the data that follow, the group, and the MsgSnap to put them into. Raises as `decode_frame`."""
    size = int.from_bytes(head[:_SIZE_BYTES], "big")
    group, message = decode_frame(head[_SIZE_BYTES:], sender, receiver)
    if message.type is not MessageType.MsgSnap or message.snapshot is None or message.snapshot.data:
        raise DecodeError(f"{message.type} where the beginning of a MsgSnap is due")
    return size, group, message


def encode_frame(group: int, message: Message) -> bytes:
    """A frame. Raises EncodeError if the message cannot travel."""
    return group.to_bytes(_GROUP_BYTES, "big") + encode_message(message)


def decode_frame(frame: bytes, sender: int, receiver: int) -> tuple[int, Message]:
    """The group and the message in a frame that `sender` sent to `receiver`.

    Raises DecodeError if it is no frame, or its addresses are not those of the connection.
    """
    if len(frame) < _GROUP_BYTES:
        raise DecodeError(f"a frame of {len(frame)} bytes")
    group = int.from_bytes(frame[:_GROUP_BYTES], "big")
    if group > MAX_ID:
        raise DecodeError(f"group {group} is out of range")
    message = decode_message(frame[_GROUP_BYTES:])
    if message.to != receiver:
        raise DecodeError(f"{message.type} is for {message.to}, this is {receiver}")
    if message.from_ != sender and message.type not in _KEEP_THEIR_SENDER:
        raise DecodeError(f"{message.type} of {message.from_} over the connection of {sender}")
    return group, message
