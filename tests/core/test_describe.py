"""What values look like in words: tables of our own, and the laws of quoting."""

import ast
import re
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyraft.describe import (
    describe_conf_change,
    describe_conf_state,
    describe_entries,
    describe_entry,
    describe_hard_state,
    describe_message,
    describe_ready,
    describe_snapshot,
    describe_soft_state,
    quote,
)
from pyraft.errors import ReadDropReason
from pyraft.ready import AbortedRead, ReadState, Ready, RefusedConfChange, SoftState
from pyraft.types import CANDIDATE, LEADER
from raftpb import (
    LOCAL_APPEND_THREAD,
    LOCAL_APPLY_THREAD,
    ConfChange,
    ConfChangeSingle,
    ConfChangeV2,
    ConfState,
    Entry,
    EntryType,
    HardState,
    Message,
    MessageType,
    Snapshot,
    SnapshotMetadata,
)
from raftpb.codec import encode_conf_change, encode_conf_change_v2
from raftpb.enums import (
    ADD_LEARNER_NODE,
    ADD_NODE,
    REMOVE_NODE,
    TRANSITION_JOINT_EXPLICIT,
    UPDATE_NODE,
)

CONF_STATE = ConfState((1, 2), (3,), (2, 1), (4,), True)
CONF_STATE_TEXT = "Voters:[1 2] VotersOutgoing:[2 1] Learners:[3] LearnersNext:[4] AutoLeave:true"
SNAPSHOT = Snapshot(b"data is not shown", SnapshotMetadata(CONF_STATE, 5, 2))
SNAPSHOT_TEXT = f"Index:5 Term:2 ConfState:{CONF_STATE_TEXT}"


def normal(term: int, index: int, data: bytes = b"") -> Entry:
    return Entry(EntryType.EntryNormal, term, index, data)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        pytest.param(b"", '""', id="nothing"),
        pytest.param(b"plain words", '"plain words"', id="printable ASCII stays"),
        pytest.param(b'say "hi" \\ bye', r'"say \"hi\" \\ bye"', id="quotes and backslashes"),
        pytest.param(b"\a\b\f\n\r\t\v", r'"\a\b\f\n\r\t\v"', id="controls that have a letter"),
        pytest.param(b"\x00\x1b\x7f", r'"\x00\x1b\x7f"', id="controls that have none"),
        pytest.param("é漢🙂".encode(), '"é漢🙂"', id="printable Unicode stays"),
        pytest.param(
            "a\u00a0b\u00adc\u200bd\ufeff".encode(), r'"a\u00a0b\u00adc\u200bd\ufeff"', id="invisible Unicode"
        ),
        pytest.param("\x85\x9f".encode(), r'"\u0085\u009f"', id="controls beyond ASCII"),
        pytest.param("\U000e0001\U0010ffff".encode(), r'"\U000e0001\U0010ffff"', id="beyond the first plane"),
        pytest.param("�".encode(), '"�"', id="a replacement character that was really sent"),
        pytest.param(b"\xff\xfeok", r'"\xff\xfeok"', id="bytes that are no UTF-8"),
        pytest.param(b"\xe2\x82", r'"\xe2\x82"', id="a character cut short"),
        pytest.param(b"\xed\xa0\x80", r'"\xed\xa0\x80"', id="half of a surrogate pair"),
        pytest.param(b"\xc0\xaf", r'"\xc0\xaf"', id="an over-long slash"),
    ],
)
def test_quote(data: bytes, text: str) -> None:
    assert quote(data) == text


@given(st.binary())
@example(rb"\x41")
def test_a_quotation_stands_on_one_printable_line_and_can_be_read_back(data: bytes) -> None:
    quoted = quote(data)
    assert quoted.isprintable()
    # Python reads Go's escapes, but takes \xNN for a character: escaped bytes and other text are told apart again here.
    parsed = ast.literal_eval(re.sub(r"\\(.)", lambda escape: "\\udd" if escape[1] == "x" else escape[0], quoted))
    assert isinstance(parsed, str)
    restored = b"".join(bytes([ord(c) - 0xDD00]) if 0xDD00 <= ord(c) <= 0xDDFF else c.encode() for c in parsed)
    assert restored == data


