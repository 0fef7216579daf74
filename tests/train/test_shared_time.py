"""Several processes that share the time of windows train what one would, but for the order of sums.

That segments of time are a whole pass, with all gradients, is seen in
tests/layers/test_time_parallel.py, in float64.
"""

from pathlib import Path

import pytest
from beside_one import assert_same, train_alone, train_together
from shared_runs import IN_TIME

from framecast.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The frames, and all runs trained by one process."""
    folder = tmp_path_factory.mktemp("runs")
    train_alone(folder, IN_TIME, 1)
    return folder


@pytest.fixture(
    scope="module",
    params=[(2, 2), (3, 3), (4, 2)],
    ids=["2 of time", "3 of time", "2 of data and 2 of time"],
)
def count(folder, request):
    """Of the processes that have trained all runs together, some of them sharing time."""
    processes, time = request.param
    train_together(folder, processes, str(time))
    return processes


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_TIME)
def test_losses_and_weights_are_those_of_one_process(folder, name, count):
    assert_same(folder, name, count, rtol=3e-6)


TINY = "--data.path waves.npy --training.context 8 --training.horizon 3 --training.batch_size 4"
SHARED = f"{TINY} --training.precision 32 --training.devices 2 --training.time_parallel 2"


def trained(options):
    return main(["train", "starter", *options.split()])


@pytest.mark.slow
def test_a_loss_that_is_no_number_is_said_once(waves_here, capfd):
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
def test_what_cannot_be_shared_is_refused_once(waves_here, capfd, keys, message):
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
def test_what_has_no_meaning_beside_it_is_refused(waves_here, capsys, keys, message):
    assert trained(f"{SHARED} {keys} --out shared") == 2
    assert message in capsys.readouterr().err
