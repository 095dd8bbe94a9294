"""How far each voter has come, as a picture.

       idx
    x>     100    (id=1)       one x for each voter that is further behind
    xx>    101    (id=2)
    ?        0    (id=3)       has acknowledged nothing

Source: etcd quorum/majority.go Describe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def bar_chart(voters: Sequence[int], acked: Mapping[int, int]) -> str:
    """The picture: a header and a line for each voter, in the order of their ids."""
    if not voters:
        return "<empty majority quorum>"
    bars = _bars(voters, acked)
    width = len(voters)
    lines = [" " * (width + 4) + "idx"]
    for voter in sorted(voters):
        bar = ("x" * bars[voter] + ">").ljust(width + 1) if voter in acked else "?".ljust(width + 1)
        lines.append(f"{bar} {acked.get(voter, 0):>5}    (id={voter:x})")
    return "".join([line + "\n" for line in lines])


def _bars(voters: Sequence[int], acked: Mapping[int, int]) -> dict[int, int]:
    """How many voters each one has overtaken; those who are level have overtaken the same ones."""
    ascending = sorted((acked.get(voter, 0), voter) for voter in voters)
    bars: dict[int, int] = {}
    bar = 0
    for position, (index, voter) in enumerate(ascending):
        if position > 0 and index > ascending[position - 1][0]:
            bar = position
        bars[voter] = bar
    return bars
