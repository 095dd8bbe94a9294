"""Membership: who may join, move and leave, and what becomes of overtaken changes."""

from __future__ import annotations

import asyncio

import pytest
from host_cluster import Cluster, Node
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import VirtualLoop, run

from examples.host.machine import ChangeRefusedError, NotServedError, RemovedError
from examples.host.membership import (
    Change,
    Context,
    Members,
    adding,
    entry_of,
    founding,
    moving,
    promoting,
    removing,
)
from examples.host.settings import Settings
from raftpb import ConfChange, ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState, Message, MessageType

NODE_4 = "http://node-4:1"
THREE = Members(
    ConfState((1, 2, 3)), {1: "http://a:1", 2: "http://b:1", 3: "http://c:1"}, removed=frozenset({9}), changed_at=3
)


def voters(node: Node) -> set[int]:
    return set(node.replica.members.conf_state.voters)


# -- what makes sense


@pytest.mark.parametrize("id", [-1, 2**63], ids=["negative", "too large"])
def test_what_no_value_can_hold_is_no_id(id: int) -> None:
    with pytest.raises(ChangeRefusedError, match=f"{id} cannot be a member's id"):
        adding(id, NODE_4)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (adding(0, NODE_4), "0 cannot be a member's id"),
        (adding(9, NODE_4), "9 was a member and was removed"),
        (promoting(9), "9 was a member and was removed"),
        (promoting(4), "where member 4 is has to be said"),
        (adding(4, "http://b:1"), "member 2 is at http://b:1 already"),
        (moving(1, "http://b:1"), "member 2 is at http://b:1 already"),
        (adding(4, "https://d:1"), "a peer's URL is http://host:port"),
        (adding(4, "http://d"), "a peer's URL is http://host:port"),
        (adding(4, "http://user:secret@d:1"), "nothing beside host and port"),
        (adding(4, "http://" + "d" * 600 + ":1"), "a URL of 609 characters"),
        (removing(4), "4 is not a member"),
        (moving(4, NODE_4), "4 is not a member"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else "",
)
def test_what_makes_no_sense_is_refused(change: Change, reason: str) -> None:
    with pytest.raises(ChangeRefusedError) as told:
        THREE.check(change)
    assert reason in str(told.value)


@pytest.mark.parametrize(
    ("change", "state", "after"),
    [
        pytest.param(
            adding(4, NODE_4),
            ConfState((1, 2, 3), (4,)),
            Members(ConfState((1, 2, 3), (4,)), {**THREE.urls, 4: NODE_4}, frozenset({4}), frozenset({9}), 10),
            id="somebody joins, to become a voter",
        ),
        pytest.param(
            adding(4, NODE_4, stay_learner=True),
            ConfState((1, 2, 3), (4,)),
            Members(ConfState((1, 2, 3), (4,)), {**THREE.urls, 4: NODE_4}, frozenset(), frozenset({9}), 10),
            id="somebody joins, to stay a learner",
        ),
        pytest.param(
            moving(3, NODE_4),
            ConfState((1, 2, 3)),
            Members(ConfState((1, 2, 3)), {**THREE.urls, 3: NODE_4}, frozenset(), frozenset({9}), 10),
            id="somebody moves",
        ),
        pytest.param(
            removing(3),
            ConfState((1, 2)),
            Members(ConfState((1, 2)), {1: "http://a:1", 2: "http://b:1"}, frozenset(), frozenset({3, 9}), 10),
            id="somebody leaves",
        ),
        pytest.param(
            removing(3),
            ConfState((1, 2), (), (1, 2, 3)),
            Members(ConfState((1, 2), (), (1, 2, 3)), THREE.urls, frozenset(), frozenset({9}), 10),
            id="somebody is about to leave, and counts until then",
        ),
    ],
)
def test_what_follows_a_change(change: Change, state: ConfState, after: Members) -> None:
    THREE.check(change)
    members = THREE.after(change, state, 10)
    assert members == after
    assert Members.load(members.save(), state) == members


def test_joining_depends_on_who_is_there() -> None:
    assert THREE.joining(4, NODE_4) == adding(4, NODE_4)
    assert THREE.joining(4, NODE_4, stay_learner=True) == adding(4, NODE_4, stay_learner=True)
    assert THREE.joining(3, NODE_4) == moving(3, NODE_4)
    assert THREE.joining(3, "http://c:1") is None


