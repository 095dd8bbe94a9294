"""Config and CoreState as names with values: the Header of a segment.

Both are written by name, so that a version which has a field more, or one less, is told so by name, and does not replay
something else instead.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final

from pyraft import (
    AbortedRead,
    Anomalies,
    Config,
    ConfigError,
    Configuration,
    CoreState,
    Logger,
    RandomSource,
    ReadDropReason,
    ReadOnlyOption,
    ReadState,
    RefusedConfChange,
    Role,
    Storage,
    TraceLogger,
)
from pyraft.core_state import Read
from raftpb.codec import encode_conf_state
from raftpb.message import Entry, Message
from rafttest.record.format import BadValueError, varint
from rafttest.record.values import (
    Cursor,
    encode_entries,
    encode_snapshot,
    flag,
    framed,
    number,
    put_bytes,
    put_ids,
    put_message,
    put_progress,
    put_text,
    signed,
)

MAX_ELECTION_TICK: Final = 1 << 20
"""A longer time-out would make a replay take for ever, and nobody has one."""

COLLABORATORS: Final = ("storage", "random", "logger", "trace_logger")
"""The fields of a Config that are no data."""

_NUMBERS: Final = (
    *("id", "term", "vote", "leader", "election_elapsed", "heartbeat_elapsed", "randomized_election_timeout", "ticks"),
    *("promise_ticks_left", "promise_leader", "lease_until", "lead_transferee", "pending_conf_index"),
    "uncommitted_size",
    *("committed", "applying", "applied", "base", "base_term", "offset", "offset_in_progress"),
    *(
        "kept_bytes",
        "reads_confirmed",
        "reads_last",
        "prev_term",
        "prev_vote",
        "prev_commit",
        "prev_leader",
        "append_term",
    ),
    *("appended_index", "appended_term", "snapshot_index", "applied_index"),
    *("applied_payload_bytes", "changes", "changes_applied"),
)
_FLAGS: Final = (
    "lease_is_transferred",
    "misses_entries",
    "has_refused",
    "applying_paused",
    "snapshot_in_progress",
    "awaits_advance",
)
_ROLES: Final = ("role", "prev_role")
_MESSAGES: Final = ("msgs", "msgs_after_append", "self_messages")
_READS: Final = ("reads_pending", "postponed_reads")
_REASONS: Final = tuple(ReadDropReason)


class Fields:
    """Values by name, each to be taken once."""

    def __init__(self, cursor: Cursor) -> None:
        self._values: dict[str, Cursor] = {}
        for _ in range(cursor.count()):
            name = cursor.text()
            if name in self._values:
                raise BadValueError(f"{name!r} comes twice")
            self._values[name] = Cursor(cursor.blob())

    def raw(self) -> dict[str, bytes]:
        """All that were not taken, as bytes."""
        return {name: value.data for name, value in self._values.items()}

    def take(self, name: str) -> Cursor:
        """The value of `name`, to be read to its end."""
        value = self._values.pop(name, None)
        if value is None:
            raise BadValueError(f"{name!r} is missing: another version of the library wrote this")
        return value

    def number(self, name: str) -> int:
        """A number that may be negative."""
        cursor = self.take(name)
        value = cursor.signed()
        cursor.finish()
        return value

    def number_or_none(self, name: str) -> int | None:
        """A number, or None where nothing was written."""
        cursor = self.take(name)
        value = None if cursor.is_at_end() else cursor.signed()
        cursor.finish()
        return value

    def flag(self, name: str) -> bool:
        """True or False."""
        cursor = self.take(name)
        value = cursor.flag()
        cursor.finish()
        return value

    def finish(self) -> None:
        """Raises BadValueError if a name is left that nobody knows."""
        if self._values:
            raise BadValueError(f"{sorted(self._values)} are unknown here: another version of the library wrote this")


def put_fields(parts: list[bytes], values: dict[str, bytes]) -> None:
    """The writing half of `Fields`."""
    parts.append(varint(len(values)))
    for name, value in values.items():
        put_text(parts, name)
        put_bytes(parts, value)


# -- Config


def encode_config(config: Config) -> dict[str, bytes]:
    """All of a Config that is data, and whether it has a trace logger, which asks questions of its own."""
    values: dict[str, bytes] = {}
    for field in dataclasses.fields(Config):
        if field.name in COLLABORATORS or field.name == "conf_state":
            continue
        value: object = getattr(config, field.name)
        if isinstance(value, bool):
            values[field.name] = flag(value)
        elif value is None:
            values[field.name] = b""
        elif isinstance(value, int):  # an enum member too
            values[field.name] = signed(int(value))
        else:
            raise TypeError(f"Config.{field.name} is {value!r}, which cannot be recorded")
    values["conf_state"] = b"" if config.conf_state is None else b"\1" + encode_conf_state(config.conf_state)
    values["is_traced"] = flag(config.trace_logger is not None)
    return values


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a Config holds that is no data."""

    storage: Storage
    random: RandomSource
    logger: Logger
    trace_logger: TraceLogger