@given(st.text())
def test_printable_text_is_quoted_as_it_is(text: str) -> None:
    shown = "".join(c for c in text if c.isprintable() and c not in '"\\')
    assert quote(shown.encode()) == f'"{shown}"'


@pytest.mark.parametrize(
    ("state", "text"),
    [
        pytest.param(HardState(), "Term:0 Commit:0", id="empty"),
        pytest.param(HardState(3, 0, 17), "Term:3 Commit:17", id="no vote"),
        pytest.param(HardState(3, 10, 17), "Term:3 Vote:10 Commit:17", id="a vote, in decimal"),
    ],
)
def test_hard_state(state: HardState, text: str) -> None:
    assert describe_hard_state(state) == text


def test_soft_state() -> None:
    assert describe_soft_state(SoftState(12, LEADER)) == "Lead:12 State:StateLeader"


@pytest.mark.parametrize(
    ("state", "text"),
    [
        pytest.param(
            ConfState(), "Voters:[] VotersOutgoing:[] Learners:[] LearnersNext:[] AutoLeave:false", id="nobody"
        ),
        pytest.param(CONF_STATE, CONF_STATE_TEXT, id="joint, in stored order"),
    ],
)
def test_conf_state(state: ConfState, text: str) -> None:
    assert describe_conf_state(state) == text


def test_snapshot() -> None:
    assert describe_snapshot(SNAPSHOT) == SNAPSHOT_TEXT


def v1(data: ConfChange) -> Entry:
    return Entry(EntryType.EntryConfChange, 1, 5, encode_conf_change(data))


def v2(*steps: ConfChangeSingle) -> Entry:
    change = ConfChangeV2(steps, TRANSITION_JOINT_EXPLICIT, b"context is not shown")
    return Entry(EntryType.EntryConfChangeV2, 1, 5, encode_conf_change_v2(change))


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        pytest.param(normal(1, 5, b"foo"), '1/5 EntryNormal "foo"', id="data"),
        pytest.param(normal(1, 5), '1/5 EntryNormal ""', id="no data"),
        pytest.param(v1(ConfChange(REMOVE_NODE, 3)), "1/5 EntryConfChange r3", id="change of one step"),
        pytest.param(
            v2(
                ConfChangeSingle(ADD_NODE, 1),
                ConfChangeSingle(ADD_LEARNER_NODE, 22),
                ConfChangeSingle(UPDATE_NODE, 3),
            ),
            "1/5 EntryConfChangeV2 v1 l22 u3",
            id="change of three steps",
        ),
        pytest.param(Entry(EntryType.EntryConfChangeV2, 1, 5), "1/5 EntryConfChangeV2", id="leave a joint one"),
    ],
)
def test_entry(entry: Entry, text: str) -> None:
    assert describe_entry(entry) == text


@pytest.mark.parametrize("kind", [EntryType.EntryConfChange, EntryType.EntryConfChangeV2], ids=str)
def test_a_change_that_is_none_shows_the_complaint(kind: EntryType) -> None:
    text = describe_entry(Entry(kind, 1, 5, b"\xff"))
    assert text.startswith(f"1/5 {kind} ")
    assert "malformed" in text


def test_entries_have_a_line_each() -> None:
    assert describe_entries([normal(1, 1), normal(2, 2, b"x")]) == '1/1 EntryNormal ""\n2/2 EntryNormal "x"\n'
    assert describe_entries([]) == ""


def size_of(data: bytes) -> str:
    return f"{len(data)} bytes"


def silent(_data: bytes) -> str:
    return ""


@pytest.mark.parametrize(
    ("formatter", "text"),
    [
        pytest.param(size_of, "1/1 EntryNormal 3 bytes", id="says something"),
        pytest.param(silent, "1/1 EntryNormal", id="says nothing"),
    ],
)
def test_the_formatter_decides_how_data_looks(formatter: Callable[[bytes], str], text: str) -> None:
    entry = normal(1, 1, b"foo")
    message = Message(MessageType.MsgApp, 2, 1, entries=[entry])
    assert describe_entry(entry, formatter) == text
    assert describe_entries([entry], formatter) == text + "\n"
    assert text in describe_message(message, formatter)
    assert text in describe_message(Message(MessageType.MsgStorageAppend, responses=[message]), formatter)
    for ready in (Ready(entries=[entry]), Ready(committed_entries=[entry]), Ready(messages=[message])):
        assert text in describe_ready(ready, formatter)


