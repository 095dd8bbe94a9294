"""The hand that writes a random script: what it has written, and what it believes about the cluster that follows it.

It never sees a cluster. Its belief — who leads, who votes, how long the log is — is often right, so that clusters make
progress, and sometimes wrong, which is where the odd states are. `rafttest.generate.moves` says what it does with it.

Invariants: no command names a node before it is created, except as a member or to drop its messages; `last` and
`applied` count only what was proposed to a leader that is likely to lead.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from raftpb.enums import MessageType

_TYPES: Final = [str(kind) for kind in MessageType]

# What a proposal's data may end in: Go quotes some of it when it prints it. Not a backslash, which would continue the
# line.
_ENDINGS: Final = ("x", "xxxxxxxx", "x" * 40, "x" * 200, '"', "\\n", "(", "é", "日本", "\u200b", "\x7f", "😀", "'`")


class ScriptWriter:
    """A script in the making, and the vocabulary of the moves: nodes, work, messages, proposals."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.written: list[str] = []  # each a command with its input and an empty output
        self.payloads = 0  # proposals so far: numbers their data
        self.size = 0  # nodes created: their ids are 1..size
        self.asynchronous: set[int] = set()  # those with asynchronous storage writes
        self.founders = range(0)  # those that had a log from the start
        self.validating = True  # whether nodes refuse membership changes that they could not apply
        self.voters: list[int] = []
        self.learners: list[int] = []
        self.joint = False
        self.leader = 1
        self.sure = False  # whether it is likely to lead
        self.last = 0  # its last entry has probably at least this index
        self.applied = 0  # and it has probably applied this one

    def text(self) -> str:
        """The script."""
        return "\n".join(self.written)

    def say(self, command: str, lines: str = "") -> None:
        """Write one command with its input."""
        self.written.append(f"{command}\n{lines}\n----\n" if lines else f"{command}\n----\n")

    # Chance and nodes.

    def chance(self, probability: float) -> bool:
        """True that often."""
        return self.rng.random() < probability

    def some(self, nodes: Sequence[int]) -> list[int]:
        """At least one of them, in any order."""
        return self.rng.sample(nodes, self.rng.randint(1, len(nodes)))

    def nodes(self, *without: int) -> list[int]:
        """All nodes that exist, but for some."""
        return [node for node in range(1, self.size + 1) if node not in without]

    def node(self) -> int:
        """Any node."""
        return self.rng.randint(1, self.size)

    def present_voters(self, *without: int) -> list[int]:
        """Voters that exist: a member may not have been created."""
        return [voter for voter in self.voters if voter <= self.size and voter not in without]

    def electable(self, node: int) -> bool:
        """Whether this voter could win: more than half of the voters exist."""
        return node in self.voters and 2 * len(self.present_voters()) > len(self.voters)

    def voter(self) -> int:
        """A voter that exists, often one that is likely to know it; any node if there is none."""
        present = self.present_voters()
        if self.chance(0.5):
            present = [voter for voter in present if voter in self.founders] or present
        return self.rng.choice(present or self.nodes())

    # Creating nodes.

    def create(self) -> None:
        """The first nodes: one cluster, perhaps with spare nodes."""
        rng = self.rng
        voters, learners = rng.choice((1, 2, 3, 3, 3, 4, 5, 5)), rng.choice((0, 0, 0, 1, 2))
        total = voters + learners
        self.voters, self.learners = list(range(1, voters + 1)), list(range(voters + 1, total + 1))
        self.applied = self.last = rng.randint(2, 12)
        self.validating = not self.chance(0.1)
        members = f" voters={in_parentheses(self.voters)}"
        if learners:
            members += f" learners={in_parentheses(self.learners)}"
        options = self.options()
        if total > 1 and self.chance(0.25):  # nodes of two kinds; a minority may be restored from an older backup
            first = rng.randint(1, total - 1)
            self.add(first, f"{members} index={self.last}{options}")
            older = rng.randint(2, self.last) if first > voters / 2 and self.chance(0.5) else self.last
            self.add(total - first, f"{members} index={older}{self.options()}")
        else:
            self.add(total, f"{members} index={self.last}{options}")
        self.founders = range(1, self.size + 1)
        if self.chance(0.6):
            self.add(rng.choice((1, 1, 2, 3, 7)), options)

    def add(self, count: int, state_and_options: str) -> None:
        """Create nodes; without a state they are empty, to be caught up by a snapshot."""
        if "async" in state_and_options:
            self.asynchronous.update(range(self.size + 1, self.size + count + 1))
        self.size += count
        self.say(f"add-nodes {count}{state_and_options}")

    def options(self) -> str:
        """Options of new nodes."""
        rng = self.rng
        options = ""
        if self.chance(0.4):
            options += " async-storage-writes=true"
        if self.chance(0.4):
            options += " prevote=true"
        if self.chance(0.4):
            options += " checkquorum=true" + rng.choice(("", " read-only=lease-based", " read-only=safe"))
        if self.chance(0.4):
            options += f" inflight={rng.randint(1, 4)}"
        if self.chance(0.4):
            options += f" max-committed-size-per-ready={rng.randint(1, 120)}"
        if self.chance(0.4):
            options += " step-down-on-removal=true"
        return options if self.validating else options + " disable-conf-change-validation=true"

    # Work and messages.

    def settle(self) -> None:
        """Let everything happen that can."""
        if self.chance(0.2):  # finds out what was lost
            self.say(f"tick-heartbeat {self.leader}")
        self.say("stabilize log-level=none" if self.chance(0.03) else "stabilize")
        self.applied = self.last

    def stabilize(self, nodes: Sequence[int]) -> None:
        """Let everything happen that can among these nodes."""
        if nodes:
            self.say(f"stabilize {in_a_row(nodes)}")

    def progress(self) -> None:
        """Let the last commands have some effect, mostly all of it."""
        kind = self.rng.random()
        if kind < 0.5:
            self.settle()
        elif kind < 0.6:
            self.stabilize(self.some(self.nodes()))
        elif kind < 0.9:
            self.rounds()

    def rounds(self) -> None:
        """Let some nodes work and receive, step by step."""
        for _ in range(self.rng.choice((1, 1, 1, 2))):
            self.work(self.some(self.nodes())[:4])
            for node in self.some(self.nodes())[:4]:
                self.deliver(node)

    def work(self, nodes: list[int]) -> None:
        """Handle what nodes are ready for, one by one or in a single command; a storage thread may lag behind."""
        asynchronous = [node for node in nodes if node in self.asynchronous]
        if self.chance(0.2):
            self.say(f"process-ready {in_a_row(nodes)}")
            if asynchronous:
                self.say(f"process-{self.rng.choice(('append', 'apply'))}-thread {in_a_row(asynchronous)}")
            return
        for node in nodes:
            self.say(f"process-ready {node}")
            for thread in ("append", "apply"):
                if self.chance(0.5 if node in asynchronous else 0.02):
                    self.say(f"process-{thread}-thread {node}")

    def deliver(self, node: int) -> None:
        """Let a node receive its messages, mostly; some may be of one type only, or lost."""
        kind = self.rng.random()
        if kind < 0.7:
            self.say(f"deliver-msgs {node}")
        elif kind < 0.8:
            self.say(f"deliver-msgs {node} type={self.rng.choice(_TYPES)}")
        elif kind < 0.88:
            self.drop([node])
        elif kind < 0.92:
            self.drop([node], self.rng.choice(_TYPES))
        elif kind < 0.96:
            others = self.some([*self.nodes(node), self.size + 1])
            self.say(f"deliver-msgs {node} drop={in_parentheses(others)}")
        else:
            self.say(f"deliver-msgs {in_a_row(self.some(self.nodes()))}")

    def drop(self, nodes: Sequence[int], type: str = "") -> None:
        """Lose the messages to some nodes."""
        self.say(f"deliver-msgs{f' type={type}' if type else ''} drop={in_parentheses(nodes)}")

    # Proposals, reads and elections.

    def propose(self, node: int) -> None:
        """Propose data of its own number."""
        self.payloads += 1
        self.last += self.sure
        self.say(f"propose {node} p{self.payloads}{self.rng.choice(_ENDINGS) if self.chance(0.3) else ''}")

    def ask(self, node: int) -> None:
        """Start a read; contexts are few, so that some reads share theirs."""
        self.say(f"read-index {node} r{self.rng.randint(1, 9)}")

    def expire(self, nodes: Sequence[int]) -> None:
        """Let nodes forget that they have heard of a leader, without campaigning themselves."""
        for node in nodes:
            self.say(f"set-randomized-election-timeout {node} timeout=9")
            self.say(f"tick-election {node}")

    def run(self, node: int) -> None:
        """Let a node stand for election, by command or by its clock."""
        if self.chance(0.7):
            self.say(f"campaign {node}")
        else:
            self.say(f"set-randomized-election-timeout {node} timeout={self.rng.randint(1, 3)}")
            self.say(f"tick-election {node}")

    def won(self, node: int, sure: bool) -> None:
        """Believe in a new leader, and in the empty entry that begins its term."""
        self.leader = node
        self.sure = sure
        self.last += sure

    # Membership.

    def draw_changes(self, count: int) -> list[str]:
        """Steps that leave a voter; their result becomes the believed configuration."""
        rng = self.rng
        changes = []
        for _ in range(count):
            few = len(self.voters) == 1 or (len(self.voters) == 2 and self.chance(0.7))
            kind = rng.choice("vvvvllllrrrru")
            node = self.size + 1 if self.chance(0.05) else self.node()
            if kind in "rl" and self.chance(0.5):
                node = self.leader if self.chance(0.3) else rng.choice(self.voters)
            if few and node in self.voters:
                kind = "v"
            changes.append(f"{kind}{node}")
            if kind != "u":
                self.voters = [voter for voter in self.voters if voter != node] + [node] * (kind == "v")
                self.learners = [learner for learner in self.learners if learner != node] + [node] * (kind == "l")
        return changes


def in_a_row(nodes: Sequence[int]) -> str:
    """Ids as arguments."""
    return " ".join(map(str, nodes))


def in_parentheses(nodes: Sequence[int]) -> str:
    """Ids as the value of an argument."""
    return f"({','.join(map(str, nodes))})"
