"""Whatever a peer sends, and whatever the application does meanwhile: the node does not fail, and it goes on working.

The messages are drawn from a Random: either that of Hypothesis, to have failures made small, or a seeded one, to have
many.
"""

from __future__ import annotations

from contextlib import suppress
from random import Random

import pytest
from harness import (
    Host,
    acked,
    append,
    change,
    log_of,
)
from hostile_scene import (
    FOLLOWER,
    LAST_POSITION,
    LEADER,
    MEMBERS,
    ROLES,
    in_role,
    without_counters,
)
from hypothesis import given
from hypothesis import strategies as st

from pyraft import (
    CoreState,
    ForwardedProposalDroppedError,
    ProposalDroppedError,
    ReadDroppedError,
    Role,
    SnapshotStatus,
    StepError,
)
from raftpb.codec import decode_message, encode_conf_change_v2, encode_message
from raftpb.enums import (
    ENTRY_CONF_CHANGE,
    ENTRY_CONF_CHANGE_V2,
    ENTRY_NORMAL,
    MSG_APP,
    MSG_APP_RESP,
    MSG_HEARTBEAT,
    MSG_HEARTBEAT_RESP,
    MSG_PRE_VOTE,
    MSG_PRE_VOTE_RESP,
    MSG_PROP,
    MSG_READ_INDEX,
    MSG_READ_INDEX_RESP,
    MSG_SNAP,
    MSG_TIMEOUT_NOW,
    MSG_TRANSFER_LEADER,
    MSG_VOTE,
    MSG_VOTE_RESP,
    MessageType,
)
from raftpb.message import ConfState, Entry, Message, Snapshot, SnapshotMetadata

EXTREMES = (-(2**63), -2, -1, 2**32, LAST_POSITION, LAST_POSITION + 1, 2**63 - 2, 2**63 - 1)
CONTEXTS = (
    b"",
    b"",
    bytes(8),
    b"\x01" + bytes(7),
    b"\x02" + bytes(7),
    b"\xff" * 8,
    b"CampaignTransfer",
    b"r",
    bytes(256),
    bytes(257),
)
DATAS = (
    b"",
    b"x",
    b"\xff",
    *[encode_conf_change_v2(change(text)) for text in ("v4", "r1", "r2", "l3", "v5 r3", "r1 r2")],
)
ENTRY_TYPES = (ENTRY_NORMAL, ENTRY_NORMAL, ENTRY_CONF_CHANGE, ENTRY_CONF_CHANGE_V2)
CONF_STATES = (MEMBERS, ConfState((1,)), ConfState((2, 3), (1,)), ConfState((2, 3), (), (1, 2), (1,), True))
PLAUSIBLE_TYPES = (
    MSG_APP,
    MSG_APP,
    MSG_APP_RESP,
    MSG_APP_RESP,
    MSG_HEARTBEAT,
    MSG_HEARTBEAT_RESP,
    MSG_SNAP,
    MSG_VOTE,
    MSG_VOTE_RESP,
    MSG_PRE_VOTE,
    MSG_PRE_VOTE_RESP,
    MSG_PROP,
    MSG_READ_INDEX,
    MSG_READ_INDEX_RESP,
    MSG_TIMEOUT_NOW,
    MSG_TRANSFER_LEADER,
)


def any_number(random: Random) -> int:
    return random.choice(EXTREMES) if random.randrange(8) == 0 else random.randrange(10)


def any_ids(random: Random) -> list[int]:
    return [random.randrange(6) for _ in range(random.randrange(4))]


def any_snapshot(random: Random) -> Snapshot:
    conf_state = random.choice(CONF_STATES)
    if random.randrange(2) == 0:
        conf_state = ConfState(
            any_ids(random), any_ids(random), any_ids(random), any_ids(random), random.random() < 0.5
        )
    return Snapshot(b"s", SnapshotMetadata(conf_state, any_number(random), any_number(random)))


