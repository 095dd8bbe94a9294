"""What `Config.trace_logger` is told: each step of the protocol, in the shape of the reference's state tracer."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from harness import Host, append, config_of, storage_of

from pyraft import (
    Config,
    MemoryStorage,
    MisuseError,
    NodeFailedError,
    Peer,
    RawNode,
    TracedConfChange,
    TracedMessage,
    TraceEvent,
)
from raftpb.message import ConfState
from rafttest import InteractionEnv, run_trace

OWN_TRACES = Path(__file__).parents[1] / "traces" / "interaction"
SHARED_TRACES = Path(__file__).parents[3] / "shared" / "traces"

NAMES = [
    "InitState",
    "BecomeFollower",
    "BecomeCandidate",
    "BecomeLeader",
    "Replicate",
    "Commit",
    "Ready",
    "ChangeConf",
    "ApplyConfChange",
    *(
        f"{way}{what}"
        for way in ("Send", "Receive")
        for what in ("AppendEntriesRequest", "AppendEntriesResponse", "RequestVoteRequest", "RequestVoteResponse")
    ),
]
"""Every kind of event there is."""


class Recorder:
    def __init__(self) -> None:
        self.events: list[TraceEvent] = []

    def trace_event(self, event: TraceEvent, /) -> None:
        self.events.append(event)

    def take(self) -> list[TraceEvent]:
        events = self.events
        self.events = []
        return events

    def names(self) -> list[str]:
        return [event.name for event in self.take()]


class Scene:
    """A cluster under a script, and what it has told since the last command."""

    def __init__(self, add_nodes: str) -> None:
        self.recorder = Recorder()
        self.env = InteractionEnv(trace_logger=self.recorder)
        self.run(f"add-nodes {add_nodes}")

    def run(self, *commands: str) -> list[TraceEvent]:
        """Run commands; return what the last of them made nodes tell."""
        for command in commands:
            self.recorder.take()
            self.env.handle(command)
        return self.recorder.events


def of_kind(events: list[TraceEvent], name: str) -> list[TraceEvent]:
    return [event for event in events if event.name == name]


def messages(events: list[TraceEvent], name: str) -> list[TracedMessage]:
    return [event.message for event in of_kind(events, name) if event.message is not None]


# -- the scenario of a node, in order


def test_a_node_alone_founds_a_cluster_leads_and_commits() -> None:
    recorder = Recorder()
    host = Host(config_of(1, MemoryStorage(), trace_logger=recorder, pre_vote=False))
    assert recorder.names() == ["InitState", "ApplyConfChange", "BecomeFollower"]

    host.raw.bootstrap([Peer(1)])
    assert recorder.names() == ["BecomeFollower", "ApplyConfChange"]

    host.begin()
    host.finish()
    assert recorder.names() == ["Ready", "ApplyConfChange"]

    host.raw.campaign()
    assert recorder.names() == ["BecomeCandidate", "SendRequestVoteResponse"]

    host.begin()
    host.finish()
    elected = ["BecomeLeader", "Replicate", "SendAppendEntriesResponse"]
    assert recorder.names() == ["Ready", "ReceiveRequestVoteResponse", *elected]

    host.begin()
    host.finish()
    assert recorder.names() == ["Ready", "ReceiveAppendEntriesResponse", "Commit"]

    host.raw.propose(b"x")
    assert recorder.names() == ["Replicate", "SendAppendEntriesResponse"]


def test_founders_apply_one_change_after_the_other() -> None:
    recorder = Recorder()
    node = RawNode(config_of(1, MemoryStorage(), trace_logger=recorder))
    recorder.take()
    node.bootstrap([Peer(1), Peer(2)])
    follower, *applied = recorder.take()
    assert (follower.name, follower.term, follower.commit, follower.last_index) == ("BecomeFollower", 1, 0, 0)
    assert [(event.voters, event.conf_change) for event in applied] == [
        ((), TracedConfChange(new_voters=(1,))),
        ((1,), TracedConfChange(new_voters=(1, 2))),
    ]
    assert {(event.term, event.commit, event.last_index) for event in applied} == {(1, 2, 2)}


def test_a_restart_begins_before_anything_is_loaded() -> None:
    recorder = Recorder()
    storage = storage_of(ConfState((1, 2, 3)), (2, 2), snapshot=(1, 5), term=4, vote=3, commit=6)
    RawNode(config_of(1, storage, trace_logger=recorder))
    seen = [(event.name, event.term, event.vote, event.commit, event.voters) for event in recorder.take()]
    assert seen == [
        ("InitState", 0, 0, 5, ()),
        ("ApplyConfChange", 0, 0, 5, ()),
        ("BecomeFollower", 4, 3, 6, (1, 2, 3)),
    ]


# -- shapes


def one_of_each() -> dict[str, str]:
    """The first event of each kind, as JSON, of two nodes of which the first is elected and adds a third."""
    scene = Scene("2 voters=(1,2) index=10")
    elect_and_grow(scene.env)
    first: dict[str, str] = {}
    for event in scene.recorder.events:
        first.setdefault(event.name, event.to_json())
    return first


def elect_and_grow(env: InteractionEnv) -> None:
    for command in ("campaign 1", "stabilize", "propose-conf-change 1\nv3", "stabilize"):
        env.handle(command)


def head(role: str, commit: int = 10, log: int = 10, node: int = 1, term: int = 1, vote: int = 1) -> str:
    state = f'{{"term":{term},"vote":"{vote}","commit":{commit}}}'
    return f'"nid":"{node}","state":{state},"role":"State{role}","log":{log},"conf":[["1","2"],[]]'


def body(
    kind: str, from_: int, to: int, *, entries: int = 0, log_term: int = 0, index: int = 0, commit: int = 0
) -> str:
    return (
        f'"msg":{{"type":"{kind}","term":1,"from":"{from_}","to":"{to}","entries":{entries},"logTerm":{log_term},'
        f'"index":{index},"commit":{commit},"vote":"0","reject":false,"rejectHint":0}}'
    )


SHAPES = {
    "InitState": (
        '{"name":"InitState","nid":"1","state":{"term":0,"vote":"0","commit":10},"role":"StateFollower","log":10,'
        '"conf":[[],[]]}'
    ),
    "ApplyConfChange": (
        '{"name":"ApplyConfChange","nid":"1","state":{"term":0,"vote":"0","commit":10},"role":"StateFollower",'
        '"log":10,"conf":[[],[]],"prop":{"cc":{"newconf":["1","2"]}}}'
    ),
    "BecomeFollower": f'{{"name":"BecomeFollower",{head("Follower", term=0, vote=0)}}}',
    "BecomeCandidate": f'{{"name":"BecomeCandidate",{head("Candidate")}}}',
    "BecomeLeader": f'{{"name":"BecomeLeader",{head("Leader")}}}',
    "Replicate": f'{{"name":"Replicate",{head("Leader")}}}',
    "Commit": f'{{"name":"Commit",{head("Leader", log=11)}}}',
    "Ready": f'{{"name":"Ready",{head("Candidate")}}}',
    "ChangeConf": (
        f'{{"name":"ChangeConf",{head("Leader", 11, 11)},'
        '"prop":{"cc":{"changes":[{"nid":"3","action":"AddNewServer"}]}}}'
    ),
    "SendRequestVoteResponse": (
        f'{{"name":"SendRequestVoteResponse",{head("Candidate")},{body("MsgVoteResp", 1, 1)}}}'
    ),
    "SendRequestVoteRequest": (
        f'{{"name":"SendRequestVoteRequest",{head("Candidate")},{body("MsgVote", 1, 2, log_term=1, index=10)}}}'
    ),
    "ReceiveRequestVoteRequest": (
        f'{{"name":"ReceiveRequestVoteRequest",{head("Follower", node=2, term=0, vote=0)},'
        f"{body('MsgVote', 1, 2, log_term=1, index=10)}}}"
    ),
    "ReceiveRequestVoteResponse": (
        f'{{"name":"ReceiveRequestVoteResponse",{head("Candidate")},{body("MsgVoteResp", 1, 1)}}}'
    ),
    "SendAppendEntriesResponse": (
        f'{{"name":"SendAppendEntriesResponse",{head("Leader", log=11)},{body("MsgAppResp", 1, 1, index=11)}}}'
    ),
    "SendAppendEntriesRequest": (
        f'{{"name":"SendAppendEntriesRequest",{head("Leader", log=11)},'
        f'{body("MsgApp", 1, 2, entries=1, log_term=1, index=10, commit=10)},"prop":{{"match":10,"next":11}}}}'
    ),
    "ReceiveAppendEntriesRequest": (
        f'{{"name":"ReceiveAppendEntriesRequest",{head("Follower", node=2)},'
        f"{body('MsgApp', 1, 2, entries=1, log_term=1, index=10, commit=10)}}}"
    ),
    "ReceiveAppendEntriesResponse": (
        f'{{"name":"ReceiveAppendEntriesResponse",{head("Leader", log=11)},{body("MsgAppResp", 1, 1, index=11)}}}'
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_each_kind_has_its_shape_and_its_order_of_keys(name: str) -> None:
    assert one_of_each()[name] == SHAPES[name]


def test_there_are_no_other_kinds() -> None:
    assert sorted(one_of_each()) == sorted(NAMES) == sorted(SHAPES)


def test_what_does_not_apply_is_left_out() -> None:
    nothing = TraceEvent(
        name="ApplyConfChange",
        node_id=7,
        term=0,
        vote=0,
        commit=0,
        role="StateFollower",
        last_index=0,
        voters=(),
        voters_outgoing=(),
        conf_change=TracedConfChange(),
    )
    assert list(nothing.to_dict()) == ["name", "nid", "state", "role", "log", "conf", "prop"]
    assert nothing.to_dict()["prop"] == {"cc": {}}
    assert "prop" not in dataclasses.replace(nothing, conf_change=None).to_dict()


def test_an_event_is_a_value() -> None:
    one, other = (Scene("1 voters=(1) index=10").recorder.events for _ in range(2))
    assert one == other
    with pytest.raises(dataclasses.FrozenInstanceError):
        one[0].term = 3  # type: ignore[misc]


# -- what is told, and what is not


def test_nobody_is_told_unless_somebody_listens() -> None:
    assert Config(id=1, storage=MemoryStorage()).trace_logger is None
    assert Config.reference_defaults(id=1, storage=MemoryStorage()).trace_logger is None


@pytest.mark.parametrize("path", sorted(OWN_TRACES.glob("*.txt")), ids=lambda path: path.stem)
def test_listening_changes_nothing(path: Path) -> None:
    recorder = Recorder()
    result = run_trace(path, InteractionEnv(trace_logger=recorder))
    assert result.matches(), str(result)
    assert recorder.events


def test_pre_votes_are_not_told() -> None:
    scene = Scene("3 voters=(1,2,3) index=10 prevote=true")
    assert scene.run("campaign 1") == []
    elected = scene.run("stabilize")
    assert scene.env.nodes[0].raw.basic_status().soft_state.leader == 1
    assert len(of_kind(elected, "BecomeCandidate")) == 1
    assert {message.type for event in elected if (message := event.message) is not None} == {
        "MsgVote",
        "MsgVoteResp",
        "MsgApp",
        "MsgAppResp",
    }


@pytest.mark.parametrize(
    "commands",
    [
        pytest.param(("propose 2 x", "process-ready 2"), id="a proposal that is forwarded"),
        pytest.param(("read-index 2 ctx", "process-ready 2"), id="a read that is forwarded"),
        pytest.param(("transfer-leadership from=1 to=2", "process-ready 1"), id="a transfer"),
        pytest.param(("report-unreachable 1 2",), id="a report"),
    ],
)
def test_requests_are_not_told(commands: tuple[str, ...]) -> None:
    """Nor is what is sent for them."""
    scene = Scene("2 voters=(1,2) index=10")
    scene.run("campaign 1", "stabilize")
    told = [event.name for command in commands for event in scene.run(command)]
    assert told == ["Ready"] * (len(commands) - 1)


def test_a_heartbeat_counts_as_an_append() -> None:
    scene = Scene("2 voters=(1,2) index=10")
    scene.run("campaign 1", "stabilize")
    (sent,) = scene.run("tick-heartbeat 1")
    assert sent.message is not None
    assert (sent.name, sent.message.type, sent.message.commit) == ("SendAppendEntriesRequest", "MsgHeartbeat", 11)
    assert sent.match is None
    answers = messages(scene.run("stabilize"), "ReceiveAppendEntriesResponse")
    assert [(answer.type, answer.from_) for answer in answers] == [("MsgHeartbeatResp", 2)]


def test_every_normal_entry_is_told_before_any_is_appended() -> None:
    scene = Scene("1 voters=(1) index=10")
    scene.run("campaign 1", "stabilize")
    assert [(event.name, event.last_index) for event in scene.run("propose 1 x")] == [
        ("Replicate", 11),
        ("SendAppendEntriesResponse", 12),
    ]


def test_a_commit_is_told_even_if_nothing_is_committed() -> None:
    scene = Scene("3 voters=(1,2,3) index=10")
    scene.run("campaign 1", "stabilize", "propose 1 x", "process-ready 1")
    own = [event for event in scene.run("stabilize 2 3", "stabilize 1") if event.name == "Commit"]
    assert [event.commit for event in own] == [12, 12]


def test_a_snapshot_counts_as_an_append_of_the_whole_log_and_leaves_nothing_of_the_old_configuration() -> None:
    scene = Scene("3 voters=(1,2,3) index=10")
    scene.run("campaign 1", "stabilize", "propose 1 x", "stabilize 1 3", "deliver-msgs drop=(2)", "compact 1 12")
    told = scene.run("tick-heartbeat 1", "stabilize")
    (sent,) = [message for message in messages(told, "SendAppendEntriesRequest") if message.type == "MsgSnap"]
    assert (sent.to, sent.entries, sent.index, sent.log_term, sent.commit) == (2, 12, 0, 0, 0)
    assert sent in messages(told, "ReceiveAppendEntriesRequest")
    (applied,) = of_kind(told, "ApplyConfChange")
    assert (applied.node_id, applied.commit, applied.last_index) == (2, 12, 12)
    assert (applied.voters, applied.conf_change) == ((), TracedConfChange(new_voters=(1, 2, 3)))


def test_a_change_is_told_when_proposed_and_just_before_it_takes_effect() -> None:
    scene = Scene("3 voters=(1,2,3) index=10")
    scene.run("campaign 1", "stabilize")
    proposed = scene.run("propose-conf-change 1\nv4 r2 l5 u3")
    (change,) = of_kind(proposed, "ChangeConf")
    assert change.conf_change == TracedConfChange(
        changes=((4, "AddNewServer"), (2, "RemoveServer"), (5, "AddLearner"))  # an update is none of the three
    )
    assert of_kind(proposed, "Replicate") == []
    assert of_kind(scene.run("stabilize 1"), "ApplyConfChange") == []  # not committed yet
    applied = [event for event in of_kind(scene.run("stabilize"), "ApplyConfChange") if event.node_id == 1]
    assert [(event.voters, event.voters_outgoing, event.conf_change) for event in applied] == [
        ((1, 2, 3), (), TracedConfChange(new_voters=(1, 3, 4))),
        ((1, 3, 4), (1, 2, 3), TracedConfChange(new_voters=(1, 3, 4))),
    ]


def test_what_leaves_a_joint_configuration_is_not_told_when_proposed() -> None:
    scene = Scene("1 voters=(1) index=10")
    scene.run("campaign 1", "stabilize", "propose-conf-change 1 transition=explicit\nl2 l3", "stabilize 1")
    assert [event.name for event in scene.run("propose-conf-change 1")] == ["SendAppendEntriesResponse"]


def test_a_change_that_is_refused_is_an_entry_like_others() -> None:
    scene = Scene("1 voters=(1) index=10")
    scene.run("campaign 1", "stabilize", "propose-conf-change 1\nl2")
    assert [event.name for event in scene.run("propose-conf-change 1\nl3")] == [
        "Replicate",
        "SendAppendEntriesResponse",
    ]


def test_a_leader_outside_its_configuration_has_nothing_to_tell_of_itself() -> None:
    scene = Scene("3 voters=(1,2,3) index=10")
    scene.run("campaign 1", "stabilize", "propose 1 x", "propose-conf-change 1\nr1", "stabilize")
    scene.run("report-unreachable 1 2", "tick-heartbeat 1")
    sent = [
        event
        for event in of_kind(scene.run("stabilize"), "SendAppendEntriesRequest")
        if event.message is not None and event.message.type == "MsgApp"
    ]
    assert [(event.voters, event.match, "prop" in event.to_dict()) for event in sent] == [((2, 3), None, False)]


# -- from a state


def test_a_node_built_from_a_state_tells_only_what_comes_after() -> None:
    scene = Scene("3 voters=(1,2,3) index=10")
    scene.run("campaign 1", "stabilize", "propose-conf-change 1\nl4", "stabilize")
    scene.recorder.take()
    node = scene.env.nodes[0]
    node.raw = RawNode.from_state(node.config, node.raw.export_state())
    assert scene.recorder.take() == []
    node.raw.propose(b"x")
    assert scene.recorder.names()[:2] == ["Replicate", "SendAppendEntriesResponse"]


# -- a listener in trouble


class Failing:
    """Raises at events of that name while it is armed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.armed = True
        self.error = OSError("no space left for traces")

    def trace_event(self, event: TraceEvent, /) -> None:
        if self.armed and event.name == self.name:
            raise self.error


