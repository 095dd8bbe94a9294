"""The one integer type of the wire and of the core.

Every term, index, id, size and tick is a `u64`: the field's name for it, held in a signed 64-bit integer so that the
compiled build keeps it in a register. Compiled arithmetic wraps at 2^63 and interpreted arithmetic does not, hence the
law of this project: no number below 0 or above `MAX_INTEGER` gets past `Config`, the codec or `RawNode.step`. A real
term or index never comes near it.
"""

from typing import Final

from mypy_extensions import i64 as u64

__all__ = ["MAX_INTEGER", "u64"]

MAX_INTEGER: Final = 2**63 - 1
"""The largest term, index, id or size that can be represented."""
