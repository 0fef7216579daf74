"""The barotropically unstable jet of Galewsky, Scott and Polvani, day by day, with its picture.

Not a matter of speed but of rightness: what `docs/data.md` reports of the shallow-water solver.
"""

import time
from itertools import islice

import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks.timing import print_table
from framecast.datasets.simulate.jets import published_jet
from framecast.datasets.simulate.rotating import (
    GRAVITY,
    Surroundings,
    coriolis,
    energy,
    fields,
    solve,
)
from framecast.datasets.simulate.sphere import Points, Sphere

TRUNCATION = 106
STEP = 200.0
LATITUDE = np.arange(10.5, 80)
LONGITUDES = 360
UNIT = 1e-7
"""Vorticity is kept in whole numbers of this, s⁻¹."""


def run() -> dict[str, object]:
    sphere = Sphere(TRUNCATION)
    ground = torch.zeros(TRUNCATION + 1, TRUNCATION + 1, 1, 1, dtype=torch.complex128)
    around = Surroundings(coriolis(sphere), mean=1e4 * GRAVITY, ground=ground)
    first = state = published_jet(sphere, around)
    start, rows = time.perf_counter(), []
    days = solve(sphere, around, state, STEP, round(86400 / STEP))
    for day, state in enumerate(islice(days, 7)):
        vorticity, geopotential, _, _ = fields(sphere, state)
        drift = energy(sphere, around, state) / energy(sphere, around, first) - 1
        rows.append(
            {
                "day": day,
                "vorticity, 1e-5 / s": _range(1e5 * vorticity, 2),
                "height, m": _range(geopotential / GRAVITY, 1),
                "change of energy": f"{drift.item():.1e}",
                "seconds": f"{time.perf_counter() - start:.0f}",
            }
        )
    print_table(f"Unstable jet at T{TRUNCATION}, steps of {STEP:g} s", rows)
    north = Points(TRUNCATION, LATITUDE, LONGITUDES).field(state[:, :, :1])[0, 0]
    whole = (north / UNIT).round().int().tolist()
    return {"days": rows, "vorticity": [" ".join(map(str, row)) for row in whole]}


def _range(field: torch.Tensor, digits: int) -> str:
    return f"{field.min():.{digits}f} to {field.max():.{digits}f}"


def plot(results: dict[str, list[str]]) -> Figure:
    """Relative vorticity at the last day, with contours as the paper has them."""
    vorticity = np.array([row.split() for row in results["vorticity"]], float) * UNIT * 1e5
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    axes = figure.subplots()
    longitude = np.arange(LONGITUDES) * 360 / LONGITUDES
    levels = np.arange(-18, 18.1, 2)
    filled = axes.contourf(longitude, LATITUDE, vorticity, levels, cmap="RdBu_r")
    axes.contour(longitude, LATITUDE, vorticity, levels[levels != 0], colors="k", linewidths=0.4)
    axes.set(title="Relative vorticity at day 6", xlabel="longitude, °E", ylabel="latitude, °N")
    figure.colorbar(filled, label="10⁻⁵ s⁻¹")
    return figure
