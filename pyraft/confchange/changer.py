"""Apply a membership change: (configuration, progress) -> (configuration, progress).

    simple         voters=(1 2)      v3       voters=(1 2 3)            at most one voter differs
    enter_joint    voters=(1 2 3)    v4 l1    voters=(2 3 4)&&(1 2 3) learners_next=(1)
    leave_joint                               voters=(2 3 4) learners=(1)

Why at most one: majorities of two sets that differ by one voter always meet, so no decision can be taken twice. Larger
steps pass through a joint configuration, in which both sets must agree. A voter of the outgoing half that is to become
a learner waits in `learners_next` until it is left, for nobody may be voter and learner at once.

Pure: neither the tracker nor any Progress in it changes. Of the Progress objects returned, those whose `is_learner`
had to change are clones, those of new members are new, and all others are the very objects of the tracker.

Source: thesis §4.1, §4.2.1, §4.3; etcd confchange/confchange.go. The texts of the errors are the reference's, because
traces show them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from sortedcontainers import SortedDict

from pyraft.errors import ConfChangeError
from pyraft.tracker.configuration import Configuration
from pyraft.tracker.inflights import Inflights
from pyraft.tracker.progress import Progress
from pyraft.tracker.tracker import ProgressTracker
from pyraft.types import u64
from raftpb.confchange import ConfChangeSingle
from raftpb.enums import ADD_LEARNER_NODE, ADD_NODE, REMOVE_NODE


@final
class Changer:
    """Computes what follows the configuration of `tracker`.

    `last_index`: of the log when the change is applied; the search for what a new member has starts there. Every
    method raises ConfChangeError, and nothing has changed, if the change is impossible. Steps for node 0 are ignored,
    as are updates and the removal of strangers.
    """

    def __init__(self, tracker: ProgressTracker, last_index: u64) -> None:
        self.tracker = tracker
        self.last_index = last_index

    def simple(self, changes: Sequence[ConfChangeSingle]) -> tuple[Configuration, SortedDict[int, Progress]]:
        """Change at most one voter, and any number of learners, at once (etcd Changer.Simple)."""
        draft = self._draft()
        if draft.outgoing:
            raise ConfChangeError("can't apply simple config change in joint config")
        before = set(draft.incoming)
        draft.apply(changes)
        if len(before ^ draft.incoming) > 1:
            raise ConfChangeError("more than one voter changed without entering joint config")
        return draft.finish()

    def enter_joint(
        self, auto_leave: bool, changes: Sequence[ConfChangeSingle]
    ) -> tuple[Configuration, SortedDict[int, Progress]]:
        """Let the present voters become the outgoing half and the changed ones the incoming (etcd EnterJoint).

        `auto_leave`: the leader is to leave the joint configuration by itself.
        """
        draft = self._draft()
        if draft.outgoing:
            raise ConfChangeError("config is already joint")
        if not draft.incoming:
            raise ConfChangeError("can't make a zero-voter config joint")
        draft.outgoing = set(draft.incoming)
        draft.apply(changes)
        draft.auto_leave = auto_leave
        return draft.finish()

    def leave_joint(self) -> tuple[Configuration, SortedDict[int, Progress]]:
        """Let the incoming half decide alone; who waited to become a learner is one (etcd LeaveJoint)."""
        draft = self._draft()
        if not draft.outgoing:
            raise ConfChangeError("can't leave a non-joint config")
        for node_id in draft.learners_next:
            draft.mark_learner(draft.progress[node_id], True)
            draft.learners.add(node_id)
        draft.learners_next = set()
        for node_id in draft.outgoing:
            if node_id not in draft.incoming and node_id not in draft.learners:
                del draft.progress[node_id]
        draft.outgoing = set()
        draft.auto_leave = False
        return draft.finish()

    def _draft(self) -> _Draft:
        draft = _Draft(self.tracker, self.last_index)
        draft.check()
        return draft


@final
class _Draft:
    """A configuration in the making, with a progress map of its own that shares the Progress objects."""

    __slots__ = (
        "auto_leave",
        "incoming",
        "last_index",
        "learners",
        "learners_next",
        "outgoing",
        "progress",
        "tracker",
    )

    def __init__(self, tracker: ProgressTracker, last_index: u64) -> None:
        config = tracker.config
        self.tracker = tracker
        self.last_index = last_index
        self.incoming: set[int] = set(config.voters)
        self.outgoing: set[int] = set(config.voters_outgoing)
        self.learners: set[int] = set(config.learners)
        self.learners_next: set[int] = set(config.learners_next)
        self.auto_leave: bool = config.auto_leave
        self.progress: SortedDict[int, Progress] = SortedDict(tracker.progress)

    def apply(self, changes: Sequence[ConfChangeSingle]) -> None:
        """Apply the steps in order, to the incoming half and the learners only."""
        for change in changes:
            if change.node_id == 0:
                continue
            if change.type is ADD_NODE:
                self.make_voter(change.node_id)
            elif change.type is ADD_LEARNER_NODE:
                self.make_learner(change.node_id)
            elif change.type is REMOVE_NODE:
                self.remove(change.node_id)
        if not self.incoming:
            raise ConfChangeError("removed all voters")

    def make_voter(self, id: int) -> None:
        """Add or promote; a voter stays what it is."""
        progress = self.progress.get(id)
        if progress is None:
            self.progress[id] = self.new_progress(id, False)
        else:
            self.mark_learner(progress, False)
            self.learners.discard(id)
            self.learners_next.discard(id)
        self.incoming.add(id)

    def make_learner(self, id: int) -> None:
        """Add or demote; a voter of the outgoing half is staged until the joint configuration is left."""
        progress = self.progress.get(id)
        if progress is None:
            self.progress[id] = self.new_progress(id, True)
            self.learners.add(id)
            return
        self.incoming.discard(id)
        if id in self.outgoing:
            self.learners_next.add(id)
        else:
            self.mark_learner(progress, True)
            self.learners.add(id)

    def remove(self, id: int) -> None:
        """Remove; the outgoing half keeps its voters, and their Progress, until it is left."""
        self.incoming.discard(id)
        self.learners.discard(id)
        self.learners_next.discard(id)
        if id not in self.outgoing:
            self.progress.pop(id, None)

    def mark_learner(self, progress: Progress, is_learner: bool) -> None:
        """Set `is_learner` on a clone, for the tracker still uses the original."""
        if progress.is_learner is not is_learner:
            progress = progress.clone()
            progress.is_learner = is_learner
            self.progress[progress.id] = progress

    def new_progress(self, id: int, is_learner: bool) -> Progress:
        """The Progress of a member that was none before."""
        return initial_progress(id, self.last_index, self.tracker.new_inflights(), is_learner)

    def check(self) -> None:
        """Raise ConfChangeError unless the laws of configurations hold (etcd checkInvariants)."""
        for node_id in sorted(self.incoming | self.outgoing | self.learners | self.learners_next):
            if node_id not in self.progress:
                raise ConfChangeError(f"no progress for {node_id}")
        for node_id in sorted(self.learners_next):
            if node_id not in self.outgoing:
                raise ConfChangeError(f"{node_id} is in LearnersNext, but not Voters[1]")
            if self.progress[node_id].is_learner:
                raise ConfChangeError(f"{node_id} is in LearnersNext, but is already marked as learner")
        for node_id in sorted(self.learners):
            if node_id in self.outgoing:
                raise ConfChangeError(f"{node_id} is in Learners and Voters[1]")
            if node_id in self.incoming:
                raise ConfChangeError(f"{node_id} is in Learners and Voters[0]")
            if not self.progress[node_id].is_learner:
                raise ConfChangeError(f"{node_id} is in Learners, but is not marked as learner")
        if self.auto_leave and not self.outgoing:
            raise ConfChangeError("AutoLeave must be false when not joint")

    def finish(self) -> tuple[Configuration, SortedDict[int, Progress]]:
        """The result, checked."""
        self.check()
        config = Configuration(self.incoming, self.outgoing, self.learners, self.learners_next, self.auto_leave)
        return (config, self.progress)


def initial_progress(id: int, last_index: u64, inflights: Inflights, is_learner: bool) -> Progress:
    """The Progress of a new member: nothing known, probed at the end of the log.

    It counts as active, lest a leader that checks its quorum step down before the member could answer (etcd
    initProgress).
    """
    return Progress(id, 0, last_index if last_index > 1 else 1, inflights, is_learner, recent_active=True)
