"""Hypothesis strategies for the values and bytes of raftpb, and a second opinion on both.

`KINDS` lists what the codec can do, one `Kind` a type. The second opinion is `raft_pb2`: `value_of` reads its objects
field by field, and `refused` walks bytes that it has accepted for the things that only our decoder refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message as PbMessage
from hypothesis import strategies as st

from raftpb import codec, raft_pb2
from raftpb.confchange import ConfChange, ConfChangeSingle, ConfChangeV2
from raftpb.enums import ConfChangeTransition, ConfChangeType, EntryType, MessageType
from raftpb.integers import MAX_INTEGER
from raftpb.message import ConfState, Entry, HardState, Message, Snapshot, SnapshotMetadata

_EDGES: Final = sorted({edge for bits in range(7, 64, 7) for edge in (2**bits - 1, 2**bits, 2**bits + 1)})
_TOO_LARGE: Final = [2**63, 2**63 + 1, 2**64 - 1]

numbers = st.one_of(
    st.integers(0, 300), st.sampled_from([edge for edge in _EDGES if edge <= MAX_INTEGER]), st.integers(0, MAX_INTEGER)
)
"""What fits a field: mostly small, often where a varint becomes a byte longer."""

blobs = st.one_of(st.binary(max_size=8), st.integers(120, 300).map(bytes))
"""Opaque data, sometimes long enough for a length of two bytes."""

ids = st.lists(numbers, max_size=4)

entries = st.builds(Entry, st.sampled_from(EntryType), numbers, numbers, blobs)
conf_states = st.builds(ConfState, ids, ids, ids, ids, st.booleans())
metadata = st.builds(SnapshotMetadata, conf_states, numbers, numbers)
snapshots = st.builds(Snapshot, blobs, metadata)
hard_states = st.builds(HardState, numbers, numbers, numbers)
steps = st.builds(ConfChangeSingle, st.sampled_from(ConfChangeType), numbers)
conf_changes = st.builds(ConfChange, st.sampled_from(ConfChangeType), numbers, blobs, numbers)
conf_changes_v2 = st.builds(ConfChangeV2, st.lists(steps, max_size=4), st.sampled_from(ConfChangeTransition), blobs)


@st.composite
def entry_runs(draw: st.DrawFn) -> list[Entry]:
    """Entries as they lie in a log: consecutive indexes, terms that rise now and then."""
    first = draw(st.integers(0, 600))
    term = draw(st.integers(0, 200))
    run = []
    for offset in range(draw(st.integers(1, 12))):
        term += draw(st.sampled_from([0, 0, 0, 1]))
        kind = draw(st.sampled_from([EntryType.EntryNormal, EntryType.EntryNormal, EntryType.EntryConfChangeV2]))
        run.append(Entry(kind, term, first + offset, draw(st.sampled_from([b"", b"x", bytes(128), b"y"]))))
    return run


def _messages(responses: st.SearchStrategy[Message]) -> st.SearchStrategy[Message]:
    return st.builds(
        Message,
        type=st.sampled_from(MessageType),
        to=numbers,
        from_=numbers,
        term=numbers,
        log_term=numbers,
        index=numbers,
        entries=st.one_of(st.lists(entries, max_size=3), entry_runs()),
        commit=numbers,
        snapshot=st.none() | snapshots,
        reject=st.booleans(),
        reject_hint=numbers,
        context=blobs,
        vote=numbers,
        responses=st.lists(responses, max_size=2),
    )


messages = st.recursive(_messages(st.nothing()), _messages, max_leaves=3)


def entry_of(pb: raft_pb2.Entry) -> Entry:
    return Entry(EntryType(pb.Type), pb.Term, pb.Index, pb.Data)


def conf_state_of(pb: raft_pb2.ConfState) -> ConfState:
    return ConfState(pb.voters, pb.learners, pb.voters_outgoing, pb.learners_next, pb.auto_leave)


def metadata_of(pb: raft_pb2.SnapshotMetadata) -> SnapshotMetadata:
    return SnapshotMetadata(conf_state_of(pb.conf_state), pb.index, pb.term)


def snapshot_of(pb: raft_pb2.Snapshot) -> Snapshot:
    return Snapshot(pb.data, metadata_of(pb.metadata))


def hard_state_of(pb: raft_pb2.HardState) -> HardState:
    return HardState(pb.term, pb.vote, pb.commit)


def conf_change_of(pb: raft_pb2.ConfChange) -> ConfChange:
    return ConfChange(ConfChangeType(pb.type), pb.node_id, pb.context, pb.id)


def step_of(pb: raft_pb2.ConfChangeSingle) -> ConfChangeSingle:
    return ConfChangeSingle(ConfChangeType(pb.type), pb.node_id)


def conf_change_v2_of(pb: raft_pb2.ConfChangeV2) -> ConfChangeV2:
    return ConfChangeV2([step_of(step) for step in pb.changes], ConfChangeTransition(pb.transition), pb.context)


def message_of(pb: raft_pb2.Message) -> Message:
    return Message(
        type=MessageType(pb.type),
        to=pb.to,
        from_=getattr(pb, "from"),
        term=pb.term,
        log_term=pb.logTerm,
        index=pb.index,
        entries=[entry_of(entry) for entry in pb.entries],
        commit=pb.commit,
        snapshot=snapshot_of(pb.snapshot) if pb.HasField("snapshot") else None,
        reject=pb.reject,
        reject_hint=pb.rejectHint,
        context=pb.context,
        vote=pb.vote,
        responses=[message_of(response) for response in pb.responses],
    )


@dataclass(frozen=True)
class Kind:
    """One type of value: how it is written and read, its class in raft_pb2, what such an object stands for."""

    name: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    pb: type[PbMessage]
    value_of: Callable[[Any], Any]
    values: st.SearchStrategy[Any]


def _kind(name: str, pb: type[PbMessage], value_of: Callable[[Any], Any], values: st.SearchStrategy[Any]) -> Kind:
    return Kind(name, getattr(codec, f"encode_{name}"), getattr(codec, f"decode_{name}"), pb, value_of, values)


KINDS: Final = [
    _kind("message", raft_pb2.Message, message_of, messages),
    _kind("entry", raft_pb2.Entry, entry_of, entries),
    _kind("snapshot", raft_pb2.Snapshot, snapshot_of, snapshots),
    _kind("snapshot_metadata", raft_pb2.SnapshotMetadata, metadata_of, metadata),
    _kind("conf_state", raft_pb2.ConfState, conf_state_of, conf_states),
    _kind("hard_state", raft_pb2.HardState, hard_state_of, hard_states),
    _kind("conf_change", raft_pb2.ConfChange, conf_change_of, conf_changes),
    _kind("conf_change_v2", raft_pb2.ConfChangeV2, conf_change_v2_of, conf_changes_v2),
]


def pb_objects(descriptor: Descriptor, depth: int = 3) -> st.SearchStrategy[PbMessage]:
    """Objects of raft_pb2 with any of their fields set, also to zero."""
    return st.builds(_build, st.just(descriptor), st.fixed_dictionaries({}, optional=_field_values(descriptor, depth)))
...
