"""Timelines: what a trace, a seed and a recording become, and how that gets into a page."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from pyraft import Config, InvariantError, MemoryStorage, Peer, Ready, Role
from raftpb import codec
from raftpb.confchange import ConfChange
from raftpb.enums import ADD_NODE, MessageType
from raftpb.message import Entry, HardState, Message, Snapshot
from rafttest.__main__ import main
from rafttest.interaction.node import InteractionNode
from rafttest.record import RecordingNode, output
from rafttest.sim.checker.safety import Checker
from rafttest.sim.checker.violation import Violation
from rafttest.sim.run import SimResult, run
from rafttest.trace.file import MalformedTraceError
from rafttest.view.encoding import FIELDS, encode
from rafttest.view.from_recording import timeline_of_recording
from rafttest.view.from_seed import timeline_of_seed
from rafttest.view.from_trace import timeline_of_trace
from rafttest.view.log import SharedLog
from rafttest.view.page import page
from rafttest.view.timeline import WORLD, Event, Kind, NodeState, Recorder, Timeline

ROOT = Path(__file__).parents[2]


def steps(*commands: str) -> str:
    """A trace of commands, none of which says anything."""
    return "\n".join(f"{command}\n----\nok\n" for command in commands)


ELECTION = "# Three nodes, of which one is elected.\n" + steps(
    "add-nodes 3 voters=(1,2,3) index=10",
    "log-level none",
    "campaign 1",
    "stabilize",
    "# Only 2 hears of it.\npropose 1 hello",
    "process-ready 1",
    "deliver-msgs 2 drop=(3)",
)


@pytest.fixture
def election(tmp_path: Path) -> Timeline:
    return of_text(tmp_path, ELECTION)


def of_text(folder: Path, text: str, name: str = "trace.txt") -> Timeline:
    (folder / name).write_text(text, encoding="utf-8")
    return timeline_of_trace(folder / name)


def last_state(timeline: Timeline, node: int) -> NodeState:
    return [event.state for event in timeline.events if event.node == node and event.state is not None][-1]


def texts(entries: Iterable[Entry]) -> list[str]:
    return [f"{entry.term}/{entry.index} {entry.data.decode()}" for entry in entries]


def first(timeline: Timeline, kind: Kind, node: int) -> Event:
    return next(event for event in timeline.events if event.kind is kind and event.node == node)


# -- traces


def test_an_election_of_a_trace(election: Timeline) -> None:
    asked = first(election, Kind.REQUEST, 1)
    assert asked.text == "campaign 1"
    assert asked.state is not None
    assert (asked.state.role, asked.state.term, asked.state.vote) == (Role.StateCandidate, 1, 1)
    votes = [
        event for event in election.of_kind(Kind.SEND) if election.messages[event.message or 0].type.name == "MsgVote"
    ]
    assert [event.node for event in votes] == [1, 1]
    elected = next(event for event in election.events if event.state and event.state.role is Role.StateLeader)
    assert elected.kind is Kind.RECEIVE
    assert election.messages[elected.message or 0].type.name == "MsgVoteResp"


def test_the_logs_at_the_end_of_a_trace(election: Timeline) -> None:
    assert election.nodes == [1, 2, 3]
    leader, follower, other = (last_state(election, node) for node in election.nodes)
    assert texts(leader.log) == texts(follower.log) == ["1/11 ", "1/12 hello"]
    assert texts(other.log) == ["1/11 "]
    assert (leader.first, leader.last, leader.commit, leader.applied, leader.stable) == (11, 12, 11, 11, 12)
    assert (follower.stable, follower.leader) == (11, 1)
    assert [(one.id, one.match) for one in leader.followers] == [(2, 11), (3, 11)]
    assert leader.conf == "voters=(1 2 3)"


def test_each_message_of_a_trace_has_its_end(election: Timeline) -> None:
    sent = {event.message: event for event in election.of_kind(Kind.SEND)}
    ends = [event for event in election.events if event.kind in {Kind.RECEIVE, Kind.LOSE, Kind.REFUSE}]
    assert len(sent) == len(ends) == len(election.messages)
    (lost,) = election.of_kind(Kind.LOSE)
    assert (lost.node, lost.text) == (3, "dropped")
    assert sent[lost.message].node == 1


def test_sections_are_the_commands_of_which_something_came(election: Timeline) -> None:
    assert [(one.title, one.comment) for one in election.sections] == [
        ("add-nodes 3 voters=(1,2,3) index=10", "Three nodes, of which one is elected."),
        ("campaign 1", ""),
        ("stabilize", ""),
        ("propose 1 hello", "Only 2 hears of it."),
        ("process-ready 1", ""),
        ("deliver-msgs 2 drop=(3)", ""),
    ]
    assert [election.events[one.event].moment for one in election.sections] == [1, 3, 4, 5, 6, 7]


def test_what_a_request_answers_is_part_of_it(tmp_path: Path) -> None:
    timeline = of_text(tmp_path, steps("add-nodes 1 voters=(1) index=10", "propose 1 early"))
    assert first(timeline, Kind.REQUEST, 1).text == "propose 1 early\nraft proposal dropped"
    assert timeline.events[-1].kind is Kind.NOTE
    assert "expects another output of propose 1 early" in timeline.events[-1].text


def test_asynchronous_writes_are_answered(tmp_path: Path) -> None:
    timeline = of_text(
        tmp_path,
        steps("add-nodes 1 voters=(1) index=10 async-storage-writes=true", "log-level none", "campaign 1", "stabilize"),
    )
    assert {"MsgStorageAppendResp of its own storage", "MsgStorageApplyResp of its own storage"} <= {
        event.text for event in timeline.of_kind(Kind.ANSWER)
    }
    assert last_state(timeline, 1).applied == 11


def test_a_snapshot_of_a_trace(tmp_path: Path) -> None:
    timeline = timeline_of_trace(ROOT / "tests/traces/interaction/compaction_and_snapshot.txt")
    (installed,) = timeline.of_kind(Kind.SNAPSHOT)
    assert installed.state is not None
    assert installed.text == f"installs a snapshot at {installed.state.first - 1}"


def test_a_core_that_fails_is_a_violation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: InteractionNode, state: HardState | None, entries: list[Entry], snapshot: Snapshot | None) -> None:
        raise InvariantError("made up")

    monkeypatch.setattr(InteractionNode, "process_append", fail)
    timeline = of_text(tmp_path, ELECTION)
    assert {(event.node, event.text) for event in timeline.of_kind(Kind.VIOLATION)} >= {
        (WORLD, "InvariantError: made up")
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (steps("vote cfg=(1,2) votes=(y,_)"), "only such traces can be viewed"),
        ("", "there is no command in this file"),
        (steps("campaign 1"), "there is no node 1"),
    ],
    ids=["another kind", "empty", "impossible"],
)
def test_what_is_no_trace_of_a_cluster(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(MalformedTraceError, match=complaint):
        of_text(tmp_path, text)


# -- seeds


def eventful(result: SimResult) -> bool:
    """A run of moderate length that has what these tests want to see."""
    counts = result.counts
    is_faulty = "crashes" in counts and "messages lost" in counts and ("clogs" in counts or "partitions" in counts)
    return is_faulty and result.events < 12_000 and result.violation is None


@pytest.fixture(scope="module")
def chosen() -> SimResult:
    """The first eventful run, whatever the simulator draws by now."""
    return next(result for result in map(run, range(1, 100)) if eventful(result))


@pytest.fixture(scope="module")
def watched(chosen: SimResult) -> tuple[Timeline, SimResult]:
    return timeline_of_seed(chosen.options.seed)


@pytest.fixture(scope="module")
def simulated(watched: tuple[Timeline, SimResult]) -> Timeline:
    return watched[0]


def test_watching_changes_nothing(chosen: SimResult, watched: tuple[Timeline, SimResult]) -> None:
    assert watched[1] == chosen


@pytest.mark.parametrize(
    "kind", ["start", "crash", "tick", "request", "send", "receive", "lose", "ready", "write", "apply", "fault"]
)
def test_what_a_seed_shows(simulated: Timeline, kind: str) -> None:
    assert simulated.of_kind(Kind(kind))


def test_messages_arrive_after_they_were_sent(simulated: Timeline) -> None:
    sent = {event.message: at for at, event in enumerate(simulated.events) if event.kind is Kind.SEND}
    for at, event in enumerate(simulated.events):
        if event.kind in {Kind.RECEIVE, Kind.REFUSE, Kind.LOSE}:
            begin = sent[event.message]
            assert begin < at
            assert simulated.events[begin].moment < event.moment


def test_moments_do_not_run_back(simulated: Timeline) -> None:
    moments = [event.moment for event in simulated.events]
    assert moments == sorted(moments)
    assert simulated.moments_per_tick == 100


def test_crashes_and_starts_take_turns(simulated: Timeline) -> None:
    for node in simulated.nodes:
        lives = [event for event in simulated.events if event.node == node and event.kind in {Kind.START, Kind.CRASH}]
        assert [event.kind for event in lives[::2]] == [Kind.START] * len(lives[::2])
        assert [event.kind for event in lives[1::2]] == [Kind.CRASH] * len(lives[1::2])
        assert [event.text for event in lives if event.kind is Kind.START][1:] == ["restart"] * ((len(lives) - 1) // 2)
        assert all(event.state is not None and not event.state.is_up for event in lives[1::2])


def test_nobody_is_down_before_the_crash(simulated: Timeline) -> None:
    was_up: dict[int, bool] = {}
    for event in simulated.events:
        if event.state is not None:
            fell = was_up.get(event.node, False) and not event.state.is_up
            assert not fell or event.kind is Kind.CRASH or event.text.startswith("fail")
            was_up[event.node] = event.state.is_up


def test_states_of_a_seed_are_possible(simulated: Timeline) -> None:
    before: dict[int, NodeState] = {}
    for event in simulated.events:
        state = event.state
        if state is None:
            assert event.node == WORLD
            continue
        known = before.get(event.node)
        assert state.first - 1 <= state.commit <= state.last or not state.is_up
        assert [entry.index for entry in state.log] == list(range(state.first, state.last + 1))
        if known is not None and known.is_up and state.is_up:
            assert (known.term, known.commit, known.applied) <= (state.term, state.commit, state.applied)
        before[event.node] = state


def test_a_violation_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def elected(self: Checker, n: int, term: int, last: int, index: int, term_there: int | None) -> None:
        raise Violation("S8", f"made up for node {n}")

    monkeypatch.setattr(Checker, "elected", elected)
    timeline, result = timeline_of_seed(9)
    assert str(result.violation).startswith("S8: made up")
    assert (timeline.events[-1].kind, timeline.events[-1].text) == (Kind.VIOLATION, str(result.violation))


# -- recordings


def record(folder: Path) -> Path:
    """One of two founding nodes, whose peer votes for it; the file of what it recorded."""
    storage = MemoryStorage()
    node = RecordingNode(Config(id=1, storage=storage, pre_vote=False, check_quorum=False), folder)

    def settle() -> None:
        while node.has_ready():
            ready = node.ready()
            storage.append(ready.entries)
            if ready.hard_state is not None:
                storage.set_hard_state(ready.hard_state)
            for entry in ready.committed_entries:
                if entry.index <= 2:
                    node.apply_conf_change(ConfChange(ADD_NODE, entry.index))
            node.advance()

    node.bootstrap([Peer(1), Peer(2)])
    settle()
    node.note("now it campaigns")
    node.campaign()
    settle()
    node.step(Message(MessageType.MsgVoteResp, to=1, from_=2, term=2))
    settle()
    node.step(Message(MessageType.MsgAppResp, to=1, from_=2, term=2, index=3))
    settle()
    node.tick()
    settle()
    node.close()
    (segment,) = folder.iterdir()
    return segment


def test_a_recording_shows_one_node_and_its_peers(tmp_path: Path) -> None:
    timeline = timeline_of_recording(record(tmp_path))
    assert (timeline.witness, timeline.nodes, timeline.unit) == (1, [1, 2], "input")
    assert {event.node for event in timeline.events} == {1}
    state = last_state(timeline, 1)
    assert (state.role, state.term, state.commit, state.applied, state.last) == (Role.StateLeader, 2, 3, 3, 3)
    assert [entry.index for entry in state.log] == [1, 2, 3]
    received = [timeline.messages[event.message or 0].type.name for event in timeline.of_kind(Kind.RECEIVE)]
    assert received == ["MsgVoteResp", "MsgAppResp"]
    sent = [timeline.messages[event.message or 0].type.name for event in timeline.of_kind(Kind.SEND)]
    assert sent == ["MsgVote", "MsgApp", "MsgApp", "MsgHeartbeat"]
    assert [section.title for section in timeline.sections] == ["segment 1", "now it campaigns"]


def test_a_replay_that_differs_is_a_violation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = record(tmp_path)

    def of_ready(ready: Ready) -> bytes:
        return output.NOTHING

    monkeypatch.setattr(output, "of_ready", of_ready)
    timeline = timeline_of_recording(segment)
    assert timeline.events[-1].kind is Kind.VIOLATION
    assert timeline.events[-1].text.startswith("the replay differs at input 2\nrecorded:\nReady ")


# -- the page


def data_of(text: str) -> dict[str, list[object]]:
    """What the page reads."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    assert isinstance(data, dict)
    return data


