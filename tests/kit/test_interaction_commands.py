"""Commands of the interaction environment that ask nodes for something, show them, or move their work on."""

import pytest
from environments import last_index, leader_of, led, run, say

from pyraft.errors import StorageError
from raftpb import LOCAL_APPEND_THREAD, ConfChange, ConfState, Entry, HardState, Message, MessageType, Snapshot
from raftpb.enums import ENTRY_CONF_CHANGE, UPDATE_NODE
from rafttest import InteractionEnv

# -- requests


def test_a_proposal_reaches_every_log() -> None:
    env = run('propose 1 a"b', "stabilize", env=led())
    for node in (1, 2, 3):
        assert say(env, f"raft-log {node}") == ['1/3 EntryNormal ""', '1/4 EntryNormal "a\\"b"']


@pytest.mark.parametrize(
    ("command", "entry"),
    [
        pytest.param("propose-conf-change 1\nv4", "EntryConfChangeV2 v4", id="one step"),
        pytest.param("propose-conf-change 1 ignored\nv4", "EntryConfChangeV2 v4", id="words do not count"),
        pytest.param("propose-conf-change 1 v1=true\nr2", "EntryConfChange r2", id="the older form"),
        pytest.param(
            "propose-conf-change 1 v1=false transition=auto\nv4 l5", "EntryConfChangeV2 v4 l5", id="two steps"
        ),
        pytest.param("propose-conf-change 1 transition=implicit\nv4", "EntryConfChangeV2 v4", id="implicit"),
    ],
)
def test_changes_that_are_proposed(command: str, entry: str) -> None:
    env = run(command, "stabilize", env=led())
    assert say(env, "raft-log 1")[1] == f"1/4 {entry}"


@pytest.mark.parametrize(
    ("transition", "voters_outgoing", "auto_leave"),
    [
        pytest.param("auto", (), False, id="auto takes one step directly"),
        pytest.param("implicit", (1,), True, id="implicit enters a joint configuration, to be left by itself"),
        pytest.param("explicit", (1,), False, id="explicit enters one, to be left on request"),
    ],
)
def test_transitions(transition: str, voters_outgoing: tuple[int, ...], auto_leave: bool) -> None:
    env = run(f"propose-conf-change 1 transition={transition}\nv2", "stabilize", env=led(1))
    config = env.nodes[0].raw.status().config
    assert (config.voters, config.voters_outgoing, config.auto_leave) == ((1, 2), voters_outgoing, auto_leave)


def test_a_change_without_steps_leaves_a_joint_configuration() -> None:
    env = run("propose-conf-change 1 transition=explicit\nl2", "stabilize", env=led(1))
    assert env.nodes[0].raw.status().config.is_joint()
    run("propose-conf-change 1", "stabilize", env=env)
    assert not env.nodes[0].raw.status().config.is_joint()
    assert env.nodes[0].storage.applied.metadata.conf_state.learners == (2,)


@pytest.mark.parametrize(
    ("command", "output"),
    [
        pytest.param(
            "propose-conf-change 1 v1=true\nv4 v5",
            "v1 conf change can only have one operation and no transition",
            id="two steps in the older form",
        ),
        pytest.param(
            "propose-conf-change 1 v1=true transition=explicit\nv4",
            "v1 conf change can only have one operation and no transition",
            id="a transition in the older form",
        ),
        pytest.param("propose-conf-change 1 x=y\nv4", "unknown command x", id="an option there is not"),
        pytest.param("propose-conf-change 1 transition=x\nv4", "unknown transition x", id="a transition there is not"),
        pytest.param(
            "propose-conf-change 1 v1=x\nv4", 'strconv.ParseBool: parsing "x": invalid syntax', id="no truth value"
        ),
        pytest.param("propose-conf-change 1\nq4", "unknown input: q4", id="a step there is not"),
        pytest.param("propose-conf-change 1 v1=x\nq4", 'strconv.ParseBool: parsing "x": invalid syntax', id="both"),
    ],
)
def test_changes_that_are_refused(command: str, output: str) -> None:
    env = led()
    assert say(env, command) == [output]
    assert not env.nodes[0].raw.has_ready()


def test_a_read_is_answered_in_a_later_ready() -> None:
    env = led(1)
    assert say(env, "read-index 1 ab") == ["ok"]
    assert say(env, "process-ready 1") == ["Ready MustSync=false:", "ReadStates [{3 [97 98]}]"]


def test_a_read_that_is_dropped_is_no_error() -> None:
    assert say(run("add-nodes 1 voters=(1,2) index=2"), "read-index 1 ab") == ["ok"]


