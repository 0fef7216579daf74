"""Keep what stands behind a reported result: python results/collect.py RUN... EVALUATION NAME.

Of each run its configuration, log, environment and weights are copied, and of the evaluation its
numbers, into results/NAME: of one run into that folder itself, of several into a folder each.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import yaml

RESULTS = Path(__file__).parent
KEPT = ("config.yaml", "log.csv", "environment.json")
WEIGHTS = "best.safetensors"
NUMBERS = "metrics.json"

MEGABYTE = 1_000_000
LARGEST_WEIGHTS = 2 * MEGABYTE
LARGEST_TOTAL = 40 * MEGABYTE


class RefusedError(Exception):
    """What was given cannot be kept; the message says why, and what to do."""


def collect(
    runs: Sequence[Path],
    evaluation: Path,
    name: str,
    *,
    results: Path = RESULTS,
    weights: Collection[Path] | None = None,
    overwrite: bool = False,
) -> Path:
    """Copy the evidence of an evaluation into results/NAME, whole or not at all.

    Args:
        runs: folders of all the runs that were evaluated.
        evaluation: folder that `framecast evaluate` wrote.
        name: of the folder in results.
        results: the folder of all results.
        weights: those of the runs whose weights are kept too, of any size; None for all of the
            runs, each of which must then be small.
        overwrite: whether an entry of this name is replaced.

    Returns:
        The folder that was written.

    Raises:
        RefusedError: if a file is missing or too large, a path leads out of the project, the runs
            are not those of the evaluation, or there is an entry of this name.
    """
    out = results / name
    if out.exists() and not overwrite:
        raise RefusedError(f"{out} exists: choose another name, or add --overwrite")
    numbers = json.loads(_existing(evaluation / NUMBERS).read_text(encoding="utf-8"))
    _check_runs(runs, numbers)
    _check_path(numbers["data"]["source"], evaluation / NUMBERS)
    with tempfile.TemporaryDirectory() as folder:
        entry = Path(folder) / "entry"
        entry.mkdir()
        # Without indents they take half the room.
        (entry / NUMBERS).write_text(json.dumps(numbers) + "\n", encoding="utf-8")
        for run, own in zip(runs, _names(runs), strict=True):
            place = entry if len(runs) == 1 else entry / own
            _copy_run(run, place)
            if weights is None or run in weights:
                _copy_weights(run, place, LARGEST_WEIGHTS if weights is None else LARGEST_TOTAL)
        _check_total(entry, out, results)
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(entry, out)
    return out


def _copy_run(run: Path, out: Path) -> None:
    config = yaml.safe_load(_existing(run / "config.yaml").read_text(encoding="utf-8"))
    _check_path(config["data"].get("path"), run / "config.yaml")
    out.mkdir(parents=True, exist_ok=True)
    for file in KEPT:
        shutil.copyfile(_existing(run / file), out / file)


def _copy_weights(run: Path, out: Path, most: int) -> None:
    size = _existing(run / WEIGHTS).stat().st_size
    if size > most:
        raise RefusedError(
            f"{run / WEIGHTS} has {size / MEGABYTE:.1f} MB, and weights over 2 MB are not kept "
            "unasked: add --weights-of RUN for the best of them, or --weights-of alone for none"
        )
    shutil.copyfile(run / WEIGHTS, out / WEIGHTS)


def _check_runs(runs: Sequence[Path], numbers: dict[str, Any]) -> None:
    """Refuse runs that are not those that the numbers are of."""
    evaluated = [Path(run["path"]) for model in numbers["models"] for run in model["runs"]]
    theirs, given = sorted(_names(evaluated)), _names(runs)
    if theirs != sorted(given):
        raise RefusedError(
            f"the evaluation is of the runs {', '.join(theirs)}, but given are "
            f"{', '.join(given)}: give each of them once"
        )


def _names(runs: Sequence[Path]) -> list[str]:
    """What tells runs apart: the names of their folders, if needed with the folder around.

    Runs of several seeds are called alike in the folder of each recipe, so that those have it
    around them that share their name with others.
    """
    alone = [run.name for run in runs]
    return [
        run.name if alone.count(run.name) == 1 else f"{run.parent.name}/{run.name}" for run in runs
    ]


def _check_path(path: str | None, file: Path) -> None:
    """Refuse a path that means nothing to anybody else."""
    if path is not None and (Path(path).is_absolute() or ".." in Path(path).parts):
        raise RefusedError(
            f"{file} names the data {path}, which nobody else has there: train and evaluate in the "
            "folder of the project, on data below it"
        )


def _check_total(entry: Path, out: Path, results: Path) -> None:
    total = _size(entry) + _size(results) - _size(out)
    if total > LARGEST_TOTAL:
        raise RefusedError(
            f"{results} would have {total / MEGABYTE:.1f} MB, but 40 MB is the most: leave weights "
            "out (--weights-of), or remove an entry"
        )


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise RefusedError(f"{file} does not exist")
    return file


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 where all was kept, else 2."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of the runs")
    parser.add_argument("evaluation", type=Path, metavar="EVALUATION", help="folder of the report")
    parser.add_argument("name", metavar="NAME", help="name of the folder in results")
    parser.add_argument(
        "--weights-of",
        nargs="*",
        type=Path,
        metavar="RUN",
        help="keep the weights of these runs alone, of any size (default: of all)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what has this name")
    options = parser.parse_args(arguments)
    try:
        out = collect(
            options.runs,
            options.evaluation,
            options.name,
            weights=options.weights_of,
            overwrite=options.overwrite,
        )
    except RefusedError as error:
        print(f"collect: {error}", file=sys.stderr)
        return 2
    print(f"results/{out.name}: {_size(out) / MEGABYTE:.2f} MB. Next: python results/tables.py")
    return 0


if __name__ == "__main__":
    sys.exit(main())
