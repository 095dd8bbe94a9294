"""Compile the workloads' drivers in one group with the core, in the current directory: a copy of the source tree.

    python PATH/compile_drivers.py MODULE...

One group, because a native call between two groups takes the slow way round; the list of core modules and the compiler
flags are those of setup.py.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import setuptools
from setuptools import Extension


def main(drivers: list[str]) -> None:
    """Build in place."""
    os.environ["PYRAFT_COMPILE"] = "0"  # while setup.py is only read
    spec = importlib.util.spec_from_file_location("setup_of_the_core", Path("setup.py"))
    if spec is None or spec.loader is None:
        sys.exit("there is no setup.py here")
    core = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(core)

    os.environ["PYRAFT_COMPILE"] = "1"
    core.MODULES.extend(drivers)
    modules: list[Extension] = core.extensions()
    setuptools.setup(
        name="pyraft-benchmarks",
        ext_modules=modules,
        packages=[],
        cmdclass={"build_ext": core.ProfiledBuild},
        script_args=["--quiet", "build_ext", "--inplace"],
    )


if __name__ == "__main__":
    main(sys.argv[1:])
