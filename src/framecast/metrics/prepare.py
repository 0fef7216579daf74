"""What is measured of some frames: the metrics that are asked for, if they can be had."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError, nearest
from framecast.frames.channels import Channel
from framecast.frames.frames import Frames
from framecast.frames.places import agree, area_weights, corners, has_areas
from framecast.metrics.anomaly import Anomalies
from framecast.metrics.catalogue import ERRORS, IMAGES, METRICS, in_order, of_families
from framecast.metrics.choice import Given, MetricChoice
from framecast.metrics.climate import percentiles, wet_climate
from framecast.metrics.clips import CLIP, SHORTEST, ClipFeatures
from framecast.metrics.ensemble import Energy, FairCrps, Ranks, Spread
from framecast.metrics.error import Errors
from framecast.metrics.event import Events
from framecast.metrics.family import Family
from framecast.metrics.images import UNIFORM, WANG
from framecast.metrics.lpips import SMALLEST, Lpips
from framecast.metrics.measure import Measure
from framecast.metrics.neighbourhood import Neighbourhoods
from framecast.metrics.numbers import BY_AGE, FrameNumbers
from framecast.metrics.probability import Probabilities
from framecast.metrics.regions import find_regions
from framecast.metrics.seeps import Seeps, WetClimate
from framecast.metrics.spectrum import Bins, Spectra
from framecast.metrics.thresholds import Percentile, Thresholds, parse_threshold
from framecast.metrics.wavelengths import LEAST_SIDE, columns_wrap, find_bins
from framecast.metrics.weights import Weights


class Subject(NamedTuple):
    """What is known of the forecasts to be judged.

    Attributes:
        frames: that have their grid and coordinates.
        channels: that are predicted.
        leads: K, frames that are forecast.
        ranges: the values of each channel that are 0 and 1 of an image, [C,2]; None if unknown.
        images: whether frames are images.
        climatology: whether it is known what is usual.
        members: of the largest ensemble.
        periodic: whether fields go on from one edge to the other, rows and columns alike.
        edges: of the bins of ages (`metrics.ages`); none where nobody knows what was shown before.
        training: reads the frames that percentiles and the climate of rain are taken from; None
            where there are none.
    """

    frames: Frames
    channels: tuple[Channel, ...]
    leads: int
    ranges: Float[Tensor, "C 2"] | None = None
    images: bool = False
    climatology: bool = False
    members: int = 1
    periodic: bool = False
    edges: tuple[int, ...] = ()
    training: Callable[[], Frames] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the channels."""
        return tuple(channel.name for channel in self.channels)


_USUAL_IMAGES = ("image_mse", "mse_frame_sum", "psnr", "ssim", "lpips")
_AGED = of_families("age")
_SLOW = "takes long, and is taken if asked for: --metrics"
_LEAST_SPECTRUM = 32
"""Least side of a grid whose spectrum is taken without being asked for."""


def prepare(choice: MetricChoice, subject: Subject) -> Measure:
    """Decide which metrics are taken, and make ready what they need.

    Raises:
        UserError: if a metric that is asked for cannot be had, a file cannot be read, or a region,
            a threshold or a weight does not suit the frames.
    """
    names, absent = _names(choice, subject)
    weights = _weights(choice, subject.frames)
    thresholds = _thresholds(choice, subject)
    takes_spectra = any(METRICS[name].family == "spectrum" for name in names)
    bins = None
    if takes_spectra:
        bins = find_bins(subject.frames, choice.spectrum, subject.periodic)
    features = choice.fvd_path if "fvd" in names else None
    families = _families(names, choice, subject, weights, thresholds, bins)
    return Measure(
        names=names,
        families=tuple(families),
        absent=absent,
        weights=weights,
        ranges=subject.ranges,
        thresholds=thresholds,
        neighbourhoods=choice.neighbourhoods,
        bins=bins,
        features=None if features is None else ClipFeatures.load(features, choice.fvd_sha256),
        clip=subject.leads if choice.whole_videos else min(CLIP, subject.leads),
        whole=choice.whole_videos,
        asked=choice.names is not None or choice.preset is not None,
        protocol=f"{choice.protocol}: {choice.preset.reductions}" if choice.preset else "",
        by_input=choice.preset is not None and choice.preset.by_input,
        edges=subject.edges if any(METRICS[name].family == "age" for name in names) else (),
    )


