"""The benchmarks' own checks: a run that did not do its work is not timed, and a table says what was measured."""

import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from zlib import crc32

import pytest

import benchmarks.__main__ as command
from benchmarks import instructions, plan, table
from benchmarks.builds import ROOT
from benchmarks.engines import KINDS, Engine, EngineKind
from benchmarks.measure import Effort, RowResult, Timing, measure
from benchmarks.plan import Row
from benchmarks.registry import WORKLOADS
from benchmarks.results import as_markdown
from benchmarks.targets import verdicts
from benchmarks.worker import Worker, pyraft_greeting, serve
from benchmarks.workloads.bench import WrongResultError, payloads
from benchmarks.workloads.cluster import ClusterBench
from pyraft import RawNode, Ready

CLUSTER = {"nodes": 3, "batch": 2, "bytes": 16, "wire": 0, "check": 1}
SMALL_SHAPES: Mapping[str, Mapping[str, int]] = {
    "cluster": CLUSTER,
    "rawnode": {"voters": 2, "check": 1},
    "reads": {"batch": 2, "at_follower": 1, "check": 1},
    "groups": {"groups": 2},
    "growth": {"entries": 50, "bytes": 8, "check": 1},
    "codec": {"encode": 0},
    "quorum": {"voters": 5, "check": 1},
    "election": {"voters": 3},
    "status": {"members": 3, "basic": 0},
    "loopback": {"batch": 2, "bytes": 16, "check": 1},
}


class Backwards:
    """A node that hands out what is committed in the wrong order."""

    def __init__(self, node: RawNode) -> None:
        self.node = node

    def __getattr__(self, name: str) -> object:
        return getattr(self.node, name)

    def ready(self) -> Ready:
        ready = self.node.ready()
        ready.committed_entries = ready.committed_entries[::-1]
        return ready


def ask(*requests: object) -> list[dict[str, object]]:
    lines = "".join(f"{request if isinstance(request, str) else json.dumps(request)}\n" for request in requests)
    answers = io.StringIO()
    serve(Worker(WORKLOADS, pyraft_greeting()), io.StringIO(lines), answers)
    return [json.loads(line) for line in answers.getvalue().splitlines()]


def result(workload: str, label: str, times: Mapping[str, float], **shape: int) -> RowResult:
    made = RowResult(Row(workload, label, shape))
    for name, time in times.items():
        made.timings[name] = Timing([time, time, time * 3], operations=10, messages=80)
    return made


class TestAWorkload:
    @pytest.mark.parametrize("name", sorted(SMALL_SHAPES))
    def test_does_what_it_is_timed_for(self, name: str) -> None:
        bench = WORKLOADS[name](SMALL_SHAPES[name])
        bench.verify()
        bench.run(20 * bench.granularity())
        bench.verify()
        bench.close()

    def test_that_is_in_the_plan_can_be_built(self) -> None:
        assert {row.workload for row in plan.rows(batch_append=False)} == set(WORKLOADS) == set(SMALL_SHAPES)

    @pytest.mark.parametrize(("nodes", "messages"), [(1, 0), (3, 8), (5, 16)])
    def test_takes_as_many_messages_as_the_reference(self, nodes: int, messages: int) -> None:
        bench = ClusterBench({**CLUSTER, "nodes": nodes, "batch": 1})
        before = bench.messages
        bench.run(10)
        assert bench.messages - before == 10 * messages

    def test_notices_entries_in_the_wrong_order(self) -> None:
        bench = ClusterBench(CLUSTER)
        member = bench.nodes.members[2]
        member.node = Backwards(member.node)  # type: ignore[assignment]
        with pytest.raises(WrongResultError, match="was handed out where"):
            bench.run(2)

    def test_notices_an_entry_that_somebody_did_not_apply(self) -> None:
        bench = ClusterBench(CLUSTER)
        bench.run(2)
        bench.nodes.members[1].applied -= 1
        with pytest.raises(WrongResultError, match="a node applied up to"):
            bench.verify()

    def test_notices_a_log_that_holds_something_else(self) -> None:
        bench = ClusterBench(CLUSTER)
        bench.run(2)
        bench.last_payloads[-1] = b"something else"
        with pytest.raises(WrongResultError, match="does not end in what was proposed"):
            bench.verify()

    def test_has_payloads_that_every_language_makes(self) -> None:
        # The second and third output of SplitMix64 from 0, as its authors' code gives them.
        made = payloads(2, 8)
        assert [int.from_bytes(data, "little") for data in made] == [0x6E789E6AA1B965F4, 0x06C45D188009454F]


