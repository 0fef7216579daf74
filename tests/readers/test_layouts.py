"""Which axis of a NumPy array is what: seen from its shape, said by data.layout, or refused."""

import itertools
import re
import shlex

import numpy as np
import pytest
import torch

from framecast.base.errors import UserError
from framecast.cli import main
from framecast.datasets.config import DataConfig
from framecast.readers import arrays, layout
from framecast.readers.open import read_frames
from small import travelling_wave

SIZES = {"n": 2, "t": 7, "c": 3, "h": 5, "w": 6}
LAYOUTS = [
    "".join(letters)
    for axes in ("thw", "nthw", "tchw", "ntchw")
    for letters in itertools.permutations(axes)
]


def counting(letters, **sizes):
    shape = [(SIZES | sizes)[letter] for letter in letters]
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def saved(tmp_path, array, name="x.npy"):
    np.save(tmp_path / name, array)
    return tmp_path / name


def blobs(t=60, h=12, w=16):
    """Waves that move slowly, [T,H,W]: frames resemble each other more than rows do."""
    place = np.ogrid[:t, :h, :w]
    return np.sin(2 * np.pi * (place[2] - 0.4 * place[0]) / w) * np.cos(2 * np.pi * place[1] / h)


@pytest.mark.parametrize("lazily", [False, True])
@pytest.mark.parametrize("letters", LAYOUTS)
def test_every_permutation_of_axes_is_read_as_it_is_said(tmp_path, monkeypatch, letters, lazily):
    if lazily:
        monkeypatch.setattr(arrays, "HELD", 0)
    array = counting(letters)
    frames = read_frames(saved(tmp_path, array), layout=letters).load()
    kept = [axis for axis in "ntchw" if axis in letters]
    expected = array.transpose([letters.index(axis) for axis in kept])
    shape = [SIZES[axis] if axis in letters else 1 for axis in "ntchw"]
    assert np.array_equal(frames.values.numpy(), expected.reshape(shape))
    assert (frames.dims == ("sequence", "time", "y", "x")) == ("n" in letters)


@pytest.mark.parametrize("colours", [1, 3, 4])
@pytest.mark.parametrize("letters", ["thwc", "nthwc"])
def test_a_short_last_axis_behind_two_larger_ones_is_channels(tmp_path, letters, colours):
    array = counting(letters, c=colours)
    frames = read_frames(saved(tmp_path, array))
    assert torch.equal(frames.values, read_frames(tmp_path / "x.npy", layout=letters).values)
    assert frames.values.shape == (2 if "n" in letters else 1, 7, colours, 5, 6)


@pytest.mark.parametrize(
    ("shape", "read"),
    [
        ((6, 4, 5), (1, 6, 1, 4, 5)),
        ((6, 2, 4, 5), (1, 6, 2, 4, 5)),
        ((40, 16, 64, 17), (1, 40, 16, 64, 17)),
        ((2, 6, 20, 8, 8), (2, 6, 20, 8, 8)),
        ((6, 2, 8, 4), (1, 6, 2, 8, 4)),
    ],
)
def test_other_shapes_stay_as_they_are(tmp_path, shape, read):
    assert read_frames(saved(tmp_path, np.zeros(shape, np.float32))).values.shape == read


@pytest.mark.parametrize(
    "shape", [(100, 20, 12, 16), (10, 17, 64, 64), (9, 8, 8, 8), (9, 8, 5, 20)]
)
def test_four_axes_that_may_be_two_things_are_refused_with_both(tmp_path, shape):
    message = re.escape(f"which may be {shape[0]} sequences, {shape[1]} frames")
    with pytest.raises(UserError, match=message) as error:
        read_frames(saved(tmp_path, np.zeros(shape, np.float32)))
    assert f"{shape[0]} frames, {shape[1]} channels" in str(error.value)
    assert "--data.layout nthw or --data.layout tchw" in str(error.value)


def test_names_of_channels_decide_too(tmp_path):
    path = saved(tmp_path, counting("tchw", c=20))
    assert read_frames(path, [f"c{i}" for i in range(20)]).values.shape == (1, 7, 20, 5, 6)
    assert read_frames(path, ["one"]).values.shape == (7, 20, 1, 5, 6)
    path = saved(tmp_path, counting("thwc", c=2))
    assert read_frames(path, ["u", "v"]).values.shape == (1, 7, 2, 5, 6)


