"""The viewer's page in a real browser: headless Chromium. Skipped, with a line that says so, where there is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from chromium import SHIFT, Browser

from pyraft import Role
from raftpb.enums import MSG_APP, MSG_APP_RESP
from raftpb.message import Entry, Message
from rafttest.__main__ import main
from rafttest.cli.view import find_chromium
from rafttest.view.from_trace import timeline_of_trace
from rafttest.view.log import SharedLog
from rafttest.view.page import page
from rafttest.view.timeline import WORLD, Kind, NodeState, Recorder, Timeline

CHROMIUM: Final = find_chromium()

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on PATH to open the page in")

TRACES: Final = Path(__file__).parents[1] / "traces" / "interaction"

HOSTILE: Final = "</script><script>hacked()</script><img>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(CHROMIUM or "", tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(autouse=True)
def quiet(browser: Browser) -> Iterator[None]:
    """No page complains, and none asks for anything but itself."""
    browser.complaints.clear()
    browser.requests.clear()
    yield
    assert browser.complaints == []
    assert [address for address in browser.requests if not address.startswith("file:///")] == []


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Timeline, Path]:
    """Figure 8: five nodes, four terms, several messages dropped."""
    timeline = timeline_of_trace(TRACES / "older_term_commit_fig8.txt")
    return timeline, written(tmp_path_factory.mktemp("small"), timeline)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Timeline, Path]:
    timeline = made_up(12_000)
    return timeline, written(tmp_path_factory.mktemp("large"), timeline)


def written(folder: Path, timeline: Timeline) -> Path:
    (folder / "page.html").write_text(page(timeline), encoding="utf-8")
    return folder / "page.html"


def made_up(count: int) -> Timeline:
    """At least `count` events of five nodes; 1 leads, 2 to 5 crash now and then, each seventh message is lost."""
    timeline = Timeline("made up", unit="tick", moments_per_tick=100)
    logs: dict[int, list[Entry]] = {node: [] for node in range(1, 6)}
    down: set[int] = set()

    def look(node: int) -> NodeState:
        last = len(logs[node])
        return NodeState(
            is_up=node not in down,
            role=Role.StateLeader if node == 1 else Role.StateFollower,
            term=1 + last // 30,
            vote=1,
            leader=1,
            commit=last,
            applied=last,
            stable=last,
            log=SharedLog(1, logs[node]),
            conf="voters=(1 2 3 4 5)",
        )

    recorder = Recorder(timeline, look)
    for node in logs:
        recorder.add(Kind.START, 0, node, "start")
    round = 0
    while len(timeline.events) < count:
        round += 1
        moment, node = 10 * round, 2 + round % 4
        if round % 10 == 0:
            logs[1].append(Entry(term=1 + len(logs[1]) // 30, index=len(logs[1]) + 1))
        m = Message(MSG_APP, to=node, from_=1, term=1, index=round)
        recorder.sent(moment, m)
        if round % 7 == 0:
            recorder.arrived(Kind.LOSE, moment + 3, m)
            continue
        recorder.arrived(Kind.RECEIVE, moment + 3, m)
        logs[node] = list(logs[1])
        answer = Message(MSG_APP_RESP, to=1, from_=node, term=1, index=round)
        recorder.sent(moment + 4, answer)
        recorder.arrived(Kind.RECEIVE, moment + 7, answer)
        if round % 100 == 0:
            recorder.add(Kind.CRASH, moment + 8, node, "crash")
            down.add(node)
            recorder.add(Kind.START, moment + 9, node, "restart")
            down.discard(node)
    recorder.add(Kind.VIOLATION, moment + 10, WORLD, "S1: made up")
    recorder.settle()
    return timeline


def cursor(browser: Browser) -> int:
    return int(str(browser.run("raftView.cursor")))


def drawn(browser: Browser, what: str) -> int:
    return int(str(browser.run(f"raftView.lanes.drawn.{what}")))


def shown_numbers(browser: Browser) -> list[int]:
    numbers = browser.run("raftView.shown")
    assert isinstance(numbers, list)
    return numbers


def table(browser: Browser, node: int) -> dict[str, str]:
    """What the table says about a node."""
    cells = browser.run(
        f"""Object.fromEntries([
            ["role", document.querySelector('tr[data-node="{node}"] .badge')?.textContent ?? ""],
            ["term", document.querySelector('tr[data-node="{node}"] .term')?.textContent ?? ""],
            ["log", [...document.querySelectorAll('tr[data-node="{node}"] .log span')]
                .map((e) => e.textContent).join(" ")],
            ...[...document.querySelectorAll('tr[data-node="{node}"] [data-field]')]
                .map((e) => [e.dataset.field, e.textContent]),
        ])"""
    )
    assert isinstance(cells, dict)
    return {str(name): str(text) for name, text in cells.items()}


def text_of(browser: Browser, selector: str) -> str:
    return str(browser.run(f"document.querySelector({json.dumps(selector)}).textContent"))


# -- the cursor


def test_stepping_moves_the_cursor_and_the_table(browser: Browser, small: tuple[Timeline, Path]) -> None:
    timeline, path = small
    browser.open(path)
    assert cursor(browser) == 0
    turn = next(at for at, event in enumerate(timeline.events) if event.state and event.state.role is Role.StateLeader)
    for _ in range(turn - 1):
        browser.press("ArrowRight")
    assert table(browser, 1)["role"] == "candidate"
    browser.press("ArrowRight")
    assert cursor(browser) == turn
    assert f"event {turn} of {len(timeline.events) - 1}" == text_of(browser, "#place")
    assert table(browser, 1) == {
        "role": "leader",
        "term": "1",
        "vote": "1",
        "leader": "1",
        "commit": "4",
        "applied": "4",
        "last": "5",
        "log": "1",
    }
    browser.press("ArrowLeft")
    assert table(browser, 1)["role"] == "candidate"


def test_the_table_is_the_state_at_every_event(browser: Browser, small: tuple[Timeline, Path]) -> None:
    timeline, path = small
    browser.open(path)
    known: dict[int, NodeState] = {}
    for at, event in enumerate(timeline.events):
        if event.state is not None:
            known[event.node] = event.state
        if at % 19 != 0:
            continue
        browser.run(f"raftView.goTo({at})")
        for node, state in known.items():
            told = table(browser, node)
            assert (told["term"], told["commit"], told["applied"], told["last"]) == tuple(
                str(number) for number in (state.term, state.commit, state.applied, state.last)
            )
            terms = [text.split(" ")[0] for text in told["log"].split(" ") if text.isdigit()]
            assert terms == [str(entry.term) for entry in state.log]


@pytest.mark.parametrize(
    ("key", "modifiers", "expected"),
    [
        ("End", 0, 208),
        ("Home", 0, 0),
        ("ArrowRight", SHIFT, 17),
        ("n", 0, 8),
        ("m", 0, 8),
        ("M", SHIFT, 6),
        ("3", 0, 12),
        ("f", 0, 11),
        ("e", 0, 11),
        ("ArrowDown", 0, 1),
    ],
    ids=["end", "home", "ten", "same type", "same node", "back", "node 3", "follow", "turn", "lane below"],
)
def test_keys_move_the_cursor(
    browser: Browser, small: tuple[Timeline, Path], key: str, modifiers: int, expected: int
) -> None:
    _, path = small
    browser.open(path, "#event=7")
    browser.press(key, modifiers)
    assert cursor(browser) == expected


def test_a_link_opens_at_its_event(browser: Browser, small: tuple[Timeline, Path]) -> None:
    _, path = small
    browser.open(path, "#event=130")
    assert cursor(browser) == 130
    assert text_of(browser, "#detail h2") == "5 \u2192 1 MsgVoteResp"
    assert text_of(browser, ".row.cursor .number") == "130"
    browser.press("ArrowRight")
    assert browser.run("location.hash") == "#event=131"


def test_a_message_leads_to_its_other_end(browser: Browser, small: tuple[Timeline, Path]) -> None:
    _, path = small
    browser.open(path, "#event=130")
    browser.click('#detail a[href="#event=133"]')
    assert cursor(browser) == 133


# -- search and filters


def test_a_search_leaves_what_matches(browser: Browser, small: tuple[Timeline, Path]) -> None:
    timeline, path = small
    browser.open(path)
    browser.press("/")
    browser.type("MsgVote term:3")
    votes = [
        at
        for at, event in enumerate(timeline.events)
        if event.message is not None
        and timeline.messages[event.message].term == 3
        and timeline.messages[event.message].type.name in {"MsgVote", "MsgVoteResp"}
    ]
    assert shown_numbers(browser) == votes
    browser.press("Enter")
    assert cursor(browser) == votes[0]
    browser.press("Enter")
    assert cursor(browser) == votes[1]
    browser.press("Escape")
    assert len(shown_numbers(browser)) == len(timeline.events)


def test_a_search_that_finds_nothing_says_so(browser: Browser, small: tuple[Timeline, Path]) -> None:
    _, path = small
    browser.open(path)
    browser.press("/")
    browser.type("nonsense")
    assert shown_numbers(browser) == []
    assert text_of(browser, "#list") == "No event matches. Esc clears the search."


def test_a_chip_hides_a_type_and_alone_shows_only_it(browser: Browser, small: tuple[Timeline, Path]) -> None:
    timeline, path = small
    browser.open(path)
    of_type = [
        at
        for at, event in enumerate(timeline.events)
        if event.message is not None and timeline.messages[event.message].type.name == "MsgApp"
    ]
    browser.click('[data-filter="MsgApp"]')
    assert shown_numbers(browser) == sorted(set(range(len(timeline.events))) - set(of_type))
    browser.click('[data-filter="MsgApp"]')
    browser.click('[data-filter="MsgApp"]', modifiers=1)
    assert shown_numbers(browser) == of_type
    browser.click('[data-filter="MsgApp"]', modifiers=1)
    assert len(shown_numbers(browser)) == len(timeline.events)


# -- what is drawn


def test_drops_and_crashes_are_marked(
    browser: Browser, small: tuple[Timeline, Path], large: tuple[Timeline, Path]
) -> None:
    lost = small[0].of_kind(Kind.LOSE)
    browser.open(small[1])
    browser.press("0")
    assert drawn(browser, "losses") == len(lost) > 10
    browser.open(large[1])
    browser.press("0")
    assert drawn(browser, "crashes") == len(large[0].of_kind(Kind.CRASH)) > 20


def test_a_large_timeline_draws_only_what_is_in_view(browser: Browser, large: tuple[Timeline, Path]) -> None:
    timeline, path = large
    assert len(timeline.events) >= 10_000
    browser.open(path, "#event=6000")
    assert 10 < drawn(browser, "arrows") < 120
    assert drawn(browser, "labels") > 5
    elements = int(str(browser.run("document.querySelectorAll('*').length")))
    assert elements < 600
    browser.press("0")
    assert drawn(browser, "arrows") < 2700
    assert drawn(browser, "labels") == 0
    for key in ("End", "Home", "n", "x"):
        browser.press(key)
    assert int(str(browser.run("document.querySelectorAll('*').length"))) < elements + 60


def test_a_violation_is_where_the_page_opens(browser: Browser, large: tuple[Timeline, Path]) -> None:
    timeline, path = large
    browser.open(path)
    assert cursor(browser) == len(timeline.events) - 1
    assert text_of(browser, "#alarm") == "S1: made up"
    browser.press("Home")
    browser.click("#alarm")
    assert cursor(browser) == len(timeline.events) - 1


def test_wheel_and_drag_move_the_view(browser: Browser, large: tuple[Timeline, Path]) -> None:
    _, path = large
    browser.open(path, "#event=6000")
    scale, left = browser.run("raftView.axis.scale"), browser.run("raftView.axis.left")
    browser.mouse("mouseWheel", 600, 300, deltaX=0, deltaY=-240)
    browser.drawn()
    assert float(str(browser.run("raftView.axis.scale"))) > float(str(scale))
    left = browser.run("raftView.axis.left")
    browser.mouse("mousePressed", 600, 300, button="left", buttons=1)
    browser.mouse("mouseMoved", 500, 300, button="left", buttons=1)
    browser.mouse("mouseReleased", 500, 300, button="left")
    browser.drawn()
    assert float(str(browser.run("raftView.axis.left"))) > float(str(left))
    assert cursor(browser) == 6000


def test_a_click_on_an_arrow_goes_there(browser: Browser, small: tuple[Timeline, Path]) -> None:
    _, path = small
    browser.open(path, "#event=20")
    place = browser.run(
        """(() => { const box = document.querySelector("#lanes").getBoundingClientRect();
            const line = raftView.lanes.arrows.lines.find((one) => one.arrow.from === 8);
            const at = (part) => [line.x1 + (line.x2 - line.x1) * part, line.y1 + (line.y2 - line.y1) * part];
            const [x, y] = at(0.2);
            return [box.x + 126 + x, box.y + y]; })()"""
    )
    assert isinstance(place, list)
    browser.mouse("mousePressed", place[0], place[1], button="left", buttons=1, clickCount=1)
    browser.mouse("mouseReleased", place[0], place[1], button="left", clickCount=1)
    browser.drawn()
    message = browser.run("raftView.timeline.events[raftView.cursor].message.type")
    assert (message, browser.run("raftView.timeline.events[raftView.cursor].kind")) == ("MsgVote", "send")


def test_the_axis_can_be_time_or_order(browser: Browser, large: tuple[Timeline, Path]) -> None:
    _, path = large
    browser.open(path, "#event=6000")
    assert text_of(browser, "#axis") == "Axis: time"
    by_time = browser.run(
        "[raftView.axis.at[6001] - raftView.axis.at[6000], raftView.axis.at[7] - raftView.axis.at[6]]"
    )
    browser.press("t")
    assert text_of(browser, "#axis") == "Axis: events"
    assert browser.run("[raftView.axis.at[6001] - raftView.axis.at[6000]]") == [1]
    assert by_time != [1, 1]


def test_help_opens_and_closes(browser: Browser, small: tuple[Timeline, Path]) -> None:
    _, path = small
    browser.open(path)
    browser.press("?", SHIFT)
    assert text_of(browser, "#sheet h2") == "Keys and legend"
    assert browser.run("document.querySelector('#overlay').hidden") is False
    browser.press("Escape")
    assert browser.run("document.querySelector('#overlay').hidden") is True


# -- strangers


def test_hostile_text_is_shown_and_not_run(browser: Browser, tmp_path: Path) -> None:
    text = f"# {HOSTILE}\nadd-nodes 1 voters=(1) index=10\n----\nok\n\npropose 1 {HOSTILE}\n----\nok\n"
    (tmp_path / "trace.txt").write_text(text, encoding="utf-8")
    timeline = timeline_of_trace(tmp_path / "trace.txt")
    timeline.title = HOSTILE
    browser.open(written(tmp_path, timeline), "#event=1")
    assert text_of(browser, "#title") == HOSTILE
    assert text_of(browser, "#caption") == HOSTILE
    assert HOSTILE in text_of(browser, "#detail")
    assert HOSTILE in text_of(browser, "#list")
    assert browser.run("document.querySelectorAll('img').length") == 0


def test_an_empty_timeline_is_a_page_too(browser: Browser, tmp_path: Path) -> None:
    browser.open(written(tmp_path, Timeline("nothing")))
    browser.press("ArrowRight")
    browser.press("0")
    assert text_of(browser, "#title") == "nothing"


def test_the_command_takes_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = str(TRACES / "older_term_commit_fig8.txt")
    target, picture = tmp_path / "page.html", tmp_path / "page.png"
    asked = ["view", trace, "-o", str(target), "--event", "130", "--screenshot", str(picture), "--size", "900x600"]
    assert main(asked) == 0, capsys.readouterr().err
    content = picture.read_bytes()
    assert content.startswith(b"\x89PNG")
    assert (int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")) == (900, 600)