def arbitrary(random: Random) -> Message:
    """Any fields whatever."""
    entries = [
        Entry(random.choice(ENTRY_TYPES), any_number(random), any_number(random), random.choice(DATAS))
        for _ in range(random.randrange(3))
    ]
    return Message(
        random.choice(list(MessageType)),
        random.choice((1, 1, 1, 1, 1, 1, 2, 0, -1)),
        random.choice((2, 2, 2, 3, 3, 4, 9, 1, 0, -1, 2**63 - 1)),
        any_number(random),
        any_number(random),
        any_number(random),
        entries,
        any_number(random),
        any_snapshot(random) if random.randrange(2) == 0 else None,
        random.randrange(2) == 0,
        any_number(random),
        random.choice(CONTEXTS),
        any_number(random),
    )


def plausible(random: Random, node: Host) -> Message:
    """What could have been sent by somebody, at some time around now."""
    kind = random.choice(PLAUSIBLE_TYPES)
    m = Message(kind, 1, random.choice((2, 2, 2, 3, 3, 4, 9)))
    term = m.term = max(node.term + random.choice((-1, *[0] * 14, 1, 2)), 1)
    m.index = max(node.last + random.choice((-3, -2, -1, -1, 0, 0, 0, 1, 4)), 0)
    m.log_term = random.choice((term, max(term - 1, 0), 3, random.randrange(term + 1))) if m.index else 0
    m.log_term = min(m.log_term, term)
    m.commit = max(node.commit + random.randrange(-1, 4), 0)
    m.reject = random.randrange(3) == 0
    m.context = random.choice(CONTEXTS)
    if kind is MSG_APP:
        m.entries = run(random, m.log_term, m.index, term)
    elif kind is MSG_APP_RESP:
        m.reject_hint = random.randrange(m.index + 4) if m.reject else 0  # raft before 3.5 hints beyond
    elif kind is MSG_SNAP:
        position = SnapshotMetadata(random.choice(CONF_STATES), max(node.commit + random.randrange(-1, 5), 1), term)
        m.snapshot = Snapshot(b"s", position)
    elif kind is MSG_PROP:
        m.term = 0
        m.entries = [
            Entry(random.choice(ENTRY_TYPES), 0, 0, random.choice(DATAS)) for _ in range(random.randrange(1, 4))
        ]
    elif kind in (MSG_READ_INDEX, MSG_READ_INDEX_RESP):
        m.term = 0 if kind is MSG_READ_INDEX else term
        m.entries = [Entry(data=random.choice((b"r", b"q")))]
    return m


def run(random: Random, term: int, index: int, last_term: int) -> list[Entry]:
    """Entries as a leader of `last_term` may have them after (`term`, `index`)."""
    entries: list[Entry] = []
    for _ in range(random.randrange(5)):
        term = random.randrange(max(term, 1), last_term + 1) if random.randrange(3) == 0 else max(term, 1)
        index += 1
        kind = random.choice(ENTRY_TYPES)
        entries.append(Entry(kind, term, index, random.choice(DATAS)))
    return entries


def check_laws(before: CoreState, after: CoreState) -> None:
    """What holds after any message."""
    last = after.base + len(after.entries) - 1
    assert after.applied <= after.applying <= after.committed <= last
    assert after.base <= after.offset <= after.offset_in_progress <= last + 1
    assert after.term >= before.term
    assert after.committed >= before.committed
    assert after.applied >= before.applied
    assert after.vote == before.vote or after.term > before.term or before.vote == 0
    terms = [entry.term for entry in after.entries]
    assert terms == sorted(terms)
    assert [entry.index for entry in after.entries] == list(range(after.base, last + 1))
    for progress in after.progress:
        assert progress.match < progress.next
        assert after.role is not LEADER or progress.match <= last


def step_anything(node: Host, m: Message) -> None:
    before = node.raw.export_state()
    try:
        node.raw.step(m)
    except ForwardedProposalDroppedError:
        assert node.raw.export_state() == before
    except StepError:
        assert without_counters(node.raw.export_state()) == without_counters(before)
    check_laws(before, node.raw.export_state())


