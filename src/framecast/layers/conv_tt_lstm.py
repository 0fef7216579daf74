"""Conv-TT-LSTM: an LSTM whose gates read a long history through a convolutional tensor-train.

Source: Convolutional Tensor-Train LSTM for Spatio-Temporal Learning (2020), section 3.2.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from framecast.base.shapes import Frame
from framecast.layers.blocks import GridConv, Padding, convolve
from framecast.layers.entry import register
from framecast.layers.gated import HoistedRecurrence, start_xavier_normal
from framecast.ops import conv_tensor_train, lstm_cell


class HistoryState(NamedTuple):
    """The last M hidden states, as the windows see them, and the cell state c.

    Attributes:
        windows: M sums over the hidden states of a window, [B,C(1)+...+C(N),H,W] each, ordered by
            time. The oldest are whole; the last D − 1 still wait for hidden states to come.
        c: cell state [B,C,H,W].
    """

    windows: tuple[Tensor, ...]
    c: Tensor


LONGEST = 1000
"""Hidden states that the gates read, at most: far beyond any that is trained, and soon refused."""


@register("conv_tt_lstm", paper="Su et al. 2020, Convolutional Tensor-Train LSTM, arXiv:2002.09131")
class ConvTTLSTM(HoistedRecurrence):
    """Higher-order convolutional LSTM: gates from the last M hidden states, by a tensor-train.

    H~(i) = P(i) ∗ [h(t−i), ..., h(t−i−D+1)] + b(i) for i = 1..N, with D = M − N + 1 (Eq. 10);
    i, f, o = σ(·), g = tanh(·) of W ∗ x + Σ_i G(1) ∗ ... ∗ G(i) ∗ H~(i) (Eq. 11);
    c' = f⊙c + i⊙g; h' = o⊙tanh(c'). Gate channels are in the order [i, f, o, g]. All hidden
    states before the first frame are zero. Weights start Xavier-normal, biases at zero.

    P(i) of a window is a sum over its hidden states. Each hidden state is convolved once, when
    it appears, for all the windows that it will enter, and added to them.

    Args:
        in_channels: channels of the frames.
        out_channels: channels C of the hidden states and the output.
        kernel: odd side length of W and P.
        padding: boundary padding.
        order: N, number of factors G, at least 1.
        history: M, number of past hidden states that the gates read, at least N.
        ranks: C(1), ..., C(N), channels of H~; one number for all, or N numbers.
        factor_kernel: odd side length of the factors G; as `kernel` if None. 1 leaves a plain
            tensor-train, an ablation of the paper.
        window: sliding, H~(i) sees D states from h(t−i) back; fixed, each H~(i) sees all M
            states (Eq. 26a), an ablation of the paper.
        bias: whether the convolutions, those of the windows too, add a learned constant to each
            channel.

    Raises:
        ValueError: if `history` is less than `order`, the ranks are not N, or a kernel is even.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        padding: Padding = "zeros",
        *,
        order: int = 3,
        history: int = 3,
        ranks: int | list[int] = 8,
        factor_kernel: int | None = None,
        window: Literal["sliding", "fixed"] = "sliding",
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        side = kernel if factor_kernel is None else factor_kernel
        self.ranks = _check_history(order, history, ranks, side)
        self.order, self.padding = order, padding
        self.whole = order if window == "sliding" else 1
        self.span = history - self.whole + 1
        streams = sum(self.ranks)
        channels = [4 * out_channels, *self.ranks]
        self.input_conv: GridConv = GridConv(in_channels, channels[0], kernel, padding, bias)
        self.window_conv = GridConv(out_channels, self.span * streams, kernel, padding, bias=False)
        self.window_bias = nn.Parameter(torch.zeros(streams, 1, 1)) if bias else None
        self.factors = nn.ParameterList(
            torch.empty(below, above, side, side) for below, above in pairwise(channels)
        )
        self._start()

    @torch.no_grad()
    def _start(self) -> None:
        start_xavier_normal(self.input_conv, self.factors[0])
        weight = self.window_conv.weight
        fan_in = self.span * weight[0].numel()
        for kernel in torch.split(weight.view(self.span, -1, *weight.shape[1:]), self.ranks, dim=1):
            kernel.normal_(std=(2 / (fan_in + kernel[0, :, 0].numel())) ** 0.5)
        for factor in self.factors[1:]:
            nn.init.xavier_normal_(factor)

    def initial_state(self, batch: int, height: int, width: int, **like: Any) -> HistoryState:
        """Return zeros (see `Recurrence`)."""
        size = (batch, sum(self.ranks), height, width)
        window = torch.zeros(size, **like)
        windows = (window,) * (self.whole + self.span - 1)
        return HistoryState(windows, super().initial_state(batch, height, width, **like))

    def update(self, projected: Tensor, state: HistoryState) -> tuple[Frame, HistoryState]:
        """One step from the convolved input [B,4C,H,W]."""
        gates = projected + conv_tensor_train(
            self._compressed(state.windows), list(self.factors), self._convolve
        )
        h, c = lstm_cell(gates, state.c)
        return h, HistoryState(self._extended(state.windows, h), c)

    def _compressed(self, windows: Sequence[Tensor]) -> list[Tensor]:
        """The preprocessed states H~(1), ..., H~(N) of the windows that are whole."""
        latest = list(reversed(windows[: self.whole])) * (self.order // self.whole)
        parts = [torch.split(w, self.ranks, dim=1)[i] for i, w in enumerate(latest)]
        if self.window_bias is None:
            return parts
        biases = torch.split(self.window_bias, self.ranks)
        return [part + bias for part, bias in zip(parts, biases, strict=True)]

    def _extended(self, windows: Sequence[Tensor], h: Tensor) -> tuple[Tensor, ...]:
        """Add a new hidden state to the windows that it enters, and leave the oldest window."""
        *entered, opened = self.window_conv(h).chunk(self.span, dim=1)
        waiting = windows[self.whole :]
        joined = [window + part for window, part in zip(waiting, entered, strict=True)]
        return (*windows[1 : self.whole], *joined, opened)

    def _convolve(self, frame: Tensor, kernel: Tensor) -> Tensor:
        return convolve(frame, kernel, self.padding)


def _check_history(order: int, history: int, ranks: int | list[int], side: int) -> list[int]:
    """Return N ranks, if they suit the order and all else does too."""
    if side < 1 or side % 2 == 0:
        raise ValueError(f"factor_kernel {side} must be odd and positive")
    if not 1 <= order <= history <= LONGEST:
        raise ValueError(
            f"order {order} must be at least 1, and history {history} at least the order and at "
            f"most {LONGEST}"
        )
    ranks = [ranks] * order if isinstance(ranks, int) else ranks
    if len(ranks) != order or min(ranks) < 1:
        raise ValueError(f"ranks {ranks} must be one number, or {order} (the order), all positive")
    return ranks