class TestTheProtocol:
    def test_says_what_runs(self) -> None:
        (hello,) = ask({"do": "hello"})
        assert hello["name"] == "pyraft"
        assert hello["compiled_driver"] is False

    def test_counts_from_the_beginning_of_a_run(self) -> None:
        prepare = {"do": "prepare", "workload": "cluster", "shape": CLUSTER}
        prepared, first, second = ask(prepare, {"do": "run", "operations": 2}, {"do": "run", "operations": 4})
        assert prepared["messages"] == 12
        assert (first["messages"], second["messages"]) == (16, 32)
        assert isinstance(first["nanoseconds"], int)
        assert first["nanoseconds"] > 0

    @pytest.mark.parametrize(
        ("request_", "kind"),
        [
            ("no JSON", "error"),
            ({"do": "something"}, "error"),
            ({"do": "run", "operations": 1}, "error"),
            ({"do": "prepare", "workload": "unheard of", "shape": {}}, "unsupported"),
        ],
    )
    def test_answers_what_it_cannot_do(self, request_: object, kind: str) -> None:
        bad, good = ask(request_, {"do": "hello"})
        assert kind in bad
        assert "name" in good

    def test_refuses_part_of_a_batch(self) -> None:
        _, answer = ask({"do": "prepare", "workload": "cluster", "shape": CLUSTER}, {"do": "run", "operations": 3})
        assert "multiple of 2" in str(answer["error"])


def told(name: str, **answer: int) -> Engine:
    """An engine that gives the same answer to everything."""
    line = {
        "nanoseconds": 10**8,
        "cpu_nanoseconds": 10**8,
        "resident_bytes": 0,
        "granularity": 1,
        "messages": 8,
        "digest": 1,
        "readies": 0,
    }
    program = (
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    request = json.loads(line)\n"
        f"    answer = { ({'wire_bytes': 0} | line | answer)!r}\n"
        "    answer['messages'] *= request.get('operations', 1)\n"
        "    print(json.dumps(answer), flush=True)\n"
    )
    return Engine(name, name, (sys.executable, "-c", program))


class TestAMeasurement:
    def measure(self, engines: Sequence[Engine], row: Row) -> tuple[RowResult, list[str]]:
        turns: list[str] = []
        return measure(row, engines, Effort(0.001, 2), turns.append), turns

    def test_alternates_and_keeps_the_samples(self) -> None:
        environment = {"PYTHONPATH": str(ROOT)}
        ours = Engine("P", "ours", (sys.executable, "-P", "-m", "benchmarks.worker"), environment)
        row = Row("rawnode", "single-voter", {"voters": 1})
        measured, turns = self.measure(
            [ours, told("other", digest=crc32(b"foo" * plan.CHECKED_OPERATIONS), messages=0)], row
        )
        assert turns == ["P", "other", "P", "other", "other", "P"]
        assert measured.refusal == ""
        assert [len(timing.samples) for timing in measured.timings.values()] == [2, 2]

    @pytest.mark.parametrize(
        ("answer", "refusal"),
        [({}, ""), ({"messages": 9}, "messages an operation differ"), ({"digest": 2}, "digest differ")],
        ids=["same", "messages", "checksum"],
    )
    def test_refuses_a_row_in_which_ours_did_something_else(self, answer: dict[str, int], refusal: str) -> None:
        measured, _ = self.measure([told("I", **answer), told("go37")], Row("cluster", "n=3", {}))
        assert measured.refusal.startswith(refusal)
        assert (measured.ratio("I", "go37") is None) == bool(refusal)

    def test_goes_on_without_an_engine_that_dies(self) -> None:
        dead = Engine("C", "the dead one", (sys.executable, "-c", "raise SystemExit(3)"))
        measured, _ = self.measure([dead, told("go37")], Row("cluster", "n=3", {}))
        assert "the dead one" in measured.timings["C"].failure
        assert len(measured.timings["go37"].samples) == 2


class TestTheTable:
    def test_shows_ratios_of_medians_and_their_geometric_mean(self) -> None:
        results = [
            result("cluster", "n=1", {"I": 2000.0, "go37": 4000.0}),
            result("cluster", "n=3", {"I": 8000.0, "go37": 4000.0}),
        ]
        assert table.header(results) == ["microseconds", "I", "go37", "I/go37", "spread"]
        assert table.lines(results) == [
            ["cluster n=1", "2.00", "4.00", "0.50", "200%"],
            ["cluster n=3", "8.00", "4.00", "2.00", "200%"],
            ["cluster geometric mean", "", "", "1.00", ""],
        ]
        assert "| cluster n=1 | 2.00 | 4.00 | 0.50 | 200% |\n" in as_markdown(results, [])

    def test_leaves_a_refused_row_out_of_the_mean(self) -> None:
        results = [
            result("cluster", "n=1", {"I": 2000.0, "go37": 4000.0}),
            result("cluster", "n=3", {"I": 8000.0, "go37": 4000.0}),
        ]
        results[1].refusal = "messages differ"
        cells = table.lines(results)
        assert cells[1][3] == "refused"
        assert cells[2][3] == "0.50"

    def test_judges_what_is_promised(self) -> None:
        results = [
            result("cluster", "n=1", {"C": 300.0, "I": 1200.0, "go37": 1000.0}, nodes=1),
            result("cluster", "n=3", {"C": 600.0, "I": 900.0, "go37": 1000.0}, nodes=3),
            result("codec", "encode", {"I": 100.0, "pb2": 600.0}),
            result("growth", "1,000 entries", {"I": 100.0}),
            result("growth", "10,000 entries", {"I": 130.0}),
        ]
        judged = {one.promise: (round(one.figure, 2), one.is_kept) for one in verdicts(results)}
        assert judged == {
            "C against v3.7.0, geometric mean": (0.42, False),
            "C against v3.7.0, worst row": (0.6, False),
            "I against v3.7.0, geometric mean": (1.04, False),
            "I against v3.7.0, worst row of n >= 3": (0.9, True),
            "I: slowest log length over the fastest": (1.3, False),
            "I: times as fast as raft_pb2, at least": (6.0, True),
        }


