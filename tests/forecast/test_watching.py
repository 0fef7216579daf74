"""Naming of classes while frames come in: as the network does it, and before the whole is there."""

import csv
import io
import os
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from framecast.base.errors import UserError
from framecast.cli import main
from framecast.datasets.config import DataConfig
from framecast.forecast.watching import watch
from framecast.frames.windows import Windows
from framecast.models import ForecasterConfig
from framecast.readers.open import read_frames
from framecast.runs.checkpoint import load_checkpoint
from framecast.runs.config import TrainingConfig
from framecast.runs.experiment import Experiment
from framecast.train import train
from videos import folder_of_classes, noise, write_video

OPTIONS = {"size": [8, 8], "frames": 4, "targets": 2, "seen": [0.5]}
NETWORK = {
    "depth": 1,
    "hidden": 4,
    "classifier": "conv_3d",
    "classifier_options": {"frames": 4, "channels": 4, "hidden": 8},
}


def plan(videos, **model):
    data = DataConfig("video_classes", str(videos), ["grey"], options=OPTIONS)
    training = TrainingConfig(context=4, horizon=2, epochs=1, batch_size=4, precision=32)
    return Experiment(data, ForecasterConfig(**NETWORK | model), training)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return folder_of_classes(tmp_path_factory.mktemp("watching") / "classes")


@pytest.fixture(scope="module")
def run(videos):
    return train(plan(videos), videos.parent / "run")


def in_one_go(run, video, step=1):
    """The probabilities after each frame, of all frames in one call of the network."""
    checkpoint = load_checkpoint(run)
    frames = read_frames(video, ["grey"], size=(8, 8))
    windows = Windows(frames, checkpoint.scaling, frames.length)
    seen = checkpoint.model.read(windows[0, 0].frames)[:, step - 1 :: step]
    return checkpoint.model.watch(seen)[1][0].softmax(1).detach()


@pytest.mark.parametrize(("step", "every"), [(1, 1), (1, 5), (3, 1), (2, 3)])
def test_each_moment_is_what_the_network_names_of_all_frames_before(run, videos, step, every):
    video = videos / "rise" / "2.avi"
    classes, moments = watch(run, video, step=step, every=every)
    found, expected = list(moments), in_one_go(run, video, step)[every - 1 :: every]
    assert classes == ("fall", "rise")
    assert [moment.frame for moment in found] == list(range(step * every, 17, step * every))
    assert {moment.name for moment in found} == {str(video)}
    torch.testing.assert_close(torch.stack([m.probabilities for m in found]), expected)


def test_each_video_of_a_folder_is_watched_without_a_memory_of_others(run, videos):
    found = list(watch(run, videos / "fall").moments)
    names = [str(videos / "fall" / f"{n}.avi") for n in range(4)]
    assert [moment.name for moment in found[::16]] == names
    for name, first in zip(names, range(0, 64, 16), strict=True):
        course = torch.stack([moment.probabilities for moment in found[first : first + 16]])
        torch.testing.assert_close(course, in_one_go(run, videos / "fall" / name.split("/")[-1]))


def test_frames_are_named_before_the_video_is_there(run, tmp_path):
    """Through a named pipe, whose other end waits until something was named."""
    content = write_video(tmp_path / "long.avi", noise(200, 64, 64)).read_bytes()
    pipe, named = tmp_path / "pipe.avi", threading.Event()
    os.mkfifo(pipe)

    def give():
        with pipe.open("wb") as file:
            file.write(content[: len(content) // 2])
            file.flush()
            named.wait(60)
            file.write(content[len(content) // 2 :])

    giver = threading.Thread(target=give)
    giver.start()
    moments = watch(run, pipe).moments
    assert next(moments).frame == 1
    assert not named.is_set()
    named.set()
    assert sum(1 for _ in moments) == 199
    giver.join()


def test_standard_input_is_a_video(run, videos, monkeypatch, capsys, tmp_path):
    video, out = videos / "rise" / "1.avi", tmp_path / "named.csv"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(video.read_bytes())))
    arguments = ["recognise", str(run), "-", "--every", "4", "--top", "1", "--out", str(out)]
    assert main(arguments) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "standard input"
    assert [line.split(":")[0].split() for line in lines[:4]] == [
        ["frame", str(n)] for n in (4, 8, 12, 16)
    ]
    table = list(csv.DictReader(out.read_text().splitlines()))
    assert list(table[0]) == ["video", "frame", "class", "probability"]
    found = [float(row["probability"]) for row in table]
    assert found == pytest.approx(in_one_go(run, video)[3::4].flatten().tolist(), abs=1e-6)


def test_the_sequences_of_a_file_are_watched_frame_by_frame(tmp_path):
    values = np.random.default_rng(0).normal(size=(6, 9, 8, 8)).astype(np.float32)
    data = xr.Dataset({"z": (("case", "time", "y", "x"), values)})
    data["kind"] = ("case", np.array(["a", "b"] * 3))
    data.to_netcdf(tmp_path / "a.nc")
    source = DataConfig(path=str(tmp_path / "a.nc"), label="kind", dims={"sequence": "case"})
    experiment = replace(plan(tmp_path), data=source)
    own = train(experiment, tmp_path / "run")
    data.drop_vars("kind").isel(case=slice(0, 2)).to_netcdf(tmp_path / "new.nc")
    found = list(watch(own, str(tmp_path / "new.nc"), every=3).moments)
    assert [(m.name.split(", ")[1], m.frame) for m in found] == [
        (f"sequence {n}", frame) for n in (0, 1) for frame in (3, 6, 9)
    ]
    checkpoint = load_checkpoint(own)
    frames = read_frames(tmp_path / "new.nc", dims={"sequence": "case"})
    seen = checkpoint.model.read(Windows(frames, checkpoint.scaling, 9)[1, 0].frames)
    expected = checkpoint.model.watch(seen)[1][0, 2::3].softmax(1).detach()
    torch.testing.assert_close(torch.stack([m.probabilities for m in found[3:]]), expected)
    with pytest.raises(UserError, match="without --step, in a file"):
        watch(own, str(tmp_path / "new.nc"), step=2)


def test_what_makes_no_sense_is_refused(run, videos, tmp_path, capsys):
    video = str(videos / "rise" / "0.avi")
    with pytest.raises(UserError, match="--every 0 must be at least 1"):
        watch(run, video, every=0)
    with pytest.raises(UserError, match="--step 0 must be at least 1"):
        watch(run, video, step=0)
    assert main(["recognise", str(run), video, "--every", "2", "--seen", "0.5"]) != 0
    assert "--seen names shares of a whole video" in capsys.readouterr().err
    plain = train(plan(videos, classifier="none", classifier_options={}), tmp_path / "plain")
    with pytest.raises(UserError, match="names no classes: it must be"):
        watch(plain, video)
    (tmp_path / "no.avi").write_bytes(b"no video")
    with pytest.raises(UserError, match="cannot be read as video"):
        list(watch(run, tmp_path / "no.avi").moments)
    with pytest.raises(UserError, match="holds no video"):
        list(watch(run, tmp_path / "plain").moments)
