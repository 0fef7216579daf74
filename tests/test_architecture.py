"""The shape of the project: imports point one way, and the public door is pinned."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml
from importlinter.cli import lint_imports

import framecast
from framecast.layers import layer_entry, layer_names

ROOT = Path(__file__).parent.parent


def test_imports_point_one_way(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert lint_imports(cache_dir=None) == 0


def test_the_public_names():
    assert list(framecast.__all__) == [
        "Batch",
        "CausalConv3D",
        "Channel",
        "Checkpoint",
        "ConvGRU",
        "ConvLSTM",
        "ConvS5",
        "ConvSSM",
        "ConvTTLSTM",
        "Coordinate",
        "DataConfig",
        "Evaluation",
        "Experiment",
        "Forecaster",
        "ForecasterConfig",
        "Frames",
        "GridConv",
        "METRICS",
        "MinConvExpLSTM",
        "MinConvGRU",
        "MinConvLSTM",
        "MovingMnist",
        "NavierStokes",
        "Predictor",
        "Reader",
        "Recogniser",
        "Recurrence",
        "ResidualBlock",
        "ResidualStack",
        "Scores",
        "ShallowWater",
        "SkipStack",
        "Source",
        "Statistics",
        "Stream",
        "Streamer",
        "TrainingConfig",
        "Transformer",
        "UserError",
        "complex_diagonal_scan",
        "conv_scan",
        "conv_tensor_train",
        "evaluate",
        "export",
        "find_recipe",
        "forecast_file",
        "forecast_frames",
        "from_pretrained",
        "layer_entry",
        "layer_names",
        "linear_scan",
        "load_checkpoint",
        "load_config",
        "lstm_cell",
        "make_norm",
        "min_exp_lstm_scan",
        "min_gru_scan",
        "min_lstm_scan",
        "push_to_hub",
        "read_frames",
        "recipes",
        "register",
        "register_source",
        "rollout",
        "save_pretrained",
        "spectral_conv_scan",
        "take",
        "tensor_train_conv",
        "train",
    ]
    assert all(getattr(framecast, name).__doc__ for name in framecast.__all__)
    assert set(framecast.__all__) < set(dir(framecast))


def test_type_checkers_see_the_public_names():
    """Imports that only they read name the modules that the names come from at run time."""
    door = ast.parse(Path(framecast.__file__).read_text())
    seen = {
        alias.name: node.module
        for node in ast.walk(door)
        if isinstance(node, ast.ImportFrom) and node.module.startswith("framecast.")
        for alias in node.names
        if alias.name == alias.asname
    }
    assert seen == {name: f"framecast.{home}" for name, home in framecast._HOME.items()}


def test_every_layer_is_public():
    layers = {layer_entry(name).layer.__name__ for name in layer_names()}
    assert layers <= set(framecast.__all__)


def in_a_new_process(code):
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


HEAVY = ("xarray", "zarr", "av", "matplotlib", "rich", "pytorch_lightning", "lightning_fabric")


@pytest.mark.parametrize("package", ["framecast", "framecast.ops", "framecast.layers"])
def test_a_layer_needs_no_files_plots_or_training(package):
    in_a_new_process(
        f"import sys, {package}\n"
        f"framecast.layers.MinConvGRU(2, 3)\n"
        f"found = set({HEAVY} + ('jsonargparse',)) & set(sys.modules)\n"
        "assert not found, found"
    )


def test_arrays_are_read_without_what_reads_labelled_files(tmp_path):
    """It would take as long again as all of framecast."""
    np.save(tmp_path / "frames.npy", np.zeros((20, 4, 4)))
    in_a_new_process(
        f"import sys; from framecast import read_frames; read_frames({str(tmp_path)!r})\n"
        "found = {'xarray', 'pandas', 'zarr', 'h5py', 'scipy'} & set(sys.modules)\n"
        "assert not found, found"
    )


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_each_public_name_is_what_it_says(name):
    """A name of a function must not be hidden by a package of the same name."""
    assert callable(getattr(framecast, name))
    inside = {"train": "loop", "evaluate": "evaluation"}[name]
    in_a_new_process(
        f"import framecast.{name}.{inside}, types\n"
        f"assert isinstance(framecast.{name}, types.FunctionType)\n"
        f"from framecast import {name}\n"
        f"assert {name} is framecast.{name}"
    )


def test_the_public_packages():
    for name in framecast.PACKAGES:
        in_a_new_process(f"import framecast; assert framecast.{name}.__doc__")


def test_an_unknown_name_is_an_error():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = framecast.nonsense


def test_no_two_files_of_tests_share_a_name():
    """pytest would refuse to collect them together."""
    names = [file.name for file in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == project["version"]
