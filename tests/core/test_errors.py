"""The errors: who catches what, what they carry, and that they travel between processes."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from pyraft import errors
from pyraft.errors import (
    CompactedError,
    ConfChangeError,
    ConfigError,
    DecodeError,
    DropReason,
    EncodeError,
    ForwardedProposalDroppedError,
    InvalidMessageError,
    InvalidReason,
    InvariantError,
    LocalMessageError,
    MisuseError,
    NodeFailedError,
    PeerNotFoundError,
    ProposalDroppedError,
    RaftError,
    ReadDroppedError,
    ReadDropReason,
    SnapshotOutOfDateError,
    SnapshotUnavailableError,
    StepError,
    StorageError,
    UnavailableError,
)
from pyraft.types import CampaignRefusal, TransferRefusal
from raftpb.enums import MSG_APP_RESP, MSG_HUP
from raftpb.message import Message

MESSAGE = Message(MSG_APP_RESP, 1, 9)

EXAMPLES: list[tuple[RaftError, str]] = [
    (ConfigError("id", "0 is nobody"), "Config.id: 0 is nobody"),
    (StepError("anything"), "anything"),
    (LocalMessageError(Message(MSG_HUP, 1, 9)), "MsgHup from 9 never comes from the network; was a port shared?"),
    (PeerNotFoundError(MESSAGE), "MsgAppResp from 9, which is not a member here"),
    (InvalidMessageError(InvalidReason.BAD_ACK, "of 9"), "bad acknowledgement: of 9"),
    (DecodeError("cut short"), "malformed: cut short"),
    (EncodeError("too large"), "too large"),
    (
        ProposalDroppedError(DropReason.NO_LEADER),
        "proposal dropped: no leader is known; wait for Ready.soft_state to name one and propose again",
    ),
    (
        ForwardedProposalDroppedError(DropReason.TRANSFERRING),
        "proposal dropped: leadership is being transferred; propose again when it has settled",
    ),
    (ReadDroppedError(ReadDropReason.NO_LEADER), "read dropped: no leader is known; ask again when one is"),
    (ConfChangeError("removed all voters"), "removed all voters"),
    (MisuseError("advance() first"), "advance() first"),
    (StorageError("disk"), "disk"),
    (CompactedError(), "the requested index lies below the first index of the log"),
    (CompactedError("gone"), "gone"),
    (UnavailableError(), "the requested index lies beyond the last index of the log"),
    (UnavailableError("not yet"), "not yet"),
    (SnapshotOutOfDateError(), "a snapshot at or above the requested index is already there"),
    (SnapshotOutOfDateError("old"), "old"),
    (SnapshotUnavailableError(), "the snapshot is not ready yet; it will be asked for again"),
    (SnapshotUnavailableError("soon"), "soon"),
    (NodeFailedError(CompactedError("gone")), "this node stopped at an earlier CompactedError: gone"),
    (InvariantError("two leaders"), "two leaders"),
]


@pytest.mark.parametrize(("error", "text"), EXAMPLES, ids=[f"{type(e).__name__}: {e}"[:60] for e, _ in EXAMPLES])
def test_each_says_what_happened_also_after_a_journey(error: RaftError, text: str) -> None:
    assert str(error) == text
    for copied in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(copied) is type(error)
        assert str(copied) == text
        assert fields(copied) == fields(error)


def fields(error: RaftError) -> dict[str, object]:
    return {name: repr(value) for name, value in vars(error).items()}


def test_the_examples_are_all_there_are() -> None:
    kinds = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)}
    assert {type(error) for error, _ in EXAMPLES} | {RaftError} == kinds
    assert {kind.__name__ for kind in kinds} <= set(errors.__all__)


@pytest.mark.parametrize(
    ("error", "bases"),
    [
        pytest.param(ConfigError, (ValueError,), id="ConfigError"),
        pytest.param(LocalMessageError, (StepError,), id="LocalMessageError"),
        pytest.param(PeerNotFoundError, (StepError,), id="PeerNotFoundError"),
        pytest.param(InvalidMessageError, (StepError,), id="InvalidMessageError"),
        pytest.param(DecodeError, (InvalidMessageError, ValueError), id="DecodeError"),
        pytest.param(EncodeError, (ValueError,), id="EncodeError"),
        pytest.param(ForwardedProposalDroppedError, (ProposalDroppedError, StepError), id="ForwardedProposal…"),
        pytest.param(ConfChangeError, (ValueError,), id="ConfChangeError"),
        pytest.param(CompactedError, (StorageError,), id="CompactedError"),
        pytest.param(UnavailableError, (StorageError,), id="UnavailableError"),
        pytest.param(SnapshotOutOfDateError, (StorageError,), id="SnapshotOutOfDateError"),
        pytest.param(SnapshotUnavailableError, (StorageError,), id="SnapshotUnavailableError"),
    ],
)
def test_who_catches_what(error: type[RaftError], bases: tuple[type[Exception], ...]) -> None:
    assert issubclass(error, (RaftError, *bases))
    for base in bases:
        assert issubclass(error, base)


@pytest.mark.parametrize("kind", [MisuseError, NodeFailedError, InvariantError, ProposalDroppedError, ReadDroppedError])
def test_a_transport_that_drops_bad_messages_does_not_hide(kind: type[RaftError]) -> None:
    assert issubclass(kind, RaftError)
    assert not issubclass(kind, (StepError, ValueError))


def test_numbers_are_attributes() -> None:
    assert (ConfigError("id", "x").field, ConfigError("id", "x").detail) == ("id", "x")
    assert LocalMessageError(MESSAGE).message is MESSAGE
    assert PeerNotFoundError(MESSAGE).message is MESSAGE
    assert InvalidMessageError(InvalidReason.BAD_ACK, "x").reason is InvalidReason.BAD_ACK
    assert DecodeError("x").reason is InvalidReason.MALFORMED
    assert ProposalDroppedError(DropReason.TOO_LARGE).reason is DropReason.TOO_LARGE
    assert ReadDroppedError(ReadDropReason.TOO_MANY).reason is ReadDropReason.TOO_MANY
    cause = OSError("disk")
    assert NodeFailedError(cause).cause is cause


@pytest.mark.parametrize("reasons", [DropReason, ReadDropReason, CampaignRefusal, TransferRefusal])
def test_each_reason_is_a_text_of_its_own(
    reasons: type[DropReason | ReadDropReason | CampaignRefusal | TransferRefusal],
) -> None:
    texts = [reason.value for reason in reasons]
    assert all(isinstance(text, str) and len(text) > 10 for text in texts)
    assert len(reasons.__members__) == len(texts), "two names with one text would be one reason"


def test_an_application_may_have_errors_of_its_own() -> None:
    class DiskError(StorageError):
        def __init__(self, path: str) -> None:
            super().__init__(f"cannot read {path}")
            self.path = path

    with pytest.raises(StorageError, match=r"^cannot read wal\.1$"):
        raise DiskError("wal.1")
