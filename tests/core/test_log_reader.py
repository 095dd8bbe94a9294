"""How the log reads a Storage of the user's, and what it does not believe."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pyraft import CompactedError, MemoryStorage, SnapshotUnavailableError, StorageError, UnavailableError
from pyraft.log_reader import UNKNOWN, LogReader, StorageAdapter, reader_of
from pyraft.types import MAX_INTEGER, NO_LIMIT
from raftpb.enums import ENTRY_NORMAL
from raftpb.message import ConfState, Entry, HardState, Snapshot


def run(first: int, *terms: int) -> list[Entry]:
    return [Entry(ENTRY_NORMAL, term, index) for index, term in enumerate(terms, first)]


class Scripted:
    """A Storage that gives, or raises, whatever it was told to."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def _give(self, *_: object) -> object:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    initial_state = entries = term = first_index = last_index = snapshot = _give


def adapter(answer: object) -> StorageAdapter:
    return StorageAdapter(Scripted(answer))  # type: ignore[arg-type]


ASKED: dict[str, Callable[[LogReader], object]] = {
    "initial_state": lambda source: source.initial_state(),
    "first_index": lambda source: source.first_index(),
    "last_index": lambda source: source.last_index(),
    "term": lambda source: source.term_or_unknown(7),
    "entries": lambda source: source.entries_or_none(3, 6, NO_LIMIT),
    "snapshot": lambda source: source.snapshot_or_none(),
}


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        pytest.param("initial_state", (HardState(1), ConfState((1,))), (HardState(1), ConfState((1,))), id="state"),
        pytest.param("first_index", 1, 1, id="an index"),
        pytest.param("last_index", 0, 0, id="the lowest index"),
        pytest.param("last_index", MAX_INTEGER, MAX_INTEGER, id="the highest index"),
        pytest.param("term", 4, 4, id="a term"),
        pytest.param("term", CompactedError(), UNKNOWN, id="the term is gone"),
        pytest.param("term", UnavailableError(), UNKNOWN, id="the term is not there yet"),
        pytest.param("entries", run(3, 1, 1, 1), run(3, 1, 1, 1), id="all entries"),
        pytest.param("entries", run(3, 1), run(3, 1), id="some entries"),
        pytest.param("entries", CompactedError(), None, id="the entries are gone"),
        pytest.param("snapshot", Snapshot(b"x"), Snapshot(b"x"), id="a snapshot"),
        pytest.param("snapshot", SnapshotUnavailableError(), None, id="the snapshot is being made"),
    ],
)
def test_answers(question: str, answer: object, expected: object) -> None:
    assert ASKED[question](adapter(answer)) == expected


@pytest.mark.parametrize(
    ("question", "answer", "text"),
    [
        pytest.param(
            "initial_state", (None, ConfState()), r"^Storage.initial_state\(\) gave \(None, ConfState", id="no state"
        ),
        pytest.param("initial_state", (HardState(), None), "expected a HardState and a ConfState", id="no members"),
        pytest.param(
            "first_index", None, r"^Storage.first_index\(\) gave None; expected an integer", id="no first index"
        ),
        pytest.param("first_index", -1, r"first_index\(\) gave -1", id="an index below 0"),
        pytest.param("last_index", 2**63, r"last_index\(\) gave 9223372036854775808", id="an index too large"),
        pytest.param("last_index", 1.0, r"last_index\(\) gave 1.0", id="an index that is a float"),
        pytest.param("term", -1, r"term\(7\) gave -1", id="a term below 0"),
        pytest.param("term", "4", r"term\(7\) gave '4'", id="a term that is text"),
        pytest.param("entries", [], r"^Storage.entries\(3, 6, \d+\) did not give", id="no entries"),
        pytest.param("entries", run(2, 1, 1), "entries from 3 on", id="entries from before"),
        pytest.param("entries", run(4, 1, 1), "entries from 3 on", id="entries from after"),
        pytest.param("entries", run(3, 1, 1, 1, 1), "entries from 3 on", id="too many entries"),
        pytest.param("entries", [*run(3, 1), *run(5, 1)], "entries from 3 on", id="entries with a gap"),
        pytest.param("snapshot", None, r"^Storage.snapshot\(\) gave None; expected a Snapshot", id="no snapshot"),
        pytest.param("initial_state", HardState(), r"gave HardState\(", id="half of the state"),
        pytest.param("entries", None, r"gave None; expected a list of entries", id="no list"),
        pytest.param(
            "entries", [*run(3, 1), None], r"gave None in its list; expected Entry", id="a list of other things"
        ),
    ],
)
def test_answers_that_cannot_be_are_an_error(question: str, answer: object, text: str) -> None:
    """In both builds with the same text."""
    with pytest.raises(StorageError, match=text):
        ASKED[question](adapter(answer))


@pytest.mark.parametrize("question", ASKED)
@pytest.mark.parametrize("error", [OSError("disk"), StorageError("own"), KeyError("bug")], ids=repr)
def test_any_other_error_passes_through(question: str, error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        ASKED[question](adapter(error))
    assert raised.value is error


def test_entries_that_are_missing_are_an_error_of_the_storage() -> None:
    with pytest.raises(UnavailableError):
        ASKED["entries"](adapter(UnavailableError()))


@pytest.mark.parametrize("question", ASKED)
def test_a_source_by_itself_knows_nothing(question: str) -> None:
    with pytest.raises(NotImplementedError):
        ASKED[question](LogReader())


def test_memory_is_read_without_an_adapter() -> None:
    memory = MemoryStorage()
    assert reader_of(memory) is memory
    assert isinstance(reader_of(Scripted(0)), StorageAdapter)  # type: ignore[arg-type]
