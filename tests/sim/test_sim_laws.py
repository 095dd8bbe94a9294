"""The list of laws: each has a history that breaks it and is told in the documentation; none goes by another name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import test_sim_liveness
import test_sim_safety

import rafttest
from raftpb.enums import MSG_HEARTBEAT
from raftpb.message import Message
from rafttest.sim.checker.laws import LAWS
from rafttest.sim.checker.violation import Violation
from rafttest.sim.cluster.disk import READ, SimDisk, SimDiskError
from rafttest.sim.cluster.frame import encode_frame
from rafttest.sim.cluster.network import Envelope
from rafttest.sim.draw import draw
from rafttest.sim.load.nemesis import Nemesis, add_node
from rafttest.sim.load.workload import Workload
from rafttest.sim.simulation import Simulation

ROOT = Path(__file__).parents[2]
NAME = re.compile(r"""["']([A-Z]\d+)["']""")
RAISES = re.compile(r"""(?:Violation\(|demand\(|within\(|Watch\(|_await\()[^)]*?["']([A-Z]\d+)["']""", re.S)


def a_simulation() -> Simulation:
    """Three nodes that run; nothing has happened yet."""
    sim = Simulation(replace(draw(1), voters=3, spares=0))
    for id in (1, 2, 3):
        add_node(sim, id)
    return sim


def damaged_log_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimDisk, "rot", lambda self, random: None)
    sim = a_simulation()
    Nemesis(sim, Workload(sim)).rot()


def node_goes_on_after_a_failed_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its core has not seen the failure at all."""
    try:
        raise SimDiskError(1, READ)
    except SimDiskError as error:
        a_simulation().nodes[1].fail(error)


def frame_holds_another_message(monkeypatch: pytest.MonkeyPatch) -> None:
    sent, received = Message(MSG_HEARTBEAT, 1, 2, 5), Message(MSG_HEARTBEAT, 1, 2, 4)
    sim = a_simulation()
    sim._deliver(sim.nodes[1], Envelope(sent, 1, 0, encode_frame(received)))


CASES: dict[str, list[Callable[[pytest.MonkeyPatch], None]]] = {
    "D5": [damaged_log_is_accepted],
    "D8": [node_goes_on_after_a_failed_read],
    "N11": [frame_holds_another_message],
}


@pytest.mark.parametrize(
    ("law", "history"),
    [pytest.param(law, history, id=f"{law}-{history.__name__}") for law in CASES for history in CASES[law]],
)
def test_a_violating_world_is_caught(
    law: str, history: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Violation) as caught:
        history(monkeypatch)
    assert caught.value.law == law


def sources() -> list[Path]:
    return sorted((Path(rafttest.__file__).parent / "sim").rglob("*.py"))


@pytest.mark.parametrize("law", LAWS)
def test_a_history_breaks_it(law: str) -> None:
    """Each of these is a test of its own, which demands that this law is what catches it."""
    assert test_sim_safety.CASES.get(law) or test_sim_liveness.CASES.get(law) or CASES.get(law)


def test_only_laws_have_histories() -> None:
    assert {*test_sim_safety.CASES, *test_sim_liveness.CASES, *CASES} <= set(LAWS)


def test_what_is_raised_is_a_law() -> None:
    raised = {name: path.name for path in sources() for name in RAISES.findall(path.read_text())}
    assert {"S1", "S25", "L1", "L8"} <= set(raised)
    assert {name: where for name, where in raised.items() if name not in LAWS} == {}


def test_each_law_is_raised_somewhere() -> None:
    named = {name for path in sources() if path.name != "laws.py" for name in NAME.findall(path.read_text())}
    assert set(LAWS) - named == set()


def test_the_documentation_lists_them() -> None:
    rows = re.findall(r"^\| ([SDNL]\d+) \| (.*?) \|", (ROOT / "docs/simulator.md").read_text(), re.M)
    assert dict(rows) == dict(LAWS)
