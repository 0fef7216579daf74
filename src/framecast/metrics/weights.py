"""How much each cell of the grid counts, in each of several regions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

EVERYWHERE = "all"
"""The name of the first region, which is the whole grid."""

Weighting = Literal["area", "none"]


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights of the cells in R regions, of which the first is the whole grid.

    Attributes:
        values: at least 0, and 0 outside of a region, [R,H,W].
        regions: their names.
        kind: area: in proportion to the area of a cell; none: all cells count alike.
    """

    values: Float64[Tensor, "R H W"]
    regions: tuple[str, ...] = (EVERYWHERE,)
    kind: Weighting = "none"

    @classmethod
    def of(
        cls,
        grid: tuple[int, int],
        area: Float[Tensor, "H W"] | None = None,
        regions: Mapping[str, Bool[Tensor, "H W"]] | None = None,
    ) -> "Weights":
        """Return the weights of the whole grid, and of parts of it.

        Args:
            grid: (H, W).
            area: of each cell, with mean 1; None for cells that count alike.
            regions: where each region is, by name.
        """
        every = torch.ones(grid, dtype=torch.float64) if area is None else area.double()
        parts = [every, *(every.where(inside, 0.0) for inside in (regions or {}).values())]
        names = (EVERYWHERE, *(regions or {}))
        return cls(torch.stack(parts), names, "none" if area is None else "area")

    def sum(self, fields: Tensor) -> Float64[Tensor, "*any R C"]:
        """Return the weighted sum of fields [*,C,H,W] over each region, in float64."""
        flat = fields.double().flatten(-2) @ self.values.flatten(1).T
        return flat.transpose(-1, -2)

    def sum_known(
        self, known: Bool[Tensor, "B S C H W"] | None, shape: torch.Size
    ) -> Float64[Tensor, "B S R C"]:
        """Return the sum of the weights of what is known; all of [B,S,C,H,W] if None."""
        if known is not None:
            return self.sum(known)
        total = self.values.sum((1, 2))
        return total[:, None].expand(*shape[:2], len(total), shape[2])
