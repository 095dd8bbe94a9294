"""Hypothesis strategies for the values and bytes of raftpb, and a second opinion on both.

`KINDS` lists what the codec can do, one `Kind` a type. The second opinion is `raft_pb2`: `value_of` reads its objects
field by field, `agree` compares verdicts, and `refused` looks, in bytes that protobuf has accepted, for the things that
only our decoder refuses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError as PbDecodeError
from google.protobuf.message import Message as PbMessage
from hypothesis import settings
from hypothesis import strategies as st

from raftpb import codec, raft_pb2
from raftpb.confchange import ConfChange, ConfChangeSingle, ConfChangeV2
from raftpb.enums import ConfChangeTransition, ConfChangeType, EntryType, MessageType
from raftpb.errors import DecodeError
from raftpb.integers import MAX_INTEGER
from raftpb.message import ConfState, Entry, HardState, Message, Snapshot, SnapshotMetadata

# A busy machine is slow now and then; nothing that uses these strategies is about time.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

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


def _messages(responses: st.SearchStrategy[list[Message]]) -> st.SearchStrategy[Message]:
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
        responses=responses,
    )


messages = st.recursive(
    _messages(st.builds(list[Message])), lambda inner: _messages(st.lists(inner, max_size=2)), max_leaves=3
)


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


@dataclasses.dataclass(frozen=True)
class Kind:
    """One type of value: how it is written and read, its class in raft_pb2, what such an object stands for."""

    name: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    pb: type[PbMessage]
    value_of: Callable[[Any], Any]
    values: st.SearchStrategy[Any] = dataclasses.field(repr=False)

    @property
    def descriptor(self) -> Descriptor:
        return raft_pb2.DESCRIPTOR.message_types_by_name[self.pb.__name__]


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


def pb_objects(descriptor: Descriptor, depth: int = 3) -> st.SearchStrategy[Any]:
    """Objects of raft_pb2 with any of their fields set, also to zero."""
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for field in descriptor.fields:
        if field.message_type is None:
            one = _scalars(field)
        elif depth > 0:
            one = pb_objects(field.message_type, depth - 1)
        else:
            continue
        fields[field.name] = st.lists(one, max_size=3) if _is_repeated(field) else one
    pb_class = getattr(raft_pb2, descriptor.name)
    return st.fixed_dictionaries({}, optional=fields).map(lambda given: pb_class(**given))


def _is_repeated(field: FieldDescriptor) -> bool:
    """True for a list. Old releases of protobuf know `label` only, of which new ones warn."""
    if hasattr(field, "is_repeated"):
        return field.is_repeated
    label: int = getattr(field, "label", 0)
    return label == FieldDescriptor.LABEL_REPEATED


def _scalars(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values])
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    return blobs if field.type == FieldDescriptor.TYPE_BYTES else numbers


_ALWAYS_SET: Final = {
    "ConfChange": ["type", "node_id"],
    "ConfChangeSingle": ["type", "node_id"],
    "ConfChangeV2": ["transition"],
}
_SAME_AS_UNSET: Final = ["metadata", "conf_state"]


def clear_zeros(pb: PbMessage) -> None:
    """Bring an object of raft_pb2 into the form that the codec writes: zeros unset, but a change's own fields set."""
    always = _ALWAYS_SET.get(pb.DESCRIPTOR.name, [])
    for field in pb.DESCRIPTOR.fields:
        value = getattr(pb, field.name)
        if field.message_type is not None:
            for part in value if field.is_repeated else [value] if pb.HasField(field.name) else []:
                clear_zeros(part)
            if field.name in _SAME_AS_UNSET and value.ByteSize() == 0:
                pb.ClearField(field.name)
        elif field.name in always:
            setattr(pb, field.name, value)
        elif not value:
            pb.ClearField(field.name)


def varint(value: int, length: int = 1) -> bytes:
    """The varint of `value`, of any size, filled up to `length` bytes."""
    groups = []
    while value >= 128 or length > 1:
        groups.append(value & 127 | 128)
        value >>= 7
        length -= 1
    return bytes([*groups, value])


def tag(field: int, wire: int) -> bytes:
    return varint(field << 3 | wire)


def delimited(field: int, content: bytes) -> bytes:
    return tag(field, 2) + varint(len(content)) + content


