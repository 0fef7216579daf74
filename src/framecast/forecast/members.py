"""Members of an ensemble: which forecasts they are, and what their random numbers follow from.

Every number follows from the seed, the member, the window and the step alone. It does not matter
which members, or windows, are forecast side by side.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from framecast.frames.batch import Place

_NOISE, _PERTURBATION = range(2)
"""What numbers are drawn for."""


@dataclass(frozen=True)
class Variation:
    """By what the members of an ensemble differ, beside the models that they are of.

    Attributes:
        seed: of all random numbers, at least 0.
        perturb: standard deviation of what is added to the given frames of each member, in units
            of the normalisation: with data.normalise standard, training deviations.
        cells: how far it is correlated: it is white noise under a Gaussian of this standard
            deviation, in cells; 0 for white noise.

    Raises:
        ValueError: if a number is negative or not finite.
    """

    seed: int = 0
    perturb: float = 0.0
    cells: float = 0.0

    def __post_init__(self) -> None:
        for name in ("seed", "perturb", "cells"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} {value} must be a finite number, and at least 0")


class Draws(NamedTuple):
    """The random numbers of the forecasts in a batch: a value that is passed in and returned.

    Attributes:
        variation: by what members differ.
        rows: of each forecast, its member, and the sequence and first frame of its window.
        step: steps done, from the first given frame on.
    """

    variation: Variation
    rows: tuple[tuple[int, int, int], ...]
    step: int = 0

    @classmethod
    def of(
        cls,
        places: Sequence[Place],
        members: Sequence[int] = (0,),
        variation: Variation | None = None,
    ) -> "Draws":
        """Return the draws of some members of each window, all of a member together."""
        rows = tuple((member, *place) for member in members for place in places)
        return cls(variation or Variation(), rows)

    def noise(
        self, steps: int, channels: int, grid: tuple[int, int]
    ) -> tuple[Float[Tensor, "R T N H W"], "Draws"]:
        """Draw standard normal numbers for the next steps; return them, and what follows."""
        numbers = [
            [self._draw((channels, *grid), _NOISE, row, self.step + step) for step in range(steps)]
            for row in self.rows
        ]
        return torch.from_numpy(np.array(numbers)), self._replace(step=self.step + steps)

    def perturbed(self, frames: Float[Tensor, "R T C H W"]) -> Float[Tensor, "R T C H W"]:
        """Add to all given frames of a forecast the same field, of the same strength everywhere."""
        variation = self.variation
        if not variation.perturb:
            return frames
        *_, channels, height, width = frames.shape
        kernel = _gaussian(variation.cells)
        reach = len(kernel) - 1
        size = channels, height + reach, width + reach
        white = np.array([self._draw(size, _PERTURBATION, row, 0) for row in self.rows])
        fields = _smooth(_smooth(torch.from_numpy(white), kernel, -1), kernel, -2)
        return frames + variation.perturb * fields[:, None].to(frames)

    def _draw(self, shape: tuple[int, ...], use: int, row: Sequence[int], step: int) -> np.ndarray:
        random = np.random.default_rng([self.variation.seed, use, *row, step])
        return random.standard_normal(shape, dtype=np.float32)


def _gaussian(cells: float) -> Tensor:
    """Weights of a Gaussian whose squares add up to 1, so that white noise keeps its variance."""
    reach = math.ceil(4 * cells)
    if not reach:
        return torch.ones(1)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / cells).square())
    unit: Tensor = weights / weights.square().sum().sqrt()
    return unit


def _smooth(values: Tensor, kernel: Tensor, dim: int) -> Tensor:
    """Convolve along a dimension, which becomes shorter by the length of the kernel less one."""
    smooth: Tensor = values.unfold(dim, len(kernel), 1) @ kernel
    return smooth
