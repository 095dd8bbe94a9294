"""The counts of what should not happen, as a value."""

from __future__ import annotations

from dataclasses import fields

from pyraft import Anomalies


def test_a_clone_has_every_field_and_a_life_of_its_own() -> None:
    """The fields are copied one by one, by hand: none may be forgotten."""
    counted = Anomalies(log_loss_suspected="why", foreign_log_suspected="why too", term_jump=True)
    numbers = [field.name for field in fields(Anomalies) if type(getattr(counted, field.name)) is int]
    assert len(numbers) == len(fields(Anomalies)) - 3
    for count, name in enumerate(numbers, start=1):
        setattr(counted, name, count)
    copy = counted.clone()
    assert copy == counted
    counted.refused_messages += 1
    assert copy != counted
