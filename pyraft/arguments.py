"""Arguments: checks of what an application passes to a RawNode.

Each error names the argument, what it was, and what was expected.
"""

from __future__ import annotations

from pyraft.config import Config
from pyraft.errors import ConfChangeError
from raftpb.confchange import AnyConfChange, ConfChange, ConfChangeSingle, ConfChangeV2
from raftpb.enums import ConfChangeTransition, ConfChangeType
from raftpb.integers import MAX_INTEGER


def check_config(config: Config) -> None:
    if not isinstance(config, Config):
        raise TypeError(f"a RawNode takes a Config, not {config!r}")


def check_change(change: AnyConfChange) -> ConfChangeV2:
    if not isinstance(change, (ConfChange, ConfChangeV2)):
        raise TypeError(f"{change!r} is no membership change; expected a ConfChange or ConfChangeV2")
    if isinstance(change, ConfChange):
        _check_number("id", change.id)
    asked = change.as_v2()
    context: object = asked.context
    if not isinstance(context, bytes):
        raise TypeError(f"context is {context!r}; expected bytes")
    if not isinstance(asked.transition, ConfChangeTransition):
        raise TypeError(f"transition is {asked.transition!r}; expected a ConfChangeTransition")
    steps: tuple[object, ...] = asked.changes  # so that the text below, not the compiler's, says what is wrong
    for one in steps:
        if not isinstance(one, ConfChangeSingle):
            raise TypeError(f"{one!r} is among the steps; expected a ConfChangeSingle")
        if not isinstance(one.type, ConfChangeType):
            raise TypeError(f"type is {one.type!r}; expected a ConfChangeType")
        _check_number("node id", one.node_id)
    return asked


def _check_number(name: str, number: object) -> None:
    """Check a number in a membership change. Compiled, what is no integer was refused when the change was made."""
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"{name} is {number!r}; expected an integer in [0, 2^63)")
    if not 0 <= number <= MAX_INTEGER:
        raise ConfChangeError(f"{name} {number} is not in [0, 2^63)")


def check_id(id: int) -> None:
    if not isinstance(id, int) or isinstance(id, bool):
        raise TypeError(f"id is {id!r}; expected the id of a node")
