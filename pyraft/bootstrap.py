"""Bootstrap: the first configuration of a new cluster, as entries at the head of its log.

Every founding member is given the same peers in the same order. A node that joins later is not bootstrapped: it starts
empty and is told everything by the leader that adds it. An alternative is a Storage that already holds a snapshot of an
index above 1 with the configuration in it.

Source: etcd bootstrap.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from mypy_extensions import mypyc_attr

from pyraft.core import membership, transitions
from pyraft.core.raft import Raft
from pyraft.errors import MisuseError
from pyraft.types import MAX_INTEGER, NONE_ID, u64
from raftpb.codec import encode_conf_change
from raftpb.confchange import ConfChange
from raftpb.enums import ADD_NODE, ENTRY_CONF_CHANGE
from raftpb.message import Entry


@final
@mypyc_attr(acyclic=True)
class Peer:
    """A founding member. `context` travels in the entry that adds it, for instance its address."""

    __slots__ = ("context", "id")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, id: u64, context: bytes = b"") -> None:
        self.id = id
        self.context = context

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Peer):
            return NotImplemented
        return self.id == other.id and self.context == other.context

    def __repr__(self) -> str:
        return f"Peer({self.id}, {self.context!r})"

    def __reduce__(self) -> tuple[type[Peer], tuple[int, bytes]]:
        return (Peer, (self.id, self.context))


def check_bootstrap(r: Raft, peers: Sequence[Peer]) -> None:
    """Raise MisuseError unless `peers` can found a cluster on this node's empty Storage.

    Raises TypeError if one of them is no Peer, or holds something of a wrong type.
    """
    if not peers:
        raise MisuseError("bootstrap needs at least one peer; a node that joins a cluster is not bootstrapped at all")
    if r.log.last_index() != 0:
        raise MisuseError("bootstrap needs an empty Storage; build the node without it to continue from this one")
    if r.term != 0:
        raise MisuseError(f"bootstrap needs a new node; this one has seen term {r.term}")
    seen: list[int] = []
    listed: list[object] = list(peers)
    for peer in listed:
        if not isinstance(peer, Peer):
            raise TypeError(f"{peer!r} is among the peers; expected a Peer")
        number: object = peer.id
        if not isinstance(number, int) or isinstance(number, bool):
            raise TypeError(f"peer id is {number!r}; expected an integer in [1, 2^63)")
        if not isinstance(peer.context, bytes):
            raise TypeError(f"the context of peer {peer.id} is {peer.context!r}; expected bytes")
        if not 0 < peer.id <= MAX_INTEGER:
            raise MisuseError(f"peer id {peer.id} is not in [1, 2^63)")
        if peer.id in seen:
            raise MisuseError(f"peer {peer.id} is listed twice")
        seen.append(peer.id)


def bootstrap(r: Raft, peers: Sequence[Peer]) -> None:
    """Append one membership change a peer, at term 1, commit them and act on them.

    The application sees them again as committed entries, so that `apply_conf_change` has to bear being repeated.
    """
    if r.id not in [peer.id for peer in peers]:
        r.logger.warning("%x: is not among the peers it bootstraps", r.id)
    transitions.become_follower(r, 1, NONE_ID)
    changes = [ConfChange(ADD_NODE, peer.id, peer.context) for peer in peers]
    entries: list[Entry] = []
    for change in changes:
        entries.append(Entry(ENTRY_CONF_CHANGE, 1, len(entries) + 1, encode_conf_change(change)))
    r.log.append(entries)
    r.log.commit_to(len(entries))
    for change in changes:
        config, progress = membership.next_config(r, change.as_v2())
        membership.switch_to(r, config, progress)
