"""Every command of the interaction environment, as a user of the kit drives it."""

from dataclasses import replace

import pytest
from environments import led, run, say

from pyraft.config import Config
from pyraft.errors import NodeFailedError, ProposalDroppedError, StorageError
from pyraft.types import LEADER, LEASE_BASED
from raftpb import MessageType, Snapshot
from rafttest import CommandError, InteractionEnv
from rafttest.interaction import ready
from rafttest.interaction.ready import RestlessError
from rafttest.trace.output import Level, Output

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
    for _ in range(ready.MAX_PASSES + 1):
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
