"""Runs entries by name, `python -m benchmarks scans`; without a name, all of them.

With `--device cuda` those that can run on a GPU do, and their results bear its name. Checkouts of
published code are given by options, which the entry `peers` reads (see there).
"""

import argparse
import importlib
import pkgutil
import sys
from pathlib import Path
from typing import Any

from benchmarks.peers import CHECKOUTS
from benchmarks.timing import ON_GPU, measure_on, result_path, write
from framecast.runs.device import choose_device

_NOT_ENTRIES = {"__main__", "timing"}


def main(arguments: list[str]) -> None:
    """Run the entries, or all of them, and write their results."""
    entries = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])]
    entries = [name for name in entries if name not in _NOT_ENTRIES]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("entry", nargs="*", help=f"what to measure: {', '.join(entries)}")
    parser.add_argument("--device", default="cpu", help="what is measured: cpu, or cuda")
    for name, (_, origin) in CHECKOUTS.items():
        parser.add_argument(f"--{name}", type=Path, metavar="PATH", help=f"checkout of {origin}")
    options = vars(parser.parse_args(arguments))
    names = options.pop("entry")
    device = choose_device(options["device"])
    if device.type != "cpu":
        measure_on(device)
        entries = [name for name in entries if name in ON_GPU]
    unknown = [name for name in names if name not in entries]
    if unknown:
        sys.exit(f"no entry {', '.join(unknown)} on {device}: choose from {', '.join(entries)}")
    paths = {name: options[name.replace("-", "_")] for name in CHECKOUTS}
    paths = {name: path for name, path in paths.items() if path is not None}
    if "peers" in names and not paths:
        sys.exit(f"peers needs checkouts: give some of --{', --'.join(CHECKOUTS)}")
    for name in names or entries:
        if name == "peers":
            if paths:
                _measure(name, paths)
        else:
            _measure(name)


def _measure(name: str, *given: Any) -> None:
    """Run one entry, and write its results."""
    entry = importlib.import_module(f"benchmarks.{name}")
    results = entry.run(*given)
    print(f"results in {write(name, results)}")
    if hasattr(entry, "plot"):
        picture = result_path(name).with_suffix(".png")
        entry.plot(results).savefig(picture, dpi=120)
        print(f"plotted in {picture}")


if __name__ == "__main__":
    main(sys.argv[1:])
