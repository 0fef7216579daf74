"""A new run may start from the weights of another, matched by the names of channels."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from framecast.base.errors import UserError
from framecast.datasets.config import DataConfig
from framecast.runs.checkpoint import load_checkpoint
from framecast.train import train
from framecast.train.inherit import read_names
from small import experiment, travelling_wave

PYRAMID = {"encoder": "pyramid", "encoder_options": {"widths": [4, 6], "groups": 2}}

STRIDED = {"encoder": "strided", "encoder_options": {"widths": [5]}}


def test_a_new_run_starts_from_the_weights_of_another(tmp_path):
    first = train(experiment(tmp_path), tmp_path / "first")
    plan = experiment(tmp_path, init=str(first), epochs=1, learning_rate=1e-12)
    second = train(plan, tmp_path / "second")
    weights = [load_checkpoint(run).model.state_dict() for run in (first, second)]
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight)
    with pytest.raises(UserError, match=r"init .* of another network: its \S+ is \[6"):
        train(experiment(tmp_path, model={"hidden": 8}, init=str(first)), tmp_path / "third")
    with pytest.raises(UserError, match=r"init .* of another network: \S+ is missing there"):
        train(experiment(tmp_path, model={"depth": 3}, init=str(first)), tmp_path / "third")


@pytest.mark.parametrize(
    "codec", [{}, {"patch": 2}, PYRAMID, STRIDED], ids=["pointwise", "patch", "pyramid", "strided"]
)
def test_channels_are_matched_by_name_and_new_ones_start_at_zero(tmp_path, codec):
    waves = travelling_wave()[:, :, 0]
    np.savez(tmp_path / "f.npz", a=waves[0], b=waves[1], c=waves[2])
    data = {"path": str(tmp_path / "f.npz"), "validation_fraction": 0.0, "test_fraction": 0.0}

    def run_on(names, forcings=(), **training):
        own = {**data, "variables": names, "forcings": list(forcings)}
        plan = experiment(tmp_path, model=codec, epochs=1, **training)
        plan = replace(plan, data=DataConfig(**own))
        name = "_".join([*names, *forcings])
        return load_checkpoint(train(plan, tmp_path / name))

    old = run_on(["a", "b"])
    new = run_on(["c", "b"], ["a"], init=str(tmp_path / "a_b"), learning_rate=1e-12)
    entry = next(k for k, w in old.model.state_dict().items() if "encoder" in k and w.ndim > 1)
    read = [run.model.state_dict()[entry] for run in (old, new)]
    assert read_names(new.frames) == ["c", "b", "a", "a'"]
    torch.testing.assert_close(read[1][:, 1], read[0][:, 1])  # b
    torch.testing.assert_close(read[1][:, 2], read[0][:, 0])  # a, a forcing now
    for place in (0, 3):
        torch.testing.assert_close(read[1][:, place], torch.zeros_like(read[1][:, 0]))
    bias = [key for key in old.model.state_dict() if key.startswith("decoder.")][-1]
    out = [run.model.state_dict()[bias] for run in (old, new)]
    torch.testing.assert_close(out[1], torch.stack([torch.tensor(0.0), out[0][1]]))
