"""The published ConvLSTM and Conv-TT-LSTM cells and networks: the same outputs and gradients.

Arrays in tests/data/conv_tt_lstm come from what the paper's authors published.
"""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from conftest import DATA, close
from framecast import DataConfig, Experiment, UserError, load_checkpoint, rollout
from framecast.base.config import load_config
from framecast.cli import main
from framecast.layers import ConvLSTM, ConvTTLSTM
from framecast.models import Forecaster, ForecasterConfig
from framecast.runs.published import (
    PublishedNetwork,
    import_published,
    translate_cell,
    translate_network,
)
from small import Bomb

CELLS = {
    "convlstm_k3": ConvLSTM(3, 4, 3),
    "convttlstm_o3s3_k3": ConvTTLSTM(3, 4, 3, ranks=4),
    "convttlstm_o3s5_k5": ConvTTLSTM(3, 4, 5, history=5, ranks=4),
}
NETWORKS = ("convlstm_k3_skip2", "convttlstm_s5_k3_skip2")


def arrays(name):
    with np.load(DATA / "conv_tt_lstm" / f"{name}.npz") as file:
        return {key: torch.from_numpy(value) for key, value in file.items()}


def part(of, prefix):
    return {k.removeprefix(prefix): v for k, v in of.items() if k.startswith(prefix)}


def check(model, run, given, gradients):
    frames = given["input"].clone().requires_grad_()
    model.zero_grad()
    output = run(frames)
    (output * given["loss_weights"]).sum().backward()
    close(output, given["f64/output"], 1e-4)
    close(frames.grad, given["grad_input"], 1e-4)
    for key, parameter in model.named_parameters():
        close(parameter.grad, gradients[key], 1e-4)


def without_shared_biases(gradients):
    """Two biases that are only ever added have the gradient of their sum, and one counts."""
    return {
        key: torch.zeros_like(value) if is_shared_bias(key, gradients) else value
        for key, value in gradients.items()
    }


def is_shared_bias(key, keys):
    *cell, layer, kind = key.split(".")
    following = ".".join([*cell, str(int(layer) + 1), kind]) if layer.isdigit() else ""
    return cell[-1:] == ["layers"] and kind == "bias" and following in keys


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_is_the_published_one(name):
    given, layer = arrays(f"cell_{name}"), CELLS[name]
    layer.load_state_dict(translate_cell(part(given, "param/")))
    gradients = translate_cell(without_shared_biases(part(given, "grad/")))
    check(layer, lambda frames: layer(frames)[0], given, gradients)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_the_published_one(name):
    """Four given frames, then its own predictions: six of them, of frames 2 to 7."""
    given = arrays(f"net_{name}")
    config, weights = translate_network(part(given, "param/"), "sigmoid")
    model = Forecaster(config, 1)
    model.load_state_dict(weights)
    _, gradients = translate_network(without_shared_biases(part(given, "grad/")), "sigmoid")

    check(model, lambda frames: six_predictions(model, frames), given, gradients)


def six_predictions(model, frames):
    predictions, state = model(frames)
    outputs = list(predictions.unbind(1))
    for _ in range(2):
        frame, state = model.step(outputs[-1], state)
        outputs.append(frame)
    return torch.stack(outputs, 1)


def published_cell(layer):
    """Weights of one of our layers under the names of a published cell."""
    x, biases = layer.input_conv.weight, layer.input_conv.bias
    if isinstance(layer, ConvLSTM):
        whole = {"conv.weight": torch.cat([x, layer.state_conv.weight], dim=1)}
        return whole if biases is None else whole | {"conv.bias": biases}
    order = layer.order
    factors = [torch.cat([x, layer.factors[0]], dim=1), *layer.factors[1:]]
    windows = layer.window_conv.weight.unflatten(0, (layer.span, -1)).split(layer.ranks, dim=1)
    cell = {f"layers.{order - 1 - i}.weight": factor for i, factor in enumerate(factors)}
    for i, window in enumerate(windows):
        cell[f"layers_.{order - 1 - i}.weight"] = window.flip(0).movedim(0, -1)
    if biases is not None:
        split = layer.window_bias.flatten().split(layer.ranks)
        cell |= {f"layers_.{order - 1 - i}.bias": bias for i, bias in enumerate(split)}
        cell |= {f"layers.{i}.bias": torch.zeros(layer.ranks[0]) for i in range(order - 1)}
        cell[f"layers.{order - 1}.bias"] = biases
    return cell


