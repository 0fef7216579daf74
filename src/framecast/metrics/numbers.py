"""Numbers that judge whole frames as images, and their means over frames."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.metrics.ages import NEITHER, shares_of
from framecast.metrics.family import Family, Prediction, Sums, Truth
from framecast.metrics.images import UNIFORM, psnr, squared_error, ssim, to_images, to_range
from framecast.metrics.lpips import Lpips, Taps

BY_AGE = "_by_age"
"""What the name of a metric ends in that tells the ages of frames apart."""
_TOLERANCE = 1e-3
"""Part of the range by which the truth may lie outside of it, as resized video does."""


class Images(NamedTuple):
    """Frames in [0, 1].

    Attributes:
        clipped: what lies outside is brought to the end of the range, [B,S,C,H,W].
        scaled: what lies outside stays there, [B,S,C,H,W].
        taps: what the network of LPIPS sees in the clipped ones; None where nobody asks.
    """

    clipped: Float[Tensor, "B S C H W"]
    scaled: Float[Tensor, "B S C H W"]
    taps: Taps | None


def _frame_sum(images: Tensor, truth: Tensor) -> Tensor:
    return squared_error(images, truth) * images[0, 0].numel()


def _absolute_sum(images: Tensor, truth: Tensor) -> Tensor:
    return (images.double() - truth.double()).abs().sum((-3, -2, -1))


_CLIPPED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "image_mse": squared_error,
    "mse_frame_sum": _frame_sum,
    "psnr": psnr,
    "ssim": ssim,
    # A range of two, which scikit-image once took for numbers with a point, as OpenSTL did.
    "ssim_openstl": partial(ssim, span=2.0, window=UNIFORM),
}
"""Numbers of a frame that need no network."""
_SCALED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse_openstl": _frame_sum,
    "mae_openstl": _absolute_sum,
}
"""Numbers of a frame whose values were not clipped."""


@dataclass(frozen=True, eq=False)
class FrameNumbers(Family):
    """Means over frames of a number of each frame, of the mean over members.

    The signal-to-noise ratio of a frame without noise is infinite, and left out of its sum and its
    count; so is any number of a frame with gaps. An infinite error counts as one.

    Some numbers may be told apart by the age of a frame too: how long ago the place that it shows
    was shown before (`metrics.ages`).

    Attributes:
        names: of the metrics.
        ranges: values of each channel that are 0 and 1 of an image, [C,2].
        lpips: the network of LPIPS; None where nobody asks.
        aged: those of the names that are told apart by age, as NAME_by_age.
        edges: of the bins of ages; none where no number is told apart by them.
    """

    names: tuple[str, ...]
    ranges: Float[Tensor, "C 2"]
    lpips: Lpips | None = None
    aged: tuple[str, ...] = ()
    edges: tuple[int, ...] = ()

    @property
    def metrics(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the metrics."""
        return (*self.names, *(f"{name}{BY_AGE}" for name in self.aged))

    @property
    def statistics(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the sums."""
        each = (f"{name}_{what}" for name in self.metrics for what in ("total", "count"))
        return ("frames", "whole", *each)

    def reference(self, truth: Truth) -> Images:
        """Return the truth as images.

        Raises:
            UserError: if it has values that no image of this range has.
        """
        _check_range(truth.values, self.ranges)
        return self._images(truth.values)

    def sums(self, prediction: Prediction, truth: Truth, reference: Images) -> Sums:
        """Return the count of frames and of whole ones, and sum and count of each number."""
        images = self._images(prediction.mean)
        numbers = {name: self._number(name, images, reference) for name in self.names}
        return {**sum_numbers(numbers, truth), **self._by_age(numbers, truth)}

    def _by_age(self, numbers: dict[str, Tensor], truth: Truth) -> Sums:
        """Sum and count of numbers of frames of each age, [B,S,1,1,V]."""
        if not self.aged:
            return {}
        told = {name: numbers[name] for name in self.aged}
        plain = sum_numbers(told, truth)
        unknown = torch.full(truth.values.shape[:2], NEITHER)
        shares = shares_of(unknown if truth.ages is None else truth.ages, self.edges)
        return {
            f"{name}{BY_AGE}_{what}": plain[f"{name}_{what}"][..., None] * shares[:, :, None, None]
            for name in told
            for what in ("total", "count")
        }

    def _images(self, frames: Tensor) -> Images:
        clipped = to_images(frames, self.ranges)
        taps = None if self.lpips is None else self.lpips.describe(clipped.flatten(0, 1))
        return Images(clipped, to_range(frames, self.ranges), taps)

    def _number(self, name: str, images: Images, truth: Images) -> Tensor:
        if name in _CLIPPED:
            return _CLIPPED[name](images.clipped, truth.clipped)
        if name in _SCALED:
            return _SCALED[name](images.scaled, truth.scaled)
        assert self.lpips is not None
        assert images.taps is not None
        assert truth.taps is not None
        return self.lpips.compare(images.taps, truth.taps).view(images.clipped.shape[:2])

    def metric(self, name: str, sums: Sums) -> Tensor:
        """Return the mean over frames; infinite where all frames were left out.

        By age, it is NaN where there were none of an age, or all were left out.
        """
        total, count = sums[f"{name}_total"], sums[f"{name}_count"]
        if name.endswith(BY_AGE):
            return total / count
        return torch.where((count == 0) & (sums["whole"] > 0), torch.inf, total / count)


def sum_numbers(numbers: dict[str, Tensor], truth: Truth) -> Sums:
    """Return the sum and the count of numbers [B,S] of frames that are whole, each [B,S,1,1].

    With them come the count of all frames, and that of those that are whole.
    """
    shape = truth.values.shape[:2]
    whole = torch.ones(shape, dtype=torch.bool)
    if truth.known is not None:
        whole = truth.known.flatten(2).all(2)
    sums = {"frames": torch.ones(shape), "whole": whole}
    for name, number in numbers.items():
        counted = whole & ~number.isinf() if name == "psnr" else whole
        sums |= {f"{name}_total": number.where(counted, 0.0), f"{name}_count": counted}
    return {name: each.double()[:, :, None, None] for name, each in sums.items()}


def _check_range(truth: Tensor, ranges: Tensor) -> None:
    for channel, (low, high) in enumerate(ranges.tolist()):
        values = truth[:, :, channel]
        known = values[~values.isnan()]
        if not len(known):
            continue
        least, greatest = (v.item() for v in torch.aminmax(known))
        slack = _TOLERANCE * (high - low)
        if least < low - slack or greatest > high + slack:
            raise UserError(
                f"the data range is {low:g} to {high:g}, but channel {channel} of the frames has "
                f"values from {least:g} to {greatest:g}: give the range of all frames with "
                "--data-range LO HI"
            )
