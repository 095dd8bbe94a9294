"""The protobuf wire format, as far as the codec needs it: varints, fields, and skipping what is unknown.

A message is a row of fields; a field is a tag (field number << 3 | wire type) and what the wire type says: 0 a varint,
1 eight bytes, 2 a length and as many bytes, 5 four bytes, 3 and 4 the begin and end of a group. A varint carries seven
bits a byte, the lowest first, and the top bit of each byte but the last.

Laws of reading: `[pos, end)` is what remains of a message, and no byte at or after `end` is looked at; whatever the
bytes, only DecodeError is raised; each function takes time linear in the bytes that it consumes. `depth` is how many
levels of submessages or groups may still follow. A number of 2^63 or more is read as -1, since it is refused only if
its field matters; a varint of more than 64 bits is always refused, as in Go (other libraries drop the excess).

Source: the protobuf encoding guide.
"""

from __future__ import annotations

from typing import Final

from raftpb.errors import DecodeError
from raftpb.integers import u64

MAX_DEPTH: Final = 100
"""Maximal nesting of submessages and groups; protobuf's own default."""

CUT_SHORT: Final = "cut short"
FIELD_ZERO: Final = "field number 0"
TOO_DEEP: Final = "messages or groups nested more than 100 deep"
TOO_LARGE: Final = "a number is 2^63 or more"

_MAX_32_BITS: Final = 2**32 - 1


def read_varint(data: bytes, pos: u64, end: u64) -> tuple[u64, u64]:
    """The number at `pos`, or -1 if it is 2^63 or more, and where it ends."""
    value: u64 = 0
    shift: u64 = 0
    stop = pos + 9 if end - pos > 9 else end
    while pos < stop:
        byte: u64 = data[pos]
        pos += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, pos
        shift += 7
    if pos == end:
        raise DecodeError(CUT_SHORT)
    if data[pos] > 1:
        raise DecodeError("a varint has more than 64 bits")
    return (value if data[pos] == 0 else -1), pos + 1


def read_length(data: bytes, pos: u64, end: u64) -> tuple[u64, u64]:
    """The length at `pos`, of at most 32 bits in five bytes, and where it ends; it may be more than what remains."""
    value: u64 = 0
    shift: u64 = 0
    while pos < end and shift < 35:
        byte: u64 = data[pos]
        pos += 1
        value |= (byte & 127) << shift
        if byte < 128 and value <= _MAX_32_BITS:
            return value, pos
        shift += 7
    raise DecodeError("a tag or length is cut short or has more than 32 bits")


def read_rest(data: bytes, pos: u64, end: u64, tag: u64, value: u64) -> tuple[u64, u64, u64]:
    """As `read_head`, where its first two bytes, `tag` and `value`, lie before `pos` and one of them has more to come.

    Two or three bytes are what nearly all such numbers and lengths take.
    """
    if tag & 0x85 == 0 and pos < end:  # a tag of one byte, of wire type 0 or 2
        byte: u64 = data[pos]
        value += (byte - 1) << 7
        if byte < 128:
            return tag, value, pos + 1
        if pos + 1 < end:
            byte = data[pos + 1]
            value += (byte - 1) << 14
            if byte < 128:
                return tag, value, pos + 2
    return read_head(data, pos - 2, end)


def read_head(data: bytes, pos: u64, end: u64) -> tuple[u64, u64, u64]:
    """The tag at `pos`, the number or length that follows, and where that ends.

    Wire types that have neither take up a byte all the same, for `skip_field` to reckon with.
    """
    tag, pos = read_length(data, pos, end)
    value: u64 = 0
    if tag < 8:
        raise DecodeError(FIELD_ZERO)
    if tag & 7 == 0:
        value, pos = read_varint(data, pos, end)
    elif tag & 7 == 2:
        value, pos = read_length(data, pos, end)
    elif pos < end:
        pos += 1
    else:
        raise DecodeError(CUT_SHORT)
    return tag, value, pos


def read_field(data: bytes, pos: u64, end: u64, depth: u64) -> tuple[u64, u64, u64]:
    """The tag of the field at `pos`, its number or where its bytes begin, and where it ends.

    The bytes of a length-delimited field are `[second, third)`. Wire types that no field has give 0.
    """
    tag, value, pos = read_head(data, pos, end)
    if tag & 7 == 0:
        return tag, value, pos
    return tag, pos, skip_field(data, pos, end, tag, value, depth)


def skip_field(data: bytes, pos: u64, end: u64, tag: u64, value: u64, depth: u64) -> u64:
    """Return the end of the field whose `tag` and `value` (number or length) have been read up to `pos`."""
    wire = tag & 7
    if tag < 8:
        raise DecodeError(FIELD_ZERO)
    if wire == 0:
        return pos
    if wire == 3:
        return _skip_group(data, pos - 1, end, tag, depth - 1)
    size: u64
    if wire == 2:
        size = value
    elif wire == 1:
        size = 7
    elif wire == 5:
        size = 3
    else:
        raise DecodeError(f"wire type {wire}, which begins no field")
    if size > end - pos:
        raise DecodeError(CUT_SHORT)
    return pos + size


def _skip_group(data: bytes, pos: u64, end: u64, begin: u64, depth: u64) -> u64:
    if depth < 0:
        raise DecodeError(TOO_DEEP)
    while pos < end:
        tag, after = read_length(data, pos, end)
        if tag == begin + 1:
            return after
        _, _, pos = read_field(data, pos, end, depth)
    raise DecodeError(CUT_SHORT)
