"""What is measured: every row of every workload, which engines take part, and how it is called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

CHECKED_OPERATIONS: Final = 256
"""Operations of the run that compares checksums; a multiple of every batch."""


@dataclass(frozen=True)
class Row:
    """One line of the table. `checked`: operations of the run that compares checksums and counts; 0 for none.

    `quick`: part of a quick run. `without`: engines that are left out, and why. `memory`: what its resident memory is
    divided by, if that is a figure.
    """

    workload: str
    label: str
    shape: Mapping[str, int]
    checked: int = CHECKED_OPERATIONS
    quick: bool = True
    unit: str = "entry"
    without: Mapping[str, str] = field(default_factory=dict)
    memory_per: int = 0


def rows() -> list[Row]:
    """All of them, in the order of the table."""
    return [*_rawnode(), *_cluster()]


def _rawnode() -> list[Row]:
    return [
        Row("rawnode", "single-voter", {"voters": 1}, unit="proposal"),
        Row("rawnode", "two-voters", {"voters": 2}, unit="proposal"),
    ]


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
