"""Borders of laws: pairs of histories, the last that a law allows and the first that it does not."""

from __future__ import annotations

from collections.abc import Callable

from sim_histories import FOLLOWER, MadeHistory, entry

from raftpb.message import ConfState, HardState, Snapshot, SnapshotMetadata

THREE = ConfState((1, 2, 3))
History = Callable[[MadeHistory], object]
BORDERS: dict[str, tuple[str, History, History]] = {}
"""By a name: the law, what it still allows, what is one step beyond."""


def border(law: str, beyond: History) -> Callable[[History], History]:
    """The decorated history is allowed; `beyond` breaks `law`."""

    def note(allowed: History) -> History:
        name = f"{law}-{allowed.__name__.removeprefix('_')}"
        assert name not in BORDERS
        BORDERS[name] = (law, allowed, beyond)
        return allowed

    return note


def of_views(law: str, name: str, allowed: Callable[[], object], beyond: Callable[[], object]) -> None:
    """The same for laws that need no scenario."""
    BORDERS[f"{law}-{name}"] = (law, lambda _: allowed(), lambda _: beyond())


def snapshot_at(made: MadeHistory, index: int, term: int, conf: ConfState = THREE) -> Snapshot:
    return Snapshot(made.checker.states[index], SnapshotMetadata(conf, index, term))


def writes_of_a_follower(made: MadeHistory, n: int, term: int, last: int, synced: bool = True) -> None:
    made.shows(n, FOLLOWER, term, last=last)
    made.writes(n, [entry(index, term) for index in range(3, last + 1)], HardState(term, 1, 2), synced)
