"""Mailbox: messages that stay where they are until somebody says what becomes of them.

    waiting          sent, and neither delivered nor dropped
    held             waiting, and not delivered while everything runs: only by name
    cut              lost when sent

Messages are chosen by type, sender and receiver; what is left out is any. A choice of none raises ScriptError.
"""

from __future__ import annotations

from dataclasses import dataclass

from raftpb.enums import MessageType
from raftpb.message import Message
from rafttest.sim.context import describe


class ScheduleError(ValueError):
    """The script asks for what cannot happen now. Who acts: its author."""


@dataclass(frozen=True, slots=True)
class Which:
    """Messages of a type, of a sender, to a receiver; None: of any."""

    type: MessageType | None
    from_: int | None
    to: int | None

    def takes(self, m: Message) -> bool:
        """True if `m` is one of them."""
        return self.type in {None, m.type} and self.from_ in {None, m.from_} and self.to in {None, m.to}


class Mailbox:
    """What is on its way; whoever derives from it says what it means to arrive, and writes the scenario."""

    def __init__(self) -> None:
        self.mailbox: list[Message] = []
        """On its way, oldest first."""
        self._cut: list[Which] = []
        self._held: list[Which] = []

    def note(self, text: str) -> None:
        """Something has happened."""
        raise NotImplementedError

    def arrive(self, m: Message, at: int | None = None) -> None:
        """`m` reaches its receiver, or node `at`."""
        raise NotImplementedError

    def post(self, m: Message) -> None:
        """A message leaves its node."""
        if any(one.takes(m) for one in self._cut):
            self.note(f"lost {describe(m)}")
        else:
            self.mailbox.append(m)

    def deliver(
        self, type: MessageType | None = None, from_: int | None = None, to: int | None = None
    ) -> list[Message]:
        """These messages arrive, those that are held too."""
        taken = self._take(Which(type, from_, to))
        for m in taken:
            self.remove(m)
            self.arrive(m)
        return taken

    def drop(self, type: MessageType | None = None, from_: int | None = None, to: int | None = None) -> list[Message]:
        """These messages never arrive. They are returned, and may `arrive` after all."""
        taken = self._take(Which(type, from_, to))
        for m in taken:
            self.note(f"drop {describe(m)}")
            self.remove(m)
        return taken

    def duplicate(
        self, type: MessageType | None = None, from_: int | None = None, to: int | None = None
    ) -> list[Message]:
        """The network copies these messages: each is on its way twice; returned, for `arrive` at any time later."""
        taken = self._take(Which(type, from_, to))
        for m in taken:
            self.note(f"duplicate {describe(m)}")
            self.mailbox.append(m)
        return taken

    def hold(self, type: MessageType | None = None, from_: int | None = None, to: int | None = None) -> None:
        """Such messages are held from now on, until `release`."""
        self.note(f"hold {type} {from_}->{to}")
        self._held.append(Which(type, from_, to))

    def release(self) -> None:
        """Nothing is held any more."""
        self._held.clear()

    def is_held(self, m: Message) -> bool:
        """True if `m` does not arrive by itself."""
        return any(one.takes(m) for one in self._held)

    def cut(self, type: MessageType | None = None, from_: int | None = None, to: int | None = None) -> None:
        """Such messages are lost from now on, until `heal`."""
        self.note(f"cut {type} {from_}->{to}")
        self._cut.append(Which(type, from_, to))

    def part(self, a: int, b: int) -> None:
        """Nothing gets from one to the other, either way."""
        self.cut(from_=a, to=b)
        self.cut(from_=b, to=a)

    def isolate(self, n: int) -> None:
        """Nothing gets from or to node `n`."""
        self.cut(from_=n)
        self.cut(to=n)

    def heal(self) -> None:
        """No link is cut any more."""
        self.note("heal")
        self._cut.clear()

    def remove(self, m: Message) -> None:
        """Take this very copy away."""
        del self.mailbox[next(place for place, one in enumerate(self.mailbox) if one is m)]

    def _take(self, which: Which) -> list[Message]:
        taken = [m for m in self.mailbox if which.takes(m)]
        if not taken:
            raise ScheduleError(f"no such message is on its way: {which}; there are {self.mailbox}")
        return taken
