"""A map from bytes to bytes, as a replicated state machine.

A command is an operation in one byte, the length of the key in four, the key, and for a write the value. The store is
bounded, because its snapshot has to fit into a message; a write that would make it too large changes nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import Enum
from hashlib import blake2b
from typing import Final

_COMMAND: Final = struct.Struct(">BI")
_PAIR: Final = struct.Struct(">II")
_MAGIC: Final = b"kv1\n"
_PUT: Final = 1
_DELETE: Final = 2
_DIGEST_BYTES: Final = 16

MAX_BYTES: Final = 48 << 20
"""The most that a store may hold, as its snapshot counts it."""


class PutOutcome(Enum):
    """What a command led to."""

    DONE = "done"
    FULL = "the store is full"
    NONSENSE = "this is no command"


def put(key: bytes, value: bytes) -> bytes:
    """The command that writes."""
    return _COMMAND.pack(_PUT, len(key)) + key + value


def delete(key: bytes) -> bytes:
    """The command that deletes; a key that is not there may be deleted."""
    return _COMMAND.pack(_DELETE, len(key)) + key


class _Contents:
    """The map, its size, and the sum of its pairs' hashes: in one object, so that they are replaced together."""

    __slots__ = ("hashes", "size", "values")

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.size = 0
        self.hashes = 0

    def put(self, key: bytes, value: bytes) -> None:
        self.delete(key)
        self.values[key] = value
        self.size += _size(key, value)
        self.hashes += _hash(key, value)

    def delete(self, key: bytes) -> None:
        value = self.values.pop(key, None)
        if value is not None:
            self.size -= _size(key, value)
            self.hashes -= _hash(key, value)


class KeyValueStore:
    """The state machine (`examples.host.machine.StateMachine`)."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._contents = _Contents()

    def __len__(self) -> int:
        return len(self._contents.values)

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`; None if there is none."""
        return self._contents.values.get(key)

    def digest(self) -> str:
        """Equal for equal stores, whatever their history; costs nothing."""
        return f"{self._contents.hashes % 2 ** (8 * _DIGEST_BYTES):032x}"

    def apply(self, index: int, data: bytes) -> PutOutcome:
        """Carry out a command."""
        if len(data) < _COMMAND.size:
            return PutOutcome.NONSENSE
        operation, length = _COMMAND.unpack_from(data)
        key, value = data[_COMMAND.size : _COMMAND.size + length], data[_COMMAND.size + length :]
        contents = self._contents
        if len(key) != length:
            return PutOutcome.NONSENSE
        if operation == _DELETE and not value:
            contents.delete(key)
            return PutOutcome.DONE
        if operation != _PUT:
            return PutOutcome.NONSENSE
        before = contents.values.get(key)
        freed = _size(key, before) if before is not None else 0
        if contents.size - freed + _size(key, value) > self._max_bytes:
            return PutOutcome.FULL
        contents.put(key, value)
        return PutOutcome.DONE

    def snapshot(self) -> Callable[[], bytes]:
        """Keep hold of the pairs; what is returned encodes them."""
        values = self._contents.values.copy()

        def encode() -> bytes:
            parts = [_MAGIC]
            for key, value in values.items():
                parts += (_PAIR.pack(len(key), len(value)), key, value)
            return b"".join(parts)

        return encode

    def restore(self, data: bytes) -> None:
        """Replace everything. Raises ValueError if `data` is no snapshot."""
        if not data.startswith(_MAGIC):
            raise ValueError("these bytes are no snapshot of a key-value store")
        contents = _Contents()
        position = len(_MAGIC)
        while position < len(data):
            if position + _PAIR.size > len(data):
                raise ValueError("the snapshot is cut short")
            key_length, value_length = _PAIR.unpack_from(data, position)
            middle = position + _PAIR.size + key_length
            end = middle + value_length
            if end > len(data):
                raise ValueError("the snapshot is cut short")
            contents.put(data[position + _PAIR.size : middle], data[middle:end])
            position = end
        self._contents = contents


def _size(key: bytes, value: bytes) -> int:
    return _PAIR.size + len(key) + len(value)


def _hash(key: bytes, value: bytes) -> int:
    return int.from_bytes(blake2b(_PAIR.pack(len(key), len(value)) + key + value, digest_size=_DIGEST_BYTES).digest())
