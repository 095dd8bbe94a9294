"""Encoding: a timeline as plain lists for JSON, small enough for tens of thousands of events.

Equal texts, entries, configurations, states and logs are written once and named by their number. A log names the log it
grew from: `[that log or -1, first index, how many of its entries below that stay, runs of entry numbers added]`. Runs
are pairs `[first number, count]`, because entries that follow one another mostly have numbers that do.

The fields of each list are named in `FIELDS`, which goes along, so that the page names no position twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from pyraft.describe import describe_entry, describe_snapshot, quote
from raftpb.enums import ENTRY_NORMAL
from raftpb.message import Entry, Message
from rafttest.view.timeline import Event, NodeState, Timeline

Json: TypeAlias = "str | int | bool | list[Json] | dict[str, Json] | None"

FIELDS: Final[dict[str, str]] = {
    "entries": "term index type text",
    "messages": "type from to term logTerm index commit reject hint vote context snapshot entries",
    "states": "up role term vote leader commit applied stable first conf log followers",
    "followers": "id match next state",
    "logs": "parent first keep runs",
    "events": "kind moment node text message state",
    "sections": "event title comment",
}

_SHOWN: Final = 200
"""Characters of an entry's data, or of a context, that are shown."""


def encode(timeline: Timeline) -> dict[str, Json]:
    """What the page reads."""
    return _Encoder().timeline(timeline)


class _Table:
    """Values in the order in which they were first met."""

    def __init__(self) -> None:
        self.rows: list[Json] = []
        self._numbers: dict[object, int] = {}

    def number(self, key: object, row: Json) -> int:
        """The number of the row for `key`, which is added if it is new."""
        known = self._numbers.setdefault(key, len(self.rows))
        if known == len(self.rows):
            self.rows.append(row)
        return known


class _Encoder:
    def __init__(self) -> None:
        self.strings = _Table()
        self.entries = _Table()
        self.states: dict[int, int] = {}
        self.state_rows: list[Json] = []
        self.logs: dict[int, int] = {}
        self.log_rows: list[Json] = []
        self.latest: dict[int, tuple[int, NodeState]] = {}
        """By node: its last log's number, and a state that has it."""

    def timeline(self, timeline: Timeline) -> dict[str, Json]:
        events: list[Json] = [self._event(event) for event in timeline.events]
        messages: list[Json] = [self._message(m) for m in timeline.messages]
        return {
            "title": timeline.title,
            "unit": timeline.unit,
            "witness": timeline.witness,
            "momentsPerTick": timeline.moments_per_tick,
            "facts": [[name, value] for name, value in timeline.facts],
            "nodes": list(timeline.nodes),
            "fields": {name: list(fields.split(" ")) for name, fields in FIELDS.items()},
            "events": events,
            "messages": messages,
            "sections": [[one.event, one.title, one.comment] for one in timeline.sections],
            "states": self.state_rows,
            "logs": self.log_rows,
            "entries": self.entries.rows,
            "strings": self.strings.rows,
        }

    def _text(self, text: str) -> int:
        return self.strings.number(text, text)

    def _event(self, event: Event) -> Json:
        message = -1 if event.message is None else event.message
        state = -1 if event.state is None else self._state(event.node, event.state)
        return [self._text(event.kind.value), event.moment, event.node, self._text(event.text), message, state]

    def _state(self, node: int, state: NodeState) -> int:
        # States are kept alive by the timeline, so that their ids are theirs alone.
        known = self.states.get(id(state))
        if known is None:
            known = self.states[id(state)] = len(self.state_rows)
            self.state_rows.append(
                [
                    int(state.is_up),
                    self._text(str(state.role).removeprefix("State")),
                    state.term,
                    state.vote,
                    state.leader,
                    state.commit,
                    state.applied,
                    state.stable,
                    state.first,
                    self._text(state.conf),
                    self._log(node, state),
                    [[one.id, one.match, one.next, self._text(one.state)] for one in state.followers],
                ]
            )
        return known

    def _log(self, node: int, state: NodeState) -> int:
        parent, before = self.latest.get(node, (-1, None))
        if before is not None and before.log is state.log:
            return parent
        keep = 0 if before is None else state.log.common(before.log)
        added = state.log.entries_from(keep + 1)
        number = len(self.log_rows)
        self.log_rows.append([parent, state.first, keep, self._runs(added)])
        self.latest[node] = (number, state)
        return number

    def _runs(self, entries: Iterable[Entry]) -> Json:
        runs: list[list[Json]] = []
        end = -1
        for entry in entries:
            number = self._entry(entry)
            if number == end:
                runs[-1][1] = number + 1 - _int(runs[-1][0])
            else:
                runs.append([number, 1])
            end = number + 1
        return list[Json](runs)

    def _entry(self, entry: Entry) -> int:
        key = (entry.term, entry.index, entry.type, entry.data)
        return self.entries.number(key, [entry.term, entry.index, self._text(str(entry.type)), _payload(entry)])

    def _message(self, m: Message) -> Json:
        snapshot = "" if m.snapshot is None else describe_snapshot(m.snapshot)
        return [
            self._text(str(m.type)),
            m.from_,
            m.to,
            m.term,
            m.log_term,
            m.index,
            m.commit,
            int(m.reject),
            m.reject_hint,
            m.vote,
            self._text(_short(quote(m.context)) if m.context else ""),
            self._text(snapshot),
            self._runs(m.entries),
        ]


def _payload(entry: Entry) -> str:
    if entry.type is ENTRY_NORMAL:
        return _short(quote(entry.data)) if entry.data else ""
    return describe_entry(entry).split(" ", 2)[-1] if entry.data else ""


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "\u2026"


def _int(value: Json) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is no number")
    return value