def test_the_formatter_is_not_asked_about_changes() -> None:
    assert describe_entry(v1(ConfChange(ADD_NODE, 1)), size_of) == "1/5 EntryConfChange v1"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        pytest.param(
            ConfChange(ADD_LEARNER_NODE, 30),
            "transition:ConfChangeTransitionAuto changes:{type:ConfChangeAddLearnerNode node_id:30}",
            id="one step",
        ),
        pytest.param(ConfChangeV2(), "transition:ConfChangeTransitionAuto", id="no step"),
        pytest.param(
            ConfChangeV2(
                [ConfChangeSingle(ADD_NODE, 1), ConfChangeSingle(REMOVE_NODE, 2)],
                TRANSITION_JOINT_EXPLICIT,
                b'a"b',
            ),
            "transition:ConfChangeTransitionJointExplicit changes:{type:ConfChangeAddNode node_id:1} "
            r'changes:{type:ConfChangeRemoveNode node_id:2} context:"a\"b"',
            id="steps and a context",
        ),
    ],
)
def test_conf_change(change: ConfChange | ConfChangeV2, text: str) -> None:
    assert describe_conf_change(change) == text


@pytest.mark.parametrize(
    ("message", "text"),
    [
        pytest.param(Message(MessageType.MsgHup), "None->None MsgHup Term:0 Log:0/0", id="nothing set"),
        pytest.param(
            Message(MessageType.MsgApp, 26, 17, 10, 11, 12), "11->1a MsgApp Term:10 Log:11/12", id="ids are hexadecimal"
        ),
        pytest.param(
            Message(MessageType.MsgStorageAppendResp, 1, LOCAL_APPEND_THREAD),
            "AppendThread->1 MsgStorageAppendResp Term:0 Log:0/0",
            id="the append thread has a name",
        ),
        pytest.param(
            Message(MessageType.MsgStorageApply, LOCAL_APPLY_THREAD, 1),
            "1->ApplyThread MsgStorageApply Term:0 Log:0/0",
            id="the apply thread too",
        ),
        pytest.param(
            Message(MessageType.MsgAppResp, 1, 2, 1, 0, 5, reject=True),
            "2->1 MsgAppResp Term:1 Log:0/5 Rejected (Hint: 0)",
            id="refused",
        ),
        pytest.param(
            Message(MessageType.MsgApp, 1, 2, 1, reject_hint=9, context=b"unseen"),
            "2->1 MsgApp Term:1 Log:0/0",
            id="a hint without refusal and a context are not shown",
        ),
        pytest.param(
            Message(MessageType.MsgApp, 2, 1, 1, 1, 4, [normal(1, 5, b"x")], 3, reject=True, reject_hint=7, vote=1),
            '1->2 MsgApp Term:1 Log:1/4 Rejected (Hint: 7) Commit:3 Vote:1 Entries:[1/5 EntryNormal "x"]',
            id="everything on one line",
        ),
        pytest.param(
            Message(MessageType.MsgApp, 2, 1, 1, 1, 4, [normal(1, 5), normal(1, 6)]),
            '1->2 MsgApp Term:1 Log:1/4 Entries:[\n  1/5 EntryNormal ""\n  1/6 EntryNormal ""\n]',
            id="several entries",
        ),
        pytest.param(
            Message(MessageType.MsgSnap, 2, 1, 1, snapshot=SNAPSHOT),
            f"1->2 MsgSnap Term:1 Log:0/0\n  Snapshot: {SNAPSHOT_TEXT}",
            id="a snapshot",
        ),
        pytest.param(
            Message(MessageType.MsgSnap, 2, 1, 1, snapshot=Snapshot()),
            "1->2 MsgSnap Term:1 Log:0/0",
            id="an empty snapshot is none",
        ),
    ],
)
def test_message(message: Message, text: str) -> None:
    assert describe_message(message) == text


