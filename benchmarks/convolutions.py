"""The convolutions of the Navier-Stokes networks and of ConvS5, beside what the machine can do.

"Fastest" is the rate of a product of large matrices, found in the same turns. The convolutions of a
pass read all given frames at once, those of a closed loop one: PyTorch hands small ones of a
single frame to a product of matrices of its own instead of oneDNN, which is compared with oneDNN
here, by cutting the frame into two bands of rows. A closed loop's frame is compared with a given
one by steps with more of either.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.timing import Timing, interleave, print_table
from benchmarks.training_step import LAYERS, step_of
from framecast.train.allocator import kept_memory


class Shape(NamedTuple):
    """A 3×3 convolution: channels in and out, frames, and the side of the square grid."""

    before: int
    after: int
    frames: int
    side: int

    @property
    def operations(self) -> int:
        """Of a pass: multiplications and additions."""
        return 2 * 9 * self.before * self.after * self.frames * self.side**2


PASSES = {
    "MinConvGRU, 49 → 98": Shape(49, 98, 20, 16),
    "MinConvGRU with 48 → 96": Shape(48, 96, 20, 16),
    "MinConvLSTM, 40 → 120": Shape(40, 120, 20, 16),
    "ConvLSTM's input, 25 → 100": Shape(25, 100, 20, 16),
    "ConvS5's B, 64 → 64": Shape(64, 64, 100, 16),
}
SINGLE = {
    "MinConvGRU, 49 → 98": Shape(49, 98, 1, 16),
    "MinConvLSTM, 40 → 120": Shape(40, 120, 1, 16),
    "ConvLSTM's state, 25 → 100": Shape(25, 100, 1, 16),
    "ConvGRU's state, 25 → 50": Shape(25, 50, 1, 16),
}
SIDE = 2048
"""Of the matrices whose product is the fastest that the machine does."""


def run() -> dict[str, Any]:
    """All measurements, after the gate."""
    check()
    with kept_memory():
        passes = [pass_row(name, shape) for name, shape in PASSES.items()]
        print_table("Convolutions of a pass, channels last, float32", passes)
        single = [single_row(name, shape) for name, shape in SINGLE.items()]
        print_table("Convolutions of one frame: PyTorch's choice beside oneDNN", single)
        loops = [loop_row(layer) for layer in LAYERS]
    print_table("A training step: a frame of the closed loop beside a given one", loops)
    return {"passes": passes, "single": single, "loops": loops}


def check() -> None:
    """Two bands of rows give the frame, and its gradients."""
    for shape in SINGLE.values():
        frame, weight, gradient = tensors(shape)
        whole, banded = (run(frame, weight, gradient) for run in (both_ways, in_bands))
        for one, other in zip(whole, banded, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


def pass_row(name: str, shape: Shape) -> dict[str, object]:
    """Rates of a convolution and of both parts of its gradient, as shares of the fastest."""
    frames, weight, gradient = tensors(shape)
    matrix = torch.randn(SIDE, SIDE)
    calls: dict[str, Callable[[], object]] = {
        "fastest": lambda: matrix @ matrix,
        "forward": lambda: F.conv2d(frames, weight),
        "gradient of frames": partial(backward, frames, weight, gradient, (True, False)),
        "gradient of weights": partial(backward, frames, weight, gradient, (False, True)),
    }
    times = interleave(calls, seconds=1)
    top = 2 * SIDE**3 / times["fastest"].median
    rates = {what: shape.operations / times[what].median for what in list(calls)[1:]}
    told = {what: f"{rate / 1e9:.0f} ({100 * rate / top:.0f} %)" for what, rate in rates.items()}
    return {"convolution": name, "fastest, GFLOP/s": f"{top / 1e9:.0f}", **told}


def single_row(name: str, shape: Shape) -> dict[str, object]:
    """Times of one frame, forward and with all gradients, by either way."""
    given = tensors(shape)
    calls = {"PyTorch's choice": partial(both_ways, *given), "oneDNN": partial(in_bands, *given)}
    times = interleave(calls, seconds=1, fewest=20)
    return {"convolution": name, **times, "oneDNN / choice": _ratio(*reversed(times.values()))}


def loop_row(layer: str) -> dict[str, object]:
    """Time that a frame adds to a step, as a given one and in the closed loop."""
    spans = {"20 + 1": (20, 1), "28 + 1": (28, 1), "20 + 9": (20, 9)}
    calls = {name: step_of(layer, "float32", *span) for name, span in spans.items()}
    times = interleave(calls, seconds=4, fewest=10)
    given, looped = (
        (times[name].median - times["20 + 1"].median) / 8 for name in ("28 + 1", "20 + 9")
    )
    return {
        "layer": layer,
        **times,
        "given, ms": f"{1e3 * given:.2f}",
        "closed loop, ms": f"{1e3 * looped:.2f}",
        "closed loop / given": f"{looped / given:.2f}",
    }


def tensors(shape: Shape) -> tuple[Tensor, Tensor, Tensor]:
    """Padded frames, a kernel, and the gradient of what comes out, channels last."""
    random = torch.Generator().manual_seed(0)
    sizes = (
        (shape.frames, shape.before, shape.side + 2, shape.side + 2),
        (shape.after, shape.before, 3, 3),
        (shape.frames, shape.after, shape.side, shape.side),
    )
    frames, weight, gradient = (
        torch.randn(size, generator=random).contiguous(memory_format=torch.channels_last)
        for size in sizes
    )
    return frames, weight, gradient


def backward(
    frames: Tensor, weight: Tensor, gradient: Tensor, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, ...]:
    """Gradients of frames and of the kernel, as far as they are wanted."""
    found: tuple[Tensor | None, ...] = torch.ops.aten.convolution_backward(
        gradient, frames, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [*wanted, False]
    )
    return found


def both_ways(frame: Tensor, weight: Tensor, gradient: Tensor) -> tuple[Tensor, ...]:
    """A convolution with its gradients, as PyTorch runs it."""
    return _through(F.conv2d, frame, weight, gradient)


def in_bands(frame: Tensor, weight: Tensor, gradient: Tensor) -> tuple[Tensor, ...]:
    """The same in two bands of rows: two frames, which PyTorch hands to oneDNN."""

    def banded(frame: Tensor, weight: Tensor) -> Tensor:
        rows = (frame.shape[2] - 2) // 2
        bands = torch.cat([frame[:, :, : rows + 2], frame[:, :, rows:]])
        return torch.cat(tuple(F.conv2d(bands, weight)), dim=1)[None]

    return _through(banded, frame, weight, gradient)


def _through(
    convolve: Callable[[Tensor, Tensor], Tensor], frame: Tensor, weight: Tensor, gradient: Tensor
) -> tuple[Tensor, ...]:
    frame, weight = frame.detach().requires_grad_(), weight.detach().requires_grad_()
    result = convolve(frame, weight)
    return (result.detach(), *torch.autograd.grad(result, (frame, weight), gradient))


def _ratio(slow: Timing, fast: Timing) -> str:
    return f"{slow.median / fast.median:.2f}"