@pytest.mark.parametrize(
    ("id", "reachable", "allowed"),
    [
        pytest.param(3, {1, 2, 3}, True, id="all are there"),
        pytest.param(3, {1, 2}, True, id="the dead one leaves"),
        pytest.param(2, {1, 2}, False, id="one of the last two leaves"),
        pytest.param(4, {1}, True, id="a learner decides nothing"),
    ],
)
def test_nobody_leaves_who_is_needed(id: int, reachable: set[int], allowed: bool) -> None:
    members = Members(ConfState((1, 2, 3), (4,)), {**THREE.urls, 4: NODE_4})
    if allowed:
        assert members.leaving(id, reachable) == removing(id)
    else:
        with pytest.raises(ChangeRefusedError, match=r"of the 2 voters .* only 1 can be reached"):
            members.leaving(id, reachable)


def test_founders_must_make_sense() -> None:
    contexts = founding({2: "http://b:1", 1: "http://a:1"})
    assert [(id, Context.decode(context).after) for id, context in contexts.items()] == [(1, 0), (2, 1)]
    with pytest.raises(ChangeRefusedError, match="member 1 is at http://a:1 already"):
        founding({1: "http://a:1", 2: "http://a:1"})


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode) | st.just(b"[" * 100_000))
def test_a_context_is_read_or_refused(data: bytes) -> None:
    try:
        context = Context.decode(data)
    except ChangeRefusedError:
        return
    assert Context.decode(context.encode()) == context


@given(
    st.integers(0, 2**62),
    st.dictionaries(st.integers(1, 2**62), st.text(max_size=20)),
    st.frozensets(st.integers(1, 2**62)),
    st.tuples(*[st.integers(0, 2**63 - 1)] * 3),
)
def test_a_context_survives_the_log(
    after: int, urls: dict[int, str], promote: frozenset[int], asked_by: tuple[int, int, int]
) -> None:
    context = Context(after, urls, promote, asked_by)
    assert Context.decode(context.encode()) == context


# -- what happens in a cluster


def test_a_new_member_learns_first_and_then_votes() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        follower = await cluster.follower()
        for number in range(50):
            await follower.replica.propose(b"%d" % number)
        await follower.replica.change_members(lambda _: adding(4, NODE_4))
        assert follower.replica.members.conf_state.learners == (4,)
        await asyncio.sleep(10)
        assert follower.replica.members.conf_state.learners == (4,)  # it is not even there
        node = cluster.start(4)
        await cluster.until(lambda: all(voters(node) == {1, 2, 3, 4} for node in cluster.nodes.values()))
        assert len(await cluster.until_equal()) == 50
        assert node.network.peers == cluster.urls
        assert follower.network.peers[4] == NODE_4
        assert await node.replica.propose(b"50") == 51
        await cluster.end()

    run(scenario())


def test_a_learner_that_lags_is_not_made_a_voter() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        leader = await cluster.leader()
        await leader.replica.change_members(lambda _: adding(4, NODE_4))
        acknowledged: list[Message] = []

        def lose(message: Message) -> bool:
            if message.from_ == 4 and message.type is MessageType.MsgAppResp:
                acknowledged.append(message)
                return len(acknowledged) > 2
            return False

        cluster.lose = lose
        cluster.start(4)
        for _ in range(100):  # it is there, and answers heartbeats, but it has not got all of this
            await leader.replica.propose(b"x")
            await asyncio.sleep(0.05)
        assert leader.replica.status().progress[4].recent_active
        assert leader.replica.members.conf_state.learners == (4,)
        cluster.lose = lambda _: False
        await cluster.until(lambda: voters(leader) == {1, 2, 3, 4})
        await cluster.end()

    run(scenario())


def test_a_member_that_is_to_stay_a_learner_does() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        leader = await cluster.leader()
        await leader.replica.change_members(lambda _: adding(4, NODE_4, stay_learner=True))
        node = cluster.start(4)
        await node.replica.propose(b"x")
        await asyncio.sleep(10)
        assert node.replica.members.conf_state.learners == (4,)
        await leader.replica.change_members(lambda _: promoting(4))
        assert voters(leader) == {1, 2, 3, 4}
        await cluster.end()

    run(scenario())


