"""Names and sizes that everything shares."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyraft.types import (
    NO_LIMIT,
    ReadOnlyOption,
    Role,
    SnapshotStatus,
    encoded_size,
    limited_slice,
    payload_size,
)
from raftpb.codec import encode_conf_change, encode_conf_change_v2
from raftpb.confchange import AnyConfChange, ConfChange, ConfChangeV2, parse_changes
from raftpb.enums import ADD_NODE, ENTRY_CONF_CHANGE, ENTRY_CONF_CHANGE_V2, ENTRY_NORMAL
from raftpb.message import Entry


@pytest.mark.parametrize(
    ("member", "name", "number"),
    [
        (Role.StateFollower, "StateFollower", 0),
        (Role.StateCandidate, "StateCandidate", 1),
        (Role.StateLeader, "StateLeader", 2),
        (Role.StatePreCandidate, "StatePreCandidate", 3),
        (ReadOnlyOption.ReadOnlySafe, "ReadOnlySafe", 0),
        (ReadOnlyOption.ReadOnlyLeaseBased, "ReadOnlyLeaseBased", 1),
        (SnapshotStatus.SnapshotFinish, "SnapshotFinish", 1),
        (SnapshotStatus.SnapshotFailure, "SnapshotFailure", 2),
    ],
)
def test_names_and_numbers_are_the_references(
    member: Role | ReadOnlyOption | SnapshotStatus, name: str, number: int
) -> None:
    assert (str(member), f"{member}", member) == (name, name, number)


def entry_of(change: AnyConfChange) -> Entry:
    if isinstance(change, ConfChange):
        return Entry(ENTRY_CONF_CHANGE, 1, 1, encode_conf_change(change))
    return Entry(ENTRY_CONF_CHANGE_V2, 1, 1, encode_conf_change_v2(change))


@pytest.mark.parametrize(
    ("entry", "encoded", "payload"),
    [
        pytest.param(Entry(ENTRY_NORMAL, 1, 1), 4, 0, id="empty"),
        pytest.param(Entry(ENTRY_NORMAL, 1, 1, b"foo"), 9, 3, id="a proposal"),
        pytest.param(Entry(ENTRY_NORMAL, 128, 1, b"foo"), 10, 3, id="a term of two bytes"),
        pytest.param(Entry(ENTRY_NORMAL, 1, 2**14, b"foo"), 11, 3, id="an index of three bytes"),
        pytest.param(Entry(ENTRY_NORMAL, 1, 1, bytes(128)), 135, 128, id="a length of two bytes"),
        pytest.param(Entry(ENTRY_CONF_CHANGE_V2, 1, 1), 6, 0, id="leaving a joint configuration"),
        pytest.param(entry_of(ConfChange(ADD_NODE, 4)), 12, 4, id="a change of one node"),
        pytest.param(entry_of(ConfChangeV2()), 10, 2, id="a V2 change without steps"),
        pytest.param(entry_of(ConfChangeV2(parse_changes("v1"))), 16, 8, id="a V2 change of one step"),
        pytest.param(entry_of(ConfChangeV2(parse_changes("v1 r2"))), 22, 14, id="a V2 change of two steps"),
    ],
)
def test_the_two_units(entry: Entry, encoded: int, payload: int) -> None:
    assert encoded_size([entry]) == encoded
    assert payload_size([entry]) == payload
    assert encoded_size([entry] * 3) == 3 * encoded
    assert payload_size([entry] * 3) == 3 * payload


def test_no_entries_have_no_size() -> None:
    assert encoded_size([]) == payload_size([]) == 0


@given(
    st.lists(st.integers(0, 9), max_size=8),
    st.integers(0, 8),
    st.integers(0, 8),
    st.one_of(st.none(), st.tuples(st.integers(0, 8), st.integers(-1, 1))),
)
def test_limited_slice(lengths: list[int], start: int, stop: int, fits: tuple[int, int] | None) -> None:
    """The longest beginning within the limit, but one entry if there is any; limits about the size of some entries."""
    stop = min(stop, len(lengths))
    start = min(start, stop)
    entries = [Entry(ENTRY_NORMAL, 1, index, bytes(length)) for index, length in enumerate(lengths, 1)]
    asked = entries[start:stop]
    limit = NO_LIMIT if fits is None else max(encoded_size(asked[: fits[0]]) + fits[1], 0)
    fitting = [count for count in range(len(asked) + 1) if encoded_size(asked[:count]) <= limit]
    found = limited_slice(entries, start, stop, limit)
    assert found == asked[: max(*fitting, min(1, len(asked)))]
    assert found is not entries
