"""What is measured: every row of every workload, which engines take part, and how it is called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

CHECKED_OPERATIONS: Final = 256
"""Operations of the run that compares checksums; a multiple of every batch."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    `unit`: what an operation is. `quick`: part of a quick run. `checked`: operations of the run that compares checksums
    and counts; 0 for none. `counted`: ours takes as many messages as the reference, or the row is refused.
    `same_bytes`: the checksum is over encoded bytes, which v3.6.0 makes differently. `memory_per`: what memory is
    divided by (groups, or entries of all logs), where that is a figure.
    """

    workload: str
    label: str
    shape: Mapping[str, int]
    unit: str = "entry"
    quick: bool = True
    checked: int = CHECKED_OPERATIONS
    counted: bool = True
    same_bytes: bool = False
    memory_per: int = 0


def rows(*, batch_append: bool) -> list[Row]:
    """All of them, in the order of the table; `batch_append`: the core has that knob."""
    return [
        *_rawnode(),
        *_cluster(),
        *(_batch_append() if batch_append else ()),
        *_reads(),
        *_groups(),
        *_growth(),
        *_small(),
        Row("loopback", "n=3 batch=1000 128 B", {"batch": 1000, "bytes": 128}, "command", checked=2000, counted=False),
    ]


def _rawnode() -> list[Row]:
    return [
        Row("rawnode", "single-voter", {"voters": 1}, "proposal"),
        Row("rawnode", "two-voters", {"voters": 2}, "proposal"),
    ]


def _batch_append() -> list[Row]:
    """The reference has no such knob: its time is that of the plain row."""
    made = []
    for nodes in (3, 5):
        for batch in (1, 64):
            for wire in (0, 1):
                label = f"n={nodes} batch={batch} 128 B{' wire' if wire else ''}"
                shape = {"nodes": nodes, "batch": batch, "bytes": 128, "wire": wire, "batch_append": 1}
                made.append(Row("cluster, batch_append", label, shape, quick=nodes == 3, counted=False))
    return made


def _reads() -> list[Row]:
    return [
        Row("reads", f"{where} {batch} at a time", {"batch": batch, "at_follower": place}, "read")
        for place, where in enumerate(("leader", "follower"))
        for batch in (1, 64)
    ]


def _groups() -> list[Row]:
    return [
        Row("groups", f"{groups:,} idle", {"groups": groups}, "tick of all", groups <= 1000, 0, memory_per=groups)
        for groups in (1000, 10_000)
    ]


def _growth() -> list[Row]:
    made = []
    for entries in (1000, 10_000, 100_000, 1_000_000):
        shape = {"entries": entries, "bytes": 128}
        checked = CHECKED_OPERATIONS if entries <= 10_000 else 0
        made.append(
            Row("growth", f"{entries:,} entries", shape, "entry", entries <= 10_000, checked, memory_per=3 * entries)
        )
    return made


def _small() -> list[Row]:
    made = [
        Row("codec", name, {"encode": encode}, "message", checked=16, same_bytes=True)
        for name, encode in (("encode 64 x 128 B", 1), ("decode 64 x 128 B", 0))
    ]
    for voters in (3, 101):
        made.append(Row("quorum", f"{voters} voters", {"voters": voters}, "answer"))
    for voters in (3, 101):
        made.append(Row("election", f"{voters} voters", {"voters": voters}, "election", checked=8))
    for members in (1, 5, 100):
        for basic, name in ((0, "all"), (1, "basic")):
            shape = {"members": members, "basic": basic}
            made.append(Row("status", f"{name}, {members} members", shape, "status", checked=16))
    return made


def _cluster() -> list[Row]:
    made = []
    for nodes in (1, 3, 5):
        for batch in (1, 64):
            for size in (128, 4096):
                for wire in (0, 1) if nodes > 1 else (0,):
                    label = f"n={nodes} batch={batch} {size} B{' wire' if wire else ''}"
                    shape = {"nodes": nodes, "batch": batch, "bytes": size, "wire": wire}
                    made.append(Row("cluster", label, shape, quick=nodes < 5 and size == 128))
    return made
