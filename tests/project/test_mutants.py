"""The list of mutants: every row still applies, and names tests that are there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from mutants.killing import Killer, shoot
from mutants.planting import CopyError, plant
from mutants.rows import CANARY, HERE, ROOT, Edit, Row, all_rows

ROWS = [CANARY, *all_rows()]
PLANTED = [row for row in ROWS if row.edits]
TESTS = HERE.parent


def test_no_number_is_missing() -> None:
    assert {row.number for row in ROWS} >= set(range(129))
    assert len({row.id for row in ROWS}) == len(ROWS)
    assert sum(row.star for row in ROWS) == 50


@pytest.mark.parametrize("row", PLANTED, ids=lambda row: row.id)
def test_a_row_applies_to_the_source_as_it_is(row: Row) -> None:
    for edit in row.edits:
        planted = edit.apply((ROOT / edit.file).read_text())
        compile(planted, edit.file, "exec")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_row_is_planted_or_says_why_not(row: Row) -> None:
    assert row.bug.endswith(".")
    assert bool(row.edits) != bool(row.reason)
    assert not (row.reason and (row.star or row.tests or row.traces or row.seeds))


@pytest.mark.parametrize("row", PLANTED, ids=lambda row: row.id)
def test_what_is_to_kill_it_is_there(row: Row) -> None:
    assert row.tests or row.traces or (row.seeds and not row.directed)
    for test in row.tests:
        file, _, name = test.partition("::")
        function = re.escape(name.partition("[")[0])
        assert re.search(rf"^(?:def {function}\(|{function} = )", (TESTS / file).read_text(), re.MULTILINE), test
    for trace in row.traces:
        assert (TESTS / "traces" / trace).is_file()


@pytest.mark.parametrize("text", ["no such text", "e"], ids=["never", "often"])
def test_a_text_that_is_not_there_once_is_refused(tmp_path: Path, text: str) -> None:
    original = tmp_path / "original"
    original.mkdir()
    (original / "file.py").write_text("here = 'there'\n")
    row = Row(id="1", bug="", edits=(Edit("file.py", text, ""),))
    with pytest.raises(CopyError, match=r"row 1 does not apply: file\.py has \d times, not once"):
        plant(original, tmp_path / "copy", row)


def test_what_is_no_python_any_more_is_refused(tmp_path: Path) -> None:
    original = tmp_path / "original"
    original.mkdir()
    (original / "file.py").write_text("here = 1\n")
    with pytest.raises(CopyError, match="invalid syntax"):
        plant(original, tmp_path / "copy", Row(id="1", bug="", edits=(Edit("file.py", "= 1", "= = 1"),)))


@pytest.mark.parametrize(
    ("code", "failed", "timed_out"),
    [
        pytest.param("pass", "", False, id="passes"),
        pytest.param("print('FAILED tests/test_x.py::test_y - why')\nexit(1)", "test_x.py::test_y", False, id="named"),
        pytest.param("exit(1)", "killer", False, id="fails"),
        pytest.param("while True: pass", "killer", True, id="hangs"),
    ],
)
def test_what_came_of_a_killer(tmp_path: Path, code: str, failed: str, timed_out: bool) -> None:
    shot = shoot(Killer("killer", ("-c", code)), tmp_path, 1.0 if timed_out else 60.0)
    assert (shot.failed, shot.timed_out, shot.code == 0) == (failed, timed_out, not failed)


def test_the_command_lists_what_it_would_plant() -> None:
    command = [sys.executable, "-m", "tests.mutants", "--list", "--only", "84,12"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["12", "84", "84b"]
