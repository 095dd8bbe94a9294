"""The simulator's faults: each is reached, what must be caught is caught, and a planted bug in front of it is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from random import Random

import pytest

from pyraft import Role
from raftpb.enums import MSG_HEARTBEAT, MSG_SNAP
from raftpb.message import ConfState, Message, Snapshot, SnapshotMetadata
from rafttest.sim.checker.violation import Violation
from rafttest.sim.cluster import frame, log_file, snapshot_stream
from rafttest.sim.cluster.disk import READ, SYNC, WRITE, SimDisk, SimDiskError
from rafttest.sim.cluster.frame import DamagedError, decode_frame, encode_frame, flip
from rafttest.sim.cluster.snapshot_stream import Piece, Streams
from rafttest.sim.draw import draw
from rafttest.sim.load.disk_loss import HARMLESS, NOTICED, UNNOTICED, DiskLoss
from rafttest.sim.load.nemesis import Nemesis, add_node
from rafttest.sim.load.workload import Workload
from rafttest.sim.options import WIPED, Options, faults_of, without
from rafttest.sim.run import run
from rafttest.sim.schedule import TICK, Schedule
from rafttest.sim.simulation import Simulation


def quiet(**knobs: object) -> Options:
    """Three voters, and nothing goes wrong but what is asked for."""
    options = without(draw(1), faults_of(draw(1)))
    options = replace(
        options,
        voters=3,
        spares=0,
        delay=20,
        disk_delay=30,
        apply_delay=30,
        election_tick=5,
        max_size_per_msg=1 << 20,
        max_committed_size_per_ready=1 << 20,
        max_uncommitted_entries_size=1 << 20,
        max_inflight_msgs=256,
        max_inflight_bytes=0,
        max_pending_reads=100,
    )
    return replace(options, **knobs)  # type: ignore[arg-type]


def cluster(options: Options) -> Simulation:
    """It has run long enough to have a leader."""
    sim = Simulation(options)
    for id in range(1, options.voters + 1):
        add_node(sim, id)
    while not any(life.role is Role.StateLeader for life in sim.checker.lives.values()):
        sim.step(sim.schedule.now + TICK)
    return sim


def pass_ticks(sim: Simulation, ticks: int) -> None:
    end = sim.schedule.now + ticks * TICK
    while sim.step(end):
        pass


# -- the wire


def heartbeat() -> Message:
    return Message(MSG_HEARTBEAT, 2, 1, 3, 0, 0, [], 7)


def test_no_flip_of_a_few_bits_passes_the_checksum() -> None:
    frame = encode_frame(heartbeat())
    assert decode_frame(frame) == heartbeat()
    for seed in range(500):
        with pytest.raises(DamagedError):
            decode_frame(flip(frame, Random(seed)))


def test_damaged_messages_are_caught_and_change_nothing() -> None:
    result = run(1, options=quiet(ticks=60, has_wire=True, corrupt=0.3, intervals={"propose": 2}))
    assert result.violation is None
    assert result.counts["damaged messages caught"] > 0


def test_a_wire_without_checksum_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "crc32", lambda data: 0)
    result = run(1, options=quiet(ticks=100, has_wire=True, corrupt=0.3, intervals={"propose": 1}))
    assert result.violation is not None
    assert result.violation.law in {"N11", "S24"}


def test_messages_for_others_are_refused() -> None:
    result = run(1, options=quiet(ticks=60, misdirect=0.3, intervals={"propose": 2}))
    assert result.violation is None
    assert result.counts["messages for somebody else refused"] > 0


# -- snapshots in pieces


class Postman:
    """Carries pieces when it is told to."""

    def __init__(self) -> None:
        self.schedule = Schedule()
        self.bag: list[Piece] = []
        self.arrived: list[Message] = []
        self.failed: list[Message] = []
        self.seen: list[str] = []
        self.streams = Streams(
            self.schedule, 8, self.bag.append, self.arrived.append, self.failed.append, self.seen.append
        )

    def deliver(self, keep: Callable[[Piece], bool] = lambda piece: True) -> None:
        """Everything in the bag, in order; what is sent meanwhile too."""
        while self.bag:
            piece = self.bag.pop(0)
            if keep(piece):
                self.streams.take(piece)

    def wait(self, ticks: int) -> None:
        end = self.schedule.now + ticks * TICK
        while self.schedule.step(end):
            pass


def snapshot(index: int) -> Message:
    conf_state = ConfState((1, 2))
    return Message(MSG_SNAP, 2, 1, 3, 0, 0, [], 0, Snapshot(b"state" * 9, SnapshotMetadata(conf_state, index, 3)))


def test_a_snapshot_arrives_whole_from_its_pieces() -> None:
    post = Postman()
    post.streams.begin(snapshot(9))
    post.deliver()
    assert post.arrived == [snapshot(9)]
    post.wait(100)
    assert (len(post.arrived), post.failed) == (1, [])


def test_a_snapshot_is_resumed_where_it_broke_off() -> None:
    post = Postman()
    post.streams.begin(snapshot(9))
    post.deliver(lambda piece: piece.offset < 24)
    assert post.arrived == []
    post.wait(3)
    assert [piece.offset for piece in post.bag] == [16]
    post.deliver()
    assert post.arrived == [snapshot(9)]


def test_a_snapshot_that_nobody_receives_is_given_up() -> None:
    post = Postman()
    post.streams.begin(snapshot(9))
    for _ in range(20):
        post.bag.clear()
        post.wait(2)
    assert (post.arrived, post.failed) == ([], [snapshot(9)])


def test_a_receiver_that_forgot_the_beginning_asks_for_it() -> None:
    post = Postman()
    post.streams.begin(snapshot(9))
    for _ in range(4):
        post.streams.take(post.bag.pop(0))
    post.streams.forget(2)
    post.deliver()
    post.wait(5)
    post.deliver()
    assert post.arrived == [snapshot(9)]
    assert "snapshots begun again in the middle" in post.seen


def test_pieces_twice_in_any_order_or_of_another_snapshot_make_no_wrong_one() -> None:
    reached = set[str]()
    for seed in range(60):
        post, random = Postman(), Random(seed)
        post.streams.begin(snapshot(9))
        old: list[Piece] = []
        for step in range(80):
            if step == 10:
                post.streams.begin(snapshot(20))
            if post.bag:
                piece = post.bag.pop(random.randrange(len(post.bag)))
                old.append(piece)
                post.streams.take(piece)
            if old and random.random() < 0.4:
                post.streams.take(random.choice(old))
        post.wait(10)
        post.deliver()
        assert all(m in (snapshot(9), snapshot(20)) for m in post.arrived)
        assert snapshot(20) in post.arrived
        reached.update(post.seen)
    assert {"pieces of another snapshot refused", "pieces out of order or repeated refused"} <= reached


def test_a_damaged_piece_is_not_taken() -> None:
    post = Postman()
    post.streams.begin(snapshot(9))
    piece = post.bag.pop(0)
    post.streams.take(piece.damaged(flip(piece.data or b"", Random(1))))
    assert (post.bag, post.seen) == ([], ["damaged pieces caught"])


def test_a_receiver_that_takes_pieces_in_any_order_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def take(self: Streams, piece: Piece, data: bytes) -> None:
        one = self._incoming.setdefault((piece.from_, piece.at), snapshot_stream._Incoming(piece.stream))
        one.data += data
        if len(one.data) >= piece.total:
            self._finish((piece.from_, piece.at), one)

    monkeypatch.setattr(Streams, "_take_piece", take)
    post = Postman()
    post.streams.begin(snapshot(9))
    first = post.bag.pop(0)
    while len(post.streams._incoming) == 0 or len(post.streams._incoming[1, 2].data) + 8 < first.total:
        post.streams.take(first)
    with pytest.raises(Violation, match="N11"):
        post.streams.take(first)


# -- disks that fail


def played(options: Options, ticks: int) -> Simulation:
    """A simulation in which everything has happened that is asked for, for so long, and which has rested since then."""
    sim = Simulation(options)
    for id in range(1, options.voters + 1):
        add_node(sim, id)
    Workload(sim).begin()
    pass_ticks(sim, ticks)
    sim.is_calm = True
    sim.network.calm()
    for node in sim.nodes.values():
        node.heal()
    pass_ticks(sim, 4 * options.election_tick)
    return sim


@pytest.mark.parametrize(("is_asynchronous", "ticks"), [(False, 14), (True, 11)])
def test_whichever_access_to_a_disk_fails_nothing_is_lost(is_asynchronous: bool, ticks: int) -> None:
    """D9: the first, the second, and so on, until there is none of that number."""
    seen = dict[str, int]()
    for number in count(1):
        intervals = {"propose": 1, "compact": 4}
        options = quiet(is_asynchronous=is_asynchronous, intervals=intervals, fail_io=(1, number))
        sim = played(options, ticks)
        checker = sim.checker
        assert {node.state for node in sim.nodes.values()} == {checker.states[checker.highest]}
        assert checker.acked <= {truth.data for truth in checker.truth.values()}
        failed = [name for name in sim.counts if name.startswith("nodes whose disk failed")]
        if not failed:
            break
        seen[failed[0]] = seen.get(failed[0], 0) + 1
    assert set(seen) == {f"nodes whose disk failed at a {access}" for access in (READ, SYNC, WRITE)}
    assert number > 20


def fails(disk: SimDisk) -> bool:
    try:
        disk.write(None, [], None)
        disk.sync()
    except SimDiskError:
        return True
    return False


@pytest.mark.parametrize("access", [SYNC, WRITE])
def test_a_disk_that_has_failed_fails_until_the_next_start(access: str) -> None:
    disk = SimDisk(None, 1)
    disk.broken = access
    for _ in range(3):
        assert fails(disk)
    disk.crash("none", Random(1))
    assert not fails(disk)


def test_a_core_whose_storage_failed_is_dead_and_a_start_heals_it() -> None:
    """The run demands at each failure that all later calls raise NodeFailedError."""
    result = run(1, options=quiet(ticks=200, intervals={"propose": 1, "compact": 4, "lag": 10, "read_fails": 6}))
    assert result.violation is None
    assert result.counts["nodes whose disk failed at a read"] > 1


def test_a_core_that_would_go_on_is_found() -> None:
    sim = cluster(quiet())
    with pytest.raises(Violation, match="D8"):
        sim.nodes[1].fail(SimDiskError(1, READ))


def test_a_sync_that_lies_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug of D6: the error of a sync is passed over."""

    def sync(self: SimDisk) -> None:
        if self.fails(SYNC):
            self._unsynced = []

    monkeypatch.setattr(SimDisk, "sync", sync)
    options = quiet(ticks=200, intervals={"propose": 2, "sync_fails": 10, "crash": 20})
    result = run(1, options=options)
    assert result.violation is not None
    assert result.violation.law in {"S3", "S6", "S11", "S13", "S25"}


