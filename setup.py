"""The compiled build: the same source, through mypyc, as one group of modules.

`PYRAFT_COMPILE` decides. `auto`, the default: compile if there is a C compiler that can build extensions, else install
the plain source; editable installs stay plain. `1`: compile, and fail if that fails. `0`: do not.

Left out of the group are the modules that applications derive from or that must take values of any type to complain
about them: errors, config, logger, the Storage protocol, and every package's `__init__`; and what only state traces
need: trace_logger and state_trace.
"""

import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from setuptools import Extension, setup

MODULES = [
    *(
        f"raftpb/{name}.py"
        for name in ("integers", "enums", "message", "confchange", "wire", "encode", "decode", "codec")
    ),
    *(f"pyraft/{name}.py" for name in ("types", "anomalies", "source", "memory_storage", "ready", "unstable", "log")),
    *(f"pyraft/{name}.py" for name in ("read_queue", "quota", "quorum", "async_writes", "door", "bootstrap")),
    *(f"pyraft/{name}.py" for name in ("status", "handout", "core_state", "rawnode", "describe")),
    *(f"pyraft/tracker/{name}.py" for name in ("inflights", "progress", "configuration", "tracker")),
    *(f"pyraft/confchange/{name}.py" for name in ("changer", "restore")),
    *(
        f"pyraft/core/{name}.py"
        for name in (
            *("raft", "replication", "transitions", "reads", "transfer", "election", "membership", "acks"),
            *("snapshot", "proposals", "durability", "roles", "step", "start"),
        )
    ),
]

# Native functions are exported symbols, which keeps GCC from inlining them; these flags are worth 12 to 29 percent.
FLAGS = ["-fvisibility=hidden", "-fno-semantic-interposition", "-fno-plt"]


def wanted() -> str:
    """What PYRAFT_COMPILE asks for."""
    choice = os.environ.get("PYRAFT_COMPILE", "auto")
    if choice not in {"auto", "1", "0"}:
        sys.exit(f"PYRAFT_COMPILE is {choice!r}; auto, 1 or 0 are due")
    if choice == "auto" and (not is_build() or not has_compiler()):
        return "0"
    return choice


def is_build() -> bool:
    """True if something is being built that is not an editable install."""
    return any(command in sys.argv for command in ("bdist_wheel", "build_ext", "install")) and not any(
        command in sys.argv for command in ("editable_wheel", "develop")
    )


def has_compiler() -> bool:
    """True if the C compiler that this Python was built with, or CC, can compile against its headers."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text("#include <Python.h>\n")
        command = [
            *compiler,
            "-I",
            sysconfig.get_path("include"),
            "-c",
            str(source),
            "-o",
            str(source.with_suffix(".o")),
        ]
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except OSError:
            return False


def extensions() -> list[Extension]:
    """The compiled group, or nothing."""
    choice = wanted()
    if choice == "0":
        return []
    try:
        from mypyc.build import mypycify

        made = mypycify([*MODULES, "--config-file="], opt_level="3", group_name="pyraft_core")
    except ImportError:
        if choice == "1":
            raise
        return []
    found = [extension for extension in made if isinstance(extension, Extension)]
    if sys.platform != "win32":
        for extension in found:
            extension.extra_compile_args += FLAGS
    return found


setup(ext_modules=extensions())
