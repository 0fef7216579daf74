"""Networks published with the Conv-TT-LSTM paper: from their weights to a run folder.

Their names, and how they differ from this project's, are known here and nowhere else. A network
is `layers.bXlY` (layer Y of block X) and `layers.output`; a ConvLSTM cell is one convolution over
[x, h]; a Conv-TT-LSTM cell has, for each window l from the oldest, a preprocessing convolution
`layers_.l` over [C,k,k,D], whose last axis runs from the oldest state, and a factor `layers.l`, of
which the last also reads x. The gates are in the order of this project. Cells may have no biases,
blocks may have unequal numbers of layers, and how far skips lead back follows from the channels.
"""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor

from framecast.base.config import dump_config
from framecast.base.errors import UserError
from framecast.base.whole import PathLike, whole, write_text
from framecast.datasets.config import DataConfig
from framecast.frames.statistics import Statistics
from framecast.models import Forecaster, ForecasterConfig
from framecast.models.spec import Ports
from framecast.readers.guard import check_file, guarded
from framecast.runs.checkpoint import BEST, LAST, Checkpoint
from framecast.runs.config import TrainingConfig
from framecast.runs.experiment import Experiment

Weights = Mapping[str, Tensor]

_CELL = re.compile(r"layers\.b(\d+)l(\d+)\.(.+)")


@dataclass(frozen=True)
class PublishedNetwork:
    """What the weights do not say.

    Attributes:
        data: the frames that the network forecasts, as in training; their training part is
            read for channels, grid, and scale.
        output: function after the last convolution: linear, or sigmoid (KTH).
        context: frames given before each forecast, at least 1.
        horizon: lead times, at least 1.
    """

    data: DataConfig = field(default_factory=DataConfig)
    output: Literal["linear", "sigmoid"] = "linear"
    context: int = 10
    horizon: int = 10


def import_published(file: PathLike, network: PublishedNetwork, out: PathLike) -> Path:
    """Turn a published state dict into a run folder that forecasts.

    Args:
        file: a state dict, as `.safetensors`, or as a PyTorch file that holds tensors only.
        network: what the weights do not say.
        out: the run folder; must be new.

    Returns:
        The run folder.

    Raises:
        UserError: if `out` exists, the file cannot be read or would run code, or holds no network
            that is known.
    """
    out = Path(out)
    if os.path.lexists(out):
        raise UserError(f"{out} exists already: choose another --out")
    weights = read_weights(Path(file))
    try:
        config, translated = translate_network(weights, network.output)
        training = TrainingConfig(context=network.context, horizon=network.horizon)
        frames = network.data.open().splits().train
        statistics = Statistics.of(frames, network.data.normalise)
        spec = network.data.describe(frames, statistics)
        model = Forecaster(config, Ports.of(spec), grid=frames.grid)
        model.load_state_dict(translated)
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{file} is not a published ConvLSTM or Conv-TT-LSTM network for these frames: {error}"
        ) from error
    sizes = (network.context, network.horizon)
    checkpoint = Checkpoint(model, statistics, spec, *sizes, epoch=0, loss=float("inf"))
    with whole(out) as folder:
        folder.mkdir()
        checkpoint.save(folder / BEST)
        checkpoint.save(folder / LAST)
        write_text(folder / "config.yaml", dump_config(Experiment(network.data, config, training)))
    return out


def read_weights(file: Path) -> dict[str, Tensor]:
    """Read a state dict, without running any code of it.

    Raises:
        UserError: if the file is missing, damaged, would run code, or is no state dict.
    """
    check_file(file)
    hint = "needed is a .safetensors file, or a PyTorch file of tensors alone"
    with guarded(file, "cannot be read as weights", hint):
        if file.suffix == ".safetensors":
            content = load_file(file)
        else:
            content = torch.load(file, map_location="cpu", weights_only=True)
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(
            isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
        )
    ):
        raise UserError(f"{file} is not a state dict: it must map names to tensors, and no more")
    return {key.removeprefix("module."): value.float() for key, value in content.items()}


def translate_network(
    published: Weights, output: Literal["linear", "sigmoid"]
) -> tuple[ForecasterConfig, dict[str, Tensor]]:
    """Return the configuration of a published network, and its weights under our names.

    Raises:
        KeyError, ValueError: if the names or shapes are not those of such a network.
    """
    cells: dict[tuple[int, int], dict[str, Tensor]] = {}
    for key, value in published.items():
        if match := _CELL.fullmatch(key):
            cells.setdefault((int(match[1]), int(match[2])), {})[match[3]] = value
    decoder = published["layers.output.weight"]
    none = decoder.new_zeros(decoder.shape[0])
    ours = {"decoder.weight": decoder, "decoder.bias": published.get("layers.output.bias", none)}
    for layer, place in enumerate(sorted(cells)):
        translated = translate_cell(cells[place])
        ours |= {f"recurrences.layers.{layer}.{k}": v for k, v in translated.items()}
    name, options, kernel = _cell_options(cells[0, 0])
    config = ForecasterConfig(
        layer=name,
        options=options,
        **_stack(cells, decoder.shape[1]),
        kernel=kernel,
        norm="none",
        encoder="none",
        output=output,
    )
    return config, ours


