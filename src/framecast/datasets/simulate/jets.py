"""What the shallow-water flows begin with: unstable jets, random waves, and mountains.

The jet is that of Galewsky, Scott and Polvani [1], between latitudes c − w and c + w:

    u(φ) = U·exp(−x²/((1 − x²)·w²)),    x = (φ − c)/w,    w in radians,

which is smooth everywhere.

[1] J. Galewsky, R. K. Scott, L. M. Polvani, An initial-value problem for testing numerical models
    of the global shallow-water equations, Tellus 56A, 2004.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex128
from numpy.typing import NDArray
from torch import Tensor

from framecast.datasets.simulate.rotating import (
    GRAVITY,
    RADIUS,
    State,
    Surroundings,
    balanced,
)
from framecast.datasets.simulate.sphere import Sphere

WAVES = 12
"""Highest degree of the random waves."""
MOUNTAINS = ((35.0, 90.0, 1.0), (45.0, 250.0, 0.8), (-35.0, 290.0, 1.0))
"""Latitude and longitude of their tops in degrees, and share of the full height."""
REACH = 15.0
"""Distance from a top at which its mountain has 1/e of its height, degrees of a great circle."""


@dataclass(frozen=True)
class Jet:
    """A zonal jet: peak speed towards east in m/s, its latitude and the half width in degrees."""

    speed: float
    latitude: float
    half_width: float

    def wind(self, latitude: NDArray[np.float64]) -> NDArray[np.float64]:
        """Eastward wind at latitudes, m/s."""
        width = math.radians(self.half_width)
        square = ((latitude - self.latitude) / self.half_width) ** 2
        inside = np.minimum(square, 1 - 1e-9)
        shape: NDArray[np.float64] = np.exp(-inside / (1 - inside) / width**2) * (square < 1)
        return self.speed * shape


PUBLISHED = Jet(speed=80.0, latitude=45.0, half_width=45 - 180 / 7)
"""The jet of the paper."""


def published_jet(sphere: Sphere, around: Surroundings) -> State:
    """Return the first state of the paper: its jet in balance, and 120 m of height upon it.

    The height is 120·cos φ·exp(−(3λ)²)·exp(−(15·(π/4 − φ))²), with λ from −π to π.
    """
    state = balanced(sphere, around, zonal_vorticity(sphere, [PUBLISHED]))
    latitude = torch.from_numpy(sphere.latitude).deg2rad()[:, None]
    longitude = torch.from_numpy((sphere.longitude + 180) % 360 - 180).deg2rad()
    across = latitude.cos() * (-((15 * (math.pi / 4 - latitude)) ** 2)).exp()
    height = 120 * across * (-((3 * longitude) ** 2)).exp()
    state[:, :, 2:] += GRAVITY * sphere.spectrum(height[None, None])
    return state


def random_jets(generator: np.random.Generator, speed: float) -> list[Jet]:
    """Return a jet in each hemisphere, independent, with uniform distributions.

    Speeds are within 5 % of `speed`, latitudes from 43° to 47°, half widths from 17.5° to 20°.
    """
    return [
        Jet(
            speed * generator.uniform(0.95, 1.05),
            hemisphere * generator.uniform(43, 47),
            generator.uniform(17.5, 20),
        )
        for hemisphere in (1, -1)
    ]


def zonal_vorticity(sphere: Sphere, jets: list[Jet]) -> Complex128[Tensor, "M L 1"]:
    """Spectrum of the vorticity of jets, s⁻¹."""
    wind = torch.from_numpy(sum(jet.wind(sphere.latitude) for jet in jets))
    east = (wind[:, None] * sphere.cosine).expand(-1, len(sphere.longitude))[None, None]
    return sphere.curl(east, torch.zeros_like(east))[:, :, 0] / RADIUS


def random_waves(generator: np.random.Generator, truncation: int) -> Complex128[Tensor, "M L 1"]:
    """Spectrum of a Gaussian random field, isotropic, of degrees 1 to 12 alike, with variance 1."""
    real, imaginary = generator.standard_normal((2, WAVES + 1, WAVES + 1))
    waves = np.triu(real + 1j * imaginary) / math.sqrt(WAVES * (WAVES + 2))
    waves[0] = waves[0].real * math.sqrt(2)
    waves[0, 0] = 0
    field = torch.zeros(truncation + 1, truncation + 1, 1, dtype=torch.complex128)
    field[: WAVES + 1, : WAVES + 1, 0] = torch.from_numpy(waves)
    return field


def mountains(sphere: Sphere, height: float) -> Complex128[Tensor, "M L 1 1"]:
    """Spectrum of the geopotential of the ground, m² s⁻², with mountains of `height` metres.

    Of full height at 35° north, 90° east and at 35° south, 70° west; of 0.8 of it at 45° north,
    110° west. Each is exp(−(d/15°)²) of its height at distance d, along the ground, from its top.
    """
    ground = torch.zeros(len(sphere.latitude), len(sphere.longitude), dtype=torch.float64)
    for latitude, longitude, share in MOUNTAINS:
        north, east = math.radians(latitude), math.radians(longitude)
        across = (torch.from_numpy(sphere.longitude).deg2rad() - east).cos() * sphere.cosine
        cosine = sphere.sine * math.sin(north) + across * math.cos(north)
        distance = cosine.clamp(-1, 1).arccos() / math.radians(REACH)
        ground += GRAVITY * height * share * (-distance.square()).exp()
    return sphere.spectrum(ground[None, None])
