"""A cluster in memory: RawNodes over MemoryStorage, and messages between them that can be looked at, lost and kept.

A `Host` does for one RawNode what an application does with a Ready, in the order that `pyraft.ready` asks for: persist,
send, apply, advance; with asynchronous writes it is the append and the apply thread instead. `peer_of` and the message
makers below it play the others towards a lone host. A `Cluster` connects hosts by a wire, over which messages travel
encoded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from pyraft import (
    AbortedRead,
    Config,
    CoreState,
    MemoryStorage,
    NullLogger,
    RawNode,
    ReadState,
    Ready,
    RefusedConfChange,
    Role,
    Storage,
)
from pyraft.errors import ConfChangeError, StepError
from pyraft.tracker.progress import Progress
from raftpb.codec import decode_change, decode_message, encode_message
from raftpb.confchange import AnyConfChange, ConfChangeV2, parse_changes
from raftpb.enums import (
    ENTRY_NORMAL,
    MSG_APP,
    MSG_APP_RESP,
    MSG_HEARTBEAT,
    MSG_HEARTBEAT_RESP,
    MSG_PRE_VOTE,
    MSG_PRE_VOTE_RESP,
    MSG_SNAP,
    MSG_STORAGE_APPEND,
    MSG_STORAGE_APPLY,
    MSG_VOTE,
    MSG_VOTE_RESP,
    ConfChangeTransition,
    MessageType,
)
from raftpb.message import (
    LOCAL_APPEND_THREAD,
    LOCAL_APPLY_THREAD,
    ConfState,
    Entry,
    HardState,
    Message,
    Snapshot,
    SnapshotMetadata,
)

Filter = Callable[[Message], bool]


def config_of(id: int, storage: Storage, **knobs: Any) -> Config:
    """The defaults of `Config`, but silent and with a known sequence of random draws."""
    return replace(Config(id=id, storage=storage, random=Random(id), logger=NullLogger()), **knobs)


def log_of(terms: Iterable[int], first: int = 1) -> list[Entry]:
    """Entries with these terms from index `first` on."""
    return [Entry(ENTRY_NORMAL, term, index, b"%d" % index) for index, term in enumerate(terms, start=first)]


def storage_of(
    conf_state: ConfState,
    terms: Sequence[int] = (),
    *,
    snapshot: tuple[int, int] = (0, 0),
    term: int = 0,
    vote: int = 0,
    commit: int = 0,
) -> MemoryStorage:
    """A log with entries of `terms` after `snapshot` = (term, index); the hard state's term is at least their last."""
    storage = MemoryStorage()
    snapshot_term, snapshot_index = snapshot
    storage.apply_snapshot(Snapshot(b"state", SnapshotMetadata(conf_state, snapshot_index, snapshot_term)))
    storage.append(log_of(terms, snapshot_index + 1))
    term = max(term, snapshot_term, *terms, 0)
    if term != 0:
        storage.set_hard_state(HardState(term, vote, max(commit, snapshot_index)))
    return storage


