"""Directed schedules: each way in which Raft implementations are known to have failed has its own scenario here.

A scenario is a trace (`tests/traces/interaction`), which the reference agrees on, or, where disks, copies or knobs play
a part, a script in one of the files `test_directed_*`. `STORIES` is the list; this file sees to it that none gets lost.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from raftpb.enums import MSG_APP, MSG_VOTE
from rafttest.sim.checker.violation import Violation
from rafttest.sim.directed.mailbox import ScheduleError
from rafttest.sim.directed.schedule import DirectedSchedule

TESTS = Path(__file__).parent
TRACES = TESTS.parent / "traces" / "interaction"

STORIES = {
    "wiped_follower_commit_ahead": "test_directed_disks",
    "restored_backup_follower": "test_directed_disks",
    "cross_delivered_heartbeat": "test_directed_disks",
    "full_restart_term_vote": "test_directed_disks",
    "crash_between_term_and_vote": "test_directed_disks",
    "read_before_term_commit": "read_before_term_commit.txt",
    "read_single_voter_after_restart": "test_directed_disks",
    "read_retry_same_ctx": "read_retry_same_context.txt",
    "read_pause_leader_change": "read_leader_change.txt",
    "two_confchanges_unapplied_campaign": "two_confchanges_campaign.txt",
    "timeoutnow_with_unapplied_confchange": "timeout_now_with_unapplied_confchange.txt",
    "confchange_pending_rejected": "confchange_pending_refused.txt",
    "autoleave_after_leader_change": "autoleave_after_leader_change.txt",
    "autoleave_twice": "autoleave_twice.txt",
    "joint_recovered_uncommitted": "joint_change_survives_leader.txt",
    "learner_promoted_must_vote": "learner_promoted_must_vote.txt",
    "leader_demotes_itself_single": "leader_demotes_itself.txt",
    "transfer_target_demoted": "transfer_target_demoted.txt",
    "transfer_aborted_then_lease_read": "transfer_aborted_lease_read.txt",
    "snapshot_conflicting_tail": "snapshot_conflicting_tail.txt",
    "snapshot_two_in_a_row": "snapshot_two_in_a_row.txt",
    "snapshot_not_in_confstate": "snapshot_not_in_confstate.txt",
    "snapshot_report_never_called": "snapshot_report_never_called.txt",
    "probe_recovers_by_heartbeat": "probe_recovers_by_heartbeat.txt",
    "uncommitted_size_across_terms": "test_directed_replication",
    "divergent_tail_rounds": "divergent_tail_rounds.txt",
    "single_node_crash_before_persist": "test_directed_disks",
    "append_aba": "append_aba.txt",
    "removed_node_campaigns": "removed_node_campaigns.txt",
    "prevote_checkquorum_mixed": "prevote_checkquorum_mixed.txt",
    "asymmetric_partition_3": "asymmetric_partition.txt",
    "identical_timers": "identical_timers.txt",
    "last_ack_lost_heartbeat_only": "last_ack_lost_heartbeat_only.txt",
    "duplicate_vote_resp": "duplicate_vote_resp.txt",
    "older_term_commit_fig8": "older_term_commit_fig8.txt",
    "commit_never_regresses": "commit_never_regresses.txt",
}
"""Where each is told."""


def scripts() -> dict[str, set[str]]:
    """The tests of each file."""
    files = TESTS.glob("test_directed_*.py")
    return {file.stem: {*re.findall(r"^def test_(\w+)", file.read_text(), re.MULTILINE)} for file in files}


def test_all_stories_are_listed() -> None:
    assert len(STORIES) == 36


@pytest.mark.parametrize("name", STORIES)
def test_the_story_is_told(name: str) -> None:
    place = STORIES[name]
    if place.endswith(".txt"):
        assert (TRACES / place).is_file()
    else:
        assert name in scripts()[place]


# The means: a script is what it says, the same every time, and cannot pass by telling nothing.


def steps() -> DirectedSchedule:
    s = DirectedSchedule(3)
    s.elect(1)
    s.propose(1, b"x")
    s.isolate(1)
    s.pass_time(40)
    s.converge()
    return s


def test_a_script_is_the_same_each_time() -> None:
    assert steps().trace_hash() == steps().trace_hash()


def test_a_script_is_the_same_in_every_process() -> None:
    program = "import test_directed_schedules as it; print(it.steps().trace_hash())"
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=TESTS, env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == steps().trace_hash()


def test_a_script_says_when_there_is_nothing_to_do() -> None:
    s = DirectedSchedule(3)
    for nothing in (
        lambda: s.deliver(MSG_VOTE),
        lambda: s.drop(to=1),
        s.duplicate,
        lambda: s.ready(1),
        lambda: s.restart(1),
        lambda: s.wipe(1),
        lambda: s.compact(1),
    ):
        with pytest.raises(ScheduleError):
            nothing()
    s.crash(2)
    with pytest.raises(ScheduleError):
        s.tick(2)
    s.crash(3)
    with pytest.raises(ScheduleError, match="does not lead"):
        s.elect(1)


@pytest.mark.parametrize(("keep", "entries"), [(0, 0), (1, 0), (2, 1), (3, 2), (9, 2)])
def test_a_crash_keeps_as_many_records_as_the_script_says(keep: int, entries: int) -> None:
    """The first is the commit index of before, which nobody had to sync."""
    s = DirectedSchedule(1)
    s.elect(1)
    before = s.status(1).last_index
    s.propose(1, b"a", b"b")
    s.ready(1)
    s.crash(1, keep=keep)
    s.restart(1)
    assert s.status(1).last_index == before + entries


def test_held_mail_waits_and_cut_mail_is_lost() -> None:
    s = DirectedSchedule(3)
    s.elect(1)
    s.hold(MSG_APP, to=2)
    s.cut(MSG_APP, to=3)
    s.propose(1, b"x")
    s.run_until_idle()
    assert [(m.type, m.to) for m in s.mailbox] == [(MSG_APP, 2)]
    assert s.data(1) == []
    s.deliver(to=2)
    s.run_until_idle()
    assert s.data(1) == [b"x"]
    assert s.data(3) == []


def propose_unseen(s: DirectedSchedule) -> None:
    """An entry of which the checker does not know who wanted it."""
    s.checker.offered(1, b"unseen")
    s.node(1).raw.propose(b"unseen")


def test_a_violation_tells_the_end_of_the_story() -> None:
    s = DirectedSchedule(3)
    s.elect(1)
    propose_unseen(s)
    with pytest.raises(Violation, match="S21: ") as broken:
        s.run_until_idle()
    assert "deliver MsgAppResp 2->1" in broken.value.__notes__[0]


def test_what_a_script_forgives_is_listed() -> None:
    s = DirectedSchedule(3, forgives=["S21"])
    s.elect(1)
    propose_unseen(s)
    s.run_until_idle()
    assert s.forgiven == ["S21"] * 3
