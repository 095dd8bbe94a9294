"""A simulator seed as a timeline: the run is repeated and watched, which changes nothing about it.

Moments are the simulator's. Ticks from which nothing came are left out. The last event of a run that broke a law is the
violation.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from pyraft import RaftError, RawNode
from raftpb.message import Message
from rafttest.sim.observer import Observer, Watched
from rafttest.sim.run import SimResult, run
from rafttest.sim.schedule import TICK
from rafttest.view.inspect import Inspector
from rafttest.view.timeline import WORLD, Kind, NodeState, Recorder, Section, Timeline

_KINDS: Final[dict[str, Kind]] = {
    "apply": Kind.APPLY,
    "break": Kind.FAULT,
    "campaign": Kind.REQUEST,
    "change": Kind.REQUEST,
    "clog": Kind.FAULT,
    "crash": Kind.CRASH,
    "cut": Kind.FAULT,
    "evict": Kind.FAULT,
    "fail": Kind.FAULT,
    "forget": Kind.REQUEST,
    "get": Kind.REQUEST,
    "lose": Kind.FAULT,
    "mend": Kind.FAULT,
    "oversized": Kind.REQUEST,
    "pause": Kind.FAULT,
    "propose": Kind.REQUEST,
    "put": Kind.REQUEST,
    "read": Kind.REQUEST,
    "ready": Kind.READY,
    "repeat": Kind.ANSWER,
    "report": Kind.REQUEST,
    "restore": Kind.SNAPSHOT,
    "retry": Kind.REQUEST,
    "slow": Kind.FAULT,
    "snapshot": Kind.SNAPSHOT,
    "start": Kind.START,
    "sync": Kind.WRITE,
    "tick": Kind.TICK,
    "transfer": Kind.REQUEST,
}
"""By the first word of a note; a word that is not here is a note."""


def timeline_of_seed(seed: int) -> tuple[Timeline, SimResult]:
    """Run a seed; the timeline, and what the run came to."""
    watcher = _SeedWatcher(seed)
    result = run(seed, observer=watcher)
    watcher.ends(result)
    return watcher.timeline, result


class _SeedWatcher(Observer):
    """Fills the timeline."""

    def __init__(self, seed: int) -> None:
        self.timeline = Timeline(f"seed {seed}", unit="tick", moments_per_tick=TICK)
        self.recorder = Recorder(self.timeline, self._look)
        self._inspector = Inspector()
        self._sim: Watched | None = None
        self._arriving: tuple[int, Message, Message] | None = None
        """The receiver, what was sent and what is received, of the message that is noted next."""
        self._dead: dict[int, RawNode] = {}
        """The core that a node had when it crashed; `Node.raw` until it has a new one."""

    @property
    def _now(self) -> int:
        return self._sim.schedule.now if self._sim is not None else 0

    def begins(self, sim: Watched) -> None:
        self._sim = sim
        self.timeline.sections.append(Section(0, "faults"))

    def ends(self, result: SimResult) -> None:
        """The run is over."""
        self.recorder.settle()
        violation = result.violation
        if violation is not None:
            self.recorder.add(Kind.VIOLATION, self._now, WORLD, str(violation))
        self.timeline.facts = [
            *((name.replace("_", " "), str(value)) for name, value in asdict(result.options).items()),
            ("trace hash", result.trace_hash),
        ]

    def noted(self, text: str, m: Message | None) -> None:
        recorder, word = self.recorder, text.partition(" ")[0]
        if m is not None:
            self._noted_message(word, m)
            return
        kind = _KINDS.get(word, Kind.NOTE)
        node = self._node_of(text)
        event = recorder.add(kind, self._now, node, _without_node(text) if node else text)
        if kind is Kind.CRASH and self._sim is not None:
            core: RawNode | None = getattr(self._sim.nodes.get(node), "raw", None)
            if core is not None:
                self._dead[node] = core
        if kind is Kind.START and recorder.known(node) is not None:
            event.text = "restart"
        if word == "heal":
            self.timeline.sections.append(Section(len(self.timeline.events) - 1, "liveness phase"))

    def _noted_message(self, word: str, m: Message) -> None:
        if word == "lost":
            self.recorder.arrived(Kind.LOSE, self._now, m)
        elif self._arriving is not None and self._arriving[2] is m:
            node, sent, _ = self._arriving
            text = "" if node == m.to else f"misdirected: it was for node {m.to}"
            self.recorder.arrived(Kind.RECEIVE, self._now, sent, text, node)
        else:
            self.recorder.arrived(Kind.RECEIVE, self._now, m)
        self._arriving = None

    def arrives(self, id: int, sent: Message, received: Message) -> None:
        self._arriving = (id, sent, received)

    def sent(self, m: Message) -> None:
        self.recorder.sent(self._now, m)

    def refused(self, error: Exception) -> None:
        event = self.timeline.events[-1]
        if event.kind is Kind.RECEIVE:
            event.kind, event.text = Kind.REFUSE, "; ".join(one for one in (event.text, str(error)) if one)

    def touched(self, id: int) -> None:
        events = self.timeline.events
        if events and events[-1].kind is Kind.TICK and events[-1].node == id and self._is_quiet(id):
            self.recorder.undo()
            return
        self.recorder.changed(self._now, id, "its disk or its application has answered")

    def _is_quiet(self, id: int) -> bool:
        before, now = self.recorder.known(id), self._look(id)
        if self._sim is None or before is None or before != now:
            return False
        try:
            return not self._sim.nodes[id].raw.has_ready()
        except RaftError:
            return False

    def _look(self, id: int) -> NodeState | None:
        node = self._sim.nodes.get(id) if self._sim is not None else None
        if node is None:
            return None
        raw = getattr(node, "raw", None)
        if not node.is_up and raw is not None and raw is not self._dead.get(id):
            return None  # it has crashed; that is the next event, which is not noted yet
        before = self.recorder.known(id)
        conf = before.conf if before is not None else ""
        if node.is_up and raw is not None and raw is not self._dead.get(id):
            return self._inspector.see(id, raw, node.disk.cache, node.applied, conf)
        return self._inspector.see_disk(id, node.disk.cache, conf)

    def _node_of(self, text: str) -> int:
        """The node that a note names as its second word."""
        words = text.split(" ", 2)
        if len(words) < 2 or not words[1].isdigit() or self._sim is None:
            return WORLD
        options = self._sim.options
        return int(words[1]) if 1 <= int(words[1]) <= options.voters + options.spares else WORLD


def _without_node(text: str) -> str:
    """The note without the node that it names, without counts of nothing, and without the state, which is shown."""
    word, _, *rest = text.partition(" state=")[0].split(" ")
    return " ".join([word, *(one for one in rest if not one.endswith(("=0", "=None")))])
