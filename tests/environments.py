"""Clusters for tests, and what they say."""

from rafttest import InteractionEnv
from rafttest.trace.comparison import significant_lines


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
