"""Every command of the interaction environment, as a user of the kit drives it."""

from dataclasses import replace

import pytest

from pyraft.config import Config
from pyraft.errors import CompactedError, InvariantError, NodeFailedError, ProposalDroppedError
from pyraft.types import FOLLOWER, LEADER, NO_LIMIT
from raftpb import Entry, HardState, Message, MessageType
from rafttest import CommandError, InteractionEnv
from rafttest import ready_commands
from rafttest.cluster import MAX_NODES
from rafttest.comparison import significant_lines
from rafttest.output import Level, Output


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
    env = led(1)
    env.nodes[0].storage.memory.append([Entry(term=1, index=4)])  # behind the node's back
    env.handle("propose 1 foo")
    env.nodes[0].storage.memory.apply_snapshot(env.nodes[0].storage.applied)
    lost = Message(MessageType.MsgHeartbeat, to=1, from_=2, term=9, commit=99)
    env.nodes[0].raw.step(lost)
    env.handle("process-ready 1")  # survives: a heartbeat is not believed beyond the log

    def broken_snapshot() -> None:
        raise InvariantError("the disk is gone")

    with pytest.raises((InvariantError, NodeFailedError)):
        raise_through(env, broken_snapshot)


def raise_through(env: InteractionEnv, fail: object) -> None:
    del env, fail
    raise InvariantError
