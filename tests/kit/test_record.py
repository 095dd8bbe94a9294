"""The flight recorder while it records: the node is what it would be without, and the files are what they should be."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import logging
import os
from pathlib import Path
from random import Random

import pytest
from random_cluster import SETTINGS, long_history
from recordings import Alone, Recorder, inputs, play_all, recorded_history

from pyraft import (
    CompactedError,
    Config,
    ConfigError,
    CoreState,
    MemoryStorage,
    MisuseError,
    NodeFailedError,
    NullLogger,
    Peer,
    RawNode,
    ReadOnlyOption,
    SnapshotStatus,
    StepError,
    StorageError,
)
from raftpb.enums import ENTRY_NORMAL, MSG_APP, MSG_HEARTBEAT, MSG_SNAP
from raftpb.message import LOCAL_APPEND_THREAD, ConfState, Entry, HardState, Message, Snapshot, SnapshotMetadata
from rafttest.record import End, Player, RecordingNode, read_segment, ring
from rafttest.record.answers import RecordedAnswers, ReplayedLogger, ReplayedRandom, ReplayedStorage
from rafttest.record.format import RecordKind
from rafttest.record.state import (
    COLLABORATORS,
    Fields,
    Surroundings,
    decode_config,
    decode_state,
    encode_config,
    encode_state,
    put_fields,
)
from rafttest.record.values import LARGE_BYTES, Cursor

# -- the node


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_recorded_node_does_and_says_the_same(setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said, _ = recorded_history(monkeypatch, tmp_path, setting, 3, segment_bytes=4096)
    assert said == long_history(setting, 3).said


def test_it_has_every_method_of_a_raw_node() -> None:
    for name in dir(RawNode):
        if name.startswith("_") or name == "from_state":
            continue
        assert list(inspect.signature(getattr(RecordingNode, name)).parameters) == list(
            inspect.signature(getattr(RawNode, name)).parameters
        ), name


def test_it_can_begin_with_an_exported_state(tmp_path: Path) -> None:
    state = long_history("safe", 2).members[0].raw.export_state()
    node = RecordingNode.from_state(Config(id=1, storage=MemoryStorage(), logger=NullLogger()), state, tmp_path)
    assert node.export_state() == state
    node.tick(3)
    node.close()
    assert play_all(tmp_path / "node-1-00000001.rec").node.export_state() == node.export_state()


def test_segments_have_a_least_length(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1023 bytes"):
        RecordingNode(Config(id=1, storage=MemoryStorage()), tmp_path, segment_bytes=1023)


# -- the files


def test_the_same_history_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, one = recorded_history(monkeypatch, tmp_path / "one", "asynchronous", 5, segment_bytes=4096)
    _, other = recorded_history(monkeypatch, tmp_path / "other", "asynchronous", 5, segment_bytes=4096)
    assert [path.name for path in one] == [path.name for path in other]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


def test_when_ready_returns_all_that_led_to_it_is_in_the_file(tmp_path: Path) -> None:
    alone = Alone(tmp_path)
    alone.lead()
    alone.node.propose(b"value")
    state = alone.node.export_state()
    before = play_all(alone.files()[0])
    assert before.node.export_state() != state  # what has no Ready yet is in memory
    alone.node.ready()
    after = play_all(alone.files()[0])
    assert after.node.export_state() == alone.node.export_state()
    assert after.inputs == before.inputs + 3  # advance, propose, ready


def test_ticks_without_a_ready_do_not_wait_for_ever(tmp_path: Path) -> None:
    node = RecordingNode(Config(id=1, storage=MemoryStorage(), logger=NullLogger()), tmp_path)
    for _ in range(20):
        node.tick()
    assert not node.has_ready()
    assert play_all(tmp_path / "node-1-00000001.rec").inputs == 16
    node.flush()
    assert play_all(tmp_path / "node-1-00000001.rec").inputs == 20


def test_much_without_a_ready_does_not_stay_in_memory(tmp_path: Path) -> None:
    alone = Alone(tmp_path)
    alone.lead()
    for _ in range(3):
        alone.node.propose(b"x" * 30_000)
    assert alone.files()[0].stat().st_size > 60_000


def test_a_ring_of_segments_stays_within_its_size(tmp_path: Path) -> None:
    alone = Alone(tmp_path, segment_bytes=4096, total_bytes=20_000)
    (tmp_path / "node-2-00000001.rec").write_bytes(b"another node's")
    (tmp_path / "node-1-notes.rec").write_bytes(b"somebody's")
    alone.lead()
    for number in range(400):
        alone.write(b"%d" % number * 50)
        files = alone.files()
        assert sum(file.stat().st_size for file in files) <= 20_000
        assert all(file.stat().st_size <= 9000 for file in files)  # a state, 4096, and one write
    alone.node.close()
    assert alone.node.stopped == "it was closed"
    files = alone.files()
    assert len(files) >= 2
    assert int(files[-1].stem[-8:]) > len(files) + 10  # most have been deleted
    assert (tmp_path / "node-2-00000001.rec").read_bytes() == b"another node's"
    assert (tmp_path / "node-1-notes.rec").read_bytes() == b"somebody's"
    ends = [play_all(file) for file in files]
    assert [player.end for player in ends] == [End.CONTINUES] * (len(files) - 1) + [End.CLOSED]
    assert ends[-1].node.export_state() == alone.node.export_state()
    assert [player.opening.first_input for player in ends[1:]] == [player.inputs for player in ends[:-1]]


def test_the_next_life_goes_on_in_the_same_folder(tmp_path: Path) -> None:
    first = Alone(tmp_path)
    first.lead()
    second = Alone(tmp_path, total_bytes=1 << 20)
    second.lead()
    assert [file.name for file in second.files()] == ["node-1-00000001.rec", "node-1-00000002.rec"]
    assert [play_all(file).opening.life for file in second.files()] == [1, 2]
    assert play_all(second.files()[1]).opening.first_input == 0
    assert [play_all(file).end for file in second.files()] == [None, None]


def test_the_clock_is_for_people_only(tmp_path: Path) -> None:
    node = RecordingNode(
        Config(id=1, storage=MemoryStorage(), logger=NullLogger()), tmp_path, clock=lambda: 1_700_000_000.5
    )
    node.note("began")
    node.bootstrap([Peer(1)])
    node.ready()
    player = play_all(tmp_path / "node-1-00000001.rec")
    assert player.notes == [(0, "began")]
    assert player.milliseconds == 1_700_000_000_500


def test_large_snapshots_are_not_copied(tmp_path: Path) -> None:
    """A stand-in replaces them in the Storage's answers, in messages, in Readys and in states."""
    data = Random(1).randbytes(20 * LARGE_BYTES)
    snapshot = Snapshot(data, SnapshotMetadata(ConfState((1, 2)), 10, 1))
    node = RecordingNode(Config(id=1, storage=MemoryStorage(), logger=NullLogger()), tmp_path, segment_bytes=1024)
    m = Message(MSG_SNAP, 1, 2, 1)
    m.snapshot = snapshot
    node.step(m)
    for _ in range(200):
        node.tick()
    assert node.ready().snapshot is snapshot
    node.close()
    files = sorted(tmp_path.iterdir())
    assert sum(file.stat().st_size for file in files) < LARGE_BYTES * len(files)
    players = [play_all(file) for file in files]
    assert len(players) > 1
    for player, following in itertools.pairwise(players):
        assert player.state_differs(following.opening) == []


