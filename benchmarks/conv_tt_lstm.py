"""Conv-TT-LSTM and ConvLSTM networks of 12 layers, beside their direct implementations.

The direct form of Conv-TT-LSTM stacks the last hidden states and convolves each window anew at
every step; that of ConvLSTM convolves [x, h] at every step. Both keep PyTorch's default layout, and
have the same weights as the network that they stand beside.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.forecasting import forecast_row
from benchmarks.timing import interleave, print_table
from framecast.layers import ConvLSTM, ConvTTLSTM
from framecast.models import Forecaster, ForecasterConfig
from framecast.models.cost import multiplications
from framecast.models.losses import measure
from framecast.train.allocator import kept_memory

GRID, FRAMES = (64, 64), 20
LAYERS: dict[str, dict[str, Any]] = {
    "conv_lstm": {"layer": "conv_lstm"},
    "conv_tt_lstm, M = 3": {"layer": "conv_tt_lstm", "options": {"order": 3, "history": 3}},
    "conv_tt_lstm, M = 5": {"layer": "conv_tt_lstm", "options": {"order": 3, "history": 5}},
}
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def run() -> dict[str, Any]:
    """All measurements, after the gate."""
    check()
    with kept_memory():
        steps = [row for name in LAYERS for row in training_rows(name)]
    title = "Training step, 12 layers, 5×5, 64×64, 20 frames, batch 1: forward, backward, Adam"
    print_table(title, steps)
    forecast = [forecast_row(network(name), (32, 32), network=name) for name in LAYERS]
    print_table("Forecasting in closed loop: time of a frame", forecast)
    return {"training": steps, "forecast": forecast}


def check() -> None:
    """The network and its direct form give the same predictions and gradients."""
    for name in LAYERS:
        model = network(name, depth=4)
        window = torch.randn(1, 7, 1, 16, 16, generator=torch.Generator().manual_seed(1))
        own = gradients(model, model, window)
        direct = gradients(model, DirectNetwork(model), window)
        for a, b in zip(own, direct, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5 * b.abs().max().item())


def gradients(model: nn.Module, run: Callable[[Tensor], Any], window: Tensor) -> list[Tensor]:
    """Gradients of the loss with respect to all weights."""
    model.zero_grad()
    step_loss(run, window).backward()  # type: ignore[no-untyped-call]
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def step_loss(run: Callable[[Tensor], Any], window: Tensor) -> Tensor:
    """Loss of all predictions of a window [B,T,C,H,W], from its true frames."""
    predictions = run(window[:, :-1])[0]
    return measure(predictions, window[:, 1:], None, None, "l1_mse").mean()


def network(name: str, depth: int = 12) -> Forecaster:
    """The network of the paper, with 32, 48, 48 and 32 channels in its blocks."""
    torch.manual_seed(0)
    shape: dict[str, Any] = {"stack": "skip", "encoder": "none", "norm": "none", "kernel": 5}
    hidden = [32, 48, 48, 32]
    return Forecaster(ForecasterConfig(**shape, depth=depth, hidden=hidden, **LAYERS[name]), 1)


class DirectNetwork:
    """The same network and weights, written down as its equations stand."""

    def __init__(self, model: Forecaster) -> None:
        layers: Any = model.recurrences.layers
        self.decoder: Any = model.decoder
        self.block = len(layers) // 4
        self.cells: list[Any] = [
            DirectTT(x) if isinstance(x, ConvTTLSTM) else DirectLSTM(x) for x in layers
        ]

    def __call__(self, frames: Tensor) -> tuple[Tensor, None]:
        """Predict from each of the frames [B,T,C,H,W], frame after frame."""
        for cell in self.cells:
            cell.start(frames[:, 0])
        return torch.stack([self._step(frame) for frame in frames.unbind(1)], dim=1), None

    def _step(self, x: Tensor) -> Tensor:
        ends: list[Tensor] = []
        for place, cell in enumerate(self.cells, start=1):
            x = cell.step(x)
            if place % self.block == 0:
                ends.append(x)
                x = torch.cat([x, ends[-3]], dim=1) if len(ends) > 2 else x
        return F.conv2d(x, self.decoder.weight, self.decoder.bias)


class DirectLSTM:
    """ConvLSTM: one convolution over [x, h] a step."""

    def __init__(self, layer: ConvLSTM) -> None:
        input_conv: Any = layer.input_conv
        self.width, self.bias = layer.out_channels, input_conv.bias
        self.halves = (input_conv.weight, layer.state_conv.weight)

    def start(self, x: Tensor) -> None:
        """Begin with zero states, and one kernel in the default layout."""
        self.kernel = torch.cat([half.contiguous() for half in self.halves], dim=1)
        self.h = self.c = x.new_zeros(len(x), self.width, *x.shape[-2:])

    def step(self, x: Tensor) -> Tensor:
        """One frame."""
        self.h, self.c = lstm(convolve(torch.cat([x, self.h], 1), self.kernel, self.bias), self.c)
        return self.h


class DirectTT:
    """Conv-TT-LSTM: windows stacked from the history, each convolved anew at every step."""

    def __init__(self, layer: ConvTTLSTM) -> None:
        self.layer, self.order, self.span = layer, layer.order, layer.span

    def start(self, x: Tensor) -> None:
        """Begin with zero states, and kernels of whole windows in the default layout."""
        layer = self.layer
        weight = layer.window_conv.weight
        weight = weight.view(self.span, -1, *weight.shape[1:])
        windows = torch.split(weight, layer.ranks, dim=1)
        self.windows = [w.transpose(0, 1).flatten(1, 2).contiguous() for w in windows]
        bias = cast(Tensor, layer.window_bias)  # these layers are built with biases
        self.biases = torch.split(bias.flatten(), layer.ranks)
        first, *others = [factor.contiguous() for factor in layer.factors]
        self.last = torch.cat([layer.input_conv.weight.contiguous(), first], dim=1)
        self.factors = others
        zeros = x.new_zeros(len(x), layer.out_channels, *x.shape[-2:])
        self.history, self.c = [zeros] * (self.order + self.span - 1), zeros

    def step(self, x: Tensor) -> Tensor:
        """One frame."""
        total: Tensor | None = None
        for i in reversed(range(self.order)):
            window = torch.cat(self.history[i : i + self.span], dim=1)
            state = convolve(window, self.windows[i], self.biases[i])
            total = state if total is None else total + state
            if i > 0:
                total = convolve(total, self.factors[i - 1])
        assert total is not None
        gates = convolve(torch.cat([x, total], dim=1), self.last, self.layer.input_conv.bias)
        h, self.c = lstm(gates, self.c)
        self.history = [h, *self.history[:-1]]
        return h


def convolve(x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolve with zeros beyond the edges."""
    return F.conv2d(x, kernel, bias, padding=kernel.shape[-1] // 2)


def lstm(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """One step of an LSTM in PyTorch's own operations."""
    i, f, o, g = gates.chunk(4, dim=1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def training_rows(name: str) -> list[dict[str, object]]:
    """A training step of the network in both precisions, and of its direct form in float32."""
    model = network(name)
    direct = training_step(model, DirectNetwork(model), "float32")
    own = {p: training_step(model, model, p) for p in PRECISIONS}
    times = interleave({"direct": direct, **own}, seconds=10, fewest=3)
    work = 6 * (FRAMES - 1) * multiplications(model, *GRID)  # a product and a sum, three passes
    return [
        {
            "network": name,
            "precision": precision,
            "step": times[precision],
            "direct form, float32": times["direct"],
            "direct / step": f"{times['direct'].median / times[precision].median:.2f}",
            "share of peak": f"{work / times[precision].median / peak(dtype):.0%}",
        }
        for precision, dtype in PRECISIONS.items()
    ]


def training_step(
    model: nn.Module, run: Callable[[Tensor], Any], precision: str
) -> Callable[[], None]:
    """One step on a random window: forward, backward, Adam."""
    optimiser = torch.optim.Adam(model.parameters(), lr=0, fused=True)
    window = torch.rand(1, FRAMES, 1, *GRID)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            loss = step_loss(run, window)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad()

    return step


def peak(dtype: torch.dtype) -> float:
    """Operations a second of the fastest convolution that was found: 32 channels to 128, 5×5."""
    frame = torch.randn(1, 32, *GRID, dtype=dtype).contiguous(memory_format=torch.channels_last)
    kernel = torch.randn(128, 32, 5, 5, dtype=dtype).contiguous(memory_format=torch.channels_last)
    timing = interleave({"peak": lambda: convolve(frame, kernel)}, seconds=1)["peak"]
    return 2 * kernel.numel() * frame[0, 0].numel() / timing.low