def decoded_log(data: dict[str, list[object]], number: int) -> list[tuple[object, object]]:
    """Term and index of each entry of a log, put together as FIELDS says; a second opinion on the page's own."""
    entries: list[object] = []
    chain: list[int] = []
    while number >= 0:
        chain.append(number)
        number = int(str(row(data, "logs", number)["parent"]))
    first_before = 0
    for one in reversed(chain):
        log = row(data, "logs", one)
        first_index, keep, runs = int(str(log["first"])), int(str(log["keep"])), log["runs"]
        entries = entries[first_index - first_before : keep - first_before + 1] if keep >= first_index else []
        assert isinstance(runs, list)
        entries += [number for begin, count in runs for number in range(begin, begin + count)]
        first_before = first_index
    rows = [row(data, "entries", int(str(entry))) for entry in entries]
    return [(one["term"], one["index"]) for one in rows]


def row(data: dict[str, list[object]], table: str, number: int) -> dict[str, object]:
    values = data[table][number]
    assert isinstance(values, list)
    return dict(zip(FIELDS[table].split(" "), values, strict=True))


def test_the_page_has_every_event_and_state(simulated: Timeline) -> None:
    data = data_of(page(simulated))
    assert len(data["events"]) == len(simulated.events)
    for at in range(0, len(simulated.events), 53):
        event, told = simulated.events[at], row(data, "events", at)
        assert data["strings"][int(str(told["kind"]))] == event.kind
        assert (told["moment"], told["node"]) == (event.moment, event.node)
        if event.state is not None:
            state = row(data, "states", int(str(told["state"])))
            assert [state[name] for name in ("term", "commit", "first")] == [
                event.state.term,
                event.state.commit,
                event.state.first,
            ]
            log = [(entry.term, entry.index) for entry in event.state.log]
            assert decoded_log(data, int(str(state["log"]))) == log


