"""What an evaluation looks like: files of numbers, pictures, and a table in the terminal."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from framecast.base.errors import UserError
from framecast.base.whole import PathLike, whole, write_text
from framecast.evaluate import Evaluation, evaluate
from framecast.metrics import IMAGES, MetricChoice
from framecast.report.pictures import draw_curves, draw_image_curves, draw_strips
from framecast.report.records import averages_to_csv, describe, to_csv
from framecast.report.table import print_table
from framecast.report.words import lead_times

__all__ = [
    "describe",
    "draw_curves",
    "draw_image_curves",
    "draw_strips",
    "evaluate_to",
    "lead_times",
    "print_table",
    "write_report",
]


def evaluate_to(
    runs: Sequence[PathLike],
    out: PathLike,
    *,
    data: PathLike | None = None,
    steps: int | None = None,
    context: int | None = None,
    metrics: MetricChoice | None = None,
    by: str | None = None,
    stride: int | None = None,
    device: str = "auto",
    progress: bool = True,
) -> Evaluation:
    """Evaluate runs, write the report into the folder `out`, and print the table.

    The arguments are those of `evaluate` and `write_report`.

    Raises:
        UserError: as these two do; a bad `out` before anything is computed.
    """
    out = Path(out)
    _check_out(out)
    evaluation = evaluate(
        runs,
        data=data,
        steps=steps,
        context=context,
        metrics=metrics,
        by=by,
        stride=stride,
        device=device,
        progress=progress,
    )
    write_report(evaluation, out)
    print_table(evaluation)
    return evaluation


def write_report(evaluation: Evaluation, out: Path) -> None:
    """Write the numbers and pictures of an evaluation.

    They are metrics.json, metrics.csv, averages.csv, curves.png, a strips_CHANNEL.png for each
    channel, and, where metrics of images were taken, curves_images.png.

    Args:
        evaluation: what to report.
        out: a folder, made if missing. Files of these names are replaced, others left alone.

    Raises:
        UserError: if `out` is a file.
    """
    _check_out(out)
    write_text(out / "metrics.json", json.dumps(describe(evaluation), indent=2) + "\n")
    write_text(out / "metrics.csv", to_csv(evaluation))
    write_text(out / "averages.csv", averages_to_csv(evaluation))
    _save(draw_curves(evaluation), out / "curves.png")
    if any(name in IMAGES for name in evaluation.metrics):
        _save(draw_image_curves(evaluation), out / "curves_images.png")
    for place, channel in enumerate(evaluation.first.channels):
        name = re.sub(r"[^\w.-]+", "_", channel.name)
        _save(draw_strips(evaluation, place), out / f"strips_{name}.png")


def _check_out(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file, but the report needs a folder: choose another --out")


def _save(figure: Figure, path: Path) -> None:
    with whole(path) as partial:
        figure.savefig(partial, dpi=150)
