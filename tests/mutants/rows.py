"""The rows: one bug each, kept as data in the TOML files beside this one.

    id         its number; a letter behind it marks a second way to make the same mistake
    star       planted at every change, not only by night
    directed   too rare to be left to chance: a test or a trace of its own leads to it
    bug        what is wrong;  `breaks`: which law falls, and why that matters
    file, old, new     `old` stands in `file` exactly once; `also`: further edits of the same form
    reason     in place of an edit: why it is not planted
    tests, traces, seeds     what is expected to fail, the quickest first: ids of pytest below tests/, files below
                             tests/traces, seeds of the simulator

A row that survives is a missing test.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]
FILES: Final = (
    "elections.toml",
    "replication.toml",
    "storage.toml",
    "configuration.toml",
    "reads.toml",
    "leases.toml",
    "membership.toml",
    "messages.toml",
    "codec.toml",
    "checker.toml",
    "sampled.toml",
)


@dataclass(frozen=True, slots=True)
class Edit:
    """`old`, which stands in `file` exactly once, becomes `new`."""

    file: str
    old: str
    new: str

    def apply(self, text: str) -> str:
        """The text of the file with the bug in it. Raises ValueError if `old` is not there, or more than once."""
        found = text.count(self.old)
        if found != 1:
            raise ValueError(f"{self.file} has {found} times, not once: {self.old!r}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One bug; see the module."""

    id: str
    bug: str
    breaks: str = ""
    reason: str = ""
    star: bool = False
    directed: bool = False
    edits: tuple[Edit, ...] = ()
    tests: tuple[str, ...] = ()
    traces: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()

    @property
    def number(self) -> int:
        """The number without the letter."""
        return int(self.id.rstrip("abc"))

    @property
    def marks(self) -> str:
        """As the list of mutants marks it."""
        return ("★" if self.star else " ") + ("◆" if self.directed else " ")


CANARY: Final = Row(
    id="0",
    bug="The canary: if it lives, the copy is not what is tested.",
    edits=(Edit("pyraft/quorum.py", "VOTE_WON: Final = VoteResult.VoteWon", "VOTE_WON: Final = VoteResult.VoteLost"),),
    tests=("core/test_quorum.py::test_joint_vote_result",),
)
"""Planted before all others."""


def all_rows() -> list[Row]:
    """Every row, in order."""
    return [_row(table) for file in FILES for table in tomllib.loads((HERE / file).read_text()).get("row", [])]


def _row(table: dict[str, object]) -> Row:
    edits: list[Edit] = []
    for part in (table, *_tables(table.pop("also", []))):
        if "file" in part:
            edits.append(Edit(_text(part.pop("file")), _text(part.pop("old")), _text(part.pop("new"))))
    row = Row(
        id=_text(table.pop("id")),
        bug=_text(table.pop("bug")),
        breaks=_text(table.pop("breaks", "")),
        reason=_text(table.pop("reason", "")),
        star=table.pop("star", False) is True,
        directed=table.pop("directed", False) is True,
        edits=tuple(edits),
        tests=tuple(_text(one) for one in _list(table.pop("tests", []))),
        traces=tuple(_text(one) for one in _list(table.pop("traces", []))),
        seeds=tuple(int(_text(str(one))) for one in _list(table.pop("seeds", []))),
    )
    if table:
        raise ValueError(f"row {row.id} has unknown fields: {', '.join(table)}")
    return row


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return value


def _tables(value: object) -> list[dict[str, object]]:
    tables = [one for one in _list(value) if isinstance(one, dict)]
    if len(tables) != len(_list(value)):
        raise TypeError(f"{value!r} is no list of edits")
    return tables
