"""Conv-TT-LSTM: a training step of its networks of 12 layers, and a forecast."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.peers.checkout import load, ratio, step
from benchmarks.timing import Timing, interleave, seeded
from framecast.frames.batch import Batch
from framecast.models import Forecaster
from framecast.models.unroll import Unrolling
from framecast.runs.published import translate_network

GRID, CONTEXT, HORIZON = (64, 64), 10, 10
NETWORKS: dict[str, dict[str, Any]] = {
    "ConvLSTM": {"cell": "convlstm"},
    "Conv-TT-LSTM, M = 3": {
        "cell": "convttlstm",
        "cell_params": {"order": 3, "steps": 3, "rank": 8},
    },
}


def rows(checkout: Path) -> list[dict[str, object]]:
    """Times of a step and of a forecast, theirs and ours, in turns."""
    return [row for name in NETWORKS for row in rows_of(checkout, name)]


def rows_of(checkout: Path, name: str) -> list[dict[str, object]]:
    """Times of one network, once its forecast and loss are found equal."""
    theirs, ours = networks(checkout, name)
    shape = (1, CONTEXT + HORIZON, 1, *GRID)
    window = torch.rand(shape, generator=seeded(1))
    batch, unrolling = Batch(window), Unrolling(context=CONTEXT, loss="l1_mse")

    def our_loss() -> Tensor:
        return torch.stack([part.mean() for part in ours.losses(batch, unrolling)]).sum()

    def their_forecast() -> Tensor:
        frames: Tensor = theirs(window[:, :CONTEXT], CONTEXT, HORIZON, CONTEXT + HORIZON - 1)
        return frames

    def their_loss() -> Tensor:
        difference = their_forecast() - window[:, 1:]
        return difference.abs().mean() + difference.square().mean()

    torch.testing.assert_close(our_loss(), their_loss(), rtol=1e-4, atol=1e-6)
    steps = {
        "ours": step(our_loss, torch.optim.Adam(ours.parameters(), foreach=True)),
        "theirs": step(their_loss, torch.optim.Adam(theirs.parameters(), foreach=True)),
    }
    ahead = {"ours": lambda: forecast(ours, window[:, :CONTEXT]), "theirs": their_forecast}
    with torch.inference_mode():
        torch.testing.assert_close(ahead["ours"](), ahead["theirs"](), rtol=1e-3, atol=1e-4)
        forecasts = interleave(ahead, seconds=5)
    return [_row(name, "training step", interleave(steps, seconds=10)),
            _row(name, "forecast", forecasts)]  # fmt: skip


def networks(checkout: Path, name: str) -> tuple[Any, Forecaster]:
    """Their network as the paper has it, and ours with its weights."""
    torch.manual_seed(0)
    module = load(checkout, "convlstmnet", "code")
    theirs = module.ConvLSTMNet(
        input_channels=1,
        layers_per_block=[3, 3, 3, 3],
        hidden_channels=[32, 48, 48, 32],
        skip_stride=2,
        kernel_size=5,
        **NETWORKS[name],
    )
    config, weights = translate_network(theirs.state_dict(), "linear")
    ours = Forecaster(config, 1)
    ours.load_state_dict(weights)
    return theirs, ours


def forecast(model: Forecaster, given: Tensor) -> Tensor:
    """Predictions of all frames after the first, in closed loop beyond the given ones."""
    predictions, state = model(given)
    frames = list(predictions.unbind(1))
    for _ in range(HORIZON - 1):
        frame, state = model.step(frames[-1], state)
        frames.append(frame)
    return torch.stack(frames, dim=1)


def _row(network: str, what: str, times: dict[str, Timing]) -> dict[str, object]:
    longer = ratio(times["theirs"].median, times["ours"].median)
    return {"network": network, "what": what, **times, "theirs / ours": longer}
