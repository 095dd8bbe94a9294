"""Asynchronous storage writes: the Ready's disk work as messages to the append thread and the apply thread.

The application hands MsgStorageAppend to whatever writes its log, and MsgStorageApply to whatever applies entries, each
in order and without losing one. When the work is done it delivers the message's `responses`: those to other nodes over
the network, those to this node through `RawNode.step_storage`. Nothing else waits for the disk.

    MsgStorageAppend   write `snapshot`, `entries`, and HardState(term, vote, commit) unless all three are 0; make it
                       durable if there are responses; deliver them
    MsgStorageApply    apply `entries`; deliver the response

Source: etcd rawnode.go newStorageAppendMsg, newStorageAppendRespMsg, newStorageApplyMsg; thesis §10.2.1.
"""

from __future__ import annotations

from pyraft.core.raft import Raft
from raftpb.enums import (
    MSG_STORAGE_APPEND,
    MSG_STORAGE_APPEND_RESP,
    MSG_STORAGE_APPLY,
    MSG_STORAGE_APPLY_RESP,
)
from raftpb.message import (
    LOCAL_APPEND_THREAD,
    LOCAL_APPLY_THREAD,
    Entry,
    HardState,
    Message,
    Snapshot,
)


def append_request(
    r: Raft, entries: list[Entry], hard_state: HardState | None, snapshot: Snapshot | None, responses: list[Message]
) -> Message | None:
    """The work for the append thread; None if there is none. `responses`: what promises something about it."""
    if not entries and hard_state is None and snapshot is None and not responses:
        return None
    m = Message(MSG_STORAGE_APPEND, LOCAL_APPEND_THREAD, r.id, entries=entries)
    if hard_state is not None:
        m.term = hard_state.term
        m.vote = hard_state.vote
        m.commit = hard_state.commit
    m.snapshot = snapshot
    response = append_response(r, snapshot)
    # The answers to other nodes come first: this node's own acknowledgement then finds the entries still in memory.
    if response is not None:
        m.responses = [*responses, response]
    elif responses:
        m.responses = responses
    return m


def append_response(r: Raft, snapshot: Snapshot | None) -> Message | None:
    """Build the append thread's answer: the log is durable up to its present end, and `snapshot` with it.

    The answer names the last entry of the whole log and the term at which it was handed out, and counts only while that
    term lasts. Suppose it named the end of its own write, and counted in any term. Entry 5 of term 1 is being written;
    a leader of term 2 replaces it; a leader of term 3 brings entry 5 of term 1 back. Now the answer to the first write
    arrives, and the third write is taken for durable while the disk holds the second. Within one term nothing that was
    replaced can come back, so there a matching answer is about the entry that is here. For the same reason every write
    asks for such an answer while anything is in memory, even one without entries: when an answer was void because the
    term had changed, the next one makes up for it.

    None if nothing is waiting to become durable.
    """
    if not r.log.unstable.has_entries() and snapshot is None:
        return None
    m = Message(MSG_STORAGE_APPEND_RESP, r.id, LOCAL_APPEND_THREAD, r.term)
    if r.log.unstable.has_entries():
        m.index = r.log.last_index()
        m.log_term = r.log.last_term()
    m.snapshot = snapshot
    return m


def apply_request(r: Raft, entries: list[Entry]) -> Message:
    """The work for the apply thread. Its answer carries no term: what is applied stays applied."""
    response = Message(MSG_STORAGE_APPLY_RESP, r.id, LOCAL_APPLY_THREAD, entries=entries)
    return Message(MSG_STORAGE_APPLY, LOCAL_APPLY_THREAD, r.id, entries=entries, responses=[response])
