"""The viewer and long recordings: logs share their entries, and the work grows as the recording does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rafttest.view
from pyraft import Config, MemoryStorage, NullLogger, Peer, Role
from raftpb import Entry, Message, MessageType, decode_conf_change
from rafttest.record import RecordingNode
from rafttest.view.from_recording import timeline_of_recording
from rafttest.view.log import SharedLog
from rafttest.view.page import page
from rafttest.view.timeline import Kind

FOLDER = str(Path(rafttest.view.__file__).parent)


def entries(term: int, first: int, count: int) -> list[Entry]:
    return [Entry(term=term, index=index) for index in range(first, first + count)]


def shown(log: SharedLog) -> list[tuple[int, int]]:
    return [(entry.term, entry.index) for entry in log]


# Logs


@pytest.mark.parametrize(
    ("index", "added", "expected"),
    [
        (4, entries(2, 4, 2), [(1, 1), (1, 2), (1, 3), (2, 4), (2, 5)]),
        (2, entries(1, 2, 3), [(1, 1), (1, 2), (1, 3), (1, 4)]),
        (2, entries(2, 2, 1), [(1, 1), (2, 2)]),
        (3, [], [(1, 1), (1, 2)]),
        (1, [], []),
    ],
    ids=["appended", "in part there", "replaced", "cut off", "all cut off"],
)
def test_a_log_grows_out_of_another(index: int, added: list[Entry], expected: list[tuple[int, int]]) -> None:
    before = SharedLog(1, entries(1, 1, 3))
    assert shown(before.then(index, added)) == expected
    assert shown(before) == [(1, 1), (1, 2), (1, 3)]


@pytest.mark.parametrize("index", [0, 5])
def test_a_log_has_no_gaps(index: int) -> None:
    with pytest.raises(ValueError, match="expected an index from 1 to 4, got"):
        SharedLog(1, entries(1, 1, 3)).then(index, entries(1, index, 1))


MOVES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2), st.booleans()), max_size=30)


@given(MOVES)
def test_a_log_shows_what_a_copy_would(moves: list[tuple[int, int, int, bool]]) -> None:
    """Cut off, added to with old and new terms, compacted, grown out of any earlier moment: nothing shown changes."""
    logs = [SharedLog(1)]
    copies: list[tuple[int, list[tuple[int, int]]]] = [(1, [])]
    term = 1
    for back, count, compacted, is_new in moves:
        log = logs[-1 - back % len(logs)] if is_new else logs[-1]
        term += is_new
        index = max(log.first, log.last + 1 - back)
        made = log.then(index, entries(term, index, count))
        made = made.compacted(min(made.first + compacted, made.last + 1))
        whole = [one for one in shown(log) if one[1] < index] + [(term, index + place) for place in range(count)]
        logs.append(made)
        copies.append((made.first, [one for one in whole if one[1] >= made.first]))
    assert [(log.first, shown(log)) for log in logs] == copies
    for log in logs:
        for before in logs:
            assert (log == before) == ((log.first, shown(log)) == (before.first, shown(before)))
            assert log.common(before) == common(log, before)


def common(log: SharedLog, before: SharedLog) -> int:
    """As `Log.common`, by comparing every entry."""
    if before.first > log.first:
        return 0
    old = {index: term for term, index in shown(before)}
    found = 0
    for term, index in shown(log):
        if old.get(index) != term:
            break
        found = index
    return found


# Recordings


def recorded(folder: Path, rounds: int) -> Path:
    """A follower of three that gets an entry and two equal heartbeats a round."""
    storage = MemoryStorage()
    node = RecordingNode(Config(id=2, storage=storage, logger=NullLogger()), folder, segment_bytes=1 << 24)

    def settle() -> None:
        while node.has_ready():
            ready = node.ready()
            storage.append(ready.entries)
            if ready.hard_state is not None:
                storage.set_hard_state(ready.hard_state)
            for entry in ready.committed_entries:
                if entry.index <= 3:
                    node.apply_conf_change(decode_conf_change(entry.data))
            node.advance()

    def step(m: Message) -> None:
        node.step(m)
        settle()

    node.bootstrap([Peer(1), Peer(2), Peer(3)])
    settle()
    for index in range(4, 4 + rounds):
        before = 1 if index == 4 else 2
        step(
            Message(MessageType.MsgApp, 2, 1, 2, before, index - 1, [Entry(term=2, index=index, data=b"x")], index - 1)
        )
        for _ in range(2):
            step(Message(MessageType.MsgHeartbeat, 2, 1, 2, commit=index))
    node.close()
    (segment,) = folder.iterdir()
    return segment


def test_each_receipt_is_a_message_of_its_own(tmp_path: Path) -> None:
    timeline = timeline_of_recording(recorded(tmp_path, 3))
    received = [event.message for event in timeline.of_kind(Kind.RECEIVE)]
    assert len(received) == len(set(received)) == 9
    beats = [m for m in timeline.messages if m.type is MessageType.MsgHeartbeat]
    assert [m.commit for m in beats] == [4, 4, 5, 5, 6, 6]
    last = timeline.events[-1].state
    assert last is not None
    assert (last.role, shown(last.log)[-1], last.commit) == (Role.StateFollower, (2, 6), 6)


def steps_of(work: Callable[[], object]) -> int:
    """How many lines of the viewer's modules run."""
    count = 0

    def in_function(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        count += event == "line"
        return in_function

    def in_module(frame: FrameType, event: str, _: Any) -> Any:
        return in_function if frame.f_code.co_filename.startswith(FOLDER) else None

    before = sys.gettrace()
    sys.settrace(in_module)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def test_the_work_grows_as_the_recording_does(tmp_path: Path) -> None:
    """It once grew with the square: 21 seconds for 1.6 MB."""
    counts = []
    for rounds in (50, 100, 200):
        folder = tmp_path / str(rounds)
        folder.mkdir()
        segment = recorded(folder, rounds)
        counts.append(steps_of(lambda segment=segment: page(timeline_of_recording(segment))))  # type: ignore[misc]
    one, two, four = counts
    assert four - two <= 2.1 * (two - one), counts
