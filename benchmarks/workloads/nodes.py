"""Nodes of one group in one thread: each has its log, and an inbox that the others put messages into.

The loop is the one an application writes: while there is a Ready, persist, send, apply, advance. A node whose inbox is
empty is not looked at.
"""

from __future__ import annotations

from zlib import crc32

from benchmarks.workloads.bench import COMPACTION_INTERVAL, FIRST_INDEX, WrongResultError, config_of, storage_of
from pyraft import MemoryStorage, RawNode, ReadState, Role
from raftpb import Message, decode_message, encode_message


class Member:
    """One node, its log, and what its application has seen."""

    def __init__(self, node: RawNode, storage: MemoryStorage) -> None:
        self.node = node
        self.storage = storage
        self.inbox: list[Message] = []
        self.wire_inbox: list[bytes] = []
        self.read_states: list[ReadState] = []
        self.applied: int = FIRST_INDEX
        self.compacted: int = FIRST_INDEX
        self.digest: int = 0


class Nodes:
    """Nodes 1..n; node 1 is to lead."""

    def __init__(self, members: list[Member], *, wire: bool = False, check: bool = False) -> None:
        self.members = members
        self.leader = members[0]
        self.first = members[0]
        """Who has been asked for something, and is served first."""
        self.wire = wire
        self.check = check
        self.inboxes: list[list[Message]] = [[]] + [member.inbox for member in members]
        self.wire_inboxes: list[list[bytes]] = [[]] + [member.wire_inbox for member in members]
        self.messages: int = 0
        self.readies: int = 0
        self.wire_bytes: int = 0

    def elect(self) -> None:
        """Make node 1 the leader."""
        self.leader.node.campaign()
        self.pump()
        self.check_leader(self.leader)

    def check_leader(self, member: Member) -> None:
        """Raise WrongResultError unless `member` leads."""
        if member.node.basic_status().soft_state.role is not Role.StateLeader:
            raise WrongResultError("the node that campaigned does not lead")

    def pump(self) -> None:
        """Serve whoever was asked for something, then deliver and serve until nothing moves."""
        self.serve(self.first)
        if self.wire:
            self._pump_wire()
        else:
            self._pump_values()

    def _pump_values(self) -> None:
        members = self.members
        moving = True
        while moving:
            moving = False
            for member in members:
                inbox = member.inbox
                if inbox:
                    moving = True
                    self.messages += len(inbox)
                    node = member.node
                    for m in inbox:
                        node.step(m)
                    inbox.clear()
                    self.serve(member)

    def _pump_wire(self) -> None:
        members = self.members
        moving = True
        while moving:
            moving = False
            for member in members:
                inbox = member.wire_inbox
                if inbox:
                    moving = True
                    self.messages += len(inbox)
                    node = member.node
                    for data in inbox:
                        self.wire_bytes += len(data)
                        node.step(decode_message(data))
                    inbox.clear()
                    self.serve(member)

    def serve(self, member: Member) -> None:
        """The Ready loop of one node."""
        node = member.node
        storage = member.storage
        readies = 0
        while node.has_ready():
            ready = node.ready()
            readies += 1
            entries = ready.entries
            if entries:
                storage.append(entries)
            hard_state = ready.hard_state
            if hard_state is not None:
                storage.set_hard_state(hard_state)
            messages = ready.messages
            if messages:
                if self.wire:
                    wire_inboxes = self.wire_inboxes
                    for m in messages:
                        wire_inboxes[m.to].append(encode_message(m))
                else:
                    inboxes = self.inboxes
                    for m in messages:
                        inboxes[m.to].append(m)
            committed = ready.committed_entries
            if committed:
                index = member.applied
                for entry in committed:
                    index += 1
                    if entry.index != index:
                        raise WrongResultError(f"entry {entry.index} was handed out where {index} was due")
                member.applied = index
                if self.check:
                    for entry in committed:
                        member.digest = crc32(entry.data, member.digest)
            read_states = ready.read_states
            if read_states:
                member.read_states += read_states
            node.advance()
        self.readies += readies

    def compact(self) -> None:
        """Drop what every node has applied, every so many entries."""
        if self.leader.applied - self.leader.compacted >= COMPACTION_INTERVAL:
            for member in self.members:
                member.storage.compact(member.applied)
                member.compacted = member.applied

    def verify(self, last_index: int, last_payloads: list[bytes]) -> None:
        """Raise WrongResultError unless all nodes applied up to `last_index` and their logs end in `last_payloads`."""
        for member in self.members:
            if member.applied != last_index:
                raise WrongResultError(f"a node applied up to {member.applied}, not {last_index}")
            if member.digest != self.leader.digest:
                raise WrongResultError("the nodes applied different entries")
            if member.inbox or member.wire_inbox or member.node.has_ready():
                raise WrongResultError("a node still has something to do")
            there = min(len(last_payloads), last_index - member.compacted)
            if there == 0:
                continue
            entries = member.storage.entries(last_index + 1 - there, last_index + 1, 1 << 60)
            if [entry.data for entry in entries] != last_payloads[len(last_payloads) - there :]:
                raise WrongResultError("a log does not end in what was proposed")


def new_member(id: int, voters: list[int], *, batch_append: bool = False) -> Member:
    """A node of a new group of `voters`."""
    storage = storage_of(voters)
    return Member(RawNode(config_of(id, storage, batch_append=batch_append)), storage)


def new_nodes(count: int, *, wire: bool = False, check: bool = False, batch_append: bool = False) -> Nodes:
    """A group of `count` voters, none of which leads yet."""
    voters = list(range(1, count + 1))
    members = [new_member(id, voters, batch_append=batch_append) for id in voters]
    return Nodes(members, wire=wire, check=check)