def test_who_joins_after_the_snapshot_gets_one_that_lists_it() -> None:
    async def scenario() -> None:
        cluster = Cluster(settings=Settings(snapshot_entries=20, catch_up_entries=5))
        leader = await cluster.leader()
        for number in range(100):
            await leader.replica.propose(b"%d" % number)
        cluster.start(4)
        await leader.replica.change_members(lambda _: adding(4, NODE_4))
        await cluster.until(lambda: voters(cluster.nodes[4]) == {1, 2, 3, 4})
        assert len(await cluster.until_equal()) == 100
        assert any(message.type is MessageType.MsgSnap for message in cluster.sent)
        await cluster.end()

    run(scenario())


def test_a_snapshot_that_takes_long_has_the_members_of_its_index() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        cluster = Cluster(settings=Settings(snapshot_entries=20, catch_up_entries=5))
        leader = await cluster.leader()
        loop.thread_seconds = 10.0
        for number in range(20):
            await leader.replica.propose(b"%d" % number)
        await leader.replica.change_members(lambda _: adding(4, NODE_4))
        assert leader.disk.stored.snapshot().is_empty()
        await cluster.until(lambda: not leader.disk.stored.snapshot().is_empty())
        made = leader.disk.stored.snapshot().metadata
        assert made.index < leader.replica.members.changed_at
        assert made.conf_state.equivalent(ConfState((1, 2, 3)))
        await cluster.crash(leader.id)
        leader = cluster.start(leader.id)
        await cluster.until(lambda: leader.replica.members.conf_state.learners == (4,))
        await cluster.end()

    run(scenario())


def test_a_removed_member_serves_nothing_ever_again() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        gone, leader = await cluster.follower(), await cluster.leader()
        await leader.replica.propose(b"x")
        await leader.replica.change_members(lambda _: removing(gone.id))
        await cluster.until(lambda: gone.replica.is_removed)
        await asyncio.sleep(2)
        assert gone.id in leader.network.forgotten
        await cluster.crash(gone.id)
        gone = cluster.start(gone.id)
        await cluster.until(lambda: gone.replica.is_removed)
        for request in (gone.replica.propose(b"y"), gone.replica.read_barrier()):
            with pytest.raises(RemovedError):
                await request
        cluster.sent.clear()
        await asyncio.sleep(10)
        assert not [message for message in cluster.sent if message.from_ == gone.id]
        for node in cluster.nodes.values():
            if node is not gone:
                with pytest.raises(ChangeRefusedError, match="for ever"):
                    await node.replica.change_members(lambda _: adding(gone.id, NODE_4))
        await cluster.end()

    run(scenario())


def test_who_waits_at_a_member_that_is_removed_is_told() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        gone = await cluster.follower()
        leader = await cluster.leader()
        cluster.lose = lambda message: (
            message.from_ == gone.id
            and message.type
            in (
                MessageType.MsgProp,
                MessageType.MsgReadIndex,
            )
        )
        waiting = asyncio.create_task(gone.replica.propose(b"x"))
        reading = asyncio.create_task(gone.replica.read_barrier())
        await asyncio.sleep(0.1)
        await leader.replica.change_members(lambda _: removing(gone.id))
        for told in await asyncio.gather(waiting, reading, return_exceptions=True):
            assert isinstance(told, NotServedError)
            assert told.reason == "this node has been removed from the cluster"
        await cluster.end()

    run(scenario())


@pytest.mark.parametrize("size", [2, 3])
def test_a_leader_can_be_removed(size: int) -> None:
    async def scenario() -> None:
        cluster = Cluster(size)
        gone = await cluster.leader()
        await gone.replica.propose(b"x")
        await gone.replica.change_members(lambda _: removing(gone.id))
        assert gone.replica.is_removed
        other = next(node for node in cluster.nodes.values() if node is not gone)
        assert await other.replica.propose(b"y") == 2
        assert other.replica.members.removed == {gone.id}
        await cluster.end()

    run(scenario())


def test_the_last_voter_cannot_be_removed() -> None:
    async def scenario() -> None:
        cluster = Cluster(1)
        leader = await cluster.leader()
        with pytest.raises(ChangeRefusedError, match="removed all voters"):
            await leader.replica.change_members(lambda _: removing(1))
        assert await leader.replica.propose(b"x") == 1
        await cluster.end()

    run(scenario())


