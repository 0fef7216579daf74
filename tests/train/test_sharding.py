"""Weights that are shared out learn what whole ones do, and are written and read back whole."""

from pathlib import Path

import pytest
from beside_one import assert_same, train_alone, train_together
from shared_runs import SHARDED

from framecast.cli import main
from framecast.runs.config import TrainingConfig

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The frames, and all runs trained by one process with whole weights, and by two with parts."""
    folder = tmp_path_factory.mktemp("runs")
    train_alone(folder, SHARDED, None, False)
    train_together(folder, 2, "weights")
    return folder


@pytest.mark.parametrize("name", SHARDED)
def test_losses_and_weights_are_those_of_whole_weights(folder, name):
    assert_same(folder, name, 2, rtol=3e-6)


TINY = "--data.path waves.npy --training.context 8 --training.horizon 3 --training.batch_size 4"
SHARED = f"{TINY} --training.precision 32 --training.devices 2 --training.shard_weights true"


def trained(options):
    return main(["train", "starter", *options.split()])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("--training.devices 1", "and there is one"),
        ("--training.batch_size 3", "set data.windows_per_epoch 3"),
    ],
)
def test_what_cannot_be_is_refused_once(waves_here, capfd, keys, message):
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
