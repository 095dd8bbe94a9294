"""Recordings are run again: the same comes out, a difference is found where it is, and a bad file harms nobody."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_cluster import SETTINGS
from recordings import Alone, damage_in, inputs, play_all, recorded_history, rewritten, write_segment

import rafttest
from examples.raftexample.client import Client
from examples.raftexample.cluster_processes import ClusterProcesses
from pyraft import Config, MemoryStorage, Peer, Role
from rafttest.__main__ import main
from rafttest.record import DamagedRecordingError, End, Player, RecordingError, RecordingNode, Segment, read_segment
from rafttest.record.format import MAGIC, Chain, Record, RecordKind, parse_segment
from rafttest.record.values import Cursor, framed
from rafttest.sim.cluster import node as sim_node
from rafttest.sim.run import run as simulate

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Segments of a long history; not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        return recorded_history(patch, tmp_path_factory.mktemp("history"), "safe", 4, segment_bytes=4096)[1]


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    """A node that founds a cluster of its own, leads it and writes five values: a whole segment."""
    alone = Alone(tmp_path / "scenario")
    alone.lead()
    for number in range(5):
        alone.node.tick()
        alone.write(b"value %d" % number)
    alone.node.close()
    return alone.files()[0]


def copied(path: Path, directory: Path, data: bytes | None = None) -> Path:
    directory.mkdir(exist_ok=True)
    copy = directory / path.name
    copy.write_bytes(path.read_bytes() if data is None else data)
    return copy


# -- the same comes out


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("setting", SETTINGS)
def test_every_segment_replays_alone_and_leads_to_the_next(
    setting: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, paths = recorded_history(monkeypatch, tmp_path, setting, seed, segment_bytes=1024)
    before: Player | None = None
    joints = 0
    for path in paths:
        player = play_all(path)
        assert player.segment.torn is None
        if before is not None and before.end is End.CONTINUES:
            assert before.state_differs(player.opening) == []
            assert before.inputs == player.opening.first_input
            joints += 1
        before = player
    assert joints > 5


def test_a_simulated_cluster_replays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Crashes, lost messages and changed members, and nobody notices that they are recorded."""
    unrecorded = simulate(3)
    made: list[RecordingNode] = []

    def recorded(config: Config) -> RecordingNode:
        made.append(RecordingNode(config, tmp_path, total_bytes=1 << 30))
        return made[-1]

    monkeypatch.setattr(sim_node, "RawNode", recorded)
    assert simulate(3).trace_hash == unrecorded.trace_hash
    for node in made:
        assert node.stopped in ("", "it was closed") or node.stopped.startswith("this node stopped")
        node.flush()
    played = [play_all(path) for path in sorted(tmp_path.iterdir())]
    assert len(played) == len(made) > 3
    assert sum(player.inputs for player in played) > 1000


OTHER_BUILD = os.environ.get("PYRAFT_OTHER_PYTHON", "")


