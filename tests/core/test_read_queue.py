"""Reads that wait for a quorum, against a plain list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyraft.read_queue import PendingRead, ReadQueue


def asked(*contexts: bytes) -> ReadQueue:
    queue = ReadQueue()
    for position, context in enumerate(contexts, 1):
        assert queue.add(PendingRead(1, context, 7)) == position
    return queue


def contexts(reads: list[PendingRead]) -> list[bytes]:
    return [read.context for read in reads]


def test_reads_leave_in_the_order_of_their_arrival() -> None:
    queue = asked(b"a", b"b", b"c")
    assert contexts(queue.release(2)) == [b"a", b"b"]
    assert (len(queue), queue.confirmed, queue.last) == (1, 2, 3)
    assert contexts(queue.release(3)) == [b"c"]
    assert queue.last == 3


def test_a_position_that_was_passed_releases_nothing() -> None:
    queue = asked(b"a", b"b")
    queue.release(2)
    queue.add(PendingRead(1, b"c", 7))
    assert queue.release(2) == []
    assert queue.release(0) == []
    assert len(queue) == 1


def test_a_position_that_was_never_given_releases_what_there_is() -> None:
    """Without voters, nobody's confirmation is missing."""
    queue = asked(b"a")
    assert contexts(queue.release(2**62)) == [b"a"]
    assert queue.last == 1


def test_one_context_may_wait_twice() -> None:
    queue = asked(b"a", b"a")
    assert contexts(queue.release(1)) == [b"a"]
    assert len(queue) == 1


def test_a_confirmation_counts_for_all_reads_before_it_and_does_not_go_back() -> None:
    queue = asked(b"a", b"b", b"c")
    queue.acknowledge(2, 3)
    queue.acknowledge(2, 1)
    queue.acknowledge(3, 2)
    queue.acknowledge(4, 0)
    assert queue.acked == {2: 3, 3: 2}


def test_a_read_knows_who_asked_and_what_was_committed() -> None:
    queue = ReadQueue()
    queue.add(PendingRead(3, b"a", 7))
    (read,) = queue.release(1)
    assert (read.from_, read.context, read.index) == (3, b"a", 7)


@given(st.lists(st.one_of(st.none(), st.integers(0, 30)), max_size=40))
def test_like_a_list(calls: list[int | None]) -> None:
    """None asks, a number releases up to there."""
    queue = ReadQueue()
    added: list[bytes] = []
    released = 0
    for call in calls:
        if call is None:
            added.append(b"%d" % len(added))
            assert queue.add(PendingRead(1, added[-1], 0)) == len(added)
        else:
            now = max(released, min(call, len(added)))
            assert contexts(queue.release(call)) == added[released:now]
            released = now
        assert len(queue) == len(added) - released
        assert queue.last == len(added)
