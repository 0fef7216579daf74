"""The protocol of the minimal networks: predictions from true frames, and from own ones."""

import json
from pathlib import Path

import numpy as np
import pytest

from framecast.cli import main
from judged import walk
from small import CONTEXT, HORIZON, untrained_run


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("frames.npy", walk(4, 16, 1, 5, 6))
    return untrained_run(tmp_path / "run", tmp_path / "frames.npy")


def root_mean_square(values):
    return float(np.sqrt(np.mean(np.square(values))))


def test_lead_one_is_the_last_that_follows_from_true_frames(run, capsys):
    assert main(["evaluate", str(run), "--out", "out", "--protocol", "min_conv_rnn"]) == 0
    written = json.loads(Path("out/metrics.json").read_text(encoding="utf-8"))
    assert written["weights"] == "none"
    printed = capsys.readouterr().out
    for forecast in (*written["models"], *written["baselines"]):
        phases = forecast["metrics"]["channel_0"]
        steps = [v for phase in phases.values() for v in phase["rmse"]["value"]]
        assert len(steps) == CONTEXT + HORIZON - 1
        by_input = {
            name: part["channel_0"]["rmse"]["value"] for name, part in forecast["by_input"].items()
        }
        assert by_input == {
            "true_frames": pytest.approx([root_mean_square(steps[:CONTEXT])]),
            "own_predictions": pytest.approx([root_mean_square(steps[CONTEXT:])]),
        }
    for words in ("TF: from true frames", "3 steps", "CL: from own predictions"):
        assert words in printed
    assert f"{by_input['own_predictions'][0]:.3f}"[:4] in printed


def test_of_one_lead_time_nothing_follows_from_own_predictions(run, capsys):
    command = ["evaluate", str(run), "--out", "out", "--protocol", "min_conv_rnn", "--steps", "1"]
    assert main(command) == 0
    assert "CL: from own" not in capsys.readouterr().out


def test_other_protocols_have_no_such_numbers(run):
    assert main(["evaluate", str(run), "--out", "out", "--metrics", "rmse"]) == 0
    assert "by_input" not in Path("out/metrics.json").read_text(encoding="utf-8")
