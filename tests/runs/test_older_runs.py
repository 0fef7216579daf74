"""Run folders of earlier versions are read as if this one had written them."""

import numpy as np
import pytest

from conftest import DATA
from framecast import UserError, forecast_file, load_checkpoint, load_config
from framecast.evaluate import evaluate
from framecast.frames.batch import Limits
from framecast.runs.contents import read_config
from framecast.runs.experiment import Experiment

RUN = DATA / "runs" / "version1"
"""A run of version 0.1.0: one list of channels, and former names of keys."""
AIR = DATA / "air_temperature_small.nc"


def test_it_forecasts_what_it_forecast_then(tmp_path):
    forecast_file(RUN, AIR, 3, tmp_path / "f.npz", progress=False)
    then, now = (
        np.load(p / "f.npz" if p == tmp_path else p / "forecast.npz") for p in (RUN, tmp_path)
    )
    np.testing.assert_allclose(now["frames"], then["frames"], rtol=1e-5)
    assert (now["times"] == then["times"]).all()


def test_it_is_evaluated_and_described():
    evaluation = evaluate([RUN], data=AIR)
    assert evaluation.models[0].mean("rmse").isfinite().all()
    checkpoint = load_checkpoint(RUN)
    assert [c.role for c in checkpoint.frames.channels] == ["prognostic"]
    assert checkpoint.model.ports.predicted == 1
    assert checkpoint.scaling.limits(evaluation.first) == Limits()


def test_its_keys_have_the_names_of_today():
    training = read_config(RUN)["training"]
    assert training["gradient_clip"] == 1.0
    assert training["schedule"] == "staircase"
    assert training["staircase_factor"] == 0.9


def test_a_former_name_says_the_new_one():
    with pytest.raises(UserError, match=r"model\.norm group is called frame now"):
        load_config(Experiment, RUN / "config.yaml")
