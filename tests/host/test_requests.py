"""Requests: their encoding, and that each is carried out once whatever copies of it the log holds."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import run

from examples.host.requests import MAX_SESSIONS, Batch, Outbox, Sessions
from examples.host.settings import Settings

NUMBERS = st.integers(0, 2**64 - 1)


@given(NUMBERS, NUMBERS, NUMBERS, st.lists(st.tuples(NUMBERS, st.binary(max_size=20)), max_size=5))
def test_a_batch_survives_the_log(node: int, nonce: int, low: int, requests: list[tuple[int, bytes]]) -> None:
    batch = Batch.decode(Batch(node, nonce, low, requests).encode())
    assert batch is not None
    assert (batch.node, batch.nonce, batch.low, batch.requests) == (node, nonce, low, requests)


@given(st.binary(max_size=80), st.integers(0, 80))
def test_other_bytes_are_no_batch_or_are_one(data: bytes, cut: int) -> None:
    batch = Batch.decode(b"\x01" + data)
    assert batch is None or batch.encode() == b"\x01" + data
    whole = Batch(1, 2, 3, [(4, data)]).encode()
    if 25 < cut < len(whole):
        assert Batch.decode(whole[:cut]) is None


@st.composite
def logs(draw: st.DrawFn) -> list[Batch]:
    """What two sessions put into the log: each request at least once, in any order, some again and again; `low` as it
    was when the copy was made.
    """
    log: list[Batch] = []
    for session in (1, 2):
        size = draw(st.integers(0, 12))
        waiting: list[int] = []
        done_before = 0
        for number in range(1, size + 1):
            waiting.append(number)
            if draw(st.booleans()):
                log.append(Batch(session, 7, min(waiting), [(n, b"%d" % n) for n in waiting]))
            while len(waiting) > 0 and draw(st.booleans()):
                done_before = waiting.pop(draw(st.integers(0, len(waiting) - 1)))
                log.append(Batch(session, 7, min([*waiting, done_before]), [(done_before, b"%d" % done_before)]))
        if waiting:
            log.append(Batch(session, 7, min(waiting), [(n, b"%d" % n) for n in waiting]))
    return log


@given(logs(), st.data())
def test_every_request_is_carried_out_at_most_once(log: list[Batch], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(log + log[: len(log) // 2]))
    sessions = Sessions()
    carried: Counter[tuple[int, int]] = Counter()
    for batch in shuffled:
        if data.draw(st.booleans()):  # a snapshot changes nothing
            sessions = Sessions(sessions.save())
        carried.update((batch.node, number) for number, _ in sessions.begin(batch))
    assert all(count == 1 for count in carried.values())


@given(logs())
def test_in_order_every_request_is_carried_out(log: list[Batch]) -> None:
    sessions = Sessions()
    carried = {(batch.node, number) for batch in log for number, _ in sessions.begin(batch)}
    assert carried == {(batch.node, number) for batch in log for number, _ in batch.requests}


def test_what_a_session_does_not_wait_for_is_forgotten() -> None:
    sessions = Sessions()
    for number in range(1, 1000):
        sessions.begin(Batch(1, 7, number, [(number, b"")]))
    assert sessions.save() == [(1, 7, 999, [999])]
    sessions.begin(Batch(1, 7, 10**18, [(10**18, b"")]))
    assert sessions.save() == [(1, 7, 10**18, [10**18])]


def test_sessions_that_fell_silent_are_forgotten() -> None:
    sessions = Sessions()
    for nonce in range(MAX_SESSIONS):
        sessions.begin(Batch(1, nonce, 1, [(1, b"")]))
    sessions.begin(Batch(1, 0, 1, [(2, b"")]))  # not silent
    sessions.begin(Batch(2, 0, 1, [(1, b"")]))
    kept = {(node, nonce) for node, nonce, _, _ in sessions.save()}
    assert len(kept) == MAX_SESSIONS
    assert (1, 0) in kept
    assert (1, 1) not in kept
    assert sessions.has_done(1, 0, 2)
    assert not sessions.has_done(1, 1, 1)


@pytest.mark.parametrize("give_up", [False, True], ids=["answered", "given up"])
def test_an_outbox_sends_in_order_and_forgets(give_up: bool) -> None:
    async def scenario() -> None:
        outbox = Outbox(1, 7, Settings(batch_bytes=40))
        first, second, third = (outbox.add(b"x" * 10) for _ in range(3))
        taken = outbox.take()
        assert [request.number for request in taken] == [1]  # what is larger than a batch with another goes alone
        outbox.put_back(taken, "there is no leader")
        assert outbox.why_waiting == "there is no leader"
        if give_up:
            outbox.forget(first)
        else:
            outbox.note_sent(outbox.take())
            outbox.take_results([(1, "done"), (99, "somebody else's")])
            assert first.done.result() == "done"
        assert outbox.batch(outbox.take()).low == 2
        outbox.note_sent([second])
        outbox.on_ticks(9, 10)
        assert outbox.take() == [third]
        outbox.on_ticks(1, 10)
        assert outbox.take() == [second]
        outbox.note_sent([third])
        outbox.send_all_again()
        outbox.send_all_again()
        assert (outbox.take(), outbox.take(), outbox.take()) == ([second], [third], [])
        assert len(outbox) == 2

    run(scenario())


def test_an_answer_nobody_waits_for_any_more_is_no_error() -> None:
    async def scenario() -> None:
        outbox = Outbox(1, 7, Settings())
        request = outbox.add(b"x")
        request.done.cancel()
        outbox.take_results([(1, "done")])
        assert len(outbox) == 0
        outbox.add(b"y").done.cancel()
        outbox.fail_all("over")
        assert len(outbox) == 0
        await asyncio.sleep(0)

    run(scenario())
