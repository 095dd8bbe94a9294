"""The members, as of the last membership change that was applied.

    voters=(1 2 3)&&(1 2 4) learners=(5) learners_next=(4)
            incoming outgoing

Outside a joint configuration there are only the incoming voters and the learners. Laws (kept by `pyraft.confchange`):
no learner is a voter of either half; `learners_next` are outgoing voters that become learners when the joint
configuration is left, and not incoming ones; neither they nor `auto_leave` occur outside a joint configuration.

Source: thesis §4.2.1, §4.3; etcd tracker/tracker.go Config.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from mypy_extensions import mypyc_attr

from raftpb.message import ConfState


@final
@mypyc_attr(acyclic=True)
class Configuration:
    """A set of members, never changed once made; each tuple ascends and names nobody twice.

    `voters`: the incoming half, all voters unless joint. `voters_outgoing`: empty unless joint. `auto_leave`: the
    leader leaves the joint configuration by itself.
    """

    __slots__ = ("auto_leave", "learners", "learners_next", "voters", "voters_outgoing")
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        voters: Iterable[int] = (),
        voters_outgoing: Iterable[int] = (),
        learners: Iterable[int] = (),
        learners_next: Iterable[int] = (),
        auto_leave: bool = False,
    ) -> None:
        self.voters: tuple[int, ...] = _ascending(voters)
        self.voters_outgoing: tuple[int, ...] = _ascending(voters_outgoing)
        self.learners: tuple[int, ...] = _ascending(learners)
        self.learners_next: tuple[int, ...] = _ascending(learners_next)
        self.auto_leave = auto_leave

    def is_joint(self) -> bool:
        """True while two sets of voters decide together."""
        return len(self.voters_outgoing) != 0

    def is_voter(self, id: int) -> bool:
        """True for a voter of either half."""
        return id in self.voters or id in self.voters_outgoing

    def voter_ids(self) -> tuple[int, ...]:
        """The voters of both halves, ascending."""
        if not self.voters_outgoing:
            return self.voters
        return _ascending(self.voters + self.voters_outgoing)

    def members(self) -> tuple[int, ...]:
        """Everybody who takes part in any way, ascending."""
        return _ascending(self.voters + self.voters_outgoing + self.learners + self.learners_next)

    def conf_state(self) -> ConfState:
        """The same in the form that snapshots and storages keep."""
        return ConfState(self.voters, self.learners, self.voters_outgoing, self.learners_next, self.auto_leave)

    def __str__(self) -> str:
        """The reference's spelling, ids in hexadecimal: `voters=(1 2)&&(1 2 3) learners=(4) autoleave`."""
        parts = [f"voters={_hex_ids(self.voters)}"]
        if self.voters_outgoing:
            parts[0] += f"&&{_hex_ids(self.voters_outgoing)}"
        if self.learners:
            parts.append(f"learners={_hex_ids(self.learners)}")
        if self.learners_next:
            parts.append(f"learners_next={_hex_ids(self.learners_next)}")
        if self.auto_leave:
            parts.append("autoleave")
        return " ".join(parts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Configuration):
            return NotImplemented
        return (
            self.voters == other.voters
            and self.voters_outgoing == other.voters_outgoing
            and self.learners == other.learners
            and self.learners_next == other.learners_next
            and self.auto_leave == other.auto_leave
        )

    def __repr__(self) -> str:
        return (
            f"Configuration(voters={self.voters}, voters_outgoing={self.voters_outgoing}, "
            f"learners={self.learners}, learners_next={self.learners_next}, auto_leave={self.auto_leave})"
        )

    def __reduce__(
        self,
    ) -> tuple[type[Configuration], tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...], bool]]:
        return (
            Configuration,
            (self.voters, self.voters_outgoing, self.learners, self.learners_next, self.auto_leave),
        )


def _ascending(ids: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(set(ids)))


def _hex_ids(ids: tuple[int, ...]) -> str:
    return "(" + " ".join([f"{member:x}" for member in ids]) + ")"
