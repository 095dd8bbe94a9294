"""One follower's Progress: its three states, what answers do to it, and how it prints."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyraft.errors import InvariantError
from pyraft.tracker.inflights import Inflights
from pyraft.tracker.progress import PROBE, REPLICATE, SNAPSHOT, Progress, ProgressState
from pyraft.types import NO_LIMIT

INDEXES = st.integers(min_value=0, max_value=12)


def make(
    state: ProgressState = PROBE,
    match: int = 0,
    next: int = 1,
    *,
    under_way: tuple[int, ...] = (),
    window: int = 3,
    pending_snapshot: int = 0,
    sent_commit: int = 0,
    flow_paused: bool = False,
    is_learner: bool = False,
    recent_active: bool = True,
) -> Progress:
    inflights = Inflights(window, NO_LIMIT, [(index, 1) for index in under_way])
    return Progress(
        1, match, next, inflights, is_learner, recent_active, state, sent_commit, pending_snapshot, flow_paused
    )


@st.composite
def progresses(draw: st.DrawFn) -> Progress:
    """Any Progress that obeys the laws of the module."""
    state = draw(st.sampled_from([PROBE, REPLICATE, SNAPSHOT]))
    match = draw(INDEXES)
    next_index = match + draw(st.integers(1, 6))
    pending = 0
    under_way: tuple[int, ...] = ()
    if state is REPLICATE:
        under_way = tuple(range(match + 1, next_index))
    if state is SNAPSHOT:
        pending = next_index - 1
    return make(
        state,
        match,
        next_index,
        under_way=under_way,
        window=9,
        pending_snapshot=pending,
        sent_commit=draw(INDEXES),
        flow_paused=draw(st.booleans()),
    )


@pytest.mark.parametrize(
    ("before", "next", "sent_commit"),
    [
        pytest.param(make(REPLICATE, 1, 5, under_way=(3, 4), sent_commit=4), 2, 1, id="from replicate"),
        pytest.param(make(REPLICATE, 3, 5, under_way=(4,), sent_commit=2), 4, 2, id="a low commit index stays"),
        pytest.param(make(PROBE, 1, 9, flow_paused=True), 2, 0, id="from probe"),
        pytest.param(make(SNAPSHOT, 1, 11, pending_snapshot=10, sent_commit=10), 11, 10, id="after the snapshot"),
        pytest.param(make(SNAPSHOT, 1, 11, pending_snapshot=0, sent_commit=10), 2, 1, id="after a failed snapshot"),
        pytest.param(make(SNAPSHOT, 12, 13, pending_snapshot=10, sent_commit=10), 13, 10, id="beyond the snapshot"),
    ],
)
def test_become_probe(before: Progress, next: int, sent_commit: int) -> None:
    progress = before.clone()
    progress.become_probe()
    assert progress == make(PROBE, before.match, next, sent_commit=sent_commit)


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(make(PROBE, 4, 9, sent_commit=3, flow_paused=True), id="probe"),
        pytest.param(make(REPLICATE, 4, 7, under_way=(5, 6), sent_commit=3), id="replicate"),
        pytest.param(make(SNAPSHOT, 4, 21, pending_snapshot=20, sent_commit=20), id="snapshot"),
        pytest.param(make(PROBE, 4, 9, is_learner=True, recent_active=False), id="learner"),
    ],
)
def test_restart_forgets_all_but_the_members_place(before: Progress) -> None:
    progress = before.clone()
    progress.restart(8)
    assert progress == make(PROBE, 0, 8, is_learner=before.is_learner, recent_active=False)


def test_become_replicate() -> None:
    progress = make(PROBE, 4, 9, sent_commit=3, flow_paused=True)
    progress.become_replicate()
    assert progress == make(REPLICATE, 4, 5, sent_commit=3)


def test_become_snapshot() -> None:
    progress = make(REPLICATE, 4, 7, under_way=(5, 6), sent_commit=3, flow_paused=True)
    progress.become_snapshot(20)
    assert progress == make(SNAPSHOT, 4, 21, pending_snapshot=20, sent_commit=20)


@pytest.mark.parametrize(
    ("before", "count", "after"),
    [
        pytest.param(make(PROBE, 1, 3), 2, make(PROBE, 1, 3, flow_paused=True), id="one probe, then a pause"),
        pytest.param(make(PROBE, 1, 3), 0, make(PROBE, 1, 3), id="an empty probe does not pause"),
        pytest.param(
            make(PROBE, 1, 3, flow_paused=True), 0, make(PROBE, 1, 3, flow_paused=True), id="nor does it unpause"
        ),
        pytest.param(
            make(REPLICATE, 1, 2), 3, make(REPLICATE, 1, 5, under_way=(4,)), id="replicate remembers the last index"
        ),
        pytest.param(
            make(REPLICATE, 1, 4, under_way=(2, 3)),
            1,
            make(REPLICATE, 1, 5, under_way=(2, 3, 4), flow_paused=True),
            id="a full window pauses",
        ),
        pytest.param(
            make(REPLICATE, 1, 5, under_way=(2, 3, 4)),
            0,
            make(REPLICATE, 1, 5, under_way=(2, 3, 4), flow_paused=True),
            id="an empty message into a full window pauses again",
        ),
        pytest.param(
            make(REPLICATE, 1, 4, under_way=(3,), flow_paused=True),
            0,
            make(REPLICATE, 1, 4, under_way=(3,)),
            id="an empty message into an open window unpauses",
        ),
    ],
)
def test_sent_entries(before: Progress, count: int, after: Progress) -> None:
    progress = before.clone()
    progress.sent_entries(count, 1)
    assert progress == after


def test_the_size_of_what_was_sent_fills_the_window() -> None:
    progress = Progress(1, 0, 1, Inflights(9, 100))
    progress.become_replicate()
    progress.sent_entries(1, 99)
    assert not progress.is_paused()
    progress.sent_entries(1, 1)
    assert progress.is_paused()
    assert progress.inflights.entries() == [(1, 99), (2, 1)]


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_is_sent_to_a_follower_that_waits_for_a_snapshot(count: int) -> None:
    progress = make(SNAPSHOT, 1, 11, pending_snapshot=10)
    with pytest.raises(InvariantError, match=r"^entries were sent to 1, which waits for a snapshot$"):
        progress.sent_entries(count, 1)


@pytest.mark.parametrize(
    ("sent_commit", "next", "index", "could"),
    [
        pytest.param(3, 9, 4, True, id="news, and entries under way"),
        pytest.param(3, 9, 3, False, id="told already"),
        pytest.param(3, 9, 2, False, id="told more already"),
        pytest.param(3, 5, 9, True, id="one entry above what it was told"),
        pytest.param(3, 4, 9, False, id="nothing above what it was told"),
    ],
)
def test_can_bump_commit(sent_commit: int, next: int, index: int, could: bool) -> None:
    assert make(REPLICATE, 0, next, sent_commit=sent_commit).can_bump_commit(index) is could


@pytest.mark.parametrize(
    ("index", "changed", "after"),
    [
        pytest.param(2, False, make(PROBE, 3, 5, flow_paused=True), id="older"),
        pytest.param(3, False, make(PROBE, 3, 5, flow_paused=True), id="known"),
        pytest.param(4, True, make(PROBE, 4, 5), id="below next"),
        pytest.param(5, True, make(PROBE, 5, 6), id="at next"),
        pytest.param(8, True, make(PROBE, 8, 9), id="beyond next"),
    ],
)
def test_maybe_update(index: int, changed: bool, after: Progress) -> None:
    progress = make(PROBE, 3, 5, flow_paused=True)
    assert progress.maybe_update(index) is changed
    assert progress == after


@pytest.mark.parametrize("state", [PROBE, SNAPSHOT])
@pytest.mark.parametrize(
    ("match", "next", "rejected", "hint", "becomes"),
    [
        pytest.param(0, 10, 8, 8, None, id="an older probe"),
        pytest.param(0, 10, 10, 10, None, id="beyond what was sent"),
        pytest.param(0, 10, 9, 9, 9, id="one step back"),
        pytest.param(0, 10, 9, 2, 3, id="after the hint"),
        pytest.param(0, 10, 9, 8, 9, id="the hint just below"),
        pytest.param(0, 10, 9, 50, 9, id="a hint ahead does not lead forwards"),
        pytest.param(5, 10, 9, 2, 6, id="not below what is known to match"),
        pytest.param(0, 1, 0, 0, 1, id="not below the first entry"),
    ],
)
def test_maybe_decrease_while_searching(
    state: ProgressState, match: int, next: int, rejected: int, hint: int, becomes: int | None
) -> None:
    before = make(state, match, next, sent_commit=7, flow_paused=True)
    progress = before.clone()
    assert progress.maybe_decrease(rejected, hint) is (becomes is not None)
    if becomes is None:
        assert progress == before
    else:
        assert progress == make(state, match, becomes, sent_commit=min(7, becomes - 1))


@pytest.mark.parametrize(
    ("rejected", "accepted"),
    [
        pytest.param(4, False, id="below match"),
        pytest.param(5, False, id="at match"),
        pytest.param(6, True, id="above match"),
        pytest.param(9, True, id="the last sent"),
    ],
)
def test_maybe_decrease_while_replicating_restarts_after_match(rejected: int, accepted: bool) -> None:
    before = make(REPLICATE, 5, 10, under_way=(7, 9), sent_commit=8, flow_paused=True)
    progress = before.clone()
    assert progress.maybe_decrease(rejected, 1) is accepted
    if accepted:
        assert progress == make(REPLICATE, 5, 6, under_way=(7, 9), sent_commit=5, flow_paused=True)
    else:
        assert progress == before


@pytest.mark.parametrize(
    ("progress", "paused"),
    [
        pytest.param(make(PROBE), False, id="probe"),
        pytest.param(make(PROBE, flow_paused=True), True, id="probe paused"),
        pytest.param(make(REPLICATE), False, id="replicate"),
        pytest.param(make(REPLICATE, flow_paused=True), True, id="replicate paused"),
        pytest.param(make(SNAPSHOT), True, id="snapshot"),
        pytest.param(make(SNAPSHOT, flow_paused=True), True, id="snapshot paused"),
    ],
)
def test_is_paused(progress: Progress, paused: bool) -> None:
    assert progress.is_paused() is paused


@given(progresses(), INDEXES, INDEXES)
def test_match_stays_below_next_and_never_falls(before: Progress, index: int, hint: int) -> None:
    for action in ("update", "decrease", "probe", "replicate", "snapshot"):
        progress = before.clone()
        if action == "update":
            assert progress.maybe_update(index) is (index > before.match)
        elif action == "decrease":
            if progress.maybe_decrease(index, hint):
                assert progress.next <= before.next
                assert progress.sent_commit < progress.next
            else:
                assert progress == before
        elif action == "probe":
            progress.become_probe()
        elif action == "replicate":
            progress.become_replicate()
        else:
            progress.become_snapshot(before.match + 1 + index)
        assert before.match <= progress.match < progress.next


@given(st.integers(0, 12), st.integers(0, 12), st.data())
def test_probing_finds_where_two_logs_part(length: int, agree: int, data: st.DataObject) -> None:
    """A follower that agrees up to an index below `length` and answers honestly is found in finitely many probes."""
    agree = min(agree, length)
    progress = make(PROBE, 0, length + 1)
    for _ in range(length + 1):
        if progress.next - 1 <= agree:
            break
        hint = data.draw(st.integers(agree, progress.next - 1), label="hint")
        assert progress.maybe_decrease(progress.next - 1, hint)
    assert progress.next - 1 <= agree


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        pytest.param(make(PROBE, 0, 1), "StateProbe match=0 next=1", id="plain"),
        pytest.param(make(PROBE, 0, 1, is_learner=True), "StateProbe match=0 next=1 learner", id="learner"),
        pytest.param(make(PROBE, 0, 1, recent_active=False), "StateProbe match=0 next=1 inactive", id="inactive"),
        pytest.param(
            make(REPLICATE, 11, 14, under_way=(12, 13)), "StateReplicate match=11 next=14 inflight=2", id="window"
        ),
        pytest.param(
            make(REPLICATE, 11, 15, under_way=(12, 13, 14), flow_paused=True),
            "StateReplicate match=11 next=15 paused inflight=3[full]",
            id="full window",
        ),
        pytest.param(
            make(SNAPSHOT, 0, 6, pending_snapshot=5),
            "StateSnapshot match=0 next=6 paused pendingSnap=5",
            id="snapshot",
        ),
        pytest.param(
            make(SNAPSHOT, 1, 6, under_way=(4,), pending_snapshot=5, is_learner=True, recent_active=False),
            "StateSnapshot match=1 next=6 learner paused pendingSnap=5 inactive inflight=1",
            id="everything, in order",
        ),
    ],
)
def test_it_prints_as_in_the_reference(progress: Progress, text: str) -> None:
    assert str(progress) == text


def test_states_are_those_of_the_reference() -> None:
    numbers = {str(state): int(state) for state in ProgressState}
    assert numbers == {"StateProbe": 0, "StateReplicate": 1, "StateSnapshot": 2}


def test_a_new_progress_probes_a_voter_that_was_not_heard_of() -> None:
    assert Progress(1, 4, 9, Inflights(3)) == make(PROBE, 4, 9, recent_active=False)


def test_repr_names_every_field() -> None:
    assert repr(make(PROBE, 2, 3, under_way=(3,), window=4, sent_commit=1)) == (
        f"Progress(id=1, match=2, next=3, inflights=Inflights(4, {NO_LIMIT}, [(3, 1)]), is_learner=False, "
        "recent_active=True, state=StateProbe, sent_commit=1, pending_snapshot=0, flow_paused=False)"
    )


def test_a_clone_is_equal_and_apart() -> None:
    progress = make(REPLICATE, 1, 3, under_way=(2,), sent_commit=1, is_learner=True)
    twin = progress.clone()
    assert twin == progress
    twin.sent_entries(1, 1)
    assert twin != progress
    assert progress == make(REPLICATE, 1, 3, under_way=(2,), sent_commit=1, is_learner=True)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(Progress(2, 0, 1, Inflights(3), recent_active=True), id="id"),
        pytest.param(make(match=1), id="match"),
        pytest.param(make(next=2), id="next"),
        pytest.param(make(under_way=(1,)), id="inflights"),
        pytest.param(make(is_learner=True), id="is_learner"),
        pytest.param(make(recent_active=False), id="recent_active"),
        pytest.param(make(REPLICATE), id="state"),
        pytest.param(make(sent_commit=1), id="sent_commit"),
        pytest.param(make(pending_snapshot=1), id="pending_snapshot"),
        pytest.param(make(flow_paused=True), id="flow_paused"),
        pytest.param("a progress", id="type"),
    ],
)
def test_equality_looks_at_every_field(other: object) -> None:
    assert make() == make()
    assert make() != other


def test_it_is_not_hashable() -> None:
    with pytest.raises(TypeError):
        hash(make())


@given(progresses())
def test_it_travels_whole(progress: Progress) -> None:
    assert pickle.loads(pickle.dumps(progress)) == progress
    assert copy.deepcopy(progress) == progress
