"""The moves of a random script: what can happen to a cluster, a few commands at a time.

Each move takes the writer and leaves the cluster in any state; none relies on what the one before it did.
`MOVES` lists them with their usual weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rafttest.generate.writer import ScriptWriter

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


def noise(w: ScriptWriter) -> None:
    """Single commands on nodes that happen to come by."""
    w.sure = False
    for _ in range(w.rng.randint(1, 6)):
        if w.chance(0.2):
            w.deliver(w.node())
        else:
            w.say(w.rng.choice(_COMMANDS).format(a=w.node(), b=w.node()))


def write(w: ScriptWriter) -> None:
    """Proposals, mostly to the leader."""
    for _ in range(w.rng.choice((1, 1, 2, 3, 6))):
        w.propose(w.leader if w.chance(0.85) else w.node())
    w.progress()


def read(w: ScriptWriter) -> None:
    """Reads anywhere, some of them confirmed late or not at all."""
    for _ in range(w.rng.choice((1, 1, 2, 3))):
        w.ask(w.leader if w.chance(0.6) else w.node())
        if w.chance(0.3):
            w.rounds()
    if w.chance(0.15):
        w.drop(w.some(w.nodes()), w.rng.choice(("MsgHeartbeatResp", "MsgReadIndexResp")))
    w.progress()


def beat(w: ScriptWriter) -> None:
    """Heartbeats of the leader."""
    for _ in range(w.rng.randint(1, 3)):
        w.say(f"tick-heartbeat {w.leader}")
        w.progress()


# Elections.


def elect(w: ScriptWriter) -> None:
    """A candidate, often with the others ready to vote."""
    candidate = w.voter() if w.chance(0.9) else w.node()
    prepared = w.chance(0.7)
    if prepared:
        w.settle()
        w.expire(w.present_voters(candidate))
    w.run(candidate)
    if prepared and w.chance(0.6):
        w.settle()
        w.won(candidate, sure=w.electable(candidate))
    else:
        w.rounds()
        w.won(candidate, sure=False)
        w.progress()


def ensure_leader(w: ScriptWriter) -> None:
    """For moves that mean little without one."""
    if not w.sure and w.chance(0.9):
        elect(w)


def duel(w: ScriptWriter) -> None:
    """Several candidates at once, in one term or in two."""
    rivals = w.some(w.nodes())[:3]
    for node in rivals:
        w.run(node)
        if w.chance(0.3):
            w.work([node])
    w.rounds()
    w.won(rivals[-1], sure=False)
    w.progress()


def lose_quorum(w: ScriptWriter) -> None:
    """A leader hears nothing for two election timeouts: it gives up if it checks its quorum."""
    w.drop([w.leader])
    for _ in range(2):
        w.say(f"tick-election {w.leader}")
        if w.chance(0.3):
            w.deliver(w.leader)
    w.sure = False
    w.progress()
    elect(w)


def transfer(w: ScriptWriter) -> None:
    """Leadership moves, or does not: to a node that lags or is gone, or with something happening in between."""
    target = w.voter() if w.chance(0.75) else w.node()
    if w.chance(0.2) and target != w.leader:
        w.propose(w.leader)
        w.work([w.leader])
        w.drop([target])
        if w.chance(0.3):  # the target is about to lose its vote
            w.say(f"propose-conf-change {w.leader}", w.rng.choice(("r", "l")) + str(target))
    w.say(f"transfer-leadership from={w.leader if w.chance(0.85) else w.node()} to={target}")
    meanwhile = w.rng.choice(range(10))
    if meanwhile == 0:
        w.propose(w.leader)
    elif meanwhile == 1:
        w.say(f"tick-election {w.leader}")
    elif meanwhile == 2:
        w.rounds()
        w.say(f"transfer-leadership from={w.leader} to={w.voter()}")
    elif meanwhile == 3:
        w.work([w.leader])
        w.drop([target], "MsgTimeoutNow")
    elif meanwhile == 4:
        w.run(w.voter())
    elif meanwhile == 5:
        _propose_change(w)
    elif meanwhile == 6:
        w.ask(w.leader)
    if meanwhile > 4 and target in w.voters:
        w.won(target, sure=False)
    w.progress()


def overwrite(w: ScriptWriter) -> None:
    """A leader's last entries reach few, and another's take their place while disks may still write the first."""
    ensure_leader(w)
    victims = [w.leader, *w.some(w.nodes(w.leader))[: w.rng.randint(0, 1)]] if w.size > 1 else [w.leader]
    rest = w.nodes(*victims)
    for _ in range(w.rng.randint(1, 3)):
        w.propose(w.leader)
        if w.chance(0.7):
            w.say(f"process-ready {w.leader}")
    for node in victims[1:]:
        w.say(f"deliver-msgs {node} type=MsgApp")
        w.say(f"process-ready {node}")
    w.drop([*rest, w.size + 1])
    rival = w.rng.choice(w.present_voters(*victims) or w.nodes())
    w.expire([node for node in rest if node != rival])
    w.run(rival)
    w.stabilize(rest)
    w.won(rival, sure=False)
    for _ in range(w.rng.randint(0, 2)):
        w.propose(rival)
    w.stabilize(rest)
    for _ in range(w.rng.randint(2, 10)):  # disks and messages in any order
        node = w.rng.choice(victims)
        receive, work = f"deliver-msgs {node}", f"process-ready {node}"
        store, apply = f"process-append-thread {node}", f"process-apply-thread {node}"
        w.say(w.rng.choice((receive, f"{receive} type=MsgApp", f"{receive} type=MsgVote", work, work, store, apply)))
    w.progress()


# Membership.


def change_members(w: ScriptWriter) -> None:
    """One membership change of any kind, perhaps with something else while it is on its way."""
    ensure_leader(w)
    if not w.validating or w.chance(0.5):
        w.settle()
    if w.joint and w.chance(0.7):
        w.say(f"propose-conf-change {w.leader}")
        w.joint = False
    elif w.validating or not w.joint:
        _propose_change(w)
    if not w.validating:  # a second change before this one is applied would be fatal
        w.settle()
    elif w.chance(0.4):
        w.rng.choice((_propose_change, _write_behind, transfer, elect, read))(w)
    w.progress()
    if w.leader not in w.voters and w.chance(0.7):
        elect(w)


def _propose_change(w: ScriptWriter) -> None:
    proposer = w.leader if w.chance(0.9) else w.node()
    if w.validating and w.chance(0.05):  # leaves a joint configuration, if there is one
        w.say(f"propose-conf-change {proposer}{w.rng.choice(('', ' transition=explicit'))}")
        return
    count = w.rng.choice((1, 1, 1, 1, 2, 2, 3, 4))
    changes = " ".join(w.draw_changes(count))
    w.sure = w.sure and w.electable(w.leader)
    if count == 1 and w.chance(0.3):
        w.say(f"propose-conf-change {proposer} v1=true", changes)
        return
    transition = w.rng.choice(("", "", "auto", "implicit", "explicit", "explicit"))
    w.joint = transition == "explicit"
    w.say(f"propose-conf-change {proposer}" + (f" transition={transition}" if transition else ""), changes)


def _write_behind(w: ScriptWriter) -> None:
    """Entries behind the change, which some nodes miss: applying the change may commit them."""
    w.work([w.leader])
    for node in w.some(w.nodes()):
        w.say(f"deliver-msgs {node}")
    for _ in range(w.rng.randint(1, 3)):
        w.propose(w.leader)
    w.work([w.leader])
    w.drop(w.some(w.nodes()), "MsgApp")
    w.rounds()


def grow(w: ScriptWriter) -> None:
    """New nodes, which no configuration knows yet."""
    if w.size < 12:
        w.add(w.rng.choice((1, 2)), w.options())


# Followers left behind.


def cut_off(w: ScriptWriter) -> None:
    """Some followers miss entries that the rest commits and perhaps compacts, and come back."""
    ensure_leader(w)
    victims = w.some(w.nodes(w.leader) or [w.leader])[:2]
    if w.chance(0.3):  # one has not stored yet what it has received
        w.propose(w.leader)
        w.say(f"process-ready {w.leader}")
        w.say(f"deliver-msgs {victims[0]}")
        w.say(f"process-ready {victims[0]}")
    for _ in range(w.rng.randint(1, 7)):
        w.propose(w.leader)
    w.stabilize(w.nodes(*victims))
    if w.chance(0.8):
        w.drop(victims)
    if w.chance(0.85):
        if len(w.voters) > 2 * len(set(victims) & set(w.voters)):
            w.applied = w.last
        compact(w)
    if w.chance(0.2):  # with a checked quorum the leader now takes everybody for inactive
        w.say(f"tick-election {w.leader}")
    if w.chance(0.3):
        w.say(f"report-unreachable {w.leader} {victims[0]}")
        w.propose(w.leader)
    for _ in range(w.rng.randint(0, 2)):
        w.say(f"tick-heartbeat {w.leader}")
        w.rounds()
    if w.chance(0.2):
        w.drop(victims, "MsgSnap")
        if victims[0] != w.leader and _can_send_snapshot(w):
            w.say(f"send-snapshot {w.leader} {victims[0]}")
    w.say(f"tick-heartbeat {w.leader}")
    w.stabilize(w.nodes(*victims))
    _come_back(w, victims[0])
    w.progress()


def _come_back(w: ScriptWriter, node: int) -> None:
    """A follower hears from the leader, refuses what does not fit, and receives what it misses, perhaps a snapshot."""
    for _ in range(w.rng.choice((1, 2, 2))):
        w.say(f"deliver-msgs {node}")
        w.say(f"process-ready {node}")
        if node in w.asynchronous:
            w.say(f"process-append-thread {node}")
        w.say(f"deliver-msgs {w.leader}")
        w.say(f"process-ready {w.leader}")
    w.say(f"status {w.leader}")
    rivals = w.present_voters(node, w.leader)
    if rivals and w.chance(0.3):  # the term changes while it is being stored
        rival = w.rng.choice(rivals)
        w.say(f"deliver-msgs {node}")
        w.say(f"process-ready {node}")
        w.expire([node])
        w.run(rival)
        w.say(f"process-ready {rival}")
        w.say(f"deliver-msgs {node}")
        w.say(f"process-append-thread {node}")
        w.say(f"deliver-msgs {node}")
        w.sure = False


def compact(w: ScriptWriter) -> None:
    """What the leader is believed to have applied, rarely elsewhere: compacting more than is there would be fatal."""
    if (w.sure and w.leader in w.founders) or w.chance(0.03):
        node = w.leader if w.chance(0.9) else w.voter()
        behind = w.rng.choice((0, 1, 1, 1, 2, 2, 3, 5, 8))
        w.say(f"compact {node} {max(w.applied - behind, 1)}")


def _can_send_snapshot(w: ScriptWriter) -> bool:
    """A sender that does not lead would be taken for the leader, and a node that began empty may send an empty one."""
    return w.sure and w.leader in w.founders


def trouble(w: ScriptWriter) -> None:
    """What the application reports or asks for at odd times."""
    node, other = w.node(), w.node()
    if w.chance(0.2):
        w.say(f"forget-leader {node}")
    elif w.chance(0.5) and other != w.leader and _can_send_snapshot(w):
        w.say(f"send-snapshot {w.leader} {other}")
    else:
        w.say(f"report-unreachable {w.leader} {other}")
    if w.chance(0.3):
        w.drop(w.some(w.nodes()))
    w.progress()


# Looking.


def look(w: ScriptWriter) -> None:
    """What a node, or all of them, are like."""
    w.say(w.rng.choice(("raft-state", f"status {w.leader}", f"status {w.node()}", f"raft-log {w.node()}")))


def hush(w: ScriptWriter) -> None:
    """A move at another log level; at NONE commands say nothing either."""
    w.say(f"log-level {w.rng.choice(('info', 'WARN', 'Error', 'fatal', 'none', 'none'))}")
    w.rng.choice((write, elect, change_members))(w)
    w.say("log-level debug")


def mistake(w: ScriptWriter) -> None:
    """A command that is refused."""
    command, _, lines = w.rng.choice(_MISTAKES).partition(": ")
    w.say(command, lines)


def close(w: ScriptWriter) -> None:
    """The end: bring the cluster to rest under one leader, and look at every node."""
    leader = w.voter()
    w.settle()
    w.expire(w.nodes(leader))
    w.say(f"campaign {leader}")
    w.settle()
    w.propose(leader)
    w.ask(leader)
    w.settle()
    w.say("raft-state")
    for node in w.nodes():
        w.say(f"status {node}")
        w.say(f"raft-log {node}")


MOVES: Final[tuple[tuple[Callable[[ScriptWriter], None], float], ...]] = (
    (noise, 5),
    (ScriptWriter.rounds, 5),
    (ScriptWriter.settle, 3),
    (write, 5),
    (read, 4),
    (beat, 1.5),
    (elect, 3),
    (duel, 1),
    (lose_quorum, 0.7),
    (transfer, 4),
    (overwrite, 2.5),
    (change_members, 9),
    (grow, 0.3),
    (cut_off, 7),
    (compact, 1),
    (trouble, 1.5),
    (look, 2),
    (hush, 0.5),
    (mistake, 0.5),
)
