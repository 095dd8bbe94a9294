"""The program with the nodes of go.etcd.io/raft, and the frames to it: see `reference/mixed/main.go`."""

from __future__ import annotations

import base64
import json
import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final

from raftpb.codec import (
    decode_conf_state,
    decode_entry,
    decode_hard_state,
    decode_snapshot,
    encode_conf_state,
    encode_snapshot,
)
from raftpb.message import ConfState, Snapshot
from rafttest.mixed.peer import Answer, MixedSettings
from rafttest.reference.compare import NoReferenceError

SOURCES: Final = Path(__file__).parents[1] / "reference" / "mixed"
RELEASES: Final[Mapping[str, tuple[str, ...]]] = {
    "v3.7.0": (),
    "v3.6.0": ("-modfile=go36.mod", "-tags=v36"),
}
_HEAD: Final = struct.Struct(">I")


class GoProcessError(Exception):
    """The program has ended, or answers nonsense; the text says what it said last."""


def build(folder: str, release: str) -> str:
    """Build the program for `release` in `folder`; return its path. Raises NoReferenceError."""
    go = shutil.which("go")
    if go is None:
        raise NoReferenceError("skipped: a mixed group needs Go, and there is no `go` on the path", 0)
    if not (SOURCES / "go.mod").is_file():
        raise NoReferenceError("skipped: a mixed group needs its Go program, which only a source checkout has", 0)
    program = str(Path(folder) / f"mixed-{release}.exe")
    command = [go, "build", "-C", str(SOURCES), *RELEASES[release], "-o", program, "."]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise NoReferenceError(f"the Go program for {release} does not build:\n{done.stderr[-2000:]}", 2)
    return program


def library_of(release: str) -> str:
    """Name the other library, for people."""
    return f"etcd raft {release}"


class GoProcess:
    """The running program. Use it in a `with` block: it ends with it."""

    def __init__(self, program: str, release: str) -> None:
        self.release = release
        self._has_ended = False
        self._said = ""
        self._process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def __enter__(self) -> GoProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        self._last_words()

    def seed(self, seed: int) -> None:
        """Forget all nodes, and draw from `seed` on."""
        self.ask({"Do": "seed", "Seed": seed})

    def ask(self, request: Mapping[str, object]) -> dict[str, object]:
        """Send a request; its answer. Raises GoProcessError."""
        sent, received = self._process.stdin, self._process.stdout
        if sent is None or received is None:
            raise GoProcessError("the program has no pipes")
        if self._has_ended:
            raise GoProcessError(f"the Go program has ended: {self._said}")
        data = json.dumps(request).encode()
        try:
            sent.write(_HEAD.pack(len(data)) + data)
            sent.flush()
            head = received.read(_HEAD.size)
            body = received.read(_HEAD.unpack(head)[0]) if len(head) == _HEAD.size else b""
        except OSError as error:
            raise GoProcessError(f"the Go program is gone: {error}; {self._last_words()}") from error
        if not body:
            raise GoProcessError(f"the Go program ended at {request.get('Do')}: {self._last_words()}")
        answer = json.loads(body)
        if not isinstance(answer, dict):
            raise GoProcessError(f"the Go program answers {body[:200]!r}")
        return answer

    def _last_words(self) -> str:
        if not self._has_ended:
            self._has_ended = True
            self._process.kill()
            self._said = self._process.communicate()[1].decode(errors="replace")[-500:]
        return self._said


class GoNode:
    """See `Peer`: one node in the program."""

    def __init__(self, process: GoProcess) -> None:
        self._process = process
        self.library = library_of(process.release)
        self.id = 0

    def start(self, id: int, settings: MixedSettings, snapshot: Snapshot | None) -> Answer:
        self.id = id
        told = {
            "ElectionTick": settings.election_tick,
            "HeartbeatTick": settings.heartbeat_tick,
            "MaxSizePerMsg": settings.max_size_per_msg,
            "MaxCommittedSizePerReady": settings.max_committed_size_per_ready,
            "MaxInflightMsgs": settings.max_inflight_msgs,
            "CheckQuorum": settings.check_quorum,
            "PreVote": settings.pre_vote,
            "Async": settings.is_asynchronous,
            "StepDown": settings.step_down_on_removal,
        }
        return self._ask("start", b"" if snapshot is None else encode_snapshot(snapshot), Settings=told)

    def restart(self) -> Answer:
        return self._ask("restart")

    def tick(self) -> Answer:
        return self._ask("tick")

    def step(self, message: bytes) -> Answer:
        return self._ask("step", message)

    def propose(self, data: bytes) -> Answer:
        return self._ask("propose", data)

    def change(self, change: bytes) -> Answer:
        return self._ask("change", change)

    def change_v1(self, change: bytes) -> Answer:
        return self._ask("change v1", change)

    def read(self, context: bytes) -> Answer:
        return self._ask("read", context)

    def campaign(self) -> Answer:
        return self._ask("campaign")

    def forget_leader(self) -> Answer:
        return self._ask("forget")

    def transfer(self, to: int) -> Answer:
        return self._ask("transfer", To=to)

    def report_snapshot(self, to: int, failed: bool) -> Answer:
        return self._ask("snapshot", To=to, Failed=failed)

    def report_unreachable(self, to: int) -> Answer:
        return self._ask("unreachable", To=to)

    def compact(self, index: int, conf: ConfState, data: bytes) -> Answer:
        state = encode_conf_state(conf)
        return self._ask("compact", len(state).to_bytes(2) + state + data, Index=index)

    def work(self) -> Answer:
        return self._ask("work")

    def append(self) -> Answer:
        return self._ask("append")

    def apply(self) -> Answer:
        return self._ask("apply")

    def _ask(self, what: str, data: bytes = b"", **more: object) -> Answer:
        request = {"Do": what, "Node": self.id, "Data": base64.b64encode(data).decode(), **more}
        return _answer(self._process.ask(request))


def _answer(told: dict[str, object]) -> Answer:
    def number(name: str) -> int:
        value = told[name]
        if not isinstance(value, int):
            raise GoProcessError(f"{name} is {value!r}; expected a number")
        return value

    def blobs(name: str) -> list[bytes]:
        value = told[name] or []
        if not isinstance(value, list):
            raise GoProcessError(f"{name} is {value!r}; expected a list")
        return [base64.b64decode(one or "") for one in value]

    def blob(name: str) -> bytes:
        return base64.b64decode(str(told[name] or ""))

    reads = told["Reads"] or []
    if not isinstance(reads, list):
        raise GoProcessError(f"Reads is {reads!r}; expected a list")
    return Answer(
        error=str(told["Error"]),
        panic=str(told["Panic"]),
        has_ready=told["HasReady"] is True,
        role=number("Role"),
        term=number("Term"),
        vote=number("Vote"),
        lead=number("Lead"),
        commit=number("Commit"),
        applied=number("Applied"),
        last=number("Last"),
        append_work=number("AppendWork"),
        apply_work=number("ApplyWork"),
        messages=blobs("Messages"),
        entries=[decode_entry(data) for data in blobs("Entries")],
        committed=[decode_entry(data) for data in blobs("Committed")],
        confs=[decode_conf_state(data) for data in blobs("Confs")],
        hard_state=decode_hard_state(blob("HardState")) if told["HardState"] else None,
        snapshot=decode_snapshot(blob("Snapshot")) if told["Snapshot"] else None,
        reads=[(int(one["Index"]), base64.b64decode(one["Context"] or "")) for one in reads],
    )
