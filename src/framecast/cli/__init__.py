"""The command line: parses and calls."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from framecast.base.errors import UserError

DESCRIPTION = """\
Forecast the next frames of anything that comes as a sequence of grids: video, weather
fields, radar, fluid simulations. With data of your own:

  framecast inspect my_frames.nc
  framecast train starter --data.path my_frames.nc --out runs/first
  framecast evaluate runs/first --out runs/first/evaluation
  framecast forecast runs/first my_frames.nc --steps 24 --out forecast.nc

Without: framecast simulate navier_stokes --out data/navier_stokes
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0: done. 2: what was given cannot be used; the message says why. 130: interrupted. Any
    other error is a defect of framecast and shows its traceback.
    """
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:{width}}  {c.summary}" for name, c in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="framecast",
        description=DESCRIPTION,
        epilog=f"commands:\n{listing}\n\nframecast COMMAND --help explains a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of these below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="of the command")
    options = parser.parse_args(arguments)
    debug = "--debug" in options.arguments
    try:
        COMMANDS[options.command].run([a for a in options.arguments if a != "--debug"])
    except (UserError, OSError) as error:
        if debug:
            raise
        print(f"framecast {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _simulate(arguments: list[str]) -> None:
    from framecast.base.config import config_parser, parse_config
    from framecast.datasets import moving_mnist
    from framecast.datasets.simulate import navier_stokes

    known: dict[str, tuple[type[Any], Any]] = {
        "navier_stokes": (navier_stokes.NavierStokes, navier_stokes),
        "moving_mnist": (moving_mnist.MovingMnist, moving_mnist),
    }
    names = argparse.ArgumentParser(
        **_about("simulate") | {"epilog": "framecast simulate DATASET --help explains its options"}
    )
    names.add_argument("dataset", choices=known, help="what to simulate")
    names.add_argument("options", nargs=argparse.REMAINDER, help="of the data set")
    chosen = names.parse_args(arguments)
    kind, module = known[chosen.dataset]
    about = _about("simulate") | {"prog": f"framecast simulate {chosen.dataset}"}
    parser = config_parser(kind, **about)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where to")
    for split, count in module.SPLITS.items():
        parser.add_argument(f"--{split}", type=int, default=count, help=f"sequences for {split}")
    parser.add_argument("--seed", type=int, default=0, help="of the whole data set")
    config, options = parse_config(kind, parser, chosen.options)
    counts = {split: options[split] for split in module.SPLITS}
    module.simulate(options.out, config, counts, options.seed)


def _fetch(arguments: list[str]) -> None:
    from framecast.base.fetch import DOWNLOADS, fetch

    parser = argparse.ArgumentParser(**_about("fetch"))
    parser.add_argument("name", nargs="?", help="what to fetch; without it, all are listed")
    parser.add_argument(
        "--mirror", action="append", default=[], metavar="URL", help="folder to try first"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where to (default: framecast's cache)"
    )
    options = parser.parse_args(arguments)
    if options.name is None:
        _print_table({n: f"{d.about} ({d.size / 1e6:.0f} MB)" for n, d in DOWNLOADS.items()})
    else:
        print(f"{options.name} is at {fetch(options.name, options.out, options.mirror)}")


def _inspect(arguments: list[str]) -> None:
    from framecast.datasets.inspect import inspect
    from framecast.runs.config import TrainingConfig

    parser = argparse.ArgumentParser(**_about("inspect"))
    parser.add_argument(
        "path", type=Path, help="a video, a NetCDF, Zarr or NumPy file, or a folder of such files"
    )
    parser.add_argument(
        "--context", type=int, default=TrainingConfig.context, metavar="N", help="given frames"
    )
    parser.add_argument(
        "--horizon", type=int, default=TrainingConfig.horizon, metavar="K", help="forecast frames"
    )
    options = parser.parse_args(arguments)
    _print_table(inspect(options.path, options.context, options.horizon))


def _train(arguments: list[str]) -> None:
    from framecast.base.config import config_parser, parse_arguments, parse_config
    from framecast.runs.config import Experiment
    from framecast.runs.recipes import find_recipe
    from framecast.train import find_config, train

    usage = "framecast train [RECIPE] --out RUN [--KEY VALUE ...] [--resume]"
    parser = config_parser(Experiment, usage=usage, **_about("train"))
    parser.add_argument(
        "recipe",
        nargs="?",
        help="a recipe's name (framecast recipes lists them), or a YAML file with the keys below",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="RUN", help="folder of the run; must be new"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run at --out, as if never stopped"
    )
    options = parse_arguments(Experiment, parser, arguments)
    if options.recipe is None and not options.resume:
        raise UserError("name a recipe or a YAML file (framecast recipes lists the recipes)")
    file = find_recipe(options.recipe) if options.recipe else find_config(options.out)
    experiment, options = parse_config(Experiment, parser, arguments, file)
    train(experiment, options.out, options.resume)
    print(f"Trained {options.out}. Next: framecast evaluate {options.out} --out EVALUATION")


def _import(arguments: list[str]) -> None:
    from framecast.base.config import config_parser, parse_config
    from framecast.runs.published import PublishedNetwork, import_published

    parser = config_parser(PublishedNetwork, **_about("import"))
    parser.add_argument(
        "weights", type=Path, metavar="FILE", help="state dict: .safetensors, or .pt of tensors"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="RUN", help="folder of the run; must be new"
    )
    network, options = parse_config(PublishedNetwork, parser, arguments)
    import_published(options.weights, network, options.out)
    print(
        f"Imported {options.out}. Next: framecast forecast {options.out} INPUT --steps K --out FILE"
    )


def _forecast(arguments: list[str]) -> None:
    from framecast.forecast.rollout import forecast_file

    parser = argparse.ArgumentParser(**_about("forecast"))
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder, or a checkpoint file")
    parser.add_argument("input", type=Path, help="past frames: .nc, .zarr, .npy, .npz or a video")
    parser.add_argument("--steps", type=int, required=True, metavar="K", help="frames to forecast")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help=".nc, .zarr, .npz, .gif or .mp4"
    )
    parser.add_argument(
        "--start",
        nargs="+",
        default=["-1"],
        metavar="FRAME_OR_TIME",
        help="last known frame, by its place in the input (0 is the first, -1 the last) or its "
        "time; several make a batch (default: -1)",
    )
    _add_context(parser)
    options = parser.parse_args(arguments)
    labels = forecast_file(
        options.run,
        options.input,
        options.steps,
        options.out,
        starts=options.start,
        context=options.context,
    )
    print(f"{options.out}: {labels.summary()}")


def _evaluate(arguments: list[str]) -> None:
    from framecast.metrics import MetricChoice
    from framecast.report import evaluate_to

    parser = argparse.ArgumentParser(**_about("evaluate"))
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="runs to compare")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="of the report")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="frames to test on (default: the test part of the data that the runs learned from)",
    )
    parser.add_argument(
        "--steps", type=int, metavar="K", help="lead times (default: as in training)"
    )
    _add_context(parser)
    parser.add_argument(
        "--by", metavar="COORDINATE", help="also for each value of a coordinate of the sequences"
    )
    _add_metrics(parser)
    options = parser.parse_args(arguments)
    evaluate_to(
        options.runs,
        options.out,
        data=options.data,
        steps=options.steps,
        context=options.context,
        metrics=MetricChoice(
            names=None if options.metrics is None else tuple(options.metrics),
            data_range=None if options.data_range is None else tuple(options.data_range),
            lpips_weights=options.lpips_weights,
            fvd_features=options.fvd_features,
            fvd_sha256=options.fvd_sha256,
        ),
        by=options.by,
    )


def _add_metrics(parser: argparse.ArgumentParser) -> None:
    from framecast.metrics import METRICS

    group = parser.add_argument_group(
        "metrics",
        "; ".join(f"{name}: {metric.summary}" for name, metric in METRICS.items())
        + ". Without --metrics: those of the error (rmse, mae, mse, bias) and, for video, those "
        "of images that can be had.",
    )
    group.add_argument(
        "--metrics", nargs="+", choices=METRICS, metavar="METRIC", help="these alone"
    )
    group.add_argument(
        "--data-range",
        nargs=2,
        type=float,
        metavar=("LO", "HI"),
        help="values that are black and white in an image (default: as the data declare, if so)",
    )
    group.add_argument(
        "--lpips-weights", type=Path, metavar="FILE", help="AlexNet and heads, .safetensors"
    )
    group.add_argument(
        "--fvd-features", type=Path, metavar="FILE", help="I3D as TorchScript (i3d_torchscript.pt)"
    )
    group.add_argument(
        "--fvd-sha256", metavar="CHECKSUM", help="trust a file of features that is not known here"
    )


def _models(arguments: list[str]) -> None:
    from framecast.layers import layer_entry, layer_names

    argparse.ArgumentParser(**_about("models")).parse_args(arguments)
    for name in layer_names():
        entry = layer_entry(name)
        print(f"{name}\n    {entry.summary}\n    Paper: {entry.paper}")
        print(f"    Parameters: {entry.parameters(48):,} a layer of 48 channels, kernel 3")
        for option in entry.options():
            print(f"    --model.options.{option}")
        print()


def _recipes(arguments: list[str]) -> None:
    from framecast.runs.recipes import find_recipe, recipes

    parser = argparse.ArgumentParser(**_about("recipes"))
    parser.add_argument("recipe", nargs="?", help="print this one")
    name = parser.parse_args(arguments).recipe
    if name is None:
        _print_table(recipes())
    else:
        print(find_recipe(name).read_text(), end="")


def _doctor(arguments: list[str]) -> None:
    from framecast.runs.environment import diagnose

    argparse.ArgumentParser(**_about("doctor")).parse_args(arguments)
    _print_table(diagnose())


class Command(NamedTuple):
    """A command: what `framecast --help` says of it, and what it does with its arguments."""

    summary: str
    run: Callable[[list[str]], None]


COMMANDS = {
    "simulate": Command("make a data set by simulation", _simulate),
    "fetch": Command("download a data set or weights, with checksums, or list them", _fetch),
    "inspect": Command("describe a file or folder of frames, and what to do next", _inspect),
    "train": Command("train a forecaster from a recipe or a YAML file", _train),
    "import": Command("make a run from a published ConvLSTM or Conv-TT-LSTM network", _import),
    "forecast": Command("forecast from past frames into a file", _forecast),
    "evaluate": Command("measure the error of runs by lead time, beside baselines", _evaluate),
    "models": Command("list the recurrent layers, their papers and sizes", _models),
    "recipes": Command("list the recipes, or print one", _recipes),
    "doctor": Command("show versions, devices, kernels and threads", _doctor),
}


def _about(name: str) -> dict[str, Any]:
    return {
        "prog": f"framecast {name}",
        "description": COMMANDS[name].summary,
        "epilog": "--debug shows the traceback of an error.",
    }


def _add_context(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--context", type=int, metavar="N", help="past frames to read (default: as in training)"
    )


def _print_table(rows: dict[str, str]) -> None:
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:{width}}  {value}")
