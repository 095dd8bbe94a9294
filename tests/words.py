"""`python -m tests.words`: refuse the words that `docs/glossary.md` does not allow, and name the better ones.

Reads the text of every file that git tracks. Exit code 1 if a word was found.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[1]
SUFFIXES: Final = {".md", ".py", ".toml"}
EXEMPT: Final = frozenset({"docs/glossary.md", "tests/words.py", "tests/project/test_words.py", "CHANGELOG.md"})
"""The list itself, and the history of names."""

KEPT: Final = frozenset({("rafttest/sim/load/disk_loss.py", "amnesia")})
"""By file and word. The text that a seed's random numbers begin with is part of what the seed means."""

REFUSED: Final[dict[str, str]] = {
    r"\bdoors?\b": "validation, entrance, call",
    r"\bhand-?outs?\b|\bhand_outs?\b": "Ready, batch, ready_builder",
    r"\b(?:the|a|each|one|its|these|this) rooms?\b(?! for)|\brooms of\b": "module",
    r"\bhouses?\b|\bhalls?\b": "package, layer",
    r"\bsurroundings\b": "collaborators",
    r"\bsightings?\b": "coverage",
    r"\bamnesia\b": "disk loss",
    r"\ba world\b|\bself\.world\b|\bworld:": "simulation",
    r"\bhealing\b": "liveness phase, end of faults",
    r"\bin the mail\b|\bparcels?\b|\bclass Letter\b": "mailbox, packet, envelope",
    r"\bunseal\b": "encode_frame, decode_frame",
    r"; [^;\"]*\b(?:is|are) due\b": "expected X, got Y",
    r"\. Laws: |^Laws: ": "Invariants:",
    r"\bgrow_older\b": "on_ticks",
    r"\b(?:take|hand)_over\b": "install_snapshot, transfer_leadership",
    r"\bpass_on\b|\btake_back\b": "forward_read, pop_forwarded_read",
    r"\b(?:doubt_retracted_acks|strict_reads_on_lone_voter|hold_vote_requests|abort_postponed_reads)\b": (
        "retry_lost_acks_at_heartbeat, single_voter_reads_need_commit, persist_before_vote_request, "
        "abort_reads_on_step_down"
    ),
}
"""What is not used, as a regular expression, and what is used instead."""


RELATIVE: Final = re.compile(r'"""(?:What|Whether|Who|Whom|Whoever|Where|How|Why|When)\b')
"""How a docstring of the library does not begin: with a verb and its object, or with what the value is, instead."""


class Found(NamedTuple):
    """A refused word, and where it stands."""

    file: str
    line: int
    word: str
    better: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.word!r} is not used; use: {self.better}"


def find(file: str, text: str) -> Iterator[Found]:
    """All refused words in `text`, which stands in `file`."""
    for pattern, better in REFUSED.items():
        for match in re.finditer(pattern, text, re.MULTILINE):
            if (file, match.group()) in KEPT:
                continue
            yield _found(file, text, match, better)
    if file.startswith(("raftpb/", "pyraft/")):
        for match in RELATIVE.finditer(text):
            yield _found(file, text, match, "a verb and its object, or what the value is")


def _found(file: str, text: str, match: re.Match[str], better: str) -> Found:
    return Found(file, text.count("\n", 0, match.start()) + 1, match.group().strip(), better)


def tracked() -> list[str]:
    """The files that are read."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.splitlines() if Path(name).suffix in SUFFIXES and name not in EXEMPT]


def main() -> int:
    """Print what was found; return the exit code."""
    found = [one for name in tracked() for one in find(name, (ROOT / name).read_text(encoding="utf-8"))]
    for one in found:
        print(one)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
