"""framecast profile: where the time and the memory of a training step go."""

from typing import TYPE_CHECKING

from framecast.base.config import load_config
from framecast.cli.parser import CommandParser, add_device, command_parser, overrides
from framecast.cli.train import COMMON
from framecast.runs.experiment import Experiment
from framecast.runs.recipes import find_recipe

if TYPE_CHECKING:
    from framecast.doctor.profiling import Profiled

LEAST = 0.005
"""Share of a step below which a kind of operation has no line of its own."""


def parser(everything: bool = False) -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser("profile", usage="framecast profile RECIPE [--KEY VALUE ...]")
    parser.add_argument("recipe", metavar="RECIPE", help="name of a recipe, or YAML file of keys")
    add_device(parser)
    parser.add_config(Experiment, COMMON, everything)
    return parser


def run(arguments: list[str]) -> None:
    """Take a few steps, and print what they took; nothing is written."""
    options = parser("--help-all" in arguments).parse_args(arguments)
    given = overrides(Experiment, options)
    experiment = load_config(Experiment, find_recipe(options.recipe), given)
    from framecast.doctor.profiling import profile_step

    _print(profile_step(experiment, options.device), experiment)


def _print(found: "Profiled", experiment: Experiment) -> None:
    from rich.console import Console
    from rich.table import Table

    console, config = Console(), experiment.training
    total = sum(found.times.values())
    times = Table(title=f"A step: {found.windows} windows of {config.window} frames")
    for heading in ("time", "ms", "share"):
        times.add_column(heading, justify="left" if heading == "time" else "right")
    for name, seconds in found.times.items():
        if seconds >= LEAST * total:
            times.add_row(name, f"{1e3 * seconds:.3g}", f"{seconds / total:.0%}")
    memory = Table(title="What it holds at once")
    for heading in ("memory", "MB"):
        memory.add_column(heading, justify="left" if heading == "memory" else "right")
    for name, size in found.memory.items():
        memory.add_row(name, f"{size / 1e6:.3g}")
    helps = Table(title="With other keys, for as many windows")
    for heading in ("keys", "memory of the step, MB", "gradient, ms"):
        helps.add_column(heading, justify="left" if heading == "keys" else "right")
    for name, step in {"as given": found.step, **found.helps}.items():
        helps.add_row(name, f"{step.peak / 1e6:.3g}", f"{1e3 * step.seconds:.3g}")
    for table in (times, memory, helps):
        console.print(table)
