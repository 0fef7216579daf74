"""A step of closed-loop forecasting with the networks of the Navier-Stokes recipes.

Time of one predicted frame after 20 frames of context, batch 1, without gradients, early and
late in the forecast: a recurrent network pays the same for each.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import repeat
from typing import Any

import torch
from torch import Tensor

from benchmarks.timing import interleave, print_table
from benchmarks.training_step import LAYERS, model_of
from framecast.frames.batch import NO_CONDITIONS
from framecast.models import Forecaster
from framecast.models.unroll import Carry, closed_loop

GRIDS = (16, 64)
AGES = (10, 1000)


def run() -> dict[str, Any]:
    """Rows for each layer, grid and precision, after the gate."""
    check()
    rows = [
        forecast_row(model_of(layer, grid=(side, side)), (side, side), precision, layer=layer)
        for side in GRIDS
        for precision in ("float32", "bfloat16")
        for layer in LAYERS
    ]
    print_table("A step of closed-loop forecasting, batch 1", rows)
    return {"rows": rows}


def check() -> None:
    """Forecasting frame by frame continues the pass over the context."""
    for layer in LAYERS:
        model, frames = model_of(layer).eval(), torch.randn(1, 6, 1, 16, 16)
        with torch.inference_mode():
            whole = model(frames)[0][:, -1]
            _, state = model(frames[:, :5])
            torch.testing.assert_close(model.step(frames[:, 5], state)[0], whole)


def forecast_row(
    model: Forecaster, grid: tuple[int, int], precision: str = "float32", **labels: object
) -> dict[str, object]:
    """Times of a frame early and late in one long forecast, taken in turns."""
    enabled = precision == "bfloat16"
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        calls = steps_at(model.eval(), torch.rand(1, 20, 1, *grid), AGES)
        times = interleave(calls, seconds=1, fewest=20)
    early, late = (times[str(age)] for age in AGES)
    return {
        **labels,
        "grid": f"{grid[0]}x{grid[1]}",
        "precision": precision,
        f"frame {AGES[0]}": early,
        f"frame {AGES[1]}": late,
        "late / early": f"{late.median / early.median:.2f}",
    }


def steps_at(
    model: Forecaster, context: Tensor, ages: Sequence[int]
) -> dict[str, Callable[[], object]]:
    """The steps of a closed loop that follow so many predicted frames."""
    calls: dict[str, Callable[[], object]] = {}
    predictions, state = model(context)
    first = Carry(state, predictions[:, -1])
    loop = closed_loop(model, first, repeat(NO_CONDITIONS, max(ages) - 1))
    for age, (state, frame) in enumerate((first, *loop), start=1):
        if age in ages:
            calls[str(age)] = partial(model.step, frame, state)
    return calls
