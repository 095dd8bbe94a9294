"""Put new outputs into a trace file; everything else in it stays as it is, and so do blocks that match already.

What is written is what counts (`comparison`): no log lines, whose texts would make every change of a log text
a change of the traces.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rafttest.trace.comparison import significant_lines
from rafttest.trace.file import SEPARATOR, MalformedTraceError, Trace


def rewritten(trace: Trace, outputs: Mapping[int, str]) -> str:
    """The text of `trace` with new outputs; `outputs` is by the line of the command.

    Raises MalformedTraceError for an output that has a separator as a line, which the format cannot hold.
    """
    lines: list[str] = []
    done = 0
    for directive in trace.directives:
        output = outputs.get(directive.line)
        if output is not None:
            lines += trace.lines[done : directive.block.start]
            new = significant_lines(output)
            if SEPARATOR in new:
                detail = f"the output has a line of {SEPARATOR}, which cannot be written"
                raise MalformedTraceError(trace.path, directive.line, detail)
            lines += _block(new)
            done = directive.block.stop
    lines += trace.lines[done:]
    return "".join([line + "\n" for line in lines])


def _block(output: list[str]) -> list[str]:
    """The separator, or two and two if a blank line would end the block too early, and the output."""
    if all(line.strip() for line in output):
        return [SEPARATOR, *output]
    return [SEPARATOR, SEPARATOR, *output, SEPARATOR, SEPARATOR]


def replace_file(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to an existing file, which holds either the old text or the new one at any moment."""
    target = Path(path).resolve()
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        shutil.copymode(target, name)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