def nested(depth: int, innermost: bytes = b"") -> bytes:
    """A message within the responses of a message, `depth` times."""
    content = innermost
    for _ in range(depth):
        content = delimited(14, content)
    return content


_field_numbers = st.one_of(st.integers(1, 5), st.integers(1, 15), st.sampled_from([16, 500, 2**29 - 1]))
_any_numbers = st.one_of(st.integers(0, 3), st.integers(0, 30), numbers, st.sampled_from(_TOO_LARGE))
_varints = st.one_of(_any_numbers.map(varint), st.builds(varint, _any_numbers, st.integers(1, 10)))


def _fields(contents: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    field = st.one_of(
        st.builds(lambda number, value: tag(number, 0) + value, _field_numbers, _varints),
        st.builds(delimited, _field_numbers, contents),
        st.builds(delimited, _field_numbers, contents),
        st.builds(lambda number, value: tag(number, 1) + value, _field_numbers, st.binary(min_size=8, max_size=8)),
        st.builds(lambda number, value: tag(number, 5) + value, _field_numbers, st.binary(min_size=4, max_size=4)),
        st.builds(lambda number, content: tag(number, 3) + content + tag(number, 4), _field_numbers, contents),
    )
    return st.lists(field, max_size=5).map(b"".join)


field_soup = st.recursive(
    st.one_of(st.binary(max_size=6), st.lists(_varints, max_size=4).map(b"".join)), _fields, max_leaves=12
)
"""Well-formed fields, most of them known, with contents that mostly are not what the schema says."""


@st.composite
def corrupted(draw: st.DrawFn, values: st.SearchStrategy[bytes]) -> bytes:
    """Encoded values with a few bytes changed, lost, doubled or put in."""
    data = draw(values)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        until = draw(st.integers(at, min(at + 4, len(data))))
        data = data[:at] + draw(st.sampled_from([b"", data[at:until] * 2]) | st.binary(max_size=4)) + data[until:]
    return data


def agree(kind: Kind, data: bytes) -> None:
    """Our decoder and protobuf give the same verdict and the same value, but for what ours refuses on purpose."""
    try:
        pb = kind.pb.FromString(data)
    except PbDecodeError:
        pb = None
    if pb is None or refused(kind.descriptor, data):
        with pytest.raises(DecodeError):
            kind.decode(data)
    else:
        assert kind.decode(data) == kind.value_of(pb)


def refused(descriptor: Descriptor, data: bytes) -> bool:
    """True if `data`, which protobuf accepts, has what our decoder refuses.

    That is a number of 2^63 or more in a number field, an enum number that is not in the schema, a varint of more than
    64 bits, or field number 0 within a group.
    """
    pos = 0
    groups = 0
    while pos < len(data):
        head, pos = _any_varint(data, pos)
        known = descriptor.fields_by_number.get(head >> 3) if groups == 0 else None
        wire = head & 7
        if head < 8:
            return True
        if wire == 0:
            value, pos = _any_varint(data, pos)
            if value >= 2**64 or (known is not None and _number_refused(known, value)):
                return True
        elif wire == 2:
            length, pos = _any_varint(data, pos)
            if known is not None and _content_refused(known, data[pos : pos + length]):
                return True
            pos += length
        else:
            pos += {1: 8, 5: 4}.get(wire, 0)
            groups += {3: 1, 4: -1}.get(wire, 0)
    return False


def _number_refused(field: FieldDescriptor, value: int) -> bool:
    if field.enum_type is not None:
        return value not in {known.number for known in field.enum_type.values}
    return field.type == FieldDescriptor.TYPE_UINT64 and value > MAX_INTEGER


def _content_refused(field: FieldDescriptor, content: bytes) -> bool:
    if field.message_type is not None:
        return refused(field.message_type, content)
    pos = 0
    while field.is_repeated and pos < len(content):
        value, pos = _any_varint(content, pos)
        if value > MAX_INTEGER:
            return True
    return False


def _any_varint(data: bytes, pos: int) -> tuple[int, int]:
    value = shift = 0
    while data[pos] >= 128:
        value |= (data[pos] & 127) << shift
        shift += 7
        pos += 1
    return value | data[pos] << shift, pos + 1