def test_what_lies_inside_a_message_is_indented_however_deep() -> None:
    inner = Message(MessageType.MsgApp, 3, 2, entries=[normal(1, 1), normal(1, 2)], snapshot=SNAPSHOT)
    middle = Message(MessageType.MsgAppResp, 2, 1, responses=[inner, Message(MessageType.MsgHup)])
    outer = Message(
        MessageType.MsgStorageAppend, LOCAL_APPEND_THREAD, 1, entries=[normal(1, 1), normal(1, 2)], responses=[middle]
    )
    assert describe_message(outer).split("\n") == [
        "1->AppendThread MsgStorageAppend Term:0 Log:0/0 Entries:[",
        '  1/1 EntryNormal ""',
        '  1/2 EntryNormal ""',
        "] Responses:[",
        "  1->2 MsgAppResp Term:0 Log:0/0 Responses:[",
        "    2->3 MsgApp Term:0 Log:0/0 Entries:[",
        '      1/1 EntryNormal ""',
        '      1/2 EntryNormal ""',
        "    ]",
        f"      Snapshot: {SNAPSHOT_TEXT}",
        "    None->None MsgHup Term:0 Log:0/0",
        "  ]",
        "]",
    ]


@pytest.mark.parametrize(
    "ready",
    [
        pytest.param(Ready(), id="nothing"),
        pytest.param(Ready(must_sync=True), id="nothing that would have to be durable"),
        pytest.param(
            Ready(
                aborted_reads=(AbortedRead(b"r", ReadDropReason.ROLE_CHANGED),),
                refused_conf_changes=(RefusedConfChange(3, "why"),),
            ),
            id="nothing the reference knows of",
        ),
    ],
)
def test_an_empty_ready(ready: Ready) -> None:
    assert describe_ready(ready) == "<empty Ready>"


@pytest.mark.parametrize(
    ("ready", "text"),
    [
        pytest.param(
            Ready(soft_state=SoftState(0, CANDIDATE), must_sync=True),
            "Ready MustSync=true:\nLead:0 State:StateCandidate\n",
            id="soft state",
        ),
        pytest.param(
            Ready(hard_state=HardState(1, 2, 3)),
            "Ready MustSync=false:\nHardState Term:1 Vote:2 Commit:3\n",
            id="hard state",
        ),
        pytest.param(
            Ready(read_states=(ReadState(5, b"ab"), ReadState(6, b""))),
            "Ready MustSync=false:\nReadStates [{5 [97 98]} {6 []}]\n",
            id="read states",
        ),
        pytest.param(
            Ready(entries=[normal(1, 2)], committed_entries=[normal(1, 1)]),
            'Ready MustSync=false:\nEntries:\n1/2 EntryNormal ""\nCommittedEntries:\n1/1 EntryNormal ""\n',
            id="entries",
        ),
        pytest.param(Ready(snapshot=SNAPSHOT), f"Ready MustSync=false:\nSnapshot {SNAPSHOT_TEXT}\n", id="snapshot"),
        pytest.param(
            Ready(
                messages=[
                    Message(MessageType.MsgApp, 2, 1, entries=[normal(1, 1), normal(1, 2)]),
                    Message(MessageType.MsgHeartbeat, 3, 1),
                ]
            ),
            "Ready MustSync=false:\nMessages:\n1->2 MsgApp Term:0 Log:0/0 Entries:[\n"
            '  1/1 EntryNormal ""\n  1/2 EntryNormal ""\n]\n1->3 MsgHeartbeat Term:0 Log:0/0\n',
            id="messages",
        ),
    ],
)
def test_ready(ready: Ready, text: str) -> None:
    assert describe_ready(ready) == text


def test_the_parts_of_a_ready_come_in_the_order_of_the_reference() -> None:
    ready = Ready(
        SoftState(1, LEADER),
        HardState(1, 1, 1),
        [normal(1, 2)],
        SNAPSHOT,
        [normal(1, 1)],
        [Message(MessageType.MsgHeartbeat, 2, 1)],
        True,
        (ReadState(1, b"r"),),
    )
    starts = [line.split(" ")[0] for line in describe_ready(ready).splitlines()]
    assert starts == [
        "Ready",
        "Lead:1",
        "HardState",
        "ReadStates",
        "Entries:",
        "1/2",
        "Snapshot",
        "CommittedEntries:",
        "1/1",
        "Messages:",
        "1->2",
    ]
