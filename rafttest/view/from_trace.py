"""A trace of a cluster as a timeline: its commands run in an environment that tells what happens.

A moment is the number of the command, from 1 on. Commands that only show something leave no event; one that answers
something else than the trace expects leaves a note.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Final

from pyraft import Config, RaftError
from pyraft.describe import describe_entry
from raftpb.enums import MessageType
from raftpb.message import Entry, HardState, Message, Snapshot
from rafttest.interaction.cluster import InteractionCluster
from rafttest.interaction.env import COMMANDS, InteractionEnv
from rafttest.interaction.node import EnvironmentStorage, InteractionNode
from rafttest.interaction.ready import RestlessError
from rafttest.trace.command import CommandError
from rafttest.trace.comparison import significant_lines, visible
from rafttest.trace.file import Directive, MalformedTraceError, Trace, read_trace
from rafttest.view.inspect import Inspector
from rafttest.view.timeline import WORLD, Kind, NodeState, Recorder, Section, Timeline

_REQUESTS: Final = frozenset(
    (
        "campaign",
        "compact",
        "forget-leader",
        "propose",
        "propose-conf-change",
        "read-index",
        "report-unreachable",
        "set-randomized-election-timeout",
        "tick-election",
        "tick-heartbeat",
        "transfer-leadership",
    )
)
"""Commands that ask something of one node, which they name first."""


def timeline_of_trace(path: str | os.PathLike[str]) -> Timeline:
    """Run a trace file. Raises OSError, or MalformedTraceError if it is no trace of a cluster."""
    trace = read_trace(path)
    for directive in trace.directives:
        if directive.command.name not in COMMANDS:
            detail = f"{directive.command.name!r} is no command of a cluster; only such traces can be viewed"
            raise MalformedTraceError(trace.path, directive.line, detail)
    if not trace.directives:
        raise MalformedTraceError(trace.path, 1, "there is no command in this file")
    return _Run(trace).timeline()


class _Run:
    """One trace from its first command to its last."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.environment = InteractionEnv()
        self.cluster = _WatchedCluster(self.environment, Timeline(os.path.basename(trace.path)))
        self.environment.cluster = self.cluster

    def timeline(self) -> Timeline:
        recorder = self.cluster.recorder
        comment = ""
        for number, directive in enumerate(self.trace.directives, start=1):
            self.cluster.moment = number
            comment = f"{comment} {_comment_above(self.trace, directive)}".strip()
            recorder.settle()
            before = len(recorder.timeline.events)
            self._run(directive)
            recorder.settle()
            if len(recorder.timeline.events) > before:
                recorder.timeline.sections.append(Section(before, directive.text, comment))
                comment = ""
        timeline = recorder.timeline
        timeline.facts = [("trace", self.trace.path), ("commands", str(len(self.trace.directives)))]
        return timeline

    def _run(self, directive: Directive) -> None:
        cluster, command = self.cluster, directive.command
        event = None
        if command.name in _REQUESTS:
            asked = command.value("from") if command.name == "transfer-leadership" else (command.words() or [""])[0]
            if asked is not None and asked.isascii() and asked.isdigit() and 1 <= int(asked) <= len(cluster.nodes):
                text = f"{directive.text} {command.input}".strip()
                event = cluster.recorder.add(Kind.REQUEST, cluster.moment, int(asked), text)
        try:
            said = self.environment.execute(command)
        except CommandError as error:
            raise MalformedTraceError(self.trace.path, directive.line, str(error)) from None
        except (RaftError, RestlessError) as error:
            cluster.note(Kind.VIOLATION, f"{type(error).__name__}: {error}")
            return
        lines = significant_lines(said)
        if event is not None and lines != ["ok"] and lines:
            event.text = "\n".join([event.text, *map(visible, lines)])
        if lines != significant_lines(directive.expected):
            cluster.note(Kind.NOTE, f"line {directive.line}: the trace expects another output of {directive.text}")


