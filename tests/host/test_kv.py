"""The key-value store as a state machine: a model, and that the same commands lead to the same store."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.raftexample.kv import KeyValueStore, PutOutcome, delete, put

KEYS = st.binary(min_size=0, max_size=3)
COMMANDS = st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=8)), max_size=40)


def carry_out(store: KeyValueStore, commands: list[tuple[bytes, bytes | None]]) -> list[object]:
    return [
        store.apply(index, delete(key) if value is None else put(key, value))
        for index, (key, value) in enumerate(commands, 1)
    ]


@given(COMMANDS)
def test_it_is_a_map(commands: list[tuple[bytes, bytes | None]]) -> None:
    store, model = KeyValueStore(), dict[bytes, bytes]()
    assert set(carry_out(store, commands)) <= {PutOutcome.DONE}
    for key, value in commands:
        if value is None:
            model.pop(key, None)
        else:
            model[key] = value
    assert {key: store.get(key) for key, _ in commands} == {key: model.get(key) for key, _ in commands}
    assert len(store) == len(model)
    other = KeyValueStore()
    carry_out(other, list(reversed(model.items())))
    assert other.digest() == store.digest()  # the history does not matter
    restored = KeyValueStore()
    restored.restore(store.snapshot()())
    assert (restored.digest(), len(restored)) == (store.digest(), len(store))
    carry_out(restored, [(b"another key", b"")])
    assert restored.digest() != store.digest()


@given(COMMANDS)
def test_a_snapshot_is_as_of_when_it_was_taken(commands: list[tuple[bytes, bytes | None]]) -> None:
    store = KeyValueStore()
    carry_out(store, commands)
    digest = store.digest()
    encode = store.snapshot()
    carry_out(store, [(b"another key", b"x"), *((key, b"changed") for key, _ in commands)])
    store.restore(encode())
    assert store.digest() == digest


@given(st.binary(max_size=20))
def test_bytes_that_are_no_command_change_nothing(data: bytes) -> None:
    store = KeyValueStore()
    store.apply(1, put(b"key", b"value"))
    digest = store.digest()
    if store.apply(2, data) is PutOutcome.NONSENSE:
        assert store.digest() == digest


@pytest.mark.parametrize(
    "data",
    [b"", b"\x01", b"\x01\0\0\0\x05key", b"\x03\0\0\0\x01k", b"\x02\0\0\0\x01k and more"],
    ids=["empty", "cut short", "a key cut short", "an unknown operation", "a deletion with a value"],
)
def test_nonsense_is_called_so(data: bytes) -> None:
    assert KeyValueStore().apply(1, data) is PutOutcome.NONSENSE


def test_a_full_store_takes_no_more_but_lets_go() -> None:
    store = KeyValueStore(max_bytes=3 * (8 + 1 + 10))
    outcomes = carry_out(store, [(b"a", b"x" * 10), (b"b", b"x" * 10), (b"c", b"x" * 11)])
    assert outcomes == [PutOutcome.DONE, PutOutcome.DONE, PutOutcome.FULL]
    outcomes = carry_out(
        store, [(b"c", b"x" * 10), (b"a", b"y" * 10), (b"a", b"y" * 11), (b"b", None), (b"a", b"y" * 29)]
    )
    assert outcomes == [PutOutcome.DONE, PutOutcome.DONE, PutOutcome.FULL, PutOutcome.DONE, PutOutcome.DONE]
    assert store.get(b"b") is None
    assert len(store.snapshot()()) == 4 + 3 * (8 + 1 + 10)


@pytest.mark.parametrize(
    "data",
    [b"", b"kv2\n", b"kv1\n\0\0\0", b"kv1\n\0\0\0\1\0\0\0\1k"],
    ids=["empty", "other", "cut in a head", "cut in a pair"],
)
def test_what_is_no_snapshot_is_refused_and_changes_nothing(data: bytes) -> None:
    store = KeyValueStore()
    store.apply(1, put(b"key", b"value"))
    with pytest.raises(ValueError, match="snapshot"):
        store.restore(data)
    assert store.get(b"key") == b"value"
