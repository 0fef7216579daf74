"""framecast recognise: name what goes on in a video, as more and more of it is seen."""

import csv
import io
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from framecast.base.errors import UserError
from framecast.base.whole import write_text
from framecast.cli.parser import CommandParser, add_device, command_parser, number, whole_number

if TYPE_CHECKING:
    from torch import Tensor

COLUMNS = ("video", "seen", "class", "probability")
"""Columns of what is written."""
WATCHED_COLUMNS = ("video", "frame", "class", "probability")
"""The same of what is named while frames come in."""
Row = tuple[str, float, str, float]


def parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser("recognise", usage="framecast recognise RUN VIDEO [options]")
    parser.add_argument(
        "run", metavar="RUN", help="folder of a run that was trained on labelled videos"
    )
    parser.add_argument(
        "video",
        metavar="VIDEO",
        help="a video, or a folder of videos; - for standard input; of a run on labelled files, a "
        "file",
    )
    parser.add_argument(
        "--seen",
        nargs="+",
        type=number,
        metavar="SHARE",
        help="shares of the video, from above 0 to 1, after which classes are named (default: "
        "0.1 0.2 to 1)",
    )
    parser.add_argument(
        "--every",
        type=whole_number,
        metavar="N",
        help="name while frames come in, after every N that are read, without knowing the whole",
    )
    parser.add_argument(
        "--step",
        type=whole_number,
        metavar="N",
        help="frames of a video from one that is read to the next, while they come in (default: 1)",
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
    streamed = options.video == "-" or options.every is not None or options.step is not None
    if streamed and options.seen:
        raise UserError(
            "--seen names shares of a whole video, which is not known while it goes on: leave it "
            "out, or leave out --every, --step and -"
        )
    rows = _watch(options) if streamed else _recognise(options)
    if options.out is not None:
        columns = WATCHED_COLUMNS if streamed else COLUMNS
        write_text(options.out, _to_csv(columns, rows))
        print(f"{options.out}: the probabilities of all classes")


def _recognise(options: Namespace) -> list[Row]:
    """Name videos from shares of them."""
    from framecast.forecast.recognition import SHARES, recognise_videos

    found = recognise_videos(
        options.run, options.video, options.seen or SHARES, device=options.device
    )
    rows: list[Row] = []
    for video, course in zip(found.videos, found.probabilities, strict=True):
        print(video)
        for share, probabilities in zip(found.shares, course, strict=True):
            print(f"  {share:4.0%} seen:  {_best(probabilities, found.classes, options.top)}")
            rows += _rows(video, share, probabilities, found.classes)
    return rows


def _watch(options: Namespace) -> list[Row]:
    """Name videos while their frames come in."""
    from framecast.forecast.watching import watch

    place = cast(io.BufferedIOBase, sys.stdin.buffer) if options.video == "-" else options.video
    settings = {"step": options.step or 1, "every": options.every or 1, "device": options.device}
    classes, moments = watch(options.run, place, **settings)
    rows: list[Row] = []
    shown = None
    for name, frame, probabilities in moments:
        if name != shown:
            print(name)
            shown = name
        print(f"  frame {frame:5}:  {_best(probabilities, classes, options.top)}", flush=True)
        if options.out is not None:
            rows += _rows(name, frame, probabilities, classes)
    return rows


def _best(probabilities: "Tensor", classes: Sequence[str], top: int) -> str:
    """The most probable classes, in words."""
    best = probabilities.sort(descending=True, stable=True).indices[:top].tolist()
    return "  ".join(f"{classes[n]} {probabilities[n]:.1%}" for n in best)


def _rows(
    video: str, place: float, probabilities: "Tensor", classes: Sequence[str]
) -> Iterator[Row]:
    for name, probability in zip(classes, probabilities.tolist(), strict=True):
        yield video, place, name, probability


def _check_out(out: Path | None, overwrite: bool) -> None:
    if out is None:
        return
    if out.suffix != ".csv":
        raise UserError(f"--out {out} must be named .csv")
    if out.exists() and not overwrite:
        raise UserError(f"{out} exists already: choose another --out, or add --overwrite")


def _to_csv(columns: Sequence[str], rows: Iterable[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
