"""Safety: what must hold whatever happens, checked at once on the node that was touched.

Each hook is told what a node did or showed, and raises Violation if no correct cluster could have done that. Nothing is
asked of the core here, so that a history can be made up by hand and must then be caught.

    S1 one leader a term · S2 one vote a term · S3 nothing unsaved is promised · S4 terms do not fall · S5 votes stay ·
    S6 logs match · S7 leaders only append · S8 leaders have all that was committed · S9 one order of application ·
    S10 only a quorum commits · S11 committed stays · S12 indices in order · S13 messages are possible ·
    S14 configurations follow from the log · S15 learners do not campaign · S16 reads are not stale · S17 nor those by
    lease · S19 nothing is in the log more often than it was given · S21 nothing is invented · S23 bounds hold · S24
    refusals change nothing · S25 progress is honest · L7 transfers end.

S18 and S20 are about what clients see: `clients`. S22 is about two runs: `determinism`. L1 to L11: `liveness`.

Source: thesis fig. 3.2 and §3.6; the names are this project's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from pyraft import BasicStatus, CoreState, MemoryStorage, Role, Status
from raftpb.codec import decode_change
from raftpb.enums import ENTRY_NORMAL, MSG_PROP
from raftpb.message import ConfState, Entry, Message, Snapshot
from rafttest.sim.checker import oracle
from rafttest.sim.checker.clients import Once
from rafttest.sim.checker.history import Content, History, Life, Limits, Mirror, Truth, digest_after
from rafttest.sim.checker.messages import MessageLaws
from rafttest.sim.checker.violation import Violation, demand
from rafttest.sim.cluster.disk import term_on

_ALL_EVERY: Final = 64
"""Observations between two looks at all nodes together."""

_CAMPAIGNING: Final = (Role.StatePreCandidate, Role.StateCandidate, Role.StateLeader)


class Checker(History):
    """The whole history, judged as it happens. `start` is what every founding member begins with."""

    def __init__(self, start: Snapshot, limits: Limits, reads_by_lease: bool = False) -> None:
        super().__init__(start, limits)
        self.read_law = "S17" if reads_by_lease else "S16"
        self.once = Once()
        self.messages = MessageLaws(self)
        self._looks = 0

    # -- beginnings

    def booted(self, n: int, boot: int, durable: MemoryStorage, storage: MemoryStorage, conf: ConfState) -> None:
        """Node `n` starts from what `storage` holds; `durable` will show what its disk keeps from now on."""
        offset = storage.first_index() - 1
        mirror = Mirror(offset, storage.term(offset), [])
        mirror.terms = [storage.term(index) for index in range(offset + 1, storage.last_index() + 1)]
        life = Life(boot, durable, conf, mirror, conf)
        life.app_applied = storage.snapshot().metadata.index
        life.handed_out_term = storage.initial_state()[0].term
        life.conf_entries = [
            index
            for index in range(max(life.app_applied, offset) + 1, mirror.last() + 1)
            if self._is_conf_change(index, mirror.terms[index - offset - 1])
        ]
        self.lives[n] = life

    def _is_conf_change(self, index: int, term: int) -> bool:
        content = self.contents.get((index, term))
        return content is not None and content.type is not ENTRY_NORMAL

    # -- what a node shows after each call

    def observed(self, n: int, status: BasicStatus) -> bool:
        """Node `n` is like this now; True if it has just become leader, and `elected` is to follow."""
        life, role, term = self.lives[n], status.soft_state.role, status.term
        if term < life.term or term < self.last_promise.get(n, (0, 0, 0))[0]:
            raise Violation("S4", f"node {n} fell from term {life.term} to {term}, or below what its disk holds")
        if not life.applied <= status.applied <= status.commit <= status.last_index or status.commit < life.commit:
            raise Violation(
                "S12",
                f"node {n}: applied {life.applied} -> {status.applied}, commit {life.commit} -> {status.commit}, "
                f"last {status.last_index}",
            )
        if term != life.term:
            life.invitable.clear()  # a leader that stepped down has sent what it still had to send in its term
        if role is not life.role or term != life.term:
            life.matches.clear()
            life.had_applied_all = status.applied == status.last_index - 1
            if role in _CAMPAIGNING and not oracle.is_voter(life.conf, n):
                raise Violation("S15", f"node {n} is {role} but no voter of {life.conf}")
        elif role is Role.StateLeader and status.last_index < life.last:
            raise Violation("S7", f"leader {n} of term {term} cut its log from {life.last} to {status.last_index}")
        elected = role is Role.StateLeader and (life.role is not role or life.term != term)
        if role is Role.StateLeader and self.leaders.setdefault(term, n) != n:
            raise Violation("S1", f"nodes {self.leaders[term]} and {n} both led term {term}")
        life.role, life.term, life.last, life.applied = role, term, status.last_index, status.applied
        if status.commit > life.commit:
            life.commit = status.commit
            self._commit(n, life)
        self._check_bounds(n, status)
        if status.lead_transferee or life.transferee:
            self._watch_transfer(n, life, status)
        self._looks += 1
        if self._looks % _ALL_EVERY == 0:
            self.check_quorums_hold_commits()
        return elected

    def ticked(self, n: int, count: int) -> None:
        """The clock of node `n` has gone on; what came of it is yet to be observed."""
        self.lives[n].ticks += count

    def _watch_transfer(self, n: int, life: Life, status: BasicStatus) -> None:
        """L7 while faults go on: by the leader's own clock, a transfer is done or given up within its time."""
        target = status.lead_transferee
        if target != life.transferee:
            life.transferee, life.transfer_began = target, life.ticks
            if target:
                life.invitable.setdefault(target, status.last_index)
        elif life.ticks - life.transfer_began > self.limits.transfer_ticks:
            raise Violation(
                "L7", f"leader {n} has been handing over to {target} for {self.limits.transfer_ticks} ticks"
            )

    def check_quorums_hold_commits(self) -> None:
        """S11, of all nodes: without those that hold what a node knows to be committed there is no quorum. Its
        configuration may be another one than that of the commit if a membership change lies between the two.
        """
        for n, life in self.lives.items():
            commit = life.commit
            if commit <= self.base or (life.conf_entries and life.conf_entries[0] <= commit):
                continue
            if life.app_applied < life.mirror.offset or commit in life.snapshots_arrived:
                continue  # a snapshot came, whose configuration is not in force yet, or was not even handed out
            if life.mirror.term(commit) is None:
                continue  # nor were entries up to there, among which may be a membership change
            term = self.truth[commit].term
            others = [m for m in oracle.members_of(life.conf) if not self._holds(m, commit, term)]
            if oracle.is_quorum(life.conf, others) and not self.lost & {*others}:
                raise Violation("S11", f"{commit}, committed by node {n}, is missing on the quorum {others}")

    def index_to_show(self, term: int) -> int:
        """The highest index that was committed before `term`, which its leader must have."""
        index = self.highest
        while index > self.base and self.truth[index].committed_in >= term:
            index -= 1
        return index

    def elected(self, n: int, term: int, last: int, index: int, term_there: int | None) -> None:
        """Node `n` leads `term` with a log up to `last`, which has `term_there` (0: compacted) at `index_to_show`."""
        right = self.truth[index].term if index > self.base else term_there
        if last < index or term_there not in {0, right}:
            raise Violation("S8", f"leader {n} of term {term} has term {term_there} at {index}, committed was {right}")

    def _commit(self, n: int, life: Life) -> None:
        commit = life.commit
        if life.role is Role.StateLeader:
            if life.mirror.term(commit) != life.term:
                raise Violation(
                    "S10", f"leader {n} of term {life.term} commits {commit} of term {life.mirror.term(commit)}"
                )
            held = [m for m in oracle.members_of(life.conf) if self._holds(m, commit, life.term)]
            if not oracle.is_quorum(life.conf, held):
                raise Violation("S10", f"leader {n} commits {commit}, which only {held} of {life.conf} hold")
        elif commit > self.highest:
            raise Violation("S10", f"node {n}, which does not lead, is the first to commit {commit}")
        while self.highest < commit:
            self._remember(self.highest + 1, life)

    def _remember(self, index: int, life: Life) -> None:
        term = life.mirror.term(index)
        content = self.contents.get((index, term if term is not None else -1))
        if content is None or term is None:
            raise Violation("S10", f"entry {index} of term {term} is committed, but was never handed out")
        self.highest = index
        self.truth[index] = truth = Truth(term, content.type, content.data, life.term)
        self.states[index] = digest_after(self.states[index - 1], index, term, content.type, content.data)
        if content.type is ENTRY_NORMAL and content.data:
            self.once.committed(index, content.data)
        if truth.is_conf_change():
            following = oracle.change(
                self.conf, decode_change(Entry(truth.type, truth.term, index, truth.data)).as_v2()
            )
            if following is not None:
                check_succession(index, self.conf, following)
                self.conf = following
            self.confs[index] = self.conf

    def _holds(self, m: int, index: int, term: int) -> bool:
        return m in self.lives and term_on(self.lives[m].durable, index) in {0, term}

    def _check_bounds(self, n: int, status: BasicStatus) -> None:
        limits = self.limits
        if status.uncommitted_size > limits.uncommitted_bytes or status.pending_reads > limits.pending_reads:
            raise Violation(
                "S23", f"node {n}: {status.uncommitted_size} bytes uncommitted, {status.pending_reads} reads wait"
            )

    # -- what a node hands out

    def handed_out(self, n: int, entries: Sequence[Entry], snapshot: Snapshot | None) -> None:
        """The log of node `n` now ends with these, after this snapshot if there is one."""
        life = self.lives[n]
        mirror = life.mirror
        if snapshot is not None:
            mirror = life.mirror = Mirror(snapshot.metadata.index, snapshot.metadata.term, [])
            life.conf_entries = []
            life.snapshots_arrived.clear()
        if entries and not mirror.offset < entries[0].index <= mirror.last() + 1:
            raise Violation("S6", f"node {n}: entry {entries[0].index} does not follow {mirror.last()}")
        if entries and life.role is Role.StateLeader and life.handed_out_term == life.term:
            if entries[0].index != mirror.last() + 1:
                raise Violation("S7", f"leader {n} of term {life.term} replaces entry {entries[0].index}")
        for entry in entries:
            self._append(n, life, entry)
        if life.role is Role.StateLeader:
            life.handed_out_term = life.term
        there = mirror.term(life.commit)
        if life.commit > self.base and there not in {0, self.truth[life.commit].term}:
            raise Violation("S11", f"node {n} has term {there} at its commit index {life.commit}")

    def _append(self, n: int, life: Life, entry: Entry) -> None:
        index, term = entry.index, entry.term
        previous = life.mirror.term(index - 1)
        if previous is None or term < previous or term > life.term:
            raise Violation("S6", f"node {n} of term {life.term}: entry {index} of term {term} after term {previous}")
        content = Content(entry.type, entry.data, previous)
        known = self.contents.setdefault((index, term), content)
        if known != content:
            raise Violation("S6", f"node {n}: entry {index} of term {term} is {content}, elsewhere {known}")
        if index <= life.commit and index > self.base and self.truth[index].term != term:
            raise Violation("S11", f"node {n} replaces entry {index} by one of term {term}, though it is committed")
        life.mirror.put(entry)
        while life.conf_entries and life.conf_entries[-1] >= index:
            life.conf_entries.pop()
        if entry.type is not ENTRY_NORMAL:
            if life.role is Role.StateLeader and term == life.term and life.conf_entries:
                if life.conf_entries[-1] > life.applied:
                    raise Violation("S14", f"leader {n} appends the change {index} over {life.conf_entries}")
            life.conf_entries.append(index)

    def left(self, n: int, m: Message) -> None:
        """Message `m` leaves node `n`."""
        self.messages.left(n, self.lives[n], m)

    def offered(self, n: int, data: bytes) -> None:
        """Node `n` is given a proposal, by its application or by a message."""
        if self.lives[n].role is Role.StateLeader:
            self.once.offered(data)

    def arrives(self, n: int, m: Message) -> None:
        """Node `n` is about to get a message; proposals in it may be copies."""
        if m.type is MSG_PROP:
            for entry in m.entries:
                self.offered(n, entry.data)
        elif m.snapshot is not None and m.snapshot.metadata.index > self.lives[n].commit:
            self.lives[n].snapshots_arrived.add(m.snapshot.metadata.index)

    def refused(self, n: int, before: CoreState, after: CoreState, what: object) -> None:
        """Node `n` has refused `what`; only that it did, and the suspicion that this raises, may be new."""
        noted = replace(
            before.anomalies,
            refused_messages=after.anomalies.refused_messages,
            term_jump=after.anomalies.term_jump,
            foreign_log_suspected=after.anomalies.foreign_log_suspected,
        )
        before = replace(before, anomalies=noted)
        if after != before:
            raise Violation("S24", f"node {n} changed although it refused {what!r}")

    # -- disks

    def persisted(self, n: int) -> None:
        """What node `n` wrote is durable now."""
        durable = self.lives[n].durable
        state = durable.initial_state()[0]
        term, vote, commit = self.last_promise.get(n, (0, 0, 0))
        if state.term < term or state.commit < commit:
            raise Violation("S4" if state.term < term else "S12", f"disk of node {n} goes back to {state}")
        if state.term == term and vote not in {0, state.vote}:
            raise Violation("S5", f"disk of node {n}: the vote of term {term} changes from {vote} to {state.vote}")
        self.last_promise[n] = (state.term, state.vote, state.commit)
        if state.commit > self.base:
            there = term_on(durable, state.commit)
            if there is None or (there != 0 and there != self.truth[state.commit].term):
                raise Violation("S11", f"disk of node {n} has term {there} at its commit index {state.commit}")

    # -- the application

    def applied(self, n: int, entry: Entry) -> None:
        """The application of node `n` takes an entry."""
        life = self.lives[n]
        truth = self.truth.get(entry.index)
        if entry.index != life.app_applied + 1:
            raise Violation("S9", f"node {n} applies {entry.index} after {life.app_applied}")
        if truth is None or (truth.term, truth.type, truth.data) != (entry.term, entry.type, entry.data):
            raise Violation("S9", f"node {n} applies {entry!r}, the others {truth}")
        if entry.type is ENTRY_NORMAL and entry.data not in self.proposed:
            raise Violation("S21", f"node {n} applies {entry!r}, which nobody proposed")
        life.app_applied = entry.index
        life.conf_entries = [index for index in life.conf_entries if index > entry.index]

    def configured(self, n: int, index: int, conf: ConfState) -> None:
        """Node `n` has acted on the membership change at `index`, and is in `conf` now."""
        life = self.lives[n]
        life.matches.clear()  # who was removed and comes back is a stranger
        life.former_conf, life.conf = life.conf, conf
        if conf != self.confs[index]:
            raise Violation("S14", f"node {n} is in {conf} after {index}; by the log it is {self.confs[index]}")

    def restored(self, n: int, snapshot: Snapshot) -> None:
        """The application of node `n` takes over a snapshot."""
        life, index = self.lives[n], snapshot.metadata.index
        if index <= life.app_applied or self.states.get(index) != snapshot.data:
            raise Violation("S9", f"node {n} goes from {life.app_applied} to a snapshot of another state at {index}")
        expected = self.confs[max(at for at in self.confs if at <= index)]
        if snapshot.metadata.conf_state != expected:
            raise Violation("S14", f"the snapshot at {index} names {snapshot.metadata.conf_state}, not {expected}")
        life.app_applied, life.conf = index, expected

    def compacted(self, n: int, storage: MemoryStorage) -> None:
        """Node `n` has forgotten what its `storage` no longer has."""
        mirror, offset = self.lives[n].mirror, storage.first_index() - 1
        if offset > mirror.offset:
            mirror.terms = mirror.terms[offset - mirror.offset :]
            mirror.offset, mirror.offset_term = offset, storage.term(offset)

    # -- reads

    def read_invoked(self, n: int, context: bytes) -> None:
        """Somebody asks node `n` now."""
        self.read_floors[context] = (self.highest, n, self.lives[n].boot)

    def read_answered(self, n: int, context: bytes, index: int) -> None:
        """Node `n` says from which index on the read is current."""
        floor, asked, boot = self.read_floors.pop(context, (0, 0, 0))
        if (asked, boot) != (n, self.lives[n].boot):
            raise Violation("S16", f"node {n} answers read {context!r} of node {asked}, life {boot}, or does it again")
        if index < floor:
            raise Violation(
                self.read_law, f"node {n} answers read {context!r} with {index}; {floor} was committed when asked"
            )
        self.reads_checked += 1

    # -- the leader's view of the others

    def progress_seen(self, n: int, status: Status) -> None:
        """All of a leader's status."""
        life = self.lives[n]
        members = oracle.members_of(life.conf)
        if list(status.progress) != members:
            raise Violation("S14", f"leader {n} follows {list(status.progress)}, the members are {members}")
        for id, one in status.progress.items():
            if not one.match < one.next or one.match > status.last_index:
                raise Violation("S25", f"leader {n}: {id} has match {one.match}, next {one.next}")
            if one.match < life.matches.get(id, 0):
                raise Violation("S25", f"leader {n}: the match of {id} falls from {life.matches[id]} to {one.match}")
            life.matches[id] = one.match
            if one.inflights.count() > self.limits.inflight:
                raise Violation("S23", f"leader {n} has {one.inflights.count()} messages under way to {id}")
            if id not in self.lost:
                self._check_match(n, life, id, one.match)
        if life.had_applied_all and life.mirror.last() == status.last_index:
            self._check_quota(n, life, status)

    def _check_match(self, n: int, life: Life, id: int, match: int) -> None:
        other = self.lives.get(id)
        if other is None or match == 0 or other.durable.initial_state()[0].term > life.term:
            return
        held, own = term_on(other.durable, match), life.mirror.term(match)
        if held is None or (held != 0 and own not in {0, held}):
            raise Violation("S25", f"leader {n} believes that {id} holds {match}; it has term {held} there")

    def _check_quota(self, n: int, life: Life, status: Status) -> None:
        size = 0
        for index in range(max(status.applied, life.mirror.offset) + 1, status.last_index + 1):
            size += len(self.contents[index, life.term].data)
        if status.uncommitted_size != size:
            raise Violation(
                "S23", f"leader {n} counts {status.uncommitted_size} bytes as uncommitted; there are {size}"
            )


def check_succession(index: int, before: ConfState, after: ConfState) -> None:
    """S14: the change at `index` leads to a sound configuration whose quorums meet those of the one before."""
    demand(oracle.is_sound(after), "S14", f"the configuration after {index} is {after}")
    if not after.voters_outgoing and not before.voters_outgoing:
        demand(len({*before.voters} ^ {*after.voters}) <= 1, "S14", f"{index} leads from {before} to {after}")
    demand(oracle.quorums_meet(before, after), "S14", f"quorums of {before} and {after}, made at {index}, do not meet")
