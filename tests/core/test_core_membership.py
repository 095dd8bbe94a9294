"""Membership changes: which may be proposed, what applying one does at once, and joint configurations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harness import (
    Cluster,
    Host,
    acked,
    append,
    change,
    follow,
    host,
    leader,
    of_type,
)

from pyraft import (
    ConfChangeError,
    DropReason,
    ProposalDroppedError,
    RefusedConfChange,
    Role,
)
from raftpb.codec import encode_conf_change, encode_conf_change_v2
from raftpb.confchange import ConfChange, ConfChangeV2
from raftpb.enums import (
    ADD_NODE,
    ENTRY_CONF_CHANGE,
    ENTRY_CONF_CHANGE_V2,
    ENTRY_NORMAL,
    MSG_APP,
    MSG_PROP,
    ConfChangeTransition,
)
from raftpb.message import ConfState, Entry, Message

AUTO = ConfChangeTransition.ConfChangeTransitionAuto
IMPLICIT = ConfChangeTransition.ConfChangeTransitionJointImplicit
EXPLICIT = ConfChangeTransition.ConfChangeTransitionJointExplicit

FOLLOWER, LEADER = Role.StateFollower, Role.StateLeader


def ready_leader(*voters: int, **knobs: Any) -> Host:
    """A leader that has committed and applied everything."""
    node = leader(voters=voters or (1, 2, 3), **knobs)
    follow(node, *[id for id in (2, 3) if id in node.raw.status().progress])
    return node


def config(node: Host) -> str:
    return str(node.raw.status().config)


def commit(node: Host, *ids: int) -> list[Message]:
    """Let `ids` acknowledge everything."""
    node.settle()
    return follow(node, *(ids or (2, 3)))


# What may be proposed


def test_a_change_takes_effect_when_it_is_applied() -> None:
    node = ready_leader()
    node.raw.propose_conf_change(change("v4"))
    node.settle()
    assert config(node) == "voters=(1 2 3)"
    node.step(acked(2, 1))
    assert config(node) == "voters=(1 2 3 4)"


@pytest.mark.parametrize(
    ("wanted", "entry"),
    [
        pytest.param(None, Entry(ENTRY_CONF_CHANGE_V2, 1, 2), id="leave"),
        pytest.param(
            ConfChange(ADD_NODE, 4, b"at"),
            Entry(ENTRY_CONF_CHANGE, 1, 2, encode_conf_change(ConfChange(ADD_NODE, 4, b"at"))),
            id="first version",
        ),
        pytest.param(
            change("v4 l5"), Entry(ENTRY_CONF_CHANGE_V2, 1, 2, encode_conf_change_v2(change("v4 l5"))), id="second"
        ),
    ],
)
def test_what_is_appended(wanted: ConfChange | ConfChangeV2 | None, entry: Entry) -> None:
    node = ready_leader(disable_conf_change_validation=True)
    node.raw.propose_conf_change(wanted)
    assert node.raw.ready().entries == [entry]


def test_one_change_at_a_time() -> None:
    node = ready_leader()
    node.raw.propose_conf_change(change("v4"))
    node.raw.propose_conf_change(change("v5"))
    node.settle()
    assert node.refused == [RefusedConfChange(3, "a membership change at index 2 may be unapplied (applied to 1)")]
    assert node.storage.entries(3, 4, 100) == [Entry(ENTRY_NORMAL, 1, 3)]
    commit(node)
    assert config(node) == "voters=(1 2 3 4)"
    node.raw.propose_conf_change(change("v5"))
    node.settle()
    assert len(node.refused) == 1


def test_committed_is_not_enough() -> None:
    node = ready_leader()
    node.raw.propose_conf_change(change("v4"))
    node.settle()
    node.raw.step(acked(2, 1))
    node.begin()
    assert node.commit == 2
    node.raw.propose_conf_change(change("v5"))
    node.finish()
    node.settle()
    assert [refusal.index for refusal in node.refused] == [3]


def test_a_new_leader_first_applies_what_it_found() -> None:
    """It may hold a change."""
    node = leader((1, 1), commit=1)
    node.raw.propose_conf_change(change("v4"))
    node.settle()
    assert node.refused == [RefusedConfChange(4, "a membership change at index 2 may be unapplied (applied to 1)")]
    commit(node)
    node.raw.propose_conf_change(change("v4"))
    commit(node)
    assert config(node) == "voters=(1 2 3 4)"


def test_a_joint_configuration_is_to_be_left_first() -> None:
    node = ready_leader()
    node.raw.propose_conf_change(change("v4", EXPLICIT))
    commit(node)
    assert config(node) == "voters=(1 2 3 4)&&(1 2 3)"
    node.raw.propose_conf_change(change("v5"))
    node.settle()
    assert node.refused == [RefusedConfChange(3, "the configuration is joint; leave it first")]
    commit(node)
    node.raw.propose_conf_change(None)
    commit(node, 2, 4)
    assert config(node) == "voters=(1 2 3 4)"


@pytest.mark.parametrize("transition", [AUTO, IMPLICIT, EXPLICIT], ids=str)
def test_there_is_nothing_to_leave_outside_a_joint_configuration(transition: ConfChangeTransition) -> None:
    node = ready_leader()
    node.raw.propose_conf_change(change("", transition))
    node.settle()
    assert node.refused == [RefusedConfChange(2, "the configuration is not joint; there is nothing to leave")]


def test_a_refusal_alone_is_no_reason_for_a_ready() -> None:
    """The entry in its place is."""
    told = RefusedConfChange(9, "for people")
    node = host()
    fresh = Host(node.config, replace(node.raw.export_state(), refused_conf_changes=(told,)))
    assert not fresh.raw.has_ready()
    fresh.raw.campaign()
    assert fresh.raw.ready().refused_conf_changes == (told,)


def test_of_several_changes_in_a_message_the_first_is_taken() -> None:
    node = ready_leader()
    entries = [
        Entry(data=b"x"),
        Entry(ENTRY_CONF_CHANGE_V2, data=encode_conf_change_v2(change("v4"))),
        Entry(ENTRY_CONF_CHANGE_V2, data=encode_conf_change_v2(change("v5"))),
        Entry(data=b"y"),
    ]
    node.raw.step(Message(MSG_PROP, 1, 2, entries=entries))
    ready = node.take()
    assert [(entry.type, entry.index) for entry in ready.entries] == [
        (ENTRY_NORMAL, 2),
        (ENTRY_CONF_CHANGE_V2, 3),
        (ENTRY_NORMAL, 4),
        (ENTRY_NORMAL, 5),
    ]
    assert ready.refused_conf_changes == (
        RefusedConfChange(4, "a membership change at index 3 may be unapplied (applied to 1)"),
    )


def test_validation_may_be_switched_off() -> None:
    node = ready_leader(disable_conf_change_validation=True)
    node.raw.propose_conf_change(change("v4"))
    node.raw.propose_conf_change(change("v5"))
    commit(node)
    commit(node)
    assert node.refused == []
    assert config(node) == "voters=(1 2 3 4 5)"


def test_a_change_dropped_for_its_size_holds_nothing_up() -> None:
    """In the reference the next one is refused until the log has been applied up to where the first would have been."""
    node = ready_leader(max_uncommitted_entries_size=1)
    node.raw.propose(b"x")
    before = node.raw.export_state()
    with pytest.raises(ProposalDroppedError) as caught:
        node.raw.propose_conf_change(change("v4"))
    assert caught.value.reason is DropReason.UNCOMMITTED_LIMIT
    assert node.raw.export_state() == before
    commit(node)
    node.raw.propose_conf_change(change("v4"))
    commit(node)
    assert node.refused == []
    assert config(node) == "voters=(1 2 3 4)"


def test_a_change_dropped_for_its_size_leaves_the_one_that_is_pending_pending() -> None:
    node = ready_leader(max_uncommitted_entries_size=1, disable_conf_change_validation=True)
    node.raw.propose_conf_change(change("v4"))
    before = node.raw.export_state()
    assert before.pending_conf_index == 2
    with pytest.raises(ProposalDroppedError):
        node.raw.propose_conf_change(change("v5"))
    assert node.raw.export_state() == before


# What applying a change does


@pytest.mark.parametrize(
    ("start", "wanted", "end"),
    [
        pytest.param(ConfState((1,)), change("v2"), "voters=(1 2)", id="add a voter"),
        pytest.param(ConfState((1,)), change("l2"), "voters=(1) learners=(2)", id="add a learner"),
        pytest.param(ConfState((1,), (2,)), change("v2"), "voters=(1 2)", id="promote"),
        pytest.param(ConfState((1, 2)), change("l2"), "voters=(1) learners=(2)", id="demote"),
        pytest.param(ConfState((1, 2)), change("r2"), "voters=(1)", id="remove"),
        pytest.param(ConfState((1, 2)), change("r9"), "voters=(1 2)", id="remove a stranger"),
        pytest.param(ConfState((1, 2)), change("u2"), "voters=(1 2)", id="update"),
        pytest.param(ConfState((1, 2)), change("v0"), "voters=(1 2)", id="cancelled"),
        pytest.param(ConfState((1, 2)), change("v3 r2"), "voters=(1 3)&&(1 2) autoleave", id="replace"),
        pytest.param(ConfState((1, 2)), change("v3", IMPLICIT), "voters=(1 2 3)&&(1 2) autoleave", id="implicit"),
        pytest.param(ConfState((1, 2)), change("v3", EXPLICIT), "voters=(1 2 3)&&(1 2)", id="explicit"),
        pytest.param(ConfState((1, 2)), change("", EXPLICIT), "voters=(1 2)&&(1 2)", id="joint with itself"),
        pytest.param(
            ConfState((1, 2)), change("l2 v3"), "voters=(1 3)&&(1 2) learners_next=(2) autoleave", id="demote jointly"
        ),
        pytest.param(
            ConfState((1, 3), (), (1, 2), (2,), True), change(), "voters=(1 3) learners=(2)", id="leave, demoting"
        ),
        pytest.param(ConfState((1, 3), (), (1, 2)), None, "voters=(1 3)", id="leave"),
    ],
)
def test_what_a_change_leads_to(start: ConfState, wanted: ConfChangeV2 | None, end: str) -> None:
    node = host(conf_state=start)
    result = node.raw.apply_conf_change(wanted)
    assert config(node) == end
    assert result == node.raw.status().config.conf_state()


@pytest.mark.parametrize(
    ("start", "wanted", "text"),
    [
        pytest.param(ConfState((1,)), change("r1"), "removed all voters", id="nobody left"),
        pytest.param(ConfState((1,)), change("l1"), "removed all voters", id="only learners left"),
        pytest.param(ConfState((1, 2), (), (1,)), change("v3"), "in joint config", id="simple while joint"),
        pytest.param(ConfState((1, 2), (), (1,)), change("v3 v4"), "already joint", id="joint while joint"),
        pytest.param(ConfState((1,)), None, "non-joint", id="leave what is not joint"),
        pytest.param(ConfState(), change("v1 v2"), "zero-voter", id="joint with nobody"),
    ],
)
def test_an_impossible_change_changes_nothing(start: ConfState, wanted: ConfChangeV2 | None, text: str) -> None:
    node = host(conf_state=start)
    before = node.raw.export_state()
    with pytest.raises(ConfChangeError, match=text):
        node.raw.apply_conf_change(wanted)
    assert replace(node.raw.export_state(), changes_applied=0) == before
    node.raw.tick()


def test_applying_a_change_twice_is_harmless() -> None:
    """A node that starts again sees entries again that it has applied already."""
    node = host(voters=(1, 2))
    node.raw.apply_conf_change(change("v3"))
    node.raw.apply_conf_change(change("v3"))
    assert config(node) == "voters=(1 2 3)"


def test_a_new_member_is_probed_at_the_end_of_the_log_and_counts_as_active() -> None:
    node = ready_leader()
    node.raw.propose(b"x")
    node.raw.propose_conf_change(change("l4"))
    commit(node)
    assert str(node.progress(4)) == "StateProbe match=0 next=3 learner paused"


def test_a_new_member_does_not_make_the_leader_step_down() -> None:
    node = ready_leader(1)
    node.raw.propose_conf_change(change("v2"))
    node.settle()
    assert node.raw.status().config.voters == (1, 2)
    node.tick(10)
    assert node.role is LEADER
    node.tick(10)
    assert node.role is FOLLOWER


def test_a_member_keeps_what_is_known_of_it() -> None:
    node = ready_leader()
    node.raw.propose_conf_change(change("l3"))
    commit(node)
    assert str(node.progress(3)) == "StateReplicate match=2 next=3 learner"
    node.raw.propose_conf_change(change("v3"))
    commit(node)
    assert str(node.progress(3)) == "StateReplicate match=3 next=4"


def test_one_that_was_removed_is_forgotten_when_the_joint_configuration_is_left() -> None:
    node = ready_leader()
    node.raw.propose_conf_change(change("r3 v4", EXPLICIT))
    commit(node)
    assert list(node.raw.status().progress) == [1, 2, 3, 4]
    node.raw.propose_conf_change(None)
    commit(node, 2, 4)
    assert list(node.raw.status().progress) == [1, 2, 4]


def test_a_smaller_quorum_commits_at_once_and_tells_of_it() -> None:
    node = ready_leader(1, 2, 3, 4)
    node.raw.propose_conf_change(change("r4"))
    node.raw.propose(b"x")
    node.settle()
    node.step(acked(3, 1))  # of four, three are needed
    assert node.commit == 1
    sent = node.step(acked(2, 1, from_=3))  # commits the removal, after which two of three have the rest
    assert node.commit == 3
    assert [(m.to, m.commit) for m in of_type(sent, MSG_APP)][-2:] == [(2, 3), (3, 3)]


def test_after_a_change_everybody_who_may_be_sent_to_is() -> None:
    """A new member need not wait for the next proposal."""
    node = ready_leader()
    node.raw.propose_conf_change(change("v4"))
    sent = commit(node)
    assert [(m.index, [entry.index for entry in m.entries]) for m in of_type(sent, MSG_APP) if m.to == 4] == [(1, [2])]


# Auto-leave


def test_the_leader_leaves_by_itself() -> None:
    cluster = Cluster((1, 2, 3))
    cluster.elect(1)
    cluster.join(4)
    cluster.change(1, change("v4 r3"))
    assert {config(cluster[id]) for id in (1, 2, 4)} == {"voters=(1 2 4)"}
    assert [entry.type for entry in cluster[1].applied] == [ENTRY_NORMAL, ENTRY_CONF_CHANGE_V2, ENTRY_CONF_CHANGE_V2]
    assert cluster[1].applied[-1].data == b""


def test_it_leaves_once() -> None:
    """Applying further entries meanwhile does not propose it again."""
    node = ready_leader()
    node.raw.propose_conf_change(change("v4 r3"))
    node.raw.propose(b"x")
    node.raw.propose(b"y")
    node.settle()
    node.step(acked(2, 1))
    assert node.last == 5
    node.step(acked(4, 1), acked(4, 1, from_=3), acked(4, 1, from_=4))
    assert node.raw.basic_status().applied == 4
    assert node.last == 5


def test_it_is_tried_again_after_a_transfer() -> None:
    node = ready_leader()
    node.raw.propose_conf_change(change("v4 r3"))
    node.settle()
    node.raw.transfer_leader(2)
    node.step(acked(2, 1))
    assert config(node).endswith("autoleave")
    assert node.last == 2
    node.raw.transfer_leader(1)
    node.raw.propose(b"x")
    node.settle()
    node.step(acked(3, 1), acked(3, 1, from_=4))
    assert node.raw.basic_status().applied == 3
    assert node.last == 4
    assert node.storage.entries(4, 5, 100) == [Entry(ENTRY_CONF_CHANGE_V2, 1, 4)]


def test_a_later_leader_leaves_in_its_place() -> None:
    cluster = Cluster((1, 2, 3), max_size_per_msg=0, max_committed_size_per_ready=2**20)  # an entry a message
    cluster.elect(1)
    cluster.join(4)
    cluster.loses = lambda m: any(entry.type is ENTRY_CONF_CHANGE_V2 and not entry.data for entry in m.entries)
    cluster.change(1, change("v4 r3"))
    cluster.tick(3)
    assert {config(each) for each in cluster.hosts.values()} == {"voters=(1 2 4)&&(1 2 3) autoleave"}
    cluster.heal()
    cluster.isolate(1)
    cluster.tick(60)
    assert {config(cluster[id]) for id in (2, 4)} == {"voters=(1 2 4)"}
    assert config(cluster[1]).endswith("autoleave")
    cluster.heal()
    cluster.tick(30)
    assert config(cluster[1]) == "voters=(1 2 4)"


def test_a_follower_does_not_leave() -> None:
    node = host(term=1)
    wanted = Entry(ENTRY_CONF_CHANGE_V2, 1, 1, encode_conf_change_v2(change("v4 r3")))
    node.step(append(1, (0, 0), [wanted], commit=1))
    assert config(node) == "voters=(1 2 4)&&(1 2 3) autoleave"
    assert node.last == 1


def test_explicitly_joint_is_not_left_by_itself() -> None:
    cluster = Cluster((1, 2, 3))
    cluster.elect(1)
    cluster.change(1, change("l3", EXPLICIT))
    cluster.propose(1, b"x")
    cluster.tick(30)
    assert {config(each) for each in cluster.hosts.values()} == {"voters=(1 2)&&(1 2 3) learners_next=(3)"}


# Leaders that are removed
