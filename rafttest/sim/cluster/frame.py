"""Frame: how a message travels where a seed has a wire: encoded, behind a checksum, as over a real transport.

    4 bytes CRC-32 of what follows | the message, as `raftpb.codec` writes it

Law: what was damaged on the way is never given to `step`. A CRC-32 finds every change of up to three bits in so few
bytes.
"""

from __future__ import annotations

from random import Random
from typing import Final
from zlib import crc32

from raftpb.codec import decode_message, encode_message
from raftpb.message import Message

_CRC_BYTES: Final = 4


class DamagedError(Exception):
    """The bytes are not those that were sent, or written."""


def encode_frame(m: Message) -> bytes:
    """What goes over the wire."""
    data = encode_message(m)
    return crc32(data).to_bytes(_CRC_BYTES, "big") + data


def decode_frame(frame: bytes) -> Message:
    """What came over the wire. Raises DamagedError."""
    data = frame[_CRC_BYTES:]
    if crc32(data).to_bytes(_CRC_BYTES, "big") != frame[:_CRC_BYTES]:
        raise DamagedError("the checksum of a frame does not fit")
    return decode_message(data)


def flip(data: bytes, random: Random, most: int = 3) -> bytes:
    """Change one to `most` different bits."""
    damaged = bytearray(data)
    for bit in random.sample(range(8 * len(data)), min(8 * len(data), random.randrange(1, most + 1))):
        damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)
