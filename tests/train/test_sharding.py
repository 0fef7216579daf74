"""Weights that are shared out learn what whole ones do, and are written and read back whole."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from shared_runs import SHARDED, experiment, frames

from framecast.cli import main
from framecast.runs.config import TrainingConfig
from framecast.train import train
from processes import together
from small import travelling_wave

WORK = Path(__file__).with_name("shared_runs.py")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The frames, and all runs trained by one process with whole weights, and by two with parts."""
    folder = tmp_path_factory.mktemp("runs")
    np.save(folder / "frames.npy", frames())
    for name in SHARDED:
        train(experiment(name, folder / "frames.npy", sharded=False), folder / "1" / name)
    for process in together(2, [str(WORK), str(folder), "weights"]):
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said
    return folder


@pytest.mark.parametrize("name", SHARDED)
def test_losses_and_weights_are_those_of_whole_weights(folder, name):
    logs = []
    for processes in (1, 2):
        text = (folder / str(processes) / name / "log.csv").read_text()
        rows = list(csv.DictReader(text.splitlines()))
        logs.append([[float(row[c]) for c in ("train_loss", "val_loss")] for row in rows])
    np.testing.assert_allclose(logs[1], logs[0], rtol=3e-6)
    one, several = (load_file(folder / str(n) / name / "last.safetensors") for n in (1, 2))
    assert one.keys() == several.keys()
    for key, weight in one.items():
        torch.testing.assert_close(several[key], weight, rtol=1e-4, atol=1e-5)


TINY = "--data.path waves.npy --training.context 8 --training.horizon 3 --training.batch_size 4"
SHARED = f"{TINY} --training.precision 32 --training.devices 2 --training.shard_weights true"


@pytest.fixture
def waves(tmp_path, monkeypatch):
    """Frames in the folder at hand."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    np.save("waves.npy", travelling_wave())


def trained(options):
    return main(["train", "starter", *options.split()])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("--training.devices 1", "and there is one"),
        ("--training.batch_size 3", "set data.windows_per_epoch 3"),
    ],
)
def test_what_cannot_be_is_refused_once(waves, capfd, keys, message):
    assert trained(f"{SHARED} {keys} --out shared") == 2
    said = capfd.readouterr().err
    assert said.count(message) == 1
    assert "Traceback" not in said
    assert not Path("shared").exists()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"teacher_forcing": 0.5}, "training.teacher_forcing 0.5 and training.shard_weights"),
        ({"compile": True}, "set training.compile to false"),
        ({"chunk": 3}, "add truncate true"),
        ({"time_parallel": 2}, "set training.time_parallel to 1, or horizon 1"),
    ],
)
def test_what_would_part_the_processes_is_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(shard_weights=True, **keys)