def test_what_a_storage_thread_answers_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, files = recorded_history(monkeypatch, tmp_path, "asynchronous", 1)
    kinds = [record.kind for file in files for record in read_segment(file).records]
    assert kinds.count(RecordKind.STEP_STORAGE_BY_NUMBER) > 100
    assert kinds.count(RecordKind.STEP_STORAGE) < kinds.count(RecordKind.STEP_STORAGE_BY_NUMBER) / 10


# -- errors of the recording


class FullDisk:
    """The module `os`, on a disk that takes only so many bytes, and not all at once."""

    def __init__(self, room: int) -> None:
        self.room = room

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def write(self, file: int, data: memoryview) -> int:
        size = min(len(data), 100, self.room)
        if size == 0:
            raise OSError(28, "No space left on device")
        self.room -= size
        return os.write(file, data[:size])


@pytest.mark.parametrize("room", [0, 5, 1000, 3000, 9000])
def test_a_full_disk_ends_the_recording_and_not_the_node(
    room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ring, "os", FullDisk(room))
    alone = Alone(tmp_path, segment_bytes=2048)
    alone.lead()
    for number in range(100):
        alone.write(b"%d" % number)
    assert alone.node.basic_status().applied == 102
    assert alone.node.stopped == "OSError: [Errno 28] No space left on device"
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [f"node 1 is not recorded any more: {alone.node.stopped}"]
    alone.node.close()
    alone.node.flush()
    alone.node.note("nobody hears it")
    for file in alone.files():
        if file.stat().st_size > 1800:
            play_all(file)


