"""Recurrences through convolutions: in Fourier space, by composed kernels, and step by step.

Forward and backward, x_t = A ∗ x_{t−1} + b_t on a periodic grid; then how the time grows with
the length of the sequence and the side of the kernel, what the bound of the kernel costs, and
whole layers.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.scans import differentiate
from benchmarks.timing import Timing, interleave, print_table
from framecast.layers import layer_entry
from framecast.layers.gated import stack_frames
from framecast.ops import bounded_kernel, conv_scan, spectral_conv_scan, wrap
from framecast.ops.conv_scan import definition

KINDS = ("depthwise", "dense")
SHAPES = {"depthwise": (2, 100, 32, 32, 32), "dense": (2, 100, 32, 16, 16)}
LENGTHS = (10, 30, 100, 300)
LAYERS: dict[str, tuple[str, dict[str, Any]]] = {
    "conv_ssm": ("conv_ssm", {}),
    "conv_ssm k=5": ("conv_ssm", {"state_kernel": 5}),
    "conv_ssm dense": ("conv_ssm", {"mixing": "dense"}),
    "conv_s5": ("conv_s5", {}),
    "conv_lstm": ("conv_lstm", {}),
}


def run() -> dict[str, Any]:
    """All measurements, after the gate."""
    check()
    results: dict[str, Any] = {
        "sides": [scan_row(kind, SHAPES[kind], side) for kind in KINDS for side in (3, 5, 7)]
    }
    print_table("Scans through k×k kernels, forward and backward", results["sides"])
    results["lengths"] = [
        scan_row(kind, (2, time, 32, 16, 16), 3) for kind in KINDS for time in LENGTHS
    ]
    print_table("Growth with the length of the sequence", results["lengths"])
    results["bound"] = [bound_row(kind, states) for kind in KINDS for states in (32, 128)]
    print_table("The bound of a 3×3 kernel", results["bound"])
    results["layers"] = [layers_row(time) for time in (50, 200)]
    print_table(
        "Layers of 32 channels on a periodic 32×32 grid, forward and backward", results["layers"]
    )
    return results


def check() -> None:
    """The scans agree with the definition in float64; nothing is timed that is wrong."""
    for kind in KINDS:
        inputs = make_inputs(kind, (2, 40, 3, 8, 9), 3)
        exact = differentiate(definition.conv_scan, *(x.double() for x in inputs))
        for scan in (conv_scan, spectral_conv_scan, stepping):
            for got, want in zip(differentiate(scan, *inputs), exact, strict=True):
                error = float((got.double() - want).abs().max() / want.abs().max())
                if error > 1e-4:
                    raise AssertionError(f"{scan.__name__} is wrong by {error:.1e}")


def stepping(kernel: Tensor, b: Tensor, x0: Tensor) -> Tensor:
    """The loop over time as a layer runs it, channels last in memory."""
    reach, groups = kernel.shape[-1] // 2, kernel.shape[0] // kernel.shape[1]
    x, states = x0.contiguous(memory_format=torch.channels_last), []
    for frame in b.unbind(1):
        x = nn.functional.conv2d(wrap(x, reach, reach), kernel, groups=groups) + frame
        states.append(x)
    return stack_frames(states)


def make_inputs(kind: str, shape: Sequence[int], side: int) -> list[Tensor]:
    """A kernel with a spectral radius below one, inputs and a first state."""
    batch, _, states, height, width = shape
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(states, states if kind == "dense" else 1, side, side, generator=generator)
    kernel = bounded_kernel(weight, torch.full((states,), 0.99))
    b = torch.randn(*shape, generator=generator)
    b = b.movedim(2, -1).contiguous().movedim(-1, 2)
    return [kernel, b, torch.randn(batch, states, height, width, generator=generator)]


def scan_row(kind: str, shape: Sequence[int], side: int) -> dict[str, object]:
    """The three ways at one size."""
    inputs = make_inputs(kind, shape, side)
    ways = {
        "fourier": spectral_conv_scan,
        "stepping": stepping,
        "associative": conv_scan,
    }
    times = interleave({name: passes(way, inputs) for name, way in ways.items()}, seconds=1)
    size = "x".join(map(str, shape))
    return {"mixing": kind, "shape": size, "k": side, **beside(times, "fourier")}


def bound_row(kind: str, states: int) -> dict[str, object]:
    """The time to make a kernel stable, without and with gradients."""
    weight = torch.randn(states, states if kind == "dense" else 1, 3, 3)
    inputs = [weight, torch.rand(states)]
    times = interleave(
        {"forward": lambda: bounded_kernel(*inputs), "both": passes(bounded_kernel, inputs)},
        seconds=0.5,
    )
    return {"mixing": kind, "states": states, **times}


def layers_row(time: int) -> dict[str, object]:
    """A pass over a sequence and back, of layers of equal width."""
    frames = torch.randn(2, time, 32, 32, 32)
    candidates = {}
    for name, (layer, options) in LAYERS.items():
        candidates[name] = layer_passes(
            layer_entry(layer).layer(32, 32, padding="circular", **options), frames
        )
    times = interleave(candidates, seconds=1)
    return {"T": time, **beside(times, "conv_ssm")}


def passes(function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> Callable[[], object]:
    """A forward and a backward pass of a function of tensors."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    gradient = torch.randn_like(function(*leaves))
    return lambda: torch.autograd.grad(function(*leaves), leaves, gradient)


def layer_passes(layer: nn.Module, frames: Tensor) -> Callable[[], object]:
    """A forward and a backward pass of a layer, for its weights and its input."""
    layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    frames = frames.movedim(2, -1).contiguous().movedim(-1, 2).requires_grad_()
    leaves = [frames, *layer.parameters()]
    return lambda: torch.autograd.grad(layer(frames)[0].sum(), leaves)


def beside(times: dict[str, Timing], mine: str) -> dict[str, object]:
    """Every time, and how many times as long as mine the others take."""
    row: dict[str, object] = dict(times)
    for name, other in times.items():
        if name != mine:
            row[f"{name} / {mine}"] = f"{other.median / times[mine].median:.2f}"
    return row
