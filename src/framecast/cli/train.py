"""framecast train: train a forecaster from a recipe or a YAML file."""

import argparse
import shlex
import sys
from pathlib import Path

from framecast.base.config import load_config
from framecast.base.errors import UserError
from framecast.cli.inspect import add_cache, add_minutes, as_key
from framecast.cli.parser import CommandParser, add_device, command_parser, overrides, whole_number
from framecast.readers.paths import is_pattern
from framecast.readers.remote import is_address
from framecast.runs.experiment import Experiment
from framecast.runs.recipes import find_recipe, recipes
from framecast.train.many import CONFIGS, Job, begun, seeds, train_many

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
        "       framecast train DATA --out RUN [--minutes M] [--KEY VALUE ...]\n"
        "       framecast train --resume --out RUN",
    )
    parser.add_argument(
        "recipe",
        nargs="*",
        metavar="RECIPE",
        help="name of a recipe (framecast recipes lists them), YAML file of such keys as below, or "
        "data, for which framecast inspect proposes the keys",
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
    parser.add_argument(
        "--seeds",
        type=whole_number,
        metavar="N",
        help="train N runs that differ by their seed alone: seed_0, seed_1 ... in the folder RUN",
    )
    parser.add_argument(
        "--jobs",
        type=whole_number,
        metavar="N",
        help="of several seeds, so many at a time (default: 1)",
    )
    parser.add_argument(
        "--no-actions",
        action="store_true",
        help="leave the actions of episodes out (data.source dmlab, minecraft, habitat, episodes)",
    )
    add_minutes(parser)
    add_cache(parser, shown=everything)
    add_device(parser)
    parser.add_config(Experiment, COMMON, everything)
    return parser


def run(arguments: list[str]) -> None:
    """Train, and say what to do next."""
    options = parser("--help-all" in arguments).parse_args(arguments)
    if not options.recipe and not options.resume:
        raise UserError("name a recipe, a YAML file or data (framecast recipes lists the recipes)")
    given = overrides(Experiment, options)
    if options.no_actions:
        given["data.options.with_actions"] = "false"
    if _resumes_several(options, given):
        _train_several(begun(options.out), options)
        return
    if options.jobs is not None and options.seeds is None:
        raise UserError("--jobs goes with several runs: give --seeds too")
    learns_from_data = bool(options.recipe) and all(map(_is_data, options.recipe))
    if options.minutes is not None and not learns_from_data:
        raise UserError("--minutes goes with data, whose network and epochs are then chosen")
    from framecast.train import find_config, train

    if learns_from_data:
        experiment = _proposed(options, given)
    elif len(options.recipe) > 1:
        raise UserError(f"name one recipe or YAML file, or data: not {' '.join(options.recipe)}")
    else:
        file = find_recipe(options.recipe[0]) if options.recipe else find_config(options.out)
        experiment = load_config(Experiment, file, given)
    if options.seeds is not None:
        _train_seeds(experiment, options)
        return
    train(experiment, options.out, options.resume, options.device)
    run = shlex.quote(str(options.out))
    following = f"evaluate {run} --out EVALUATION"
    if experiment.tokenises:
        following = f"reconstruct {run} --out PICTURE.png"
    elif experiment.imagines:
        training = experiment.training
        ahead = f"--start {training.context - 1} --steps {training.horizon}"
        following = f"forecast {run} EPISODE {ahead} --out WALK.mp4"
    print(f"Trained {options.out}. Next: framecast {following}")


def _resumes_several(options: argparse.Namespace, given: dict[str, str]) -> bool:
    """Whether a folder of several runs is to go on, of which all is known."""
    if not options.resume or options.recipe or not (options.out / CONFIGS).is_dir():
        return False
    if given or options.seeds is not None:
        raise UserError(f"{options.out} holds several runs that were begun: --resume takes no keys")
    return True


def _train_seeds(experiment: Experiment, options: argparse.Namespace) -> None:
    if options.resume:
        raise UserError("--resume goes on with what was begun: leave the recipe and --seeds out")
    _train_several(seeds(experiment, options.seeds), options)


def _train_several(jobs: list[Job], options: argparse.Namespace) -> None:
    runs = train_many(
        jobs,
        options.out,
        parallel=1 if options.jobs is None else options.jobs,
        resume=options.resume,
        device=options.device,
    )
    command = shlex.join(["framecast", "evaluate", *map(str, runs), "--out", "EVALUATION"])
    print(f"Trained {len(runs)} runs. Next: {command}")


def _is_data(name: str) -> bool:
    """Whether a name is neither that of a recipe nor of a YAML file, but of something there."""
    path = Path(name)
    if name in recipes() or (path.suffix in (".yaml", ".yml") and path.is_file()):
        return False
    return path.exists() or is_pattern(name) or is_address(name)


def _proposed(options: argparse.Namespace, given: dict[str, str]) -> Experiment:
    """Return the configuration that the data doctor proposes, and say what it is."""
    if "data.path" in given:
        raise UserError(f"{options.recipe[0]} is data already: leave --data.path out")
    if options.resume:
        raise UserError("--resume goes on with what was begun: leave the data out")
    from framecast.doctor import examine, propose

    # Options belong to the source, which is proposed too: videos, for a video.
    looked_at = given if "data.source" in given else _without_options(given)
    data = load_config(Experiment, None, {**looked_at, "data.path": as_key(options.recipe)}).data
    proposal = propose(examine(data), given)
    if options.minutes is not None:
        from framecast.doctor.speed import fit_to_time

        proposal = fit_to_time(proposal, options.minutes, options.device)
    for key, choice in proposal.choices.items():
        print(f"{key}: {choice.value}  ({choice.why})", file=sys.stderr)
    for note in proposal.notes:
        print(f"note: {note}", file=sys.stderr)
    return proposal.experiment()


def _without_options(given: dict[str, str]) -> dict[str, str]:
    """The keys but for those of data.options."""
    return {key: value for key, value in given.items() if not key.startswith("data.options")}
