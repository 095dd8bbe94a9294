"""`python -m rafttest compare PATH...`: run traces through the Go reference; see `reference.compare`."""

from __future__ import annotations

import argparse
import sys

from rafttest.reference.compare import compare
from rafttest.reference.compare_state_traces import compare_state_traces


def add_parser(parent: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to a command line."""
    parser = parent.add_parser("compare", help="run trace files through the Go reference", description=__doc__)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a trace file, or a folder of them")
    parser.add_argument("--rewrite", action="store_true", help="record the reference's outputs in the files instead")
    parser.add_argument(
        "--state-traces", action="store_true", help="compare the steps that nodes tell a state tracer, not the outputs"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run what the command line names; return the exit code."""
    paths: list[str] = options.paths
    rewrite: bool = options.rewrite
    state_traces: bool = options.state_traces
    if state_traces and rewrite:
        print("error: --rewrite records outputs, and --state-traces looks at none", file=sys.stderr)
        return 2
    return compare_state_traces(paths) if state_traces else compare(paths, rewrite=rewrite)
