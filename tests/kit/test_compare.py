"""The comparison with the reference: a Go program, run on traces of our own; skipped where it cannot be built."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest

from rafttest.reference.compare import SOURCES, compare

SHARED_TRACES = Path(__file__).parents[3] / "shared" / "traces"

# Two nodes: the second is cut off, falls behind, and everything is as any Raft must do it.
MATCHING = """\
# Comments stay.
add-nodes 2 voters=(1,2) index=5
----
INFO log lines do not count

tick-election 1
----
ok

raft-state
----
1: StateCandidate (Voter) Term:1 Lead:0
2: StateFollower (Voter) Term:0 Lead:0

stabilize log-level=none
----
ok

set-randomized-election-timeout 2 timeout=4
----
ok

tick-election 2
----
ok

raft-state
----
1: StateLeader (Voter) Term:1 Lead:1
2: StateFollower (Voter) Term:1 Lead:1

read-index 1 ctx
----
ok

deliver-msgs drop=(2)
----
no messages

raft-log 1
----
1/6 EntryNormal ""
"""

DIFFERING = MATCHING.replace("Lead:1\n\nread-index", "Lead:2\n\nread-index")

# There is no third node, which is more than the reference survives.
PANICKING = MATCHING + "\ncampaign 3\n----\nok\n\nraft-state\n----\nok\n"

CONFIGURATION = """\
simple
v1
----
voters=(1)
1: StateProbe match=0 next=1

enter-joint autoleave=true
r1 v2 l3
----
voters=(2)&&(1) learners=(3) autoleave
1: StateProbe match=0 next=1
2: StateProbe match=0 next=1
3: StateProbe match=0 next=1 learner

simple
v4
----
can't apply simple config change in joint config

leave-joint
----
voters=(2) learners=(3)
2: StateProbe match=0 next=1
3: StateProbe match=0 next=1 learner
"""

QUORUM = """\
committed cfg=(1,2,3) idx=(7,_,5)
----
       idx
xx>      7    (id=1)
?        0    (id=2)
x>       5    (id=3)
5

committed cfg=(1,2) cfgj=(2,3) idx=(9,8,4)
----
       idx
xx>      9    (id=1)
x>       8    (id=2)
>        4    (id=3)
4

