"""The command line of the test kit: `python -m rafttest COMMAND ...`; each command is a module of its own."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence

from rafttest import compare_command, replay_command
from rafttest.lease_search import command as lease_search_command
from rafttest.mixed import command as mixed_command
from rafttest.sim import command as sim_command
from rafttest.view import command as view_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m rafttest", description="Test kit of pyraft.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    replay_command.add_parser(commands)
    compare_command.add_parser(commands)
    sim_command.add_parser(commands)
    lease_search_command.add_parser(commands)
    mixed_command.add_parser(commands)
    view_command.add_parser(commands)
    options = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path or a trace may hold what the terminal cannot show
    try:
        code = run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
