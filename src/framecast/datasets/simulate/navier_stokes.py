"""Two-dimensional Navier-Stokes flow on the unit torus: the solver and the data set made with it.

Vorticity form, ∂w/∂t + u·∇w = ν∇²w + f, with u = (∂ψ/∂y, −∂ψ/∂x) and ∇²ψ = −w. Everything is
dimensionless. Fields are indexed [y, x], and point (j, i) of an s×s grid lies at (j/s, i/s).

Space: pseudo-spectral. Only the modes with |k| < s/3 along each axis are carried (the 2/3 rule),
so that the quadratic term is free of aliasing. That term is taken in Basdevant's form [1],
u·∇w = (∂xx − ∂yy)(uv) + ∂xy(v² − u²): two inverse and two forward real transforms a step, where
u·∇w itself needs five.

Time: Crank-Nicolson for the viscous term, Adams-Bashforth of order 2 for the rest. The first step
has no past: it is one of Heun's method with the same viscous term, so the order is 2 throughout.

A flow does not depend, to the last bit, on the flows computed in the same batch. The transforms
may round float64 differently with one thread than with several.

The data set, its forcing and its random first state are those of the Fourier neural operator [2].

[1] C. Basdevant, Technical modifications for faster spectral resolution of Navier-Stokes
    equations, Journal of Computational Physics 50, 1983.
[2] Z. Li et al., Fourier Neural Operator for Parametric Partial Differential Equations, 2021.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float, Float32
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d

from framecast.base.errors import UserError
from framecast.base.limits import check_memory
from framecast.datasets.simulate.seeds import trajectory_seed
from framecast.datasets.simulate.trajectories import (
    Axis,
    Variable,
    write_stores,
)

Field = Float[Tensor, "N H W"]

SPLITS: Mapping[str, int] = MappingProxyType({"train": 1000, "validation": 50, "test": 200})


@dataclass(frozen=True)
class NavierStokes:
    """What a simulated flow is made of; every quantity is dimensionless.

    Attributes:
        grid: points along each side of the torus while solving, at least 8.
        viscosity: viscosity ν, at least 0.
        forcing: amplitude of the constant forcing, sin 2π(x+y) + cos 2π(x+y).
        tau: inverse length scale τ of the random first state, above 0.
        alpha: smoothness α of the random first state, above 1.
        step: time step, above 0; the flow must cross less than a grid cell in it.
        interval: time between frames, a whole number of steps.
        frames: frames of a trajectory, at least 1; the first is the state at time 0.
        coarsen: frames are averaged over blocks of this many points a side; divides `grid`.

    Raises:
        ValueError: a field is out of its range, or contradicts another.
    """

    grid: int = 64
    viscosity: float = 1e-3
    forcing: float = 0.1
    tau: float = 7.0
    alpha: float = 2.0
    step: float = 1e-2
    interval: float = 1.0
    frames: int = 50
    coarsen: int = 4

    def __post_init__(self) -> None:
        self._require("grid", self.grid >= 8, "at least 8")
        self._require("viscosity", 0 <= self.viscosity < math.inf, "0 or more")
        self._require("forcing", math.isfinite(self.forcing), "finite")
        self._require("tau", 0 < self.tau < math.inf, "above 0")
        self._require("alpha", 1 < self.alpha < math.inf, "above 1")
        self._require("step", 0 < self.step < math.inf, "above 0")
        self._require("frames", self.frames >= 1, "at least 1")
        self._require(
            "coarsen",
            self.coarsen >= 1 and self.grid % self.coarsen == 0,
            f"a divisor of grid={self.grid}",
        )
        whole = self.steps_per_frame >= 1 and math.isclose(
            self.steps_per_frame * self.step, self.interval, rel_tol=1e-9
        )
        self._require("interval", whole, f"a whole number of steps of step={self.step}")

    def _require(self, key: str, holds: bool, remedy: str) -> None:
        if not holds:
            raise UserError(f"{key}={getattr(self, key)}: must be {remedy}")

    @property
    def steps_per_frame(self) -> int:
        """Time steps between two frames; 0 where `interval` is not a usable number."""
        ratio = self.interval / self.step
        return round(ratio) if math.isfinite(ratio) else 0


def diagonal_forcing(config: NavierStokes) -> Float[Tensor, "H W"]:
    """The forcing `forcing`·(sin 2π(x+y) + cos 2π(x+y)), constant in time, in float64."""
    point = torch.arange(config.grid, dtype=torch.float64) / config.grid
    phase = 2 * math.pi * (point[:, None] + point)
    return config.forcing * (phase.sin() + phase.cos())


def initial_vorticity(config: NavierStokes, seeds: Sequence[int]) -> Float[Tensor, "N H W"]:
    """Gaussian random fields of mean 0, one for each seed (0 or more), in float64.

    w₀ = Re F⁻¹[s²·√2·τ^(α−1)·(4π²|k|² + τ²)^(−α/2)·ξ_k] on the s×s grid, with F⁻¹ the inverse
    discrete Fourier transform, ξ_k of independent standard normal real and imaginary parts, and
    ξ_0 = 0.
    """
    size = config.grid
    k = torch.fft.fftfreq(size, 1 / size, dtype=torch.float64)
    decay = (4 * math.pi**2 * (k[:, None] ** 2 + k**2) + config.tau**2) ** (-config.alpha / 2)
    amplitude = size**2 * math.sqrt(2) * config.tau ** (config.alpha - 1) * decay
    amplitude[0, 0] = 0
    noise = np.stack(
        [np.random.default_rng(seed).standard_normal((2, size, size)) for seed in seeds]
    )
    real, imaginary = torch.from_numpy(noise).unbind(1)
    field: Tensor = torch.fft.ifft2(amplitude * torch.complex(real, imaginary)).real
    return field.contiguous()


class _Modes:
    """The modes that an s×s grid carries, and the transforms between them and the grid.

    Spectra are [..., s, m] with m = ⌈s/3⌉ non-negative wavenumbers along x, not normalised. Rows
    of wavenumbers beyond the 2/3 rule along y stay in the array; `kept` is 0 there, 1 elsewhere.
    Transforms are one axis at a time: those of two axes round differently for a batch of one.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.columns = (size + 2) // 3
        row = torch.fft.fftfreq(size, 1 / size, dtype=torch.float64)[:, None]
        self.ky = 2 * math.pi * row
        self.kx = 2 * math.pi * torch.arange(self.columns, dtype=torch.float64)
        self.squared = self.kx**2 + self.ky**2
        self.kept = (3 * row.abs() < size).double().expand(-1, self.columns)
        inverse = self.kept / self.squared.clamp(min=1)
        self.to_velocity = torch.stack([self.ky * inverse, -self.kx * inverse]) * 1j

    def analyse(self, field: Tensor) -> Tensor:
        """Spectrum of fields [..., s, s], without the modes beyond the 2/3 rule."""
        rows = torch.fft.rfft(field)[..., : self.columns]
        spectrum: Tensor = torch.fft.fft(rows, dim=-2) * self.kept
        return spectrum

    def synthesise(self, spectrum: Tensor) -> Tensor:
        """Fields [..., s, s] of spectra."""
        rows = torch.fft.ifft(spectrum, dim=-2)
        field: Tensor = torch.fft.irfft(rows, n=self.size)
        return field


