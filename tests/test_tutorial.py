"""The tutorial runs as it is printed, on its real files, with small networks."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from conftest import DATA
from framecast.cli import main

PAGE = (Path(__file__).parent.parent / "docs" / "tutorial.md").read_text()
SMALL = ["--model.depth", "1", "--model.hidden", "4", "--training.epochs", "1"]


def section(title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)[1]


def blocks(text):
    """The indented blocks of a section, each a list of lines."""
    found = re.findall(r"(?:^    .+\n)+", text, re.MULTILINE)
    return [[line[4:] for line in block.splitlines()] for block in found]


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.setenv("FRAMECAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(DATA / "storm1996", "storm1996")
    shutil.copy(DATA / "stageiv" / "rain.nc", "rain.nc")
    shutil.copy(DATA / "vtest.avi", "vtest.avi")


def follow(title, capsys):
    """Type each command of a section; what the page says it prints is printed."""
    printed, typed = "", 0
    for block in blocks(section(title)):
        if not block[0].startswith("framecast "):
            missing = [line for line in block if line not in printed.splitlines()]
            assert not missing, f"{title}: not printed any more: {missing}"
            continue
        for line in block:
            words = shlex.split(line)[1:]
            if words[0] == "train":
                cut = words.index("--minutes") if "--minutes" in words else len(words)
                words = [*words[:cut], *words[cut + 2 :], *SMALL]
            assert main(words) == 0, line
            typed += 1
        printed = capsys.readouterr().out
    assert typed
    return printed


@pytest.mark.filterwarnings("ignore:.*no window of")
def test_a_storm_in_six_files(capsys):
    follow("A storm in six files", capsys)
    assert Path("storm_ahead.nc").exists()
    assert Path("runs/storm/evaluation/metrics.json").exists()


def test_an_afternoon_of_rain(capsys):
    assert "RMSE" in follow("An afternoon of rain", capsys)
    assert Path("rain_ahead.gif").exists()


def test_a_video(capsys):
    follow("A video", capsys)
    assert Path("people.mp4").exists()


def test_the_storm_in_one_file():
    (code,) = re.findall(r"```python\n(.*?)```", section("The storm in one file"), re.DOTALL)
    exec(compile(code, "tutorial.md", "exec"), {})
    command = ["train", "storm1996", "--out", "run", *SMALL]
    assert main(command) == 0
