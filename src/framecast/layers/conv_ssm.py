"""ConvSSM with k×k state kernels: a linear state that moves over the grid."""

import math
from functools import partial
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from framecast.base.shapes import Frame, FrameSequence
from framecast.layers.blocks import GridConv, Padding, pad_grid
from framecast.layers.entry import register
from framecast.layers.gated import stack_frames
from framecast.layers.readout import Form, ReadoutSettings, make_readout
from framecast.layers.recurrence import Recurrence, per_frame
from framecast.layers.residual import Nonlinearity
from framecast.layers.time_parallel import LinearScan, run_scan
from framecast.ops import bounded_kernel, spectral_conv_scan
from framecast.ops.conv_scan import conv_steps

Mixing = Literal["depthwise", "dense"]
RATES = (1e-3, 1e-1)
"""Range of the first decay of a state in a step."""
FOURIER_FROM = 5
"""Side of A from which Fourier space is faster than stepping (benchmarks/conv_scans.py)."""


@register("conv_ssm", paper="Smith et al. 2023, Convolutional State Space Models, arXiv:2310.19694")
class ConvSSM(Recurrence):
    """Convolutional state space model whose state moves: a k×k kernel carries it over the grid.

    x_t = A ∗ x_{t−1} + (1 − ρ) ⊙ (B ∗ u_t), y_t = C ∗ x_t, and a readout of y_t and u_t. The state
    is real. A's taps are scaled so that their norms sum to ρ = e^{−rate} < 1, which keeps the
    recurrence stable on every grid, under any padding and whatever the weights
    (`framecast.ops.bounded_kernel`). On a periodic grid (padding circular) a sequence runs in
    Fourier space where A is large enough for that to be faster; elsewhere no form but stepping is
    exact, and A ∗ is a loop over time. No published network stands behind it: the paper allows
    such state kernels and chooses 1×1.

    Args:
        in_channels: channels of the frames u.
        out_channels: channels of the output.
        kernel: odd side length of B, C and the readout's kernels.
        padding: boundary padding of all convolutions.
        state_size: numbers of state at a pixel, P; None: as many as out_channels.
        state_kernel: odd side length of A, at least 3 where it is depthwise.
        mixing: depthwise (each state moves by itself) or dense (states mix: A is P×P at each
            tap, and its bound costs state_kernel² singular value decompositions a pass or step).
        form: readout: resnet, standard, half_glu or linear (see `ReadoutSettings`).
        activation: of the readout: gelu, elu, relu or silu (swish); None: gelu. Not for linear.
        groups: of the readout's group norms; None: one.
        bias: whether the readout's convolutions add a learned constant to each channel. B and C
            have none.

    Raises:
        ValueError: if an option is unknown or sizes do not fit together.
    """

    time_parallel = True
    frozen_kernel: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        padding: Padding = "zeros",
        *,
        state_size: int | None = None,
        state_kernel: int = 3,
        mixing: Mixing = "depthwise",
        form: Form = "resnet",
        activation: Nonlinearity | None = None,
        groups: int | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if mixing not in get_args(Mixing):
            raise ValueError(f"mixing {mixing!r} is not one of {', '.join(get_args(Mixing))}")
        if state_kernel < 1 or state_kernel % 2 == 0:
            raise ValueError(f"state_kernel {state_kernel} must be odd and positive")
        if state_kernel == 1 and mixing == "depthwise":
            raise ValueError(
                "state_kernel 1 and mixing depthwise leave each state where it is: choose a larger "
                "state_kernel, mixing dense, or the layer conv_s5, whose states are pointwise"
            )
        self.in_channels, self.out_channels, self.padding = in_channels, out_channels, padding
        self.state_size = out_channels if state_size is None else state_size
        self.b = GridConv(in_channels, self.state_size, kernel, padding, bias=False)
        self.c = GridConv(self.state_size, out_channels, kernel, padding, bias=False)
        readout = ReadoutSettings(form, kernel, padding, groups, activation, bias=bias)
        self.readout = make_readout(readout, in_channels, out_channels)
        self.a = nn.Parameter(_start(self.state_size, state_kernel, mixing))
        low, high = torch.tensor(RATES).log()
        self.log_rate = nn.Parameter(low + (high - low) * torch.rand(self.state_size))
        self.register_buffer("frozen_kernel", None, persistent=False)

    def initial_state(self, batch: int, height: int, width: int, **like: Any) -> Tensor:
        """Return zeros [B,P,H,W] (see `Recurrence`)."""
        return torch.zeros(batch, self.state_size, height, width, **like)

    def forward(
        self, frames: FrameSequence, state: Tensor | None = None
    ) -> tuple[FrameSequence, Tensor]:
        """Run over a whole sequence (see `Recurrence`)."""
        states = self.scan(frames, state)
        y = per_frame(self.c, states)
        return per_frame(self.readout, y, frames), states[:, -1]

    def scan(self, frames: FrameSequence, state: Tensor | None = None) -> FrameSequence:
        """Return the states [B,T,P,H,W] after each of the frames, from the one before them."""
        kernel, driven = self.state_kernel(), per_frame(self._drive, frames)
        steps = torch.tensor(frames.shape[1], device=frames.device)
        fade = partial(self._fade, kernel.detach())
        linear = LinearScan(self._scan, (kernel, driven), steps.clone, fade)
        return run_scan(linear, self.state_for(frames, state), state is None)

    def _scan(self, kernel: Tensor, driven: FrameSequence, state: Tensor) -> FrameSequence:
        """Run x_t = A ∗ x_{t−1} + b_t."""
        if self.padding == "circular" and kernel.shape[-1] >= FOURIER_FROM:
            return spectral_conv_scan(kernel, driven, state)
        states = []
        for drive in driven.unbind(1):
            state = self._move(kernel, state) + drive
            states.append(state)
        return stack_frames(states)

    def _fade(self, kernel: Tensor, steps: Tensor, state: Tensor) -> Tensor:
        """Return what is left of a state after steps without input."""
        if self.padding == "circular":
            return conv_steps(kernel, int(steps), state)
        for _ in range(int(steps)):
            state = self._move(kernel, state)
        return state

    def step(self, frame: Frame, state: Tensor) -> tuple[Frame, Tensor]:
        """Run over one frame (see `Recurrence`)."""
        state = self._move(self.state_kernel(), state) + self._drive(frame)
        return self.readout(self.c(state), frame), state

    def state_kernel(self) -> Tensor:
        """Return A of the present weights, [P,1,k,k] or [P,P,k,k]."""
        if self.frozen_kernel is not None:
            return self.frozen_kernel
        return bounded_kernel(self.a, (-self.log_rate.exp()).exp())

    @torch.no_grad()
    def freeze(self) -> None:
        """Keep A as it is now: to be called once the weights change no more."""
        self.frozen_kernel = self.state_kernel()

    def _drive(self, frame: Frame) -> Tensor:
        """What a frame adds to the state: a constant input leads to a state of its own size."""
        gain = -torch.expm1(-self.log_rate.exp())
        driven: Tensor = gain.view(-1, 1, 1) * self.b(frame)
        return driven

    def _move(self, kernel: Tensor, state: Tensor) -> Tensor:
        around = pad_grid(state, kernel.shape[-1] // 2, self.padding)
        groups = self.state_size // kernel.shape[1]
        # The state is remembered for up to 1/rate steps: bfloat16 has too few digits for that.
        with torch.autocast(state.device.type, enabled=False):
            moved: Tensor = F.conv2d(around.to(kernel), kernel, groups=groups)
        return moved


def _start(states: int, side: int, mixing: Mixing) -> Tensor:
    """First weights of A: half of the states stay where they are, the others move by one tap each.

    Dense, all stay, since the bound would damp kernels of several taps, and a little noise tells
    equal singular values apart.
    """
    if mixing == "dense":
        kernel = torch.randn(states, states, side, side).mul_(1e-3 / (side * math.sqrt(states)))
        kernel[:, :, side // 2, side // 2] += torch.eye(states)
        return kernel
    taps = torch.randint(side * side, (states,))
    taps[: states - states // 2] = side * side // 2
    kernel = torch.zeros(states, side * side)
    kernel[torch.arange(states), taps] = 1
    return kernel.view(states, 1, side, side)
