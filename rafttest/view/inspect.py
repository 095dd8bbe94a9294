"""Look: what a node is like, read from its core and the storage below it, without touching either."""

from __future__ import annotations

from pyraft import NO_LIMIT, NodeFailedError, RawNode, Role, Storage
from pyraft.core_state import CoreState
from raftpb.message import Entry
from rafttest.view.log import SharedLog
from rafttest.view.timeline import Follower, NodeState

_Signature = tuple[int, int, int, tuple[Entry, ...]]


class Inspector:
    """Looks at nodes again and again; a log that has not changed is the same object as before."""

    def __init__(self) -> None:
        self._logs: dict[int, tuple[_Signature, SharedLog]] = {}

    def see(self, id: int, raw: RawNode, storage: Storage, applied: int, conf: str) -> NodeState:
        """A node that runs, or whose core has stopped for good, which is as good as down.

        `applied`: how far the application is, which may be ahead of what the core has heard. `conf`: the configuration
        last seen, should it not be known now.
        """
        try:
            core = raw.export_state()
        except NodeFailedError:
            return self.see_disk(id, storage, conf)
        first = core.snapshot.metadata.index + 1 if core.snapshot is not None else storage.first_index()
        return state_of(core, self._log(id, first, core, storage), applied)

    def see_disk(self, id: int, storage: Storage, conf: str) -> NodeState:
        """A node that is down."""
        promise, first, last = storage.initial_state()[0], storage.first_index(), storage.last_index()
        self._logs.pop(id, None)
        return NodeState(
            is_up=False,
            role=Role.StateFollower,
            term=promise.term,
            vote=promise.vote,
            leader=0,
            commit=promise.commit,
            applied=storage.snapshot().metadata.index,
            stable=last,
            log=SharedLog(first, storage.entries(first, last + 1, NO_LIMIT) if last >= first else ()),
            conf=conf,
        )

    def _log(self, id: int, first: int, core: CoreState, storage: Storage) -> SharedLog:
        signature = (first, storage.last_index(), core.base, core.entries)
        known = self._logs.get(id)
        if known is not None and known[0] == signature:
            return known[1]
        end = min(core.base, storage.last_index() + 1)
        below = storage.entries(first, end, NO_LIMIT) if first < end else []
        log = SharedLog(first, (*below, *core.entries[max(0, first - core.base) :]))
        self._logs[id] = (signature, log)
        return log


def state_of(core: CoreState, log: SharedLog, applied: int = 0) -> NodeState:
    """A node that runs, and its log."""
    return NodeState(
        is_up=True,
        role=core.role,
        term=core.term,
        vote=core.vote,
        leader=core.leader,
        commit=core.committed,
        applied=max(core.applied, applied),
        stable=core.offset - 1,
        log=log,
        conf=str(core.config),
        followers=_followers(core),
    )


def _followers(core: CoreState) -> tuple[Follower, ...]:
    if core.role is not Role.StateLeader:
        return ()
    return tuple(
        Follower(id=one.id, match=one.match, next=one.next, state=str(one.state).removeprefix("State"))
        for one in core.progress
        if one.id != core.id
    )
