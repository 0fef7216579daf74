"""Fields on the unit sphere as spherical harmonics, and their transforms to a grid and back.

A real field is f(λ, φ) = Σ_m Σ_l c[m, l]·P_l^m(sin φ)·e^{imλ} over |m| ≤ l ≤ T, of which the orders
m ≥ 0 are kept. The associated Legendre functions, SciPy's, are normalised: ∫ (P_l^m)² dμ = 1 over μ
from −1 to 1. The mean of a field is therefore c[0, 0]/√2.

The Gaussian grid has at least (3T + 1)/2 latitudes, which ascend, and twice as many longitudes, so
that products of two fields are analysed without aliasing [1].

Spectra are complex128 [M, L, F, N] with M = L = T + 1, and zero where l < m; fields are float64
[F, N, H, W]; F counts kinds of fields, and N flows. All are transformed by one matrix product, so
that the last bit of one may depend on how many there are, though not on what the others hold.

[1] S. A. Orszag, Transform method for the calculation of vector-coupled sums: application to the
    spectral form of the vorticity equation, Journal of the Atmospheric Sciences 27, 1970.
"""

import math

import numpy as np
import torch
from jaxtyping import Complex128, Float64
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from scipy.special import assoc_legendre_p_all
from torch import Tensor

Spectrum = Complex128[Tensor, "M L F N"]
Orders = Complex128[Tensor, "M H F N"]
"""Fourier coefficients along the longitudes of a grid."""
Field = Float64[Tensor, "F N H W"]


class Sphere:
    """The transforms of a truncation.

    Vectors (u, v), towards east and north, are carried as (u·cos φ, v·cos φ), which have no
    singularity at the poles.

    Attributes:
        truncation: highest degree T.
        latitude: of the rows, in degrees, [H].
        longitude: of the columns, in degrees, [W].
        sine: sin φ of the rows, [H, 1].
        cosine: cos φ of the rows, [H, 1].
        laplacian: ∇² of spectra is a product with this, −l(l + 1), [L, 1, 1].
        inverse: the inverse of ∇² likewise, and 0 for the mean.
        east: ∂/∂λ of spectra and orders is a product with this, i·m, [M, 1, 1, 1].
    """

    def __init__(self, truncation: int) -> None:
        self.truncation = truncation
        rows = next_fast_len(math.ceil((3 * truncation + 1) / 2))
        sine, weight = np.polynomial.legendre.leggauss(rows)
        self.latitude = np.rad2deg(np.arcsin(sine))
        self.longitude = np.arange(2 * rows) * 180 / rows
        self.sine = torch.from_numpy(sine)[:, None]
        self.cosine = (1 - self.sine**2).sqrt()
        degree = torch.arange(truncation + 1, dtype=torch.float64)[:, None, None]
        self.laplacian = -degree * (degree + 1)
        self.inverse = 1 / self.laplacian.clamp(max=-1) * (degree > 0)
        self.east = 1j * degree[..., None]
        self._weight = torch.from_numpy(weight)[:, None]
        self._synthesis = legendre(truncation, self.latitude)
        self._analysis = (
            (self._synthesis * self._weight / self.cosine**2).transpose(-1, -2).contiguous()
        )

    def mean(self, field: Field) -> Float64[Tensor, "F N"]:
        """Mean over the area of the sphere."""
        return (field.mean(-1) * self._weight[:, 0]).sum(-1) / 2

    def spectrum(self, field: Field) -> Spectrum:
        """Spectra of fields on the grid."""
        return self.project(self.orders(field * self.cosine**2))

    def field(self, spectrum: Spectrum) -> Field:
        """Fields on the grid, of spectra."""
        return self.grid(self.rows(spectrum))

    def curl(self, east: Field, north: Field) -> Spectrum:
        """Spectra of the curl of vectors, given times cos φ."""
        return self.east * self.project(self.orders(north)) + self.project_slope(self.orders(east))

    def rows(self, spectrum: Spectrum) -> Orders:
        """Fourier coefficients of fields."""
        return _product(self._synthesis[0], spectrum)

    def slope_rows(self, spectrum: Spectrum) -> Orders:
        """Fourier coefficients of cos φ·∂/∂φ of fields."""
        return _product(self._synthesis[1], spectrum)

    def project(self, orders: Orders) -> Spectrum:
        """Spectra of Fourier coefficients divided by cos²φ."""
        return _product(self._analysis[0], orders)

    def project_slope(self, orders: Orders) -> Spectrum:
        """Integrals of Fourier coefficients, divided by cos²φ, times cos φ·dP/dφ."""
        return _product(self._analysis[1], orders)

    def grid(self, orders: Orders) -> Field:
        """Fields on the grid, of Fourier coefficients."""
        return _inverse_fourier(orders, len(self.longitude))

    def orders(self, field: Field) -> Orders:
        """Fourier coefficients of fields, of the orders that are kept."""
        orders: Tensor = torch.fft.rfft(field, norm="forward")[..., : self.truncation + 1]
        return orders.permute(3, 2, 0, 1)


class Points:
    """The values of spectra at latitudes, in degrees, and W longitudes 0, 360/W, ..."""

    def __init__(self, truncation: int, latitude: NDArray[np.float64], columns: int) -> None:
        self._synthesis = legendre(truncation, latitude)[0].contiguous()
        # On this many longitudes no order stands for another; those asked for are among them.
        self._every = math.ceil((2 * truncation + 1) / columns)
        self._columns = columns * self._every

    def field(self, spectrum: Spectrum) -> Field:
        """Fields of spectra, exact."""
        rows = _product(self._synthesis, spectrum)
        return _inverse_fourier(rows, self._columns)[..., :: self._every]


def legendre(truncation: int, latitude: NDArray[np.float64]) -> Float64[Tensor, "2 M H L"]:
    """P_l^m and cos φ·dP_l^m/dφ at latitudes in degrees.

    The derivative is (l + 1)·ε_l·P_{l−1} − l·ε_{l+1}·P_{l+1}, with ε_l² = (l² − m²)/(4l² − 1).
    """
    count = truncation + 1
    sine = np.sin(np.deg2rad(latitude))
    table = assoc_legendre_p_all(count, count, sine, norm=True)[0, :, :count]
    value = torch.from_numpy(table).permute(1, 2, 0)
    degree = torch.arange(count + 1, dtype=torch.float64)
    order = degree[:count, None, None]
    epsilon = ((degree**2 - order**2).clamp(min=0) / (4 * degree**2 - 1).clamp(min=1)).sqrt()
    slope = -degree[:-1] * epsilon[..., 1:] * value[..., 1:]
    slope[..., 1:] += (degree[1:-1] + 1) * epsilon[..., 1:-1] * value[..., :-2]
    return torch.stack([value[..., :-1], slope])


def _product(table: Tensor, values: Tensor) -> Tensor:
    """Multiply real matrices [M, A, B] with complex numbers [M, B, F, N]."""
    pairs = torch.view_as_real(values.contiguous())
    product = torch.bmm(table, pairs.flatten(2))
    return torch.view_as_complex(product.reshape(*product.shape[:2], *pairs.shape[2:]))


def _inverse_fourier(orders: Tensor, columns: int) -> Tensor:
    """Fields [F, N, H, W] of Fourier coefficients [M, H, F, N]."""
    field: Tensor = torch.fft.irfft(orders.permute(2, 3, 1, 0), n=columns, norm="forward")
    return field
