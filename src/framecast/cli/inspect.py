"""framecast inspect: describe a file or folder of frames, and say what to do next."""

from framecast.cli.parser import (
    CommandParser,
    command_parser,
    number,
    one_or_many,
    print_table,
    whole_number,
)
from framecast.runs.config import TrainingConfig


def parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser("inspect", usage="framecast inspect PATH [PATH ...] [options]")
    parser.add_argument(
        "path",
        nargs="+",
        metavar="PATH",
        help="a file, a folder or a pattern in quotes; several files are one series",
    )
    parser.add_argument(
        "--context",
        type=whole_number,
        default=TrainingConfig.context,
        metavar="N",
        help="number of frames given before a forecast, to count windows by (default: %(default)s)",
    )
    parser.add_argument(
        "--horizon",
        type=whole_number,
        default=TrainingConfig.horizon,
        metavar="K",
        help="number of frames forecast, to count windows by (default: %(default)s)",
    )
    parser.add_argument(
        "--missing",
        nargs="+",
        type=number,
        default=[],
        metavar="X",
        help="values that stand for a missing one, beside NaN and what the file declares",
    )
    return parser


def run(arguments: list[str]) -> None:
    """Print what the frames are, and the command that trains on them."""
    options = parser().parse_args(arguments)
    from framecast.datasets.inspect import inspect

    print_table(
        inspect(one_or_many(options.path), options.context, options.horizon, options.missing)
    )
