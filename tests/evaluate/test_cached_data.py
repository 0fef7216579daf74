"""Evaluations through the cache give the same scores, of the test part and of other files."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
import zarr

from framecast.base.fetch import cache_folder
from framecast.cli import main
from framecast.evaluate import evaluate
from judged import walk
from small import untrained_run


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FRAMECAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(tmp_path):
    for seed, name in enumerate(("frames", "other")):
        np.save(tmp_path / f"{name}.npy", walk(4, 16, 2, 5, 6) + seed)
    return untrained_run(tmp_path / "run", tmp_path / "frames.npy")


def entries(name):
    return sorted(cache_folder("frames").glob(f"{name}-*/values.zarr"))


def scores(evaluation):
    return [model.mean("rmse") for model in (*evaluation.models, *evaluation.baselines)]


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("data", [None, "other.npy"])
def test_scores_are_the_same_to_the_bit(run, data, asked):
    plain = evaluate([run], data=data)
    assert not entries("*")
    if not asked:
        config = yaml.safe_load((run / "config.yaml").read_text())
        config["data"]["cache"] = True
        (run / "config.yaml").write_text(yaml.safe_dump(config))
    through = evaluate([run], data=data, cache=asked)
    np.testing.assert_array_equal(scores(through), scores(plain))
    assert through.windows == plain.windows
    (entry,) = entries("frames" if data is None else "other")
    zarr.open_array(entry, mode="r+")[:] += 1
    assert not np.array_equal(scores(evaluate([run], data=data, cache=asked)), scores(plain))


def test_the_command_takes_cache(run):
    assert main(["evaluate", str(run), "--data", "other.npy", "--out", "out", "--cache"]) == 0
    assert len(entries("other")) == 1
    written = json.loads(Path("out", "metrics.json").read_text())
    plain = evaluate([run], data="other.npy").models[0].mean("rmse")
    found = [c["closed_loop"]["rmse"]["value"] for c in written["models"][0]["metrics"].values()]
    np.testing.assert_allclose(np.transpose(found), plain[-len(found[0]) :], rtol=1e-6)