def test_without_a_folder_nothing_is_recorded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "taken").write_bytes(b"")
    alone = Alone(tmp_path / "taken")
    alone.lead()
    alone.write(b"value")
    assert alone.node.basic_status().applied == 3
    assert "Error" in alone.node.stopped
    assert "node 1 is not recorded any more" in caplog.text


def test_a_clock_that_fails_ends_the_recording(tmp_path: Path) -> None:
    def broken() -> float:
        raise RuntimeError("no time")

    node = RecordingNode(Config(id=1, storage=MemoryStorage(), logger=NullLogger()), tmp_path, clock=broken)
    node.tick()
    assert node.stopped == "RuntimeError: no time"
    node.tick()


# -- errors of the node


class WeakStorage:
    """A Storage that fails, or lies, once it is told to."""

    def __init__(self) -> None:
        self.inner = MemoryStorage()
        self.error: BaseException | None = None
        self.lie: object = None

    def initial_state(self) -> tuple[HardState, ConfState]:
        return self.inner.initial_state()

    def first_index(self) -> int:
        return self.inner.first_index()

    def last_index(self) -> int:
        return self.inner.last_index()

    def snapshot(self) -> Snapshot:
        return self.inner.snapshot()

    def term(self, index: int, /) -> int:
        if self.error is not None:
            raise self.error
        if self.lie is not None:
            return self.lie  # type: ignore[return-value]
        return self.inner.term(index)

    def entries(self, lo: int, hi: int, max_size: int, /) -> list[Entry]:
        return self.inner.entries(lo, hi, max_size)


class CarelessError(Exception):
    """An error that only this test knows."""


class DiskError(StorageError):
    """One that the library knows something about."""


def weak_node(directory: Path) -> tuple[WeakStorage, RecordingNode]:
    """A follower that has to ask its Storage for the term of entry 3."""
    storage = WeakStorage()
    storage.inner.apply_snapshot(Snapshot(b"", SnapshotMetadata(ConfState((1, 2)), 2, 1)))
    storage.inner.append(entries_of_term_1(3, 6))
    storage.inner.set_hard_state(HardState(1, 0, 2))
    node = RecordingNode(Config(id=1, storage=storage, applied=2, logger=NullLogger()), directory)
    return storage, node


def entries_of_term_1(first: int, last: int) -> list[Entry]:
    return [Entry(ENTRY_NORMAL, 1, index, b"x") for index in range(first, last + 1)]


def ask(node: RecordingNode) -> None:
    """An append after entry 3."""
    node.step(Message(MSG_APP, 1, 2, 1, 1, 3, entries_of_term_1(4, 5), 2))


@pytest.mark.parametrize(
    "error",
    [CarelessError("broken"), DiskError("broken"), OSError("broken"), KeyboardInterrupt("now")],
    ids=lambda error: type(error).__name__,
)
def test_a_storage_that_fails_ends_node_and_recording(error: BaseException, tmp_path: Path) -> None:
    storage, node = weak_node(tmp_path)
    storage.error = error
    with pytest.raises(type(error)):
        ask(node)
    assert node.stopped.startswith("this node stopped at an earlier")
    with pytest.raises(NodeFailedError):
        node.tick()
    player = play_all(tmp_path / "node-1-00000001.rec")
    assert player.end is End.FAILED
    with pytest.raises(NodeFailedError, match=type(error).__name__):
        player.node.tick()


