"""framecast view: write a page that shows a forecast, or what a run forecasts."""

import webbrowser
from pathlib import Path

from framecast.cli.parser import (
    CommandParser,
    add_device,
    command_parser,
    one_or_many,
)
from framecast.cli.reading import add_reading, read_selection
from framecast.readers.selection import EVERYTHING

COMMON = ("data.variables", "data.missing", "data.units")
"""The keys that the short help explains."""


def parser(everything: bool = False) -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser("view", usage="framecast view FORECAST_OR_RUN [options]")
    parser.add_argument(
        "shown",
        metavar="FORECAST_OR_RUN",
        help="a forecast in NetCDF or Zarr, ours or anybody's, with members or without; or the "
        "folder of a run, which is evaluated on the test part of its data",
    )
    parser.add_argument(
        "--truth",
        nargs="+",
        metavar="FILE",
        help="frames at the times of the forecast, beside which it is shown",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="page to write (default: beside the forecast, with the suffix .html)",
    )
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace a file at --out that is no page of framecast",
    )
    add_device(parser)
    add_reading(parser, COMMON, everything)
    return parser


def run(arguments: list[str]) -> None:
    """Write the page, and print where it is."""
    options = parser("--help-all" in arguments).parse_args(arguments)
    from framecast.report.view import view

    page = view(
        options.shown,
        out=options.out,
        truth=options.truth and one_or_many(options.truth),
        selection=read_selection(options) or EVERYTHING,
        device=options.device,
        overwrite=options.overwrite,
    )
    print(page)
    if options.open:
        webbrowser.open(page.resolve().as_uri())
