"""Player: runs a segment again, and finds the first output that differs.

The node is built from the segment's first state and given the recorded inputs in order; its Storage, its random source
and its loggers give the recorded answers. Invariants: whoever made the recording, only RecordingError leaves; a segment
that this same code recorded replays without a difference, compiled or interpreted, whichever of the two recorded it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pyraft import Config, CoreState, Peer, RawNode, Ready, SnapshotStatus
from pyraft.describe import describe_message, quote
from raftpb.confchange import AnyConfChange
from raftpb.message import Entry, Message
from rafttest.record import output
from rafttest.record.answers import RecordedAnswers, ReplayedLogger, ReplayedRandom, ReplayedStorage
from rafttest.record.format import BadValueError, DamagedRecordingError, End, Record, RecordKind, Segment
from rafttest.record.journal import answers_in
from rafttest.record.state import Fields, Surroundings, decode_config, decode_state, encode_state
from rafttest.record.values import Cursor

_LOG_TAIL: Final = 4096
"""So many of the entries that the node handed out are remembered, to be shown."""

_SHOWN_BYTES: Final = 64
_LINE_LENGTH: Final = 400


@dataclass(frozen=True, slots=True)
class Opening:
    """What a Header says. `first_input`: how many inputs the node had had in this life; `writer`: for people."""

    node: int
    life: int
    number: int
    first_input: int
    writer: str
    config: Config
    state: CoreState
    state_fields: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Input:
    """One recorded input. `number`: its place in this life, from 1; `offset`: in the file; `call`: for people."""

    number: int
    offset: int
    call: str
    answers: list[str]
    output: bytes
    run: Callable[[RawNode], bytes]
    milliseconds: int
    """When the write began that it is in, since 1970; 0: not known."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first output that was not the recorded one: of which input, what was due, what came; lines for people."""

    input: Input
    expected: list[str]
    actual: list[str]