class TestTheCommand:
    """Two engines that always take the same time; ours keeps no target if it is the slower one."""

    @pytest.fixture
    def results(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        """Where the published results would be, of which every engine there is takes part."""
        monkeypatch.setattr(command, "RESULTS", tmp_path / "results")
        monkeypatch.setattr(command, "KINDS", [kind for kind in KINDS if kind.name in {"I", "go37"}])
        monkeypatch.setattr(command, "all_rows", lambda: [Row("cluster", "n=3", {"nodes": 3}, quick=True)])
        self.engines(monkeypatch, 1)
        return tmp_path / "results"

    @staticmethod
    def engines(monkeypatch: pytest.MonkeyPatch, slowness: int, *, count: int = 2, digest: int = 1) -> None:
        times = [{"nanoseconds": time, "cpu_nanoseconds": time} for time in (slowness * 10**8, 10**9)]
        made = [told("I", digest=digest, **times[0]), told("go37", **times[1])]
        monkeypatch.setattr(command, "build", lambda *_: made[:count])

    def test_publishes_a_whole_run(self, results: Path) -> None:
        assert command.main([]) == 0
        assert json.loads((results / "last.json").read_text())["effort"]["rounds"] == command.FULL.rounds

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--rounds", "1"],
            ["--seconds", "0.01"],
            ["--quick"],
            ["--cpu"],
            ["--only", "cluster"],
            ["--engines", "I,go37"],
            ["--match", "n=3"],
        ],
        ids=" ".join,
    )
    def test_publishes_no_part_of_one(self, results: Path, arguments: list[str], tmp_path: Path) -> None:
        assert command.main(arguments) == 0
        assert not results.exists()
        assert command.main([*arguments, "--output", str(tmp_path / "elsewhere")]) == 0
        assert (tmp_path / "elsewhere" / "last.json").is_file()
        assert not results.exists()

    @pytest.mark.parametrize("less", [{"count": 1}, {"digest": 2}], ids=["an engine left out", "a row refused"])
    def test_publishes_nothing_that_is_not_whole(
        self, results: Path, monkeypatch: pytest.MonkeyPatch, less: dict[str, int]
    ) -> None:
        self.engines(monkeypatch, 1, **less)
        command.main([])
        assert not results.exists()

    @pytest.mark.parametrize(
        ("slowness", "arguments", "code"),
        [(1, [], 0), (20, [], 1), (20, ["--look"], 0)],
        ids=["kept", "missed", "missed, only a look"],
    )
    def test_fails_if_a_target_is_missed(
        self,
        results: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        slowness: int,
        arguments: list[str],
        code: int,
    ) -> None:
        self.engines(monkeypatch, slowness)
        assert command.main(["--quick", *arguments]) == code
        assert ("MISSED" in capsys.readouterr().out) == (slowness > 1)

    def test_fails_if_a_row_is_refused(self, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.engines(monkeypatch, 1, digest=2)
        assert command.main(["--quick", "--look"]) == 1

    def test_needs_a_row(self, results: Path) -> None:
        assert command.main(["--match", "nothing is called this"]) == 2


@pytest.mark.parametrize(("factor", "code", "verdict"), [(1.01, 0, "kept"), (1.05, 1, "MISSED")])
def test_more_instructions_than_before_are_told(
    factor: float, code: int, verdict: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def kind(name: str) -> EngineKind:
        return EngineKind(name, name, lambda: Engine(name, name, ()))

    monkeypatch.setattr(instructions, "KINDS", (kind("C"),))
    monkeypatch.setattr(instructions, "of_checkout", lambda _: (kind("C0"),))
    monkeypatch.setattr(instructions, "count", lambda engine, *_: 1000.0 * (factor if engine.name == "C" else 1))
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/valgrind")
    assert instructions.main(["--before", ".", "--engines", "C"]) == code
    assert verdict in capsys.readouterr().out


def test_without_valgrind_nothing_is_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert instructions.main(["--before", "."]) == 2
    assert "valgrind is not here" in capsys.readouterr().out