def test_a_log_that_is_replaced_in_the_middle() -> None:
    old = tuple(Entry(term=1, index=index) for index in range(1, 6))
    new = (*old[:2], *(Entry(term=2, index=index) for index in range(3, 8)))
    compacted = new[4:]
    timeline = Timeline("made up", nodes=[1])
    for log in (old, new, compacted, (), old):
        state = NodeState(
            is_up=True,
            role=Role.StateFollower,
            term=2,
            vote=0,
            leader=0,
            commit=0,
            applied=0,
            stable=0,
            log=SharedLog(log[0].index if log else 9, log),
            conf="",
        )
        timeline.events.append(Event(Kind.NOTE, 0, 1, state=state))
    data = data_of(page(timeline))
    for number, log in enumerate((old, new, compacted, (), old)):
        assert decoded_log(data, number) == [(entry.term, entry.index) for entry in log]
    assert encode(timeline)["logs"][1] == [0, 1, 2, [[5, 5]]]  # type: ignore[index]


HOSTILE = "</script><script>hacked()</script><!--<script>{{script}}\u2028&amp;"


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    timeline = of_text(tmp_path, f"# {HOSTILE}\n" + steps("add-nodes 1 voters=(1) index=10", f"propose 1 {HOSTILE}"))
    timeline.title = "<b>& {{data}}"
    text = page(timeline)
    assert len(re.findall(r"<script", text)) == len(re.findall(r"</script", text)) == 2
    assert "<!--" not in text
    assert "<title>&lt;b&gt;&amp; {{data}}</title>" in text
    data = data_of(text)
    assert any(HOSTILE in str(string) for string in data["strings"])
    assert str(data["title"]) == "<b>& {{data}}"


