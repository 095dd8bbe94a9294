"""What does not mix, as docs/interop.md says, shown by a few nodes of both libraries."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from pyraft import InvalidMessageError, InvalidReason
from raftpb import DecodeError
from raftpb.codec import decode_message, encode_conf_change_v2, encode_message
from raftpb.confchange import ConfChangeV2, parse_changes
from raftpb.enums import MSG_HEARTBEAT
from raftpb.message import ConfState, Message, Snapshot, SnapshotMetadata
from rafttest.mixed import go_process
from rafttest.mixed.go_process import RELEASES, GoNode, GoProcess, build
from rafttest.mixed.peer import CANDIDATE, FOLLOWER, LEADER, Answer, MixedSettings
from rafttest.mixed.python_node import PythonNode

HAS_GO = shutil.which("go") is not None and (go_process.SOURCES / "go.mod").is_file()
pytestmark = pytest.mark.skipif(not HAS_GO, reason="needs Go and the Go program of a source checkout")

START = Snapshot(b"", SnapshotMetadata(ConfState((1, 2, 3)), 2, 1))
SETTINGS = MixedSettings(
    election_tick=5,
    heartbeat_tick=1,
    max_size_per_msg=1 << 20,
    max_committed_size_per_ready=1 << 20,
    max_inflight_msgs=256,
    check_quorum=True,
    pre_vote=True,
    is_asynchronous=False,
    step_down_on_removal=True,
    batch_append=False,
    is_safe=True,
)
UNGUARDED = replace(SETTINGS, check_quorum=False, pre_vote=False)


class Three:
    """Nodes 1 to 3; `libraries` has a letter for each: p for this library, g for Go's. No message is lost unless its
    sender or receiver is in `away`.
    """

    def __init__(self, process: GoProcess, libraries: str, settings: dict[int, MixedSettings] | None = None) -> None:
        process.seed(1)
        self.nodes: dict[int, GoNode | PythonNode] = {}
        self.shown: dict[int, Answer] = {}
        self.away: set[int] = set()
        self.sent: list[bytes] = []
        self.died: dict[int, str] = {}
        self.reads: list[tuple[int, int, bytes]] = []
        """Node, index and context."""
        for id, letter in enumerate(libraries, 1):
            self.nodes[id] = GoNode(process) if letter == "g" else PythonNode(Random(id))
            told = (settings or {}).get(id, SETTINGS)
            self.take(id, self.nodes[id].start(id, told, START))

    def take(self, id: int, told: Answer) -> Answer:
        self.shown[id] = told
        if told.panic:
            self.died[id] = told.panic
            self.away.add(id)
        self.reads += [(id, index, context) for index, context in told.reads]
        return told

    def settle(self) -> None:
        """All work and all messages, until nothing is left."""
        wire: list[bytes] = []
        for _ in range(500):
            for id, node in self.nodes.items():
                while self.shown[id].has_ready:
                    told = self.take(id, node.work())
                    wire += [data for data in told.messages if id not in self.away]
                    self.sent += told.messages
            if not wire:
                return
            data = wire.pop(0)
            if (to := decode_message(data).to) in self.nodes and to not in self.away:
                self.take(to, self.nodes[to].step(data))
        raise AssertionError("the nodes do not come to rest")

    def tick(self, *ids: int, count: int = 1) -> None:
        for _ in range(count):
            for id in ids or self.nodes:
                self.take(id, self.nodes[id].tick())
            self.settle()

    def elect(self, id: int) -> None:
        self.take(id, self.nodes[id].campaign())
        self.settle()
        assert self.shown[id].role == LEADER

    def propose(self, id: int, data: bytes) -> None:
        self.take(id, self.nodes[id].propose(data))
        self.settle()


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("go")
    return {release: build(str(folder), release) for release in RELEASES}


@pytest.fixture(params=list(RELEASES))
def process(request: pytest.FixtureRequest, programs: dict[str, str]) -> Iterator[GoProcess]:
    with GoProcess(programs[request.param], request.param) as started:
        yield started


@pytest.fixture
def older(programs: dict[str, str]) -> Iterator[GoProcess]:
    """A release that puts the reader's own context into its heartbeats."""
    with GoProcess(programs["v3.6.0"], "v3.6.0") as started:
        yield started


