"""The tutorial runs as it is printed, on its real files, with small networks."""

import shutil
from pathlib import Path

import pytest

from conftest import DATA
from framecast.cli import main
from typed import SMALL, follow, programs, section


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.setenv("FRAMECAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(DATA / "storm1996", "storm1996")
    shutil.copy(DATA / "stageiv" / "rain.nc", "rain.nc")
    shutil.copy(DATA / "vtest.avi", "vtest.avi")


@pytest.mark.filterwarnings("ignore:.*no window of")
def test_a_storm_in_six_files(capsys):
    follow(section("tutorial.md", "A storm in six files"), capsys)
    assert Path("storm_ahead.nc").exists()
    assert Path("runs/storm/evaluation/metrics.json").exists()


def test_an_afternoon_of_rain(capsys):
    assert "RMSE" in follow(section("tutorial.md", "An afternoon of rain"), capsys)
    assert Path("rain_ahead.gif").exists()


def test_a_video(capsys):
    follow(section("tutorial.md", "A video"), capsys)
    assert Path("people.mp4").exists()


def test_the_storm_in_one_file():
    (code,) = programs(section("tutorial.md", "The storm in one file"))
    exec(compile(code, "tutorial.md", "exec"), {})
    command = ["train", "storm1996", "--out", "run", *SMALL]
    assert main(command) == 0