def test_a_start_from_a_damaged_log_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "read", lambda data, salt: ([], 0))
    sim = cluster(quiet())
    with pytest.raises(Violation, match="D5"):
        Nemesis(sim, Workload(sim)).rot()


def test_a_node_with_a_damaged_log_is_lost_and_the_others_go_on() -> None:
    result = run(1, options=quiet(ticks=100, intervals={"propose": 2, "rot": 10}))
    assert result.violation is None
    assert result.counts["damaged logs refused"] == 1, "two of three can go on, one cannot"


# -- members


def test_a_machine_that_is_given_up_is_replaced_under_a_new_id() -> None:
    for seed in range(1, 3):
        result = run(seed, options=replace(quiet(ticks=150, intervals={"propose": 3, "rejoin": 20}), seed=seed))
        assert result.violation is None
        assert result.counts["nodes that took a place under a new id"] > 0
        assert result.counts["membership changes applied"] > 0


def test_a_member_that_never_starts_does_no_harm() -> None:
    options = quiet(spares=1, ticks=150, never_started=1, intervals={"propose": 3, "change": 5})
    results = [run(seed, options=replace(options, seed=seed)) for seed in range(1, 5)]
    assert [result.violation for result in results] == [None] * 4
    assert sum(result.counts.get("members that never started", 0) for result in results) > 0