def test_what_a_storage_refuses_is_an_everyday_answer(tmp_path: Path) -> None:
    storage, node = weak_node(tmp_path)
    storage.error = CompactedError()
    ask(node)
    storage.error = None
    ask(node)
    assert node.has_ready()
    node.close()
    assert play_all(tmp_path / "node-1-00000001.rec").node.export_state() == node.export_state()


def test_an_answer_that_is_none_is_the_cores_to_refuse(tmp_path: Path) -> None:
    storage, node = weak_node(tmp_path)
    storage.lie = "three"
    with pytest.raises((StorageError, TypeError)):
        ask(node)
    assert node.stopped  # it could not be written down
    assert play_all(tmp_path / "node-1-00000001.rec").inputs == 0


def test_looking_at_a_node_may_ask_the_storage_and_is_recorded_then(tmp_path: Path) -> None:
    _, node = weak_node(tmp_path)
    node.status()
    node.basic_status()
    ask(node)
    node.close()
    assert inputs(read_segment(tmp_path / "node-1-00000001.rec"), RecordKind.LOOK)
    assert play_all(tmp_path / "node-1-00000001.rec").node.export_state() == node.export_state()


class Loudspeaker(NullLogger):
    """A logger that breaks."""

    is_broken = False

    def info(self, msg: str, /, *args: object) -> None:
        if self.is_broken:
            raise CarelessError(msg % args)


def test_a_logger_that_raises_stops_the_node_and_so_it_does_again(tmp_path: Path) -> None:
    loudspeaker = Loudspeaker()
    node = RecordingNode(Config(id=1, storage=MemoryStorage(), logger=loudspeaker), tmp_path)
    node.bootstrap([Peer(1), Peer(2)])
    loudspeaker.is_broken = True
    with pytest.raises(CarelessError, match="follower at term 5"):
        node.step(Message(MSG_HEARTBEAT, 1, 2, 5))
    player = play_all(tmp_path / "node-1-00000001.rec")
    assert player.end is End.FAILED
    with pytest.raises(NodeFailedError, match="CarelessError"):
        player.node.tick()


# -- arguments that are none


def test_refused_arguments_are_noted_and_change_nothing(tmp_path: Path) -> None:
    alone = Alone(tmp_path)
    alone.lead()
    node = alone.node
    wrong: list[tuple[type[Exception], object]] = []
    for call, error in (
        (lambda: node.tick(-1), ValueError),
        (lambda: node.tick("1"), TypeError),  # type: ignore[arg-type]
        (lambda: node.step(b"m"), TypeError),  # type: ignore[arg-type]
        (lambda: node.propose("text"), TypeError),  # type: ignore[arg-type]
        (lambda: node.read_index(b""), ValueError),
        (lambda: node.apply_conf_change("v1"), TypeError),  # type: ignore[arg-type]
        (lambda: node.propose_conf_change(3), TypeError),  # type: ignore[arg-type]
        (lambda: node.report_unreachable("2"), TypeError),  # type: ignore[arg-type]
        (lambda: node.report_snapshot(2, 1), TypeError),  # type: ignore[arg-type]
    ):
        with pytest.raises(error):
            call()
        wrong.append((error, call))
    with pytest.raises(MisuseError):
        node.step_storage(Message(MSG_HEARTBEAT))
    with pytest.raises(MisuseError):
        node.bootstrap([Peer(1)])
    node.propose(bytearray(b"changing"))
    node.propose(memoryview(b"shown"))
    node.report_snapshot(2, SnapshotStatus.SnapshotFailure)
    node.report_unreachable(2**70)
    node.transfer_leader(-1)
    node.tick(2**70)
    node.close()
    first, player = [play_all(file) for file in alone.files()]  # an id beyond 64 bits cannot be written down
    assert len([text for _, text in first.notes if text.startswith("refused, and nothing has changed")]) == len(wrong)
    assert player.node.export_state() == node.export_state()


