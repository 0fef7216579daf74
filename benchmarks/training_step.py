"""A whole training step of the Navier-Stokes recipes: forward, backward and optimiser.

The minimal layers also run with their scan replaced by the published log-domain form, and by
the PyTorch code that takes the place of the compiled kernels; all else is the same network. Long
windows are run in bfloat16 only where it is not slower than float32: elsewhere steps take minutes.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from benchmarks.scans import under
from benchmarks.timing import fastest, interleave, print_table, seeded
from framecast.base.config import load_config
from framecast.frames.batch import Batch
from framecast.models import Forecaster
from framecast.ops.scan import log_domain
from framecast.runs.experiment import Experiment
from framecast.runs.recipes import find_recipe
from framecast.train.allocator import kept_memory
from framecast.train.precision import bfloat16_gain
from framecast.train.step import make_training

LOG_DOMAIN = {
    "min_conv_gru": log_domain.min_gru_scan,
    "min_conv_lstm": log_domain.min_lstm_scan,
    "min_conv_exp_lstm": log_domain.min_exp_lstm_scan,
}
LAYERS = ("conv_gru", "conv_lstm", *LOG_DOMAIN)
GRID = (16, 16)
PRECISIONS = ("float32", "bfloat16")


def run() -> dict[str, Any]:
    """All measurements, after the gate."""
    check()
    with kept_memory():
        steps = rows_of(PRECISIONS, context=20, horizon=5)
    print_table("Training step of the Navier-Stokes recipes, batch 1, 20 + 5 frames", steps)
    with kept_memory():
        long = rows_of(_worthwhile(), context=200, horizon=1)
    print_table("The same networks over 200 given frames, without a closed loop", long)
    return {"steps": steps, "long": long}


def _worthwhile() -> tuple[str, ...]:
    """The precisions that this machine multiplies at least as fast as float32."""
    slow = bfloat16_gain(torch.get_default_device()) < 1
    return PRECISIONS[:1] if slow else PRECISIONS


def rows_of(precisions: Sequence[str], context: int, horizon: int) -> list[dict[str, object]]:
    """Times of all layers over a window, and their ratios."""
    rows: list[dict[str, object]] = []
    for precision in precisions:
        window = (precision, context, horizon)
        candidates = {layer: under(fastest(), step_of(layer, *window)) for layer in LAYERS}
        for layer in LOG_DOMAIN:
            candidates[f"{layer}, PyTorch scan"] = under("torch", step_of(layer, *window))
            published = step_of(layer, *window, published=True)
            candidates[f"{layer}, log domain"] = under(fastest(), published)
        times = interleave(candidates, seconds=3, fewest=5)
        rows += [
            {
                "precision": precision,
                "layer": layer,
                "step": times[layer],
                "log domain / step": ratio(times, layer, "log domain"),
                "PyTorch scan / step": ratio(times, layer, "PyTorch scan"),
                "log domain / PyTorch scan": _quotient(
                    times, f"{layer}, log domain", f"{layer}, PyTorch scan"
                ),
                "conv_lstm / step": _quotient(times, "conv_lstm", layer),
                "conv_gru / step": _quotient(times, "conv_gru", layer),
            }
            for layer in LAYERS
        ]
    return rows


def check() -> None:
    """The network computes the same with its own scan and with the published form."""
    for layer in LOG_DOMAIN:
        window = torch.randn(1, 25, 1, *GRID, generator=seeded(1))
        own, published = (model_of(layer, published)(window)[0] for published in (False, True))
        torch.testing.assert_close(own, published, rtol=1e-3, atol=1e-3)


def model_of(layer: str, published: bool = False, grid: tuple[int, int] = GRID) -> Forecaster:
    """The network of a full recipe; `published` puts the log-domain scan in."""
    torch.manual_seed(0)
    model = Forecaster(_experiment(layer).model, 1, grid=grid)
    if published:
        for recurrence in model.recurrences.layers:
            setattr(recurrence, "scan", LOG_DOMAIN[layer])  # noqa: B010
    return model


def step_of(
    layer: str, precision: str, context: int, horizon: int, published: bool = False
) -> Callable[[], None]:
    """One training step, as the training loop does it, on a random window."""
    config = replace(
        _experiment(layer).training,
        context=context,
        horizon=horizon,
        precision="bf16-mixed" if precision == "bfloat16" else 32,
    )
    model = model_of(layer, published)
    training = make_training(model, config, device=torch.get_default_device())
    batch = Batch(torch.randn(1, config.window, 1, *GRID))

    def step() -> None:
        training.learn((batch,), epoch=0, index=0, unrolling=config.unrolling())

    return step


def ratio(times: dict[str, Any], layer: str, variant: str) -> str:
    """How many times slower a variant of a layer's step is; empty for layers without a scan."""
    return _quotient(times, f"{layer}, {variant}", layer)


def _quotient(times: dict[str, Any], slow: str, fast: str) -> str:
    if slow not in times or fast not in times:
        return ""
    return f"{times[slow].median / times[fast].median:.2f}"


def _experiment(layer: str) -> Experiment:
    return load_config(Experiment, find_recipe(f"navier-stokes-{layer.replace('_', '-')}"))