def published_network(model):
    """Weights of one of our networks under the names of a published one."""
    weights = {f"layers.output.{k}": v for k, v in model.decoder.state_dict().items()}
    layers = iter(model.recurrences.layers)
    for block, number in enumerate(model.recurrences.blocks):
        for place in range(number):
            cell = published_cell(next(layers))
            weights |= {f"layers.b{block}l{place}.{k}": v.detach() for k, v in cell.items()}
    return weights


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("layer", "options"),
    [("conv_lstm", {}), ("conv_tt_lstm", {"order": 2, "history": 3, "ranks": 2})],
)
@pytest.mark.parametrize(
    ("depth", "stack", "stack_options"),
    [
        ([1, 2, 1], "skip", {"skip_stride": 1}),
        ([2, 1, 1, 2], "skip", {"skip_stride": 2}),
        ([1, 1, 1, 1], "skip", {"skip_stride": 3}),
        ([2, 1], "plain", {}),
    ],
)
def test_layers_skips_and_biases_follow_from_the_weights(
    layer, options, bias, depth, stack, stack_options
):
    config = ForecasterConfig(
        layer,
        options if bias else options | {"bias": False},
        depth=depth,
        hidden=[4, 5, 3, 4][: len(depth)],
        stack=stack,
        stack_options=stack_options,
        norm="none",
        encoder="none",
    )
    model = Forecaster(config, 2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    found, weights = translate_network(published_network(model), "linear")
    assert found == config
    imported = Forecaster(found, 2)
    imported.load_state_dict(weights)
    frames = torch.randn(2, 5, 2, 6, 7)
    close(imported(frames)[0], model(frames)[0], 1e-6)


def test_an_output_without_bias_adds_nothing():
    model = Forecaster(ForecasterConfig("conv_lstm", stack="skip", norm="none", encoder="none"), 1)
    published = published_network(model)
    del published["layers.output.bias"]
    _, weights = translate_network(published, "linear")
    assert weights["decoder.bias"].eq(0).all()


@pytest.fixture
def videos(tmp_path):
    file = tmp_path / "videos.npy"
    np.save(file, np.random.default_rng(0).random((8, 9, 1, 12, 10), np.float32))
    return file


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_import_makes_a_run_that_forecasts(tmp_path, videos, suffix):
    given = arrays("net_convttlstm_s5_k3_skip2")
    weights = {f"module.{k}": v for k, v in part(given, "param/").items()}
    file = tmp_path / f"state{suffix}"
    (torch.save if suffix == ".pt" else save_file)(weights, file)
    about = ["--data.path", str(videos), "--output", "sigmoid"]
    assert main(["import", str(file), "--out", str(tmp_path / "run"), *about]) == 0

    checkpoint = load_checkpoint(tmp_path / "run")
    frames = checkpoint.statistics.denormalise(given["input"])
    forecast = torch.stack(list(rollout(checkpoint, frames, 3)), 1)
    close(checkpoint.statistics.normalise(forecast), given["f64/output"][:, 3:], 1e-4)
    experiment = load_config(Experiment, tmp_path / "run" / "config.yaml")
    assert experiment.model == checkpoint.model.config
    assert experiment.data.path == str(videos)
    written = tmp_path / "forecast.npz"
    steps = ["--steps", "2", "--context", "4", "--out", str(written)]
    assert main(["forecast", str(tmp_path / "run"), str(videos), *steps]) == 0
    assert written.exists()


def test_what_is_no_published_network_is_refused_and_leaves_nothing(tmp_path, videos):
    network = PublishedNetwork(DataConfig(path=str(videos)))
    out = tmp_path / "run"

    def refused(content, message):
        torch.save(content, tmp_path / "state.pt")
        with pytest.raises(UserError, match=message):
            import_published(tmp_path / "state.pt", network, out)
        assert not out.exists()

    weights = part(arrays("net_convlstm_k3_skip2"), "param/")
    refused({"weights": weights}, "not a state dict")
    refused({}, "not a state dict")
    refused({0: torch.ones(2)}, "not a state dict: it must map names to tensors")
    refused({"conv.weight": torch.ones(2)}, "not a published ConvLSTM")
    refused({k: v[:1] for k, v in weights.items()}, "not a published ConvLSTM")
    refused({"bomb": Bomb(tmp_path / "exploded")}, "cannot be read as")
    assert not (tmp_path / "exploded").exists()
    for damaged in (b"", b"\x80\x02h\x05.", b"\x80\x02]K\x01K\x02s.", b"PK\3\4"):
        (tmp_path / "damaged.pt").write_bytes(damaged)
        with pytest.raises(UserError, match="cannot be read as weights"):
            import_published(tmp_path / "damaged.pt", network, out)
    out.mkdir()
    with pytest.raises(UserError, match="exists already"):
        import_published(tmp_path / "state.pt", network, out)
