"""The metrics that are asked for, and whether they can be had."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.fetch import fetched
from framecast.base.whole import PathLike
from framecast.metrics.catalogue import ERRORS, IMAGES, METRICS
from framecast.metrics.clips import CLIP, I3D, SHORTEST, ClipFeatures
from framecast.metrics.images import WINDOW
from framecast.metrics.lpips import SMALLEST, Lpips
from framecast.metrics.measure import Measure


@dataclass(frozen=True)
class MetricChoice:
    """The metrics that an evaluation is asked for.

    Attributes:
        names: of metrics, as in METRICS. None for those of the error and, where frames are
            images, for those of images that can be had. Weights and features ask for the
            metric that needs them.
        data_range: least and greatest value of an image, in the units of the data; None for
            the range that the data declare.
        lpips_weights: safetensors file with the weights of LPIPS on AlexNet; None for those
            that were fetched, if they were.
        fvd_features: TorchScript file with I3D; None for that which was fetched, if it was.
        fvd_sha256: checksum of a file of features that is trusted though it is not the known one.

    Raises:
        UserError: for a name that is not known, or a range that does not ascend.
    """

    names: tuple[str, ...] | None = None
    data_range: tuple[float, float] | None = None
    lpips_weights: PathLike | None = None
    fvd_features: PathLike | None = None
    fvd_sha256: str | None = None

    def __post_init__(self) -> None:
        for name in self.names or ():
            if name not in METRICS:
                raise UserError(f"unknown metric {name}: there are {', '.join(METRICS)}")
        if self.data_range is not None and not self.data_range[0] < self.data_range[1]:
            low, high = self.data_range
            raise UserError(f"--data-range {low:g} {high:g} must be a smaller and a greater value")
        if self.fvd_sha256 is not None and self.fvd_features is None:
            raise UserError("--fvd-sha256 says which file to trust: name it with --fvd-features")

    @property
    def lpips_path(self) -> PathLike | None:
        """Where the weights of LPIPS are."""
        return self.lpips_weights or fetched("lpips")

    @property
    def fvd_path(self) -> PathLike | None:
        """Where the features of FVD are."""
        folder = fetched("i3d")
        return self.fvd_features or (folder / I3D.name if folder else None)

    @property
    def asked(self) -> set[str]:
        """The metrics that are asked for by name, or by what only they need."""
        needs = {"lpips": self.lpips_weights, "fvd": self.fvd_features}
        return {*(self.names or ()), *(name for name, file in needs.items() if file is not None)}


_QUICK = tuple(name for name in IMAGES if name != "fvd")
_SLOW = "takes long, and is taken if asked for: --metrics"


class Subject(NamedTuple):
    """What is known of the frames to be judged.

    Attributes:
        grid: (H, W).
        leads: K, frames that are forecast.
        ranges: the values of each channel that are 0 and 1 of an image, [C,2]; None if unknown.
        channels: C.
        images: whether frames are images, by what the runs made of them.
    """

    grid: tuple[int, int]
    leads: int
    channels: int
    ranges: Float[Tensor, "C 2"] | None
    images: bool


def prepare(choice: MetricChoice, subject: Subject) -> Measure:
    """Decide which metrics are taken, and read the networks that they need.

    Raises:
        UserError: if a metric that is asked for cannot be had, or a file cannot be read.
    """
    obstacles = dict(_obstacles(choice, subject))
    for name in METRICS:
        if name in choice.asked and name in obstacles:
            raise UserError(f"{name} {obstacles[name]}")
    if choice.names is None:
        images = subject.images or choice.data_range is not None
        wanted = {*ERRORS, *choice.asked, *(_QUICK if images else ())}
    else:
        wanted = choice.asked
    names = tuple(name for name in METRICS if name in wanted and name not in obstacles)
    weights, features = choice.lpips_path, choice.fvd_path
    return Measure(
        names=names,
        absent={}
        if choice.names
        else {n: obstacles.get(n, _SLOW) for n in IMAGES if n not in names},
        ranges=subject.ranges,
        lpips=Lpips.load(weights) if weights is not None and "lpips" in names else None,
        features=ClipFeatures.load(features, choice.fvd_sha256)
        if features is not None and "fvd" in names
        else None,
        clip=min(CLIP, subject.leads),
    )


def _obstacles(choice: MetricChoice, subject: Subject) -> Iterator[tuple[str, str]]:
    """Each metric that cannot be had, and why."""
    height, width = subject.grid
    side, colours = min(subject.grid), subject.channels in (1, 3)
    reasons = {
        "ssim": {f"needs frames of {WINDOW}×{WINDOW} or more, not {height}×{width}": side < WINDOW},
        "lpips": {
            "needs one channel or three (colours)": not colours,
            f"needs frames of {SMALLEST}×{SMALLEST} or more, not {height}×{width}": side < SMALLEST,
            "needs its weights: framecast fetch lpips, or --lpips-weights FILE": (
                choice.lpips_path is None
            ),
        },
        "fvd": {
            "needs one channel or three (colours)": not colours,
            f"needs {SHORTEST} lead times or more": subject.leads < SHORTEST,
            "needs the features of I3D: framecast fetch i3d, or --fvd-features FILE": (
                choice.fvd_path is None
            ),
        },
    }
    unknown = {"needs the range of the data: --data-range LO HI": subject.ranges is None}
    for name in IMAGES:
        for reason, stands in {**unknown, **reasons.get(name, {})}.items():
            if stands:
                yield name, reason
                break
