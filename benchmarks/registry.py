"""The workloads by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from benchmarks.workloads.bench import Bench, Shape
from benchmarks.workloads.cluster import ClusterBench
from benchmarks.workloads.codec import Codec
from benchmarks.workloads.election import Election
from benchmarks.workloads.groups import Groups
from benchmarks.workloads.growth import Growth
from benchmarks.workloads.loopback import Loopback
from benchmarks.workloads.quorum import Quorum
from benchmarks.workloads.rawnode import LoneNode
from benchmarks.workloads.reads import ReadsBench
from benchmarks.workloads.status import Tell

WORKLOADS: Final[dict[str, Callable[[Shape], Bench]]] = {
    "cluster": ClusterBench,
    "rawnode": LoneNode,
    "reads": ReadsBench,
    "groups": Groups,
    "growth": Growth,
    "codec": Codec,
    "quorum": Quorum,
    "election": Election,
    "status": Tell,
    "loopback": Loopback,
}
