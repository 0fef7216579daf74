"""The names of all metrics, and what each says."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """What is known of a metric.

    Attributes:
        label: how tables and pictures name it, with its units if they are its own.
        summary: one line, for the command line.
        better: whether lower or higher values are better, or those nearest to zero.
        per: what it is a number of: a channel's pixels, a whole frame, or a clip of frames.
    """

    label: str
    summary: str
    better: Literal["lower", "higher", "zero"]
    per: Literal["channel", "frame", "clip"]


METRICS = {
    "rmse": Metric("RMSE", "root of the mean squared error", "lower", "channel"),
    "mae": Metric("MAE", "mean absolute error", "lower", "channel"),
    "mse": Metric("MSE", "mean squared error", "lower", "channel"),
    "bias": Metric("bias", "mean error", "zero", "channel"),
    "image_mse": Metric("image MSE", "mean squared error of images in [0, 1]", "lower", "frame"),
    "mse_frame_sum": Metric(
        "MSE, frame sum", "squared error of images in [0, 1], summed over a frame", "lower", "frame"
    ),
    "psnr": Metric("PSNR (dB)", "peak signal-to-noise ratio, mean over frames", "higher", "frame"),
    "ssim": Metric("SSIM", "structural similarity, windows of 11×11", "higher", "frame"),
    "lpips": Metric("LPIPS", "perceptual distance on AlexNet (--lpips-weights)", "lower", "frame"),
    "fvd": Metric("FVD", "Fréchet distance of features of clips (--fvd-features)", "lower", "clip"),
}
"""By name. Those of a channel are in physical units, the others of images in [0, 1]."""

ERRORS = tuple(name for name, metric in METRICS.items() if metric.per == "channel")
IMAGES = tuple(name for name in METRICS if name not in ERRORS)