# Contexts


@pytest.mark.parametrize("length", [1, 7, 8, 9, 256])
def test_a_go_leader_confirms_reads_through_a_follower_of_this_library(process: GoProcess, length: int) -> None:
    group = Three(process, "gpg")
    group.away = {3}
    group.elect(1)
    for reader in (1, 2):
        context = bytes([reader]) * length
        group.take(reader, group.nodes[reader].read(context))
        group.settle()
        assert group.reads.pop() == (reader, 3, context)


def test_a_longer_context_of_raft_3_6_costs_its_leader_the_followers_of_this_library(older: GoProcess) -> None:
    group = Three(older, "gpg")
    group.away = {3}
    group.elect(1)
    group.take(1, group.nodes[1].read(bytes(257)))
    group.settle()
    group.tick(1, count=2 * SETTINGS.election_tick)
    assert group.reads == []
    assert group.shown[1].role == FOLLOWER, "check-quorum has heard of nobody"
    heartbeat = next(m for m in map(decode_message, group.sent) if m.type is MSG_HEARTBEAT and len(m.context) == 257)
    with pytest.raises(InvalidMessageError) as caught:
        group.nodes[2]._raw.step(heartbeat)  # type: ignore[union-attr]
    assert caught.value.reason is InvalidReason.BAD_CONTEXT


def test_a_longer_context_passes_where_the_other_library_is_asked_and_has_enough_followers(older: GoProcess) -> None:
    group = Three(older, "ggp")
    group.elect(1)
    group.take(1, group.nodes[1].read(bytes(257)))
    group.settle()
    assert group.reads == [(1, 3, bytes(257))]
    group.tick(1)
    assert "BAD_CONTEXT" not in group.shown[3].error


@pytest.mark.parametrize("length", [0, 257])
def test_a_leader_of_this_library_refuses_such_a_read_of_a_go_follower(process: GoProcess, length: int) -> None:
    group = Three(process, "pgg")
    group.elect(1)
    group.take(2, group.nodes[2].read(bytes(length)))
    group.settle()
    assert group.reads == []
    assert f"MsgReadIndex carries {length} bytes of context, not 1 to 256" in group.shown[1].error


@pytest.mark.parametrize("libraries", ["gpg", "ggg"])
def test_an_empty_context_is_answered_by_raft_3_7_and_never_by_raft_3_6(process: GoProcess, libraries: str) -> None:
    group = Three(process, libraries)
    group.elect(1)
    group.take(1, group.nodes[1].read(b""))
    group.settle()
    group.tick(count=3)
    assert group.reads == ([(1, 3, b"")] if process.release == "v3.7.0" else [])


# Pre-vote and check-quorum


@pytest.mark.parametrize("libraries", ["ppg", "ggp"])
def test_a_node_that_alone_lacks_the_guards_cannot_come_back(process: GoProcess, libraries: str) -> None:
    """It has raised its term, ignores the leader's older one, and nobody votes for it while a leader is alive."""
    group = Three(process, libraries, {3: UNGUARDED})
    group.elect(1)
    term = group.shown[1].term
    group.away = {3}
    group.tick(count=8 * SETTINGS.election_tick)
    assert group.shown[3].term > term
    group.away = set()
    group.propose(1, b"x")
    group.tick(count=20 * SETTINGS.election_tick)
    assert (group.shown[1].role, group.shown[1].term) == (LEADER, term)
    assert group.shown[3].role == CANDIDATE
    assert (group.shown[2].last, group.shown[3].last) == (4, 3)


@pytest.mark.parametrize("libraries", ["ppg", "ggp", "gpg", "pgp"])
def test_with_the_guards_on_every_member_a_node_comes_back_and_disturbs_nobody(
    process: GoProcess, libraries: str
) -> None:
    group = Three(process, libraries)
    group.elect(1)
    term = group.shown[1].term
    group.away = {3}
    group.tick(count=8 * SETTINGS.election_tick)
    group.away = set()
    group.propose(1, b"x")
    group.tick(count=SETTINGS.election_tick)
    assert [(told.term, told.last) for told in group.shown.values()] == [(term, 4)] * 3


