"""`batch_append`: what is proposed between two Readys goes to a follower in one message, within every limit."""

from __future__ import annotations

from typing import Any

import pytest
from harness import Host, acked, beat_back, follow, leader
from hypothesis import given
from hypothesis import strategies as st

from pyraft import ConfigError, ProgressState, TraceEvent
from pyraft.config import Config
from pyraft.memory_storage import MemoryStorage
from raftpb.codec import encode_message
from raftpb.enums import MSG_APP
from raftpb.message import Message


def node_that_batches(**knobs: Any) -> Host:
    node = leader(voters=(1, 2, 3), batch_append=True, **knobs)
    follow(node, 2, 3)
    return node


def sent(messages: list[Message], to: int = 2) -> list[tuple[int, list[int], int]]:
    """(previous index, indexes of the entries, commit) of each MsgApp to `to`."""
    return [(m.index, [e.index for e in m.entries], m.commit) for m in messages if m.type is MSG_APP and m.to == to]


def test_proposals_between_two_readys_share_a_message() -> None:
    node = node_that_batches()
    for data in (b"a", b"b", b"c"):
        node.raw.propose(data)
    messages = node.raw.ready().messages
    assert sent(messages, 2) == sent(messages, 3) == [(1, [2, 3, 4], 1)]
    assert node.progress(2).next == 5
    assert node.progress(2).inflights.entries() == [(4, 3)]


def test_off_each_proposal_is_a_message_of_its_own() -> None:
    node = leader(voters=(1, 2, 3))
    follow(node, 2, 3)
    node.raw.propose(b"a")
    node.raw.propose(b"b")
    assert sent(node.raw.ready().messages) == [(1, [2], 1), (2, [3], 1)]


def test_what_has_left_is_not_touched() -> None:
    node = node_that_batches()
    node.raw.propose(b"a")
    first = node.raw.ready()
    node.raw.propose(b"b")
    assert sent(first.messages) == [(1, [2], 1)]
    node.raw.advance()
    assert sent(node.raw.ready().messages) == [(2, [3], 1)]


def test_another_message_to_the_follower_in_between_ends_it() -> None:
    """The order of what a follower is sent stays."""
    node = node_that_batches()
    node.raw.propose(b"a")
    node.raw.tick()
    node.raw.propose(b"b")
    assert sent(node.raw.ready().messages) == [(1, [2], 1), (2, [3], 1)]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        pytest.param(0, [[2], [3], [4]], id="one entry a message"),
        pytest.param(64, [[2], [3], [4]], id="no room for two"),
        pytest.param(100, [[2, 3], [4]], id="room for two"),
        pytest.param(1 << 20, [[2, 3, 4]], id="room for all"),
    ],
)
def test_a_message_stays_within_its_limit(limit: int, expected: list[list[int]]) -> None:
    node = node_that_batches(max_size_per_msg=limit, max_committed_size_per_ready=1 << 20)
    for _ in range(3):
        node.raw.propose(b"x" * 10)
    assert [entries for _, entries, _ in sent(node.raw.ready().messages)] == expected


def test_the_window_of_bytes_holds() -> None:
    node = node_that_batches(max_size_per_msg=100, max_inflight_bytes=100)
    for _ in range(8):
        node.raw.propose(b"x" * 20)
    assert node.progress(2).inflights.size_bytes() == 100
    assert node.progress(2).is_paused()


def test_a_probe_sends_one_message_and_waits() -> None:
    node = leader(voters=(1, 2, 3), batch_append=True)
    node.raw.propose(b"a")
    node.raw.propose(b"b")
    assert not sent(node.raw.ready().messages), "the empty entry of the term is under way"


def _probed_and_answered(**knobs: Any) -> Host:
    """A leader with an append to 2 that was made in Probe and has not left, while 2 is in Replicate by now."""
    node = leader(voters=(1, 2, 3), batch_append=True, **knobs)
    follow(node, 3)
    for data in (b"a", b"b", b"c"):
        node.raw.propose(data)
    node.settle()
    node.step(acked(node.last, node.term, from_=3))
    node.raw.step(beat_back(node.term))
    node.raw.step(acked(node.last, node.term))
    assert node.progress(2).state is ProgressState.StateReplicate
    return node


def test_an_append_made_in_probe_is_not_extended() -> None:
    """It is in no window: the leader died of that where the window had never been used."""
    node = _probed_and_answered()
    last = node.last
    node.raw.propose(b"next")
    assert node.progress(2).inflights.entries() == [(last + 1, 4)]
    node.settle()


@pytest.mark.parametrize("rounds", [1, 5])
def test_nor_does_its_window_leak(rounds: int) -> None:
    """Where the window had been used, its count of bytes grew for ever, and the follower was starved."""
    node = node_that_batches(max_size_per_msg=4096, max_inflight_bytes=8192)
    for _ in range(rounds):
        for _ in range(3):
            node.raw.propose(bytes(1000))
        node.settle()
        node.step(acked(node.last, node.term, from_=3))
        node.raw.report_unreachable(2)
        node.step(beat_back(node.term))  # an append in Probe leaves
        node.raw.step(beat_back(node.term))  # another one waits
        node.raw.step(acked(node.last, node.term))
        for _ in range(3):
            node.raw.propose(bytes(1000))
        for m in node.settle():
            assert m.type is not MSG_APP or m.to != 2 or len(encode_message(m)) < 4096
        node.step(acked(node.last, node.term), acked(node.last, node.term, from_=3))
        assert (node.progress(2).inflights.count(), node.progress(2).inflights.size_bytes()) == (0, 0)


@given(sizes=st.lists(st.integers(0, 60), min_size=1, max_size=30), limit=st.integers(0, 300))
def test_followers_get_the_same_entries_as_without(sizes: list[int], limit: int) -> None:
    got = []
    for batching in (False, True):
        node = leader(
            voters=(1, 2, 3), batch_append=batching, max_size_per_msg=limit, max_committed_size_per_ready=1 << 20
        )
        follow(node, 2, 3)
        for size in sizes:
            node.raw.propose(b"x" * size)
        messages = [m for m in node.raw.ready().messages if m.type is MSG_APP and m.to == 2]
        for m in messages:
            assert len(m.entries) == 1 or sum(e.encoded_size() for e in m.entries) <= limit
            assert [e.index for e in m.entries] == list(range(m.index + 1, m.index + 1 + len(m.entries)))
        got.append([(e.term, e.index, e.data) for m in messages for e in m.entries])
        assert node.progress(2).inflights.size_bytes() == sum(sizes)
    assert got[0] == got[1]


class _Tracing:
    def trace_event(self, event: TraceEvent) -> None:
        """Nobody listens."""


def test_a_state_trace_and_batching_do_not_go_together() -> None:
    with pytest.raises(ConfigError, match="batch_append"):
        Config(id=1, storage=MemoryStorage(), batch_append=True, trace_logger=_Tracing())
