"""Recordings for tests: made by histories in memory, taken apart, and put together again with another content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
import random_cluster
from random_cluster import RandomCluster, random_moves

from pyraft import Config, CoreState, MemoryStorage, NullLogger, Peer, Ready
from rafttest.record import DamagedRecordingError, Player, RecordingNode, read_segment
from rafttest.record.format import MAGIC, Chain, Record, RecordKind, Segment
from rafttest.record.ring import segments


@dataclass
class Recorder:
    """Makes recorded nodes, all in one folder, each life after the other."""

    directory: Path
    segment_bytes: int = 1 << 20
    nodes: list[RecordingNode] = field(default_factory=list)

    def __call__(self, config: Config, state: CoreState | None = None) -> RecordingNode:
        node = RecordingNode(config, self.directory, state=state, segment_bytes=self.segment_bytes)
        self.nodes.append(node)
        return node

    def close(self) -> list[Path]:
        """End all recordings, none of which has stopped by itself; the files."""
        for node in self.nodes:
            assert node.stopped in ("", "it was closed"), node.stopped
            node.close()
        return sorted(self.directory.iterdir())


def recorded_history(
    monkeypatch: pytest.MonkeyPatch,
    directory: Path,
    setting: str,
    seed: int,
    count: int = 300,
    segment_bytes: int = 1 << 20,
) -> tuple[list[object], list[Path]]:
    """What is said in a long history whose nodes are recorded, and the recordings."""
    recorder = Recorder(directory, segment_bytes)
    with monkeypatch.context() as patch:
        patch.setattr(random_cluster, "RawNode", recorder)
        cluster = RandomCluster(setting, seed)
        cluster.play(random_moves(seed, count))
    return cluster.said, recorder.close()


class Alone:
    """A recorded node that is a cluster by itself; `work` does all that a Ready asks for."""

    def __init__(self, directory: Path, *, segment_bytes: int = 1 << 20, total_bytes: int = 1 << 26) -> None:
        self.storage = MemoryStorage()
        self.directory = directory
        self.node = RecordingNode(
            Config(id=1, storage=self.storage, random=Random(1), logger=NullLogger()),
            directory,
            segment_bytes=segment_bytes,
            total_bytes=total_bytes,
        )

    def lead(self) -> None:
        self.node.bootstrap([Peer(1)])
        self.work()
        self.node.campaign()
        self.work()

    def work(self) -> None:
        while self.node.has_ready():
            ready = self.node.ready()
            self.keep(ready)
            self.node.advance()

    def keep(self, ready: Ready) -> None:
        self.storage.append(ready.entries)
        if ready.hard_state is not None:
            self.storage.set_hard_state(ready.hard_state)

    def write(self, data: bytes) -> None:
        self.node.propose(data)
        self.work()

    def files(self) -> list[Path]:
        return [path for _, path in segments(self.directory, 1)]


def play_all(path: Path) -> Player:
    """A segment that was run to its end, without a difference."""
    player = Player(read_segment(path))
    difference = player.play()
    assert difference is None, (path, difference)
    return player


def write_segment(path: Path, header: bytes, records: list[Record]) -> Path:
    """A file that is whole and has this content."""
    chain = Chain()
    parts = [MAGIC, chain.record(bytes((RecordKind.HEADER,)) + header)]
    parts += [chain.record(bytes((record.kind,)) + record.body) for record in records]
    path.write_bytes(b"".join(parts))
    return path


def rewritten(path: Path, position: int, change: Callable[[Record], Record | None]) -> Segment:
    """Change one record of a file, or drop it, and make the file whole again."""
    segment = read_segment(path)
    changed = change(segment.records[position])
    records = [*segment.records[:position], *([changed] if changed else []), *segment.records[position + 1 :]]
    write_segment(path, segment.header, records)
    return read_segment(path)


def inputs(segment: Segment, kind: RecordKind) -> list[int]:
    """The positions of the records of a kind."""
    return [position for position, record in enumerate(segment.records) if record.kind is kind]


def damage_in(path: Path) -> DamagedRecordingError:
    """What is said about a file that cannot be read, or run."""
    with pytest.raises(DamagedRecordingError) as raised:
        play_all(path)
    return raised.value
