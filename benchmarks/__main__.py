"""Runs entries by name: `python -m benchmarks scans`; without a name, lists them."""

import importlib
import pkgutil
import sys
from pathlib import Path

from benchmarks.timing import write

_NOT_ENTRIES = {"__main__", "timing"}


def main(names: list[str]) -> None:
    """Run the entries and write their results; with no names, say which there are."""
    entries = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])]
    entries = [name for name in entries if name not in _NOT_ENTRIES]
    unknown = [name for name in names if name not in entries]
    if unknown or not names:
        sys.exit(f"usage: python -m benchmarks NAME...  with NAME one of: {', '.join(entries)}")
    for name in names:
        print(f"results in {write(name, importlib.import_module(f'benchmarks.{name}').run())}")


if __name__ == "__main__":
    main(sys.argv[1:])
