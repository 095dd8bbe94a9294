"""Page: one HTML file that holds a timeline and everything that shows it. It loads nothing from anywhere.

What comes from a trace goes in as JSON, in which no `<` is left; the scripts put it on the page as text.
"""

from __future__ import annotations

import html
import json
from importlib.resources import files
from typing import Final

from rafttest.view.encoding import encode
from rafttest.view.timeline import Timeline

SCRIPTS: Final = (
    "model.js",
    "words.js",
    "theme.js",
    "axis.js",
    "arrows.js",
    "signs.js",
    "ruler.js",
    "lanes.js",
    "overview.js",
    "panels.js",
    "help.js",
    "page.js",
)
"""Each uses what those before it define."""


def page(timeline: Timeline) -> str:
    """The page of a timeline. The same timeline gives the same text."""
    data = json.dumps(encode(timeline), separators=(",", ":")).replace("<", "\\u003c")
    script = "\n".join(_asset(name) for name in SCRIPTS)
    parts = {"title": html.escape(timeline.title), "style": _asset("page.css"), "data": data, "script": script}
    return "".join([parts.get(piece, piece) for piece in _pieces(_asset("page.html"), parts)])


def _pieces(template: str, names: dict[str, str]) -> list[str]:
    """The template, cut so that each name in double braces is a piece; what is filled in is not looked at again."""
    pieces = [template]
    for name in names:
        (place,) = [at for at, piece in enumerate(pieces) if f"{{{{{name}}}}}" in piece]
        before, _, after = pieces[place].partition(f"{{{{{name}}}}}")
        pieces[place : place + 1] = [before, name, after]
    return pieces


def _asset(name: str) -> str:
    return (files("rafttest.view") / "assets" / name).read_text(encoding="utf-8").rstrip("\n")
