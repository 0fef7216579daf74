"""ConvS5: a linear state space model at every pixel, between convolutions."""

from functools import partial
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from framecast.base.shapes import Frame, FrameSequence
from framecast.layers.blocks import GridConv, Padding
from framecast.layers.entry import register
from framecast.layers.readout import Form, ReadoutSettings, make_readout
from framecast.layers.recurrence import Recurrence, per_frame
from framecast.layers.residual import Nonlinearity, Squeeze
from framecast.layers.time_parallel import LinearScan, run_scan
from framecast.ops import complex_diagonal_scan
from framecast.ops.discretise import Discrete, bilinear, hippo_normal, zero_order_hold

Discretisation = Literal["zoh", "bilinear"]
DISCRETISATIONS = {"zoh": zero_order_hold, "bilinear": bilinear}
STEPS = (1e-3, 1e-1)
"""Range of the first Δ in the published networks."""
SLOWEST = -1e-4
"""Largest Re Λ of a layer that is kept stable."""


@register("conv_s5", paper="Smith et al. 2023, Convolutional State Space Models, arXiv:2310.19694")
class ConvS5(Recurrence):
    """Convolutional state space model: linear in time, so that training needs no loop over it.

    x_t = Λ̄ ⊙ x_{t−1} + B̄ ∗ u_t, y_t = 2 Re(C ∗ x_t), and a readout of y_t and u_t. The state x
    is complex, P numbers a pixel; Λ̄ and B̄ are Λ and B, sampled with a learned step Δ for each of
    them. B, C and the readout's D convolve, Λ does not. All arithmetic is real: complex channels
    lie side by side as [Re, Im], which makes one real convolution of B and one of C.

    Args:
        in_channels: channels of the frames u.
        out_channels: channels of the output.
        kernel: odd side length of the input's kernels B.
        padding: boundary padding of all convolutions.
        state_size: real numbers of state at a pixel, 2P; a multiple of 2·blocks. None: as many
            as out_channels, rounded up.
        blocks: blocks J into which HiPPO-N divides the first Λ.
        kernel_c: odd side length of the output's kernels C; None: as B.
        kernel_d: odd side length of the readout's kernels D; None: as B.
        form: readout: resnet, standard, half_glu or linear (see `ReadoutSettings`).
        activation: of the readout: gelu, elu, relu or silu (swish); None: gelu. Not for linear.
        groups: of the readout's group norms; None: one.
        squeeze_excitation: whether the readout gates its channels by their means.
        squeeze_reduction: the gate squeezes C channels into C / squeeze_reduction numbers; None:
            16.
        squeeze_minimum: and into at least so many numbers; None: 1.
        bias: whether the readout's convolutions add a learned constant to each channel. B and C
            have none.
        stable: whether Re Λ is kept at −1e-4 or below, which keeps the model stable.
        discretisation: zoh (the input held over a step) or bilinear (trapezoidal rule).
        first_steps: smallest and largest first Δ, both positive.

    Raises:
        ValueError: if sizes do not fit together, or an option has no meaning beside another.
    """

    reads_intervals = True
    time_parallel = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        padding: Padding = "zeros",
        *,
        state_size: int | None = None,
        blocks: int = 1,
        kernel_c: int | None = None,
        kernel_d: int | None = None,
        form: Form = "resnet",
        activation: Nonlinearity | None = None,
        groups: int | None = None,
        squeeze_excitation: bool = False,
        squeeze_reduction: int | None = None,
        squeeze_minimum: int | None = None,
        bias: bool = True,
        stable: bool = True,
        discretisation: Discretisation = "zoh",
        first_steps: tuple[float, float] = STEPS,
    ) -> None:
        super().__init__()
        if discretisation not in DISCRETISATIONS:
            allowed = ", ".join(get_args(Discretisation))
            raise ValueError(f"discretisation {discretisation!r} is not one of {allowed}")
        if form == "half_glu" and kernel_d is not None:
            raise ValueError("form 'half_glu' has no kernel_d")
        if not 0 < first_steps[0] <= first_steps[1]:
            raise ValueError(f"first_steps {list(first_steps)} must be positive, smallest first")
        squeeze = make_squeeze(squeeze_excitation, squeeze_reduction, squeeze_minimum)
        side = kernel_d or kernel
        readout = ReadoutSettings(form, side, padding, groups, activation, squeeze, bias)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.stable, self.discretisation = stable, discretisation
        if state_size is None:
            state_size = -(-out_channels // (2 * blocks)) * 2 * blocks
        self.state_size = state_size
        self.b = GridConv(in_channels, state_size, kernel, padding, bias=False)
        self.c = GridConv(state_size, out_channels, kernel_c or kernel, padding, bias=False)
        self.readout = make_readout(readout, in_channels, out_channels)
        self._start(blocks, first_steps)

    def initial_state(self, batch: int, height: int, width: int, **like: Any) -> Tensor:
        """Return zeros [B,2P,H,W] (see `Recurrence`)."""
        return torch.zeros(batch, self.state_size, height, width, **like)

    def forward(
        self,
        frames: FrameSequence,
        state: Tensor | None = None,
        intervals: Float[Tensor, "B T"] | None = None,
    ) -> tuple[FrameSequence, Tensor]:
        """Run over a whole sequence at once (see `Recurrence`).

        Args:
            frames: T ≥ 1 frames.
            state: what an earlier pass returned; None starts afresh.
            intervals: times that each frame stands for, in units of the regular step; None
                for frames at regular steps, 1 each.
        """
        states = self.scan(frames, state, intervals)
        # A factor of the weights costs less than one of all frames.
        y = per_frame(lambda x: self.c.convolve(x, 2 * self.c.weight), states)
        out = self.readout(y.flatten(0, 1), frames.flatten(0, 1))
        return out.view(y.shape), states[:, -1]

    def scan(
        self,
        frames: FrameSequence,
        state: Tensor | None = None,
        intervals: Float[Tensor, "B T"] | None = None,
    ) -> FrameSequence:
        """Return the states [B,T,2P,H,W] after each of the frames, from the one before them."""
        system = self.sampled(intervals)
        if intervals is None:
            weight = _times(system.gain_re, system.gain_im, self.b.weight, dim=0)
            driven = per_frame(lambda u: self.b.convolve(u, weight), frames)
        else:
            driven = _times(system.gain_re, system.gain_im, per_frame(self.b, frames), dim=2)
        linear = LinearScan(
            complex_diagonal_scan,
            (system.lam_re, system.lam_im, driven),
            decay=partial(_decay, system, frames.shape[1]),
            fade=_fade,
        )
        return run_scan(linear, self.state_for(frames, state), state is None)

    def step(
        self, frame: Frame, state: Tensor, interval: Float[Tensor, " B"] | None = None
    ) -> tuple[Frame, Tensor]:
        """Run over one frame (see `Recurrence`), which stands for `interval` regular steps."""
        # One frame has fewer elements than B and C, so that the factors are left to it, and
        # nothing that follows from the weights need be kept from step to step.
        system = self.sampled(interval)
        driven = _times(system.gain_re, system.gain_im, self.b(frame), dim=1)
        state = _times(system.lam_re, system.lam_im, state, dim=1) + driven
        return self.readout(2 * self.c(state), frame), state

    def sampled(self, intervals: Float[Tensor, "*frames"] | None = None) -> Discrete:
        """Λ̄ and the gain γ, with B̄ = γ ⊙ B, of the present weights: [P], or [*frames,P]."""
        lam_re = self.lam_re.clamp(max=SLOWEST) if self.stable else self.lam_re
        step = self.log_step.exp()
        if intervals is not None:
            step = step * intervals[..., None]
        return DISCRETISATIONS[self.discretisation](lam_re, self.lam_im, step)

    def _start(self, blocks: int, steps: tuple[float, float]) -> None:
        """HiPPO-N for Λ; B and C He-normal in its coordinates; Δ log-uniform within `steps`."""
        system = hippo_normal(self.state_size, blocks)
        b, c = _he_normal(self.b.weight), _he_normal(self.c.weight)
        b_tilde = torch.einsum("ps,suhw->puhw", system.inverse, b)
        c_tilde = torch.einsum("ushw,sp->uphw", c, system.vectors)
        with torch.no_grad():
            self.b.weight.copy_(torch.cat([b_tilde.real, b_tilde.imag]))
            # Re(C x) = Re C Re x − Im C Im x: the kernels are those of the conjugate of C.
            self.c.weight.copy_(torch.cat([c_tilde.real, -c_tilde.imag], dim=1))
        self.lam_re = nn.Parameter(system.eigenvalues.real.to(self.b.weight))
        self.lam_im = nn.Parameter(system.eigenvalues.imag.to(self.b.weight))
        low, high = torch.tensor(steps).log()
        self.log_step = nn.Parameter(low + (high - low) * torch.rand(self.state_size // 2))


def make_squeeze(wanted: bool, reduction: int | None, minimum: int | None) -> Squeeze | None:
    """Return the width of a gate of channels, None where none is wanted.

    Raises:
        ValueError: if a width is given for a gate that is not wanted, or is less than 1.
    """
    given = {"reduction": reduction, "minimum": minimum}
    chosen = {name: value for name, value in given.items() if value is not None}
    if chosen and not wanted:
        raise ValueError(f"squeeze_{next(iter(chosen))} needs squeeze_excitation")
    return Squeeze(**chosen) if wanted else None


def _he_normal(like: Tensor) -> Tensor:
    """Random kernels of the shape of `like`, as complex numbers."""
    return nn.init.kaiming_normal_(torch.empty_like(like)).to(torch.complex128)


@torch.no_grad()
def _decay(system: Discrete, steps: int) -> Tensor:
    """By what so many steps multiply each state: λ̄ⁿ, or the product of λ̄_t; [Re, Im] last."""
    lam = torch.complex(system.lam_re.double(), system.lam_im.double())
    decay = lam.pow(steps) if lam.ndim == 1 else lam.prod(-2)
    return torch.cat([decay.real, decay.imag], dim=-1)


def _fade(decay: Tensor, state: Tensor) -> Tensor:
    """What a state has become after steps without input."""
    re, im = decay.to(state.dtype).chunk(2, dim=-1)
    return _times(re, im, state, dim=1)


def _times(re: Tensor, im: Tensor, x: Tensor, dim: int) -> Tensor:
    """Multiply complex channels, [Re, Im] side by side along `dim`, by one number for each.

    The numbers, [P] or with dimensions before it, have those of `x` up to `dim`.
    """
    trailing = [1] * (x.ndim - dim - 1)
    re, im = re.view(*re.shape, *trailing), im.view(*im.shape, *trailing)
    x_re, x_im = x.chunk(2, dim)
    return torch.cat([re * x_re - im * x_im, re * x_im + im * x_re], dim)
