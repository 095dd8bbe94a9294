"""What stops a node for good, that it then says nothing more, and that nobody calls it from within itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from harness import (
    Host,
    acked,
    append,
    beat_back,
    change,
    config_of,
    elect,
    follow,
    rejected,
    snapshot_message,
    storage_of,
    vote_for,
    voted,
)

from pyraft import (
    CompactedError,
    Config,
    CoreState,
    InvariantError,
    MemoryStorage,
    MisuseError,
    NodeFailedError,
    NullLogger,
    Peer,
    RaftError,
    RawNode,
    SnapshotStatus,
    StorageError,
    UnavailableError,
)
from raftpb.confchange import ConfChange
from raftpb.enums import ADD_LEARNER_NODE, MSG_STORAGE_APPEND_RESP
from raftpb.message import LOCAL_APPEND_THREAD, ConfState, Entry, HardState, Message, Snapshot, SnapshotMetadata

CALLS: dict[str, Callable[[RawNode], object]] = {
    "has_ready": lambda node: node.has_ready(),
    "ready": lambda node: node.ready(),
    "advance": lambda node: node.advance(),
    "tick": lambda node: node.tick(9),
    "step": lambda node: node.step(append(9)),
    "step_storage": lambda node: node.step_storage(Message(MSG_STORAGE_APPEND_RESP, 1, LOCAL_APPEND_THREAD)),
    "propose": lambda node: node.propose(b"x"),
    "propose_conf_change": lambda node: node.propose_conf_change(change("l9")),
    "apply_conf_change": lambda node: node.apply_conf_change(ConfChange(ADD_LEARNER_NODE, 9)),
    "read_index": lambda node: node.read_index(b"r"),
    "campaign": lambda node: node.campaign(),
    "transfer_leader": lambda node: node.transfer_leader(2),
    "forget_leader": lambda node: node.forget_leader(),
    "report_unreachable": lambda node: node.report_unreachable(9),
    "report_snapshot": lambda node: node.report_snapshot(9, SnapshotStatus.SnapshotFinish),
    "bootstrap": lambda node: node.bootstrap([Peer(1)]),
    "export_state": lambda node: node.export_state(),
}
"""Everything that can be asked of a node but its status."""


def test_the_table_holds_every_method() -> None:
    methods = {name for name in dir(RawNode) if not name.startswith("_")}
    assert set(CALLS) == methods - {"status", "basic_status", "from_state"}


class Trouble:
    """What the collaborators of a node do besides their work: nothing, until `happens` is set."""

    def __init__(self) -> None:
        self.happens: Callable[[str], None] | None = None
        self.during: list[str] = []

    def maybe(self, call: str) -> None:
        self.during.append(call)
        if self.happens is not None:
            self.happens(call)


class TroubledStorage:
    def __init__(self, memory: MemoryStorage, trouble: Trouble) -> None:
        self.memory = memory
        self.trouble = trouble

    def initial_state(self) -> tuple[HardState, ConfState]:
        self.trouble.maybe("initial_state")
        return self.memory.initial_state()

    def entries(self, lo: int, hi: int, max_size: int, /) -> list[Entry]:
        self.trouble.maybe("entries")
        return self.memory.entries(lo, hi, max_size)

    def term(self, index: int, /) -> int:
        self.trouble.maybe("term")
        return self.memory.term(index)

    def first_index(self) -> int:
        self.trouble.maybe("first_index")
        return self.memory.first_index()

    def last_index(self) -> int:
        self.trouble.maybe("last_index")
        return self.memory.last_index()

    def snapshot(self) -> Snapshot:
        self.trouble.maybe("snapshot")
        return self.memory.snapshot()


class TroubledLogger(NullLogger):
    def __init__(self, trouble: Trouble) -> None:
        self.trouble = trouble

    def debug(self, msg: str, /, *args: object) -> None:
        self.trouble.maybe("log")

    def info(self, msg: str, /, *args: object) -> None:
        self.trouble.maybe("log")


class TroubledRandom(Random):
    def __init__(self, trouble: Trouble) -> None:
        super().__init__(1)
        self.trouble = trouble

    def randrange(self, *args: Any) -> int:
        self.trouble.maybe("random")
        return super().randrange(*args)


class TroubledHost(Host):
    """A host whose collaborators get into trouble when told to."""

    def __init__(self, memory: MemoryStorage, **knobs: Any) -> None:
        self.trouble = Trouble()
        self.memory = memory
        config = config_of(
            1,
            TroubledStorage(memory, self.trouble),
            logger=TroubledLogger(self.trouble),
            random=TroubledRandom(self.trouble),
            **knobs,
        )
        super().__init__(config)

    @property
    def storage(self) -> MemoryStorage:
        return self.memory


# -- scenes, each at the brink of one call to a collaborator


def restarted(voters: tuple[int, ...] = (1, 2, 3), **knobs: Any) -> TroubledHost:
    """Six entries of terms 1 1 2 2 3 3 on disk, four known to be committed."""
    return TroubledHost(storage_of(ConfState(voters), (1, 1, 2, 2, 3, 3), commit=4), **knobs)


def overdue(commit: int = 4, **knobs: Any) -> TroubledHost:
    """About to campaign."""
    made = TroubledHost(storage_of(ConfState((1, 2, 3)), (1, 1, 2, 2, 3, 3), commit=commit), **knobs)
    made.raw.tick(10)
    return made


def uncommitted() -> TroubledHost:
    return TroubledHost(storage_of(ConfState((1, 2, 3)), (1, 1, 2, 2, 3, 3)))


def following() -> TroubledHost:
    made = settled()
    made.step(append(9, (3, 6)))
    return made


def settled(**knobs: Any) -> TroubledHost:
    made = restarted(**knobs)
    made.settle()
    return made


def elected(**knobs: Any) -> TroubledHost:
    """Leads the next term; 3 has everything, 2 is believed to have nothing and may be sent to."""
    made = settled(**knobs)
    elect(made)
    follow(made, 3)
    made.step(acked(1, made.term))
    made.raw.report_unreachable(2)
    return made


def fresh_leader() -> TroubledHost:
    """Leads, but nobody has answered, and what is committed lies on disk only."""
    made = settled()
    elect(made)
    return made


def far_ahead() -> TroubledHost:
    """Leads, and the beginning of its log is gone; 2 has just answered."""
    made = settled()
    elect(made)
    follow(made, 3)
    made.step(acked(1, made.term))
    made.memory.create_snapshot(4, ConfState((1, 2, 3)), b"state")
    made.memory.compact(4)
    return made


def winning(**knobs: Any) -> TroubledHost:
    """Votes for itself in a cluster of one; the vote is written."""
    made = settled(voters=(1,), pre_vote=False, **knobs)
    made.raw.campaign()
    made.begin()
    return made


def own_vote(made: Host) -> None:
    (request,) = made.append_work
    made.raw.step_storage(request.responses[0])


def empty() -> TroubledHost:
    return TroubledHost(MemoryStorage())


Scene = Callable[[], TroubledHost]

FAILING: dict[str, tuple[Scene, str, Callable[[TroubledHost], object]]] = {
    "ready: entries": (restarted, "entries", lambda made: made.raw.ready()),
    "advance: log": (winning, "log", lambda made: made.raw.advance()),
    "tick: entries": (overdue, "entries", lambda made: made.raw.tick(10)),
    "tick: random": (lambda: overdue(pre_vote=False, commit=0), "random", lambda made: made.raw.tick(10)),
    "step: term": (uncommitted, "term", lambda made: made.raw.step(append(9, (2, 3)))),
    "step: first_index": (settled, "first_index", lambda made: made.raw.step(append(9, (9, 6)))),
    "step: term, for a snapshot": (
        restarted,
        "term",
        lambda made: made.raw.step(
            snapshot_message(9, Snapshot(b"", SnapshotMetadata(ConfState((1, 2, 3)), index=9, term=4)))
        ),
    ),
    "step: entries": (elected, "entries", lambda made: made.raw.step(beat_back(made.term))),
    "step: snapshot": (far_ahead, "snapshot", lambda made: made.raw.step(rejected(7, made.term, (0, 1)))),
    "step_storage: log": (lambda: winning(async_storage_writes=True), "log", own_vote),
    "propose: term": (elected, "term", lambda made: made.raw.propose(b"x")),
    "propose: entries": (elected, "entries", lambda made: made.raw.propose(b"x")),
    "propose_conf_change: term": (elected, "term", lambda made: made.raw.propose_conf_change(change("l9"))),
    "propose_conf_change: log": (elected, "log", lambda made: made.raw.propose_conf_change(None)),
    "apply_conf_change: entries": (elected, "entries", lambda made: made.raw.apply_conf_change(change("l9"))),
    "read_index: term": (fresh_leader, "term", lambda made: made.raw.read_index(b"r")),
    "campaign: log": (settled, "log", lambda made: made.raw.campaign()),
    "campaign: entries": (restarted, "entries", lambda made: made.raw.campaign()),
    "transfer_leader: term": (elected, "term", lambda made: made.raw.transfer_leader(2)),
    "forget_leader: log": (following, "log", lambda made: made.raw.forget_leader()),
    "report_unreachable: log": (settled, "log", lambda made: made.raw.report_unreachable(9)),
    "report_snapshot: log": (
        settled,
        "log",
        lambda made: made.raw.report_snapshot(9, SnapshotStatus.SnapshotFailure),
    ),
    "bootstrap: log": (empty, "log", lambda made: made.raw.bootstrap([Peer(1)])),
}


class Interrupt(BaseException):
    """Like a KeyboardInterrupt, but pytest does not listen to it."""


ERRORS = [OSError("disk gone"), StorageError("checksum"), KeyError("bug"), Interrupt()]


def fails_during(call: str, error: BaseException) -> Callable[[str], None]:
    def happens(during: str) -> None:
        if during == call:
            raise error

    return happens


@pytest.mark.parametrize(("scene", "during", "call"), FAILING.values(), ids=FAILING)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_collaborator_that_fails_stops_the_node(
    scene: Scene, during: str, call: Callable[[TroubledHost], object], error: BaseException
) -> None:
    """The first call raises what happened, every later one that the node has failed; the status goes on telling."""
    made = scene()
    made.trouble.happens = fails_during(during, error)
    with pytest.raises(type(error)) as raised:
        call(made)
    assert raised.value is error
    if isinstance(error, Exception):
        check_dead(made.raw, error)
    made.trouble.happens = None
    check_dead(made.raw, error)


def check_dead(node: RawNode, cause: BaseException) -> None:
    for name, call in CALLS.items():
        with pytest.raises(NodeFailedError) as failed:
            call(node)
        assert failed.value.cause is cause, name
    assert node.status().id == node.basic_status().id == 1


def test_every_method_that_can_fail_is_among_them() -> None:
    """The others ask no collaborator."""
    assert {name.split(":")[0] for name in FAILING} == CALLS.keys() - {"has_ready", "export_state"}


def test_a_broken_law_stops_the_node() -> None:
    """Here a Storage that was compacted beyond what is applied."""
    made = restarted()
    made.memory.compact(2)
    with pytest.raises(InvariantError, match="compacted before it was handed out") as raised:
        made.raw.ready()
    check_dead(made.raw, raised.value)


def test_an_entry_that_ought_to_be_there_stops_the_node() -> None:
    made = restarted()
    made.trouble.happens = fails_during("entries", UnavailableError())
    with pytest.raises(UnavailableError) as raised:
        made.raw.ready()
    check_dead(made.raw, raised.value)


def test_a_snapshot_that_does_not_cover_what_is_compacted_stops_the_node() -> None:
    made = settled()
    elect(made)
    follow(made, 3)
    made.memory.compact(4)
    with pytest.raises(StorageError, match="keep a snapshot that covers what is compacted") as raised:
        made.raw.step(acked(1, made.term))
    check_dead(made.raw, raised.value)


def test_what_waited_to_be_sent_stays_here() -> None:
    """What it promises may not be so."""
    made = restarted()
    made.raw.step(vote_for(9, (3, 6)))
    assert len(made.raw.export_state().msgs_after_append) == 1
    made.trouble.happens = fails_during("entries", OSError("disk gone"))
    with pytest.raises(OSError, match="disk gone"):
        made.raw.ready()
    made.trouble.happens = None
    with pytest.raises(NodeFailedError):
        made.raw.has_ready()
    with pytest.raises(NodeFailedError):
        made.raw.ready()


def test_a_logger_that_fails_does_not_hide_what_happened() -> None:
    class Full(NullLogger):
        def error(self, msg: str, /, *args: object) -> None:
            raise OSError("no space left for logs")

    memory = storage_of(ConfState((1, 2, 3)), (1, 1), commit=2)
    node = RawNode(Config(id=1, storage=memory, logger=Full()))
    memory.compact(1)
    with pytest.raises(InvariantError) as raised:
        node.ready()
    check_dead(node, raised.value)


def test_the_logger_is_told_why() -> None:
    class Listener(NullLogger):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def error(self, msg: str, /, *args: object) -> None:
            self.heard.append(msg % args)

    listener = Listener()
    memory = storage_of(ConfState((1, 2, 3)), (1, 1), commit=2)
    node = RawNode(Config(id=1, storage=memory, logger=listener))
    memory.compact(1)
    with pytest.raises(InvariantError):
        node.ready()
    assert listener.heard == ["1: stopped for good: entry 1 was compacted before it was handed out for applying"]


@pytest.mark.parametrize("question", ["initial_state", "first_index", "last_index", "term", "snapshot"])
def test_a_storage_that_fails_at_the_start_gives_no_node(question: str) -> None:
    trouble = Trouble()
    storage = TroubledStorage(storage_of(ConfState((1,)), (1, 1)), trouble)
    error = OSError("disk gone")
    trouble.happens = fails_during(question, error)
    with pytest.raises(OSError, match="disk gone") as raised:
        RawNode(config_of(1, storage))
    assert raised.value is error


def test_nor_does_one_that_fails_when_a_state_is_imported() -> None:
    state = restarted().raw.export_state()
    trouble = Trouble()
    trouble.happens = fails_during("last_index", OSError("disk gone"))
    storage = TroubledStorage(storage_of(ConfState((1, 2, 3)), (1, 1)), trouble)
    with pytest.raises(OSError, match="disk gone"):
        RawNode.from_state(config_of(1, storage), state)


def test_a_storage_that_fails_does_not_keep_anybody_from_looking() -> None:
    made = fresh_leader()
    assert not made.raw.status().committed_in_term
    made.trouble.during.clear()
    made.trouble.happens = fails_during("term", OSError("disk gone"))
    assert not made.raw.status().committed_in_term
    assert made.trouble.during == ["term"]
    made.raw.tick()


@pytest.mark.parametrize("error", [CompactedError(), UnavailableError()], ids=["compacted", "unavailable"])
def test_what_a_storage_may_not_know_stops_nobody(error: Exception) -> None:
    made = far_ahead()
    made.trouble.happens = fails_during("term", error)
    made.raw.step(rejected(7, made.term, (0, 1)))
    assert made.raw.has_ready()


# -- calls from within


def reenter(made: TroubledHost, during: str, met: list[RaftError]) -> None:
    """During the next such call, make every call there is, and note what comes of it."""

    def happens(call: str) -> None:
        if call == during:
            made.trouble.happens = None
            for one in CALLS.values():
                try:
                    one(made.raw)
                except RaftError as error:
                    met.append(error)
            assert made.raw.status().id == made.raw.basic_status().id == 1

    made.trouble.happens = happens


@pytest.mark.parametrize(("scene", "during", "call"), FAILING.values(), ids=FAILING)
def test_calls_from_within_a_callback_are_refused(
    scene: Scene, during: str, call: Callable[[TroubledHost], object]
) -> None:
    """The node goes on as if they had not been made."""
    made, other = scene(), scene()
    met: list[RaftError] = []
    reenter(made, during, met)
    call(made)
    call(other)
    assert len(met) == len(CALLS)
    for error in met:
        assert isinstance(error, MisuseError)
        assert str(error) == "another call is under way: one thread, and no calls from within a callback"
    assert memory_of(made) == memory_of(other)


def memory_of(made: TroubledHost) -> CoreState:
    """All that a node remembers, but for a term that looking at it makes it ask its Storage for."""
    return replace(made.raw.export_state(), base_term=0)


@pytest.mark.parametrize("during", ["entries", "log"], ids=["a Storage", "a logger"])
def test_a_callback_that_lets_the_error_through_stops_the_node(during: str) -> None:
    """The call that it was part of ended in the middle."""
    made = restarted()

    def happens(call: str) -> None:
        if call == during:
            made.raw.tick()

    made.trouble.happens = happens
    with pytest.raises(MisuseError, match="another call is under way") as raised:
        made.raw.campaign()
    check_dead(made.raw, raised.value)


def test_calls_from_another_thread_are_refused_while_one_is_under_way() -> None:
    made = restarted()
    met: list[BaseException] = []

    def call() -> None:
        try:
            made.raw.tick()
        except MisuseError as error:
            met.append(error)

    def happens(during: str) -> None:
        if during == "entries":
            thread = threading.Thread(target=call)
            thread.start()
            thread.join()

    made.trouble.happens = happens
    made.raw.campaign()
    assert len(met) == 1
    made.trouble.happens = None
    made.step(voted(made.term + 1, pre=True))


def test_calls_from_within_a_logger_that_is_told_of_the_end_are_refused() -> None:
    met: list[RaftError] = []

    class Curious(NullLogger):
        def error(self, msg: str, /, *args: object) -> None:
            for call in CALLS.values():
                try:
                    call(node)
                except NodeFailedError as error:
                    met.append(error)

    memory = storage_of(ConfState((1, 2, 3)), (1, 1), commit=2)
    node = RawNode(Config(id=1, storage=memory, logger=Curious()))
    memory.compact(1)
    with pytest.raises(InvariantError):
        node.ready()
    assert len(met) == len(CALLS)
