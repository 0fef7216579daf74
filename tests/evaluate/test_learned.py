"""What a run learned from is not scored without a word."""

import numpy as np
import pytest
import yaml

from framecast.evaluate import evaluate
from judged import walk
from small import untrained_run

WORDS = "learned from, and its scores say little"


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("frames.npy", "other.npy", "parts/train.npy", "parts/test.npy"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.save(tmp_path / name, walk(4, 16, 2, 5, 6))


@pytest.mark.parametrize(
    ("learned", "scored", "told"),
    [
        ("frames.npy", "frames.npy", True),
        ("frames.npy", "./frames.npy", True),
        ("frames.npy", "frame?.npy", True),
        ("frames.npy", "other.npy", False),
        ("frames.npy", None, False),
        ("parts", "parts/train.npy", True),
        ("parts", "parts", False),
        ("parts", "parts/test.npy", False),
    ],
)
def test_scoring_what_was_learned_is_told(tmp_path, capsys, learned, scored, told):
    run = untrained_run(tmp_path / "run", "frames.npy")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"]["path"] = learned
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    evaluate([run], data=scored, baselines=["persistence"])
    assert (WORDS in capsys.readouterr().err) is told


def test_data_that_were_moved_are_no_error(tmp_path, capsys):
    run = untrained_run(tmp_path / "run", "frames.npy")
    (tmp_path / "frames.npy").rename(tmp_path / "moved.npy")
    evaluate([run], data="other.npy", baselines=["persistence"])
    assert WORDS not in capsys.readouterr().err
