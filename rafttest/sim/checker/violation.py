"""Violation: what must never happen has happened."""

from __future__ import annotations


class Violation(Exception):  # noqa: N818
    """`law` is the name of the law (S1, L1, ...), `detail` says how it was broken."""

    def __init__(self, law: str, detail: str) -> None:
        super().__init__(f"{law}: {detail}")
        self.law = law
        self.detail = detail

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return (type(self), (self.law, self.detail))


def demand(holds: bool, law: str, detail: str) -> None:
    """Raise Violation unless `holds`. For rare checks: the text is made either way."""
    if not holds:
        raise Violation(law, detail)
