"""Liveness phase: all faults end, and now the cluster owes progress, within bounds: L1 to L11, asked one after the
other. And S18 and S20: what clients saw was linearizable, and whatever was acknowledged is kept.

While there is a leader, the clocks of nodes that are no members stand: one that was removed and does not know it may
campaign for ever, which is the reference's behaviour and what pre-vote and check-quorum are for; where all have these,
such clocks go on for a while, and nothing may come of it. Without a leader they go on too: a change may be committed
whose only complete logs are those of the nodes that it removes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final

from pyraft import ProgressState
from raftpb.enums import MSG_SNAP, MessageType
from rafttest.sim.checker import liveness, oracle
from rafttest.sim.checker.clients import check_kept
from rafttest.sim.checker.liveness import FollowerView, Question, Seen, View, Watch, within
from rafttest.sim.checker.violation import Violation
from rafttest.sim.cluster.disk import term_on
from rafttest.sim.cluster.node import SimNode
from rafttest.sim.load.workload import Workload
from rafttest.sim.schedule import TICK
from rafttest.sim.simulation import Simulation

_PROPOSALS: Final = 10
_LONELY: Final = 10
"""How much longer an election may take that only one node can win."""
_QUIET: Final = (50, 5, 5, 5)
"""Election timeouts during which nothing happens, by the seed: L8 and L9."""

_ELECTION: Final = 2
"""Ticks that an election takes where no message takes longer than half of one."""

_OWED: Final = ("L1", "L2", "L3", "L4", "L5", "L6")

Link = tuple[int, int]


class LivenessPhase:
    """The second phase of a run."""

    def __init__(self, sim: Simulation, workload: Workload) -> None:
        self.sim = sim
        self.workload = workload
        self.timeout = sim.options.election_tick
        self.watch: Watch | None = None
        """From the first leader on, until somebody makes it hand over."""

    def run(self) -> None:
        """Heal and demand. Raises Violation."""
        self._heal()
        try:
            self._recover()
        except Violation as error:
            self._demand_proof(error)
            return
        self.watch = None
        self._hand_over()
        if self._is_guarded():
            self._disturb()
            self._cut_links()
        self._within("L4", 10 * self.timeout, liveness.disagreement)
        self._check_kept({node.id: node.machine.values for node in self._core()})

    def _recover(self) -> None:
        """L1 to L6, then L8 and L9 of a cluster that is left alone."""
        timeout = self.timeout
        self._end_old_transfers()
        self.watch = Watch("L8", self._within("L1", self._patience(), liveness.no_leader), changes=1)
        self._leave_while_idle(10 * timeout)
        self._write(10 * timeout)
        self._within("L3", 10 * timeout + 3 * self._backlog(), liveness.unsettled, self._leave_joint)
        self._within("L4", 5 * timeout + 3 * self._backlog(), liveness.disagreement)
        self._within("L5", 10 * timeout + 3 * self._backlog(), liveness.stuck_flow)
        self._read(2 * timeout)
        self._be_idle(_QUIET[self.sim.options.seed % len(_QUIET)] * timeout)

    def _leave_while_idle(self, ticks: int) -> None:
        """L3 before anything is written: a leader leaves a joint configuration by itself, as it was told to."""
        leader = self._leader()
        if leader is not None and leader.conf.auto_leave:
            self.sim.count("idle clusters in a joint configuration")
            self._within("L3", ticks + 3 * self._backlog(), liveness.joint_by_itself)

    def _end_old_transfers(self) -> None:
        """Wait for what was asked before the faults ended and may change the leader once more: a transfer that is under
        way, and an invitation that is still on its way though its transfer was given up.
        """
        self._within("L1", self._patience(), liveness.no_leader)
        if any(node.transferee for node in self.view().core()):
            self._within("L7", self.timeout + 1, liveness.running_transfer)
            self._pass(self.timeout)
        passed = (self.sim.schedule.now - self.sim.healed) // TICK
        self._pass(max(0, self.timeout + _ELECTION - passed))

    def _demand_proof(self, error: Violation) -> None:
        """L11: what was owed did not come. That is no violation if nobody can be elected any more."""
        if error.law not in _OWED:
            raise error
        sim, view = self.sim, self.view()
        everybody_runs = len(view.core()) == len(sim.members())
        sim.note(f"no recovery: {liveness.prove_end(view, error, everybody_runs)}")
        sim.count("recoveries proved impossible")
        self._check_kept({})

    def _heal(self) -> None:
        sim = self.sim
        sim.is_calm = True
        sim.healed = sim.schedule.now
        sim.network.calm()
        sim.note("heal")
        for node in sim.nodes.values():
            node.heal()

    # -- time

    def _patience(self) -> int:
        """For how many ticks an election may take. Without pre-vote everybody raises the term, and where one node alone
        can win, chance decides whether it is the first: that takes several times as many attempts.
        """
        is_lonely = len(liveness.electable(self.view())) == 1 and not self.sim.options.pre_vote
        return (_LONELY if is_lonely else 1) * 20 * self.timeout

    def _within(self, law: str, ticks: int, missing: Question, act: Callable[[], None] | None = None) -> View:
        return within(law, ticks, self._views(act, with_flow=law == "L5"), missing)

    def _views(self, act: Callable[[], None] | None = None, with_flow: bool = False) -> Iterator[View]:
        while True:
            view = self.view(with_flow)
            self.sim.is_led = not liveness.no_leader(view)
            if self.watch is not None:
                self.watch.see(view)
            yield view
            if act is not None:
                act()
            self._pass_tick()

    def _pass_tick(self) -> None:
        end = self.sim.schedule.now + TICK
        while self.sim.step(end):
            pass

    def _pass(self, ticks: int, watch: Watch | None = None, all_clocks: bool = False) -> None:
        """Let time pass and hold the cluster to `watch`. `all_clocks`: also those of nodes that are no members."""
        for _, view in zip(range(ticks + 1), self._views(), strict=False):
            if watch is not None:
                watch.see(view)
            if all_clocks:
                self.sim.is_led = False

    # -- what is seen

    def view(self, with_flow: bool = False) -> View:
        """The cluster as it is now. `with_flow`: and what its leader thinks of the others."""
        sim, checker = self.sim, self.sim.checker
        view = View(
            conf=checker.conf,
            nodes=tuple(self._see(node) for node in sim.nodes.values() if node.is_up),
            highest=checker.highest,
            state=checker.states[checker.highest],
            acknowledged=len(checker.acked),
            sent=sum(sim.counts.get(type.name, 0) for type in MessageType),
            snapshots_sent=sim.counts.get(MSG_SNAP.name, 0),
            cut=frozenset(sim.network.cut),
        )
        leader = view.leader() if with_flow else None
        return view if leader is None else replace(view, followers=self._followers(leader.id))

    def _followers(self, leader: int) -> tuple[FollowerView, ...]:
        progress = self.sim.nodes[leader].raw.status().progress
        return tuple(
            FollowerView(id=id, is_replicating=one.state is ProgressState.StateReplicate, is_paused=one.is_paused())
            for id, one in progress.items()
            if id != leader
        )

    def _see(self, node: SimNode) -> Seen:
        status = node.raw.basic_status()
        cache = node.disk.cache
        last = cache.last_index()
        return Seen(
            id=node.id,
            role=status.soft_state.role,
            term=status.term,
            leader=status.soft_state.leader,
            commit=status.commit,
            applied=node.applied,
            last=last,
            last_term=term_on(cache, last) or 0,
            state=node.state,
            conf=node.conf,
            changes=len(self.sim.checker.lives[node.id].conf_entries),
            transferee=status.lead_transferee,
            unwritten=max(0, status.last_index - last),
        )

    def _core(self) -> list[SimNode]:
        return [self.sim.nodes[one.id] for one in self.view().core()]

    def _leader(self) -> SimNode | None:
        leader = self.view().leader()
        return self.sim.nodes[leader.id] if leader is not None else None

    def _backlog(self) -> int:
        """How many entries are still to be sent, committed or applied, at most."""
        core = self._core()
        return max(node.raw.basic_status().last_index for node in core) - min(node.applied for node in core)

    # -- what is asked for

    def _write(self, ticks: int) -> None:
        """L2: what is proposed now is applied everywhere; a backlog is granted the time for its messages."""
        acked = self.sim.checker.acked
        enough = len(acked) + _PROPOSALS

        def propose() -> None:
            leader = self._leader()
            if leader is not None and len(acked) < enough:
                self.workload.propose_to(leader)

        self._within("L2", ticks + 3 * self._backlog(), lambda view: liveness.not_written(view, enough), propose)

    def _leave_joint(self) -> None:
        """A joint configuration that must be left explicitly is left now."""
        leader, conf = self._leader(), self.sim.checker.conf
        if leader is not None and conf.voters_outgoing and not conf.auto_leave:
            if not self.sim.checker.lives[leader.id].conf_entries:
                self.workload.change_at(leader, None)

    def _read(self, ticks: int) -> None:
        """L6: every member answers reads, of every key in turn; the answers are part of the history of S18."""
        clients, core = self.sim.clients, self._core()
        for number in range(max(len(core), clients.keys)):
            node = core[number % len(core)]
            context = clients.read_key(node, number % clients.keys)
            if context is None and self._leader() is not node:
                raise Violation("L6", f"node {node.id} cannot take a read: {self.view()}")
            if context is not None:
                self._await_read(context, ticks)

    def _await_read(self, context: bytes, ticks: int) -> None:
        waits = self.sim.clients.waits_for
        within(
            "L6",
            ticks,
            (replace(view, reads_waiting=int(waits(context))) for view in self._views()),
            liveness.waiting_reads,
        )

    def _be_idle(self, ticks: int) -> None:
        """L8 and L9: after the last answers nothing is left to be done."""
        busy = self.sim.clients.busy
        views = (replace(view, reads_waiting=busy()) for view in self._views())
        within("L6", 12 * self.timeout, views, liveness.waiting_reads)
        self._pass(self.timeout)
        before = self._within("L4", 12 * self.timeout, liveness.unfinished)
        self._pass(ticks)
        liveness.check_idle(before, self.view(), ticks)

    def _hand_over(self) -> None:
        """L7: somebody else is asked to lead, and then there is a leader as ever."""
        sim, leader = self.sim, self._leader()
        voters = [node for node in self._core() if node is not leader and node.id in sim.checker.conf.voters]
        if leader is None or not voters:
            return
        target = sim.random.choice(voters)
        sim.note(f"transfer {leader.id} {target.id}")
        leader.raw.transfer_leader(target.id)
        leader.settle()
        self._within("L7", self.timeout + 1, liveness.running_transfer)
        self._within("L1", self._patience(), liveness.no_leader)

    # -- what must not disturb

    def _is_guarded(self) -> bool:
        """Everybody has pre-vote and check-quorum, and the cluster has a leader who has at least one follower."""
        options = self.sim.options
        return options.pre_vote and options.check_quorum and len(self._core()) > 1

    def _disturb(self) -> None:
        """L8: a node that is not needed is cut off, in one direction or both, and returns; meanwhile the clocks of
        nodes that were removed go on. The leader stays.
        """
        sim, leader = self.sim, self._leader()
        others = [node.id for node in self._core() if node is not leader and self._is_dispensable(node.id)]
        if leader is None or not others:
            return
        cut_off = sim.random.choice(others)
        rest = [id for id in sim.nodes if id != cut_off]
        into, out_of = [(id, cut_off) for id in rest], [(cut_off, id) for id in rest]
        links = (into, out_of, [*into, *out_of])[sim.options.seed % 3]
        watch = Watch("L8", self.view())
        self._cut(links)
        self._pass(3 * self.timeout, watch, all_clocks=True)
        self._mend(links)
        self._pass(2 * self.timeout, watch, all_clocks=True)
        self._within("L1", 2 * self.timeout, liveness.no_leader)
        sim.count("nodes cut off and returned")

    def _is_dispensable(self, id: int) -> bool:
        return oracle.is_quorum(self.sim.checker.conf, [node.id for node in self._core() if node.id != id])

    def _cut_links(self) -> None:
        """L10: the leader reaches one other voter only, which reaches everybody. A leader that reaches a majority is
        there, or is elected, and stays.
        """
        sim, leader, conf = self.sim, self._leader(), self.sim.checker.conf
        voters = [node.id for node in self._core() if node is not leader and node.id in conf.voters]
        if leader is None or len(voters) < 2 or not self._is_dispensable(leader.id):
            return
        middle = sim.random.choice(voters)
        links = [
            link for id in sim.nodes if id not in {leader.id, middle} for link in ((leader.id, id), (id, leader.id))
        ]
        self._cut(links)
        view = self._within("L10", 20 * self.timeout, liveness.no_reaching_leader)
        found = view.leader()
        sim.count("leaders replaced that lost their majority", int(found is not None and found.id != leader.id))
        self._pass(5 * self.timeout, Watch("L10", view))
        self._mend(links)
        self._within("L1", self._patience(), liveness.no_leader)

    def _cut(self, links: Iterable[Link]) -> None:
        self.sim.network.cut.update(links)
        self.sim.note(f"cut {links}")

    def _mend(self, links: Iterable[Link]) -> None:
        self.sim.network.cut.difference_update(links)
        self.sim.note("mend")

    # -- the end

    def _check_kept(self, machines: dict[int, dict[int, tuple[int, int]]]) -> None:
        """S20 and S18."""
        checker, clients = self.sim.checker, self.sim.clients
        kept = {truth.data for truth in checker.truth.values()}
        check_kept(clients.acknowledged, machines, checker.acked - kept)
        clients.check()
