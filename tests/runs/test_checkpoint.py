"""Checkpoints: everything in one file, whole or not there, and no code."""

import copy
import json
from functools import reduce
from operator import getitem

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from framecast.base.errors import UserError
from framecast.base.recipes import merge
from framecast.frames.frames import Channel, Coordinate, Frames
from framecast.frames.roles import FrameSpec
from framecast.frames.statistics import Statistics
from framecast.layers import layer_names
from framecast.models import Forecaster, ForecasterConfig
from framecast.runs.checkpoint import Checkpoint, load_checkpoint
from framecast.runs.header import plain
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


def test_a_grid_smaller_than_a_cell_of_features_is_refused():
    patches = checkpoint(grid=(6, 8), patch=4)
    with pytest.raises(UserError, match="does not suit the model: the encoder makes 4×4 cells"):
        patches.check(frames(grid=(3, 3)))
    patches.check(frames(grid=(5, 9)))


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


def stored(path):
    """Header and tensors of a checkpoint, to be changed and written again."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["framecast"])
        return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def write(path, header, tensors):
    save_file(tensors, path, {"framecast": json.dumps(header)})


def paths(value, path=()):
    """All places in nested mappings and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from paths(inner, (*path, key))


@pytest.mark.parametrize("value", [None, "x", -1, 1e9, 10**9, [], {}, [10**9], True], ids=str)
def test_a_header_that_was_edited_anywhere_loads_or_says_what_is_wrong(tmp_path, value):
    checkpoint().save(tmp_path / "best.safetensors")
    header, tensors = stored(tmp_path / "best.safetensors")
    said = []
    for path in paths(header):
        edited = copy.deepcopy(header)
        holder = reduce(getitem, path[:-1], edited)
        holder[path[-1]] = value
        write(tmp_path / "best.safetensors", edited, tensors)
        try:
            load_checkpoint(tmp_path)
        except UserError as error:
            said.append(str(error))
    assert len(said) > 20
    assert all("best.safetensors" in text and "\n" not in text for text in said)


def test_a_key_that_is_missing_from_the_header_is_named(tmp_path):
    checkpoint().save(tmp_path / "best.safetensors")
    header, tensors = stored(tmp_path / "best.safetensors")
    for key in ("model", "frames", "context", "horizon", "epoch", "loss"):
        write(tmp_path / "best.safetensors", {k: v for k, v in header.items() if k != key}, tensors)
        with pytest.raises(UserError, match=rf"best.safetensors: .*{key} is missing"):
            load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 3}, "of a later version"),
        ({"kind": "oracle"}, "unknown kind of model 'oracle'"),
        ({"more": 1}, "header.more is unknown"),
        ({"model": {"config": {"layer": "magic"}}}, "unknown layer 'magic'"),
        ({"model": {"ports": {"prognostic": 3}}}, "ports are not those of the channels"),
        ({"model": {"config": {"hidden": 10**6}}}, "its network needs .* of memory"),
        ({"model": {"config": {"depth": 10**9}}}, "depth"),
        ({"model": {"config": {"hidden": 6}}}, r"encoder\S+ is \[5.*, and \[6.* by its header"),
    ],
    ids=str,
)
def test_a_header_that_does_not_fit_is_refused_before_anything_is_built(tmp_path, change, said):
    checkpoint().save(tmp_path / "best.safetensors")
    header, tensors = stored(tmp_path / "best.safetensors")
    write(tmp_path / "best.safetensors", merge(header, change), tensors)
    with pytest.raises(UserError, match=said):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("model.encoder.0.weight"), r"encoder\S+, .*, is missing"),
        (lambda t: t.update({"model.extra": torch.ones(1)}), "extra is unknown to its header"),
        (lambda t: t.update(other=torch.ones(1)), "holds other, which belongs to nothing"),
        (lambda t: t.pop("statistics.scale"), "scale, .*, is missing"),
        (lambda t: t.update({"statistics.scale": torch.ones(9)}), r"scale is \[9\], and \[2\]"),
        (lambda t: t.update({"statistics.known": torch.ones(9)}), r"known is \[9\], and \[2, 6"),
    ],
)
def test_tensors_that_do_not_fit_the_header_are_named(tmp_path, change, said):
    checkpoint().save(tmp_path / "best.safetensors")
    header, tensors = stored(tmp_path / "best.safetensors")
    change(tensors)
    write(tmp_path / "best.safetensors", header, tensors)
    with pytest.raises(UserError, match=said):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "3", "null", '{"format": "two"}', "{}"])
def test_a_header_that_is_no_description_is_refused(tmp_path, text):
    save_file({"model.a": torch.zeros(2)}, tmp_path / "best.safetensors", {"framecast": text})
    with pytest.raises(UserError, match="its header is damaged"):
        load_checkpoint(tmp_path)


def test_modes_follow_the_umask(tmp_path):
    checkpoint().save(tmp_path / "best.safetensors")
    (tmp_path / "any").touch()
    assert (tmp_path / "best.safetensors").stat().st_mode == (tmp_path / "any").stat().st_mode


def test_numbers_of_numpy_are_numbers(tmp_path):
    config = ForecasterConfig()
    object.__setattr__(config, "hidden", np.int64(4))
    config.__post_init__()
    assert (type(config.hidden), config.hidden) == (int, 4)
    stored = json.loads(json.dumps([np.int64(3), np.float32(0.5)], default=plain))
    assert stored == [3, 0.5]
