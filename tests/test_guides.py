"""The guides by task: their commands, as they stand there, and what they print."""

import shutil
from pathlib import Path

import pytest

from conftest import DATA
from framecast.runs.weights import shelf
from typed import DOCS, follow, programs


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.setenv("FRAMECAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    shutil.copy(DATA / "stageiv" / "rain.nc", "rain.nc")
    shutil.copy(DATA / "vtest.avi", "vtest.avi")


def page(name):
    return (DOCS / name).read_text()


@pytest.mark.slow
def test_rain_from_radar(capsys):
    follow(page("radar.md"), capsys)
    assert Path("scores/report.html").exists()
    assert Path("ahead.nc").exists()


@pytest.mark.slow
def test_fluids(capsys):
    follow(page("fluids.md"), capsys)
    assert Path("ahead.gif").exists()


def test_video(capsys):
    follow(page("video.md"), capsys)
    assert Path("people.mp4").exists()
    assert "size:\n    - 48" in Path("runs/video/config.yaml").read_text()


def test_a_loop_of_ones_own(capsys):
    own = page("own_loop.md")
    for program in programs(own):
        exec(compile(program, "own_loop.md", "exec"), {})
    (command,) = (line for line in own.splitlines() if line.startswith("    framecast "))
    follow(command + "\n", capsys)
    assert Path("ahead.npz").exists()


def test_the_networks_that_pages_name_are_there():
    known = set(shelf())
    for file in [*DOCS.glob("*.md"), DOCS.parent / "README.md"]:
        for word in file.read_text().replace("`", " ").split():
            if word.startswith("weights:") and word.removeprefix("weights:").islower():
                assert word.removeprefix("weights:").rstrip(".,;)") in known, (file.name, word)
