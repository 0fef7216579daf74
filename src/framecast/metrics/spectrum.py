"""Spectra: how much of the variance of a field lies at which wavelength."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from framecast.metrics.family import Family, Prediction, Sums, Truth

SpectrumKind = Literal["periodic", "windowed", "zonal"]

RESOLVED = 0.5
"""Least power of the forecast beside that of the truth at a wavelength that is resolved."""


class Bins(NamedTuple):
    """Where the power of a Fourier coefficient goes.

    Attributes:
        kind: periodic: isotropic, of fields without edges; windowed: isotropic, tapered to the
            edges by a Hann window; zonal: along each row of a globe.
        places: the wavenumber of each coefficient, 0 for those that belong to none, [H,W/2+1] (of
            a zonal one [1,W/2+1]).
        wavelengths: of wavenumbers 1 to K, descending, [K].
        units: of the wavelengths: km, or cells.
        rows: weight of each row in a zonal spectrum, with sum 1, [H].
    """

    kind: SpectrumKind
    places: Int64[Tensor, "_H _F"]
    wavelengths: Float64[np.ndarray, " K"]
    units: str
    rows: Float64[Tensor, " H"] | None = None


def isotropic_bins(
    grid: tuple[int, int], kind: SpectrumKind, spacing: tuple[float, float] | None
) -> Bins:
    """Return rings of equal width around wavenumber 0.

    A ring is as wide as one wave along the longer side; the last is that of two cells of the
    coarser spacing. What lies beyond, in the corners, is left out.

    Args:
        grid: (H, W).
        kind: periodic or windowed.
        spacing: of rows and of columns, in km; None for cells of no known size.
    """
    sizes = spacing or (1.0, 1.0)
    rows = np.fft.fftfreq(grid[0], sizes[0])[:, None]
    columns = np.fft.rfftfreq(grid[1], sizes[1])[None]
    width = 1 / max(n * size for n, size in zip(grid, sizes, strict=True))
    last = int(np.floor(0.5 / max(sizes) / width + 1e-9))
    places = np.rint(np.hypot(rows, columns) / width).astype(np.int64)
    places[places > last] = 0
    wavelengths = 1 / (width * np.arange(1, last + 1))
    return Bins(kind, torch.from_numpy(places), wavelengths, "cells" if spacing is None else "km")


def zonal_bins(latitudes: Float64[np.ndarray, " H"], columns: int, radius: float) -> Bins:
    """Return the wavenumbers around the globe, with rows weighted by the cosine of latitude.

    Wavelengths are those on the circle of latitude of mean length, by the same weights.

    Args:
        latitudes: of the rows, in degrees.
        columns: W, evenly around the globe.
        radius: of the globe, in km.
    """
    cosines = np.cos(np.deg2rad(latitudes)).clip(min=0)
    rows = cosines / cosines.sum()
    waves = np.arange(1, columns // 2 + 1)
    wavelengths = 2 * np.pi * radius * float(rows @ cosines) / waves
    places = torch.arange(columns // 2 + 1)[None]
    return Bins("zonal", places, wavelengths, "km", torch.from_numpy(rows))


@dataclass(frozen=True, eq=False)
class Spectra(Family):
    """Power of forecast, truth and error by wavenumber, summed over frames without gaps.

    The power of an ensemble is the mean of the powers of its members, since their mean is smooth
    by design; the error is that of their mean. The sum over all wavenumbers of a periodic field
    is its variance, but for the corners (Parseval).

    Attributes:
        bins: which wavenumber is where.
    """

    metrics = ("power", "power_truth", "power_error", "sharpness", "effective_resolution")
    statistics = ("spectra", "ours_power", "theirs_power", "error_power")
    bins: Bins

    def reference(self, truth: Truth) -> Any:
        """Return which frames of the truth are whole, and their power."""
        if truth.known is None:
            return None, self._power(truth.values)
        whole = truth.known.flatten(3).all(3)
        return whole, self._power(truth.values.nan_to_num(0.0))

    def sums(self, prediction: Prediction, truth: Truth, reference: Any) -> Sums:
        """Return how many frames there are, [B,S,1,C], and three sums of power, [B,S,1,C,K]."""
        whole, theirs = reference
        values = truth.values if whole is None else truth.values.nan_to_num(0.0)
        members = prediction.members if whole is None else prediction.members.nan_to_num(0.0)
        ours = torch.stack([self._power(member) for member in members]).mean(0)
        if len(members) == 1:
            error = self._power(members[0] - values)
        else:
            error = self._power(members.mean(0) - values)
        counted = torch.ones(ours.shape[:3]) if whole is None else whole
        powers = {"ours_power": ours, "theirs_power": theirs, "error_power": error}
        if whole is not None:
            powers = {k: v.where(whole[..., None], 0.0) for k, v in powers.items()}
        return {"spectra": counted.double()[:, :, None]} | {
            name: power[:, :, None] for name, power in powers.items()
        }

    def _power(self, fields: Float[Tensor, "B S C H W"]) -> Float64[Tensor, "B S C K"]:
        """Power at each wavenumber, which add up to the variance."""
        height, width = fields.shape[-2:]
        if self.bins.kind == "zonal":
            coefficients = torch.fft.rfft(fields - fields.mean(-1, keepdim=True))
            power = _squared(coefficients).double() / width**2
            assert self.bins.rows is not None
            by_wave = self.bins.rows @ (power * _twice(width))
            return by_wave[..., 1:]
        if self.bins.kind == "windowed":
            window = _hann(height)[:, None] * _hann(width)
            mean = (fields.double() * window).sum((-2, -1), keepdim=True) / window.sum()
            fields = ((fields - mean) * (window / window.square().mean().sqrt())).float()
        else:
            fields = fields - fields.mean((-2, -1), keepdim=True)
        power = _squared(torch.fft.rfft2(fields)).double() / (height * width) ** 2
        flat = (power * _twice(width)).flatten(-2)
        rings = flat.new_zeros(*flat.shape[:-1], len(self.bins.wavelengths) + 1)
        return rings.index_add_(-1, self.bins.places.flatten(), flat)[..., 1:]

    def power(self, sums: Sums) -> Tensor:
        """Mean power of the forecast by wavenumber, in the square of the units of the channel."""
        return sums["ours_power"] / sums["spectra"][..., None]

    def power_truth(self, sums: Sums) -> Tensor:
        """Mean power of the truth, likewise."""
        return sums["theirs_power"] / sums["spectra"][..., None]

    def power_error(self, sums: Sums) -> Tensor:
        """Mean power of the error of the (mean) forecast, likewise."""
        return sums["error_power"] / sums["spectra"][..., None]

    def sharpness(self, sums: Sums) -> Tensor:
        """Power of the forecast over that of the truth, in the octave of the smallest scales.

        These are the wavenumbers above K / 2: two to four cells where cells are square. Below 1
        the forecast is blurred, above 1 it is rougher than the truth.
        """
        first = len(self.bins.wavelengths) // 2
        ours, theirs = (sums[f"{whose}_power"][..., first:].sum(-1) for whose in ("ours", "theirs"))
        return ours / theirs

    def effective_resolution(self, sums: Sums) -> Tensor:
        """The least wavelength down to which the forecast has half of the power of the truth.

        It is the last of the wavenumbers 1, 2, ... before the first with less than half; infinite
        where the first has less; NaN where there are no frames, or the forecast is not finite.
        """
        ratio = sums["ours_power"] / sums["theirs_power"]
        resolved = (~(ratio < RESOLVED)).int().cumprod(-1).sum(-1)
        lengths = torch.from_numpy(np.concatenate([[np.inf], self.bins.wavelengths]))
        told = (sums["spectra"] > 0) & sums["ours_power"].isfinite().all(-1)
        return lengths[resolved].where(told, torch.nan)


def _squared(coefficients: Tensor) -> Tensor:
    return coefficients.real.square() + coefficients.imag.square()


def _twice(width: int) -> Tensor:
    """How often each column of a half spectrum stands in the whole one."""
    times = torch.full((width // 2 + 1,), 2.0, dtype=torch.float64)
    times[0] = 1
    if width % 2 == 0:
        times[-1] = 1
    return times


def _hann(size: int) -> Float64[Tensor, " _N"]:
    """A Hann window that is 0 half a cell beyond each edge."""
    return torch.sin(torch.pi * (torch.arange(size, dtype=torch.float64) + 0.5) / size).square()
