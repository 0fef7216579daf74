"""ConvS5 over long sequences: a training step beside ConvLSTM, a generated frame beside others.

Training: two layers of 64 channels on a grid of 16x16, batch 1, forward, backward and optimiser;
"peak" is what a step allocates at most beside weights and frames. Generation: the networks of the
reduced recipes for long Moving-MNIST (32x32, batch 1), one frame after t frames.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import nn

from benchmarks.timing import interleave, peak_allocated, print_table
from framecast.base.config import load_config
from framecast.models import Forecaster, ForecasterConfig
from framecast.runs.experiment import Experiment
from framecast.runs.recipes import find_recipe
from framecast.train.allocator import kept_memory

LENGTHS = (50, 100, 200, 300, 600)
WIDTH, DEPTH, GRID = 64, 2, 16
TRAINED: dict[str, dict[str, Any]] = {
    "conv_s5": {"layer": "conv_s5", "options": {"groups": 32}},
    "conv_s5, standard": {"layer": "conv_s5", "options": {"groups": 32, "form": "standard"}},
    "conv_lstm": {"layer": "conv_lstm"},
}
AGES = (10, 30, 100, 300, 1000)
SIDE = 32
GENERATING = ("conv-s5", "conv-lstm", "transformer", "transformer, no cache")


def run() -> dict[str, Any]:
    """Rows for each length of training and each age of a forecast, after the gate."""
    check()
    with kept_memory():
        training = [training_row(time) for time in LENGTHS]
    print_table("A training step, 2 layers of 64 channels, 16x16, batch 1", training)
    generation = generation_rows()
    print_table("A generated frame, reduced recipes, 32x32, batch 1", generation)
    return {"training": training, "generation": generation}


def check() -> None:
    """Stepping continues a pass in every network that generates; a cache changes no number."""
    frames = torch.rand(1, 6, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    last = {}
    with torch.inference_mode():
        for name in GENERATING:
            model = generator(name)
            last[name] = model(frames)[0][:, -1]
            _, state = model(frames[:, :5])
            torch.testing.assert_close(model.step(frames[:, 5], state)[0], last[name])
    torch.testing.assert_close(last["transformer"], last["transformer, no cache"])


def training_row(time: int) -> dict[str, object]:
    """Times and memory of a step over so many frames."""
    steps = {name: step_of(name, time) for name in TRAINED}
    times = interleave(steps, seconds=3, fewest=2)
    medians = {name: timing.median for name, timing in times.items()}
    row: dict[str, object] = {"T": time, **times}
    for name in ("conv_s5", "conv_s5, standard"):
        row[f"conv_lstm / {name}"] = f"{medians['conv_lstm'] / medians[name]:.2f}"
    row["ms a frame"] = f"{1e3 * medians['conv_s5'] / time:.3f}"
    row["peak, MB a frame"] = f"{peak_allocated(steps['conv_s5']) / 1e6 / time:.3f}"
    return row


def step_of(name: str, time: int) -> Callable[[], None]:
    """One step of training on random frames, each prediction made from the truth."""
    torch.manual_seed(0)
    config = ForecasterConfig(hidden=WIDTH, depth=DEPTH, norm="channel", **TRAINED[name])
    model = Forecaster(config, 1)
    optimiser = torch.optim.AdamW(model.parameters(), fused=True)
    frames = torch.rand(1, time + 1, 1, GRID, GRID)

    def step() -> None:
        loss = nn.functional.mse_loss(model(frames[:, :-1])[0], frames[:, 1:])
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad()

    return step


def generation_rows() -> list[dict[str, object]]:
    """Times of the frame that follows each age, networks and ages in turns."""
    calls = {(name, age): frame_of(name, age) for age in AGES for name in GENERATING}
    named = {f"{name} {age}": call for (name, age), call in calls.items()}
    with torch.inference_mode():
        timings = interleave(named, seconds=2)
    rows: list[dict[str, object]] = []
    for age in AGES:
        times = {name: timings[f"{name} {age}"] for name in GENERATING}
        own = times["conv-s5"].median
        ratios = {
            f"{name} / conv-s5": f"{times[name].median / own:.2f}"
            for name in GENERATING
            if name != "conv-s5"
        }
        rows.append({"t": age, **times, **ratios})
    return rows


def frame_of(name: str, age: int) -> Callable[[], object]:
    """A step of a network that has read so many frames."""
    model = generator(name)
    _, state = model(torch.rand(1, age, 1, SIDE, SIDE))
    frame = torch.rand(1, 1, SIDE, SIDE)

    def step() -> object:
        with torch.inference_mode():
            return model.step(frame, state)

    return step


def generator(name: str) -> Forecaster:
    """The network of a reduced recipe for long Moving-MNIST."""
    recipe, *without = name.split(", ")
    config = load_config(Experiment, find_recipe(f"long-moving-mnist-{recipe}-small")).model
    if without:
        config = replace(config, options={**config.options, "cache": False})
    torch.manual_seed(0)
    return Forecaster(config, 1, grid=(SIDE, SIDE)).eval()


def plot(results: dict[str, Any]) -> Figure:
    """Seconds of a step against its length, and of a frame against what went before it."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, rows, varied, names, unit in (
        (left, results["training"], "T", TRAINED, "seconds a training step"),
        (right, results["generation"], "t", GENERATING, "seconds a generated frame"),
    ):
        values = [row[varied] for row in rows]
        for name in names:
            axes.loglog(values, [row[name].median for row in rows], marker="o", label=name)
        axes.set_xticks(values, labels=map(str, values))
        axes.set_xticks([], minor=True)
        axes.set(xlabel=f"frames {varied}", ylabel=unit)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure
