"""Whole simulations: the same seed is the same history everywhere; faults are reached; planted bugs are found."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from rafttest.__main__ import main
from rafttest.sim.determinism import check_repeats
from rafttest.sim.disk import Disk
from rafttest.sim.faults import HAPPENINGS, draw
from rafttest.sim.run import Result, run
from rafttest.sim.violation import Violation

SEEDS = range(1, 26)

PRINT_HASHES = "from rafttest.sim.run import run; print([run(seed).trace_hash for seed in (3, 4)])"


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return [run(seed) for seed in SEEDS]


def total(results: list[Result], name: str) -> int:
    return sum(result.counts.get(name, 0) for result in results)


def test_nothing_is_violated(results: list[Result]) -> None:
    assert [str(result.violation) for result in results if result.violation is not None] == []


def test_each_schedule_is_long(results: list[Result]) -> None:
    assert min(result.events for result in results) >= 1000


@pytest.mark.parametrize(
    "reached",
    [
        "all nodes down",
        "client reads answered",
        "client writes acknowledged",
        "client writes sent again",
        "clogs",
        "crashes",
        "crashes before sending",
        "crashes before the write is durable",
        "crashes that lost writes",
        "crashes while applying",
        "elections",
        "elections behind the commit index of another",
        "histories checked",
        "joint configurations entered",
        "leaders forgotten",
        "membership changes applied",
        "membership changes refused by a leader",
        "messages lost",
        "nodes cut off and returned",
        "old messages repeated",
        "partitions",
        "partitions one way",
        "pauses",
        "proposals acknowledged",
        "proposals forwarded",
        "reads aborted",
        "reads checked",
        "requests recognised as repeated",
        "snapshots installed",
        "tails replaced",
        "transfers",
    ],
)
def test_what_a_few_seeds_reach(results: list[Result], reached: str) -> None:
    assert total(results, reached) > 0


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_the_same_seed_is_the_same_history_in_another_process(results: list[Result], hash_seed: str) -> None:
    root = Path(__file__).parents[1]
    ran = subprocess.run(
        [sys.executable, "-c", PRINT_HASHES],
        cwd=root,
        env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == str([results[2].trace_hash, results[3].trace_hash])


def test_the_same_seed_gives_the_same_events() -> None:
    check_repeats(5, lambda seed: run(seed, keeps_all=True).last_events)


def test_seeds_differ_in_what_exists() -> None:
    drawn = [draw(seed) for seed in range(200)]
    assert len({str(asdict(options) | {"seed": 0}) for options in drawn}) == 200
    for name in HAPPENINGS:
        assert any(name in options.intervals for options in drawn)
    for name in HAPPENINGS.keys() - {"propose"}:
        assert any(name not in options.intervals for options in drawn)
    assert {options.is_asynchronous for options in drawn} == {True, False}


def test_the_whole_trace_can_be_kept() -> None:
    whole = run(3, keeps_all=True)
    assert len(whole.last_events) == whole.events
    assert whole.trace_hash == run(3).trace_hash


def test_a_disk_that_does_not_sync_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The planted bug of the host: it says that the write is durable, and it is not."""
    monkeypatch.setattr(Disk, "sync", lambda self: None)
    result = run(2)
    assert isinstance(result.violation, Violation)
    assert result.violation.invariant == "S3"
    assert main(["sim", "--seed", "2"]) == 1
    said = capsys.readouterr().out
    assert "seed 2 violates S3" in said
    assert "again: python -m rafttest sim --seed 2" in said
    assert result.trace_hash in said


def test_an_exception_that_escapes_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Disk) -> None:
        raise OSError("no space")

    monkeypatch.setattr(Disk, "sync", fail)
    assert str(run(3).violation) == "S24: OSError escaped: no space"


def test_the_command_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "--seed", "3", "--runs", "2"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("2 seeds, ")
    assert "; 0 violations; " in last
    assert last.endswith(" events/s")


def test_several_processes_give_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    main(["sim", "--seed", "3", "--runs", "2"])
    alone = capsys.readouterr().out.rpartition(";")[0]
    main(["sim", "--seed", "3", "--runs", "2", "--jobs", "2"])
    assert capsys.readouterr().out.rpartition(";")[0] == alone


def test_runs_may_be_given_as_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "--minutes", "0.001"]) == 0
    assert int(capsys.readouterr().out.splitlines()[-1].split(" ", 1)[0]) >= 1


@pytest.mark.parametrize("arguments", [["--runs", "0"], ["--jobs", "0"], ["--runs", "many"]])
def test_bad_numbers_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["sim", *arguments])
    assert "error: argument --" in capsys.readouterr().err