def test_leadership_is_transferred() -> None:
    env = run("transfer-leadership from=1 to=3", "stabilize", env=led())
    assert [leader_of(env, node) for node in (1, 2, 3)] == [3, 3, 3]


def test_a_follower_forgets_its_leader() -> None:
    env = led()
    assert say(env, "forget-leader 2") == ["ok"]
    assert [leader_of(env, node) for node in (1, 2, 3)] == [1, 0, 1]


def test_a_leader_that_cannot_be_forgotten_is_no_error() -> None:
    env = led(3, "checkquorum=true read-only=lease-based")
    assert say(env, "forget-leader 2") == ["ok"]
    assert leader_of(env, 2) == 1


def test_a_node_that_was_not_reached_is_probed() -> None:
    env = led()
    assert say(env, "report-unreachable 1 3") == ["ok"]
    assert say(env, "status 1") == [
        "1: StateReplicate match=3 next=4",
        "2: StateReplicate match=3 next=4",
        "3: StateProbe match=3 next=4",
    ]


@pytest.mark.parametrize("command", ["report-unreachable", "report-unreachable 1", "report-unreachable 1 2 3"])
def test_a_report_names_two_nodes(command: str) -> None:
    assert say(led(), command) == ["must specify exactly two node indexes: node on which to report, and reported node"]


# -- showing


def test_the_state_of_all_nodes() -> None:
    env = run("add-nodes 3 voters=(1,2) learners=(3) index=2", "campaign 2", "stabilize")
    assert say(env, "raft-state") == [
        "1: StateFollower (Voter) Term:1 Lead:2",
        "2: StateLeader (Voter) Term:1 Lead:2",
        "3: StateFollower (Non-Voter) Term:1 Lead:2",
    ]


def test_a_voter_of_the_outgoing_half_counts_as_voter() -> None:
    env = run("propose-conf-change 1 transition=explicit\nv2 r1", "stabilize 1", env=led(1))
    assert say(env, "raft-state") == ["1: StateLeader (Voter) Term:1 Lead:1"]


def test_only_a_leader_has_a_status_to_show() -> None:
    assert say(led(), "status 2") == ["ok"]


def test_an_empty_log_says_where_it_would_begin() -> None:
    assert run("add-nodes 1").handle("raft-log 1") == "log is empty: first index=1, last index=0"


def test_a_log_shows_what_is_stored_only() -> None:
    env = run("propose 1 foo", env=led(1))
    assert say(env, "raft-log 1") == ['1/3 EntryNormal ""']


def test_compaction_shows_what_is_left() -> None:
    env = run("propose 1 foo", "stabilize", env=led(1))
    assert say(env, "compact 1 3") == ['1/4 EntryNormal "foo"']
    assert say(env, "compact 1 3") == ["requested index is unavailable due to compaction"]
    assert say(env, "compact 1 4") == ["log is empty: first index=5, last index=4"]


@pytest.mark.parametrize(
    ("text", "why"),
    [("x", "invalid syntax"), ("-1", "invalid syntax"), ("18446744073709551616", "value out of range")],
)
def test_compaction_up_to_what_is_no_index(text: str, why: str) -> None:
    assert say(led(1), f"compact 1 {text}") == [f'strconv.ParseUint: parsing "{text}": {why}']


# -- messages


def campaigning() -> InteractionEnv:
    """Node 1 of three has asked the others for their votes."""
    return run("add-nodes 3 voters=(1,2,3) index=2", "campaign 1", "process-ready 1")


def test_messages_are_delivered_in_the_order_of_the_recipients_written() -> None:
    env = campaigning()
    assert say(env, "deliver-msgs 3 2") == ["1->3 MsgVote Term:1 Log:1/2", "1->2 MsgVote Term:1 Log:1/2"]
    assert env.messages == []
    assert env.nodes[2].raw.basic_status().hard_state == HardState(1, 1, 2)


def test_messages_are_dropped() -> None:
    env = campaigning()
    assert say(env, "deliver-msgs drop=(2) 3") == [
        "dropped: 1->2 MsgVote Term:1 Log:1/2",
        "1->3 MsgVote Term:1 Log:1/2",
    ]
    assert env.nodes[1].raw.basic_status().hard_state.term == 0
    assert env.nodes[2].raw.basic_status().hard_state.term == 1


