"""Run a trace and compare.

The kind of a trace (a cluster, one configuration, quorum arithmetic) is told from its first command; the kinds share no
command. Every command runs, also after one that differs: what follows often tells more than the first difference.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pyraft.errors import RaftError
from rafttest import configurations, interaction, quorums
from rafttest.commands import CommandError, Shape
from rafttest.comparison import significant_lines, unified_diff, visible
from rafttest.configurations import ConfigurationEnv
from rafttest.datadriven import Directive, MalformedTraceError, Trace, read_trace
from rafttest.environment import Environment
from rafttest.interaction import InteractionEnv
from rafttest.quorums import QuorumEnv
from rafttest.ready_commands import RestlessError


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one command of a trace did. `crashed`: the core failed, and `actual` ends with its last words."""

    directive: Directive
    actual: str
    crashed: bool = False

    def matches(self) -> bool:
        """True if everything that counts is as expected."""
        return not self.crashed and significant_lines(self.directive.expected) == significant_lines(self.actual)

    def report(self, path: str) -> list[str]:
        """The place and the command, and how its output differs, as the lines of a unified diff."""
        head = f"{path}:{self.directive.line}: {visible(self.directive.text)}"
        return [head, *unified_diff(self.directive.expected, self.actual)]


@dataclass(frozen=True, slots=True)
class TraceResult:
    """What became of a trace: how many commands it has, and those that differ."""

    path: str
    commands: int
    differences: tuple[Outcome, ...]

    def matches(self) -> bool:
        """True if no command differs."""
        return not self.differences

    def __str__(self) -> str:
        """Every difference with its place; made to be shown by a failing assertion."""
        lines = [f"{self.path}: {len(self.differences)} of {self.commands} commands differ"]
        for outcome in self.differences:
            lines += outcome.report(self.path)
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    commands: Mapping[str, Shape]
    environment: Callable[[], Environment]


_KINDS: Final = (
    _Kind("interaction", interaction.COMMANDS, InteractionEnv),
    _Kind("configuration", configurations.COMMANDS, ConfigurationEnv),
    _Kind("quorum", quorums.COMMANDS, QuorumEnv),
)


def run_trace(path: str | os.PathLike[str]) -> TraceResult:
    """Run a trace file in a fresh environment.

    Raises OSError if it cannot be read, MalformedTraceError if it is not a trace or has a command that cannot be run.
    """
    trace = read_trace(path)
    outcomes = replay(trace)
    return TraceResult(trace.path, len(trace.directives), tuple(one for one in outcomes if not one.matches()))


def replay(trace: Trace) -> Iterator[Outcome]:
    """Run the commands of a trace one by one, in a fresh environment.

    Raises MalformedTraceError at a command that cannot be run; for an unknown one, before anything has run.
    """
    environment = _kind(trace).environment()
    for directive in trace.directives:
        yield _run(trace, environment, directive)


def _kind(trace: Trace) -> _Kind:
    """What kind of trace this is, once all of its commands are known to be of that kind."""
    if not trace.directives:
        raise MalformedTraceError(trace.path, 1, "there is no command in this file")
    first = trace.directives[0]
    kind = next((kind for kind in _KINDS if first.command.name in kind.commands), None)
    if kind is None:
        raise MalformedTraceError(trace.path, first.line, f"unknown command {first.command.name!r}")
    for directive in trace.directives:
        name = directive.command.name
        if name not in kind.commands:
            detail = f"unknown command {name!r} in a trace that began with {kind.name} commands"
            raise MalformedTraceError(trace.path, directive.line, detail)
    return kind


def _run(trace: Trace, environment: Environment, directive: Directive) -> Outcome:
    """Run one command. Whatever the core does, the runner goes on with the next."""
    try:
        return Outcome(directive, environment.execute(directive.command))
    except CommandError as error:
        raise MalformedTraceError(trace.path, directive.line, str(error)) from None
    except (RaftError, RestlessError) as error:
        last_words = f"{type(error).__name__}: {error}\n"
    except Exception:
        last_words = traceback.format_exc()
    return Outcome(directive, environment.output.text() + last_words, crashed=True)