def decode_config(fields: Fields, around: Surroundings) -> Config:
    """The Config that was recorded, with other collaborators."""
    values: dict[str, Any] = {}  # what Config itself checks, field by field
    for field in dataclasses.fields(Config):
        default: object = field.default
        if field.name in COLLABORATORS or field.name == "conf_state":
            continue
        if isinstance(default, ReadOnlyOption):
            values[field.name] = _option(fields.number(field.name))
        elif isinstance(default, bool):
            values[field.name] = fields.flag(field.name)
        elif default is None:
            values[field.name] = fields.number_or_none(field.name)
        else:
            values[field.name] = fields.number(field.name)
    if values["election_tick"] > MAX_ELECTION_TICK:
        raise BadValueError(f"an election_tick of {values['election_tick']}")
    conf_state = fields.take("conf_state")
    values["conf_state"] = _rest(conf_state).conf_state() if not conf_state.is_at_end() and conf_state.flag() else None
    values["trace_logger"] = around.trace_logger if fields.flag("is_traced") else None
    try:
        return Config(storage=around.storage, random=around.random, logger=around.logger, **values)
    except ConfigError as error:
        raise BadValueError(str(error)) from error


def _option(value: int) -> ReadOnlyOption:
    if not 0 <= value < len(ReadOnlyOption):
        raise BadValueError(f"{value} is no ReadOnlyOption")
    return ReadOnlyOption(value)


def _rest(cursor: Cursor) -> Cursor:
    """What is left, as bytes with their length before them."""
    return Cursor(framed(cursor.data[cursor.pos :]))


# -- CoreState


def encode_state(state: CoreState) -> dict[str, bytes]:
    """All of it, but for the data of large snapshots."""
    values: dict[str, bytes] = {}
    for name in _NUMBERS:
        integer: int = getattr(state, name)
        values[name] = signed(integer)
    for name in _FLAGS:
        values[name] = flag(getattr(state, name) is True)
    for name in _ROLES:
        role: Role = getattr(state, name)
        values[name] = signed(int(role))
    for name in _MESSAGES:
        messages: tuple[Message, ...] = getattr(state, name)
        values[name] = _list([_message(m) for m in messages])
    for name in _READS:
        reads: tuple[Read, ...] = getattr(state, name)
        values[name] = _list([_read(read) for read in reads])
    values["entries"] = encode_entries(list(state.entries))
    values["snapshot"] = b"" if state.snapshot is None else encode_snapshot(state.snapshot)
    values["config"] = _configuration(state.config)
    values["progress"] = _list([_progress(state, position) for position in range(len(state.progress))])
    values["handed_out"] = _list([number(index) + number(size) for index, size in state.handed_out])
    values["applied_config"] = b"" if state.applied_config is None else _configuration(state.applied_config)
    values["votes"] = _list([number(voter) + flag(granted) for voter, granted in state.votes])
    values["lease_rounds"] = _list([number(position) + number(sent_at) for position, sent_at in state.lease_rounds])
    values["reads_acked"] = _list([number(id) + number(position) for id, position in state.reads_acked])
    values["forwarded_reads"] = _list([framed(context) + number(count) for context, count in state.forwarded_reads])
    values["read_states"] = _list([number(read.index) + framed(read.context) for read in state.read_states])
    values["aborted_reads"] = _list(
        [framed(read.context) + number(_REASONS.index(read.reason)) for read in state.aborted_reads]
    )
    values["refused_conf_changes"] = _list(
        [number(one.index) + _text(one.reason) for one in state.refused_conf_changes]
    )
    values["anomalies"] = _anomalies(state.anomalies)
    return values


