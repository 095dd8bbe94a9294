"""The command line of the test kit: `python -m rafttest COMMAND ...`; each command is a module of its own."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence

from rafttest.cli import compare, lease_search, mixed, replay, sim, view


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m rafttest", description="Test kit of pyraft.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    replay.add_parser(commands)
    compare.add_parser(commands)
    sim.add_parser(commands)
    lease_search.add_parser(commands)
    mixed.add_parser(commands)
    view.add_parser(commands)
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
