"""What has to be built before anything can be measured, kept below `.build` under a hash of its sources.

Four kinds: the core as a wheel compiles it, the same with the drivers in its group, the Go harness for two releases of
the reference, the Rust harness. A toolchain that is missing, or a build that fails, is a reason to leave out an engine.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
HERE: Final = Path(__file__).parent
CACHE: Final = HERE / ".build"
DRIVERS: Final = HERE / "workloads"
GO_PEER: Final = HERE / "peers" / "etcd_raft"
RUST_PEER: Final = HERE / "peers" / "raft_rs"

_CORE_PACKAGES: Final = ("raftpb", "pyraft")
_CORE_FILES: Final = ("setup.py", "pyproject.toml", "README.md", "LICENSE")
_KEPT: Final = 3
_LOG_LINES: Final = 15


class NotBuiltError(Exception):
    """An engine that cannot run here; the text says why."""


def core() -> Path:
    """A directory to import the compiled core from: what a user's wheel has."""
    sources = [*_core_sources(), Path(__file__)]
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    return _compiled("core", sources, [], command)


def core_with_drivers() -> Path:
    """A directory to import the core and the drivers from, compiled in one group."""
    drivers = sorted(DRIVERS.glob("*.py"))
    script = HERE / "compile_drivers.py"
    modules = [f"benchmarks/workloads/{file.name}" for file in drivers if file.name != "__init__.py"]
    command = [sys.executable, str(script), *modules]
    rest = [HERE / name for name in ("__init__.py", "worker.py", "registry.py")]
    return _compiled("drivers", [*_core_sources(), *drivers, *rest, script, Path(__file__)], [*drivers, *rest], command)


def etcd_raft(release: str) -> Path:
    """The Go harness for `release`, "v3.7.0" or "v3.6.0"."""
    go = shutil.which("go")
    if go is None:
        raise NotBuiltError("there is no `go` on the path")
    options = [] if release == "v3.7.0" else ["-modfile=go36.mod", "-tags=v36"]
    name = f"etcd_raft-{release}"
    version = subprocess.run([go, "version"], capture_output=True, text=True, check=False).stdout
    target = CACHE / f"{name}-{_digest(_files(GO_PEER, ('.go', '.mod', '.sum')), version)}.exe"
    if not target.is_file():
        _run(name, [go, "build", *options, "-o", str(target), "."], GO_PEER)
        _drop_old(f"{name}-*.exe")
    return target


def raft_rs() -> Path:
    """The Rust harness."""
    cargo = shutil.which("cargo")
    if cargo is None:
        raise NotBuiltError("there is no `cargo` on the path")
    folder = CACHE / "cargo"
    command = [cargo, "build", "--release", "--locked", "--quiet", "--target-dir", str(folder)]
    _run("raft_rs", command, RUST_PEER)  # cargo knows by itself what is up to date
    return folder / "release" / "raft_rs_harness"


def _core_sources() -> list[Path]:
    found = [ROOT / name for name in _CORE_FILES]
    for package in _CORE_PACKAGES:
        found += _files(ROOT / package, (".py", ".pyi", ".typed"))
    return found


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in suffixes and not {"__pycache__", "target", "build"} & set(path.parts)
    )


def _digest(files: Iterable[Path], extra: str) -> str:
    summed = hashlib.sha256(extra.encode())
    for file in files:
        summed.update(str(file.relative_to(ROOT)).encode())
        summed.update(file.read_bytes())
    return summed.hexdigest()[:16]


def _compiled(name: str, sources: Sequence[Path], copied: Sequence[Path], command: Sequence[str]) -> Path:
    """The folder that `command` compiles the core, and `copied`, in."""
    flags = (
        f"{_profiled()}{sys.version}{sysconfig.get_config_var('CC')}{os.environ.get('CC')}{os.environ.get('CFLAGS')}"
    )
    target = CACHE / f"{name}-{_digest(sources, flags)}"
    if target.is_dir():
        return target
    part = CACHE / f"part-{os.getpid()}-{target.name}"
    shutil.rmtree(part, ignore_errors=True)
    try:
        for source in [*_core_sources(), *copied]:
            place = part / source.relative_to(ROOT)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, place)
        path = f"{part}{os.pathsep}{ROOT}"  # the test kit, which a profiled build learns from, is in ROOT
        _run(name, command, part, PYRAFT_COMPILE="1", PYRAFT_PGO=_profiled(), PYTHONPATH=path)
        for left in ("build", ".mypy_cache"):
            shutil.rmtree(part / left, ignore_errors=True)
        if not target.is_dir():  # another run may have been faster
            part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    _drop_old(f"{name}-*")
    _drop_old("part-*", keep=2 * _KEPT)  # left by runs that were killed
    return target


def _profiled() -> str:
    """As released wheels are, unless the environment says otherwise."""
    return os.environ.get("PYRAFT_PGO", "1")


def _run(name: str, command: Sequence[str], folder: Path, **environment: str) -> None:
    CACHE.mkdir(exist_ok=True)
    log = CACHE / f"{name}.log"
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            command, cwd=folder, env=os.environ | environment, stdout=file, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        raise NotBuiltError(f"{name} does not build:\n" + "\n".join(lines[-_LOG_LINES:]))


def _drop_old(pattern: str, keep: int = _KEPT) -> None:
    """Keep the latest few builds of a kind."""
    found = sorted(CACHE.glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in found[keep:]:
        if old.is_dir():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.unlink(missing_ok=True)
