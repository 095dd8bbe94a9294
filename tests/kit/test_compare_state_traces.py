"""State traces as files, from the command line, and against the reference; skipped where that cannot be built."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from pyraft import TraceEvent
from rafttest import InteractionEnv, StateTraceWriter
from rafttest.__main__ import main
from rafttest.reference.compare import SOURCES
from rafttest.reference.compare_state_traces import compare_state_traces

OWN_TRACES = Path(__file__).parents[1] / "traces"
JOINT_QUORUM = OWN_TRACES / "interaction" / "joint_quorum.txt"

ARITHMETIC = "simple\nv1\n----\nvoters=(1)\n1: StateProbe match=0 next=1\n"

# Node 2 applies a change that the snapshot which it has just received holds already. The reference makes it once more;
# here it is left, for made on top of a later configuration it might lead to a third.
APPLIED_TWICE = "".join(
    f"{command}\n----\nok\n\n"
    for command in (
        "add-nodes 3 voters=(1,2,3) index=10 async-storage-writes=true",
        "campaign 1",
        "stabilize",
        "propose-conf-change 1\nl4",
        "process-ready 1",
        "process-append-thread 1",
        "deliver-msgs 1 2 3",
        "process-ready 2 3",
        "process-append-thread 2 3",
        "deliver-msgs 1",
        "process-ready 1",
        "deliver-msgs 2",
        "process-ready 2",
        "stabilize 1 3",
        "propose 1 x",
        "stabilize 1 3",
        "deliver-msgs drop=(2)",
        "send-snapshot 1 2",
        "deliver-msgs 2",
        "process-apply-thread 2",
        "raft-state",
    )
)


def write(folder: Path, text: str) -> Path:
    path = folder / "trace.txt"
    path.write_text(text, encoding="utf-8")
    return path


# -- files


class Recorder(StateTraceWriter):
    """Writes, and keeps what it has written."""

    kept: list[TraceEvent]

    def trace_event(self, event: TraceEvent, /) -> None:
        super().trace_event(event)
        self.kept.append(event)


def test_a_file_has_a_line_an_event_and_is_in_order_also_when_sorted(tmp_path: Path) -> None:
    """The reference's validator of traces sorts by what follows the second colon."""
    path = tmp_path / "run.ndjson"
    with path.open("w", encoding="utf-8") as stream:
        recorder = Recorder(stream)
        recorder.kept = []
        env = InteractionEnv(trace_logger=recorder)
        for command in ("add-nodes 3 voters=(1,2,3) index=10", "campaign 1", "stabilize"):
            env.handle(command)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert recorder.events == len(recorder.kept) == len(lines) > 30
    for line, event in zip(lines, recorder.kept, strict=True):
        assert json.loads(line)["tag"] == "trace"
        assert line.endswith(f',"event":{event.to_json()}}}')
    assert sorted(lines, key=lambda line: line.split(":", 2)[2]) == lines


def test_replaying_a_trace_can_write_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run.ndjson"
    assert main(["replay", str(JOINT_QUORUM), "--state-trace", str(out)]) == 0
    assert capsys.readouterr().out.startswith("1 of 1 traces match")
    events = [json.loads(line)["event"] for line in out.read_text(encoding="utf-8").splitlines()]
    assert {event["nid"] for event in events} >= {"1", "2"}
    assert events[0]["name"] == "InitState"
    assert any(event["conf"][1] for event in events)


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        pytest.param(OWN_TRACES, "--state-trace takes one trace, not", id="many traces"),
        pytest.param(OWN_TRACES / "no_such.txt", "there is no such file or folder", id="no trace"),
    ],
)
def test_writing_one_takes_one_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], path: Path, complaint: str
) -> None:
    out = tmp_path / "run.ndjson"
    assert main(["replay", str(path), "--state-trace", str(out)]) == 2
    assert complaint in capsys.readouterr().err
    assert not out.exists()


def test_arithmetic_has_no_nodes_to_tell_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = write(tmp_path, ARITHMETIC)
    assert main(["replay", str(trace), "--state-trace", str(tmp_path / "run.ndjson")]) == 2
    assert capsys.readouterr().err.startswith(f"{trace}:1: ")


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "nowhere" / "run.ndjson"
    assert main(["replay", str(JOINT_QUORUM), "--state-trace", str(out)]) == 2
    assert f"No such file or directory: '{out}'" in capsys.readouterr().err


# -- against the reference


@pytest.fixture(scope="module")
def go() -> str:
    """Go, with the modules of the program at hand."""
    found = shutil.which("go")
    if found is None:
        pytest.skip("there is no Go on this machine")
    listed = subprocess.run([found, "list", "-deps", "."], cwd=SOURCES, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip(f"Go cannot get the modules of the reference: {listed.stderr.strip()}")
    return found


@pytest.mark.usefixtures("go")
def test_the_reference_tells_the_same_of_all_traces(capfd: pytest.CaptureFixture[str]) -> None:
    """Arithmetic, which is among them, is left out."""
    assert main(["compare", "--state-traces", str(OWN_TRACES)]) == 0, capfd.readouterr().out
    files = len(list(OWN_TRACES.glob("interaction/**/*.txt")))
    events, _, said = capfd.readouterr().out.partition(" ")
    assert said == f"events in {files} files: 0 differ from the reference\n"
    assert int(events) > 50 * files


@pytest.mark.usefixtures("go")
def test_a_difference_is_shown_with_its_place(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, APPLIED_TWICE)
    assert compare_state_traces([str(path)]) == 1
    place, event, counts = capfd.readouterr().out.splitlines()
    line = APPLIED_TWICE.splitlines().index("process-apply-thread 2") + 1
    assert place == f"{path}:{line}: process-apply-thread 2"
    sign, number, told = event.split(" ")
    assert (sign, json.loads(told)["name"], json.loads(told)["nid"]) == ("-", "ApplyConfChange", "2")
    assert counts == f"{number} events in 1 files: 1 differ from the reference"


@pytest.mark.usefixtures("go")
def test_where_the_reference_panics_the_comparison_ends(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "add-nodes 1\n----\nok\n\ncampaign 2\n----\nok\n\ncampaign 1\n----\nok\n")
    assert compare_state_traces([str(path)]) == 1
    assert capfd.readouterr().out.splitlines() == [
        f"{path}:5: reference panics: runtime error: index out of range [1] with length 1",
        "3 events in 1 files: 0 differ from the reference, 1 ended early",
    ]


@pytest.mark.usefixtures("go")
def test_what_is_no_trace_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "propose 1 =x\n----\n")
    assert compare_state_traces([str(path)]) == 2
    assert f"{path}:1: cannot parse directive at column 11" in capfd.readouterr().err


def test_a_missing_file_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert compare_state_traces([str(tmp_path / "nowhere.txt")]) == 2
    assert "nowhere.txt: there is no such file or folder" in capfd.readouterr().err


def test_without_go_nothing_is_compared(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert compare_state_traces([str(write(tmp_path, APPLIED_TWICE))]) == 0
    assert capfd.readouterr().out.startswith("skipped: comparing with the reference needs Go")


def test_outputs_are_not_recorded_along_the_way(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--rewrite", "--state-traces", str(JOINT_QUORUM)]) == 2
    assert "--rewrite records outputs" in capfd.readouterr().err
