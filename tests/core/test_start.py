"""What a node starts from: a Storage, which must not contradict itself, or the peers that it founds a cluster with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import pytest

from pyraft import (
    CompactedError,
    Config,
    ConfigError,
    MemoryStorage,
    MisuseError,
    NullLogger,
    Peer,
    RawNode,
    Role,
    SnapshotUnavailableError,
    StorageError,
    UnavailableError,
)
from pyraft.types import MAX_INTEGER
from raftpb.codec import decode_conf_change, encode_conf_change
from raftpb.confchange import ConfChange
from raftpb.enums import ADD_NODE, ENTRY_CONF_CHANGE, ENTRY_NORMAL
from raftpb.message import ConfState, Entry, HardState, Snapshot, SnapshotMetadata

MEMBERS = ConfState((1, 2, 3))


class Claims:
    """A Storage that claims whatever it is told to: terms[i] is the term of index first - 1 + i."""

    def __init__(
        self,
        hard_state: HardState,
        terms: tuple[int | None, ...] = (1, 1, 2, 2),
        *,
        first: int = 5,
        last: int | None = None,
        conf_state: ConfState = MEMBERS,
        snapshot: tuple[int, int] | None = (4, 1),
    ) -> None:
        self.hard_state = hard_state
        self.terms = terms
        self.first = first
        self.last = first + len(terms) - 2 if last is None else last
        self.conf_state = conf_state
        self.position = snapshot
        self.calls: Counter[str] = Counter()

    def initial_state(self) -> tuple[HardState, ConfState]:
        return self.hard_state, self.conf_state

    def entries(self, lo: int, hi: int, max_size: int, /) -> list[Entry]:
        raise CompactedError

    def term(self, index: int, /) -> int:
        self.calls["term"] += 1
        position = index - self.first + 1
        if position < 0:
            raise CompactedError
        if position >= len(self.terms):
            raise UnavailableError
        term = self.terms[position]
        if term is None:
            raise UnavailableError
        return term

    def first_index(self) -> int:
        return self.first

    def last_index(self) -> int:
        return self.last

    def snapshot(self) -> Snapshot:
        if self.position is None:
            raise SnapshotUnavailableError
        return Snapshot(b"", SnapshotMetadata(self.conf_state, *self.position))


def config_of(storage: Claims | MemoryStorage, applied: int = 0, id: int = 1) -> Config:
    return Config(id=id, storage=storage, applied=applied, logger=NullLogger())


@pytest.mark.parametrize(
    ("storage", "text"),
    [
        pytest.param(
            Claims(HardState(2, 1, 8)),
            r"commit=8\) has a commit index outside \[4, 7\]: entries or a snapshot written before it are missing; was "
            r"only a part of the data directory restored\?$",
            id="commit beyond the log",
        ),
        pytest.param(
            Claims(HardState(2, 1, 5), conf_state=ConfState(cast(Any, (1, "2")))),
            r"^initial_state\(\) gave an impossible configuration: voters: '2' is not the id of a node$",
            id="a member that is text",
        ),
        pytest.param(Claims(HardState(2, 1, 3)), r"commit=3\) has a commit index outside \[4, 7\]", id="commit below"),
        pytest.param(Claims(HardState(2)), r"commit=0\) has a commit index outside \[4, 7\]", id="commit lost"),
        pytest.param(
            Claims(HardState(2, 1, 5), first=9, last=7),
            r"^first_index\(\) is 9 and last_index\(\) 7; the first is at most one above the last$",
            id="a hole between the first and the last",
        ),
        pytest.param(Claims(HardState(), (0, 1), first=0), r"^first_index\(\) is 0", id="the log begins at 0"),
        pytest.param(
            Claims(HardState(2, 1, 5), snapshot=(8, 2)),
            r"^the snapshot is at 8, beyond the last index 7$",
            id="a snapshot beyond the log",
        ),
        pytest.param(
            Claims(HardState(2, 1, 5), snapshot=(6, 3)),
            r"^the snapshot at 6 has term 3, the log has 2 there$",
            id="a snapshot of another term",
        ),
        pytest.param(
            Claims(HardState(2, 1, 5), snapshot=(4, 2)),
            r"^the snapshot at 4 has term 2, the log has 1 there$",
            id="a snapshot of another term, below the log",
        ),
        pytest.param(
            Claims(HardState(0, 1, 5)), r"vote=1, commit=5\) votes in term 0, where there are no elections$", id="vote"
        ),
        *[
            pytest.param(Claims(state), r"holds a number outside \[0, 2\^63\)$", id=f"{state}")
            for state in (HardState(-1, 1, 5), HardState(2, -1, 5), HardState(2, 1, -5))
        ],
        pytest.param(
            Claims(HardState(2, 1, 5), conf_state=ConfState((1, 2), (2,))),
            r"^initial_state\(\) gave an impossible configuration: 2 is in learners and in voters$",
            id="a configuration that cannot be",
        ),
        pytest.param(
            Claims(HardState(2, 1, 5), (1, 1, 3, 2)),
            r"^entry 7 has term 2, less than 3 of the one before it$",
            id="terms that fall",
        ),
        pytest.param(
            Claims(HardState(2, 1, 5), (2, 1, 1, 1)), r"^entry 5 has term 1, less than 2", id="terms that fall at once"
        ),
        pytest.param(
            Claims(HardState(2, 1, 5), (None, 1, 1, 1)),
            r"^term\(4\) is unknown although the log covers \[4, 7\]$",
            id="no term below the first entry",
        ),
        pytest.param(
            Claims(HardState(2, 1, 5), (1, None, 1, 1)), r"^term\(5\) is unknown although", id="a term is missing"
        ),
        pytest.param(
            Claims(HardState(2, 1, 5), (1, 1, 1), last=7), r"^term\(7\) is unknown although", id="the last is missing"
        ),
    ],
)
def test_a_storage_that_contradicts_itself_is_refused(storage: Claims, text: str) -> None:
    with pytest.raises(StorageError, match=text):
        RawNode(config_of(storage))


@pytest.mark.parametrize(
    "numbers",
    [(MAX_INTEGER + 1, 1, 5), (2, MAX_INTEGER + 1, 5), (2, 1, MAX_INTEGER + 1)],
    ids=["term", "vote", "commit"],
)
def test_a_number_that_is_too_large_is_refused(numbers: tuple[int, int, int]) -> None:
    """Compiled, a hard state cannot even hold it."""
    with pytest.raises((StorageError, TypeError), match=r"holds a number outside \[0, 2\^63\)$|^i64 object expected"):
        start_from(numbers)


def start_from(numbers: tuple[int, int, int]) -> None:
    RawNode(config_of(Claims(HardState(*numbers))))


@pytest.mark.parametrize(
    "storage",
    [
        pytest.param(Claims(HardState(2, 1, 4)), id="nothing committed after the snapshot"),
        pytest.param(Claims(HardState(2, 1, 7)), id="everything committed"),
        pytest.param(Claims(HardState(2, 0, 4)), id="no vote"),
        pytest.param(Claims(HardState()), id="nothing written yet but a snapshot and entries"),
        pytest.param(Claims(HardState(2, 1, 4), snapshot=None), id="a snapshot that is being made"),
        pytest.param(Claims(HardState(2, 1, 4), (1,)), id="a snapshot and nothing else"),
        pytest.param(Claims(HardState(2, 9, 4), conf_state=ConfState((2, 3))), id="a configuration without this node"),
    ],
)
def test_a_storage_that_makes_sense_is_taken(storage: Claims) -> None:
    status = RawNode(config_of(storage)).basic_status()
    assert status.hard_state == (
        HardState(1, 0, storage.first - 1) if storage.hard_state.is_empty() else storage.hard_state
    )
    assert (status.applied, status.last_index) == (storage.first - 1, storage.last)
    assert status.soft_state.role is Role.StateFollower
    assert status.is_member is (1 in storage.conf_state.voters)


@pytest.mark.parametrize("commit", [4, 5, 7], ids=["commit index behind it", "at it", "after it"])
def test_what_the_snapshot_covers_is_committed_and_applied(commit: int) -> None:
    """Also where the log reaches further back."""
    status = RawNode(config_of(Claims(HardState(2, 1, commit), snapshot=(5, 1)))).basic_status()
    assert (status.applied, status.commit) == (5, max(commit, 5))


@pytest.mark.parametrize(
    ("term", "vote", "last_term", "expected"),
    [
        pytest.param(0, 0, 1, HardState(0, 0, 4), id="the first term"),
        pytest.param(0, 0, 9, HardState(8, 0, 4), id="no hard state"),
        pytest.param(7, 2, 9, HardState(8, 0, 4), id="the vote of an earlier term"),
        pytest.param(8, 2, 9, HardState(8, 2, 4), id="one term behind"),
        pytest.param(9, 2, 9, HardState(9, 2, 4), id="the same term"),
    ],
)
def test_no_node_leads_a_term_below_that_of_its_last_entry(
    term: int, vote: int, last_term: int, expected: HardState
) -> None:
    """The hard state is written last, and may not have been."""
    state = HardState(term, vote, 4 if term else 0)
    node = RawNode(config_of(Claims(state, (1, last_term), conf_state=ConfState((1,)))))
    assert node.basic_status().hard_state == expected
    assert not node.has_ready(), "it is no news, and needs not be written"
    node.campaign()
    for _ in range(2):
        node.ready()
        node.advance()
    assert node.basic_status().soft_state.role is Role.StateLeader
    assert node.basic_status().term >= last_term


def test_an_error_of_the_storage_itself_passes_through() -> None:
    class Broken(Claims):
        def last_index(self) -> int:
            raise OSError("cannot read")

    with pytest.raises(OSError, match="cannot read"):
        RawNode(config_of(Broken(HardState())))


def test_the_end_of_a_long_log_is_checked_not_all_of_it() -> None:
    terms = (1, 9, *[2] * 5000)
    storage = Claims(HardState(2, 1, 4), terms)
    RawNode(config_of(storage))
    assert storage.calls["term"] < 1100
    with pytest.raises(StorageError, match="less than 9"):
        RawNode(config_of(Claims(HardState(2, 1, 4), terms[:900])))


# -- the index up to which the application has applied


@pytest.mark.parametrize(
    ("applied", "text"),
    [
        pytest.param(
            3,
            "3 is outside [4, 6] (snapshot or compaction, commit index; the log is [5, 7]): the application lost "
            "writes that the log has already dropped; restore it from the snapshot",
            id="below the snapshot",
        ),
        pytest.param(
            7,
            "7 is outside [4, 6] (snapshot or compaction, commit index; the log is [5, 7]): the log lost writes that "
            "the application has already applied; was the log's disk not synced?",
            id="above the commit index",
        ),
        pytest.param(
            8,
            "8 is outside [4, 6] (snapshot or compaction, commit index; the log is [5, 7]): the log lost writes that "
            "the application has already applied; was the log's disk not synced?",
            id="beyond the log",
        ),
    ],
)
def test_applied_must_fit_the_log(applied: int, text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        RawNode(config_of(Claims(HardState(2, 1, 6)), applied))
    assert (raised.value.field, raised.value.detail) == ("applied", text)


@pytest.mark.parametrize(
    ("applied", "handed_out"),
    [
        pytest.param(0, [5, 6], id="not told"),
        pytest.param(4, [5, 6], id="as far as the snapshot"),
        pytest.param(5, [6], id="further"),
        pytest.param(6, [], id="all that is committed"),
    ],
)
def test_what_is_applied_is_not_handed_out_again(applied: int, handed_out: list[int]) -> None:
    storage = MemoryStorage()
    storage.apply_snapshot(Snapshot(b"", SnapshotMetadata(MEMBERS, 4, 1)))
    storage.append([Entry(ENTRY_NORMAL, 2, index, b"x") for index in (5, 6, 7)])
    storage.set_hard_state(HardState(2, 3, 6))
    node = RawNode(config_of(storage, applied))
    assert node.has_ready() is bool(handed_out)
    ready = node.ready()
    assert [entry.index for entry in ready.committed_entries] == handed_out
    assert (ready.hard_state, ready.soft_state, ready.entries) == (None, None, []), "nothing of that is news"


def test_each_start_draws_a_time_out() -> None:
    class Seven:
        def randrange(self, stop: int, /) -> int:
            assert stop == 10
            return 7

    node = RawNode(replace(config_of(MemoryStorage()), random=Seven()))
    assert node.basic_status().randomized_election_timeout == 17


def test_a_restart_keeps_term_vote_and_members() -> None:
    storage = MemoryStorage()
    storage.apply_snapshot(Snapshot(b"", SnapshotMetadata(ConfState((1, 2), (3,)), 4, 1)))
    storage.set_hard_state(HardState(7, 2, 4))
    status = RawNode(config_of(storage, id=3)).status()
    assert status.hard_state == HardState(7, 2, 4)
    assert str(status.config) == "voters=(1 2) learners=(3)"
    assert status.is_learner


# -- founding a cluster


def test_the_peers_are_the_first_entries_and_vote_at_once() -> None:
    node = RawNode(config_of(MemoryStorage(), id=2))
    node.bootstrap([Peer(2, b"here"), Peer(10)])
    assert str(node.status().config) == "voters=(2 a)"
    ready = node.ready()
    assert ready.hard_state == HardState(1, 0, 2)
    assert [(entry.type, entry.term, entry.index) for entry in ready.entries] == [
        (ENTRY_CONF_CHANGE, 1, 1),
        (ENTRY_CONF_CHANGE, 1, 2),
    ]
    assert [decode_conf_change(entry.data) for entry in ready.entries] == [
        ConfChange(ADD_NODE, 2, b"here"),
        ConfChange(ADD_NODE, 10),
    ]
    assert ready.committed_entries == ready.entries, "they are applied like any others"
    assert node.apply_conf_change(ConfChange(ADD_NODE, 2)) == ConfState((2, 10)), "which changes nothing any more"


def used() -> RawNode:
    storage = MemoryStorage()
    storage.append([Entry(ENTRY_NORMAL, 1, 1)])
    return RawNode(config_of(storage))


def restored() -> RawNode:
    storage = MemoryStorage()
    storage.apply_snapshot(Snapshot(b"", SnapshotMetadata(MEMBERS, 4, 1)))
    return RawNode(config_of(storage))


def voted() -> RawNode:
    storage = MemoryStorage()
    storage.set_hard_state(HardState(3))
    return RawNode(config_of(storage))


def founded() -> RawNode:
    node = RawNode(config_of(MemoryStorage()))
    node.bootstrap([Peer(1)])
    return node


def new() -> RawNode:
    return RawNode(config_of(MemoryStorage()))


@pytest.mark.parametrize(
    ("made", "peers", "text"),
    [
        pytest.param(new, [], r"^bootstrap needs at least one peer; a node that joins", id="nobody"),
        pytest.param(new, [Peer(1), Peer(0)], r"^peer id 0 is not in \[1, 2\^63\)$", id="peer 0"),
        pytest.param(new, [Peer(-2)], r"^peer id -2 is not in \[1, 2\^63\)$", id="a storage thread"),
        pytest.param(new, [Peer(1), Peer(2), Peer(1)], r"^peer 1 is listed twice$", id="a peer twice"),
        pytest.param(used, [Peer(1)], r"^bootstrap needs an empty Storage; build the node without it", id="entries"),
        pytest.param(restored, [Peer(1)], "needs an empty Storage", id="a snapshot"),
        pytest.param(founded, [Peer(1)], "needs an empty Storage", id="twice"),
        pytest.param(voted, [Peer(1)], r"^bootstrap needs a new node; this one has seen term 3$", id="a term"),
    ],
)
def test_what_cannot_found_a_cluster(made: Callable[[], RawNode], peers: list[Peer], text: str) -> None:
    node = made()
    before = node.export_state()
    with pytest.raises(MisuseError, match=text):
        node.bootstrap(peers)
    assert node.export_state() == before


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: "1", id="no Peer"),
        pytest.param(lambda: cast(Any, Peer)(1.0), id="half a number"),
        pytest.param(lambda: cast(Any, Peer)("1"), id="text"),
        pytest.param(lambda: cast(Any, Peer)(1, "here"), id="a context of text"),
    ],
)
def test_what_is_no_founder(make: Callable[[], Any]) -> None:
    """Compiled, such a Peer cannot even be made; the error is of the same type."""
    node = new()
    before = node.export_state()
    with pytest.raises(TypeError):
        node.bootstrap([Peer(1), make()])
    assert node.export_state() == before


def test_a_founder_that_is_not_among_the_peers_is_warned_about() -> None:
    class Listener(NullLogger):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def warning(self, msg: str, /, *args: object) -> None:
            self.heard.append(msg % args)

    listener = Listener()
    node = RawNode(replace(config_of(MemoryStorage(), id=4), logger=listener))
    node.bootstrap([Peer(1), Peer(2)])
    assert listener.heard == ["4: is not among the peers it bootstraps"]
    assert not node.basic_status().is_member


def _grown() -> MemoryStorage:
    """Node 1 alone at first; entry 2 adds node 2, and there are entries up to 4."""
    storage = MemoryStorage()
    storage.apply_snapshot(Snapshot(b"", SnapshotMetadata(ConfState((1,)), 1, 1)))
    added = Entry(ENTRY_CONF_CHANGE, 1, 2, encode_conf_change(ConfChange(ADD_NODE, 2)))
    storage.append([added, Entry(ENTRY_NORMAL, 1, 3), Entry(ENTRY_NORMAL, 1, 4)])
    storage.set_hard_state(HardState(1, 1, 4))
    return storage


def test_a_membership_change_that_was_applied_is_not_forgotten() -> None:
    with pytest.raises(ConfigError, match=r"Config.conf_state: expected a value: entry 2, a membership") as raised:
        RawNode(Config(id=1, storage=_grown(), applied=3, logger=NullLogger()))
    assert raised.value.field == "conf_state"


def test_nor_is_one_that_may_have_been_compacted() -> None:
    storage = _grown()
    storage.compact(3)
    with pytest.raises(ConfigError, match="entries 2 to 3 are gone"):
        RawNode(Config(id=1, storage=storage, applied=3, logger=NullLogger()))


def test_the_configuration_at_the_applied_index_can_be_given() -> None:
    storage = _grown()
    node = RawNode(Config(id=1, storage=storage, applied=3, conf_state=ConfState((1, 2)), logger=NullLogger()))
    assert node.status().config.voters == (1, 2)
    assert [entry.index for entry in node.ready().committed_entries] == [4]


def test_without_a_change_in_between_the_snapshot_s_configuration_will_do() -> None:
    storage = _grown()
    storage.create_snapshot(2, ConfState((1, 2)), b"")
    node = RawNode(Config(id=1, storage=storage, applied=3, logger=NullLogger()))
    assert [entry.index for entry in node.ready().committed_entries] == [4]


def test_a_log_that_begins_after_its_snapshot_needs_an_application_that_has_the_rest() -> None:
    storage = _grown()
    storage.compact(3)
    with pytest.raises(StorageError, match="the log begins at 4, the snapshot ends at 1"):
        RawNode(Config(id=1, storage=storage, logger=NullLogger()))


@pytest.mark.parametrize("context", ["10.0.0.1:80", None])
def test_a_peer_s_context_is_bytes(context: object) -> None:
    node = RawNode(Config(id=1, storage=MemoryStorage(), logger=NullLogger()))
    peer = Peer(1)
    with suppress(TypeError):  # compiled, the attribute refuses it already
        peer.context = context  # type: ignore[assignment]
    if peer.context != b"":
        with pytest.raises(TypeError, match="expected bytes"):
            node.bootstrap([peer])
    node.bootstrap([Peer(1)])
    assert node.status().config.voters == (1,)


def test_a_peer_s_id_fits_63_bits() -> None:
    """Compiled, no peer can even have a larger one."""
    node = RawNode(Config(id=1, storage=MemoryStorage(), logger=NullLogger()))
    with pytest.raises((MisuseError, TypeError, OverflowError), match=r"is not in \[1, 2\^63\)|i64"):
        node.bootstrap([Peer(1), Peer(MAX_INTEGER + 1)])
    assert not node.has_ready()
    node.bootstrap([Peer(1), Peer(MAX_INTEGER)])
    assert node.status().config.voters == (1, MAX_INTEGER)
