"""Values <-> objects of raft_pb2, as a program with its own schema would use them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st
from raftpb_strategies import KINDS, Kind, pb_objects, step_of, steps

from raftpb import raft_pb2
from raftpb.confchange import ConfChangeSingle
from raftpb.enums import ConfChangeType, MessageType
from raftpb.errors import DecodeError, EncodeError, InvalidMessageError
from raftpb.integers import MAX_INTEGER
from raftpb.message import Entry, HardState, Message, Snapshot
from raftpb.pb import from_pb, to_pb

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


@each_kind
@given(data=st.data())
def test_values_become_objects_and_come_back(kind: Kind, data: st.DataObject) -> None:
    value = data.draw(kind.values)
    pb = to_pb(value)
    assert kind.value_of(pb) == value
    assert from_pb(pb) == value
    assert type(pb) is kind.pb


@each_kind
@given(data=st.data())
def test_objects_become_values(kind: Kind, data: st.DataObject) -> None:
    pb: Any = data.draw(pb_objects(kind.descriptor))
    assert from_pb(pb) == kind.value_of(pb)


@given(steps)
def test_single_steps_become_objects_and_come_back(step: ConfChangeSingle) -> None:
    pb = to_pb(step)
    assert step_of(pb) == step
    assert pb.HasField("type")
    assert pb.HasField("node_id")
    assert from_pb(pb) == step


def test_unset_fields_have_their_defaults() -> None:
    assert from_pb(raft_pb2.Message(type=raft_pb2.MsgApp, entries=[raft_pb2.Entry(Data=b"x")])) == Message(
        MessageType.MsgApp, entries=[Entry(data=b"x")]
    )
    assert from_pb(raft_pb2.ConfChangeSingle()) == ConfChangeSingle(ConfChangeType.ConfChangeAddNode, 0)


def test_an_absent_snapshot_stays_absent_and_an_empty_one_present() -> None:
    assert not to_pb(Message(MessageType.MsgApp)).HasField("snapshot")
    assert to_pb(Message(MessageType.MsgSnap, snapshot=Snapshot())).HasField("snapshot")


@pytest.mark.parametrize("number", [-1, -(2**63)])
def test_values_with_numbers_that_cannot_be_written_are_refused(number: int) -> None:
    for value in (Message(MessageType.MsgApp, to=number), HardState(vote=number)):
        with pytest.raises(EncodeError):
            to_pb(value)
    with pytest.raises(EncodeError):
        to_pb(ConfChangeSingle(node_id=number))


def test_objects_with_numbers_above_the_limit_are_refused() -> None:
    assert from_pb(raft_pb2.HardState(term=MAX_INTEGER)) == HardState(term=MAX_INTEGER)
    with pytest.raises(InvalidMessageError):
        from_pb(raft_pb2.HardState(term=MAX_INTEGER + 1))
    with pytest.raises(InvalidMessageError):
        from_pb(raft_pb2.Message(responses=[raft_pb2.Message(index=2**64 - 1)]))
    with pytest.raises(InvalidMessageError):
        from_pb(raft_pb2.ConfChangeSingle(node_id=2**63))


def test_an_unknown_enum_number_is_refused_unless_it_was_thrown_away() -> None:
    pb = raft_pb2.Message.FromString(b"\x08\x63\x10\x01")
    assert not pb.HasField("type")
    with pytest.raises(DecodeError, match="MessageType"):
        from_pb(pb)
    pb.DiscardUnknownFields()
    assert from_pb(pb) == Message(MessageType.MsgHup, to=1)


def test_other_objects_are_refused() -> None:
    stranger: Any = FileDescriptorProto()
    with pytest.raises(TypeError, match="FileDescriptorProto"):
        to_pb(stranger)
    with pytest.raises(TypeError, match="FileDescriptorProto"):
        from_pb(stranger)


def test_a_schema_of_ones_own_embeds_raft_messages() -> None:
    """As protoc would generate it for `message Envelope { optional raftpb.Message message = 1; }`."""
    schema = FileDescriptorProto(
        name="envelope.proto", package="envelope", syntax="proto2", dependency=["raftpb/raft.proto"]
    )
    envelope = schema.message_type.add(name="Envelope")
    envelope.field.add(name="message", number=1, type=11, label=1, type_name=".raftpb.Message")
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(schema.SerializeToString())
    envelope_class: Any = GetMessageClass(pool.FindMessageTypeByName("envelope.Envelope"))
    message = Message(MessageType.MsgApp, to=1, from_=2, entries=[Entry(term=1, index=1, data=b"x")])
    sent = envelope_class(message=to_pb(message)).SerializeToString()
    assert from_pb(envelope_class.FromString(sent).message) == message


def test_only_this_module_imports_protobuf() -> None:
    program = "import sys, raftpb; sys.exit(any(name.startswith('google.protobuf') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