def test_a_page_loads_nothing(election: Timeline) -> None:
    text = page(election)
    assert re.findall(r"""(?:src|href)\s*=\s*["'](?!#)""", text) == []
    assert "default-src 'none'" in text
    assert "@import" not in text
    assert "url(" not in text


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_the_same_input_is_the_same_page_in_every_process(tmp_path: Path, hash_seed: str) -> None:
    trace = tmp_path / "trace.txt"
    trace.write_text(ELECTION, encoding="utf-8")
    for name, arguments in {"trace": [str(trace)], "seed": ["--seed", "9"]}.items():
        here, there = tmp_path / f"{name}-here.html", tmp_path / f"{name}-there.html"
        assert main(["view", *arguments, "-o", str(here)]) == 0
        subprocess.run(
            [sys.executable, "-m", "rafttest", "view", *arguments, "-o", str(there)],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            check=True,
            capture_output=True,
        )
        assert here.read_bytes() == there.read_bytes()


# -- the command


def test_the_command_says_what_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "election.txt").write_text(ELECTION, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["view", "election.txt", "--event", "7"]) == 0
    assert re.fullmatch(r"election.txt.html#event=7: \d+ events of 3 nodes\n", capsys.readouterr().out)
    assert main(["view", str(record(tmp_path / "recording")), "-o", "node.html"]) == 0
    assert (tmp_path / "node.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "give either a file or --seed"),
        (["trace.txt", "--seed", "1"], "give either a file or --seed"),
        (["missing.txt"], "No such file"),
        (["trace.txt", "--event", "9999"], "there is no event 9999; they go from 0 to"),
        (["damaged.rec"], "this is no recording"),
        (["trace.txt", "--screenshot", "a.png", "--size", "wide"], "--size is WIDTHxHEIGHT|on PATH"),
    ],
    ids=["neither", "both", "missing", "no such event", "damaged", "size"],
)
def test_what_the_command_refuses(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    complaint: str,
) -> None:
    (tmp_path / "trace.txt").write_text(ELECTION, encoding="utf-8")
    (tmp_path / "damaged.rec").write_bytes(b"nothing")
    monkeypatch.chdir(tmp_path)
    assert main(["view", *arguments]) == 2
    assert re.search(complaint, capsys.readouterr().err)


