"""framecast forecast: forecast from past frames into a file."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from framecast.cli.members import add_variation, variation
from framecast.cli.parser import (
    CommandParser,
    add_device,
    command_parser,
    one_or_many,
    whole_number,
)
from framecast.cli.reading import add_caching, add_reading, read_selection

if TYPE_CHECKING:
    from framecast.forecast.order import EnsembleOrder

COMMON = ("data.variables", "data.missing", "data.dims", "data.select", "data.layout")
"""The keys that the short help explains."""


def parser(everything: bool = False) -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser(
        "forecast",
        usage="framecast forecast RUN INPUT [INPUT ...] --steps K --out FILE [options]\n"
        "       framecast forecast BASELINE INPUT [INPUT ...] --steps K --out FILE "
        "[--data.KEY VALUE ...]",
    )
    parser.add_argument(
        "run",
        metavar="RUN",
        help="folder of a run, or one of its checkpoints; or a baseline: persistence, climatology, "
        "damped_persistence, advection, filtered_advection, linear_inverse",
    )
    parser.add_argument(
        "input",
        nargs="+",
        metavar="INPUT",
        help="past frames: a file, a folder or a pattern in quotes; several files are one series",
    )
    parser.add_argument(
        "--steps",
        type=whole_number,
        required=True,
        metavar="K",
        help="number of frames to forecast",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="file to write, whose kind follows from its name: .nc, .zarr, .npz, .gif or .mp4",
    )
    _add_given(parser)
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace a file at --out that is of this kind, but no forecast of framecast",
    )
    _add_members(parser)
    add_caching(parser)
    add_device(parser)
    add_reading(parser, COMMON, everything)
    return parser


def run(arguments: list[str]) -> None:
    """Forecast, and say what was written."""
    options = parser("--help-all" in arguments).parse_args(arguments)
    from framecast.forecast.files import forecast_file

    labels = forecast_file(
        options.run,
        one_or_many(options.input),
        options.steps,
        options.out,
        starts=options.start,
        context=options.context,
        forcings=options.forcings and one_or_many(options.forcings),
        selection=read_selection(options),
        ensemble=_ensemble(options),
        cache=options.cache,
        actions=options.actions,
        device=options.device,
        overwrite=options.overwrite,
    )
    print(f"{options.out}: {labels.describe()}")


def _add_given(parser: CommandParser) -> None:
    """Options that say what a forecast is given."""
    parser.add_argument(
        "--start",
        nargs="+",
        default=["-1"],
        metavar="FRAME_OR_TIME",
        help="last known frame, by its place in the input (0 is the first, -1 the last) or its "
        "time; several make a batch (default: -1)",
    )
    parser.add_argument(
        "--context",
        type=whole_number,
        metavar="N",
        help="number of past frames to read (default: as in training; three for a baseline)",
    )
    parser.add_argument(
        "--forcings",
        nargs="+",
        metavar="FILE",
        help="file, or files, with the forcings (and actions) beyond the end of the input",
    )
    parser.add_argument(
        "--actions",
        metavar="ACTIONS",
        help="what is done in each step, for world models: names, such as left,forward*10,right* "
        "(* alone: for all that are left); a .npz or .npy file of their numbers, or of "
        "measured ones; random; or unknown (default: those of the input)",
    )


def _add_members(parser: CommandParser) -> None:
    group = parser.add_argument_group(
        "ensembles", "several forecasts, from which one sees how sure each is (docs/ensembles.md)"
    )
    add_variation(group, "one of each run")
    group.add_argument(
        "--with",
        nargs="+",
        default=[],
        dest="runs",
        metavar="RUN",
        help="further runs that forecast the same, such as other seeds: each makes members too",
    )
    group.add_argument(
        "--summary",
        nargs="+",
        metavar="STATISTIC",
        help="write statistics of the members in their place: mean, spread, quantiles=0.1,0.5,0.9, "
        "above=5 (the share that reaches a value; above:VARIABLE=5 where there are several), and "
        "members for the members too",
    )


def _ensemble(options: argparse.Namespace) -> "EnsembleOrder":
    from framecast.forecast.order import EnsembleOrder
    from framecast.forecast.writers import Summary

    return EnsembleOrder(
        members=options.members,
        variation=variation(options),
        runs=tuple(options.runs),
        summary=options.summary and Summary.parse(options.summary),
    )
