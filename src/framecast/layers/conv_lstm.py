"""ConvLSTM (Shi et al., 2015), and with a compressed convolution of the input."""

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from framecast.base.shapes import Frame
from framecast.layers.blocks import GridConv, Padding, pad_grid
from framecast.layers.entry import register
from framecast.layers.gated import HoistedRecurrence, start_as_one, start_xavier_normal
from framecast.ops import lstm_cell, tensor_train_conv, train_matrices


class LSTMState(NamedTuple):
    """Hidden state h and cell state c, each [B,C,H,W]."""

    h: Tensor
    c: Tensor


class LSTMRecurrence(HoistedRecurrence):
    """What the layers below share: four gates from W ∗ x + K ∗ h, and the states h and c.

    i, f, o = σ(·), g = tanh(·); c' = f⊙c + i⊙g; h' = o⊙tanh(c'). Gate channels are in the order
    [i, f, o, g]. The first state is zero.
    """

    state_conv: GridConv

    def initial_state(self, batch: int, height: int, width: int, **like: Any) -> LSTMState:
        """Return zeros (see `Recurrence`)."""
        zeros = super().initial_state(batch, height, width, **like)
        return LSTMState(zeros, zeros)

    def update(self, projected: Tensor, state: LSTMState) -> tuple[Frame, LSTMState]:
        """One LSTM step from the convolved input [B,4C,H,W]."""
        h, c = lstm_cell(projected + self.state_conv(state.h), state.c)
        return h, LSTMState(h, c)


@register("conv_lstm", paper="Shi et al. 2015, Convolutional LSTM Network, arXiv:1506.04214")
class ConvLSTM(LSTMRecurrence):
    """Convolutional LSTM: four gates from the input and the hidden state, one at a time.

    i, f, o = σ(·), g = tanh(·) of W ∗ [x, h]; c' = f⊙c + i⊙g; h' = o⊙tanh(c').
    Gate channels are in the order [i, f, o, g]. The first state is zero.

    Args:
        in_channels: channels of the frames.
        out_channels: channels C of the states and the output.
        kernel: odd side length of the convolutions.
        padding: boundary padding.
        start: how the weights are drawn: uniform, within the inverse square root of the
            fan-in; or xavier_normal, with biases of zero, as in the Conv-TT-LSTM paper.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        padding: Padding = "zeros",
        *,
        start: Literal["uniform", "xavier_normal"] = "uniform",
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.input_conv = GridConv(in_channels, 4 * out_channels, kernel, padding)
        self.state_conv = GridConv(out_channels, 4 * out_channels, kernel, padding, bias=False)
        if start == "uniform":
            start_as_one(self.input_conv, self.state_conv)
        else:
            start_xavier_normal(self.input_conv, self.state_conv.weight)


@register("tt_conv_lstm", paper="Su et al. 2020, Convolutional Tensor-Train LSTM, arXiv:2002.09131")
class TTConvLSTM(LSTMRecurrence):
    """ConvLSTM whose convolution of the input is compressed by a classic tensor-train.

    As ConvLSTM, with the kernel W [4C,C_in,k,k] held as filters [R(0),k,k] and, for each factor of
    the channels, an array over T(i) and S(i), where 4C is the product of all T(i) and C_in that of
    all S(i) (Eq. 12-13 of the Conv-TT-LSTM paper). Weights start so that W and K are Xavier-normal
    together, biases at zero.

    Args:
        in_channels: channels of the frames.
        out_channels: channels C of the states and the output.
        kernel: odd side length of the convolutions.
        padding: boundary padding.
        order: N, number of factors of the kernel, the filters included; at least 2.
        ranks: R(0), ..., R(N−2); one number for all, or N−1 numbers.
        out_factors: T(1), ..., T(N−1), with product 4C; as equal as can be if None.
        in_factors: S(1), ..., S(N−1), with product C_in; as equal as can be if None.

    Raises:
        ValueError: if ranks or factors are not N−1 numbers, or factors have another product.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        padding: Padding = "zeros",
        *,
        order: int = 2,
        ranks: int | list[int] = 8,
        out_factors: list[int] | None = None,
        in_factors: list[int] | None = None,
    ) -> None:
        super().__init__()
        if order < 2:
            raise ValueError(f"order {order} must be at least 2: filters, and factors of channels")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.state_conv = GridConv(out_channels, 4 * out_channels, kernel, padding, bias=False)
        self.input_conv = TensorTrainConv(
            _factors("out_factors", out_factors, 4 * out_channels, order - 1),
            _factors("in_factors", in_factors, in_channels, order - 1),
            _ranks(ranks, order),
            kernel,
            padding,
        )
        fan_in = (in_channels + out_channels) * kernel**2
        deviation = (2 / (fan_in + 4 * out_channels * kernel**2)) ** 0.5
        nn.init.normal_(self.state_conv.weight, std=deviation)
        self.input_conv.start(deviation)


class TensorTrainConv(nn.Module):
    """Convolution of frames [B,C_in,H,W] whose kernel is held as a classic tensor-train.

    Args:
        out_factors: T(i), with product C_out.
        in_factors: S(i), as many, with product C_in.
        ranks: R(0), ..., as many.
        kernel: odd side length.
        padding: boundary padding.
    """

    def __init__(
        self,
        out_factors: Sequence[int],
        in_factors: Sequence[int],
        ranks: Sequence[int],
        kernel: int,
        padding: Padding,
    ) -> None:
        super().__init__()
        self.padding, self.ranks = padding, ranks
        self.filters = nn.Parameter(torch.empty(ranks[0], kernel, kernel))
        sizes = zip(pairwise([*ranks, 1]), out_factors, in_factors, strict=True)
        self.cores = nn.ParameterList(torch.empty(*pair, t, s) for pair, t, s in sizes)
        self.bias = nn.Parameter(torch.zeros(math.prod(out_factors), 1, 1))

    def start(self, deviation: float) -> None:
        """Draw all factors so that the elements of the kernel have this standard deviation."""
        share = deviation / math.prod(self.ranks) ** 0.5
        for factor in (self.filters, *self.cores):
            nn.init.normal_(factor, std=share ** (1 / (1 + len(self.cores))))

    def forward(self, x: Frame) -> Frame:
        """Convolve [B,C_in,H,W] → [B,C_out,H,W]."""
        x = pad_grid(x, self.filters.shape[-1] // 2, self.padding)
        return tensor_train_conv(x, self.filters, train_matrices(list(self.cores))) + self.bias


def _ranks(ranks: int | list[int], order: int) -> list[int]:
    ranks = [ranks] * (order - 1) if isinstance(ranks, int) else ranks
    if len(ranks) != order - 1 or min(ranks) < 1:
        raise ValueError(
            f"ranks {ranks} must be one number, or {order - 1} (the order less one), all positive"
        )
    return ranks


def _factors(name: str, given: list[int] | None, channels: int, count: int) -> list[int]:
    """Return `count` factors of a number of channels: those given, or as equal as can be."""
    if given is not None:
        if len(given) != count or math.prod(given) != channels or min(given) < 1:
            raise ValueError(f"{name} {given} must be {count} numbers with product {channels}")
        return given
    factors = []
    for left in range(count, 0, -1):
        divisors = [d for d in range(1, channels + 1) if channels % d == 0]
        nearest = partial(_distance, math.log(channels) / left)
        factors.append(min(divisors, key=nearest))
        channels //= factors[-1]
    return factors


def _distance(ideal: float, divisor: int) -> float:
    """Distance of a divisor from an ideal logarithm; rounded, so that equal ones are equal."""
    return round(abs(math.log(divisor) - ideal), 9)
