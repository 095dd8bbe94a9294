"""State traces: what every node of a cluster tells `Config.trace_logger`, in one file for a validator of TLA+ traces.

    with open("run.ndjson", "w") as stream:
        env = InteractionEnv(trace_logger=StateTraceWriter(stream))

Invariants: one line of JSON an event, all nodes in one file, in the order in which things happened. The lines have the
shape of the reference's example: `tag` and `event` are what its Traceetcdraft specification reads. Its validate.sh
first sorts the lines as texts by what follows the second colon, so that is a number of fixed width which counts them.

Source: etcd tla/README.md, tla/example.ndjson, tla/validate.sh.
"""

from __future__ import annotations

from typing import Final, TextIO

from pyraft.trace_logger import TraceEvent

_FIRST: Final = 10**12
"""Where counting begins, so that all numbers have one width."""


class StateTraceWriter:
    """A `TraceLogger` that writes each event to `stream` at once. `events`: how many there were."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.events = 0

    def trace_event(self, event: TraceEvent, /) -> None:
        """Write one line. Raises what the stream raises, which stops the node."""
        stamp = _FIRST + self.events
        self.events += 1
        self.stream.write(f'{{"level":"debug","ts":{stamp},"msg":"trace","tag":"trace","event":{event.to_json()}}}\n')
