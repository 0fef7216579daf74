"""A coarser grid: the mean of each block of cells, data.coarsen."""

import math
import warnings
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from framecast.base.errors import UserError
from framecast.frames.channels import Coordinate
from framecast.frames.chunks import Chunks
from framecast.frames.coarse_axes import coarse_coordinates
from framecast.frames.frames import Frames
from framecast.frames.lazy import LazyValues, Reader, Values, stored_in
from framecast.frames.places import find_axis, over_grid

KNOWN = 0.5
"""Least share of the cells of a block that must be known, so that its mean is."""

CellSizes = tuple[float, float]
"""Distance of neighbouring rows and of neighbouring columns, in the units of their coordinates."""

_ALIKE = 0.01
"""Share by which cells of one size may differ."""
_STRETCH = 64
"""Frames that are averaged at a time."""


def check_coarsen(count: int) -> None:
    """Raise a ValueError unless blocks are one cell or more a side."""
    if count < 1:
        raise ValueError(f"coarsen {count} must be at least 1: a block is so many cells a side")


def coarsen(
    frames: Frames,
    count: int,
    cells: CellSizes | None = None,
    grid: tuple[int, int] | None = None,
) -> Frames:
    """Return frames on a coarser grid, whose values are means of blocks; nothing is read for it.

    Where latitudes lie along rows, or along columns, cells count by their area on the sphere: the
    difference of the sines of their edges, midway between latitudes. Elsewhere they count alike.
    What is missing is left out, and a mean is missing where less than half of the cells is known.
    Coordinates become the means of each block, and longitudes are averaged across the seam; bounds
    of cells become those of the block.

    Args:
        frames: on the fine grid; or on the coarse one, where `cells` or `grid` tell so.
        count: cells along a side of a block.
        cells: sizes of coarse cells, where a run knows them: frames that have them already are
            returned as they are.
        grid: (H, W) of the coarse grid, where a run knows it: frames without coordinates that have
            it already are returned as they are, with a warning.

    Raises:
        UserError: if blocks do not divide the grid, or latitudes neither ascend nor descend.
    """
    if count == 1 or _is_coarse(frames, count, cells, grid):
        return frames
    height, width = frames.grid
    if height % count or width % count:
        rows, columns = (size - size % count - 1 for size in frames.grid)
        raise UserError(
            f"{frames.source} has {height} rows and {width} columns, which blocks of {count} × "
            f"{count} cells (data.coarsen {count}) do not divide: cut it first, such as by "
            f"--data.region '{{row: [0, {rows}], column: [0, {columns}]}}', or choose another size"
        )
    areas = torch.from_numpy(_areas(frames))
    static = frames.static
    if static is not None:
        static = static._replace(values=block_means(static.values, areas, count))
    return replace(
        frames,
        values=_coarse_values(frames.values, areas, count),
        coordinates=coarse_coordinates(frames, count),
        static=static,
        evidence={
            dim: f"{said}, in blocks of {count}" if dim in frames.dims[-2:] else said
            for dim, said in frames.evidence.items()
        },
    )


def block_means(
    values: Float[Tensor, "*any H W"], areas: Float64[Tensor, "H W"], count: int
) -> Float[Tensor, "*any h w"]:
    """Return the mean of the known values of each block, weighted by the area of its cells.

    Args:
        values: NaN where nothing is known.
        areas: of the cells, in any unit.
        count: cells along a side of a block; it divides H and W.

    Returns:
        Means, NaN where less than half of the cells is known.
    """
    known = ~values.isnan()
    total = _block_sums(values.double().nan_to_num(0.0) * areas, count)
    area = _block_sums(known * areas, count)
    share = _block_sums(known.double(), count) / count**2
    return (total / area).where(share >= KNOWN, torch.nan).to(values.dtype)


