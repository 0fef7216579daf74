"""Checkpoints: everything in one file, whole or not there, and no code."""

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from framecast.base.errors import UserError
from framecast.base.whole import whole
from framecast.frames.frames import Channel, Coordinate, Frames
from framecast.frames.roles import FrameSpec
from framecast.frames.statistics import Statistics
from framecast.layers import layer_names
from framecast.models import Forecaster, ForecasterConfig
from framecast.runs.checkpoint import Checkpoint, load_checkpoint
from small import Bomb


def frames(names=("t", "u"), grid=(6, 7), step=1, units="K"):
    values = torch.randn(1, 5, len(names), *grid)
    time = Coordinate(("time",), step * np.arange(5))
    channels = tuple(Channel(n, {"units": units}) for n in names)
    return Frames(values, channels, coordinates={"time": time}, source="x.nc")


def checkpoint(layer="min_conv_gru", norm="frame", grid=(6, 7), **network):
    data = frames(grid=grid)
    config = ForecasterConfig(**{"layer": layer, "depth": 2, "hidden": 5, "norm": norm} | network)
    model = Forecaster(config, 2, grid=data.grid).eval()
    return Checkpoint(model, Statistics.of(data), FrameSpec.of(data), 3, 2, epoch=7, loss=0.5)


@pytest.mark.parametrize("layer", layer_names())
@pytest.mark.parametrize("norm", ["frame", "grid"])
def test_what_is_saved_loads_alone(tmp_path, layer, norm):
    saved = checkpoint(layer, norm)
    saved.save(tmp_path / "best.safetensors")
    loaded = load_checkpoint(tmp_path)
    past = frames().values
    assert torch.equal(loaded.model(past)[0], saved.model(past)[0])
    assert loaded.frames == saved.frames
    assert torch.equal(loaded.statistics.climatology, saved.statistics.climatology)
    assert (loaded.context, loaded.horizon, loaded.epoch, loaded.loss) == (3, 2, 7, 0.5)


SKIP = {"layer": "conv_lstm", "stack": "skip", "hidden": [4, 3, 5], "depth": 6, "encoder": "none"}
PYRAMID = {"encoder": "pyramid", "encoder_options": {"widths": [4, 6], "groups": 2}, "patch": 2}


@pytest.mark.parametrize(
    "network",
    [
        SKIP | {"options": {"initialisation": "xavier_normal"}, "output": "sigmoid"},
        PYRAMID | {"layer": "conv_s5", "options": {"form": "half_glu"}, "norm_position": "pre"},
        PYRAMID | {"layer": "transformer", "options": {"heads": 5}, "norm": "none", "dropout": 0.1},
    ],
)
def test_every_key_of_the_network_comes_back(tmp_path, network):
    saved = checkpoint(grid=(8, 8), **network)
    saved.save(tmp_path / "best.safetensors")
    loaded = load_checkpoint(tmp_path)
    assert loaded.model.config == saved.model.config
    past = frames(grid=(8, 8)).values
    assert torch.equal(loaded.model(past)[0], saved.model(past)[0])


def test_a_checkpoint_with_the_former_names_of_statistics_loads(tmp_path):
    saved = checkpoint()
    saved.save(tmp_path / "new.safetensors")
    with safe_open(tmp_path / "new.safetensors", framework="pt") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for old, new in (("mean", "offset"), ("std", "scale")):
        tensors[f"statistics.{old}"] = tensors.pop(f"statistics.{new}")
    save_file(tensors, tmp_path / "best.safetensors", header)
    loaded = load_checkpoint(tmp_path)
    assert torch.equal(loaded.statistics.offset, saved.statistics.offset)
    assert torch.equal(loaded.statistics.scale, saved.statistics.scale)


def test_frames_that_do_not_match_are_refused():
    saved = checkpoint(norm="grid")
    saved.check(frames())
    with pytest.raises(UserError, match=r"x.nc has channels t, v, but .* trained on t, u"):
        saved.check(frames(names=("t", "v")))
    with pytest.raises(UserError, match=r"grid of 6×9, .* norm over the grid"):
        saved.check(frames(grid=(6, 9)))
    with pytest.raises(UserError, match=r"a frame every 2, .* every 1"):
        saved.check(frames(step=2))
    with pytest.raises(UserError, match="t in degC, but the model was trained on K"):
        saved.check(frames(units="degC"))
    checkpoint(norm="frame").check(frames(grid=(6, 9)))


def test_a_grid_that_the_encoder_cannot_divide_is_refused():
    patches = checkpoint(grid=(6, 8), patch=2)
    with pytest.raises(UserError, match="does not suit the model: the encoder makes 2×2 cells"):
        patches.check(frames(grid=(6, 9)))
    patches.check(frames(grid=(4, 8)))


def test_a_pickled_checkpoint_is_never_executed(tmp_path):
    torch.save({"weights": Bomb(tmp_path / "exploded")}, tmp_path / "model.pt")
    with pytest.raises(UserError, match="pickled checkpoint"):
        load_checkpoint(tmp_path / "model.pt")
    assert not (tmp_path / "exploded").exists()


def test_damaged_and_foreign_files_are_named(tmp_path):
    checkpoint().save(tmp_path / "best.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "best.safetensors").read_bytes()[:-100])
    with pytest.raises(UserError, match=r"cut.safetensors cannot be read .*truncated"):
        load_checkpoint(tmp_path / "cut.safetensors")
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="not written by framecast"):
        load_checkpoint(tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="holds no checkpoint"):
        load_checkpoint(tmp_path / "nothing")


@pytest.mark.parametrize("folder", [False, True])
def test_files_are_whole_or_not_there(tmp_path, folder):
    target = tmp_path / "x.nc"

    def write(path, text):
        if folder:
            path.mkdir()
        (path / "inside" if folder else path).write_text(text)

    def die_half_way():
        with whole(target) as partial:
            write(partial, "half")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        die_half_way()
    assert list(tmp_path.iterdir()) == []
    for text in ("one", "two"):
        with whole(target) as partial:
            write(partial, text)
    assert (target / "inside" if folder else target).read_text() == "two"
    assert list(tmp_path.iterdir()) == [target]
