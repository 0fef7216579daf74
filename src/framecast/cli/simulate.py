"""framecast simulate DATASET: make a data set by simulation."""

from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from framecast.base.config import load_config
from framecast.base.keys import describe_keys
from framecast.cli.parser import CommandParser, command_parser, overrides, whole_number
from framecast.datasets.moving_mnist import MovingMnist
from framecast.datasets.simulate import (
    digits,
    maze,
    navier_stokes,
    opposites,
    shallow_water,
    vizdoom,
)


class Simulator(NamedTuple):
    """A data set that can be simulated.

    Attributes:
        kind: the dataclass of its settings.
        module: where its parts are, SPLITS, and the function that makes them, simulate.
        summary: what it shows.
    """

    kind: type[Any]
    module: ModuleType
    summary: str


SIMULATORS = {
    "navier_stokes": Simulator(
        navier_stokes.NavierStokes, navier_stokes, "turbulent flow on a torus, by its vorticity"
    ),
    "shallow_water": Simulator(
        shallow_water.ShallowWater,
        shallow_water,
        "jets, waves and vortices on the rotating Earth, a stand-in for geopotential at 500 hPa",
    ),
    "vizdoom": Simulator(
        vizdoom.VizDoom, vizdoom, "walks through the rooms of ViZDoom, as an agent sees them"
    ),
    "maze": Simulator(maze.Maze, maze, "walks through mazes of MiniWorld, a new one each time"),
    "moving_mnist": Simulator(MovingMnist, digits, "handwritten digits that move and bounce"),
    "activities": Simulator(
        opposites.SimulatedActivities,
        opposites,
        "labelled videos of opposite activities, which no single frame tells apart",
    ),
}


def parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser(
        "simulate",
        usage="framecast simulate DATASET --out FOLDER [options]",
        epilog="framecast simulate DATASET --help explains the options of one data set.",
    )
    names = parser.add_subparsers(
        dest="dataset", required=True, metavar="DATASET", title="data sets"
    )
    for name, simulator in SIMULATORS.items():
        _add_options(names.add_parser(name, help=simulator.summary), name)
    return parser


def run(arguments: list[str]) -> None:
    """Simulate, and keep what was made."""
    options = parser().parse_args(arguments)
    kind, module, _ = SIMULATORS[options.dataset]
    config = load_config(kind, None, overrides(kind, options))
    counts = {split: getattr(options, split) for split in module.SPLITS}
    module.simulate(options.out, config, counts, options.seed)


def _add_options(parser: CommandParser, name: str) -> None:
    kind, module, summary = SIMULATORS[name]
    parser.description = f"Make a data set: {summary}."
    parser.usage = f"framecast simulate {name} --out FOLDER [options]"
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder to write the data set into; one that was stopped there is continued",
    )
    for split, count in module.SPLITS.items():
        parser.add_argument(
            f"--{split}",
            type=whole_number,
            default=count,
            metavar="N",
            help=f"number of sequences in the {split} part (default: %(default)s)",
        )
    parser.add_argument(
        "--seed",
        type=whole_number,
        default=0,
        metavar="N",
        help="seed of the whole data set (default: %(default)s)",
    )
    parser.add_config(kind, [key.name for key in describe_keys(kind)], everything=True)