@pytest.mark.parametrize("libraries", ["ppg", "ggp"])
def test_a_leader_without_check_quorum_leads_on_where_others_have_elected_another(
    process: GoProcess, libraries: str
) -> None:
    group = Three(process, libraries, {1: UNGUARDED})
    group.elect(1)
    group.away = {1}
    group.tick(count=8 * SETTINGS.election_tick)
    assert [id for id, told in group.shown.items() if told.role == LEADER and id != 1]
    assert group.shown[1].role == LEADER


# Leases


def with_leases(process: GoProcess) -> Three:
    """Node 1 leads and reads by lease; nodes 2 and 3 are of the other library."""
    group = Three(process, "pgg", {1: replace(SETTINGS, reads_by_lease=True)})
    while group.shown[1].role != LEADER:  # it may have promised a lease before it started
        group.tick(1)
    group.tick(count=2)
    return group


def votes_elsewhere(group: Three) -> None:
    """While node 1 is cut off, node 2 stands for election and, if it wins, writes; then node 1 reads."""
    group.away = {1}
    group.take(2, group.nodes[2].campaign())
    group.settle()
    if group.shown[2].role == LEADER:
        group.propose(2, b"newer")
    group.take(1, group.nodes[1].read(b"r"))
    group.settle()


def test_a_lease_holds_while_nodes_of_the_other_library_remember(process: GoProcess) -> None:
    group = with_leases(process)
    votes_elsewhere(group)
    assert group.shown[2].role != LEADER
    assert group.reads == [(1, 3, b"r")]


def test_a_restart_of_the_other_library_forgets_a_promise_and_a_lease_read_is_stale(process: GoProcess) -> None:
    group = with_leases(process)
    for id in (2, 3):
        group.take(id, group.nodes[id].restart())
    votes_elsewhere(group)
    assert group.shown[2].role == LEADER
    assert group.shown[2].commit == 5
    assert group.reads == [(1, 3, b"r")], "the answer of before the write: no law of reads holds"


# Numbers, and impossible changes


def test_a_message_of_a_node_with_an_id_from_2_63_on_does_not_decode(process: GoProcess) -> None:
    process.seed(1)
    far = GoNode(process)
    members = Snapshot(b"", SnapshotMetadata(ConfState((1, 2, 3)), 2, 1))
    far.start(1 << 63, SETTINGS, members)
    told = far.step(encode_message(Message(MSG_HEARTBEAT, 1, 1, 2)))
    assert told.error == ""
    (answer,) = far.work().messages
    with pytest.raises(DecodeError):
        decode_message(answer)


def test_a_go_leader_takes_an_impossible_change_and_dies_of_it(process: GoProcess) -> None:
    group = Three(process, "gpp")
    group.elect(1)
    change = encode_conf_change_v2(ConfChangeV2(parse_changes("r1 r2 r3")))
    group.take(1, group.nodes[1].change(change))
    group.settle()
    assert "removed all voters" in group.died[1]


def test_a_leader_of_this_library_refuses_it(process: GoProcess) -> None:
    group = Three(process, "pgg")
    group.elect(1)
    change = encode_conf_change_v2(ConfChangeV2(parse_changes("r1 r2 r3")))
    group.take(1, group.nodes[1].change(change))
    group.settle()
    group.propose(1, b"on it goes")
    group.tick(count=1)
    assert group.died == {}
    assert [told.applied for told in group.shown.values()] == [5] * 3


# A leader that is no member


@pytest.mark.parametrize("libraries", ["pgg", "gpp"])
def test_a_removed_leader_that_leads_on_answers_no_forwarded_reads(process: GoProcess, libraries: str) -> None:
    """Both libraries refuse the answer of a node that is no member, so `step_down_on_removal` belongs on."""
    group = Three(process, libraries, dict.fromkeys((1, 2, 3), replace(SETTINGS, step_down_on_removal=False)))
    group.elect(1)
    group.take(1, group.nodes[1].change(encode_conf_change_v2(ConfChangeV2(parse_changes("r1")))))
    group.settle()
    assert group.shown[1].role == LEADER
    group.take(2, group.nodes[2].read(b"r"))
    group.settle()
    assert group.reads == []
    assert "peer not found" in group.shown[2].error
