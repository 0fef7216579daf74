"""Videos through the whole of framecast: trained on, forecast from, written, evaluated."""

import av
import numpy as np
import pytest
import torch
import xarray as xr

from conftest import DATA
from framecast import forecast_file, load_checkpoint, read_frames
from framecast.cli import main
from framecast.evaluate import evaluate
from framecast.forecast.writers import ForecastLabels, open_writer
from framecast.frames.frames import Frames
from videos import folder_of_videos, noise, write_video

WALKING = DATA / "kth" / "walking"
INPUT = WALKING / "person17_walking_d1_uncomp.avi"
NETWORK = ("--model.depth", "1", "--model.hidden", "4", "--training.epochs", "1")
WINDOW = ("--training.context", "4", "--training.horizon", "2")


def pictures_of(path):
    with av.open(path) as file:
        stream = file.streams.video[0]
        return float(stream.average_rate), [
            f.to_ndarray(format="rgb24") for f in file.decode(stream)
        ]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Trained on a folder of real videos, at half their size and rate."""
    folder = tmp_path_factory.mktemp("videos") / "run"
    source = ("--data.source", "videos", "--data.path", str(WALKING), "--data.variables", "[grey]")
    options = ("--data.options.size", "[31, 40]", "--data.options.rate", "12.5")
    shares = ("--data.validation_fraction", "0.2", "--data.test_fraction", "0.2")
    arguments = (*source, *options, *shares, *NETWORK, *WINDOW, "--data.normalise", "unit")
    assert main(["train", "starter", *arguments, "--out", str(folder)]) == 0
    return folder


def test_a_forecast_goes_on_at_the_size_and_rate_of_the_training(tmp_path, run):
    forecast_file(run, INPUT, 5, tmp_path / "f.nc", progress=False)
    with xr.open_dataset(tmp_path / "f.nc", engine="h5netcdf", decode_timedelta=False) as forecast:
        assert forecast.grey.dims == ("time", "y", "x")
        assert forecast.grey.shape == (5, 31, 40)
        np.testing.assert_allclose(forecast.time, np.arange(18, 23) / 12.5)  # 36 frames: 18 read
        assert forecast.time.attrs["units"] == "s"
    past = read_frames(INPUT, ["grey"], size=(31, 40), rate=12.5)
    assert str(past.step) == load_checkpoint(run).frames.step
    assert past.length == 18


@pytest.mark.parametrize(("suffix", "size"), [(".gif", (32, 40)), (".mp4", (32, 40))])
def test_moving_pictures_keep_size_and_rate(tmp_path, run, suffix, size):
    forecast_file(run, INPUT, 5, tmp_path / f"f{suffix}", progress=False)
    rate, pictures = pictures_of(tmp_path / f"f{suffix}")
    assert rate == 12.5
    assert [picture.shape for picture in pictures] == [(*size, 3)] * 5


def test_arrays_hold_the_numbers(tmp_path, run):
    forecast_file(run, INPUT, 5, tmp_path / "f.npz", progress=False)
    forecast_file(run, INPUT, 5, tmp_path / "f.nc", progress=False)
    frames = np.load(tmp_path / "f.npz")["frames"]
    assert frames.shape == (5, 1, 31, 40)
    with xr.open_dataset(tmp_path / "f.nc", engine="h5netcdf", decode_timedelta=False) as forecast:
        np.testing.assert_array_equal(forecast.grey, frames[:, 0])


def test_evaluation_on_the_test_part_and_on_another_folder(tmp_path, run):
    own = evaluate([run], steps=2)
    assert own.windows == 2  # one video of 26 frames, of which 13 are read
    assert own.first.grid == (31, 40)
    other = evaluate([run], data=DATA / "kth" / "boxing", steps=2)
    assert other.windows == 2 + 2 + 2


@pytest.mark.filterwarnings("ignore:.*sequences are cut")
def test_the_kth_actions(tmp_path):
    source = ("--data.source", "kth", "--data.path", str(DATA / "kth"))
    options = ("--data.options.actions", "[walking, boxing]", "--data.options.size", "[15, 20]")
    run = tmp_path / "run"
    arguments = (*source, *options, *NETWORK, *WINDOW, "--data.normalise", "unit")
    assert main(["train", "starter", *arguments, "--out", str(run)]) == 0
    evaluation = evaluate([run], steps=2, by="action")
    assert evaluation.windows == 3 + 3 + 2 + 2 + 4
    assert evaluation.groups == {"walking": 3 + 3 + 4, "boxing": 2 + 2}
    assert evaluation.first.coordinates["action"].values.tolist() == ["walking"]


def written(frames, values, path):
    labels = ForecastLabels(
        frames, np.array([0]), frames.times[None, : len(values)], frames.channels
    )
    with open_writer(path, labels) as write:
        for frame in values:
            write(frame[None, None, None])
    return pictures_of(path)


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
@pytest.mark.parametrize("names", [["grey"], ["red", "green", "blue"]])
def test_video_is_drawn_in_its_own_colours(tmp_path, suffix, names):
    blocks = noise(3, 4, 6).repeat(16, 1).repeat(16, 2)
    frames = read_frames(write_video(tmp_path / "in.avi", blocks, rate=25), names)
    values = frames.load().values[0]
    rate, pictures = written(frames, values, tmp_path / f"out{suffix}")
    assert rate == 25
    inner = np.stack(pictures)[:, 8::16, 8::16].astype(float)
    expected = values.permute(0, 2, 3, 1).expand(-1, -1, -1, 3)[:, 8::16, 8::16].numpy()
    assert np.abs(inner - expected).mean() < (2 if suffix == ".gif" else 12)


def test_rates_are_those_of_times_in_seconds(tmp_path):
    frames = read_frames(folder_of_videos(tmp_path, (6,), rate=30) / "0.avi")
    assert written(frames, frames.load().values[0], tmp_path / "a.mp4")[0] == 30
    bare = Frames(torch.rand(1, 6, 1, 8, 8), frames.channels)
    assert written(bare, bare.values[0], tmp_path / "b.gif")[0] == 5
