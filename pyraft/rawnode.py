"""RawNode: the object that an application holds and drives.

    while True:
        node.tick() every so often; node.step(m) for each message that arrives; node.propose(data) for each request
        if node.has_ready():
            ready = node.ready()       # persist, send, apply: see pyraft.ready
            node.advance()

One owner: no method may be called from two threads at a time, nor from within a callback of the Storage, the logger
or the trace logger.

Source: etcd rawnode.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from pyraft import validation
from pyraft.arguments import check_change, check_config, check_id
from pyraft.bootstrap import Peer, bootstrap, check_bootstrap
from pyraft.config import Config
from pyraft.core import acks, durability, election, membership, roles, step
from pyraft.core.raft import Raft
from pyraft.core.start import new_raft
from pyraft.core_state import CoreState, export_state, import_state
from pyraft.errors import (
    DropReason,
    ForwardedProposalDroppedError,
    MisuseError,
    ProposalDroppedError,
    ReadDroppedError,
    StepError,
)
from pyraft.guard import Guard
from pyraft.ready import Ready
from pyraft.ready_builder import ReadyBuilder, acknowledge, build_ready, count_changes, has_ready, note_reported
from pyraft.status import BasicStatus, Status, basic_status_of, status_of
from pyraft.types import (
    LEADER,
    MAX_CONTEXT_BYTES,
    MAX_INTEGER,
    NO_LIMIT,
    CampaignRefusal,
    SnapshotStatus,
    TransferRefusal,
    payload_size,
    u64,
)
from raftpb.codec import encode_conf_change, encode_conf_change_v2
from raftpb.confchange import AnyConfChange, ConfChange, ConfChangeV2
from raftpb.enums import (
    ENTRY_CONF_CHANGE,
    ENTRY_CONF_CHANGE_V2,
    ENTRY_NORMAL,
    MSG_PRE_VOTE_RESP,
    MSG_PROP,
    MSG_READ_INDEX,
    MSG_SNAP,
    MSG_STORAGE_APPEND_RESP,
    MSG_STORAGE_APPLY_RESP,
)
from raftpb.message import ConfState, Entry, Message


@final
class RawNode:
    """A node of a Raft group, without I/O, clock or threads.

    Building one continues from what the Storage holds; `bootstrap` follows on the founding members of a new cluster.
    Raises StorageError if the Storage contradicts itself, ConfigError if `Config.applied` does not fit it, TypeError if
    `config` is no Config.

    Any exception of the Storage, and InvariantError, stop the node for good: the call that met it raises it, every
    later one NodeFailedError, and nothing more is sent.
    """

    def __init__(self, config: Config, state: CoreState | None = None) -> None:
        check_config(config)
        self._raft: Raft = new_raft(config) if state is None else Raft(config)
        self._builder: ReadyBuilder = ReadyBuilder()
        self._max_entry_size: u64 = config.max_entry_size if config.max_entry_size != 0 else NO_LIMIT
        self._guard: Guard = Guard(self._raft)
        if state is None:
            note_reported(self._raft, self._builder)
        else:
            import_state(self._raft, self._builder, state)

    # -- the Ready loop

    def has_ready(self) -> bool:
        """True if `ready` has anything to hand out. What rides along (`aborted_reads`, `refused_conf_changes`) waits
        for the next Ready.
        """
        if self._guard.is_closed:
            self._guard.refuse()
        return has_ready(self._raft, self._builder)

    def ready(self) -> Ready:
        """Hand out everything that waits; see `pyraft.ready` for what to do with it, and in which order.

        Raises MisuseError if the previous Ready was not followed by `advance` (unless writes are asynchronous).
        """
        if self._guard.is_closed:
            self._guard.refuse()
        if self._builder.awaits_advance:
            raise MisuseError("advance() the previous Ready first")
        self._guard.is_closed = True
        try:
            made = build_ready(self._raft, self._builder)
        except BaseException as error:
            self._guard.fail(error)
            raise
        self._guard.is_closed = False
        return made

    def advance(self) -> None:
        """Everything in the last Ready has been done: persisted, sent, applied.

        Raises MisuseError if no Ready is waiting for it, or writes are asynchronous.
        """
        if self._guard.is_closed:
            self._guard.refuse()
        if self._raft.async_storage_writes:
            raise MisuseError(
                "advance() has no meaning with async_storage_writes; step_storage() the responses instead"
            )
        if not self._builder.awaits_advance:
            raise MisuseError("advance() without a Ready; call ready() first")
        self._guard.is_closed = True
        try:
            acknowledge(self._raft, self._builder)
        except BaseException as error:
            self._guard.fail(error)
            raise
        self._guard.is_closed = False

    # -- time and messages

    def tick(self, count: int = 1) -> None:
        """`count` ticks of the application's clock have passed; more than `election_tick` at once count as that many,
        so that a long pause does not bring several elections.

        Raises ValueError if `count` is negative, TypeError if it is no integer.
        """
        if not isinstance(count, int) or isinstance(count, bool):
            raise TypeError(f"count is {count!r}; expected a number of ticks")
        if count < 0:
            raise ValueError(f"count is {count}; time does not run backwards")
        if self._guard.is_closed:
            self._guard.refuse()
        r = self._raft
        left: u64 = r.election_timeout
        if count < NO_LIMIT:  # a larger one might not even fit
            asked: u64 = count
            if asked < left:
                left = asked
        self._guard.is_closed = True
        try:
            while left > 0:
                step.tick(r)
                left -= 1
        except BaseException as error:
            self._guard.fail(error)
            raise
        self._guard.is_closed = False

    def step(self, m: Message) -> None:
        """Take a message from the network.

        Raises StepError, and nothing has changed, if it is none that a node of this group could have sent, or if it
        passes on a proposal that was dropped here. Treat `m` as a value from then on.
        """
        if self._guard.is_closed:
            self._guard.refuse()
        if not isinstance(m, Message):
            raise TypeError(f"step() takes a Message, not {m!r}")
        r = self._raft
        try:
            validation.validate_message(r, m)
        except StepError:
            r.anomalies.refused_messages += 1
            raise
        dropped: DropReason | None = None
        refusal: StepError | None = None
        self._guard.is_closed = True
        try:
            t = m.type
            if t is MSG_PROP:
                dropped = roles.propose(r, m.from_, [Entry(entry.type, 0, 0, entry.data) for entry in m.entries])
            elif t is MSG_READ_INDEX:
                roles.read_index_passed_on(r, m.from_, m.entries[0].data)
            elif m.snapshot is not None and t is MSG_SNAP:
                refusal = validation.history_refusal(r, m.snapshot, m.from_)
                if refusal is None:
                    step.step(r, m)
            else:
                step.step(r, m)
        except BaseException as error:
            self._guard.fail(error)
            raise
        self._guard.is_closed = False
        if refusal is not None:
            r.anomalies.refused_messages += 1
            raise refusal
        if dropped is not None:
            raise ForwardedProposalDroppedError(dropped)

    def step_storage(self, m: Message) -> None:
        """Take what a storage thread answered: a response, addressed to this node, of a MsgStorageAppend or
        MsgStorageApply that it has carried out. Never give it anything that came over the network: it would let a peer
        vouch for this node's disk.

        Raises StepError, and nothing has changed, if it is no such response.
        """
        if self._guard.is_closed:
            self._guard.refuse()
        if not isinstance(m, Message):
            raise TypeError(f"step_storage() takes a Message, not {m!r}")
        r = self._raft
        if not r.async_storage_writes:
            raise MisuseError("step_storage() needs Config.async_storage_writes; call advance() instead")
        validation.check_storage_answer(r, m)
        with self._guard:
            if m.type is MSG_STORAGE_APPEND_RESP:
                self._take_append_answer(m)
            elif m.type is MSG_STORAGE_APPLY_RESP:
                self._take_apply_answer(m)
            elif m.term > r.term and (m.type is not MSG_PRE_VOTE_RESP or m.term > r.term + 1):
                r.anomalies.ignored_storage_answers += 1  # of a term that this node never was in
            else:
                step.step(r, m)

    def _take_append_answer(self, m: Message) -> None:
        r = self._raft
        unstable = r.log.unstable
        if m.term > r.term:
            r.anomalies.ignored_storage_answers += 1
        elif 0 < m.index < unstable.offset_in_progress:
            durability.handle_appended(r, m.term, m.log_term, m.index)
        if m.snapshot is not None:
            if m.snapshot.metadata.index <= r.log.committed:
                durability.handle_snapshot_appended(r, m.snapshot.metadata.index)
            else:
                r.anomalies.ignored_storage_answers += 1

    def _take_apply_answer(self, m: Message) -> None:
        r = self._raft
        if not m.entries:
            return
        last: u64 = m.entries[len(m.entries) - 1].index
        if last > r.log.applying:
            r.anomalies.ignored_storage_answers += 1
            return
        durability.handle_applied(r, last, payload_size(m.entries), count_changes(m.entries))

    # -- requests of the application

    def propose(self, data: bytes | bytearray | memoryview) -> None:
        """Ask for `data` to be appended to the log. Success says that it is on its way, not that it will be committed.

        Raises ProposalDroppedError if it is certain never to enter the log, TypeError if `data` is not bytes-like.
        """
        if not isinstance(data, bytes):
            if not isinstance(data, (bytearray, memoryview)):
                raise TypeError(f"data is {type(data).__name__}; expected a bytes-like object")
            data = bytes(data)
        if self._guard.is_closed:
            self._guard.refuse()
        self._propose(Entry(ENTRY_NORMAL, 0, 0, data))

    def propose_conf_change(self, change: AnyConfChange | None) -> None:
        """Ask for a membership change; None, or a V2 change without steps, leaves a joint configuration.

        A leader that cannot take it now appends an empty entry in its place and says so in
        `Ready.refused_conf_changes`. Raises ProposalDroppedError as `propose`, ConfChangeError if an id is not in
        [0, 2^63), TypeError if `change` is no membership change or holds something of a wrong type.
        """
        if change is None:
            entry = Entry(ENTRY_CONF_CHANGE_V2)
        elif isinstance(change, ConfChange):
            check_change(change)
            entry = Entry(ENTRY_CONF_CHANGE, 0, 0, encode_conf_change(change))
        else:
            check_change(change)
            entry = Entry(ENTRY_CONF_CHANGE_V2, 0, 0, encode_conf_change_v2(change))
        if self._guard.is_closed:
            self._guard.refuse()
        self._propose(entry)

    def _propose(self, entry: Entry) -> None:
        if len(entry.data) > self._max_entry_size:
            raise ProposalDroppedError(DropReason.TOO_LARGE)
        r = self._raft
        self._guard.is_closed = True
        try:
            dropped = roles.propose(r, r.id, [entry])
        except BaseException as error:
            self._guard.fail(error)
            raise
        self._guard.is_closed = False
        if dropped is not None:
            raise ProposalDroppedError(dropped)

    def apply_conf_change(self, change: AnyConfChange | None) -> ConfState:
        """Act on a membership change that was committed, when the application applies its entry; return the
        configuration that follows. It belongs to the entry's index: a snapshot made there holds it, and a durable state
        machine stores it together with the index. An application that rejects a change does not call this; whoever
        applied a change without the call is warned through the logger.

        A change that was handed out before a snapshot was received is part of that snapshot already: until the snapshot
        is durable the call changes nothing here. It returns the configuration that belongs to the change all the same;
        afterwards entries up to the snapshot's index are not to be applied any more.

        Raises ConfChangeError, and nothing has changed, if the change is impossible, which only the leader of an older
        version, or one without validation, lets in: skip the entry. TypeError if it is no change, or holds something
        of a wrong type.
        """
        asked = ConfChangeV2() if change is None else check_change(change)
        if self._guard.is_closed:
            self._guard.refuse()
        r = self._raft
        r.changes_applied += 1
        if r.applied_config is not None:
            r.applied_config = membership.config_after(r, r.applied_config, asked)
            return r.applied_config.conf_state()
        config, progress = membership.next_config(r, asked)
        with self._guard:
            membership.switch_to(r, config, progress)
        return config.conf_state()

    def read_index(self, context: bytes) -> None:
        """Ask which index must be applied before a linearizable read may be served; the answer comes in
        `Ready.read_states` under `context`.

        A node uses each `context` once, over its restarts too: an answer carries nothing else, so that a late answer to
        an earlier read would be taken for that of a later one, and be stale. On a follower the question goes to the
        leader; an answer may be lost on the way, so the caller needs a time-out.
        Raises ReadDroppedError if it cannot leave this node, TypeError if `context` is not bytes, ValueError if it is
        empty or longer than 256 bytes.
        """
        if not isinstance(context, bytes):
            raise TypeError(f"context is {type(context).__name__}; expected bytes")
        if not 0 < len(context) <= MAX_CONTEXT_BYTES:
            raise ValueError(f"context has {len(context)} bytes; expected between 1 and {MAX_CONTEXT_BYTES}")
        if self._guard.is_closed:
            self._guard.refuse()
        r = self._raft
        self._guard.is_closed = True
        try:
            dropped = roles.read_index(r, r.id, context)
        except BaseException as error:
            self._guard.fail(error)
            raise
        self._guard.is_closed = False
        if dropped is not None:
            raise ReadDroppedError(dropped)

    def campaign(self) -> CampaignRefusal | None:
        """Stand for election now; why not, or None if it does."""
        if self._guard.is_closed:
            self._guard.refuse()
        with self._guard:
            refusal = election.hup(self._raft, False)
        return refusal

    def transfer_leader(self, target: int) -> TransferRefusal | None:
        """Hand leadership to voter `target`, or ask the leader to; why nothing was started, or None if it was or the
        request was passed on. Ends when another leader is known, at the latest after an election timeout.

        Raises TypeError if `target` is no integer.
        """
        check_id(target)
        if self._guard.is_closed:
            self._guard.refuse()
        if not 0 < target <= MAX_INTEGER:
            return TransferRefusal.UNKNOWN
        with self._guard:
            refusal = roles.transfer_leader(self._raft, target)
        return refusal

    def forget_leader(self) -> None:
        """On a follower: act as if no leader were known, for instance because the application knows it to be dead, so
        that an election need not wait. Nothing on others.

        Raises MisuseError with lease-based reads, which rely on votes being refused while a leader may serve.
        """
        if self._guard.is_closed:
            self._guard.refuse()
        r = self._raft
        if r.lease_based:
            raise MisuseError("forget_leader() would break the leases that ReadOnlyLeaseBased relies on")
        with self._guard:
            roles.forget_leader(r)

    # -- news from the transport

    def report_unreachable(self, id: int) -> None:
        """The last message to `id` could not be delivered. Matters on a leader; otherwise ignored."""
        check_id(id)
        if self._guard.is_closed:
            self._guard.refuse()
        r = self._raft
        progress = r.tracker.find(id) if 0 < id <= MAX_INTEGER else None
        if r.role is LEADER and progress is not None:
            acks.handle_unreachable(progress)
        else:
            self._note("%x: nothing to note about %d being unreachable", id)

    def report_snapshot(self, id: int, status: SnapshotStatus) -> None:
        """Report the fate of the snapshot sent to `id`. To be called for every MsgSnap, or the follower waits for ever.
        Matters on a leader; otherwise ignored.
        """
        check_id(id)
        if not isinstance(status, SnapshotStatus):
            raise TypeError(f"status is {status!r}; expected a SnapshotStatus")
        if self._guard.is_closed:
            self._guard.refuse()
        r = self._raft
        progress = r.tracker.find(id) if 0 < id <= MAX_INTEGER else None
        if r.role is LEADER and progress is not None:
            acks.handle_snapshot_status(r, progress, status is SnapshotStatus.SnapshotFailure)
        else:
            self._note("%x: nothing to note about a snapshot to %d", id)

    def _note(self, text: str, id: int) -> None:
        with self._guard:
            self._raft.logger.debug(text, self._raft.id, id)

    # -- beginnings and insight

    def bootstrap(self, peers: Sequence[Peer]) -> None:
        """Found a cluster of `peers`, on each of them alike and before anything else.

        Raises MisuseError if there are none, one is invalid or listed twice, or the Storage is not empty; TypeError if
        one is no Peer.
        """
        if self._guard.is_closed:
            self._guard.refuse()
        peers = list(peers)
        check_bootstrap(self._raft, peers)
        with self._guard:
            bootstrap(self._raft, peers)

    def status(self) -> Status:
        """Everything worth knowing, as a copy. Never raises, also on a node that has failed."""
        return status_of(self._raft)

    def basic_status(self) -> BasicStatus:
        """The cheap part of `status`. Never raises."""
        return basic_status_of(self._raft)

    def export_state(self) -> CoreState:
        """All that this node remembers, as a copy."""
        if self._guard.is_closed:
            self._guard.refuse()
        return export_state(self._raft, self._builder)

    @classmethod
    def from_state(cls, config: Config, state: CoreState) -> RawNode:
        """A node that goes on where `state` was exported. `config` and its Storage must be those of that moment.

        Raises MisuseError if `config` is another node's, TypeError if `state` is no CoreState.
        """
        check_config(config)
        if not isinstance(state, CoreState):
            raise TypeError(f"from_state() takes a CoreState, not {state!r}")
        if config.id != state.id:
            raise MisuseError(f"the state is node {state.id}'s, the Config node {config.id}'s")
        return cls(config, state)
