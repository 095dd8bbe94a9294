"""Run a trace and compare.

The kind of a trace (a cluster, one configuration, quorum arithmetic) is told from its first command; the kinds share no
command. Every command runs, also after one that differs: what follows often tells more than the first difference.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pyraft.errors import RaftError
from rafttest.arithmetic import confchange_env, quorum_env
from rafttest.arithmetic.confchange_env import ConfigurationEnv
from rafttest.arithmetic.quorum_env import QuorumEnv
from rafttest.interaction import env
from rafttest.interaction.env import InteractionEnv
from rafttest.interaction.ready import RestlessError
from rafttest.trace.command import CommandError, Shape
from rafttest.trace.comparison import significant_lines, unified_diff, visible
from rafttest.trace.environment import Environment
from rafttest.trace.file import Directive, MalformedTraceError, Trace, read_trace


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


_ENVIRONMENTS: Final[tuple[tuple[Mapping[str, Shape], type[Environment]], ...]] = (
    (env.COMMANDS, InteractionEnv),
    (confchange_env.COMMANDS, ConfigurationEnv),
    (quorum_env.COMMANDS, QuorumEnv),
)


def run_trace(path: str | os.PathLike[str], environment: Environment | None = None) -> TraceResult:
    """Run a trace file in the environment it asks for, or in the one given.

    Raises OSError if it cannot be read, MalformedTraceError if it is not a trace or has a command that cannot be run.
    """
    trace = read_trace(path)
    outcomes = replay(trace, environment)
    return TraceResult(trace.path, len(trace.directives), tuple(one for one in outcomes if not one.matches()))


def replay(trace: Trace, environment: Environment | None = None) -> Iterator[Outcome]:
    """Run the commands of a trace one by one, in a fresh environment unless one is given.

    Raises MalformedTraceError at a command that cannot be run; for an unknown one, before anything has run.
    """
    if environment is None:
        environment = _fresh_environment(trace)
    known = environment.shapes()
    for directive in trace.directives:
        if directive.command.name not in known:
            raise _unknown(trace, directive)
    for directive in trace.directives:
        yield _run(trace, environment, directive)


def _fresh_environment(trace: Trace) -> Environment:
    if not trace.directives:
        raise MalformedTraceError(trace.path, 1, "there is no command in this file")
    first = trace.directives[0]
    for commands, environment in _ENVIRONMENTS:
        if first.command.name in commands:
            return environment()
    raise _unknown(trace, first)


def _unknown(trace: Trace, directive: Directive) -> MalformedTraceError:
    name = directive.command.name
    detail = f"unknown command {name!r}"
    if any(name in commands for commands, _ in _ENVIRONMENTS):
        detail = f"{name!r} belongs to another kind of trace than {trace.directives[0].command.name!r}"
    return MalformedTraceError(trace.path, directive.line, detail)


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
