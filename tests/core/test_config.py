"""Every knob: what it is unless given, and what it cannot be."""

from __future__ import annotations

import dataclasses
import logging
import random
from typing import Any

import pytest
from harness import leader

from pyraft import Config, ConfigError, MemoryStorage, NullLogger, RawNode, ReadOnlyOption, TraceEvent
from pyraft.types import MAX_INTEGER, NO_LIMIT


class Listener(NullLogger):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def warning(self, msg: str, /, *args: object) -> None:
        self.heard.append(msg % args)


class Incomplete(NullLogger):
    debug = None  # type: ignore[assignment]


class Tracing:
    def trace_event(self, event: TraceEvent, /) -> None: ...


class NoSnapshots:
    def __getattr__(self, name: str) -> Any:
        if name == "snapshot":
            raise AttributeError(name)
        return getattr(MemoryStorage(), name)


def make(**options: Any) -> Config:
    return Config(**{"id": 1, "storage": MemoryStorage(), "logger": NullLogger(), **options})


SIZES = [
    "max_size_per_msg",
    "max_committed_size_per_ready",
    "max_uncommitted_entries_size",
    "max_entry_size",
    "max_pending_reads",
]
COUNTS = ["id", "election_tick", "heartbeat_tick", "applied", "max_inflight_msgs", *SIZES]
SWITCHES = [field.name for field in dataclasses.fields(Config) if field.type == "bool"]