class Player:
    """One segment. `play` runs it; `node` is the node as it is then."""

    def __init__(self, segment: Segment) -> None:
        """Build the node. Raises DamagedRecordingError."""
        self.segment = segment
        self.notes: list[tuple[int, str]] = []
        """What the application wrote down, each behind the number of the input before it."""
        self.entries: dict[int, Entry] = {}
        """The latest entries that were handed out for writing or read from the Storage, by index."""
        self.recent: deque[str] = deque(maxlen=10)
        """The last inputs, for people."""
        self.end: End | None = None
        """Why the segment ends; None: it just does."""
        self.config: Config
        self._script = RecordedAnswers()
        self._storage = ReplayedStorage(self._script)
        self._handed: dict[int, Message] = {}
        self._handed_count = 0
        self._position = 0
        self.milliseconds = 0
        """When the write began that the last record was in, since 1970; 0: not known."""
        try:
            self.opening = self._open(Cursor(segment.header))
            self.config = self.opening.config
            self.node = RawNode.from_state(self.config, self.opening.state)
        except BadValueError as error:
            raise self._damaged(0, f"its header: {error}") from error
        except Exception as error:
            raise self._damaged(0, f"its state is none: {type(error).__name__}: {error}") from error
        self._storage.is_building = False
        self.inputs = self.opening.first_input
        """How many inputs the node has had in this life."""
        self._remember(list(self.opening.state.entries))

    def _open(self, cursor: Cursor) -> Opening:
        node, life, number, first_input = cursor.number(), cursor.number(), cursor.number(), cursor.number()
        writer = cursor.text()
        replayed_logger = ReplayedLogger(self._script)
        around = Surroundings(self._storage, ReplayedRandom(self._script), replayed_logger, replayed_logger)
        config_fields = Fields(cursor)
        config = decode_config(config_fields, around)
        config_fields.finish()
        state_fields = Fields(cursor)
        raw = state_fields.raw()
        state = decode_state(state_fields)
        state_fields.finish()
        cursor.finish()
        return Opening(node, life, number, first_input, writer, config, state, raw)

    def _damaged(self, offset: int, detail: str) -> DamagedRecordingError:
        return DamagedRecordingError(self.segment.path, offset, detail)

    # -- running

    def play(self, until: int | None = None) -> Difference | None:
        """Run the inputs that are left, up to number `until` of this life; the first difference, or None.

        After a difference nothing more can be said. Raises DamagedRecordingError.
        """
        while self._position < len(self.segment.records) and (until is None or self.inputs < until):
            record = self.segment.records[self._position]
            self._position += 1
            difference = self._take(record)
            if difference is not None:
                return difference
        return None

    def is_at_end(self) -> bool:
        """True if every record has been taken."""
        return self._position == len(self.segment.records)

    def _take(self, record: Record) -> Difference | None:
        cursor = Cursor(record.body)
        try:
            if record.kind.is_input():
                return self._play(self._input(record, cursor))
            if self.end is not None:
                raise BadValueError("a record after the end")
            if record.kind is RecordKind.NOTE:
                self.notes.append((self.inputs, cursor.text()))
            elif record.kind is RecordKind.MARK:
                cursor.pos = 8
                if cursor.number() != self.inputs:
                    raise BadValueError("it counts other inputs")
                self.milliseconds = cursor.number()
            elif record.kind is RecordKind.END:
                reason = cursor.byte()
                if reason >= len(End):
                    raise BadValueError(f"{reason} is no reason to end")
                self.end = End(reason)
            else:
                raise BadValueError("a second header")
            cursor.finish()
        except BadValueError as error:
            raise self._damaged(record.offset, f"{record.kind.name}: {error}") from error
        return None

    def _input(self, record: Record, cursor: Cursor) -> Input:
        if self.end is not None:
            raise BadValueError("an input after the end")
        call, run = self._call(record.kind, cursor)
        self._script.load(cursor)
        answers = self._script.questions()
        start = cursor.pos
        output.take(cursor)
        cursor.finish()
        self.inputs += 1
        return Input(self.inputs, record.offset, call, answers, cursor.data[start:], run, self.milliseconds)

    # -- for whoever derives from this to watch; they change nothing

    def taking(self, one: Input) -> None:
        """An input is about to be run."""

    def stepping(self, m: Message) -> None:
        """It is this message of the network."""

    def handed_out(self, made: Ready) -> None:
        """The node has handed this out."""

    def _play(self, one: Input) -> Difference | None:
        self.taking(one)
        self.recent.append(f"{one.number} {one.call}")
        try:
            came = one.run(self.node)
        except Exception as error:
            came = output.of_error(error)
        if self._script.divergence:
            return Difference(one, output.describe(one.output), [self._script.divergence])
        if came != one.output:
            return Difference(one, *_told_apart(one.output, came))
        left = self._script.left()
        if left:
            return Difference(one, [f"the core asks {left}"], ["it does not"])
        return None

    def state_differs(self, following: Opening) -> list[str]:
        """The names of the state's fields that are not as the next segment begins; empty if all are."""
        try:
            mine = encode_state(self.node.export_state())
        except Exception as error:  # a node that has failed, and a recording that goes on
            return [f"{type(error).__name__}: {error}"]
        names = sorted(mine.keys() | following.state_fields.keys())
        return [name for name in names if mine.get(name) != following.state_fields.get(name)]

    # -- inputs

    def _call(self, kind: RecordKind, cursor: Cursor) -> tuple[str, Callable[[RawNode], bytes]]:
        """What is called, for people, and how."""
        if kind is RecordKind.READY:
            return "ready()", self._run_ready
        if kind is RecordKind.ADVANCE:
            return "advance()", _nothing(lambda node: node.advance())
        if kind is RecordKind.TICK:
            count = cursor.signed()
            return f"tick({count})", _nothing(lambda node: node.tick(count))
        if kind is RecordKind.STEP:
            m = cursor.message()
            return f"step: {_in_one_line(m)}", _nothing(lambda node: self._step(node, m))
        if kind is RecordKind.STEP_STORAGE:
            answer = cursor.message()
            return f"step_storage: {_in_one_line(answer)}", _nothing(lambda node: node.step_storage(answer))
        if kind is RecordKind.STEP_STORAGE_BY_NUMBER:
            number = cursor.number()
            known = self._handed.pop(number, None)
            if known is None:
                raise BadValueError(f"answer {number} was never asked for")
            return f"step_storage: {_in_one_line(known)}", _nothing(lambda node: node.step_storage(known))
        if kind is RecordKind.PROPOSE:
            data = cursor.blob()
            return f"propose: {len(data)} bytes {_shown(data)}", _nothing(lambda node: node.propose(data))
        if kind is RecordKind.BOOTSTRAP:
            peers = [Peer(cursor.number(), cursor.blob()) for _ in range(cursor.count())]
            return f"bootstrap: {[peer.id for peer in peers]}", _nothing(lambda node: node.bootstrap(peers))
        if kind is RecordKind.LOOK:
            return "status()", _nothing(lambda node: node.status())
        return _small_call(kind, cursor)

    def _step(self, node: RawNode, m: Message) -> None:
        self.stepping(m)
        node.step(m)

    def _run_ready(self, node: RawNode) -> bytes:
        made = node.ready()
        self.handed_out(made)
        self._remember(made.entries)
        if self.config.async_storage_writes:
            for answer in answers_in(made, self.config.id):
                self._handed[self._handed_count] = answer
                self._handed_count += 1
        return output.of_ready(made)

    def _remember(self, entries: list[Entry]) -> None:
        if not entries:
            return
        for index in range(entries[0].index, entries[0].index + len(self.entries) + 1):
            if self.entries.pop(index, None) is None:
                break
        for entry in entries[-_LOG_TAIL:]:
            self.entries[entry.index] = entry
        while len(self.entries) > _LOG_TAIL:
            del self.entries[next(iter(self.entries))]