def velocity(vorticity: Float[Tensor, "N H W"]) -> tuple[Field, Field]:
    """Velocity along x and along y of incompressible flow without a mean, from its vorticity.

    Modes beyond the 2/3 rule are left out, as they are in `solve`. The result is float64.
    """
    modes = _Modes(vorticity.shape[-1])
    spectrum = modes.analyse(vorticity.double())
    along_x, along_y = modes.synthesise(spectrum * modes.to_velocity[:, None])
    return along_x, along_y


def _pairs(real: Tensor, dtype: torch.dtype) -> Tensor:
    """Real factors [..., s, m] twice over, [..., s, m, 2], to act on complex numbers as pairs.

    A product of reals rounds once however it is vectorised; that of complex numbers may not, and
    the last bit would depend on the batch.
    """
    return torch.stack([real, real], dim=-1).to(dtype)


class _Integrator:
    """N flows that advance together, in buffers that are made once.

    With b = step/(1 + z), a = (1 − z)/(1 + z), z = step·ν|k|²/2 and N(w) = −u·∇w, a step is
    w ← a·w + b·(3/2·N(w) − 1/2·N(w_before) + f). The factor 3/2·b is inside `_advection`.
    """

    def __init__(self, vorticity: Tensor, force: Tensor, viscosity: float, step: float) -> None:
        count, size, _ = vorticity.shape
        real = vorticity.dtype
        complex_ = torch.complex128 if real == torch.float64 else torch.complex64
        modes = self._modes = _Modes(size)
        half = step * viscosity * modes.squared / 2
        gain = step / (1 + half) * modes.kept
        self._decay = _pairs((1 - half) / (1 + half), real)
        self._force = torch.view_as_real(gain * modes.analyse(force.double())).to(real)
        self._to_velocity = (modes.to_velocity[:, None] / size**2).to(complex_)
        curl = torch.stack([modes.kx**2 - modes.ky**2, modes.kx * modes.ky])
        self._to_advection = _pairs(1.5 * gain * curl, real)[:, None]

        self._spectrum = modes.analyse(vorticity.double()).to(complex_)
        self._vorticity = torch.view_as_real(self._spectrum)
        self._pair = torch.empty(2, *self._spectrum.shape, dtype=complex_)
        self._terms = torch.view_as_real(self._pair)
        # The columns beyond the 2/3 rule are written here once, as zeros, and then only read.
        self._padded = torch.zeros(2, count, size, size // 2 + 1, dtype=complex_)
        self._full = torch.empty_like(self._padded)
        self._fields = torch.empty(3, count, size, size, dtype=real)
        self._before = torch.empty_like(self._vorticity)
        self._imagine_past()

    def vorticity(self) -> Tensor:
        """The present vorticity [N, s, s]."""
        return self._modes.synthesise(self._spectrum)

    def advance(self, steps: int) -> None:
        """Take time steps."""
        for _ in range(steps):
            self._advection()
            self._vorticity.mul_(self._decay).add_(self._force).add_(self._before.mul_(-1 / 3))
            torch.add(*self._terms, out=self._before)
            self._vorticity.add_(self._before)

    def _imagine_past(self) -> None:
        """Choose the past N of the first step, 2·N(w) − N(w*), so that it is Heun's step.

        w* is the state after a step of Euler's method for all but the viscous term.
        """
        now = self._vorticity.clone()
        self._advection()
        advection = self._terms.sum(0)
        self._vorticity.mul_(self._decay).add_(self._force).add_(advection * (2 / 3))
        self._advection()
        torch.sub(2 * advection, self._terms.sum(0), out=self._before)
        self._vorticity.copy_(now)

    def _advection(self) -> None:
        """Write 3/2·b·N of the present state into `_terms`, as the sum of its two entries."""
        columns = slice(self._modes.columns)
        product, u, v = self._fields
        torch.mul(self._spectrum, self._to_velocity, out=self._pair)
        torch.fft.ifft(self._pair, dim=-2, norm="forward", out=self._padded[..., columns])
        torch.fft.irfft(self._padded, n=self._modes.size, norm="forward", out=self._fields[1:])
        torch.mul(u, v, out=product)
        torch.sub(v.square_(), u.square_(), out=u)
        torch.fft.rfft(self._fields[:2], out=self._full)
        torch.fft.fft(self._full[..., columns], dim=-2, out=self._pair)
        self._terms.mul_(self._to_advection)


@torch.no_grad()
def solve(
    config: NavierStokes, vorticity: Float[Tensor, "N H W"], force: Float[Tensor, "H W"]
) -> Iterator[Float[Tensor, "N H W"]]:
    """Yield the vorticity at times 0, interval, 2·interval..., `config.frames` times in all.

    Args:
        config: grid, viscosity, step, interval and frames are used.
        vorticity: state at time 0, float64 or float32; the flow is computed in its precision.
        force: right-hand side f, constant in time.

    Raises:
        ValueError: a field is not of the grid's size, or the flow grows without bound.
    """
    square = (config.grid, config.grid)
    if vorticity.shape[1:] != square or force.shape != square:
        raise UserError(
            f"grid={config.grid}: vorticity of {tuple(vorticity.shape)} and force of "
            f"{tuple(force.shape)} must end in {square}"
        )
    flow = _Integrator(vorticity, force, config.viscosity, config.step)
    for frame in range(config.frames):
        if frame:
            flow.advance(config.steps_per_frame)
        present = flow.vorticity()
        if not present.isfinite().all():
            raise UserError(
                f"step={config.step}: the flow grew without bound before t = "
                f"{frame * config.interval:g}; take a smaller step"
            )
        yield present


def trajectories(config: NavierStokes, seeds: Sequence[int]) -> Float32[Tensor, "N T H W"]:
    """Simulate the flow of each seed and average its frames over blocks of `coarsen` points.

    Computed in float64: in float32 rounding alone grows to the size of the error of the default
    time step, and differs between machines. The size of a frame is `grid` / `coarsen`.
    """
    size = config.grid // config.coarsen
    frames = torch.empty(len(seeds), config.frames, size, size)
    states = solve(config, initial_vorticity(config, seeds), diagonal_forcing(config))
    for frame, vorticity in enumerate(states):
        frames[:, frame] = avg_pool2d(vorticity, config.coarsen)
    return frames


def simulate(
    out: Path,
    config: NavierStokes,
    counts: Mapping[str, int] = SPLITS,
    seed: int = 0,
    batch: int = 25,
    progress: bool = True,
) -> None:
    """Write a data set, a Zarr store `out`/SPLIT.zarr for each split, or continue one.

    A second call with the same arguments goes on where the first was stopped, with the same
    result to the last bit; `batch` may change. A complete data set is left alone.

    Args:
        out: folder of the data set; made where missing.
        config: how a trajectory is made.
        counts: trajectories of each split, at least 1.
        seed: of the data set. Each trajectory has a seed of its own, made from it.
        batch: flows computed together, at least 1. The default is fastest on the 64×64 grid.
        progress: show on stderr how far it is.

    Raises:
        ValueError: an argument is out of its range, or a store of these names was made with other
            parameters, which the message names.
    """
    _check_memory(config, min(batch, max(counts.values())))
    variable = _variable(config)

    def produce(split: str, indices: range) -> NDArray[np.float32]:
        seeds = [trajectory_seed(seed, split, index) for index in indices]
        return trajectories(config, seeds).numpy()

    def attributes(split: str) -> dict[str, str | int | float]:
        return _attributes(config, split, seed)

    write_stores(out, variable, counts, attributes, produce, batch, progress)


FIELDS = 16
"""Fields in double precision that the solver holds of each flow, about."""


def _check_memory(config: NavierStokes, batch: int) -> None:
    """Raise a UserError if a batch of flows and their frames would not fit into memory."""
    cells = FIELDS * 8 * config.grid**2 + 4 * config.frames * (config.grid // config.coarsen) ** 2
    check_memory(
        batch * cells,
        f"{batch} flows of {config.frames:,} frames on a grid of {config.grid}×{config.grid}",
        "Choose a smaller --grid, a larger --coarsen, or fewer --frames.",
    )


def _variable(config: NavierStokes) -> Variable:
    """Vorticity, at the times of the frames and the centres of the blocks."""
    time = np.arange(config.frames, dtype=np.float64) * config.interval
    centre = (np.arange(0, config.grid, config.coarsen) + (config.coarsen - 1) / 2) / config.grid
    return Variable(
        name="vorticity",
        attributes={"units": "1", "long_name": "vorticity"},
        axes={
            "time": Axis(time, "1", "time"),
            "y": Axis(centre, "1", "distance along y"),
            "x": Axis(centre, "1", "distance along x"),
        },
    )


def _attributes(config: NavierStokes, split: str, seed: int) -> dict[str, str | int | float]:
    return {
        "title": "Vorticity of two-dimensional Navier-Stokes flow on the unit torus",
        "source": "simulated by framecast.datasets.simulate.navier_stokes",
        "comment": "All quantities are dimensionless.",
        **asdict(config),
        "split": split,
        "seed": seed,
    }
