"""Errors about what arrives on the wire.

They are the base of the library's error tree, defined here because the codec, which lies below everything else, raises
them too. A transport needs one `except StepError` around decoding and stepping a message: whatever a peer sends, the
node is unchanged when one of these leaves.
"""

from enum import Enum


class RaftError(Exception):
    """Base of every error that this library raises on purpose."""


class StepError(RaftError):
    """A message was refused. Who acts: the transport (count it, drop it). The node is unchanged and goes on."""


class InvalidReason(Enum):
    """The reason why a message cannot have been sent to this node."""

    MALFORMED = "malformed"
    WRONG_DESTINATION = "wrong destination"
    BAD_SENDER = "bad sender"
    ZERO_TERM = "term is zero"
    UNEXPECTED_TERM = "unexpected term"
    TERM_JUMP = "term too far ahead"
    BAD_PROPOSAL = "bad proposal"
    BAD_ENTRIES = "bad entries"
    BAD_CONTEXT = "bad context"
    BAD_ACK = "bad acknowledgement"
    BAD_SNAPSHOT = "bad snapshot"


class InvalidMessageError(StepError):
    """The message contradicts itself, its address or what its sender can know; `reason` tells which."""

    def __init__(self, reason: InvalidReason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type, tuple[InvalidReason, str]]:
        return (type(self), (self.reason, self.detail))


class DecodeError(InvalidMessageError, ValueError):
    """Bytes that do not encode the value asked for: cut short, over-long, too deep, an unknown enum number."""

    def __init__(self, detail: str) -> None:
        super().__init__(InvalidReason.MALFORMED, detail)

    def __reduce__(self) -> tuple[type, tuple[str]]:  # type: ignore[override]
        return (type(self), (self.detail,))


class EncodeError(RaftError, ValueError):
    """A value that the wire format cannot carry: a number below 0 or above 2^63 - 1. Who acts: the programmer."""
