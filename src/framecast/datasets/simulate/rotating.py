"""The shallow-water equations on the rotating Earth, and their solver.

A layer of fluid of depth h under a free surface, over ground of height b. With relative vorticity
ζ, divergence δ, geopotential of the depth Φ = g·h and of the ground Φ_b = g·b, wind v, Coriolis
parameter f and kinetic energy K = v²/2:

    ∂ζ/∂t = −∇·((ζ + f)·v) − D(ζ)
    ∂δ/∂t = k·∇×((ζ + f)·v) − ∇²(K + Φ + Φ_b) − D(δ) − δ/τ_δ
    ∂Φ/∂t = −∇·(Φ·v) − D(Φ + Φ_b)

D(x) = ν·∇⁴x + (x − x_target)/τ holds diffusion, and a relaxation towards a target state. It leaves
the mean of Φ alone, which therefore stays as it is to the last bit. Damping of the divergence calms
gravity waves, and hardly touches what is near balance.

Space: spherical harmonics of degrees up to T; products are formed on a Gaussian grid without
aliasing (`sphere.py`).

Time: leapfrog, with the filter of Robert, Asselin and Williams [1]. Gravity waves (∇²Φ, and Φ_0·δ
of ∇·(Φ·v) for a constant Φ_0), D and the damping are the mean of those before and after, so that
not the waves but the wind limits the step. The first step is Euler's for the rest. The order is 2
but for the filter's part of order 1, ν·(2α − 1)/(2 − ν) = 0.0015 of that of Euler's method.

[1] P. D. Williams, A proposed modification to the Robert-Asselin time filter, Monthly Weather
    Review 137, 2009.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Complex128, Float64
from torch import Tensor

from framecast.base.errors import UserError
from framecast.datasets.simulate.sphere import Sphere

RADIUS = 6.37122e6
"""Radius of the Earth, m."""
ROTATION = 7.292e-5
"""Angular velocity of the Earth, s⁻¹."""
GRAVITY = 9.80616
"""Acceleration by gravity at the ground, m s⁻²."""

FILTER = 0.05
ALPHA = 0.53
"""Strength ν of the filter in time, and the share α of it that the middle of three states takes."""

State = Complex128[Tensor, "M L 3 N"]
"""Spectra of vorticity and divergence, s⁻¹, and of the geopotential of the depth, m² s⁻²."""


@dataclass(frozen=True)
class Surroundings:
    """What a flow is subject to.

    Attributes:
        coriolis: Coriolis parameter f on the grid, s⁻¹.
        mean: geopotential Φ_0, m² s⁻²: about the mean of Φ, and more than half of its maximum.
        ground: spectrum of the geopotential of the ground Φ_b, m² s⁻².
        diffusion: seconds in which the highest degree decays to 1/e; infinite for none.
        damping: seconds τ_δ in which divergence alone would decay to 1/e; infinite for none.
        relaxation: seconds τ in which the distance from the target decays to 1/e; infinite for
            none.
        target: the state of relaxation.
    """

    coriolis: Float64[Tensor, "H W"]
    mean: float
    ground: Complex128[Tensor, "M L 1 1"]
    diffusion: float = math.inf
    damping: float = math.inf
    relaxation: float = math.inf
    target: State | None = None


def coriolis(sphere: Sphere, tilt: float = 0.0) -> Float64[Tensor, "H W"]:
    """Coriolis parameter on the grid, s⁻¹.

    With a `tilt`, in degrees, the axis of rotation leaves the sphere at latitude 90° − tilt and
    longitude 180°.
    """
    angle = math.radians(tilt)
    longitude = torch.from_numpy(sphere.longitude).deg2rad()
    tilted = longitude.cos() * sphere.cosine * math.sin(angle)
    return 2 * ROTATION * (sphere.sine * math.cos(angle) - tilted)


def balanced(sphere: Sphere, around: Surroundings, vorticity: Complex128[Tensor, "M L N"]) -> State:
    """Return states without divergence, with the geopotential that leaves them so.

    The mean of Φ + Φ_b is that of `around`; diffusion, damping and relaxation are not considered.
    """
    nothing = torch.zeros_like(vorticity)
    state = torch.stack([vorticity, nothing, nothing], dim=2)
    depth = RADIUS**2 * sphere.inverse * tendency(sphere, around, state)[:, :, 1:2]
    depth[0, 0] = math.sqrt(2) * around.mean - around.ground[0, 0]
    state[:, :, 2:] = depth
    return state


def fields(sphere: Sphere, state: State) -> Float64[Tensor, "4 N H W"]:
    """Vorticity ζ, geopotential Φ, and both components of the wind times cos φ, on the grid."""
    vorticity, divergence, geopotential = state.unbind(2)
    stream, potential = RADIUS * sphere.inverse[..., 0] * torch.stack([vorticity, divergence])
    scalars = torch.stack([vorticity, geopotential, stream, potential], dim=2)
    vorticity, geopotential, stream, potential = sphere.rows(scalars).unbind(2)
    stream_slope, potential_slope = sphere.slope_rows(scalars[:, :, 2:]).unbind(2)
    i = sphere.east[..., 0]
    east, north = i * potential - stream_slope, i * stream + potential_slope
    return sphere.grid(torch.stack([vorticity, geopotential, east, north], dim=2))


def tendency(sphere: Sphere, around: Surroundings, state: State, mean: float = 0.0) -> State:
    """Time derivative of a state, but for D and damping, ∇²Φ of ∂δ/∂t and `mean`·δ of ∂Φ/∂t."""
    vorticity, geopotential, east, north = fields(sphere, state)
    absolute = vorticity + around.coriolis
    excess = geopotential - mean
    kinetic = (east.square() + north.square()) / 2
    fluxes = [kinetic, excess * east, absolute * east, absolute * north, excess * north]
    orders = sphere.orders(torch.stack(fluxes))
    kinetic, flow, east, north = sphere.project(orders[:, :, :4]).unbind(2)
    east_slope, north_slope, flow_slope = sphere.project_slope(orders[:, :, 2:]).unbind(2)
    i = sphere.east[..., 0]
    laplacian = sphere.laplacian[..., 0] / RADIUS**2
    return torch.stack(
        [
            (north_slope - i * east) / RADIUS,
            (east_slope + i * north) / RADIUS - laplacian * (kinetic + around.ground[:, :, 0]),
            (flow_slope - i * flow) / RADIUS,
        ],
        dim=2,
    )


def energy(sphere: Sphere, around: Surroundings, state: State) -> Float64[Tensor, " N"]:
    """Energy over area and density, m³ s⁻²: the mean of h·K + g·h·(h/2 + b)."""
    _, geopotential, east, north = fields(sphere, state)
    kinetic = (east.square() + north.square()) / (2 * sphere.cosine**2)
    ground = sphere.field(around.ground)[0]
    return sphere.mean((geopotential * (kinetic + geopotential / 2 + ground) / GRAVITY)[None])[0]


class _Step:
    """A step from one state over a second to a third, at even distances in time.

    With h half the time between the first and the third, x ← x + 2h·N + h·(L·x_before + L·x_after)
    where L is the linear part: gravity waves, damping, and D.
    """

    def __init__(self, sphere: Sphere, around: Surroundings, half: float) -> None:
        self._half = half
        self._stiffness = -half * sphere.laplacian[..., 0] / RADIUS**2
        self._mean = half * around.mean
        rate = half * (_diffusion(sphere, around) + 1 / around.relaxation)
        rate[0] = 0
        self._decay = torch.stack([rate, rate + half / around.damping, rate], dim=1)
        self._source = 2 * half * _source(sphere, around)

    def __call__(self, before: State, tendency: State) -> State:
        """Return the state after."""
        stiffness, mean = self._stiffness, self._mean
        known = (1 - self._decay) * before + 2 * self._half * tendency + self._source
        vorticity, divergence, geopotential = known.unbind(2)
        divergence = divergence + stiffness * before[:, :, 2]
        geopotential = geopotential - mean * before[:, :, 1]
        slow, calm, _ = (1 + self._decay).unbind(1)
        determinant = slow * calm + stiffness * mean
        return torch.stack(
            [
                vorticity / slow,
                (slow * divergence + stiffness * geopotential) / determinant,
                (calm * geopotential - mean * divergence) / determinant,
            ],
            dim=2,
        )


def _diffusion(sphere: Sphere, around: Surroundings) -> Float64[Tensor, "L 1"]:
    """Rate at which each degree decays by diffusion, s⁻¹."""
    laplacian = sphere.laplacian[..., 0]
    return (laplacian / laplacian[-1]) ** 2 / around.diffusion


def _source(sphere: Sphere, around: Surroundings) -> State:
    """−D(0): what draws the geopotential to a level surface, and all to the target."""
    source = torch.zeros(*around.ground.shape[:2], 3, 1, dtype=torch.complex128)
    source[:, :, 2] = -_diffusion(sphere, around) * around.ground[:, :, 0]
    if around.target is not None:
        source = source + around.target / around.relaxation
    source[:, 0] = 0
    return source


@torch.no_grad()
def solve(
    sphere: Sphere, around: Surroundings, state: State, step: float, steps: int
) -> Iterator[State]:
    """Yield the states of flows at times 0, steps·step, 2·steps·step, ... without end.

    Args:
        sphere: the transforms.
        around: what the flows are subject to.
        state: at time 0.
        step: time step, s.
        steps: time steps from a state to the next, at least 1.

    Raises:
        UserError: the flow grows without bound.
    """
    first, leap = (_Step(sphere, around, half) for half in (step / 2, step))
    before, now = state, first(state, tendency(sphere, around, state, around.mean))
    yield state
    count = 1
    while True:
        if count % steps == 0:
            if not now.isfinite().all():
                raise UserError(
                    f"step={step:g}: the flow grew without bound before {count * step / 3600:g} "
                    "hours; take a smaller step"
                )
            yield now
        after = leap(before, tendency(sphere, around, now, around.mean))
        bend = FILTER / 2 * (before - 2 * now + after)
        before, now = now + ALPHA * bend, after + (ALPHA - 1) * bend
        count += 1
