"""Traces of quorum arithmetic: who decides, without any node.

    committed cfg=(1, 2) [cfgj=(3)|cfgj=zero] idx=(13, _, 100)     what is committed, and a picture of it
    vote      cfg=(1, 2) [cfgj=(3)|cfgj=zero] votes=(y, n, _)      how an election stands

The values belong to the voters in the order of `cfg`, then those of `cfgj` not seen before; `_` is no answer, which
differs from 0. `cfgj`, even empty (`zero`), asks the joint arithmetic.

Each answer is found in other ways too. One that disagrees prints as a line of its own, so that the trace fails.

Source: etcd quorum/datadriven_test.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from pyraft import quorum
from pyraft.quorum import VoteResult
from pyraft.types import NO_LIMIT
from rafttest.arithmetic.bar_chart import bar_chart
from rafttest.trace.command import Command, CommandError, Shape, Spec, to_number
from rafttest.trace.environment import Environment


class Arithmetic(Protocol):
    """What is under test; the module `pyraft.quorum` is one."""

    def committed_index(self, voters: tuple[int, ...], acked: dict[int, int]) -> int:
        """What a majority has acknowledged."""
        ...

    def joint_committed_index(self, incoming: tuple[int, ...], outgoing: tuple[int, ...], acked: dict[int, int]) -> int:
        """What majorities of both halves have acknowledged."""
        ...

    def vote_result(self, voters: tuple[int, ...], votes: dict[int, bool]) -> VoteResult:
        """What a majority says."""
        ...

    def joint_vote_result(
        self, incoming: tuple[int, ...], outgoing: tuple[int, ...], votes: dict[int, bool]
    ) -> VoteResult:
        """What both halves say."""
        ...


class QuorumEnv(Environment):
    """Has no state but the arithmetic under test: every command brings its own configuration."""

    def __init__(self, arithmetic: Arithmetic = quorum) -> None:
        super().__init__()
        self.arithmetic = arithmetic

    def shapes(self) -> Mapping[str, Shape]:
        """See the module."""
        return COMMANDS

    def run(self, command: Command) -> None:
        """Answer one question."""
        COMMANDS[command.name].handler(self, command)


@dataclass(frozen=True, slots=True)
class _Voters:
    """Both halves, and whether the second was given at all."""

    incoming: tuple[int, ...]
    outgoing: tuple[int, ...]
    joint: bool

    def ids(self) -> tuple[int, ...]:
        """Everybody once, in the order in which the values are given."""
        return tuple(dict.fromkeys(self.incoming + self.outgoing))


def _committed(env: QuorumEnv, command: Command) -> None:
    voters = _read_voters(command)
    acked = {voter: _read_index(text) for voter, text in _answers(command, "idx", voters)}
    env.output.write(bar_chart(voters.ids(), acked))
    ask = env.arithmetic
    if voters.joint:
        index = ask.joint_committed_index(voters.incoming, voters.outgoing, acked)
        mirrored = ask.joint_committed_index(voters.outgoing, voters.incoming, acked)
        checks = [(mirrored, "via symmetry")]
    else:
        index = ask.committed_index(voters.incoming, acked)
        checks = list(_other_ways(ask, voters.incoming, acked, index))
    for other, way in checks:
        if other != index:
            env.output.write(f"{_show_index(other)} <-- {way}\n")
    env.output.write(f"{_show_index(index)}\n")


def _vote(env: QuorumEnv, command: Command) -> None:
    voters = _read_voters(command)
    votes = {voter: _read_vote(text) for voter, text in _answers(command, "votes", voters)}
    ask = env.arithmetic
    if voters.joint:
        result = ask.joint_vote_result(voters.incoming, voters.outgoing, votes)
        checks = [(ask.joint_vote_result(voters.outgoing, voters.incoming, votes), "via symmetry")]
    else:
        result = ask.vote_result(voters.incoming, votes)
        checks = [
            (ask.joint_vote_result(voters.incoming, (), votes), "via zero-joint quorum"),
            (ask.joint_vote_result(voters.incoming, voters.incoming, votes), "via self-joint quorum"),
        ]
    for other, way in checks:
        if other is not result:
            env.output.write(f"{other} <-- {way}\n")
    env.output.write(f"{result}\n")


def _other_ways(
    ask: Arithmetic, voters: tuple[int, ...], acked: dict[int, int], index: int
) -> Iterator[tuple[int, str]]:
    """The committed index of one majority again and again; every pair is (what came out, how it was asked)."""
    yield _by_counting(voters, acked), "via alternative computation"
    yield ask.joint_committed_index(voters, (), acked), "via zero-joint quorum"
    yield ask.joint_committed_index(voters, voters, acked), "via self-joint quorum"
    for voter in voters:
        if 0 < acked.get(voter, 0) < index:  # who is behind what is committed anyway may be further behind
            for lower in (acked[voter] - 1, 0):
                yield ask.committed_index(voters, {**acked, voter: lower}), f"overlaying {voter}->{lower}"


def _by_counting(voters: tuple[int, ...], acked: dict[int, int]) -> int:
    """The definition itself: the highest of the indexes that more than half of the voters have reached."""
    if not voters:
        return NO_LIMIT
    reached = [acked.get(voter, 0) for voter in voters]
    return max(index for index in reached if 2 * sum(other >= index for other in reached) > len(voters))


def _read_voters(command: Command) -> _Voters:
    second = command.values("cfgj")
    outgoing = () if second == ["zero"] else _read_ids(second)
    return _Voters(_read_ids(command.values("cfg")), outgoing, joint=bool(second))


def _read_ids(texts: list[str]) -> tuple[int, ...]:
    ids = tuple(to_number(text) for text in texts)
    if len(set(ids)) != len(ids):
        raise CommandError(f"a voter is named twice: {' '.join(texts)}")
    return ids


def _answers(command: Command, key: str, voters: _Voters) -> list[tuple[int, str]]:
    """Who answered what; those who did not are left out."""
    ids = voters.ids()
    texts = command.values(key)
    if len(texts) != len(ids):
        raise CommandError(f"{key} has {len(texts)} values for {len(ids)} voters")
    return [(voter, text) for voter, text in zip(ids, texts, strict=True) if text != "_"]


def _read_index(text: str) -> int:
    index = to_number(text)
    if not 0 < index < NO_LIMIT:
        raise CommandError(f"an index is at least 1 and below 2^62, not {index}; _ stands for none")
    return index


def _read_vote(text: str) -> bool:
    if text not in {"y", "n"}:
        raise CommandError(f"a vote is y, n or _, not {text!r}")
    return text == "y"


def _show_index(index: int) -> str:
    return "∞" if index == NO_LIMIT else str(index)


COMMANDS: Final[Mapping[str, Spec[QuorumEnv]]] = {
    "committed": Spec(handler=_committed, options=("cfg", "cfgj", "idx")),
    "vote": Spec(handler=_vote, options=("cfg", "cfgj", "votes")),
}
