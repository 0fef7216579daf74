"""framecast evaluate: measure the error of runs by lead time, beside baselines."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from framecast.base.errors import UserError
from framecast.cli.members import add_variation, variation
from framecast.cli.parser import (
    CommandParser,
    add_device,
    command_parser,
    number,
    one_or_many,
    whole_number,
)
from framecast.cli.reading import add_caching
from framecast.metrics import METRICS, MetricChoice
from framecast.metrics.catalogue import FamilyName, of_families
from framecast.metrics.clips import FvdClips
from framecast.metrics.protocols import ProtocolName
from framecast.metrics.spectrum import SpectrumKind
from framecast.metrics.weights import Weighting


def parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser(
        "evaluate", usage="framecast evaluate RUN [RUN ...] --out FOLDER [options]"
    )
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="folders of the runs to compare"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder to write the report into",
    )
    parser.add_argument(
        "--data",
        nargs="+",
        metavar="PATH",
        help="frames to test on (default: the test part of the data that the runs learned from)",
    )
    _add_windows(parser)
    parser.add_argument(
        "--baselines",
        nargs="+",
        metavar="NAME",
        help="what the runs are scored beside: persistence, climatology, damped_persistence, "
        "advection, filtered_advection, linear_inverse (default: persistence, climatology, and "
        "advection where fields move)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace files in FOLDER with the names of a report's that are of no earlier one",
    )
    add_variation(parser, "8, of noise")
    parser.add_argument(
        "--together",
        action="store_true",
        help="score the members of all runs as one ensemble too",
    )
    _add_worlds(parser)
    add_caching(parser)
    add_device(parser)
    _add_groups(parser)
    add_metrics(parser)
    return parser


def run(arguments: list[str]) -> None:
    """Evaluate, write the report, and print its table."""
    options = parser().parse_args(arguments)
    from framecast.report import evaluate_to

    evaluate_to(
        options.runs,
        options.out,
        data=options.data and one_or_many(options.data),
        steps=options.steps,
        context=options.context,
        metrics=metric_choice(options),
        by=options.by,
        stride=options.stride,
        baselines=options.baselines,
        members=options.members,
        variation=variation(options),
        together=options.together,
        group_size=options.group_size,
        hide_actions=options.actions is not None,
        same_pose=options.same_pose,
        cache=options.cache,
        device=options.device,
        overwrite=options.overwrite,
    )


def _add_windows(parser: CommandParser) -> None:
    """Options that say which windows are forecast."""
    parser.add_argument(
        "--steps",
        type=whole_number,
        metavar="K",
        help="number of lead times (default: as in training)",
    )
    parser.add_argument(
        "--context",
        type=whole_number,
        metavar="N",
        help="number of past frames to read (default: as in training)",
    )
    parser.add_argument(
        "--stride",
        metavar="N",
        help="how far it is from one window to the next, in frames, or as a duration such as 12h; "
        "3d,4d takes turns, and begins a window twice a week (default: windows do not overlap)",
    )


def _add_groups(parser: CommandParser) -> None:
    """Options that part the windows."""
    parser.add_argument(
        "--group-size",
        type=whole_number,
        metavar="N",
        help="give means over groups of N windows, with their deviation, as papers on video do",
    )
    parser.add_argument(
        "--by",
        metavar="COORDINATE",
        help="give the error for each value of this coordinate of the sequences too",
    )


def _add_worlds(parser: CommandParser) -> None:
    """Options of world models."""
    group = parser.add_argument_group(
        "world models",
        "docs/worlds.md; each of --members samples is scored by itself",
    )
    group.add_argument("--actions", choices=["none"], help="do not tell world models what is done")
    group.add_argument(
        "--same-pose",
        nargs=2,
        type=number,
        metavar=("DISTANCE", "DEGREES"),
        help="tell frames apart by how long ago the agent stood within DISTANCE, looking within "
        "DEGREES (default: half of the median length of a step, and 15)",
    )


def metric_choice(options: argparse.Namespace) -> MetricChoice:
    """Return what the options of `add_metrics` ask for."""
    return MetricChoice(
        names=None if options.metrics is None else tuple(options.metrics),
        weights=options.weights,
        regions=tuple(options.region or ()),
        thresholds=_by_channel("--threshold", options.threshold, "5,10"),
        neighbourhoods=tuple(options.neighbourhood or ()),
        dry={
            channel: _one_number("--dry", channel, values)
            for channel, values in _by_channel("--dry", options.dry, "0.1").items()
        },
        spectrum=options.spectrum,
        protocol=options.protocol,
        data_range=None if options.data_range is None else tuple(options.data_range),
        lpips_weights=options.lpips_weights,
        fvd_features=options.fvd_features,
        fvd_sha256=options.fvd_sha256,
        fvd_clips=options.fvd_clips,
    )


def _by_channel(
    option: str, texts: Sequence[str] | None, example: str
) -> dict[str, tuple[str, ...]]:
    """Read NAME=VALUE,VALUE texts."""
    found: dict[str, tuple[str, ...]] = {}
    for text in texts or ():
        channel, equals, values = text.rpartition("=")
        if not equals or not channel or not values:
            raise UserError(f"{option} {text}: write {option} VARIABLE={example}")
        if channel in found:
            raise UserError(f"{option} {channel} is given twice: write all of its values in one")
        found[channel] = tuple(value.strip() for value in values.split(","))
    return found


def _one_number(option: str, channel: str, values: Sequence[str]) -> float:
    try:
        (value,) = map(float, values)
        if not math.isfinite(value):
            raise ValueError(f"{value} is not finite")
    except ValueError as error:
        given = ",".join(values)
        raise UserError(f"{option} {channel}={given}: give one number") from error
    return value


def add_metrics(parser: CommandParser) -> None:
    """Add the options that choose metrics."""
    group = parser.add_argument_group(
        "metrics",
        "; ".join(f"{family}: {', '.join(of_families(family))}" for family in get_args(FamilyName))
        + " (docs/metrics.md has the formulas). Without --metrics: those of the error, for video "
        "of images as weights and sizes allow, for other frames of anomalies and spectra; and "
        "what only an option below is for.",
    )
    group.add_argument(
        "--metrics",
        nargs="+",
        choices=METRICS,
        metavar="METRIC",
        help="measure these metrics alone",
    )
    group.add_argument(
        "--protocol",
        choices=get_args(ProtocolName),
        help="the metrics of a benchmark, reduced as there",
    )
    group.add_argument(
        "--weights",
        choices=get_args(Weighting),
        help="how cells count: by their area, or all alike (default: area where there are "
        "latitudes)",
    )
    _add_fields(group)
    _add_images(group)


def _add_fields(group: argparse._ArgumentGroup) -> None:
    """Options of metrics of fields."""
    group.add_argument(
        "--region",
        nargs="+",
        metavar="NAME=CONDITIONS",
        help="score a part of the grid too: north=lat>20, box=lat>20,lat<60,lon>-30,lon<40, or by "
        "row and column, counted from 0 (quote them: the shell reads > and <)",
    )
    group.add_argument(
        "--threshold",
        nargs="+",
        metavar="VARIABLE=VALUES",
        help="score events, values of at least a threshold: rain=1,5,10 in its units, or rain=p90 "
        "for a percentile of the training frames",
    )
    group.add_argument(
        "--neighbourhood",
        nargs="+",
        type=whole_number,
        metavar="CELLS",
        help="score events in squares of so many cells a side too: 1 5 11",
    )
    group.add_argument(
        "--dry",
        nargs="+",
        metavar="VARIABLE=VALUE",
        help="score precipitation by SEEPS; below this value it is dry",
    )
    group.add_argument(
        "--spectrum",
        choices=get_args(SpectrumKind),
        help="kind of the spectra (default: zonal where rows go round the earth, periodic where "
        "the network's padding is circular, else windowed)",
    )


def _add_images(group: argparse._ArgumentGroup) -> None:
    """Options of metrics of images."""
    group.add_argument(
        "--data-range",
        nargs=2,
        type=number,
        metavar=("LO", "HI"),
        help="values that are black and white in an image (default: those that the data declare)",
    )
    group.add_argument(
        "--lpips-weights",
        type=Path,
        metavar="FILE",
        help="weights of AlexNet and the heads of LPIPS (.safetensors)",
    )
    group.add_argument(
        "--fvd-features",
        type=Path,
        metavar="FILE",
        help="features of FVD: the I3D network as TorchScript (i3d_torchscript.pt)",
    )
    group.add_argument(
        "--fvd-sha256",
        metavar="CHECKSUM",
        help="trust another file of features of this SHA-256",
    )
    group.add_argument(
        "--fvd-clips",
        choices=get_args(FvdClips),
        help="16 frames of the forecast (default), or whole windows with the given frames",
    )