def _names(choice: MetricChoice, subject: Subject) -> tuple[tuple[str, ...], dict[str, str]]:
    """The metrics that are taken, and those of images that are not, each with the reason."""
    obstacles = dict(_obstacles(choice, subject))
    asked = choice.asked
    for name in METRICS:
        if name in asked and name in obstacles:
            raise UserError(f"{name} {obstacles[name]}")
    if choice.names is not None or choice.preset is not None:
        return in_order(asked), {}
    images = subject.images or choice.data_range is not None
    wanted = {*asked, *_suggested(choice, subject, images)}
    names = in_order(name for name in wanted if name not in obstacles)
    usual = (*_USUAL_IMAGES, "fvd", *(_AGED[:1] if subject.frames.action_names else ()))
    absent = {name: obstacles.get(name, _SLOW) for name in usual if name not in names}
    return names, absent


def _suggested(choice: MetricChoice, subject: Subject, images: bool) -> Iterator[str]:
    """The metrics that suit the frames where nobody says which."""
    yield from ERRORS
    if images:
        yield from (*_USUAL_IMAGES, *_AGED)
    elif subject.climatology:
        yield from of_families("anomaly")
    if not images and min(subject.frames.grid) >= _LEAST_SPECTRUM:
        yield from (name for name in of_families("spectrum") if not METRICS[name].curve)
    if subject.members > 1:
        yield from of_families("ensemble", *(("probability",) if choice.thresholds else ()))


def _families(
    names: tuple[str, ...],
    choice: MetricChoice,
    subject: Subject,
    weights: Weights,
    thresholds: Thresholds | None,
    bins: Bins | None,
) -> Iterator[Family]:
    """The families that give the metrics, and that of the error, which pictures always show."""
    yield Errors(weights)
    for family in (Anomalies, FairCrps, Spread, Energy, Ranks):
        if set(family.metrics) & set(names):
            yield family(weights)
    if thresholds is not None:
        for judged in (Events, Probabilities):
            if set(judged.metrics) & set(names):
                yield judged(weights, thresholds)
        if "fss" in names:
            wraps = columns_wrap(subject.frames)
            yield Neighbourhoods(weights, thresholds, choice.neighbourhoods, wraps)
    if "seeps" in names:
        yield Seeps(weights, tuple(_climates(choice, subject)))
    if bins is not None:
        yield Spectra(bins)
    aged = tuple(name.removesuffix(BY_AGE) for name in names if METRICS[name].family == "age")
    plain = [name for name in names if METRICS[name].family == "image"]
    if numbers := in_order([*plain, *aged]):
        assert subject.ranges is not None
        path = choice.lpips_path if "lpips" in numbers else None
        lpips = None if path is None else Lpips.load(path)
        yield FrameNumbers(numbers, subject.ranges, lpips, aged, subject.edges if aged else ())


def _weights(choice: MetricChoice, frames: Frames) -> Weights:
    wanted = choice.weights or (choice.preset.weights if choice.preset else None)
    by_area = wanted == "area" or (wanted is None and has_areas(frames))
    area = area_weights(frames) if by_area else None
    return Weights.of(frames.grid, area, find_regions(choice.regions, frames))


def _thresholds(choice: MetricChoice, subject: Subject) -> Thresholds | None:
    """Thresholds as values, percentiles of the training frames among them."""
    _check_channels("--threshold", choice.thresholds, subject)
    found: dict[str, list[tuple[str, float]]] = {}
    for name, several in choice.thresholds.items():
        parsed = [_parsed(one, name) for one in several]
        if len(set(parsed)) < len(parsed) or not parsed:
            raise UserError(f"--threshold {name}: give each threshold once")
        percents = [one.percent for one in parsed if isinstance(one, Percentile)]
        values: Iterator[float] = iter(())
        if percents:
            training = _training(subject, f"--threshold {name}: a percentile")
            values = iter(percentiles(training, training.names.index(name), percents))
        found[name] = [
            (str(one), next(values)) if isinstance(one, Percentile) else (f"{one:g}", one)
            for one in parsed
        ]
    return Thresholds.of(subject.names, found) if found else None


