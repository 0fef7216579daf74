"""The runtimes of Minimal Convolutional RNNs (2025): its tables 2 and 3, on this machine.

Table 2 is seconds of an epoch of either experiment, with and without `torch.compile`: the median of
a training step times the windows of an epoch. Validation and reading do not count. On a GPU nothing
is compiled: the unrolled steps of a closed loop take minutes for each network there. Table 3 is a
convolution over all frames of a sequence at once beside one frame after the other. The shapes of
the paper's table are lost: here the grid grows, and all else stays.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
import torch._dynamo
from torch import Tensor
from torch.nn.functional import conv2d

from benchmarks.timing import interleave, print_table, seeded
from framecast.base.config import load_config
from framecast.frames.batch import Batch
from framecast.models import Forecaster
from framecast.models.losses import Losses
from framecast.runs.experiment import Experiment
from framecast.runs.recipes import find_recipe
from framecast.train.allocator import kept_memory
from framecast.train.step import Training, make_training

LAYERS = ("conv_gru", "conv_lstm", "min_conv_gru", "min_conv_lstm", "min_conv_exp_lstm")
FRAMES, CHANNELS = 20, 32
SIDES = (8, 16, 32, 64, 128, 256)
"""Of the grids of table 3."""


class Setting(NamedTuple):
    """An experiment: its grid, and the windows of an epoch."""

    grid: tuple[int, int]
    windows: int


SETTINGS = {
    "navier-stokes": Setting((16, 16), 1000),
    # The hours from 1979 to 2014 in windows of 25 that do not overlap.
    "geopotential": Setting((16, 32), 13_149 * 24 // 25),
}


def run() -> dict[str, Any]:
    """Both tables, after the gate."""
    check()
    # All networks are compiled from the same functions, in one process.
    with kept_memory(), torch._dynamo.config.patch(recompile_limit=16 * len(LAYERS)):
        ways = (False, True) if torch.get_default_device().type == "cpu" else (False,)
        epochs = [row for name in SETTINGS for row in rows_of(name, ways)]
    print_table("Seconds of an epoch (batch 1, float32)", epochs)
    sizes = [size(side) for side in SIDES]
    print_table(f"A 3×3 convolution of {FRAMES} frames of {CHANNELS} channels", sizes)
    return {"epochs": epochs, "convolutions": sizes}


def check() -> None:
    """A compiled step gives the same loss, and both ways of convolving the same frames."""
    if torch.get_default_device().type == "cpu":
        losses = [training("navier-stokes", "min_conv_gru", how)[1]().sums for how in (False, True)]
        torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)
    frames, kernel = tensors(16)
    torch.testing.assert_close(at_once(frames, kernel), one_by_one(frames, kernel))


def rows_of(name: str, ways: Sequence[bool]) -> list[dict[str, object]]:
    """The networks of an experiment, each as it is or compiled, or both."""
    steps: dict[str, Callable[[], object]] = {}
    counts = {}
    for layer in LAYERS:
        for how in ways:
            own, step = training(name, layer, how)
            counts[layer] = sum(p.numel() for p in own.model.parameters())
            steps[f"{layer}, {how}"] = step
    times = interleave(steps, seconds=3, fewest=9)
    rows: list[dict[str, object]] = []
    for layer in LAYERS:
        row: dict[str, object] = {
            "experiment": name,
            "layer": layer,
            "parameters": f"{counts[layer]:,}",
        }
        for how, column in zip(ways, ("epoch", "compiled"), strict=False):
            own_time, slow = (times[f"{each}, {how}"].median for each in (layer, "conv_lstm"))
            row[column] = f"{own_time * SETTINGS[name].windows:.0f} s"
            row[f"conv_lstm / {column}"] = f"{slow / own_time:.2f}"
        rows.append(row)
    return rows


def training(name: str, layer: str, compiled: bool) -> tuple[Training, Callable[[], Losses]]:
    """The network of a recipe in training, and a step of it on a random window."""
    recipe = find_recipe(f"{name}-{layer.replace('_', '-')}")
    experiment = load_config(Experiment, recipe)
    grid = SETTINGS[name].grid
    torch.manual_seed(0)
    model = Forecaster(experiment.model, 1, grid=grid)
    config = replace(experiment.training, compile=compiled, precision=32)
    own = make_training(model, config, device=torch.get_default_device())
    window = torch.randn(1, config.window, 1, *grid, generator=seeded(1))
    learn = partial(own.learn, (Batch(window),), epoch=0, index=0, unrolling=config.unrolling())
    return own, learn


def size(side: int) -> dict[str, object]:
    """Both ways of convolving frames of a size, forward."""
    frames, kernel = tensors(side)
    with torch.inference_mode():
        times = interleave({
            "at once": partial(at_once, frames, kernel),
            "one by one": partial(one_by_one, frames, kernel),
        })  # fmt: skip
    once, each = times["at once"].median, times["one by one"].median
    work = 2 * FRAMES * side**2 * 9 * CHANNELS**2
    return {
        "shape": f"1,{FRAMES},{CHANNELS},{side},{side}",
        "one by one": f"{1e3 * each:.3g} ms",
        "at once": f"{1e3 * once:.3g} ms",
        "ratio": f"{each / once:.2f}",
        "GFLOP/s at once": f"{work / once / 1e9:.0f}",
    }


def tensors(side: int) -> tuple[Tensor, Tensor]:
    """Frames [T,C,H,W] and a kernel, as layers hold them."""
    random = seeded(0)
    frames = torch.randn(FRAMES, CHANNELS, side, side, generator=random)
    kernel = torch.randn(CHANNELS, CHANNELS, 3, 3, generator=random) / 17
    last = torch.channels_last
    return frames.contiguous(memory_format=last), kernel.contiguous(memory_format=last)


def at_once(frames: Tensor, kernel: Tensor) -> Tensor:
    """All frames in one convolution."""
    return conv2d(frames, kernel, padding=1)


def one_by_one(frames: Tensor, kernel: Tensor) -> Tensor:
    """A convolution for each frame."""
    return torch.cat([conv2d(frame, kernel, padding=1) for frame in frames[:, None]])