def test_only_messages_of_the_type_asked_for_move() -> None:
    env = run("propose 1 foo", "tick-heartbeat 1", "process-ready 1", env=led())
    assert say(env, "deliver-msgs type=MsgHeartbeat 2 drop=3") == [
        "1->2 MsgHeartbeat Term:1 Log:0/0 Commit:3",
        "dropped: 1->3 MsgHeartbeat Term:1 Log:0/0 Commit:3",
    ]
    assert [message.type for message in env.messages] == [MessageType.MsgApp] * 2


@pytest.mark.parametrize("command", ["deliver-msgs", "deliver-msgs 1", "deliver-msgs drop=(1,7)"])
def test_nothing_to_deliver(command: str) -> None:
    assert campaigning().handle(command) == "no messages\n"


def test_messages_to_nodes_that_do_not_exist_yet_may_be_dropped() -> None:
    env = run("add-nodes 1 voters=(1,9) index=2", "campaign 1", "process-ready 1")
    assert say(env, "deliver-msgs drop=9") == ["dropped: 1->9 MsgVote Term:1 Log:1/2"]


def test_what_is_local_to_a_node_is_never_dropped() -> None:
    env = run(
        "add-nodes 1 voters=(1) index=2 async-storage-writes=true",
        "campaign 1",
        "process-ready 1",
        "process-append-thread 1",
    )
    assert [message.from_ for message in env.messages] == [1]
    assert say(env, "deliver-msgs drop=1") == ["no messages"]
    run("deliver-msgs 1", "process-ready 1", "process-append-thread 1", env=env)
    assert [message.from_ for message in env.messages] == [1, LOCAL_APPEND_THREAD]
    assert say(env, "deliver-msgs drop=1") == ["no messages"]


def test_what_a_node_refuses_is_said_below_the_message() -> None:
    env = led()
    env.messages.append(Message(MessageType.MsgAppResp, to=1, from_=9, term=1, index=3))
    env.messages.append(Message(MessageType.MsgHup, to=1, from_=2))
    env.messages.append(Message(MessageType.MsgProp, to=2, from_=3, entries=[Entry()]))
    assert say(env, "deliver-msgs 1") == [
        "9->1 MsgAppResp Term:1 Log:0/3",
        "raft: cannot step as peer not found",
        "2->1 MsgHup Term:0 Log:0/0",
        "raft: cannot step raft local message",
    ]
    run("forget-leader 2", env=env)
    assert say(env, "deliver-msgs 2")[1] == "raft proposal dropped"


def test_a_snapshot_is_sent_as_the_application_has_it() -> None:
    env = run("propose 1 foo", "stabilize", "compact 1 4", "add-nodes 1", env=led(1))
    output = env.handle("send-snapshot 1 2")
    assert output == (
        "1->2 MsgSnap Term:1 Log:0/0\n"
        "  Snapshot: Index:4 Term:1 ConfState:Voters:[1] VotersOutgoing:[] Learners:[] LearnersNext:[] AutoLeave:false"
    )
    (message,) = env.messages
    assert message.snapshot is not None
    assert message.snapshot.data == b"foo"


# -- Readys and storage threads


def test_the_state_of_the_application_is_all_that_was_applied() -> None:
    env = run("propose 1 foo", "propose 1 bar", "propose-conf-change 1\nl2", "stabilize", env=led(1))
    applied = env.nodes[0].storage.applied
    assert applied.data == b"foobar"
    assert (applied.metadata.index, applied.metadata.term) == (6, 1)
    assert applied.metadata.conf_state.learners == (2,)


def test_the_context_of_a_change_is_what_the_application_applies() -> None:
    env = led(1)
    env.nodes[0].raw.propose_conf_change(ConfChange(UPDATE_NODE, 1, b"context"))
    run("stabilize", env=env)
    assert env.nodes[0].storage.applied.data == b"context"


def test_an_installed_snapshot_is_not_the_application_s() -> None:
    """As in the reference: what the application gives others is the state after the entry it applied last."""
    env = run("add-nodes 1", "propose-conf-change 1\nl2", "stabilize", env=led(1))
    node = env.nodes[1]
    assert node.storage.last_index() == 4
    assert node.storage.snapshot() == Snapshot()
    assert node.storage.initial_state() == (HardState(1, 0, 4), ConfState((1,), (2,)))


@pytest.mark.parametrize(
    ("command", "said"),
    [
        pytest.param("process-ready 1", "<empty Ready>", id="Ready"),
        pytest.param("process-append-thread 1", "no append work to perform", id="append thread"),
        pytest.param("process-apply-thread 1", "no apply work to perform", id="apply thread"),
    ],
)
def test_nodes_that_have_nothing_to_do(command: str, said: str) -> None:
    env = led()
    assert env.handle(command) == said
    heading = {"ready": "handling Ready", "append": "processing append thread", "apply": "processing apply thread"}
    part = heading[command.split(" ", maxsplit=1)[0].split("-")[1]]
    assert env.handle(f"{command} 3") == f"> 1 {part}\n  {said}\n> 3 {part}\n  {said}\n"
    assert env.handle(command.split(" ", maxsplit=1)[0]) == "ok"