@pytest.mark.parametrize(
    ("options", "field", "text"),
    [
        pytest.param({"id": 0}, "id", "0 means no node; give each node its own id from 1 up", id="id: nobody's"),
        pytest.param({"id": -1}, "id", "-1 is not in [1, 2^63)", id="id: a storage thread's"),
        pytest.param({"id": 2**63}, "id", f"{2**63} is not in [1, 2^63)", id="id: too large"),
        pytest.param({"heartbeat_tick": 0}, "heartbeat_tick", "0 is not at least 1", id="heartbeat_tick: 0"),
        pytest.param({"heartbeat_tick": -3}, "heartbeat_tick", "-3 is not at least 1", id="heartbeat_tick: negative"),
        pytest.param(
            {"election_tick": 4, "heartbeat_tick": 4},
            "election_tick",
            "4 must be greater than heartbeat_tick 4; ten times is usual",
            id="election_tick: too small",
        ),
        pytest.param(
            {"election_tick": 2**62},
            "election_tick",
            f"{2**62} is beyond any clock; ten heartbeats are usual",
            id="election_tick: for ever",
        ),
        pytest.param(
            {"max_inflight_bytes": -1},
            "max_inflight_bytes",
            "-1 is not in [0, 2^63)",
            id="max_inflight_bytes: negative",
        ),
        pytest.param(
            {"max_inflight_bytes": True},
            "max_inflight_bytes",
            "True is not an integer, nor None",
            id="max_inflight_bytes: a switch",
        ),
        pytest.param({"applied": -1}, "applied", "-1 is not in [0, 2^63)", id="applied: negative"),
        pytest.param({"max_inflight_msgs": 0}, "max_inflight_msgs", "0 is not in [1, 2^63)", id="window: 0"),
        pytest.param({"max_inflight_msgs": -1}, "max_inflight_msgs", "-1 is not in [1, 2^63)", id="window: negative"),
        pytest.param(
            {"max_inflight_msgs": 2**63}, "max_inflight_msgs", f"{2**63} is not in [1, 2^63)", id="window: too large"
        ),
        pytest.param(
            {"max_inflight_bytes": 9, "max_size_per_msg": 10},
            "max_inflight_bytes",
            "9 is below max_size_per_msg 10: no full message fits; raise it, or give 0 for no limit",
            id="window: smaller than a message",
        ),
        pytest.param(
            {"max_size_per_msg": 0},
            "max_committed_size_per_ready",
            "0 takes over max_size_per_msg, which is 0 too, so nothing could ever be applied; give one of them",
            id="max_committed_size_per_ready: nothing",
        ),
        pytest.param(
            {"read_only_option": ReadOnlyOption.ReadOnlyLeaseBased, "check_quorum": False},
            "read_only_option",
            "ReadOnlyLeaseBased needs check_quorum=True: without it there is no lease",
            id="leases without check_quorum",
        ),
        pytest.param(
            {"read_only_option": 1}, "read_only_option", "1 is not a ReadOnlyOption", id="read_only_option: 1"
        ),
        pytest.param(
            {"storage": None}, "storage", "None has no method initial_state(); see pyraft.Storage", id="storage: None"
        ),
        pytest.param({"conf_state": (1, 2)}, "conf_state", "(1, 2) is not a ConfState", id="conf_state: a tuple"),
        pytest.param({"storage": NoSnapshots()}, "storage", "has no method snapshot()", id="storage: incomplete"),
        pytest.param(
            {"random": object()}, "random", "has no method randrange(); a random.Random has", id="random: incomplete"
        ),
        pytest.param({"logger": None}, "logger", "None has no method debug(); a logging.Logger has", id="logger: None"),
        pytest.param({"logger": Incomplete()}, "logger", "has no method debug()", id="logger: incomplete"),
        pytest.param(
            {"trace_logger": print},
            "trace_logger",
            "has no method trace_event(); see pyraft.TraceLogger",
            id="trace_logger: a function",
        ),
        *[pytest.param({name: -1}, name, "-1 is not in [0, 2^63)", id=f"{name}: negative") for name in SIZES],
        *[pytest.param({name: 2**63}, name, "is not in [0, 2^63)", id=f"{name}: too large") for name in SIZES],
        *[pytest.param({name: 3.0}, name, "3.0 is not an integer", id=f"{name}: a float") for name in COUNTS],
        *[pytest.param({name: None}, name, "None is not an integer", id=f"{name}: None") for name in COUNTS],
        *[pytest.param({name: True}, name, "True is not an integer", id=f"{name}: a bool") for name in COUNTS],
        *[pytest.param({name: "9"}, name, "'9' is not an integer", id=f"{name}: text") for name in COUNTS],
        *[pytest.param({name: 1}, name, "1 is not True or False", id=f"{name}: 1") for name in SWITCHES],
        *[pytest.param({name: None}, name, "None is not True or False", id=f"{name}: None") for name in SWITCHES],
    ],
)
def test_what_cannot_be(options: dict[str, Any], field: str, text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        make(**options)
    assert raised.value.field == field
    assert text in raised.value.detail
    assert str(raised.value) == f"Config.{field}: {raised.value.detail}"


def test_every_number_and_every_switch_is_in_the_table() -> None:
    """A new knob is checked like the others."""
    others = {"max_inflight_bytes", "storage", "conf_state", "read_only_option", "random", "logger", "trace_logger"}
    assert {*COUNTS, *SWITCHES, *others} == {field.name for field in dataclasses.fields(Config)}


def test_a_slip_of_the_pen_is_an_error() -> None:
    with pytest.raises(TypeError, match="max_infligth_msgs"):
        make(max_infligth_msgs=3)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"id": MAX_INTEGER}, id="the largest id"),
        pytest.param({"election_tick": 2, "heartbeat_tick": 1}, id="the shortest times"),
        pytest.param({"max_inflight_bytes": 10, "max_size_per_msg": 10}, id="a window of one full message"),
        pytest.param({"max_inflight_bytes": 0, "max_size_per_msg": 10}, id="a window of any number of bytes"),
        pytest.param({"max_size_per_msg": 0, "max_committed_size_per_ready": 1}, id="one entry a message"),
        pytest.param(dict.fromkeys(SIZES, MAX_INTEGER), id="the largest sizes"),
        pytest.param({"max_inflight_msgs": MAX_INTEGER}, id="the largest window"),
        pytest.param({"read_only_option": ReadOnlyOption.ReadOnlyLeaseBased}, id="leases"),
        pytest.param({"random": random.SystemRandom()}, id="another source of chance"),
    ],
)
def test_what_can_be(options: dict[str, Any]) -> None:
    assert RawNode(make(**options)).basic_status().term == 0


@pytest.mark.parametrize(
    ("election_tick", "heard"),
    [
        pytest.param(
            14, ["election_tick 14 is less than five heartbeats of 3: elections may be frequent"], id="one tick short"
        ),
        pytest.param(15, [], id="five heartbeats"),
    ],
)
def test_a_short_election_timeout_is_warned_about(election_tick: int, heard: list[str]) -> None:
    listener = Listener()
    make(election_tick=election_tick, heartbeat_tick=3, logger=listener)
    assert listener.heard == heard


def test_the_defaults_are_safe() -> None:
    config = Config(id=1, storage=MemoryStorage())
    assert all(
        [
            config.check_quorum,
            config.pre_vote,
            config.step_down_on_removal,
            config.persist_before_vote_request,
            config.lease_survives_restart,
            config.lease_ends_with_transfer,
            config.single_voter_reads_need_commit,
            config.strict_pre_votes,
            config.abort_reads_on_step_down,
        ]
    )
    assert not any(
        [config.async_storage_writes, config.disable_proposal_forwarding, config.disable_conf_change_validation]
    )
    limits = [config.max_size_per_msg, config.max_uncommitted_entries_size, config.max_entry_size]
    assert all(0 < limit < 2**30 for limit in limits)
    assert config.election_tick == 10 * config.heartbeat_tick
    assert config.read_only_option is ReadOnlyOption.ReadOnlySafe
    assert config.logger is logging.getLogger("pyraft")


