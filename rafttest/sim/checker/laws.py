"""Laws: the names of all that a run is held to, each in a few words; `Violation` carries one of them.

S: whatever happens. D, N: after a fault of a disk or of the network. L: once faults have ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LAWS: Final[Mapping[str, str]] = {
    "S1": "one leader a term, and only it speaks for the term",
    "S2": "one vote a term, across crashes",
    "S3": "nothing unsaved is promised: votes, requests, acknowledgements",
    "S4": "terms do not fall, in memory and on disk",
    "S5": "the vote of a term is not changed",
    "S6": "entries of one index and term are equal, and so is all before them",
    "S7": "the log of a leader only grows",
    "S8": "a leader has all that was committed before its term",
    "S9": "all apply the same, in order, without gap or repetition; snapshots are of that",
    "S10": "a leader commits what a quorum has on disk and is of its term; others commit what is committed",
    "S11": "what is committed stays, and every quorum has it",
    "S12": "applied <= commit <= last; commit and applied do not fall",
    "S13": "messages are possible for their sender, and invitations are for those who are up to date",
    "S14": "configurations follow from the log, are sound, and quorums of neighbours meet",
    "S15": "learners and strangers do not campaign, and count in no quorum",
    "S16": "reads are not stale, answered once, and to the life that asked",
    "S17": "nor are reads by lease, while clocks differ within the bound",
    "S18": "what the clients of each key see is linearizable",
    "S19": "a request has one effect; no proposal is in the log more often than leaders were given it",
    "S20": "what was acknowledged is kept",
    "S21": "nothing is applied that nobody proposed",
    "S22": "a seed is one history, in every process",
    "S23": "limits hold: uncommitted bytes, messages under way, message sizes, waiting reads",
    "S24": "nothing but declared errors escapes, and a refusal changes nothing",
    "S25": "what a leader believes about followers is true, and match does not fall",
    "D5": "no node starts with a damaged log",
    "D8": "a node whose disk has failed does nothing more",
    "N11": "a message that was damaged on the way reaches nobody",
    "L1": "a leader, known to all, within 20 election timeouts",
    "L2": "ten new writes applied everywhere within 10",
    "L3": "no membership change under way",
    "L4": "all have applied the same",
    "L5": "the leader replicates to all without pause",
    "L6": "reads are answered or aborted",
    "L7": "a transfer of leadership ends within one",
    "L8": "the leader changes at most once in 50 more; whoever returns, was removed or is half cut off changes nothing",
    "L9": "an idle cluster grows no log, sends no snapshot and few messages",
    "L10": "with one link cut, or a leader cut from all but one, a leader that reaches a majority is there and stays",
    "L11": "where recovery is impossible, that is proved",
}
