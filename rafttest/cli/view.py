"""`python -m rafttest view FILE` or `--seed S`: what happened, as one HTML page for a browser.

FILE is a trace of a cluster, or a recording (*.rec). The page is complete in itself and loads nothing. With
--screenshot, a picture of it as well, taken by a headless Chromium. Exit code: 0, or 2 if there is nothing to show.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from rafttest.record.format import RecordingError, is_recording
from rafttest.trace.comparison import visible
from rafttest.trace.file import MalformedTraceError
from rafttest.view.from_recording import timeline_of_recording
from rafttest.view.from_seed import timeline_of_seed
from rafttest.view.from_trace import timeline_of_trace
from rafttest.view.page import page
from rafttest.view.timeline import Timeline

EXIT_NOTHING: Final = 2

CHROMIUM_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

_SIZE: Final = "1400x900"
_TIMEOUT_SECONDS: Final = 120


class _UsageError(Exception):
    """The command line asks for something that cannot be done."""


def add_parser(parent: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to a command line."""
    parser = parent.add_parser("view", help="show a trace, a seed or a recording in a browser", description=__doc__)
    parser.add_argument("file", nargs="?", metavar="FILE", help="a trace of a cluster, or a recording")
    parser.add_argument("--seed", type=int, help="a seed of the simulator instead")
    parser.add_argument("-o", "--output", metavar="OUT.html", help="where to write (default: beside you, by its name)")
    parser.add_argument("--event", type=int, metavar="N", help="the event that the printed address and picture show")
    parser.add_argument("--screenshot", metavar="OUT.png", help="also take a picture, with a Chromium that is on PATH")
    parser.add_argument("--size", default=_SIZE, metavar="WxH", help=f"of the picture, in pixels (default: {_SIZE})")
    parser.add_argument("--all", action="store_true", help="the picture shows the whole timeline around the event")
    parser.add_argument("--dark", action="store_true", help="the picture in dark colours")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Make the page that the command line asks for; return the exit code."""
    file: str | None = options.file
    seed: int | None = options.seed
    output: str | None = options.output
    event: int | None = options.event
    screenshot: str | None = options.screenshot
    size: str = options.size
    dark: bool = options.dark
    show_all: bool = options.all
    try:
        timeline = _timeline(file, seed)
        if event is not None and not 0 <= event < len(timeline.events):
            raise _UsageError(f"there is no event {event}; they go from 0 to {len(timeline.events) - 1}")
        target = Path(output if output is not None else f"{timeline.title.replace(' ', '-')}.html")
        target.write_text(page(timeline), encoding="utf-8")
        fragment = "" if event is None else f"#event={event}"
        print(f"{target}{fragment}: {len(timeline.events)} events of {len(timeline.nodes)} nodes")
        if screenshot is not None:
            fragment = f"#event={event or 0}&all" if show_all else fragment
            _take_screenshot(target.resolve().as_uri() + fragment, Path(screenshot).resolve(), size, dark)
    except (_UsageError, MalformedTraceError, RecordingError, OSError, subprocess.SubprocessError) as error:
        print(visible(f"error: {error}"), file=sys.stderr)
        return EXIT_NOTHING
    return 0


def _timeline(file: str | None, seed: int | None) -> Timeline:
    if (file is None) == (seed is None):
        raise _UsageError("give either a file or --seed")
    if seed is not None:
        return timeline_of_seed(seed)[0]
    path = Path(file or "")
    return timeline_of_recording(path) if is_recording(path) else timeline_of_trace(path)


def find_chromium() -> str | None:
    """The browser on PATH, if there is one."""
    return next((path for name in CHROMIUM_NAMES if (path := shutil.which(name)) is not None), None)


def _take_screenshot(address: str, target: Path, size: str, dark: bool) -> None:
    program = find_chromium()
    if program is None:
        raise _UsageError(f"--screenshot needs one of {', '.join(CHROMIUM_NAMES)} on PATH")
    width, _, height = size.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise _UsageError(f"--size is WIDTHxHEIGHT, not {size}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        arguments = [
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=4000"),
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
            f"--screenshot={target}",
            address,
        ]
        said = subprocess.run([program, *arguments], capture_output=True, timeout=_TIMEOUT_SECONDS, check=False)
    if said.returncode != 0 or not target.is_file():
        raise _UsageError(f"{program} took no picture: {said.stderr.decode(errors='replace')[-400:]}")
