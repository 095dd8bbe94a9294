"""The replay command: what it shows, what it rewrites, and how it ends."""

import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from sample_traces import BAD, GOOD, write

import rafttest
from rafttest import MalformedTraceError, run_trace
from rafttest.__main__ import main
from rafttest.cli.progress_bar import ProgressBar
from rafttest.interaction.ready import MAX_PASSES


@dataclass(frozen=True)
class Finished:
    code: int
    out: str
    err: str


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def in_process(*arguments: str) -> Finished:
    """Run `python -m rafttest ...` in a process of its own, piped."""
    environment = {**os.environ, "PYTHONPATH": str(Path(rafttest.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-m", "rafttest", *arguments], env=environment, capture_output=True, text=True, check=False
    )
    return Finished(done.returncode, done.stdout, done.stderr)


class Shell:
    """Runs the command within this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def run(self, *arguments: str) -> Finished:
        code = main(arguments)
        captured = self.capsys.readouterr()
        return Finished(code, captured.out, captured.err)


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


# -- malformed traces


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("# nothing\n", "1: there is no command in this file", id="no command"),
        pytest.param("", "1: there is no command in this file", id="nothing at all"),
        pytest.param("fly 1\n----\nok\n", "1: unknown command 'fly'", id="unknown first command"),
        pytest.param("vote\n----\nVoteWon\n\nfly\n----\nok\n", "5: unknown command 'fly'", id="unknown later command"),
        pytest.param(
            "vote\n----\nVoteWon\n\ncampaign 1\n----\nok\n",
            "5: 'campaign' belongs to another kind of trace than 'vote'",
            id="kinds mixed",
        ),
        pytest.param("\ncampaign 1\n----\nok\n", "2: there is no node 1", id="bad node"),
        pytest.param("add-nodes x\n----\nok\n", "1: 'x' is not a number", id="bad argument"),
        pytest.param("add-nodes 1\nok\n", "1: no expected block", id="no expected block"),
        pytest.param(
            "add-nodes 1\n\nadd-nodes 1\n----\nok\n", "1: add-nodes takes no input", id="no expected block, then one"
        ),
    ],
)
def test_malformed_traces(here: Path, shell: Shell, text: str, complaint: str) -> None:
    path = write(here / "a.txt", text)
    with pytest.raises(MalformedTraceError) as raised:
        run_trace(path)
    assert str(raised.value).startswith(f"{path}:{complaint}")
    finished = shell.run("replay", "a.txt")
    assert finished.code == 2
    assert finished.err.startswith(f"a.txt:{complaint}")
    assert finished.out.startswith("0 of 1 traces match, 0 differ, 1 malformed;")


# -- the command


def test_the_exit_code_and_the_last_line_tell_how_it_went(here: Path) -> None:
    write(here / "good.txt", GOOD)
    write(here / "bad.txt", BAD)
    write(here / "malformed.txt", "fly\n")
    assert in_process("replay", "good.txt") == Finished(
        0, "1 of 1 traces match, 0 differ, 0 malformed; 5 commands\n", ""
    )
    differs = in_process("replay", "good.txt", "bad.txt")
    assert (differs.code, differs.err) == (1, "")
    assert differs.out.splitlines()[-1] == "1 of 2 traces match, 1 differ, 0 malformed; 10 commands"
    malformed = in_process("replay", ".")
    assert (malformed.code, malformed.err) == (
        2,
        "./malformed.txt:1: no expected block: no ---- follows the command\n",
    )
    assert malformed.out.splitlines()[-1] == "1 of 3 traces match, 1 differ, 1 malformed; 10 commands"


def test_differences_are_shown_as_diffs_with_their_place(here: Path, shell: Shell) -> None:
    write(here / "sub" / "bad.txt", BAD)
    assert shell.run("replay", "sub").out == (
        "sub/bad.txt:15: raft-state\n--- expected\n+++ actual\n@@ -1 +1 @@\n"
        "-1: StateLeader (Voter) Term:1 Lead:2\n+1: StateLeader (Voter) Term:1 Lead:1\n\n"
        "sub/bad.txt:19: raft-log 1\n--- expected\n+++ actual\n@@ -1 +1 @@\n"
        '-1/4 EntryNormal ""\n+1/3 EntryNormal ""\n\n'
        "0 of 1 traces match, 1 differ, 0 malformed; 5 commands\n"
    )


def test_folders_are_searched_in_the_order_of_names(here: Path, shell: Shell) -> None:
    for name in ("b/2.txt", "b/1", "a.txt", "c.trace"):
        write(here / name, BAD)
    for name in (".hidden", "#a.txt#", "a.txt~", "README.md", ".git/a.txt", "b/.x/a.txt"):
        write(here / name, "no trace\n")
    finished = shell.run("replay", ".")
    assert finished.code == 1
    heads = [line.split(":")[0] for line in finished.out.splitlines() if "raft-state" in line]
    assert heads == ["./a.txt", "./b/1", "./b/2.txt", "./c.trace"]


def test_a_file_named_itself_runs_whatever_its_name(here: Path, shell: Shell) -> None:
    write(here / "README.md", GOOD)
    assert shell.run("replay", "README.md").code == 0


def test_what_cannot_be_replayed_gets_a_sentence(here: Path, shell: Shell) -> None:
    (here / "empty").mkdir()
    write(here / "good.txt", GOOD)
    assert shell.run("replay", "good.txt", "gone.txt") == Finished(
        2, "", "error: gone.txt: there is no such file or folder\n"
    )
    assert shell.run("replay", "empty") == Finished(2, "", "error: empty: there is no trace in this folder\n")
    (here / "latin.txt").write_bytes(b"# caf\xe9\n")
    finished = shell.run("replay", "latin.txt")
    assert (finished.code, finished.err) == (2, "latin.txt:1: not UTF-8: byte 0xe9\n")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_gets_a_sentence(here: Path, shell: Shell) -> None:
    write(here / "secret.txt", GOOD).chmod(0)
    finished = shell.run("replay", "secret.txt")
    assert (finished.code, finished.err) == (2, "secret.txt: Permission denied\n")


def test_nothing_to_replay_is_a_wrong_call(here: Path) -> None:
    for arguments in (["replay"], [], ["dance"]):
        finished = in_process(*arguments)
        assert finished.code == 2
        assert finished.err.startswith("usage: python -m rafttest")


def test_what_a_terminal_would_obey_is_escaped(here: Path, shell: Shell) -> None:
    write(here / "a.txt", "log-level \x1b[2J\n----\n\x1b]0;title\x07\n")
    out = shell.run("replay", "a.txt").out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "-\\x1b]0;title\\x07" in out


def test_whoever_stops_reading_ends_the_command(here: Path) -> None:
    write(here / "bad.txt", "vote\n----\nVoteLost\n\n" * 5000)
    environment = {**os.environ, "PYTHONPATH": str(Path(rafttest.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-m", "rafttest", "replay", "bad.txt"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


# -- rewriting


def test_rewriting_makes_traces_match_and_changes_nothing_else(here: Path, shell: Shell) -> None:
    path = write(here / "sub" / "bad.txt", BAD)
    good = write(here / "sub" / "good.txt", GOOD)
    good_before = good.stat().st_mtime_ns
    finished = shell.run("replay", "--rewrite", "sub")
    assert finished == Finished(0, "1 of 2 traces match, 1 rewritten, 0 differ, 0 malformed; 10 commands\n", "")
    assert path.read_text() == GOOD
    assert good.stat().st_mtime_ns == good_before
    assert shell.run("replay", "sub").code == 0


def test_a_new_script_gets_its_outputs(here: Path, shell: Shell) -> None:
    path = write(here / "new.txt", "simple\nv1\n----\n\n# next\nsimple\nr1\n----")
    assert shell.run("replay", "--rewrite", "new.txt").code == 0
    assert path.read_text() == (
        "simple\nv1\n----\nvoters=(1)\n1: StateProbe match=0 next=1\n\n# next\nsimple\nr1\n----\nremoved all voters\n"
    )


@pytest.mark.parametrize("path", ["../outside.txt", "link.txt", "folder"])
def test_nothing_outside_the_current_folder_is_rewritten(here: Path, shell: Shell, path: str) -> None:
    outside = write(here.parent / "outside.txt", BAD)
    write(here.parent / "elsewhere" / "a.txt", BAD)
    inside = write(here / "inside.txt", BAD)
    (here / "link.txt").symlink_to(outside)
    (here / "folder").symlink_to(here.parent / "elsewhere")
    finished = shell.run("replay", "--rewrite", "inside.txt", path)
    assert (finished.code, finished.out) == (2, "")
    assert f"--rewrite only writes below the current folder, {here}" in finished.err
    assert outside.read_text() == BAD
    assert inside.read_text() == BAD


def test_a_malformed_trace_is_not_rewritten(here: Path, shell: Shell) -> None:
    text = GOOD.replace("Lead:1", "Lead:2") + "\ncampaign 9\n----\nok\n"
    path = write(here / "a.txt", text)
    assert shell.run("replay", "--rewrite", "a.txt").code == 2
    assert path.read_text() == text


def test_a_failed_run_is_not_rewritten(here: Path, shell: Shell) -> None:
    """More entries than passes, one a pass: `stabilize` gives up."""
    text = "add-nodes 1 voters=(1) index=2 max-committed-size-per-ready=1\n----\nok\n\ncampaign 1\n----\nok\n\n"
    text += "stabilize log-level=none\n----\nok\n\n" + "propose 1 x\n----\nok\n\n" * (MAX_PASSES + 1)
    text += "stabilize log-level=none\n----\nok\n"
    path = write(here / "a.txt", text)
    finished = shell.run("replay", "--rewrite", "a.txt")
    assert finished.code == 1
    assert f"+RestlessError: no rest after {MAX_PASSES} passes" in finished.out
    assert finished.out.splitlines()[-1].startswith("0 of 1 traces match, 0 rewritten, 1 differ, 0 malformed;")
    assert path.read_text() == text


# -- the progress bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_how_far_it_is() -> None:
    terminal = Terminal()
    bar = ProgressBar(2, terminal)
    bar.show("first")
    bar.show("first, a moment later")
    bar.advance()
    bar.clear()
    bar.show("second")
    bar.clear()
    assert terminal.getvalue() == (
        f"\r\x1b[K[{'.' * 30}] 0/2 first\r\x1b[K\r\x1b[K[{'#' * 15}{'.' * 15}] 1/2 second\r\x1b[K"
    )


def test_a_pipe_sees_nothing() -> None:
    pipe = io.StringIO()
    bar = ProgressBar(1, pipe)
    bar.show("first")
    bar.clear()
    assert pipe.getvalue() == ""
