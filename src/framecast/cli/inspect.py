"""framecast inspect: describe a file or folder of frames, and say what to do next."""

from dataclasses import dataclass, field
from pathlib import Path

from framecast.base.config import load_config
from framecast.cli.parser import (
    CommandParser,
    command_parser,
    overrides,
    print_table,
    whole_number,
)
from framecast.datasets.config import DataConfig
from framecast.runs.config import TrainingConfig

COMMON = ("data.variables", "data.missing", "data.dims", "data.select")
"""Keys that the short help shows."""


@dataclass(frozen=True)
class Inspected:
    """How frames are read.

    Attributes:
        data: the frames to describe.
    """

    data: DataConfig = field(default_factory=DataConfig)


def parser(everything: bool = False) -> CommandParser:
    """Return the parser of the command, whose help explains the common keys or all of them."""
    parser = command_parser("inspect", usage="framecast inspect PATH [options]")
    parser.add_argument(
        "path",
        type=Path,
        metavar="PATH",
        help="a video, a NetCDF, Zarr or NumPy file, or a folder of such files",
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
    parser.add_config(Inspected, COMMON, everything)
    return parser


def run(arguments: list[str]) -> None:
    """Print what the frames are, and the command that trains on them."""
    options = parser("--help-all" in arguments).parse_args(arguments)
    from framecast.datasets.inspect import inspect

    data = load_config(Inspected, None, overrides(Inspected, options)).data
    print_table(inspect(options.path, options.context, options.horizon, data))
