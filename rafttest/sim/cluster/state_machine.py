"""Machine: the application of a simulated node, a map of keys with one session for each client.

A client has one request under way at a time and numbers them. The machine remembers the highest number of each client
and takes no request at or below it, so that a request that was sent twice changes the state once. That is decided by
the log alone: every node decides the same.

A snapshot carries the hash of all that was applied; `Machines` keeps what a hash stands for.

Source: thesis §6.3.
"""

from __future__ import annotations

from dataclasses import dataclass

_MARK = b"kv "


@dataclass(frozen=True, slots=True)
class KvRequest:
    """A client asks for `key` to become `value`; `number` counts the client's requests."""

    client: int
    number: int
    key: int
    value: int

    def encode(self) -> bytes:
        """As the data of an entry."""
        return b"kv %d %d %d %d" % (self.client, self.number, self.key, self.value)


def decode(data: bytes) -> KvRequest | None:
    """The request in an entry; None if there is none."""
    if not data.startswith(_MARK):
        return None
    client, number, key, value = data[len(_MARK) :].split()
    return KvRequest(int(client), int(number), int(key), int(value))


class Machine:
    """What one node has made of the log so far."""

    def __init__(self) -> None:
        self.values: dict[int, tuple[int, int]] = {}
        """Value of each key, and the index of the entry that put it there."""
        self.sessions: dict[int, int] = {}
        """Highest request of each client that was taken."""

    def copy(self) -> Machine:
        """The same, to go on from independently."""
        other = Machine()
        other.values = self.values.copy()
        other.sessions = self.sessions.copy()
        return other

    def take(self, request: KvRequest, index: int) -> bool:
        """Apply a request from the entry at `index`; False, and nothing changes, if it was taken before."""
        if request.number <= self.sessions.get(request.client, 0):
            return False
        self.sessions[request.client] = request.number
        self.values[request.key] = (request.value, index)
        return True

    def value(self, key: int) -> int | None:
        """What is there; None if nothing was put."""
        known = self.values.get(key)
        return known[0] if known is not None else None


class Machines:
    """What the snapshots of a run stand for."""

    def __init__(self) -> None:
        self._kept: dict[bytes, Machine] = {}

    def keep(self, state: bytes, machine: Machine) -> None:
        """A snapshot with this hash is made of this machine, as it is now."""
        self._kept[state] = machine.copy()

    def at(self, state: bytes) -> Machine:
        """A machine to go on from the snapshot with this hash; an empty one for one that nobody made: the beginning."""
        kept = self._kept.get(state)
        return kept.copy() if kept is not None else Machine()
