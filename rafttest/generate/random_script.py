"""Random traces: scripts of interaction commands, for the reference to answer and for this project to reproduce.

A script is a string of moves — an election, a membership change, a follower cut off until it needs a snapshot, plain
noise (`rafttest.generate.moves`) — and each script weighs them differently, so that every one has a character.

Invariants: a script is a function of its seed (within one version of Python); its expected outputs are empty, for the
reference to fill in (`reference.compare`). It may make the reference panic: the recorded trace then ends there.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

from rafttest.generate.moves import MOVES, close
from rafttest.generate.writer import ScriptWriter


def random_script(seed: int, commands: int = 200) -> str:
    """An interaction script of about `commands` commands and a closing look at every node, with empty outputs."""
    rng = random.Random(seed)
    writer = ScriptWriter(rng)
    moves = [move for move, _ in MOVES]
    weights = [weight * rng.choice((0.3, 1, 1, 1, 3)) for _, weight in MOVES]
    writer.create()
    while len(writer.written) < commands:
        rng.choices(moves, weights)[0](writer)
    close(writer)
    return writer.text()


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the scripts of consecutive seeds to a folder."""
    parser = argparse.ArgumentParser(
        prog="python -m rafttest.generate", description="Write random interaction scripts."
    )
    parser.add_argument("--seed", type=int, default=1, help="of the first script (default 1)")
    parser.add_argument("--runs", type=int, default=1, help="how many scripts (default 1)")
    parser.add_argument("--commands", type=int, default=200, help="commands in each, about (default 200)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    options = parser.parse_args(arguments)
    folder: Path = options.out
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(options.seed, options.seed + options.runs):
        (folder / f"seed_{seed:06}.txt").write_text(random_script(seed, options.commands), encoding="utf-8")