def _comment_above(trace: Trace, directive: Directive) -> str:
    """What the lines directly above a command say, if they are a comment."""
    at = directive.line - 1
    begin = at
    while begin > 0 and trace.lines[begin - 1].lstrip().startswith("#"):
        begin -= 1
    return " ".join(line.strip().lstrip("#").strip() for line in trace.lines[begin:at]).strip()


class _WatchedNode(InteractionNode):
    """A node that tells when it writes and applies."""

    watcher: _WatchedCluster | None = None

    def process_append(self, hard_state: HardState | None, entries: list[Entry], snapshot: Snapshot | None) -> None:
        has_state = hard_state is not None and not hard_state.is_empty()
        has_snapshot = snapshot is not None and not snapshot.is_empty()
        if self.watcher is not None and (has_state or entries or has_snapshot):
            self.watcher.writes(self, hard_state if has_state else None, entries, snapshot if has_snapshot else None)
        super().process_append(hard_state, entries, snapshot)

    def process_apply(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if self.watcher is not None:
                self.watcher.applies(self, entry)
            super().process_apply([entry])


class _WatchedCluster(InteractionCluster):
    """A cluster that fills a timeline."""

    node_class = _WatchedNode

    def __init__(self, environment: InteractionEnv, timeline: Timeline) -> None:
        super().__init__(environment.output)
        self.recorder = Recorder(timeline, self._look)
        self.moment = 0
        self._inspector = Inspector()

    def _look(self, id: int) -> NodeState | None:
        if not 1 <= id <= len(self.nodes):
            return None
        node = self.nodes[id - 1]
        before = self.recorder.known(id)
        return self._inspector.see(id, node.raw, node.storage, 0, before.conf if before is not None else "")

    def note(self, kind: Kind, text: str) -> None:
        """Something about no node."""
        self.recorder.add(kind, self.moment, WORLD, text)

    def add_node(self, config: Config, storage: EnvironmentStorage) -> None:
        super().add_node(config, storage)
        node = self.nodes[-1]
        if isinstance(node, _WatchedNode):
            node.watcher = self
        self.recorder.add(Kind.START, self.moment, node.id, "start")

    def send(self, node: InteractionNode, messages: Iterable[Message]) -> None:
        messages = list(messages)
        super().send(node, messages)
        for m in messages:
            if m.to > 0 and m.to != m.from_ and m.from_ > 0:
                self.recorder.sent(self.moment, m)

    def take(self, id: int, type: MessageType | None = None, *, drop: bool = False) -> list[Message]:
        taken = super().take(id, type, drop=drop)
        if drop:
            for m in taken:
                self.recorder.arrived(Kind.LOSE, self.moment, m, "dropped")
        return taken

    def deliver(self, node: InteractionNode, message: Message) -> None:
        if message.from_ <= 0 or message.from_ == message.to:
            self.recorder.add(Kind.ANSWER, self.moment, node.id, f"{message.type} of its own storage")
            super().deliver(node, message)
            return
        event = self.recorder.arrived(Kind.RECEIVE, self.moment, message)
        try:
            super().deliver(node, message)
        except RaftError as error:
            event.kind, event.text = Kind.REFUSE, str(error)
            raise

    def writes(
        self, node: InteractionNode, state: HardState | None, entries: list[Entry], snapshot: Snapshot | None
    ) -> None:
        """The node writes to its disk."""
        if snapshot is not None:
            self.recorder.add(Kind.SNAPSHOT, self.moment, node.id, f"installs a snapshot at {snapshot.metadata.index}")
        parts = []
        if state is not None:
            parts.append(f"term {state.term}, vote {state.vote}, commit {state.commit}")
        if entries:
            parts.append(f"entries {entries[0].index} to {entries[-1].index}")
        if parts:
            self.recorder.add(Kind.WRITE, self.moment, node.id, "; ".join(parts))

    def applies(self, node: InteractionNode, entry: Entry) -> None:
        """The application of the node takes an entry."""
        self.recorder.add(Kind.APPLY, self.moment, node.id, describe_entry(entry))
