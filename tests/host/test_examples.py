"""The small examples do what their texts say, and the README shows the loop that runs."""

import re
import runpy
from pathlib import Path

import pytest

from examples import sqlite_storage, tcp_transport
from examples.sqlite_storage import SqliteStorage
from pyraft import NO_LIMIT, CompactedError, MemoryStorage, Ready, UnavailableError
from raftpb import EntryType
from raftpb.message import ConfState, Entry, HardState, Snapshot, SnapshotMetadata

ROOT = Path(__file__).parents[2]
LOOP = ROOT / "examples" / "single_node.py"


def test_a_single_node_applies_what_it_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_module("examples.single_node", run_name="__main__")
    assert capsys.readouterr().out == "applied: the log is the truth\n"


def test_three_nodes_survive_the_loss_of_their_leader(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_module("examples.three_nodes", run_name="__main__")
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.endswith("{1: ['one', 'two'], 2: ['one', 'two'], 3: ['one', 'two']}")


def test_a_log_on_disk_survives_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    sqlite_storage.main()
    assert capsys.readouterr().out == "first life:  the log\nsecond life: the log survives\n"


def test_a_storage_on_disk_keeps_what_readies_say(tmp_path: Path) -> None:
    """Against MemoryStorage: appended, overwritten, cut off by a snapshot of its own and by a received one."""
    kept, expected = SqliteStorage(tmp_path / "log.db"), MemoryStorage()

    def save(entries: list[Entry], snapshot: Snapshot | None = None, state: HardState | None = None) -> None:
        kept.save(Ready(entries=entries, snapshot=snapshot, hard_state=state))
        if snapshot is not None:
            expected.apply_snapshot(snapshot)
        expected.append(entries)
        if state is not None:
            expected.set_hard_state(state)

    def check() -> None:
        first, last = expected.first_index(), expected.last_index()
        assert (kept.first_index(), kept.last_index()) == (first, last)
        assert kept.initial_state() == expected.initial_state()
        assert kept.snapshot() == expected.snapshot()
        for limit in (1, 20, NO_LIMIT) if last >= first else ():
            assert kept.entries(first, last + 1, limit) == expected.entries(first, last + 1, limit)
        assert [kept.term(i) for i in range(first - 1, last + 1)] == [
            expected.term(i) for i in range(first - 1, last + 1)
        ]

    save([Entry(EntryType.EntryNormal, 1, index, b"x" * index) for index in range(1, 6)], state=HardState(1, 1, 2))
    check()
    save([Entry(EntryType.EntryNormal, 2, index, b"y") for index in range(4, 7)], state=HardState(2, 1, 3))
    check()
    kept.close()
    kept = SqliteStorage(tmp_path / "log.db")
    check()
    kept.keep_snapshot(3, ConfState((1,)), b"state")
    expected.create_snapshot(3, ConfState((1,)), b"state")
    expected.compact(3)
    check()
    with pytest.raises(CompactedError):
        kept.entries(3, 5, NO_LIMIT)
    with pytest.raises(CompactedError):
        kept.term(2)
    with pytest.raises(UnavailableError):
        kept.term(7)
    save([], snapshot=Snapshot(b"far", SnapshotMetadata(ConfState((1, 2)), 9, 3)), state=HardState(3, 0, 9))
    check()
    kept.close()


def test_messages_travel_over_tcp(capsys: pytest.CaptureFixture[str]) -> None:
    tcp_transport.main()
    assert capsys.readouterr().out == "".join(f"node {id} applied: hello, over TCP\n" for id in (1, 2, 3))


def test_the_smallest_loop_is_small() -> None:
    assert len(LOOP.read_text().splitlines()) <= 80


def test_the_readme_shows_the_calls_of_the_smallest_loop_in_their_order() -> None:
    calls = re.compile(r"(has_ready|ready|apply_snapshot|append|set_hard_state|send|apply|advance)\(")
    readme = (ROOT / "README.md").read_text()
    shown = calls.findall(readme[readme.index("while node.has_ready") : readme.index("[examples/single_node.py]")])
    source = LOOP.read_text()
    body = source[source.index("while self.node.has_ready") : source.index("    def send(")]
    assert calls.findall(body) == shown
