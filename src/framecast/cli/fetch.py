"""framecast fetch: download a data set or weights and check them, or list what there is."""

from pathlib import Path

from framecast.base.fetch import DOWNLOADS, fetch
from framecast.cli.parser import CommandParser, command_parser, print_table


def parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser("fetch", usage="framecast fetch [NAME] [options]")
    parser.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="name of what to download; without it, all names are listed",
    )
    parser.add_argument(
        "--mirror",
        action="append",
        default=[],
        metavar="URL",
        help="address of a folder to try first; may be given more than once",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="folder to download into (default: the cache of framecast)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace files in FOLDER that have the names but not the content",
    )
    return parser


def run(arguments: list[str]) -> None:
    """Download, or list what there is."""
    options = parser().parse_args(arguments)
    if options.name is None:
        print_table({n: f"{d.about} ({d.size / 1e6:.0f} MB)" for n, d in DOWNLOADS.items()})
    else:
        folder = fetch(options.name, options.out, options.mirror, options.overwrite)
        print(f"{options.name} is at {folder}")
