"""Replicas among themselves: what an application is promised, in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from host_cluster import TICK_SECONDS, Cluster
from virtual_time import VirtualLoop, run

from examples.host.disk import DiskError
from examples.host.machine import NotServedError
from examples.host.membership import adding
from examples.host.settings import Settings
from examples.host.snapshots import decode
from pyraft import Role
from raftpb import Entry, EntryType, Message, MessageType, Snapshot, SnapshotMetadata

ELECTION_SECONDS = 2 * Settings().election_ticks * TICK_SECONDS


def requests_in(message: Message) -> bool:
    """Whether it carries entries with data."""
    return any(entry.data and entry.type is EntryType.EntryNormal for entry in message.entries)


# -- requests


def test_every_node_takes_requests_and_all_end_equal() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.leader()
        answers = [await node.replica.propose(b"%d" % id) for id, node in cluster.nodes.items()]
        assert answers == [1, 2, 3]
        assert await cluster.until_equal() == [b"1", b"2", b"3"]
        await cluster.end()

    run(scenario())


def test_requests_that_wait_together_go_into_one_entry() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        leader = await cluster.leader()
        before = leader.replica.status().last_index
        answers = await asyncio.gather(*(leader.replica.propose(b"%d" % number) for number in range(100)))
        assert answers == list(range(1, 101))
        assert leader.replica.status().last_index - before <= 2
        await cluster.end()

    run(scenario())


def test_a_forwarded_request_that_was_lost_is_sent_again() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        follower = await cluster.follower()
        lost: list[Message] = []

        def lose(message: Message) -> bool:
            if message.type is MessageType.MsgProp and not lost:
                lost.append(message)
                return True
            return False

        cluster.lose = lose
        assert await follower.replica.propose(b"once") == 1
        assert lost
        assert await cluster.until_equal() == [b"once"]
        await cluster.end()

    run(scenario())


def test_a_request_whose_copy_is_late_is_carried_out_once() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        follower, leader = await cluster.follower(), await cluster.leader()
        copies: list[Message] = []

        def note(message: Message) -> bool:
            if message.type is MessageType.MsgProp:
                copies.append(message)
            return False

        cluster.lose = note
        assert await follower.replica.propose(b"first") == 1
        assert await follower.replica.propose(b"second") == 2
        for copy in list(copies):  # the network delivers them once more
            leader.replica.driver.step(
                Message(copy.type, copy.to, copy.from_, entries=[Entry(data=copy.entries[0].data)])
            )
        assert await leader.replica.propose(b"third") == 3
        assert await cluster.until_equal() == [b"first", b"second", b"third"]
        await cluster.end()

    run(scenario())


def test_requests_outlive_the_leader_that_they_were_sent_to() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        follower, leader = await cluster.follower(), await cluster.leader()
        waiting = [asyncio.create_task(follower.replica.propose(b"%d" % number)) for number in range(20)]
        await asyncio.sleep(cluster.seconds)
        await cluster.crash(leader.id)
        later = [asyncio.create_task(follower.replica.propose(b"%d" % number)) for number in range(20, 40)]
        await asyncio.gather(*waiting, *later)
        cluster.start(leader.id)
        assert sorted(await cluster.until_equal(), key=int) == [b"%d" % number for number in range(40)]
        await cluster.end()

    run(scenario())


def test_a_deposed_leader_has_its_requests_carried_out_by_the_next() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        old = await cluster.leader()
        cluster.cut = {old.id}
        waiting = asyncio.create_task(old.replica.propose(b"x"))
        new = await cluster.leader()
        assert new.id != old.id
        assert await new.replica.propose(b"y") == 1
        cluster.cut = set()
        assert await waiting == 2
        assert await cluster.until_equal() == [b"y", b"x"]
        await cluster.end()

    run(scenario())


def test_without_a_quorum_a_sent_request_may_still_happen() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        leader = await cluster.leader()
        cluster.cut = {leader.id}
        with pytest.raises(NotServedError) as told:
            await leader.replica.propose(b"x")
        assert told.value.may_still_happen
        await cluster.end()

    run(scenario())


def test_without_a_leader_an_unsent_request_never_happens() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        leader = await cluster.leader()
        for id in [id for id in cluster.nodes if id != leader.id]:
            await cluster.crash(id)
        await cluster.until(lambda: leader.replica.leader == 0)  # it has noticed
        with pytest.raises(NotServedError) as told:
            await leader.replica.propose(b"never")
        assert not told.value.may_still_happen
        for id in cluster.urls:
            if id != leader.id:
                cluster.start(id)
        assert await (await cluster.leader()).replica.propose(b"x") == 1
        assert await cluster.until_equal() == [b"x"]
        await cluster.end()

    run(scenario())


def test_what_does_not_fit_is_refused_at_once() -> None:
    async def scenario() -> None:
        cluster = Cluster(settings=Settings(max_requests=2, max_reads=2, max_request_bytes=100, max_waiting_bytes=150))
        leader = await cluster.leader()
        replica = leader.replica
        with pytest.raises(ValueError, match="a request of 101 bytes; the limit is 100"):
            await replica.propose(b"x" * 101)
        cluster.cut = {leader.id}
        first = asyncio.create_task(replica.propose(b"x" * 100))
        await asyncio.sleep(0)
        before = asyncio.get_running_loop().time()
        with pytest.raises(NotServedError, match="too many requests"):  # by their bytes
            await replica.propose(b"x" * 51)
        second = asyncio.create_task(replica.propose(b"x"))
        readers = [asyncio.create_task(replica.read_barrier()) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(NotServedError, match="too many requests") as told:  # by their number
            await replica.propose(b"x")
        assert not told.value.may_still_happen
        with pytest.raises(NotServedError, match="too many reads"):
            await replica.read_barrier()
        assert asyncio.get_running_loop().time() == before
        await asyncio.gather(first, second, *readers, return_exceptions=True)
        cluster.cut = set()
        await cluster.leader()
        assert await replica.propose(b"there is room again") in {1, 2, 3}
        await cluster.end()

    run(scenario())


def test_entries_that_no_host_wrote_change_nothing() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        leader = await cluster.leader()
        for junk in (b"junk", b"\x01", b"\x01" + b"\xff" * 40):
            leader.replica.driver.node.propose(junk)
        assert await leader.replica.propose(b"x") == 1
        assert await cluster.until_equal() == [b"x"]
        assert leader.replica.figures()["foreign_entries"] == 3
        await cluster.end()

    run(scenario())


# -- reads


def test_a_read_sees_what_was_acknowledged_on_every_node() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        leader = await cluster.leader()
        for number in range(1, 30):
            await leader.replica.propose(b"%d" % number)
            for node in cluster.nodes.values():
                await node.replica.read_barrier()
                assert len(node.notebook.lines) >= number
        await cluster.end()

    run(scenario())


def test_readers_that_come_together_share_a_question() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        follower = await cluster.follower()
        await follower.replica.read_barrier()
        cluster.sent.clear()
        await asyncio.gather(*(follower.replica.read_barrier() for _ in range(500)))
        assert sum(message.type is MessageType.MsgReadIndex for message in cluster.sent) <= 2
        await cluster.end()

    run(scenario())


@pytest.mark.parametrize("kind", [MessageType.MsgReadIndex, MessageType.MsgReadIndexResp], ids=str)
def test_a_lost_question_is_asked_again_in_other_words(kind: MessageType) -> None:
    async def scenario() -> None:
        cluster = Cluster()
        follower = await cluster.follower()
        lost: list[Message] = []

        def lose(message: Message) -> bool:
            if message.type is kind and not lost:
                lost.append(message)
                return True
            return False

        cluster.lose = lose
        cluster.sent.clear()
        await follower.replica.read_barrier()
        asked = [m.entries[0].data for m in [*lost, *cluster.sent] if m.type is MessageType.MsgReadIndex]
        assert len(asked) == len(set(asked)) == 2
        await cluster.end()

    run(scenario())


def test_a_leader_that_is_cut_off_answers_no_reads() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        old = await cluster.leader()
        await old.replica.propose(b"x")
        cluster.cut = {old.id}
        reading = asyncio.create_task(old.replica.read_barrier())
        await (await cluster.leader()).replica.propose(b"y")
        assert not reading.done()
        cluster.cut = set()
        await reading
        assert old.notebook.lines == [b"x", b"y"]
        await cluster.end()

    run(scenario())


def test_a_read_that_cannot_be_answered_ends() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        follower = await cluster.follower()
        cluster.cut = {follower.id}
        with pytest.raises(NotServedError) as told:
            await follower.replica.read_barrier()
        assert not told.value.may_still_happen
        assert follower.replica.figures()["waiting_reads"] == 0
        await cluster.end()

    run(scenario())


# -- the disk


def test_ticks_do_not_wait_for_the_disk() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        old = await cluster.leader()
        old.disk.is_stuck = True
        waiting = asyncio.create_task(old.replica.propose(b"x"))
        await cluster.until(lambda: old.replica.status().soft_state.role is not Role.StateLeader, 2 * ELECTION_SECONDS)
        cluster.cut = {old.id}
        await (await cluster.leader()).replica.propose(b"y")
        assert not waiting.done()
        old.disk.is_stuck = False
        cluster.cut = set()
        await waiting
        assert await cluster.until_equal() == [b"y", b"x"]
        await cluster.end()

    run(scenario())


def test_after_a_disk_error_nothing_is_sent_or_answered() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        for node in cluster.nodes.values():
            leader = await cluster.leader()
            leader.disk.is_broken = True
            waiting = asyncio.create_task(leader.replica.propose(b"x"))
            with pytest.raises(DiskError):
                await leader.run
            cluster.sent.clear()
            await asyncio.sleep(1)
            assert not waiting.done()
            assert not [message for message in cluster.sent if message.from_ == leader.id]
            waiting.cancel()
            leader.disk.is_broken = False
            await cluster.crash(leader.id)
            cluster.start(leader.id)
            del node
        assert set(await cluster.until_equal()) <= {b"x"}
        await cluster.end()

    run(scenario())


def test_a_commit_index_alone_is_written_later() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        leader = await cluster.leader()
        await leader.replica.propose(b"x")
        commit = leader.replica.status().commit
        assert leader.disk.stored.initial_state()[0].commit < commit
        await asyncio.sleep(2)
        assert leader.disk.stored.initial_state()[0].commit == commit
        writes = len(leader.disk.writes)
        await asyncio.sleep(10)
        assert len(leader.disk.writes) == writes  # nothing happens, so nothing is written
        await cluster.end()

    run(scenario())


def test_a_restart_goes_on_from_the_disk_alone() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        leader = await cluster.leader()
        for number in range(10):
            await leader.replica.propose(b"%d" % number)
        lines = await cluster.until_equal()
        await asyncio.sleep(2)
        for id in cluster.urls:
            await cluster.crash(id)
        for id in cluster.urls:
            node = cluster.start(id)
            await node.replica.driver.replayed.wait()
            assert node.notebook.lines == lines
            assert node.network.peers == {other: url for other, url in cluster.urls.items() if other != id}
        assert await (await cluster.leader()).replica.propose(b"10") == 11
        await cluster.end()

    run(scenario())


# -- snapshots

FEW = Settings(snapshot_entries=20, catch_up_entries=5)


def test_endless_writes_keep_the_log_short() -> None:
    async def scenario() -> None:
        cluster = Cluster(settings=FEW)
        leader = await cluster.leader()
        for number in range(300):
            await leader.replica.propose(b"%d" % number)
            for node in cluster.nodes.values():
                figures = node.replica.figures()
                assert node.replica.status().last_index - figures["first_index"] < 50
                assert node.disk.stored.last_index() - node.disk.stored.first_index() < 50
        lines = await cluster.until_equal()
        for id in cluster.urls:
            await cluster.crash(id)
            cluster.start(id)
        await cluster.until(lambda: all(node.notebook.lines == lines for node in cluster.nodes.values()))
        await cluster.end()

    run(scenario())


def test_a_snapshot_is_of_what_is_applied_and_not_of_what_is_committed() -> None:
    async def scenario() -> None:
        cluster = Cluster(1)
        for number in range(50):
            await (await cluster.leader()).replica.propose(b"%d" % number)
        await asyncio.sleep(2)
        await cluster.crash(1)
        cluster.settings = Settings(snapshot_entries=20, batch_bytes=1)
        node = cluster.start(1)  # it applies page by page what it knows to be committed
        await cluster.until(lambda: not node.disk.stored.snapshot().is_empty())
        assert node.replica.status().commit >= 52
        made = node.disk.stored.snapshot()
        lines = json.loads(decode(made.data, made.metadata.conf_state).machine)
        assert made.metadata.index == len(lines) + 2  # behind the founder and the leader's first
        await cluster.end()

    run(scenario())


def test_large_entries_make_a_snapshot_due_by_their_bytes() -> None:
    async def scenario() -> None:
        cluster = Cluster(settings=Settings(snapshot_bytes=10_000, catch_up_bytes=2_500))
        leader = await cluster.leader()
        for _ in range(30):
            await leader.replica.propose(b"x" * 1000)
        await asyncio.sleep(1)
        stored = leader.disk.stored
        assert stored.snapshot().metadata.index > 10
        assert 2 <= stored.snapshot().metadata.index - stored.first_index() + 1 <= 3
        await cluster.end()

    run(scenario())


def test_a_follower_that_was_away_catches_up_by_snapshot() -> None:
    async def scenario() -> None:
        cluster = Cluster(settings=FEW)
        follower = await cluster.follower()
        await cluster.crash(follower.id)
        leader = await cluster.leader()
        for number in range(100):
            await leader.replica.propose(b"%d" % number)
        cluster.sent.clear()
        follower = cluster.start(follower.id)
        await cluster.until_equal()
        assert any(message.type is MessageType.MsgSnap for message in cluster.sent)
        assert await follower.replica.propose(b"100") == 101
        await cluster.crash(follower.id)
        cluster.start(follower.id)
        assert len(await cluster.until_equal()) == 101
        await cluster.end()

    run(scenario())


def test_an_own_snapshot_does_not_follow_a_newer_one_to_the_disk() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        cluster = Cluster(settings=FEW)
        cluster.seconds = 0.05
        leader, follower = await cluster.leader(), await cluster.follower()
        for number in range(16):  # behind three founders and the leader's first
            await cluster.until_equal()
            await leader.replica.propose(b"%d" % number)
        await asyncio.sleep(0.01)
        assert len(follower.notebook.lines) == 15
        loop.thread_seconds = 10.0  # for the follower, where it is due a moment later
        await cluster.until_equal()
        cluster.cut = {follower.id}
        loop.thread_seconds = 0.0
        for number in range(16, 80):
            await leader.replica.propose(b"%d" % number)
        follower.disk.is_stuck = True
        cluster.cut = set()
        await asyncio.sleep(12)
        follower.disk.is_stuck = False
        assert len(await cluster.until_equal()) == 80
        assert not follower.run.done()
        assert len([write for write in follower.disk.writes if write.snapshot is not None]) == 1
        await cluster.end()

    run(scenario())


def test_a_request_carried_out_unseen_is_told_so_and_not_carried_out_twice() -> None:
    async def scenario() -> None:
        cluster = Cluster(settings=FEW)
        leader, follower = await cluster.leader(), await cluster.follower()
        await follower.replica.propose(b"seen")
        # The request leaves, but then nothing arrives until there is a snapshot that has it.
        cluster.lose = lambda message: message.to == follower.id and message.type is MessageType.MsgApp
        waiting = asyncio.create_task(follower.replica.propose(b"unseen"))
        await cluster.until(lambda: b"unseen" in leader.notebook.lines)
        for number in range(60):
            await leader.replica.propose(b"%d" % number)
        cluster.lose = lambda _: False
        with pytest.raises(NotServedError, match="carried out while this node was catching up") as told:
            await waiting
        assert told.value.may_still_happen
        await follower.replica.propose(b"later")
        assert (await cluster.until_equal()).count(b"unseen") == 1
        await cluster.end()

    run(scenario())


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda data: b"", id="nothing"),
        pytest.param(lambda data: b"no snapshot at all", id="something else"),
        pytest.param(lambda data: data[:-1], id="cut short"),
        pytest.param(lambda data: data[:-1] + bytes([data[-1] ^ 1]), id="a flipped bit"),
    ],
)
def test_a_damaged_snapshot_is_not_taken(spoil: Callable[[bytes], bytes]) -> None:
    async def scenario() -> None:
        cluster = Cluster(settings=FEW)
        follower = await cluster.follower()
        cluster.cut = {follower.id}
        leader = await cluster.leader()
        for number in range(60):
            await leader.replica.propose(b"%d" % number)
        cluster.cut = set()

        def replace(message: Message) -> bool:
            if message.type is MessageType.MsgSnap and message.snapshot is not None:
                metadata = message.snapshot.metadata
                copy = SnapshotMetadata(metadata.conf_state, metadata.index, metadata.term)
                message.snapshot = Snapshot(spoil(message.snapshot.data), copy)
            return False

        cluster.lose = replace
        await asyncio.sleep(5)
        assert follower.notebook.lines == []
        assert not follower.run.done()
        cluster.lose = lambda _: False
        assert len(await cluster.until_equal()) == 60
        await cluster.end()

    run(scenario())


# -- the end


def test_leadership_can_be_handed_over() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        old = await cluster.leader()
        await old.replica.transfer_leadership(2.0)
        new = await cluster.leader()
        assert new.id != old.id
        before = asyncio.get_running_loop().time()
        await old.replica.transfer_leadership(2.0)  # it has nothing to hand over
        new.replica.driver.node.transfer_leader(old.id)
        await new.replica.transfer_leadership(2.0)  # it is doing so
        assert asyncio.get_running_loop().time() == before
        await cluster.end()

    run(scenario())


def test_while_a_handover_goes_nowhere_requests_wait() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        leader = await cluster.leader()
        target = await cluster.follower()
        await leader.replica.read_barrier()
        cluster.lose = lambda message: message.type is MessageType.MsgTimeoutNow
        leader.replica.driver.node.transfer_leader(target.id)
        changing = leader.replica.change_members(lambda _: adding(4, "http://node-4:1"))
        answer, _, forwarded = await asyncio.gather(
            leader.replica.propose(b"x"), changing, target.replica.propose(b"y")
        )
        assert {answer, forwarded} == {1, 2}
        assert leader.replica.figures()["dropped_proposals"] == 1
        assert leader.replica.status().term == target.replica.status().term
        await cluster.end()

    run(scenario())


def test_handing_over_to_the_dead_ends() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        leader = await cluster.leader()
        for id in [id for id in cluster.nodes if id != leader.id]:
            await cluster.crash(id)
        before = asyncio.get_running_loop().time()
        await leader.replica.transfer_leadership(0.5)
        assert asyncio.get_running_loop().time() - before == pytest.approx(0.5)
        await cluster.end()

    run(scenario())


def test_closing_answers_everybody_and_writes_the_commit_index() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        leader = await cluster.leader()
        await leader.replica.propose(b"x")
        cluster.lose = lambda message: message.type is MessageType.MsgAppResp
        waiting = asyncio.create_task(leader.replica.propose(b"y"))
        joining = asyncio.create_task(leader.replica.change_members(lambda _: adding(4, "http://node-4:1")))
        await asyncio.sleep(0.1)
        cluster.cut = {leader.id}
        reading = asyncio.create_task(leader.replica.read_barrier())
        await asyncio.sleep(0.01)
        leader.run.cancel()
        commit = leader.replica.status().commit
        await leader.replica.close()
        late = leader.replica.propose(b"z")
        outcomes = await asyncio.gather(waiting, joining, reading, late, return_exceptions=True)
        told = [(one.reason, one.may_still_happen) for one in outcomes if isinstance(one, NotServedError)]
        assert told == [("this node is shutting down", may) for may in (True, True, False, False)]
        assert leader.disk.stored.initial_state()[0].commit == commit
        await cluster.end()

    run(scenario())
