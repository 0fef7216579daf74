"""A step of closed-loop forecasting with the networks of the Navier-Stokes recipes.

Milliseconds for one predicted frame after 20 frames of context, batch 1, without gradients,
early and late in the forecast: a recurrent network pays the same for each.
"""

from time import perf_counter
from typing import Any

import torch

from benchmarks.timing import print_table, summary
from benchmarks.training_step import LAYERS, model_of

GRIDS = (16, 64)
EARLY, LATE = slice(10, 60), slice(950, 1000)


def run() -> dict[str, Any]:
    """Rows for each layer, grid and precision, after the gate."""
    check()
    rows = [
        forecast_row(layer, side, precision)
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


def forecast_row(layer: str, side: int, precision: str) -> dict[str, object]:
    """Times of the predicted frames of one long forecast."""
    model = model_of(layer, grid=(side, side))
    context = torch.randn(1, 20, 1, side, side)
    enabled = precision == "bfloat16"
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        frames, seconds = model.forecast(context), []
        for _ in range(LATE.stop):
            start = perf_counter()
            next(frames)
            seconds.append(perf_counter() - start)
    early, late = (summary(seconds[part]) for part in (EARLY, LATE))
    return {
        "layer": layer,
        "grid": f"{side}x{side}",
        "precision": precision,
        "frames 10-60": early,
        "frames 950-1000": late,
        "late / early": f"{late.median / early.median:.2f}",
    }
