"""A node of this library in a mixed group, with its disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random

from pyraft import (
    ConfChangeError,
    Config,
    ForwardedProposalDroppedError,
    MemoryStorage,
    NullLogger,
    PeerNotFoundError,
    ProposalDroppedError,
    RawNode,
    ReadDroppedError,
    ReadOnlyOption,
    SnapshotStatus,
    StepError,
)
from pyraft.types import NO_LIMIT
from raftpb.codec import decode_change, decode_conf_change, decode_conf_change_v2, decode_message, encode_message
from raftpb.enums import ENTRY_NORMAL, MSG_STORAGE_APPEND
from raftpb.message import LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, ConfState, Entry, HardState, Message, Snapshot
from rafttest.mixed.peer import Answer, MixedSettings


class PythonNode:
    """See `Peer`. `random`: where its election time-outs are drawn from, over all its lives."""

    library = "pyraft"

    def __init__(self, random: Random) -> None:
        self._random = random
        self._storage = MemoryStorage()
        self._append: deque[Message] = deque()
        self._apply: deque[Message] = deque()

    def start(self, id: int, settings: MixedSettings, snapshot: Snapshot | None) -> Answer:
        self.id = id
        self._settings = settings
        if snapshot is not None:
            self._storage.apply_snapshot(snapshot)
            self._storage.set_hard_state(HardState(snapshot.metadata.term, 0, snapshot.metadata.index))
        return self.restart()

    def restart(self) -> Answer:
        self._append.clear()
        self._apply.clear()
        self._raw = RawNode(self._config())
        return self._shown(Answer())

    def _config(self) -> Config:
        s = self._settings
        if not s.is_safe:
            return Config.reference_defaults(
                id=self.id,
                storage=self._storage,
                election_tick=s.election_tick,
                heartbeat_tick=s.heartbeat_tick,
                max_size_per_msg=s.max_size_per_msg,
                max_committed_size_per_ready=s.max_committed_size_per_ready,
                max_inflight_msgs=s.max_inflight_msgs,
                check_quorum=s.check_quorum,
                pre_vote=s.pre_vote,
                async_storage_writes=s.is_asynchronous,
                step_down_on_removal=s.step_down_on_removal,
                batch_append=s.batch_append,
                random=self._random,
                logger=NullLogger(),
            )
        return Config(
            id=self.id,
            storage=self._storage,
            election_tick=s.election_tick,
            heartbeat_tick=s.heartbeat_tick,
            max_size_per_msg=s.max_size_per_msg,
            max_committed_size_per_ready=s.max_committed_size_per_ready,
            max_inflight_msgs=s.max_inflight_msgs,
            check_quorum=s.check_quorum,
            pre_vote=s.pre_vote,
            async_storage_writes=s.is_asynchronous,
            step_down_on_removal=s.step_down_on_removal,
            batch_append=s.batch_append,
            read_only_option=ReadOnlyOption.ReadOnlyLeaseBased if s.reads_by_lease else ReadOnlyOption.ReadOnlySafe,
            random=self._random,
            logger=NullLogger(),
        )

    def tick(self) -> Answer:
        return self._do(self._raw.tick)

    def step(self, message: bytes) -> Answer:
        return self._do(lambda: self._raw.step(decode_message(message)))

    def propose(self, data: bytes) -> Answer:
        return self._do(lambda: self._raw.propose(data))

    def change(self, change: bytes) -> Answer:
        return self._do(lambda: self._raw.propose_conf_change(decode_conf_change_v2(change)))

    def change_v1(self, change: bytes) -> Answer:
        return self._do(lambda: self._raw.propose_conf_change(decode_conf_change(change)))

    def read(self, context: bytes) -> Answer:
        return self._do(lambda: self._raw.read_index(context))

    def campaign(self) -> Answer:
        return self._do(self._raw.campaign)

    def forget_leader(self) -> Answer:
        return self._do(self._raw.forget_leader)

    def transfer(self, to: int) -> Answer:
        return self._do(lambda: self._raw.transfer_leader(to))

    def report_snapshot(self, to: int, failed: bool) -> Answer:
        status = SnapshotStatus.SnapshotFailure if failed else SnapshotStatus.SnapshotFinish
        return self._do(lambda: self._raw.report_snapshot(to, status))

    def report_unreachable(self, to: int) -> Answer:
        return self._do(lambda: self._raw.report_unreachable(to))

    def compact(self, index: int, conf: ConfState, data: bytes) -> Answer:
        self._storage.create_snapshot(index, conf, data)
        self._storage.compact(index)
        return self._shown(Answer())

    def work(self) -> Answer:
        told = Answer()
        if not self._raw.has_ready():
            return self._shown(told)
        ready = self._raw.ready()
        told.reads = [(state.index, state.context) for state in ready.read_states]
        for m in ready.messages:
            if m.to == LOCAL_APPEND_THREAD:
                self._append.append(m)
            elif m.to == LOCAL_APPLY_THREAD:
                self._apply.append(m)
            else:
                told.messages.append(encode_message(m))
        if not self._settings.is_asynchronous:
            self._persist(told, ready.snapshot, ready.entries, ready.hard_state)
            self._carry_out(told, ready.committed_entries)
            self._raw.advance()
        return self._shown(told)

    def append(self) -> Answer:
        told, m = Answer(), self._append.popleft()
        state = HardState(m.term, m.vote, m.commit)
        if m.type is MSG_STORAGE_APPEND:
            self._persist(told, m.snapshot, m.entries, None if state.is_empty() else state)
        self._respond(told, m)
        return self._shown(told)

    def apply(self) -> Answer:
        told, m = Answer(), self._apply.popleft()
        self._carry_out(told, m.entries)
        self._respond(told, m)
        return self._shown(told)

    def _persist(
        self, told: Answer, snapshot: Snapshot | None, entries: list[Entry], hard_state: HardState | None
    ) -> None:
        if snapshot is not None:
            self._storage.apply_snapshot(snapshot)
        self._storage.append(entries)
        if hard_state is not None:
            self._storage.set_hard_state(hard_state)
        told.snapshot, told.entries, told.hard_state = snapshot, list(entries), hard_state

    def _carry_out(self, told: Answer, entries: list[Entry]) -> None:
        for entry in entries:
            told.committed.append(entry)
            if entry.type is ENTRY_NORMAL:
                continue
            try:
                told.confs.append(self._raw.apply_conf_change(decode_change(entry)))
            except ConfChangeError as error:
                told.panic = f"an impossible change was committed: {error}"

    def _respond(self, told: Answer, m: Message) -> None:
        for response in m.responses:
            if response.to == self.id:
                self._raw.step_storage(response)
            else:
                told.messages.append(encode_message(response))

    def _do(self, event: Callable[[], object]) -> Answer:
        told = Answer()
        try:
            refusal = event()
            told.error = "" if refusal is None else str(refusal)
        except (ForwardedProposalDroppedError, ProposalDroppedError, ReadDroppedError) as error:
            told.error = f"dropped: {error.reason.name}"
        except PeerNotFoundError as error:
            told.error = f"peer not found: {error}"
        except StepError as error:
            told.error = f"refused: {error}"
        return self._shown(told)

    def _shown(self, told: Answer) -> Answer:
        status = self._raw.basic_status()
        told.has_ready = self._raw.has_ready()
        told.role = int(status.soft_state.role)
        told.lead = status.soft_state.leader
        told.term, told.vote, told.commit = status.hard_state.term, status.hard_state.vote, status.hard_state.commit
        told.applied = status.applied
        told.last = self._storage.last_index()
        told.append_work, told.apply_work = len(self._append), len(self._apply)
        return told

    def suspects(self) -> str:
        """What its status suspects, which in a healthy group is nothing."""
        anomalies = self._raw.basic_status().anomalies
        return anomalies.log_loss_suspected or anomalies.foreign_log_suspected

    def log(self) -> list[Entry]:
        """What is on its disk."""
        first, last = self._storage.first_index(), self._storage.last_index()
        return self._storage.entries(first, last + 1, NO_LIMIT) if first <= last else []