def cell_sizes(frames: Frames) -> CellSizes | None:
    """Return how far neighbouring rows and columns lie apart; None where coordinates do not say."""
    sizes = []
    for dim in frames.dims[-2:]:
        axis = frames.coordinates.get(dim)
        if axis is None or axis.dims != (dim,) or axis.values.dtype.kind not in "iuf":
            return None
        if len(axis.values) < 2:
            return None
        sizes.append(float(np.median(np.abs(np.diff(axis.values.astype(np.float64))))))
    return sizes[0], sizes[1]


@dataclass(frozen=True, eq=False)
class CoarseReader:
    """Gives means of blocks of what another reader reads: a `Reader`.

    Attributes:
        fine: the values of each cell.
        areas: of the cells.
        count: cells along a side of a block.
    """

    fine: Reader
    areas: Float64[Tensor, "H W"]
    count: int

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(N, T, C, H, W)."""
        n, t, c, h, w = self.fine.shape
        return n, t, c, h // self.count, w // self.count

    @property
    def source(self) -> str:
        """Where the values come from."""
        return self.fine.source

    @property
    def chunks(self) -> Chunks | None:
        """How the frames are stored."""
        return stored_in(self.fine)

    def read(self, sequence: int, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Return frames start to stop - 1 of a sequence."""
        return _in_stretches(self.fine.read(sequence, start, stop), self.areas, self.count)

    def fingerprint(self) -> str:
        """Return a digest of the fine values, and of how they are averaged."""
        return f"{self.fine.fingerprint()} in blocks of {self.count}"


def _is_coarse(
    frames: Frames, count: int, cells: CellSizes | None, grid: tuple[int, int] | None
) -> bool:
    """Whether frames are as coarse already as those that a run learned from."""
    own = cell_sizes(frames)
    if cells is not None and own is not None:
        return all(math.isclose(a, b, rel_tol=_ALIKE) for a, b in zip(own, cells, strict=True))
    if frames.grid != grid:
        return False
    warnings.warn(
        f"{frames.source} has {grid[0]} × {grid[1]} cells, as many as the run learned from after "
        f"data.coarsen {count}, and no coordinates: it is read as it is",
        stacklevel=1,
    )
    return True


def _coarse_values(
    values: Values, areas: Float64[Tensor, "H W"], count: int
) -> Tensor | LazyValues:
    if isinstance(values, Tensor):
        n, t, c, h, w = values.shape
        means = _in_stretches(values.reshape(n * t, c, h, w), areas, count)
        return means.view(n, t, *means.shape[1:])
    return replace(values, reader=CoarseReader(values.reader, areas, count))


def _in_stretches(
    frames: Float[Tensor, "T C H W"], areas: Float64[Tensor, "H W"], count: int
) -> Float[Tensor, "T C h w"]:
    """Means of blocks, some frames at a time: sums in float64 take several times their memory."""
    parts = frames.tensor_split(max(1, -(-len(frames) // _STRETCH)))
    return torch.cat([block_means(part, areas, count) for part in parts])


def _block_sums(values: Float[Tensor, "*any H W"], count: int) -> Float[Tensor, "*any h w"]:
    *_, h, w = values.shape
    blocks = values.reshape(*values.shape[:-2], h // count, count, w // count, count)
    return blocks.sum((-3, -1))


def _areas(frames: Frames) -> Float64[np.ndarray, "H W"]:
    """Areas of the cells, in no unit in particular."""
    axis = find_axis(frames, "latitude")
    if axis is None or axis.values.ndim != 1 or axis.values.size < 2:
        return np.ones(frames.grid)
    latitudes = np.asarray(axis.values, np.float64)
    steps = np.diff(latitudes)
    if not (np.all(steps > 0) or np.all(steps < 0)):
        raise UserError(
            f"{frames.source}: its latitudes neither ascend nor descend, so that data.coarsen "
            "cannot tell the areas of its cells: sort them first (xarray: sortby)"
        )
    middles = latitudes[:-1] + steps / 2
    ends = [latitudes[0] - steps[0] / 2, *middles, latitudes[-1] + steps[-1] / 2]
    areas = np.abs(np.diff(np.sin(np.deg2rad(np.clip(ends, -90, 90)))))
    return over_grid(frames, Coordinate(axis.dims, areas))
