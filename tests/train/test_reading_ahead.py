"""Worker processes read windows ahead: the same run with any number of them, and no orphans."""

import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from test_resume import EVERY_STEP, KilledError, after_calls, assert_same, die

from framecast.base.config import dump_config
from framecast.base.errors import UserError
from framecast.base.workers import Workers
from framecast.frames import order
from framecast.frames.batch import Place
from framecast.readers import gridded
from framecast.readers.open import read_frames
from framecast.train import train
from framecast.train.batches import Batches, reading_ahead
from framecast.train.step import Training
from processes import Spying, ended
from small import experiment, travelling_wave, windows_of


@pytest.fixture
def series(tmp_path, monkeypatch):
    """A file with gaps that is read lazily, however small it is."""
    monkeypatch.setattr(gridded, "HELD", 0)
    return write_series(tmp_path, None)


@pytest.fixture
def chunked(tmp_path, monkeypatch):
    """The same in chunks of all frames of two sequences, of which few are mixed."""
    monkeypatch.setattr(gridded, "HELD", 0)
    monkeypatch.setattr(order, "BUFFER", 1)
    monkeypatch.setattr(order, "FEWEST", 1)
    return write_series(tmp_path, {"wave": {"chunksizes": (2, 16, 8, 8)}})


def write_series(tmp_path, encoding):
    waves = travelling_wave()[:, :, 0]
    waves[1, 3:5, 2] = np.nan
    variables = {
        "wave": (("member", "time", "y", "x"), waves, {"units": "m"}),
        "depth": (("y", "x"), np.arange(64.0).reshape(8, 8)),
    }
    days = np.datetime64("2020-01-01", "ns") + np.arange(16) * np.timedelta64(1, "D")
    path = tmp_path / "waves.nc"
    xr.Dataset(variables, {"time": days}).to_netcdf(path, engine="h5netcdf", encoding=encoding)
    return path


def plan_for(series, workers, **training):
    plan = experiment(series.parent, None, None, **training)
    roles = {"static": ["depth"], "forcings": ["time_of_year"], "known_fraction": 0.0}
    data = replace(plan.data, path=str(series), workers=workers, **roles)
    return replace(plan, data=data)


def order_of(run, monkeypatch, plan, **options):
    """Train, and return the windows that were learned from, in order."""
    seen, learn = [], Training.learn
    with monkeypatch.context() as patch:
        patch.setattr(
            Training,
            "learn",
            lambda self, group, *rest: seen.append(group[0].places) or learn(self, group, *rest),
        )
        train(plan, run, **options)
    return seen


@pytest.mark.filterwarnings("ignore:.*stored in chunks of 16 frames")
def test_any_number_of_workers_gives_the_same_run(chunked, tmp_path, monkeypatch):
    with pytest.warns(UserWarning, match="windows are drawn from 1 places at a time"):
        expected = order_of(tmp_path / "0", monkeypatch, plan_for(chunked, 0))
    assert len(expected) == 2 * 4
    for epoch in (expected[:4], expected[4:]):
        assert [{place.sequence // 2 for place in batch} for batch in epoch] in (
            [{0}, {0}, {1}, {1}],
            [{1}, {1}, {0}, {0}],
        )
    for count in (1, 3):
        run = tmp_path / str(count)
        assert order_of(run, monkeypatch, plan_for(chunked, count)) == expected
        assert_same(tmp_path / "0", run)


@pytest.mark.filterwarnings("ignore:.*stored in chunks of 16 frames")
def test_a_run_with_workers_resumes_to_the_bit(chunked, tmp_path, monkeypatch):
    plan = plan_for(chunked, 2, epochs=3, accumulate=2, **EVERY_STEP)
    train(plan_for(chunked, 0, epochs=3, accumulate=2), tmp_path / "whole")
    with monkeypatch.context() as patch:
        after_calls(patch, Training, "accumulate", 7, die)
        with pytest.raises(KilledError):
            train(plan, tmp_path / "killed")
    train(plan, tmp_path / "killed", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "killed")


def test_an_epoch_has_each_window_once_also_where_it_is_left_early(series):
    windows = windows_of(read_frames(series, static=["depth"]), 3)
    places = [Place(n, start) for n in range(6) for start in range(14)]
    batches = Batches(windows, places, 4)
    expected = [[batch.places, batch.frames, batch.mask, batch.static] for batch in batches]
    with reading_ahead(batches, None, 2) as (ahead, _):
        next(iter(ahead))
        next(iter(ahead))
        for batch, (where, *tensors) in zip(ahead, expected, strict=True):
            assert batch.places == where
            for got, tensor in zip((batch.frames, batch.mask, batch.static), tensors, strict=True):
                assert torch.equal(got, tensor) if tensor is not None else got is None
    assert [place for where, *_ in expected for place in where] == places


def test_what_a_reader_refuses_is_said_as_without_workers(series):
    """A file that is removed after training began: the same words."""
    windows = windows_of(read_frames(series), 3)
    batches = Batches(windows, [Place(0, 0)], 1)
    series.unlink()
    said = []
    for count in (0, 1):
        fresh = pickle.loads(pickle.dumps(batches))
        with pytest.raises(UserError) as caught, reading_ahead(fresh, None, count) as (ahead, _):
            list(ahead)
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert str(series) in said[0]


def test_frames_in_memory_need_no_worker(tmp_path):
    plan = experiment(tmp_path, {"workers": 2}, epochs=1)
    with pytest.warns(UserWarning, match=r"data.workers 2: the frames are held in memory"):
        train(plan, tmp_path / "run")


def test_a_worker_imports_neither_lightning_nor_plots(series):
    windows = windows_of(read_frames(series), 3)
    spying = Spying((windows,))
    with Workers(1, spying, "data.workers") as workers:
        modules = workers.ask((0, [Place(0, 0)])).result()
    assert "framecast.readers.gridded" in modules
    assert not {"lightning_fabric", "matplotlib", "framecast.train", "pytest", "rich"} & set(
        modules
    )


PROGRAM = """
import sys
from framecast.readers import gridded
from framecast.train.batches import Batches
from framecast.base.workers import Workers
gridded.HELD = 0
set_up = Workers.__init__
def tell(self, *arguments):
    set_up(self, *arguments)
    print(*[process.pid for process in self._processes], flush=True)
Workers.__init__ = tell
from framecast.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_a_run_that_is_stopped(series, tmp_path, number):
    plan = plan_for(series, 2, epochs=10000)
    (tmp_path / "plan.yaml").write_text(dump_config(plan))
    command = [sys.executable, "-c", PROGRAM, "train", "plan.yaml", "--out", "run"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=-1, stderr=-1, text=True, start_new_session=True
    )
    pids = [int(pid) for pid in process.stdout.readline().split()]
    while not (tmp_path / "run" / "log.csv").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=30)
    assert len(pids) == 2
    assert all(ended(pid) for pid in pids)
    if number != signal.SIGKILL:
        assert process.returncode == 128 + number
        assert "is saved. Go on: framecast train --resume" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_killed_worker_is_said_and_the_run_can_go_on(series, tmp_path):
    plan = plan_for(series, 1, epochs=10000)
    (tmp_path / "plan.yaml").write_text(dump_config(plan))
    command = [sys.executable, "-c", PROGRAM, "train", "plan.yaml", "--out", "run"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=-1, stderr=-1, text=True)
    pid = int(process.stdout.readline())
    while not (tmp_path / "run" / "log.csv").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "a worker process (data.workers 1) was ended by SIGKILL" in said
    assert "Traceback" not in said
