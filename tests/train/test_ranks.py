"""Several processes that share the batches train what one would, but for the order of sums."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from beside_one import assert_same, train_alone, train_together
from shared_runs import RUNS

from framecast.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The frames, and all runs trained by one process."""
    folder = tmp_path_factory.mktemp("runs")
    train_alone(folder, RUNS)
    return folder


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)])
def count(folder, request):
    """Of the processes that have trained all runs together."""
    train_together(folder, request.param)
    return request.param


@pytest.mark.parametrize("name", RUNS)
def test_losses_and_weights_are_those_of_one_process(folder, name, count):
    assert_same(folder, name, count, rtol=2e-6)


TINY = "--data.path waves.npy --training.context 4 --training.horizon 3 --training.batch_size 4"
SHARED = f"{TINY} --training.precision 32 --training.devices 2 --out shared"


def started(options):
    """A training in two processes, once an epoch of it is done."""
    command = [sys.executable, "-m", "framecast", "train", "starter", *options.split()]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 200
    while not Path("shared/log.csv").exists():
        assert time.monotonic() < until, process.communicate()
        time.sleep(0.1)
    return process


def children(process):
    """The processes that share a training."""
    file = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(child) for child in file.read_text().split()]


def columns(run):
    """What the log says, but for the time it took."""
    rows = csv.DictReader((Path(run) / "log.csv").read_text().splitlines())
    return [{k: v for k, v in row.items() if "second" not in k} for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "value", "alone"),
    [("devices", "2", "1"), ("time_parallel", "2", "1"), ("shard_weights", "true", "false")],
)
def test_stopped_and_resumed_by_as_many_it_is_as_if_never_stopped(waves_here, key, value, alone):
    way = f"--training.epochs 40 --training.{key} {value}"
    process = started(f"{SHARED} {way}")
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "what was reached is saved" in said
    assert len(columns("shared")) < 40
    assert main(["train", "--resume", "--out", "shared"]) == 0
    whole = SHARED.replace("--out shared", f"{way} --out whole")
    assert main(["train", "starter", *whole.split()]) == 0
    assert columns("shared") == columns("whole")
    command = "-m framecast train --resume --out whole --training.devices 1"
    command += f" --training.{key} {alone}"
    done = subprocess.run([sys.executable, *command.split()], capture_output=True, text=True)
    assert "was begun with 2 processes, and goes on with 1" in done.stderr


@pytest.mark.slow
def test_where_one_is_killed_all_end_and_say_so(waves_here):
    process = started(f"{SHARED} --training.epochs 4000")
    os.kill(children(process)[1], signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "process 2 of 2 was killed" in said
    assert "go on with framecast train --resume --out shared" in said


@pytest.mark.slow
def test_torchrun_starts_them_too_and_one_speaks(waves_here):
    command = "-m torch.distributed.run --standalone --nproc-per-node 2 -m framecast train starter"
    options = SHARED.replace("--training.devices 2", "--training.epochs 2")
    command = [sys.executable, *command.split(), *options.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Trained shared") == 1
    assert done.stderr.count("epoch 2/2") == 1
    assert len(columns("shared")) == 2


@pytest.mark.slow
def test_a_loss_that_is_no_number_is_said_once(waves_here, capfd):
    keys = "--training.learning_rate 1e30 --training.gradient_clip null --training.warmup_steps 0"
    assert main(["train", "starter", *SHARED.split(), *keys.split()]) == 2
    assert capfd.readouterr().err.count("the loss became NaN or infinite at step") == 1


def test_an_error_is_said_once(waves_here, capfd):
    assert main(["train", "starter", *SHARED.replace("size 4", "size 1").split()]) == 2
    said = capfd.readouterr().err
    assert said.count("2 processes share each batch, but training.batch_size 1") == 1
    assert "Traceback" not in said
    assert not Path("shared").exists()
