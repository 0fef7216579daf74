"""framecast sweep: train a run for each combination of some values, and say which is best."""

import csv
import io
import shlex
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from framecast.base.errors import UserError
from framecast.base.texts import read_yaml
from framecast.base.whole import write_text
from framecast.cli.parser import CommandParser, add_device, command_parser, overrides, whole_number
from framecast.runs.config import Experiment
from framecast.runs.recipes import find_recipe

COMMON = ("data.path", "training.epochs", "training.seed")
"""The keys that the short help explains."""


def parser(everything: bool = False) -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser("sweep", usage="framecast sweep GRID.yaml --out FOLDER [--jobs N]")
    parser.add_argument(
        "grid",
        type=Path,
        metavar="GRID.yaml",
        help="a file with the key recipe (a name, or a file of keys) and the key try: lists of "
        "values by the names of keys, such as model.hidden: [16, 32]",
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
    """Train all combinations, and print them in the order of their loss."""
    options = parser("--help-all" in arguments).parse_args(arguments)
    recipe, values = _read(options.grid)
    from framecast.train.many import grid, train_many

    file = None if recipe is None else find_recipe(recipe)
    jobs = grid(file, overrides(Experiment, options), values)
    runs = train_many(
        jobs, options.out, parallel=options.jobs, resume=options.resume, device=options.device
    )
    rows = _rows([job.values for job in jobs], runs)
    write_text(options.out / "sweep.csv", _as_csv(rows))
    _print(rows)
    best = options.out / rows[0]["run"]
    words = ["framecast", "evaluate", str(best), "--out", str(options.out / "best")]
    print(f"Best: {best}. Next: {shlex.join(words)}")


def _read(file: Path) -> tuple[str | None, dict[str, Any]]:
    content = read_yaml(file)
    if not isinstance(content, dict) or not isinstance(content.get("try"), dict):
        raise UserError(
            f"{file} must hold the key try, with lists of values by the names of keys, such as "
            "model.hidden: [16, 32]"
        )
    if unknown := set(content) - {"recipe", "try"}:
        raise UserError(f"{file}: unknown key {sorted(unknown)[0]}: there are recipe and try")
    recipe = content.get("recipe")
    return (None if recipe is None else str(recipe)), content["try"]


def _rows(values: list[Any], runs: list[Path]) -> list[dict[str, Any]]:
    """What was tried and reached, the best first."""
    from framecast.runs.checkpoint import load_checkpoint

    rows = []
    for own, run in zip(values, runs, strict=True):
        checkpoint = load_checkpoint(run)
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
