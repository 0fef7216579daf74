"""framecast train: train a forecaster from a recipe or a YAML file."""

from pathlib import Path

from framecast.base.config import load_config
from framecast.base.errors import UserError
from framecast.cli.parser import CommandParser, add_device, command_parser, overrides
from framecast.runs.config import Experiment
from framecast.runs.recipes import find_recipe

COMMON = (
    *("data.path", "data.variables", "data.diagnostic", "data.forcings", "data.static"),
    *("data.validation_fraction", "data.test_fraction"),
    *("model.layer", "model.depth", "model.hidden", "model.padding"),
    *("training.context", "training.horizon", "training.epochs", "training.batch_size"),
    *("training.learning_rate", "training.loss", "training.precision", "training.seed"),
)
"""The keys that the short help explains: those that people set most often."""


def parser(everything: bool = False) -> CommandParser:
    """Return the parser of the command, whose help explains the common keys or all of them."""
    parser = command_parser(
        "train",
        usage="framecast train RECIPE --out RUN [--KEY VALUE ...]\n"
        "       framecast train --resume --out RUN",
    )
    parser.add_argument(
        "recipe",
        nargs="?",
        metavar="RECIPE",
        help="name of a recipe (framecast recipes lists them), or YAML file of such keys as below",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="RUN",
        help="folder of the run; it must be new, unless --resume is given",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run at --out, as if never stopped"
    )
    add_device(parser)
    parser.add_config(Experiment, COMMON, everything)
    return parser


def run(arguments: list[str]) -> None:
    """Train, and say what to do next."""
    options = parser("--help-all" in arguments).parse_args(arguments)
    if options.recipe is None and not options.resume:
        raise UserError("name a recipe or a YAML file (framecast recipes lists the recipes)")
    from framecast.train import find_config, train

    file = find_recipe(options.recipe) if options.recipe else find_config(options.out)
    experiment = load_config(Experiment, file, overrides(Experiment, options))
    train(experiment, options.out, options.resume, options.device)
    print(f"Trained {options.out}. Next: framecast evaluate {options.out} --out EVALUATION")
