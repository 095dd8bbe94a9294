"""Groups of this library and Go's: the laws see what breaks them, and real groups break none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from raftpb.codec import encode_conf_change_v2
from raftpb.confchange import ConfChangeV2, parse_changes
from raftpb.enums import ENTRY_CONF_CHANGE_V2
from raftpb.message import ConfState, Entry, HardState, Snapshot, SnapshotMetadata
from rafttest.__main__ import main
from rafttest.cli import mixed
from rafttest.mixed import go_process
from rafttest.mixed.coverage import ENOUGH, unseen
from rafttest.mixed.go_process import RELEASES, GoNode, GoProcess, GoProcessError, build
from rafttest.mixed.group import Group
from rafttest.mixed.laws import LawError, Laws
from rafttest.mixed.peer import LEADER, Answer, MixedSettings
from rafttest.mixed.python_node import PythonNode
from rafttest.mixed.run import come_to_rest, run
from rafttest.reference.compare import NoReferenceError

HAS_GO = shutil.which("go") is not None and (go_process.SOURCES / "go.mod").is_file()
needs_go = pytest.mark.skipif(not HAS_GO, reason="needs Go and the Go program of a source checkout")

START = Snapshot(b"", SnapshotMetadata(ConfState((1, 2, 3)), 2, 1))
SETTINGS = MixedSettings(
    election_tick=5,
    heartbeat_tick=1,
    max_size_per_msg=1 << 20,
    max_committed_size_per_ready=1 << 20,
    max_inflight_msgs=256,
    check_quorum=True,
    pre_vote=True,
    is_asynchronous=False,
    step_down_on_removal=True,
    batch_append=False,
    is_safe=True,
)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("go")
    return {release: build(str(folder), release) for release in RELEASES}


@pytest.fixture(params=list(RELEASES))
def process(request: pytest.FixtureRequest, programs: dict[str, str]) -> Iterator[GoProcess]:
    with GoProcess(programs[request.param], request.param) as started:
        yield started


# Real groups


@needs_go
def test_groups_of_both_break_no_law(process: GoProcess) -> None:
    results = [run(process, seed) for seed in range(1, 6)]
    assert [result.broken for result in results] == [""] * 5
    won = {name for result in results for name in result.counts if name.startswith("elections won by")}
    assert won == {"elections won by pyraft", f"elections won by etcd raft {process.release}"}


@needs_go
def test_the_same_seed_gives_the_same_run(process: GoProcess, programs: dict[str, str]) -> None:
    with GoProcess(programs[process.release], process.release) as other:
        assert run(process, 7) == run(other, 7)
    assert run(process, 7).trace_hash != run(process, 8).trace_hash


@needs_go
def test_another_python_hash_seed_changes_nothing() -> None:
    line = [sys.executable, "-m", "rafttest", "mixed", "--library", "v3.7.0", "--runs", "2", "--jobs", "1"]
    root = Path(__file__).parents[2]
    told = [
        subprocess.run(
            line, cwd=root, env={"PYTHONHASHSEED": seed, **_path()}, capture_output=True, text=True, check=True
        )
        for seed in ("1", "2")
    ]
    assert told[0].stdout.rpartition("traces ")[2] == told[1].stdout.rpartition("traces ")[2]


def _path() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}


@needs_go
def test_a_panic_of_the_other_library_is_told(process: GoProcess) -> None:
    node = GoNode(process)
    node.start(1, SETTINGS, START)
    assert "index out of range" in node.append().panic  # there is no such work


@needs_go
def test_a_program_that_ends_is_an_error_with_its_last_words(process: GoProcess) -> None:
    process._process.kill()
    with pytest.raises(GoProcessError, match=r"ended at tick|gone"):
        GoNode(process).tick()
    with pytest.raises(GoProcessError, match="seed 3, "):
        run(process, 3)


# The command


@needs_go
def test_the_command_tells_what_was_reached(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mixed", "--library", "v3.7.0", "--runs", "3", "--jobs", "1"]) == 0
    told = capsys.readouterr().out
    assert "v3.7.0: 3 groups" in told
    assert "0 failures" in told


@needs_go
def test_a_law_that_falls_is_shown_with_the_way_to_see_it_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, programs: dict[str, str]
) -> None:
    with GoProcess(programs["v3.7.0"], "v3.7.0") as process:
        broken = replace(run(process, 1), broken="one leader: made up")
    monkeypatch.setattr(mixed, "ProcessPoolExecutor", _InThisProcess)
    monkeypatch.setattr(mixed, "play", lambda *_: [broken])
    assert main(["mixed", "--library", "v3.7.0", "--runs", "1"]) == 1
    told = capsys.readouterr().out
    assert "seed 1 breaks a law: one leader: made up" in told
    assert "again: python -m rafttest mixed --library v3.7.0 --seed 1 --runs 1" in told


@needs_go
def test_groups_that_miss_what_they_should_see_fail(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, programs: dict[str, str]
) -> None:
    with GoProcess(programs["v3.7.0"], "v3.7.0") as process:
        one = run(process, 1)
    monkeypatch.setattr(mixed, "ProcessPoolExecutor", _InThisProcess)
    monkeypatch.setattr(mixed, "play", lambda _program, _release, seeds: [one] * len(seeds))
    assert main(["mixed", "--library", "v3.7.0", "--runs", str(ENOUGH)]) == 1
    assert "v3.7.0: not reached: " in capsys.readouterr().out


def test_coverage_names_what_one_library_has_not_done() -> None:
    missing = unseen({"elections won by pyraft": 3}, ("pyraft", "the other"))
    assert "elections won by pyraft" not in missing
    assert {"elections won by the other", "MsgSnap to pyraft from the other"} <= {*missing}


@pytest.mark.parametrize("number", ["0", "-3"])
def test_a_number_of_groups_below_one_is_refused(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["mixed", "--runs", number])
    assert f"expected at least 1, got {number}" in capsys.readouterr().err


class _InThisProcess:
    def __init__(self, jobs: int) -> None:
        self.map = map

    def __enter__(self) -> _InThisProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_without_go_it_is_skipped_with_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert main(["mixed"]) == 0
    assert capsys.readouterr().out.startswith("skipped: a mixed group needs Go")


def test_without_its_program_it_is_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: "go")
    monkeypatch.setattr(go_process, "SOURCES", tmp_path)
    with pytest.raises(NoReferenceError, match="only a source checkout has"):
        build(str(tmp_path), "v3.7.0")


# Groups that owe something at the end, of this library alone


def three() -> Group:
    made = Group(Random(1), {id: PythonNode(Random(id)) for id in (1, 2, 3)}, START, dict.fromkeys((1, 2, 3), SETTINGS))
    made.found()
    return made


def test_a_group_without_faults_comes_to_rest() -> None:
    made = three()
    come_to_rest(made)
    assert {record.applied for record in made.laws.records.values()} == {made.laws.highest}
    assert made.answered == {1, 2, 3}


@pytest.mark.parametrize("what", ["write", "read_at", "deliver"])
def test_a_group_that_does_not_write_read_or_hear_breaks_the_law_of_liveness(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = three()
    monkeypatch.setattr(made, what, lambda *_: made.wire.clear() if what == "deliver" else None)
    with pytest.raises(LawError) as caught:
        come_to_rest(made)
    assert caught.value.law == "liveness"


def test_an_error_of_this_library_breaks_the_law_of_health_and_names_the_event(monkeypatch: pytest.MonkeyPatch) -> None:
    made = three()

    def dies() -> Answer:
        raise ZeroDivisionError("a leader that dies")

    monkeypatch.setattr(made.peers[2], "tick", dies)
    with pytest.raises(LawError, match="node 2 died: ZeroDivisionError: a leader that dies") as caught:
        made.tick_all()
    assert caught.value.law == "health"
    assert made.recent[-1].startswith("tick 2: ZeroDivisionError")


# The laws, each with a history that breaks it


def laws() -> Laws:
    made = Laws(START)
    for id in (1, 2, 3):
        made.join(id, START, id != 3)
    return made


def entry(index: int, term: int = 1, data: bytes = b"x") -> Entry:
    return Entry(term=term, index=index, data=data)


def two_leaders(made: Laws) -> None:
    made.judge(1, Answer(role=LEADER, term=2))
    made.judge(2, Answer(role=LEADER, term=2))


def logs_that_part(made: Laws) -> None:
    made.judge(1, Answer(term=1, entries=[entry(3)]))
    made.judge(2, Answer(term=1, entries=[entry(3, data=b"y")]))


def same_entry_after_another(made: Laws) -> None:
    made.judge(1, Answer(term=3, entries=[entry(3, 1), entry(4, 3)]))
    made.judge(2, Answer(term=3, entries=[entry(3, 2), entry(4, 3)]))


def states_that_part(made: Laws) -> None:
    made.judge(1, Answer(commit=3, committed=[entry(3)]))
    made.judge(2, Answer(commit=3, committed=[entry(3, 2)]))


def an_entry_left_out(made: Laws) -> None:
    made.judge(1, Answer(commit=4, committed=[entry(4)]))


def an_applied_entry_replaced(made: Laws) -> None:
    made.judge(1, Answer(term=1, commit=3, entries=[entry(3)], committed=[entry(3)]))
    made.judge(1, Answer(term=2, commit=3, entries=[entry(3, 2)]))


def a_term_that_falls(made: Laws) -> None:
    made.judge(1, Answer(term=3))
    made.judge(1, Answer(term=2))


def a_commit_that_falls_on_disk(made: Laws) -> None:
    made.judge(1, Answer(term=3, hard_state=HardState(3, 0, 5)))
    made.crashed(1)
    made.judge(1, Answer(term=3, hard_state=HardState(3, 0, 4)))


def two_votes(made: Laws) -> None:
    made.judge(1, Answer(term=3, hard_state=HardState(3, 1, 2)))
    made.judge(1, Answer(term=3, hard_state=HardState(3, 2, 2)))


def changed(steps: str) -> Entry:
    return Entry(ENTRY_CONF_CHANGE_V2, 1, 3, encode_conf_change_v2(ConfChangeV2(parse_changes(steps))))


def another_configuration(made: Laws) -> None:
    made.judge(1, Answer(commit=3, committed=[changed("v4")], confs=[ConfState((1, 2, 3))]))


def an_impossible_change(made: Laws) -> None:
    made.judge(1, Answer(commit=3, committed=[changed("r1 r2 r3")], confs=[ConfState()]))


def an_old_read(made: Laws) -> None:
    made.judge(2, Answer(commit=9))
    made.asks(1, b"r")
    made.judge(1, Answer(reads=[(8, b"r")]))


def a_read_answered_twice(made: Laws) -> None:
    made.asks(1, b"r")
    made.judge(1, Answer(reads=[(2, b"r"), (2, b"r")]))


def an_answer_to_an_earlier_life(made: Laws) -> None:
    made.asks(1, b"r")
    made.crashed(1)
    made.judge(1, Answer(reads=[(2, b"r")]))


def an_answer_to_somebody_else(made: Laws) -> None:
    made.asks(2, b"r")
    made.judge(3, Answer(reads=[(2, b"r")]))


def a_leader_without_a_committed_entry(made: Laws) -> None:
    made.judge(1, Answer(term=1, commit=3, entries=[entry(3)], committed=[entry(3)]))
    made.judge(2, Answer(term=2, role=LEADER))
    made.judge(2, Answer(term=2, role=LEADER, entries=[entry(4, 2)]))


def a_snapshot_of_another_state(made: Laws) -> None:
    made.judge(1, Answer(term=1, commit=3, entries=[entry(3)], committed=[entry(3)]))
    made.judge(2, Answer(term=1, commit=3, snapshot=Snapshot(b"other", SnapshotMetadata(ConfState((1, 2, 3)), 3, 1))))


def a_snapshot_of_what_nobody_applied(made: Laws) -> None:
    made.judge(2, Answer(term=1, commit=3, snapshot=Snapshot(b"", SnapshotMetadata(ConfState((1, 2, 3)), 9, 1))))


def a_snapshot_of_another_configuration(made: Laws) -> None:
    state = made.states[2][1]
    made.judge(2, Answer(term=1, commit=2, snapshot=Snapshot(state, SnapshotMetadata(ConfState((1, 2)), 2, 1))))


def a_refused_message(made: Laws) -> None:
    made.judge(1, Answer(error="refused: bad context: ..."))


def a_message_refused_as_a_call_may_be(made: Laws) -> None:
    made.judge(1, Answer(error="CampaignRefusal.NOT_A_VOTER"), is_delivery=True)


def a_panic(made: Laws) -> None:
    made.judge(1, Answer(panic="tocommit(9) is out of range"))


@pytest.mark.parametrize(
    ("law", "history"),
    [
        ("one leader", two_leaders),
        ("log matching", logs_that_part),
        ("log matching", same_entry_after_another),
        ("state machines", states_that_part),
        ("state machines", an_entry_left_out),
        ("state machines", an_applied_entry_replaced),
        ("state machines", a_snapshot_of_another_state),
        ("state machines", a_snapshot_of_what_nobody_applied),
        ("completeness", a_leader_without_a_committed_entry),
        ("promises", a_term_that_falls),
        ("promises", a_commit_that_falls_on_disk),
        ("promises", two_votes),
        ("membership", another_configuration),
        ("membership", an_impossible_change),
        ("membership", a_snapshot_of_another_configuration),
        ("reads", an_old_read),
        ("reads", a_read_answered_twice),
        ("reads", an_answer_to_an_earlier_life),
        ("reads", an_answer_to_somebody_else),
        ("health", a_refused_message),
        ("health", a_message_refused_as_a_call_may_be),
        ("health", a_panic),
    ],
    ids=lambda value: value.__name__ if callable(value) else value,
)
def test_a_history_that_breaks_a_law_is_seen(law: str, history: Callable[[Laws], None]) -> None:
    with pytest.raises(LawError) as caught:
        history(laws())
    assert caught.value.law == law


def test_a_leader_without_what_was_committed_later_breaks_no_law() -> None:
    """It was elected before, and writes its first entry late."""
    made = laws()
    made.judge(2, Answer(term=2, role=LEADER))
    made.judge(1, Answer(term=3, commit=3, entries=[entry(3)], committed=[entry(3)]))
    made.judge(2, Answer(term=2, role=LEADER, entries=[entry(3, 2)]))


@pytest.mark.parametrize("error", ["", "dropped: NO_LEADER", "peer not found: ...", "raft proposal dropped"])
def test_what_a_healthy_group_shows_breaks_none(error: str) -> None:
    made = laws()
    made.judge(1, Answer(error=error, role=LEADER, term=2, commit=3, entries=[entry(3, 2)], committed=[entry(3, 2)]))
    made.asks(1, b"r")
    made.judge(1, Answer(role=LEADER, term=2, commit=3, reads=[(3, b"r")]))
    made.judge(2, Answer(term=2, commit=3, entries=[entry(3, 2)], committed=[entry(3, 2)]))
    made.judge(3, Answer(reads=[(3, b"r")]))