def test_of_two_changes_at_a_time_one_is_told_that_it_was_overtaken() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.leader()
        wanted = [adding(10 + id, f"http://new-{id}:1") for id in cluster.nodes]
        asked = [
            node.replica.change_members(lambda _, change=change: change)  # type: ignore[misc]
            for node, change in zip(cluster.nodes.values(), wanted, strict=True)
        ]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, ChangeRefusedError)]
        assert outcomes.count(None) >= 1
        assert outcomes.count(None) + len(refused) == 3
        assert all("overtaken" in str(error) for error in refused)
        await cluster.until(lambda: len({node.replica.members.changed_at for node in cluster.nodes.values()}) == 1)
        assert len(cluster.nodes[1].replica.members.conf_state.learners) == outcomes.count(None)
        await cluster.end()

    run(scenario())


def test_a_change_that_the_leader_turned_down_for_now_is_asked_for_again() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        follower, leader = await cluster.follower(), await cluster.leader()
        others = [id for id in cluster.nodes if id != leader.id]
        await leader.replica.read_barrier()
        # A change is under way that nobody acknowledges for a while, and that will be refused when it comes by.
        cluster.lose = lambda message: message.from_ in others and message.type is MessageType.MsgAppResp
        leader.replica.driver.propose_change(entry_of(adding(8, "http://node-8:1"), after=1))
        asked = asyncio.create_task(follower.replica.change_members(lambda _: adding(4, NODE_4)))
        await asyncio.sleep(0.6)
        assert not asked.done()
        cluster.lose = lambda _: False
        await asked
        assert follower.replica.members.conf_state.learners == (4,)
        await cluster.end()

    run(scenario())


def test_a_copy_that_arrives_after_the_opposite_change_is_refused() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        follower, leader = await cluster.follower(), await cluster.leader()
        copies: list[Message] = []

        def note(message: Message) -> bool:
            if message.type is MessageType.MsgProp:
                copies.append(message)
            return False

        cluster.lose = note
        await follower.replica.change_members(lambda _: adding(4, NODE_4, stay_learner=True))
        await follower.replica.change_members(lambda _: removing(4))
        leader.replica.driver.step(copies[0])
        await follower.replica.propose(b"x")
        assert follower.replica.members.ids() == {1, 2, 3}
        await cluster.end()

    run(scenario())


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(ConfChange(ConfChangeType.ConfChangeAddNode, 4), id="V1 without a context"),
        pytest.param(
            ConfChangeV2((ConfChangeSingle(ConfChangeType.ConfChangeAddNode, 4),), context=b"{}"), id="V2 of somebody"
        ),
        pytest.param(entry_of(adding(4, "nowhere"), after=3), id="a URL that is none"),
    ],
)
def test_changes_that_no_host_made_are_not_applied(change: ConfChange | ConfChangeV2) -> None:
    async def scenario() -> None:
        cluster = Cluster()
        leader = await cluster.leader()
        await leader.replica.read_barrier()
        leader.replica.driver.node.propose_conf_change(change)
        assert await leader.replica.propose(b"x") == 1
        for node in cluster.nodes.values():
            await node.replica.read_barrier()
            assert node.replica.members.ids() == {1, 2, 3}
        await cluster.end()

    run(scenario())


def test_several_steps_go_through_a_joint_configuration() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        follower = await cluster.follower()
        leader = await cluster.leader()
        third = next(node for node in cluster.nodes.values() if node not in (follower, leader))
        swap = Change(
            (
                ConfChangeSingle(ConfChangeType.ConfChangeAddNode, 4),
                ConfChangeSingle(ConfChangeType.ConfChangeRemoveNode, third.id),
            ),
            {4: NODE_4},
        )
        cluster.start(4)
        await follower.replica.change_members(lambda _: swap)
        await cluster.until(lambda: voters(follower) == {leader.id, follower.id, 4})
        await cluster.until(lambda: not follower.replica.members.conf_state.voters_outgoing)
        assert follower.replica.members.removed == {third.id}
        await follower.replica.propose(b"x")
        await follower.replica.change_members(lambda members: members.joining(5, "http://node-5:1"))
        await cluster.end()

    run(scenario())


def test_a_change_without_a_quorum_may_still_happen() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        leader = await cluster.leader()
        await leader.replica.read_barrier()
        cluster.lose = lambda message: message.type is MessageType.MsgAppResp
        asked = asyncio.create_task(leader.replica.change_members(lambda _: adding(4, NODE_4)))
        with pytest.raises(NotServedError) as told:
            await asked
        assert told.value.may_still_happen
        await cluster.end()

    run(scenario())