def _parsed(given: Given, channel: str) -> float | Percentile:
    return parse_threshold(given, channel) if isinstance(given, str) else float(given)


def _climates(choice: MetricChoice, subject: Subject) -> Iterator[WetClimate]:
    for name, dry in choice.dry.items():
        training = _training(subject, "seeps")
        frames = subject.frames
        if training.grid != frames.grid or not agree(corners(training), corners(frames)):
            raise UserError(
                "seeps needs to know how often each place is dry, but the grid is not that of the "
                "training, or lies elsewhere: leave out --dry"
            )
        climate = wet_climate(training, training.names.index(name), dry)
        yield climate._replace(channel=subject.names.index(name))


def _training(subject: Subject, what: str) -> Frames:
    if subject.training is None:
        raise UserError(f"{what} needs frames to take the climate from, and there are none")
    return subject.training()


def _check_channels(option: str, given: Mapping[str, object], subject: Subject) -> None:
    for name in given:
        if name not in subject.names:
            near = nearest(name, subject.names)
            raise UserError(
                f"{option} {name}: no such variable is forecast{near}: there are "
                f"{', '.join(subject.names)}"
            )


def _obstacles(choice: MetricChoice, subject: Subject) -> Iterator[tuple[str, str]]:
    """Each metric that cannot be had, and why."""
    _check_channels("--dry", choice.dry, subject)
    lacks_thresholds = {
        "needs to know what an event is: --threshold CHANNEL=VALUE": not choice.thresholds
    }
    reasons: dict[str, dict[str, bool]] = {
        "anomaly": {
            "needs to know what is usual: a climatology on this grid": not subject.climatology
        },
        "event": lacks_thresholds,
        "probability": lacks_thresholds,
        "neighbourhood": lacks_thresholds
        | {"needs sizes of neighbourhoods: --neighbourhood CELLS": not choice.neighbourhoods},
        "seeps": {"needs to know what is dry: --dry CHANNEL=VALUE": not choice.dry},
        "age": {
            "needs to know where the agent stands (pos and rot in the files)": not subject.edges
        },
        "spectrum": {
            f"needs a grid of {LEAST_SIDE}×{LEAST_SIDE} or more": (
                min(subject.frames.grid) < LEAST_SIDE
            )
        },
    }
    for name, metric in METRICS.items():
        image = name.removesuffix(BY_AGE)
        of_image = _image_obstacles(image, choice, subject) if image in IMAGES else {}
        members = {f"needs {metric.members} members": subject.members < metric.members}
        for reason, stands in {**reasons.get(metric.family, {}), **members, **of_image}.items():
            if stands:
                yield name, reason
                break


def _image_obstacles(name: str, choice: MetricChoice, subject: Subject) -> dict[str, bool]:
    height, width = subject.frames.grid
    least = {
        "ssim": WANG.side, "ssim_openstl": UNIFORM.side, "lpips": SMALLEST
    }.get(name, 1)  # fmt: skip
    colours = len(subject.channels) in (1, 3)
    networks = {
        "lpips": (choice.lpips_path, "its weights: framecast fetch lpips, or --lpips-weights FILE"),
        "fvd": (
            choice.fvd_path,
            "the features of I3D: framecast fetch i3d, or --fvd-features FILE",
        ),
    }
    path, network = networks.get(name, ("", ""))
    return {
        "needs the range of the data: --data-range LO HI": subject.ranges is None,
        f"needs frames of {least}×{least} or more, not {height}×{width}": (
            min(height, width) < least
        ),
        "needs one channel or three (colours)": name in networks and not colours,
        f"needs {SHORTEST} lead times or more": name == "fvd" and subject.leads < SHORTEST,
        f"needs {network}": path is None,
    }
