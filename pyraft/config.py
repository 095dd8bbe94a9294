"""Config: every knob of a node, checked when it is made.

The defaults are what production wants. Where the reference's default is less safe, the knob's text says so, and
`Config.reference_defaults` gives the reference's behaviour for comparisons. A bad value raises `ConfigError`, which
names the field, the value, the limit and the way out.

Source: etcd raft.go Config and validate; docs/differences.md for the knobs that etcd does not have.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from random import Random
from typing import Final, Protocol

from pyraft.errors import ConfigError
from pyraft.logger import Logger
from pyraft.storage import Storage
from pyraft.trace_logger import TraceLogger
from pyraft.types import MAX_INTEGER, NO_LIMIT, SAFE, ReadOnlyOption
from raftpb.message import ConfState

MEBIBYTE: Final = 1 << 20
_INFLIGHT_BYTES: Final = 32 * MEBIBYTE

_STORAGE_METHODS: Final = ("initial_state", "entries", "term", "first_index", "last_index", "snapshot")
_LOGGER_METHODS: Final = ("debug", "info", "warning", "error")
_SIZES: Final = (
    "max_size_per_msg",
    "max_committed_size_per_ready",
    "max_uncommitted_entries_size",
    "max_entry_size",
    "max_pending_reads",
)
_SWITCHES: Final = (
    "async_storage_writes",
    "check_quorum",
    "pre_vote",
    "batch_append",
    "disable_proposal_forwarding",
    "disable_conf_change_validation",
    "step_down_on_removal",
    "persist_before_vote_request",
    "promise_lease",
    "lease_outlives_term",
    "lease_survives_restart",
    "lease_ends_with_transfer",
    "single_voter_reads_need_commit",
    "strict_pre_votes",
    "abort_reads_on_step_down",
    "retry_lost_acks_at_heartbeat",
    "bounded_lease",
    "recheck_reads",
    "retry_auto_leave",
)


class RandomSource(Protocol):
    """A source of random numbers for election timeouts; a `random.Random` will do.

    With one of its own, a node's timeouts depend on nothing but itself, and it can be replayed alone. The thousands of
    nodes of a process may as well share one, in one thread: it is 2.5 kB, almost half of an idle node.
    """

    def randrange(self, stop: int, /) -> int:
        """A number in [0, stop)."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """The settings of a node. Sizes are bytes, times are ticks; a limit of 0 means none unless the text says so."""

    id: int
    """This node, in [1, 2^63). An id stands for one log for ever: never reuse it, nor for an emptied disk."""

    storage: Storage
    """The application's log; read at the start and below what is in memory, never written."""

    election_tick: int = 10
    """Ticks without word from a leader before an election; the actual time-out is drawn from [n, 2n). Also the length
    of a CheckQuorum round, of a transfer, and, less two ticks, of the leader's lease. About ten heartbeats."""

    heartbeat_tick: int = 1
    """Ticks between a leader's heartbeats."""

    applied: int = 0
    """On restart: the index up to which the application has applied entries durably, in the same write as its own data.
    `conf_state` is the configuration at that index; it may be left out if no membership change lies between the
    snapshot and `applied`. 0: the application starts from its snapshot and sees everything after it again."""

    conf_state: ConfState | None = None
    """On restart with `applied`: the configuration at that index, which the last `apply_conf_change` up to it returned;
    the application keeps it with its data. None: the snapshot's, from `Storage.initial_state`."""

    async_storage_writes: bool = False
    """Writes and applies go through MsgStorageAppend and MsgStorageApply; `advance` is then not to be called."""

    max_size_per_msg: int = MEBIBYTE
    """Encoded bytes of entries per MsgApp; one entry always fits. 0: exactly one entry per message."""

    max_committed_size_per_ready: int = 0
    """Encoded bytes of committed entries handed out and not yet acknowledged. 0: as `max_size_per_msg`."""

    max_uncommitted_entries_size: int = 64 * MEBIBYTE
    """Payload bytes of a leader's entries that are not applied yet; beyond it proposals are dropped. (etcd: none.)"""

    max_inflight_msgs: int = 256
    """MsgApps with entries on the way to one follower."""

    max_inflight_bytes: int | None = None
    """Payload bytes on the way to one follower; the message that exceeds it is still sent. At least
    `max_size_per_msg`, or 0 for no limit. None: 32 MiB or four messages of `max_size_per_msg`, whichever is more.
    (etcd: no limit.)"""

    batch_append: bool = False
    """An append that has not left yet takes on further entries for its follower, up to `max_size_per_msg`: fewer and
    larger messages when much is proposed between two Readys. (raft-rs's batch_append; etcd has none.)"""

    max_entry_size: int = 8 * MEBIBYTE
    """Bytes of data in one proposal made here. (etcd: none.)"""

    max_pending_reads: int = 65536
    """Reads that may wait here for an answer at a time. (etcd: no limit.)"""

    check_quorum: bool = True
    """A leader that finds, once in an election timeout, that no quorum has answered since the last time steps down;
    votes are refused while a leader is alive. (etcd: off.)"""

    pre_vote: bool = True
    """Ask whether an election could be won before raising the term; a node that was cut off does not disturb the others
    when it returns. Thesis §9.6. (etcd: off.)"""

    read_only_option: ReadOnlyOption = SAFE
    """The way in which reads are confirmed. Lease-based reads need `check_quorum`, the same `election_tick` on every
    member, and clocks that tick at nearly the same rate (`pyraft.lease`)."""

    promise_lease: bool = False
    """Keep the promises that leases rely on, although this node's own reads ask a quorum: set on every member before
    the first changes `read_only_option`, and until the last has changed back. (etcd has none.)"""

    disable_proposal_forwarding: bool = False
    """A follower drops proposals instead of sending them to the leader."""

    disable_conf_change_validation: bool = False
    """Propose membership changes unchecked. An impossible one then fails when applied: for recovery tools only."""

    step_down_on_removal: bool = True
    """A leader that applies its own removal or demotion becomes a follower. (etcd: off.)"""

    persist_before_vote_request: bool = True
    """Asynchronous mode: MsgVote waits until the term and the vote for oneself are durable. Without it a crash can make
    a node ask twice in one term with two different logs. (etcd: sent at once.)"""

    lease_outlives_term: bool = True
    """Lease-based reads: for one election timeout after a message of the leader, no vote is given and none is asked
    for, also when this node learns of a higher term meanwhile. (etcd: the promise is forgotten with the term and the
    leader. A vote that was asked for earlier is then granted while the old leader may still answer reads.)"""

    lease_survives_restart: bool = True
    """Lease-based reads: for one election timeout after a start, no vote is given and none is asked for, since a
    lease that this node granted before may still be running. (etcd: not so.)"""

    lease_ends_with_transfer: bool = True
    """Lease-based reads: once MsgTimeoutNow has left in a term, reads of that term ask a quorum, since the new leader's
    votes ignore the lease. (etcd: not so.)"""

    bounded_lease: bool = True
    """Lease-based reads: the lease runs for one election timeout, less two ticks, from the sending of a heartbeat that
    a quorum has answered; without one, reads ask a quorum. (etcd: until check-quorum fails, up to two election timeouts
    after the last word, in which others may elect a leader.)"""

    single_voter_reads_need_commit: bool = True
    """A cluster of one voter answers reads only when an entry of its term is committed, like any other. (etcd: at once,
    possibly with an index older than an acknowledged write.)"""

    strict_pre_votes: bool = True
    """Count a pre-vote only if it answers the term asked for. (etcd: also late answers to an earlier request.)"""

    abort_reads_on_step_down: bool = True
    """A leader that steps down before the first commit of its term reports the reads that waited for it in
    `Ready.aborted_reads`. (etcd: keeps them, silently, until it leads again.)"""

    retry_lost_acks_at_heartbeat: bool = True
    """A follower that refuses what it had acknowledged is sent to again at the next heartbeat answer: its disk may have
    been emptied. (etcd: at once, so that the two may do nothing else.)"""

    recheck_reads: bool = True
    """At a change of the configuration, answer the waiting reads that its new quorum has confirmed already. (etcd: they
    wait for another answer, which never comes where the leader is now the only voter.)"""

    retry_auto_leave: bool = True
    """A leader tries at each tick to leave a joint configuration that is to be left by itself. (etcd: only when it
    applies something, so that an idle group stays in it if the first attempt was dropped during a transfer.)"""

    random: RandomSource = field(default_factory=Random)
    """Seeded by the operating system unless given; the core's only source of chance."""

    logger: Logger = field(default_factory=lambda: logging.getLogger("pyraft"))
    """The receiver of the core's log lines."""

    trace_logger: TraceLogger | None = None
    """The receiver of each step of the protocol, to be checked against a TLA+ specification (`TraceEvent`). None:
    nowhere, and at no cost."""

    def __post_init__(self) -> None:
        self._check_types()
        if self.id == 0:
            raise ConfigError("id", "0 means no node; give each node its own id from 1 up")
        if not 0 < self.id <= MAX_INTEGER:
            raise ConfigError("id", f"{self.id} is not in [1, 2^63)")
        if self.heartbeat_tick <= 0:
            raise ConfigError("heartbeat_tick", f"{self.heartbeat_tick} is not at least 1")
        if self.election_tick <= self.heartbeat_tick:
            raise ConfigError(
                "election_tick",
                f"{self.election_tick} must be greater than heartbeat_tick {self.heartbeat_tick}; ten times is usual",
            )
        if self.election_tick > NO_LIMIT // 4:
            raise ConfigError("election_tick", f"{self.election_tick} is beyond any clock; ten heartbeats are usual")
        self._check_collaborators()
        if not 0 < self.max_inflight_msgs <= MAX_INTEGER:
            raise ConfigError("max_inflight_msgs", f"{self.max_inflight_msgs} is not in [1, 2^63)")
        if self.max_inflight_bytes is not None and 0 < self.max_inflight_bytes < self.max_size_per_msg:
            raise ConfigError(
                "max_inflight_bytes",
                f"{self.max_inflight_bytes} is below max_size_per_msg {self.max_size_per_msg}: no full message fits; "
                "raise it, or give 0 for no limit",
            )
        if self.max_size_per_msg == 0 and self.max_committed_size_per_ready == 0:
            raise ConfigError(
                "max_committed_size_per_ready",
                "0 takes over max_size_per_msg, which is 0 too, so nothing could ever be applied; give one of them",
            )
        if self.read_only_option is not SAFE and not self.check_quorum:
            raise ConfigError(
                "read_only_option", "ReadOnlyLeaseBased needs check_quorum=True: without it there is no lease"
            )
        if self.batch_append and self.trace_logger is not None:
            raise ConfigError("batch_append", "would change messages of which the trace_logger has told already")
        if self.election_tick < 5 * self.heartbeat_tick:
            self.logger.warning(
                "election_tick %d is less than five heartbeats of %d: elections may be frequent",
                self.election_tick,
                self.heartbeat_tick,
            )

    def inflight_bytes(self) -> int:
        """Return the limit in bytes that `max_inflight_bytes` stands for; NO_LIMIT for none."""
        if self.max_inflight_bytes is None:
            four_messages = 4 * self.max_size_per_msg if self.max_size_per_msg < NO_LIMIT // 4 else NO_LIMIT
            return max(_INFLIGHT_BYTES, four_messages)
        return self.max_inflight_bytes or NO_LIMIT

    def _check_types(self) -> None:
        for name in ("id", "election_tick", "heartbeat_tick", "applied", "max_inflight_msgs", *_SIZES):
            value: object = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise ConfigError(name, f"{value!r} is not an integer")
        for name in ("applied", *_SIZES):
            number: int = getattr(self, name)
            if not 0 <= number <= MAX_INTEGER:
                raise ConfigError(name, f"{number} is not in [0, 2^63)")
        if self.max_inflight_bytes is not None:
            in_flight: object = self.max_inflight_bytes
            if not isinstance(in_flight, int) or isinstance(in_flight, bool):
                raise ConfigError("max_inflight_bytes", f"{in_flight!r} is not an integer, nor None")
            if not 0 <= in_flight <= MAX_INTEGER:
                raise ConfigError("max_inflight_bytes", f"{in_flight} is not in [0, 2^63)")
        for name in _SWITCHES:
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise ConfigError(name, f"{value!r} is not True or False")
        if self.conf_state is not None and not isinstance(self.conf_state, ConfState):
            raise ConfigError("conf_state", f"{self.conf_state!r} is not a ConfState")
        if not isinstance(self.read_only_option, ReadOnlyOption):
            raise ConfigError("read_only_option", f"{self.read_only_option!r} is not a ReadOnlyOption")

    def _check_collaborators(self) -> None:
        for method in _STORAGE_METHODS:
            if not callable(getattr(self.storage, method, None)):
                raise ConfigError("storage", f"{self.storage!r} has no method {method}(); see pyraft.Storage")
        if not callable(getattr(self.random, "randrange", None)):
            raise ConfigError("random", f"{self.random!r} has no method randrange(); a random.Random has")
        for method in _LOGGER_METHODS:
            if not callable(getattr(self.logger, method, None)):
                raise ConfigError("logger", f"{self.logger!r} has no method {method}(); a logging.Logger has")
        if self.trace_logger is not None and not callable(getattr(self.trace_logger, "trace_event", None)):
            raise ConfigError(
                "trace_logger", f"{self.trace_logger!r} has no method trace_event(); see pyraft.TraceLogger"
            )

    @classmethod
    def reference_defaults(
        cls,
        *,
        id: int,
        storage: Storage,
        election_tick: int = 10,
        heartbeat_tick: int = 1,
        applied: int = 0,
        async_storage_writes: bool = False,
        max_size_per_msg: int = NO_LIMIT,
        max_committed_size_per_ready: int = 0,
        max_inflight_msgs: int = 256,
        check_quorum: bool = False,
        pre_vote: bool = False,
        batch_append: bool = False,
        read_only_option: ReadOnlyOption = SAFE,
        disable_conf_change_validation: bool = False,
        step_down_on_removal: bool = False,
        random: RandomSource | None = None,
        logger: Logger | None = None,
        trace_logger: TraceLogger | None = None,
    ) -> Config:
        """A configuration that behaves as the reference's does: no limits beyond those given, every safety knob off."""
        return cls(
            id=id,
            storage=storage,
            election_tick=election_tick,
            heartbeat_tick=heartbeat_tick,
            applied=applied,
            async_storage_writes=async_storage_writes,
            max_size_per_msg=max_size_per_msg,
            max_committed_size_per_ready=max_committed_size_per_ready,
            max_uncommitted_entries_size=0,
            max_inflight_msgs=max_inflight_msgs,
            max_inflight_bytes=0,
            max_entry_size=0,
            max_pending_reads=0,
            check_quorum=check_quorum,
            pre_vote=pre_vote,
            batch_append=batch_append,
            read_only_option=read_only_option,
            disable_conf_change_validation=disable_conf_change_validation,
            step_down_on_removal=step_down_on_removal,
            persist_before_vote_request=False,
            lease_outlives_term=False,
            lease_survives_restart=False,
            lease_ends_with_transfer=False,
            single_voter_reads_need_commit=False,
            strict_pre_votes=False,
            abort_reads_on_step_down=False,
            retry_lost_acks_at_heartbeat=False,
            bounded_lease=False,
            recheck_reads=False,
            retry_auto_leave=False,
            random=random if random is not None else Random(),
            logger=logger if logger is not None else logging.getLogger("pyraft"),
            trace_logger=trace_logger,
        )
