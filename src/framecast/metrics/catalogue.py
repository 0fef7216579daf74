"""The names of all metrics, and what each says."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

FamilyName = Literal[
    "error", "anomaly", "event", "neighbourhood", "seeps", "spectrum", "ensemble", "probability",
    "image", "age", "clip",
]  # fmt: skip
Axis = Literal["threshold", "neighbourhood", "wavelength", "rank", "probability", "age"]
Axes = tuple[Axis, ...]


@dataclass(frozen=True)
class Metric:
    """What is known of a metric.

    Attributes:
        label: how tables and pictures name it, with its units if they are its own.
        summary: one line, for the command line.
        better: whether lower or higher values are better, or those nearest to `perfect`.
        family: what it judges, and by which sums.
        per: what it is a number of: a channel's cells, a whole frame, or a clip of frames.
        perfect: its value for a perfect forecast; None where there is none that says so.
        units: those of the channel, or of their square; of wavelengths; or none.
        axes: what it is a function of, beside lead time, region and channel.
        members: the least number of members that it needs.
    """

    label: str
    summary: str
    better: Literal["lower", "higher", "nearest"]
    family: FamilyName
    per: Literal["channel", "frame", "clip"] = "channel"
    perfect: float | None = 0.0
    units: Literal["", "channel", "squared", "wavelength"] = ""
    axes: Axes = ()
    members: int = 1

    @property
    def curve(self) -> Axis | None:
        """The axis along which the metric is a curve and no number; None for a number."""
        drawn = [axis for axis in self.axes if axis in ("wavelength", "rank", "probability", "age")]
        return drawn[-1] if drawn else None

    @property
    def regional(self) -> bool:
        """Whether regions are told apart."""
        return self.family not in ("spectrum", "image", "age", "clip")

    @property
    def difference(self) -> bool:
        """Whether the values of two forecasts may be subtracted."""
        return self.curve is None and self.per != "clip"


_EVENTS: Axes = ("threshold",)
_WAVES: Axes = ("wavelength",)
_CHANCES: Axes = ("threshold", "probability")

_event = partial(Metric, family="event", axes=_EVENTS)
_part = partial(Metric, family="probability", axes=_EVENTS, perfect=None)
_spectrum = partial(Metric, family="spectrum", axes=_WAVES, units="squared", perfect=None)
_image = partial(Metric, family="image", per="frame")
_aged = partial(Metric, family="age", per="frame", axes=("age",))

METRICS: dict[str, Metric] = {
    "rmse": Metric("RMSE", "root of the mean squared error", "lower", "error", units="channel"),
    "mae": Metric("MAE", "mean absolute error", "lower", "error", units="channel"),
    "mse": Metric("MSE", "mean squared error", "lower", "error", units="squared"),
    "bias": Metric("bias", "mean error", "nearest", "error", units="channel"),
    "acc": Metric("ACC", "correlation of anomalies", "higher", "anomaly", perfect=1.0),
    "activity": Metric(
        "activity", "deviation of anomalies beside the truth's", "nearest", "anomaly", perfect=1.0
    ),
    "csi": _event("CSI", "critical success index of events", "higher", perfect=1.0),
    "pod": _event("POD", "share of events that were forecast", "higher", perfect=1.0),
    "far": _event("FAR", "share of forecast events that failed", "lower"),
    "frequency_bias": _event(
        "frequency bias", "forecast events over true ones", "nearest", perfect=1.0
    ),
    "hss": _event("HSS", "Heidke skill score of events", "higher", perfect=1.0),
    "ets": _event("ETS", "equitable threat score of events", "higher", perfect=1.0),
    "fss": Metric(
        "FSS", "fractions skill score of events nearby", "higher", "neighbourhood",
        perfect=1.0, axes=("threshold", "neighbourhood"),
    ),
    "seeps": Metric("SEEPS", "error of dry, light and heavy rain (--dry)", "lower", "seeps"),
    "sharpness": Metric(
        "sharpness", "power at the smallest scales beside the truth's", "nearest", "spectrum",
        perfect=1.0,
    ),
    "effective_resolution": Metric(
        "effective resolution", "wavelength down to which half of the power is there", "lower",
        "spectrum", units="wavelength", perfect=None,
    ),
    "power": _spectrum("power", "spectrum of the forecast", "nearest"),
    "power_truth": _spectrum("power of the truth", "spectrum of the truth", "nearest"),
    "power_error": _spectrum("power of the error", "spectrum of the error", "lower", perfect=0.0),
    "crps": Metric(
        "CRPS", "fair continuous ranked probability score", "lower", "ensemble", units="channel"
    ),
    "spread": Metric(
        "spread", "deviation of the members", "nearest", "ensemble",
        units="channel", perfect=None, members=2,
    ),
    "spread_skill": Metric(
        "spread/skill", "spread over RMSE of the mean", "nearest", "ensemble",
        perfect=1.0, members=2,
    ),
    "energy_score": Metric(
        "energy score", "fair energy score of whole fields", "lower", "ensemble", units="channel"
    ),
    "rank_histogram": Metric(
        "rank histogram", "ranks of the truth among the members", "nearest", "ensemble",
        perfect=None, axes=("rank",), members=2,
    ),
    "brier": _part("Brier score", "squared error of probabilities", "lower", perfect=0.0),
    "brier_reliability": _part(
        "reliability", "part of the Brier score: wrong probabilities", "lower", perfect=0.0
    ),
    "brier_resolution": _part(
        "resolution", "part of the Brier score: cases told apart", "higher"
    ),
    "brier_uncertainty": _part(
        "uncertainty", "part of the Brier score: of the truth alone", "nearest"
    ),
    "reliability": _part(
        "reliability diagram", "events by the probability they were given", "nearest",
        axes=_CHANCES,
    ),
    "probability_share": _part(
        "share of probabilities", "how often each probability is given", "nearest",
        axes=_CHANCES,
    ),
    "image_mse": _image("image MSE", "mean squared error of images in [0, 1]", "lower"),
    "mse_frame_sum": _image(
        "MSE, frame sum", "squared error of images in [0, 1], summed over a frame", "lower"
    ),
    "psnr": _image(
        "PSNR (dB)", "peak signal-to-noise ratio, mean over frames", "higher", perfect=None
    ),
    "ssim": _image("SSIM", "structural similarity, windows of 11×11", "higher", perfect=1.0),
    "lpips": _image("LPIPS", "perceptual distance on AlexNet (--lpips-weights)", "lower"),
    "mse_openstl": _image(
        "MSE (OpenSTL)", "squared error summed over a frame, not clipped", "lower"
    ),
    "mae_openstl": _image(
        "MAE (OpenSTL)", "absolute error summed over a frame, not clipped", "lower"
    ),
    "ssim_openstl": _image(
        "SSIM (OpenSTL)", "structural similarity as OpenSTL takes it, windows of 7×7", "higher",
        perfect=1.0,
    ),
    "psnr_by_age": _aged(
        "PSNR (dB) by age", "PSNR by how long ago the place was last shown, if it was", "higher",
        perfect=None,
    ),
    "ssim_by_age": _aged("SSIM by age", "SSIM likewise", "higher", perfect=1.0),
    "lpips_by_age": _aged("LPIPS by age", "LPIPS likewise (--lpips-weights)", "lower"),
    "fvd": Metric(
        "FVD", "Fréchet distance of features of clips (--fvd-features)", "lower", "clip",
        per="clip",
    ),
}  # fmt: skip
"""By name. Those of images and clips are of values in [0, 1], the others in physical units."""


def of_families(*families: FamilyName) -> tuple[str, ...]:
    """Return the names of the metrics of some families."""
    return tuple(name for name, metric in METRICS.items() if metric.family in families)


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return names in the order of METRICS."""
    wanted = set(names)
    return tuple(name for name in METRICS if name in wanted)


ERRORS = of_families("error")
IMAGES = of_families("image", "clip")