@pytest.mark.skipif(not OTHER_BUILD, reason="PYRAFT_OTHER_PYTHON names no Python with the other build of pyraft")
def test_what_one_build_recorded_replays_in_the_other(files: list[Path], tmp_path: Path) -> None:
    done = subprocess.run(
        [OTHER_BUILD, "-m", "rafttest", "replay", str(files[0].parent)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# -- a difference is found


def with_vote(record: Record) -> Record:
    """A Ready whose HardState has another vote."""
    at = 3 + (2 if record.body[2] & 1 else 0)
    assert record.body[at + 1] == 1
    return replace(record, body=record.body[: at + 1] + b"\x09" + record.body[at + 2 :])


def last_hard_state(segment: Segment) -> tuple[int, int]:
    """The last Ready that asked the Storage nothing and has a HardState: its position, and the number of its input."""
    position = next(
        position
        for position in reversed(inputs(segment, RecordKind.READY))
        if segment.records[position].body[:2] == b"\0\1" and segment.records[position].body[2] & 2
    )
    return position, 1 + sum(record.kind.is_input() for record in segment.records[:position])


def test_a_planted_difference_is_found_at_its_input(scenario: Path) -> None:
    position, number = last_hard_state(read_segment(scenario))
    difference = Player(rewritten(scenario, position, with_vote)).play()
    assert difference is not None
    assert (difference.input.number, difference.input.call) == (number, "ready()")
    assert [line for line in difference.expected if "Vote:9" in line]
    assert not [line for line in difference.actual if "Vote:9" in line]
    assert [line for line in difference.expected if "Vote:9" not in line] == [
        line for line in difference.actual if "Vote:1" not in line
    ]


def test_another_input_makes_a_difference_at_the_next_output_that_shows_it(scenario: Path) -> None:
    segment = read_segment(scenario)
    propose = inputs(segment, RecordKind.PROPOSE)[2]
    other = replace(segment.records[propose], body=framed(b"value X") + b"\0\0")
    difference = Player(rewritten(scenario, propose, lambda _: other)).play()
    assert difference is not None
    assert difference.input.call == "ready()"
    assert [line for line in difference.expected if "Entries 1:" in line]
    first = {line for line in difference.expected if line not in difference.actual}
    assert first
    assert all("checksum" in line for line in first)


def test_an_input_that_is_missing_shows_in_what_follows(scenario: Path) -> None:
    advance = inputs(read_segment(scenario), RecordKind.ADVANCE)[1]
    original = scenario.read_bytes()
    difference = Player(rewritten(scenario, advance, lambda _: None)).play()
    assert difference is not None
    assert difference.actual == ["raised MisuseError: advance() the previous Ready first"]
    scenario.write_bytes(original)
    tick = inputs(read_segment(scenario), RecordKind.TICK)[1]
    silent = Player(rewritten(scenario, tick, lambda _: None))
    with pytest.raises(DamagedRecordingError, match="MARK: it counts other inputs"):
        silent.play()


@pytest.mark.parametrize("change", ["another answer", "another question", "no answer", "one answer more"])
def test_answers_that_do_not_fit(change: str, tmp_path: Path) -> None:
    """A node that founds its cluster draws a time-out, and stands for election when it has passed."""
    alone = Alone(tmp_path)
    alone.node.bootstrap([Peer(1)])
    alone.work()
    while alone.node.basic_status().soft_state.role is not Role.StateLeader:
        alone.node.tick()
        alone.work()
    alone.node.close()
    (path,) = alone.files()
    segment = read_segment(path)
    (founding,) = inputs(segment, RecordKind.BOOTSTRAP)
    record = segment.records[founding]
    peers, drawn = record.body[:3], record.body[7] // 2
    assert record.body == peers + b"\1\5\x14\0" + bytes((2 * drawn,)) + b"\0"  # randrange(10) and nothing else
    answers = {
        "another answer": b"\1\5\x14\0" + bytes((2 * (drawn + 50),)),
        "another question": b"\1\5\x16\0" + bytes((2 * drawn,)),
        "no answer": b"\0",
        "one answer more": b"\2" + (b"\5\x14\0" + bytes((2 * drawn,))) * 2,
    }
    changed = replace(record, body=peers + answers[change] + b"\0")
    difference = Player(rewritten(path, founding, lambda _: changed)).play()
    assert difference is not None
    if change == "another answer":
        assert difference.input.call == "ready()"
        assert [line for line in difference.expected if "State" in line]
        assert not [line for line in difference.actual if "State" in line]
    else:
        assert difference.input.number == 1
        told = difference.actual if change != "one answer more" else difference.expected
        assert "the core asks randrange(10)" in told[0]


# -- torn tails and damage


def test_a_tail_torn_at_any_byte_of_the_last_record_is_cut(scenario: Path) -> None:
    data = scenario.read_bytes()
    records = read_segment(scenario).records
    for last in (len(records) - 1, inputs(read_segment(scenario), RecordKind.READY)[-1]):
        start = records[last].offset
        end = records[last + 1].offset if last + 1 < len(records) else len(data)
        for cut in range(start + 1, end):
            segment = parse_segment("cut", data[:cut])
            assert segment.records == records[:last]
            assert segment.torn is not None
            assert (segment.torn.offset, segment.torn.size_bytes) == (start, cut - start)
            assert Player(segment).play() is None
        assert parse_segment("whole", data[:start]).torn is None


@pytest.mark.parametrize(
    "garbage",
    [b"\0" * 5000, b"\xff" * 40, Random(1).randbytes(3000), b"\1\1\1\1\1"],
    ids=["zeros", "ones", "noise", "few"],
)
def test_garbage_at_the_end_is_cut(garbage: bytes, scenario: Path) -> None:
    data = scenario.read_bytes()
    segment = parse_segment("file", data + garbage)
    assert segment.torn is not None
    assert (segment.torn.offset, segment.torn.size_bytes) == (len(data), len(garbage))
    assert segment.records == read_segment(scenario).records


def test_damage_in_the_middle_is_an_error_with_its_place(scenario: Path) -> None:
    data = scenario.read_bytes()
    records = read_segment(scenario).records
    starts = [len(MAGIC), *[record.offset for record in records]]
    for at in range(len(MAGIC), records[-2].offset, 5):
        damaged = bytearray(data)
        damaged[at] ^= 0x10
        with pytest.raises(DamagedRecordingError) as raised:
            parse_segment("some file", bytes(damaged))
        assert raised.value.offset == max(start for start in starts if start <= at)
        assert str(raised.value).startswith(f"some file: at byte {raised.value.offset}: ")


def test_damage_is_told_from_a_torn_tail_also_after_large_records(tmp_path: Path) -> None:
    """A length that is damaged leads nowhere; the mark of a later write tells."""
    alone = Alone(tmp_path)
    alone.lead()
    alone.write(Random(2).randbytes(200_000))
    alone.node.close()
    (path,) = alone.files()
    data = bytearray(path.read_bytes())
    large = read_segment(path).records[inputs(read_segment(path), RecordKind.PROPOSE)[0]].offset
    data[large] ^= 1
    with pytest.raises(DamagedRecordingError, match=f"at byte {large}: this record is damaged"):
        parse_segment("file", bytes(data))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(b"", "this is no recording", id="empty"),
        pytest.param(b"RAFT", "ends before its header", id="cut within the magic"),
        pytest.param(MAGIC, "ends before its header", id="only the magic"),
        pytest.param(MAGIC + b"\x20\1", "ends before its header", id="cut within the header"),
        pytest.param(b"RAFTREC\x01", "format 1; this version reads format 2 only", id="an older format"),
        pytest.param(b"RAFTREC\x03", "format 3; this version reads format 2 only", id="a newer format"),
        pytest.param(b"add-nodes 3\n", "this is no recording", id="a trace"),
        pytest.param(MAGIC + Chain().record(bytes((RecordKind.ADVANCE,))), "is no header", id="no header"),
        pytest.param(MAGIC + Chain().record(bytes((RecordKind.HEADER,))), "its header: cut short", id="empty header"),
    ],
)
def test_what_is_no_recording(content: bytes, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    path.write_bytes(content)
    assert complaint in damage_in(path).detail
    assert main(["replay", str(path)]) == 2


def test_records_that_make_no_sense_are_damage(scenario: Path, tmp_path: Path) -> None:
    segment = read_segment(scenario)
    end = segment.records[-1]
    assert end.kind is RecordKind.END
    for kind, body, complaint in (
        (RecordKind.HEADER, segment.header, "a second header"),
        (RecordKind.END, b"\x07", "7 is no reason to end"),
        (RecordKind.NOTE, b"\2\xff\xff", "no UTF-8"),
        (RecordKind.STEP_STORAGE_BY_NUMBER, b"\7\0\0", "answer 7 was never asked for"),
        (RecordKind.STEP, b"\3", "3 is no form of a message"),
        (RecordKind.PROPOSE, b"\x7f", "127 values in 0 bytes"),
        (RecordKind.REPORT_SNAPSHOT, b"\2\7\0\0", "7 is no SnapshotStatus"),
        (RecordKind.TICK, b"\2\0\0\0", "1 bytes too many"),
        (RecordKind.TICK, b"\2\0\7", "7 is no form of an output"),
        (RecordKind.TICK, b"\2\1\x09", "9 is no question"),
        (RecordKind.TICK, b"\2\1\2\2\1\3a b\0\0", "'a b' is no name of a class"),
        (RecordKind.TICK, b"\xff" * 11, "more than 64 bits"),
    ):
        path = write_segment(tmp_path / "odd.rec", segment.header, [*segment.records[:-1], Record(0, kind, body)])
        assert complaint in damage_in(path).detail, kind
    late = write_segment(
        tmp_path / "late.rec", segment.header, [*segment.records, Record(0, RecordKind.ADVANCE, b"\0\0")]
    )
    assert "after the end" in damage_in(late).detail


# -- strangers


def survives(segment: Callable[[], Segment]) -> None:
    """Nothing but a RecordingError leaves, whatever it holds."""
    try:
        player = Player(segment())
        if player.play() is None:
            player.node.status()
    except RecordingError:
        return


@given(st.binary(max_size=300))
def test_any_bytes_are_a_typed_error_or_a_recording(data: bytes) -> None:
    survives(lambda: parse_segment("stranger", data))
    survives(lambda: parse_segment("stranger", MAGIC + data))


@given(st.data())
def test_a_stranger_may_change_anything_and_put_right_the_checksums(files: list[Path], data: st.DataObject) -> None:
    segment = read_segment(data.draw(st.sampled_from(files[:4])))
    records = list(segment.records)
    header = segment.header
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(-1, len(records) - 1))
        body = bytearray(header if position < 0 else records[position].body)
        if not body:
            continue
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        if position < 0:
            header = bytes(body)
        else:
            kind = data.draw(st.sampled_from([records[position].kind, *RecordKind]))
            records[position] = Record(0, kind, bytes(body))
    survives(lambda: Segment("stranger", header, records, None))


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(set(RecordKind) - {RecordKind.HEADER})), st.binary(max_size=40)), max_size=6
    )
)
def test_a_stranger_may_make_up_records(files: list[Path], made_up: list[tuple[RecordKind, bytes]]) -> None:
    header = read_segment(files[0]).header
    survives(lambda: Segment("stranger", header, [Record(0, kind, body) for kind, body in made_up], None))


