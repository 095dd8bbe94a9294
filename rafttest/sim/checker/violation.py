"""Violation: what must never happen has happened."""

from __future__ import annotations


class Violation(Exception):  # noqa: N818
    """`invariant` is the name of the law (S1, L1, ...), `detail` says how it was broken."""

    def __init__(self, invariant: str, detail: str) -> None:
        super().__init__(f"{invariant}: {detail}")
        self.invariant = invariant
        self.detail = detail

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return (type(self), (self.invariant, self.detail))


def demand(holds: bool, invariant: str, detail: str) -> None:
    """Raise Violation unless `holds`. For rare checks: the text is made either way."""
    if not holds:
        raise Violation(invariant, detail)
