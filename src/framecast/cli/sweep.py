"""framecast sweep: train runs with other values of some keys, and say which is best."""

import csv
import io
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console
from rich.table import Table

from framecast.base.errors import UserError
from framecast.base.texts import read_yaml
from framecast.base.whole import write_text
from framecast.cli.parser import CommandParser, add_device, command_parser, overrides, whole_number
from framecast.runs.experiment import Experiment
from framecast.runs.recipes import find_recipe

if TYPE_CHECKING:
    from framecast.train.many import Job

COMMON = ("data.path", "training.epochs", "training.seed")
"""The keys that the short help explains."""
KEYS = ("recipe", "try", "draws", "seed")
"""The keys of the file of a sweep."""


def parser(everything: bool = False) -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser("sweep", usage="framecast sweep GRID.yaml --out FOLDER [--jobs N]")
    parser.add_argument(
        "grid",
        type=Path,
        metavar="GRID.yaml",
        help="a file with the key recipe (a name, or a file of keys) and the key try: lists of "
        "values by the names of keys, such as model.hidden: [16, 32]. With draws: 20 so many runs "
        "are drawn at random, also from ranges such as {low: 1.0e-4, high: 1.0e-2, log: true}",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="folder of the runs; new"
    )
    parser.add_argument(
        "--jobs", type=whole_number, default=1, metavar="N", help="runs at a time (default: 1)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the sweep at --out, as if never stopped"
    )
    add_device(parser)
    parser.add_config(Experiment, COMMON, everything)
    return parser


def run(arguments: list[str]) -> None:
    """Train all runs, and print them in the order of their loss."""
    options = parser("--help-all" in arguments).parse_args(arguments)
    plan = _read(options.grid)
    from framecast.train.many import FailedError, train_many
    from framecast.train.trials import draws, grid

    file = None if plan.recipe is None else find_recipe(plan.recipe)
    given = overrides(Experiment, options)
    if plan.draws is None:
        jobs = grid(file, given, plan.values)
    else:
        jobs = draws(file, given, plan.values, plan.draws, plan.seed)
    failed = None
    try:
        train_many(
            jobs, options.out, parallel=options.jobs, resume=options.resume, device=options.device
        )
    except FailedError as error:
        failed = error
        jobs = [job for job in jobs if job.name not in error.names]
    if jobs:
        _tell_best(jobs, options.out)
    if failed is not None:
        raise failed


def _tell_best(jobs: "Sequence[Job]", out: Path) -> None:
    """Write and print what the runs reached, and name the best."""
    rows = _rows([job.values for job in jobs], [out / job.name for job in jobs])
    write_text(out / "sweep.csv", _as_csv(rows))
    _print(rows)
    best = out / rows[0]["run"]
    words = ["framecast", "evaluate", str(best), "--out", str(out / "best")]
    print(f"Best: {best}. Next: {shlex.join(words)}")


class _Plan(NamedTuple):
    """What a file says: values by key, and how many runs are drawn; None for all combinations."""

    recipe: str | None
    values: dict[str, Any]
    draws: int | None
    seed: int


def _read(file: Path) -> _Plan:
    content = read_yaml(file)
    if not isinstance(content, dict) or not isinstance(content.get("try"), dict):
        raise UserError(
            f"{file} must hold the key try, with lists of values by the names of keys, such as "
            "model.hidden: [16, 32]"
        )
    if odd := [key for key in content["try"] if not isinstance(key, str)]:
        raise UserError(f"{file}: {odd[0]!r} is the name of no key: write model.hidden or the like")
    if unknown := set(content) - set(KEYS):
        raise UserError(
            f"{file}: unknown key {sorted(map(str, unknown))[0]}: there are {', '.join(KEYS)}"
        )
    recipe, count, seed = (content.get(key) for key in ("recipe", "draws", "seed"))
    for key, value in (("draws", count), ("seed", seed)):
        if value is not None and type(value) is not int:
            raise UserError(f"{file}: {key} {value} must be a whole number")
    if seed is not None and count is None:
        raise UserError(f"{file}: seed is of runs that are drawn, and draws does not say how many")
    return _Plan(None if recipe is None else str(recipe), content["try"], count, seed or 0)


def _rows(values: list[Any], runs: list[Path]) -> list[dict[str, Any]]:
    """What was tried and reached, the best first."""
    from framecast.runs.checkpoint import load_saved

    rows = []
    for own, run in zip(values, runs, strict=True):
        checkpoint = load_saved(run)
        parameters = sum(p.numel() for p in checkpoint.model.parameters())
        reached = {"loss": checkpoint.loss, "epoch": checkpoint.epoch, "parameters": parameters}
        rows.append({"run": run.name, **own, **reached})
    return sorted(rows, key=lambda row: float(row["loss"]))


def _as_csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _print(rows: list[dict[str, Any]]) -> None:
    table = Table(title="Runs by the loss that chose their best epoch")
    for name in rows[0]:
        table.add_column(name)
    for row in rows:
        shown = (f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values())
        table.add_row(*shown)
    Console().print(table)
