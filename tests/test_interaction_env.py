"""Every command of the interaction environment, as a user of the kit drives it."""

from dataclasses import replace

import pytest

from pyraft.config import Config
from pyraft.errors import NodeFailedError, ProposalDroppedError, StorageError
from pyraft.types import LEADER, LEASE_BASED
from raftpb import LOCAL_APPEND_THREAD, ConfChange, ConfState, Entry, HardState, Message, MessageType, Snapshot
from raftpb.enums import ENTRY_CONF_CHANGE, UPDATE_NODE
from rafttest import CommandError, InteractionEnv, ready_commands
from rafttest.comparison import significant_lines
from rafttest.output import Level, Output
from rafttest.ready_commands import RestlessError


def say(env: InteractionEnv, text: str) -> list[str]:
    """What a command says, without log lines."""
    return significant_lines(env.handle(text))


def run(*commands: str, env: InteractionEnv | None = None) -> InteractionEnv:
    env = InteractionEnv() if env is None else env
    for command in commands:
        env.handle(command)
    return env


def led(nodes: int = 3, options: str = "") -> InteractionEnv:
    """A cluster whose node 1 leads in term 1; index 3 is committed everywhere."""
    voters = ",".join(str(id) for id in range(1, nodes + 1))
    return run(f"add-nodes {nodes} voters=({voters}) index=2 {options}", "campaign 1", "stabilize")


def leader_of(env: InteractionEnv, node: int) -> int:
    return env.nodes[node - 1].raw.basic_status().soft_state.leader


def last_index(env: InteractionEnv, node: int) -> int:
    return env.nodes[node - 1].storage.last_index()


# -- the dispatcher


def test_a_user_drives_a_cluster() -> None:
    env = InteractionEnv()
    assert say(env, "add-nodes 3 voters=(1,2,3) index=2") == ["ok"]
    assert say(env, "campaign 1") == ["ok"]
    assert env.nodes[0].raw.has_ready()
    env.handle("process-ready 1")
    assert [(message.type, message.to) for message in env.messages] == [
        (MessageType.MsgVote, 2),
        (MessageType.MsgVote, 3),
    ]
    env.handle("stabilize")
    assert env.nodes[0].raw.basic_status().soft_state.role is LEADER
    assert env.messages == []


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        pytest.param("", "unknown command ''", id="nothing"),
        pytest.param("simple", "unknown command 'simple'", id="a command of another kind of trace"),
        pytest.param("campaign", "needs at least 1", id="a node is missing"),
        pytest.param("campaign 1 2", "does not take '2'", id="a node too many"),
        pytest.param("campaign 3", "there is no node 3; there are 2", id="a node that does not exist"),
        pytest.param("campaign 0", "there is no node 0", id="node 0"),
        pytest.param("campaign x", "'x' is not a number", id="a node that is no number"),
        pytest.param("campaign 1 how=fast", "has no option 'how'", id="an unknown option"),
        pytest.param("campaign 1\nnow", "takes no input", id="input"),
        pytest.param("campaign =1", "column 10", id="a line that cannot be parsed"),
        pytest.param("add-nodes 1 votrs=(1)", "has no option 'votrs'", id="a slip of the pen"),
        pytest.param("add-nodes 1 content=foo", "has no option 'content'", id="content, which cannot be given"),
        pytest.param("add-nodes 1 index=x", "is not a number", id="an index that is no number"),
        pytest.param("add-nodes 1 index=", "is not a number", id="an index that is empty"),
        pytest.param("add-nodes 1 index=(3,4)", "takes one value", id="two indexes"),
        pytest.param("add-nodes 1 prevote=perhaps", "neither true nor false", id="a flag that is none"),
        pytest.param("add-nodes 1 index=5 learners=(3)", "removed all voters", id="learners only"),
        pytest.param("add-nodes 1 index=5 voters=(3,3)", "different nodes", id="the same voter twice"),
        pytest.param("add-nodes 1 index=5 voters=(3) learners=(3)", "different nodes", id="a voter that is a learner"),
        pytest.param("add-nodes 1 index=5 voters=(0)", "different nodes", id="voter 0"),
        pytest.param("add-nodes 1 inflight=0", "max_inflight_msgs", id="a window of nothing"),
        pytest.param("add-nodes 1 read-only=lease-based", "check_quorum", id="a lease without check-quorum"),
        pytest.param("add-nodes 999", "at most 1000 nodes", id="too many nodes"),
        pytest.param("compact 1 99", "the log of 1 ends at 2", id="compaction beyond the log"),
        pytest.param("deliver-msgs 3", "there is no node 3", id="delivery to nobody"),
        pytest.param("deliver-msgs 1 drop=1", "messages to 1 cannot be dropped", id="delivered and dropped"),
        pytest.param("deliver-msgs drop=(2,2)", "messages to 2 cannot be dropped", id="dropped twice"),
        pytest.param("deliver-msgs drop=x", "is not a number", id="a drop that is no number"),
        pytest.param("deliver-msgs 1 type=MsgFoo", "no message type 'MsgFoo'", id="an unknown type"),
        pytest.param("process-ready 7", "there is no node 7", id="the Ready of nobody"),
        pytest.param("process-ready 1 x=2", "has no option 'x'", id="a Ready with options"),
        pytest.param("propose 1", "needs at least 2", id="a proposal of nothing"),
        pytest.param("propose 1 a b", "does not take 'b'", id="a proposal with a space"),
        pytest.param("propose-conf-change 1 v1=true", "needs one step", id="a change of one step without any"),
        pytest.param("propose-conf-change 1\nv3\nv4", "takes one line of input", id="steps on two lines"),
        pytest.param("raft-state 1", "does not take '1'", id="the state of one node"),
        pytest.param("set-randomized-election-timeout 1", "timeout=T", id="no time-out"),
        pytest.param("set-randomized-election-timeout 1 timeout=0", "timeout=T", id="a time-out of nothing"),
        pytest.param("stabilize 1 9", "there is no node 9", id="work for nobody"),
        pytest.param("transfer-leadership from=1", "from=ID and to=ID", id="a transfer to nobody"),
        pytest.param("transfer-leadership from=1 to=9", "there is no node 9", id="a transfer to a stranger"),
        pytest.param("report-unreachable 1 9", "there is no node 9", id="a report about a stranger"),
    ],
)
def test_commands_that_cannot_be_run(command: str, complaint: str) -> None:
    env = run("add-nodes 2 voters=(1,2) index=2")
    with pytest.raises(CommandError, match=complaint):
        env.handle(command)


