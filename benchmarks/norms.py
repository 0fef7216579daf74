"""Group norm and GELU in one pass, forward and backward, beside the two of PyTorch.

As the readouts of ConvS5 run them over a sequence: 300 frames of 64 channels, 16×16, 32 groups,
channels last; in bfloat16 under autocast, as in training.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.timing import interleave, print_table
from framecast.layers.residual import ActivatedNorm
from framecast.train.allocator import kept_memory

FRAMES = (300, 64, 16, 16)
GROUPS = 32


def run() -> dict[str, Any]:
    """A row for each type, after the gate."""
    check()
    with kept_memory():
        rows = [row(dtype) for dtype in (torch.float32, torch.bfloat16)]
    print_table("Group norm and GELU, 300 frames of 64 channels, 16×16", rows)
    return {"norms": rows}


def check() -> None:
    """Both give the same numbers."""
    frames = random_frames(torch.float32)
    ours, theirs = candidates().values()
    torch.testing.assert_close(ours(frames), theirs(frames), rtol=1e-4, atol=1e-5)


def row(dtype: torch.dtype) -> dict[str, object]:
    """Times in one type."""
    times = interleave({name: step(call, dtype) for name, call in candidates().items()})
    ratio = times["PyTorch"].median / times["one pass"].median
    return {
        "type": str(dtype).removeprefix("torch."),
        **times,
        "PyTorch / one pass": f"{ratio:.1f}",
    }


def candidates() -> dict[str, Callable[[Tensor], Tensor]]:
    """Modules by name, of the same weights."""
    norm = nn.GroupNorm(GROUPS, FRAMES[1], eps=1e-6)
    return {
        "one pass": ActivatedNorm(GROUPS, FRAMES[1], "gelu"),
        "PyTorch": lambda x: F.gelu(norm(x), approximate="tanh"),
    }


def step(call: Callable[[Tensor], Tensor], dtype: torch.dtype) -> Callable[[], None]:
    """Forward and backward once."""
    frames, grad = random_frames(dtype).requires_grad_(), random_frames(dtype)

    def run_once() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            out = call(frames)
        out.backward(grad.to(out.dtype))  # type: ignore[no-untyped-call]
        frames.grad = None

    return run_once


def random_frames(dtype: torch.dtype) -> Tensor:
    """Frames with their channels last in memory."""
    random = torch.Generator().manual_seed(0)
    frames = torch.randn(FRAMES, generator=random).to(dtype)
    return frames.contiguous(memory_format=torch.channels_last)
