"""Small traces for tests: one of each kind that matches, and one that differs twice."""

from pathlib import Path

GOOD = """\
# One node is elected.
add-nodes 1 voters=(1) index=2
----
ok

campaign 1
----
INFO whatever
ok

stabilize log-level=none
----
ok

raft-state
----
1: StateLeader (Voter) Term:1 Lead:1

raft-log 1
----
1/3 EntryNormal ""
"""
GOOD_CHANGES = """\
simple
v1 l2
----
voters=(1) learners=(2)
1: StateProbe match=0 next=1
2: StateProbe match=0 next=1 learner
"""
GOOD_QUORUM = """\
vote cfg=(1,2) votes=(y,_)
----
VotePending
"""
BAD = GOOD.replace("Lead:1", "Lead:2").replace("1/3", "1/4")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
