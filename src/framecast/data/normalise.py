"""Statistics of the training frames; normalisation and its inverse."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.data.frames import Frames


@dataclass(frozen=True, eq=False)
class Statistics:
    """What is kept of the training frames.

    Attributes:
        mean: of each channel, [C], in physical units.
        std: standard deviation of each channel, [C]; 1 for a channel that never changes.
        climatology: mean over sequences and times, [C,H,W]: the forecast that knows nothing
            of the present.
    """

    mean: Float[Tensor, " C"]
    std: Float[Tensor, " C"]
    climatology: Float[Tensor, "C H W"]

    @classmethod
    def of(cls, frames: Frames) -> "Statistics":
        """Compute the statistics of frames, with sums in float64."""
        values = frames.values.transpose(0, 2).flatten(1).double()
        std = values.std(dim=1, correction=0)
        return cls(
            mean=values.mean(dim=1).float(),
            std=torch.where(std > 0, std, 1.0).float(),
            climatology=frames.values.double().mean(dim=(0, 1)).float(),
        )

    def normalise(self, values: Float[Tensor, "*any C H W"]) -> Float[Tensor, "*any C H W"]:
        """Physical units → zero mean and unit variance over the training frames."""
        return (values - self.mean[:, None, None]) / self.std[:, None, None]

    def denormalise(self, values: Float[Tensor, "*any C H W"]) -> Float[Tensor, "*any C H W"]:
        """The inverse of `normalise`."""
        return values * self.std[:, None, None] + self.mean[:, None, None]