def move(node: Host, random: Random) -> None:
    """What the application does in between: nothing, let time pass, a part of its duties, or all."""
    before = node.raw.export_state()
    what = random.randrange(12)
    if what == 0:
        node.raw.tick(random.randrange(12))
    elif what == 1:
        node.raw.campaign()
    elif what == 2:
        request_something(node, random)
    elif what in (3, 4) and node.open is None and node.raw.has_ready():
        node.begin()
    elif what in (5, 6) and node.append_work:
        node.append()
    elif what in (7, 8):
        work(node)
    check_laws(before, node.raw.export_state())


def request_something(node: Host, random: Random) -> None:
    with suppress(ProposalDroppedError, ReadDroppedError):
        what = random.randrange(7)
        if what == 0:
            node.raw.propose(b"own")
        elif what == 1:
            node.raw.propose_conf_change(change(random.choice(("v4", "l5", "r3", "v5 r2", ""))))
        elif what == 2:
            node.raw.read_index(b"own")
        elif what == 3:
            node.raw.transfer_leader(random.randrange(5))
        elif what == 4:
            node.raw.report_unreachable(random.randrange(5))
        elif what == 5:
            node.raw.report_snapshot(random.randrange(5), random.choice(list(SnapshotStatus)))
        else:
            node.raw.forget_leader()


def work(node: Host) -> None:
    """Do every duty; what is sent can be sent."""
    for m in node.settle():
        assert decode_message(encode_message(m)) == m


def check_that_it_works(node: Host) -> None:
    """A healthy leader of the next term, whose log agrees with what is committed here, can replicate to it."""
    work(node)
    term, index = node.term + 1, node.commit + 1
    if max(term, index) > LAST_POSITION:
        return
    prev_term = node.storage.term(node.commit)
    sent = node.step(append(term, (prev_term, node.commit), log_of([term], index), index))
    assert acked(index, term, from_=1, to=2) in sent
    assert (node.commit, node.raw.basic_status().applied) == (index, index)
    assert node.applied[-1].data == b"%d" % index


def bombard(node: Host, random: Random, count: int) -> None:
    for _ in range(count):
        step_anything(node, arbitrary(random) if random.randrange(3) == 0 else plausible(random, node))
        move(node, random)
    check_that_it_works(node)


MODES = pytest.mark.parametrize("async_storage_writes", [False, True], ids=["sync", "async"])


@MODES
@pytest.mark.parametrize("role", ROLES)
@given(random=st.randoms(use_true_random=False), count=st.integers(1, 10))
def test_no_message_makes_a_node_fail(role: Role, async_storage_writes: bool, random: Random, count: int) -> None:
    bombard(in_role(role, async_storage_writes=async_storage_writes), random, count)


@MODES
@pytest.mark.parametrize("role", ROLES)
def test_nor_do_many(role: Role, async_storage_writes: bool) -> None:
    for seed in range(150):
        try:
            bombard(in_role(role, async_storage_writes=async_storage_writes), Random(seed), 20)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


def test_no_bytes_make_a_node_fail() -> None:
    random = Random(1)
    for _ in range(200):
        node = in_role(random.choice(list(Role)))
        for _ in range(10):
            data = bytearray(encode_message(plausible(random, node)))
            for _ in range(random.randrange(3)):
                at = random.randrange(len(data) + 1)
                data[at : at + random.randrange(3)] = random.randbytes(random.randrange(3))
            try:
                m = decode_message(bytes(data))
            except StepError:
                continue
            step_anything(node, m)
            work(node)
        check_that_it_works(node)


@given(data=st.binary(max_size=60))
def test_no_noise_makes_a_node_fail(data: bytes) -> None:
    node = in_role(FOLLOWER)
    try:
        m = decode_message(data)
    except StepError:
        return
    step_anything(node, m)
    check_that_it_works(node)
