"""Traces of membership changes on one configuration, without any node.

    simple                           the steps of the input at once, at most one voter among them
    enter-joint [autoleave=BOOL]     the steps of the input, through a joint configuration
    leave-joint                      leave it

Each prints the configuration and the Progress of every member, or why the change is impossible. The log grows by one
entry a command, failed ones too, so that `next` tells which command made a Progress.

Source: etcd confchange/datadriven_test.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pyraft.confchange.changer import Changer
from pyraft.errors import ConfChangeError
from pyraft.tracker.tracker import ProgressTracker
from pyraft.types import NO_LIMIT
from rafttest.trace.command import Command, CommandRefusedError, Shape, Spec, to_steps
from rafttest.trace.environment import Environment

_MAX_INFLIGHT: Final = 10


class ConfigurationEnv(Environment):
    """One tracker, and the last index of the log it belongs to."""

    def __init__(self) -> None:
        super().__init__()
        self.tracker = ProgressTracker(_MAX_INFLIGHT, NO_LIMIT)
        self.last_index = 0

    def shapes(self) -> Mapping[str, Shape]:
        """See the module."""
        return COMMANDS

    def run(self, command: Command) -> None:
        """Change the configuration and show it."""
        try:
            COMMANDS[command.name].handler(self, command)
        except ConfChangeError as error:
            raise CommandRefusedError(f"{error}\n") from None
        finally:
            self.last_index += 1
        self.output.write(f"{self.tracker.config}\n")
        for member, progress in self.tracker.progress.items():
            self.output.write(f"{member}: {progress}\n")

    def changer(self) -> Changer:
        """What computes the next configuration."""
        return Changer(self.tracker, self.last_index)


def _simple(env: ConfigurationEnv, command: Command) -> None:
    env.tracker.install(*env.changer().simple(to_steps(command.input)))


def _enter_joint(env: ConfigurationEnv, command: Command) -> None:
    env.tracker.install(*env.changer().enter_joint(command.flag("autoleave"), to_steps(command.input)))


def _leave_joint(env: ConfigurationEnv, command: Command) -> None:
    if to_steps(command.input):
        raise CommandRefusedError("this command takes no input\n")
    env.tracker.install(*env.changer().leave_joint())


COMMANDS: Final[Mapping[str, Spec[ConfigurationEnv]]] = {
    "simple": Spec(handler=_simple, takes_input=True),
    "enter-joint": Spec(handler=_enter_joint, options=("autoleave",), takes_input=True),
    "leave-joint": Spec(handler=_leave_joint, takes_input=True),
}
