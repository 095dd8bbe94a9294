"""Random traces: scripts of interaction commands, for the reference to answer and for this project to reproduce.

A script is a string of moves — an election, a membership change, a follower cut off until it needs a snapshot, plain
noise — written by a hand that does not see the cluster but believes something about it: who leads, who votes, how long
the log is. The belief is often right, so that clusters make progress, and sometimes wrong, which is where the odd
states are. Each script weighs the moves differently.

Laws: a script is a function of its seed (within one version of Python); it names no node before creating it, except as
a member or to drop its messages; the expected outputs are empty, for the reference to fill in (`rafttest.compare`). It
may make the reference panic: the recorded trace then ends there.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from raftpb.enums import MessageType

_TYPES: Final = [str(kind) for kind in MessageType]

# What a proposal's data may end in: Go quotes some of it when it prints it. Not a backslash, which would continue the
# line.
_ENDINGS: Final = ("x", "xxxxxxxx", "x" * 40, "x" * 200, '"', "\\n", "(", "é", "日本", "\u200b", "\x7f", "😀", "'`")

# Commands of a or b, for noise.
_COMMANDS: Final = """\
campaign {a}
forget-leader {a}
process-append-thread {a}
process-apply-thread {a}
process-ready {a}
read-index {a} noise
report-unreachable {a} {b}
set-randomized-election-timeout {a} timeout=2
set-randomized-election-timeout {a} timeout=6
tick-election {a}
tick-heartbeat {a}
transfer-leadership from={a} to={b}
""".splitlines()

# Commands that are refused, with the input of those that have one, or that do nothing.
_MISTAKES: Final = """\
_breakpoint
add-nodes 1 index=1
add-nodes 1 read-only=never
add-nodes 1 voters=(1,2,3)
compact 1 early
deliver-msgs
elect 1
log-level loud
process-ready
propose-conf-change 1: a1
propose-conf-change 1: v
propose-conf-change 1: v1,v2
propose-conf-change 1 mode=joint: v1
propose-conf-change 1 transition=later: v1
propose-conf-change 1 v1=maybe: v1
propose-conf-change 1 v1=true: v1 l2
propose-conf-change 1 v1=true transition=explicit: v1
report-unreachable 1
stabilize log-level=loud
""".splitlines()


def random_script(seed: int, commands: int = 200) -> str:
    """An interaction script of about `commands` commands and a closing look at every node, with empty outputs."""
    hand = _Hand(random.Random(seed))
    hand.create()
    while len(hand.written) < commands:
        hand.move()
    hand.close()
    return "\n".join(hand.written)


class _Hand:
    """Writes one script, and believes what a cluster that follows it would do."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.written: list[str] = []  # each a command with its input and an empty output
        self.payloads = 0  # proposals so far: numbers their data
        self.options = ""  # of the nodes created last
        self.asynchronous: set[int] = set()  # ids of the nodes with asynchronous storage writes
        self.validating = True  # whether nodes refuse membership changes that they could not apply
        self.size = 0  # nodes created: their ids are 1..size
        self.voters: list[int] = []
        self.learners: list[int] = []
        self.joint = False
        self.leader = 1
        self.sure = False  # whether the leader is likely to lead
        self.last = 0  # its last entry has probably at least this index
        self.applied = 0  # and it has probably applied this one
        moves: tuple[tuple[Callable[[], None], float], ...] = (
            (self.noise, 5),
            (self.rounds, 5),
            (self.write, 5),
            (self.settle, 3),
            (self.elect, 3),
            (self.change_members, 5),
            (self.cut_off, 4),
            (self.transfer, 3),
            (self.read, 3),
            (self.beat, 2),
            (self.lose_quorum, 0.7),
            (self.duel, 1),
            (self.trouble, 1.5),
            (self.compact, 1),
            (self.look, 1.5),
            (self.hush, 0.3),
            (self.mistake, 0.5),
            (self.grow, 0.3),
        )
        self.moves = [move for move, _ in moves]
        self.weights = [weight * rng.choice((0.2, 1, 1, 1, 4)) for _, weight in moves]

    def move(self) -> None:
        self.rng.choices(self.moves, self.weights)[0]()

    def say(self, command: str, lines: str = "") -> None:
        self.written.append(f"{command}\n{lines}\n----\n" if lines else f"{command}\n----\n")

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def nodes(self, *without: int) -> list[int]:
        return [node for node in range(1, self.size + 1) if node not in without]

    def node(self) -> int:
        return self.rng.randint(1, self.size)

    def voter(self) -> int:
        """A voter that exists; any node if none does."""
        return self.rng.choice([voter for voter in self.voters if voter <= self.size] or self.nodes())

    def some(self, nodes: Sequence[int]) -> list[int]:
        """At least one of them, in any order."""
        return self.rng.sample(nodes, self.rng.randint(1, len(nodes)))

    # Creating nodes.

    def create(self) -> None:
        rng = self.rng
        voters, learners = rng.choice((1, 2, 3, 3, 3, 4, 5)), rng.choice((0, 0, 0, 1, 2))
        total = voters + learners
        self.voters, self.learners = list(range(1, voters + 1)), list(range(voters + 1, total + 1))
        self.applied = self.last = rng.randint(2, 12)
        self.validating = not self.chance(0.1)
        self.options = self.draw_options()
        members = f" voters={_ids(self.voters)}" + (f" learners={_ids(self.learners)}" if learners else "")
        if total > 1 and self.chance(0.25):  # nodes of two kinds; a minority may be restored from an older backup
            first = rng.randint(1, total - 1)
            self.add(first, f"{members} index={self.last}")
            self.options = self.draw_options()
            older = rng.randint(2, self.last) if first > voters / 2 and self.chance(0.5) else self.last
            self.add(total - first, f"{members} index={older}")
        else:
            self.add(total, f"{members} index={self.last}")
        if self.chance(0.6):
            self.add(rng.choice((1, 1, 2, 3, 7)))

    def draw_options(self) -> str:
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

    def add(self, count: int, state: str = "") -> None:
        """Create nodes: with the given state, or empty, to be caught up by a snapshot."""
        if "async" in self.options:
            self.asynchronous.update(range(self.size + 1, self.size + count + 1))
        self.size += count
        self.say(f"add-nodes {count}{state}{self.options}")

    def grow(self) -> None:
        if self.size < 12:
            self.options = self.draw_options()
            self.add(self.rng.choice((1, 2)))

    # Work and messages.

    def settle(self) -> None:
        if self.chance(0.2):  # finds out what was lost
            self.say(f"tick-heartbeat {self.leader}")
        self.say("stabilize log-level=none" if self.chance(0.03) else "stabilize")
        self.applied = self.last

    def progress(self) -> None:
        """Let the last commands have some effect, mostly all of it."""
        kind = self.rng.random()
        if kind < 0.5:
            self.settle()
        elif kind < 0.6:
            self.say(f"stabilize {_list(self.some(self.nodes()))}")
        elif kind < 0.9:
            self.rounds()

    def rounds(self) -> None:
        for _ in range(self.rng.choice((1, 1, 2, 3))):
            self.work(self.some(self.nodes()))
            for node in self.some(self.nodes()):
                self.deliver(node)

    def work(self, nodes: list[int]) -> None:
        """Handle what nodes are ready for, one by one or in a single command; a storage thread may lag behind."""
        asynchronous = [node for node in nodes if node in self.asynchronous]
        if self.chance(0.2):
            self.say(f"process-ready {_list(nodes)}")
            if asynchronous:
                self.say(f"process-{self.rng.choice(('append', 'apply'))}-thread {_list(asynchronous)}")
            return
        for node in nodes:
            self.say(f"process-ready {node}")
            for thread in ("append", "apply"):
                if self.chance(0.5 if node in asynchronous else 0.02):
                    self.say(f"process-{thread}-thread {node}")

    def deliver(self, node: int) -> None:
        kind = self.rng.random()
        if kind < 0.7:
            self.say(f"deliver-msgs {node}")
        elif kind < 0.8:
            self.say(f"deliver-msgs {node} type={self.rng.choice(_TYPES)}")
        elif kind < 0.88:
            self.drop([node])
        elif kind < 0.92:
            self.drop([node], f" type={self.rng.choice(_TYPES)}")
        elif kind < 0.96:
            self.say(f"deliver-msgs {node} drop={_ids(self.some([*self.nodes(node), self.size + 1]))}")
        else:
            self.say(f"deliver-msgs {_list(self.some(self.nodes()))}")

    def drop(self, nodes: Sequence[int], type: str = "") -> None:
        self.say(f"deliver-msgs{type} drop={_ids(nodes)}")

    def noise(self) -> None:
        """Single commands on nodes that happen to come by."""
        self.sure = False
        for _ in range(self.rng.randint(1, 6)):
            if self.chance(0.2):
                self.deliver(self.node())
            else:
                self.say(self.rng.choice(_COMMANDS).format(a=self.node(), b=self.node()))

    # Proposals, reads and time.

    def propose(self, node: int) -> None:
        self.payloads += 1
        self.last += self.sure
        self.say(f"propose {node} p{self.payloads}{self.rng.choice(_ENDINGS) if self.chance(0.3) else ''}")

    def write(self) -> None:
        for _ in range(self.rng.choice((1, 1, 2, 3, 6))):
            self.propose(self.leader if self.chance(0.85) else self.node())
        self.progress()

    def ask(self, node: int) -> None:
        """Start a read; contexts are few, so that some reads share theirs."""
        self.say(f"read-index {node} r{self.rng.randint(1, 9)}")

    def read(self) -> None:
        for _ in range(self.rng.choice((1, 1, 2, 3))):
            self.ask(self.leader if self.chance(0.6) else self.node())
            if self.chance(0.3):
                self.rounds()
        if self.chance(0.15):
            self.drop(self.some(self.nodes()), f" type=Msg{self.rng.choice(('HeartbeatResp', 'ReadIndexResp'))}")
        self.progress()

    def beat(self) -> None:
        for _ in range(self.rng.randint(1, 3)):
            self.say(f"tick-heartbeat {self.leader}")
            self.progress()

    def lose_quorum(self) -> None:
        """A leader hears nothing for two election timeouts: it gives up if it checks its quorum."""
        self.drop([self.leader])
        for _ in range(2):
            self.say(f"tick-election {self.leader}")
            if self.chance(0.3):
                self.deliver(self.leader)
        self.sure = False
        self.progress()
        self.elect()

    # Elections.

    def expire(self, nodes: Sequence[int]) -> None:
        """Let nodes forget that they have heard of a leader, without campaigning themselves."""
        for node in nodes:
            self.say(f"set-randomized-election-timeout {node} timeout=9")
            self.say(f"tick-election {node}")

    def run(self, node: int) -> None:
        if self.chance(0.7):
            self.say(f"campaign {node}")
        else:
            self.say(f"set-randomized-election-timeout {node} timeout={self.rng.randint(1, 3)}")
            self.say(f"tick-election {node}")

    def elect(self) -> None:
        candidate = self.voter() if self.chance(0.9) else self.node()
        prepared = self.chance(0.7)
        if prepared:
            self.settle()
            self.expire([node for node in self.voters if node != candidate and node <= self.size])
        self.run(candidate)
        if prepared and self.chance(0.6):
            self.settle()
            self.won(candidate, sure=candidate in self.voters)
        else:
            self.rounds()
            self.won(candidate, sure=False)
            self.progress()

    def won(self, node: int, sure: bool) -> None:
        """Believe in a new leader, and in the empty entry that begins its term."""
        self.leader = node
        self.sure = sure
        self.last += sure

    def duel(self) -> None:
        """Several candidates at once, in one term or in two."""
        rivals = self.some(self.nodes())[:3]
        for node in rivals:
            self.run(node)
            if self.chance(0.3):
                self.work([node])
        self.rounds()
        self.won(rivals[-1], sure=False)
        self.progress()

    def transfer(self) -> None:
        """Leadership moves, or does not: to a node that lags or is gone, or with something happening in between."""
        target = self.voter() if self.chance(0.75) else self.node()
        if self.chance(0.2) and target != self.leader:
            self.propose(self.leader)
            self.work([self.leader])
            self.drop([target])
        self.say(f"transfer-leadership from={self.leader if self.chance(0.85) else self.node()} to={target}")
        meanwhile = self.rng.choice(range(10))
        if meanwhile == 0:
            self.propose(self.leader)
        elif meanwhile == 1:
            self.say(f"tick-election {self.leader}")
        elif meanwhile == 2:
            self.rounds()
            self.say(f"transfer-leadership from={self.leader} to={self.voter()}")
        elif meanwhile == 3:
            self.work([self.leader])
            self.drop([target], " type=MsgTimeoutNow")
        elif meanwhile == 4:
            self.run(self.voter())
        elif meanwhile == 5:
            self.propose_change()
        elif meanwhile == 6:
            self.ask(self.leader)
        if meanwhile > 4 and target in self.voters:
            self.won(target, sure=False)
        self.progress()

    # Membership.

    def change_members(self) -> None:
        if not self.sure and self.chance(0.7):
            self.elect()
        if not self.validating or self.chance(0.5):
            self.settle()
        if self.joint and self.chance(0.7):
            self.say(f"propose-conf-change {self.leader}")
            self.joint = False
        elif self.validating or not self.joint:
            self.propose_change()
        if not self.validating:
            self.settle()
        elif self.chance(0.3):  # something else while the change is on its way
            self.rng.choice((self.propose_change, self.transfer, self.elect, self.read))()
        self.progress()
        if self.leader not in self.voters and self.chance(0.7):
            self.elect()

    def propose_change(self) -> None:
        proposer = self.leader if self.chance(0.9) else self.node()
        if self.validating and self.chance(0.05):  # leaves a joint configuration, if there is one
            self.say(f"propose-conf-change {proposer}{self.rng.choice(('', ' transition=explicit'))}")
            return
        count = self.rng.choice((1, 1, 1, 1, 2, 2, 3, 4))
        changes = " ".join(self.draw_changes(count))
        if count == 1 and self.chance(0.3):
            self.say(f"propose-conf-change {proposer} v1=true", changes)
            return
        transition = self.rng.choice(("", "", "auto", "implicit", "explicit", "explicit"))
        self.joint = transition == "explicit"
        self.say(f"propose-conf-change {proposer}" + (f" transition={transition}" if transition else ""), changes)

    def draw_changes(self, count: int) -> list[str]:
        """Steps that leave at least one voter; their result becomes the believed configuration."""
        rng = self.rng
        changes = []
        for step in range(count):
            lone = len(self.voters) == 1 and step == count - 1
            kind = rng.choice("vvllu" if lone else "vvvvllllrrrru")
            node = rng.randint(1, self.size + 1)
            if kind in "rl" and self.chance(0.5):
                node = self.leader if self.chance(0.3) else rng.choice(self.voters or [node])
            if lone and node in self.voters:
                kind = "v"
            changes.append(f"{kind}{node}")
            if kind != "u":
                self.voters = [voter for voter in self.voters if voter != node] + [node] * (kind == "v")
                self.learners = [learner for learner in self.learners if learner != node] + [node] * (kind == "l")
        return changes

    # Followers left behind, and trouble.

    def cut_off(self) -> None:
        """Some followers miss entries that the rest commits and perhaps compacts, and come back."""
        if not self.sure and self.chance(0.7):
            self.elect()
        victims = self.some(self.nodes(self.leader) or [self.leader])[:2]
        for _ in range(self.rng.randint(1, 6)):
            self.propose(self.leader)
        if rest := self.nodes(*victims):
            self.say(f"stabilize {_list(rest)}")
        if self.chance(0.8):
            self.drop(victims)
        if self.chance(0.7):
            if not set(victims) & set(self.voters) or len(self.voters) > 2 * len(victims):
                self.applied = self.last
            self.compact()
        if self.chance(0.3):
            self.say(f"report-unreachable {self.leader} {victims[0]}")
        for _ in range(self.rng.randint(0, 2)):
            self.say(f"tick-heartbeat {self.leader}")
            self.rounds()
        if self.chance(0.2):
            self.drop(victims, " type=MsgSnap")
            self.say(f"send-snapshot {self.leader} {victims[0]}")
        if self.chance(0.3):
            self.say(f"status {self.leader}")
        self.say(f"tick-heartbeat {self.leader}")
        self.progress()

    def compact(self) -> None:
        """Mostly what is believed to be applied by the leader, rarely again or elsewhere."""
        node = self.leader if self.chance(0.8) else self.voter()
        behind = self.rng.choice((0, 0, 1, 1, 2, 3, 5, 8))
        self.say(f"compact {node} {max(self.applied - behind, 1)}")

    def trouble(self) -> None:
        node, other = self.node(), self.node()
        if self.chance(0.2):
            self.say(f"forget-leader {node}")
        elif self.chance(0.4):
            self.say(f"report-unreachable {self.leader} {other}")
        else:  # one that is no leader would be taken for it
            self.say(f"send-snapshot {self.leader if self.chance(0.9) else node} {other}")
        if self.chance(0.3):
            self.drop(self.some(self.nodes()))
        self.progress()

    # Looking.

    def look(self) -> None:
        looks = ("raft-state", f"status {self.leader}", f"status {self.node()}", f"raft-log {self.node()}")
        self.say(self.rng.choice(looks))

    def hush(self) -> None:
        """A move at another log level; at NONE commands say nothing either."""
        self.say(f"log-level {self.rng.choice(('info', 'WARN', 'Error', 'fatal', 'none'))}")
        self.move()
        self.say("log-level debug")

    def mistake(self) -> None:
        command, _, lines = self.rng.choice(_MISTAKES).partition(": ")
        self.say(command, lines)

    def close(self) -> None:
        """Bring the cluster to rest under one leader, and look at every node."""
        leader = self.voter()
        self.settle()
        self.expire(self.nodes(leader))
        self.say(f"campaign {leader}")
        self.settle()
        self.propose(leader)
        self.ask(leader)
        self.settle()
        self.say("raft-state")
        for node in self.nodes():
            self.say(f"status {node}")
            self.say(f"raft-log {node}")


def _list(nodes: Sequence[int]) -> str:
    return " ".join(map(str, nodes))


def _ids(nodes: Sequence[int]) -> str:
    return f"({','.join(map(str, nodes))})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write scripts of consecutive seeds to a folder."""
    parser = argparse.ArgumentParser(
        prog="python -m rafttest.generate", description="Write random interaction scripts."
    )
    parser.add_argument("--seed", type=int, default=1, help="of the first script (default 1)")
    parser.add_argument("--runs", type=int, default=1, help="how many scripts (default 1)")
    parser.add_argument("--commands", type=int, default=200, help="commands in each, about (default 200)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for seed in range(options.seed, options.seed + options.runs):
        script = random_script(seed, options.commands)
        (options.out / f"seed_{seed:06}.txt").write_text(script, encoding="utf-8")


if __name__ == "__main__":
    main()
