"""What counts when an output is compared with the expected one.

Everything but three things: log lines, whose texts are each implementation's own; spaces at the ends of lines; and
`ok`, which stands for an output of nothing but log lines. An expected block without any line is no `ok`: it has been
forgotten or deleted.
"""

from __future__ import annotations

import difflib
import re
from typing import Final

_LOG_LINE: Final = re.compile(r"[ \t]*(?:DEBUG|INFO|WARN|ERROR|FATAL) ")


def significant_lines(output: str) -> list[str]:
    """The lines of `output` that count, as they count."""
    if not output:
        return []
    lines = output.split("\n")
    if lines[-1] == "":
        lines.pop()
    kept = [line.rstrip(" ") for line in lines if _LOG_LINE.match(line) is None]
    return kept if kept else ["ok"]


def unified_diff(expected: str, actual: str) -> list[str]:
    """How the lines that count differ."""
    return [
        visible(line)
        for line in difflib.unified_diff(
            significant_lines(expected), significant_lines(actual), "expected", "actual", lineterm=""
        )
    ]


def visible(line: str) -> str:
    """`line` with escapes for what a terminal would not show, or would obey."""
    return "".join([c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in line])
