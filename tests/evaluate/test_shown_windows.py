"""Windows that are kept to be shown: which they are, and that they are forecast as scored."""

import numpy as np
import pytest
import torch

from framecast.evaluate import evaluate
from framecast.evaluate import examples as module
from judged import plain_scores, walk
from small import CONTEXT, HORIZON, untrained_run


@pytest.fixture
def data(tmp_path):
    file = tmp_path / "frames.npy"
    np.save(file, walk(8, 16, 2, 5, 6))
    return file


def windows_of(data):
    return [s[start : start + 7] for s in np.load(data)[4:] for start in (0, 7)]


def test_the_best_and_worst_windows_are_those_of_least_and_largest_error(tmp_path, data):
    run = untrained_run(tmp_path / "run", data)
    evaluation = evaluate([run], batch_size=3)
    errors = plain_scores(run, windows_of(data), CONTEXT)[:, CONTEXT - 1 :]
    rmse = np.sqrt((errors**2).mean((1, 3, 4)))
    relative = (rmse / rmse.mean(0)).mean(1)
    named = {name: e.choice for e in evaluation.examples for name in e.choice.names}
    assert named["first"].place == 0
    assert named["best"].place == relative.argmin()
    assert named["worst"].place == relative.argmax()
    assert relative[named["median"].place] == np.sort(relative)[3]
    assert [e.choice.rank for e in evaluation.examples] == [
        1 + int((relative < relative[e.choice.place]).sum()) for e in evaluation.examples
    ]


def test_what_is_shown_is_what_was_scored(tmp_path, data):
    run = untrained_run(tmp_path / "run", data)
    other = untrained_run(tmp_path / "other", data, layer="conv_gru")
    evaluation = evaluate([run, other])
    windows = windows_of(data)
    assert len(evaluation.examples) == len(windows) == 8
    for at, own in enumerate((run, other)):
        errors = plain_scores(own, windows, CONTEXT)[:, CONTEXT - 1 :]
        for example in evaluation.examples:
            forecast = example.forecasts[at][0].numpy()
            truth = windows[example.choice.place]
            np.testing.assert_array_equal(example.window.values[0], truth)
            np.testing.assert_allclose(
                forecast - truth[CONTEXT:], errors[example.choice.place], atol=2e-3
            )
    first = evaluation.examples[0]
    for made, forecasts in zip(first.forecasts, evaluation.forecasts, strict=True):
        torch.testing.assert_close(made, forecasts.example)
    still = first.forecasts[2][0]
    assert (still == torch.from_numpy(windows[0][CONTEXT - 1])).all()
    assert len(still) == HORIZON


def test_memory_bounds_the_windows_that_are_shown(tmp_path, data, monkeypatch):
    run = untrained_run(tmp_path / "run", data)
    frames = (4 * 3 + 1) * HORIZON + CONTEXT
    monkeypatch.setattr(module, "MOST_BYTES", 2 * 4 * frames * 2 * 5 * 6)
    assert evaluate([run]).examples[0].choice.names == ("first",)
    assert len(evaluate([run]).examples) == 2
    monkeypatch.setattr(module, "MOST_BYTES", 1)
    assert len(evaluate([run]).examples) == 1
