"""Test kit: run Raft nodes under a script, or scripts against recorded outputs.

A script drives whole clusters command by command, with no clock, network or disk, and shows all that nodes do. From a
test of your own:

    env = InteractionEnv()
    env.handle("add-nodes 3 voters=(1,2,3) index=2")
    env.handle("campaign 1")
    env.handle("stabilize")
    assert env.nodes[0].raw.basic_status().soft_state.leader == 1
    assert run_trace("traces/my_scenario.txt").matches()

From the command line: `python -m rafttest replay traces/`.

Read in this order: `trace` (the format, what answers commands, how outputs are compared), `interaction` (clusters),
`arithmetic` (quorums and configurations), `replay`. Then `sim`, which runs clusters under faults by seed.
"""

from rafttest.arithmetic.confchange_env import ConfigurationEnv
from rafttest.arithmetic.quorum_env import QuorumEnv
from rafttest.interaction.env import InteractionEnv
from rafttest.interaction.ready import RestlessError
from rafttest.replay import Outcome, TraceResult, run_trace
from rafttest.trace.command import Command, CommandError
from rafttest.trace.file import MalformedTraceError
from rafttest.trace.state_trace_writer import StateTraceWriter

__all__ = [
    "Command",
    "CommandError",
    "ConfigurationEnv",
    "InteractionEnv",
    "MalformedTraceError",
    "Outcome",
    "QuorumEnv",
    "RestlessError",
    "StateTraceWriter",
    "TraceResult",
    "run_trace",
]
