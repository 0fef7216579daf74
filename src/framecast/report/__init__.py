"""What an evaluation looks like: files of numbers, pictures, and a table in the terminal."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from matplotlib.figure import Figure

from framecast.base.claim import claim
from framecast.base.errors import UserError
from framecast.base.ranks import joined
from framecast.base.whole import PathLike, whole, write_text
from framecast.evaluate import Evaluation, evaluate, score_files
from framecast.evaluate.strides import Stride
from framecast.forecast.members import Variation
from framecast.frames.channels import in_colours
from framecast.frames.leads import lead_times
from framecast.metrics import IMAGES, MetricChoice
from framecast.readers.paths import Paths
from framecast.readers.selection import EVERYTHING, Selection
from framecast.report.curves import draw_curves, draw_image_curves
from framecast.report.page import draw_page
from framecast.report.recognition import draw_accuracy, named_models
from framecast.report.records import CREATOR, describe
from framecast.report.rows import (
    averages_to_csv,
    classes_to_csv,
    confusion_to_csv,
    curves_to_csv,
    differences_to_csv,
    has_curves,
    to_csv,
)
from framecast.report.sightings import draw_sightings
from framecast.report.strips import draw_colour_strips, draw_strips
from framecast.report.table import print_table
from framecast.runs.device import choose_device

__all__ = [
    "describe",
    "draw_colour_strips",
    "draw_curves",
    "draw_image_curves",
    "draw_strips",
    "evaluate_to",
    "lead_times",
    "print_table",
    "write_report",
]

NAMES = (
    "metrics.json", "metrics.csv", "averages.csv", "differences.csv", "curves.csv",
    "curves*.png", "strips_*.png", "report.html", "classes.csv", "confusion.csv", "accuracy.png",
    "classes.png",
)  # fmt: skip
"""The files of a report."""
OPTIONAL = (
    "curves.csv", "curves_images.png", "classes.csv", "confusion.csv", "accuracy.png",
    "classes.png", "strips_*.png",
)  # fmt: skip
"""Those that not every report has."""


def evaluate_to(
    runs: Sequence[PathLike],
    out: PathLike,
    *,
    data: Paths | None = None,
    steps: int | None = None,
    context: int | None = None,
    metrics: MetricChoice | None = None,
    by: str | None = None,
    stride: Stride | None = None,
    baselines: Sequence[str] | None = None,
    members: int | None = None,
    variation: Variation | None = None,
    together: bool = False,
    group_size: int | None = None,
    hide_actions: bool = False,
    same_pose: Sequence[float] | None = None,
    cache: bool = False,
    device: str = "auto",
    overwrite: bool = False,
    progress: bool = True,
) -> Evaluation:
    """Evaluate runs, write the report into the folder `out`, and print the table.

    The arguments are those of `evaluate` and `write_report`.

    Under torchrun several processes share the windows, and the first of them writes.

    Raises:
        UserError: as these two do; a bad `out` before anything is computed.
    """
    with joined(choose_device(device)) as ranks, ExitStack() as held:
        folder = ranks.first_does(lambda: held.enter_context(claim_folder(out, overwrite)))
        evaluation = evaluate(
            runs,
            data=data,
            steps=steps,
            context=context,
            metrics=metrics,
            by=by,
            stride=stride,
            baselines=baselines,
            members=members,
            variation=variation,
            together=together,
            group_size=group_size,
            hide_actions=hide_actions,
            same_pose=same_pose,
            cache=cache,
            device=device,
            progress=progress and ranks.first,
        )
        if ranks.first:
            write_report(evaluation, folder, overwrite)
    print_table(evaluation)
    return evaluation


def score_to(
    forecasts: Sequence[PathLike],
    truth: Paths,
    out: PathLike,
    *,
    climatology: Paths | None = None,
    metrics: MetricChoice | None = None,
    selection: Selection = EVERYTHING,
    overwrite: bool = False,
    progress: bool = True,
) -> Evaluation:
    """Score forecasts in files, write the report into the folder `out`, and print the table.

    The arguments are those of `score_files` and `write_report`.

    Raises:
        UserError: as these two do; a bad `out` before anything is computed.
    """
    with claim_folder(out, overwrite) as folder:
        evaluation = score_files(
            forecasts,
            truth,
            climatology=climatology,
            metrics=metrics,
            selection=selection,
            progress=progress,
        )
        write_report(evaluation, folder, overwrite)
    print_table(evaluation)
    return evaluation


def write_report(evaluation: Evaluation, out: PathLike, overwrite: bool = False) -> None:
    """Write the page, the numbers and the pictures of an evaluation.

    They are report.html, metrics.json, metrics.csv, averages.csv, differences.csv, curves.png, a
    strips_CHANNEL.png for each channel (for red, green and blue strips_colours.png), and, where
    metrics were taken that need them, curves.csv and curves_images.png; of models that name
    classes, classes.csv, confusion.csv, accuracy.png and classes.png.

    Args:
        evaluation: what to report.
        out: a folder, made if missing. The files of an earlier report are replaced, all others
            left alone.
        overwrite: whether files of these names are replaced that no report put there.

    Raises:
        UserError: if `out` is a file, or holds files that must stay.
    """
    with claim_folder(out, overwrite) as folder:
        write_text(folder / "metrics.json", json.dumps(describe(evaluation), indent=2) + "\n")
        write_text(folder / "metrics.csv", to_csv(evaluation))
        write_text(folder / "averages.csv", averages_to_csv(evaluation))
        write_text(folder / "differences.csv", differences_to_csv(evaluation))
        write_text(folder / "report.html", draw_page(evaluation, CREATOR))
        for file in (file for name in OPTIONAL for file in folder.glob(name)):
            file.unlink()  # an earlier report may have had it
        if named_models(evaluation):
            write_text(folder / "classes.csv", classes_to_csv(evaluation))
            write_text(folder / "confusion.csv", confusion_to_csv(evaluation))
            _save(draw_accuracy(evaluation), folder / "accuracy.png")
            _save(draw_sightings(evaluation), folder / "classes.png")
        if has_curves(evaluation):
            write_text(folder / "curves.csv", curves_to_csv(evaluation))
        _save(draw_curves(evaluation), folder / "curves.png")
        if any(name in IMAGES for name in evaluation.metrics):
            _save(draw_image_curves(evaluation), folder / "curves_images.png")
        _save_strips(evaluation, folder)


@contextmanager
def claim_folder(out: PathLike, overwrite: bool = False) -> Iterator[Path]:
    """Claim the folder of a report before any work; yield it, links followed.

    Raises:
        UserError: if it is a file, another process writes it, or it holds files with the names of
            a report's that no report put there, and `overwrite` is not set.
    """
    with claim(out) as folder:
        if folder.is_file():
            raise UserError(f"{out} is a file, but the report needs a folder: choose another --out")
        foreign = [] if overwrite or _is_report(folder) else _named_like_a_report(folder)
        if foreign:
            raise UserError(
                f"{out} holds {foreign[0]}, which framecast evaluate did not write: add "
                "--overwrite to replace it, or choose another --out"
            )
        yield folder


def _is_report(folder: Path) -> bool:
    try:
        said = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        return str(said["created_by"]).startswith("framecast evaluate")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _named_like_a_report(folder: Path) -> list[str]:
    return sorted(file.name for name in NAMES for file in folder.glob(name))


def _save_strips(evaluation: Evaluation, folder: Path) -> None:
    """Frames in colours are one strip, other channels one each."""
    if in_colours(evaluation.first.channels):
        _save(draw_colour_strips(evaluation), folder / "strips_colours.png")
        return
    for place, channel in enumerate(evaluation.first.channels):
        name = re.sub(r"[^\w.-]+", "_", channel.name)
        _save(draw_strips(evaluation, place), folder / f"strips_{name}.png")


def _save(figure: Figure, path: Path) -> None:
    with whole(path) as partial:
        figure.savefig(partial, dpi=150)
