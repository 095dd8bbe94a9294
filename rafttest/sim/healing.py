"""Healing: all faults end, and now the cluster owes progress, within bounds: L1 to L6. And S20: whatever was
acknowledged is kept.

While there is a leader, the clocks of nodes that are no members stand: one that was removed and does not know it may
campaign for ever, which is the reference's behaviour and what pre-vote and check-quorum are for. Without a leader they
go on: a change may be committed whose only complete logs are those of the nodes that it removes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pyraft import ProgressState, Role
from rafttest.sim import oracle
from rafttest.sim.node import Node
from rafttest.sim.schedule import TICK
from rafttest.sim.violation import Violation
from rafttest.sim.workload import Workload
from rafttest.sim.world import World

_PROPOSALS: Final = 10


class Healing:
    """The second phase of a run."""

    def __init__(self, world: World, workload: Workload) -> None:
        self.world = world
        self.workload = workload

    def run(self) -> None:
        """Heal and demand. Raises Violation."""
        world = self.world
        timeout = world.options.election_tick
        world.is_calm = True
        world.network.calm()
        world.note("heal")
        for node in world.nodes.values():
            node.paused_until = min(node.paused_until, world.schedule.now)
            node.restart()
        try:
            self._await("L1", 20 * timeout, self._has_leader)
        except Violation:
            if not self._is_deadlocked():
                raise
            world.count("deadlocks by a removed voter's longer log")
            self._check_kept()
            return
        self._write(10 * timeout)
        self._await("L3", 10 * timeout + 3 * self._backlog(), self._is_settled)
        self._await("L4", 5 * timeout + 3 * self._backlog(), self._agrees)
        self._await("L5", 10 * timeout + 3 * self._backlog(), self._flows)
        self._read(2 * timeout)
        self._check_kept()

    def _await(self, law: str, ticks: int, reached: Callable[[], bool]) -> None:
        world = self.world
        for _ in range(ticks + 1):
            world.is_led = self._has_leader()
            if reached():
                return
            end = world.schedule.now + TICK
            while world.schedule.step(end):
                pass
        raise Violation(law, f"not within {ticks} ticks after healing; members {world.members()}: {self._picture()}")

    def _core(self) -> list[Node]:
        return [self.world.nodes[id] for id in self.world.members()]

    def _leader(self) -> Node | None:
        lives = self.world.checker.lives
        leaders = [node for node in self._core() if lives[node.id].role is Role.StateLeader]
        return max(leaders, key=lambda node: lives[node.id].term) if leaders else None

    def _has_leader(self) -> bool:
        leader = self._leader()
        if leader is None:
            return False
        told = [node.raw.basic_status() for node in self._core()]
        return all(one.soft_state.leader == leader.id and one.term == told[0].term for one in told)

    def _is_deadlocked(self) -> bool:
        """L11: True if it is certain that nobody will ever be elected, and those who prevent it are no voters.

        A membership change takes effect when it is applied. A voter that does not know it to be committed still asks
        those whom it removed; they may have longer logs, and so refuse, and may not campaign themselves. The reference
        has the same flaw; whoever removes a leader should first make another one.
        """
        logs = {node.id: _log_end(node) for node in self.world.nodes.values()}
        voters = [node for node in self.world.nodes.values() if oracle.is_voter(node.conf, node.id)]
        for node in voters:
            willing = [id for id, end in logs.items() if end <= logs[node.id]]
            if oracle.is_quorum(node.conf, willing):
                return False
        return bool(voters)

    def _backlog(self) -> int:
        """How many entries are still to be sent, committed or applied, at most."""
        core = self._core()
        return max(node.raw.basic_status().last_index for node in core) - min(node.applied for node in core)

    def _write(self, ticks: int) -> None:
        """L2: what is proposed now is applied everywhere; a backlog is granted the time for its messages."""
        ticks += self._backlog() * 3
        enough = len(self.world.checker.acked) + _PROPOSALS

        def written() -> bool:
            leader = self._leader()
            is_enough = len(self.world.checker.acked) >= enough
            if leader is not None and not is_enough:
                self.workload.propose_to(leader)
            return is_enough and self._agrees()

        self._await("L2", ticks, written)

    def _is_settled(self) -> bool:
        """Nothing of a membership change is under way; one that must be left explicitly is left now."""
        leader, conf = self._leader(), self.world.checker.conf
        is_quiet = leader is not None and not self.world.checker.lives[leader.id].conf_entries
        if leader is not None and is_quiet and conf.voters_outgoing and not conf.auto_leave:
            self.workload.change_at(leader, None)
        return not conf.voters_outgoing and all(
            not self.world.checker.lives[node.id].conf_entries and node.conf == conf for node in self._core()
        )

    def _agrees(self) -> bool:
        highest = self.world.checker.highest
        state = self.world.checker.states[highest]
        return all(node.applied == highest and node.state == state for node in self._core())

    def _flows(self) -> bool:
        leader = self._leader()
        return leader is not None and all(
            one.state is ProgressState.StateReplicate and not one.is_paused()
            for id, one in leader.raw.status().progress.items()
            if id != leader.id
        )

    def _read(self, ticks: int) -> None:
        """L6: nobody waits for a read that began after healing."""
        floors = self.world.checker.read_floors
        for node in self._core():
            context = self.workload.read_from(node)
            if context is None and self._leader() is not node:
                raise Violation("L6", f"node {node.id} cannot take a read: {self._picture()}")
            if context is not None:
                self._await("L6", ticks, lambda context=context: context not in floors)  # type: ignore[misc]

    def _check_kept(self) -> None:
        """S20: whatever was acknowledged is in the log that all have applied."""
        checker = self.world.checker
        kept = {truth.data for truth in checker.truth.values()}
        lost = sorted(checker.acked - kept)
        if lost:
            raise Violation("S20", f"acknowledged and lost: {lost}")

    def _picture(self) -> str:
        lives = self.world.checker.lives
        return "; ".join(
            f"{node.id} {lives[node.id].role} term {lives[node.id].term} applied {lives[node.id].applied} "
            f"commit {lives[node.id].commit} last {lives[node.id].last}"
            for node in self.world.nodes.values()
        )


def _log_end(node: Node) -> tuple[int, int]:
    """What votes are decided by: term and index of the last entry."""
    last = node.disk.cache.last_index()
    return node.disk.cache.term(last), last