# Messages that are alike


def heartbeat(term: int = 1) -> Message:
    return Message(MessageType.MsgHeartbeat, 1, 2, term)


def test_each_receipt_of_a_message_from_outside_is_one_of_its_own() -> None:
    """Of a recorded node's peers nothing is known but what arrived: equal messages are several."""
    recorder = Recorder(Timeline(""), lambda _: None)
    events = [recorder.came_from_outside(Kind.RECEIVE, moment, heartbeat(), "", 1) for moment in range(3)]
    assert [event.message for event in events] == [0, 1, 2]


def test_what_was_seen_leaving_arrives_as_the_same() -> None:
    """The object that was sent, or the last that equals it."""
    recorder = Recorder(Timeline(""), lambda _: None)
    sent = heartbeat()
    recorder.sent(0, sent)
    recorder.sent(1, heartbeat())
    assert recorder.arrived(Kind.RECEIVE, 2, sent).message == 0
    assert recorder.arrived(Kind.RECEIVE, 3, heartbeat()).message == 1
    assert recorder.arrived(Kind.LOSE, 4, heartbeat(2)).message == 2


def test_a_message_is_found_without_looking_at_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search through all of them made a page of 1.6 MB take twenty seconds."""
    encoded = 0
    encode_one = codec.encode_message

    def counting(m: Message) -> bytes:
        nonlocal encoded
        encoded += 1
        return encode_one(m)

    monkeypatch.setattr(codec, "encode_message", counting)
    recorder = Recorder(Timeline(""), lambda _: None)
    for moment in range(500):
        recorder.came_from_outside(Kind.RECEIVE, moment, heartbeat(), "", 1)
        recorder.arrived(Kind.RECEIVE, moment, heartbeat())
    assert encoded == 1000
