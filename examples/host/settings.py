"""Settings of a group: its times, and what it may use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Times in ticks, unless they say seconds; sizes in bytes. All members of a group had better agree."""

    election_ticks: int = 10
    """Without word from a leader for one to two times as long, a node stands for election."""

    request_seconds: float = 5.0
    """How long a request is tried before it is given up."""

    max_request_bytes: int = 2 << 20
    """The longest single request."""

    max_requests: int = 4096
    """Requests taken here that may wait at a time."""

    max_waiting_bytes: int = 64 << 20
    """Their bytes, all together."""

    max_reads: int = 16384
    """Readers that may wait here at a time."""

    batch_bytes: int = 256 << 10
    """Requests that go into one entry together."""

    inflight_bytes: int = 16 << 20
    """Entries' bytes on the way to one follower."""

    snapshot_entries: int = 10_000
    """Entries applied since the last snapshot that make another one due."""

    snapshot_bytes: int = 16 << 20
    """Their bytes that do."""

    catch_up_entries: int = 5_000
    """Entries kept behind a snapshot, for followers that are a little behind."""

    catch_up_bytes: int = 4 << 20
    """Their bytes, at most."""
