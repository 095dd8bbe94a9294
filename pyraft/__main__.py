"""`python -m pyraft`: which version this is, whether it is compiled, and where it lies."""

import sys
from pathlib import Path

import pyraft


def main() -> int:
    """Print one line."""
    build = "compiled" if pyraft.COMPILED else "pure Python"
    version = sys.version_info
    python = f"Python {version.major}.{version.minor}.{version.micro}"
    print(f"pyraft {pyraft.__version__}, {build}, {python}, in {Path(pyraft.__file__).parent}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
