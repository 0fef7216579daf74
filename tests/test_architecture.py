"""The shape of the project: imports point one way, and the public door is pinned."""

from pathlib import Path

from importlinter.cli import lint_imports

import framecast

ROOT = Path(__file__).parent.parent


def test_imports_point_one_way(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert lint_imports(cache_dir=None) == 0


def test_the_public_names():
    assert sorted(framecast.__all__) == [
        "Channel",
        "Checkpoint",
        "Coordinate",
        "DataConfig",
        "Experiment",
        "Forecaster",
        "ForecasterConfig",
        "Frames",
        "Recurrence",
        "Statistics",
        "TrainingConfig",
        "UserError",
        "evaluate",
        "forecast_file",
        "layer_names",
        "linear_scan",
        "load_checkpoint",
        "min_exp_lstm_scan",
        "min_gru_scan",
        "min_lstm_scan",
        "read_frames",
        "rollout",
        "train",
    ]
    assert all(getattr(framecast, name).__doc__ for name in framecast.__all__)


def test_each_public_name_is_what_it_says():
    """A name of a function must not be hidden by a module of the same name."""
    assert callable(framecast.evaluate)
    assert callable(framecast.train)
