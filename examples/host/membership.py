"""Members: who they are, where they are, and which change may follow.

Raft knows ids; the addresses travel in the context of the entries that change the membership, and in snapshots. A
context also names the change that it follows (`after`: the index of the last one). A change that was overtaken by
another is refused when its entry comes by, on every node alike; so a change can be asked for again and again until it
comes by, and still happens once.

An id stands for one log for ever: one that was removed is remembered and never taken again. A new member joins as a
learner, which no quorum waits for, and the leader makes it a voter once it has caught up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from examples.host.machine import ChangeRefusedError
from examples.host.wire import check_peer_url
from raftpb import ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState

MAX_ID: Final = 2**63 - 1
_ADDING: Final = (ConfChangeType.ConfChangeAddNode, ConfChangeType.ConfChangeAddLearnerNode)
_MAX_URL_BYTES: Final = 512


@dataclass(frozen=True, slots=True)
class Change:
    """What somebody wants: steps for Raft, the addresses of those added or moved, and which learners are to become
    voters by themselves.
    """

    steps: tuple[ConfChangeSingle, ...]
    urls: Mapping[int, str] = field(default_factory=dict)
    promote: frozenset[int] = frozenset()


def adding(id: int, url: str, *, stay_learner: bool = False) -> Change:
    """A new member, which becomes a voter once it has caught up, unless it is to stay a learner."""
    step = _step(ConfChangeType.ConfChangeAddLearnerNode, id)
    return Change((step,), {id: url}, frozenset() if stay_learner else frozenset({id}))


def promoting(id: int) -> Change:
    """A learner becomes a voter."""
    return Change((_step(ConfChangeType.ConfChangeAddNode, id),))


def moving(id: int, url: str) -> Change:
    """A member has another address."""
    return Change((_step(ConfChangeType.ConfChangeUpdateNode, id),), {id: url})


def removing(id: int) -> Change:
    """A member leaves for ever."""
    return Change((_step(ConfChangeType.ConfChangeRemoveNode, id),))


def _step(type: ConfChangeType, id: int) -> ConfChangeSingle:
    """One step. Raises ChangeRefusedError for an id that no value can hold; 0 is for `Members.check` to refuse."""
    if not 0 <= id <= MAX_ID:
        raise ChangeRefusedError(f"{id} cannot be a member's id")
    return ConfChangeSingle(type, id)


@dataclass(frozen=True, slots=True)
class Context:
    """What travels with a change: the change itself without its steps, what it follows, and who asked."""

    after: int
    urls: Mapping[int, str]
    promote: frozenset[int] = frozenset()
    asked_by: tuple[int, int, int] = (0, 0, 0)
    """Node, nonce of its process, number; zeros: nobody waits."""

    def encode(self) -> bytes:
        """As the context of an entry."""
        urls = {str(id): url for id, url in sorted(self.urls.items())}
        return json.dumps([self.after, urls, sorted(self.promote), list(self.asked_by)]).encode()

    @staticmethod
    def decode(data: bytes) -> Context:
        """From the context of an entry. Raises ChangeRefusedError if it is none of ours."""
        try:
            after, urls, promote, (node, nonce, number) = json.loads(data)
            known = {int(id): str(url) for id, url in urls.items()}
            asked_by = (int(node), int(nonce), int(number))
            return Context(int(after), known, frozenset(int(id) for id in promote), asked_by)
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            raise ChangeRefusedError("a membership change that this host did not make") from None


@dataclass(frozen=True, slots=True)
class Members:
    """Who takes part, as of the last change that was applied: part of the replicated state."""

    conf_state: ConfState = field(default_factory=ConfState)
    """As Raft knows it."""
    urls: Mapping[int, str] = field(default_factory=dict)
    """Where each member is."""
    promote: frozenset[int] = frozenset()
    """Learners that the leader makes voters once they have caught up."""
    removed: frozenset[int] = frozenset()
    """Ids that are used up."""
    changed_at: int = 0
    """Index of the last change."""

    def ids(self) -> set[int]:
        """Everybody."""
        state = self.conf_state
        return {*state.voters, *state.voters_outgoing, *state.learners, *state.learners_next}

    def is_voter(self, id: int) -> bool:
        """Whether any quorum counts `id`."""
        return id in self.conf_state.voters or id in self.conf_state.voters_outgoing

    def check(self, change: Change) -> None:
        """Raises ChangeRefusedError if `change` makes no sense now. Every node must come to the same answer."""
        everybody = self.ids()
        for step in change.steps:
            id = step.node_id
            if not 0 < id <= MAX_ID:
                raise ChangeRefusedError(f"{id} cannot be a member's id")
            if step.type in _ADDING and id in self.removed:
                raise ChangeRefusedError(f"{id} was a member and was removed: an id stands for one log for ever")
            if step.type in _ADDING and id not in everybody and id not in change.urls:
                raise ChangeRefusedError(f"where member {id} is has to be said")
            if step.type not in _ADDING and id not in everybody:
                raise ChangeRefusedError(f"{id} is not a member")
        voters = set(self.conf_state.voters)
        for step in change.steps:
            if step.type is ConfChangeType.ConfChangeAddNode:
                voters.add(step.node_id)
            else:
                voters.discard(step.node_id)
        if self.conf_state.voters and not voters:
            raise ChangeRefusedError("that would have removed all voters")
        for id, url in change.urls.items():
            _check_url(url)
            for other, taken in self.urls.items():
                if taken == url and other != id:
                    raise ChangeRefusedError(f"member {other} is at {url} already")

    def joining(self, id: int, url: str, *, stay_learner: bool = False) -> Change | None:
        """What makes `id` a member at `url`; None if it is one."""
        if id not in self.ids():
            return adding(id, url, stay_learner=stay_learner)
        return moving(id, url) if self.urls.get(id) != url else None

    def leaving(self, id: int, reachable: set[int]) -> Change:
        """What makes `id` leave. Raises ChangeRefusedError if those who are `reachable` could decide nothing then."""
        voters = set(self.conf_state.voters) - {id}
        if id in self.conf_state.voters and 2 * len(voters & reachable) <= len(voters):
            raise ChangeRefusedError(
                f"of the {len(voters)} voters that would be left only {len(voters & reachable)} can be reached from "
                "here, which is no quorum"
            )
        return removing(id)

    def after(self, change: Change, conf_state: ConfState, index: int) -> Members:
        """Who takes part once `change`, the entry at `index`, has led to `conf_state`."""
        now = replace(self, conf_state=conf_state, changed_at=index)
        everybody = now.ids()
        gone = self.ids() - everybody
        return replace(
            now,
            urls={id: url for id, url in {**self.urls, **change.urls}.items() if id not in gone},
            promote=frozenset(id for id in self.promote | change.promote if id in conf_state.learners),
            removed=self.removed | gone,
        )

    def save(self) -> dict[str, object]:
        """For a snapshot; the ConfState has a place of its own there."""
        return {
            "urls": {str(id): url for id, url in sorted(self.urls.items())},
            "promote": sorted(self.promote),
            "removed": sorted(self.removed),
            "changed_at": self.changed_at,
        }

    @staticmethod
    def load(saved: Mapping[str, object], conf_state: ConfState) -> Members:
        """From a snapshot. Raises ValueError if it is none."""
        urls, promote, removed, changed_at = (saved.get(key) for key in ("urls", "promote", "removed", "changed_at"))
        if not (isinstance(urls, dict) and isinstance(promote, list) and isinstance(removed, list)):
            raise ValueError("the members are missing")
        if not isinstance(changed_at, int):
            raise ValueError("the index of the last change is missing")
        known = {int(id): str(url) for id, url in urls.items()}
        return Members(conf_state, known, frozenset(promote), frozenset(removed), changed_at)


def founding(urls: Mapping[int, str]) -> dict[int, bytes]:
    """The contexts of a new cluster's first entries, in the order of the ids. Raises ChangeRefusedError."""
    everybody = Members()
    contexts: dict[int, bytes] = {}
    for after, (id, url) in enumerate(sorted(urls.items())):
        everybody.check(adding(id, url))
        everybody = replace(everybody, urls={**everybody.urls, id: url})
        contexts[id] = Context(after, {id: url}).encode()
    return contexts


def entry_of(change: Change, after: int, asked_by: tuple[int, int, int] = (0, 0, 0)) -> ConfChangeV2:
    """`change` as Raft takes it."""
    return ConfChangeV2(change.steps, context=Context(after, change.urls, change.promote, asked_by).encode())


def _check_url(url: str) -> None:
    if len(url) > _MAX_URL_BYTES:
        raise ChangeRefusedError(f"a URL of {len(url)} characters; {_MAX_URL_BYTES} are enough")
    try:
        check_peer_url(url)
    except ValueError as error:
        raise ChangeRefusedError(str(error)) from None