@pytest.mark.parametrize("name", [name for name in NAMES if name != "InitState"])
def test_a_listener_that_fails_stops_the_node(name: str) -> None:
    """As a logger would: the one node that was at it."""
    failing = Failing(name)
    failing.armed = False
    env = InteractionEnv(trace_logger=failing)
    env.handle("add-nodes 2 voters=(1,2) index=10")
    failing.armed = True
    with pytest.raises(OSError, match="no space left for traces") as raised:
        elect_and_grow(env)
    assert raised.value is failing.error
    (failed,) = [node.raw for node in env.nodes if has_failed(node.raw)]
    for call in (failed.tick, failed.ready, failed.campaign, failed.export_state):
        with pytest.raises(NodeFailedError) as told:
            call()
        assert told.value.cause is failing.error


def has_failed(node: RawNode) -> bool:
    try:
        node.has_ready()
    except NodeFailedError:
        return True
    return False


@pytest.mark.parametrize("name", ["InitState", "ApplyConfChange", "BecomeFollower"])
def test_one_that_fails_at_the_start_gives_no_node(name: str) -> None:
    with pytest.raises(OSError, match="no space left for traces"):
        RawNode(config_of(1, MemoryStorage(), trace_logger=Failing(name)))


def test_a_listener_may_not_call_the_node() -> None:
    met: list[str] = []

    class Curious:
        node: RawNode | None = None

        def trace_event(self, _event: TraceEvent, /) -> None:
            if self.node is not None:
                with pytest.raises(MisuseError) as raised:
                    self.node.has_ready()
                met.append(str(raised.value))
                self.node.status()

    curious = Curious()
    node = RawNode(config_of(1, storage_of(ConfState((1, 2)), (1,)), trace_logger=curious))
    curious.node = node
    node.step(append(2))
    assert met == ["another call is under way: one thread, and no calls from within a callback"] * 3
    curious.node = None
    assert node.has_ready()