@given(st.binary(max_size=60))
def test_values_of_a_stranger(data: bytes) -> None:
    for read in (
        *(Cursor.message, Cursor.entries, Cursor.snapshot, Cursor.conf_state, Cursor.conf_change, Cursor.progress),
        *(Cursor.text, Cursor.ids, Cursor.number, Cursor.signed, Cursor.flag),
    ):
        try:
            read(Cursor(data))
        except RecordingError:
            continue


# -- the command


def replay(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["replay", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_folder_that_replays_the_same(files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = replay(capsys, files[0].parent)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == len(files) + 1
    assert lines[0].startswith(f"{files[0]}: node 1, life 1, inputs 1 to ")
    assert lines[0].endswith("; goes on in the next")
    assert lines[-1].startswith(f"{len(files)} of {len(files)} segments replay the same, 0 differ, 0 damaged; ")


def test_in_another_process(scenario: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(rafttest.__file__).parents[1]), "PYTHONHASHSEED": "77"}
    done = subprocess.run(
        [sys.executable, "-m", "rafttest", "replay", str(scenario)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("1 of 1 segments replay the same")


def test_a_difference_is_shown_with_its_place(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    position, number = last_hard_state(read_segment(scenario))
    record = rewritten(scenario, position, with_vote).records[position]
    code, out, err = replay(capsys, scenario)
    assert (code, err) == (1, "")
    assert f"{scenario}:{record.offset}: input {number} differs: ready()\n" in out
    assert "\n-  HardState Term:2 Vote:9 Commit:7\n" in out
    assert "\n+  HardState Term:2 Vote:1 Commit:7\n" in out
    assert "\nthe inputs before it:\n" in out
    assert ' propose: 7 bytes "value 4"\n' in out
    assert out.splitlines()[-1].startswith("0 of 1 segments replay the same, 1 differ, 0 damaged; ")


def test_damage_is_complained_about(files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray(files[0].read_bytes())
    data[len(data) // 2] ^= 1
    damaged = copied(files[0], tmp_path, bytes(data))
    whole = copied(files[-1], tmp_path)
    code, out, err = replay(capsys, damaged, whole)
    assert code == 2
    assert err.startswith(f"{damaged}: at byte ")
    assert out.splitlines()[-1].startswith("1 of 2 segments replay the same, 0 differ, 1 damaged; ")


def test_a_torn_tail_is_reported(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario.write_bytes(scenario.read_bytes()[:-3])
    code, out, _ = replay(capsys, scenario)
    assert code == 0
    assert "no end: killed, or still being written" in out
    assert f"a torn tail of 4 bytes at byte {scenario.stat().st_size - 4} was cut" in out


def test_a_segment_whose_end_is_missing_in_the_middle(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = copied(files[0], tmp_path, files[0].read_bytes()[:-30])
    second = copied(files[1], tmp_path)
    code, _, err = replay(capsys, tmp_path)
    assert code == 2
    assert err == f"{second}: at byte 0: the end of segment 1, before it, is missing\n"
    assert replay(capsys, first)[0] == 0
    assert replay(capsys, second)[0] == 0


def test_a_segment_that_begins_otherwise_than_the_one_before_it_ends(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied(files[0], tmp_path)
    second = copied(files[1], tmp_path)
    segment = read_segment(files[1])
    at = segment.header.index(b"reads_confirmed") + len(b"reads_confirmed") + 1
    header = segment.header[:at] + bytes((segment.header[at] ^ 2,)) + segment.header[at + 1 :]
    write_segment(second, header, segment.records)
    code, out, _ = replay(capsys, tmp_path)
    assert code == 1
    assert f"{second}: begins in another state than segment 1 ends: ['reads_confirmed']" in out


def test_until_shows_the_node(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = replay(capsys, scenario, "--until", 16)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].endswith("; stopped there")
    assert lines[1] == "node 1 after input 16:"
    assert lines[2].startswith("    StateLeader, term 2, vote 1, leader 1, commit ")
    assert "    configuration voters=(1)" in lines
    assert "    1: StateReplicate match=" in out
    assert '        2/3 EntryNormal "value 0"' in lines
    assert '        2/5 EntryNormal "value 2"' not in lines
    assert [line for line in lines if line.startswith("        16 ")]


def test_until_picks_the_segment_that_has_the_input(files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    of_one = [file for file in files if file.name.startswith("node-1-")]
    first_input = Player(read_segment(of_one[1])).opening.first_input
    code, out, _ = replay(capsys, of_one[0], of_one[1], "--until", first_input + 1)
    assert code == 0
    assert out.startswith(f"{of_one[1]}: ")
    assert f"after input {first_input + 1}:" in out
    code, out, err = replay(capsys, files[0].parent, "--until", 10**9)
    assert code == 2
    assert err == "input 1000000000 is in none of these segments\n"


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["scenario", "trace.txt"], id="mixed"),
        pytest.param(["trace.txt", "--until", "3"], id="until of a trace"),
        pytest.param(["scenario", "--until", "-1"], id="negative"),
        pytest.param(["scenario", "--rewrite"], id="rewrite"),
        pytest.param(["nowhere"], id="nothing there"),
    ],
)
def test_command_lines_that_make_no_sense(
    arguments: list[str], scenario: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(scenario.parents[1])
    Path("trace.txt").write_text("vote\n----\nVoteWon\n")
    code, _, err = replay(capsys, *arguments)
    assert code == 2
    assert err.startswith("error: ")


# -- real processes


def test_a_cluster_of_processes_that_are_killed_replays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three nodes under load; the leader is killed with SIGKILL, comes back, and in the end all are killed."""
    recording = tmp_path / "recording"

    async def scenario() -> None:
        with ClusterProcesses(tmp_path, 3, ["--tick-ms", "50", "--record", str(recording)]) as cluster:
            async with Client(cluster.urls) as client:
                cluster.start_all()
                leader = await cluster.wait_for_leader(client)
                for number in range(20):
                    await client.put(1 + number % 3, f"key{number}", b"value %d" % number)
                cluster.kill(leader)
                other = 1 + leader % 3
                await cluster.wait_for_leader(client)
                await client.put(other, "key", b"value")
                cluster.start(leader)
                await cluster.wait_for_leader(client)
                assert await client.get(leader, "key") == b"value"
                await cluster.wait_until_equal(client)
                assert cluster.stop(other) == 0
                for id in cluster.running():
                    cluster.kill(id)

    async def bounded() -> None:
        async with asyncio.timeout(90):
            await scenario()

    asyncio.run(bounded())
    code, out, err = replay(capsys, recording)
    assert (code, err) == (0, ""), out
    heads = out.splitlines()[:-1]
    lives = [line for line in heads if line.startswith(str(recording))]
    assert len(lives) == 4  # one came back
    assert sum(line.endswith("; closed") for line in lives) == 1
    assert out.splitlines()[-1].startswith("4 of 4 segments replay the same, 0 differ, 0 damaged; ")


def test_a_recording_of_a_node_without_storage_tells_nothing_false(tmp_path: Path) -> None:
    """A node that has done nothing has a recording all the same."""
    node = RecordingNode(Config(id=9, storage=MemoryStorage()), tmp_path)
    node.close()
    assert play_all(tmp_path / "node-9-00000001.rec").inputs == 0
