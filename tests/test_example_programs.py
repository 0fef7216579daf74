"""The examples run, at small sizes, and do what they say."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from framecast import load_checkpoint
from framecast.export import export
from framecast.forecast.rollout import rollout
from small import CONTEXT, untrained_run

EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name):
    """An example as a module."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(tmp_path):
    """An untrained run on some noise, which lies beside it."""
    np.save(tmp_path / "frames.npy", np.random.default_rng(0).normal(size=(2, 8, 1, 6, 6)))
    (tmp_path / "run").mkdir()
    return untrained_run(tmp_path / "run", tmp_path / "frames.npy")


def test_a_file_of_ones_own(tmp_path):
    file = Path(__file__).parent / "data" / "air_temperature_small.nc"
    example("own_file").learn(str(file), tmp_path, epochs=1)
    assert (tmp_path / "forecast.nc").exists()
    assert "persistence" in (tmp_path / "evaluation" / "report.html").read_text()


def test_a_loop_of_ones_own_learns():
    loop = example("own_loop")
    truth = next(iter(loop.batches(1)))
    errors = [
        (loop.forecast(loop.learn(steps), truth[:, :10], 3) - truth[:, 10:13]).square().mean()
        for steps in (1, 60)
    ]
    assert errors[1] < errors[0] / 2


@pytest.mark.slow
def test_a_loop_in_two_processes():
    run = [sys.executable, EXAMPLES / "own_loop_ddp.py", "2"]
    said = subprocess.run(run, capture_output=True, text=True, check=True, timeout=300).stdout
    losses = [float(words.split()[2]) for words in said.splitlines() if words.startswith("step")]
    assert "over 2 processes" in said
    assert losses[-1] < losses[0] / 10


def test_a_layer_of_ones_own_keeps_the_contract():
    layer = example("layer_of_yours").Leaky(2, 3)
    frames = torch.randn(2, 4, 2, 5, 5)
    whole, last = layer(frames)
    state = layer.initial_state(2, 5, 5)
    for place in range(4):
        output, state = layer.step(frames[:, place], state)
        torch.testing.assert_close(output, whole[:, place])
    torch.testing.assert_close(state, last)


def test_the_spread_of_members_grows(tmp_path):
    spread = example("ensemble").spread_of(tmp_path, members=10, epochs=2)
    assert spread.shape == (9,)
    assert spread[8] > 1.5 * spread[0]


def test_a_stream(run, tmp_path):
    frames = np.random.default_rng(1).normal(size=(5, 1, 6, 6))
    forecasts = example("stream").follow(str(run), frames, tmp_path / "now.safetensors", 2)
    assert [tuple(leads.shape) for leads in forecasts] == [(2, 1, 6, 6)] * 5
    assert (tmp_path / "now.safetensors").exists()


@pytest.mark.usefixtures("unchecked_types")
def test_a_forecast_without_framecast(run, tmp_path):
    pytest.importorskip("onnxruntime")
    export(run, tmp_path / "exported")
    frames = np.random.default_rng(1).normal(size=(CONTEXT, 1, 6, 6)).astype(np.float32)
    found = example("forecast_without_framecast").forecast(tmp_path / "exported", frames, 4)
    context = torch.from_numpy(frames)[None]
    wanted = [frame[0].numpy() for frame in rollout(load_checkpoint(run), context, 4, "cpu")]
    np.testing.assert_allclose(found, np.stack(wanted), atol=1e-4)
