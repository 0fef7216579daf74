"""A stand-in for weather: unstable jets of a shallow layer of fluid on the rotating Earth.

It is no weather, and no observation: one layer without temperature, moisture or radiation, whose
mid-latitude jets break up into waves and vortices that move and interact. It has the grid, the
variable, the units and about the variance and the persistence of the geopotential at 500 hPa of
WeatherBench [1], so that what is built for the one can be tried on the other.

Each trajectory has jets of its own (`jets.py`), in balance, with random waves upon them; the first
`spin_up` days, in which the instability grows, are left out. A relaxation to its jets gives back
part of the energy that the eddies lose, which weaken over weeks all the same. All trajectories
share three mountains. The equations and how they are solved: `rotating.py`.

[1] S. Rasp et al., WeatherBench: a benchmark data set for data-driven weather forecasting, Journal
    of Advances in Modeling Earth Systems 12, 2020.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.limits import check_memory
from framecast.datasets.simulate.jets import (
    mountains,
    random_jets,
    random_waves,
    zonal_vorticity,
)
from framecast.datasets.simulate.rotating import (
    GRAVITY,
    State,
    Surroundings,
    balanced,
    coriolis,
    solve,
)
from framecast.datasets.simulate.seeds import trajectory_seed
from framecast.datasets.simulate.sphere import Points, Sphere
from framecast.datasets.simulate.trajectories import (
    Axis,
    Variable,
    write_stores,
)

SPLITS: Mapping[str, int] = MappingProxyType({"train": 100, "validation": 10, "test": 20})

HOUR = 3600.0
DAY = 24 * HOUR
GROUP = 10
"""Flows that are computed together, always: the last bits depend on how many they are."""
SPACING = 5.625
LATITUDE = np.arange(-90 + SPACING / 2, 90, SPACING)
LONGITUDE = np.arange(0, 360, SPACING)
"""Points of WeatherBench's grid of 32×64, degrees."""


@dataclass(frozen=True)
class ShallowWater:
    """What a simulated flow is made of.

    Attributes:
        truncation: highest degree of the spherical harmonics while solving, at least 21.
        step: time step in seconds, a whole part of an hour; the faster the jets and the higher
            the truncation, the shorter it must be.
        diffusion: hours in which diffusion, of order 4, brings the highest degree down to 1/e;
            0 for none.
        damping: hours in which divergence alone would decay to 1/e; it calms the gravity waves;
            0 for none.
        depth: mean height of the surface in metres, above 0.
        jet: speed of the jets in m/s; each is within 5 % of it.
        waves: root mean square of the height of the first random waves, in metres, 0 or more.
        orography: height of the mountains in metres; 0 for none; below half the depth.
        relaxation: days in which relaxation brings a flow, without its motion, to 1/e of its
            distance from its jets; 0 for none.
        spin_up: days before the first frame, a whole number of hours, 0 or more.
        frames: frames of a trajectory, one an hour, at least 1.

    Raises:
        ValueError: a field is out of its range.
    """

    truncation: int = 42
    step: float = 1200.0
    diffusion: float = 12.0
    damping: float = 24.0
    depth: float = 5500.0
    jet: float = 80.0
    waves: float = 30.0
    orography: float = 2000.0
    relaxation: float = 20.0
    spin_up: float = 10.0
    frames: int = 240

    def __post_init__(self) -> None:
        self._require("truncation", self.truncation >= 21, "at least 21")
        steps = HOUR / self.step if self.step > 0 else 0.0
        self._require("step", _is_whole(steps) and steps > 0, "a whole part of an hour, in seconds")
        for key in ("diffusion", "damping", "waves", "relaxation"):
            self._require(key, 0 <= getattr(self, key) < math.inf, "0 or more")
        for key in ("depth", "jet"):
            self._require(key, 0 < getattr(self, key) < math.inf, "above 0")
        highest = self.depth / 2
        self._require("orography", 0 <= self.orography < highest, f"0 or more, below {highest:g}")
        hours = _is_whole(24 * self.spin_up) and self.spin_up >= 0
        self._require("spin_up", hours, "0 or more days of whole hours")
        self._require("frames", self.frames >= 1, "at least 1")

    def _require(self, key: str, holds: bool, remedy: str) -> None:
        if not holds:
            raise UserError(f"{key}={getattr(self, key)}: must be {remedy}")

    @property
    def steps_per_hour(self) -> int:
        """Time steps between two frames."""
        return round(HOUR / self.step)


def _is_whole(number: float) -> bool:
    return math.isfinite(number) and math.isclose(number, round(number), rel_tol=1e-9)


def surroundings(config: ShallowWater, sphere: Sphere) -> Surroundings:
    """What all flows of a configuration are subject to, but for the target of the relaxation."""
    return Surroundings(
        coriolis=coriolis(sphere),
        mean=config.depth * GRAVITY,
        ground=mountains(sphere, config.orography),
        diffusion=config.diffusion * HOUR or math.inf,
        damping=config.damping * HOUR or math.inf,
        relaxation=config.relaxation * DAY or math.inf,
    )


