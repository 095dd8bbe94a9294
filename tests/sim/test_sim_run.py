"""Whole simulations: the same seed is the same history everywhere; faults are reached; planted bugs are found."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

import rafttest.sim as simulator
from pyraft import CampaignRefusal, DropReason, ReadDropReason
from rafttest.__main__ import main
from rafttest.cli import sim
from rafttest.sim.checker.coverage_points import COVERAGE_POINTS
from rafttest.sim.checker.determinism import check_repeats
from rafttest.sim.checker.violation import Violation
from rafttest.sim.cluster.disk import READ, SYNC, WRITE, SimDisk
from rafttest.sim.corpus import CORPUS, Case
from rafttest.sim.draw import draw
from rafttest.sim.options import HAPPENINGS, faults_of
from rafttest.sim.run import SimResult, run
from rafttest.sim.shrink import Run, Shrinker

SEEDS = range(1, 21)

COUNTED_BY_REASON = {
    "campaigns refused": CampaignRefusal,
    "proposals dropped": DropReason,
    "reads aborted": ReadDropReason,
}

PRINT_HASHES = "from rafttest.sim.run import run; print([run(seed).trace_hash for seed in (3, 4)])"


@pytest.fixture(scope="module")
def results() -> list[SimResult]:
    return [run(seed) for seed in SEEDS]


SIM = Path(simulator.__file__).parent


def total(results: list[SimResult], name: str) -> int:
    return sum(result.counts.get(name, 0) for result in results)


def test_nothing_is_violated(results: list[SimResult]) -> None:
    assert [str(result.violation) for result in results if result.violation is not None] == []


def test_each_schedule_is_long(results: list[SimResult]) -> None:
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
def test_what_a_few_seeds_reach(results: list[SimResult], reached: str) -> None:
    assert total(results, reached) > 0


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_the_same_seed_is_the_same_history_in_another_process(results: list[SimResult], hash_seed: str) -> None:
    root = Path(__file__).parents[2]
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
    monkeypatch.setattr(SimDisk, "sync", lambda self: None)
    result = run(2)
    assert isinstance(result.violation, Violation)
    assert result.violation.law == "S3"
    monkeypatch.setattr(sim, "_MOST_RUNS", 20)
    assert main(["sim", "--seed", "2"]) == 1
    said = capsys.readouterr().out
    assert "seed 2 violates S3" in said
    assert "again: python -m rafttest sim --seed 2\n" in said
    assert result.trace_hash in said
    shrunk = next(line for line in said.splitlines() if line.endswith(" --trace"))
    assert main(shrunk.rpartition("rafttest ")[2].split()) == 1
    assert "violates S3" in capsys.readouterr().out


def test_an_exception_that_escapes_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: SimDisk) -> None:
        raise OSError("no space")

    monkeypatch.setattr(SimDisk, "sync", fail)
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


def test_runs_may_be_given_as_a_time_and_then_must_see_every_marker(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sim, "CORPUS", ())
    assert main(["sim", "--minutes", "0.001", "--until", "20"]) == 0, "so few seeds owe nothing"
    capsys.readouterr()
    monkeypatch.setattr(sim, "_ENOUGH", 1)
    assert main(["sim", "--minutes", "0.001", "--until", "20"]) == 1
    said = capsys.readouterr().out
    assert int(said.splitlines()[-1].split(" ", 1)[0]) >= 1
    assert "\nnot seen: " in said
    assert "; 0 violations; " in said


def test_what_never_failed_is_told_with_its_confidence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "--seed", "3", "--runs", "2", "--until", "20"]) == 0
    said = capsys.readouterr().out
    assert "0 of 2 seeds: with 95 % confidence fewer than 1.5 of the schedules" in said
    for name, meaning in COVERAGE_POINTS.items():
        assert f"  {name}: {meaning}\n" in said


def test_the_hash_of_all_traces_tells_two_builds_apart(capsys: pytest.CaptureFixture[str]) -> None:
    def trace(*arguments: str) -> str:
        main(["sim", "--until", "20", *arguments])
        return next(line for line in capsys.readouterr().out.splitlines() if line.startswith("trace "))

    both = trace("--seed", "3", "--runs", "2")
    assert both == trace("--seed", "3", "--runs", "2", "--jobs", "2")
    assert both != trace("--seed", "3", "--runs", "2", "--without", "propose")
    assert trace("--seed", "3", "--runs", "1") != trace("--seed", "4", "--runs", "1")


def test_what_is_left_out_does_not_happen() -> None:
    one = Run(3, ("crash", "clog"), spares=0, until=30)
    options = one.options()
    assert (options.spares, options.ticks) == (0, 30)
    assert {"crash", "clog"} & {*options.intervals} == set()
    assert one.arguments() == "--seed 3 --without crash,clog --spares 0 --until 30"


def test_every_event_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "--seed", "3", "--until", "20", "--trace"]) == 0
    assert len(capsys.readouterr().out.splitlines()) > run(3, options=Run(3, until=20).options()).events


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.run.arguments())
def test_what_once_failed_does_not_fail_again(case: Case) -> None:
    assert run(case.run.seed, options=case.run.options()).violation is None


def test_shrinking_finds_what_matters() -> None:
    """A made-up flaw: it needs crashes and a spare node, and shows at tick 57."""

    def law_of(one: Run) -> str:
        options = one.options()
        return "S1" if "crash" in options.intervals and options.spares and options.ticks >= 57 else "L1"

    seed = next(seed for seed in range(99) if law_of(Run(seed)) == "S1" and draw(seed).spares > 1)
    small = Shrinker(law_of, 200).shrink(Run(seed), "S1")
    assert faults_of(small.options()) == ["crash"]
    assert (small.spares, small.until) == (1, 57)


def test_shrinking_ends_after_so_many_runs() -> None:
    tried: list[Run] = []

    def law_of(one: Run) -> str:
        tried.append(one)
        return "L1"

    assert Shrinker(law_of, 7).shrink(Run(3), "S1") == Run(3)
    assert len(tried) == 7


def test_every_coverage_point_is_counted_somewhere() -> None:
    sources = "".join(path.read_text() for path in SIM.rglob("*.py") if path.stem != "coverage_points")
    made = {f"{kind}: {reason.name}" for kind, reasons in COUNTED_BY_REASON.items() for reason in reasons}
    disks = {f"nodes whose disk failed at a {access}" for access in (READ, SYNC, WRITE)}
    assert [name for name in COVERAGE_POINTS if f'"{name}"' not in sources and name not in made | disks] == []


@pytest.mark.parametrize("arguments", [["--runs", "0"], ["--jobs", "0"], ["--runs", "many"], ["--without", "gravity"]])
def test_bad_numbers_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["sim", *arguments])
    assert "error: argument --" in capsys.readouterr().err
