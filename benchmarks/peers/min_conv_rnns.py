"""Minimal Convolutional RNNs: a training step of the Navier-Stokes networks, 20 + 5 frames.

The published ConvGRU is left out: its network decodes before its last residual and norm, and is
another one than the paper's, which ours is.
"""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.peers.checkout import load, ratio, step
from benchmarks.timing import interleave, seeded
from benchmarks.training_step import GRID, model_of
from framecast.frames.batch import Batch
from framecast.models import Forecaster
from framecast.models.unroll import Unrolling

LAYERS = {
    "conv_lstm": "ConvLSTM",
    "min_conv_gru": "MinConvGRU",
    "min_conv_lstm": "MinConvLSTM",
    "min_conv_exp_lstm": "MinConvExpLSTM",
}
CONTEXT, HORIZON = 20, 5


def rows(checkout: Path) -> list[dict[str, object]]:
    """Times of a step of theirs and of ours, in turns."""
    return [row(checkout, layer) for layer in LAYERS]


def row(checkout: Path, layer: str) -> dict[str, object]:
    """Times of one network, once outputs and loss are found equal."""
    ours = model_of(layer)
    theirs = published(checkout, layer, ours)
    window = torch.randn(1, CONTEXT + HORIZON, 1, *GRID, generator=seeded(1))
    batch, unrolling = Batch(window), Unrolling(context=CONTEXT)

    def our_loss() -> Tensor:
        return torch.stack([part.mean() for part in ours.losses(batch, unrolling)]).sum()

    def their_loss() -> Tensor:
        predictions: Tensor = theirs(window[:, :-1], tf_steps=CONTEXT)
        return (predictions - window[:, 1:]).square().mean()

    torch.testing.assert_close(our_loss(), their_loss(), rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        given = window[:, :CONTEXT]
        own = ours(given)[0]
        torch.testing.assert_close(own, theirs(given, tf_steps=CONTEXT), rtol=1e-3, atol=1e-3)
    times = interleave(
        {
            "ours": step(our_loss, torch.optim.Adam(ours.parameters(), foreach=True)),
            "theirs": step(their_loss, torch.optim.Adam(theirs.parameters(), foreach=True)),
        },
        seconds=5,
        fewest=5,
    )
    times_apart = times["theirs"].median, times["ours"].median
    return {"network": layer, **times, "theirs / ours": ratio(*times_apart)}


def published(checkout: Path, layer: str, ours: Forecaster) -> nn.Module:
    """Return their network with the weights of ours."""
    name, config = LAYERS[layer], ours.config
    folders = f"src/mcrnn/models/{name.lower()}", "src/mcrnn/utils"
    module = load(checkout, name.lower(), *folders, needs="hydra-core")
    network: nn.Module = getattr(module, name)(
        batch_size=1,
        input_size=1,
        hidden_sizes=config.blocks * len(ours.recurrences.layers),
        height=GRID[0],
        width=GRID[1],
        device=torch.get_default_device(),
        padding_mode=config.padding,
        norm={"_target_": "torch.nn.LayerNorm", "normalized_shape": list(GRID)},
    )
    network.load_state_dict(translate(ours.state_dict(), network.state_dict()))
    return network


def translate(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our weights under their names, in their order of the gates."""
    return {key: _weight(ours, key).view_as(weight) for key, weight in theirs.items()}


def _weight(ours: dict[str, Tensor], key: str) -> Tensor:
    if match := re.fullmatch(r"norms\.(\d+)\.(\w+)", key):
        return ours[f"recurrences.norms.{match[1]}.{match[2]}"]
    match = re.fullmatch(r"c\w+\.(\d+)\.conv\.\d\.(\w+)", key)
    if match is None:
        return ours[key]
    layer, kind = f"recurrences.layers.{match[1]}", match[2]
    if f"{layer}.conv.{kind}" in ours:
        return ours[f"{layer}.conv.{kind}"]
    joint: Any = [ours[f"{layer}.input_conv.{kind}"]]
    if kind == "weight":
        joint.append(ours[f"{layer}.state_conv.weight"])
    i, f, o, g = torch.cat(joint, dim=1 if kind == "weight" else 0).chunk(4)
    return torch.cat([g, i, f, o])
