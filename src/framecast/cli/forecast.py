"""framecast forecast: forecast from past frames into a file."""

from pathlib import Path

from framecast.cli.parser import (
    CommandParser,
    add_device,
    command_parser,
    one_or_many,
    whole_number,
)


def parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser(
        "forecast", usage="framecast forecast RUN INPUT [INPUT ...] --steps K --out FILE [options]"
    )
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="folder of a run, or one of its checkpoints"
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
        help="number of past frames to read (default: as in training)",
    )
    parser.add_argument(
        "--forcings",
        type=Path,
        metavar="FILE",
        help="file with the forcings (and actions) beyond the end of the input",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace a file at --out that is of this kind, but no forecast of framecast",
    )
    add_device(parser)
    return parser


def run(arguments: list[str]) -> None:
    """Forecast, and say what was written."""
    options = parser().parse_args(arguments)
    from framecast.forecast.rollout import forecast_file

    labels = forecast_file(
        options.run,
        one_or_many(options.input),
        options.steps,
        options.out,
        starts=options.start,
        context=options.context,
        forcings=options.forcings,
        device=options.device,
        overwrite=options.overwrite,
    )
    print(f"{options.out}: {labels.summary()}")
