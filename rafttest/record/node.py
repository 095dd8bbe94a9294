"""RecordingNode: a RawNode that writes down everything that happens to it.

    node = RecordingNode(config, Path("recording"))      # in place of RawNode(config)

It does what the RawNode in it does, returns and raises the same, and may be used in the same way: `NodeLike` is what
both are. Whatever goes wrong with the recording, the disk being full for instance, ends the recording and not the node;
`stopped` then tells why, and so does a warning of the logger `rafttest.record`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

from pyraft import (
    COMPILED,
    BasicStatus,
    CampaignRefusal,
    Config,
    CoreState,
    NodeFailedError,
    Peer,
    RawNode,
    Ready,
    SnapshotStatus,
    Status,
    TransferRefusal,
    __version__,
)
from raftpb.confchange import AnyConfChange
from raftpb.integers import MAX_INTEGER
from raftpb.message import ConfState, Message
from rafttest.record import outcome
from rafttest.record.format import End, Kind, varint
from rafttest.record.ring import Ring
from rafttest.record.state import encode_config, encode_state, put_fields
from rafttest.record.surroundings import Answers, RecordingLogger, RecordingRandom, RecordingStorage
from rafttest.record.values import framed, number, put_bytes, put_conf_change, put_message, put_text, signed

logger = logging.getLogger("rafttest.record")

SEGMENT_BYTES: Final = 4 << 20
TOTAL_BYTES: Final = 64 << 20
_MIN_SEGMENT_BYTES: Final = 1024
_FLUSH_TICKS: Final = 16
MAX_ANSWERS: Final = 4096
"""Answers of storage threads that are known by number at a time; more are written in full."""

_KIND: Final[dict[Kind, bytes]] = {kind: bytes((kind,)) for kind in Kind}
_TICK_ONCE: Final = _KIND[Kind.TICK] + signed(1)
_ADVANCE: Final = _KIND[Kind.ADVANCE]
_READY: Final = _KIND[Kind.READY]
_UNCHANGED: Final = (TypeError, ValueError)
"""What a call raises whose arguments are none, and the node goes on: then nothing has changed."""


class NodeLike(Protocol):
    """What an application may do with a RawNode, recorded or not; see `pyraft.RawNode`."""

    def has_ready(self) -> bool: ...

    def ready(self) -> Ready: ...

    def advance(self) -> None: ...

    def tick(self, count: int = 1) -> None: ...

    def step(self, m: Message) -> None: ...

    def step_storage(self, m: Message) -> None: ...

    def propose(self, data: bytes | bytearray | memoryview) -> None: ...

    def propose_conf_change(self, change: AnyConfChange | None) -> None: ...

    def apply_conf_change(self, change: AnyConfChange | None) -> ConfState: ...

    def read_index(self, context: bytes) -> None: ...

    def campaign(self) -> CampaignRefusal | None: ...

    def transfer_leader(self, target: int) -> TransferRefusal | None: ...

    def forget_leader(self) -> None: ...

    def report_unreachable(self, id: int) -> None: ...

    def report_snapshot(self, id: int, status: SnapshotStatus) -> None: ...

    def bootstrap(self, peers: Sequence[Peer]) -> None: ...

    def status(self) -> Status: ...

    def basic_status(self) -> BasicStatus: ...

    def export_state(self) -> CoreState: ...


class RecordingNode:
    """A RawNode that is recorded; the methods are those of `pyraft.RawNode`, which see, and three of its own."""

    def __init__(
        self,
        config: Config,
        directory: Path,
        *,
        state: CoreState | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        total_bytes: int = TOTAL_BYTES,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Build the node, from `state` if there is one, and begin to record it in `directory`.

        `segment_bytes`: how long a segment gets before the next begins. `total_bytes`: how long all of this node's
        segments in the folder may get before the oldest is deleted. `clock`: seconds since 1970, such as `time.time`,
        for a person to find a time in the recording; without it the same history always gives the same files.
        Raises what RawNode raises, and ValueError for a segment below 1 KiB.
        """
        if segment_bytes < _MIN_SEGMENT_BYTES:
            raise ValueError(f"a segment of {segment_bytes} bytes; at least {_MIN_SEGMENT_BYTES} are due")
        self.stopped = ""
        """Why nothing is recorded any more; empty while it is."""
        self._config = config
        self._answers = Answers()
        own_logger = RecordingLogger(config.logger, config.trace_logger, self._answers)
        recorded = replace(
            config,
            storage=RecordingStorage(config.storage, self._answers),
            random=RecordingRandom(config.random, self._answers),
            logger=own_logger,
            trace_logger=None if config.trace_logger is None else own_logger,
        )
        self._raw = RawNode(recorded) if state is None else RawNode.from_state(recorded, state)
        self._ticks = 0
        self._handed: dict[int, tuple[Message, int]] = {}
        """Answers that storage threads have been asked for, by identity, with their numbers in this segment."""
        self._handed_count = 0
        self._ring = Ring(directory, config.id, segment_bytes, total_bytes, clock)
        try:
            self._ring.open()
            self._answers.is_on = True
            self._begin_segment()
        except Exception as error:  # see the module: not the node's problem
            self._stop(error)

    @classmethod
    def from_state(cls, config: Config, state: CoreState, directory: Path) -> RecordingNode:
        """As `RawNode.from_state`."""
        return cls(config, directory, state=state)

    # -- the recording

    def note(self, text: str) -> None:
        """Write a line for whoever reads the recording; the replay shows it where it was."""
        if self._answers.is_on:
            self._add_record(Kind.NOTE, text)

    def flush(self) -> None:
        """Hand what is in memory to the operating system, as `ready` does."""
        if self._answers.is_on:
            try:
                self._ring.flush()
            except Exception as error:
                self._stop(error)

    def close(self) -> None:
        """End the recording; the node may go on."""
        if self._answers.is_on:
            self._end(End.CLOSED, "it was closed")

    def _end(self, why: End, text: str) -> None:
        self._answers.is_on = False
        self.stopped = text
        self._handed.clear()
        try:
            self._ring.add(_KIND[Kind.END] + bytes((why,)))
            self._ring.close()
        except Exception as error:
            self._stop(error)

    def _stop(self, error: Exception) -> None:
        """The recording cannot go on; the node does."""
        self._answers.is_on = False
        self._answers.clear()
        self._handed.clear()
        self.stopped = f"{type(error).__name__}: {error}"
        try:
            logger.warning("node %d is not recorded any more: %s", self._config.id, self.stopped)
            self._ring.abandon()
        except Exception:
            return

    def _begin_segment(self) -> None:
        """Raises what keeps it from being written."""
        state = self._raw.export_state()
        parts: list[bytes] = []
        put_text(parts, f"pyraft {__version__}, {'compiled' if COMPILED else 'interpreted'}")
        put_fields(parts, encode_config(self._config))
        put_fields(parts, encode_state(state))
        self._answers.clear()
        self._handed.clear()
        self._handed_count = 0
        self._ring.begin(b"".join(parts))

    def _go_on_in_next(self) -> None:
        self._ring.add(_KIND[Kind.END] + bytes((End.CONTINUES,)))
        self._ring.flush()
        self._begin_segment()

    def _add_record(self, kind: Kind, text: str) -> None:
        parts = [_KIND[kind]]
        put_text(parts, text)
        try:
            self._ring.add(b"".join(parts))
        except Exception as error:
            self._stop(error)

    def _done(self, call: bytes | None, output: bytes) -> None:
        """A call has ended; `call` is its kind and arguments, None if these could not be written down."""
        if not self._answers.is_on:
            return
        try:
            if call is None:
                self._go_on_in_next()
                return
            ring = self._ring
            ring.add(call + self._answers.take() + output)
            ring.inputs += 1
            if ring.is_full:
                self._go_on_in_next()
        except Exception as error:
            self._stop(error)

    def _raised(self, call: bytes | None, error: BaseException) -> None:
        """A call has raised an error, after which the node may have stopped for good."""
        if not self._answers.is_on:
            return
        try:
            self._raw.has_ready()
        except NodeFailedError as failure:
            self._done_for_good(call, error, failure)
            return
        if type(error) in _UNCHANGED:
            self._answers.clear()
            self._add_record(Kind.NOTE, f"refused, and nothing has changed: {type(error).__name__}: {error}")
        else:
            self._done(call, outcome.of_error(error))

    def _done_for_good(self, call: bytes | None, error: BaseException, failure: NodeFailedError) -> None:
        try:
            if call is not None:
                self._ring.add(call + self._answers.take() + outcome.of_error(error))
                self._ring.inputs += 1
            self._end(End.FAILED, str(failure))
        except Exception as other:
            self._stop(other)

    def _call(self, kind: Kind, encode: Callable[[], bytes]) -> bytes | None:
        """A call as the recording begins with it; None if its arguments cannot be written down, or need not be."""
        if not self._answers.is_on:
            return None
        try:
            return _KIND[kind] + encode()
        except Exception:
            return None

    # -- the Ready loop

    def has_ready(self) -> bool:
        """As `RawNode.has_ready`; not recorded, since it changes nothing."""
        return self._raw.has_ready()

    def ready(self) -> Ready:
        """As `RawNode.ready`. When it returns, all that led to this Ready is with the operating system."""
        try:
            made = self._raw.ready()
        except BaseException as error:
            self._raised(_READY, error)
            raise
        if self._answers.is_on:
            try:
                output = outcome.of_ready(made)
                if self._config.async_storage_writes:
                    self._number_answers(made)
            except Exception as error:
                self._stop(error)
                return made
            self._done(_READY, output)
            self._ticks = 0
            self.flush()
        return made

    def _number_answers(self, made: Ready) -> None:
        for answer in answers_in(made, self._config.id):
            self._handed[id(answer)] = (answer, self._handed_count)
            self._handed_count += 1
        while len(self._handed) > MAX_ANSWERS:
            del self._handed[next(iter(self._handed))]

    def advance(self) -> None:
        """As `RawNode.advance`."""
        try:
            self._raw.advance()
        except BaseException as error:
            self._raised(_ADVANCE, error)
            raise
        self._done(_ADVANCE, outcome.NOTHING)

    # -- time and messages

    def tick(self, count: int = 1) -> None:
        """As `RawNode.tick`."""
        call = _TICK_ONCE if count == 1 else self._call(Kind.TICK, lambda: signed(min(count, MAX_INTEGER)))
        try:
            self._raw.tick(count)
        except BaseException as error:
            self._raised(call, error)
            raise
        self._done(call, outcome.NOTHING)
        self._ticks += 1
        if self._ticks >= _FLUSH_TICKS:
            self._ticks = 0
            self.flush()

    def step(self, m: Message) -> None:
        """As `RawNode.step`."""
        call = self._call(Kind.STEP, lambda: _encoded(m))
        try:
            self._raw.step(m)
        except BaseException as error:
            self._raised(call, error)
            raise
        self._done(call, outcome.NOTHING)

    def step_storage(self, m: Message) -> None:
        """As `RawNode.step_storage`."""
        handed = self._handed.pop(id(m), None)
        if handed is not None and handed[0] is m:
            call: bytes | None = _KIND[Kind.STEP_STORAGE_BY_NUMBER] + varint(handed[1])
        else:
            call = self._call(Kind.STEP_STORAGE, lambda: _encoded(m))
        try:
            self._raw.step_storage(m)
        except BaseException as error:
            self._raised(call, error)
            raise
        self._done(call, outcome.NOTHING)

    # -- requests of the application

    def propose(self, data: bytes | bytearray | memoryview) -> None:
        """As `RawNode.propose`."""
        if isinstance(data, (bytearray, memoryview)):
            data = bytes(data)
        kept = data
        call = self._call(Kind.PROPOSE, lambda: framed(kept))
        try:
            self._raw.propose(data)
        except BaseException as error:
            self._raised(call, error)
            raise
        self._done(call, outcome.NOTHING)

    def propose_conf_change(self, change: AnyConfChange | None) -> None:
        """As `RawNode.propose_conf_change`."""
        call = self._call(Kind.PROPOSE_CONF_CHANGE, lambda: _encoded_change(change))
        try:
            self._raw.propose_conf_change(change)
        except BaseException as error:
            self._raised(call, error)
            raise
        self._done(call, outcome.NOTHING)

    def apply_conf_change(self, change: AnyConfChange | None) -> ConfState:
        """As `RawNode.apply_conf_change`."""
        call = self._call(Kind.APPLY_CONF_CHANGE, lambda: _encoded_change(change))
        try:
            state = self._raw.apply_conf_change(change)
        except BaseException as error:
            self._raised(call, error)
            raise
        if self._answers.is_on:
            self._done(call, outcome.of_conf_state(state))
        return state

    def read_index(self, context: bytes) -> None:
        """As `RawNode.read_index`."""
        call = self._call(Kind.READ_INDEX, lambda: framed(context))
        try:
            self._raw.read_index(context)
        except BaseException as error:
            self._raised(call, error)
            raise
        self._done(call, outcome.NOTHING)

    def campaign(self) -> CampaignRefusal | None:
        """As `RawNode.campaign`."""
        call = _KIND[Kind.CAMPAIGN]
        try:
            refusal = self._raw.campaign()
        except BaseException as error:
            self._raised(call, error)
            raise
        self._done(call, outcome.of_refusal(refusal))
        return refusal

    def transfer_leader(self, target: int) -> TransferRefusal | None:
        """As `RawNode.transfer_leader`."""
        call = self._call(Kind.TRANSFER_LEADER, lambda: signed(target))
        try:
            refusal = self._raw.transfer_leader(target)
        except BaseException as error:
            self._raised(call, error)
            raise
        self._done(call, outcome.of_refusal(refusal))
        return refusal

    def forget_leader(self) -> None:
        """As `RawNode.forget_leader`."""
        call = _KIND[Kind.FORGET_LEADER]
        try:
            self._raw.forget_leader()
        except BaseException as error:
            self._raised(call, error)
            raise
        self._done(call, outcome.NOTHING)

    # -- news from the transport

    def report_unreachable(self, id: int) -> None:
        """As `RawNode.report_unreachable`."""
        call = self._call(Kind.REPORT_UNREACHABLE, lambda: signed(id))
        try:
            self._raw.report_unreachable(id)
        except BaseException as error:
            self._raised(call, error)
            raise
        self._done(call, outcome.NOTHING)

    def report_snapshot(self, id: int, status: SnapshotStatus) -> None:
        """As `RawNode.report_snapshot`."""
        call = self._call(Kind.REPORT_SNAPSHOT, lambda: signed(id) + number(status))
        try:
            self._raw.report_snapshot(id, status)
        except BaseException as error:
            self._raised(call, error)
            raise
        self._done(call, outcome.NOTHING)

    # -- beginnings and insight

    def bootstrap(self, peers: Sequence[Peer]) -> None:
        """As `RawNode.bootstrap`."""
        peers = list(peers)
        call = self._call(Kind.BOOTSTRAP, lambda: _encoded_peers(peers))
        try:
            self._raw.bootstrap(peers)
        except BaseException as error:
            self._raised(call, error)
            raise
        self._done(call, outcome.NOTHING)

    def status(self) -> Status:
        """As `RawNode.status`; recorded if the core had to ask its Storage for it, of which it remembers the answer."""
        status = self._raw.status()
        self._looked()
        return status

    def basic_status(self) -> BasicStatus:
        """As `RawNode.basic_status`; recorded as `status` is."""
        status = self._raw.basic_status()
        self._looked()
        return status

    def _looked(self) -> None:
        if self._answers.has_any():
            self._done(_KIND[Kind.LOOK], outcome.NOTHING)

    def export_state(self) -> CoreState:
        """As `RawNode.export_state`; not recorded, since it changes nothing."""
        return self._raw.export_state()


def answers_in(ready: Ready, id: int) -> list[Message]:
    """The messages in a Ready that storage threads are to answer node `id` with, in order."""
    return [answer for m in ready.messages if m.to < 0 for answer in m.responses if answer.to == id]


def _encoded(m: Message) -> bytes:
    parts: list[bytes] = []
    put_message(parts, m)
    return b"".join(parts)


def _encoded_change(change: AnyConfChange | None) -> bytes:
    parts: list[bytes] = []
    put_conf_change(parts, change)
    return b"".join(parts)


def _encoded_peers(peers: list[Peer]) -> bytes:
    parts = [varint(len(peers))]
    for peer in peers:
        parts.append(number(peer.id))
        put_bytes(parts, peer.context)
    return b"".join(parts)
