"""Speed of the shallow-water simulator, by truncation, in hours of a flow a second."""

import time
from dataclasses import replace

import torch

from benchmarks.timing import print_table
from framecast.datasets.simulate.rotating import fields, solve
from framecast.datasets.simulate.shallow_water import (
    GROUP,
    HOUR,
    ShallowWater,
    first_states,
    surroundings,
)
from framecast.datasets.simulate.sphere import Sphere

SECONDS = {42: 1200.0, 63: 900.0, 85: 600.0}
"""Time step of each truncation."""
FLOWS = (1, GROUP)
HOURS = 12


def run() -> dict[str, object]:
    check()
    rows = [row(truncation, flows) for truncation in SECONDS for flows in FLOWS]
    print_table("Shallow water on the sphere", rows)
    return {"truncations": rows}


def check() -> None:
    """Jets in balance, without waves or mountains upon them, are a steady flow."""
    config = ShallowWater(waves=0.0, orography=0.0, diffusion=0.0)
    sphere = Sphere(config.truncation)
    jets, _ = first_states(config, sphere, [3])
    around = replace(surroundings(config, sphere), target=jets)
    states = solve(sphere, around, jets, config.step, 12 * config.steps_per_hour)
    first, last = (fields(sphere, state)[1] for state, _ in zip(states, range(2), strict=False))
    torch.testing.assert_close(last, first, rtol=1e-9, atol=0)


def row(truncation: int, flows: int) -> dict[str, object]:
    """Speed at a truncation, of so many flows together."""
    config = ShallowWater(truncation=truncation, step=SECONDS[truncation])
    sphere = Sphere(truncation)
    target, state = first_states(config, sphere, range(flows))
    around = replace(surroundings(config, sphere), target=target)
    states = solve(sphere, around, state, config.step, config.steps_per_hour)
    next(states)
    next(states)
    start = time.perf_counter()
    for _ in range(HOURS):
        next(states)
    speed = HOURS * flows / (time.perf_counter() - start)
    return {
        "truncation": f"T{truncation}",
        "step": f"{config.step / HOUR * 60:.0f} min",
        "flows together": flows,
        "hours of a flow a second": f"{speed:.0f}",
    }
