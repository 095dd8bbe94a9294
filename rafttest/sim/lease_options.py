"""Leases: seeds whose reads are answered by the leader's lease, and what such a cluster must be spared for that (S17).

A lease is a promise about clocks. It runs for `election_tick - 2` ticks of the leader from the sending of a heartbeat;
who answered that gives no vote for at least `election_tick - 1` of its own ticks. So it is kept as long as no clock is
faster than another by more than the quotient of the two. These break the premise, and do not happen here:

    pauses               a clock that stands while others go on
    removed leaders that lead on: no clock holds their lease
    check-quorum off on a node that reads by lease: `Config` refuses it

Campaigns are let in: a node that keeps a promise refuses them. Pre-vote may differ from node to node, and so may the
way of reading, since a group changes it node by node: then those that ask a quorum keep promises too, check-quorum or
not. In some seeds one knob of the lease is switched off; S17 is then off by name (`options.LEASE_KNOBS_OFF`).

Restarts, transfers, membership changes and every other fault go on.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Final

from rafttest.sim.options import Options

_SPARED: Final = ("pause",)
_WANTED: Final = {"read": 1, "partition": 60, "client": 1}
"""Mean ticks between two: a lease is wrong for a moment only, in a leader that is cut off."""
_MARGIN: Final = 0.8
"""Of the bound; what is left covers that the length of a tick is a whole number of moments."""


def with_leases(options: Options, random: Random) -> Options:
    """The same seed with reads by lease; clocks differ as much as they may, or not at all."""
    nodes = options.voters + options.spares
    bound = (options.election_tick - 1) / (options.election_tick - 2)
    most = 1 + _MARGIN * (bound - 1)
    rates = tuple(random.uniform(1, most) for _ in range(nodes)) if random.random() < 0.7 else ()
    intervals = {name: ticks for name, ticks in options.intervals.items() if name not in _SPARED}
    return replace(
        options,
        lease_reads=True,
        check_quorum=True,
        step_down_on_removal=True,
        own_knobs=tuple(
            (pre_vote, check_quorum or id not in options.ask_quorum)
            for id, (pre_vote, check_quorum) in enumerate(options.own_knobs, start=1)
        ),
        tick_rates=rates,
        intervals={**intervals, **_WANTED},
    )