def test_an_error_of_the_core_is_output() -> None:
    assert say(run("add-nodes 1"), "propose 1 foo") == ["raft proposal dropped"]
    with pytest.raises(ProposalDroppedError):
        run("add-nodes 1").nodes[0].raw.propose(b"foo")


def test_a_dead_node_is_no_output() -> None:
    env = run("add-nodes 2 voters=(1,2,3) index=2", "campaign 1", "stabilize", "compact 1 3")
    env.nodes[0].storage.applied = Snapshot()  # the application has lost its state, and node 3 will need it
    run("add-nodes 1", "tick-heartbeat 1", "process-ready 1", "deliver-msgs 3", "process-ready 3", env=env)
    with pytest.raises(StorageError):
        env.handle("deliver-msgs 1")
    assert env.output.text().startswith("3->1 ")
    with pytest.raises(NodeFailedError):
        env.handle("campaign 1")
    with pytest.raises(NodeFailedError):
        env.handle("stabilize")


def test_commands_that_say_nothing_say_ok() -> None:
    assert InteractionEnv().handle("_breakpoint") == "ok"


def test_a_node_that_would_work_for_ever_is_stopped() -> None:
    """Here it is only long: one entry a pass, and more entries than passes."""
    env = led(1, "max-committed-size-per-ready=1")
    for _ in range(ready_commands.MAX_PASSES + 1):
        env.nodes[0].raw.propose(b"")
    with pytest.raises(RestlessError, match="no rest after 10000 passes"):
        env.handle("stabilize log-level=none")
    assert env.output.level is Level.DEBUG
    env.handle("stabilize")
    assert not env.nodes[0].raw.has_ready()


# -- add-nodes


def test_nodes_start_from_the_snapshot_given() -> None:
    env = run("add-nodes 2 voters=(1,2) learners=(3) index=7")
    for node in env.nodes:
        assert (node.storage.first_index(), node.storage.last_index(), node.storage.term(7)) == (8, 7, 1)
        assert node.raw.status().config.voters == (1, 2)
        assert node.raw.status().config.learners == (3,)
        assert node.raw.basic_status().applied == 7


def test_nodes_without_a_snapshot_are_empty() -> None:
    env = run("add-nodes 1", "add-nodes 1")
    assert [node.id for node in env.nodes] == [1, 2]
    assert (env.nodes[1].storage.first_index(), env.nodes[1].storage.last_index()) == (1, 0)


def test_nodes_have_the_reference_s_defaults_but_for_what_is_given() -> None:
    plain, special = (
        run(command).nodes[0].config
        for command in (
            "add-nodes 1",
            "add-nodes 1 prevote=true checkquorum=t read-only=lease-based async-storage-writes=1 inflight=5 "
            "max-committed-size-per-ready=100 step-down-on-removal=TRUE disable-conf-change-validation=T",
        )
    )
    assert plain == Config.reference_defaults(
        id=1,
        storage=plain.storage,
        election_tick=3,
        max_inflight_msgs=2**31 - 1,
        random=plain.random,
        logger=plain.logger,
    )
    assert special == replace(
        plain,
        storage=special.storage,
        random=special.random,
        logger=special.logger,
        pre_vote=True,
        check_quorum=True,
        read_only_option=LEASE_BASED,
        async_storage_writes=True,
        max_inflight_msgs=5,
        max_committed_size_per_ready=100,
        step_down_on_removal=True,
        disable_conf_change_validation=True,
    )