# -- disk loss


def amnesiac(has_lost_promises: bool, has_suspicion: bool) -> DiskLoss:
    disk_loss = DiskLoss(Simulation(quiet(disk_loss=WIPED)))
    disk_loss.has_lost_promises = has_lost_promises
    disk_loss.sim.has_suspicion = has_suspicion
    return disk_loss


@pytest.mark.parametrize(
    ("has_lost", "has_suspicion", "law", "end"),
    [
        (True, True, "S10", NOTICED),
        (True, True, "", NOTICED),
        (True, False, "", HARMLESS),
        (False, False, "", HARMLESS),
        (True, False, "S10", UNNOTICED),
        (False, False, "S10", ""),
        (True, False, "S24", ""),
        (True, True, "S24", ""),
    ],
)
def test_what_is_thought_of_a_run_with_amnesia(has_lost: bool, has_suspicion: bool, law: str, end: str) -> None:
    assert amnesiac(has_lost, has_suspicion).judge(Violation(law, "") if law else None) == end


def test_a_follower_that_lost_its_disk_is_noticed() -> None:
    sim = cluster(quiet(disk_loss=WIPED, ticks=400, intervals={"propose": 1}))
    Workload(sim).begin()
    pass_ticks(sim, 20)
    disk_loss = DiskLoss(sim)
    disk_loss._strike()
    pass_ticks(sim, 20)
    assert disk_loss.has_lost_promises
    assert sim.has_suspicion
    assert any(node.raw.basic_status().log_loss_suspected for node in sim.nodes.values())


# -- the list of faults


def test_everything_that_a_seed_has_can_be_left_out() -> None:
    for seed in range(40):
        options = draw(seed)
        assert faults_of(without(options, faults_of(options))) == []


def test_what_does_not_exist_cannot_be_left_out() -> None:
    with pytest.raises(ValueError, match="gravity is nothing that could be left out"):
        without(draw(1), ["gravity"])


# -- the end of faults


def test_a_disk_that_failed_unnoticed_ends_with_the_faults() -> None:
    """`status` hides that a read has failed. The node is started anew at once, and runs on afterwards."""
    sim = cluster(quiet())
    node = sim.nodes[2]
    boot, node.disk.has_failed = node.boot, True
    node.heal()
    assert (node.boot, node.is_up, node.disk.has_failed) == (boot + 1, True, False)
    sim.nodes[3].heal()
    assert sim.nodes[3].boot == 1, "nothing had failed there"
