"""What the directed schedules share."""

from __future__ import annotations

from typing import Unpack

import pytest

from rafttest.sim.directed.manual_node import Knobs

BOTH_WAYS = pytest.mark.parametrize("asynchronous", [False, True], ids=["synchronous", "asynchronous"])
ON_OFF = pytest.mark.parametrize("on", [True, False], ids=["on", "off"])


def plain(**knobs: Unpack[Knobs]) -> Knobs:
    """Raft as in the paper: whoever campaigns raises its term, and nobody is protected; and these knobs."""
    return {"pre_vote": False, "check_quorum": False, **knobs}