def test_frames_along_the_last_axis_are_suspected(tmp_path):
    turned = saved(tmp_path, blobs().transpose(1, 2, 0))
    with pytest.raises(UserError, match=r"\[T,H,W\] or 12 rows, 16 columns, 60 frames \[H,W,T\]"):
        read_frames(turned)
    assert read_frames(turned, layout="hwt").values.shape == (1, 60, 1, 12, 16)
    assert read_frames(turned, layout="thw").values.shape == (1, 12, 1, 16, 60)


@pytest.mark.parametrize(
    "array",
    [
        blobs(),
        travelling_wave()[0, :, 0],
        travelling_wave()[0, :, 0].transpose(0, 2, 1),
        np.random.default_rng(0).normal(size=(20, 12, 16)),
        np.zeros((9, 8, 7)),
        np.full((9, 8, 7), np.nan),
    ],
)
def test_frames_along_the_first_axis_are_not(tmp_path, array):
    assert read_frames(saved(tmp_path, array)).length == len(array)


def test_little_is_read_of_a_large_array(tmp_path):
    class Watched(np.ndarray):
        read = 0

        def __getitem__(self, place):
            part = super().__getitem__(place)
            Watched.read += part.size
            return part

    array = np.zeros((500, 300, 400), np.uint8).view(Watched)
    layout.layout_of(array, "x")
    assert 0 < Watched.read < array.size / 50


def test_a_layout_with_sequences_fits_one_sequence_too(tmp_path):
    frames = read_frames(saved(tmp_path, counting("thw")), layout="nthw")
    assert frames.values.shape == (1, 7, 1, 5, 6)
    with pytest.raises(UserError, match=r"\[7, 5, 6\], which data.layout tchw does not fit"):
        read_frames(tmp_path / "x.npy", layout="tchw")


@pytest.mark.parametrize("wrong", ["th", "thh", "tkhw", "", "thwx"])
def test_layouts_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match="must name each axis of the array once"):
        DataConfig(layout=wrong)


def test_named_arrays_of_a_npz_file_have_the_layout(tmp_path):
    np.savez(tmp_path / "x.npz", u=counting("hwt"), v=-counting("hwt"))
    frames = read_frames(tmp_path / "x.npz", ["u", "v"], layout="hwt")
    assert np.array_equal(frames.values[0, :, 1].numpy(), -counting("hwt").transpose(2, 0, 1))


def test_a_run_reads_as_it_was_told_and_its_forecasts_are_read_again(tmp_path):
    waves = travelling_wave(12, 18, 18)[:, :, 0]  # as many frames as rows: two readings
    path = saved(tmp_path, waves)
    small = "--model.depth 1 --model.hidden 4 --training.epochs 1 --training.context 4"
    run = f"{tmp_path}/run"
    for command in (
        f"train starter --data.path {path} --data.layout nthw {small} --training.horizon 2 "
        f"--out {run}",
        f"forecast {run} {path} --steps 3 --out {tmp_path}/all.nc",
        f"forecast {run} {saved(tmp_path, waves[0], 'one.npy')} --steps 5 --out {tmp_path}/one.npz",
        f"forecast {run} {tmp_path}/one.npz --steps 2 --out {tmp_path}/again.npz",
        f"evaluate {run} --out {tmp_path}/own",
        f"evaluate {run} --data {path} --out {tmp_path}/report",
    ):
        assert main(shlex.split(command)) == 0, command
    assert np.load(tmp_path / "again.npz")["frames"].shape == (2, 1, 18, 18)
    assert read_frames(tmp_path / "all.nc").values.shape == (12, 3, 1, 18, 18)


def test_inspect_takes_the_layout_and_proposes_it(tmp_path, capsys):
    path = saved(tmp_path, travelling_wave(9, 20, 8)[:, :, 0])
    assert main(["inspect", str(path), "--data.layout", "nthw"]) == 0
    said = capsys.readouterr().out
    assert "20 in each of 9 sequences" in said
    assert "--data.layout nthw" in said