def test_what_cannot_be_written_down_begins_a_new_segment(tmp_path: Path) -> None:
    """A message that no network could carry is refused, and counted: the next segment begins after it."""
    alone = Alone(tmp_path)
    alone.lead()
    odd = Message(MSG_HEARTBEAT, 1, 1, 1)
    for _ in range(200):
        odd, inner = Message(MSG_HEARTBEAT, 1, 1, 1), odd
        odd.responses = [inner]
    with pytest.raises(StepError):
        alone.node.step(odd)
    assert len(alone.files()) == 2
    with pytest.raises(StepError):
        alone.node.step(Message(MSG_HEARTBEAT, 1, LOCAL_APPEND_THREAD, 1))
    alone.write(b"more")
    alone.node.close()
    assert alone.node.stopped == "it was closed"
    players = [play_all(file) for file in alone.files()]
    assert players[-1].node.export_state() == alone.node.export_state()


# -- state and configuration as bytes


def cursor_of(values: dict[str, bytes]) -> Cursor:
    parts: list[bytes] = []
    put_fields(parts, values)
    return Cursor(b"".join(parts))


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_state_comes_back_as_it_was(setting: str) -> None:
    names = {field.name for field in dataclasses.fields(CoreState)}
    for seed in range(2):
        for state in long_history(setting, seed).said[::9]:
            if isinstance(state, CoreState):
                values = encode_state(state)
                assert values.keys() == names
                fields = Fields(cursor_of(values))
                assert decode_state(fields) == state
                fields.finish()


def around() -> Surroundings:
    script = RecordedAnswers()
    silent = ReplayedLogger(script)
    return Surroundings(ReplayedStorage(script), ReplayedRandom(script), silent, silent)


def test_a_configuration_comes_back_as_it_was() -> None:
    """With another value in every field."""
    other: dict[str, object] = {"id": 7, "conf_state": ConfState((1, 2), (3,)), "election_tick": 51}
    for knob in dataclasses.fields(Config):
        if isinstance(knob.default, bool):
            other[knob.name] = not knob.default or knob.name == "check_quorum"
        elif isinstance(knob.default, ReadOnlyOption):
            other[knob.name] = ReadOnlyOption.ReadOnlyLeaseBased
        elif isinstance(knob.default, int) and knob.name not in other:
            other[knob.name] = knob.default + 3
    other["max_inflight_bytes"] = 1 << 30
    collaborators = around()
    kept = {name: getattr(collaborators, name) for name in COLLABORATORS} | {"trace_logger": None}
    config = Config(**kept, **other)  # type: ignore[arg-type]
    fields = Fields(cursor_of(encode_config(config)))
    again = decode_config(fields, collaborators)
    fields.finish()
    assert again == config


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param({"election_tick": b"\x80\x80\x80\x80\x01"}, "election_tick", id="for ever"),
        pytest.param({"read_only_option": b"\x08"}, "4 is no ReadOnlyOption", id="option"),
        pytest.param({"pre_vote": b"\x07"}, "neither true nor false", id="switch"),
        pytest.param({"heartbeat_tick": b"\0"}, "heartbeat_tick", id="what Config refuses"),
        pytest.param({"heartbeat_tick": b"\1"}, "heartbeat_tick", id="negative"),
        pytest.param({"id": b""}, "cut short", id="nothing"),
        pytest.param({"id": b"\2\2"}, "1 bytes too many", id="too much"),
        pytest.param({"conf_state": b"\1\xff"}, "no configuration", id="members"),
    ],
)
def test_a_configuration_of_a_stranger(change: dict[str, bytes], complaint: str) -> None:
    config = Config(id=1, storage=MemoryStorage(), logger=NullLogger())
    with pytest.raises(Exception, match=complaint) as raised:
        decode_config(Fields(cursor_of({**encode_config(config), **change})), around())
    assert not isinstance(raised.value, ConfigError)


def test_recorders_of_several_nodes_share_a_folder(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    for id in (1, 2):
        recorder(Config(id=id, storage=MemoryStorage(), logger=NullLogger())).tick()
    files = recorder.close()
    assert [file.name for file in files] == ["node-1-00000001.rec", "node-2-00000001.rec"]
    assert [Player(read_segment(file)).opening.node for file in files] == [1, 2]
