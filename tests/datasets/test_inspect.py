"""`framecast inspect` says what a path holds, and a command that works."""

import shlex

import numpy as np
import pytest

from conftest import DATA
from framecast.base.errors import UserError
from framecast.cli import main
from framecast.datasets.inspect import inspect
from videos import folder_of_videos, noise, write_video

KTH, AIR = DATA / "kth", DATA / "air_temperature_small.nc"


def test_a_labelled_file():
    rows = inspect(AIR, 4, 2)
    assert rows["kind"] == "NetCDF file"
    assert rows["frames"] == "20"
    assert rows["grid"] == "25 rows × 53 columns"
    assert rows["channels"] == "air [degK]"
    assert rows["step"] == "6 h"
    assert rows["values"] == "226.1 to 305.1, all known"
    assert rows["windows"].startswith("3 of 4 + 2 frames side by side")
    assert rows["next"].startswith(f"framecast train starter --data.path {AIR} ")


def test_what_is_proposed_fits_into_each_part_of_a_short_series():
    rows = inspect(AIR, 10, 5)  # 20 frames: 3 for validation, 3 for the test
    assert rows["windows"].endswith("; 2 + 1 fit where validation and test take their parts")
    assert "--training.context 2 --training.horizon 1" in rows["next"]
    assert "--training.context 1 --training.horizon 1" in inspect(AIR, 1, 1)["next"]


def test_a_large_video_is_to_be_made_smaller(tmp_path):
    rows = inspect(write_video(tmp_path / "street.avi", noise(5, 120, 160), rate=25), 2, 1)
    assert rows["kind"] == "video"
    assert rows["channels"] == "red, green, blue"
    assert rows["step"] == "0.04 s, 25 frames a second"
    assert rows["values"] == "0 to 255, all known (in 5 frames examined)"
    assert "--data.source videos" in rows["next"]
    assert "--data.options.size '[96, 128]'" in rows["next"]
    assert rows["next"].endswith("--out runs/street")


def test_a_folder_of_videos(tmp_path):
    rows = inspect(folder_of_videos(tmp_path, (12, 7, 20)), 6, 4)
    assert rows["kind"] == "folder of videos"
    assert rows["sequences"] == "3"
    assert rows["frames"] == "7 to 20, 39 together"
    assert rows["windows"] == "3 of 6 + 4 frames side by side; too short for one: 1"
    assert "--data.source videos" in rows["next"]


@pytest.mark.filterwarnings("ignore:.*sequences are cut")
def test_parts_are_described_one_by_one(tmp_path):
    np.save(tmp_path / "train.npy", np.zeros((9, 3, 3)))
    np.save(tmp_path / "test.npy", np.zeros((4, 3, 3)))
    rows = inspect(tmp_path, 2, 1)
    assert (rows["train frames"], rows["test frames"]) == ("9", "4")
    assert rows["train step"] == "none: the frames have no times"
    rows = inspect(KTH, 10, 5)
    assert rows["kind"] == "KTH actions"
    assert [rows[f"{part} sequences"] for part in ("train", "validation", "test")] == [
        "5",
        "2",
        "5",
    ]
    assert rows["train grid"] == "128 rows × 128 columns"
    assert "--data.source kth" in rows["next"]


def test_gaps_and_places_that_hold_nothing_are_said(tmp_path):
    frames = np.zeros((5, 3, 3))
    frames[2, 1, 1] = np.nan
    np.save(tmp_path / "gap.npy", frames)
    assert inspect(tmp_path / "gap.npy", 2, 1)["values"] == "0 to 0, missing: channel_0 2.2 %"
    with pytest.raises(UserError, match="does not exist"):
        inspect(tmp_path / "none", 2, 1)
    with pytest.raises(UserError, match="--horizon 0 must be at least 1"):
        inspect(AIR, 2, 0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="without a file named train"):
        inspect(tmp_path / "empty", 2, 1)


def test_the_command_that_it_names_trains(tmp_path, monkeypatch, capsys):
    folder_of_videos(tmp_path / "videos", (12, 7, 20, 8, 15, 9, 11))
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", "videos", "--context", "3", "--horizon", "2"]) == 0
    command = capsys.readouterr().out.splitlines()[-1].split("framecast ", 1)[1]
    small = "--model.depth 1 --model.hidden 4 --training.epochs 1"
    assert main([*shlex.split(command), *small.split()]) == 0
    assert (tmp_path / "runs" / "videos" / "best.safetensors").exists()
