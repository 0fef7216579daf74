"""ConvLSTM (Shi et al., 2015), and with a compressed convolution of the input."""

import math
from dataclasses import dataclass
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


@dataclass(frozen=True)
class TensorTrain:
    """How the convolution of the input is compressed, as a classic tensor-train.

    The kernel W [4C,C_in,k,k] is held as filters [R(0),k,k] and, for each factor of the channels,
    an array over T(i) and S(i), where 4C is the product of all T(i) and C_in that of all S(i)
    (Eq. 12-13 of the Conv-TT-LSTM paper).

    Attributes:
        order: N, number of factors of the kernel, the filters included; at least 2.
        ranks: R(0), ..., R(N−2); one number for all, or N−1 numbers; all at least 1.
        out_factors: T(1), ..., T(N−1), with product 4C; as equal as can be if None.
        in_factors: S(1), ..., S(N−1), with product C_in; as equal as can be if None.

    Raises:
        ValueError: if the order is less than 2, or the ranks are not N−1 positive numbers.
    """

    order: int = 2
    ranks: int | list[int] = 8
    out_factors: list[int] | None = None
    in_factors: list[int] | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.order <= 64:  # channels have fewer than 64 factors above 1
            raise ValueError(
                f"order {self.order} must be 2 to 64: filters, and factors of channels"
            )
        if len(self.all_ranks) != self.order - 1 or min(self.all_ranks) < 1:
            raise ValueError(
                f"ranks {self.ranks} must be one number, or {self.order - 1} (the order less one), "
                "all positive"
            )

    @property
    def all_ranks(self) -> list[int]:
        """One rank for each pair of neighbouring factors."""
        return [self.ranks] * (self.order - 1) if isinstance(self.ranks, int) else self.ranks


@register("conv_lstm", paper="Shi et al. 2015, Convolutional LSTM Network, arXiv:1506.04214")
class ConvLSTM(HoistedRecurrence):
    """Convolutional LSTM: four gates from the input and the hidden state, one at a time.

    i, f, o = σ(·), g = tanh(·) of W ∗ [x, h]; c' = f⊙c + i⊙g; h' = o⊙tanh(c').
    Gate channels are in the order [i, f, o, g]. The first state is zero.

    Args:
        in_channels: channels of the frames.
        out_channels: channels C of the states and the output.
        kernel: odd side length of the convolutions.
        padding: boundary padding.
        initialisation: how the weights are drawn: uniform, within the inverse square root of the
            fan-in; or xavier_normal, with biases of zero, as in the Conv-TT-LSTM paper. None:
            uniform, or xavier_normal beside `tensor_train`, whose factors know no other.
        tensor_train: how the convolution of the input is compressed; None: not at all. No
            published network stands behind it: the Conv-TT-LSTM paper only compares with it.
        bias: whether the convolutions add a learned constant to each channel.

    Raises:
        ValueError: if factors have another product than the channels, or initialisation is
            uniform beside `tensor_train`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        padding: Padding = "zeros",
        *,
        initialisation: Literal["uniform", "xavier_normal"] | None = None,
        tensor_train: TensorTrain | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        gates = 4 * out_channels
        self.input_conv: GridConv | TensorTrainConv
        if tensor_train is None:
            self.input_conv = GridConv(in_channels, gates, kernel, padding, bias)
        else:
            sizes = (in_channels, gates, kernel, padding)
            self.input_conv = TensorTrainConv(*sizes, tensor_train, bias)
        self.state_conv = GridConv(out_channels, gates, kernel, padding, bias=False)
        self._start(initialisation)

    def _start(self, initialisation: Literal["uniform", "xavier_normal"] | None) -> None:
        if isinstance(self.input_conv, GridConv):
            if initialisation == "xavier_normal":
                start_xavier_normal(self.input_conv, self.state_conv.weight)
            else:
                start_as_one(self.input_conv, self.state_conv)
            return
        if initialisation == "uniform":
            raise ValueError("initialisation uniform does not suit tensor_train: use xavier_normal")
        out, _, side, _ = self.state_conv.weight.shape
        fan_in = (self.in_channels + self.out_channels) * side**2
        deviation = (2 / (fan_in + out * side**2)) ** 0.5
        nn.init.normal_(self.state_conv.weight, std=deviation)
        self.input_conv.start(deviation)

    def initial_state(self, batch: int, height: int, width: int, **like: Any) -> LSTMState:
        """Return zeros (see `Recurrence`)."""
        zeros = super().initial_state(batch, height, width, **like)
        return LSTMState(zeros, zeros)

    def update(self, projected: Tensor, state: LSTMState) -> tuple[Frame, LSTMState]:
        """One LSTM step from the convolved input [B,4C,H,W]."""
        h, c = lstm_cell(projected + self.state_conv(state.h), state.c)
        return h, LSTMState(h, c)


class TensorTrainConv(nn.Module):
    """Convolution of frames [B,C_in,H,W] whose kernel is held as a classic tensor-train.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        kernel: odd side length.
        padding: boundary padding.
        train: factors and ranks.
        bias: whether a learned constant is added to each channel.

    Raises:
        ValueError: if factors have another product than the channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        padding: Padding,
        train: TensorTrain,
        bias: bool = True,
    ) -> None:
        super().__init__()
        count, self.ranks = train.order - 1, train.all_ranks
        outs = _factors("out_factors", train.out_factors, out_channels, count)
        ins = _factors("in_factors", train.in_factors, in_channels, count)
        self.padding = padding
        self.filters = nn.Parameter(torch.empty(self.ranks[0], kernel, kernel))
        sizes = zip(pairwise([*self.ranks, 1]), outs, ins, strict=True)
        self.cores = nn.ParameterList(torch.empty(*pair, t, s) for pair, t, s in sizes)
        self.bias = nn.Parameter(torch.zeros(out_channels, 1, 1)) if bias else None

    def start(self, deviation: float) -> None:
        """Draw all factors so that the elements of the kernel have this standard deviation."""
        share = deviation / math.prod(self.ranks) ** 0.5
        for factor in (self.filters, *self.cores):
            nn.init.normal_(factor, std=share ** (1 / (1 + len(self.cores))))

    def forward(self, x: Frame) -> Frame:
        """Convolve [B,C_in,H,W] → [B,C_out,H,W]."""
        x = pad_grid(x, self.filters.shape[-1] // 2, self.padding)
        result = tensor_train_conv(x, self.filters, train_matrices(list(self.cores)))
        return result if self.bias is None else result + self.bias


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
