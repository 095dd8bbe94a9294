"""Start: from a Config and what its Storage holds to a follower that can take its first message.

A Storage that contradicts itself is refused here, before it can contradict the others.

Source: etcd raft.go newRaft, loadState; docs/questions.md on restarting.
"""

from __future__ import annotations

from typing import Final

from pyraft.confchange.restore import restore
from pyraft.config import Config
from pyraft.core import membership, transitions
from pyraft.core.raft import Raft
from pyraft.errors import ConfChangeError, ConfigError, StorageError
from pyraft.log_reader import UNKNOWN
from pyraft.types import MAX_INTEGER, NONE_ID, u64
from raftpb.enums import ENTRY_NORMAL
from raftpb.message import ConfState, HardState

_CHECKED_ENTRIES: Final = 1024
"""Number of entries at the end of the log that are checked at the start; all would take long for a long log."""


def new_raft(config: Config) -> Raft:
    """A follower that continues from what the Storage holds.

    Raises StorageError if that contradicts itself, ConfigError if `Config.applied` does not fit it.
    """
    r = Raft(config)
    _check_log(r)
    hard_state, conf_state = r.log.reader.initial_state()
    _check_hard_state(r, hard_state)
    covered = _check_snapshot(r)
    if r.tracer is not None:
        r.tracer.init_state(r)
    _restore_configuration(r, conf_state if config.conf_state is None else config.conf_state)
    if not hard_state.is_empty():
        r.term = hard_state.term
        r.vote = hard_state.vote
        r.log.commit_to(hard_state.commit)
    _raise_term(r)
    _restore_applied(r, config.applied, covered)
    if config.conf_state is None:
        _check_no_change_is_skipped(r, covered)
    transitions.become_follower(r, r.term, NONE_ID)
    return r


def _check_log(r: Raft) -> None:
    first: u64 = r.log.reader.first_index()
    last: u64 = r.log.reader.last_index()
    if first < 1 or first > last + 1:
        raise StorageError(f"first_index() is {first} and last_index() {last}; the first is at most one above the last")
    index: u64 = last - _CHECKED_ENTRIES
    if index < first - 1:
        index = first - 1
    previous: u64 = r.log.reader.term_or_unknown(index)
    while previous != UNKNOWN and index < last:
        index += 1
        term: u64 = r.log.reader.term_or_unknown(index)
        if term != UNKNOWN and term < previous:
            raise StorageError(f"entry {index} has term {term}, less than {previous} of the one before it")
        previous = term
    if previous == UNKNOWN:
        raise StorageError(f"term({index}) is unknown although the log covers [{first - 1}, {last}]")


def _check_hard_state(r: Raft, state: HardState) -> None:
    numbers: tuple[object, ...] = (state.term, state.vote, state.commit)
    for number in numbers:
        if not isinstance(number, int) or not 0 <= number <= MAX_INTEGER:
            raise StorageError(f"{state!r} holds a number outside [0, 2^63)")
    if state.term == 0 and state.vote != NONE_ID:
        raise StorageError(f"{state!r} votes in term 0, where there are no elections")
    first: u64 = r.log.reader.first_index()
    last: u64 = r.log.reader.last_index()
    if not state.is_empty() and not first - 1 <= state.commit <= last:
        raise StorageError(
            f"{state!r} has a commit index outside [{first - 1}, {last}]: entries or a snapshot written before it are "
            "missing; was only a part of the data directory restored?"
        )


def _check_snapshot(r: Raft) -> u64:
    """The index of the snapshot: what the application starts from. While one is being made, it is taken to exist."""
    snapshot = r.log.reader.snapshot_or_none()
    if snapshot is None:
        return r.log.reader.first_index() - 1
    index: u64 = snapshot.metadata.index
    if index > r.log.reader.last_index():
        raise StorageError(f"the snapshot is at {index}, beyond the last index {r.log.reader.last_index()}")
    term: u64 = r.log.reader.term_or_unknown(index)
    if term != UNKNOWN and term != snapshot.metadata.term:
        raise StorageError(f"the snapshot at {index} has term {snapshot.metadata.term}, the log has {term} there")
    return index


def _restore_configuration(r: Raft, conf_state: ConfState) -> None:
    tracker = r.tracker
    try:
        config, progress = restore(conf_state, r.log.last_index(), tracker.max_inflight, tracker.max_inflight_bytes)
    except ConfChangeError as error:
        raise StorageError(f"initial_state() gave an impossible configuration: {error}") from error
    membership.switch_to(r, config, progress)


def _raise_term(r: Raft) -> None:
    """Keep this node from ever leading a term below that of its last entry, after which nobody could append.

    The hard state may lag behind the log: it was not written yet when the node crashed, or somebody began a cluster
    from a snapshot alone. One below is enough, since a candidate enters the next term.
    """
    least: u64 = r.log.last_term() - 1
    if r.term < least:
        r.term = least
        r.vote = NONE_ID


def _restore_applied(r: Raft, applied: u64, covered: u64) -> None:
    """Begin after `applied`, or where the application does not say, after its snapshot: the log may reach further back,
    but the configuration is that of the snapshot, and changes before it must not be made again.
    """
    log = r.log
    if applied == 0:
        if covered < log.applied:
            raise StorageError(
                f"the log begins at {log.applied + 1}, the snapshot ends at {covered}: what lies between is gone; keep "
                "a snapshot of what is compacted, or give Config.applied if the application has applied it durably"
            )
        if covered == log.applied:
            return
        applied = covered
        log.commit_to(covered)
    if not log.applied <= applied <= log.committed:
        raise ConfigError(
            "applied",
            f"{applied} is outside [{log.applied}, {log.committed}] (snapshot or compaction, commit index; the log is "
            f"[{log.first_index()}, {log.last_index()}]): "
            + (
                "the application lost writes that the log has already dropped; restore it from the snapshot"
                if applied < log.applied
                else "the log lost writes that the application has already applied; was the log's disk not synced?"
            ),
        )
    log.applied_to(applied)


def _check_no_change_is_skipped(r: Raft, covered: u64) -> None:
    """The configuration is that of the snapshot. If the application has applied a membership change since, that change
    will not come by again, and this node would go on in a configuration of the past.
    """
    log = r.log
    index: u64 = covered + 1
    while index <= log.applied:
        entries = log.slice(index, log.applied + 1, log.max_applying_size)
        if entries is None:
            raise ConfigError(
                "conf_state",
                f"expected a value: entries {index} to {log.applied} are gone, and may have changed the members",
            )
        for entry in entries:
            if entry.type is not ENTRY_NORMAL:
                raise ConfigError(
                    "conf_state",
                    f"expected a value: entry {entry.index}, a membership change, lies between the snapshot at "
                    f"{covered} and applied {log.applied}; give what apply_conf_change returned",
                )
        index += len(entries)