def test_storage_threads_do_one_piece_of_work_at_a_time() -> None:
    env = run("propose 1 foo", "process-ready 1", "propose 1 bar", env=led(1, "async-storage-writes=true"))
    run("process-ready 1", env=env)
    assert len(env.nodes[0].append_work) == 2
    assert say(env, "process-append-thread 1") == [
        "Processing:",
        '1->AppendThread MsgStorageAppend Term:0 Log:0/0 Entries:[1/4 EntryNormal "foo"]',
        "Responses:",
        "1->1 MsgAppResp Term:1 Log:0/4",
        "AppendThread->1 MsgStorageAppendResp Term:1 Log:1/4",
    ]
    assert last_index(env, 1) == 4
    assert len(env.nodes[0].append_work) == 1
    run("deliver-msgs 1", "process-ready 1", env=env)
    assert say(env, "process-apply-thread 1") == [
        "Processing:",
        '1->ApplyThread MsgStorageApply Term:0 Log:0/0 Entries:[1/4 EntryNormal "foo"]',
        "Responses:",
        'ApplyThread->1 MsgStorageApplyResp Term:0 Log:0/0 Entries:[1/4 EntryNormal "foo"]',
    ]
    assert env.nodes[0].storage.applied.data == b"foo"


def test_stabilize_works_until_all_are_at_rest() -> None:
    env = run("propose 1 foo", env=led(3, "async-storage-writes=true"))
    env.handle("stabilize")
    assert all(node.storage.applied.data == b"foo" for node in env.nodes)
    assert not any(node.raw.has_ready() or node.append_work or node.apply_work for node in env.nodes)
    assert env.messages == []
    assert env.handle("stabilize") == "ok"


def test_stabilize_goes_phase_by_phase_over_all_nodes() -> None:
    env = run("propose 1 foo", env=led(2))
    headings = [line for line in say(env, "stabilize") if line.startswith(">")]
    assert headings == [
        "> 1 handling Ready",
        "> 2 receiving messages",
        "> 2 handling Ready",
        "> 1 receiving messages",
        "> 1 handling Ready",
        "> 2 receiving messages",
        "> 2 handling Ready",
        "> 1 receiving messages",
    ]


def test_stabilize_leaves_other_nodes_alone() -> None:
    env = run("propose 1 foo", "stabilize 1 2", env=led())
    assert [last_index(env, node) for node in (1, 2, 3)] == [4, 4, 3]
    assert {message.to for message in env.messages} == {3}


def test_stabilize_at_a_level_of_its_own() -> None:
    env = run("propose 1 foo", env=led())
    assert env.handle("stabilize log-level=none") == "ok"
    assert env.handle("raft-log 3").count("\n") == 2


def test_a_change_that_cannot_be_decoded_is_an_error_of_the_command() -> None:
    env = led(1, "async-storage-writes=true")
    work = Message(MessageType.MsgStorageApply, entries=[Entry(ENTRY_CONF_CHANGE, 1, 4, b"\xff")])
    env.nodes[0].apply_work.append(work)
    output = env.handle("process-apply-thread 1")
    assert output.startswith("Processing:\n")
    assert "malformed" in output.splitlines()[-1]
    assert "Responses:" not in output
    env.nodes[0].apply_work.append(work)
    assert "Responses:" not in env.handle("stabilize")  # where such an error ends nothing


def test_a_node_that_dies_while_it_applies_ends_the_command() -> None:
    env = led(1, "async-storage-writes=true")
    run("propose-conf-change 1\nl2", "process-ready 1", "process-append-thread 1", "deliver-msgs 1", env=env)
    run("process-ready 1", "compact 1 4", env=env)
    env.nodes[0].storage.applied = Snapshot()  # which the new member will need
    with pytest.raises(StorageError):
        env.handle("stabilize")


def test_a_snapshot_with_entries_is_refused() -> None:
    env = led(1, "async-storage-writes=true")
    env.nodes[0].append_work.append(
        Message(MessageType.MsgStorageAppend, entries=[Entry(term=1, index=4)], snapshot=env.nodes[0].storage.applied)
    )
    output = env.handle("process-append-thread 1")
    assert output.endswith("can't apply snapshot and entries at the same time")
