"""Runs entries by name, `python -m benchmarks scans`; without a name, all of them."""

import importlib
import pkgutil
import sys
from pathlib import Path

from benchmarks.timing import result_path, write

_NOT_ENTRIES = {"__main__", "timing"}


def main(names: list[str]) -> None:
    """Run the entries, or all of them, and write their results."""
    entries = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])]
    entries = [name for name in entries if name not in _NOT_ENTRIES]
    unknown = [name for name in names if name not in entries]
    if unknown:
        sys.exit(f"unknown entry {', '.join(unknown)}: choose from {', '.join(entries)}")
    for name in names or entries:
        entry = importlib.import_module(f"benchmarks.{name}")
        results = entry.run()
        print(f"results in {write(name, results)}")
        if hasattr(entry, "plot"):
            picture = result_path(name).with_suffix(".png")
            entry.plot(results).savefig(picture, dpi=120)
            print(f"plotted in {picture}")


if __name__ == "__main__":
    main(sys.argv[1:])
