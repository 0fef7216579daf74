"""Measuring predictions against the truth, a stretch of frames at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.metrics.clips import ClipFeatures
from framecast.metrics.frechet import Gaussians
from framecast.metrics.images import psnr, squared_error, ssim, to_images
from framecast.metrics.lpips import Lpips, Taps
from framecast.metrics.scores import ClipSums, Scores

_TOLERANCE = 1e-3
"""Part of the range by which the truth may lie outside of it, as resized video does."""


class Reference(NamedTuple):
    """The truth, with what every prediction of it is compared with.

    Attributes:
        frames: in physical units, [B,S,C,H,W].
        images: the same in [0, 1]; None where no metric of images is taken.
        taps: what the network of LPIPS sees in them.
        clips: the features of the stretch; None where it makes no clip.
    """

    frames: Float[Tensor, "B S C H W"]
    images: Float[Tensor, "B S C H W"] | None
    taps: Taps | None
    clips: Gaussians | None


@dataclass(frozen=True, eq=False)
class Measure:
    """The metrics that are taken, with what they need. `prepare` makes one.

    Attributes:
        names: of the metrics, in the order of METRICS.
        absent: metrics of images that cannot be had, and why.
        ranges: values of each channel that are 0 and 1 of an image, [C,2].
        lpips: the network of LPIPS.
        features: the network of FVD.
        clip: frames of a clip.
    """

    names: tuple[str, ...]
    absent: Mapping[str, str]
    ranges: Float[Tensor, "C 2"] | None
    lpips: Lpips | None
    features: ClipFeatures | None
    clip: int

    def reference(self, truth: Float[Tensor, "B S C H W"], forecast: bool) -> Reference:
        """Make ready the truth of a stretch.

        Args:
            truth: in physical units.
            forecast: whether the stretch lies in the forecast, which alone is cut into clips.

        Raises:
            UserError: if the truth lies outside its range.
        """
        images = None
        if self.ranges is not None and set(self.names) & {*_NUMBERS, "lpips", "fvd"}:
            _check_range(truth, self.ranges)
            images = to_images(truth, self.ranges)
        whole = forecast and truth.shape[1] == self.clip and "fvd" in self.names
        return Reference(
            truth,
            images,
            self._taps(images) if self.lpips else None,
            self._clips(images) if whole else None,
        )

    def scores(self, predictions: Float[Tensor, "B S C H W"], truth: Reference) -> Scores:
        """Measure the predictions of a stretch."""
        if truth.images is None or self.ranges is None:
            return Scores.of(predictions, truth.frames)
        images = to_images(predictions, self.ranges)
        numbers = {
            name: number(images, truth.images)
            for name, number in _NUMBERS.items()
            if name in self.names
        }
        if self.lpips is not None and truth.taps is not None:
            distances = self.lpips.compare(self._taps(images), truth.taps)
            numbers["lpips"] = distances.view(images.shape[:2])
        clips = None
        if truth.clips is not None:
            clips = ClipSums(self._clips(images), truth.clips)
        return Scores.of(predictions, truth.frames, numbers, clips)

    def _taps(self, images: Tensor | None) -> Taps:
        assert images is not None
        assert self.lpips is not None
        return self.lpips.describe(images.flatten(0, 1))

    def _clips(self, images: Tensor | None) -> Gaussians:
        assert images is not None
        assert self.features is not None
        return Gaussians.of(self.features(images))


def _frame_sum(images: Tensor, truth: Tensor) -> Tensor:
    return squared_error(images, truth) * images[0, 0].numel()


_NUMBERS = {
    "image_mse": squared_error,
    "mse_frame_sum": _frame_sum,
    "psnr": psnr,
    "ssim": ssim,
}
"""Numbers of a frame that need no network."""


def _check_range(truth: Tensor, ranges: Tensor) -> None:
    """Raise a UserError if the truth has values that no image of this range has."""
    for channel, (low, high) in enumerate(ranges.tolist()):
        least, greatest = (v.item() for v in torch.aminmax(truth[:, :, channel]))
        slack = _TOLERANCE * (high - low)
        if least < low - slack or greatest > high + slack:
            raise UserError(
                f"the data range is {low:g} to {high:g}, but channel {channel} of the frames has "
                f"values from {least:g} to {greatest:g}: give the range of all frames with "
                "--data-range LO HI"
            )
