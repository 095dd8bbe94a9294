"""A flight recorder: a node in production writes down all that happens to it, and a laptop runs it again.

    node = RecordingNode(config, Path("recording"))     in place of RawNode(config)
    python -m rafttest replay recording/                runs it again; `--until N` stops at an input and shows the node

The core is a function of its inputs, so the inputs and a starting state are a node's whole scenario. Read in this
order: `format` (the file, what survives, what it costs); `node`, `journal` and `ring` (recording); `player`
(replaying); `collaborators` and `answers` (what a core asks, recorded and replayed); `output`, `state` and `values`
(the bytes).
"""

from rafttest.record.format import BadValueError, DamagedRecordingError, End, RecordingError, Segment, read_segment
from rafttest.record.node import SEGMENT_BYTES, TOTAL_BYTES, RecordingNode
from rafttest.record.player import Difference, Input, Player

__all__ = [
    "SEGMENT_BYTES",
    "TOTAL_BYTES",
    "BadValueError",
    "DamagedRecordingError",
    "Difference",
    "End",
    "Input",
    "Player",
    "RecordingError",
    "RecordingNode",
    "Segment",
    "read_segment",
]
