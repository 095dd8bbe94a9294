"""A segment of a recording as a timeline: one node that saw everything, and its peers, known by their messages.

A moment is the number of the input. The node is run again, as `rafttest.record.player` does; an output that differs
from the recorded one is shown as a violation, and is the end. Ticks from which nothing came are left out, and so are
questions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pyraft import RaftError, Ready
from raftpb.message import Entry, Message
from rafttest.record.format import Segment, read_segment
from rafttest.record.output import Form, describe
from rafttest.record.player import Difference, Input, Player
from rafttest.view.inspect import state_of
from rafttest.view.log import SharedLog
from rafttest.view.timeline import WORLD, Kind, NodeState, Recorder, Section, Timeline

_KINDS: Final[dict[str, Kind]] = {
    "advance()": Kind.ANSWER,
    "apply_conf_change": Kind.APPLY,
    "ready()": Kind.READY,
    "status": Kind.NOTE,
    "step": Kind.RECEIVE,
    "step_storage": Kind.ANSWER,
    "tick": Kind.TICK,
}
"""By the name of the call; a call that is not here is a request."""


def timeline_of_recording(path: Path) -> Timeline:
    """Run a segment. Raises RecordingError or OSError if there is none that can be read."""
    watcher = _RecordingWatcher(read_segment(path))
    watcher.watch()
    watcher.timeline.title = path.name
    return watcher.timeline


class _RecordingWatcher(Player):
    """A player that fills a timeline."""

    def __init__(self, segment: Segment) -> None:
        super().__init__(segment)
        self.id = self.opening.node
        self.timeline = Timeline("", unit="input", witness=self.id, nodes=[self.id])
        self.recorder = Recorder(self.timeline, self._look)
        self._refusal: list[str] = []
        """Why the message that comes next was refused; empty if it was not."""
        self._seen: tuple[int, Entry | None, tuple[Entry, ...]] = (0, None, ())
        self._log = SharedLog(1)

    def watch(self) -> None:
        """Play everything."""
        opening = self.opening
        self.timeline.facts = [
            ("recording", self.segment.path),
            ("node", str(self.id)),
            ("segment", str(opening.number)),
            ("first input", str(opening.first_input)),
            ("written by", opening.writer),
        ]
        self.timeline.sections.append(Section(0, f"segment {opening.number}"))
        self.recorder.add(Kind.START, self.inputs, self.id, "the recording begins")
        while not self.is_at_end():
            told, known = len(self.notes), len(self.timeline.events)
            difference = self.play(self.inputs + 1)
            if len(self.timeline.events) > known:
                self._leave_out_what_was_nothing()
            self._add_notes(told)
            if difference is not None:
                self._add_difference(difference)
                return
        self.recorder.settle()

    def _add_difference(self, difference: Difference) -> None:
        lines = [f"the replay differs at input {difference.input.number}", "recorded:", *difference.expected]
        lines += ["now:", *difference.actual]
        self.recorder.add(Kind.VIOLATION, self.inputs, WORLD, "\n".join(lines))

    def taking(self, one: Input) -> None:
        name = one.call.partition(":")[0].partition("(")[0] if one.call not in _KINDS else one.call
        kind = _KINDS.get(name, Kind.REQUEST)
        said = describe(one.output) if one.output[0] == Form.ERROR else []
        if kind is Kind.RECEIVE:
            self._refusal = said
            return
        self.recorder.add(kind, one.number, self.id, "\n".join([one.call, *said]))

    def stepping(self, m: Message) -> None:
        self._know(m.from_)
        kind = Kind.REFUSE if self._refusal else Kind.RECEIVE
        self.recorder.came_from_outside(kind, self.inputs, m, "; ".join(self._refusal), self.id)

    def handed_out(self, made: Ready) -> None:
        event = self.timeline.events[-1]
        parts = [
            (len(made.entries), "to write"),
            (len(made.committed_entries), "committed"),
            (len(made.messages), "messages"),
        ]
        event.text = "ready " + ", ".join(f"{count} {what}" for count, what in parts if count)
        for m in made.messages:
            if m.to > 0 and m.to != self.id:
                self._know(m.to)
                self.recorder.sent(self.inputs, m)

    def _know(self, peer: int) -> None:
        if peer > 0 and peer not in self.timeline.nodes:
            self.timeline.nodes = sorted([*self.timeline.nodes, peer])

    def _leave_out_what_was_nothing(self) -> None:
        event = self.timeline.events[-1]
        if event.kind not in {Kind.TICK, Kind.NOTE} or self.recorder.known(self.id) != self._look(self.id):
            return
        try:
            if event.kind is Kind.NOTE or not self.node.has_ready():
                self.recorder.undo()
        except RaftError:
            return

    def _add_notes(self, told: int) -> None:
        for _, text in self.notes[told:]:
            self.recorder.add(Kind.NOTE, self.inputs, self.id, text)
            self.timeline.sections.append(Section(len(self.timeline.events) - 1, text))

    def _look(self, id: int) -> NodeState | None:
        if id != self.id:
            return None
        try:
            core = self.node.export_state()
        except RaftError:
            return None
        seen = (core.base, self.entries.get(core.base - 1), core.entries)
        if seen != self._seen:
            self._seen, self._log = seen, self._log_below(core.base).then(core.base, core.entries)
        return state_of(core, self._log)

    def _log_below(self, base: int) -> SharedLog:
        """What is remembered of the log just below `base`: mostly what was seen last, but for some at either end."""
        entry = self.entries.get(base - 1)
        if entry is None:
            return SharedLog(base)
        if self._log.entry(base - 1) == entry:
            first = self._log.first
            while first not in self.entries:
                first += 1
            return self._log.compacted(first)
        first = base - 1
        while first - 1 in self.entries:
            first -= 1
        return SharedLog(first, [self.entries[index] for index in range(first, base)])
