"""framecast recognise: name what goes on in a video, as more and more of it is seen."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from framecast.base.errors import UserError
from framecast.base.whole import write_text
from framecast.cli.parser import CommandParser, add_device, command_parser, number, whole_number

if TYPE_CHECKING:
    from framecast.forecast.recognition import Recognised

COLUMNS = ("video", "seen", "class", "probability")
"""Columns of what is written."""


def parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser("recognise", usage="framecast recognise RUN VIDEO [options]")
    parser.add_argument(
        "run", metavar="RUN", help="folder of a run that was trained on labelled videos"
    )
    parser.add_argument("video", metavar="VIDEO", help="a video, or a folder of videos")
    parser.add_argument(
        "--seen",
        nargs="+",
        type=number,
        metavar="SHARE",
        help="shares of the video, from above 0 to 1, after which classes are named (default: "
        "0.1 0.2 to 1)",
    )
    parser.add_argument(
        "--top",
        type=whole_number,
        default=3,
        metavar="N",
        help="number of classes to print, the most probable first (default: 3)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write the probabilities of all classes too (.csv)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a file at --out that exists"
    )
    add_device(parser)
    return parser


def run(arguments: list[str]) -> None:
    """Name the classes, print the most probable ones, and write what is asked for."""
    options = parser().parse_args(arguments)
    if options.top < 1:
        raise UserError(f"--top {options.top} must be at least 1")
    _check_out(options.out, options.overwrite)
    from framecast.forecast.recognition import SHARES, recognise_videos

    found = recognise_videos(
        options.run, options.video, options.seen or SHARES, device=options.device
    )
    if options.out is not None:
        write_text(options.out, _to_csv(found))
    for video, course in zip(found.videos, found.probabilities, strict=True):
        print(video)
        for share, probabilities in zip(found.shares, course, strict=True):
            best = probabilities.sort(descending=True, stable=True).indices[: options.top].tolist()
            named = "  ".join(f"{found.classes[n]} {probabilities[n]:.1%}" for n in best)
            print(f"  {share:4.0%} seen:  {named}")
    if options.out is not None:
        print(f"{options.out}: the probabilities of {len(found.classes)} classes")


def _check_out(out: Path | None, overwrite: bool) -> None:
    if out is None:
        return
    if out.suffix != ".csv":
        raise UserError(f"--out {out} must be named .csv")
    if out.exists() and not overwrite:
        raise UserError(f"{out} exists already: choose another --out, or add --overwrite")


def _to_csv(found: "Recognised") -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for video, course in zip(found.videos, found.probabilities.tolist(), strict=True):
        for share, probabilities in zip(found.shares, course, strict=True):
            for name, probability in zip(found.classes, probabilities, strict=True):
                writer.writerow([video, share, name, probability])
    return text.getvalue()