@pytest.mark.parametrize(
    ("command", "output"),
    [
        pytest.param("add-nodes 1 index=1", "index must be specified as > 1 due to bootstrap", id="index 1"),
        pytest.param("add-nodes 1 voters=(1)", "index must be specified as > 1 due to bootstrap", id="no index"),
        pytest.param("add-nodes 1 read-only=never", 'invalid read-only option "never"', id="an option there is not"),
    ],
)
def test_additions_that_are_refused(command: str, output: str) -> None:
    env = InteractionEnv()
    assert say(env, command) == [output]
    assert env.nodes == []


def test_a_user_may_configure_nodes() -> None:
    def configure(config: Config) -> Config:
        return replace(config, pre_vote=config.id == 2)

    env = run("add-nodes 2", env=InteractionEnv(configure))
    assert [node.config.pre_vote for node in env.nodes] == [False, True]


def test_a_user_may_not_change_who_a_node_is() -> None:
    env = InteractionEnv(lambda config: replace(config, id=config.id + 1))
    with pytest.raises(ValueError, match="configure must keep the id"):
        env.handle("add-nodes 1")


# -- log-level


def test_the_level_decides_which_log_lines_are_said() -> None:
    output = Output()
    output.level = Level.WARN
    output.debug("no")
    output.info("no")
    output.warning("two\nlines of %s", "one")
    output.error("100%")
    assert output.text() == "WARN two lines of one\nERROR 100%\n"


def test_at_the_level_none_nothing_is_said_but_errors() -> None:
    env = run("add-nodes 1 voters=(1) index=2")
    assert env.handle("log-level none") == "ok"
    assert env.handle("raft-state") == "ok"
    assert env.handle("propose 1 foo") == "raft proposal dropped"
    assert env.handle("log-level Warn") == "ok"
    assert env.handle("raft-state") == "1: StateFollower (Voter) Term:0 Lead:0\n"


def test_an_unknown_level_is_refused() -> None:
    refusal = "log levels must be either of [DEBUG INFO WARN ERROR FATAL NONE]"
    assert InteractionEnv().handle("log-level loud") == refusal
    assert InteractionEnv().handle("stabilize log-level=loud") == refusal


# -- time


def test_election_ticks_bring_an_election_when_the_time_out_is_the_shortest() -> None:
    env = run("add-nodes 1 voters=(1) index=2", "tick-election 1")
    assert say(env, "raft-state") == ["1: StateCandidate (Voter) Term:1 Lead:0"]


def test_a_time_out_that_was_set_holds_until_the_next_role() -> None:
    env = run("add-nodes 1 voters=(1,2) index=2", "set-randomized-election-timeout 1 timeout=5", "tick-election 1")
    assert say(env, "raft-state") == ["1: StateFollower (Voter) Term:0 Lead:0"]
    run("tick-election 1", env=env)
    assert say(env, "raft-state") == ["1: StateCandidate (Voter) Term:1 Lead:0"]
    run("tick-election 1", env=env)
    assert say(env, "raft-state") == ["1: StateCandidate (Voter) Term:2 Lead:0"]


def test_setting_a_time_out_changes_nothing_else() -> None:
    env = run("propose 1 foo", "process-ready 1", env=led())
    before = env.nodes[0].raw.export_state()
    run("set-randomized-election-timeout 1 timeout=77", env=env)
    assert env.nodes[0].raw.export_state() == replace(before, randomized_election_timeout=77)


def test_a_heartbeat_tick_brings_heartbeats() -> None:
    env = run("tick-heartbeat 1", env=led())
    assert say(env, "process-ready 1") == [
        "Ready MustSync=false:",
        "Messages:",
        "1->2 MsgHeartbeat Term:1 Log:0/0 Commit:3",
        "1->3 MsgHeartbeat Term:1 Log:0/0 Commit:3",
    ]


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


def test_a_snapshot_with_entries_is_refused() -> None:
    env = led(1, "async-storage-writes=true")
    env.nodes[0].append_work.append(
        Message(MessageType.MsgStorageAppend, entries=[Entry(term=1, index=4)], snapshot=env.nodes[0].storage.applied)
    )
    output = env.handle("process-append-thread 1")
    assert output.endswith("can't apply snapshot and entries at the same time")
