"""RecordingNode: a RawNode that writes down everything that happens to it.

    node = RecordingNode(config, Path("recording"))      # in place of RawNode(config)

It does what the RawNode in it does, returns and raises the same, and may be used in the same way: `NodeLike` is the
type of both. Whatever goes wrong with the recording, the disk being full for instance, ends the recording and not the
node; `stopped` then tells why, and so does a warning of the logger `rafttest.record`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from pyraft import (
    BasicStatus,
    CampaignRefusal,
    Config,
    CoreState,
    Peer,
    RawNode,
    Ready,
    SnapshotStatus,
    Status,
    TransferRefusal,
)
from raftpb.confchange import AnyConfChange
from raftpb.integers import MAX_INTEGER
from raftpb.message import ConfState, Message
from rafttest.record import output
from rafttest.record.collaborators import Answers, RecordingLogger, RecordingRandom, RecordingStorage
from rafttest.record.format import RecordKind, varint
from rafttest.record.journal import KIND, Journal
from rafttest.record.ring import Ring
from rafttest.record.values import framed, number, put_bytes, put_conf_change, put_message, signed

SEGMENT_BYTES: Final = 4 << 20
TOTAL_BYTES: Final = 64 << 20
_MIN_SEGMENT_BYTES: Final = 1024

_TICK_ONCE: Final = KIND[RecordKind.TICK] + signed(1)
_ADVANCE: Final = KIND[RecordKind.ADVANCE]
_READY: Final = KIND[RecordKind.READY]


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
            raise ValueError(f"a segment of {segment_bytes} bytes; expected at least {_MIN_SEGMENT_BYTES}")
        answers = Answers()
        own_logger = RecordingLogger(config.logger, config.trace_logger, answers)
        recorded = replace(
            config,
            storage=RecordingStorage(config.storage, answers),
            random=RecordingRandom(config.random, answers),
            logger=own_logger,
            trace_logger=None if config.trace_logger is None else own_logger,
        )
        self._raw = RawNode(recorded) if state is None else RawNode.from_state(recorded, state)
        ring = Ring(directory, config.id, segment_bytes, total_bytes, clock)
        self._journal = Journal(config, self._raw, answers, ring)

    @classmethod
    def from_state(cls, config: Config, state: CoreState, directory: Path) -> RecordingNode:
        """As `RawNode.from_state`."""
        return cls(config, directory, state=state)

    # -- the recording

    @property
    def stopped(self) -> str:
        """Why nothing is recorded any more; empty while it is."""
        return self._journal.stopped

    def note(self, text: str) -> None:
        """Write a line for whoever reads the recording; the replay shows it where it was."""
        self._journal.note(text)

    def flush(self) -> None:
        """Hand what is in memory to the operating system, as `ready` does."""
        self._journal.flush()

    def close(self) -> None:
        """End the recording; the node may go on."""
        self._journal.close()

    # -- the Ready loop

    def has_ready(self) -> bool:
        """As `RawNode.has_ready`; not recorded, since it changes nothing."""
        return self._raw.has_ready()

    def ready(self) -> Ready:
        """As `RawNode.ready`. When it returns, all that led to this Ready is with the operating system."""
        try:
            made = self._raw.ready()
        except BaseException as error:
            self._journal.raised(_READY, error)
            raise
        self._journal.handed_out(made)
        return made

    def advance(self) -> None:
        """As `RawNode.advance`."""
        try:
            self._raw.advance()
        except BaseException as error:
            self._journal.raised(_ADVANCE, error)
            raise
        self._journal.done(_ADVANCE, output.NOTHING)

    # -- time and messages

    def tick(self, count: int = 1) -> None:
        """As `RawNode.tick`."""
        call = (
            _TICK_ONCE if count == 1 else self._journal.begin(RecordKind.TICK, lambda: signed(min(count, MAX_INTEGER)))
        )
        try:
            self._raw.tick(count)
        except BaseException as error:
            self._journal.raised(call, error)
            raise
        self._journal.done(call, output.NOTHING)
        self._journal.ticked()

    def step(self, m: Message) -> None:
        """As `RawNode.step`."""
        call = self._journal.begin(RecordKind.STEP, lambda: _encoded(m))
        try:
            self._raw.step(m)
        except BaseException as error:
            self._journal.raised(call, error)
            raise
        self._journal.done(call, output.NOTHING)

    def step_storage(self, m: Message) -> None:
        """As `RawNode.step_storage`."""
        call = self._journal.begin_answer(m)
        if call is None:
            call = self._journal.begin(RecordKind.STEP_STORAGE, lambda: _encoded(m))
        try:
            self._raw.step_storage(m)
        except BaseException as error:
            self._journal.raised(call, error)
            raise
        self._journal.done(call, output.NOTHING)

    # -- requests of the application

    def propose(self, data: bytes | bytearray | memoryview) -> None:
        """As `RawNode.propose`."""
        if isinstance(data, (bytearray, memoryview)):
            data = bytes(data)
        kept = data
        call = self._journal.begin(RecordKind.PROPOSE, lambda: framed(kept))
        try:
            self._raw.propose(data)
        except BaseException as error:
            self._journal.raised(call, error)
            raise
        self._journal.done(call, output.NOTHING)

    def propose_conf_change(self, change: AnyConfChange | None) -> None:
        """As `RawNode.propose_conf_change`."""
        call = self._journal.begin(RecordKind.PROPOSE_CONF_CHANGE, lambda: _encoded_change(change))
        try:
            self._raw.propose_conf_change(change)
        except BaseException as error:
            self._journal.raised(call, error)
            raise
        self._journal.done(call, output.NOTHING)

    def apply_conf_change(self, change: AnyConfChange | None) -> ConfState:
        """As `RawNode.apply_conf_change`."""
        call = self._journal.begin(RecordKind.APPLY_CONF_CHANGE, lambda: _encoded_change(change))
        try:
            state = self._raw.apply_conf_change(change)
        except BaseException as error:
            self._journal.raised(call, error)
            raise
        self._journal.returned(call, lambda: output.of_conf_state(state))
        return state

    def read_index(self, context: bytes) -> None:
        """As `RawNode.read_index`."""
        call = self._journal.begin(RecordKind.READ_INDEX, lambda: framed(context))
        try:
            self._raw.read_index(context)
        except BaseException as error:
            self._journal.raised(call, error)
            raise
        self._journal.done(call, output.NOTHING)

    def campaign(self) -> CampaignRefusal | None:
        """As `RawNode.campaign`."""
        call = KIND[RecordKind.CAMPAIGN]
        try:
            refusal = self._raw.campaign()
        except BaseException as error:
            self._journal.raised(call, error)
            raise
        self._journal.done(call, output.of_refusal(refusal))
        return refusal

    def transfer_leader(self, target: int) -> TransferRefusal | None:
        """As `RawNode.transfer_leader`."""
        call = self._journal.begin(RecordKind.TRANSFER_LEADER, lambda: signed(target))
        try:
            refusal = self._raw.transfer_leader(target)
        except BaseException as error:
            self._journal.raised(call, error)
            raise
        self._journal.done(call, output.of_refusal(refusal))
        return refusal

    def forget_leader(self) -> None:
        """As `RawNode.forget_leader`."""
        call = KIND[RecordKind.FORGET_LEADER]
        try:
            self._raw.forget_leader()
        except BaseException as error:
            self._journal.raised(call, error)
            raise
        self._journal.done(call, output.NOTHING)

    # -- news from the transport

    def report_unreachable(self, id: int) -> None:
        """As `RawNode.report_unreachable`."""
        call = self._journal.begin(RecordKind.REPORT_UNREACHABLE, lambda: signed(id))
        try:
            self._raw.report_unreachable(id)
        except BaseException as error:
            self._journal.raised(call, error)
            raise
        self._journal.done(call, output.NOTHING)

    def report_snapshot(self, id: int, status: SnapshotStatus) -> None:
        """As `RawNode.report_snapshot`."""
        call = self._journal.begin(RecordKind.REPORT_SNAPSHOT, lambda: signed(id) + number(status))
        try:
            self._raw.report_snapshot(id, status)
        except BaseException as error:
            self._journal.raised(call, error)
            raise
        self._journal.done(call, output.NOTHING)

    # -- beginnings and insight

    def bootstrap(self, peers: Sequence[Peer]) -> None:
        """As `RawNode.bootstrap`."""
        peers = list(peers)
        call = self._journal.begin(RecordKind.BOOTSTRAP, lambda: _encoded_peers(peers))
        try:
            self._raw.bootstrap(peers)
        except BaseException as error:
            self._journal.raised(call, error)
            raise
        self._journal.done(call, output.NOTHING)

    def status(self) -> Status:
        """As `RawNode.status`; recorded if the core had to ask its Storage for it, of which it remembers the answer."""
        status = self._raw.status()
        self._journal.looked()
        return status

    def basic_status(self) -> BasicStatus:
        """As `RawNode.basic_status`; recorded as `status` is."""
        status = self._raw.basic_status()
        self._journal.looked()
        return status

    def export_state(self) -> CoreState:
        """As `RawNode.export_state`; not recorded, since it changes nothing."""
        return self._raw.export_state()


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