def translate_cell(cell: Weights) -> dict[str, Tensor]:
    """Return the weights of a published cell (or their gradients) under our names."""
    if "conv.weight" in cell:
        hidden = _hidden(cell)
        x, h = cell["conv.weight"].tensor_split([cell["conv.weight"].shape[1] - hidden], dim=1)
        biases = {"input_conv.bias": cell["conv.bias"]} if "conv.bias" in cell else {}
        return {"input_conv.weight": x, "state_conv.weight": h} | biases
    order = _order(cell)
    factors = [cell[f"layers.{order - i}.weight"] for i in range(1, order + 1)]
    windows = [cell[f"layers_.{order - i}.weight"] for i in range(1, order + 1)]
    rank = windows[0].shape[0]
    x, factors[0] = factors[0].tensor_split([factors[0].shape[1] - rank], dim=1)
    # [C(i),C,k,k,D] each, oldest state first → [D·ΣC(i),C,k,k], newest first
    window = torch.cat([w.movedim(-1, 0).flip(0) for w in windows], dim=1).flatten(0, 1)
    ours = {"input_conv.weight": x, "window_conv.weight": window}
    ours |= {f"factors.{i}": factor for i, factor in enumerate(factors)}
    if f"layers.{order - 1}.bias" in cell:
        ours["input_conv.bias"] = cell[f"layers.{order - 1}.bias"]
        ours["window_bias"] = torch.cat(_window_biases(cell, order))[:, None, None]
    return ours


def _stack(cells: Mapping[tuple[int, int], Weights], decoded: int) -> dict[str, Any]:
    """Keys of a configuration that say how cells, by block and place, are stacked.

    Args:
        cells: weights of each.
        decoded: channels that the last convolution reads.
    """
    numbers = Counter(block for block, _ in cells)
    firsts = [cells[block, 0] for block in sorted(numbers)]
    widths = [_hidden(cell) for cell in firsts]
    read = [translate_cell(cell)["input_conv.weight"].shape[1] for cell in firsts[1:]]
    stride = _skip_stride(widths, [*read, decoded])
    sizes = {"depth": [numbers[block] for block in sorted(numbers)], "hidden": widths}
    if stride is None:
        return sizes | {"stack": "plain"}
    return sizes | {"stack": "skip", "stack_options": {"skip_stride": stride}}


def _skip_stride(widths: Sequence[int], read: Sequence[int]) -> int | None:
    """By how many blocks skips lead back; None if no block's output is wider than the block.

    Args:
        widths: channels of each block.
        read: channels that are read of each block's output, joined by that of an earlier block.
    """
    pairs = enumerate(zip(read, widths, strict=True))
    return next((block for block, (joined, width) in pairs if joined > width), None)


def _window_biases(cell: Weights, order: int) -> list[Tensor]:
    """Theirs are two for all but the oldest window, of P(i) and G(i + 1): only the sum counts."""
    biases = [cell[f"layers_.{order - i}.bias"] for i in range(1, order + 1)]
    for i in range(1, order):
        biases[i - 1] = biases[i - 1] + cell[f"layers.{order - 1 - i}.bias"]
    return biases


def _cell_options(cell: Weights) -> tuple[str, dict[str, Any], int]:
    """Name of the layer, its options, and its kernel."""
    options = {} if any(key.endswith("bias") for key in cell) else {"bias": False}
    if "conv.weight" in cell:
        return "conv_lstm", options, cell["conv.weight"].shape[-1]
    rank, _, kernel, _, span = cell["layers_.0.weight"].shape
    order = _order(cell)
    sizes = {"order": order, "history": order + span - 1, "ranks": rank}
    return "conv_tt_lstm", sizes | options, kernel


def _order(cell: Weights) -> int:
    return sum(1 for key in cell if re.fullmatch(r"layers\.\d+\.weight", key))


def _hidden(cell: Weights) -> int:
    one = "conv.weight" in cell
    last = "conv.weight" if one else f"layers.{_order(cell) - 1}.weight"
    return cell[last].shape[0] // 4