def _nothing(call: Callable[[RawNode], object]) -> Callable[[RawNode], bytes]:
    def run(node: RawNode) -> bytes:
        call(node)
        return output.NOTHING

    return run


def _small_call(kind: RecordKind, cursor: Cursor) -> tuple[str, Callable[[RawNode], bytes]]:
    if kind is RecordKind.PROPOSE_CONF_CHANGE:
        change = cursor.conf_change()
        return f"propose_conf_change: {change!r}", _nothing(lambda node: node.propose_conf_change(change))
    if kind is RecordKind.APPLY_CONF_CHANGE:
        applied = cursor.conf_change()
        return f"apply_conf_change: {applied!r}", _applying(applied)
    if kind is RecordKind.READ_INDEX:
        context = cursor.blob()
        return f"read_index({quote(context)})", _nothing(lambda node: node.read_index(context))
    if kind is RecordKind.CAMPAIGN:
        return "campaign()", lambda node: output.of_refusal(node.campaign())
    if kind is RecordKind.TRANSFER_LEADER:
        target = cursor.signed()
        return f"transfer_leader({target})", lambda node: output.of_refusal(node.transfer_leader(target))
    if kind is RecordKind.FORGET_LEADER:
        return "forget_leader()", _nothing(lambda node: node.forget_leader())
    id = cursor.signed()
    if kind is RecordKind.REPORT_UNREACHABLE:
        return f"report_unreachable({id})", _nothing(lambda node: node.report_unreachable(id))
    value = cursor.number()
    if value not in {status.value for status in SnapshotStatus}:
        raise BadValueError(f"{value} is no SnapshotStatus")
    status = SnapshotStatus(value)
    return f"report_snapshot({id}, {status})", _nothing(lambda node: node.report_snapshot(id, status))


def _applying(change: AnyConfChange | None) -> Callable[[RawNode], bytes]:
    return lambda node: output.of_conf_state(node.apply_conf_change(change))


def _told_apart(expected: bytes, actual: bytes) -> tuple[list[str], list[str]]:
    """Both outputs in words; in bytes too if the words are the same."""
    said = output.describe(expected), output.describe(actual)
    if said[0] != said[1]:
        return said
    return [*said[0], f"bytes {expected.hex()}"], [*said[1], f"bytes {actual.hex()}"]


def _in_one_line(m: Message) -> str:
    line = " ".join([part.strip() for part in describe_message(m, _shown).split("\n")])
    return line if len(line) <= _LINE_LENGTH else f"{line[:_LINE_LENGTH]}..."


def _shown(data: bytes) -> str:
    return quote(data) if len(data) <= _SHOWN_BYTES else f"{quote(data[:_SHOWN_BYTES])}..."
