"""Several processes that share the windows of an evaluation come to the scores of one."""

import json

import numpy as np
import pytest

from framecast.cli import main
from processes import together
from small import travelling_wave, untrained_run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A run, and frames to test it on: five batches of windows and a smaller one."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(1)
    frames = travelling_wave(sequences=22, length=35)
    np.save("frames.npy", frames + random.normal(size=frames.shape).astype(np.float32))
    untrained_run(tmp_path / "run", tmp_path / "frames.npy")
    return tmp_path


@pytest.mark.slow
def test_scores_are_the_same_to_the_bit_and_written_once(folder):
    options = ["evaluate", "run", "--data", "frames.npy", "--steps", "4", "--metrics"]
    options += ["rmse", "sharpness", "psnr", "--data-range", "-5", "10"]
    processes = together(2, ["-m", "framecast", *options, "--out", "shared"])
    assert main([*options, "--out", "alone"]) == 0
    said = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    reports = [json.loads((folder / name / "metrics.json").read_text()) for name in
               ("alone", "shared")]  # fmt: skip
    assert reports[0]["windows"] == 110
    for report in reports:
        for model in report["models"]:
            model.pop("cost", None)
    assert reports[0] == reports[1]
    assert (folder / "shared" / "report.html").exists()
