"""The words of the glossary: what is refused is found, with the better word, and the tree has none of it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if not (ROOT / ".git").exists():
    pytest.skip("needs the checkout: the words of every file that git tracks", allow_module_level=True)
sys.path.insert(0, str(ROOT / "tests"))

import words  # noqa: E402


@pytest.mark.parametrize(
    ("text", "better"),
    [
        pytest.param("The door of the core.", "validation", id="a picture"),
        pytest.param('raise TypeError(f"count is {count!r}; a number is due")', "expected X, got Y", id="an error"),
        pytest.param("Reads leave. Laws: none is lost.", "Invariants", id="a heading"),
        pytest.param("Config(hold_vote_requests=True)", "persist_before_vote_request", id="an old knob"),
    ],
)
def test_a_refused_word_is_found_and_the_better_one_named(text: str, better: str) -> None:
    (found,) = words.find("some.py", "first line\n" + text)
    assert found.line == 2
    assert better in str(found)


@pytest.mark.parametrize("text", ["no room for two", "outdoors", "the markerless", "a name of its own"])
def test_other_words_pass(text: str) -> None:
    assert list(words.find("some.py", text)) == []


def test_a_docstring_of_the_library_begins_with_a_verb_or_a_noun() -> None:
    (found,) = words.find("pyraft/some.py", 'def f():\n    """What it gives."""\n')
    assert (found.line, found.better) == (2, "a verb and its object, or what the value is")
    assert list(words.find("tests/some.py", '"""What it gives."""')) == []


def test_the_tree_has_none() -> None:
    assert words.main() == 0


def test_the_glossary_lists_what_is_refused() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    listed = " ".join(word for word, _ in rows).lower()
    for sample in ("door", "handout", "room", "house", "surroundings", "sighting", "amnesia", "healing", "parcel"):
        assert sample in listed