vote cfg=(1,2,3) cfgj=zero votes=(y,n,_)
----
VotePending
"""


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


def write(folder: Path, text: str, name: str = "trace.txt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.usefixtures("go")
@pytest.mark.parametrize(
    ("trace", "commands"),
    [
        pytest.param(MATCHING, 10, id="interaction"),
        pytest.param(CONFIGURATION, 4, id="configuration"),
        pytest.param(QUORUM, 3, id="quorum"),
    ],
)
def test_a_trace_of_the_references_behaviour_matches(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], trace: str, commands: int
) -> None:
    assert compare([str(write(tmp_path, trace))]) == 0
    assert capfd.readouterr().out == f"{commands} commands in 1 files: 0 differ from the reference\n"


@pytest.mark.usefixtures("go")
def test_a_difference_is_shown_with_its_place(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, DIFFERING)
    assert compare([str(path)]) == 1
    shown = capfd.readouterr().out.splitlines()
    line = DIFFERING.splitlines().index("tick-election 2") + 1
    assert shown[0] == f"{path}:{line + 4}: raft-state"
    assert "-2: StateFollower (Voter) Term:1 Lead:2" in shown
    assert "+2: StateFollower (Voter) Term:1 Lead:1" in shown
    assert shown[-1] == "10 commands in 1 files: 1 differ from the reference"


@pytest.mark.usefixtures("go")
def test_a_panic_of_the_reference_ends_the_trace(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, PANICKING)
    assert compare([str(path)]) == 1
    place, counts = capfd.readouterr().out.splitlines()
    line = PANICKING.splitlines().index("campaign 3") + 1
    assert place == f"{path}:{line}: reference panics: runtime error: index out of range [2] with length 2"
    assert counts == "10 commands in 1 files: 0 differ from the reference, 1 ended early"


@pytest.mark.usefixtures("go")
def test_rewriting_records_what_counts_and_cuts_before_a_panic(tmp_path: Path) -> None:
    forgotten = "\n".join(line for line in PANICKING.splitlines() if not line.startswith(("1:", "2:", "1/", "INFO")))
    path = write(tmp_path, forgotten)
    assert compare([str(path)], rewrite=True) == 0
    assert path.read_text(encoding="utf-8") == MATCHING.replace("INFO log lines do not count", "ok")


@pytest.mark.usefixtures("go")
def test_rewriting_cuts_before_a_compaction_of_what_is_not_applied(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    appended = "".join(f"\n{command}\n----\n" for command in ("propose 1 x", "process-ready 1", "compact 1 7"))
    path = write(tmp_path, MATCHING + appended)
    assert compare([str(path)], rewrite=True) == 0
    assert "no application may do this: compact up to 7, with 6 applied" in capfd.readouterr().out
    kept = path.read_text(encoding="utf-8")
    assert "process-ready 1\n----\nReady MustSync=true:\n" in kept
    assert "compact" not in kept


@pytest.mark.usefixtures("go")
def test_folders_are_searched_without_leftovers(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "deeper").mkdir()
    write(tmp_path, MATCHING)
    write(tmp_path / "deeper", QUORUM)
    for name in ("trace.txt~", ".hidden", "#trace.txt#", "README.md"):
        write(tmp_path, "no trace at all =", name)
    assert compare([str(tmp_path)]) == 0
    assert capfd.readouterr().out == "13 commands in 2 files: 0 differ from the reference\n"


@pytest.mark.usefixtures("go")
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("propose 1 =x\n----\n", ":1: cannot parse directive at column 11", id="argument-without-key"),
        pytest.param("raft-state\n----\n----\nok\n", ":3: ", id="output-without-end"),
    ],
)
def test_what_is_no_trace_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str, complaint: str) -> None:
    path = write(tmp_path, text)
    assert compare([str(path)]) == 2
    assert f"{path}{complaint}" in capfd.readouterr().err


@pytest.mark.usefixtures("go")
def test_a_malformed_command_is_no_panic(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "deliver-msgs 1 type=MsgNone\n----\nok\n")
    assert compare([str(path)]) == 1
    assert f"{path}:1: the reference refuses this command as malformed" in capfd.readouterr().out


@pytest.mark.usefixtures("go")
def test_a_missing_file_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert compare([str(tmp_path / "nowhere.txt")]) == 2
    assert "nowhere.txt" in capfd.readouterr().err


@pytest.mark.usefixtures("go")
@pytest.mark.skipif(not SHARED_TRACES.is_dir(), reason="the reference traces are not here")
def test_the_reference_reproduces_its_own_traces(capfd: pytest.CaptureFixture[str]) -> None:
    assert compare([str(SHARED_TRACES)]) == 0, capfd.readouterr().out


def fake_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a `go` on the path that fails at everything."""
    program = folder / "go"
    program.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_without_go_nothing_is_compared(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert compare([str(write(tmp_path, DIFFERING))]) == 0
    skipped = capfd.readouterr().out
    assert skipped.startswith("skipped: ")
    assert "no `go` on the path" in skipped


def test_without_the_go_sources_nothing_is_compared(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "compare_installed.py"  # as in a wheel: the module without the folder beside it
    shutil.copy(SOURCES / "compare.py", installed)
    spec = importlib.util.spec_from_file_location("compare_installed", installed)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    fake_go(tmp_path, monkeypatch)
    assert module.compare([str(write(tmp_path, DIFFERING))]) == 0
    assert "only a source checkout has" in capfd.readouterr().out


def test_a_program_that_does_not_build_is_an_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_go(tmp_path, monkeypatch)
    assert compare([str(write(tmp_path, MATCHING))]) == 2
    assert "does not build" in capfd.readouterr().out
