"""framecast score: score forecasts in files, ours or anybody's, beside the truth."""

from pathlib import Path

from framecast.base.errors import UserError
from framecast.cli.evaluate import add_metrics, metric_choice
from framecast.cli.parser import CommandParser, command_parser, one_or_many
from framecast.cli.reading import add_reading, read_selection
from framecast.readers.selection import EVERYTHING

COMMON = ("data.variables", "data.missing", "data.units")
"""The keys that the short help explains."""


def parser(everything: bool = False) -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser(
        "score",
        usage="framecast score FORECAST [FORECAST ...] TRUTH --out FOLDER [options]",
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="forecasts in NetCDF or Zarr, with start and lead time or valid times, with members "
        "or without; the last is the truth",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder to write the report into",
    )
    parser.add_argument(
        "--climatology",
        nargs="+",
        metavar="FILE",
        help="frames that tell what is usual, such as those of many years, or a climatology by "
        "hour and dayofyear, as WeatherBench 2 has them",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace files in FOLDER with the names of a report's that are of no earlier one",
    )
    add_metrics(parser)
    add_reading(parser, COMMON, everything)
    return parser


def run(arguments: list[str]) -> None:
    """Score, write the report, and print its table."""
    options = parser("--help-all" in arguments).parse_args(arguments)
    *forecasts, truth = options.files
    if not forecasts:
        raise UserError(f"name the forecasts, then the truth: there is only {truth}")
    from framecast.report import score_to

    score_to(
        forecasts,
        truth,
        options.out,
        climatology=options.climatology and one_or_many(options.climatology),
        metrics=metric_choice(options),
        selection=read_selection(options) or EVERYTHING,
        overwrite=options.overwrite,
    )