def decode_state(fields: Fields) -> CoreState:
    """The state that was recorded."""
    numbers = {name: fields.number(name) for name in _NUMBERS}
    for name, value in numbers.items():
        if value < 0 and not (name == "base_term" and value == -1):
            raise BadValueError(f"{name} is {value}")
    flags = {name: fields.flag(name) for name in _FLAGS}
    roles = {name: _role(fields.number(name)) for name in _ROLES}
    messages = {name: tuple([one.message() for one in _items(fields, name)]) for name in _MESSAGES}
    reads = {name: tuple([_read_from(one) for one in _items(fields, name)]) for name in _READS}
    snapshot = fields.take("snapshot")
    applied_config = fields.take("applied_config")
    return CoreState(
        id=numbers["id"],
        term=numbers["term"],
        vote=numbers["vote"],
        role=roles["role"],
        leader=numbers["leader"],
        election_elapsed=numbers["election_elapsed"],
        heartbeat_elapsed=numbers["heartbeat_elapsed"],
        randomized_election_timeout=numbers["randomized_election_timeout"],
        ticks=numbers["ticks"],
        promise_ticks_left=numbers["promise_ticks_left"],
        promise_leader=numbers["promise_leader"],
        lease_until=numbers["lease_until"],
        lease_is_transferred=flags["lease_is_transferred"],
        lease_rounds=tuple([(one.number(), one.number()) for one in _items(fields, "lease_rounds")]),
        lead_transferee=numbers["lead_transferee"],
        pending_conf_index=numbers["pending_conf_index"],
        uncommitted_size=numbers["uncommitted_size"],
        committed=numbers["committed"],
        applying=numbers["applying"],
        applied=numbers["applied"],
        handed_out=tuple([(one.number(), one.number()) for one in _items(fields, "handed_out")]),
        applying_paused=flags["applying_paused"],
        base=numbers["base"],
        base_term=numbers["base_term"],
        offset=numbers["offset"],
        offset_in_progress=numbers["offset_in_progress"],
        kept_bytes=numbers["kept_bytes"],
        entries=_entries(fields.take("entries")),
        snapshot=None if snapshot.is_at_end() else snapshot.snapshot(),
        snapshot_in_progress=flags["snapshot_in_progress"],
        config=_configuration_from(fields.take("config")),
        applied_config=None if applied_config.is_at_end() else _configuration_from(applied_config),
        progress=tuple([one.progress() for one in _items(fields, "progress")]),
        votes=tuple([(one.number(), one.flag()) for one in _items(fields, "votes")]),
        reads_confirmed=numbers["reads_confirmed"],
        reads_last=numbers["reads_last"],
        reads_pending=reads["reads_pending"],
        reads_acked=tuple([(one.number(), one.number()) for one in _items(fields, "reads_acked")]),
        postponed_reads=reads["postponed_reads"],
        forwarded_reads=tuple([(one.blob(), one.number()) for one in _items(fields, "forwarded_reads")]),
        misses_entries=flags["misses_entries"],
        has_refused=flags["has_refused"],
        msgs=messages["msgs"],
        msgs_after_append=messages["msgs_after_append"],
        read_states=tuple([ReadState(one.number(), one.blob()) for one in _items(fields, "read_states")]),
        aborted_reads=tuple([AbortedRead(one.blob(), _reason(one)) for one in _items(fields, "aborted_reads")]),
        refused_conf_changes=tuple(
            [RefusedConfChange(one.number(), one.text()) for one in _items(fields, "refused_conf_changes")]
        ),
        anomalies=_anomalies_from(fields.take("anomalies")),
        prev_term=numbers["prev_term"],
        prev_vote=numbers["prev_vote"],
        prev_commit=numbers["prev_commit"],
        prev_leader=numbers["prev_leader"],
        prev_role=roles["prev_role"],
        awaits_advance=flags["awaits_advance"],
        self_messages=messages["self_messages"],
        append_term=numbers["append_term"],
        appended_index=numbers["appended_index"],
        appended_term=numbers["appended_term"],
        snapshot_index=numbers["snapshot_index"],
        applied_index=numbers["applied_index"],
        applied_payload_bytes=numbers["applied_payload_bytes"],
        changes=numbers["changes"],
        changes_applied=numbers["changes_applied"],
    )


