"""The precision of training: whether this machine multiplies bfloat16 fast, measured once."""

import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from framecast.runs.config import Precision

FASTER = 1.2
"""How many times faster a convolution must be in bfloat16 for a whole step to gain from it."""
TURNS = 5


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """Return the precision that a run is trained in; `auto` is decided here.

    Asked for by hand on a machine that multiplies bfloat16 slowly, it says so on stderr.

    Args:
        precision: as the configuration has it.
        device: that the network is trained on.
    """
    if precision == 32:
        return precision
    gain = bfloat16_gain(device)
    if precision == "auto":
        return "bf16-mixed" if gain > FASTER else 32
    if gain < 1:
        print(
            f"training.precision bf16-mixed is slow here: a convolution takes {1 / gain:.1f} times "
            "as long as in 32 bits. training.precision auto takes the faster one",
            file=sys.stderr,
        )
    return precision


def bfloat16_gain(device: torch.device) -> float:
    """Return how many times faster a convolution is in bfloat16 than in 32 bits.

    The fastest of a few turns counts, forward and backward; a few milliseconds on a processor.
    """
    runs = {dtype: _convolution(device, dtype) for dtype in (torch.float32, torch.bfloat16)}
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(TURNS):
        for dtype, run in runs.items():
            best[dtype] = min(best[dtype], _seconds(run, device))
    return best[torch.float32] / best[torch.bfloat16]


def _convolution(device: torch.device, dtype: torch.dtype) -> Callable[[], None]:
    """A convolution of the size that small recipes have, and its gradients."""
    frames = torch.ones(8, 48, 32, 32, device=device, dtype=dtype, requires_grad=True)
    kernel = torch.ones(96, 48, 3, 3, device=device, dtype=dtype, requires_grad=True)
    last = partial(torch.Tensor.to, memory_format=torch.channels_last)

    def run() -> None:
        out: Tensor = conv2d(last(frames), last(kernel), padding=1)
        torch.autograd.grad(out, (frames, kernel), torch.ones_like(out))

    run()
    return run


def _seconds(run: Callable[[], None], device: torch.device) -> float:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    start = time.perf_counter()
    run()
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter() - start
