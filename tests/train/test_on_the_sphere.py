"""A global grid: the padding that suits it, and components of vectors, to the checkpoint."""

import numpy as np
import pytest
import xarray as xr

from framecast.cli import main
from framecast.datasets.config import DataConfig
from framecast.models import ForecasterConfig
from framecast.runs.checkpoint import load_checkpoint
from framecast.runs.config import TrainingConfig
from framecast.runs.experiment import Experiment
from framecast.train.start import prepare

WIND = ["u", "v", "z"]
PYRAMID = ["--model.encoder", "pyramid", "--model.encoder_options", "{widths: [4, 4], groups: 2}"]


@pytest.fixture(autouse=True)
def _data(tmp_path, monkeypatch):
    """Wind and geopotential on 4×8 points around the earth."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    names = {"u": "eastward_wind", "v": "northward_wind", "z": "geopotential"}
    hours = np.datetime64("2020-01-01", "ns") + np.arange(30) * np.timedelta64(1, "h")
    dataset = xr.Dataset(
        {
            name: (("time", "lat", "lon"), random.random((30, 4, 8)), {"standard_name": standard})
            for name, standard in names.items()
        },
        {
            "time": hours,
            "lat": ("lat", [-67.5, -22.5, 22.5, 67.5], {"units": "degrees_north"}),
            "lon": ("lon", np.arange(8) * 45.0, {"units": "degrees_east"}),
        },
    )
    dataset.to_netcdf("wind.nc")


def train(*options, path="wind.nc"):
    words = ["train", "starter", "--data.path", path, "--model.depth", "1"]
    words += ["--model.hidden", "4", "--training.context", "2", "--training.horizon", "1"]
    return main([*words, "--training.epochs", "1", *options])


def signs(run):
    return load_checkpoint(run).model.encoder[0].conv.signs.flatten().tolist()


def test_standard_names_say_what_is_a_vector_and_data_vectors_decides():
    assert train("--model.padding", "sphere", *PYRAMID, "--out", "run") == 0
    assert signs("run") == [-1, -1, 1]
    assert main(["forecast", "run", "wind.nc", "--steps", "2", "--out", "ahead.nc"]) == 0
    assert main(["evaluate", "run", "--out", "scores"]) == 0
    given = ["--data.vectors", "[v]", "--out", "given"]
    assert train("--model.padding", "sphere", *PYRAMID, *given) == 0
    assert signs("given") == [1, -1, 1]


def test_vectors_that_change_nothing_are_said():
    config = DataConfig(path="wind.nc", vectors=["v"])
    model, window = ForecasterConfig(hidden=4, depth=1), TrainingConfig(context=2, horizon=1)
    with pytest.warns(UserWarning, match=r"data\.vectors v changes nothing"):
        prepare(Experiment(config, model, window), config.open().splits())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model.padding", "sphere_poles"], "choose --model.padding sphere"),
        (["--model.padding", "sphere", "--data.region", "{row: [0, 2]}"], "cylinder"),
        (["--model.padding", "sphere", "--data.vectors", "[w]"], "data.vectors names w"),
    ],
)
def test_a_padding_that_does_not_suit_the_grid_is_refused(capsys, options, words):
    assert train(*options, "--out", "run") == 2
    assert words in capsys.readouterr().err


def test_the_doctor_proposes_the_sphere(capsys):
    assert main(["inspect", "wind.nc", "--write", "config.yaml"]) == 0
    with open("config.yaml", encoding="utf-8") as file:
        assert "padding: sphere" in file.read()


def test_speeds_that_nothing_calls_vectors_are_told_of():
    wind = xr.open_dataset("wind.nc").load()
    for name in "uv":
        wind[name].attrs = {"units": "m s-1"}
    wind.to_netcdf("speeds.nc")
    options = {"widths": [4, 4], "groups": 2}
    model = ForecasterConfig("min_conv_gru", hidden=4, depth=1, padding="sphere",
                             encoder="pyramid", encoder_options=options)  # fmt: skip

    def begin(**data):
        config = DataConfig(path="speeds.nc", **data)
        window = TrainingConfig(context=2, horizon=1)
        return prepare(Experiment(config, model, window), config.open().splits())

    with pytest.warns(UserWarning, match=r"u, v: .* --data.vectors '\[u, v\]'"):
        begin()
    begin(vectors=[])
