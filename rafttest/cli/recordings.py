"""`python -m rafttest replay RECORDING...`: run recordings again, show the first output that differs, count.

A recording is a segment, or a folder of them (`rafttest.record`). Each segment runs by itself; where the one before it
is there too, its end must be the next one's beginning. With `--until N` everything stops at input N of the node's life,
and the node is shown as it was then. Exit code: 0 if all is the same, 1 if something differs, 2 if a file is no
recording, is damaged, or is not to be read.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pyraft.describe import describe_entry, quote
from rafttest.cli.progress_bar import ProgressBar
from rafttest.record.format import SUFFIX, DamagedRecordingError, End, RecordingError, is_recording, read_segment
from rafttest.record.player import Difference, Input, Player
from rafttest.trace.comparison import visible

EXIT_SAME: Final = 0
EXIT_DIFFERS: Final = 1
EXIT_DAMAGED: Final = 2

_SHOWN_ENTRIES: Final = 10
_SHOWN_BYTES: Final = 40
_ENDS: Final = {
    End.CONTINUES: "goes on in the next",
    End.CLOSED: "closed",
    End.FAILED: "the node has failed",
    None: "no end: killed, or still being written",
}


class MixedError(Exception):
    """Some of what is named are recordings, and some are not."""


def recordings_in(paths: Sequence[str]) -> list[Path]:
    """The recordings that are named, and those in folders that are; none if there are none.

    Raises MixedError if something else is named as well, OSError.
    """
    found = {path: _recordings_at(Path(path)) for path in paths}
    others = [path for path, files in found.items() if not files]
    if others and len(others) < len(found):
        raise MixedError(f"{others[0]}: this is no recording; recordings and traces are replayed apart")
    return [file for files in found.values() for file in files]


def _recordings_at(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob(f"*{SUFFIX}") if file.is_file())
    return [path] if path.is_file() and is_recording(path) else []


def run(files: Sequence[Path], until: int | None) -> int:
    """Run them, or nothing beyond input `until` of a life; return the exit code."""
    if not files or (until is not None and until < 0):
        print("error: --until takes the number of an input, and recordings", file=sys.stderr)
        return EXIT_DAMAGED
    return _RecordingSession(files, until).run()


@dataclass(slots=True)
class _RecordingCounts:
    same: int = 0
    differing: int = 0
    damaged: int = 0
    inputs: int = 0


class _RecordingSession:
    """One run over all files."""

    def __init__(self, files: Sequence[Path], until: int | None) -> None:
        self.files = files
        self.until = until
        self.counts = _RecordingCounts()
        self.progress = ProgressBar(len(files), sys.stderr)
        self.before: Player | None = None
        """The segment that was run last, if it ran to its end."""
        self.shown: set[tuple[str, int, int]] = set()
        """Folder, node and life of those that input `until` was found in."""

    def run(self) -> int:
        for file in self.files:
            self.progress.show(str(file))
            before, self.before = self.before, None
            try:
                self._replay(file, before)
            except RecordingError as error:
                self._complain(str(error))
            except BrokenPipeError:
                raise
            except OSError as error:
                self._complain(f"{file}: {error.strerror or error}")
            self.progress.advance()
        self.progress.clear()
        counts = self.counts
        if self.until is not None and not self.shown and not counts.damaged:
            self._complain(f"input {self.until} is in none of these segments")
        print(
            f"{counts.same} of {len(self.files)} segments replay the same, {counts.differing} differ, "
            f"{counts.damaged} damaged; {counts.inputs} inputs"
        )
        if counts.damaged:
            return EXIT_DAMAGED
        return EXIT_DIFFERS if counts.differing else EXIT_SAME

    def _replay(self, file: Path, before: Player | None) -> None:
        player = Player(read_segment(file))
        opening = player.opening
        joins = before is not None and _follows(before, player)
        lines = self._check_join(before, player) if joins and before is not None else []
        if not joins and before is not None and _is_gap(before, player):
            raise DamagedRecordingError(
                str(file), 0, f"the end of segment {before.opening.number}, before it, is missing"
            )
        difference = player.play(self.until)
        self.counts.inputs += player.inputs - opening.first_input
        self.progress.clear()
        self._show_head(player)
        for line in lines:
            print(visible(line))
        if difference is not None:
            _show_difference(str(file), player, difference)
        if difference is not None or lines:
            self.counts.differing += 1
        else:
            self.counts.same += 1
            if player.is_at_end():
                self.before = player
        if difference is None and self.until is not None and self._is_here(player):
            self.shown.add((str(file.parent), opening.node, opening.life))
            _show_node(player)

    def _is_here(self, player: Player) -> bool:
        return player.inputs == self.until and (player.opening.first_input < self.until or self.until == 0)

    def _check_join(self, before: Player, player: Player) -> list[str]:
        names = before.state_differs(player.opening)
        if not names:
            return []
        return [f"{player.segment.path}: begins in another state than segment {before.opening.number} ends: {names}"]

    def _show_head(self, player: Player) -> None:
        opening, segment = player.opening, player.segment
        if self.until is not None and not self._is_here(player):
            return
        print(
            visible(
                f"{segment.path}: node {opening.node}, life {opening.life}, inputs {opening.first_input + 1} to "
                f"{player.inputs}, {opening.writer}; {_ENDS[player.end] if player.is_at_end() else 'stopped there'}"
            )
        )
        if segment.torn is not None:
            print(f"    a torn tail of {segment.torn.size_bytes} bytes at byte {segment.torn.offset} was cut")
        for number, text in player.notes:
            print(visible(f"    after input {number}: {text}"))

    def _complain(self, text: str) -> None:
        self.counts.damaged += 1
        self.progress.clear()
        print(visible(text), file=sys.stderr)


def _follows(before: Player, player: Player) -> bool:
    """True if `player` goes on where `before` ended."""
    return _is_next(before, player) and before.end is End.CONTINUES and before.segment.torn is None


def _is_gap(before: Player, player: Player) -> bool:
    """True if something is missing between two segments of one life."""
    return _is_next(before, player) and not _follows(before, player)


def _is_next(before: Player, player: Player) -> bool:
    first, second = before.opening, player.opening
    return Path(before.segment.path).parent == Path(player.segment.path).parent and (
        first.node,
        first.life,
        first.number + 1,
    ) == (second.node, second.life, second.number)


# -- what is shown


def _show_difference(path: str, player: Player, difference: Difference) -> None:
    one = difference.input
    print(visible(f"{path}:{one.offset}: input {one.number}{_time(one)} differs: {one.call}"))
    for answer in one.answers:
        print(visible(f"    asked {answer}"))
    for line in difflib.unified_diff(difference.expected, difference.actual, "expected", "actual", lineterm="", n=20):
        print(visible(line))
    print("the inputs before it:")
    for line in list(player.recent)[:-1]:
        print(visible(f"    {line}"))
    print()


def _time(one: Input) -> str:
    if one.milliseconds == 0:
        return ""
    try:
        moment = datetime.fromtimestamp(one.milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):  # a time that only a stranger would write
        return ""
    return f" (before {moment.isoformat(timespec='milliseconds')})"


def _show_node(player: Player) -> None:
    """The node as it is: what it thinks of itself, of the others, and of the log."""
    try:
        print("\n".join(visible(line) for line in _node_lines(player)))
    except Exception as error:  # a state that only a stranger would write
        print(visible(f"the node cannot be shown: {type(error).__name__}: {error}"))


def _node_lines(player: Player) -> Iterator[str]:
    status = player.node.status()
    yield f"node {status.id} after input {player.inputs}:"
    yield (
        f"    {status.soft_state.role}, term {status.term}, vote {status.hard_state.vote}, leader "
        f"{status.soft_state.leader}, commit {status.commit}, applied {status.applied}, last index {status.last_index}"
    )
    yield f"    configuration {status.config}"
    for id, progress in status.progress.items():
        yield f"    {id}: {progress}"
    yield f"    anomalies: {status.anomalies}"
    tail = sorted(index for index in player.entries if index <= status.last_index)[-_SHOWN_ENTRIES:]
    yield "    the log ends:" if tail else "    no entry of the log was seen in this segment"
    for index in tail:
        yield f"        {describe_entry(player.entries[index], _cut)}"
    yield "    the last inputs:" if player.recent else "    no input yet"
    for line in player.recent:
        yield f"        {line}"


def _cut(data: bytes) -> str:
    return quote(data) if len(data) <= _SHOWN_BYTES else f"{quote(data[:_SHOWN_BYTES])}... ({len(data)} bytes)"
