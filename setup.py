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
import inspect
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

MODULES = [
    *(
        f"raftpb/{name}.py"
        for name in ("integers", "enums", "message", "confchange", "wire", "encode", "decode", "codec")
    ),
    *(
        f"pyraft/{name}.py"
        for name in ("types", "anomalies", "log_reader", "memory_storage", "ready", "unstable", "log")
    ),
    *(
        f"pyraft/{name}.py"
        for name in ("read_queue", "lease", "quota", "quorum", "async_writes", "validation", "bootstrap")
    ),
    *(
        f"pyraft/{name}.py"
        for name in ("status", "ready_builder", "core_state", "arguments", "guard", "rawnode", "describe")
    ),
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

_DOC = r'PyDoc_STR\((?:"(?P<signature>(?:[^"\\]|\\.)*?--\\n\\n)"|NULL)\)'
_FUNCTION = re.compile(r"(?P<before>\(PyCFunction\)CPyPy_(?P<symbol>\w+),\s*[A-Z_ |]+,\s*)" + _DOC)
_TYPE = re.compile(r"(?P<before>CPyType_(?P<symbol>\w+)_template_ = \{(?:(?!_template_)[^;])*?\.tp_doc = )" + _DOC)
_ATTRIBUTE = re.compile(
    r'(?P<before>\{"(?P<name>\w+)",\s*\(getter\)(?P<owner>\w+)_get_(?P=name),\s*(?:\(setter\)\w+|NULL),\s*)NULL, NULL\}'
)
_MODULE = re.compile(r'(?P<before>PyModuleDef_HEAD_INIT,\s*"(?P<module>[\w.]+)",\s*)NULL, /\* docstring \*/')
_ORDINARY_CLASS = re.compile(
    r"(?P<register>cpy_r_r\d+) = (?P<filler>CPyStatics\[\d+\]); /\* 'mypyc filler docstring' \*/"
    r'(?P<after>.*?CPy_AddTraceback\("(?P<file>[^"]+)", "<module>", (?P<line>\d+),)',
    re.DOTALL,
)

TRAINING_SEEDS = 15
"""How many simulated clusters a profiled build watches."""


def wanted() -> str:
    """What PYRAFT_COMPILE asks for."""
    choice = os.environ.get("PYRAFT_COMPILE", "auto")
    if choice not in {"auto", "1", "0"}:
        sys.exit(f"PYRAFT_COMPILE is {choice!r}; expected auto, 1 or 0")
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
    for extension in found:
        take_out_trashcan(extension)
    put_in_docstrings({Path(source) for extension in found for source in extension.sources}, MODULES)
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


class Documented(NamedTuple):
    """A module, class, function, property or attribute, and what `help()` shows of it."""

    module: str
    path: tuple[str, ...]
    line: int
    text: str
    signature: str = ""
    """As mypyc writes it, which leaves out every one that has a default of several words."""
    is_attribute: bool = False


def documented(module: str) -> Iterator[Documented]:
    """What the source file `module` documents at its own level and in its classes, and every function's signature."""
    name = module.removesuffix(".py").replace("/", ".")
    tree = ast.parse(Path(module).read_text(encoding="utf-8"))
    yield Documented(name, (), 0, ast.get_docstring(tree) or "")
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield Documented(name, (node.name,), node.lineno, ast.get_docstring(node) or "", _signature(node, ""))
        elif isinstance(node, ast.ClassDef):
            yield from _of_class(name, node)


def _of_class(module: str, node: ast.ClassDef) -> Iterator[Documented]:
    methods = [one for one in node.body if isinstance(one, ast.FunctionDef)]
    start = next((one for one in methods if one.name == "__init__"), None)
    signature = f"{node.name}()" if start is None else _signature(start, "self").replace("__init__", node.name, 1)
    yield Documented(module, (node.name,), node.lineno, ast.get_docstring(node) or "", signature.replace("$self, ", ""))
    for method in methods:
        decorators = {ast.unparse(one) for one in method.decorator_list}
        first = "" if "staticmethod" in decorators else "type" if "classmethod" in decorators else "self"
        text = ast.get_docstring(method) or ""
        yield Documented(module, (node.name, method.name), method.lineno, text, _signature(method, first))
    for body in (node.body, start.body if start is not None else []):
        for before, after in pairwise(body):
            if isinstance(before, ast.AnnAssign | ast.Assign) and isinstance(after, ast.Expr):
                target = before.target if isinstance(before, ast.AnnAssign) else before.targets[0]
                if isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
                    attribute = ast.unparse(target).removeprefix("self.")
                    text = inspect.cleandoc(after.value.value)
                    yield Documented(module, (node.name, attribute), before.lineno, text, is_attribute=True)


def _signature(function: ast.FunctionDef, first: str) -> str:
    """For `inspect`, which understands no default but a literal; the others are "..."."""
    arguments = ast.parse(ast.unparse(function.args).join(("def f(", "): ..."))).body[0]
    if not isinstance(arguments, ast.FunctionDef):
        raise TypeError(f"{function.name} is no function")
    given = arguments.args
    for one in (*given.posonlyargs, *given.args, *given.kwonlyargs):
        one.annotation = None
    given.defaults = [_literal(one) for one in given.defaults]
    given.kw_defaults = [one and _literal(one) for one in given.kw_defaults]
    if first:
        given.args[0].arg = f"${first}"
    return f"{function.name}({ast.unparse(given)})"


def _literal(default: ast.expr) -> ast.expr:
    return default if isinstance(default, ast.Constant) else ast.Constant(...)


def put_in_docstrings(sources: Iterable[Path], modules: list[str]) -> None:
    """Let `help()` find the texts in the compiled build, too: of docstrings mypyc 2.4.1 keeps nothing but signatures.

    A name in C begins with as much of its module's name as makes it the only one in the group, so all of these are
    looked up; one that several modules share is none of them. Classes that are not native, as enumerations are, get
    their docstring at run time, and are known by their line.
    """
    every = [one for module in modules for one in documented(module)]
    by_symbol: dict[str, Documented | None] = {}
    for one in every:
        parts = one.module.split(".")
        for first in range(len(parts)):
            symbol = "___".join((*parts[first:], *one.path))
            by_symbol[symbol] = None if symbol in by_symbol else one
    by_line = {(one.module.replace(".", "/") + ".py", one.line): one for one in every}
    by_module = {one.module: one for one in every if not one.path}
    missing = {one for one in every if one.text and not one.is_attribute}

    def of_callable(match: re.Match[str]) -> str:
        one = by_symbol.get(match["symbol"])
        if one is None or not (one.text or one.signature):
            return match[0]
        missing.discard(one)
        signature = match["signature"] or _c_text(f"{one.signature}\n--\n\n")
        return f'{match["before"]}PyDoc_STR("{signature}{_c_text(one.text)}")'

    def of_attribute(match: re.Match[str]) -> str:
        one = by_symbol.get(f"{match['owner']}___{match['name']}")
        if one is None or not one.text:
            return match[0]
        missing.discard(one)
        return f'{match["before"]}PyDoc_STR("{_c_text(one.text)}"), NULL}}'

    def of_module(match: re.Match[str]) -> str:
        one = by_module[match["module"]]
        missing.discard(one)
        return f'{match["before"]}PyDoc_STR("{_c_text(one.text)}"),'

    def of_ordinary_class(match: re.Match[str]) -> str:
        one = by_line.get((match["file"], int(match["line"])))
        if one is None:
            return match[0]
        missing.discard(one)
        made = f'{match["register"]} = PyUnicode_FromString("{_c_text(one.text)}");'
        fallback = f"if (!{match['register']}) {{ PyErr_Clear(); {match['register']} = {match['filler']}; }}"
        return f"{made} {fallback}{match['after']}"

    for source in sources:
        text = source.read_text(encoding="utf-8")
        for pattern, put in (
            (_FUNCTION, of_callable),
            (_TYPE, of_callable),
            (_ATTRIBUTE, of_attribute),
            (_MODULE, of_module),
            (_ORDINARY_CLASS, of_ordinary_class),
        ):
            text = pattern.sub(put, text)
        source.write_text(text, encoding="utf-8")
    if missing:
        names = ", ".join(sorted(".".join((one.module, *one.path)) for one in missing))
        sys.exit(f"mypyc writes docstrings otherwise than it did, see put_in_docstrings in setup.py; left out: {names}")


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
