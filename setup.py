"""The compiled build: the same source, through mypyc, as one group of modules.

`PYRAFT_COMPILE` decides. `auto`, the default: compile if there is a C compiler that can build extensions, else install
the plain source; editable installs stay plain. `1`: compile, and fail if that fails. `0`: do not.

`PYRAFT_PGO=1`, with GCC: compile a second time with the profile of a short simulation, as released wheels are.

Left out of the group are the modules that applications derive from or that must take values of any type to complain
about them: errors, config, logger, the Storage protocol, and every package's `__init__`; and what only state traces
need: trace_logger and state_trace.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

MODULES = [
    *(
        f"raftpb/{name}.py"
        for name in ("integers", "enums", "message", "confchange", "wire", "encode", "decode", "codec")
    ),
    *(f"pyraft/{name}.py" for name in ("types", "anomalies", "source", "memory_storage", "ready", "unstable", "log")),
    *(f"pyraft/{name}.py" for name in ("read_queue", "lease", "quota", "quorum", "async_writes", "door", "bootstrap")),
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

NO_TRASHCAN = "do { /* no trashcan */"

FEWEST_DOCSTRINGS = 100

_SIGNATURE = r'PyDoc_STR\("(?P<signature>(?:[^"\\]|\\.)*)"\)'
_FUNCTION = re.compile(r"(?P<before>\(PyCFunction\)CPyPy_(?P<symbol>\w+),\s*[A-Z_ |]+,\s*)" + _SIGNATURE)
_TYPE = re.compile(
    r"(?P<before>CPyType_(?P<symbol>\w+)_template_ = \{(?:(?!_template_)[^;])*?\.tp_doc = )" + _SIGNATURE
)

TRAINING_SEEDS = 15
"""How many simulated clusters a profiled build watches."""


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
    texts = docstrings(MODULES)
    for extension in found:
        take_out_trashcan(extension)
    if sum(put_in_docstrings(extension, texts) for extension in found) < FEWEST_DOCSTRINGS:
        sys.exit("mypyc writes docstrings otherwise than it did; see put_in_docstrings in setup.py")
    if sys.platform != "win32":
        for extension in found:
            extension.extra_compile_args += FLAGS
    return found


def take_out_trashcan(extension: Extension) -> None:
    """Let no deallocator of the group put its object into CPython's trashcan.

    Fifty deallocations deep, the trashcan keeps an object for later in a list that it threads through the words before
    the object, which belong to the garbage collector. The values declared `acyclic` have no such words: mypyc 2.4.1
    overwrites memory that is somebody else's, and a message of nested responses is enough to bring that about. Nobody
    here needs the trashcan: a chain of these values leads through lists, which see to the depth themselves.
    """
    for source in map(Path, extension.sources):
        text = source.read_text(encoding="utf-8")
        if "_dealloc(" in text and "TRASHCAN_BEGIN(self" not in text and NO_TRASHCAN not in text:
            sys.exit(f"{source}: mypyc writes deallocators otherwise than it did; see take_out_trashcan in setup.py")
        text = re.sub(r"CPy_TRASHCAN_BEGIN\(self, \w+\)", NO_TRASHCAN, text)
        source.write_text(text.replace("CPy_TRASHCAN_END(self)", "} while (0);"), encoding="utf-8")


def docstrings(modules: list[str]) -> dict[str, str]:
    """The docstring of each class, method and function, by the name that mypyc gives it in C.

    That name begins with as much of the module's name as makes it the only one in the group, so all of these are here;
    one that several modules share belongs to none of them.
    """
    found: dict[str, str] = {}
    shared: set[str] = set()
    for module in modules:
        parts = module.removesuffix(".py").split("/")
        tree = ast.parse(Path(module).read_text(encoding="utf-8"))
        for name, text in _texts(tree, ()):
            for first in range(len(parts)):
                symbol = "___".join((*parts[first:], *name))
                if found.setdefault(symbol, text) != text:
                    shared.add(symbol)
    return {symbol: text for symbol, text in found.items() if symbol not in shared}


def _texts(tree: ast.AST, inside: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield (*inside, node.name), text
            if isinstance(node, ast.ClassDef):
                yield from _texts(node, (*inside, node.name))


def put_in_docstrings(extension: Extension, texts: dict[str, str]) -> int:
    """Let `help()` find the text of each native class and function: mypyc 2.4.1 keeps their signatures alone.

    Returns how many texts were put in.
    """
    count = 0

    def with_text(match: re.Match[str]) -> str:
        nonlocal count
        text = texts.get(match["symbol"])
        if text is None:
            return match[0]
        count += 1
        return f'{match["before"]}PyDoc_STR("{match["signature"]}{_c_text(text)}")'

    for source in map(Path, extension.sources):
        text = source.read_text(encoding="utf-8")
        for pattern in (_FUNCTION, _TYPE):
            text = pattern.sub(with_text, text)
        source.write_text(text, encoding="utf-8")
    return count


def _c_text(text: str) -> str:
    """The inside of a C string."""
    return "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\?' else f"\\{byte:03o}" for byte in text.encode())


class ProfiledBuild(build_ext):
    """Compiles twice if PYRAFT_PGO is 1: first to watch what simulated clusters do, then to suit that."""

    def build_extensions(self) -> None:
        """Build everything where it belongs."""
        if os.environ.get("PYRAFT_PGO", "0") != "1" or not self.extensions:
            super().build_extensions()
            return
        before = [(extension.extra_compile_args, extension.extra_link_args) for extension in self.extensions]
        self._build_with(["-fprofile-generate", "-fprofile-update=single"], ["-fprofile-generate"])
        self._train()
        for extension, (compile_args, link_args) in zip(self.extensions, before, strict=True):
            extension.extra_compile_args, extension.extra_link_args = compile_args, link_args
        self._build_with(["-fprofile-use", "-fprofile-correction", "-Wno-missing-profile"], [])

    def _build_with(self, compile_args: list[str], link_args: list[str]) -> None:
        for extension in self.extensions:
            extension.extra_compile_args = [*extension.extra_compile_args, *compile_args]
            extension.extra_link_args = [*extension.extra_link_args, *link_args]
        self.force = True
        super().build_extensions()

    def _train(self) -> None:
        """Simulate a few clusters with what was just built."""
        group = next(one.name for one in self.extensions if one.name.endswith("__mypyc"))
        built = Path(self.get_ext_fullpath(group)).resolve().parent
        path = os.pathsep.join([str(built), str(Path(__file__).resolve().parent), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-P", "-m", "rafttest", "sim", "--runs", str(TRAINING_SEEDS)]
        subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    setup(ext_modules=extensions(), cmdclass={"build_ext": ProfiledBuild})
