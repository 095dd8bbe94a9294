"""How much a leader takes on, against plain sums."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyraft.quota import UncommittedQuota


@pytest.mark.parametrize(
    ("taken", "size", "admitted"),
    [
        pytest.param(0, 4, True, id="within the limit"),
        pytest.param(0, 11, True, id="the first, however large"),
        pytest.param(6, 4, True, id="up to the limit"),
        pytest.param(6, 5, False, id="beyond the limit"),
        pytest.param(10, 0, True, id="nothing, at the limit"),
        pytest.param(11, 0, True, id="nothing, beyond the limit"),
        pytest.param(1, 10, False, id="too large for what is left"),
    ],
)
def test_admit(taken: int, size: int, admitted: bool) -> None:
    quota = UncommittedQuota(10)
    quota.admit(taken)
    assert quota.admit(size) is admitted
    assert quota.size == (taken + size if admitted else taken)


def test_more_may_be_released_than_was_taken() -> None:
    """What is applied may have been appended under another leader."""
    quota = UncommittedQuota(10)
    quota.admit(4)
    quota.release(3)
    assert quota.size == 1
    quota.release(9)
    assert quota.size == 0


def test_a_new_role_counts_from_nothing() -> None:
    quota = UncommittedQuota(10)
    quota.admit(9)
    quota.reset()
    assert quota.size == 0
    assert quota.admit(10)


@given(st.integers(1, 30), st.lists(st.tuples(st.booleans(), st.integers(0, 20))))
def test_it_never_wedges_and_never_exceeds_by_more_than_one(limit: int, calls: list[tuple[bool, int]]) -> None:
    quota = UncommittedQuota(limit)
    taken: list[int] = []
    for adds, size in calls:
        if adds:
            if quota.admit(size):
                taken.append(size)
            else:
                assert sum(taken) + size > limit
        elif taken:
            quota.release(taken.pop(0))
        assert quota.size == sum(taken)
        assert quota.size <= limit or len([one for one in taken if one]) == 1