def test_every_node_draws_its_own_timeouts() -> None:
    one, other = Config(id=1, storage=MemoryStorage()), Config(id=2, storage=MemoryStorage())
    assert one.random is not other.random
    assert [one.random.randrange(2**40) for _ in range(3)] != [other.random.randrange(2**40) for _ in range(3)]


REFERENCE: dict[str, object] = {
    "election_tick": 10,
    "heartbeat_tick": 1,
    "applied": 0,
    "async_storage_writes": False,
    "max_size_per_msg": NO_LIMIT,
    "max_committed_size_per_ready": 0,
    "max_uncommitted_entries_size": 0,
    "max_inflight_msgs": 256,
    "max_inflight_bytes": 0,
    "max_entry_size": 0,
    "max_pending_reads": 0,
    "read_only_option": ReadOnlyOption.ReadOnlySafe,
    **dict.fromkeys(SWITCHES, False),
}


def test_the_reference_has_no_knob_on_and_no_limit() -> None:
    config = Config.reference_defaults(id=1, storage=MemoryStorage())
    assert {name: getattr(config, name) for name in REFERENCE} == REFERENCE
    assert config.logger is logging.getLogger("pyraft")
    assert config.random is not Config.reference_defaults(id=1, storage=MemoryStorage()).random


def test_what_is_given_to_the_reference_is_taken_over() -> None:
    storage, chance, logger = MemoryStorage(), random.Random(3), NullLogger()
    given: dict[str, Any] = {
        "id": 7,
        "storage": storage,
        "election_tick": 9,
        "heartbeat_tick": 2,
        "applied": 4,
        "async_storage_writes": True,
        "max_size_per_msg": 5,
        "max_committed_size_per_ready": 6,
        "max_inflight_msgs": 8,
        "check_quorum": True,
        "pre_vote": True,
        "read_only_option": ReadOnlyOption.ReadOnlyLeaseBased,
        "disable_conf_change_validation": True,
        "step_down_on_removal": True,
        "random": chance,
        "logger": logger,
        "trace_logger": Tracing(),
    }
    config = Config.reference_defaults(**given)
    assert {name: getattr(config, name) for name in given} == given
    rest = REFERENCE.keys() - given.keys()
    assert {name: getattr(config, name) for name in rest} == {name: REFERENCE[name] for name in rest}


def test_a_config_does_not_change() -> None:
    config = make()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.id = 2  # type: ignore[misc]
    assert dataclasses.replace(config, id=2).id == 2


def test_a_null_logger_says_nothing() -> None:
    logger = NullLogger()
    for say in (logger.debug, logger.info, logger.warning, logger.error):
        say("%d things", 3)


def test_the_core_logs_to_the_standard_logger(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "pyraft"):
        RawNode(Config(id=10, storage=MemoryStorage()))
    assert "a: follower at term 0" in caplog.messages


MIB = 1 << 20


@pytest.mark.parametrize(
    ("given", "max_size", "expected"),
    [
        pytest.param(None, MIB, 32 * MIB, id="not given"),
        pytest.param(None, 0, 32 * MIB, id="one entry a message"),
        pytest.param(None, 8 * MIB, 32 * MIB, id="four messages of 8 MiB"),
        pytest.param(None, 9 * MIB, 36 * MIB, id="four large messages"),
        pytest.param(None, NO_LIMIT, NO_LIMIT, id="messages of any size"),
        pytest.param(0, MIB, NO_LIMIT, id="no limit"),
        pytest.param(3 * MIB, MIB, 3 * MIB, id="given"),
    ],
)
def test_how_many_bytes_may_be_under_way(given: int | None, max_size: int, expected: int) -> None:
    config = make(max_inflight_bytes=given, max_size_per_msg=max_size, max_committed_size_per_ready=MIB)
    assert config.inflight_bytes() == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [pytest.param(None, 32 * MIB, id="not given"), pytest.param(0, NO_LIMIT, id="no limit")],
)
def test_a_leader_s_windows_are_those_of_its_config(given: int | None, expected: int) -> None:
    made = leader(max_inflight_bytes=given)
    assert [made.progress(id).inflights.max_bytes for id in (1, 2, 3)] == [expected] * 3