class Host:
    """A RawNode and the application around it.

    `applied`: every entry applied since the start of the process, in order. `read_states`, `aborted_reads`, `refused`:
    everything that Readys have brought of these. `impossible`: committed membership changes that the application
    refuses because they are. `restored`: index of the last snapshot received; what it covers is not applied any more.
    `open`: a Ready whose duties are not done. `append_work`, `apply_work`: what the storage
    threads have not done.
    """

    def __init__(self, config: Config, state: CoreState | None = None) -> None:
        self.id = config.id
        self.config = config
        self.raw = RawNode(config) if state is None else RawNode.from_state(config, state)
        self.applied: list[Entry] = []
        self.read_states: list[ReadState] = []
        self.aborted_reads: list[AbortedRead] = []
        self.refused: list[RefusedConfChange] = []
        self.impossible: list[Entry] = []
        self.restored = 0
        self.open: Ready | None = None
        self.append_work: deque[Message] = deque()
        self.apply_work: deque[Message] = deque()

    @property
    def storage(self) -> MemoryStorage:
        storage = self.config.storage
        assert isinstance(storage, MemoryStorage)
        return storage

    @property
    def role(self) -> Role:
        return self.raw.basic_status().soft_state.role

    @property
    def leader(self) -> int:
        return self.raw.basic_status().soft_state.leader

    @property
    def term(self) -> int:
        return self.raw.basic_status().term

    @property
    def commit(self) -> int:
        return self.raw.basic_status().commit

    @property
    def last(self) -> int:
        return self.raw.basic_status().last_index

    @property
    def vote(self) -> int:
        return self.raw.basic_status().hard_state.vote

    def progress(self, id: int) -> Progress:
        """A leader's view of a member."""
        return self.raw.status().progress[id]

    def data(self) -> list[bytes]:
        """What the application has applied: the data of its own entries."""
        return [entry.data for entry in self.applied if entry.type is ENTRY_NORMAL and entry.data]

    # -- the duties

    def persist(self, entries: list[Entry], hard_state: HardState | None, snapshot: Snapshot | None) -> None:
        if snapshot is not None:
            self.storage.apply_snapshot(snapshot)
            self.restored = snapshot.metadata.index
        self.storage.append(entries)
        if hard_state is not None:
            self.storage.set_hard_state(hard_state)

    def apply(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if entry.index <= self.restored:
                continue
            self.applied.append(entry)
            if entry.type is not ENTRY_NORMAL:
                try:
                    self.raw.apply_conf_change(change_in(entry))
                except ConfChangeError:
                    self.impossible.append(entry)

    def begin(self) -> Ready:
        """Take a Ready; with asynchronous writes its work is queued, otherwise its duties are left for `finish`."""
        ready = self.raw.ready()
        self.read_states += ready.read_states
        self.aborted_reads += ready.aborted_reads
        self.refused += ready.refused_conf_changes
        if self.config.async_storage_writes:
            self.append_work.extend(m for m in ready.messages if m.to == LOCAL_APPEND_THREAD)
            self.apply_work.extend(m for m in ready.messages if m.to == LOCAL_APPLY_THREAD)
        else:
            self.open = ready
        return ready

    def finish(self) -> None:
        """The duties of the open Ready but sending."""
        ready = self.open
        assert ready is not None
        self.open = None
        self.persist(ready.entries, ready.hard_state, ready.snapshot)
        self.apply(ready.committed_entries)
        self.raw.advance()

    def take(self) -> Ready:
        """One Ready and all its duties but sending."""
        ready = self.begin()
        if self.open is not None:
            self.finish()
        return ready

    def append(self) -> list[Message]:
        """Do the oldest work of the append thread; return what is to be sent to other nodes now."""
        m = self.append_work.popleft()
        assert m.type is MSG_STORAGE_APPEND
        hard_state = HardState(m.term, m.vote, m.commit)
        self.persist(m.entries, None if hard_state.is_empty() else hard_state, m.snapshot)
        return self._deliver_responses(m)

    def apply_next(self) -> list[Message]:
        """Do the oldest work of the apply thread."""
        m = self.apply_work.popleft()
        assert m.type is MSG_STORAGE_APPLY
        self.apply(m.entries)
        return self._deliver_responses(m)

    def _deliver_responses(self, m: Message) -> list[Message]:
        for response in m.responses:
            if response.to == self.id:
                self.raw.step_storage(response)
        return [response for response in m.responses if response.to != self.id]

    def settle(self) -> list[Message]:
        """Do every duty until none is left; return the messages to other nodes, in the order of sending."""
        sent: list[Message] = []
        if self.open is not None:
            sent += self.open.messages
            self.finish()
        while self.raw.has_ready() or self.append_work or self.apply_work:
            if self.raw.has_ready():
                sent += [m for m in self.take().messages if m.to > 0]
            if self.append_work:
                sent += self.append()
            if self.apply_work:
                sent += self.apply_next()
        return sent

    def step(self, *messages: Message) -> list[Message]:
        """Take messages and settle."""
        for m in messages:
            self.raw.step(m)
        return self.settle()

    def tick(self, count: int = 1) -> list[Message]:
        """Let time pass, one tick after the other, settling in between."""
        sent: list[Message] = []
        for _ in range(count):
            self.raw.tick()
            sent += self.settle()
        return sent

    def time_out(self) -> list[Message]:
        """Let time pass until this node campaigns, or would."""
        return self.tick(self.raw.basic_status().randomized_election_timeout)

    def restart(self, **knobs: Any) -> Host:
        """The same node after a crash: what was not written is gone."""
        return Host(replace(self.config, **knobs))


def change_in(entry: Entry) -> AnyConfChange:
    """The membership change that an entry holds."""
    return decode_change(entry)


def change(
    text: str = "", transition: ConfChangeTransition = ConfChangeTransition.ConfChangeTransitionAuto
) -> ConfChangeV2:
    """A membership change as text: `v1 l2 r3`."""
    return ConfChangeV2(parse_changes(text), transition)


def host(
    terms: Sequence[int] = (),
    *,
    id: int = 1,
    voters: Sequence[int] = (1, 2, 3),
    learners: Sequence[int] = (),
    conf_state: ConfState | None = None,
    snapshot: tuple[int, int] = (0, 0),
    term: int = 0,
    vote: int = 0,
    commit: int = 0,
    **knobs: Any,
) -> Host:
    """A lone follower with the log and hard state described in `storage_of`."""
    if conf_state is None:
        conf_state = ConfState(voters, learners)
    storage = storage_of(conf_state, terms, snapshot=snapshot, term=term, vote=vote, commit=commit)
    return Host(config_of(id, storage, **knobs))


# The others, towards a lone host.


def of_type(messages: Iterable[Message], *types: MessageType) -> list[Message]:
    """Those of the given types."""
    return [m for m in messages if m.type in types]


def only(messages: Sequence[Message]) -> Message:
    """The one message that there is."""
    assert len(messages) == 1, messages
    return messages[0]


def append(
    term: int,
    prev: tuple[int, int] = (0, 0),
    entries: Sequence[Entry] = (),
    commit: int = 0,
    to: int = 1,
    from_: int = 2,
) -> Message:
    """A MsgApp of the leader of `term`, after `prev` = (term, index)."""
    return Message(MSG_APP, to, from_, term, prev[0], prev[1], list(entries), commit)


def acked(index: int, term: int, from_: int = 2, to: int = 1) -> Message:
    """A follower has everything up to `index`."""
    return Message(MSG_APP_RESP, to, from_, term, 0, index)


def rejected(index: int, term: int, hint: tuple[int, int] = (0, 0), from_: int = 2, to: int = 1) -> Message:
    """A follower cannot append after `index`; its log may agree at `hint` = (term, index)."""
    return Message(MSG_APP_RESP, to, from_, term, hint[0], index, reject=True, reject_hint=hint[1])


def heartbeat(term: int, commit: int = 0, context: bytes = b"", to: int = 1, from_: int = 2) -> Message:
    """A MsgHeartbeat of the leader of `term`."""
    return Message(MSG_HEARTBEAT, to, from_, term, commit=commit, context=context)


def beat_back(term: int, context: bytes = b"", from_: int = 2, to: int = 1) -> Message:
    """A follower answers a heartbeat."""
    return Message(MSG_HEARTBEAT_RESP, to, from_, term, context=context)


def vote_for(
    term: int, last: tuple[int, int], context: bytes = b"", from_: int = 2, to: int = 1, *, pre: bool = False
) -> Message:
    """A candidate whose log ends at `last` = (term, index) asks for a vote in `term`, or for a pre-vote."""
    return Message(MSG_PRE_VOTE if pre else MSG_VOTE, to, from_, term, last[0], last[1], context=context)


def voted(term: int, reject: bool = False, from_: int = 2, to: int = 1, *, pre: bool = False) -> Message:
    """A voter answers."""
    return Message(MSG_PRE_VOTE_RESP if pre else MSG_VOTE_RESP, to, from_, term, reject=reject)


def snapshot_message(term: int, snapshot: Snapshot, to: int = 1, from_: int = 2) -> Message:
    """A MsgSnap of the leader of `term`."""
    return Message(MSG_SNAP, to, from_, term, snapshot=snapshot)


def grants(requests: Iterable[Message]) -> list[Message]:
    """What voters that agree answer to these requests for votes."""
    return [voted(m.term, from_=m.to, to=m.from_, pre=m.type is MSG_PRE_VOTE) for m in requests]


def elect(candidate: Host) -> list[Message]:
    """Let a lone host win an election with everybody's vote; return what it sends as the leader."""
    assert candidate.raw.campaign() is None
    sent = candidate.settle()
    while candidate.role is not Role.StateLeader:
        requests = of_type(sent, MSG_PRE_VOTE, MSG_VOTE)
        assert requests, "nobody left to ask"
        sent = candidate.step(*grants(requests))
    return sent


def leader(terms: Sequence[int] = (), **knobs: Any) -> Host:
    """A lone host that leads the term after its log's; whether the others have its log is unknown to it."""
    elected = host(terms, **knobs)
    elect(elected)
    return elected


def follow(leading: Host, *ids: int) -> list[Message]:
    """Let followers acknowledge a lone leader's whole log; return what it sends then."""
    return leading.step(*[acked(leading.last, leading.term, from_=id) for id in ids])


class Cluster:
    """Hosts and the wire between them.

    `wire`: messages on their way. `delivered`: all that have arrived. `cut`: who is cut off. `loses`: what else gets
    lost. `refused`: what `step` refused, and why.
    """

    def __init__(self, voters: Sequence[int] = (1, 2, 3), learners: Sequence[int] = (), **knobs: Any) -> None:
        self.knobs = knobs
        self.wire: deque[Message] = deque()
        self.delivered: list[Message] = []
        self.cut: set[int] = set()
        self.loses: Filter = _loses_nothing
        self.refused: list[tuple[Message, StepError]] = []
        self.founders = ConfState(voters, learners)
        self.hosts: dict[int, Host] = {}
        for id in sorted([*voters, *learners]):
            self.join(id)

    def __getitem__(self, id: int) -> Host:
        return self.hosts[id]

    def join(self, id: int) -> Host:
        """A new node; like the founders, it starts from the first configuration."""
        self.hosts[id] = Host(config_of(id, storage_of(self.founders), **self.knobs))
        return self.hosts[id]

    def restart(self, id: int, **knobs: Any) -> Host:
        """Crash a node and start it from its disk."""
        self.hosts[id] = self.hosts[id].restart(**knobs)
        return self.hosts[id]

    def isolate(self, *ids: int) -> None:
        """Nothing gets to these nodes, or away from them."""
        self.cut.update(ids)

    def heal(self) -> None:
        """Everything arrives again."""
        self.cut.clear()
        self.loses = _loses_nothing

    def work(self) -> None:
        """Let every host do its duties and put its messages on the wire."""
        for each in self.hosts.values():
            self.wire.extend(each.settle())

    def deliver(self) -> None:
        """Deliver the messages that are on the wire now."""
        for _ in range(len(self.wire)):
            m = self.wire.popleft()
            if m.to in self.cut or m.from_ in self.cut or m.to not in self.hosts or self.loses(m):
                continue
            self.delivered.append(m)
            try:
                self.hosts[m.to].raw.step(decode_message(encode_message(m)))
            except StepError as error:
                self.refused.append((m, error))

    def settle(self) -> None:
        """Work and deliver until nothing is left to do."""
        for _ in range(1000):
            self.work()
            if not self.wire:
                return
            self.deliver()
        raise AssertionError("the cluster does not come to rest")

    def tick(self, count: int = 1, *ids: int) -> None:
        """Let time pass on `ids`, or on all, settling after each tick."""
        for _ in range(count):
            for id in ids or tuple(self.hosts):
                self.hosts[id].raw.tick()
            self.settle()

    def elect(self, id: int) -> Host:
        """Make `id` the leader: leases run out first."""
        self.settle()
        if self.hosts[id].role is not Role.StateLeader:
            for each in self.hosts.values():
                if each.id != id:
                    each.raw.forget_leader()
            self.hosts[id].raw.campaign()
            self.settle()
        assert self.hosts[id].role is Role.StateLeader
        return self.hosts[id]

    def leader(self) -> Host:
        """The leader of the highest term."""
        leaders = [each for each in self.hosts.values() if each.role is Role.StateLeader]
        return max(leaders, key=lambda each: each.term)

    def propose(self, id: int, *data: bytes) -> None:
        """Propose on node `id` and settle."""
        for one in data:
            self.hosts[id].raw.propose(one)
        self.settle()

    def change(self, id: int, wanted: AnyConfChange) -> None:
        """Propose a membership change on node `id` and settle."""
        self.hosts[id].raw.propose_conf_change(wanted)
        self.settle()


def _loses_nothing(m: Message) -> bool:
    return False
