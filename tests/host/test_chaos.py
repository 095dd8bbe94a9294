import asyncio
import random
from pathlib import Path

import pytest

from examples.raftexample import chaos
from examples.raftexample.client import RefusedError, UnknownOutcomeError
from examples.raftexample.load import Load, Register


def register(**changes: int) -> Register:
    made = Register("k", begun=5, acknowledged=3, seen=2)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


class TestRegister:
    @pytest.mark.parametrize(
        ("value", "oldest", "wrong"),
        [
            pytest.param(b"k version 3", 3, None, id="the last acknowledged"),
            pytest.param(b"k version 5", 3, None, id="the last begun"),
            pytest.param(None, 0, None, id="none, before any was acknowledged"),
            pytest.param(b"k version 2", 3, "stale", id="older than acknowledged"),
            pytest.param(None, 3, "stale", id="none, after one was acknowledged"),
            pytest.param(b"k version 6", 3, "not been written yet", id="newer than begun"),
            pytest.param(b"k version 4", 3, "refused", id="one that was never to happen"),
            pytest.param(b"j version 3", 3, "never written", id="another key's"),
            pytest.param(b"k version -3", 3, "never written", id="no version"),
            pytest.param(b"\xff", 3, "never written", id="garbage"),
        ],
    )
    def test_which_versions_a_read_may_return(self, value: bytes | None, oldest: int, wrong: str | None) -> None:
        made = register()
        made.never[4] = "no leader"
        said = made.check(value, oldest)
        assert (said is None) if wrong is None else (said is not None and wrong in said)

    def test_a_later_read_must_not_go_back(self) -> None:
        made = register()
        assert made.check(made.value(5), made.oldest_allowed) is None
        assert made.oldest_allowed == 5
        assert "stale" in (made.check(made.value(3), made.oldest_allowed) or "")

    def test_a_read_that_overlaps_may(self) -> None:
        made = register()
        before = made.oldest_allowed
        assert made.check(made.value(5), before) is None
        assert made.check(made.value(3), before) is None


class MemoryStore:
    """Nodes 1 and 2 over one map; a fault spoils some of what they do."""

    def __init__(self, fault: str, rng: random.Random) -> None:
        self.values: dict[str, bytes] = {}
        self.older: dict[str, bytes] = {}
        self.fault = fault
        self.rng = rng

    async def put(self, node: int, key: str, value: bytes) -> None:
        await asyncio.sleep(0)
        strikes = self.rng.random() < 0.1
        if strikes and self.fault == "loses writes":
            return
        if strikes and self.fault == "refuses and means it":
            raise RefusedError
        if strikes and self.fault == "fails late":
            asyncio.get_running_loop().call_later(0.01, self._store, key, value)
            raise UnknownOutcomeError
        self._store(key, value)
        await asyncio.sleep(0)
        if strikes and self.fault == "refuses and does it":
            raise RefusedError

    def _store(self, key: str, value: bytes) -> None:
        self.older[key] = self.values.get(key, b"")
        self.values[key] = value

    async def get(self, node: int, key: str, *, stale: bool = False) -> bytes | None:
        await asyncio.sleep(0)
        if node == 2 and self.fault == "lags behind":
            return self.older.get(key) or None
        return self.values.get(key)


def loaded(fault: str) -> Load:
    """A load that has worked on such a store for a while."""

    async def work() -> Load:
        rng = random.Random(7)
        load = Load(MemoryStore(fault, rng), lambda: [1, 2], rng)
        load.begin(writers=2, readers=4)
        while load.counts.reads < 1000 or load.counts.writes < 100:
            load.check()
            await asyncio.sleep(0.01)
        await load.end()
        await asyncio.sleep(0.02)
        assert await load.check_everything([1, 2]) == len(load.registers)
        return load

    return asyncio.run(work())


class TestLoad:
    @pytest.mark.parametrize("fault", ["none", "refuses and means it", "fails late"])
    def test_an_honest_store_is_cleared(self, fault: str) -> None:
        load = loaded(fault)
        assert load.violations == []
        assert (load.counts.refused > 0) == (fault == "refuses and means it")
        assert (load.counts.unknown > 0) == (fault == "fails late")

    @pytest.mark.parametrize("fault", ["loses writes", "refuses and does it", "lags behind"])
    def test_a_store_that_breaks_its_word_is_convicted(self, fault: str) -> None:
        assert loaded(fault).violations

    def test_a_client_that_crashes_is_noticed(self) -> None:
        async def work() -> None:
            rng = random.Random(7)
            async with Load(MemoryStore("none", rng), list, rng) as load:  # no nodes: nowhere to go
                load.begin(writers=1, readers=1)
                await asyncio.sleep(0.05)
                with pytest.raises(IndexError):
                    load.check()

        asyncio.run(work())

    @pytest.mark.parametrize("fault", ["loses writes", "refuses and does it", "lags behind"])
    def test_what_lies_there_in_the_end_convicts_too(self, fault: str) -> None:
        async def work() -> Load:
            rng = random.Random(7)
            load = Load(MemoryStore(fault, rng), lambda: [1, 2], rng)
            load.begin(writers=2, readers=0)
            while load.counts.writes < 200:
                load.check()
                await asyncio.sleep(0.001)
            await load.end()
            await load.check_everything([1, 2])
            return load

        assert asyncio.run(work()).violations


def test_killing_at_random_under_load_loses_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = chaos.main(["--kills", "6", "--seed", "3", "--directory", str(tmp_path)])
    said = capsys.readouterr().out
    assert code == 0, said
    assert "none stale" in said
    assert "all nodes are equal" in said


@pytest.mark.parametrize("arguments", [["--kills", "-1"], ["--nodes", "0"], ["--kills", "many"]], ids=" ".join)
def test_what_makes_no_sense_is_a_usage_error(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        chaos.main(arguments)
    assert ended.value.code == 2


def test_a_node_that_ends_by_itself_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert chaos.main(["--kills", "1", "--tick-ms", "0", "--directory", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "NOT SO" in said
    assert "ended by itself" in said
    assert "--tick-ms" in said, "the end of its log"
