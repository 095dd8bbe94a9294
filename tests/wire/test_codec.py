"""The codec against raft_pb2 in both directions, and against whatever bytes a network can bring."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raftpb_strategies import (
    KINDS,
    Kind,
    agree,
    clear_zeros,
    corrupted,
    delimited,
    entries,
    entry_runs,
    field_soup,
    pb_objects,
    tag,
    varint,
)

from raftpb import codec
from raftpb.confchange import AnyConfChange, ConfChange, ConfChangeSingle, ConfChangeV2, parse_changes
from raftpb.enums import ConfChangeTransition, ConfChangeType, EntryType, MessageType
from raftpb.errors import DecodeError, EncodeError, InvalidMessageError, InvalidReason
from raftpb.integers import MAX_INTEGER
from raftpb.message import (
    LOCAL_APPEND_THREAD,
    LOCAL_APPLY_THREAD,
    NO_ENTRIES,
    NO_MESSAGES,
    ConfState,
    Entry,
    HardState,
    Message,
    Snapshot,
    SnapshotMetadata,
)

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)

KIND_OF: Final = {kind.name: kind for kind in KINDS}


@each_kind
@given(data=st.data())
def test_values_survive_the_wire_and_protobuf_reads_and_writes_the_same_bytes(kind: Kind, data: st.DataObject) -> None:
    value = data.draw(kind.values)
    encoded = kind.encode(value)
    assert kind.decode(encoded) == value
    pb = kind.pb.FromString(encoded)
    assert kind.value_of(pb) == value
    assert pb.SerializeToString(deterministic=True) == encoded


@each_kind
@given(data=st.data())
def test_objects_of_protobuf_are_read_whatever_is_set_and_written_without_zeros(
    kind: Kind, data: st.DataObject
) -> None:
    pb = data.draw(pb_objects(kind.descriptor))
    value = kind.decode(pb.SerializeToString())
    assert value == kind.value_of(pb)
    clear_zeros(pb)
    assert kind.encode(value) == pb.SerializeToString(deterministic=True)


@given(entries)
def test_encoded_size_is_the_size_of_the_encoded_entry(entry: Entry) -> None:
    assert entry.encoded_size() == len(codec.encode_entry(entry))


@given(entry_runs())
def test_entries_of_a_message_are_encoded_as_each_would_be_alone(run: list[Entry]) -> None:
    alone = b"".join(delimited(7, codec.encode_entry(entry)) for entry in run)
    assert codec.encode_message(Message(MessageType.MsgHup, entries=run)) == alone


def _v2(text: str) -> ConfChangeV2:
    return ConfChangeV2(parse_changes(text))


@pytest.mark.parametrize(
    ("entry", "size"),
    [
        pytest.param(Entry(term=1, index=1), 4, id="nothing, as a new leader appends"),
        pytest.param(Entry(term=1, index=1, data=b"foo"), 9, id="proposal"),
        pytest.param(Entry(EntryType.EntryConfChangeV2, 1, 1), 6, id="leave joint"),
        pytest.param(Entry(EntryType.EntryConfChange, 1, 1, codec.encode_conf_change(ConfChange())), 12, id="v1"),
        pytest.param(Entry(EntryType.EntryConfChangeV2, 1, 1, codec.encode_conf_change_v2(_v2(""))), 10, id="v2, none"),
        pytest.param(
            Entry(EntryType.EntryConfChangeV2, 1, 1, codec.encode_conf_change_v2(_v2("v1"))), 16, id="v2, one step"
        ),
        pytest.param(
            Entry(EntryType.EntryConfChangeV2, 1, 1, codec.encode_conf_change_v2(_v2("v1 r2"))), 22, id="v2, two steps"
        ),
        pytest.param(Entry(term=128, index=2**14, data=bytes(128)), 3 + 4 + 3 + 128, id="larger numbers"),
    ],
)
def test_sizes_of_entries(entry: Entry, size: int) -> None:
    assert entry.encoded_size() == len(codec.encode_entry(entry)) == size


def test_a_message_field_by_field() -> None:
    message = Message(
        type=MessageType.MsgStorageAppend,
        to=1,
        from_=2,
        term=3,
        log_term=4,
        index=5,
        entries=[Entry(EntryType.EntryConfChange, 1, 300, b"d")],
        commit=6,
        snapshot=Snapshot(b"s", SnapshotMetadata(ConfState([1, 0], [2], [3], [4], True), 7, 8)),
        reject=True,
        reject_hint=9,
        context=b"c",
        vote=10,
        responses=[Message(MessageType.MsgAppResp, to=1)],
    )
    conf_state = "0801 0800 1002 1803 2004 2801"
    metadata = f"0a0c {conf_state} 1007 1808"
    snapshot = f"0a0173 1212 {metadata}"
    encoded = bytes.fromhex(
        "0813 1001 1802 2003 2804 3005 3a0a 08011001 18ac02 220164 4006"
        f"4a17 {snapshot} 5001 5809 620163 680a 7204 0804 1001"
    )
    assert codec.encode_message(message) == encoded
    assert codec.decode_message(encoded) == message


@pytest.mark.parametrize(
    ("change", "encoded"),
    [
        (ConfChange(), "1000 1800"),
        (ConfChange(ConfChangeType.ConfChangeRemoveNode, 300, b"x", 5), "0805 1001 18ac02 220178"),
        (ConfChangeV2(), "0800"),
        (
            ConfChangeV2([ConfChangeSingle()], ConfChangeTransition.ConfChangeTransitionJointExplicit, b"x"),
            "0802 1204 0800 1000 1a0178",
        ),
    ],
)
def test_a_membership_change_always_carries_its_types_ids_and_transition(change: AnyConfChange, encoded: str) -> None:
    kind = KIND_OF["conf_change" if isinstance(change, ConfChange) else "conf_change_v2"]
    assert kind.encode(change) == bytes.fromhex(encoded)
    assert kind.decode(bytes.fromhex(encoded)) == change


@each_kind
def test_no_bytes_are_the_value_of_defaults(kind: Kind) -> None:
    assert kind.decode(b"") == kind.value_of(kind.pb())


def test_a_message_without_a_type_is_a_hup_and_shares_the_empty_lists() -> None:
    message = codec.decode_message(b"\x10\x01")
    assert message == Message(MessageType.MsgHup, to=1)
    assert message.entries is NO_ENTRIES
    assert message.responses is NO_MESSAGES


def test_an_empty_snapshot_is_not_an_absent_one() -> None:
    message = Message(MessageType.MsgApp, snapshot=Snapshot())
    encoded = codec.encode_message(message)
    assert encoded == bytes.fromhex("0803 4a00")
    assert codec.decode_message(encoded).snapshot == Snapshot()
    assert codec.decode_message(b"").snapshot is None


NUMBER_FIELDS: Final[dict[str, Callable[[int], bytes]]] = {
    "message.to": lambda n: codec.encode_message(Message(MessageType.MsgApp, to=n)),
    "message.from_": lambda n: codec.encode_message(Message(MessageType.MsgApp, from_=n)),
    "message.term": lambda n: codec.encode_message(Message(MessageType.MsgApp, term=n)),
    "message.log_term": lambda n: codec.encode_message(Message(MessageType.MsgApp, log_term=n)),
    "message.index": lambda n: codec.encode_message(Message(MessageType.MsgApp, index=n)),
    "message.commit": lambda n: codec.encode_message(Message(MessageType.MsgApp, commit=n)),
    "message.reject_hint": lambda n: codec.encode_message(Message(MessageType.MsgApp, reject_hint=n)),
    "message.vote": lambda n: codec.encode_message(Message(MessageType.MsgApp, vote=n)),
    "message.entries.term": lambda n: codec.encode_message(Message(MessageType.MsgApp, entries=[Entry(term=n)])),
    "message.entries.index": lambda n: codec.encode_message(Message(MessageType.MsgApp, entries=[Entry(index=n)])),
    "entry.term": lambda n: codec.encode_entry(Entry(term=n)),
    "entry.index": lambda n: codec.encode_entry(Entry(index=n)),
    "snapshot.metadata.index": lambda n: codec.encode_snapshot(Snapshot(b"", SnapshotMetadata(index=n))),
    "snapshot_metadata.term": lambda n: codec.encode_snapshot_metadata(SnapshotMetadata(term=n)),
    "conf_state.voters": lambda n: codec.encode_conf_state(ConfState([n])),
    "conf_state.learners": lambda n: codec.encode_conf_state(ConfState((), [n])),
    "conf_state.voters_outgoing": lambda n: codec.encode_conf_state(ConfState((), (), [n])),
    "conf_state.learners_next": lambda n: codec.encode_conf_state(ConfState((), (), (), [n])),
    "hard_state.term": lambda n: codec.encode_hard_state(HardState(term=n)),
    "hard_state.vote": lambda n: codec.encode_hard_state(HardState(vote=n)),
    "hard_state.commit": lambda n: codec.encode_hard_state(HardState(commit=n)),
    "conf_change.id": lambda n: codec.encode_conf_change(ConfChange(id=n)),
    "conf_change.node_id": lambda n: codec.encode_conf_change(ConfChange(node_id=n)),
    "conf_change_v2.node_id": lambda n: codec.encode_conf_change_v2(ConfChangeV2([ConfChangeSingle(node_id=n)])),
}


@pytest.mark.parametrize("encode", NUMBER_FIELDS.values(), ids=NUMBER_FIELDS)
def test_numbers_are_written_up_to_the_limit_and_refused_beyond(encode: Callable[[int], bytes]) -> None:
    assert varint(MAX_INTEGER) in encode(MAX_INTEGER)
    for number in (LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, -(2**62)):
        with pytest.raises(EncodeError, match=str(number)):
            encode(number)
    for number in (2**63, 2**64 - 1, 2**70):
        # Compiled, most values cannot even be created with such a number; that is a TypeError.
        with pytest.raises((EncodeError, TypeError)):
            encode(number)


@each_kind
def test_numbers_are_read_up_to_the_limit_and_refused_beyond(kind: Kind) -> None:
    fields = [field for field in kind.descriptor.fields if field.type == field.TYPE_UINT64]
    for field in fields:
        for number in (0, MAX_INTEGER):
            agree(kind, tag(field.number, 0) + varint(number, 10))
        for number in (2**63, 2**64 - 1, 2**64, 2**70 - 1):
            with pytest.raises(DecodeError):
                kind.decode(tag(field.number, 0) + varint(number))
            with pytest.raises(DecodeError):
                kind.decode(tag(field.number, 0) + varint(number) + tag(field.number, 0) + varint(1))
            if field.is_repeated:
                with pytest.raises(DecodeError):
                    kind.decode(delimited(field.number, varint(number)))


@pytest.mark.parametrize(
    ("name", "prefix", "first_unknown"),
    [
        pytest.param("message", "08", len(MessageType), id="message type"),
        pytest.param("entry", "08", len(EntryType), id="entry type"),
        pytest.param("conf_change", "10", len(ConfChangeType), id="change type"),
        pytest.param("conf_change_v2", "08", len(ConfChangeTransition), id="transition"),
    ],
)
def test_unknown_enum_numbers_are_refused(name: str, prefix: str, first_unknown: int) -> None:
    kind = KIND_OF[name]
    kind.decode(bytes.fromhex(prefix) + varint(first_unknown - 1))
    for number in (first_unknown, 127, 128, 2**32, 2**63, 2**64 - 1):
        with pytest.raises(DecodeError):
            kind.decode(bytes.fromhex(prefix) + varint(number))


@pytest.mark.parametrize("number", [4, 128, 2**64 - 1])
def test_unknown_types_of_a_step_are_refused(number: int) -> None:
    with pytest.raises(DecodeError, match="ConfChangeType"):
        codec.decode_conf_change_v2(delimited(2, tag(1, 0) + varint(number)))


@each_kind
@settings(max_examples=20)
@given(data=st.data())
def test_cut_short_at_every_byte(kind: Kind, data: st.DataObject) -> None:
    encoded = kind.encode(data.draw(kind.values))
    for size in range(len(encoded)):
        agree(kind, encoded[:size])


@each_kind
@given(data=st.data())
def test_unknown_fields_and_groups_anywhere_are_skipped(kind: Kind, data: st.DataObject) -> None:
    value = data.draw(kind.values)
    unknown = (
        delimited(15, b"abc") + tag(500, 1) + bytes(8) + tag(2**29 - 1, 5) + bytes(4) + tag(16, 0) + varint(2**64 - 1)
    )
    group = tag(99, 3) + unknown + tag(98, 3) + tag(98, 4) + tag(99, 4)
    assert kind.decode(unknown + group + kind.encode(value) + group + unknown) == value


@each_kind
@given(data=st.data())
def test_two_encodings_in_a_row_are_merged_as_protobuf_does(kind: Kind, data: st.DataObject) -> None:
    encoded = kind.encode(data.draw(kind.values)) + kind.encode(data.draw(kind.values))
    assert kind.decode(encoded) == kind.value_of(kind.pb.FromString(encoded))


@each_kind
@given(data=st.data())
def test_corrupted_bytes(kind: Kind, data: st.DataObject) -> None:
    agree(kind, data.draw(corrupted(kind.values.map(kind.encode))))


@each_kind
@given(data=st.binary(max_size=60))
def test_random_bytes(kind: Kind, data: bytes) -> None:
    agree(kind, data)


@each_kind
@given(data=field_soup)
def test_fields_that_are_not_what_the_schema_says(kind: Kind, data: bytes) -> None:
    agree(kind, data)


@each_kind
@pytest.mark.parametrize("data", [bytearray(b""), memoryview(b""), "", None], ids=lambda data: type(data).__name__)
def test_only_bytes_are_read(kind: Kind, data: bytes) -> None:
    with pytest.raises(TypeError, match="bytes"):
        kind.decode(data)


def test_a_decode_error_is_an_invalid_message_for_the_transport_and_can_be_pickled() -> None:
    with pytest.raises(InvalidMessageError) as caught:
        codec.decode_message(b"\x00\x00")
    assert isinstance(caught.value, DecodeError)
    assert isinstance(caught.value, ValueError)
    assert caught.value.reason is InvalidReason.MALFORMED
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), again.detail, str(again)) == (DecodeError, "field number 0", "malformed: field number 0")


def test_an_invalid_message_error_can_be_pickled() -> None:
    again = pickle.loads(pickle.dumps(InvalidMessageError(InvalidReason.BAD_SENDER, "from 0")))
    assert (again.reason, again.detail, str(again)) == (InvalidReason.BAD_SENDER, "from 0", "bad sender: from 0")