# -- the parts of it


def _list(items: list[bytes]) -> bytes:
    parts: list[bytes] = [varint(len(items))]
    for item in items:
        put_bytes(parts, item)
    return b"".join(parts)


def _items(fields: Fields, name: str) -> list[Cursor]:
    cursor = fields.take(name)
    items = [Cursor(cursor.blob()) for _ in range(cursor.count())]
    cursor.finish()
    return items


def _text(text: str) -> bytes:
    parts: list[bytes] = []
    put_text(parts, text)
    return b"".join(parts)


def _message(m: Message) -> bytes:
    parts: list[bytes] = []
    put_message(parts, m)
    return b"".join(parts)


def _progress(state: CoreState, position: int) -> bytes:
    parts: list[bytes] = []
    put_progress(parts, state.progress[position])
    return b"".join(parts)


def _read(read: Read) -> bytes:
    from_, context, index, position = read
    return signed(from_) + framed(context) + number(index) + number(position)


def _read_from(cursor: Cursor) -> Read:
    return cursor.signed(), cursor.blob(), cursor.number(), cursor.number()


def _entries(cursor: Cursor) -> tuple[Entry, ...]:
    return tuple(_rest(cursor).entries())


def _role(value: int) -> Role:
    if not 0 <= value < len(Role):
        raise BadValueError(f"{value} is no Role")
    return Role(value)


def _reason(cursor: Cursor) -> ReadDropReason:
    value = cursor.number()
    if value >= len(_REASONS):
        raise BadValueError(f"{value} is no ReadDropReason")
    return _REASONS[value]


def _configuration(config: Configuration) -> bytes:
    parts: list[bytes] = []
    for ids in (config.voters, config.voters_outgoing, config.learners, config.learners_next):
        put_ids(parts, ids)
    return b"".join(parts) + flag(config.auto_leave)


def _configuration_from(cursor: Cursor) -> Configuration:
    config = Configuration(cursor.ids(), cursor.ids(), cursor.ids(), cursor.ids(), cursor.flag())
    cursor.finish()
    return config


def _anomalies(anomalies: Anomalies) -> bytes:
    values: dict[str, bytes] = {}
    for field in dataclasses.fields(Anomalies):
        value: object = getattr(anomalies, field.name)
        if isinstance(value, str):
            values[field.name] = _text(value)
        elif isinstance(value, bool):
            values[field.name] = flag(value)
        elif isinstance(value, int):
            values[field.name] = number(value)
    parts: list[bytes] = []
    put_fields(parts, values)
    return b"".join(parts)


def _anomalies_from(cursor: Cursor) -> Anomalies:
    fields, anomalies = Fields(cursor), Anomalies()
    cursor.finish()
    for field in dataclasses.fields(Anomalies):
        value: object = getattr(anomalies, field.name)
        kept = fields.take(field.name)
        if isinstance(value, str):
            setattr(anomalies, field.name, kept.text())
        elif isinstance(value, bool):
            setattr(anomalies, field.name, kept.flag())
        else:
            setattr(anomalies, field.name, kept.number())
        kept.finish()
    fields.finish()
    return anomalies
