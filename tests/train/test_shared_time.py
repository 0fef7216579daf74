"""Several processes that share the time of windows train what one would, but for the order of sums.

That segments of time are a whole pass, with all gradients, is seen in
tests/layers/test_time_parallel.py, in float64.
"""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from shared_runs import IN_TIME, experiment, frames

from framecast.cli import main
from framecast.train import train
from processes import together
from small import travelling_wave

WORK = Path(__file__).with_name("shared_runs.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The frames, and all runs trained by one process."""
    folder = tmp_path_factory.mktemp("runs")
    np.save(folder / "frames.npy", frames())
    for name in IN_TIME:
        train(experiment(name, folder / "frames.npy", 1), folder / "1" / name)
    return folder


@pytest.fixture(
    scope="module",
    params=[(2, 2), (3, 3), (4, 2)],
    ids=["2 of time", "3 of time", "2 of data and 2 of time"],
)
def count(folder, request):
    """Of the processes that have trained all runs together, some of them sharing time."""
    processes, time = request.param
    for process in together(processes, [str(WORK), str(folder), str(time)]):
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said
    return processes


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_TIME)
def test_losses_and_weights_are_those_of_one_process(folder, name, count):
    logs = []
    for processes in (1, count):
        text = (folder / str(processes) / name / "log.csv").read_text()
        rows = list(csv.DictReader(text.splitlines()))
        logs.append([[float(row[c]) for c in ("train_loss", "val_loss")] for row in rows])
    np.testing.assert_allclose(logs[1], logs[0], rtol=3e-6)
    one, several = (load_file(folder / str(n) / name / "last.safetensors") for n in (1, count))
    assert one.keys() == several.keys()
    for key, weight in one.items():
        torch.testing.assert_close(several[key], weight, rtol=1e-4, atol=1e-5)


TINY = "--data.path waves.npy --training.context 8 --training.horizon 3 --training.batch_size 4"
SHARED = f"{TINY} --training.precision 32 --training.devices 2 --training.time_parallel 2"


@pytest.fixture
def waves(tmp_path, monkeypatch):
    """Frames in the folder at hand."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    np.save("waves.npy", travelling_wave())


def trained(options):
    return main(["train", "starter", *options.split()])


@pytest.mark.slow
def test_a_loss_that_is_no_number_is_said_once(waves, capfd):
    keys = "--training.learning_rate 1e30 --training.gradient_clip null --training.warmup_steps 0"
    assert trained(f"{SHARED} {keys} --out shared") == 2
    said = capfd.readouterr().err
    assert said.count("the loss became NaN or infinite at step") == 1
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("--model.layer conv_lstm", "conv_lstm runs step by step"),
        ("--model.dropout 0.1", "model.dropout 0.1 draws numbers for all of a window"),
        ("--training.devices 3", "but there are 3"),
    ],
)
def test_what_cannot_be_shared_is_refused_once(waves, capfd, keys, message):
    assert trained(f"{SHARED} {keys} --out shared") == 2
    said = capfd.readouterr().err
    assert said.count(message) == 1
    assert "Traceback" not in said
    assert not Path("shared").exists()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("--training.chunk 3", "training.chunk and training.time_parallel 2 do not fit"),
        ("--training.compile true", "training.compile and training.time_parallel 2 do not fit"),
        ("--training.context 1", "leaves nothing of the 1 given frames"),
        ("--training.devices 1", "but there are 1: set training.devices to 2"),
    ],
)
def test_what_has_no_meaning_beside_it_is_refused(waves, capsys, keys, message):
    assert trained(f"{SHARED} {keys} --out shared") == 2
    assert message in capsys.readouterr().err
