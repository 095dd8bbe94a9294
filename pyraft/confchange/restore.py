"""Rebuild a configuration from the form that snapshots and storages keep.

What is rebuilt says the same as what was given, or nothing is: `config.conf_state()` is equivalent to the argument. A
ConfState may come from another node or a disk, so each law of configurations is checked, and the error names the one
that is broken.

Source: etcd confchange/restore.go, util.go assertConfStatesEquivalent.
"""

from __future__ import annotations

from sortedcontainers import SortedDict

from pyraft.confchange.changer import initial_progress
from pyraft.errors import ConfChangeError
from pyraft.tracker.configuration import Configuration
from pyraft.tracker.inflights import Inflights
from pyraft.tracker.progress import Progress
from pyraft.types import MAX_INTEGER, u64
from raftpb.message import ConfState


def restore(
    conf_state: ConfState, last_index: u64, max_inflight: u64, max_inflight_bytes: u64
) -> tuple[Configuration, SortedDict[int, Progress]]:
    """The configuration and a new Progress for each member, as if all had just been added.

    `last_index`: of the log (etcd Restore). `max_inflight`, `max_inflight_bytes`: limits of each window. An empty
    ConfState gives an empty configuration. Raises ConfChangeError if `conf_state` is no valid configuration.
    """
    check(conf_state)
    config = Configuration(
        conf_state.voters,
        conf_state.voters_outgoing,
        conf_state.learners,
        conf_state.learners_next,
        conf_state.auto_leave,
    )
    progress: SortedDict[int, Progress] = SortedDict()
    for node_id in config.members():
        inflights = Inflights(max_inflight, max_inflight_bytes)
        progress[node_id] = initial_progress(node_id, last_index, inflights, node_id in config.learners)
    return (config, progress)


def check(conf_state: ConfState) -> None:
    """Raise ConfChangeError, saying what is wrong, unless `conf_state` is empty or a valid configuration."""
    if conf_state.is_empty():
        return
    _check_ids("voters", conf_state.voters)
    _check_ids("voters_outgoing", conf_state.voters_outgoing)
    _check_ids("learners", conf_state.learners)
    _check_ids("learners_next", conf_state.learners_next)
    if not conf_state.voters:
        raise ConfChangeError("voters is empty although other fields are not")
    voters = set(conf_state.voters)
    outgoing = set(conf_state.voters_outgoing)
    for node_id in conf_state.learners:
        if node_id in voters:
            raise ConfChangeError(f"{node_id} is in learners and in voters")
        if node_id in outgoing:
            raise ConfChangeError(f"{node_id} is in learners and in voters_outgoing")
    for node_id in conf_state.learners_next:
        if node_id in voters:
            raise ConfChangeError(f"{node_id} is in learners_next and in voters")
        if node_id not in outgoing:
            raise ConfChangeError(f"{node_id} is in learners_next but not in voters_outgoing")
    if conf_state.auto_leave and not conf_state.voters_outgoing:
        raise ConfChangeError("auto_leave is set although voters_outgoing is empty")


def _check_ids(field: str, ids: tuple[object, ...]) -> None:
    for node_id in ids:
        if not isinstance(node_id, int) or isinstance(node_id, bool) or not 0 < node_id <= MAX_INTEGER:
            raise ConfChangeError(f"{field}: {node_id!r} is not the id of a node")
    if len(set(ids)) != len(ids):
        raise ConfChangeError(f"{field} names a node twice: {list(ids)}")