def first_states(config: ShallowWater, sphere: Sphere, seeds: Sequence[int]) -> tuple[State, State]:
    """Return the balanced jets of each seed (0 or more), and the same with waves upon them."""
    generators = [np.random.default_rng(seed) for seed in seeds]
    jets = [zonal_vorticity(sphere, random_jets(each, config.jet)) for each in generators]
    waves = [random_waves(each, config.truncation) for each in generators]
    still = balanced(sphere, surroundings(config, sphere), torch.cat(jets, dim=-1))
    moving = still.clone()
    moving[:, :, 2] += GRAVITY * config.waves * torch.cat(waves, dim=-1)
    return still, moving


def trajectories(config: ShallowWater, seeds: Sequence[int]) -> Float32[Tensor, "N T H W"]:
    """Simulate the flow of each seed: the geopotential of the surface, m² s⁻², once an hour.

    The values are those of the spectra at the points of the 32×64 grid, exact but for the rounding
    to float32. Flows are computed in groups of `GROUP`, of which the last is filled up, so that a
    trajectory is the same to the last bit wherever it stands in `seeds` from one group to another.

    Raises:
        UserError: the flow grows without bound; the message says what to change.
    """
    groups = [_group(config, seeds[first : first + GROUP]) for first in range(0, len(seeds), GROUP)]
    return torch.cat(groups)


@torch.no_grad()
def _group(config: ShallowWater, seeds: Sequence[int]) -> Float32[Tensor, "N T H W"]:
    sphere = Sphere(config.truncation)
    points = Points(config.truncation, LATITUDE, len(LONGITUDE))
    filled = [*seeds, *[seeds[-1]] * (GROUP - len(seeds))]
    target, state = first_states(config, sphere, filled)
    around = replace(surroundings(config, sphere), target=target)
    states = solve(sphere, around, state, config.step, config.steps_per_hour)
    first = round(24 * config.spin_up)
    frames = torch.empty(GROUP, config.frames, len(LATITUDE), len(LONGITUDE))
    for frame, state in enumerate(islice(states, first, first + config.frames)):
        frames[:, frame] = points.field(state[:, :, 2:] + around.ground)[0]
    return frames[: len(seeds)]


def simulate(
    out: Path,
    config: ShallowWater,
    counts: Mapping[str, int] = SPLITS,
    seed: int = 0,
    progress: bool = True,
) -> None:
    """Write a data set, a Zarr store `out`/SPLIT.zarr for each split, or continue one.

    A second call with the same arguments goes on where the first was stopped, with the same
    result to the last bit. A complete data set is left alone.

    Args:
        out: folder of the data set; made where missing.
        config: how a trajectory is made.
        counts: trajectories of each split, at least 1.
        seed: of the data set. Each trajectory has a seed of its own, made from it.
        progress: show on stderr how far it is.

    Raises:
        ValueError: an argument is out of its range, or a store of these names was made with other
            parameters, which the message names.
    """
    _check_memory(config)
    variable = _variable(config)

    def produce(split: str, indices: range) -> NDArray[np.float32]:
        seeds = [trajectory_seed(seed, split, index) for index in indices]
        return trajectories(config, seeds).numpy()

    def attributes(split: str) -> dict[str, str | int | float]:
        return _attributes(config, split, seed)

    write_stores(out, variable, counts, attributes, produce, GROUP, progress)


FIELDS = 40
"""Fields in double precision that the solver holds of each flow, about."""


def _check_memory(config: ShallowWater) -> None:
    """Raise a UserError if a group of flows, its transforms and its frames would not fit."""
    rows = 3 * config.truncation / 2
    fields = FIELDS * 8 * 2 * rows**2 + 4 * config.frames * len(LATITUDE) * len(LONGITUDE)
    tables = 6 * 8 * rows * config.truncation**2
    check_memory(
        int(GROUP * fields + tables),
        f"{GROUP} flows of {config.frames:,} frames at a truncation of {config.truncation}",
        "Choose a smaller --truncation, or fewer --frames.",
    )


def _variable(config: ShallowWater) -> Variable:
    """Geopotential, hourly, on WeatherBench's grid."""
    hour = np.arange(config.frames, dtype=np.float64)
    return Variable(
        name="z",
        attributes={
            "units": "m2 s-2",
            "standard_name": "geopotential",
            "long_name": "geopotential of the surface of a shallow-water stand-in",
        },
        axes={
            "time": Axis(hour, "h", "time since the first frame"),
            "latitude": Axis(LATITUDE, "degrees_north", "latitude", "latitude"),
            "longitude": Axis(LONGITUDE, "degrees_east", "longitude", "longitude"),
        },
    )


def _attributes(config: ShallowWater, split: str, seed: int) -> dict[str, str | int | float]:
    return {
        "title": "Shallow-water stand-in for the geopotential at 500 hPa; not observations",
        "source": "simulated by framecast.datasets.simulate.shallow_water",
        "comment": "Unstable jets of one layer of fluid on the rotating Earth: a stand-in that has "
        "the grid, the units and about the variance of weather, and is none.",
        **asdict(config),
        "split": split,
        "seed": seed,
    }
